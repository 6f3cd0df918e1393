"""What `context.instance` returns of recorded runs, and the coordination pattern written with it by hand."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from treadle import (
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterRunStatus,
    JobDefinition,
    RunRequest,
    RunsFilter,
    SensorEvaluationContext,
    SkipReason,
    sensor,
)
from treadle.testing.instance import TreadleInstance

SUCCESS, FAILURE = DagsterRunStatus.SUCCESS, DagsterRunStatus.FAILURE
orders, customers, report = (JobDefinition(name) for name in ("orders", "customers", "report"))


@sensor(jobs=[orders, customers])
def start(context: SensorEvaluationContext) -> list[RunRequest]:
    """One run of each upstream job at each tick."""
    number = int(context.cursor or 0) + 1
    context.update_cursor(str(number))
    return [RunRequest(f"{job}-{number}", {}, {"team": job}, job) for job in ("orders", "customers")]


@sensor(job=report)
def report_of_the_day(context: SensorEvaluationContext) -> RunRequest | SkipReason:
    """As Dagster's documentation does it: both have succeeded within a day, and since the last report."""
    since = datetime.fromtimestamp(float(context.cursor or 0), UTC)
    latest = []
    for job in ("orders", "customers"):
        records = context.instance.get_run_records(
            filters=RunsFilter(
                job_name=job, statuses=[SUCCESS], updated_after=max(since, now() - timedelta(days=1))
            ),
            order_by="update_timestamp",
            ascending=False,
            limit=1,
        )
        if not records:
            return SkipReason(f"waiting for {job}")
        latest.append(records[0].update_timestamp)
    context.update_cursor(str(max(latest).timestamp()))
    return RunRequest(run_key=str(max(latest)))


instance: TreadleInstance


def now() -> datetime:
    return datetime.fromtimestamp(instance.clock.now() / 1000, UTC)


@pytest.fixture(autouse=True)
def _deployed() -> None:
    global instance  # noqa: PLW0603 - the sensor's function needs the clock of the test's deployment
    instance = TreadleInstance([start, report_of_the_day])


def reading() -> DagsterInstance:
    """Return what sensors are given."""
    return instance


def test_report_follows_each_pair_of_successes_once() -> None:
    first, second = instance.tick("start").runs
    assert instance.tick("report_of_the_day").outcome.reason == "waiting for orders"
    instance.finish_run(first)
    assert instance.tick("report_of_the_day").outcome.reason == "waiting for customers"
    instance.finish_run(second)
    assert len(instance.tick("report_of_the_day").runs) == 1
    assert instance.tick("report_of_the_day").outcome.reason == "waiting for orders"
    for run in instance.tick("start").runs:
        instance.finish_run(run)

    assert len(instance.tick("report_of_the_day").runs) == 1


def test_records_have_the_times_that_dagsters_have() -> None:
    [run, _] = instance.tick("start").runs
    began = now()
    instance.clock.advance(60)
    instance.finish_run(run)
    [record] = reading().get_run_records(RunsFilter(job_name="orders"))

    assert record.dagster_run.is_success
    assert record.create_timestamp == began
    assert record.update_timestamp == now()
    assert (record.start_time, record.end_time) == (began.timestamp(), now().timestamp())
    assert reading().get_run_record_by_id(run.run_id) == record
    assert reading().get_run_by_id(run.run_id) == record.dagster_run
    assert reading().get_run_by_id("none") is None
    assert reading().get_run_record_by_id("none") is None


def test_runs_are_chosen_by_status_tag_sensor_and_name() -> None:
    runs = [*instance.tick("start").runs, *instance.tick("start").runs]
    instance.finish_run(runs[0], FAILURE)

    def keys(filters: RunsFilter, limit: int | None = None) -> list[str | None]:
        return [run.run_key for run in reading().get_runs(filters, limit=limit, ascending=True)]

    assert keys(RunsFilter(job_name="orders", statuses=[FAILURE])) == ["orders-1"]
    assert keys(RunsFilter(tags={"dagster/sensor_name": "start", "team": "customers"})) == [
        "customers-1",
        "customers-2",
    ]
    assert keys(RunsFilter(run_ids=[runs[3].run_id])) == ["customers-2"]
    assert keys(RunsFilter(job_name="orders"), limit=1) == ["orders-1"]


def test_filter_that_leads_to_no_index_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="never scanned"):
        RunsFilter(statuses=[SUCCESS])
    with pytest.raises(DagsterInvalidDefinitionError, match=r"updated_after is .*, which has no time zone"):
        RunsFilter(job_name="orders", updated_after=datetime(2026, 1, 1))  # noqa: DTZ001 - what is refused
    given: Any = "2026-01-01T00:00:00Z"
    with pytest.raises(
        DagsterInvalidDefinitionError, match=r"created_before is .*; it must be a datetime with a time zone"
    ):
        RunsFilter(job_name="orders", created_before=given)


def test_unknown_order_and_missing_filter_are_refused_with_what_to_do() -> None:
    @sensor(job=report)
    def wrong(context: SensorEvaluationContext) -> None:
        context.instance.get_run_records(RunsFilter(job_name="orders"), order_by="id")

    @sensor(job=report)
    def bare(context: SensorEvaluationContext) -> None:
        context.instance.get_runs(None)

    deployed = TreadleInstance([wrong, bare])

    assert "create_timestamp, update_timestamp" in deployed.tick("wrong").outcome.reason
    assert "RunsFilter(job_name=...)" in deployed.tick("bare").outcome.reason
