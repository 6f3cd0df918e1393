"""The handlers as they are deployed, on moto: the template's tables, its environment, its sample events."""

import importlib
import json
import logging
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import boto3
import pytest
from moto import mock_aws

from tests.support.dev_stores import worker_calls
from tests.support.moto_partiql import execute_batches
from tests.support.moto_responses import find_names_once, receive_at_once
from tests.support.moto_transactions import keep_tables_uncopied
from tests.support.stacks import Stacks
from tests.support.streams import as_record
from tests.support.tables import create_tables
from treadle.adapters import clients
from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.parameters import ParameterStore
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.adapters.targets.registry import KINDS
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus
from treadle.dev.engine import KIND as LOCAL
from treadle.dev.engine import LocalEngine, LocalSensor
from treadle.dev.jobs import EVERY, JobDouble
from treadle.dev.messages import Load
from treadle.dev.queue import LocalQueue
from treadle.dev.worker import _described, _Local
from treadle.engine.assembly import Assembly
from treadle.engine.tick import event_ticks
from treadle.entrypoints.evaluator import Infrastructure, SensorHandler, evaluator
from treadle.model.runs import Run
from treadle.model.targets import Execution, JobSettings
from treadle.testing.bus import NAMESPACE
from treadle.testing.objects import InMemoryObjects
from treadle.testing.registry import job_text, sensor_text
from treadle.testing.stores import InMemoryStores

ROOT = Path(__file__).parents[2]
BUCKET = "treadle-watched-bucket"
OUTCOMES = "treadle-outcomes-bucket"
QUEUES = ("own", "launch", "dispatch", "publish", "record", "dead")
ENGINE = "shop"
ROLE = "arn:aws:iam::123456789012:role/machine"
SECRET = "the secret"
STATUSES = {
    DagsterRunStatus.STARTED: "RUNNING",
    DagsterRunStatus.SUCCESS: "SUCCEEDED",
    DagsterRunStatus.FAILURE: "FAILED",
    DagsterRunStatus.CANCELED: "ABORTED",
}
MACHINE = '{"StartAt":"Done","States":{"Done":{"Type":"Succeed"}}}'


@dataclass(frozen=True)
class LambdaContext:
    """What Lambda hands to a handler."""

    function_name: str = "function"
    memory_limit_in_mb: int = 256
    invoked_function_arn: str = "arn:aws:lambda:us-east-1:123456789012:function:function"
    aws_request_id: str = "8f507cfc-xmpl-4697-b07a-ac58fc914c95"
    seconds: float = 60.0

    def get_remaining_time_in_millis(self) -> int:
        return int(self.seconds * 1000)


@dataclass
class Deployment:
    """A deployment on moto."""

    stores: DynamoStores
    machine: str
    queues: dict[str, str]
    monkeypatch: pytest.MonkeyPatch
    handlers: dict[str, Any] = field(default_factory=dict)

    def invoke(self, function: str, event: dict[str, Any]) -> Any:
        """Return the answer of a function's handler, kept warm between calls."""
        if function not in self.handlers:
            name = f"functions.{function.replace('/', '.')}.app"
            sys.modules.pop(name, None)
            self.handlers[function] = self.deployed(importlib.import_module(name).handler)
        return self.handlers[function](event, LambdaContext())

    def deployed(self, handler: Any) -> Any:
        """Return a function's handler as it is invoked here."""
        return handler

    def evaluator(self, definition: SensorDefinition, jobs: Sequence[JobDefinition] | None = None) -> Any:
        """Return the handler of a sensor's function."""
        return self.deployed(evaluator(definition, jobs=jobs))

    def share_secret(self) -> None:
        """Let a webhook sensor share a secret with its sender."""
        boto3.client("secretsmanager").create_secret(
            Name="shop/senders", SecretString=json.dumps({"github": SECRET})
        )
        self.setenv(TREADLE_WEBHOOK_SECRET="shop/senders#github")

    def put(self, key: str, body: bytes = b"a,b\n1,2\n") -> str:
        """Store an object; its entity tag."""
        answer = boto3.client("s3").put_object(Bucket=BUCKET, Key=key, Body=body)
        return answer["ETag"].strip('"')

    def messages(self, queue: str) -> list[dict[str, Any]]:
        """Return what is in a queue, taken out, with attributes."""
        found: list[dict[str, Any]] = []
        sqs = boto3.client("sqs")
        while True:
            answer = sqs.receive_message(
                QueueUrl=self.queues[queue], MaxNumberOfMessages=10, MessageAttributeNames=["All"]
            )
            batch = answer.get("Messages", [])
            if not batch:
                return found
            for message in batch:
                sqs.delete_message(QueueUrl=self.queues[queue], ReceiptHandle=message["ReceiptHandle"])
                found.append(dict(message))

    def register(self, path: str, text: str, operation: str = "Update") -> Any:
        """Let a project change an entry, and RECONCILE take it over; the other functions start again."""
        name = f"/treadle/{ENGINE}/{path}"
        if operation == "Delete":
            boto3.client("ssm").delete_parameter(Name=name)
        else:
            boto3.client("ssm").put_parameter(Name=name, Value=text, Type="String", Overwrite=True)
        event = sample("reconcile-registry")
        answer = self.invoke(
            "engine/reconcile",
            {**event, "detail": {**event["detail"], "operation": operation, "name": name}},
        )
        self.handlers = {"engine/reconcile": self.handlers["engine/reconcile"]}
        return answer

    def register_job(self, **fields: str) -> Any:
        """Let the project change the entry of its job."""
        return self.register("jobs/process_file", job_text("shop", job_at(self.machine), **fields))

    def fresh_stores(self) -> DynamoStores:
        """Return the stores over clients of their own."""
        tables = (
            self._environment[f"TREADLE_{name}_TABLE"] for name in ("SENSORS", "TICKS", "RUNS", "EVENTS")
        )
        return DynamoStores(TableNames(*tables), RandomTokens(), S3BlobStore(OUTCOMES))

    def executions(self) -> list[str]:
        """Return the names of all executions of the job's state machine."""
        answer = boto3.client("stepfunctions").list_executions(stateMachineArn=self.machine)
        return [execution["name"] for execution in answer["executions"]]

    def dispatch_pending(self) -> Any:
        """Hand the pending ticks to DISPATCH, as the stream would."""
        ticks = boto3.client("dynamodb").scan(
            TableName=self.environment["TREADLE_TICKS_TABLE"], FilterExpression="attribute_exists(pending)"
        )["Items"]
        records = [as_record(item) for item in ticks]
        return self.invoke("engine/dispatch", {"Records": records})

    def launch_queued(self) -> Any:
        """Hand the launch queue's messages to LAUNCH."""
        bodies = [message["Body"] for message in self.messages("launch")]
        return self.invoke("engine/launch", batch(*bodies))

    def published(self) -> list[dict[str, Any]]:
        """Let PUBLISH receive all run records, as the stream would; return the events on the bus."""
        self.subscribe()
        runs = boto3.client("dynamodb").scan(TableName=self.environment["TREADLE_RUNS_TABLE"])["Items"]
        self.invoke("engine/publish", {"Records": [as_record(each) for each in runs]})
        return self.bus_events()

    def subscribe(self) -> None:
        """Let a queue receive all events of the bus."""
        self.queues["bus"] = boto3.client("sqs").create_queue(QueueName="bus")["QueueUrl"]
        events = boto3.client("events")
        events.put_rule(Name="all", EventBusName="treadle", EventPattern='{"source": ["treadle"]}')
        arn = "arn:aws:sqs:us-east-1:123456789012:bus"
        events.put_targets(Rule="all", EventBusName="treadle", Targets=[{"Id": "bus", "Arn": arn}])

    def bus_events(self) -> list[dict[str, Any]]:
        """Return the events of the bus since the last call."""
        bodies = [json.loads(message["Body"]) for message in self.messages("bus")]
        # AWS says where an event comes from; moto does not.
        return [{**body, "account": "123456789012", "region": "us-east-1"} for body in bodies]

    def changed(self, run: Run, status: str, stop: str = "") -> dict[str, object]:
        """Return the event of an execution's status, as the rule's transformer leaves it."""
        event = json.loads(sample("record-execution-failed")["Records"][0]["body"])
        detail = {
            "executionArn": run.external_id,
            "stateMachineArn": self.machine,
            "name": run.launch_id,
            "status": status,
            "startDate": str(run.started_at),
            "stopDate": stop,
        }
        return {**event, "detail": detail}

    def report(self, run: Run, status: DagsterRunStatus, ended_at: int | None = None) -> None:
        """Let RECORD receive the status of a run's execution."""
        event = self.changed(run, STATUSES[status], str(ended_at or ""))
        assert self.invoke("engine/record", batch(event)) == {"batchItemFailures": []}

    @property
    def environment(self) -> dict[str, str]:
        """The functions' environment."""
        return self._environment

    _environment: dict[str, str] = field(default_factory=dict)

    def setenv(self, **values: str) -> None:
        """Change the functions' environment; handlers start again."""
        self._environment |= values
        for name, value in values.items():
            self.monkeypatch.setenv(name, value)
        self.handlers.clear()


@dataclass(kw_only=True)
class DevDeployment(Deployment):
    """The engine and the stores of `treadle dev`; functions call them over a connection, as their processes do.

    Attributes:
        engine: the engine, whose steps a test takes.
        infrastructure: what a function is built on.
        objects: those of all buckets.
        own: the queue of the sensor.
    """

    engine: LocalEngine
    infrastructure: Infrastructure
    objects: InMemoryObjects
    own: LocalQueue

    def deployed(self, handler: SensorHandler) -> SensorHandler:
        made = handler.on(self.infrastructure)
        function: Any = SimpleNamespace(loaded=_described(made))
        local = self.engine.sensors["function"] = LocalSensor(function, self.own)
        self.engine.loaded(local)
        return made

    def register(self, path: str, text: str, operation: str = "Update") -> None:
        """Do nothing: a function that has loaded is registered."""

    def share_secret(self) -> None:
        self.setenv(TREADLE_WEBHOOK_SECRET="senders")

    def put(self, key: str, body: bytes = b"a,b\n1,2\n") -> str:
        return self.objects.put(BUCKET, key, body).object.etag

    def messages(self, queue: str) -> list[dict[str, Any]]:
        if queue == "dead":
            dead_letters = self.engine.dead_letters.receive()
            for each in dead_letters:
                self.engine.dead_letters.delete(each)
            return [
                {
                    "Body": each.body,
                    "MessageAttributes": {
                        name: {"StringValue": value} for name, value in each.attributes.items()
                    },
                }
                for each in dead_letters
            ]
        source = {"own": self.own, "launch": self.engine.launches, "dispatch": self.engine.dispatches}[queue]
        found = source.receive()
        for message in found:
            source.delete(message)
        return [{"Body": each.body} for each in found]

    def executions(self) -> list[str]:
        return list(self.engine.targets[LOCAL].begun)

    def dispatch_pending(self) -> None:
        self.engine._dispatch()

    def launch_queued(self) -> None:
        self.engine._launch()

    def published(self) -> list[dict[str, Any]]:
        self.engine._publish()
        return [json.loads(message["Body"]) for message in self.messages("own")]

    def report(self, run: Run, status: DagsterRunStatus, ended_at: int | None = None) -> None:
        assert run.external_id is not None
        assert run.started_at is not None
        arn = self.engine.jobs[run.job].arn
        self.engine._changed(
            Execution(run.external_id, arn, status, run.started_at, ended_at, launch_id=run.launch_id)
        )
        self.engine._record()


ON_BOTH = pytest.mark.parametrize("deployment", ["aws", "dev"], indirect=True)
"""Marks a test of what the deployed engine and that of `treadle dev` have in common."""


def sample(name: str) -> dict[str, Any]:
    """Return one of the sample events."""
    event: dict[str, Any] = json.loads((ROOT / "events" / f"{name}.json").read_text())
    return event


def batch(*bodies: str | dict[str, Any], receives: int = 1) -> dict[str, Any]:
    """Return an SQS batch of messages."""
    [record] = sample("launch-message")["Records"]
    texts = [body if isinstance(body, str) else json.dumps(body) for body in bodies]
    attributes = {**record["attributes"], "ApproximateReceiveCount": str(receives)}
    return {
        "Records": [
            {**record, "body": text, "messageId": f"m{index}", "attributes": attributes}
            for index, text in enumerate(texts)
        ]
    }


def object_created(
    key: str, etag: str, sequencer: str = "01", time: str = "2026-11-22T18:00:05Z"
) -> dict[str, Any]:
    """Return the event of an object."""
    event = sample("new_objects-s3-event-direct")
    stored = {"key": key, "etag": etag, "size": 8, "sequencer": sequencer}
    return {**event, "time": time, "detail": {**event["detail"], "object": stored}}


def job_at(machine: str) -> JobSettings:
    """Return the job that the sensor may start."""
    return JobSettings("process_file", "step_functions", machine, "ProcessFileStateMachineArn")


def registered(machine: str) -> dict[str, str]:
    """Return the project's entries."""
    sensor = sensor_text("shop", "process_file", kind="s3")
    return {"sensors/new_objects": sensor, "jobs/process_file": job_text("shop", job_at(machine))}


@pytest.fixture
def deployment(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> Iterator[Deployment]:
    made = on_dev if getattr(request, "param", "") == "dev" else on_moto
    # However slow this machine is, the results of an invocation are committed together.
    monkeypatch.setattr(event_ticks, "HOLD_MS", 3_600_000)
    with made(monkeypatch, tmp_path) as found:
        yield found


@contextmanager
def on_dev(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[DevDeployment]:
    """Provide the engine of `treadle dev`, whose jobs end when a test reports it."""
    # Their threads end with the process.
    doubles = {EVERY: JobDouble(seconds=3_600)}
    engine = LocalEngine(InMemoryStores(), lambda: doubles, folder, lambda *_: None)
    objects, own = InMemoryObjects(engine.clock), engine.queue("own")
    calls = {**vars(engine.stores), "objects": objects, "queue": own, "dead_letters": engine.dead_letters}
    with worker_calls(calls) as caller:
        local = _Local(caller, Load(folder, folder, {}, engine.clock.now(), SECRET))
        made = DevDeployment(
            *(cast("DynamoStores", engine.stores), "", {}, monkeypatch),
            engine=engine,
            infrastructure=local,
            objects=objects,
            own=own,
        )
        made.setenv(
            TREADLE_NAMESPACE=NAMESPACE,
            TREADLE_INTERVAL_SECONDS="60",
            TREADLE_DEFAULT_STATUS="RUNNING",
            TREADLE_S3_BUCKET=BUCKET,
            TREADLE_S3_START_FROM="beginning",
        )
        yield made
    engine._pool.shutdown()


@contextmanager
def on_moto(monkeypatch: pytest.MonkeyPatch, folder: Path) -> Iterator[Deployment]:
    """Provide the deployed engine's handlers, on moto."""
    del folder
    for handler in logging.getLogger("treadle").handlers:
        # Made by an earlier test, perhaps, whose captured output is closed by now.
        handler.stream = sys.stdout  # type: ignore[attr-defined]
    keep_tables_uncopied()
    execute_batches()
    find_names_once()
    receive_at_once(monkeypatch)
    with mock_aws():
        clients.forget()
        names = create_tables()
        for bucket in (BUCKET, OUTCOMES):
            boto3.client("s3").create_bucket(Bucket=bucket)
        machine = boto3.client("stepfunctions").create_state_machine(
            name="process-file", definition=MACHINE, roleArn=ROLE
        )["stateMachineArn"]
        sqs = boto3.client("sqs")
        queues = {name: sqs.create_queue(QueueName=name)["QueueUrl"] for name in QUEUES}
        boto3.client("events").create_event_bus(Name="treadle")
        made = Deployment(
            DynamoStores(names, RandomTokens(), S3BlobStore(OUTCOMES)), machine, queues, monkeypatch
        )
        job = {"target": "step_functions", "arn": machine, "parameter": "ProcessFileStateMachineArn"}
        made.setenv(
            TREADLE_NAMESPACE="123456789012/us-east-1/test",
            TREADLE_SENSORS_TABLE=names.sensors,
            TREADLE_TICKS_TABLE=names.ticks,
            TREADLE_RUNS_TABLE=names.runs,
            TREADLE_EVENTS_TABLE=names.events,
            TREADLE_DEAD_LETTER_QUEUE_URL=queues["dead"],
            TREADLE_QUEUE_URL=queues["own"],
            TREADLE_LAUNCH_QUEUE_URL=queues["launch"],
            TREADLE_DISPATCH_QUEUE_URL=queues["dispatch"],
            TREADLE_PUBLISH_QUEUE_URL=queues["publish"],
            TREADLE_RECORD_QUEUE_URL=queues["record"],
            TREADLE_OUTCOMES_BUCKET=OUTCOMES,
            TREADLE_BUS_NAME="treadle",
            TREADLE_INTERVAL_SECONDS="60",
            TREADLE_DEFAULT_STATUS="RUNNING",
            TREADLE_S3_BUCKET=BUCKET,
            TREADLE_S3_START_FROM="beginning",
            TREADLE_GRANTS='{"new_objects": "process_file"}',
            TREADLE_JOBS=json.dumps({"process_file": job}),
            TREADLE_ENGINE=ENGINE,
            TREADLE_ENGINE_ID="0b1c",
            POWERTOOLS_TRACE_DISABLED="true",
        )
        for path, text in registered(machine).items():
            boto3.client("ssm").put_parameter(Name=f"/treadle/{ENGINE}/{path}", Value=text, Type="String")
        engine = Assembly(made.stores, SystemClock(), RandomTokens(), "")
        assert engine.registry_sync(ParameterStore(ENGINE), ENGINE, KINDS).list_if_due()
        yield made
        clients.forget()


STACK = "shop"
STACK_QUEUES = {
    "dispatch": "Dispatch",
    "launch": "Launch",
    "record": "Record",
    "dead": "DeadLetter",
}
OWN = f"{STACK}-NewObjectsFunction-1X"
"""The sensor's function, of a stack of its own: the engine's has none of its resources."""


def of_project(deployment: Deployment) -> str:
    """Return the entry of the sensor, of a project of its own."""
    return sensor_text(
        "files",
        "process_file",
        kind="s3",
        function=OWN,
        queue=deployment.queues["own"],
        log_group=f"/aws/lambda/{STACK}/new_objects",
    )


@pytest.fixture
def stacks() -> Stacks:
    """The stacks that CloudFormation knows."""
    return Stacks()


@pytest.fixture
def stack(deployment: Deployment, stacks: Stacks) -> Deployment:
    """The deployment: the engine's queues and functions belong to a stack, the sensor to a project of its own."""
    record = boto3.client("sqs").create_queue(QueueName="record")["QueueUrl"]
    deployment.queues["record"] = record
    deployment.setenv(TREADLE_RECORD_QUEUE_URL=record)
    resources = {
        f"{prefix}Queue": ("AWS::SQS::Queue", deployment.queues[name])
        for name, prefix in STACK_QUEUES.items()
    }
    for function in ("DispatchFunction", "LaunchFunction"):
        resources[function] = ("AWS::Lambda::Function", f"{STACK}-{function}-1X")
        stacks.environments[f"{STACK}-{function}-1X"] = deployment.environment
    stacks.environments[OWN] = {**deployment.environment, "TREADLE_KIND": "s3"}
    stacks.descriptions[OWN] = "Sensor new_objects: a run for each new object"
    stacks.functions[OWN] = lambda event: deployment.invoke("sensors/new_objects", event)
    deployment.register("sensors/new_objects", of_project(deployment))
    deployment.register_job(sensors="new_objects")
    boto3.client("logs").create_log_group(logGroupName=f"/aws/lambda/{STACK}/new_objects")
    stacks.resources[STACK] = resources
    stacks.answer()
    return deployment
