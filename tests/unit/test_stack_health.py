"""How AWS's responses become vitals, and its refusals checks that could not be made."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.stub import ANY, Stubber

from treadle.adapters import clients
from treadle.adapters.health.job_targets import target_probe
from treadle.adapters.health.needs import Need, _Arns, _of_sensor, needs
from treadle.adapters.health.permissions import alike, context_entries, log_probe, permission_probe
from treadle.adapters.health.probes import Probe, Vital, run_probes
from treadle.adapters.health.stack_health import StackHealth, _consumed_queue, buckets_of, clock_ahead
from treadle.adapters.health.webhook_secrets import secret_probe
from treadle.adapters.stack import DeployedStack
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import UNKNOWN_KIND, DeployedSensor, Subscription
from treadle.model.health import (
    Activity,
    Alarm,
    AlertChannel,
    Backlog,
    Bucket,
    ConsumedQueue,
    EventTrigger,
    HealthSnapshot,
    JobTarget,
    MissingPermission,
    SkippedCheck,
    WebhookSecret,
)
from treadle.model.targets import JobSettings
from treadle.testing.deployment import InMemoryDeployment

MAPPING = "c5ad6c15-8a5c-4a83-bd73-1d4c2fb1ed6c"
URL = "https://sqs.us-east-1.amazonaws.com/123456789012/"
TABLES = {f"TREADLE_{table}_TABLE": table.lower() for table in ("SENSORS", "TICKS", "RUNS", "EVENTS")}
FUNCTION = "files-NewObjectsFunction-1X"
FUNCTION_ARN = f"arn:aws:lambda:us-east-1:123456789012:function:{FUNCTION}"
ROLE = "arn:aws:iam::123456789012:role/LaunchRole"
SENSOR = DeployedSensor(
    "new_objects",
    UNKNOWN_KIND,
    "",
    (),
    DefaultSensorStatus.RUNNING,
    function=FUNCTION,
    settings={"TREADLE_S3_BUCKET": "landing"},
    project="files",
    log_group="/files",
)
"""Of another stack than the engine's; without kind, so that no schedule is looked up."""


def stack(**resources: tuple[str, str]) -> DeployedStack:
    """Return a stack with these resources: type and physical id, by logical id."""
    return DeployedStack(
        "shop",
        "arn:aws:cloudformation:us-east-1:123456789012:stack/shop/1",
        {name: physical for name, (_, physical) in resources.items()},
        {name: kind for name, (kind, _) in resources.items()},
        {name: physical for name, (kind, physical) in resources.items() if kind == "AWS::SQS::Queue"},
        TABLES,
    )


def seen(sensor: DeployedSensor = SENSOR, made: DeployedStack | None = None) -> HealthSnapshot:
    """Return the state of a sensor, of which the engine's stack has nothing."""
    health = StackHealth(made or stack(), InMemoryDeployment([sensor]), {})
    return health.snapshot("sensor new_objects")


def seen_of_launch(**resources: tuple[str, str]) -> HealthSnapshot:
    """Return what is seen of a step of the engine that has all the resources."""
    return StackHealth(stack(**resources), InMemoryDeployment([SENSOR]), {}).snapshot("launch")


def probed(probe: Any) -> list[Vital]:
    return run_probes([probe])


@pytest.mark.parametrize(
    ("published", "statuses", "missing"),
    [
        ("ends", ("STARTED", "SUCCESS", "QUEUED"), "STARTED, QUEUED"),
        ("ends", ("FAILURE", "CANCELED"), ""),
        ("ends", (), ""),
        ("all", ("STARTED",), ""),
    ],
)
def test_rule_may_wait_for_statuses_that_the_engine_does_not_publish(
    published: str, statuses: tuple[str, ...], missing: str
) -> None:
    sensor = replace(SENSOR, rule="bus|rule", subscription=Subscription(statuses=statuses))

    with Stubber(clients.client("events")) as events, Stubber(clients.client("cloudwatch")):
        events.add_response("describe_rule", {"State": "ENABLED"}, {"Name": "rule", "EventBusName": "bus"})
        snapshot = seen(sensor, replace(stack(), environment={"TREADLE_RUN_EVENTS": published}))

    [rule] = snapshot.switches
    assert rule == EventTrigger("rule", "sensor new_objects", "bus|rule", is_on=True, missing=missing)


@pytest.mark.parametrize(
    ("answer", "is_on", "trouble"),
    [
        ({"State": "Enabled", "LastProcessingResult": "OK"}, True, ""),
        ({"State": "Enabled"}, True, ""),
        ({"State": "Enabling", "LastProcessingResult": "No records processed"}, True, ""),
        ({"State": "Disabled"}, False, ""),
        (
            {"State": "Enabled", "LastProcessingResult": "PROBLEM: Function call failed"},
            True,
            "PROBLEM: Function call failed",
        ),
    ],
)
def test_mapping_is_on_or_off_and_may_work_in_vain(answer: dict[str, str], is_on: bool, trouble: str) -> None:
    with Stubber(clients.client("lambda")) as lambdas, Stubber(clients.client("cloudwatch")):
        lambdas.add_response("get_event_source_mapping", answer, {"UUID": MAPPING})

        of_step = seen_of_launch(LaunchFunctionQueue=("AWS::Lambda::EventSourceMapping", MAPPING))

        lambdas.add_response(
            "list_event_source_mappings",
            {
                "EventSourceMappings": [
                    {
                        "UUID": MAPPING[::-1].replace("-", "0"),
                        "EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:p",
                    },
                    {"UUID": MAPPING, "EventSourceArn": "arn:aws:sqs:us-east-1:123456789012:q", **answer},
                ]
            },
            {"FunctionName": FUNCTION},
        )

        list_by_sensor = seen(replace(SENSOR, queue=f"{URL}q"))

    assert of_step.switches == (EventTrigger("mapping", "launch", MAPPING, is_on, trouble),)
    assert list_by_sensor.switches == (
        EventTrigger("mapping", "sensor new_objects", MAPPING, is_on, trouble),
    )


@pytest.mark.parametrize(("state", "is_on"), [("ENABLED", True), ("DISABLED", False)])
def test_schedule_and_rule_are_on_or_off(state: str, is_on: bool) -> None:
    with Stubber(clients.client("scheduler")) as scheduler, Stubber(clients.client("events")) as events:
        scheduler.add_response("get_schedule", {"State": state}, {"Name": "minute"})
        of_step = seen_of_launch(LaunchFunctionMinute=("AWS::Scheduler::Schedule", "minute"))

        scheduler.add_response(
            "list_schedules", listed(state, ("files-Own", FUNCTION_ARN)), {"NamePrefix": "files"}
        )
        events.add_response("describe_rule", {"State": state}, {"Name": "rule", "EventBusName": "bus"})
        list_by_sensor = seen(replace(SENSOR, kind="schedule", rule="bus|rule"))

    assert of_step.switches == (EventTrigger("schedule", "launch", "minute", is_on),)
    assert set(list_by_sensor.switches) == {
        EventTrigger("schedule", "sensor new_objects", "files-Own", is_on),
        EventTrigger("rule", "sensor new_objects", "bus|rule", is_on),
    }


def listed(state: str, *schedules: tuple[str, str]) -> dict[str, Any]:
    """Schedules as Scheduler lists them: names, and what they invoke."""
    return {"Schedules": [{"Name": name, "State": state, "Target": {"Arn": arn}} for name, arn in schedules]}


@pytest.mark.parametrize(
    ("schedules", "names"),
    [
        ((("minutely", FUNCTION_ARN),), ["minutely"]),
        ((("files-Other", f"{FUNCTION_ARN}2"),), [f"of {FUNCTION}"]),
    ],
    ids=["named otherwise", "none"],
)
def test_schedule_is_found_by_what_it_invokes_whatever_its_name(
    schedules: tuple[tuple[str, str], ...], names: list[str]
) -> None:
    with Stubber(clients.client("scheduler")) as scheduler:
        scheduler.add_response("list_schedules", listed("ENABLED"), {"NamePrefix": "files"})
        scheduler.add_response("list_schedules", listed("ENABLED", *schedules), {})

        snapshot = seen(replace(SENSOR, kind="deadline"))

    assert [each.name for each in snapshot.switches] == names
    assert [each.is_on for each in snapshot.switches] == [names == ["minutely"]]


def test_schedules_of_a_long_stack_name_are_found_by_its_beginning() -> None:
    """CloudFormation cuts it."""
    project = "a-project-whose-name-is-long"
    with Stubber(clients.client("scheduler")) as scheduler:
        found = listed("ENABLED", ("a-project-whose-name-Min", FUNCTION_ARN))
        scheduler.add_response("list_schedules", found, {"NamePrefix": project[:20]})

        snapshot = seen(replace(SENSOR, kind="schedule", project=project))

    assert [each.is_on for each in snapshot.switches] == [True]


def test_rule_of_the_stacks_own_bus_is_found_where_its_name_does_not_show_it() -> None:
    with Stubber(clients.client("events")) as events:
        events.add_client_error("describe_rule", "ResourceNotFoundException")
        events.add_response("describe_rule", {"State": "ENABLED"}, {"Name": "rule", "EventBusName": "own"})

        snapshot = seen(replace(SENSOR, rule="rule"), stack(Bus=("AWS::Events::EventBus", "own")))

    assert [each.is_on for each in snapshot.switches] == [True]


@pytest.mark.parametrize(("waiting", "oldest"), [("3", 400.0), ("0", None)])
def test_oldest_message_of_a_queue_is_as_old_as_its_metric_says_unless_the_queue_is_empty(
    waiting: str, oldest: float | None
) -> None:
    with Stubber(clients.client("sqs")) as sqs, Stubber(clients.client("cloudwatch")) as cloudwatch:
        counts = {"ApproximateNumberOfMessages": waiting, "ApproximateNumberOfMessagesNotVisible": "0"}
        sqs.add_response("get_queue_attributes", {"Attributes": counts})
        cloudwatch.add_response(
            "get_metric_data", {"MetricDataResults": [{"Id": "m0", "Values": [400.0, 9.0]}]}
        )

        snapshot = seen(replace(SENSOR, queue=f"{URL}q"))

    assert snapshot.backlogs == (Backlog("sensor new_objects", "q", int(waiting), 0, oldest),)


def test_age_of_a_stream_is_its_functions_in_milliseconds() -> None:
    with Stubber(clients.client("cloudwatch")) as cloudwatch:
        cloudwatch.add_response(
            "get_metric_data", {"MetricDataResults": [{"Id": "m0", "Values": [90_000.0]}]}
        )

        snapshot = seen()

    assert snapshot.backlogs == (Backlog("sensor new_objects", FUNCTION, None, 0, 90.0),)


def test_what_is_denied_names_the_permission_and_hides_nothing_else() -> None:
    with (
        Stubber(clients.client("sqs")) as sqs,
        Stubber(clients.client("cloudwatch")) as cloudwatch,
        Stubber(clients.client("lambda")) as lambdas,
        Stubber(clients.client("events")) as events,
    ):
        sqs.add_client_error("get_queue_attributes", "AccessDenied", http_status_code=403)
        cloudwatch.add_client_error("get_metric_data", "InternalServiceFault", http_status_code=500)
        lambdas.add_client_error("list_event_source_mappings", "AccessDeniedException", http_status_code=403)
        events.add_response("describe_rule", {"State": "ENABLED"})

        snapshot = seen(replace(SENSOR, queue=f"{URL}q", rule="rule"))

    skipped = {(each.check, each.action) for each in snapshot.unread}
    assert skipped == {
        ("queues", "sqs:GetQueueAttributes"),
        ("queues", ""),
        ("mappings", "lambda:ListEventSourceMappings"),
    }
    assert len(snapshot.switches) == 1


def test_resources_of_a_sensor_in_the_engines_stack_are_the_sensors_alone() -> None:
    """As long as a stack is both engine and project; they are distinguished by what they are, not by their names."""
    made = stack(
        WhateverFunction=("AWS::Lambda::Function", FUNCTION),
        WhateverQueue=("AWS::SQS::Queue", f"{URL}q"),
        WhateverRule=("AWS::Events::Rule", "rule"),
        WhateverLogs=("AWS::Logs::LogGroup", "/files"),
        WhateverFunctionQueue=("AWS::Lambda::EventSourceMapping", MAPPING),
        WhateverFunctionMinute=("AWS::Scheduler::Schedule", "minute"),
    )
    health = StackHealth(made, InMemoryDeployment([replace(SENSOR, queue=f"{URL}q", rule="rule")]), {})

    assert [(each.check, each.what) for each in health._switches(None)] == [
        ("rules", "the rules"),
        ("mappings", "the event source mappings"),
    ]
    assert list(health._queues_of(None)) == [("sensor new_objects", f"{URL}q")]
    assert [each.what for each in health._logs()] == ["the log /files"]


def test_log_that_sensors_share_is_checked_once() -> None:
    health = StackHealth(stack(), InMemoryDeployment([SENSOR, replace(SENSOR, name="other")]), {})
    event = {"timestamp": 0, "message": "not authorized to perform: sqs:SendMessage because"}
    with Stubber(clients.client("logs")) as logs:
        logs.add_response("filter_log_events", {"events": [event]})

        found = run_probes(list(health._logs()))

    assert [each.owner for each in found if isinstance(each, MissingPermission)] == [
        "sensor new_objects, other"
    ]


TARGETS: list[tuple[str, str, str, dict[str, Any], str, str]] = [
    ("step_functions", "stepfunctions", "describe_state_machine", {"stateMachineArn": "arn:aws:states:us-east-1:1:stateMachine:m"}, "StateMachineDoesNotExist", "arn:aws:states:us-east-1:1:stateMachine:m"),
    ("glue", "glue", "get_job", {"JobName": "j"}, "EntityNotFoundException", "arn:aws:glue:us-east-1:1:job/j"),
    ("ecs", "ecs", "describe_task_definition", {"taskDefinition": "t:1"}, "ClientException", "t:1"),
    ("lambda", "lambda", "get_function_configuration", {"FunctionName": "f"}, "ResourceNotFoundException", "f"),
    ("sqs", "sqs", "get_queue_url", {"QueueName": "q", "QueueOwnerAWSAccountId": "123456789012"}, "AWS.SimpleQueueService.NonExistentQueue", "arn:aws:sqs:us-east-1:123456789012:q"),
    ("eventbridge", "events", "describe_event_bus", {"Name": "b"}, "ResourceNotFoundException", "b"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "service", "operation", "params", "code", "address"), TARGETS, ids=[each[0] for each in TARGETS]
)
def test_target_that_is_gone_does_not_exist(
    kind: str, service: str, operation: str, params: dict[str, Any], code: str, address: str
) -> None:
    with Stubber(clients.client(service)) as stub:  # type: ignore[call-overload]
        stub.add_client_error(operation, code, expected_params=params)

        [found] = probed(target_probe(JobSettings("load", kind, address, "LoadArn")))

    assert isinstance(found, JobTarget)
    assert (found.job, found.exists) == ("load", False)
    assert code in found.error


@pytest.mark.parametrize(
    "definitions",
    [[], [{"jobDefinitionName": "d", "jobDefinitionArn": "arn", "revision": 1, "type": "container"}]],
)
def test_batch_job_definition_is_there_if_it_is_active(definitions: list[dict[str, Any]]) -> None:
    with Stubber(clients.client("batch")) as batch:
        batch.add_response("describe_job_definitions", {"jobDefinitions": definitions})

        [found] = probed(target_probe(JobSettings("load", "batch", "arn", "LoadArn")))

    assert isinstance(found, JobTarget)
    assert found.exists is bool(definitions)


def test_state_machine_that_is_being_deleted_is_not_there() -> None:
    arn = "arn:aws:states:us-east-1:123456789012:stateMachine:m"
    answer = {"stateMachineArn": arn, "name": "m", "status": "DELETING", "definition": "{}", "roleArn": arn, "type": "STANDARD", "creationDate": 0}  # fmt: skip
    with Stubber(clients.client("stepfunctions")) as states:
        states.add_response("describe_state_machine", answer)

        [found] = probed(target_probe(JobSettings("load", "step_functions", arn, "LoadArn")))

    assert found == JobTarget("load", arn, "LoadArn", exists=False, error="It is not active.")


@pytest.mark.parametrize(("job", "retries"), [({"Name": "j"}, 0), ({"Name": "j", "MaxRetries": 2}, 2)])
def test_retries_of_a_glue_job_are_found(job: dict[str, Any], retries: int) -> None:
    with Stubber(clients.client("glue")) as glue:
        glue.add_response("get_job", {"Job": job}, {"JobName": "j"})

        [found] = probed(target_probe(JobSettings("load", "glue", "j", "LoadArn")))

    assert found == JobTarget("load", "j", "LoadArn", exists=True, retries=retries)


@pytest.mark.parametrize(("account", "exists"), [("000000000000", True), ("123456789012", False)])
def test_bus_of_a_local_cloud_is_found_by_its_name(account: str, exists: bool) -> None:
    """It does not take an ARN there; on AWS it does, and what is not found is not there."""
    arn = f"arn:aws:events:us-east-1:{account}:event-bus/work"
    with Stubber(clients.client("events")) as events:
        events.add_client_error(
            "describe_event_bus", "ResourceNotFoundException", expected_params={"Name": arn}
        )
        if exists:
            events.add_response("describe_event_bus", {"Name": "work", "Arn": arn}, {"Name": "work"})

        [found] = probed(target_probe(JobSettings("load", "eventbridge", arn, "LoadArn")))

    assert isinstance(found, JobTarget)
    assert found.exists is exists


def test_job_without_address_is_not_requested() -> None:
    assert probed(target_probe(JobSettings("load", "glue", "", "LoadArn"))) == [
        JobTarget("load", "", "LoadArn", False)
    ]


NEED = Need(
    "launch",
    ROLE,
    "arn:queue",
    ("sqs:SendMessage", "sqs:DeleteMessage"),
    {"dynamodb:LeadingKeys": ["x"]},
)


def test_permission_that_iam_simulates_is_missing_is_a_denial() -> None:
    results = [
        {"EvalActionName": "sqs:SendMessage", "EvalDecision": "implicitDeny"},
        {"EvalActionName": "sqs:DeleteMessage", "EvalDecision": "allowed"},
    ]
    with Stubber(clients.client("iam")) as iam:
        iam.add_response(
            "simulate_principal_policy",
            {"EvaluationResults": results},
            {
                "PolicySourceArn": ROLE,
                "ActionNames": ["sqs:SendMessage", "sqs:DeleteMessage"],
                "ResourceArns": ["arn:queue"],
                "ContextEntries": ANY,
            },
        )

        found = probed(permission_probe(stack(), NEED))

    assert found == [
        MissingPermission("launch", "sqs:SendMessage", "arn:queue", "none of its role's policies allows it")
    ]


def test_denials_in_a_log_are_reported_once_each() -> None:
    line = (
        '{"message": "An error occurred (AccessDeniedException) when calling the PutItem operation: User: arn:x is '
        'not authorized to perform: dynamodb:PutItem on resource: arn:aws:dynamodb:us-east-1:1:table/runs"}'
    )
    events = [
        {"timestamp": 0, "message": line},
        {"timestamp": 2, "message": line},
        {"timestamp": 3, "message": "AccessDenied"},
    ]
    with Stubber(clients.client("logs")) as logs:
        logs.add_response("filter_log_events", {"events": events})

        found = probed(log_probe("dispatch", "/aws/lambda/shop/dispatch", 0))

    message = "its log shows that at 1970-01-01T00:00:00.000Z"
    assert found == [
        MissingPermission("dispatch", "dynamodb:PutItem", "arn:aws:dynamodb:us-east-1:1:table/runs", message)
    ]


@pytest.mark.parametrize(
    ("message", "action", "resource"),
    [
        (
            'not authorized to perform: s3:GetObject on resource: \\"arn:aws:s3:::shop/a b.csv\\" because no',
            "s3:GetObject",
            "arn:aws:s3:::shop/a b.csv",
        ),
        (
            'not authorized to perform: sqs:SendMessage on resource: "arn:aws:sqs:x"',
            "sqs:SendMessage",
            "arn:aws:sqs:x",
        ),
        ("not authorized to perform: ecs:RunTask because", "ecs:RunTask", ""),
        (
            "An error occurred (AccessDenied) when calling the GetObject operation: Access Denied",
            "GetObject",
            "",
        ),
    ],
)
def test_denial_in_a_log_names_action_and_resource_as_far_as_the_log_does(
    message: str, action: str, resource: str
) -> None:
    with Stubber(clients.client("logs")) as logs:
        logs.add_response("filter_log_events", {"events": [{"timestamp": 0, "message": message}]})

        [found] = probed(log_probe("dispatch", "/aws/lambda/shop/dispatch", 0))

    assert isinstance(found, MissingPermission)
    assert (found.action, found.resource) == (action, resource)


# ---- What IAM simulates


def simulated(need: Need, result: dict[str, Any], account: str = "123456789012") -> list[Vital]:
    """Return the result of IAM's decision on a need."""
    made = replace(
        stack(),
        arn=f"arn:aws:cloudformation:us-east-1:{account}:stack/shop/1",
    )
    with Stubber(clients.client("iam")) as iam:
        iam.add_response(
            "simulate_principal_policy",
            {"EvaluationResults": [{"EvalActionName": need.actions[0], **result}]},
            {
                "PolicySourceArn": need.role,
                "ActionNames": list(need.actions),
                "ResourceArns": [need.resource],
                "ContextEntries": context_entries(account, need),
            },
        )
        return probed(permission_probe(made, need))


def test_simulated_call_carries_one_value_of_a_key_or_several_where_a_call_has_several() -> None:
    need = Need("launch", ROLE, "arn", ("x:Y",), {"ecs:cluster": ["c"], "dynamodb:LeadingKeys": ["a"]})

    entries = {each["ContextKeyName"]: each for each in context_entries("123456789012", need)}

    assert {name: each["ContextKeyType"] for name, each in entries.items()} == {
        "ecs:cluster": "string",
        "dynamodb:LeadingKeys": "stringList",
        "aws:PrincipalAccount": "string",
    }
    assert entries["aws:PrincipalAccount"]["ContextKeyValues"] == ["123456789012"]


@pytest.mark.parametrize(
    ("decision", "message"),
    [
        ("implicitDeny", "none of its role's policies allows it"),
        ("explicitDeny", "a policy denies it explicitly"),
    ],
)
def test_denial_states_whether_a_policy_is_missing_or_denies(decision: str, message: str) -> None:
    need = Need("launch", ROLE, "arn:queue", ("sqs:SendMessage",))

    assert simulated(need, {"EvalDecision": decision}) == [
        MissingPermission("launch", "sqs:SendMessage", "arn:queue", message)
    ]


@pytest.mark.parametrize(
    "missing",
    [
        {"MissingContextValues": ["ecs:enable-vpc-lattice"]},
        {
            "ResourceSpecificResults": [
                {
                    "EvalResourceName": "arn",
                    "EvalResourceDecision": "implicitDeny",
                    "MissingContextValues": ["ecs:enable-vpc-lattice"],
                }
            ]
        },
    ],
)
def test_denial_for_want_of_a_value_that_no_simulation_has_is_no_verdict(missing: dict[str, Any]) -> None:
    """A policy that somebody has added has a condition that the doctor does not know."""
    need = Need("launch", ROLE, "arn", ("ecs:RunTask",), {"ecs:cluster": ["c"]})

    [found] = simulated(need, {"EvalDecision": "implicitDeny", **missing})

    assert isinstance(found, SkippedCheck)
    assert "ecs:enable-vpc-lattice" in found.detail


@pytest.mark.parametrize("key", ["s3:prefix", "iam:PassedToService"])
def test_local_cloud_is_not_queried_for_what_it_does_not_simulate(key: str) -> None:
    need = Need("launch", ROLE, "arn", ("x:Y",), {key: ["v"]})
    made = replace(
        stack(),
        arn="arn:aws:cloudformation:us-east-1:000000000000:stack/shop/1",
    )

    with Stubber(clients.client("iam")):
        assert probed(permission_probe(made, need)) == []


def test_same_actions_of_a_role_on_several_resources_are_one_simulation() -> None:
    first = Need("launch", ROLE, "arn:1", ("sts:AssumeRole",), {"sts:RoleSessionName": ["launch"]})
    more = [replace(first, resource=f"arn:{number}") for number in range(2, 46)]
    others = [
        replace(first, role=f"{ROLE}-2"),
        replace(first, actions=("sqs:SendMessage",)),
        replace(first, context={"sts:RoleSessionName": ["record"]}),
    ]

    groups = list(alike([first, *others, *more]))

    assert [len(group) for group in groups] == [20, 20, 5, 1, 1, 1]
    assert sorted(each.resource for group in groups[:3] for each in group) == sorted(
        each.resource for each in (first, *more)
    )
    assert [group[0] for group in groups[3:]] == others


def test_denial_on_one_of_several_resources_is_of_that_one() -> None:
    needed = [
        Need("launch", ROLE, f"arn:{number}", ("sts:AssumeRole",), {"ecs:cluster": ["c"]})
        for number in range(4)
    ]
    of_each = [
        {"EvalResourceName": "arn:0", "EvalResourceDecision": "allowed"},
        {"EvalResourceName": "arn:1", "EvalResourceDecision": "implicitDeny"},
        {
            "EvalResourceName": "arn:2",
            "EvalResourceDecision": "explicitDeny",
            "MissingContextValues": ["ecs:foo"],
        },
        {"EvalResourceName": "arn:3", "EvalResourceDecision": "allowed"},
    ]
    result = {
        "EvalActionName": "sts:AssumeRole",
        "EvalResourceName": "arn:${Partition}:iam::${Account}:role/${RoleNameWithPath}",
        "EvalDecision": "explicitDeny",
        "MissingContextValues": ["ecs:foo"],
        "ResourceSpecificResults": of_each,
    }
    params = {
        "PolicySourceArn": ROLE,
        "ActionNames": ["sts:AssumeRole"],
        "ResourceArns": ["arn:0", "arn:1", "arn:2", "arn:3"],
        "ContextEntries": ANY,
    }
    with Stubber(clients.client("iam")) as iam:
        iam.add_response("simulate_principal_policy", {"EvaluationResults": [result]}, params)

        found = probed(permission_probe(stack(), *needed))
    assert len(found) == 2, found
    denied, unread = found

    assert denied == MissingPermission(
        "launch", "sts:AssumeRole", "arn:1", "none of its role's policies allows it"
    )
    assert isinstance(unread, SkippedCheck)
    assert "arn:2" in unread.detail


def test_simulations_continue_at_the_rate_that_iam_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hundreds of them are throttled more often than other requests are tried again."""
    waits: list[float] = []
    monkeypatch.setattr("botocore.endpoint.time.sleep", waits.append)
    made = clients.client("iam")
    throttled = [clients.ATTEMPTS]

    def answered(**_: object) -> Any:
        if throttled[0]:
            throttled[0] -= 1
            return _response(400, "<ErrorResponse><Error><Code>Throttling</Code></Error></ErrorResponse>")
        return _response(
            200, "<A><SimulatePrincipalPolicyResult><EvaluationResults/></SimulatePrincipalPolicyResult></A>"
        )

    made.meta.events.register("before-send.iam", answered)

    assert probed(permission_probe(stack(), NEED)) == []
    assert len(waits) == clients.ATTEMPTS


def _response(status: int, body: str) -> Any:
    made: Any = AWSResponse("https://iam.amazonaws.com/", status, HTTPHeaders(), None)
    made._content = body.encode()
    return made


def needs_of(job: JobSettings) -> set[tuple[str, str, str]]:
    """Return what a job adds: step, action and resource."""
    queues = {
        f"{name}Queue": ("AWS::SQS::Queue", f"{URL}{name}")
        for name in ("DeadLetter", "Dispatch", "Launch", "Record")
    }
    roles = {f"{step}Role": ("AWS::IAM::Role", f"{step}Role") for step in STEPS}
    made = stack(**queues, **roles)
    before = list(needs(made, [], []))
    return {
        (each.owner, action, each.resource)
        for each in needs(made, [], [job])
        if each not in before
        for action in each.actions
    }


STEPS = ("Dispatch", "Launch", "Record", "Publish", "Reconcile")
PLACE = "us-east-1:123456789012"


def test_ecs_job_needs_its_tasks_in_its_cluster() -> None:
    definition = f"arn:aws:ecs:{PLACE}:task-definition/load:1"
    options = {"cluster": f"arn:aws:ecs:{PLACE}:cluster/shop", "container": "load"}
    job = JobSettings("load", "ecs", definition, "LoadTaskDefinitionArn", options)

    found = needs_of(job)

    assert ("launch", "ecs:RunTask", definition) in found
    assert ("record", "ecs:DescribeTasks", f"arn:aws:ecs:{PLACE}:task/shop/treadle-doctor") in found


def test_glue_job_that_is_given_by_its_name_is_queried_too() -> None:
    found = needs_of(JobSettings("load", "glue", "load", "LoadGlueJobName"))

    assert ("launch", "glue:StartJobRun", f"arn:aws:glue:{PLACE}:job/load") in found
    assert ("reconcile", "glue:GetJobRun", f"arn:aws:glue:{PLACE}:job/load") in found


def test_sensor_of_several_buckets_must_be_able_to_list_each_prefix_of_each() -> None:
    settings = {"TREADLE_S3_BUCKET": '["a","b"]', "TREADLE_S3_PREFIX": '["in/","out/"]'}
    sensor = replace(SENSOR, role=ROLE, settings={**SENSOR.settings, **settings})

    queues = {
        f"{name}Queue": ("AWS::SQS::Queue", f"{URL}{name}")
        for name in ("DeadLetter", "Dispatch", "Launch", "Record")
    }
    roles = {f"{step}Role": ("AWS::IAM::Role", f"{step}Role") for step in STEPS}

    listed = [
        (each.resource, *each.context["s3:prefix"])
        for each in needs(stack(**queues, **roles), [sensor], [])
        if each.actions == ("s3:ListBucket",)
    ]

    assert listed == [(f"arn:aws:s3:::{bucket}", prefix) for bucket in "ab" for prefix in ("in/", "out/")]


def test_sensor_that_cannot_be_read_is_not_said_to_lack_permissions() -> None:
    """Its role is not known; simulating another one's, or none's, would report denials that are none."""
    queues = {
        f"{name}Queue": ("AWS::SQS::Queue", f"{URL}{name}")
        for name in ("DeadLetter", "Dispatch", "Launch", "Record")
    }
    roles = {f"{step}Role": ("AWS::IAM::Role", f"{step}Role") for step in STEPS}
    made = stack(**queues, **roles)

    owners = {each.owner for each in needs(made, [SENSOR, replace(SENSOR, name="other", role=ROLE)], [])}

    assert "sensor other" in owners
    assert "sensor new_objects" not in owners


def test_job_without_address_needs_nothing() -> None:
    assert needs_of(JobSettings("load", "ecs", "", "LoadTaskDefinitionArn")) == set()


# ---- What is checked of the whole stack only


def test_bucket_alarm_and_clock_are_checked_for_the_whole_stack() -> None:
    made = replace(stack(OopsAlarm=("AWS::CloudWatch::Alarm", "oops")), name="files")
    alarm = {
        "AlarmName": "oops",
        "AlarmDescription": "Too many.",
        "StateReason": "Crossed.",
        "StateUpdatedTimestamp": datetime.fromtimestamp(0, UTC),
    }
    with (
        Stubber(clients.client("cloudwatch")) as cloudwatch,
        Stubber(clients.client("s3")) as s3,
        Stubber(clients.client("sts")) as sts,
    ):
        cloudwatch.add_response("describe_alarms", {"MetricAlarms": [alarm]})
        s3.add_client_error("get_bucket_notification_configuration", "NoSuchBucket", http_status_code=404)
        sts.add_client_error(
            "get_caller_identity",
            "RequestTimeTooSkewed",
            response_meta={"HTTPHeaders": {"date": "Sat, 28 Nov 2020 02:00:00 GMT"}},
        )
        health = StackHealth(made, InMemoryDeployment([SENSOR]), {})
        health._permissions = lambda: iter(())  # type: ignore[method-assign]

        snapshot = health.snapshot()

    assert snapshot.alarms == (Alarm("oops", 0, "Too many. Crossed."),)
    [bucket] = snapshot.buckets
    assert isinstance(bucket, Bucket)
    assert bucket.error.startswith("Bucket landing cannot be watched:")
    assert snapshot.clock_ahead_ms is not None
    assert snapshot.clock_ahead_ms > 86_400_000


@pytest.mark.parametrize("headers", [{}, {"date": "Sat, 28 Nov 2026 02:00:00 GMT"}])
def test_clock_is_compared_with_the_time_that_aws_names(
    headers: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("time.time", lambda: 1_795_831_200.5 + 60)
    identity = {
        "Account": "1",
        "Arn": "arn:aws:iam::123456789012:user/ann",
        "UserId": "u",
        "ResponseMetadata": {"HTTPHeaders": headers},
    }
    with Stubber(clients.client("sts")) as sts:
        sts.add_response("get_caller_identity", identity)

        ahead = clock_ahead()

    assert ahead == (60_000 if headers else None)


@pytest.mark.parametrize(
    ("sensor", "buckets"),
    [
        (SENSOR, ("landing",)),
        (replace(SENSOR, settings={"TREADLE_S3_BUCKET": '["landing", "archive"]'}), ("landing", "archive")),
        (
            DeployedSensor(
                "s",
                "s3",
                "",
                (),
                DefaultSensorStatus.RUNNING,
                subscription=Subscription(buckets=("watched",)),
            ),
            ("watched",),
        ),
        (DeployedSensor("s", "schedule", "", (), DefaultSensorStatus.RUNNING), ()),
    ],
)
def test_buckets_are_what_the_function_or_else_the_rule_reports(
    sensor: DeployedSensor, buckets: tuple[str, ...]
) -> None:
    assert buckets_of(sensor) == buckets


@pytest.mark.parametrize(
    ("answer", "found"), [({"Status": "Enabled"}, []), ({"Status": "Suspended"}, [False]), ({}, [False])]
)
def test_versioning_is_checked_for_a_sensor_of_versions(answer: dict[str, str], found: list[bool]) -> None:
    sensor = replace(SENSOR, settings={"TREADLE_S3_BUCKET": "b", "TREADLE_S3_IDENTITY": "version"})
    health = StackHealth(stack(), InMemoryDeployment([sensor]), {})
    with Stubber(clients.client("s3")) as s3:
        s3.add_response("get_bucket_versioning", answer, {"Bucket": "b"})

        probes = [each for each in health._buckets() if each.action == "s3:GetBucketVersioning"]
        seen = [bucket for each in probes for bucket in each.run()]

    assert [each.has_versions for each in seen if isinstance(each, Bucket)] == found
    assert all("put-bucket-versioning --bucket b" in str(each) for each in seen)


def test_unread_names_what_was_checked() -> None:
    with Stubber(clients.client("glue")) as glue:
        glue.add_client_error("get_job", "AccessDeniedException", http_status_code=400)

        [found] = probed(target_probe(JobSettings("load", "glue", "j", "LoadArn")))

    assert isinstance(found, SkippedCheck)
    assert (found.check, found.what, found.action) == ("jobs", "the target of job load", "glue:GetJob")


# ---- What is gone, and what functions did


@pytest.mark.parametrize(
    ("service", "operation", "kind", "resource"),
    [
        ("scheduler", "get_schedule", "schedule", ("AWS::Scheduler::Schedule", "LaunchFunctionMinute")),
        ("lambda", "get_event_source_mapping", "mapping", ("AWS::Lambda::EventSourceMapping", "LaunchFunctionQueue")),
    ],
)  # fmt: skip
def test_switch_that_was_deleted_is_off_and_not_merely_unread(
    service: str, operation: str, kind: str, resource: tuple[str, str]
) -> None:
    with Stubber(clients.client(service)) as stub:  # type: ignore[call-overload]
        stub.add_client_error(operation, "ResourceNotFoundException", http_status_code=404)

        snapshot = seen_of_launch(**{resource[1]: (resource[0], MAPPING)})

    assert snapshot.switches == (
        EventTrigger(kind, "launch", MAPPING, is_on=False, error="it no longer exists"),
    )


def test_mapping_of_a_sensors_queue_that_was_deleted_is_off() -> None:
    with Stubber(clients.client("lambda")) as lambdas:
        lambdas.add_response("list_event_source_mappings", {"EventSourceMappings": []})

        snapshot = seen(replace(SENSOR, queue=f"{URL}q"))

    assert snapshot.switches == (
        EventTrigger("mapping", "sensor new_objects", "of q", is_on=False, error="it no longer exists"),
    )


def test_of_a_sensor_whose_function_is_gone_nothing_else_is_reported_to_be_wrong() -> None:
    """The mapping and the schedule of such a function are gone, too: that is no finding of its own."""
    health = StackHealth(
        stack(),
        InMemoryDeployment([replace(SENSOR, kind="schedule", queue=f"{URL}q", problem="It is gone")]),
        {},
    )

    assert list(health._switches(None)) == []


@pytest.mark.parametrize(
    ("invocations", "errors", "late"),
    [
        ([1.0, 1.0, 2.0], [1.0, 1.0, 2.0], 4),
        ([1.0, 2.0, 2.0], [1.0, 1.0, 2.0], 1),
        ([1.0, 1.0, 2.0], [0.0, 1.0, 2.0], 0),
        ([], [], 0),
    ],
    ids=["all", "since one ended well", "works again", "never invoked"],
)
def test_errors_of_a_function_are_those_since_an_invocation_ended_well(
    invocations: list[float], errors: list[float], late: int
) -> None:
    results = [{"Id": "m1", "Values": invocations}, {"Id": "m2", "Values": errors}]
    with Stubber(clients.client("cloudwatch")) as cloudwatch:
        cloudwatch.add_response("get_metric_data", {"MetricDataResults": results})

        snapshot = seen()

    assert snapshot.activities == (Activity("sensor new_objects", FUNCTION, int(sum(invocations)), late),)


def test_errors_of_a_function_are_the_latest_in_whatever_order_the_minutes_come() -> None:
    """Local clouds give the oldest first."""
    minutes = [datetime.fromtimestamp(second, UTC) for second in (0, 60, 120)]
    results = [
        {"Id": name, "Timestamps": minutes, "Values": values}
        for name, values in (("m1", [1.0, 2.0, 3.0]), ("m2", [1.0, 0.0, 0.0]))
    ]
    with Stubber(clients.client("cloudwatch")) as cloudwatch:
        cloudwatch.add_response("get_metric_data", {"MetricDataResults": results})

        snapshot = seen()

    assert [each.errors for each in snapshot.activities] == [0]


def test_topic_of_the_alarms_is_checked_once_for_all_of_them() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:alarms"
    alarms = [
        {"AlarmName": name, "StateValue": state, "AlarmActions": [topic]}
        for name, state in (("oops", "OK"), ("late", "ALARM"))
    ]
    alarms_of_stack = {f"{name}Alarm": ("AWS::CloudWatch::Alarm", name) for name in ("oops", "late")}
    made = replace(stack(**alarms_of_stack), name="files")
    with Stubber(clients.client("cloudwatch")) as cloudwatch, Stubber(clients.client("sns")) as sns:
        cloudwatch.add_response("describe_alarms", {"MetricAlarms": alarms})
        sns.add_client_error("get_topic_attributes", "NotFound", http_status_code=404)

        found = run_probes(list(StackHealth(made, InMemoryDeployment([SENSOR]), {})._alarms()))

    assert [each.name for each in found if isinstance(each, Alarm)] == ["late"]
    [channel] = [each for each in found if isinstance(each, AlertChannel)]
    assert (channel.address.owner, channel.address.name) == ("alarms", topic)
    assert "does not exist" in channel.error


def listed_resources(**resources: tuple[str, str]) -> dict[str, Any]:
    """Return a stack's resources as CloudFormation lists them: type and physical id, by logical id."""
    return {
        "StackResourceSummaries": [
            {
                "LogicalResourceId": name,
                "ResourceType": kind,
                "PhysicalResourceId": physical_id,
                "LastUpdatedTimestamp": datetime.fromtimestamp(0, UTC),
                "ResourceStatus": "CREATE_COMPLETE",
            }
            for name, (kind, physical_id) in resources.items()
        ]
    }


def alarms_seen(*sensors: DeployedSensor) -> list[Vital]:
    """Return the vitals of the alarms of an engine that has none itself, and of its sensors' projects."""
    return run_probes(list(StackHealth(stack(), InMemoryDeployment([*sensors]), {})._alarms()))


def test_alarms_of_projects_and_their_topics_are_checked() -> None:
    topic = "arn:aws:sns:us-east-1:123456789012:files-Alerts-1A"
    alarm = {"AlarmName": "files-DeadLettersAlarm-1A", "StateValue": "ALARM", "AlarmActions": [topic]}
    with (
        Stubber(clients.client("cloudformation")) as stacks,
        Stubber(clients.client("cloudwatch")) as cloudwatch,
        Stubber(clients.client("sns")) as sns,
    ):
        resources = listed_resources(
            DeadLetters=("AWS::SQS::Queue", f"{URL}letters"),
            DeadLettersAlarm=("AWS::CloudWatch::Alarm", "files-DeadLettersAlarm-1A"),
        )
        stacks.add_response("list_stack_resources", resources, {"StackName": "files"})
        cloudwatch.add_response(
            "describe_alarms",
            {"MetricAlarms": [alarm]},
            {"AlarmNames": ["files-DeadLettersAlarm-1A"], "MaxRecords": 100},
        )
        sns.add_client_error("get_topic_attributes", "NotFound", http_status_code=404)

        found = alarms_seen(SENSOR, replace(SENSOR, name="other"))

    assert [each.name for each in found if isinstance(each, Alarm)] == ["files-DeadLettersAlarm-1A"]
    [channel] = [each for each in found if isinstance(each, AlertChannel)]
    assert channel.address.name == topic
    assert channel.remedy.endswith("AlarmActions of project files.")


def test_project_whose_alarms_may_not_be_listed_is_named_with_the_permission() -> None:
    with Stubber(clients.client("cloudformation")) as stacks:
        stacks.add_client_error("list_stack_resources", "AccessDenied", http_status_code=403)

        [found] = alarms_seen(SENSOR)

    assert isinstance(found, SkippedCheck)
    assert (found.check, found.what) == ("alarms", "the alarms of project files")
    assert found.action == "cloudformation:ListStackResources"


def test_project_that_is_no_stack_has_no_alarms_to_check() -> None:
    """Its functions are gone, which is found; or it was deployed by other means."""
    with Stubber(clients.client("cloudformation")) as stacks:
        stacks.add_client_error("list_stack_resources", "ValidationError", "Stack files does not exist", 400)

        assert alarms_seen(SENSOR) == []


def test_dead_letters_of_projects_are_checked_once_each() -> None:
    made = stack(DeadLetterQueue=("AWS::SQS::Queue", f"{URL}letters"))
    own = [
        replace(SENSOR, name=name, dead_letters=f"{URL}{queue}")
        for name, queue in (("a", "files"), ("b", "files"), ("c", "letters"), ("d", "billing"))
    ]
    health = StackHealth(made, InMemoryDeployment(own), {})

    assert list(health._queues_of(None)) == [
        ("", f"{URL}letters"),
        ("", f"{URL}billing"),
        ("", f"{URL}files"),
    ]
    assert list(health._queues_of("sensor a")) == []


@pytest.mark.parametrize(
    "attributes", [{"RedrivePolicy": "{}", "VisibilityTimeout": "360"}, {"VisibilityTimeout": "30"}]
)
def test_queue_of_others_is_read_with_its_tag_and_the_functions_timeout(attributes: dict[str, str]) -> None:
    url = "https://sqs.us-east-1.amazonaws.com/123456789012/orders"
    with Stubber(clients.client("sqs")) as sqs, Stubber(clients.client("lambda")) as lambdas:
        wanted = {"QueueUrl": url, "AttributeNames": ["RedrivePolicy", "VisibilityTimeout"]}
        sqs.add_response("get_queue_attributes", {"Attributes": attributes}, wanted)
        sqs.add_response("list_queue_tags", {"Tags": {"treadle:sensor": "new_objects"}}, {"QueueUrl": url})
        lambdas.add_response("get_function_configuration", {"Timeout": 60}, {"FunctionName": FUNCTION})

        [found] = probed(Probe("queues", "", "", _consumed_queue(replace(SENSOR, kind="queue"), url)))

    visibility = int(attributes["VisibilityTimeout"])
    assert found == ConsumedQueue(
        "new_objects", "orders", "new_objects", "RedrivePolicy" in attributes, visibility, 60
    )


def test_queue_of_others_that_is_gone_is_reported_as_such() -> None:
    with Stubber(clients.client("sqs")) as sqs:
        sqs.add_client_error("get_queue_attributes", "AWS.SimpleQueueService.NonExistentQueue")

        [found] = probed(Probe("queues", "", "", _consumed_queue(SENSOR, "https://host/1/orders")))

    assert found == ConsumedQueue("new_objects", "orders", error="Queue orders does not exist")


def test_only_queues_of_sensors_that_consume_them_are_read() -> None:
    deployed = [
        replace(SENSOR, name=kind, kind=kind, queue="https://host/1/q") for kind in ("queue", "event")
    ]
    health = StackHealth(stack(), InMemoryDeployment(deployed), {})

    assert [probe.what for probe in health._consumed(None)] == ["queue q"]
    assert [*health._consumed("sensor event")] == []


@pytest.mark.parametrize(("kind", "sends"), [("queue", False), ("event", True)])
def test_sensor_of_a_queue_of_others_needs_to_take_from_it_and_not_to_send(kind: str, sends: bool) -> None:
    sensor = replace(SENSOR, kind=kind, role=ROLE, queue="https://host/123456789012/orders")

    of_queue = next(each for each in needs(stack(), [sensor], []) if each.resource.endswith(":orders"))

    assert {"sqs:ReceiveMessage", "sqs:DeleteMessage"} < set(of_queue.actions)
    assert ("sqs:SendMessage" in of_queue.actions, "sqs:ChangeMessageVisibility" in of_queue.actions) == (
        sends,
        not sends,
    )
    assert of_queue.context["aws:ResourceTag/treadle:sensor"] == ["new_objects"]


@pytest.mark.parametrize(
    ("secret", "service", "method", "answer", "error"),
    [
        ("shop/a#field", "secretsmanager", "describe_secret", {"ARN": "a" * 20}, ""),
        (
            "shop/a",
            "secretsmanager",
            "describe_secret",
            {"DeletedDate": datetime(2026, 11, 30, tzinfo=UTC)},
            "The secret shop/a is scheduled for deletion",
        ),
        ("shop/a", "secretsmanager", "describe_secret", None, "The secret shop/a does not exist"),
        ("ssm:/shop/a", "ssm", "describe_parameters", {"Parameters": [{"Name": "/shop/a"}]}, ""),
        (
            "ssm:/shop/a",
            "ssm",
            "describe_parameters",
            {"Parameters": []},
            "The SSM parameter /shop/a does not exist",
        ),
    ],
)
def test_secret_of_a_webhook_is_looked_up_and_not_read(
    secret: str, service: str, method: str, answer: dict[str, Any] | None, error: str
) -> None:
    with Stubber(clients.client(service)) as stubbed:  # type: ignore[call-overload]
        if answer is None:
            stubbed.add_client_error(method, "ResourceNotFoundException")
        else:
            stubbed.add_response(method, answer)

        [found] = probed(secret_probe("new_objects", secret))

    assert found == WebhookSecret("new_objects", secret, error)


def webhook(secret: str, kind: str = "webhook") -> DeployedSensor:
    return replace(SENSOR, kind=kind, role=ROLE, settings={"TREADLE_WEBHOOK_SECRET": secret})


def test_only_secrets_of_webhook_sensors_are_looked_up() -> None:
    deployed = [replace(webhook("a"), name="other"), webhook("b", "event")]
    health = StackHealth(stack(), InMemoryDeployment(deployed), {})

    assert [probe.what for probe in health._secrets(None)] == ["the secret a"]
    assert [*health._secrets("sensor new_objects")] == []


@pytest.mark.parametrize(
    ("secret", "action", "resource"),
    [
        ("shop/a#field", "secretsmanager:GetSecretValue", "secret:shop/a-000000"),
        ("ssm:/shop/a", "ssm:GetParameter", "parameter/shop/a"),
    ],
)
def test_webhook_sensor_needs_its_secret_and_its_accepted_requests(
    secret: str, action: str, resource: str
) -> None:
    found = list(_of_sensor(_Arns(stack()), webhook(secret)))

    [of_secret] = [each for each in found if action in each.actions]
    assert of_secret.resource.endswith(f":{resource}")
    own = {"dynamodb:LeadingKeys": ["new_objects#requests"]}
    [of_requests] = [each for each in found if own.items() <= each.context.items()]
    assert of_requests.actions == ("dynamodb:BatchGetItem", "dynamodb:PutItem")
    others = _of_sensor(_Arns(stack()), webhook(secret, "event"))
    assert not [each for each in others if action in each.actions]
