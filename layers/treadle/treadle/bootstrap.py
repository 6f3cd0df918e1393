"""The composition root: from settings to adapters to engine, once per process."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, tzinfo
from typing import TYPE_CHECKING, Any

from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.bus import EventBridgeBus
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.queues import SqsDeadLetters, SqsQueue
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.adapters.targets.registry import KINDS, LazyTargets
from treadle.definitions.errors import SettingsError
from treadle.definitions.jobs import names_in
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.dispatch import DEFAULT_DEPTH, Dispatcher, Limits
from treadle.engine.evaluation import Evaluator
from treadle.engine.event_ticks import EventTicks
from treadle.engine.identity import RunIds
from treadle.engine.launch import Launcher
from treadle.engine.leased_ticks import LeasedTicks, TickSettings
from treadle.engine.observing import Observer
from treadle.engine.planning import Planner
from treadle.engine.preview import Previewer
from treadle.engine.publish import Publisher
from treadle.engine.reading import StoredEnds, StoredRuns
from treadle.engine.reconcile import Reconciler
from treadle.engine.record import Recorder
from treadle.engine.schedule import phase_of
from treadle.ports.launching import JobSettings
from treadle.ports.runs import Run
from treadle.ports.system import Bus, Clock, DeadLetters, InboxQueue, Queue
from treadle.ports.ticks import Tick

if TYPE_CHECKING:
    from treadle.operate.dead_letters import Redriver
    from treadle.operate.replay import Replayer
    from treadle.operate.runs import RunOperations


@dataclass(slots=True)
class Settings:
    """A function's environment, read with all problems kept until the end.

    Args:
        environment: names and values, such as `os.environ`.
    """

    environment: Mapping[str, str]
    problems: list[str] = field(default_factory=list)

    def text(self, name: str, default: str | None = None) -> str:
        """The value; a missing one without default is a problem."""
        value = self.environment.get(name, default)
        if value is None:
            self.problems.append(f"{name} is not set")
            return ""
        return value

    def number(self, name: str, of: str, default: int | None = None) -> int | None:
        """A whole number, 0 or more, of what `of` says; the default where it is not set or empty."""
        value = self.environment.get(name, "")
        if not value:
            return default
        if not value.isdecimal():
            self.problems.append(f"{name} is {value!r}, and must be a whole number of {of}")
            return default
        return int(value)

    def mapping(self, name: str) -> Mapping[str, Any]:
        """A JSON object."""
        text = self.text(name, None)
        try:
            value = json.loads(text or "{}")
        except ValueError as error:
            self.problems.append(f"{name} is no JSON: {error}")
            return {}
        if not isinstance(value, dict):
            self.problems.append(f"{name} must be a JSON object, and is a {type(value).__name__}")
            return {}
        return value

    def zone(self, name: str) -> tzinfo:
        """A time zone by its name, such as Europe/Berlin; UTC where it is not set."""
        value = self.environment.get(name, "")
        if not value:
            return UTC
        # Imported here, as few sensors need it.
        from zoneinfo import ZoneInfo

        try:
            return ZoneInfo(value)
        except (KeyError, ValueError):
            self.problems.append(f"{name} is {value!r}, and must be a time zone such as Europe/Berlin")
            return UTC

    def tables(self) -> TableNames:
        """The tables' names."""
        names = (self.text(f"TREADLE_{table}_TABLE") for table in ("SENSORS", "TICKS", "RUNS", "EVENTS"))
        return TableNames(*names)

    def grants(self) -> Mapping[str, frozenset[str]]:
        """Which sensor may start which jobs."""
        grants: dict[str, frozenset[str]] = {}
        for sensor, jobs in self.mapping("TREADLE_GRANTS").items():
            if not isinstance(jobs, str):
                self.problems.append(f"TREADLE_GRANTS: the jobs of {sensor!r} must be names joined by commas")
                continue
            grants[sensor] = frozenset(names_in(jobs))
        return grants

    def jobs(self) -> Mapping[str, JobSettings]:
        """What each job's name launches."""
        jobs: dict[str, JobSettings] = {}
        for name, job in self.mapping("TREADLE_JOBS").items():
            if not isinstance(job, dict) or job.get("target") not in KINDS:
                known = ", ".join(KINDS)
                self.problems.append(f"TREADLE_JOBS: job {name!r} needs a target, one of {known}")
                continue
            options = {key: str(value) for key, value in job.items()}
            target, arn = options.pop("target"), options.pop("arn", "")
            jobs[name] = JobSettings(name, target, arn, options.pop("parameter", "?"), options)
        return jobs

    def observed(self, jobs: Mapping[str, JobSettings]) -> frozenset[str]:
        """The jobs whose executions are recorded whoever started them."""
        names = frozenset(names_in(self.environment.get("TREADLE_OBSERVED_JOBS", "")))
        for name in sorted(names - jobs.keys()):
            known = ", ".join(sorted(jobs)) or "none"
            self.problems.append(
                f"TREADLE_OBSERVED_JOBS names {name!r}, which is no job here; known are: {known}"
            )
        return names

    def limits(self) -> Limits:
        """What a sensor may start at most."""
        depth = self.number("TREADLE_MAX_DEPTH", "runs", DEFAULT_DEPTH)
        return Limits(depth or DEFAULT_DEPTH, self.number("TREADLE_RUNS_PER_HOUR", "runs") or 0)

    def check(self) -> None:
        """Complain about everything at once.

        Raises:
            SettingsError: if anything was missing or malformed.
        """
        if self.problems:
            msg = f"The function's environment does not fit: {'; '.join(self.problems)}. See template.yaml."
            raise SettingsError(msg)


@dataclass(frozen=True, slots=True)
class Inbox:
    """A queue that a step takes its messages from.

    Attributes:
        origin: the step, as dead letters name it.
        queue: takes what is to be handled later.
        dead_letters: takes what cannot be handled.
    """

    origin: str
    queue: InboxQueue
    dead_letters: DeadLetters

    @classmethod
    def of(cls, origin: str, settings: Settings, name: str) -> "Inbox":
        """The queue whose URL a variable of the environment holds.

        Args:
            origin: the step.
            settings: of the environment.
            name: the variable's.
        """
        url, letters = settings.text(name), settings.text("TREADLE_DEAD_LETTER_QUEUE_URL")
        return cls(origin, SqsQueue(url), SqsDeadLetters(letters))


@dataclass(frozen=True, slots=True)
class EvaluatorParts:
    """What an evaluator needs."""

    name: str
    settings: TickSettings
    leased: LeasedTicks
    events: EventTicks
    previewer: Previewer
    inbox: Inbox
    clock: Clock
    is_woken: bool = False
    grace_seconds: int = 0
    time_zone: tzinfo = UTC


def evaluator_parts(
    definition: SensorDefinition, resources: Mapping[str, Any], environment: Mapping[str, str]
) -> EvaluatorParts:
    """An evaluator's parts.

    Args:
        definition: the sensor.
        resources: by key, what it may use.
        environment: the function's.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    try:
        definition = definition.configured(environment)
    except SettingsError as error:
        settings.problems.append(str(error).rstrip("."))
    namespace, tables = settings.text("TREADLE_NAMESPACE"), settings.tables()
    inbox = Inbox.of(f"sensor {definition.name}", settings, "TREADLE_QUEUE_URL")
    interval = settings.number("TREADLE_INTERVAL_SECONDS", "seconds", definition.minimum_interval_seconds)
    pause_after = settings.number("TREADLE_PAUSE_AFTER", "failures")
    status = settings.text("TREADLE_DEFAULT_STATUS", definition.default_status.value)
    if status not in set(DefaultSensorStatus):
        settings.problems.append(f"TREADLE_DEFAULT_STATUS is {status!r}: use RUNNING or STOPPED")
    outcomes = settings.text("TREADLE_OUTCOMES_BUCKET")
    zone = settings.zone("TREADLE_TIME_ZONE")
    settings.check()
    clock, tokens = SystemClock(), RandomTokens()
    stores = DynamoStores.of(tables, tokens, S3BlobStore(outcomes))
    planner = Planner(definition, RunIds.of(namespace), stores.runs)
    running = Evaluator(
        planner,
        clock,
        resources,
        StoredRuns(stores.runs, namespace),
        StoredEnds(stores.events, clock),
    )
    default = DefaultSensorStatus(status)
    millis = (interval or 0) * 1000
    phase = phase_of(definition.name, millis)
    # A paused sensor drops events, so one that takes them is only slowed.
    pauses = 0 if definition.takes_events else pause_after or 0
    ticking = TickSettings(millis, default, pauses, phase)
    return EvaluatorParts(
        definition.name,
        ticking,
        LeasedTicks(running, stores.sensors, clock, tokens, ticking, inbox.queue),
        EventTicks(running, stores.sensors, stores.ticks, tokens, default, stores.runs, namespace),
        Previewer(running, stores.sensors, clock),
        inbox,
        clock,
        definition.is_woken,
        int(definition.grace.total_seconds()),
        zone,
    )


DISPATCH_WORKERS = 8
"""DISPATCH waits for DynamoDB most of its time, so it writes so many run records at a time."""


@dataclass(frozen=True, slots=True)
class DispatcherParts:
    """What DISPATCH needs.

    Attributes:
        dispatcher: applies ticks.
        read: the tick that an image of the ticks table's stream holds.
        bus: where it is told what happened.
        inbox: the queue of slices.
    """

    dispatcher: Dispatcher
    read: Callable[[dict[str, dict[str, Any]]], Tick]
    bus: Bus
    inbox: Inbox


def dispatcher_parts(environment: Mapping[str, str]) -> DispatcherParts:
    """DISPATCH's parts.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    make = _dispatcher(settings)
    inbox = Inbox.of("dispatch", settings, "TREADLE_DISPATCH_QUEUE_URL")
    bus = settings.text("TREADLE_BUS_NAME")
    settings.check()
    dispatcher, stores, _ = make()
    return DispatcherParts(dispatcher, stores.ticks.read, EventBridgeBus(bus), inbox)


@dataclass(frozen=True, slots=True)
class PublisherParts:
    """What PUBLISH needs.

    Attributes:
        publisher: tells of runs.
        read: the record that an image of the runs table's stream holds.
        inbox: the queue of what could not be told at once.
    """

    publisher: Publisher
    read: Callable[[dict[str, dict[str, Any]]], Run]
    inbox: Inbox


def publisher_parts(environment: Mapping[str, str]) -> PublisherParts:
    """PUBLISH's parts.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    tables, namespace = settings.tables(), settings.text("TREADLE_NAMESPACE")
    inbox = Inbox.of("publish", settings, "TREADLE_PUBLISH_QUEUE_URL")
    bus = settings.text("TREADLE_BUS_NAME")
    settings.check()
    stores = DynamoStores.of(tables, RandomTokens())
    publisher = Publisher(stores.runs, stores.events, EventBridgeBus(bus), namespace)
    return PublisherParts(publisher, stores.runs.read, inbox)


def reconciler_parts(environment: Mapping[str, str]) -> Reconciler:
    """RECONCILE.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    make, jobs = _dispatcher(settings), settings.jobs()
    settings.check()
    dispatcher, stores, launches = make()
    return Reconciler(stores.ticks, stores.runs, launches, dispatcher, jobs, LazyTargets(), SystemClock())


def _dispatcher(settings: Settings) -> Callable[[], tuple[Dispatcher, DynamoStores, Queue]]:
    """Makes the dispatcher, its stores and the launch queue, once the settings are checked."""
    tables, grants, limits = settings.tables(), settings.grants(), settings.limits()
    launch_url = settings.text("TREADLE_LAUNCH_QUEUE_URL")
    slices = settings.text("TREADLE_DISPATCH_QUEUE_URL")
    outcomes = settings.text("TREADLE_OUTCOMES_BUCKET")

    def make() -> tuple[Dispatcher, DynamoStores, Queue]:
        stores = DynamoStores.of(tables, RandomTokens(), S3BlobStore(outcomes))
        launches = SqsQueue(launch_url)
        dispatcher = Dispatcher(
            stores.ticks,
            stores.runs,
            launches,
            grants,
            SystemClock(),
            limits=limits,
            slices=SqsQueue(slices),
            workers=DISPATCH_WORKERS,
        )
        return dispatcher, stores, launches

    return make


def launcher_parts(environment: Mapping[str, str]) -> tuple[Launcher, Inbox]:
    """LAUNCH's parts.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    tables, jobs = settings.tables(), settings.jobs()
    inbox = Inbox.of("launch", settings, "TREADLE_LAUNCH_QUEUE_URL")
    settings.check()
    tokens = RandomTokens()
    runs = DynamoStores.of(tables, tokens).runs
    return Launcher(runs, inbox.queue, jobs, LazyTargets(), SystemClock(), tokens), inbox


def recorder_parts(environment: Mapping[str, str]) -> tuple[Recorder, Inbox]:
    """RECORD's parts.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    tables, jobs = settings.tables(), settings.jobs()
    namespace, observed = settings.text("TREADLE_NAMESPACE"), settings.observed(jobs)
    inbox = Inbox.of("record", settings, "TREADLE_RECORD_QUEUE_URL")
    settings.check()
    runs = DynamoStores.of(tables, RandomTokens()).runs
    observer = Observer(observed, RunIds.of(namespace))
    return Recorder(runs, jobs, LazyTargets(), SystemClock(), namespace, observer), inbox


ENGINE_QUEUES = {
    "dispatch": "DispatchQueue",
    "launch": "LaunchQueue",
    "publish": "PublishQueue",
    "record": "RecordQueue",
}
"""The engine's steps as dead letters name them, and the queues that each takes its messages from."""


@dataclass(frozen=True, slots=True)
class OperatorParts:
    """What an operator of a deployed stack needs.

    Attributes:
        runs: another attempt for a run, and the end of one.
        redriver: sends dead letters again.
        replayer: tells a sensor of runs once more.
    """

    runs: "RunOperations"
    redriver: "Redriver"
    replayer: "Replayer"


def operator_parts(stack: str) -> OperatorParts:
    """An operator's parts, for a stack in the account and Region that boto3 finds.

    Args:
        stack: its name.

    Raises:
        DeploymentError: if the stack cannot be read.
        SettingsError: if its functions are not set up as the template does it.
    """
    # Imported here, as no function needs them.
    from treadle.adapters.queues import SqsLetterBox
    from treadle.adapters.stack import read_stack
    from treadle.operate.dead_letters import Redriver
    from treadle.operate.letters import Destination
    from treadle.operate.replay import Replayer
    from treadle.operate.runs import RunOperations

    deployed = read_stack(stack, ("DispatchFunction", "LaunchFunction"))
    settings = Settings(deployed.environment)
    tables, jobs = settings.tables(), settings.jobs()
    namespace = settings.text("TREADLE_NAMESPACE")
    launches = settings.text("TREADLE_LAUNCH_QUEUE_URL")
    letters = settings.text("TREADLE_DEAD_LETTER_QUEUE_URL")
    sensors = {f"sensor {name}": _queue_id(name) for name in settings.grants()}
    settings.check()
    destinations = [
        Destination(origin, deployed.queue_arn(queue), SqsQueue(deployed.queue_urls[queue]))
        for origin, queue in (ENGINE_QUEUES | sensors).items()
        if queue in deployed.queue_urls
    ]
    runs = DynamoStores.of(tables, RandomTokens()).runs
    operations = RunOperations(
        runs, SqsQueue(launches), jobs, LazyTargets(), RunIds.of(namespace), SystemClock()
    )
    queues = {
        name: SqsQueue(deployed.queue_urls[_queue_id(name)])
        for name in settings.grants()
        if _queue_id(name) in deployed.queue_urls
    }
    replayer = Replayer(runs, queues, namespace, SystemClock())
    return OperatorParts(operations, Redriver(SqsLetterBox(letters), destinations), replayer)


def _queue_id(sensor: str) -> str:
    """`new_objects` -> `NewObjectsQueue`: the template names a sensor's resources after it."""
    return "".join(word.capitalize() for word in sensor.split("_")) + "Queue"
