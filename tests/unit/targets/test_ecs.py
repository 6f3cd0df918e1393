"""ECS tasks: on moto where it knows enough, else with answers that are checked against ECS's model."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.starts import LAUNCH_ID, NOON, RUN_ID, start_of, stubbed
from treadle.adapters.targets.ecs import EcsTarget
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.runs import StepFailure
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure
from treadle.model.targets import Execution, Start

DEFINITION = "arn:aws:ecs:us-east-1:123456789012:task-definition/load:3"
TASK = "arn:aws:ecs:us-east-1:123456789012:task/nightly/8f1f"
PAIRS = [
    {"name": "TREADLE_LAUNCH_ID", "value": LAUNCH_ID},
    {"name": "TREADLE_RUN_CONFIG", "value": '{"a":1}'},
    {"name": "TREADLE_RUN_ID", "value": RUN_ID},
    {"name": "TREADLE_TAGS", "value": '{"t":"1"}'},
]
NETWORK = {"awsvpcConfiguration": {"subnets": ["subnet-1"], "assignPublicIp": "DISABLED"}}
REQUEST = {
    "cluster": "nightly",
    "taskDefinition": DEFINITION,
    "clientToken": LAUNCH_ID,
    "startedBy": LAUNCH_ID,
    "group": LAUNCH_ID,
    "overrides": {"containerOverrides": [{"name": "main", "environment": PAIRS}]},
    "launchType": "FARGATE",
    "networkConfiguration": NETWORK,
}


def start(**options: Any) -> Start:
    given = {"cluster": "nightly", "container": "main", "subnets": "subnet-1", **options}
    return start_of("ecs", DEFINITION, **given)


def task_of(status: str = "RUNNING", **fields: Any) -> dict[str, Any]:
    """Return a task as ECS reports it."""
    response = {
        "taskArn": TASK,
        "taskDefinitionArn": DEFINITION,
        "startedBy": LAUNCH_ID,
        "createdAt": moment(NOON),
    }
    return {**response, "lastStatus": status, **fields}


def stopped(*containers: dict[str, Any], code: str = "EssentialContainerExited") -> dict[str, Any]:
    """Return a task that has ended."""
    return task_of(
        "STOPPED",
        startedAt=moment(NOON + 5),
        stoppedAt=moment(NOON + 9),
        stopCode=code,
        stoppedReason="Essential container in task exited",
        containers=list(containers),
    )


def moment(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, UTC)


@dataclass(frozen=True)
class Deployed:
    """A cluster and a task definition on moto."""

    subnet: str
    group: str

    def start(self, **options: str) -> Start:
        return start(subnets=self.subnet, security_groups=self.group, **options)


@pytest.fixture
def deployed() -> Iterator[Deployed]:
    with mock_aws():
        client: Any = boto3.client("ecs")
        client.create_cluster(clusterName="nightly")
        for revision in range(3):
            client.register_task_definition(
                family="load",
                containerDefinitions=[{"name": "main", "image": f"busybox:{revision}", "memory": 128}],
                requiresCompatibilities=["FARGATE"],
                networkMode="awsvpc",
                cpu="256",
                memory="512",
            )
        network: Any = boto3.client("ec2")
        vpc = network.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
        network.modify_vpc_attribute(VpcId=vpc, EnableDnsHostnames={"Value": True})
        subnet = network.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
        group = network.create_security_group(GroupName="g", Description="d", VpcId=vpc)["GroupId"]
        yield Deployed(subnet, group)


def test_task_has_the_launch_id_and_the_run_in_its_containers_environment(deployed: Deployed) -> None:
    started = EcsTarget().start(deployed.start())

    client: Any = boto3.client("ecs")
    [task] = client.describe_tasks(cluster="nightly", tasks=[started.external_id])["tasks"]
    assert (task["startedBy"], task["group"]) == (LAUNCH_ID, LAUNCH_ID)
    [override] = task["overrides"]["containerOverrides"]
    assert (override["name"], override["environment"]) == ("main", PAIRS)
    assert (started.target, started.status) == (DEFINITION, Status.STARTED)


def test_task_is_described_and_stopped_by_its_arn_alone(deployed: Deployed) -> None:
    target = EcsTarget()
    started = target.start(deployed.start())

    target.cancel(started.external_id)

    client: Any = boto3.client("ecs")
    [task] = client.describe_tasks(cluster="nightly", tasks=[started.external_id])["tasks"]
    assert task["desiredStatus"] == "STOPPED"
    assert target.describe(started.external_id).external_id == started.external_id


def test_task_that_ecs_does_not_know_is_gone(deployed: Deployed) -> None:
    with pytest.raises(LaunchRejectedError, match="does not know task"):
        EcsTarget().describe(TASK)


@pytest.mark.parametrize(
    ("options", "placement"),
    [
        ({}, {"launchType": "FARGATE", "networkConfiguration": NETWORK}),
        (
            {"subnets": "a, b", "security_groups": "g", "assign_public_ip": "ENABLED"},
            {
                "launchType": "FARGATE",
                "networkConfiguration": {
                    "awsvpcConfiguration": {
                        "subnets": ["a", "b"],
                        "securityGroups": ["g"],
                        "assignPublicIp": "ENABLED",
                    }
                },
            },
        ),
        ({"launch_type": "EC2", "subnets": ""}, {"launchType": "EC2"}),
        (
            {"launch_type": "EC2"},
            {
                "launchType": "EC2",
                "networkConfiguration": {"awsvpcConfiguration": {"subnets": ["subnet-1"]}},
            },
        ),
        (
            {"capacity_provider": "FARGATE_SPOT"},
            {
                "capacityProviderStrategy": [{"capacityProvider": "FARGATE_SPOT", "weight": 1}],
                "networkConfiguration": NETWORK,
            },
        ),
    ],
    ids=["default", "network", "machines", "machines with network", "spot"],
)
def test_task_is_placed_as_the_deployment_says(options: dict[str, str], placement: dict[str, Any]) -> None:
    request = {
        name: value for name, value in REQUEST.items() if name not in {"launchType", "networkConfiguration"}
    }
    with stubbed("ecs", once=True) as stub:
        stub.add_response("run_task", {"tasks": [task_of("PROVISIONING")]}, {**request, **placement})
        started = EcsTarget().start(start(**options))

    assert started == Execution(TASK, DEFINITION, Status.STARTED, NOON, launch_id=LAUNCH_ID)


def test_listed_values_of_the_run_config_become_variables_and_none_of_treadles() -> None:
    wanted = start(config={"DAY": "2026-11-25", "n": 5, "other": 1}, arguments="DAY,n")
    given = [
        {"name": "DAY", "value": "2026-11-25"},
        {"name": "n", "value": "5"},
        *[
            {**each, "value": wanted.run_config} if each["name"] == "TREADLE_RUN_CONFIG" else each
            for each in PAIRS
        ],
    ]
    overrides = {"containerOverrides": [{"name": "main", "environment": given}]}
    with stubbed("ecs", once=True) as stub:
        stub.add_response("run_task", {"tasks": [task_of()]}, {**REQUEST, "overrides": overrides})
        EcsTarget().start(wanted)


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("TREADLE_RUN_CONFIG", "Treadle sets it itself"),
        ("treadle_anything", "Treadle sets it itself"),
        ("AWS_ENDPOINT_URL", "the job's credentials"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "the job's credentials"),
        ("ECS_CONTAINER_METADATA_URI", "the job's credentials"),
        ("LD_PRELOAD", "which code"),
        ("PATH", "which code"),
        ("PYTHONPATH", "which code"),
        ("NODE_OPTIONS", "which code"),
        ("JAVA_TOOL_OPTIONS", "which code"),
        ("BASH_ENV", "which code"),
        ("https_proxy", "which services the job calls"),
    ],
)
def test_variable_that_says_what_runs_is_refused(name: str, reason: str) -> None:
    with pytest.raises(LaunchRejectedError, match=reason) as refused:
        EcsTarget().start(start(arguments=name))

    assert f"The arguments of job 'nightly_load' list {name!r}" in str(refused.value)


@pytest.mark.parametrize(
    ("options", "missing"),
    [
        ({"cluster": ""}, "option cluster"),
        ({"cluster": "", "container": ""}, "options cluster, container"),
        ({"subnets": ""}, "option subnets"),
        ({"subnets": " ", "capacity_provider": "FARGATE_SPOT"}, "option subnets"),
    ],
)
def test_what_is_missing_is_named(options: dict[str, str], missing: str) -> None:
    with pytest.raises(LaunchRejectedError, match=f"its registry entry lacks the {missing}\\."):
        EcsTarget().start(start(**options))


def test_launch_type_that_ecs_does_not_have_is_refused() -> None:
    with pytest.raises(
        LaunchRejectedError, match=r"The launch_type of job 'nightly_load' is 'LAMBDA'\. Use FARGATE, EC2"
    ):
        EcsTarget().start(start(launch_type="LAMBDA"))


def test_run_config_beyond_what_ecs_takes_is_refused_before_it_is_sent() -> None:
    with pytest.raises(LaunchRejectedError, match="the limit of ECS is 8192"):
        EcsTarget().start(start(config={"a": "x" * 8_000}))


@pytest.mark.parametrize(
    ("reason", "error"),
    [
        ("RESOURCE:MEMORY", LaunchDelayedError),
        ("RESOURCE:ENI", LaunchDelayedError),
        ("AGENT", LaunchDelayedError),
        ("Capacity is unavailable at this time", LaunchDelayedError),
        ("INACTIVE", LaunchRejectedError),
    ],
)
def test_task_that_was_not_placed_was_not_started(reason: str, error: type[Exception]) -> None:
    with stubbed("ecs", once=True) as stub:
        failures = [{"arn": "arn:instance", "reason": reason, "detail": "the detail"}]
        stub.add_response("run_task", {"tasks": [], "failures": failures})
        with pytest.raises(error, match=f"was not started: {reason}; the detail"):
            EcsTarget().start(start())


@pytest.mark.parametrize(
    ("code", "status", "message", "error"),
    [
        ("ClientException", 400, "TaskDefinition is inactive", LaunchRejectedError),
        ("ClientException", 400, "You've reached the limit on the number of tasks", LaunchDelayedError),
        ("ClusterNotFoundException", 400, "Cluster not found.", LaunchRejectedError),
        ("InvalidParameterException", 400, "no", LaunchRejectedError),
        ("ThrottlingException", 400, "Rate exceeded", LaunchDelayedError),
        ("AccessDeniedException", 400, "iam:PassRole", LaunchDeniedError),
        ("ServerException", 500, "sorry", LaunchUncertainError),
    ],
)
def test_refused_start_is_distinguished(code: str, status: int, message: str, error: type[Exception]) -> None:
    with stubbed("ecs", once=True) as stub:
        stub.add_client_error("run_task", code, message, status)
        with pytest.raises(error, match=message) as refused:
            EcsTarget().start(start())

    assert type(refused.value) is error


def conflicting(answer: dict[str, Any], tasks: list[str] | None = None) -> Execution:
    """Return the outcome of a start whose token an earlier task has, with other parameters."""
    with stubbed("ecs", once=True) as stub, stubbed("ecs") as queries:
        named = {"resourceIds": [TASK] if tasks is None else tasks}
        stub.add_client_error("run_task", "ConflictException", "differs", 400, modeled_fields=named)
        if answer:
            queries.add_response("describe_tasks", answer, {"cluster": "nightly", "tasks": [TASK]})
        return EcsTarget().start(start())


def test_task_that_an_earlier_call_started_with_other_parameters_is_ours() -> None:
    assert conflicting({"tasks": [task_of()]}) == Execution(
        TASK, DEFINITION, Status.STARTED, NOON, launch_id=LAUNCH_ID
    )


def test_task_that_an_earlier_call_started_and_ecs_has_forgotten_is_ours() -> None:
    gone = {"tasks": [], "failures": [{"arn": TASK, "reason": "MISSING"}]}

    assert conflicting(gone) == Execution(TASK, DEFINITION, Status.STARTED, NOON)


def test_task_of_somebody_else_under_our_token_is_not_ours() -> None:
    with pytest.raises(LaunchRejectedError, match="something other than Treadle started it"):
        conflicting({"tasks": [task_of(startedBy="me")]})


def test_conflict_that_names_no_task_is_uncertain() -> None:
    with pytest.raises(LaunchUncertainError, match="ECS did not return its ARN"):
        conflicting({}, [])


def test_ecs_is_never_searched() -> None:
    assert EcsTarget().resolve(start()) is None


MAIN, SIDE = {"name": "main"}, {"name": "side"}


@pytest.mark.parametrize(
    ("task", "status"),
    [
        (task_of("PROVISIONING"), Status.STARTED),
        (task_of("RUNNING"), Status.STARTED),
        (task_of("DEPROVISIONING", stopCode="EssentialContainerExited"), Status.STARTED),
        (stopped({**MAIN, "exitCode": 0}), Status.SUCCESS),
        (stopped({**MAIN, "exitCode": 0}, {**SIDE, "exitCode": 137}), Status.SUCCESS),
        (stopped({**MAIN, "exitCode": 0}, SIDE), Status.SUCCESS),
        (stopped({**MAIN, "exitCode": 1}, {**SIDE, "exitCode": 0}), Status.FAILURE),
        (stopped(MAIN, {**SIDE, "exitCode": 0}), Status.FAILURE),
        (stopped(MAIN, code="TaskFailedToStart"), Status.FAILURE),
        (stopped(code="SpotInterruption"), Status.FAILURE),
        (stopped({**MAIN, "exitCode": 143}, code="UserInitiated"), Status.CANCELED),
    ],
)
def test_task_stands_as_its_essential_containers_ended(task: dict[str, Any], status: Status) -> None:
    containers = [{**MAIN, "essential": True}, {**SIDE, "essential": False}]
    reads_definition = any(each.get("exitCode") != 0 for each in task.get("containers", [])) and task.get(
        "stopCode"
    ) not in {"TaskFailedToStart", "UserInitiated"}
    with stubbed("ecs") as stub:
        stub.add_response("describe_tasks", {"tasks": [task]}, {"cluster": "nightly", "tasks": [TASK]})
        if reads_definition:
            definition = {"taskDefinition": {"containerDefinitions": containers}}
            stub.add_response("describe_task_definition", definition, {"taskDefinition": DEFINITION})
        execution = EcsTarget().describe(TASK)

    assert execution.status is status
    assert execution.ended_at == (NOON + 9 if status.is_finished else None)
    assert (execution.failure is None) is (status in {Status.STARTED, Status.SUCCESS})


def test_failed_task_reports_code_reason_and_exit_codes() -> None:
    main = {**MAIN, "exitCode": 137, "reason": "OutOfMemoryError"}
    with stubbed("ecs") as stub:
        stub.add_response("describe_tasks", {"tasks": [stopped(main)]})
        definition = {"taskDefinition": {"containerDefinitions": [{"name": "main"}]}}
        stub.add_response("describe_task_definition", definition)
        failure = EcsTarget().describe(TASK).failure

    message = "Essential container in task exited Container main ended with exit code 137: OutOfMemoryError."
    step = StepFailure("main", "ContainerFailed", "It ended with exit code 137: OutOfMemoryError.")
    assert failure == Failure("EssentialContainerExited", message, steps=(step,))


def test_task_that_ecs_cannot_show_now_is_queried_again() -> None:
    with stubbed("ecs") as stub:
        stub.add_response("describe_tasks", {"tasks": [], "failures": [{"arn": TASK, "reason": "BUSY"}]})
        with pytest.raises(LaunchDelayedError):
            EcsTarget().describe(TASK)


@pytest.mark.parametrize(
    ("code", "error"),
    [
        ("InvalidParameterException", LaunchRejectedError),
        ("ServerException", LaunchDelayedError),
        ("AccessDeniedException", LaunchDeniedError),
    ],
)
def test_task_that_cannot_be_canceled_says_why(code: str, error: type[Exception]) -> None:
    with stubbed("ecs") as stub:
        stub.add_client_error("stop_task", code, "the message")
        with pytest.raises(error, match="the message"):
            EcsTarget().cancel(TASK)


def test_cluster_of_a_task_is_in_its_arn() -> None:
    with stubbed("ecs") as stub:
        task = {"cluster": "default", "task": "arn:aws:ecs:us-east-1:123456789012:task/8f1f"}
        stub.add_response(
            "stop_task", {"task": {}}, {**task, "reason": "Canceled by an operator of Treadle."}
        )
        EcsTarget().cancel(task["task"])
