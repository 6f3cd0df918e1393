"""The console over a deployment in memory: called as by API Gateway, or by a real server on this machine."""

import base64
import contextlib
import functools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.http_server import running_server
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.operator import OperatorParts
from treadle.console.app import Console
from treadle.console.server import LocalServer
from treadle.console.static_token import Caller, Role, StaticTokenAuth
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.identity import RunIds
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.evaluator import _COMMANDS, EvaluatorParts
from treadle.integrations.s3.definition import S3SensorDefinition
from treadle.integrations.s3.inspection import SelectedObjects, selections_of
from treadle.model.deployment import DeployedSensor
from treadle.model.targets import JobSettings
from treadle.operate.assets import AssetCatalogue
from treadle.operate.backfills import BackfillOperations
from treadle.operate.doctor import Doctor
from treadle.operate.drops import TickDrops
from treadle.operate.explain import Explainer
from treadle.operate.invoke import SensorInvoker
from treadle.operate.loops import LoopReleases
from treadle.operate.open_batches import OpenBatches
from treadle.operate.overview import Overview
from treadle.operate.partitions import PartitionOperations
from treadle.operate.pools import PoolOperations
from treadle.operate.recorded_ticks import RecordedTicks
from treadle.operate.redrive import Redriver
from treadle.operate.redrive_routes import Destination
from treadle.operate.replay import Replayer
from treadle.operate.runs import RunOperations
from treadle.operate.search import Search
from treadle.operate.sensors import SensorOperations
from treadle.operate.ticks import TickHistory
from treadle.testing.bus import NAMESPACE
from treadle.testing.deployment import Function, InMemoryDeployment
from treadle.testing.health import InMemoryHealth
from treadle.testing.instance import KIND, TreadleInstance
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue

TOKEN = "the-start-up-token"
ANN = "arn:aws:iam::123456789012:user/ann"
CHANGE = {"X-Treadle": "console"}


@dataclass
class MemoryStack:
    """A deployment in memory, as its operator finds it.

    Attributes:
        instance: sensors, ticks and runs, made by the real engine.
        dead_letters: its dead letters.
        queues: the destinations of a redrive, by origin.
        dispatches: DISPATCH's queue.
    """

    instance: TreadleInstance
    dead_letters: InMemoryDeadLetters = field(default_factory=InMemoryDeadLetters)
    queues: dict[str, InMemoryQueue] = field(default_factory=lambda: {"launch": InMemoryQueue()})
    of_project: InMemoryDeadLetters = field(default_factory=InMemoryDeadLetters)
    dispatches: InMemoryQueue = field(default_factory=InMemoryQueue)

    @property
    def parts(self) -> OperatorParts:
        """The parts that an operator's commands use."""
        made = self.instance
        jobs = {run.job: JobSettings(run.job, KIND, f"memory:{run.job}", "-") for run in made.runs()}
        places = [Destination(each, f"arn:{each}", queue) for each, queue in self.queues.items()]
        sensors, ticks, runs, events = (
            made._stores.sensors,
            made._stores.ticks,
            made._stores.runs,
            made._stores.events,
        )
        deployed = {name: _deployed(each.definition) for name, each in made._parts.items()}
        functions: dict[str, Function] = {name: functools.partial(self._invoked, name) for name in deployed}
        deployment = InMemoryDeployment(list(deployed.values()), functions)
        overview = Overview(deployment, sensors, ticks, runs, made.clock)
        redriver, health = self._redriver(places), InMemoryHealth()
        objects = SelectedObjects(selections_of(deployment), made.objects)
        run_operations = RunOperations(
            runs, sensors, made._launches, jobs, {KIND: made.target}, RunIds.of(NAMESPACE), made.clock
        )
        backfills = BackfillOperations(
            made._stores.backfills,
            self.dispatches,
            jobs,
            run_operations,
            RunIds.of(NAMESPACE),
            made.clock,
        )
        pools = PoolOperations(
            made._stores.pools, runs, self.dispatches, lambda: made._declared_pools.entries, made.clock
        )
        return OperatorParts(
            deployment,
            overview,
            SensorOperations(sensors, made.clock),
            TickHistory(sensors, ticks, runs),
            SensorInvoker(deployment),
            run_operations,
            AssetCatalogue(events),
            redriver,
            Replayer(runs, events, {}, NAMESPACE, made.clock),
            Explainer(
                deployment,
                sensors,
                ticks,
                runs,
                RunIds.of(NAMESPACE),
                objects,
                health,
                redriver,
                made.clock,
                pools=pools,
                batches=made._stores.batches,
            ),
            Doctor(deployment, health, overview, ticks, runs, made.clock, pools=pools),
            TickDrops(ticks, made.clock),
            LoopReleases(ticks, sensors, made.clock),
            jobs,
            PartitionOperations(made._stores.partitions, made.clock),
            backfills,
            pools,
            RecordedTicks(made._stores, NAMESPACE),
            Search(deployment, run_operations, RunIds.of(NAMESPACE), objects, made.clock),
            OpenBatches(made._stores.batches, made.clock),
        )

    def _redriver(self, places: list[Destination]) -> Redriver:
        return Redriver(self.dead_letters, lambda: places, lambda: {"files": self.of_project})

    def _invoked(self, sensor: str, event: Mapping[str, object]) -> Mapping[str, object]:
        """Invoke a sensor's function directly, run the rest of the engine, and return the response."""
        made = self.instance._parts[sensor]
        inbox = Inbox(f"sensor {sensor}", InMemoryQueue(), self.dead_letters)
        parts = EvaluatorParts(made, inbox, self.instance.clock)
        answer = _COMMANDS[str(event["treadle"])](parts, event, Budget())
        subject = str(answer.get("subject"))
        self.instance._applied(sensor, Outcome(Decision.SUCCESS, "", subject))
        return answer


def _deployed(definition: SensorDefinition) -> DeployedSensor:
    """Return a sensor as the template deploys it."""
    running = DefaultSensorStatus.RUNNING
    summary, interval = definition.description or "", definition.minimum_interval_seconds
    settings = {"TREADLE_NAMESPACE": NAMESPACE}
    if isinstance(definition, S3SensorDefinition):
        settings["TREADLE_S3_BUCKET"] = json.dumps(definition.selection.buckets)
    if definition.active is not None:
        settings["TREADLE_HOURS"] = str(definition.active)
    return DeployedSensor(
        definition.name, definition.kind, summary, definition.job_names, running, interval, settings=settings
    )


def console_of(stack: MemoryStack, role: Role = Role.OPERATOR) -> Console:
    """Return the console of a stack for Ann, who has the start-up token."""
    return Console(lambda: stack.parts, start_token(role), stack.instance.clock)


def start_token(role: Role = Role.OPERATOR) -> StaticTokenAuth:
    """Return authentication by the start-up token."""
    return StaticTokenAuth(TOKEN, Caller(ANN, role))


@dataclass(frozen=True)
class Answer:
    """A response of the console.

    Attributes:
        status: HTTP's.
        headers: by names in lower case.
        text: the body.
    """

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def json(self) -> Any:
        """The parsed body."""
        return json.loads(self.text)


@dataclass
class Client:
    """Calls a console as API Gateway does.

    Attributes:
        console: receives the requests.
        headers: of every request.
        context: API Gateway's facts about the caller.
    """

    console: Console
    headers: Mapping[str, str] = field(default_factory=lambda: {"Authorization": f"Bearer {TOKEN}"})
    context: Mapping[str, Any] = field(default_factory=dict)

    def get(self, path: str, **query: str | int) -> Answer:
        """Send a GET request."""
        return self.send("GET", path, query={name: str(value) for name, value in query.items()})

    def post(self, path: str, body: object = None) -> Answer:
        """Send a POST request."""
        return self.send("POST", path, body=body, headers=CHANGE)

    def put(self, path: str, body: object) -> Answer:
        """Send a PUT request."""
        return self.send("PUT", path, body=body, headers=CHANGE)

    def send(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        body: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Answer:
        """Send any request; a body that is not text is sent as JSON."""
        event = http_event(method, path, {**self.headers, **(headers or {})}, query, body, self.context)
        answer = self.console.handle(event)
        text = str(answer["body"])
        if answer["isBase64Encoded"]:
            text = base64.b64decode(text).decode(errors="replace")
        headers = {name.lower(): str(value) for name, value in answer["headers"].items()}
        return Answer(answer["statusCode"], headers, text)


def http_event(
    method: str,
    path: str,
    headers: Mapping[str, str],
    query: Mapping[str, str] | None = None,
    body: object = None,
    context: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a request in the format of API Gateway's HTTP APIs, payload version 2."""
    sent = {name.lower(): value for name, value in headers.items()}
    event: dict[str, Any] = {
        "version": "2.0",
        "routeKey": "$default",
        "rawPath": path,
        "rawQueryString": "",
        "headers": sent,
        "requestContext": {
            "accountId": "123456789012",
            "apiId": "a1b2c3",
            "domainName": "a1b2c3.execute-api.eu-central-1.amazonaws.com",
            "http": {
                "method": method,
                "path": path,
                "protocol": "HTTP/1.1",
                "sourceIp": "192.0.2.1",
                "userAgent": "a test",
            },
            "requestId": "JKJaXmPLvHcESHA=",
            "routeKey": "$default",
            "stage": "$default",
            "time": "28/Nov/2026:02:00:00 +0000",
            "timeEpoch": 1_795_831_200_000,
            **(context or {}),
        },
        "isBase64Encoded": False,
    }
    if query:
        event["queryStringParameters"] = dict(query)
    if body is not None:
        event["body"] = body if isinstance(body, str) else json.dumps(body)
        sent.setdefault("content-type", "application/json")
    return event


@contextlib.contextmanager
def served(console: Console) -> Iterator[LocalServer]:
    """Serve the console on a port of this machine, as `treadle console` does."""
    with running_server(LocalServer(console)) as server:
        yield server
