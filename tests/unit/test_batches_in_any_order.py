"""Batches do not depend on the order in which successes and updates become known, as far as that can be."""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.partitions import no_partitions
from treadle import (
    AssetKey,
    AssetMaterialization,
    JobDefinition,
    SensorEvaluationContext,
    all_succeeded,
    assets_updated,
    build_sensor_context,
)
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.batching import LATE, MAX_WAITING, PAGE, UpstreamBatchSensorDefinition
from treadle.definitions.canonical import canonical_json
from treadle.definitions.contexts import MAX_CURSOR_BYTES
from treadle.definitions.runs import from_millis
from treadle.engine.assets.asset_events import asset_event
from treadle.engine.instance.instance_reader import InstanceReader
from treadle.engine.instance.run_reader import CompletedRunReader
from treadle.model.assets import AssetEvent, ended_runs_key
from treadle.testing.event_store import InMemoryEventStore
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

NAMES = ("a", "b", "c")
WINDOW = 100
HOUR, DAY = 3_600_000, 86_400_000
KINDS = ("all_succeeded", "assets_updated")

Event = tuple[int, str, int]
"""Time, name and number of a success or an update."""

report = JobDefinition("report")


@dataclass(slots=True)
class Known:
    """What is known of the upstream, and a sensor that reads it."""

    kind: str
    names: Sequence[str] = NAMES[:2]
    within: int = WINDOW
    earlier: str = "latest"
    options: dict[str, Any] = field(default_factory=dict)
    clock: VirtualClock = field(default_factory=VirtualClock)
    began: int = 0
    events: InMemoryEventStore = field(init=False)
    cursor: str | None = None
    made: list[Event] = field(default_factory=list)
    numbers: Counter[str] = field(default_factory=Counter)
    rejected: list[tuple[str | None, str]] = field(default_factory=list)
    remaining_seconds: float = 100

    def __post_init__(self) -> None:
        self.events = InMemoryEventStore(InMemoryTables())
        self.began = self.clock.time

    def definition(self) -> UpstreamBatchSensorDefinition:
        """Return the sensor."""
        within = timedelta(milliseconds=self.within)
        given: dict[str, Any] = {"within": within, "request_job": report, "earlier": self.earlier}
        if self.kind == "all_succeeded":
            jobs = [JobDefinition(name) for name in self.names]
            return all_succeeded("ready", jobs=jobs, **given, **self.options)
        keys = [AssetKey(name) for name in self.names]
        options = {"all_of": keys, **self.options}
        return assets_updated("ready", **given, **options)

    def add(self, name: str, at: int, partition: str | None = None) -> Event:
        """Deliver a success or an update."""
        self.numbers[name] += 1
        number = self.numbers[name]
        event_id, time = f"{name}-{number}", self.began + at
        if self.kind == "all_succeeded":
            body: dict[str, Any] = {"run_id": event_id, "partition_key": partition, "tags": {}, "depth": 1}
            stored = AssetEvent(ended_runs_key(name), event_id, "SUCCESS", time, canonical_json(body))
        else:
            made = AssetMaterialization(name, partition=partition)
            stored = asset_event(AssetMaterialized(made, event_id, 0, from_millis(time)))
        self.events.append([stored])
        self.made.append((at, name, number))
        return self.made[-1]

    def tick(self) -> list[set[Event]]:
        """Return the batches that the sensor requests."""
        instance = InstanceReader(InMemoryRunStore(InMemoryTables()), "1/r/n", self.events, no_partitions)
        context: SensorEvaluationContext = build_sensor_context(
            instance, cursor=self.cursor, sensor_name="ready"
        )
        context._ended_runs = lambda: CompletedRunReader(self.events, self.clock)
        context._remaining_seconds = lambda: self.remaining_seconds
        data = self.definition().evaluate_tick(context)
        self.cursor = context.cursor
        self.rejected += data.rejected
        return [self._batch(request.plain_config["upstream"]) for request in data.run_requests]

    def _batch(self, upstream: dict[str, list[Any]]) -> set[Event]:
        found = set()
        for name, parts in upstream.items():
            numbers = {int(str(part).removeprefix(f"{name}-")) for part in parts}
            found |= {each for each in self.made if each[1] == name and each[2] in numbers}
        return found


def in_order(
    known: Iterable[Event], names: Sequence[str], within: int, earlier: str, used: set[Event]
) -> list[set[Event]]:
    """By definition: at each success, in order, whether those within the window make a batch; marks them as used."""
    events, batches = sorted(known), []
    for index, (now, _, _) in enumerate(events):
        seen = [each for each in events[: index + 1] if each not in used and each[0] >= now - within]
        if earlier == "latest":
            seen = [each for each in seen if not any(u[1] == each[1] and u > each for u in used)]
        parts = {name: [each for each in seen if each[1] == name] for name in names}
        if all(parts.values()):
            whole = {"latest": slice(-1, None), "each": slice(0, 1), "all": slice(None)}[earlier]
            batches.append({each for of_name in parts.values() for each in of_name[whole]})
            used |= batches[-1]
    return batches


NEWS = st.lists(st.tuples(st.sampled_from(NAMES), st.integers(0, 6 * WINDOW)), max_size=18)


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(news=NEWS, earlier=st.sampled_from(["latest", "each", "all"]), names=st.sampled_from([2, 3]))
def test_batches_of_one_tick_are_those_of_the_ordered_sequence_whatever_came_first(
    kind: str, news: Sequence[tuple[str, int]], earlier: str, names: int
) -> None:
    known = Known(kind, NAMES[:names], earlier=earlier)
    known.tick()
    for name, at in news:
        if name in known.names:
            known.add(name, at)

    assert known.tick() == in_order(known.made, known.names, WINDOW, earlier, set())


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=150, deadline=None)
@given(
    news=NEWS,
    cuts=st.sets(st.integers(0, 17)),
    earlier=st.sampled_from(["latest", "each", "all"]),
    names=st.sampled_from([2, 3]),
)
def test_each_tick_makes_the_batches_of_all_that_is_known_and_in_no_batch_yet(
    kind: str, news: Sequence[tuple[str, int]], cuts: set[int], earlier: str, names: int
) -> None:
    """Windows hold, no success is in two batches, and none is left that could make one."""
    known, used = Known(kind, NAMES[:names], earlier=earlier), set[Event]()
    known.tick()
    batches: list[set[Event]] = []
    for place, (name, at) in enumerate(news):
        if name in known.names:
            known.add(name, at)
        if place in cuts:
            known.clock.advance(60)  # What was superseded, or has left the window, may meet late news still.
            found = known.tick()
            assert found == in_order(known.made, known.names, WINDOW, earlier, used)
            batches += found
    batches += known.tick()
    in_order(known.made, known.names, WINDOW, earlier, used)

    assert all(max(batch)[0] - min(batch)[0] <= WINDOW for batch in batches)
    assert sum(map(len, batches)) == len(set().union(*batches)) == len(used)
    left = set(known.made) - used
    assert in_order(left, known.names, WINDOW, earlier, used) == []


@pytest.mark.parametrize("kind", KINDS)
def test_first_tick_finds_what_lies_within_the_window_behind_late_news_of_what_does_not(kind: str) -> None:
    known = Known(kind, within=2 * HOUR)
    known.clock.time += 10 * HOUR
    known.add("a", 9 * HOUR)
    known.add("b", 9 * HOUR)
    known.add("a", HOUR)
    known.add("b", HOUR)

    assert known.tick() == [{(9 * HOUR, "a", 1), (9 * HOUR, "b", 1)}]
    assert known.tick() == []


@pytest.mark.parametrize("kind", KINDS)
def test_late_news_finds_its_partner_a_day_after_the_window_and_not_later(kind: str) -> None:
    late_ms = int(LATE.total_seconds() * 1000)
    for after, found in ((HOUR + late_ms, 1), (HOUR + late_ms + 2, 0)):
        known = Known(kind, within=HOUR)
        known.tick()
        known.add("a", 0)
        known.tick()
        known.clock.time = known.began + after
        known.add("b", after - 1_000)  # The tick in between.
        known.tick()
        known.add("b", 10)

        assert len(known.tick()) == found


@pytest.mark.parametrize("kind", KINDS)
def test_late_success_behind_a_batch_that_was_requested_starts_none_with_latest(kind: str) -> None:
    known = Known(kind, within=3 * HOUR)
    known.tick()
    known.clock.time += 4 * HOUR
    known.add("a", 2 * HOUR)
    known.add("b", 3 * HOUR)
    assert len(known.tick()) == 1
    known.add("a", HOUR)
    known.tick()
    known.add("b", 3 * HOUR + 1)

    assert known.tick() == []


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("earlier", ["each", "all"])
def test_late_success_behind_a_batch_that_was_requested_waits_for_the_next_otherwise(
    kind: str, earlier: str
) -> None:
    known = Known(kind, within=3 * HOUR, earlier=earlier)
    known.tick()
    known.clock.time += 4 * HOUR
    known.add("a", 2 * HOUR)
    known.add("b", 3 * HOUR)
    assert len(known.tick()) == 1
    known.add("a", HOUR)
    known.tick()
    known.add("b", 3 * HOUR + 1)

    assert known.tick() == [{(HOUR, "a", 2), (3 * HOUR + 1, "b", 2)}]


@pytest.mark.parametrize("kind", KINDS)
def test_time_in_the_future_is_taken_for_the_present(kind: str) -> None:
    """A success of the year 2099 would wait for its partner, and supersede all others, for ever."""
    known = Known(kind, within=HOUR)
    known.tick()
    known.add("a", 70 * 365 * DAY)
    known.tick()
    known.clock.advance(7_200)
    known.add("b", 2 * HOUR)
    assert known.tick() == []
    known.add("a", 2 * HOUR)

    assert known.tick() == [{(2 * HOUR, "a", 2), (2 * HOUR, "b", 1)}]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("earlier", ["latest", "each", "all"])
@pytest.mark.many
def test_long_backlog_read_over_several_ticks_makes_the_same_batches_as_at_once(
    kind: str, earlier: str
) -> None:
    """Stopped for long: what is read first must not be forgotten before its partners are read."""
    whole, cut = (Known(kind, within=10 * HOUR, earlier=earlier) for _ in range(2))
    for known in (whole, cut):
        known.tick()
        known.clock.time += 400 * DAY
        for number in range(2 * PAGE + 20):
            known.add("a", number * 60_000)
        for number in range(30):
            known.add("b", number * HOUR + 30_000)
    cut.remaining_seconds = 1

    found = [batch for _ in range(12) for batch in cut.tick()]

    assert found == whole.tick()
    assert len(found) > 15
    assert cut.rejected == []


def test_any_of_makes_a_batch_of_late_news_too() -> None:
    options = {"all_of": [], "any_of": [AssetKey(name) for name in NAMES[:2]]}
    known = Known("assets_updated", options=options)
    known.tick()
    known.add("a", HOUR)
    assert len(known.tick()) == 1
    known.add("a", 0)

    assert known.tick() == [{(0, "a", 2)}]


@pytest.mark.parametrize("earlier", ["latest", "each"])
def test_cursor_has_room_for_keys_of_any_length_and_what_is_dropped_is_named(earlier: str) -> None:
    options = {"per_partition": True}
    known = Known("assets_updated", earlier=earlier, within=HOUR, options=options)
    known.tick()
    for number in range(700):
        known.add("a", number, f"{number:04d}" + "é" * 500)

    known.tick()

    assert known.cursor is not None
    assert len(known.cursor.encode()) <= MAX_CURSOR_BYTES
    assert known.rejected[0][0] == "a:1"
    assert 300 < len(known.rejected) < 700
    assert "Too many updates are waiting" in known.rejected[0][1]


@pytest.mark.many
def test_full_cursor_with_much_for_late_news_can_be_kept() -> None:
    known = Known("all_succeeded", earlier="each", within=HOUR)
    known.tick()
    known.clock.time += 2 * HOUR
    for number in range(MAX_WAITING + 300):
        known.add("a", HOUR - 200 + number)

    known.tick()

    assert known.cursor is not None
    assert len(known.cursor.encode()) <= MAX_CURSOR_BYTES
