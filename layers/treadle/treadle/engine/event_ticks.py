"""Event ticks: one event, one evaluation, one conditional put. Any number side by side, no cursor."""

from collections.abc import Sequence
from dataclasses import dataclass

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import SensorEvaluationError
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.sensors import SensorEvent
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.evaluation import Budget, Evaluator, Frame
from treadle.engine.identity import event_tick_id
from treadle.engine.leased_ticks import outcome
from treadle.engine.outcomes import Decision, Outcome
from treadle.ports.sensors import SensorState, SensorStore
from treadle.ports.system import Tokens
from treadle.ports.ticks import TickKind, TickStore


@dataclass(frozen=True, slots=True)
class TakenUp:
    """What was read once for a batch of events.

    Attributes:
        state: the sensor's.
        known: status and attempts of the events' ticks that exist already.
    """

    state: SensorState
    known: dict[str, tuple[TickStatus, int]]


def tick_id_of(event: SensorEvent) -> str:
    """The id of the tick that evaluates an event."""
    return event_tick_id(int(event.time.timestamp() * 1000), event.identity)


class EventTicks:
    """Evaluates a sensor's events.

    Args:
        evaluator: runs the sensor's function.
        sensors: keeps its state.
        ticks: keeps tick records.
        tokens: names evaluations.
        default_status: what holds where no operator has said anything.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        sensors: SensorStore,
        ticks: TickStore,
        tokens: Tokens,
        default_status: DefaultSensorStatus,
    ) -> None:
        self._definition = evaluator.definition
        self._evaluator = evaluator
        self._sensors = sensors
        self._ticks = ticks
        self._tokens = tokens
        self._default_status = default_status

    def take_up(self, events: Sequence[SensorEvent]) -> TakenUp:
        """Read what the events' evaluation depends on, in two requests for all of them.

        Args:
            events: at most 100.

        Raises:
            StoreError: if a store did not answer.
        """
        state = self._sensors.get(self._definition.name)
        if not state.is_running(self._default_status):
            return TakenUp(state, {})
        known = self._ticks.attempts(self._definition.name, {tick_id_of(event) for event in events})
        return TakenUp(state, known)

    def evaluate(self, event: SensorEvent, taken_up: TakenUp, budget: Budget) -> Outcome:
        """Evaluate an event unless that was done, and commit what came of it.

        Args:
            event: what happened.
            taken_up: what `take_up` read for it.
            budget: how long this may take.

        Raises:
            SensorEvaluationError: if the function failed; the tick says so, and the event is to be
                delivered again.
            StoreError: if a store did not answer.
        """
        tick_id = tick_id_of(event)
        if not taken_up.state.is_running(self._default_status):
            reason = f"Sensor {self._definition.name} is stopped; the event was dropped."
            return Outcome(Decision.STOPPED, reason, tick_id, trigger=event.summary)
        status, attempts = taken_up.known.get(tick_id, (TickStatus.FAILURE, 0))
        if status is not TickStatus.FAILURE:
            return _duplicate(tick_id, event)

        def function(context: SensorEvaluationContext) -> SensorExecutionData:
            return self._definition.evaluate_event(context, event)

        time = int(event.time.timestamp() * 1000)
        frame = Frame(tick_id, TickKind.EVENT, time, self._tokens.new(), event.summary, attempts + 1)
        tick = self._evaluator.run(frame, taken_up.state, None, function, budget).tick
        if not self._ticks.put(tick):
            return _duplicate(tick_id, event)
        if tick.error is not None:
            raise SensorEvaluationError(
                tick.error.message, error_type=tick.error.type, stack=tick.error.stack
            )
        return outcome(tick)


def _duplicate(tick_id: str, event: SensorEvent) -> Outcome:
    reason = "The event was evaluated before; this is a second delivery."
    return Outcome(Decision.DUPLICATE, reason, tick_id, trigger=event.summary)
