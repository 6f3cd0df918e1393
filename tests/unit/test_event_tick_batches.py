"""The events of an invocation are committed together: each as it would be alone, in fewer requests."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

from tests.support.engine import JOB, EngineHarness
from treadle.definitions.bus_event import EventBridgeEvent
from treadle.definitions.errors import (
    ItemTooLargeError,
    SensorEvaluationError,
    SensorOwnershipError,
    StoreThrottledError,
)
from treadle.definitions.event_sensor import EventSensorContext, EventSensorDefinition
from treadle.definitions.item_batches import Batch
from treadle.definitions.results import RunRequest, SkipReason
from treadle.definitions.runs import from_millis
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus, InstigatorStatus, TickStatus
from treadle.engine.invocation_batch import InvocationBatch, result_of
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.event_ticks import tick_id_of
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.model.sensors import SensorState
from treadle.model.ticks import Tick
from treadle.testing.faults import Fault, Faults, faulty


def react(context: EventSensorContext) -> RunRequest | SkipReason:
    """Request a run for an event, unless its id has another purpose."""
    if context.event.id.startswith("skip"):
        return SkipReason("not today")
    if context.event.id.startswith("fail"):
        msg = "broken"
        raise ValueError(msg)
    return RunRequest(context.event.id)


class Evaluating:
    """A sensor of events whose calls of stores are counted.

    Args:
        harness: the deployment.
        faults: counts the calls, and injects faults.
        function: the sensor's.
        project: whose sensor it is.
        batch: its batches, if it has any.
    """

    def __init__(
        self,
        harness: EngineHarness,
        faults: Faults | None = None,
        function: Callable[..., Any] = react,
        project: str = "",
        batch: Batch | None = None,
    ) -> None:
        self.harness = harness
        self.faults = faults or Faults()
        definition = EventSensorDefinition("watch", evaluation_fn=function, job_name=JOB, batch=batch)
        stores = {
            name: faulty(getattr(harness.stores, name), store, self.faults)
            for name, store in (
                ("sensors", "SensorStore"),
                ("ticks", "TickStore"),
                ("batches", "BatchStore"),
                ("runs", "RunStore"),
            )
        }
        settings = TickSettings(0, DefaultSensorStatus.RUNNING, project=project)
        self.events = harness.engine_with(**stores).sensor(definition, settings).events

    def event(self, name: str, text: str = "") -> EventBridgeEvent:
        """Return an event."""
        return EventBridgeEvent(
            "shop", "Order", {"text": text}, name, from_millis(1_795_370_400_000), "1", "r"
        )

    def deliver(self, *events: EventBridgeEvent) -> list[Outcome | Exception]:
        """Evaluate events together; return nothing if the process is killed."""
        results: list[Outcome | Exception] = []

        def evaluate(given: Sequence[EventBridgeEvent]) -> list[Outcome | Exception]:
            return self.events.evaluate_many(given, self.events.load_batch_state(given), Budget)

        def handle() -> None:
            batch = InvocationBatch(evaluate, tick_id_of)
            batch.begin(events)
            results.extend(result_of(partial(batch.result, each)) for each in events)

        self.faults.run("evaluator", handle)
        return results

    def evaluate(self, *names: str) -> list[Outcome | Exception]:
        """Evaluate events of these ids together."""
        return self.deliver(*(self.event(name) for name in names))

    @property
    def written(self) -> list[tuple[str, int]]:
        """The calls that write, and of how many records."""
        reads = {"get", "attempts", "key_states"}
        return [(call.method, call.size) for call in self.faults.calls if call.method not in reads]

    def tick(self, name: str) -> Tick | None:
        """Return the tick of an event."""
        return self.harness.ticks.get("watch", tick_id_of(self.event(name)))


def decisions(results: Sequence[Outcome | Exception]) -> list[object]:
    return [each.decision if isinstance(each, Outcome) else type(each) for each in results]


def test_events_share_the_request_that_commits_them(harness: EngineHarness) -> None:
    evaluating = Evaluating(harness)

    results = evaluating.evaluate("a", "skip", "fail", "b")

    assert decisions(results) == [Decision.SUCCESS, Decision.SKIPPED, SensorEvaluationError, Decision.SUCCESS]
    assert evaluating.written == [("put_many", 4)]
    found = [evaluating.tick(name) for name in ("a", "skip", "fail", "b")]
    assert [tick and tick.status for tick in found] == [
        TickStatus.SUCCESS,
        TickStatus.SKIPPED,
        TickStatus.FAILURE,
        TickStatus.SUCCESS,
    ]


def test_run_keys_of_all_events_are_read_by_one_request(harness: EngineHarness) -> None:
    Evaluating(harness).evaluate("taken")
    harness.dispatcher().dispatch(harness.tick_records()[0])
    [run] = harness.tables.runs.values()
    harness.tables.runs[run.run_id] = replace(run, reached={"1": {DagsterRunStatus.STARTED: 1}})
    evaluating = Evaluating(
        harness, function=lambda context: RunRequest(context.event.id.removeprefix("again "))
    )

    results = evaluating.evaluate("a", "again taken", "b", "again a")

    assert decisions(results) == [Decision.SUCCESS, Decision.SKIPPED, Decision.SUCCESS, Decision.SUCCESS]
    assert [(call.method, call.size) for call in evaluating.faults.calls if call.method == "key_states"] == [
        ("key_states", 1)
    ]
    tick = evaluating.tick("again taken")
    assert tick is not None
    assert tick.existing_keys == ("taken",)


def test_events_leave_what_each_of_them_leaves_alone(harness: EngineHarness) -> None:
    names = ("a", "skip", "fail", "b")
    together = Evaluating(harness).evaluate(*names)
    other = EngineHarness()
    alone = [result for name in names for result in Evaluating(other).evaluate(name)]

    assert harness.tables.ticks == other.tables.ticks
    assert [str(each) for each in together] == [str(each) for each in alone]


def test_second_delivery_evaluates_and_writes_nothing(harness: EngineHarness) -> None:
    Evaluating(harness).evaluate("a", "b")
    evaluating = Evaluating(harness, function=lambda: pytest.fail("evaluated again"))

    assert decisions(evaluating.evaluate("a", "b")) == [Decision.DUPLICATE] * 2
    assert evaluating.written == []


def test_failed_event_is_evaluated_again_beside_new_ones(harness: EngineHarness) -> None:
    Evaluating(harness).evaluate("a", "fail")
    evaluating = Evaluating(harness, function=lambda context: RunRequest(context.event.id))

    assert decisions(evaluating.evaluate("a", "fail", "b")) == [
        Decision.DUPLICATE,
        Decision.SUCCESS,
        Decision.SUCCESS,
    ]
    tick = evaluating.tick("fail")
    assert tick is not None
    assert (tick.status, tick.attempts) == (TickStatus.SUCCESS, 2)


@pytest.mark.parametrize(("seconds", "commits"), [(0.01, [6]), (0.1, [3, 3]), (1, [1] * 6)])
def test_result_waits_a_quarter_of_a_second_at_most_for_the_next_evaluation(
    harness: EngineHarness, seconds: float, commits: list[int]
) -> None:
    def slow(context: EventSensorContext) -> RunRequest:
        harness.clock.advance(seconds)
        return RunRequest(context.event.id)

    evaluating = Evaluating(harness, function=slow)

    assert decisions(evaluating.evaluate(*"abcdef")) == [Decision.SUCCESS] * 6
    assert evaluating.written == [("put_many", number) for number in commits]


def change_during(
    harness: EngineHarness, last: str, state: SensorState, seconds: float
) -> Callable[[EventSensorContext], RunRequest]:
    """Return a sensor's function during whose last evaluation the sensor's state changes."""

    def function(context: EventSensorContext) -> RunRequest:
        if context.event.id == last:
            harness.clock.advance(seconds)
            harness.tables.sensors["watch"] = state
        return RunRequest(context.event.id)

    return function


def test_nothing_is_committed_if_the_sensor_was_stopped_before_the_others_were_evaluated(
    harness: EngineHarness,
) -> None:
    """I9."""
    stopped = SensorState("watch", status=InstigatorStatus.STOPPED)
    evaluating = Evaluating(harness, function=change_during(harness, "b", stopped, 2))

    assert decisions(evaluating.evaluate("a", "b", "c")) == [Decision.STOPPED] * 3
    assert evaluating.written == []


def test_nothing_is_committed_once_the_sensor_belongs_to_another_project(harness: EngineHarness) -> None:
    harness.tables.sensors["watch"] = SensorState("watch", project="shop")
    moved = SensorState("watch", project="other")
    evaluating = Evaluating(harness, function=change_during(harness, "b", moved, 2), project="shop")

    results = evaluating.evaluate("a", "b")

    assert decisions(results) == [SensorEvaluationError] * 2
    ticks = [evaluating.tick("a"), evaluating.tick("b")]
    assert [tick and tick.error and tick.error.type for tick in ticks] == [SensorOwnershipError.__name__] * 2


def test_events_of_a_batch_sensor_are_accepted_by_one_call(harness: EngineHarness) -> None:
    evaluating = Evaluating(harness, batch=Batch(within=timedelta(minutes=5)))

    results = evaluating.evaluate("a", "b", "c")
    again = evaluating.evaluate("c", "d")

    assert decisions(results) == [Decision.ACCEPTED] * 3
    assert decisions(again) == [Decision.DUPLICATE, Decision.ACCEPTED]
    assert evaluating.written == [("accept", 1), ("accept", 1)]


def test_items_that_are_accepted_together_are_in_the_order_of_their_events(harness: EngineHarness) -> None:
    Evaluating(harness, batch=Batch(within=timedelta(minutes=5))).evaluate(*"abcdefgh")

    [waiting] = harness.tables.waiting.values()
    ids = [waiting[member].identity.rpartition("/")[2] for member in sorted(waiting)]
    assert ids == list("abcdefgh")
    assert max(waiting).accepted_at == harness.clock.now()


def test_item_that_is_too_large_is_not_accepted_and_the_others_are(harness: EngineHarness) -> None:
    evaluating = Evaluating(harness, batch=Batch(within=timedelta(minutes=5)))
    large = evaluating.event("large", "".join(map(chr, range(0x4E00, 0x9FFF))) * 40)

    results = evaluating.deliver(evaluating.event("a"), large, evaluating.event("b"))

    assert decisions(results) == [Decision.ACCEPTED, ItemTooLargeError, Decision.ACCEPTED]


def test_error_of_the_store_is_the_error_of_each_event(harness: EngineHarness) -> None:
    evaluating = Evaluating(harness, Faults(throttles=lambda: True))

    assert decisions(evaluating.evaluate("a", "b")) == [StoreThrottledError] * 2


@pytest.mark.parametrize("batch", [None, Batch(within=timedelta(minutes=5))])
def test_fault_at_any_call_and_a_second_delivery_leave_each_event_evaluated_once(batch: Batch | None) -> None:
    names = ("a", "skip", "fail", "b")
    done = dict.fromkeys("ab", TickStatus.SUCCESS) | {
        "skip": TickStatus.SKIPPED,
        "fail": TickStatus.FAILURE,
    }
    evaluating = Evaluating(EngineHarness(), batch=batch)
    evaluating.evaluate(*names)
    calls = len(evaluating.faults.calls)
    assert calls > 1

    for number in range(1, calls + 1):
        for fault in Fault:
            harness = EngineHarness()
            faults = Faults({number: fault})
            first = Evaluating(harness, faults, batch=batch).evaluate(*names)
            assert faults.injected
            retried = [name for name, each in zip(names, first, strict=False) if isinstance(each, Exception)]
            acknowledged = set(names).difference(retried) if first else set()
            known = stored(harness, names, batch=batch)
            assert acknowledged <= known, (number, fault)
            Evaluating(harness, batch=batch).evaluate(*(retried if first else names))
            assert stored(harness, names, batch=batch) == set(names), (number, fault)
            if batch is None:
                found = {name: Evaluating(harness).tick(name) for name in names}
                assert {name: tick and tick.status for name, tick in found.items()} == done, (number, fault)


def stored(harness: EngineHarness, names: Sequence[str], *, batch: Batch | None) -> set[str]:
    """Return the events that have a tick, or wait for a batch."""
    if batch is not None:
        items = [item for waiting in harness.tables.waiting.values() for item in waiting.values()]
        return {item.identity.rpartition("/")[2] for item in items}
    return {name for name in names if Evaluating(harness).tick(name) is not None}
