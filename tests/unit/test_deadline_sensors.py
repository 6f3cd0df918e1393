"""Deadline sensors: called once if a job has not succeeded by its time, with the state of the run that exists."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from treadle import (
    DagsterInvalidDefinitionError,
    DagsterRunStatus,
    DeadlineSensorContext,
    JobDefinition,
    RunRequest,
    SkipReason,
    TickStatus,
    build_sensor_context,
    deadline_sensor,
    sensor,
)
from treadle.definitions.errors import SensorEvaluationError
from treadle.engine.launch.attempts import queue_next_attempt
from treadle.engine.messages import LaunchRequest
from treadle.model.runs import Failure, Run
from treadle.testing.instance import TreadleInstance

nightly, repair = JobDefinition("nightly"), JobDefinition("repair")
EVENING = datetime(2026, 11, 24, 22, tzinfo=UTC)
SIX = datetime(2026, 11, 25, 6, tzinfo=ZoneInfo("Europe/Berlin"))
seen: list[DeadlineSensorContext] = []


@sensor(job=nightly)
def evening() -> RunRequest:
    """One run at each tick."""
    return RunRequest()


@deadline_sensor(job=nightly, within=timedelta(hours=12))
def late(context: DeadlineSensorContext) -> None:
    """Notify somebody."""
    seen.append(context)


@pytest.fixture(autouse=True)
def _fresh() -> None:
    seen.clear()


def deployed() -> tuple[TreadleInstance, Run]:
    """In the evening, with a run that has started."""
    instance = TreadleInstance([evening, late], start=EVENING)
    [run] = instance.tick("evening").runs
    return instance, run


def pass_six(instance: TreadleInstance) -> str:
    instance.clock.time = int(SIX.timestamp() * 1000) + 300_000
    return instance.reach_deadline(SIX)["late"].outcome.reason


def test_success_in_time_is_a_skip_that_says_when() -> None:
    instance, run = deployed()
    instance.clock.advance(3_600)
    instance.finish_run(run)

    assert pass_six(instance) == "Job nightly succeeded at 00:00:00 CET, before 06:00:00 CET."
    assert seen == []


@pytest.mark.parametrize(
    ("status", "message"),
    [
        (None, "has status STARTED."),
        (DagsterRunStatus.FAILURE, "ended as FAILURE: DataError: row 7"),
        (DagsterRunStatus.CANCELED, "ended as CANCELED: DataError: row 7"),
    ],
)
def test_what_exists_instead_is_reported(status: DagsterRunStatus | None, message: str) -> None:
    instance, run = deployed()
    if status is not None:
        instance.finish_run(run, status, Failure("DataError", "row 7"))

    reason = pass_six(instance)

    assert reason == f"Job nightly has not succeeded by 2026-11-25 06:00:00 CET: run {run.run_id} {message}"
    [context] = seen
    assert (context.job_name, context.reason) == ("nightly", reason)
    assert context.last_run is not None
    assert context.last_run.run_id == run.run_id
    assert (context.deadline, context.deadline - context.since) == (SIX, timedelta(hours=12))


def test_no_run_at_all_is_reported() -> None:
    instance = TreadleInstance([late], start=EVENING)

    assert pass_six(instance).endswith("no run was requested.")
    assert seen[0].last_run is None


def test_a_run_of_a_later_day_is_not_what_exists_instead() -> None:
    """However late the deadline is evaluated."""
    instance = TreadleInstance([evening, late], start=EVENING + timedelta(days=1))
    instance.tick("evening")

    assert instance.reach_deadline(SIX)["late"].outcome.reason.endswith("no run was requested.")


def test_success_after_the_deadline_is_too_late_even_within_the_grace() -> None:
    instance, run = deployed()
    instance.clock.time = int(SIX.timestamp() * 1000) + 60_000
    instance.finish_run(run)

    assert pass_six(instance).endswith("succeeded too late.")


@pytest.mark.parametrize("later", [None, DagsterRunStatus.FAILURE, DagsterRunStatus.SUCCESS])
def test_success_in_time_stands_whatever_becomes_of_a_rerun(later: DagsterRunStatus | None) -> None:
    """A rerun that is under way, failed, or succeeded after the deadline."""
    instance, run = deployed()
    instance.clock.advance(3_600)
    ended = instance.finish_run(run).run
    again = queue_next_attempt(ended, instance.clock.now())
    instance._tables.runs[run.run_id] = again
    instance._launcher.launch(LaunchRequest(run.run_id, 2, run.job), 60.0)
    instance.clock.time = int(SIX.timestamp() * 1000) + 60_000
    if later is not None:
        instance.finish_run(instance._tables.runs[run.run_id], later)

    assert pass_six(instance) == "Job nightly succeeded at 00:00:00 CET, before 06:00:00 CET."
    assert seen == []


def test_run_that_began_before_the_window_and_is_under_way_is_reported() -> None:
    instance, run = deployed()
    tomorrow = SIX + timedelta(days=1)
    instance.clock.time = int(tomorrow.timestamp() * 1000)

    reason = instance.reach_deadline(tomorrow)["late"].outcome.reason

    assert reason.endswith(f"run {run.run_id} has status STARTED.")
    assert seen[0].last_run is None


def test_success_before_the_window_does_not_count() -> None:
    instance, run = deployed()
    instance.finish_run(run)
    tomorrow = SIX + timedelta(days=1)
    instance.clock.time = int(tomorrow.timestamp() * 1000)

    instance.reach_deadline(tomorrow)

    assert len(seen) == 1


def test_each_deadline_is_reported_once_however_often_it_comes() -> None:
    instance, _ = deployed()
    pass_six(instance)

    assert instance.reach_deadline(SIX)["late"].outcome.decision == "DUPLICATE"
    assert len(seen) == 1
    [tick] = instance.ticks("late")
    assert (tick.status, tick.acted_on) == (TickStatus.SUCCESS, "deadline/2026-11-25T06:00:00+01:00")


def test_function_that_fails_is_called_again() -> None:
    calls: list[int] = []

    @deadline_sensor(job=nightly, within=timedelta(hours=12))
    def alert() -> None:
        calls.append(1)
        if len(calls) == 1:
            raise ConnectionError("down")

    instance = TreadleInstance([alert])
    with pytest.raises(SensorEvaluationError, match="down"):
        instance.reach_deadline(SIX)

    assert instance.reach_deadline(SIX)["alert"].outcome.decision == "SUCCESS"


def test_function_may_start_a_run_or_say_why_not() -> None:
    @deadline_sensor(job=nightly, within=timedelta(hours=12), request_job=repair)
    def fix(context: DeadlineSensorContext) -> RunRequest | SkipReason:
        if context.deadline.hour != 6:
            return SkipReason("not at night")
        return RunRequest(run_key=context.deadline.isoformat())

    instance = TreadleInstance([fix])
    [run] = instance.reach_deadline(SIX)["fix"].runs
    skipped = instance.reach_deadline(SIX + timedelta(hours=1))["fix"].outcome

    assert (run.job, skipped.reason) == ("repair", "not at night")


ZONES = ("Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Africa/Casablanca", "UTC")
CHANGES = (  # Moments around which one of the zones' clocks change; Casablanca's do around Ramadan.
    datetime(2026, 3, 29, 1, tzinfo=UTC),
    datetime(2026, 10, 25, 1, tzinfo=UTC),
    datetime(2026, 3, 8, 7, tzinfo=UTC),
    datetime(2026, 11, 1, 6, tzinfo=UTC),
    datetime(2026, 4, 4, 15, tzinfo=UTC),
    datetime(2026, 10, 3, 15, 30, tzinfo=UTC),
    datetime(2026, 2, 15, 2, tzinfo=UTC),
    datetime(2026, 3, 22, 2, tzinfo=UTC),
)


@settings(max_examples=80, deadline=None)
@given(
    zone=st.sampled_from(ZONES),
    change=st.sampled_from(CHANGES),
    minutes=st.integers(-180, 180),
    within=st.integers(1, 1_500),
    before=st.integers(-30, 1_600),
)
def test_window_is_as_long_as_it_says_whatever_clocks_do_in_it(
    zone: str, change: datetime, minutes: int, within: int, before: int
) -> None:
    deadline = change + timedelta(minutes=minutes)
    ended = deadline - timedelta(minutes=before)
    missed: list[DeadlineSensorContext] = []

    @deadline_sensor(job=nightly, within=timedelta(minutes=within))
    def watch(context: DeadlineSensorContext) -> None:
        missed.append(context)

    instance = TreadleInstance([evening, watch], start=ended - timedelta(minutes=1))
    [run] = instance.tick_now("evening").runs
    instance.clock.time = int(ended.timestamp() * 1000)
    instance.finish_run(run)
    instance.clock.time = int((deadline + timedelta(hours=1)).timestamp() * 1000)
    instance.reach_deadline(deadline.astimezone(ZoneInfo(zone)))

    assert bool(missed) is not (0 <= before < within)
    if missed:
        window = deadline - missed[0].since.astimezone(UTC)
        assert window == timedelta(minutes=within)


@pytest.mark.parametrize("later", [99, 100, 1_050])
@pytest.mark.many
def test_success_in_time_is_found_behind_any_number_of_later_ones(later: int) -> None:
    instance, run = deployed()
    instance.finish_run(run)
    at_deadline = int(SIX.timestamp() * 1000)
    record = instance.runs()[0]
    for number in range(later):
        end = at_deadline + 1 + number
        name = f"{number:08d}"
        instance._tables.runs[name] = replace(
            record, run_id=name, created_at=end - 5, ended_at=end, updated_at=end
        )

    assert pass_six(instance).startswith("Job nightly succeeded at ")
    assert seen == []


def test_all_successes_are_read_before_it_is_reported_that_none_was_in_time() -> None:
    instance, run = deployed()
    instance.clock.time = int(SIX.timestamp() * 1000) + 1
    instance.finish_run(run)
    record = instance.runs()[0]
    for number in range(250):
        name, end = f"{number:08d}", int(SIX.timestamp() * 1000) + 2
        instance._tables.runs[name] = replace(record, run_id=name, ended_at=end, updated_at=end)

    assert "has not succeeded" in pass_six(instance)


def test_deadline_without_a_time_zone_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"The deadline is .*, which has no time zone"):
        TreadleInstance([late]).reach_deadline(datetime(2026, 11, 25, 6))  # noqa: DTZ001


@pytest.mark.parametrize("time", [datetime.min, datetime(1969, 12, 31), datetime.max])  # noqa: DTZ001, DTZ901
def test_times_that_cannot_be_kept_are_refused(time: datetime) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="; it must be from 1970 to 9998"):
        TreadleInstance([late]).reach_deadline(time.replace(tzinfo=UTC))
    with pytest.raises(DagsterInvalidDefinitionError, match=r"start is .*; it must be from 1970 to 9998"):
        TreadleInstance([late], start=time.replace(tzinfo=UTC))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"within": 3_600}, "within must be a timedelta, such as"),
        ({"within": None}, "within must be a timedelta, such as"),
        ({"within": timedelta.max}, "within must be longer than zero and at most 3660 days"),
        ({"within": timedelta(hours=1), "grace": 300}, "grace must be a timedelta, such as"),
    ],
)
def test_lengths_of_time_are_checked(options: dict[str, Any], message: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=message):
        deadline_sensor(job=nightly, name="late", **options)(lambda: None)


def test_definition_reports_all_problems_at_once() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"within must.*; grace must be 0 to 15"):
        deadline_sensor(job=nightly, within=timedelta(0), grace=timedelta(hours=1))(lambda: None)


def test_tick_of_the_schedule_evaluates_nothing() -> None:
    data = late.evaluate_tick(build_sensor_context(sensor_name="late"))

    assert data.skip_message == "Sensor late evaluates deadlines, not ticks."
