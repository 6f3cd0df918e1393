"""A simulation of batches: items arrive, are evaluated together, and a fault can be injected at every call."""

import heapq
import json
import random
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import timedelta
from functools import partial
from typing import Any, ClassVar

from tests.faults.batch_items import ITEMS, SENSOR, Items
from tests.faults.simulated_aws import SimulatedDeadLetters, SimulatedQueue
from tests.faults.simulation import PORTS, PROJECT, Simulation
from tests.support.engine import JOB
from tests.support.metrics import discard_metrics
from tests.support.replaced_stores import ReplacedStores
from treadle.adapters.stream_records import sequence_number
from treadle.definitions.batch_contexts import BatchSensorContext
from treadle.definitions.errors import TreadleError
from treadle.definitions.item_batches import Batch
from treadle.definitions.results import RunRequest
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.identity import timestamp
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.evaluator import EvaluatorParts, _close, _consume_stream, _evaluate_batch, _tick
from treadle.model.batches import Manifest, Member
from treadle.model.registry import SensorEntry
from treadle.testing.batches import InMemoryBatchStore
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.bus import InMemoryBus
from treadle.testing.faults import Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.objects import InMemoryObjects
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock

SECONDS = 60
PAUSE_MS = 600_000
"""The length of a pause: leases have expired, and others have closed what was due."""

RECONCILE_MS = 60_000
VISIBILITY_MS = 360_000
MESSAGES = 10
POISON = "poison"


@dataclass(frozen=True, slots=True)
class BatchScenario:
    """What arrives.

    Attributes:
        batch: the sensor's batches.
        arrivals: the key of each item, with the second in which it happens.
        doubled: the keys whose events are delivered twice.
        lost: the keys whose events are not delivered, so that only a sweep finds the objects.
        sweeps: the seconds of the sensor's sweeps.
        stopped: the seconds in which an operator stops the sensor, and starts it again.
        kind: the sensor's.
    """

    batch: Batch
    arrivals: Sequence[tuple[float, str]]
    doubled: frozenset[str] = frozenset()
    lost: frozenset[str] = frozenset()
    sweeps: Sequence[float] = ()
    stopped: tuple[float, float] | None = None
    kind: str = "s3"


def arrivals(keys: str, seconds: float = 0.0) -> tuple[tuple[float, str], ...]:
    """Return an arrival for each of the keys, which are separated by spaces, one every so many seconds."""
    return tuple((number * seconds, key) for number, key in enumerate(keys.split()))


MINUTES = timedelta(minutes=5)
SCENARIOS: Mapping[str, BatchScenario] = {
    "full": BatchScenario(
        Batch(size=3, within=MINUTES), arrivals("a b c d e f g", 1.0), doubled=frozenset({"b", "g"})
    ),
    "by": BatchScenario(
        Batch(size=2, within=MINUTES, by=lambda stored: stored.key[0]),
        arrivals("a1 b1 a2 a3 b2 c1", 20.0),
        doubled=frozenset({"a1"}),
    ),
    "quiet": BatchScenario(
        Batch(size=9, within=MINUTES, quiet=timedelta(seconds=30)), arrivals("a b c d", 25.0)
    ),
    "poison": BatchScenario(Batch(size=4, within=MINUTES), arrivals(f"a {POISON} c d", 1.0)),
    "runs": BatchScenario(
        Batch(size=3, within=MINUTES),
        arrivals("a b c d e f g", 1.0),
        kind="run_status",
        doubled=frozenset({"b", "g"}),
    ),
    "assets": BatchScenario(
        Batch(size=2, within=MINUTES, by=lambda record: record.partition_key[0]),
        arrivals("a1 b1 a2 a3 b2 c1", 20.0),
        kind="asset",
        doubled=frozenset({"a1"}),
    ),
    "records": BatchScenario(
        Batch(size=3, within=MINUTES, by=lambda record: record.key),
        arrivals("a1 a2 b1 a3 a4 b2", 0.0),
        kind="stream",
        doubled=frozenset({"a1"}),
    ),
    "swept": BatchScenario(
        Batch(size=4, within=MINUTES),
        arrivals("a b c d e", 1.0),
        lost=frozenset({"b", "e"}),
        sweeps=(0, 60.0, 4_000.0),
    ),
}


class _Context:
    """Lambda's context of an invocation that has just begun."""

    def get_remaining_time_in_millis(self) -> int:
        return SECONDS * 1000


class _WatchedBatches(InMemoryBatchStore):
    """Notes each marking that moves an item to another batch, or to one that is not committed."""

    def __init__(self, simulation: "BatchSimulation") -> None:
        super().__init__(simulation.stores.tables)
        self._simulation = simulation

    def mark(self, manifest: Manifest, members: Sequence[Member]) -> None:
        """Mark items."""
        tables = self._simulation.stores.tables
        for each in members:
            before = tables.ledger[manifest.sensor, each.key].tick_id
            if before not in {None, manifest.tick_id}:
                self._simulation.problems.append(f"I14: an item moved from {before} to {manifest.tick_id}")
        if (manifest.sensor, manifest.tick_id) not in tables.manifests:
            self._simulation.problems.append(f"I14: {manifest.tick_id} is marked, and not committed")
        super().mark(manifest, members)


@dataclass(slots=True)
class BatchSimulation(Simulation):
    """A simulation of one sensor with batches.

    Attributes:
        scenario: what arrives.
        faults: injects the faults.
        problems: what went wrong on the way.
        fails_at_all: whether the function fails at each object.
    """

    ports: ClassVar[Mapping[str, str]] = {
        **{name: PORTS[name] for name in ("sensors", "ticks", "runs")},
        "batches": "BatchStore",
    }

    scenario: BatchScenario
    faults: Faults = field(default_factory=Faults)
    clock: VirtualClock = field(default_factory=VirtualClock)
    stores: InMemoryStores = field(default_factory=InMemoryStores)
    dead_letters: SimulatedDeadLetters = field(default_factory=SimulatedDeadLetters)
    problems: list[str] = field(default_factory=list)
    fails_at_all: bool = False
    objects: InMemoryObjects = field(init=False)
    began_at: int = field(init=False)
    next_look: int = field(init=False)
    _events: list[tuple[int, int, str, Any]] = field(default_factory=list)
    _messages: list[tuple[int, int, str, int]] = field(default_factory=list)
    _invocations: list[Mapping[str, object]] = field(default_factory=list)
    _tokens: SequentialIds = field(default_factory=SequentialIds)
    _items: Items = field(init=False)
    _definition: SensorDefinition = field(init=False)
    _own: SimulatedQueue = field(init=False)
    _number: int = 0
    _is_stopped: bool = False

    def __post_init__(self) -> None:
        random.seed(0)  # The delay of a throttled message is random.
        self.began_at = self.clock.now()
        self.next_look = self.began_at + RECONCILE_MS // 2
        self.objects = InMemoryObjects(self.clock)
        self.faults.pause = lambda: self.run(self.clock.now() + PAUSE_MS)
        scenario = self.scenario
        happening = [(at, "stored", key) for at, key in scenario.arrivals]
        happening += [(at, "sweep", "") for at in scenario.sweeps]
        if scenario.stopped is not None:
            happening += [(scenario.stopped[0], "stop", ""), (scenario.stopped[1], "start", "")]
        for at, what, key in happening:
            heapq.heappush(self._events, (self.began_at + int(at * 1000), self._next_number(), what, key))

        def function(context: BatchSensorContext) -> RunRequest:
            keys = [self._items.key_of(each) for each in context.items]
            if POISON in keys or self.fails_at_all:
                msg = "The function fails at this object."
                raise ValueError(msg)
            return RunRequest(run_config={"keys": keys})

        self._items = ITEMS[scenario.kind](self.clock, self.stores, self.objects, self.began_at)
        self._definition = self._items.sensor(scenario.batch, function)
        self._own = SimulatedQueue(self.clock, self.dead_letters.kept)

    @property
    def _parts(self) -> EvaluatorParts:
        """The objects of a process of its own."""
        parts = self._evaluator(self._definition, self._own, 60)
        return replace(parts, blobs=InMemoryBlobStore()) if self._items.is_stream else parts

    def _next_number(self) -> int:
        self._number += 1
        return self._number

    def _stores(self) -> Any:
        return ReplacedStores(self.stores, batches=_WatchedBatches(self))

    # The components.

    def _close(self, event: Mapping[str, object]) -> None:
        _close(self._parts, event, Budget(SECONDS))

    def invoke(self, function: str, event: Mapping[str, object]) -> None:
        """Invoke the sensor's function, once the current process has ended."""
        del function
        self._invocations.append(event)

    def _reconcile(self) -> None:
        entry = SensorEntry(
            SENSOR, PROJECT, SENSOR, self.scenario.kind, default_status=DefaultSensorStatus.RUNNING
        )
        grants = FixedGrants({SENSOR: frozenset({JOB})}, {SENSOR: entry})
        functions: Any = self
        engine, launches = self.engine, InMemoryQueue()
        engine.reconciler(
            engine.dispatcher(launches, grants, InMemoryBus()),
            launches,
            {},
            {},
            batches=engine.due_batches(grants, faulty(functions, "Functions", self.faults)),
        ).reconcile(SECONDS)

    def _operate(self, what: str) -> None:
        from treadle.operate.sensors import SensorOperations

        operations = SensorOperations(self.stores.sensors, self.clock)
        if what == "stop":
            operations.stop(SENSOR, "ann")
        else:
            operations.start(SENSOR, DefaultSensorStatus.RUNNING, "ann")

    def _happen(self, what: str, key: str) -> None:
        if what == "stored":
            self._items.happen(key)
            if key not in self.scenario.lost:
                for _ in range(2 if key in self.scenario.doubled else 1):
                    self._send(key)
        elif what == "sweep":
            with suppress(TreadleError):
                event = {"nominal_time": timestamp(self.clock.now())}
                self.faults.run("TICK", lambda: _tick(self._parts, event, Budget(SECONDS)))
        else:
            self._operate(what)

    def _send(self, key: str) -> None:
        body = json.dumps(self._items.event(key))
        heapq.heappush(self._messages, (self.clock.now(), self._next_number(), body, 0))

    def _deliver(self) -> None:
        """Deliver the messages that are visible, in batches as SQS does, or as a stream's mapping does."""
        while self._messages and self._messages[0][0] <= self.clock.now():
            batch: list[tuple[int, int, str, int]] = []
            while self._messages and self._messages[0][0] <= self.clock.now() and len(batch) < MESSAGES:
                batch.append(heapq.heappop(self._messages))
            failed = self._unfinished([body for _, _, body, _ in batch])
            for number, (_, _, body, receives) in enumerate(batch):
                if number in failed:
                    at = self.clock.now() + VISIBILITY_MS
                    heapq.heappush(self._messages, (at, self._next_number(), body, receives + 1))

    def _unfinished(self, bodies: Sequence[str]) -> Collection[int]:
        """Invoke the sensor's function with messages or records; return the places of those to deliver again."""
        answers: list[dict[str, Any]] = []
        records: list[Any] = [
            {
                "messageId": str(number),
                "receiptHandle": "",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs",
            }
            for number, body in enumerate(bodies)
        ]
        evaluate, numbers = _evaluate_batch, [str(number) for number in range(len(bodies))]
        if self._items.is_stream:
            evaluate, records = _consume_stream, [json.loads(body) for body in bodies]
            numbers = [str(sequence_number(each)) for each in records]
        is_alive = False
        with suppress(TreadleError):
            is_alive = self.faults.run(
                "EVENT", lambda: answers.append(evaluate(self._parts, {"Records": records}, _Context()))
            )
        if not (is_alive and answers):
            return range(len(bodies))
        failed = [numbers.index(each["itemIdentifier"]) for each in answers[0]["batchItemFailures"]]
        # A stream is read again from the first record that failed.
        return range(failed[0], len(bodies)) if failed and self._items.is_stream else failed

    # Time.

    @property
    def _next_pass(self) -> int | None:
        """When RECONCILE runs next and finds a batch that is due; None if there is none, ever."""
        dues = [each.due for each in self.stores.tables.batches.values() if each.due is not None]
        if not dues:
            return None
        late = max(min(dues) - self.next_look, 0)
        return self.next_look + -(-late // RECONCILE_MS) * RECONCILE_MS

    def _next_times(self) -> Iterator[int]:
        yield from (each[0] for each in self._events[:1])
        yield from (each[0] for each in self._messages[:1])
        yield from (each.visible_at for each in self._own.messages)
        if self._next_pass is not None:
            yield self._next_pass

    def _run_due(self) -> None:
        while self._events and self._events[0][0] <= self.clock.now():
            _, _, what, key = heapq.heappop(self._events)
            self._happen(what, key)
        for each in self._own.receive():
            # Messages that met a throttled store are sent again.
            heapq.heappush(self._messages, (self.clock.now(), self._next_number(), each.body, 0))
            self._own.delete(each)
        self._deliver()
        if self._next_pass is not None and self._next_pass <= self.clock.now():
            self.next_look = self._next_pass + RECONCILE_MS
            with suppress(TreadleError):
                self.faults.run("RECONCILE", self._reconcile)
        while self._invocations:
            event = self._invocations.pop(0)
            with suppress(TreadleError):
                self.faults.run("CLOSE", partial(self._close, event))
        discard_metrics()

    # What came of it.

    @property
    def manifests(self) -> list[Manifest]:
        """The committed batches."""
        return list(self.stores.tables.manifests.values())

    @property
    def batches(self) -> list[Manifest]:
        """The committed batches that started a run."""
        return [each for each in self.manifests if not each.set_aside]

    @property
    def waits(self) -> list[int]:
        """How long each item waited until its batch was committed, in milliseconds."""
        ended = {name: tick.ended_at for (_, name), tick in self.stores.tables.ticks.items()}
        return [ended[batch.tick_id] - each.accepted_at for batch in self.batches for each in batch.members]

    def keys_of(self, manifest: Manifest) -> list[str]:
        """Return the keys that the run of a batch has got."""
        tick = self.stores.tables.ticks[manifest.sensor, manifest.tick_id]
        return [key for run in tick.requests for key in json.loads(run.run_config)["keys"]]


def violations(simulation: BatchSimulation) -> list[str]:
    """Return what I14 does not allow, once nothing happens any more."""
    found = list(simulation.problems)
    stored = {key: simulation._items.identity(key) for _, key in simulation.scenario.arrivals}
    tables = simulation.stores.tables
    known = simulation.stores.batches.known(SENSOR, stored.values())
    times = Counter(each.key for manifest in simulation.manifests for each in manifest.members)
    for key, identity in stored.items():
        entry = known.get(identity)
        if entry is None:
            found.append(f"I14: {key} was never accepted")
        elif times[entry.key] != 1:
            found.append(f"I14: {key} is in {times[entry.key]} batches")
        elif entry.tick_id is None:
            found.append(f"I14: {key} is not marked")
        elif entry.set_aside != (key == POISON):
            found.append(f"I14: {key} is {'' if entry.set_aside else 'not '}set aside")
    found += [f"I14: {len(each)} items still wait" for each in tables.waiting.values() if each]
    identities = {entry.key: key for key, identity in stored.items() if (entry := known.get(identity))}
    for manifest in simulation.batches:
        named = [identities[each.key] for each in manifest.members]
        # Those of a stream are sorted by their sequence numbers, which grow with the keys here.
        if simulation.keys_of(manifest) != (sorted(named) if simulation._items.is_stream else named):
            found.append(f"I14: the run of {manifest.tick_id} has other items than its manifest")
        if len(named) > simulation.scenario.batch.size:
            found.append(f"{manifest.tick_id} has {len(named)} items")
    if simulation.dead_letters.kept:
        found.append(f"dead letters: {simulation.dead_letters.kept}")
    return found
