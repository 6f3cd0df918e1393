"""How batches are closed: by their limits, after failures, and after a closer that died."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Any

import pytest

from tests.support.engine import JOB, EngineHarness
from treadle import (
    AssetKey,
    JobDefinition,
    build_batch_sensor_context,
    deadline_sensor,
    multi_asset_sensor,
    s3_sensor,
    sensor,
)
from treadle.definitions.batch_contexts import BatchSensorContext
from treadle.definitions.bus_event import EventBridgeEvent
from treadle.definitions.errors import DagsterInvalidDefinitionError, InvalidResultError, StoreThrottledError
from treadle.definitions.event_sensor import EventSensorDefinition
from treadle.definitions.item_batches import Batch, item_facts
from treadle.definitions.objects import S3Group, S3Object
from treadle.definitions.results import RunRequest
from treadle.definitions.runs import from_millis
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.batch_content import packed, unpacked
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.model.batches import BatchCommit, BatchLease, by_key, digest_of
from treadle.model.ticks import Tick
from treadle.testing.batches import InMemoryBatchStore

LONG = timedelta(minutes=5)


def requested(context: BatchSensorContext) -> RunRequest:
    return RunRequest(run_config={"items": [each.id for each in context.items]})


class Closing:
    """A sensor of events, with batches."""

    def __init__(
        self,
        harness: EngineHarness,
        batch: Batch,
        function: Callable[..., Any] = requested,
        project: str = "",
    ) -> None:
        self.harness = harness
        definition = EventSensorDefinition("watch", evaluation_fn=function, batch=batch, job_name=JOB)
        settings = TickSettings(0, DefaultSensorStatus.RUNNING, project=project)
        self.parts = harness.engine.sensor(definition, settings)

    def accept(self, *names: str, text: str = "") -> None:
        """Accept an event of each id."""
        for name in names:
            self.accept_event(self.event(name, text))
            self.harness.clock.advance(0.001)

    def event(self, name: str, text: str = "") -> EventBridgeEvent:
        """Return an event of now."""
        time = from_millis(self.harness.clock.now())
        return EventBridgeEvent("shop", "Order", {"text": text}, name, time, "1", "r")

    def accept_event(self, event: EventBridgeEvent) -> Outcome:
        """Accept an event."""
        outcome = self.parts.events.evaluate(event, self.parts.events.load_batch_state([event]), Budget())
        assert self.parts.acceptor is not None
        self.parts.acceptor.settle()
        return outcome

    def close(self, seconds: float = 0, budget: float = float("inf")) -> list[Outcome]:
        """Close what is due after some seconds."""
        self.harness.clock.advance(seconds)
        assert self.parts.closer is not None
        return self.parts.closer.close(by_key(""), Budget(budget))

    @property
    def ticks(self) -> list[Tick]:
        """The ticks, oldest first."""
        return self.harness.tick_records()

    @property
    def requested(self) -> list[str]:
        """The run configs of the requests, in the order of their text."""
        return sorted(run.run_config for tick in self.ticks for run in tick.requests)


def items(*names: str) -> str:
    return '{"items":[' + ",".join(f'"{name}"' for name in names) + "]}"


def test_batch_is_full_at_its_size_and_the_rest_waits(harness: EngineHarness) -> None:
    closing = Closing(harness, Batch(size=2, within=LONG))
    closing.accept("a", "b", "c", "d", "e")

    closing.close()

    assert closing.requested == [items("a", "b"), items("c", "d")]
    closing.close(300)
    assert closing.requested[2:] == [items("e")]


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (37, [items("a"), items("b"), items("c")]),
        (38, [items("a"), items("b"), items("c")]),
        (75, [items("a"), items("b")]),
        (76, [items("a", "b")]),
        (113, [items("a", "b")]),
        (114, [items("a", "b", "c")]),
        (115, []),
    ],
)
def test_batch_is_closed_before_its_items_exceed_the_limit_in_bytes(
    harness: EngineHarness, most: int, expected: Sequence[str]
) -> None:
    """Each of the three events has 38 bytes."""
    closing = Closing(harness, Batch(size=9, within=LONG, bytes=most))
    closing.accept("a", "b", "c", text="x" * (38 - len('{"text":""}')))

    closing.close()

    assert closing.requested == list(expected)


def test_evaluation_that_died_counts_as_a_failure_and_halves_the_batch_after_five(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever has more than two items is killed, as if there were not enough memory."""

    class KilledError(BaseException):
        pass

    commit = InMemoryBatchStore.commit

    def killed(self: InMemoryBatchStore, lease: BatchLease, given: BatchCommit) -> None:
        if given.manifest is not None and len(given.manifest.members) > 2:
            raise KilledError
        commit(self, lease, given)

    monkeypatch.setattr(InMemoryBatchStore, "commit", killed)
    closing = Closing(harness, Batch(size=4, within=LONG))
    closing.accept("a", "b", "c", "d")
    for _ in range(12):
        with suppress(KilledError):
            closing.close(3_600, budget=60)

    assert closing.requested == [items("a", "b"), items("c", "d")]
    died = [tick for tick in closing.ticks if tick.error is not None]
    assert {tick.error.type for tick in died if tick.error} == {"EvaluationDiedError"}
    assert len(died) == 5


def test_item_that_ends_the_process_is_set_aside_after_it_has_done_so_alone_five_times(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One such end may be another's fault."""

    class KilledError(BaseException):
        pass

    commit, alone = InMemoryBatchStore.commit, list[int]()

    def killed(self: InMemoryBatchStore, lease: BatchLease, given: BatchCommit) -> None:
        manifest = given.manifest
        members = () if manifest is None or manifest.set_aside else manifest.members
        if digest_of("1/r/shop/b") in {each.key for each in members}:
            alone.append(len(members))
            raise KilledError
        commit(self, lease, given)

    monkeypatch.setattr(InMemoryBatchStore, "commit", killed)
    closing = Closing(harness, Batch(size=3, within=LONG))
    closing.accept("a", "b", "c")
    for _ in range(20):
        with suppress(KilledError):
            closing.close(3_600, budget=60)

    assert closing.requested == [items("a"), items("c")]
    assert alone.count(1) == 5
    assert sum(len(_aside(closing, tick)) for tick in closing.ticks) == 1


def test_closer_that_ends_while_it_marks_a_batch_has_not_failed(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    closing = Closing(harness, Batch(size=2, within=LONG))
    closing.accept("a", "b", "c")
    with monkeypatch.context() as patch:
        patch.setattr(InMemoryBatchStore, "mark", killed)
        with pytest.raises(KilledError):
            closing.close(budget=60)

    assert closing.close(90) == []
    closing.close(300)

    assert closing.requested == [items("a", "b"), items("c")]
    assert [tick.status for tick in closing.ticks] == [TickStatus.SUCCESS, TickStatus.SUCCESS]


def test_throttled_store_is_no_failure_and_another_closer_continues_at_once(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    def throttled(*_: object) -> None:
        raise StoreThrottledError("DynamoDB is throttled.")

    closing = Closing(harness, Batch(size=2, within=LONG))
    closing.accept("a", "b")
    with monkeypatch.context() as patch:
        patch.setattr(InMemoryBatchStore, "commit", throttled)
        with pytest.raises(StoreThrottledError):
            closing.close()

    [outcome] = closing.close()

    assert outcome.decision is Decision.SUCCESS
    assert closing.requested == [items("a", "b")]


def test_item_of_a_process_that_died_opens_its_batch_when_it_is_delivered_again(
    harness: EngineHarness,
) -> None:
    first = Closing(harness, Batch(size=9, within=LONG))
    event = first.event("a")
    first.parts.events.evaluate(event, first.parts.events.load_batch_state([event]), Budget())
    assert harness.stores.batches.states("watch") == []

    second = Closing(harness, Batch(size=9, within=LONG))
    outcome = second.accept_event(event)

    assert outcome.decision is Decision.DUPLICATE
    second.close(300)
    assert second.requested == [items("a")]


def test_failed_batch_is_not_evaluated_before_its_delay(harness: EngineHarness) -> None:
    closing = Closing(harness, Batch(size=2, within=LONG), lambda context: context.nothing)
    closing.accept("a", "b")

    found = [len(closing.close(seconds)) for seconds in (0, 29, 2, 119, 2, 479, 2, 1_799, 2)]

    assert found == [1, 0, 1, 0, 1, 0, 1, 0, 3]


def test_second_item_is_set_aside_only_after_a_success(harness: EngineHarness) -> None:
    """Of four, the last two fail: the first two have shown that it is not the function."""

    def function(context: BatchSensorContext) -> RunRequest:
        if any(each.id in {"c", "d"} for each in context.items):
            raise ValueError("no such column")
        return requested(context)

    closing = Closing(harness, Batch(size=4, within=LONG), function)
    closing.accept("a", "b", "c", "d")
    for seconds in (0, 30, 120, 480, 1_800):
        closing.close(seconds)

    aside = [each.key for tick in closing.ticks for each in _aside(closing, tick)]
    assert closing.requested == [items("a", "b")]
    assert len(aside) == 1
    for seconds in (30, 120, 480, 1_800):
        closing.close(seconds)
    aside = [each.key for tick in closing.ticks for each in _aside(closing, tick)]
    assert len(aside) == 2


def _aside(closing: Closing, tick: Tick) -> Sequence[Any]:
    manifest = closing.harness.stores.batches.manifest("watch", tick.tick_id)
    return manifest.members if manifest is not None and manifest.set_aside else ()


def test_state_of_another_project_closes_nothing(harness: EngineHarness) -> None:
    closing = Closing(harness, Batch(size=1, within=LONG), project="shop")
    closing.accept("a")
    harness.sensors.claim("watch", "shop")
    other = Closing(harness, Batch(size=1, within=LONG), project="lake")

    [outcome] = other.close()

    assert outcome.decision is Decision.STOPPED
    assert closing.requested == []


def test_result_that_no_store_accepts_is_a_failure_of_the_batch(harness: EngineHarness) -> None:
    closing = Closing(harness, Batch(size=1, within=LONG))
    closing.accept("a")
    store = harness.stores.batches
    commits = 0
    original = type(store).commit

    def refused(self: InMemoryBatchStore, lease: Any, commit: Any) -> None:
        nonlocal commits
        commits += 1
        if commit.manifest is not None:
            raise ValueError("cannot be serialized")
        original(self, lease, commit)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(InMemoryBatchStore, "commit", refused)
        [outcome] = closing.close()

    assert outcome.decision is Decision.FAILURE
    assert commits == 2
    assert closing.ticks[-1].status is TickStatus.FAILURE


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"size": 0}, "size must be a number from 1 to 5000, not 0"),
        ({"size": 5_001}, "size must be"),
        ({"size": True}, "size must be"),
        ({"within": 300}, "within must be a timedelta"),
        ({"within": timedelta(milliseconds=999)}, "within must be"),
        ({"within": timedelta(days=8)}, "within must be"),
        ({"quiet": timedelta(minutes=5)}, "quiet must be a timedelta of at least 1 second, and shorter"),
        ({"bytes": 0}, "bytes must be a number from 1, not 0"),
        ({"by": "customer"}, "by must be a function of an item, not 'customer'"),
    ],
)
def test_limits_are_checked(options: dict[str, Any], problem: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=problem):
        Batch(**options)


@pytest.mark.parametrize("by", [None, 1, "x" * 513])
def test_by_must_return_a_text(by: object) -> None:
    batch = Batch(by=lambda _: by)  # type: ignore[arg-type,return-value]

    with pytest.raises(InvalidResultError, match="by returned"):
        item_facts("watch", batch, "a", None, 1)


def test_content_is_read_as_it_was_written() -> None:
    event = EventBridgeEvent(
        "shop", "Order", {"n": [1, {"é": None}]}, "e", from_millis(1_795_370_400_123), "1", "r", ("arn:a",)
    )

    assert unpacked(packed(event)) == event


def test_object_keeps_its_names_its_times_and_its_group() -> None:
    time = from_millis(1_795_370_400_123)
    group = S3Group("in/eu/", 2, is_complete=True, missing=("c",), key="#2")
    stored = S3Object("b", "in/eu/a", "e", "null", 1, time, {"region": "eu"}, {"day": time}, group)

    found = unpacked(packed(stored))

    assert found == stored
    assert (found.names, found.times, found.group) == (stored.names, stored.times, stored.group)


@pytest.mark.parametrize(
    ("decorator", "options"),
    [
        (sensor, {}),
        (multi_asset_sensor, {"monitored_assets": [AssetKey("orders")]}),
        (deadline_sensor, {"job": JobDefinition("load"), "within": LONG}),
    ],
)
def test_other_kinds_of_sensors_refuse_batches(
    decorator: Callable[..., Any], options: dict[str, Any]
) -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'batch'"):
        decorator(batch=Batch(), **options)


def test_batch_of_objects_is_evaluated_in_a_test() -> None:
    @s3_sensor("incoming", job=JobDefinition("load"), batch=Batch())
    def together(context: BatchSensorContext) -> RunRequest:
        return RunRequest("k", {"keys": [each.key for each in context.items]})

    stored = S3Object("incoming", "a", "e", "null", 1, from_millis(1_795_370_400_123))

    data = together.evaluate_tick(build_batch_sensor_context([stored]))

    assert [each.run_config for each in data.run_requests] == [{"keys": ["a"]}]
