"""One evaluation of a sensor's function, and the tick record made from its result."""

import sys
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    DagsterInvariantViolationError,
    SensorEvaluationError,
    StoreError,
    StoreRejectedError,
    TreadleError,
)
from treadle.definitions.logs import LOGGER, SensorLogger
from treadle.definitions.resources import ResourceScope
from treadle.definitions.results import Measure, SensorExecutionData
from treadle.definitions.runs import from_millis
from treadle.definitions.status import InstigatorStatus, TickStatus
from treadle.engine.lazy import lazy
from treadle.engine.tick.planning import Plan, Planner, ValidatedRequests
from treadle.engine.tick.tick_log import capture, tick_log
from treadle.engine.tick.user_code import evaluate, unrecorded
from treadle.model.sensors import SensorState
from treadle.model.ticks import ErrorInfo, Tick, TickKind
from treadle.ports.system import Clock

if TYPE_CHECKING:
    from treadle.definitions.instance import DagsterInstance, EndedRuns
    from treadle.definitions.item_batches import ItemFacts
    from treadle.engine.tick.partitions import TickPartitions
    from treadle.model.ticks import DynamicPartitionsRequestResult
    from treadle.ports.batches import BatchStore
    from treadle.ports.partitions import PartitionStore

_WRITERS = 16
"""How many payloads are stored at a time."""

Evaluate = Callable[[SensorEvaluationContext], SensorExecutionData]


@dataclass(frozen=True, slots=True)
class Budget:
    """The time limit of a tick.

    Attributes:
        seconds: until the process is stopped from outside.
    """

    seconds: float = float("inf")

    @property
    def for_user_code(self) -> float:
        """The time for user code: a fifth of the total, at most five seconds, is reserved for the commit."""
        return self.seconds - min(self.seconds / 5, 5.0) if self.seconds != float("inf") else self.seconds


@dataclass(frozen=True, slots=True)
class TickContext:
    """What is known about a tick before its evaluation; `epoch` is already incremented by a leased tick."""

    tick_id: str
    kind: TickKind
    time: int
    owner: str
    epoch: int
    trigger: str | None = None
    attempts: int = 1
    depth: int = 0


@dataclass(frozen=True, slots=True)
class EvaluationResult:
    """The result of an evaluation.

    Attributes:
        tick: the record to commit.
        plan: its requests; None if it failed.
        cursor: the cursor after it.
        cursor_changed: True if it differs from the one before.
        wait_seconds: when to evaluate the event again, with nothing committed; 0 to commit.
        measures: metrics for operators.
        items: what is to wait for a batch.
    """

    tick: Tick
    plan: Plan | None
    cursor: str | None
    cursor_changed: bool
    wait_seconds: int = 0
    measures: tuple[Measure, ...] = ()
    items: "tuple[ItemFacts, ...]" = ()


def is_unstorable(error: Exception) -> bool:
    """Return whether a record can never be written: a store rejects it, or it cannot even be serialized."""
    return isinstance(error, StoreRejectedError) or not isinstance(error, TreadleError)


def unstorable(evaluated: EvaluationResult, cursor: str | None, error: Exception) -> EvaluationResult:
    """Return the failure to record in place of a tick that no store will ever accept.

    It is small: parts that cannot be stored, including the log, are left out.

    Args:
        evaluated: the original result.
        cursor: the cursor before the evaluation, which stays unchanged.
        error: why it cannot be stored.
    """
    tick = evaluated.tick
    unrecorded_error = unrecorded(tick.sensor, error)
    info = ErrorInfo(unrecorded_error.error_type, str(unrecorded_error), unrecorded_error.stack)
    failed = Tick(
        sensor=tick.sensor,
        tick_id=tick.tick_id,
        kind=tick.kind,
        status=TickStatus.FAILURE,
        time=tick.time,
        started_at=tick.started_at,
        ended_at=tick.ended_at,
        error=info,
        trigger=tick.trigger,
        attempts=tick.attempts,
        owner=tick.owner,
        depth=tick.depth,
    )
    return EvaluationResult(failed, None, cursor, cursor_changed=False)


class Evaluator:
    """Runs a sensor's function.

    Args:
        planner: the sensor's planner.
        clock: the clock.
        resources: resources for evaluations, by key; those declared reusable are kept between ticks.
        instance: creates the instance that gives access to recorded runs, when an evaluation first uses it; given a
            function that returns the dynamic partitions of the current tick.
        ended_runs: creates the reader of completed runs, by job and in order.
        partitions: stores the keys of dynamic partitions.
        batches: knows the items that were accepted for batches; None if the sensor has none.
    """

    def __init__(
        self,
        planner: Planner,
        clock: Clock,
        resources: Mapping[str, Any] | None = None,
        instance: "Callable[[Callable[[], TickPartitions]], DagsterInstance] | None" = None,
        ended_runs: "Callable[[], EndedRuns] | None" = None,
        partitions: "PartitionStore | None" = None,
        batches: "BatchStore | None" = None,
    ) -> None:
        self._batches = batches
        self._planner = planner
        self.clock = clock
        self._instance = None if instance is None else lambda: instance(self._partitions)
        self._ended_runs = ended_runs
        self._partition_store = partitions
        self._tick_partitions: TickPartitions | None = None
        self.definition = planner.definition
        self.name = planner.definition.name
        # A kept resource outlives the tick that makes it, so its log is the process's.
        kept_log = SensorLogger(f"{LOGGER}.{self.name}")
        self._kept = ResourceScope(resources or {}, log=kept_log, instance=self._instance)

    def run(
        self, frame: TickContext, state: SensorState, cursor: str | None, function: Evaluate, budget: Budget
    ) -> EvaluationResult:
        """Evaluate and plan; a failure is also returned as a result. The arguments are those of `evaluate`."""
        return self.evaluate(frame, state, cursor, function, budget)()

    def evaluate(
        self, frame: TickContext, state: SensorState, cursor: str | None, function: Evaluate, budget: Budget
    ) -> Callable[[], EvaluationResult]:
        """Evaluate, and return what plans the requests.

        What is known of the run keys of several evaluations is read by one request if all are evaluated before the first
        is planned.

        Args:
            frame: the tick.
            state: the sensor's state before it.
            cursor: the cursor; ignored for an event.
            function: the definition's evaluation, given the context.
            budget: the time limit.

        Returns:
            A function that returns the result; a failure is also one. It raises `StoreError` if the store did not answer.
        """
        started_at = self.clock.now()
        self._tick_partitions = None
        self._planner.known.start_tick(state.epoch, frame.epoch, started_at)
        log = tick_log(self.name, frame.tick_id)
        scope = ResourceScope(self._kept.definitions, outer=self._kept, log=log, instance=self._instance)
        ends_at = started_at + budget.for_user_code * 1000
        context = SensorEvaluationContext(
            self.name,
            cursor,
            last_run_key=state.last_run_key,
            last_tick_completion_time=_seconds(state.last_completion),
            last_sensor_start_time=_seconds(state.started_at),
            log=log,
            _remaining_seconds=lambda: max(0.0, (ends_at - self.clock.now()) / 1000),
            _claimed_run_keys=self._claimed,
            _has_cursor=frame.kind is TickKind.LEASED,
            _resources=scope,
            _instance=self._instance,
            _ended_runs=self._ended_runs,
            _started_by_operator=_started_by_operator(state),
        )

        # What a sweep rejects is found again by a later round.
        is_sweep = self.definition.takes_events and frame.kind is TickKind.LEASED

        def evaluated() -> ValidatedRequests:
            with _partitions_at(started_at, self._partitions):
                with context:
                    data = function(context)
                # Also without requests, the function may have changed more than a tick may, through its instance.
                if data.dynamic_partitions_requests or self._tick_partitions is not None:
                    self._partitions().request(data.dynamic_partitions_requests, self.name)
                return self._planner.validate_requests(data, frame.tick_id, is_sweep=is_sweep)

        with capture(f"{LOGGER}.{self.name}") as lines:
            try:
                vetted = evaluate(self.name, evaluated, budget.for_user_code)
            except SensorEvaluationError as error:
                failed = self._failed(frame, error, cursor, started_at, lines)
                return lambda: failed
        ended = self._ended(frame, TickStatus.SUCCESS, started_at, lines)
        partitions = self._requested_partitions()
        self._planner.expect(vetted)

        def planned() -> EvaluationResult:
            try:
                return self._planned(ended, vetted, cursor, partitions)
            except StoreError:
                raise
            except Exception as error:  # noqa: BLE001 - whatever the author's values do to us, the tick says so
                return self._failed(frame, unrecorded(self.name, error), cursor, started_at, lines)

        return planned

    def store_payloads(self, result: EvaluationResult) -> None:
        """Store the run configs to which the requests refer, before the tick is committed.

        An object's key has the digest of its content: storing it again changes nothing but its age.

        Raises:
            StoreError: if the store did not answer.
        """
        payloads = result.plan.payloads if result.plan is not None else {}
        if len(payloads) < 2:
            for key, content in payloads.items():
                self._planner.blobs.put(key, content)
            return
        # Imported here, as few ticks have any.
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(_WRITERS) as pool:
            list(pool.map(self._planner.blobs.put, payloads.keys(), payloads.values()))

    def refuse(self, frame: TickContext, error: TreadleError) -> Tick:
        """Make the record of a tick that has failed before anything was evaluated.

        Args:
            frame: the tick.
            error: why nothing was.
        """
        kind = error.error_type if isinstance(error, SensorEvaluationError) else type(error).__name__
        info = ErrorInfo(kind, str(error))
        return replace(self._ended(frame, TickStatus.FAILURE, self.clock.now(), ()), error=info)

    def unfinished(self, frame: TickContext) -> Tick:
        """Make the record of a tick that has begun: it remains if its evaluation ends the process.

        Args:
            frame: the tick.
        """
        info = ErrorInfo(
            "EvaluationDiedError",
            "The evaluation began and its end was not recorded: the function was stopped, or ran out of memory.",
        )
        return replace(self._ended(frame, TickStatus.FAILURE, self.clock.now(), ()), error=info)

    def _failed(
        self,
        frame: TickContext,
        error: SensorEvaluationError,
        cursor: str | None,
        started_at: int,
        log: Sequence[str],
    ) -> EvaluationResult:
        info = ErrorInfo(error.error_type, str(error), error.stack)
        tick = replace(self._ended(frame, TickStatus.FAILURE, started_at, log), error=info)
        return EvaluationResult(tick, None, cursor, cursor_changed=False)

    def _planned(
        self,
        ended: Tick,
        vetted: ValidatedRequests,
        cursor: str | None,
        partitions: "tuple[DynamicPartitionsRequestResult, ...]",
    ) -> EvaluationResult:
        plan = self._planner.plan(vetted)
        # Requests whose keys are all taken were acted on before.
        acted_on = vetted.data.acted_on if plan.runs or not vetted.data.run_requests else None
        does_something = plan.runs or acted_on or vetted.data.asset_events or partitions
        tick = replace(
            ended,
            status=TickStatus.SUCCESS if does_something else TickStatus.SKIPPED,
            reason=plan.reason,
            depth=max(ended.depth, vetted.data.depth),
            acted_on=acted_on,
            requests=plan.runs,
            existing_keys=plan.existing_keys,
            rejected=plan.rejected,
            asset_events=tuple(vetted.data.asset_events),
            dynamic_partitions_request_results=partitions,
        )
        data = vetted.data
        return EvaluationResult(
            tick, plan, data.cursor, data.cursor != cursor, data.wait_seconds, data.measures, data.items
        )

    def _ended(self, frame: TickContext, status: TickStatus, started_at: int, log: Sequence[str]) -> Tick:
        return Tick(
            sensor=self.name,
            tick_id=frame.tick_id,
            kind=frame.kind,
            status=status,
            time=frame.time,
            started_at=started_at,
            ended_at=self.clock.now(),
            trigger=frame.trigger,
            attempts=frame.attempts,
            depth=frame.depth,
            owner=frame.owner,
            log=tuple(log),
        )

    def _partitions(self) -> "TickPartitions":
        """Return the dynamic partitions of the current tick, also to an instance that a resource has kept."""
        if self._tick_partitions is None:
            # Imported here, as most sensors have no dynamic partitions.
            from treadle.engine.tick.partitions import TickPartitions

            if self._partition_store is None:
                msg = f"Sensor {self.name} was built without a store of dynamic partitions."
                raise DagsterInvariantViolationError(msg)
            self._tick_partitions = TickPartitions(self._partition_store)
        return self._tick_partitions

    def _requested_partitions(self) -> "tuple[DynamicPartitionsRequestResult, ...]":
        return () if self._tick_partitions is None else self._tick_partitions.results()

    def _claimed(self, run_keys: Collection[str]) -> set[str]:
        keyed = {self._planner.run_ids.keyed(self.name, key): key for key in run_keys}
        claimed = self._planner.claimed_keys(keyed)
        # An item of a batch has no run key of its own.
        return claimed if self._batches is None else claimed | self._batches.known(self.name, run_keys).keys()


def _partitions_at(millis: int, partitions: "Callable[[], TickPartitions]") -> AbstractContextManager[object]:
    """Set time and store for listing partition keys; nothing to do if no module has imported partitions."""
    module = sys.modules.get("treadle.definitions.partitions.context")
    return (
        module.partition_loading_context(from_millis(millis), lazy(partitions)) if module else nullcontext()
    )


def _started_by_operator(state: SensorState) -> float | None:
    """Return when an operator last started the sensor; None if its default status applies."""
    return _seconds(state.started_at) if state.status is InstigatorStatus.RUNNING else None


def _seconds(millis: int | None) -> float | None:
    return None if millis is None else millis / 1000
