"""`TreadleInstance`: sensors, runs, ticks and cursors on a laptop, through the real engine."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from treadle import (
    DagsterRunStatus,
    JobDefinition,
    ObjectIdentity,
    RunRequest,
    S3Object,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    TickStatus,
    s3_sensor,
    sensor,
)
from treadle.definitions.errors import LaunchRejectedError, SensorEvaluationError
from treadle.definitions.results import MAX_REQUESTS
from treadle.engine.outcomes import Decision
from treadle.engine.publish.bus_events import RunStatusChange
from treadle.engine.publish.publisher import Publisher
from treadle.model.runs import Failure
from treadle.testing import TreadleInstance

load = JobDefinition("load", tags={"team": "data"})
report = JobDefinition("report")


@sensor(job=load, minimum_interval_seconds=30)
def counting(context: SensorEvaluationContext) -> SensorResult:
    """One run per tick, keyed by number."""
    number = int(context.cursor or 0) + 1
    return SensorResult([RunRequest(str(number), {"number": number})], cursor=str(number))


@s3_sensor("raw", suffix=".csv", job=load, identity=ObjectIdentity.ETAG)
def files(context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
    """One run per object."""
    return RunRequest(tags={"size": str(stored.size)})


def test_tick_launches_what_the_sensor_requests() -> None:
    instance = TreadleInstance([counting])

    result = instance.tick("counting")

    (run,) = result.runs
    assert result.outcome.decision is Decision.SUCCESS
    assert (run.job, run.run_key, run.sensor, run.status) == (
        "load",
        "1",
        "counting",
        DagsterRunStatus.STARTED,
    )
    assert json.loads(instance.payload(run))["run_config"] == {"number": 1}
    assert instance.cursor("counting") == "1"
    assert instance.ticks("counting") == [result.tick]


def test_run_has_the_jobs_tags_and_those_that_dagster_puts_on_it() -> None:
    run = TreadleInstance([counting]).tick("counting").runs[0]

    assert run.tags["team"] == "data"
    assert run.tags["dagster/sensor_name"] == "counting"
    assert run.tags["dagster/run_key"] == "1"
    assert run.tags["dagster/tick"] == run.tick_id


def test_clock_moves_on_by_the_interval_from_tick_to_tick() -> None:
    start = datetime(2026, 1, 2, 3, 4, tzinfo=UTC)
    instance = TreadleInstance([counting], start=start)

    ticks = [instance.tick("counting").tick for _ in range(3)]

    assert [tick.time / 1000 - start.timestamp() for tick in ticks if tick] == [0, 30, 60]


def test_sensor_without_interval_is_due_each_minute() -> None:
    @sensor(job=load)
    def minutely() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([minutely])
    began = instance.clock.now()
    for _ in range(3):
        instance.tick("minutely")

    assert instance.clock.now() - began == 120_000
    assert len(instance.runs()) == 3


def test_tick_now_moves_no_clock_and_is_refused_when_none_is_due() -> None:
    instance = TreadleInstance([counting])
    instance.tick("counting")
    instance.clock.advance(29)

    refused = instance.tick_now("counting")
    instance.clock.advance(1)

    assert (refused.outcome.decision, refused.tick, refused.runs) == (Decision.NOT_DUE, None, ())
    assert instance.tick_now("counting").outcome.decision is Decision.SUCCESS


def test_skips_leave_no_record_until_a_tick_is_no_skip() -> None:
    @sensor(job=load)
    def third(context: SensorEvaluationContext) -> Iterator[RunRequest | SkipReason]:
        context.update_cursor((context.cursor or "") + "x")
        yield RunRequest() if len(context.cursor or "") == 3 else SkipReason(f"not yet: {context.cursor}")

    instance = TreadleInstance([third])
    results = [instance.tick("third") for _ in range(3)]

    assert [result.outcome.reason for result in results[:2]] == ["not yet: x", "not yet: xx"]
    assert [result.tick is None for result in results] == [True, True, False]
    assert [(tick.status, tick.skips) for tick in instance.ticks("third")] == [
        (TickStatus.SUCCESS, 0),
        (TickStatus.SKIPPED, 2),
    ]


def test_run_that_is_finished_says_how() -> None:
    instance = TreadleInstance([counting])
    first, second = instance.tick("counting").runs + instance.tick("counting").runs

    assert instance.finish_run(first).run.status is DagsterRunStatus.SUCCESS
    ended = instance.finish_run(second, DagsterRunStatus.FAILURE, Failure("DataError", "row 7")).run

    assert (ended.status, ended.failure) == (DagsterRunStatus.FAILURE, Failure("DataError", "row 7"))
    assert instance.runs(lambda run: run.status is DagsterRunStatus.SUCCESS) == (instance.runs()[0],)


@pytest.mark.parametrize(
    "status", [DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE, DagsterRunStatus.CANCELED]
)
def test_key_of_a_run_is_taken_whatever_became_of_it(status: DagsterRunStatus) -> None:
    instance = TreadleInstance([counting])
    instance.finish_run(instance.tick("counting").runs[0], status)
    instance.set_cursor("counting", None)

    again = instance.tick("counting")

    assert again.outcome.decision is Decision.SKIPPED
    assert "skipped because the runs already exist: 1" in again.outcome.reason
    assert len(instance.runs()) == 1


def test_target_that_refuses_leaves_a_failed_run_and_a_tick_that_is_a_success() -> None:
    instance = TreadleInstance([counting])
    instance.target.refusal = LaunchRejectedError("no such state machine")

    result = instance.tick("counting")

    (run,) = result.runs
    assert result.outcome.decision is Decision.SUCCESS
    assert run.status is DagsterRunStatus.FAILURE
    assert run.failure is not None
    assert "no such state machine" in run.failure.cause
    assert instance.cursor("counting") == "1"


def test_object_that_is_put_comes_to_each_sensor_that_takes_objects() -> None:
    instance = TreadleInstance([counting, files])

    results = instance.put_object("raw", "a.csv", b"x,y")

    assert list(results) == ["files"]
    (run,) = results["files"].runs
    assert (run.tags["size"], run.job) == ("3", "load")


def test_object_has_one_run_whether_event_redelivery_or_sweep_shows_it() -> None:
    instance = TreadleInstance([files])
    instance.tick("files")  # The sweep begins: what is put from now on counts.
    instance.clock.advance(60)
    event = instance.objects.put("raw", "a.csv", b"x")
    instance.objects.put("raw", "b.csv", b"y")

    first = instance.send(event)["files"]
    second = instance.send(event)["files"]
    swept = instance.tick("files")

    assert [run.run_key for run in first.runs] == [event.object.run_key(ObjectIdentity.ETAG)]
    assert second.outcome.decision is Decision.DUPLICATE
    assert len(swept.runs) == 1
    assert len(instance.runs()) == 2


def test_settings_of_a_deployment_win_over_the_code() -> None:
    instance = TreadleInstance([files], settings={"files": {"TREADLE_S3_BUCKET": "other"}})

    assert instance.put_object("raw", "a.csv")["files"].runs == ()
    assert len(instance.put_object("other", "a.csv")["files"].runs) == 1


def test_event_whose_evaluation_fails_raises_and_may_be_sent_again() -> None:
    @s3_sensor("raw", job=load)
    def fragile() -> RunRequest:
        if not works:
            raise ValueError
        return RunRequest()

    works: list[bool] = []
    instance = TreadleInstance([fragile])
    event = instance.objects.put("raw", "a.csv")

    with pytest.raises(SensorEvaluationError, match="fragile: ValueError"):
        instance.send(event)
    works.append(True)
    result = instance.send(event)["fragile"]

    assert result.tick is not None
    assert (result.tick.status, result.tick.attempts) == (TickStatus.SUCCESS, 2)
    assert len(result.runs) == 1


def test_same_key_of_two_sensors_is_two_runs() -> None:
    @sensor(job=load)
    def one() -> RunRequest:
        return RunRequest("key")

    @sensor(job=load)
    def other() -> RunRequest:
        return RunRequest("key")

    instance = TreadleInstance([one, other])
    for _ in range(2):
        instance.tick("one")
        instance.tick("other")

    assert sorted(run.sensor or "" for run in instance.runs()) == ["one", "other"]


def test_empty_run_key_is_none_and_gives_a_run_each_time() -> None:
    @sensor(job=load)
    def watch() -> list[RunRequest]:
        return [RunRequest(""), RunRequest(""), RunRequest(None)]

    instance = TreadleInstance([watch])
    instance.tick("watch")
    instance.tick("watch")

    assert [run.run_key for run in instance.runs()] == [None] * 6


def test_each_request_goes_to_the_job_that_it_names() -> None:
    @sensor(jobs=[load, report])
    def watch(context: SensorEvaluationContext) -> SensorResult:
        job = "report" if context.cursor == "load" else "load"
        return SensorResult([RunRequest(job_name=job)], cursor=job)

    instance = TreadleInstance([watch])

    assert [instance.tick("watch").runs[0].job for _ in range(4)] == ["load", "report", "load", "report"]


def test_partition_key_travels_to_the_run() -> None:
    @sensor(job=load)
    def watch() -> RunRequest:
        return RunRequest("k", partition_key="2026-11-22")

    run = TreadleInstance([watch]).tick("watch").runs[0]

    assert run.partition_key == "2026-11-22"
    assert run.tags["dagster/partition"] == "2026-11-22"


@pytest.mark.parametrize("number", [15, 1_000, pytest.param(MAX_REQUESTS, marks=pytest.mark.timeout(300))])
@pytest.mark.many
def test_many_requests_of_one_tick_are_all_launched_once(number: int) -> None:
    @sensor(job=load)
    def watch() -> Iterator[RunRequest]:
        for index in range(number):
            yield RunRequest(str(index))

    instance = TreadleInstance([watch])
    result = instance.tick("watch")

    assert len({run.run_key for run in result.runs}) == number
    assert len(instance.target.executions) == number


@pytest.mark.many
def test_requests_with_many_tags_and_large_config_are_launched() -> None:
    @sensor(job=load)
    def watch() -> list[RunRequest]:
        tags = {f"tag{index}": "v" * 5 for index in range(5_000)}
        config = {f"entry{index}": "v" * 100 for index in range(100)}
        return [RunRequest(str(index), config, tags) for index in range(25)]

    result = TreadleInstance([watch]).tick("watch")

    assert result.outcome.decision is Decision.SUCCESS
    assert len(result.runs) == 25
    assert len(result.runs[0].tags) >= 5_000


def test_tick_is_due_after_a_tick_that_came_late_in_its_interval() -> None:
    """Half an interval after its end, though the next slot begins before."""

    @sensor(job_name="load", minimum_interval_seconds=60)
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch])
    instance.clock.advance(31)
    instance.tick("watch")

    assert instance.tick("watch").outcome.decision is Decision.SUCCESS


def test_only_runs_that_changed_are_published_after_a_tick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A tick's cost does not grow with the runs that came before it."""
    instance = TreadleInstance([counting])
    instance.tick("counting")
    published: list[list[str]] = []
    publish = Publisher.publish

    def recorded(publisher: Publisher, news: list[RunStatusChange]) -> None:
        published.append([each.run.run_id for each in news])
        publish(publisher, news)

    monkeypatch.setattr(Publisher, "publish", recorded)

    (run,) = instance.tick("counting").runs

    assert {name for names in published for name in names} == {run.run_id}
    assert all(published)


def test_backfill_runs_its_partitions_under_its_limit() -> None:
    @sensor(job_name="load")
    def idle(context: SensorEvaluationContext) -> None:
        """Request nothing."""

    instance = TreadleInstance([idle])

    instance.backfill("load", ["a", "b", "c"], name="may", run_config={"n": 1}, limit=2)

    assert [run.partition_key for run in instance.runs()] == ["a", "b"]
    first = instance.runs()[0]
    assert json.loads(instance.payload(first))["run_config"] == {"n": 1}
    instance.finish_run(first)
    assert [(run.partition_key, run.status.value) for run in instance.runs()] == [
        ("a", "SUCCESS"),
        ("b", "STARTED"),
        ("c", "STARTED"),
    ]
    for run in instance.runs()[1:]:
        instance.finish_run(run)
    again = instance.backfill("load", ["a", "b", "c"], name="may", run_config={"n": 1})
    assert (again.shown_status, len(instance.runs())) == ("COMPLETED_SUCCESS", 3)
