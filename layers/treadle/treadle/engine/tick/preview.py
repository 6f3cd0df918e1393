"""Preview: evaluates with a given cursor or event, and commits nothing."""

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.results import SensorExecutionData
from treadle.engine.identity import leased_tick_id
from treadle.engine.tick.evaluation import Budget, Evaluator, TickContext
from treadle.model.ticks import Tick, TickKind
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock

if TYPE_CHECKING:
    from treadle.definitions.sensors import SensorEvent

STORED = object()
"""A sentinel for the stored cursor."""


@dataclass(frozen=True, slots=True)
class Preview:
    """What a tick would do.

    Attributes:
        tick: the record it would commit: requests, claimed keys, rejected requests, reason, error, log.
        cursor_before: the cursor it was evaluated with.
        cursor_after: the cursor it would commit.
    """

    tick: Tick
    cursor_before: str | None
    cursor_after: str | None


class Previewer:
    """Evaluates without committing; the sensor's state is only read."""

    def __init__(self, evaluator: Evaluator, sensors: SensorStore, clock: Clock) -> None:
        self._evaluator = evaluator
        self._sensors = sensors
        self._clock = clock

    def preview(
        self, budget: Budget, *, cursor: object = STORED, event: "SensorEvent | None" = None
    ) -> Preview:
        """Evaluate and return what a tick would do now.

        Args:
            budget: the time limit.
            cursor: a string or None to evaluate with; the stored one by default.
            event: evaluate this event instead of a leased tick.

        Raises:
            StoreError: if a store did not answer.
        """
        state = self._sensors.get(self._evaluator.name)
        before = self._sensors.cursor(state) if cursor is STORED else cursor
        if not isinstance(before, str):
            before = None
        now = self._clock.now()
        kind = TickKind.LEASED if event is None else TickKind.EVENT
        frame = TickContext(f"preview-{leased_tick_id(now, state.epoch)}", kind, now, "preview", state.epoch)
        definition = self._evaluator.definition

        def function(context: SensorEvaluationContext) -> SensorExecutionData:
            if event is None:
                return definition.evaluate(context)
            return definition.evaluate_event(context, event)

        result = self._evaluator.run(frame, replace(state, cursor=before), before, function, budget)
        return Preview(result.tick, before, result.cursor)
