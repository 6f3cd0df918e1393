"""What `treadle doctor` simulates is what the roles of engine and projects need, with all context keys of their policies.

The roles are those of the engine's template, of the repository's project, and of a sensor and a job of each kind that
the scaffold writes; each role of a sensor has the engine's policies that its block takes, and those of AWS that SAM adds.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import pytest
import yaml

from tests.support.policies import ACCOUNT, REGION, STACK, Deployed, condition_keys, covers, decision
from tests.template.engine_model import POLICY, ROLE, deployed, read_engine, statements
from tests.template.model import Template, _Loader
from tests.template.test_blocks import added, sensor
from tests.template.test_engine_policies import OF_SAM, OF_SAM_FOR_STREAMS
from treadle.adapters.dynamodb.runs import CLAIM_ATTRIBUTES
from treadle.adapters.health.needs import Need, needs
from treadle.adapters.health.permissions import context_entries
from treadle.adapters.stack import DeployedStack
from treadle.adapters.targets.registry import KINDS as TARGETS
from treadle.cli.fragments import NewJob
from treadle.cli.sensor_kinds import SENSOR_KINDS
from treadle.cli.target_kinds import KINDS
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import DeployedSensor, Subscription
from treadle.model.registry import parse_job

pytestmark = pytest.mark.treadle

STEPS = ("Dispatch", "Launch", "Record", "Publish", "Reconcile")
TABLES = ("Sensors", "Ticks", "Runs", "Events")
OTHER_ACCOUNT = "210987654321"
PLACE = f"{REGION}:{ACCOUNT}"
ENGINE = deployed(JobAccounts=OTHER_ACCOUNT)
CONTRACT = str(ENGINE.value(read_engine().section("Resources")["Contract"]["Properties"]["Value"]))
SENSORS = [sensor(kind, number) for number, kind in enumerate(SENSOR_KINDS)]
JOBS = [NewJob(f"{target}_load", target) for target in KINDS]
PROJECT = Deployed(
    Template(yaml.load(added([*SENSORS, *JOBS]).text, Loader=_Loader)),
    {"Engine": CONTRACT, "NewObjectsBucket": "my-objects"},
)
"""The repository's project, with a sensor and a job of each kind beside its own."""

NOT_EXAMINED = {
    ("EvaluatorPolicy", "NeverOtherLogs"): "what is denied to a function's logging shows by the log",
    ("EvaluatorPolicy", "NeverNewLogs"): "of calls that no function makes",
    ("ScheduleRole", "Sensors"): "Scheduler's own",
}
"""Statements with conditions that are about no examined call, with the reason."""


def queue_url(name: str) -> str:
    return f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{name}"


def sensors() -> Iterator[DeployedSensor]:
    """Yield each sensor of the project as the deployment shows it."""
    template = PROJECT.template
    queues = template.resources("AWS::SQS::Queue")
    rules = {
        str(rule["Targets"][0]["Arn"]).rpartition(":")[2]: rule
        for rule in map(PROJECT.value, template.resources("AWS::Events::Rule").values())
    }
    for logical_id, function in functions():
        settings = {name: str(value) for name, value in environment(function).items()}
        detail = rules.get(f"{logical_id}Queue", {}).get("EventPattern", {}).get("detail", {})
        settings["TREADLE_DEAD_LETTER_QUEUE_URL"] = queue_url(settings["TREADLE_DEAD_LETTER_QUEUE_URL"])
        yield DeployedSensor(
            function["Tags"]["treadle:sensor"],
            settings["TREADLE_KIND"],
            "",
            (),
            DefaultSensorStatus.RUNNING,
            queue=queue_url(f"{logical_id}Queue") if f"{logical_id}Queue" in queues else None,
            subscription=Subscription(
                jobs=tuple(detail.get("job", ())), assets=tuple(detail.get("asset_key", ()))
            ),
            settings=settings,
            role=f"arn:aws:iam::{ACCOUNT}:role/{logical_id}Role",
        )


def functions() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield logical id and resolved properties of each sensor's function."""
    for logical_id, properties in PROJECT.template.resources("AWS::Serverless::Function").items():
        if "treadle:sensor" in properties.get("Tags", {}):
            yield logical_id, PROJECT.value(properties)


def environment(function: Mapping[str, Any]) -> dict[str, Any]:
    shared = PROJECT.template.section("Globals")["Function"]["Environment"]["Variables"]
    return {**PROJECT.value(shared), **function["Environment"]["Variables"]}


def job_entries() -> Iterator[Any]:
    """Yield the target of each job of the project, as the engine reads it; one of them has its role in another account."""
    for each in map(PROJECT.value, PROJECT.template.resources("AWS::SSM::Parameter").values()):
        folder, name = str(each["Name"]).split("/")[-2:]
        if folder == "jobs":
            yield parse_job(name, each["Value"], frozenset(TARGETS)).settings
    role = f"arn:aws:iam::{OTHER_ACCOUNT}:role/treadle/main/{REGION}/job/load"
    arn = f"arn:aws:states:{REGION}:{OTHER_ACCOUNT}:stateMachine:load"
    yield parse_job(
        "elsewhere",
        json.dumps({"project": "theirs", "target": "step_functions", "arn": arn, "role": role}),
        frozenset(TARGETS),
    ).settings


def held() -> dict[str, list[dict[str, Any]]]:
    """Return the statements of each role that is examined, by its ARN's last part."""
    found = {f"{step}Role": statements(f"{step}Role", ENGINE) for step in STEPS}
    for logical_id, function in functions():
        tags = function["Tags"]
        own = [*OF_SAM] if f"{logical_id}Queue" in PROJECT.template.resources("AWS::SQS::Queue") else []
        own += (
            OF_SAM_FOR_STREAMS
            if "Kinesis" in {each["Type"] for each in function.get("Events", {}).values()}
            else []
        )
        for policy in function["Policies"]:
            own += statements(policy, ENGINE) if isinstance(policy, str) else policy["Statement"]
        found[f"{logical_id}Role"] = own
        TAGS[f"{logical_id}Role"] = {name: str(value) for name, value in tags.items()}
    for name in PROJECT.template.resources(ROLE):
        found[name] = list(PROJECT.statements(name))
    return found


TAGS: dict[str, dict[str, str]] = {}
"""Those of each sensor's role, which SAM takes from its function."""


def needed() -> list[Need]:
    """Return everything that the doctor simulates."""
    resources = read_engine().section("Resources")
    stack = DeployedStack(
        STACK,
        f"arn:aws:cloudformation:{PLACE}:stack/{STACK}/1",
        {name: name for name in resources},
        {name: body["Type"] for name, body in resources.items()},
        {name: queue_url(name) for name, body in resources.items() if body["Type"] == "AWS::SQS::Queue"},
        {
            **{f"TREADLE_{table.upper()}_TABLE": f"{table}Table" for table in TABLES},
            "TREADLE_OUTCOMES_BUCKET": "PayloadBucket",
            "TREADLE_ENGINE": "main",
            "TREADLE_BUS_NAME": "treadle-main",
        },
    )
    return list(needs(stack, sensors(), job_entries()))


HELD = held()
NEEDS = needed()
CALLS = [(need, action) for need in NEEDS for action in need.actions]


def role_of(need: Need) -> str:
    return need.role.rpartition("/")[2]


def context_of(need: Need) -> dict[str, list[str]]:
    """Return the context that IAM receives for the call."""
    entries = context_entries(ACCOUNT, need)
    return {entry["ContextKeyName"]: entry["ContextKeyValues"] for entry in entries}


def name_of(case: tuple[Need, str]) -> str:
    """Return the name of a test's case."""
    need, action = case
    return f"{role_of(need)}-{action}-{need.resource}"


def test_every_step_sensor_and_job_of_this_account_is_examined() -> None:
    roles = {role_of(need) for need in NEEDS}

    assert roles == HELD.keys()
    assert {need.owner for need in NEEDS} >= {f"sensor {each.name}" for each in SENSORS}


@pytest.mark.parametrize("call", CALLS, ids=name_of)
def test_what_the_doctor_queries_is_allowed_as_the_templates_are_written(call: tuple[Need, str]) -> None:
    """Of a healthy deployment, IAM denies nothing that is simulated; with a key left out it would."""
    need, action = call

    assert decision(HELD[role_of(need)], action, need.resource, context_of(need)) == "allowed"


@pytest.mark.parametrize("call", CALLS, ids=name_of)
def test_the_doctor_supplies_every_condition_key_and_variable_of_the_policies(call: tuple[Need, str]) -> None:
    need, action = call
    about = [each for each in HELD[role_of(need)] if covers(each, action, need.resource)]
    keys = set().union(*map(condition_keys, about)) | variables(about)

    assert keys <= context_of(need).keys()


def variables(found: list[dict[str, Any]]) -> set[str]:
    """Return the policy variables of statements."""
    return {each.partition("}")[0] for each in json.dumps(found).split("${")[1:]}


OF_SENSORS = [call for call in CALLS if role_of(call[0]) in TAGS]


@pytest.mark.parametrize("call", OF_SENSORS, ids=name_of)
def test_tags_that_the_doctor_supplies_are_as_good_as_those_of_the_role(call: tuple[Need, str]) -> None:
    """Whether a sensor of another kind reads runs, its kind does not say, and no examined call depends on."""
    need, action = call
    tags = TAGS[role_of(need)]
    known = {name: values for name, values in context_of(need).items() if "PrincipalTag" not in name}
    own = {f"aws:PrincipalTag/{name}": [value] for name, value in tags.items()}

    assert context_of(need)["aws:PrincipalTag/treadle:sensor"] == [tags["treadle:sensor"]]
    assert decision(HELD[role_of(need)], action, need.resource, known | own) == "allowed"


def test_sensor_of_ends_of_runs_may_read_assets_as_well() -> None:
    """The condition that keeps readers of assets from the ends of runs checks the role's tag."""
    policies = ("EvaluatorPolicy", "RunReaderPolicy", "AssetReaderPolicy")
    both = [each for policy in policies for each in statements(policy, ENGINE)]
    ended = [
        need
        for need in NEEDS
        if need.actions == ("dynamodb:Query",)
        and need.context.get("dynamodb:LeadingKeys", [""])[0].startswith("#ended/")
    ]

    assert ended
    for need in ended:
        assert decision(both, "dynamodb:Query", need.resource, context_of(need)) == "allowed"


def test_the_doctor_supplies_the_tags_that_the_queues_have() -> None:
    queues = {**PROJECT.template.resources("AWS::SQS::Queue"), **read_engine().resources("AWS::SQS::Queue")}
    tags = {
        name: {each["Key"]: each["Value"] for each in PROJECT.value(queue["Tags"])}
        for name, queue in queues.items()
        if name in PROJECT.template.section("Resources")
    }
    simulated = {
        need.resource.rpartition(":")[2]: need.context["aws:ResourceTag/treadle:sensor"]
        for need in NEEDS
        if role_of(need) in TAGS and ":sqs:" in need.resource
    }

    assert simulated == {
        name: [each["treadle:sensor"]] for name, each in tags.items() if "treadle:sensor" in each
    }


CONDITIONED = [
    (holder, statement)
    for holder in [*(f"{step}Role" for step in STEPS), *read_engine().resources(POLICY), "ScheduleRole"]
    for statement in statements(holder, ENGINE)
    if condition_keys(statement) or variables([statement])
]


@pytest.mark.parametrize("case", CONDITIONED, ids=lambda case: f"{case[0]}-{case[1]['Sid']}")
def test_every_statement_with_a_condition_is_queried(case: tuple[str, dict[str, Any]]) -> None:
    """A condition that no call meets would be found out by the first call only."""
    holder, statement = case
    simulated = [
        action
        for need, action in CALLS
        if statement in HELD[role_of(need)] and covers(filled(statement, need), action, need.resource)
    ]

    assert bool(simulated) is ((holder, statement["Sid"]) not in NOT_EXAMINED)


def filled(statement: dict[str, Any], need: Need) -> dict[str, Any]:
    """Return a statement with the variables that a call gives."""
    text = json.dumps(statement)
    for key, values in need.context.items():
        text = text.replace(f"${{{key}}}", values[0])
    found: dict[str, Any] = json.loads(text)
    return found


# ---- The tests above detect it


def without(need: Need, key: str) -> Need:
    return replace(need, context={name: values for name, values in need.context.items() if name != key})


@pytest.mark.parametrize(
    ("resource", "action", "key", "decided"),
    [
        ("table/SensorsTable", "dynamodb:UpdateItem", "aws:PrincipalTag/treadle:sensor", "implicitDeny"),
        ("table/SensorsTable", "dynamodb:UpdateItem", "dynamodb:LeadingKeys", "explicitDeny"),
        ("table/TicksTable", "dynamodb:PutItem", "aws:PrincipalTag/treadle:sensor", "implicitDeny"),
        ("table/RunsTable", "dynamodb:BatchGetItem", "dynamodb:Attributes", "explicitDeny"),
        (":NewObjectsQueue", "sqs:ReceiveMessage", "aws:ResourceTag/treadle:sensor", "explicitDeny"),
        (":DeadLetters", "sqs:SendMessage", "aws:ResourceTag/treadle:sensor", "explicitDeny"),
        ("ticks/new_objects/treadle-doctor", "s3:PutObject", "aws:PrincipalTag/treadle:sensor", "implicitDeny"),
    ],
)  # fmt: skip
def test_a_call_that_lacks_what_a_policy_checks_would_be_denied(
    resource: str, action: str, key: str, decided: str
) -> None:
    found = [
        need
        for need, each in CALLS
        if role_of(need) == "NewObjectsRole" and each == action and need.resource.endswith(resource)
    ]

    assert found
    for need in found:
        lacking = context_of(without(need, key))
        assert decision(HELD["NewObjectsRole"], action, need.resource, lacking) == decided


def test_a_call_of_more_attributes_of_a_run_would_be_denied() -> None:
    [need] = [
        each for each in NEEDS if role_of(each) == "NewObjectsRole" and "dynamodb:Attributes" in each.context
    ]
    [action] = need.actions
    for more in (
        {"dynamodb:Attributes": ["run_id", "run_config"]},
        {"dynamodb:Select": ["ALL_ATTRIBUTES"]},
    ):
        context = context_of(need) | more
        assert decision(HELD["NewObjectsRole"], action, need.resource, context) == "implicitDeny"


def test_a_role_of_another_account_is_assumed_by_its_account() -> None:
    found = [need for need in NEEDS if need.actions == ("sts:AssumeRole",) and OTHER_ACCOUNT in need.resource]

    assert {role_of(need) for need in found} == {"LaunchRole", "RecordRole", "ReconcileRole"}
    for need in found:
        lacking = context_of(without(need, "aws:ResourceAccount"))
        assert decision(HELD[role_of(need)], "sts:AssumeRole", need.resource, lacking) == "implicitDeny"


def test_reconcile_lists_what_projects_register_and_reads_single_entries() -> None:
    simulated = {(action, need.resource) for need, action in CALLS if action.startswith("ssm:")}

    prefix = f"arn:aws:ssm:{PLACE}:parameter/treadle/main"
    assert simulated == {
        *(("ssm:GetParametersByPath", f"{prefix}/{folder}") for folder in ("sensors", "jobs", "pools")),
        *(
            ("ssm:GetParameter", f"{prefix}/{folder}/treadle-doctor")
            for folder in ("sensors", "jobs", "pools")
        ),
    }


# ---- The attributes of runs that evaluators may read


def test_policy_lets_evaluators_read_exactly_the_attributes_that_the_store_reads() -> None:
    """One that is missing would deny every check; one too many would show more of a run than is needed."""
    [known] = [each for each in statements("EvaluatorPolicy", ENGINE) if each["Sid"] == "KnownRuns"]
    simulated = {
        tuple(need.context["dynamodb:Attributes"]) for need in NEEDS if "dynamodb:Attributes" in need.context
    }

    assert known["Condition"]["ForAllValues:StringEquals"]["dynamodb:Attributes"] == list(CLAIM_ATTRIBUTES)
    assert simulated == {tuple(CLAIM_ATTRIBUTES)}
