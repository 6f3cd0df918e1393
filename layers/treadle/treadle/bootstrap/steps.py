"""The objects that the engine's components need."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.bus import EventBridgeBus
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.parameters import ParameterStore
from treadle.adapters.queues import SqsDeadLetters, SqsQueue
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.adapters.targets.registry import KINDS, LazyTargets
from treadle.bootstrap.inbox import Inbox
from treadle.bootstrap.settings import Settings
from treadle.engine.assets.asset_recorder import AssetRecorder
from treadle.engine.dispatch.dispatcher import Dispatcher
from treadle.engine.engine_check import Heartbeat
from treadle.engine.identity import RunIds
from treadle.engine.launch.launcher import Launcher
from treadle.engine.publish.publisher import Publisher
from treadle.engine.reconcile.external_run_poller import ExternalRunPoller
from treadle.engine.reconcile.late_sensors import LateSensors
from treadle.engine.reconcile.reconciler import Reconciler
from treadle.engine.record.external_runs import ExternalRunRecorder
from treadle.engine.record.recorder import Recorder
from treadle.engine.registry.registry_cache import CachedRegistry, ObservedJobs, RegisteredJobs
from treadle.engine.registry.registry_sync import RegistrySync
from treadle.model.runs import Run
from treadle.model.ticks import Tick
from treadle.ports.system import Bus, Queue

DISPATCH_WORKERS = 8
"""How many run records DISPATCH writes concurrently, as it mostly waits for DynamoDB."""


@dataclass(frozen=True, slots=True)
class DispatcherParts:
    """The objects that DISPATCH needs.

    Attributes:
        dispatcher: dispatches ticks.
        read: decodes a tick from an image in the ticks table's stream.
        bus: the engine's bus.
        inbox: the queue of chunks and whole ticks.
    """

    dispatcher: Dispatcher
    read: Callable[[dict[str, dict[str, Any]]], Tick]
    bus: Bus
    inbox: Inbox


def dispatcher_parts(environment: Mapping[str, str]) -> DispatcherParts:
    """Create DISPATCH's objects.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    make = _dispatcher(settings)
    inbox = Inbox.of("dispatch", settings, "TREADLE_DISPATCH_QUEUE_URL")
    settings.check()
    dispatcher, stores, _, bus, _ = make()
    return DispatcherParts(dispatcher, stores.ticks.read, bus, inbox)


@dataclass(frozen=True, slots=True)
class PublisherParts:
    """The objects that PUBLISH needs.

    Attributes:
        publisher: publishes status changes of runs.
        read: decodes a run from an image in the runs table's stream.
        inbox: the queue of events to publish later.
    """

    publisher: Publisher
    read: Callable[[dict[str, dict[str, Any]]], Run]
    inbox: Inbox


def publisher_parts(environment: Mapping[str, str]) -> PublisherParts:
    """Create PUBLISH's objects.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    tables, namespace = settings.tables(), settings.text("TREADLE_NAMESPACE")
    inbox = Inbox.of("publish", settings, "TREADLE_PUBLISH_QUEUE_URL")
    bus = settings.text("TREADLE_BUS_NAME")
    settings.check()
    stores = DynamoStores(tables, RandomTokens())
    publisher = Publisher(stores.runs, stores.events, EventBridgeBus(bus), namespace)
    return PublisherParts(publisher, stores.runs.read, inbox)


@dataclass(frozen=True, slots=True)
class ReconcilerParts:
    """The objects that RECONCILE needs.

    Attributes:
        reconciler: finds what is overdue, and copies the registry.
        engine: the engine's name, under which projects register.
    """

    reconciler: Reconciler
    engine: str


def reconciler_parts(environment: Mapping[str, str]) -> ReconcilerParts:
    """Create RECONCILE's objects.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    make = _dispatcher(settings)
    namespace = settings.text("TREADLE_NAMESPACE")
    dead_letter_url, engine = settings.text("TREADLE_DEAD_LETTER_QUEUE_URL"), settings.text("TREADLE_ENGINE")
    engine_id = settings.text("TREADLE_ENGINE_ID")
    settings.check()
    dispatcher, stores, launches, bus, registry = make()
    targets, clock, jobs = LazyTargets("reconcile"), SystemClock(), RegisteredJobs(registry)
    observer = ExternalRunRecorder(ObservedJobs(registry), RunIds.of(namespace))
    recorder = Recorder(stores.runs, jobs, targets, clock, namespace, observer)
    watcher = ExternalRunPoller(observer, stores.runs, jobs, targets, recorder, clock, namespace)
    reconciler = Reconciler(
        stores.ticks,
        stores.runs,
        launches,
        dispatcher,
        jobs,
        targets,
        clock,
        watcher,
        SqsDeadLetters(dead_letter_url),
        RegistrySync(stores.registry, ParameterStore(engine), registry, engine, KINDS, clock),
        Heartbeat(stores.engine, engine_id, clock),
        LateSensors(registry, stores.sensors, stores.late_sensors, bus, namespace, clock),
        namespace,
    )
    return ReconcilerParts(reconciler, engine)


_Made = tuple[Dispatcher, DynamoStores, Queue, Bus, CachedRegistry]


def _dispatcher(settings: Settings) -> Callable[[], _Made]:
    """Read the settings of DISPATCH; return a function that creates its objects once they are checked."""
    tables, limits = settings.tables(), settings.limits()
    launch_url = settings.text("TREADLE_LAUNCH_QUEUE_URL")
    slices = settings.text("TREADLE_DISPATCH_QUEUE_URL")
    outcomes = settings.text("TREADLE_OUTCOMES_BUCKET")
    bus_name, namespace = settings.text("TREADLE_BUS_NAME"), settings.text("TREADLE_NAMESPACE")

    def make() -> _Made:
        bus = EventBridgeBus(bus_name)
        stores = DynamoStores(tables, RandomTokens(), S3BlobStore(outcomes))
        launches, registry = SqsQueue(launch_url), CachedRegistry(stores.registry, SystemClock())
        dispatcher = Dispatcher(
            stores.ticks,
            stores.runs,
            launches,
            registry,
            SystemClock(),
            AssetRecorder(stores.events, bus, namespace, stores.runs, SystemClock()),
            limits=limits,
            slices=SqsQueue(slices),
            workers=DISPATCH_WORKERS,
        )
        return dispatcher, stores, launches, bus, registry

    return make


def launcher_parts(environment: Mapping[str, str]) -> tuple[Launcher, Inbox]:
    """Create LAUNCH's objects.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    tables = settings.tables()
    namespace = settings.text("TREADLE_NAMESPACE")
    inbox = Inbox.of("launch", settings, "TREADLE_LAUNCH_QUEUE_URL")
    settings.check()
    tokens, clock = RandomTokens(), SystemClock()
    stores = DynamoStores(tables, tokens)
    jobs = RegisteredJobs(CachedRegistry(stores.registry, clock))
    targets = LazyTargets("launch")
    return Launcher(stores.runs, inbox.queue, jobs, targets, clock, tokens, namespace), inbox


@dataclass(frozen=True, slots=True)
class RecorderParts:
    """The objects that RECORD needs.

    Attributes:
        runs: applies status changes and reports of runs.
        assets: records reports and events of assets.
        inbox: the queue of both.
    """

    runs: Recorder
    assets: AssetRecorder
    inbox: Inbox


def recorder_parts(environment: Mapping[str, str]) -> RecorderParts:
    """Create RECORD's objects.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    tables = settings.tables()
    namespace = settings.text("TREADLE_NAMESPACE")
    inbox = Inbox.of("record", settings, "TREADLE_RECORD_QUEUE_URL")
    bus = settings.text("TREADLE_BUS_NAME")
    settings.check()
    stores = DynamoStores(tables, RandomTokens())
    clock = SystemClock()
    registry = CachedRegistry(stores.registry, clock)
    observer = ExternalRunRecorder(ObservedJobs(registry), RunIds.of(namespace))
    jobs, changed = RegisteredJobs(registry), registry.jobs_changed
    return RecorderParts(
        Recorder(stores.runs, jobs, LazyTargets("record"), clock, namespace, observer, changed),
        AssetRecorder(stores.events, EventBridgeBus(bus), namespace, stores.runs, clock),
        inbox,
    )
