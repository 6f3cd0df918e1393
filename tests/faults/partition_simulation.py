"""A simulation of two sensors that change dynamic partitions; a fault can be injected at every call."""

import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Any, ClassVar

from tests.faults.engine_simulation import MINUTE_MS, PAUSE_SECONDS, SECONDS
from tests.faults.simulated_aws import SimulatedDeadLetters, SimulatedQueue
from tests.faults.simulation import Simulation
from tests.support.engine import JOB
from tests.support.metrics import discard_metrics
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import StoreError, TreadleError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.partitions.dynamic import DynamicPartitionsDefinition
from treadle.definitions.results import RunRequest, SensorResult
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.dispatch.dispatcher import Dispatcher
from treadle.engine.identity import timestamp
from treadle.engine.messages import ChunkRequest, TickRequest
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.evaluator import _tick
from treadle.entrypoints.handler import process_queue
from treadle.model.partitions import ChangeTime, PartitionChange
from treadle.ports.partitions import PartitionStore
from treadle.testing.bus import InMemoryBus
from treadle.testing.faults import Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock
from treadle.testing.tables import InMemoryTables

OWN, SHARED = (DynamicPartitionsDefinition(name=name) for name in ("own", "shared"))
KEYS = ["a", "b", "c"]
TICKS = 2
ADDS, DELETES = "b_adds", "a_deletes"
OFFSETS_MS = {ADDS: 0, DELETES: 7_000}


def adding() -> SensorDefinition:
    """Return a sensor that requests a run, without run key, of each key that it has not added before."""

    def function(context: SensorEvaluationContext) -> SensorResult:
        number = int(context.cursor or 0) + 1
        if number > TICKS:
            return SensorResult(skip_reason="no more")
        new = [key for key in KEYS if not context.instance.has_dynamic_partition("own", key)]
        return SensorResult(
            [RunRequest(partition_key=key) for key in new],
            cursor=str(number),
            dynamic_partitions_requests=[OWN.build_add_request(new), SHARED.build_add_request(["k"])],
        )

    return SensorDefinition(ADDS, evaluation_fn=function, job=JobDefinition(JOB, partitions_def=OWN))


def deleting() -> SensorDefinition:
    """Return a sensor that deletes a key that the other one adds."""

    def function(context: SensorEvaluationContext) -> SensorResult:
        number = int(context.cursor or 0) + 1
        if number > TICKS:
            return SensorResult(skip_reason="no more")
        context.instance.delete_dynamic_partition("shared", "k")
        return SensorResult(cursor=str(number))

    return SensorDefinition(DELETES, evaluation_fn=function)


class OneByOne:
    """A `PartitionStore` that applies one change at a time, so that a fault can leave a part of them applied.

    Args:
        store: the store.
    """

    def __init__(self, store: PartitionStore) -> None:
        self._store = store

    def apply(self, changes: Sequence[PartitionChange], time: ChangeTime) -> None:
        """Apply each change."""
        for change in changes:
            self._store.apply([change], time)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass(slots=True)
class PartitionSimulation(Simulation):
    """A simulation of two sensors and of DISPATCH, which applies a tick's changes in chunks.

    Attributes:
        faults: injects the faults.
    """

    end_ms: ClassVar[int] = 24 * 3_600_000

    faults: Faults = field(default_factory=Faults)
    clock: VirtualClock = field(default_factory=VirtualClock)
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    dead_letters: SimulatedDeadLetters = field(default_factory=SimulatedDeadLetters)
    _tokens: SequentialIds = field(default_factory=SequentialIds)
    queues: dict[str, SimulatedQueue] = field(init=False)
    began_at: int = field(init=False)
    next_ticks: dict[str, int] = field(init=False)

    def __post_init__(self) -> None:
        random.seed(0)  # The delay of a failed message is random.
        names = (ADDS, DELETES, "dispatch")
        self.queues = {name: SimulatedQueue(self.clock, self.dead_letters.kept) for name in names}
        self.faults.pause = lambda: self.run(self.clock.now() + PAUSE_SECONDS * 1000)
        self.began_at = self.clock.now()
        self.next_ticks = {name: self.began_at + offset for name, offset in OFFSETS_MS.items()}

    # The steps.

    def _stores(self) -> InMemoryStores:
        return InMemoryStores(self.tables)

    def _faulted(self) -> Any:
        stores = Simulation._faulted(self)
        stores.partitions = OneByOne(faulty(self._stores().partitions, "PartitionStore", self.faults))
        return stores

    def _dispatcher(self) -> Dispatcher:
        grants, chunks = FixedGrants({ADDS: frozenset({JOB})}), self._queue(self.queues["dispatch"])
        return self.engine.dispatcher(InMemoryQueue(), grants, InMemoryBus(), chunks=chunks)

    def _dispatch(self) -> None:
        """Dispatch the pending ticks, as the stream or RECONCILE does."""
        for sensor, tick_id in self._stores().ticks.pending(self.clock.now() + 1, 100):
            with suppress(StoreError):
                self._dispatcher().dispatch(self.tables.ticks[sensor, tick_id])

    def _dispatch_chunk(self, request: TickRequest) -> None:
        assert isinstance(request, ChunkRequest)
        self._dispatcher().dispatch_chunk(request)

    def _dispatch_chunks(self, event: dict[str, Any]) -> Any:
        inbox = self._inbox("dispatch", self.queues["dispatch"])
        return process_queue(event, self._dispatch_chunk, inbox, TickRequest.from_json, kept_in_tables=True)

    def _tick(self, definition: SensorDefinition, nominal: int) -> None:
        parts = self._evaluator(definition, self.queues[definition.name])
        with suppress(TreadleError):
            self.faults.run(
                "TICK", lambda: _tick(parts, {"nominal_time": timestamp(nominal)}, Budget(SECONDS))
            )

    # Time.

    def _next_times(self) -> Iterator[int]:
        yield from (queue.next_at for queue in self.queues.values() if queue.next_at is not None)
        if self.is_pending or any(self.ticked(name) < TICKS for name in OFFSETS_MS):
            yield min(self.next_ticks.values())

    def ticked(self, sensor: str) -> int:
        """Return how many ticks of a sensor were committed."""
        state = self.tables.sensors.get(sensor)
        return int((state and state.cursor) or 0)

    @property
    def is_pending(self) -> bool:
        """Whether a tick waits for DISPATCH."""
        return any(tick.is_to_be_dispatched for tick in self.tables.ticks.values())

    def _run_due(self) -> None:
        for definition in (adding(), deleting()):
            due = self.next_ticks[definition.name]
            if due <= self.clock.now():
                self.next_ticks[definition.name] = due + MINUTE_MS
                self._tick(definition, due)
        if self.is_pending:
            self.faults.run("DISPATCH", self._dispatch)
        self._receive("CHUNK", self.queues["dispatch"], partial(self._dispatch_chunks))
        discard_metrics()


def changed_wrong(simulation: PartitionSimulation) -> list[str]:
    """Return the violations of I2, I3 and I4, and of the order of changes."""
    return [*_unordered(simulation), *_undone(simulation)]


def _unordered(simulation: PartitionSimulation) -> Iterator[str]:
    """Yield where a set is not what the committed ticks make of it, one after the other."""
    expected: dict[str, list[str]] = {"own": [], "shared": []}
    for tick in sorted(simulation.tables.ticks.values(), key=lambda tick: tick.changed_partitions_at.text):
        for change in tick.partition_changes:
            keys = expected[change.partitions_def_name]
            if change.exists != (change.partition_key in keys):
                (keys.append if change.exists else keys.remove)(change.partition_key)
    for name, keys in expected.items():
        found = [each.partition_key for each in simulation._stores().partitions.partitions(name)]
        if found != keys:
            yield f"I4: set {name} has {found}, and not {keys}"
    if expected["own"] != KEYS:
        yield f"I4: ticks committed {expected}"


def _undone(simulation: PartitionSimulation) -> Iterator[str]:
    started = [str(run.partition_key) for run in simulation.tables.runs.values()]
    if sorted(started) != KEYS:
        yield f"I3: runs of {started}"
    done = {name: simulation.ticked(name) for name in OFFSETS_MS}
    if set(done.values()) != {TICKS} or simulation.is_pending:
        yield f"I2: {done} ticks were committed, and pending is {simulation.is_pending}"
    if simulation.dead_letters.kept:
        yield f"I10: dead letters {simulation.dead_letters.kept}"
