"""What is recorded of a sensor's ticks, and of what they evaluated, for a rehearsal."""

import re
from collections.abc import Iterable, Iterator
from itertools import islice

from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.bounds import counted
from treadle.definitions.errors import SensorOwnershipError, UnreadableRecordError
from treadle.definitions.run_events import RunStatusEvent
from treadle.engine.assembly import Stores
from treadle.engine.assets.asset_events import materialized
from treadle.engine.identity import timestamp
from treadle.engine.rehearsal.recorded import RecordedBatch, RecordedTick
from treadle.engine.tick.event_ticks import tick_id_of
from treadle.engine.tick.scheduled_ticks import streak_tick
from treadle.model.deployment import DeployedSensor
from treadle.model.records import each_readable
from treadle.model.sensors import KEPT_EDITS, RecordedEdit, SensorState
from treadle.model.ticks import CUT, Tick, TickKind
from treadle.operate.recorded_batches import RecordedBatches, run_events

AT_ONCE = 500
"""How many ticks are read before the runs and the assets of their events are."""

MOST_BEFORE = 1_000
"""How many records before the range are read to find the cursor with which its first tick began."""

_DIED = "EvaluationDiedError"
_LEASED_ID = re.compile(r".{24}-([0-9]{9,23})")
_RUN = re.compile(r"Run (\S+) of .+: [A-Z_]+")
_ASSET = re.compile(r"Asset (.+): materialization ([0-9]+)(?: of partition .*)?", re.DOTALL)

_CUT_CURSOR = "the cursor with which it began is too long to be recorded in full"
_NOTHING_BEFORE = "the tick before it is not recorded, and so not the cursor with which it began"


class RecordedTicks:
    """Reads the ticks of a sensor with what they evaluated.

    Args:
        stores: the deployment's.
        namespace: the engine's, as `account/region/namespace`.

    Attributes:
        stores: the deployment's.
        namespace: the engine's.
    """

    def __init__(self, stores: Stores, namespace: str) -> None:
        self.stores = stores
        self.namespace = namespace
        self._batches = RecordedBatches(stores, namespace)

    def of(self, sensor: DeployedSensor, since: int, until: int) -> Iterator[RecordedTick]:
        """Yield the recorded ticks of a time range, oldest first.

        Args:
            sensor: the sensor.
            since: the start of the range, in milliseconds.
            until: its end.

        Raises:
            StoreError: if a store did not answer.
        """
        state = self.stores.sensors.get(sensor.name)
        chain = _Chain(state, self.stores.sensors.edits(sensor.name))
        first, last = timestamp(since), timestamp(until)
        has_cursor = sensor.is_ticked and sensor.kind != "s3"
        for tick in self._before(sensor.name, first) if has_cursor else ():
            chain.follow(tick)
        for ticks in _batches(self._ticks(state, first, last)):
            events, batches = self._events(sensor.kind, ticks), self._batches.of(sensor, ticks)
            for tick in ticks:
                if tick.kind is TickKind.LEASED and has_cursor:
                    yield chain.follow(tick)
                else:
                    if _unreadable(tick):
                        chain.lose()
                    batch = batches.get(tick.tick_id)
                    problem = _unreadable(tick) or (batch if isinstance(batch, str) else None)
                    yield RecordedTick(
                        tick,
                        event=events.get(tick.tick_id),
                        batch=batch if isinstance(batch, RecordedBatch) else None,
                        problem=problem,
                    )

    def _ticks(self, state: SensorState, first: str, last: str) -> Iterator[Tick]:
        yield from self.stores.ticks.between(state.sensor, first, last)
        if state.skips is not None and first <= state.skips.first_tick_id <= last:
            yield streak_tick(state.sensor, state.skips)

    def _before(self, sensor: str, first: str) -> list[Tick]:
        """Return the leased ticks before a range that show with which cursor it begins, oldest first."""
        found: list[Tick] = []
        for tick in islice(self.stores.ticks.between(sensor, "0", first, ascending=False), MOST_BEFORE):
            if tick.kind is TickKind.LEASED:
                found.insert(0, tick)
                if not tick.skips and _shows_cursor(tick):
                    break
        return found

    def _events(self, kind: str, ticks: list[Tick]) -> dict[str, RunStatusEvent | AssetMaterialized]:
        """Return the events of ticks by the ticks' ids, as far as their runs and assets are recorded."""
        found: Iterable[RunStatusEvent | AssetMaterialized] = ()
        if kind == "run_status":
            found = self._run_events(ticks)
        elif kind == "asset":
            found = self._asset_events(ticks)
        return {tick_id_of(event): event for event in found}

    def _run_events(self, ticks: list[Tick]) -> Iterator[RunStatusEvent]:
        matches = (_RUN.fullmatch(tick.trigger or "") for tick in ticks)
        runs = self.stores.runs.get_many({each[1] for each in matches if each})
        return run_events(runs.values(), self.namespace)

    def _asset_events(self, ticks: list[Tick]) -> Iterator[AssetMaterialized]:
        numbers: dict[str, set[int]] = {}
        for tick in ticks:
            if match := _ASSET.fullmatch(tick.trigger or ""):
                numbers.setdefault(match[1], set()).add(int(match[2]))
        for key, wanted in numbers.items():
            yield from each_readable(materialized, self.stores.events.numbered(key, wanted))


class _Chain:
    """Follows the cursor through a sensor's leased ticks.

    Each lease and each edit increments the sensor's epoch, and the record of a streak of skips has the cursor with which
    the next tick began. So it is known what lies between two records, and whether an operator changed the cursor there.

    Args:
        state: the sensor's state now.
        edits: the operators' last edits, newest first.
    """

    def __init__(self, state: SensorState, edits: list[RecordedEdit]) -> None:
        self._started_at = state.started_at
        self._edits = edits
        self._cursor: str | None = None
        self._problem: str | None = None
        self._epoch: int | None = 0
        self._last_completion: int | None = None
        self._last_run_key: str | None = None

    def follow(self, tick: Tick) -> RecordedTick:
        """Go on to the next record, and return it with what was before it."""
        self._apply_edits(_epoch(tick))
        if tick.error is not None and _shows_cursor(tick):
            self._take(tick)  # A failure leaves the cursor as it was.
        before, problem = self._cursor, self._problem
        self._epoch = _epoch(tick)
        if tick.skips:
            self._take_streak(tick)
        elif _shows_cursor(tick):
            self._take(tick)
        started = self._started_at
        found = RecordedTick(
            tick,
            before,
            self._cursor,
            not tick.skips and self._problem is None,
            self._last_run_key,
            self._last_completion,
            started if started is not None and started <= tick.started_at else None,
            problem=_not_evaluated(tick) or problem,
        )
        self._last_completion = tick.ended_at
        keys = [each.run_key for each in tick.requests if each.run_key] or list(tick.existing_keys)
        self._last_run_key = keys[-1] if keys else self._last_run_key
        return found

    def lose(self) -> None:
        """Go on after a record that cannot be read."""
        self._cursor, self._problem, self._epoch = None, _NOTHING_BEFORE, None

    def _take(self, tick: Tick) -> None:
        self._cursor, self._problem = tick.cursor, None if tick.has_whole_cursor else _CUT_CURSOR

    def _take_streak(self, streak: Tick) -> None:
        self._epoch = None  # Its cursor is the one with which the next tick began, whatever came in between.
        if streak.cursor is not None:
            self._take(streak)
        elif self._cursor is not None or self._problem is not None:
            self._cursor = None
            self._problem = (
                f"{counted(streak.skips, 'skip')} came before it, and the cursor afterwards is not recorded"
            )

    def _apply_edits(self, epoch: int | None) -> None:
        """Apply the operators' edits of the cursor between the last record and an epoch."""
        if self._epoch is None or epoch is None or epoch == self._epoch + 1:
            return
        between = [each for each in self._edits if self._epoch < each.epoch < epoch]
        is_forgotten = len(self._edits) >= KEPT_EDITS and self._edits[-1].epoch > self._epoch + 1
        # Before the first record, anything but an edit was a tick, whose record has expired.
        if is_forgotten or (self._epoch == 0 and len(between) < epoch - 1):
            self._cursor, self._problem = None, _NOTHING_BEFORE
        for edit in reversed(between):
            if edit.action == "adopt_fresh":
                self._cursor, self._problem = None, None
            elif edit.action == "set_cursor":
                self._cursor = edit.after
                self._problem = _CUT_CURSOR if (edit.after or "").endswith(CUT) else None


def _epoch(tick: Tick) -> int | None:
    match = _LEASED_ID.fullmatch(tick.tick_id)
    return int(match[1]) if match else None


def _shows_cursor(tick: Tick) -> bool:
    return tick.error is None or tick.error.type not in {_DIED, SensorOwnershipError.__name__}


def _not_evaluated(tick: Tick) -> str | None:
    if tick.error is not None and tick.error.type == SensorOwnershipError.__name__:
        return "it evaluated nothing, because the sensor's state belonged to another project"
    return None


def _unreadable(tick: Tick) -> str | None:
    if tick.error is not None and tick.error.type == UnreadableRecordError.__name__:
        return f"its record is {tick.error.message}"
    return None


def _batches(ticks: Iterator[Tick]) -> Iterator[list[Tick]]:
    while batch := list(islice(ticks, AT_ONCE)):
        yield batch
