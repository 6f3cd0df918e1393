"""Assembles the engine's components from stores, queues and targets, for deployments, `treadle.testing` and simulations.

Each component is imported when it is built, so that a function loads no other function's component.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Protocol

from treadle.engine.identity import RunIds
from treadle.engine.lazy import lazy

# Loaded only by the functions that use them.
if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from treadle.definitions.sensors import SensorDefinition
    from treadle.definitions.webhook_verification import WebhookVerification
    from treadle.engine.assets.asset_recorder import AssetRecorder
    from treadle.engine.backfills.backfiller import Backfiller
    from treadle.engine.batches.closer import BatchCloser
    from treadle.engine.batches.due_batches import DueBatches
    from treadle.engine.dispatch.dispatcher import Dispatcher, Limits
    from treadle.engine.engine_check import EngineCheck
    from treadle.engine.instance.instance_reader import InstanceReader
    from treadle.engine.instance.run_reader import CompletedRunReader
    from treadle.engine.launch.launcher import Launcher
    from treadle.engine.pools.granter import Granter
    from treadle.engine.pools.pool_checks import PoolChecks
    from treadle.engine.publish.publisher import Publisher
    from treadle.engine.reconcile.external_run_poller import ExternalRunPoller
    from treadle.engine.reconcile.late_sensors import LateSensors
    from treadle.engine.reconcile.reconciler import Reconciler
    from treadle.engine.record.external_runs import ExternalRunRecorder
    from treadle.engine.record.recorder import Recorder
    from treadle.engine.registry.registry_cache import CachedRegistry, Grants, Pools
    from treadle.engine.registry.registry_sync import RegistrySync
    from treadle.engine.tick.batch_acceptor import BatchAcceptor
    from treadle.engine.tick.evaluation import Evaluator
    from treadle.engine.tick.event_ticks import EventTicks
    from treadle.engine.tick.partitions import TickPartitions
    from treadle.engine.tick.preview import Previewer
    from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner, TickSettings
    from treadle.engine.tick.webhook_receiver import WebhookReceiver
    from treadle.model.targets import JobSettings
    from treadle.ports.assets import EventStore
    from treadle.ports.backfills import BackfillStore
    from treadle.ports.batches import BatchStore
    from treadle.ports.deliveries import DeliveryStore, SecretStore
    from treadle.ports.engine_state import EngineStore, LateSensorStore
    from treadle.ports.partitions import PartitionStore
    from treadle.ports.pools import PoolStore
    from treadle.ports.registry import EntrySource, RegistryStore
    from treadle.ports.runs import RunStore
    from treadle.ports.sensors import SensorStore
    from treadle.ports.system import BlobStore, Bus, Clock, DeadLetters, Functions, IdGenerator, Queue
    from treadle.ports.targets import Targets
    from treadle.ports.ticks import TickStore

    Jobs = Mapping[str, JobSettings]


class Stores(Protocol):
    """All stores of a deployment; a component uses, and loads, only some of them."""

    @property
    def sensors(self) -> SensorStore:
        """Return the store of sensors' states."""

    @property
    def ticks(self) -> TickStore:
        """Return the store of ticks."""

    @property
    def runs(self) -> RunStore:
        """Return the store of runs."""

    @property
    def events(self) -> EventStore:
        """Return the store of events of assets and of completed runs."""

    @property
    def partitions(self) -> PartitionStore:
        """Return the store of dynamic partitions."""

    @property
    def pools(self) -> PoolStore:
        """Return the store of concurrency pools."""

    @property
    def deliveries(self) -> DeliveryStore:
        """Return the store of requests that webhook sensors have accepted."""

    @property
    def blobs(self) -> BlobStore:
        """Return the store of values that are too large for a record."""

    @property
    def backfills(self) -> BackfillStore:
        """Return the store of backfills."""

    @property
    def batches(self) -> BatchStore:
        """Return the store of batches."""

    @property
    def registry(self) -> RegistryStore:
        """Return the store of the registry's copy."""

    @property
    def engine(self) -> EngineStore:
        """Return the store of the engine's record."""

    @property
    def late_sensors(self) -> LateSensorStore:
        """Return the store of late sensors."""


@dataclass(frozen=True, slots=True)
class SensorParts:
    """The components that evaluate one sensor; events and previews are loaded on first use.

    Only a sensor with batches has an acceptor and a closer.
    """

    evaluator: Evaluator
    settings: TickSettings
    scheduled: ScheduledTickRunner
    events: EventTicks
    previewer: Previewer
    acceptor: BatchAcceptor | None = None
    closer: BatchCloser | None = None

    @property
    def definition(self) -> SensorDefinition:
        """Return the sensor."""
        return self.evaluator.definition


@dataclass(frozen=True)
class Assembly:
    """Builds the components of one engine.

    Attributes:
        stores: its stores.
        clock: the clock.
        ids: generates tokens of leases and claims.
        namespace: the engine's, as `account/region/namespace`.
        fixed_pools: which pools a run is in, for an engine without a registry; None to read the registry.
    """

    stores: Stores
    clock: Clock
    ids: IdGenerator
    namespace: str
    fixed_pools: Pools | None = None

    @cached_property
    def registry(self) -> CachedRegistry:
        """Return the registry, as a component sees it."""
        from treadle.engine.registry.registry_cache import CachedRegistry

        return CachedRegistry(self.stores.registry, self.clock)

    @cached_property
    def pools(self) -> Pools:
        """Return the pools of runs, as the registry declares them."""
        from treadle.engine.registry.registry_cache import RegisteredPools

        return self.fixed_pools or RegisteredPools(self.registry)

    def jobs(self) -> Jobs:
        """Return the settings of the registered jobs."""
        from treadle.engine.registry.registry_cache import RegisteredJobs

        return RegisteredJobs(self.registry)

    def asset_recorder(self, bus: Bus) -> AssetRecorder:
        """Build the recorder of asset events, which RECORD and DISPATCH share."""
        from treadle.engine.assets.asset_recorder import AssetRecorder

        return AssetRecorder(self.stores.events, bus, self.namespace, self.stores.runs, self.clock)

    def dispatcher(
        self,
        launches: Queue,
        grants: Grants,
        bus: Bus,
        *,
        limits: Limits | None = None,
        chunks: Queue | None = None,
        workers: int = 1,
    ) -> Dispatcher:
        """Build the dispatcher of ticks."""
        from treadle.engine.dispatch.dispatcher import Dispatcher, Limits

        return Dispatcher(
            self.stores.ticks,
            self.stores.runs,
            launches,
            grants,
            self.clock,
            self.asset_recorder(bus),
            lazy(lambda: self.stores.partitions),
            pools=self.pools,
            limits=limits or Limits(),
            chunks=chunks,
            workers=workers,
        )

    def backfiller(self, launches: Queue, jobs: Collection[str], *, workers: int = 1) -> Backfiller:
        """Build what advances backfills."""
        from treadle.engine.backfills.backfiller import Backfiller

        stores, run_ids = self.stores, RunIds.of(self.namespace)
        return Backfiller(
            stores.backfills,
            stores.runs,
            launches,
            jobs,
            run_ids,
            self.clock,
            workers=workers,
            pools=self.pools,
        )

    def granter(self, launches: Queue) -> Granter:
        """Build what grants slots of pools; it is loaded on first use."""

        def make() -> Granter:
            from treadle.engine.pools.granter import Granter

            return Granter(self.stores.pools, self.stores.runs, launches, self.clock)

        return lazy(make)

    def pool_checks(self, launches: Queue, dispatches: Queue | None, jobs: Jobs) -> PoolChecks:
        """Build what checks pools."""
        from treadle.engine.pools.pool_checks import PoolChecks

        stores = self.stores
        granter = self.granter(launches)
        return PoolChecks(stores.pools, stores.runs, self.pools, jobs, granter, self.clock, dispatches)

    def launcher(self, launches: Queue, jobs: Jobs, targets: Targets, *, workers: int = 1) -> Launcher:
        """Build the launcher of runs."""
        from treadle.engine.launch.launcher import Launcher

        runs, clock, ids = self.stores.runs, self.clock, self.ids
        blobs = lazy(lambda: self.stores.blobs)
        at, pools = self.namespace, self.pools
        return Launcher(runs, launches, jobs, targets, clock, ids, blobs, at, pools, workers=workers)

    def publisher(self, bus: Bus, *, only_ends: bool = False) -> Publisher:
        """Build the publisher of runs' status changes, or only of their ends."""
        from treadle.engine.publish.publisher import Publisher

        return Publisher(self.stores.runs, self.stores.events, bus, self.namespace, only_ends=only_ends)

    def external_runs(self, observed: Collection[str]) -> ExternalRunRecorder:
        """Build the recorder of the external runs of observed jobs."""
        from treadle.engine.record.external_runs import ExternalRunRecorder

        return ExternalRunRecorder(observed, RunIds.of(self.namespace), self.pools)

    def recorder(
        self,
        jobs: Jobs,
        targets: Targets,
        observed: Collection[str] | None = None,
        jobs_changed: Callable[[], bool] | None = None,
    ) -> Recorder:
        """Build the recorder of status changes."""
        from treadle.engine.record.recorder import Recorder

        external = self.external_runs(observed) if observed is not None else None
        return Recorder(self.stores.runs, jobs, targets, self.clock, self.namespace, external, jobs_changed)

    def poller(self, jobs: Jobs, targets: Targets, observed: Collection[str]) -> ExternalRunPoller:
        """Build the poller of observed jobs."""
        from treadle.engine.reconcile.external_run_poller import ExternalRunPoller

        return ExternalRunPoller(
            self.external_runs(observed),
            self.stores.runs,
            jobs,
            targets,
            self.recorder(jobs, targets, observed),
            self.clock,
            self.namespace,
        )

    def registry_sync(self, source: EntrySource, engine: str, kinds: Collection[str]) -> RegistrySync:
        """Build what copies the registry's entries under the engine's name."""
        from treadle.engine.registry.registry_sync import RegistrySync

        stores = self.stores
        return RegistrySync(
            stores.registry, source, self.registry, engine, kinds, self.clock, lazy(lambda: stores.pools)
        )

    def late_sensors(self, bus: Bus) -> LateSensors:
        """Build what finds late sensors, and publishes them."""
        from treadle.engine.reconcile.late_sensors import LateSensors

        stores = self.stores
        return LateSensors(
            self.registry, stores.sensors, stores.late_sensors, bus, self.namespace, self.clock
        )

    def reconciler(
        self,
        dispatcher: Dispatcher,
        launches: Queue,
        jobs: Jobs,
        targets: Targets,
        *,
        observed: Collection[str] | None = None,
        dead_letters: DeadLetters | None = None,
        registry: RegistrySync | None = None,
        late_sensors: LateSensors | None = None,
        engine_id: str | None = None,
        dispatches: Queue | None = None,
        batches: DueBatches | None = None,
    ) -> Reconciler:
        """Build the reconciler; what is not given is left out of its passes."""
        from treadle.engine.engine_check import Heartbeat
        from treadle.engine.reconcile.reconciler import Reconciler

        return Reconciler(
            self.stores.ticks,
            self.stores.runs,
            launches,
            dispatcher,
            jobs,
            targets,
            self.clock,
            self.poller(jobs, targets, observed) if observed is not None else None,
            dead_letters,
            registry,
            Heartbeat(self.stores.engine, engine_id, self.clock) if engine_id is not None else None,
            late_sensors,
            self.namespace,
            self.backfiller(launches, jobs),
            self.pool_checks(launches, dispatches, jobs),
            batches,
        )

    def due_batches(self, registry: Grants, functions: Functions) -> DueBatches:
        """Build what finds due batches, and invokes the functions that close them."""
        from treadle.engine.batches.due_batches import DueBatches

        stores = self.stores
        return DueBatches(stores.batches, stores.sensors, registry, functions, self.clock)

    def engine_check(self, engine_id: str) -> EngineCheck:
        """Build the check that the engine is the expected one; it is loaded on first use."""

        def make() -> EngineCheck:
            from treadle.engine.engine_check import EngineCheck

            return EngineCheck(self.stores.engine, engine_id, self.clock)

        return lazy(make)

    def instance(self, partitions: Callable[[], TickPartitions]) -> InstanceReader:
        """Build the reader of recorded runs and assets, for sensors.

        Args:
            partitions: returns the dynamic partitions of the current tick.
        """
        from treadle.engine.instance.instance_reader import InstanceReader

        return InstanceReader(self.stores.runs, self.namespace, self.stores.events, partitions)

    def ended_runs(self) -> CompletedRunReader:
        """Build the reader of completed runs in their order, for sensors."""
        from treadle.engine.instance.run_reader import CompletedRunReader

        return CompletedRunReader(self.stores.events, self.clock)

    def sensor(
        self,
        definition: SensorDefinition,
        settings: TickSettings,
        *,
        resources: Mapping[str, Any] | None = None,
        queue: Queue | None = None,
        granted: frozenset[str] | None = None,
        cap: int | None = None,
    ) -> SensorParts:
        """Build the components that evaluate a sensor."""
        from treadle.definitions.sensors import DEFAULT_CAP
        from treadle.engine.tick.evaluation import Evaluator
        from treadle.engine.tick.planning import Planner
        from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner

        stores, clock, ids, namespace = self.stores, self.clock, self.ids, self.namespace

        def events() -> EventTicks:
            from treadle.engine.tick.event_ticks import EventTicks

            status, runs = settings.default_status, stores.runs
            return EventTicks(
                evaluator,
                stores.sensors,
                stores.ticks,
                ids,
                status,
                runs,
                namespace,
                settings.project,
                acceptor,
            )

        def previewer() -> Previewer:
            from treadle.engine.tick.preview import Previewer

            return Previewer(evaluator, stores.sensors, clock)

        limit = DEFAULT_CAP if cap is None else cap
        blobs = lazy(lambda: stores.blobs)
        planner = Planner(definition, RunIds.of(namespace), lazy(lambda: stores.runs), blobs, limit, granted)
        partitions = lazy(lambda: stores.partitions)
        batches = None if definition.batch is None else lazy(lambda: stores.batches)
        evaluator = Evaluator(planner, clock, resources, self.instance, self.ended_runs, partitions, batches)
        acceptor, closer = (None, None) if batches is None else self._batches(evaluator, settings, batches)
        scheduled = ScheduledTickRunner(
            evaluator, stores.sensors, stores.ticks, clock, ids, settings, queue, acceptor
        )
        return SensorParts(evaluator, settings, scheduled, lazy(events), lazy(previewer), acceptor, closer)

    def _batches(
        self, evaluator: Evaluator, settings: TickSettings, batches: BatchStore
    ) -> tuple[BatchAcceptor | None, BatchCloser | None]:
        """Build what accepts items of batches, and what closes these."""
        from treadle.engine.batches.closer import BatchCloser
        from treadle.engine.tick.batch_acceptor import BatchAcceptor

        batch, name = evaluator.definition.batch, evaluator.name
        if batch is None:
            return None, None
        status, sensors = settings.default_status, self.stores.sensors
        closer = BatchCloser(evaluator, batch, batches, sensors, self.ids, status, settings.project)
        return BatchAcceptor(name, batch, batches, self.clock), closer

    def webhook_receiver(
        self, sensor: str, verification: WebhookVerification, secrets: SecretStore, secret: str
    ) -> WebhookReceiver:
        """Build the receiver of a webhook sensor's requests.

        Args:
            sensor: the sensor's name.
            verification: how it authenticates its sender.
            secrets: reads its secret.
            secret: the secret's name.
        """
        from treadle.engine.tick.webhook_receiver import RotatedSecret, WebhookReceiver

        rotated = RotatedSecret(secrets, secret, self.clock)
        return WebhookReceiver(sensor, verification, self.stores.deliveries, rotated, self.clock)
