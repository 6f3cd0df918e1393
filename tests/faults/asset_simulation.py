"""A simulation of asset events, from reports and ticks to the bus; a fault can be injected at every call."""

import json
import random
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, ClassVar, cast

from tests.faults.engine_simulation import MINUTE_MS, PAUSE_SECONDS, SECONDS, _Context
from tests.faults.simulated_aws import SimulatedDeadLetters, SimulatedQueue
from tests.faults.simulation import Simulation
from tests.support.engine import JOB, JOBS, NAMESPACE, RUN_IDS
from tests.support.metrics import discard_metrics
from treadle.definitions.assets import AssetMaterialization, AssetObservation, ReportedEvent
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import StoreError, TreadleError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest, SensorResult
from treadle.definitions.run_status import RunStatusSensorDefinition
from treadle.definitions.runs import DEPTH_TAG
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.identity import timestamp
from treadle.engine.publish.bus_events import RunStatusChange, envelope, run_status_changed
from treadle.engine.tick.evaluation import Budget
from treadle.entrypoints.evaluator import EvaluatorParts, _evaluate_batch, _tick
from treadle.entrypoints.recorder import record_batch
from treadle.model.assets import AssetEvent
from treadle.model.runs import Run
from treadle.ports.assets import EventStore
from treadle.ports.system import Bus
from treadle.testing.bus import InMemoryBus
from treadle.testing.faults import Faults, faulty
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, SequentialIds, VirtualClock
from treadle.testing.tables import InMemoryTables

OTHER = "210987654321/eu-west-1/shop"
RUN_ID = RUN_IDS.keyed("any", "made it")
TICKS = 2
RUNS = 2
SCHEDULED, EVENTS = "days", "runs"
RUNNING = DefaultSensorStatus.RUNNING


def report(
    event_id: str | None, *, kind: str = "Materialization", version: int = 1, **detail: object
) -> dict[str, object]:
    """Return a report, as EventBridge delivers it."""
    fields: dict[str, object] = {"version": version, "asset_key": "orders", "run_id": RUN_ID, **detail}
    return {
        "id": "made by eventbridge",
        "source": "treadle.report",
        "detail-type": f"Asset {kind} Report",
        "account": "123456789012",
        "region": "us-east-1",
        "time": "2026-11-22T18:00:09Z",
        "detail": fields if event_id is None else {**fields, "event_id": event_id},
    }


def published_elsewhere(namespace: str, kind: str = "Materialized") -> dict[str, object]:
    """Return an asset event of another stack."""
    made: dict[str, object] = {
        "partition": None,
        "description": None,
        "metadata": {},
        "run_id": None,
        "depth": 1,
    }
    detail = {"version": 1, "id": "e1", "namespace": namespace, "origin": OTHER, "storage_id": 7, **made}
    return {
        "source": "treadle",
        "detail-type": f"Asset {kind}",
        "account": "210987654321",
        "region": "eu-west-1",
        "detail": {**detail, "asset_key": "orders", "time": "2026-11-22T18:00:09Z"},
    }


BAD = report("bad", version=2)
REPORTS = (
    report("e1"),
    report(None, metadata={"rows": 3}),
    report("e1", time="2026-11-23T00:00:00Z", metadata={"rows": 4}),
    report("e2", asset_key=["customers"]),
    BAD,
    published_elsewhere(OTHER),
    published_elsewhere("210987654321/eu-west-1/third"),
    report("e1"),
    report("e1", kind="Observation", metadata={"rows": 5}),
    report("o1", kind="Observation"),
    published_elsewhere(OTHER, "Observed"),
    report("e1", kind="Observation", metadata={"rows": 6}),
)


def scheduled() -> SensorDefinition:
    """Return a sensor that reports events of two assets and requests a run on each of two days."""

    def function(context: SensorEvaluationContext) -> SensorResult:
        day = int(context.cursor or 0) + 1
        if day > TICKS:
            return SensorResult(skip_reason="no more days")
        orders, customers = (AssetMaterialization(key, partition=str(day)) for key in ("orders", "customers"))
        seen = AssetObservation("seen", partition=str(day))
        made: list[ReportedEvent] = [orders, seen, customers, orders]
        return SensorResult([RunRequest(str(day))], cursor=str(day), asset_events=made)

    return SensorDefinition(SCHEDULED, evaluation_fn=function, job=JobDefinition(JOB))


def subscription() -> SensorDefinition:
    """Return a sensor that reports an asset for each run that it receives."""
    made = [AssetMaterialization("orders", description="of a run")]
    definition = RunStatusSensorDefinition(EVENTS, Status.SUCCESS, lambda: SensorResult(asset_events=made))
    return definition.configured({"TREADLE_NAMESPACE": NAMESPACE})


class OneByOne:
    """An `EventStore` that appends one event at a time, so that a fault can leave a part of them appended.

    Args:
        store: the store.
    """

    def __init__(self, store: EventStore) -> None:
        self._store = store

    def append(self, events: Sequence[AssetEvent]) -> list[AssetEvent]:
        """Number each event, once."""
        return [kept for event in events for kept in self._store.append([event])]

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


@dataclass(slots=True)
class AssetSimulation(Simulation):
    """A simulation of RECORD, DISPATCH and two sensors that report assets.

    Attributes:
        faults: injects the faults.
    """

    end_ms: ClassVar[int] = 24 * 3_600_000

    faults: Faults = field(default_factory=Faults)
    clock: VirtualClock = field(default_factory=VirtualClock)
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    dead_letters: SimulatedDeadLetters = field(default_factory=SimulatedDeadLetters)
    bus: InMemoryBus = field(default_factory=InMemoryBus)
    _tokens: SequentialIds = field(default_factory=SequentialIds)
    queues: dict[str, SimulatedQueue] = field(init=False)
    began_at: int = field(init=False)
    next_tick: int = field(init=False)

    def __post_init__(self) -> None:
        random.seed(0)  # The delay of a failed message is random.
        self.queues = {
            name: SimulatedQueue(self.clock, self.dead_letters.kept) for name in ("record", SCHEDULED, EVENTS)
        }
        self.faults.pause = lambda: self.run(self.clock.now() + PAUSE_SECONDS * 1000)
        self.began_at = self.next_tick = self.clock.now()
        self.tables.runs[RUN_ID] = self._run(RUN_ID, depth=3)
        self.queues["record"].send(list(REPORTS))
        for number in range(RUNS):
            run = self._run(f"run-{number}", depth=1)
            event = run_status_changed(
                RunStatusChange(run, 1, 0, Status.SUCCESS, self.began_at), NAMESPACE, 1
            )
            self.queues[EVENTS].send([envelope(event, NAMESPACE)] * 2)

    def _run(self, run_id: str, depth: int) -> Run:
        return Run(run_id, JOB, "any", None, "tick", "{}", {DEPTH_TAG: str(depth)}, self.began_at)

    # The steps.

    def _stores(self) -> InMemoryStores:
        return InMemoryStores(self.tables)

    def _faulted(self) -> Any:
        stores = Simulation._faulted(self)
        stores.events = OneByOne(stores.events)
        return stores

    @property
    def _bus(self) -> Bus:
        bus: Bus = self.bus
        return faulty(bus, "Bus", self.faults, throttled=StoreError)

    def _record_batch(self, event: dict[str, Any]) -> Any:
        runs, assets = self.engine.recorder(JOBS, {}), self.engine.asset_recorder(self._bus)
        inbox = self._inbox("record", self.queues["record"])
        return record_batch(event, runs, assets, inbox)

    def _evaluator_of(self, definition: SensorDefinition) -> EvaluatorParts:
        return self._evaluator(definition, self.queues[definition.name])

    def _dispatch(self) -> None:
        """Dispatch the pending ticks, as the stream or RECONCILE does."""
        grants = FixedGrants({SCHEDULED: frozenset({JOB})})
        dispatcher = self.engine.dispatcher(InMemoryQueue(), grants, self._bus)
        for sensor, tick_id in self._stores().ticks.pending(self.clock.now() + 1, 100):
            with suppress(StoreError):
                dispatcher.dispatch(self.tables.ticks[sensor, tick_id])

    # Time.

    def _next_times(self) -> Iterator[int]:
        yield from (queue.next_at for queue in self.queues.values() if queue.next_at is not None)
        if self._is_pending or self.tables.sensors.get(SCHEDULED) is None or self._days < TICKS:
            yield self.next_tick

    @property
    def _days(self) -> int:
        return int(self.tables.sensors[SCHEDULED].cursor or 0)

    @property
    def _is_pending(self) -> bool:
        return any(tick.is_to_be_dispatched for tick in self.tables.ticks.values())

    def _run_due(self) -> None:
        self._receive("RECORD", self.queues["record"], self._record_batch)
        self._receive(
            "EVENT",
            self.queues[EVENTS],
            lambda event: _evaluate_batch(self._evaluator_of(subscription()), event, _Context()),
        )
        if self.next_tick <= self.clock.now():
            nominal, self.next_tick = self.next_tick, self.next_tick + MINUTE_MS
            parts = self._evaluator_of(scheduled())
            with suppress(TreadleError):
                self.faults.run(
                    "TICK", lambda: _tick(parts, {"nominal_time": timestamp(nominal)}, Budget(SECONDS))
                )
        if self._is_pending:
            self.faults.run("DISPATCH", self._dispatch)
        discard_metrics()


def recorded_wrong(simulation: AssetSimulation) -> list[str]:
    """Return the violations of I2, I3, I4, I8 and I10."""
    return [*_misnumbered(simulation), *_mispublished(simulation), *_undone(simulation)]


def _expected(simulation: AssetSimulation) -> dict[str, set[str]]:
    """Return the ids of all events, by the key under which they are to be stored."""
    found = {
        "orders": {"e1", "made by eventbridge", f"{OTHER}/e1"},
        "customers": {"e2"},
        "#observed/orders": {"e1", "o1", f"{OTHER}/e1"},
        "#observed/seen": set(),
    }
    for (sensor, tick_id), tick in simulation.tables.ticks.items():
        for index, made in enumerate(tick.asset_events):
            key = made.asset_key.to_user_string()
            found["#observed/seen" if key == "seen" else key].add(f"{sensor}/{tick_id}/{index}")
    return found


def _misnumbered(simulation: AssetSimulation) -> Iterator[str]:
    expected = _expected(simulation)
    if {key: len(ids) for key, ids in expected.items()} != {
        "orders": 3 + 2 * TICKS + RUNS,
        "customers": 1 + TICKS,
        "#observed/orders": 3,
        "#observed/seen": TICKS,
    }:
        yield f"I4: ticks committed {expected}"
    if extra := simulation.tables.events.keys() - expected.keys():
        yield f"I8: events under {extra}"
    for key, ids in expected.items():
        kept = simulation.tables.events.get(key, [])
        if [event.storage_id for event in kept] != list(range(1, len(kept) + 1)):
            yield f"I8: {key} is numbered {[event.storage_id for event in kept]}"
        if sorted(event.event_id for event in kept) != sorted(ids):
            yield f"I8: {key} has {sorted(event.event_id for event in kept)}, and not {sorted(ids)}"


def _mispublished(simulation: AssetSimulation) -> Iterator[str]:
    kept = {
        (key, event.event_id): event for key, events in simulation.tables.events.items() for event in events
    }
    published: dict[tuple[str, str], set[str]] = {}
    for event in simulation.bus.events:
        detail = cast("dict[str, Any]", event.detail)
        key = {"Asset Materialized": "", "Asset Observed": "#observed/"}[event.kind] + detail["asset_key"]
        published.setdefault((key, detail["id"]), set()).add(json.dumps(detail))
    if published.keys() != kept.keys():
        yield f"I8: {sorted(published.keys() ^ kept.keys())} were not published, or never kept"
    for name, forms in published.items():
        numbers = {json.loads(form)["storage_id"] for form in forms}
        if len(forms) > 1 or name not in kept or numbers != {kept[name].storage_id}:
            yield f"I8: {name} was published as {sorted(forms)}"
    depths = {
        "/".join(name[1].split("/")[:1]): json.loads(form)["depth"]
        for name, forms in published.items()
        for form in forms
    }
    wanted = {"e2": 3, "o1": 3, SCHEDULED: 1, EVENTS: 2}
    if any(depths.get(name) != depth for name, depth in wanted.items()):
        yield f"the depths are {depths}"


def _undone(simulation: AssetSimulation) -> Iterator[str]:
    started = [run.run_key for run in simulation.tables.runs.values() if run.sensor == SCHEDULED]
    if sorted(map(str, started)) != [str(day) for day in range(1, TICKS + 1)]:
        yield f"I2: runs of {started}"
    if {body for body, _ in simulation.dead_letters.kept} != {json.dumps(BAD)}:
        yield f"I10: dead letters {simulation.dead_letters.kept}"
    if any("version 2 is not 1" not in reason for _, reason in simulation.dead_letters.kept):
        yield f"I10: dead letters without reason {simulation.dead_letters.kept}"
