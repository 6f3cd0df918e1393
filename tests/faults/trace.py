"""A trace of all effects on the stores, in order, recorded whether or not the process survives."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from treadle.model.runs import Claim, PendingStart, Run
from treadle.model.sensors import Completion, Edit, Lease, LeaseRequest, Refused, SensorState
from treadle.model.ticks import Tick
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.ticks import TickStore


@dataclass(frozen=True, slots=True)
class Acquired:
    """A lease was acquired."""

    lease: Lease


@dataclass(frozen=True, slots=True)
class Committed:
    """A scheduled tick was committed."""

    lease: Lease
    completion: Completion


@dataclass(frozen=True, slots=True)
class Edited:
    """An operator edited the sensor."""

    edit: Edit
    epoch: int


@dataclass(slots=True)
class Trace:
    """All effects on the stores.

    Attributes:
        sensors: the changes of sensors' states, in order.
        ticks: the event ticks that were stored.
        runs: the written records by run id, in order.
        on_tick: called with each committed tick.
    """

    sensors: list[Acquired | Committed | Edited] = field(default_factory=list)
    ticks: list[Tick] = field(default_factory=list)
    runs: dict[str, list[Run]] = field(default_factory=dict)
    on_tick: Callable[[Tick], None] = lambda _: None


class TracedSensors:
    """A `SensorStore` that adds each lease, commit and edit to a trace."""

    def __init__(self, store: SensorStore, trace: Trace) -> None:
        self._store = store
        self._trace = trace

    def acquire(self, request: LeaseRequest) -> Lease | Refused:
        answer = self._store.acquire(request)
        if isinstance(answer, Lease):
            self._trace.sensors.append(Acquired(answer))
        return answer

    def commit(self, lease: Lease, completion: Completion) -> None:
        self._store.commit(lease, completion)
        self._trace.sensors.append(Committed(lease, completion))
        for tick in completion.ticks:
            self._trace.on_tick(tick)

    def edit(self, sensor: str, edit: Edit) -> SensorState:
        state = self._store.edit(sensor, edit)
        self._trace.sensors.append(Edited(edit, state.epoch))
        return state

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class TracedTicks:
    """A `TickStore` that adds the ticks that were put to a trace."""

    def __init__(self, store: TickStore, trace: Trace) -> None:
        self._store = store
        self._trace = trace

    def put_many(self, ticks: Sequence[Tick]) -> list[bool | Exception]:
        results = self._store.put_many(ticks)
        for tick, is_kept in zip(ticks, results, strict=True):
            if is_kept is True:
                self._trace.ticks.append(tick)
                self._trace.on_tick(tick)
        return results

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class TracedRuns:
    """A `RunStore` that adds each written record to a trace."""

    def __init__(self, store: RunStore, trace: Trace) -> None:
        self._store = store
        self._trace = trace

    def create(self, run: Run) -> Run | None:
        current = self._store.create(run)
        if current is None:
            self._wrote(run)
        return current

    def create_many(self, runs: Sequence[Run]) -> list[Run | Exception | None]:
        return [self.create(run) for run in runs]

    def claim(
        self, run_id: str, job: str, attempt: int, claim: Claim, pending_start: PendingStart
    ) -> Run | None:
        run = self._store.claim(run_id, job, attempt, claim, pending_start)
        if run is not None and run.claim == claim:
            self._wrote(run)
        return run

    def replace_many(self, changes: Sequence[tuple[Run, Run]]) -> list[Run | Exception | None]:
        return [self.replace(run, before) for run, before in changes]

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        current = self._store.replace(run, before)
        if current is None:
            self._wrote(run)
        return current

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)

    def _wrote(self, run: Run) -> None:
        self._trace.runs.setdefault(run.run_id, []).append(run)
