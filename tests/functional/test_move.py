"""`treadle move` on moto's queues, mappings, schedules and tables; two stacks as CloudFormation describes them."""

import io
import json
import zipfile
from collections.abc import Callable
from dataclasses import dataclass

import boto3
import pytest
from click.testing import CliRunner, Result

from tests.functional.conftest import BUCKET, ENGINE, OUTCOMES, OWN, STACK, Deployment, object_created
from tests.support.stacks import Stacks
from treadle.adapters.queues import SqsDeadLetters
from treadle.cli.commands import treadle
from treadle.definitions.status import InstigatorStatus

OLD = "single"
NAMES = ("NewObjects", "Dispatch", "Launch", "Record", "Publish", "Reconcile", "Other")
SENDING = ("NewObjects", "Dispatch", "Launch", "Record", "Publish", "Other")
TICKED = ("NewObjects", "Reconcile", "Other")
STORES = (
    "SensorsTableName",
    "TicksTableName",
    "TicksTableStreamArn",
    "RunsTableName",
    "RunsTableStreamArn",
    "EventsTableName",
    "OutcomesBucketName",
)


@dataclass
class EngineHarness:
    """A single stack, and beside it the engine and the project of the fixture.

    Attributes:
        deployment: the engine's.
        stacks: both, as CloudFormation has them.
        urls: the single stack's queues by what they are for.
        mappings: the ids of its event source mappings by their functions.
        environment: of its functions, each its own.
    """

    deployment: Deployment
    stacks: Stacks
    urls: dict[str, str]
    mappings: dict[str, str]

    def move(self, *options: str, answers: str = "y\ny\n") -> Result:
        """Return the outcome of the command, which gets these answers to its prompts."""
        command = ["move", OLD, "--engine", STACK, "--by", "ann", "--timeout", "0", *options]
        return CliRunner().invoke(treadle, command, input=answers, prog_name="treadle")

    def is_on(self, name: str) -> bool:
        """Return whether a function's queue invokes it."""
        found = boto3.client("lambda").get_event_source_mapping(UUID=self.mappings[name])
        return found["State"] == "Enabled"

    def is_ticked(self, name: str) -> bool:
        """Return whether a function's schedule invokes it."""
        return bool(boto3.client("scheduler").get_schedule(Name=f"{OLD}-{name}")["State"] == "ENABLED")

    def send(self, name: str, body: object) -> None:
        """Put a message on a queue of the single stack."""
        boto3.client("sqs").send_message(QueueUrl=self.urls[name], MessageBody=json.dumps(body))

    def without_engine(self) -> None:
        """Let the engine not be deployed yet."""
        self.stacks.resources = {OLD: self.stacks.resources[OLD]}


@pytest.fixture
def harness(stack: Deployment, stacks: Stacks, monkeypatch: pytest.MonkeyPatch) -> EngineHarness:
    monkeypatch.setattr("treadle.adapters.single_stack.DELAY_SECONDS", 0)
    sqs = boto3.client("sqs")
    urls = {name: sqs.create_queue(QueueName=f"{OLD}-{name}")["QueueUrl"] for name in (*SENDING, "Dead")}
    functions = {name: _function(name) for name in NAMES}
    # Of queues that nobody sends to: moto would start a container for each message.
    silent = {name: sqs.create_queue(QueueName=f"{OLD}-{name}-silent")["QueueUrl"] for name in SENDING}
    mappings = {
        name: boto3.client("lambda").create_event_source_mapping(
            FunctionName=f"{OLD}-{name}", EventSourceArn=_arn(url)
        )["UUID"]
        for name, url in silent.items()
    }
    for name in TICKED:
        boto3.client("scheduler").create_schedule(
            Name=f"{OLD}-{name}",
            ScheduleExpression="rate(1 minutes)",
            FlexibleTimeWindow={"Mode": "OFF"},
            Target={"Arn": functions[name], "RoleArn": "arn:aws:iam::123456789012:role/ticks", "Input": "{}"},
        )
    environment = stack.environment
    stores = {
        "SensorsTableName": environment["TREADLE_SENSORS_TABLE"],
        "TicksTableName": environment["TREADLE_TICKS_TABLE"],
        "TicksTableStreamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/ticks/stream/1",
        "RunsTableName": environment["TREADLE_RUNS_TABLE"],
        "RunsTableStreamArn": "arn:aws:dynamodb:us-east-1:123456789012:table/runs/stream/1",
        "EventsTableName": environment["TREADLE_EVENTS_TABLE"],
        "OutcomesBucketName": OUTCOMES,
    }
    steps = ("Dispatch", "Launch", "Record", "Publish")
    stacks.outputs[OLD] = {
        **stores,
        "Namespace": "test",
        "ObjectsBucketName": BUCKET,
        "BusName": f"{OLD}-treadle",
        "DeadLetterQueueUrl": urls["Dead"],
        **{f"{name}QueueUrl": urls[name] for name in steps},
    }
    stacks.outputs[STACK] = {
        "EngineName": ENGINE,
        "Namespace": "test",
        "ExistingStores": ",".join(stores.values()),
        "BusName": "treadle-shop",
        **{f"{name}QueueUrl": stack.queues[name.lower()] for name in steps},
    }
    stacks.resources[OLD] = {
        **{f"{name}Function": ("AWS::Lambda::Function", f"{OLD}-{name}") for name in NAMES},
        **{f"{name}Queue": ("AWS::SQS::Queue", url) for name, url in urls.items()},
        **{f"{name}Mapping": ("AWS::Lambda::EventSourceMapping", uuid) for name, uuid in mappings.items()},
        **{f"{name}Minute": ("AWS::Scheduler::Schedule", f"{OLD}-{name}") for name in TICKED},
        "Summarize": ("AWS::StepFunctions::StateMachine", stack.machine),
        "TicksTable": ("AWS::DynamoDB::Table", stores["TicksTableName"]),
    }
    stacks.templates[OLD] = {
        "Parameters": {"RunsPerHour": {"Default": 0}, "NewObjectsInterval": {"Default": 300}, "LogLevel": {}},
        "Resources": {"TicksTable": {"DeletionPolicy": "Retain"}},
    }
    stacks.parameters[OLD] = [
        {"ParameterKey": "RunsPerHour", "ParameterValue": "7"},
        {"ParameterKey": "NewObjectsInterval", "ParameterValue": "60"},
        {"ParameterKey": "LogLevel", "ParameterValue": ""},
    ]
    stacks.environments |= {
        f"{OLD}-Dispatch": {"TREADLE_GRANTS": '{"new_objects": "process_file", "failure_alert": ""}'},
        f"{OLD}-Launch": {"TREADLE_JOBS": json.dumps({"process_file": {"arn": stack.machine}})},
        f"{OLD}-NewObjects": {"TREADLE_KIND": "s3", "TREADLE_DEFAULT_STATUS": "RUNNING"},
    }
    return EngineHarness(stack, stacks, urls, mappings)


def _arn(url: str) -> str:
    answer = boto3.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])
    return answer["Attributes"]["QueueArn"]


def _function(name: str) -> str:
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", "")
    iam = boto3.client("iam")
    role = iam.create_role(RoleName=f"{OLD}-{name}", AssumeRolePolicyDocument="{}")["Role"]["Arn"]
    return boto3.client("lambda").create_function(
        FunctionName=f"{OLD}-{name}",
        Runtime="python3.13",
        Role=role,
        Handler="app.handler",
        Code={"ZipFile": code.getvalue()},
    )["FunctionArn"]


def test_first_run_says_what_is_carried_over_and_switches_off_treadles_functions_alone(
    harness: EngineHarness,
) -> None:
    harness.without_engine()

    done = harness.move(answers="y\n")

    assert done.exit_code == 1, done.output
    assert "sensor new_objects (s3), RUNNING" in done.output
    assert "failure_alert" not in done.output
    for line in (
        '"Namespace=test",',
        '"RunsPerHour=7",',
        f'"NewObjectsBucket={BUCKET}",',
        "NewObjectsInterval=60",
    ):
        assert f"    {line}\n" in done.output
    assert "LogLevel" not in done.output
    assert "Next, deploy the engine" in done.output
    assert [name for name in SENDING if harness.is_on(name)] == ["Other"]
    assert [name for name in TICKED if harness.is_ticked(name)] == ["Other"]
    found = boto3.client("scheduler").get_schedule(Name=f"{OLD}-NewObjects")
    assert found["Target"]["Input"] == "{}"


def test_nothing_is_changed_where_the_answer_is_no(harness: EngineHarness) -> None:
    done = harness.move(answers="n\n")

    assert done.exit_code == 1
    assert all(harness.is_on(name) for name in SENDING)


def test_sensor_that_is_stopped_by_default_stays_so(harness: EngineHarness) -> None:
    harness.stacks.environments[f"{OLD}-NewObjects"]["TREADLE_DEFAULT_STATUS"] = "STOPPED"

    harness.move(answers="y\nn\n")

    assert harness.deployment.stores.sensors.get("new_objects").status is InstigatorStatus.STOPPED
    [edit] = harness.deployment.stores.sensors.edits("new_objects")
    assert (edit.action, edit.by) == ("stop", "ann")


@pytest.mark.parametrize("waits_for", ["a run", "a launch"])
def test_stack_is_not_switched_off_while_it_has_runs_of_its_own(
    harness: EngineHarness, waits_for: str
) -> None:
    if waits_for == "a run":
        made = harness.deployment
        made.invoke("sensors/new_objects", object_created("a.csv", made.put("a.csv")))
        made.dispatch_pending()
        made.launch_queued()
    else:
        harness.send("Launch", {"treadle": "launch"})

    done = harness.move(answers="y\n")

    output = {
        "a run": "waits for runs of process_file, which is deleted with the stack (1).",
        "a launch": "waits for messages in the launch queue (1).",
    }
    assert done.exit_code == 1
    assert output[waits_for] in done.output
    assert (harness.is_on("NewObjects"), harness.is_on("Dispatch")) == (False, False)
    assert all(harness.is_on(name) for name in ("Launch", "Record", "Publish"))


def test_messages_are_moved_and_the_stack_is_deleted(harness: EngineHarness) -> None:
    harness.send("NewObjects", {"an": "object"})
    harness.send("Record", {"a": "report"})

    done = harness.move()

    assert done.exit_code == 0, done.output
    assert harness.stacks.deleted == [OLD]
    assert [each["Body"] for each in harness.deployment.messages("own")] == ['{"an": "object"}']
    assert [each["Body"] for each in harness.deployment.messages("record")] == ['{"a": "report"}']
    assert f"First switch everything that reports to its bus {OLD}-treadle to treadle-shop" in done.output
    assert "treadle: There is no stack single." in harness.move().output


def test_stack_is_kept_where_the_answer_is_no(harness: EngineHarness) -> None:
    assert harness.move(answers="y\nn\n").exit_code == 1
    assert harness.stacks.deleted == []
    assert harness.move("--yes", answers="").exit_code == 0
    assert harness.stacks.deleted == [OLD]


def test_sensor_that_ran_is_started_where_the_project_would_leave_it_stopped(harness: EngineHarness) -> None:
    harness.stacks.environments[OWN]["TREADLE_DEFAULT_STATUS"] = "STOPPED"

    done = harness.move()

    assert "Started sensor new_objects, which ran in stack single." in done.output
    assert harness.deployment.stores.sensors.get("new_objects").status is InstigatorStatus.RUNNING


def test_sensors_and_jobs_must_be_registered_or_left_behind(harness: EngineHarness) -> None:
    harness.deployment.register("sensors/new_objects", "", "Delete")

    waits = harness.move(answers="y\n")
    left = harness.move("--leave", "new_objects")

    assert waits.exit_code == 1
    assert "No project has registered:\n  sensor new_objects\nNext, deploy the project" in waits.output
    assert "Its stack must not be called single." in waits.output
    assert left.exit_code == 0, left.output


def test_dead_letters_keep_the_stack_until_the_operator_chooses_what_to_do_with_them(
    harness: EngineHarness,
) -> None:
    SqsDeadLetters(harness.urls["Dead"]).send(
        '{"an": "object"}', origin="sensor new_objects", reason="KeyError"
    )

    kept = harness.move()
    sent = harness.move("--dead-letters", "redrive")

    assert kept.exit_code == 1
    assert "Dead letters of stack single: 1. Give --dead-letters redrive" in kept.output
    assert sent.exit_code == 0, sent.output
    assert [json.loads(each["Body"]) for each in harness.deployment.messages("own")] == [{"an": "object"}]


def test_dead_letters_may_be_deleted_with_the_stack(harness: EngineHarness) -> None:
    SqsDeadLetters(harness.urls["Dead"]).send("{}", origin="sensor new_objects", reason="KeyError")

    done = harness.move("--dead-letters", "delete")

    assert (done.exit_code, harness.stacks.deleted) == (0, [OLD])


def test_move_is_undone_while_there_is_no_engine(harness: EngineHarness) -> None:
    refused = harness.move("--undo")
    harness.without_engine()
    harness.move(answers="y\n")

    done = harness.move("--undo")

    assert refused.exit_code == 2
    assert "is not switched on: engine stack shop uses its tables" in refused.output
    assert done.exit_code == 0, done.output
    assert all(harness.is_on(name) for name in SENDING)
    assert all(harness.is_ticked(name) for name in TICKED)


def test_move_is_undone_beside_an_engine_of_others(harness: EngineHarness) -> None:
    harness.stacks.outputs[STACK]["ExistingStores"] = "a,b"

    assert harness.move("--undo").exit_code == 0


def _gone(harness: EngineHarness) -> None:
    del harness.stacks.resources[OLD]


def _project(harness: EngineHarness) -> None:
    harness.stacks.parameters[OLD].append({"ParameterKey": "Engine", "ParameterValue": "/treadle/main/v1"})


def _engine(harness: EngineHarness) -> None:
    harness.stacks.outputs[OLD]["ExistingStores"] = "a,b"


def _earlier(harness: EngineHarness) -> None:
    del harness.stacks.outputs[OLD]["RunsTableStreamArn"]


def _changing(harness: EngineHarness) -> None:
    harness.stacks.statuses[OLD] = "UPDATE_IN_PROGRESS"


def _not_kept(harness: EngineHarness) -> None:
    harness.stacks.templates[OLD]["Resources"]["TicksTable"]["DeletionPolicy"] = "Delete"


def _other_namespace(harness: EngineHarness) -> None:
    harness.stacks.outputs[STACK]["Namespace"] = "main"


def _other_stores(harness: EngineHarness) -> None:
    harness.stacks.outputs[STACK]["ExistingStores"] = "a,b"


def _no_engine(harness: EngineHarness) -> None:
    del harness.stacks.outputs[STACK]["EngineName"]


def _engine_in_progress(harness: EngineHarness) -> None:
    harness.stacks.statuses[STACK] = "CREATE_IN_PROGRESS"


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (_gone, "There is no stack single. Check its name, the account and the Region;"),
        (
            _project,
            "Stack single is a project already. Name the stack that was deployed from the single template.",
        ),
        (_engine, "Stack single is an engine already."),
        (_earlier, "Stack single cannot be moved: it has no output RunsTableStreamArn."),
        (_changing, "Stack single cannot be moved while it is UPDATE_IN_PROGRESS."),
        (
            _not_kept,
            "when it is deleted, its table TicksTable is deleted with it. Give that DeletionPolicy: Retain",
        ),
        (_other_namespace, "its Namespace is main, and must be test. Deploy another engine"),
        (_other_stores, "its ExistingStores is a,b, and must be "),
        (_no_engine, "Stack shop is not an engine: it has no output EngineName."),
        (_engine_in_progress, "Engine stack shop is CREATE_IN_PROGRESS. Wait"),
    ],
)
def test_what_cannot_be_moved_is_refused_before_anything_is_changed(
    harness: EngineHarness, change: Callable[[EngineHarness], None], expected: str
) -> None:
    change(harness)

    done = harness.move()

    assert done.exit_code == 2, done.output
    assert expected in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert all(harness.is_on(name) for name in SENDING)


def test_what_is_not_there_cannot_be_left_behind(harness: EngineHarness) -> None:
    done = harness.move("--leave", "daily")

    assert done.exit_code == 2
    assert "Stack single has no sensor or job daily, so it cannot be left behind." in done.stderr
