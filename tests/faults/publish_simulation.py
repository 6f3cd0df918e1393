"""A simulation of status changes, from the run to the sensors' reactions; a fault can be injected at every call."""

import json
import random
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from tests.faults.engine_simulation import (
    MINUTE_MS,
    PAUSE_SECONDS,
    SECONDS,
    STREAM_TRIES,
    _Context,
)
from tests.faults.simulated_aws import SimulatedDeadLetters, SimulatedQueue
from tests.faults.simulation import Simulation
from tests.support.engine import NAMESPACE
from tests.support.metrics import discard_metrics
from treadle.definitions.all_succeeded_sensor import AllSucceededDefinition, all_succeeded
from treadle.definitions.errors import StoreError, TreadleError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.run_status import RunStatusSensorDefinition
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.identity import timestamp
from treadle.engine.messages import PublishRequest
from treadle.engine.publish.bus_events import envelope
from treadle.engine.publish.publisher import statuses_reached
from treadle.engine.record.run_state import Report, fold
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.evaluator import EvaluatorParts, _evaluate_batch, _tick
from treadle.entrypoints.handler import process_queue
from treadle.entrypoints.publisher import PublisherParts, publish_message, publish_stream
from treadle.model.assets import ended_runs_key
from treadle.model.messages import BusEvent
from treadle.model.runs import Reached, Run
from treadle.model.ticks import Tick
from treadle.testing.bus import InMemoryBus
from treadle.testing.faults import Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryStores, InMemoryTickStore
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock
from treadle.testing.tables import InMemoryTables

if TYPE_CHECKING:
    from treadle.ports.system import Bus


JOBS = ("orders", "customers")
PAIRS = 2
ENDS = ((Status.SUCCESS, Status.SUCCESS), (Status.FAILURE, Status.SUCCESS), (Status.SUCCESS, Status.SUCCESS))
"""The ends of the two jobs' runs, in order: two runs of one job succeed, and three of the other."""


def reacting() -> RunStatusSensorDefinition:
    """Return a sensor that reacts to every end of a run."""

    def function() -> None:
        """Return nothing: a reaction."""

    ends = (Status.SUCCESS, Status.FAILURE)
    named = RunStatusSensorDefinition("watch", ends, function)
    return named.configured({"TREADLE_NAMESPACE": NAMESPACE})


def pairing() -> AllSucceededDefinition:
    """Return a sensor that requests a report for each pair of successes."""
    jobs = [JobDefinition(name) for name in JOBS]
    return all_succeeded(
        "pairs", jobs=jobs, within=timedelta(days=1), request_job=JobDefinition("report"), earlier="each"
    )


@dataclass(slots=True, eq=False)
class StreamRecord:
    """A record of the runs table's stream."""

    image: dict[str, Any]
    next_at: int
    deliveries: int = 0


@dataclass(slots=True)
class SimulatedBus:
    """A `Bus` that stores the events, and sends them to its subscribers' queues."""

    queues: Sequence[SimulatedQueue]
    events: list[BusEvent] = field(default_factory=list)

    def publish(self, events: Sequence[BusEvent]) -> None:
        """Send the events to the queues."""
        for event in events:
            self.events.append(event)
            body = envelope(event, NAMESPACE)
            watch, pairs = self.queues
            if event.detail["status"] in {"SUCCESS", "FAILURE"}:
                watch.send([body])
            if event.detail["status"] == "SUCCESS":
                pairs.send([body])


@dataclass(slots=True)
class PublishSimulation(Simulation):
    """A simulation of PUBLISH, and of sensors that react to runs.

    Attributes:
        faults: injects the faults.
    """

    end_ms: ClassVar[int] = 24 * 3_600_000

    faults: Faults = field(default_factory=Faults)
    clock: VirtualClock = field(default_factory=VirtualClock)
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    dead_letters: SimulatedDeadLetters = field(default_factory=SimulatedDeadLetters)
    stream: list[StreamRecord] = field(default_factory=list)
    images: list[tuple[Run, Reached]] = field(default_factory=list)
    committed: list[str] = field(default_factory=list)
    _tokens: SequentialIds = field(default_factory=SequentialIds)
    queues: dict[str, SimulatedQueue] = field(init=False)
    bus: SimulatedBus = field(init=False)
    began_at: int = field(init=False)
    next_tick: int = field(init=False)

    def __post_init__(self) -> None:
        random.seed(0)  # The delay of a failed message is random.
        names = ("publish", "watch", "pairs")
        self.queues = {name: SimulatedQueue(self.clock, self.dead_letters.kept) for name in names}
        self.bus = SimulatedBus([self.queues["watch"], self.queues["pairs"]])
        self.faults.pause = lambda: self.run(self.clock.now() + PAUSE_SECONDS * 1000)
        self.began_at = self.next_tick = self.clock.now()
        for number, ends in enumerate(ENDS):
            for job, end in zip(JOBS, ends, strict=True):
                self._run(f"{job}-{number}", job, end, self.began_at + number * 1_000)

    def _run(self, run_id: str, job: str, end: Status, at: int) -> None:
        """Add a run that starts and ends; the stream delivers each change."""
        run = Run(run_id, job, "any", None, "tick", "{}", {}, at, reached={"1/0": {"QUEUED": at}})
        self.tables.runs[run_id] = run
        self._change(run, {})
        for status, time in ((Status.STARTED, at + 10), (end, at + 20)):
            before, run = run.reached, fold(run, Report(1, status, time))
            self.tables.runs[run_id] = run
            self._change(run, before)

    def _change(self, run: Run, before: Reached) -> None:
        self.images.append((run, before))
        at = {"S": str(len(self.images) - 1)}
        images = {
            "NewImage": {"reached": {"S": "{}"}, "at": at},
            "OldImage": {"reached": {"S": json.dumps(before)}},
        }
        self.stream.append(StreamRecord({**images, "Keys": {"run_id": {"S": run.run_id}}}, self.clock.now()))

    # The steps.

    def _stores(self) -> InMemoryStores:
        stores = InMemoryStores(self.tables)
        stores.ticks = _Ticks(self.tables, self.committed)
        return stores

    def _publisher(self) -> PublisherParts:
        bus: Bus = self.bus
        return PublisherParts(
            self.engine.publisher(faulty(bus, "Bus", self.faults, throttled=StoreError)),
            lambda item: self.images[int(item["at"]["S"])][0],
            self._inbox("publish", self.queues["publish"]),
            InMemoryQueue(),
            self.engine.stores.pools,
            self._tokens,
        )

    def _publish_queue(self, event: dict[str, Any]) -> Any:
        parts = self._publisher()
        handle = partial(publish_message, parts)
        return process_queue(event, handle, parts.inbox, PublishRequest.from_json)

    def _evaluator_of(self, definition: SensorDefinition) -> EvaluatorParts:
        return self._evaluator(definition, self.queues[definition.name])

    def _dispatch(self) -> None:
        """Dispatch the pending ticks, as the stream or RECONCILE does."""
        grants = FixedGrants({"pairs": frozenset({"report"})})
        dispatcher = self.engine.dispatcher(InMemoryQueue(), grants, InMemoryBus())
        for sensor, tick_id in self._stores().ticks.pending(self.clock.now() + 1, 100):
            tick = self.tables.ticks[sensor, tick_id]
            with suppress(StoreError):
                dispatcher.dispatch(tick)

    # Time.

    def _next_times(self) -> Iterator[int]:
        yield from (queue.next_at for queue in self.queues.values() if queue.next_at is not None)
        yield from (record.next_at for record in self.stream)
        if self._is_pending or len(self.reports) < PAIRS:
            yield self.next_tick

    @property
    def _is_pending(self) -> bool:
        return any(tick.is_to_be_dispatched for tick in self.tables.ticks.values())

    @property
    def reports(self) -> list[Run]:
        """The runs that the pairs of successes requested."""
        return [run for run in self.tables.runs.values() if run.job == "report"]

    def _run_due(self) -> None:
        self._deliver_stream()
        self._receive("PUBLISH", self.queues["publish"], self._publish_queue)
        self._receive("STATUS", self.queues["watch"], lambda event: self._batch(reacting(), event))
        self._receive("WAKE", self.queues["pairs"], lambda event: self._batch(pairing(), event))
        if self.next_tick <= self.clock.now():
            nominal, self.next_tick = self.next_tick, self.next_tick + MINUTE_MS
            parts = self._evaluator_of(pairing())
            with suppress(TreadleError):
                self.faults.run(
                    "TICK", lambda: _tick(parts, {"nominal_time": timestamp(nominal)}, Budget(SECONDS))
                )
        if self._is_pending:
            self.faults.run("DISPATCH", self._dispatch)
        discard_metrics()

    def _batch(self, definition: SensorDefinition, event: dict[str, Any]) -> Any:
        return _evaluate_batch(self._evaluator_of(definition), event, _Context())

    def _deliver_stream(self) -> None:
        while batch := [record for record in self.stream if record.next_at <= self.clock.now()][:4]:
            for record in batch:
                record.deliveries += 1
                record.next_at = self.clock.now() + MINUTE_MS
            records = [
                {"eventID": str(number), "dynamodb": record.image} for number, record in enumerate(batch)
            ]
            is_done = False
            with suppress(StoreError):
                is_done = self.faults.run(
                    "PUBLISH",
                    lambda: publish_stream(self._publisher(), records),  # noqa: B023
                )
            for record in batch:
                if record in self.stream and (is_done or record.deliveries >= STREAM_TRIES):
                    self.stream.remove(record)


class _Ticks(InMemoryTickStore):
    """A store that records the id of each event tick as often as it is put."""

    def __init__(self, tables: InMemoryTables, committed: list[str]) -> None:
        super().__init__(tables)
        self._committed = committed

    def put(self, tick: Tick) -> bool:
        """Store the record."""
        current = self.get(tick.sensor, tick.tick_id)
        is_kept = super().put(tick)
        if is_kept and current != tick and tick.status is not TickStatus.FAILURE:
            self._committed.append(tick.tick_id)
        return is_kept


def violations(simulation: PublishSimulation) -> list[str]:
    """Return the violations of I2, I8 and I10."""
    return [
        *_unpublished(simulation),
        *_misnumbered(simulation),
        *_unseen(simulation),
        *_unpaired(simulation),
    ]


def _unpublished(simulation: PublishSimulation) -> Iterator[str]:
    ended = {run_id: run for run_id, run in simulation.tables.runs.items() if run.job != "report"}
    reached = {each.event_id for run in ended.values() for each in statuses_reached(run)}
    published = {str(event.detail["id"]) for event in simulation.bus.events}
    if published != reached:
        yield f"I8: {sorted(reached ^ published)} were not published, or never reached"
    by_id: dict[object, set[str]] = {}
    for event in simulation.bus.events:
        by_id.setdefault(event.detail["id"], set()).add(
            json.dumps([event.detail["number"], event.detail["status"]])
        )
    yield from (
        f"I8: {name} was published in {len(forms)} ways" for name, forms in by_id.items() if len(forms) > 1
    )
    yield from (f"I10: dead letter {each}" for each in simulation.dead_letters.kept)


def _misnumbered(simulation: PublishSimulation) -> Iterator[str]:
    for job in JOBS:
        events = simulation.tables.events.get(ended_runs_key(job), [])
        numbers = [event.storage_id for event in events]
        if numbers != list(range(1, len(ENDS) + 1)) or len({event.event_id for event in events}) != len(ENDS):
            yield f"I8: the ends of {job} are numbered {numbers}"


def _unseen(simulation: PublishSimulation) -> Iterator[str]:
    yield from (
        f"I8: tick {name} committed {n} times" for name, n in Counter(simulation.committed).items() if n > 1
    )
    acted = {tick.acted_on for tick in simulation.tables.ticks.values() if tick.acted_on}
    ends = {
        f"{job}-{n}/1/0/{end}" for n, both in enumerate(ENDS) for job, end in zip(JOBS, both, strict=True)
    }
    if acted != ends:
        yield f"I8: {sorted(acted ^ ends)} was not acted on, or never was"
    noted = [each.event_id for run in simulation.tables.runs.values() for each in run.reactions]
    if sorted(noted) != sorted(ends):
        yield f"I2: the reactions noted are {sorted(noted)}"


def _unpaired(simulation: PublishSimulation) -> Iterator[str]:
    used = Counter(
        name
        for run in simulation.reports
        for names in json.loads(run.run_config)["upstream"].values()
        for name in names
    )
    if len(simulation.reports) != PAIRS or any(times > 1 for times in used.values()):
        yield f"I1, I2: {len(simulation.reports)} reports, of {dict(used)}"
