"""What `treadle doctor` asks IAM about is what the roles of the template need, with all that their policies look at."""

import re
from typing import Any

import pytest

from tests.support.policies import ACCOUNT, REGION, STACK, Deployed, condition_keys, covers
from tests.template.model import logical_prefix, read
from treadle.adapters.dynamodb.runs import CLAIM_ATTRIBUTES
from treadle.adapters.health.needs import Need, needs
from treadle.adapters.health.permissions import context_entries
from treadle.adapters.stack import DeployedStack
from treadle.definitions.status import DefaultSensorStatus
from treadle.ports.deployment import DeployedSensor, Hearing
from treadle.ports.launching import JobSettings

pytestmark = pytest.mark.treadle

template = read()
EVALUATORS = template.evaluators()
PARAMETERS = template.section("Parameters")
QUEUES = template.resources("AWS::SQS::Queue")
NOT_EXAMINED = {
    "ForwardRole": "EventBridge's own",
    "ScheduleRole": "Scheduler's own",
    "ConsoleRole": "the console says itself what it is denied",
    "SummarizeStateMachineRole": "the example's",
    "SummarizeCsvRole": "the example's",
}
"""Roles of no step of Treadle's, with the reason."""

PLACE = f"{REGION}:{ACCOUNT}"
ADDRESSES = {
    "StateMachineArn": f"arn:aws:states:{PLACE}:stateMachine:m",
    "GlueJobName": "m",
    "JobDefinitionArn": f"arn:aws:batch:{PLACE}:job-definition/m:1",
    "Queue": f"arn:aws:batch:{PLACE}:job-queue/m",
    "TaskDefinitionArn": f"arn:aws:ecs:{PLACE}:task-definition/m:1",
    "Cluster": f"arn:aws:ecs:{PLACE}:cluster/m",
    "Container": "c",
    "TaskRoleArn": f"arn:aws:iam::{ACCOUNT}:role/task",
    "ExecutionRoleArn": f"arn:aws:iam::{ACCOUNT}:role/execution",
    "FunctionArn": f"arn:aws:lambda:{PLACE}:function:m",
    "QueueArn": f"arn:aws:sqs:{PLACE}:m",
    "EventBusArn": f"arn:aws:events:{PLACE}:event-bus/m",
    "Source": "com.example.m",
    "DetailType": "M",
}
"""Values for the parameters of jobs, by how their names end."""


def job_parameters() -> dict[str, str]:
    """What each job of the template is given."""
    prefixes = [logical_prefix(job) for job in template.jobs()]
    return {
        f"{prefix}{end}": value
        for prefix in prefixes
        for end, value in ADDRESSES.items()
        if f"{prefix}{end}" in PARAMETERS
    }


GIVEN = {
    "NewObjectsPrefix": "incoming/",
    "FailureAlertEmailFrom": "treadle@example.com",
    "FailureAlertEmailTo": "ann@example.com",
    **job_parameters(),
}
DEPLOYED = Deployed(template, GIVEN)


def jobs() -> list[JobSettings]:
    """What each job launches, as its settings name it."""
    found = []
    for name, settings in template.jobs().items():
        filled = {
            key: str(DEPLOYED.value({"Ref": value[2:-1]})) if value[2:-1] in PARAMETERS else value
            for key, value in settings.items()
        }
        target, parameter = filled.pop("target"), filled.pop("parameter")
        filled.pop("arn")
        address = str(DEPLOYED.value({"Ref": parameter}))
        found.append(JobSettings(name, target, address, parameter, filled))
    return found


def sensor(name: str) -> DeployedSensor:
    """A sensor as the deployment shows it."""
    settings = {key: DEPLOYED.value(value) for key, value in template.environment(EVALUATORS[name]).items()}
    rule = template.resources("AWS::Events::Rule").get(f"{logical_prefix(name)}Rule", {})
    detail: dict[str, Any] = DEPLOYED.value(rule).get("EventPattern", {}).get("detail", {})
    hearing = Hearing(jobs=tuple(detail.get("job", ())), assets=tuple(detail.get("asset_key", ())))
    kind, queue = str(settings["TREADLE_KIND"]), f"{logical_prefix(name)}Queue"
    url = f"https://sqs/{ACCOUNT}/{queue}" if queue in QUEUES else None
    return DeployedSensor(
        name, kind, "", (), DefaultSensorStatus.RUNNING, queue=url, hearing=hearing, settings=settings
    )


def needed() -> list[Need]:
    """Everything that the doctor asks about."""
    resources = template.section("Resources")
    stack = DeployedStack(
        STACK,
        f"arn:aws:cloudformation:{PLACE}:stack/{STACK}/1",
        {name: name for name in resources},
        {name: body["Type"] for name, body in resources.items()},
        {name: f"https://sqs/{ACCOUNT}/{name}" for name in QUEUES},
        {
            f"TREADLE_{table.upper()}_TABLE": f"{table}Table"
            for table in ("Sensors", "Ticks", "Runs", "Events")
        },
        GIVEN,
    )
    prefixes = {name: logical_prefix(name) for name in EVALUATORS}
    return list(needs(stack, map(sensor, EVALUATORS), prefixes, jobs()))


NEEDS = needed()
CALLS = [(need, action) for need in NEEDS for action in need.actions]
CONDITIONED = [
    (role, statement)
    for role in template.resources("AWS::IAM::Role")
    if role not in NOT_EXAMINED
    for statement in DEPLOYED.statements(role)
    if condition_keys(statement)
]


def context_of(need: Need) -> dict[str, list[str]]:
    """What IAM is told of the call."""
    entries = context_entries(ACCOUNT, need)
    return {entry["ContextKeyName"]: entry["ContextKeyValues"] for entry in entries}


def name_of(case: Any) -> str:
    """How a test's case is called."""
    first, second = case
    return f"{first}-{second['Sid']}" if isinstance(first, str) else f"{first.role}-{second}-{first.resource}"


@pytest.mark.parametrize("call", CALLS, ids=name_of)
def test_what_the_doctor_asks_about_is_allowed_as_the_template_is_written(call: tuple[Need, str]) -> None:
    """Of a healthy stack, IAM denies nothing that is asked about; with a key left out it would."""
    need, action = call

    assert DEPLOYED.decides(need.role, action, need.resource, context_of(need)) == "allowed"


@pytest.mark.parametrize("call", CALLS, ids=name_of)
def test_the_doctor_supplies_every_condition_key_of_the_policies(call: tuple[Need, str]) -> None:
    need, action = call
    about = [each for each in DEPLOYED.statements(need.role) if covers(each, action, need.resource)]

    assert set().union(*map(condition_keys, about)) <= context_of(need).keys()


@pytest.mark.parametrize("case", CONDITIONED, ids=name_of)
def test_every_statement_with_a_condition_is_asked_about(case: tuple[str, dict[str, Any]]) -> None:
    """A condition that no call meets would be found out by the first call only."""
    role, statement = case

    assert [
        action for need, action in CALLS if need.role == role and covers(statement, action, need.resource)
    ]


def test_a_call_that_lacks_what_a_policy_looks_at_would_be_denied() -> None:
    """What the tests above compare with does tell."""
    [need] = [
        each for each in NEEDS if each.role == "NewObjectsRole" and "dynamodb:Attributes" in each.context
    ]
    context = context_of(need)
    more = {**context, "dynamodb:Attributes": ["run_id", "run_config"]}
    less = {key: value for key, value in context.items() if key != "dynamodb:Attributes"}

    [action] = need.actions
    assert DEPLOYED.decides(need.role, action, need.resource, more) == "implicitDeny"
    assert DEPLOYED.decides(need.role, action, need.resource, less) == "explicitDeny"
    assert re.fullmatch(r"arn:aws:dynamodb:.*:table/RunsTable", need.resource)


# ---- The attributes of runs that evaluators may read


def attribute_lists() -> list[list[str]]:
    """The attributes of runs that each evaluator may read, as the policies list them."""
    found: list[list[str]] = []
    for _, statement in template.statements():
        allowed = statement.get("Condition", {}).get("ForAllValues:StringEquals", {})
        if "dynamodb:Attributes" in allowed:
            found.append(allowed["dynamodb:Attributes"])
    return found


def test_policies_let_evaluators_read_exactly_the_attributes_that_the_store_reads() -> None:
    """One that is missing would deny every look; one too many would show more of a run than is needed."""
    lists = attribute_lists()

    assert lists
    assert all(each == list(CLAIM_ATTRIBUTES) for each in lists)


@pytest.mark.parametrize("name", EVALUATORS)
def test_doctor_asks_about_the_attributes_that_the_store_reads(name: str) -> None:
    [asked] = [
        need.context["dynamodb:Attributes"]
        for need in NEEDS
        if need.role == f"{logical_prefix(name)}Role" and "dynamodb:Attributes" in need.context
    ]

    assert asked == list(CLAIM_ATTRIBUTES)
