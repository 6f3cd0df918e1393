"""What every `Deployment` guarantees: its sensors as deployed, their functions' answers, their logs in order."""

import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from tests.support.stacks import Stacks
from treadle.adapters import clients
from treadle.adapters.deployment import FRESH_SECONDS, StackDeployment
from treadle.adapters.stack import read_stack
from treadle.definitions.errors import CommandRefusedError, DeploymentError, InvocationError
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import DeployedSensor, LogLine, Subscription
from treadle.model.registry import Registry, SensorEntry
from treadle.operate.load_checks import CHECK_SECONDS
from treadle.ports.deployment import Deployment
from treadle.testing.deployment import InMemoryDeployment

NOON = 1_795_348_800_000
SETTINGS = {
    "TREADLE_KIND": "s3",
    "TREADLE_DEFAULT_STATUS": "RUNNING",
    "TREADLE_INTERVAL_SECONDS": "300",
}
QUEUE = "https://sqs.us-east-1.amazonaws.com/123456789012/files-NewFilesQueue-1X"
RULE = "files-NewFilesRule-1X"
ROLE = "arn:aws:iam::123456789012:role/treadle/files-NewFilesRole-1X"
NEW_FILES = DeployedSensor(
    name="new_files",
    kind="s3",
    description="a run for each new file",
    jobs=("check", "load"),
    default_status=DefaultSensorStatus.RUNNING,
    interval_seconds=300,
    function="files-NewFilesFunction-1X",
    queue=QUEUE,
    subscription=Subscription(buckets=("drop",)),
    settings=SETTINGS,
    project="files",
    rule=RULE,
    log_group="/treadle/files",
    role=ROLE,
)
"""Of another stack than the engine's, which has nothing of it."""
OLD = DeployedSensor(
    name="old",
    kind="asset",
    description="",
    jobs=(),
    default_status=DefaultSensorStatus.STOPPED,
    function="old-OldFunction-1X",
    project="old",
    log_group="/aws/lambda/old-OldFunction-1X",
)
REGISTRY = Registry(
    {
        "old": SensorEntry("old", "old", OLD.function, "asset"),
        "new_files": SensorEntry(
            "new_files",
            "files",
            NEW_FILES.function,
            "s3",
            frozenset({"load", "check"}),
            QUEUE,
            RULE,
            "/treadle/files",
        ),
    }
)
PATTERN = {
    "source": ["aws.s3"],
    "detail": {"bucket": {"name": ["drop"]}, "object": {"key": [{"wildcard": "*"}]}},
}
LINES = [(NOON + n * 1_000, f"line {n}") for n in range(5)]


def answer(event: Mapping[str, object]) -> dict[str, object]:
    """In place of a sensor's function."""
    if event == {"treadle": "break"}:
        raise ValueError("it broke")
    return {"received": dict(event)}


@dataclass(frozen=True)
class World:
    """A deployment, and what its functions log."""

    deployment: Deployment
    log: Callable[[], None]


@pytest.fixture(params=["memory", "moto"])
def world(request: pytest.FixtureRequest) -> Iterator[World]:
    if request.param == "memory":
        yield in_memory()
    else:
        with mock_aws():
            clients.forget()
            yield on_aws()
            clients.forget()


def in_memory() -> World:
    twin = InMemoryDeployment([OLD, NEW_FILES], {"new_files": answer}, name="shop")

    def log() -> None:
        twin.lines["new_files"] = [LogLine(str(at), at, text) for at, text in LINES]

    return World(twin, log)


def on_aws(stacks: Stacks | None = None) -> World:
    stacks = stacks or Stacks()
    events, logs = boto3.client("events"), boto3.client("logs")
    events.put_rule(Name=RULE, EventPattern=json.dumps(PATTERN))
    logs.create_log_group(logGroupName="/treadle/files")
    stacks.resources["shop"] = {}
    stacks.environments |= {NEW_FILES.function: SETTINGS, OLD.function: {}}
    stacks.descriptions[NEW_FILES.function] = "Sensor new_files: a run for each new file"
    stacks.roles[NEW_FILES.function] = ROLE
    stacks.functions[NEW_FILES.function] = answer
    stacks.answer()

    def log() -> None:
        stream = f"2026/11/29/{NEW_FILES.function}[$LATEST]8f2d"
        logs.create_log_stream(logGroupName="/treadle/files", logStreamName=stream)
        logs.put_log_events(
            logGroupName="/treadle/files",
            logStreamName=stream,
            logEvents=[{"timestamp": at, "message": f"{text}\n"} for at, text in LINES],
        )

    return World(StackDeployment(read_stack("shop", ()), lambda: REGISTRY), log)


def test_sensors_of_all_projects_are_as_registered_and_deployed_by_name(world: World) -> None:
    found = world.deployment.sensors()

    assert list(found) == ["new_files", "old"]
    assert found["new_files"] == NEW_FILES
    assert found["old"] == OLD
    assert world.deployment.name == "shop"


def test_function_answers_the_event_it_was_given(world: World) -> None:
    assert world.deployment.invoke("new_files", {"treadle": "preview"}) == {
        "received": {"treadle": "preview"}
    }


def test_failing_function_is_reported_with_its_own_message(world: World) -> None:
    with pytest.raises(InvocationError, match="new_files failed: ValueError: it broke") as failed:
        world.deployment.invoke("new_files", {"treadle": "break"}, seconds=CHECK_SECONDS)

    assert (failed.value.reason, failed.value.is_denied) == ("ValueError: it broke", False)


@pytest.mark.parametrize(
    ("code", "status", "is_denied"),
    [("AccessDeniedException", 403, True), ("TooManyRequestsException", 429, False)],
)
def test_function_that_gives_no_answer_has_no_reason_and_a_denial_is_distinguished(
    code: str, status: int, is_denied: bool
) -> None:
    with mock_aws():
        clients.forget()
        world = on_aws()
        with Stubber(clients.client("lambda", once=True, seconds=1)) as lambdas:
            lambdas.add_client_error("invoke", code, http_status_code=status)
            with pytest.raises(InvocationError, match="did not respond") as failed:
                world.deployment.invoke("new_files", {"treadle": "describe"}, seconds=1)
        clients.forget()

    assert (failed.value.reason, failed.value.is_denied) == ("", is_denied)


@pytest.mark.parametrize(
    ("modified", "deployed_at"), [("2026-11-22T18:00:00.000+0000", 1_795_370_400_000), ("?", None)]
)
def test_sensor_was_deployed_when_its_function_was_last_modified(
    modified: str, deployed_at: int | None
) -> None:
    with mock_aws():
        clients.forget()
        stacks = Stacks(modified={NEW_FILES.function: modified})
        world = on_aws(stacks)

        assert world.deployment.sensors()["new_files"].deployed_at == deployed_at
        clients.forget()


def test_unknown_sensor_is_refused_with_the_names_of_those_there_are(world: World) -> None:
    with pytest.raises(CommandRefusedError, match="no sensor 'nobody'; it has: new_files, old"):
        world.deployment.invoke("nobody", {})
    with pytest.raises(CommandRefusedError, match="no sensor 'nobody'"):
        list(world.deployment.logs("nobody", 0))


def test_log_is_read_oldest_first_between_two_times(world: World) -> None:
    world.log()

    lines = list(world.deployment.logs("new_files", NOON + 1_000, NOON + 3_000))

    assert [(line.at, line.text) for line in lines] == LINES[1:4]
    assert len({line.line_id for line in lines}) == 3
    assert list(world.deployment.logs("new_files", NOON + 1_000, NOON + 3_000)) == lines


def test_log_that_nobody_has_written_is_empty(world: World) -> None:
    assert list(world.deployment.logs("new_files", 0)) == []


PARTS_OF_SHOP = ["1", *(f"part-{number}" for number in range(1, 18)), "shop", *("more",) * 3]


@pytest.mark.parametrize("form", ["resolved", "name alone", "value alone"])
def test_stack_of_a_project_leads_to_its_engines(form: str) -> None:
    """As AWS says it, and as local clouds do."""
    text, name = ",".join(PARTS_OF_SHOP), "/treadle/main/v1"
    engine = {"ParameterKey": "Engine", "ParameterValue": text if form == "value alone" else name}
    with mock_aws():
        clients.forget()
        stacks = Stacks()
        on_aws(stacks)
        if form == "resolved":
            engine["ResolvedValue"] = text
        elif form == "name alone":
            boto3.client("ssm").put_parameter(Name=name, Value=text, Type="StringList")
        stacks.resources |= {"files": {}, "shop": {"Bus": ("AWS::Events::EventBus", "treadle-main")}}
        stacks.parameters["files"] = [{"ParameterKey": "AlertEmail", "ParameterValue": ""}, engine]

        found = read_stack("files", ())

        assert (found.name, found.physical_ids) == ("shop", {"Bus": "treadle-main"})
        clients.forget()


def test_stack_whose_engine_is_gone_cannot_be_read() -> None:
    with mock_aws():
        clients.forget()
        stacks = Stacks()
        on_aws(stacks)
        stacks.resources["files"] = {}
        stacks.parameters["files"] = [{"ParameterKey": "Engine", "ParameterValue": "/treadle/main/v1"}]

        with pytest.raises(DeploymentError, match="Stack 'files' cannot be read"):
            read_stack("files", ())
        clients.forget()


def test_what_was_read_of_a_stack_is_read_again_after_a_minute() -> None:
    with mock_aws():
        clients.forget()
        stacks, seconds = Stacks(), [0.0]
        on_aws(stacks)
        registered = [REGISTRY]
        deployment = StackDeployment(read_stack("shop", ()), lambda: registered[0], lambda: seconds[0])
        deployment.sensors()

        stacks.environments[OLD.function] = {"TREADLE_INTERVAL_SECONDS": "60"}
        registered[0] = Registry({"old": REGISTRY.sensors["old"]})
        seconds[0] = FRESH_SECONDS
        before = deployment.sensors()
        seconds[0] = FRESH_SECONDS + 1
        after = deployment.sensors()

        assert (list(before), before["old"].interval_seconds) == (["new_files", "old"], None)
        assert (list(after), after["old"].interval_seconds) == (["old"], 60)
        clients.forget()


@pytest.mark.parametrize(
    ("code", "status", "remedy"),
    [
        (
            "ResourceNotFoundException",
            404,
            "Deploy project files again. If the sensor is no longer needed, delete its entry",
        ),
        ("AccessDeniedException", 403, "Grant yourself lambda:GetFunctionConfiguration"),
        ("ServiceException", 500, "Try again."),
    ],
)
def test_sensor_whose_function_cannot_be_read_is_listed_with_that_problem_and_hides_no_other(
    code: str, status: int, remedy: str
) -> None:
    with mock_aws():
        clients.forget()
        stacks = Stacks(failing={NEW_FILES.function: (code, status)})
        deployment = on_aws(stacks).deployment

        found = deployment.sensors()

        assert found["old"] == OLD
        assert code in found["new_files"].problem
        assert found["new_files"].remedy.startswith(remedy)
        assert found["new_files"].problem.startswith(f"Its function {NEW_FILES.function} cannot be read:")
        known = replace(found["new_files"], problem="", remedy="")
        assert known == DeployedSensor(
            "new_files",
            "s3",
            "",
            NEW_FILES.jobs,
            DefaultSensorStatus.STOPPED,
            function=NEW_FILES.function,
            queue=QUEUE,
            project="files",
            rule=RULE,
            log_group="/treadle/files",
        )
        clients.forget()


def test_sensor_with_an_impossible_default_status_hides_no_other() -> None:
    """What its function states is reported by the check that it loads."""
    with mock_aws():
        clients.forget()
        stacks = Stacks()
        deployment = on_aws(stacks).deployment
        stacks.environments[OLD.function] = {"TREADLE_DEFAULT_STATUS": "ON"}

        assert deployment.sensors()["old"].default_status is DefaultSensorStatus.STOPPED
        clients.forget()


@pytest.mark.parametrize("is_alone", [True, False])
def test_in_its_projects_log_group_a_sensor_has_its_own_functions_lines(is_alone: bool) -> None:
    """The functions of a project's jobs write there, too."""
    with mock_aws():
        clients.forget()
        on_aws()
        logs = boto3.client("logs")
        for function, at in ((NEW_FILES.function, 1), (f"{NEW_FILES.function}2", 2)):
            stream = f"2026/11/29/{function}[$LATEST]8f2d"
            logs.create_log_stream(logGroupName="/treadle/files", logStreamName=stream)
            logs.put_log_events(
                logGroupName="/treadle/files",
                logStreamName=stream,
                logEvents=[{"timestamp": NOON + at, "message": function}],
            )
        entry = REGISTRY.sensors["new_files"]
        more = {**REGISTRY.sensors, "more": replace(entry, name="more", function=f"{NEW_FILES.function}2")}
        registry = REGISTRY if is_alone else Registry(more)
        deployment = StackDeployment(read_stack("shop", ()), lambda: registry)

        assert [each.text for each in deployment.logs("new_files", NOON)] == [NEW_FILES.function]
        clients.forget()


def test_in_a_log_group_of_its_functions_own_a_sensor_has_all_lines() -> None:
    """Names of streams have no function's there."""
    with mock_aws():
        clients.forget()
        on_aws()
        logs, group = boto3.client("logs"), f"/aws/lambda/{NEW_FILES.function}"
        logs.create_log_group(logGroupName=group)
        logs.create_log_stream(logGroupName=group, logStreamName="2026/11/29/[$LATEST]8f2d")
        logs.put_log_events(
            logGroupName=group,
            logStreamName="2026/11/29/[$LATEST]8f2d",
            logEvents=[{"timestamp": NOON, "message": "begun"}],
        )
        entry = replace(REGISTRY.sensors["new_files"], log_group=group)
        deployment = StackDeployment(read_stack("shop", ()), lambda: Registry({"new_files": entry}))

        assert [each.text for each in deployment.logs("new_files", NOON)] == ["begun"]
        clients.forget()


def test_sensor_whose_log_is_gone_is_reported_as_a_deployment_that_cannot_be_read() -> None:
    with mock_aws():
        clients.forget()
        world = on_aws()
        boto3.client("logs").delete_log_group(logGroupName="/treadle/files")

        with pytest.raises(DeploymentError, match="log of sensor new_files cannot be read"):
            list(world.deployment.logs("new_files", 0))
        clients.forget()


def subscription_of(rule: str, *, bus: str | None = None, kind: str = "s3") -> Subscription | None:
    """Return the subscription that is found for the sensor when its rule, of a bus, is registered by this name."""
    with mock_aws():
        clients.forget()
        events = boto3.client("events")
        events.create_event_bus(Name="shop-treadle")
        stacks = Stacks()
        on_aws(stacks)
        if bus is not None:
            events.delete_rule(Name=RULE)
            pattern = {"detail": {"job": ["load"], "asset_key": ["a/b"], "status": ["FAILURE"]}}
            if kind == "event":
                pattern["detail"]["bucket"] = ["of water"]
            events.put_rule(
                Name=RULE,
                EventPattern=json.dumps(pattern),
                EventBusName=bus,
                State="DISABLED",
            )
        stacks.resources["shop"] = {
            "Bus": ("AWS::Events::EventBus", "shop-treadle"),
        }
        entry = replace(REGISTRY.sensors["new_files"], rule=rule, kind=kind)
        registered = Registry({"new_files": entry})
        found = (
            StackDeployment(read_stack("shop", ()), lambda: registered).sensors()["new_files"].subscription
        )
        clients.forget()
        return found


@pytest.mark.parametrize("rule", [f"shop-treadle|{RULE}", RULE])
def test_rule_of_the_stacks_own_bus_is_read_there(rule: str) -> None:
    assert subscription_of(rule, bus="shop-treadle") == Subscription(
        ("load",), ("a/b",), ("FAILURE",), (), is_on=False
    )


def test_pattern_of_others_events_is_no_subscription_to_jobs_or_assets() -> None:
    assert subscription_of(RULE, bus="shop-treadle", kind="event") == Subscription(is_on=False)


def test_sensor_whose_rule_is_gone_is_found_all_the_same() -> None:
    assert subscription_of("shop-AnotherRule-1X") is None
