"""Event ticks: one event, one evaluation, one conditional write. Any number in parallel, no cursor."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    SensorEvaluationError,
    SensorOwnershipError,
    StoreError,
    TreadleError,
    UnreadableRecordError,
)
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.sensors import SensorEvent
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.identity import event_tick_id
from treadle.engine.invocation_batch import result_of, results_of
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.evaluation import (
    Budget,
    EvaluationResult,
    Evaluator,
    TickContext,
    is_unstorable,
    unstorable,
)
from treadle.engine.tick.scheduled_ticks import outcome
from treadle.model.runs import Run
from treadle.model.sensors import SensorState
from treadle.model.ticks import Tick, TickKind
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import IdGenerator
from treadle.ports.ticks import TickStore

if TYPE_CHECKING:
    from treadle.engine.tick.batch_acceptor import BatchAcceptor

logger = logging.getLogger(__name__)

STATUS_MS = 1_000
"""A sensor status older than this is read again before an event is evaluated, and before the commit.

The commit itself has no condition on the status: a transaction with the sensor's item would double its price,
and the concurrent events of one sensor would conflict on that item.
"""

HOLD_MS = 250
"""The held results are committed once so much time has passed since the first of their evaluations began."""


@dataclass(frozen=True, slots=True)
class EventBatchState:
    """The state that was read once for a batch of events.

    Attributes:
        state: the sensor's state.
        read_at: when that was read.
        known: status and attempts of the events' ticks that exist already.
        runs: the records of the runs in the events, as far as this stack has them.
    """

    state: SensorState
    read_at: int
    known: Mapping[str, tuple[TickStatus, int]] = field(default_factory=dict)
    runs: Mapping[str, Run] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Evaluated:
    """An event that was evaluated, in its frame, and what plans and returns the result."""

    event: SensorEvent
    frame: TickContext
    plan: Callable[[], EvaluationResult]


@dataclass(frozen=True, slots=True)
class _Planned:
    """An event whose result is to be committed."""

    event: SensorEvent
    frame: TickContext
    result: EvaluationResult


def tick_id_of(event: SensorEvent) -> str:
    """Return the id of the tick that evaluates an event."""
    return event_tick_id(int(event.time.timestamp() * 1000), event.identity)


class EventTicks:
    """Evaluates a sensor's events.

    Args:
        evaluator: runs the sensor's function.
        sensors: stores the sensor's state.
        ticks: stores tick records.
        tokens: generates tokens for evaluations.
        default_status: the status until an operator sets another one.
        runs: stores run records.
        namespace: the engine's, as `account/region/namespace`.
        project: whose sensor it is; "" if that is not known, and then whatever state there is counts as its own.
        acceptor: accepts items of batches; None if the sensor has none.
    """

    def __init__(
        self,
        evaluator: Evaluator,
        sensors: SensorStore,
        ticks: TickStore,
        tokens: IdGenerator,
        default_status: DefaultSensorStatus,
        runs: RunStore,
        namespace: str,
        project: str = "",
        acceptor: "BatchAcceptor | None" = None,
    ) -> None:
        self._definition = evaluator.definition
        self._evaluator = evaluator
        self._sensors = sensors
        self._ticks = ticks
        self._tokens = tokens
        self._default_status = default_status
        self._runs = runs
        self._namespace = namespace
        self._project = project
        self._acceptor = acceptor

    def load_batch_state(self, events: Sequence[SensorEvent]) -> EventBatchState:
        """Read what the events' evaluation depends on, in two or three requests for all of them.

        The first events of a sensor make its state its project's, by one request more.

        Args:
            events: at most 100.

        Raises:
            StoreError: if a store did not answer.
        """
        read_at = self._evaluator.clock.now()
        state = self._state()
        if not state.is_running(self._default_status):
            return EventBatchState(state, read_at)
        if self._project and state.project is None:
            state = self._sensors.claim(self._definition.name, self._project)
        known: Mapping[str, tuple[TickStatus, int]] = {}
        # The ledger knows the items of batches, but neither what was evaluated before there were any, nor how often a record
        # could not be accepted.
        if self._definition.batch is None or self._definition.events_return:
            known = self._ticks.attempts(self._definition.name, {tick_id_of(event) for event in events})
        # Imported here because scheduled ticks do not need it.
        from treadle.definitions.run_events import RunStatusEvent

        own = [each.run for each in events if isinstance(each, RunStatusEvent)]
        run_ids = {run.run_id for run in own if run.location == self._namespace}
        return EventBatchState(state, read_at, known, self._runs.get_many(run_ids) if run_ids else {})

    def evaluate(self, event: SensorEvent, batch_state: EventBatchState, budget: Budget) -> Outcome:
        """Evaluate an event unless that was done before, and commit the result.

        If it is too early to decide, nothing is committed, and the outcome says when to evaluate the event
        again.

        Args:
            event: the event.
            batch_state: what `load_batch_state` read for it.
            budget: the time limit.

        Raises:
            SensorEvaluationError: if the function failed, or the sensor's state belongs to another project; the
                tick is recorded, and the event is to be redelivered.
            StoreError: if a store did not answer.
        """
        [result] = self.evaluate_many([event], batch_state, lambda: budget)
        if isinstance(result, Exception):
            raise result
        return result

    def evaluate_many(
        self, events: Sequence[SensorEvent], batch_state: EventBatchState, budget: Callable[[], Budget]
    ) -> list[Outcome | Exception]:
        """Evaluate events one after the other, as `evaluate` does, and commit the results of fast evaluations together.

        A process that dies before a commit has evaluated the events in vain: none of them may be one that was delivered
        before, as it may be what the process died of.

        Args:
            events: no two with the same tick.
            batch_state: what `load_batch_state` read for them.
            budget: returns the time limit of the next evaluation.

        Returns:
            For each event, its outcome or the error that `evaluate` raises.
        """
        results: dict[int, Outcome | Exception] = {}
        held: dict[int, _Evaluated] = {}
        held_since = 0

        def evaluated(event: SensorEvent) -> _Evaluated | Outcome:
            nonlocal batch_state
            batch_state = self._refreshed(batch_state)
            return self._evaluated(event, batch_state, budget())

        def commit() -> list[Outcome | Exception]:
            nonlocal batch_state
            planned = [result_of(partial(_planned, each)) for each in held.values()]
            batch_state = self._refreshed(batch_state)
            ready = [each for each in planned if isinstance(each, _Planned)]
            done = iter(self._committed(ready, batch_state))
            return [next(done) if isinstance(each, _Planned) else each for each in planned]

        for place, event in enumerate(events):
            if not held:
                held_since = self._evaluator.clock.now()
            result = result_of(partial(evaluated, event))
            if not isinstance(result, _Evaluated):
                results[place] = result
            else:
                held[place] = result
            is_last = place + 1 == len(events)
            if held and (is_last or self._evaluator.clock.now() - held_since >= HOLD_MS):
                results.update(zip(held, results_of(commit, len(held)), strict=True))
                held.clear()
        return [results[place] for place in range(len(events))]

    def _refreshed(self, batch_state: EventBatchState) -> EventBatchState:
        """Return the state of a batch, with the sensor's read again if it may be out of date."""
        now = self._evaluator.clock.now()
        if now - batch_state.read_at <= STATUS_MS:
            return batch_state
        return replace(batch_state, state=self._state(), read_at=now)

    def _evaluated(
        self, event: SensorEvent, batch_state: EventBatchState, budget: Budget
    ) -> _Evaluated | Outcome:
        """Evaluate an event; return what plans its result, or the outcome if there is none."""
        tick_id = tick_id_of(event)
        if not batch_state.state.is_running(self._default_status):
            return self._stopped(event, "")
        status, attempts = batch_state.known.get(tick_id, (TickStatus.FAILURE, 0))
        if status is not TickStatus.FAILURE:
            return _duplicate(tick_id, event)
        seen = self._as_recorded(event, batch_state)

        def function(context: SensorEvaluationContext) -> SensorExecutionData:
            return self._definition.evaluate_event(context, seen)

        frame = replace(self._frame(event, batch_state, attempts + 1), depth=seen.depth)
        if batch_state.state.is_foreign(self._project):
            return self._refused(frame, event, batch_state.state)
        plan = self._evaluator.evaluate(frame, batch_state.state, None, function, budget)
        return _Evaluated(event, frame, plan)

    def _committed(
        self, planned: Sequence[_Planned], batch_state: EventBatchState
    ) -> list[Outcome | Exception]:
        """Commit results, unless the sensor's state has changed."""
        state = batch_state.state
        if not state.is_running(self._default_status):
            when = " after its evaluation, and nothing was committed"
            return [self._stopped(each.event, when) for each in planned]
        if state.is_foreign(self._project):
            return [result_of(partial(self._refused, each.frame, each.event, state)) for each in planned]
        results = self._accepted(planned)
        others = [place for place, each in enumerate(results) if each is None]
        kept = self._kept([planned[place].result for place in others])
        for place, tick in zip(others, kept, strict=True):
            results[place] = (
                tick
                if isinstance(tick, Exception)
                else result_of(partial(_ended, tick, planned[place].event))
            )
        return [each for each in results if each is not None]

    def _accepted(self, planned: Sequence[_Planned]) -> list[Outcome | Exception | None]:
        """Accept the events that are to wait for a batch; None for each that is evaluated by itself, or not at all."""
        results: list[Outcome | Exception | None] = [None] * len(planned)
        waiting = [place for place, each in enumerate(planned) if each.result.items]
        if self._acceptor is None or not waiting:
            return results
        # One for each event.
        items = [item for place in waiting for item in planned[place].result.items]
        for place, known in zip(waiting, self._acceptor.accept(items), strict=True):
            results[place] = known if isinstance(known, Exception) else _waits(planned[place], known)
        return results

    def is_running(self, batch_state: EventBatchState) -> bool:
        """Return whether the sensor was running when the state of a batch was read."""
        return batch_state.state.is_running(self._default_status)

    def attempts(self, event: SensorEvent, batch_state: EventBatchState) -> int:
        """Return how often an event was evaluated in vain before the batch; 0 if it was evaluated, or never."""
        status, attempts = batch_state.known.get(tick_id_of(event), (TickStatus.FAILURE, 0))
        return attempts if status is TickStatus.FAILURE else 0

    def begin(self, event: SensorEvent, batch_state: EventBatchState) -> bool:
        """Record that an event's next attempt begins, so that it counts even if it ends the process.

        Of an event that only waits for a batch, nothing is recorded.

        Args:
            event: the event.
            batch_state: what `load_batch_state` read for it.

        Returns:
            False if nothing is recorded, as it was evaluated already, or waits for a batch.

        Raises:
            StoreError: if a store did not answer.
        """
        status, attempts = batch_state.known.get(tick_id_of(event), (TickStatus.FAILURE, 0))
        if status is not TickStatus.FAILURE or self._definition.batch is not None:
            return False
        return self._ticks.put(self._evaluator.unfinished(self._frame(event, batch_state, attempts + 1)))

    def withdraw(self, event: SensorEvent, batch_state: EventBatchState, error: TreadleError) -> None:
        """Record that an attempt that `begin` has recorded does not count, and why.

        Args:
            event: the event.
            batch_state: what `load_batch_state` read for it.
            error: what kept it from being evaluated, and may pass.

        Raises:
            StoreError: if a store did not answer; the attempt counts then.
        """
        if self._definition.batch is not None and not isinstance(error, SensorEvaluationError):
            return  # No attempt of it was recorded.
        frame = self._frame(event, batch_state, self.attempts(event, batch_state))
        self._ticks.put(self._evaluator.refuse(frame, error))

    def _frame(self, event: SensorEvent, batch_state: EventBatchState, attempts: int) -> TickContext:
        return TickContext(
            tick_id_of(event),
            TickKind.EVENT,
            int(event.time.timestamp() * 1000),
            self._tokens.new(),
            batch_state.state.epoch,
            event.summary,
            attempts,
            event.depth,
        )

    def _refused(self, frame: TickContext, event: SensorEvent, state: SensorState) -> Outcome:
        """Record that the event is not evaluated on another project's state.

        Raises:
            SensorEvaluationError: unless it was evaluated before.
        """
        error = SensorOwnershipError(self._definition.name, state.project or "", self._project)
        tick = self._evaluator.refuse(frame, error)
        return _ended(tick if self._ticks.put(tick) else None, event)

    def _kept(self, results: Sequence[EvaluationResult]) -> list[Tick | Exception | None]:
        """Commit ticks and return them, or the error that each met; None for one that was committed before."""
        kept: list[Tick | Exception | None] = [None] * len(results)
        ready: list[int] = []
        for place, result in enumerate(results):
            error = result_of(partial(self._evaluator.store_payloads, result))
            if error is None:
                ready.append(place)
            else:
                kept[place] = self._unstored(result, error)
        ticks = [results[place].tick for place in ready]
        for place, is_put in zip(
            ready, results_of(partial(self._ticks.put_many, ticks), len(ticks)), strict=True
        ):
            if isinstance(is_put, Exception):
                kept[place] = self._unstored(results[place], is_put)
            elif is_put:
                kept[place] = results[place].tick
        return kept

    def _unstored(self, result: EvaluationResult, error: Exception) -> Tick | Exception | None:
        """Commit the failure of a tick that no store accepts; return any other error."""
        if not is_unstorable(error):
            return error
        tick = result.tick
        logger.error("The tick %s of sensor %s cannot be recorded", tick.tick_id, tick.sensor, exc_info=error)
        failed = unstorable(result, None, error).tick
        is_put = result_of(partial(self._ticks.put, failed))
        if isinstance(is_put, Exception):
            return is_put
        return failed if is_put else None

    def _state(self) -> SensorState:
        try:
            return self._sensors.get(self._definition.name)
        except UnreadableRecordError as error:
            # The events are still valid: they wait until the sensor's state is repaired.
            raise StoreError(str(error)) from error

    def _stopped(self, event: SensorEvent, when: str) -> Outcome:
        kept = "the event was dropped"
        if self._definition.consumes_queue:
            kept = "the message returns to its queue"
        elif self._definition.consumes_stream:
            kept = "the record stays in its stream"
        elif self._definition.verification is not None:
            kept = "the request was not accepted"
        reason = f"Sensor {self._definition.name} is stopped; {kept}{when}."
        return Outcome(Decision.STOPPED, reason, tick_id_of(event), trigger=event.summary)

    def _as_recorded(self, event: SensorEvent, batch_state: EventBatchState) -> SensorEvent:
        """Return a run's event with the run's record, which has more details, and may be later."""
        from treadle.definitions.run_events import RunStatusEvent
        from treadle.engine.instance.views import dagster_run

        if not isinstance(event, RunStatusEvent) or event.run.run_id not in batch_state.runs:
            return event
        return event.with_run(dagster_run(batch_state.runs[event.run.run_id], self._namespace))


def _ended(tick: Tick | None, event: SensorEvent) -> Outcome:
    """Return the outcome of a recorded tick; None if the event was evaluated before.

    Raises:
        SensorEvaluationError: if it failed.
    """
    if tick is None:
        return _duplicate(tick_id_of(event), event)
    if tick.error is not None:
        raise SensorEvaluationError(tick.error.message, error_type=tick.error.type, stack=tick.error.stack)
    return outcome(tick)


def _planned(evaluated: _Evaluated) -> _Planned | Outcome:
    """Plan the requests of an event; return the outcome if it is too early to decide."""
    result, event = evaluated.plan(), evaluated.event
    if not result.wait_seconds:
        return _Planned(event, evaluated.frame, result)
    early = Outcome(Decision.DELAYED, result.tick.reason or "", result.tick.tick_id, trigger=event.summary)
    return replace(early, wait_seconds=result.wait_seconds)


def _waits(planned: _Planned, known: str) -> Outcome:
    """Return the outcome of an event that waits for a batch; `known` is why it was accepted before, or ""."""
    tick, event = planned.result.tick, planned.event
    decision = Decision.DUPLICATE if known else Decision.ACCEPTED
    return Outcome(decision, known or tick.reason or "", tick.tick_id, trigger=event.summary)


def _duplicate(tick_id: str, event: SensorEvent) -> Outcome:
    reason = "The event was already evaluated: this is a second delivery."
    return Outcome(Decision.DUPLICATE, reason, tick_id, trigger=event.summary)
