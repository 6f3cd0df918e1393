"""Sensors that wait for several jobs: exactly one run per batch, whatever order the news comes in."""

import itertools
from collections import Counter
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import (
    DagsterInvalidDefinitionError,
    DagsterRunStatus,
    JobDefinition,
    RunRequest,
    SensorEvaluationContext,
    all_succeeded,
    build_sensor_context,
    sensor,
)
from treadle.definitions.all_succeeded_sensor import AllSucceededDefinition
from treadle.definitions.batching import MAX_WAITING
from treadle.definitions.canonical import canonical_json
from treadle.engine.instance.run_reader import CompletedRunReader
from treadle.model.assets import AssetEvent, ended_runs_key
from treadle.model.runs import Run
from treadle.testing.event_store import InMemoryEventStore
from treadle.testing.instance import TreadleInstance
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

orders, customers, report = (JobDefinition(name) for name in ("orders", "customers", "report"))
DAY = timedelta(days=1)


@sensor(jobs=[orders, customers])
def start(context: SensorEvaluationContext) -> list[RunRequest]:
    """One run of each upstream job at each tick."""
    number = int(context.cursor or 0) + 1
    context.update_cursor(str(number))
    tags = {"region": "eu" if number % 2 else "us"}
    return [
        RunRequest(f"{job}-{number}", {}, tags, job, partition_key=f"day-{(number + 1) // 2}")
        for job in ("orders", "customers")
    ]


def when_ready(**options: Any) -> AllSucceededDefinition:
    given = {"jobs": [orders, customers], "within": DAY, "request_job": report, **options}
    return all_succeeded("when_ready", **given)


def reports(instance: TreadleInstance) -> tuple[Run, ...]:
    return instance.runs(lambda run: run.job == "report")


class TestOneRunPerBatch:
    def test_downstream_starts_once_when_both_have_succeeded_and_not_again_for_a_third(self) -> None:
        instance = TreadleInstance([start, when_ready()])
        first, second = instance.tick("start").runs
        third, fourth = instance.tick("start").runs

        instance.finish_run(first)
        assert reports(instance) == ()
        instance.finish_run(second)
        assert len(reports(instance)) == 1
        instance.finish_run(third)
        assert len(reports(instance)) == 1
        instance.finish_run(fourth)

        assert len(reports(instance)) == 2

    def test_run_shows_what_it_follows_from_and_how_deep_it_is(self) -> None:
        instance = TreadleInstance([start, when_ready()])
        for run in instance.tick("start").runs:
            instance.finish_run(run)
        [downstream] = reports(instance)
        names = {run.job: [run.run_id] for run in instance.runs() if run.job != "report"}

        assert downstream.run_config == canonical_json({"upstream": names})
        assert downstream.tags["treadle/depth"] == "2"

    def test_failure_makes_no_batch_and_the_rerun_that_succeeds_does(self) -> None:
        instance = TreadleInstance([start, when_ready()])
        first, second = instance.tick("start").runs
        instance.finish_run(first)
        instance.finish_run(second, DagsterRunStatus.FAILURE)
        assert reports(instance) == ()
        instance.finish_run(instance.tick("start").runs[1])

        assert len(reports(instance)) == 1

    def test_successes_that_lie_too_far_apart_make_no_batch(self) -> None:
        instance = TreadleInstance([start, when_ready(within=timedelta(hours=1))])
        first, second = instance.tick("start").runs
        instance.finish_run(first)
        instance.clock.advance(3_601)
        instance.finish_run(second)

        assert reports(instance) == ()
        assert (
            "customers succeeded, waiting for orders"
            in (instance.state("when_ready").skips or _none()).reason
        )

    def test_stopped_sensor_continues_where_it_was(self) -> None:
        instance = TreadleInstance([start, when_ready()])
        instance.tick("when_ready")
        instance.stop_sensor("when_ready")
        for run in instance.tick("start").runs:
            instance.finish_run(run)
        assert reports(instance) == ()
        instance.start_sensor("when_ready")
        instance.tick("when_ready")

        assert len(reports(instance)) == 1

    def test_first_tick_looks_back_as_far_as_the_window(self) -> None:
        ends = Ends()
        ends.add("orders", at=0)
        ends.add("orders", at=50)
        ends.add("customers", at=60)
        ends.clock.time += 100

        assert ends.evaluate(when_ready(within=timedelta(milliseconds=60)), None) == [
            {"orders": ["orders-2"], "customers": ["customers-1"]}
        ]
        assert ends.evaluate(when_ready(within=timedelta(milliseconds=45)), None) == []


class TestEarlierSuccesses:
    def three_then_one(self, earlier: str) -> list[dict[str, list[str]]]:
        ends = Ends()
        ready = when_ready(earlier=earlier)
        ends.evaluate(ready)
        for at in range(3):
            ends.add("orders", at=at)
        ends.add("customers", at=4)
        found = ends.evaluate(ready)
        ends.add("customers", at=5)
        return found + ends.evaluate(ready)

    def test_latest_forgets_them(self) -> None:
        assert self.three_then_one("latest") == [{"orders": ["orders-3"], "customers": ["customers-1"]}]

    def test_each_keeps_them_for_batches_of_their_own(self) -> None:
        assert self.three_then_one("each") == [
            {"orders": ["orders-1"], "customers": ["customers-1"]},
            {"orders": ["orders-2"], "customers": ["customers-2"]},
        ]

    def test_all_hands_them_to_one_batch(self) -> None:
        assert self.three_then_one("all") == [
            {"orders": ["orders-1", "orders-2", "orders-3"], "customers": ["customers-1"]}
        ]

    def test_each_passes_over_what_is_too_old_for_its_partner(self) -> None:
        ends, ready = Ends(), when_ready(earlier="each", within=timedelta(milliseconds=10))
        ends.evaluate(ready)
        ends.add("orders", at=0)
        ends.add("orders", at=18)
        ends.add("customers", at=20)

        assert ends.evaluate(ready) == [{"orders": ["orders-2"], "customers": ["customers-1"]}]


class TestCorrelation:
    def test_only_runs_of_one_partition_make_a_batch(self) -> None:
        instance = TreadleInstance([start, when_ready(correlate_by="partition_key", earlier="each")])
        runs = [instance.tick("start").runs for _ in range(3)]  # day-1, day-1, day-2
        instance.finish_run(runs[0][0])
        instance.finish_run(runs[2][1])
        assert reports(instance) == ()
        instance.finish_run(runs[2][0])
        instance.finish_run(runs[1][1])

        assert sorted(run.partition_key or "" for run in reports(instance)) == ["day-1", "day-2"]

    def test_only_runs_with_one_value_of_a_tag_make_a_batch(self) -> None:
        instance = TreadleInstance([start, when_ready(correlate_by="region")])
        european, american = instance.tick("start").runs, instance.tick("start").runs
        instance.finish_run(european[0])
        instance.finish_run(american[1])
        assert reports(instance) == ()
        instance.finish_run(european[1])

        assert [run.tags["region"] for run in reports(instance)] == ["eu"]

    def test_runs_without_the_tag_make_none(self) -> None:
        instance = TreadleInstance([start, when_ready(correlate_by="team")])
        for run in instance.tick("start").runs:
            instance.finish_run(run)

        assert reports(instance) == ()


class TestDefinition:
    def test_all_problems_are_reported_at_once(self) -> None:
        with pytest.raises(DagsterInvalidDefinitionError) as caught:
            when_ready(jobs=[orders], within=timedelta(0), earlier="some")

        for message in ("two or more different jobs", "longer than zero", "latest, each, all"):
            assert message in str(caught.value)

    def test_run_config_may_be_made_of_the_batch(self) -> None:
        ready = when_ready(run_config_fn=lambda batch: {"runs": len(batch.runs["orders"])})
        instance = TreadleInstance([start, ready])
        for run in instance.tick("start").runs:
            instance.finish_run(run)

        assert reports(instance)[0].run_config == '{"runs":1}'

    @pytest.mark.many
    def test_more_than_there_is_room_for_is_rejected_and_named(self) -> None:
        ends, ready = Ends(), when_ready(earlier="each")
        ends.evaluate(ready)
        ends.add("orders", *range(MAX_WAITING + 2), at=1)
        context = ends.context(ready.name)

        data = ready.evaluate_tick(context)

        assert [key for key, _ in data.rejected] == ["orders:orders-1", "orders:orders-2"]
        assert len(context.cursor or "") < 300_000


@settings(max_examples=200, deadline=None)
@given(
    ends=st.lists(st.tuples(st.sampled_from(["orders", "customers"]), st.integers(0, 5)), max_size=24),
    cuts=st.sets(st.integers(0, 24)),
    earlier=st.sampled_from(["latest", "each", "all"]),
)
def test_no_success_is_in_two_batches_and_none_is_passed_over(
    ends: Sequence[tuple[str, int]], cuts: set[int], earlier: str
) -> None:
    """However the news is cut into ticks, and however late it comes."""
    world, ready = Ends(), when_ready(earlier=earlier)
    batches = world.evaluate(ready)
    for place, (job, late_by) in enumerate(ends):
        world.add(job, at=place * 10 - late_by * 7)
        if place in cuts:
            batches += world.evaluate(ready)
    batches += world.evaluate(ready)

    used = Counter(itertools.chain.from_iterable(run for batch in batches for run in batch.values()))
    made = Counter(job for job, _ in ends)
    assert all(count == 1 for count in used.values())
    assert all(set(batch) == {"orders", "customers"} for batch in batches)
    if earlier == "each":
        assert len(batches) == min(made["orders"], made["customers"])
    if earlier == "all":
        left = [{"orders", "customers"} - {name.split("-")[0] for name in used}]
        assert left == [set()] or not batches
    if made["orders"] and made["customers"]:
        assert batches


class Ends:
    """The ended runs of the upstream jobs, and a cursor that moves over them."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.began = self.clock.time
        self.tables = InMemoryTables()
        self.events = InMemoryEventStore(self.tables)
        self.cursor: str | None = None

    def add(self, job: str, *numbers: int, at: int) -> None:
        """Add a successful run of the job, or one for each number."""
        key = ended_runs_key(job)
        for _ in numbers or (0,):
            name = f"{job}-{len(self.tables.events.get(key, ())) + 1}"
            body = canonical_json({"run_id": name, "partition_key": None, "tags": {}, "depth": 1})
            self.events.append([AssetEvent(key, name, "SUCCESS", self.began + at, body)])

    def context(self, name: str) -> SensorEvaluationContext:
        """Of the next tick."""
        context = build_sensor_context(sensor_name=name, cursor=self.cursor)
        context._ended_runs = lambda: CompletedRunReader(self.events, self.clock)
        return context

    def evaluate(self, ready: AllSucceededDefinition, *cursor: None) -> list[dict[str, list[str]]]:
        """Return the batches that a tick requests."""
        if cursor:
            self.cursor = None
        context = self.context(ready.name)
        data = ready.evaluate_tick(context)
        self.cursor = context.cursor
        return [request.plain_config["upstream"] for request in data.run_requests]


def _none() -> Any:
    msg = "there is no streak of skipped ticks"
    raise AssertionError(msg)
