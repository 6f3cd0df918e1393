"""Evaluates recorded ticks again, one after the other, and commits nothing."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import tzinfo
from typing import TYPE_CHECKING

from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.event_log import EventLogRecord
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.timed import DeadlineReached
from treadle.engine.assembly import SensorParts
from treadle.engine.identity import RunIds
from treadle.engine.rehearsal.derived import derived_event
from treadle.engine.rehearsal.past import PastStores
from treadle.engine.rehearsal.recorded import RecordedBatch, RecordedTick, is_of_batch
from treadle.engine.rehearsal.unrecorded import Unrecorded
from treadle.engine.tick.evaluation import Budget, TickContext
from treadle.model.sensors import SensorState
from treadle.model.ticks import Tick

if TYPE_CHECKING:
    from treadle.definitions.sensors import SensorEvent

_MISSING = {"run_status": "the run of its event", "asset": "the materialization of its event"}

SECONDS = 60.0
"""The time limit of an evaluation, where the deployment's is not known."""


class PastClock:
    """A clock that can be set to a time, and goes on from there.

    Args:
        elapsed: returns the seconds of a clock that only goes forward.
    """

    def __init__(self, elapsed: Callable[[], float]) -> None:
        self._elapsed = elapsed
        self.set(0)

    def set(self, millis: int) -> None:
        """Set the time."""
        self._millis, self._since = millis, self._elapsed()

    def now(self) -> int:
        """Return the time in milliseconds."""
        return self._millis + int((self._elapsed() - self._since) * 1000)


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """What the evaluation of a recorded tick results in with the current code.

    Attributes:
        recorded: the tick.
        tick: the record that it would leave now; None if it cannot be rehearsed.
        cursor_after: the cursor that it would leave.
        problem: why it cannot be rehearsed.
    """

    recorded: RecordedTick
    tick: Tick | None = None
    cursor_after: str | None = None
    problem: str | None = None


class Rehearser:
    """Rehearses the ticks of one sensor, in their order.

    A run key counts as taken if the tick's record says so, or an earlier tick requested it, then or now. So a tick
    requests what it would have requested had the current code been deployed before the first of them.

    Args:
        parts: the sensor's components, over these stores and this clock.
        past: the stores.
        clock: the clock.
        unrecorded: notes what evaluations read that is not recorded.
        run_ids: the engine's.
        time_zone: in which deadlines are shown.
        seconds: the time limit of each evaluation.
    """

    def __init__(
        self,
        parts: SensorParts,
        past: PastStores,
        clock: PastClock,
        unrecorded: Unrecorded,
        run_ids: RunIds,
        time_zone: tzinfo,
        seconds: float = SECONDS,
    ) -> None:
        self._evaluator = parts.evaluator
        self._past = past
        self._clock = clock
        self._unrecorded = unrecorded
        self._run_ids = run_ids
        self._time_zone = time_zone
        self._budget = Budget(seconds)
        self._requested: set[str] = set()

    def rehearse(self, recorded: RecordedTick) -> Rehearsal:
        """Evaluate a tick again.

        Args:
            recorded: the tick; later than those that were rehearsed before.

        Raises:
            StoreError: if a store that the evaluation reads did not answer.
        """
        tick = recorded.tick
        own = {each.run_id for each in tick.requests}
        found = self._evaluated(recorded, own)
        self._requested |= own
        if found.tick is not None:
            self._requested |= {each.run_id for each in found.tick.requests}
        return found

    def _evaluated(self, recorded: RecordedTick, own: set[str]) -> Rehearsal:
        tick, name, kind = recorded.tick, self._evaluator.name, self._evaluator.definition.kind
        event = recorded.event
        batch = recorded.batch
        if batch is not None and self._evaluator.definition.batch is None:
            return Rehearsal(recorded, problem="it evaluated a batch, and the sensor has none any more")
        if event is None and batch is None and not recorded.is_leased:
            event = derived_event(kind, tick, self._unrecorded)
            if event is None:
                of_event = _MISSING.get(kind, "the content of its event")
                missing = "the content of its batch" if is_of_batch(tick) else of_event
                return Rehearsal(recorded, problem=recorded.problem or f"{missing} is not recorded")
        if recorded.problem is not None:
            return Rehearsal(recorded, problem=recorded.problem)
        hours = self._evaluator.definition.active
        # It may have been scheduled within them and have begun later, or be the first one within them.
        if hours is not None and not (hours.covers(tick.time) or hours.covers(tick.started_at)):
            return Rehearsal(recorded, problem=f"it is outside the sensor's hours, {hours}")
        existing = {self._run_ids.keyed(name, key) for key in tick.existing_keys}
        # No set of all these keys is made, as each tick would copy those of the ticks before it.
        self._past.is_taken = lambda run_id: (
            run_id not in own and (run_id in self._requested or run_id in existing)
        )
        self._past.at = tick.started_at
        self._clock.set(tick.started_at)
        self._unrecorded.clear()
        state = SensorState(
            name,
            started_at=recorded.sensor_started_at,
            last_completion=recorded.last_completion,
            last_run_key=recorded.last_run_key,
            cursor=recorded.cursor_before,
        )
        frame = TickContext(
            *(tick.tick_id, tick.kind, tick.time, "rehearsal", state.epoch),
            trigger=tick.trigger,
            depth=tick.depth,
        )
        cursor = recorded.cursor_before
        function = self._function(event) if batch is None else self._function_of_batch(batch)
        result = self._evaluator.run(frame, state, cursor, function, self._budget)
        if self._unrecorded.what is not None:
            return Rehearsal(recorded, problem=f"{self._unrecorded.what} is not recorded")
        if result.items:
            return Rehearsal(recorded, problem="what it evaluates would wait for a batch now")
        if result.wait_seconds:
            # It was committed then, which shows that it had waited long enough.
            reason = f"it would wait for {result.wait_seconds} s, and what it would find then is not recorded"
            return Rehearsal(recorded, problem=reason)
        return Rehearsal(recorded, result.tick, result.cursor)

    def _function(
        self, event: "SensorEvent | None"
    ) -> Callable[[SensorEvaluationContext], SensorExecutionData]:
        definition = self._evaluator.definition
        if event is None:
            return definition.evaluate
        if isinstance(event, DeadlineReached):
            event = replace(event, time=event.time.astimezone(self._time_zone))
        return lambda context: definition.evaluate_event(context, event)

    def _function_of_batch(
        self, batch: RecordedBatch
    ) -> Callable[[SensorEvaluationContext], SensorExecutionData]:
        values = [
            EventLogRecord.of(each) if isinstance(each, AssetMaterialized) else each for each in batch.items
        ]
        definition = self._evaluator.definition
        return lambda context: definition.evaluate_batch(context, values, batch.by, batch.run_key)
