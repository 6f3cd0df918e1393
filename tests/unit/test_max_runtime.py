"""The maximum runtime of a run: which tags state it, and how a run that exceeds it is canceled and ends."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from tests.support.engine import ARN, JOB, EngineHarness, sensor_of, tagged_job
from tests.support.launching import NOON, RUN_ID, launch, queue_run
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchRejectedError,
)
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.max_runtime import MAX_RUNTIME_TAG, max_runtime_ms, max_runtime_problem
from treadle.definitions.results import RunRequest
from treadle.definitions.retries import RetryPolicy
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.attempts import queue_next_attempt
from treadle.engine.outcomes import Decision
from treadle.engine.reconcile.reconciler import Reconciled
from treadle.engine.record.max_runtime import (
    CANCEL_AGAIN_MS,
    LEAST_OFTEN_MS,
    cancellation_answered,
    cancellation_requested,
)
from treadle.engine.record.run_state import LAUNCH_DUE_MS, OVERDUE_MS, Report, fold
from treadle.engine.tick.evaluation import Budget
from treadle.model.runs import Cancellation, Failure, Run
from treadle.model.targets import Execution, StartContract
from treadle.operate.explanation import describe_run
from treadle.testing.targets import InMemoryTarget

EXTERNAL_ID = f"{ARN}:{RUN_ID}-1"
LIMIT = 90_000
OVER = NOON + LIMIT
CAUSE = "The run exceeded its maximum runtime of 90 seconds, which was over at 2026-11-22T18:01:30.000Z."
EXCEEDED = Failure("MaxRuntimeExceededError", CAUSE)


class SlowTarget(InMemoryTarget):
    """A target that accepts a cancellation, and ends the execution when the test does."""

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        self._assume(f"cancel {external_id}")


class SilentTarget(SlowTarget):
    """A target that accepts a cancellation, and denies queries."""

    def describe(self, external_id: str, role: str = "") -> Execution:
        raise LaunchDeniedError(f"{external_id} could not be described: AccessDenied")


class StubbornTarget(InMemoryTarget):
    """A target that refuses to cancel."""

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        raise LaunchDelayedError(f"{external_id} could not be stopped: ThrottlingException: slow down.")


def started(harness: EngineHarness, **tags: str) -> Run:
    """Return a run that has just started, with a maximum runtime of 90 seconds."""
    run = replace(queue_run(harness), tags={MAX_RUNTIME_TAG: "90"} | tags)
    harness.tables.runs[RUN_ID] = run
    launch(harness)
    return harness.only_run()


def pass_at(harness: EngineHarness, time: int) -> Reconciled:
    """Run RECONCILE at a time."""
    harness.clock.time = time
    return harness.reconciler().reconcile(50)


def canceled(harness: EngineHarness) -> None:
    """End the execution at its target, and record its event."""
    failure = Failure("Canceled", "Canceled by an operator of Treadle.")
    harness.target.finish(EXTERNAL_ID, Status.CANCELED, failure)
    change = harness.change(harness.only_run(), Status.CANCELED, failure=failure)
    harness.recorder().record(change)


# ---- Tags


@pytest.mark.parametrize(
    ("tags", "expected"),
    [
        ({}, None),
        ({"dagster/max_runtime": "90"}, 90_000),
        ({"dagster/max_runtime": "0.25"}, 250),
        ({"dagster/max_runtime": "0.0001"}, 1),
        ({"dagster/max_runtime_seconds": "90"}, 90_000),
        ({"dagster/max_runtime": "1", "dagster/max_runtime_seconds": "2"}, 1_000),
        ({"dagster/max_runtime": "", "dagster/max_runtime_seconds": "2"}, 2_000),
        ({"dagster/max_runtime": "0"}, None),
        ({"dagster/max_runtime": "1h"}, None),
    ],
)
def test_maximum_runtime_is_read_as_dagster_reads_it(tags: Mapping[str, str], expected: int | None) -> None:
    assert max_runtime_ms(tags) == expected


@pytest.mark.parametrize("stated", ["1h", "-1", "nan", "inf", " ", "1e999", "1e308"])
@pytest.mark.parametrize("name", ["dagster/max_runtime", "dagster/max_runtime_seconds"])
def test_what_is_not_a_number_of_seconds_is_a_problem(name: str, stated: str) -> None:
    problem = max_runtime_problem({name: stated})

    assert problem == (
        f"Tag {name} is invalid: {stated!r} is not a number of seconds. Use a positive number, such as 3600."
    )


def test_job_with_an_invalid_tag_fails_the_import() -> None:
    with pytest.raises(
        DagsterInvalidDefinitionError, match=r"Job load has an invalid tag\. Tag dagster/max_runtime"
    ):
        JobDefinition("load", tags={"dagster/max_runtime": "soon"})


def test_request_with_an_invalid_tag_is_rejected_and_the_others_start(harness: EngineHarness) -> None:
    def requests() -> list[RunRequest]:
        return [
            RunRequest("a", tags={MAX_RUNTIME_TAG: "soon"}),
            RunRequest("b", tags={MAX_RUNTIME_TAG: "60"}),
        ]

    harness.leased(sensor_of(requests)).tick(harness.clock.now(), Budget())

    [tick] = harness.tick_records()
    assert [request.run_key for request in tick.requests] == ["b"]
    [rejected] = tick.rejected
    assert rejected.reason == max_runtime_problem({MAX_RUNTIME_TAG: "soon"})


def test_request_overrides_the_maximum_runtime_of_its_job(harness: EngineHarness) -> None:
    definition = sensor_of(
        lambda: RunRequest(tags={MAX_RUNTIME_TAG: "60"}),
        jobs=[tagged_job(**{MAX_RUNTIME_TAG: "90"})],
        job=None,
    )

    harness.leased(definition).tick(harness.clock.now(), Budget())

    [tick] = harness.tick_records()
    assert max_runtime_ms(tick.requests[0].tags) == 60_000


# ---- When


def test_run_is_checked_when_its_maximum_runtime_is_over(harness: EngineHarness) -> None:
    assert started(harness).next_at == OVER


def test_runtime_counts_from_the_targets_start(harness: EngineHarness) -> None:
    started(harness)
    harness.clock.advance(5)

    harness.recorder().record(harness.change(harness.only_run(), Status.STARTED, started_at=NOON - 10_000))

    assert harness.only_run().next_at == OVER - 10_000


def test_long_maximum_runtime_leaves_the_hourly_check(harness: EngineHarness) -> None:
    started(harness, **{MAX_RUNTIME_TAG: "7000"})
    assert pass_at(harness, NOON + LAUNCH_DUE_MS) == Reconciled()
    assert harness.only_run().next_at == NOON + OVERDUE_MS

    assert pass_at(harness, NOON + OVERDUE_MS) == Reconciled(described=1)

    assert harness.only_run().next_at == NOON + 7_000_000


def test_run_that_ended_in_time_is_not_canceled(harness: EngineHarness) -> None:
    started(harness)
    harness.clock.time = OVER - 1
    harness.target.finish(EXTERNAL_ID, Status.SUCCESS)

    assert pass_at(harness, OVER + 60_000) == Reconciled(described=1)

    assert (harness.only_run().status, harness.only_run().cancellations) == (Status.SUCCESS, ())


def test_run_without_the_tag_is_never_canceled(harness: EngineHarness) -> None:
    started(harness, **{MAX_RUNTIME_TAG: ""})

    assert pass_at(harness, NOON + OVERDUE_MS) == Reconciled(described=1)

    assert harness.only_run().status is Status.STARTED


# ---- The cancellation, and the end


def test_run_over_its_maximum_runtime_is_canceled_and_fails_with_that_reason(harness: EngineHarness) -> None:
    started(harness)

    assert pass_at(harness, OVER) == Reconciled(described=1, timed_out=1)

    assert harness.target.executions[EXTERNAL_ID].status is Status.CANCELED
    assert harness.only_run().status is Status.CANCELING
    canceled(harness)
    run = harness.only_run()
    assert (run.status, run.failure, run.ended_at, run.next_at) == (Status.FAILURE, EXCEEDED, OVER, None)
    assert Status.CANCELED not in run.reached["1/0"]
    assert describe_run(run, OVER) == (
        f"Run {RUN_ID} failed at 2026-11-22T18:01:30.000Z: MaxRuntimeExceededError: {CAUSE}"
    )


def test_end_that_recon_queries_has_the_reason_too(harness: EngineHarness) -> None:
    """The target's event was lost."""
    started(harness)
    pass_at(harness, OVER)

    assert pass_at(harness, OVER + CANCEL_AGAIN_MS) == Reconciled(described=1)

    assert (harness.only_run().status, harness.only_run().failure) == (Status.FAILURE, EXCEEDED)


def test_success_that_comes_in_between_remains_a_success(harness: EngineHarness) -> None:
    harness.target = SlowTarget(harness.clock)
    started(harness)
    pass_at(harness, OVER)
    harness.clock.advance(1)
    harness.target.finish(EXTERNAL_ID, Status.SUCCESS)

    assert pass_at(harness, OVER + CANCEL_AGAIN_MS) == Reconciled(described=1)

    assert (harness.only_run().status, harness.only_run().failure) == (Status.SUCCESS, None)


def test_event_that_comes_after_the_next_attempt_has_begun_does_not_change_the_end(
    harness: EngineHarness,
) -> None:
    started(harness)
    pass_at(harness, OVER)
    pass_at(harness, OVER + CANCEL_AGAIN_MS)
    failed = harness.only_run()
    harness.tables.runs[RUN_ID] = queue_next_attempt(failed, harness.clock.now())

    harness.recorder().record(harness.change(failed, Status.CANCELED))

    assert harness.only_run().reached["1/0"] == failed.reached["1/0"]
    assert harness.only_run().status is Status.QUEUED


def test_cancellation_by_somebody_else_remains_one(harness: EngineHarness) -> None:
    started(harness)
    harness.clock.time = OVER - 1

    canceled(harness)

    assert harness.only_run().status is Status.CANCELED


def test_run_that_an_operator_cancels_is_not_ended_for_its_maximum_runtime(harness: EngineHarness) -> None:
    """A run that its retry policy would start again stays canceled."""
    harness.target = SlowTarget(harness.clock)
    started(harness, **RetryPolicy().tags)
    harness.clock.time = OVER - 1
    harness.recorder().record(harness.change(harness.only_run(), Status.CANCELING))

    assert pass_at(harness, OVER + OVERDUE_MS) == Reconciled(described=1)
    canceled(harness)

    run = harness.only_run()
    assert (run.status, run.cancellations, run.retry_at) == (Status.CANCELED, (), None)


def test_target_that_does_not_end_the_run_is_requested_again_and_ever_less_often(
    harness: EngineHarness,
) -> None:
    harness.target = SlowTarget(harness.clock)
    started(harness)
    time, waits = OVER, []
    for number in range(1, 12):
        assert pass_at(harness, time) == Reconciled(described=1, timed_out=number == 1)
        assert harness.target.roles.count(f"cancel {EXTERNAL_ID}") == number
        next_at = harness.only_run().next_at
        assert next_at is not None
        waits.append((next_at - time) // 1000)
        time = next_at

    assert waits == [60, 60, 120, 240, 480, 960, 1920, 3600, 3600, 3600, 3600]
    assert LEAST_OFTEN_MS == 3_600_000
    assert len(harness.only_run().cancellations) == 1


def test_target_that_refuses_is_reported_at_each_check(harness: EngineHarness) -> None:
    harness.target = StubbornTarget(harness.clock)
    started(harness)

    assert pass_at(harness, OVER) == Reconciled(described=1, timed_out=1, not_canceled=1)
    assert pass_at(harness, OVER + CANCEL_AGAIN_MS) == Reconciled(described=1, not_canceled=1)

    run = harness.only_run()
    assert run.status is Status.STARTED
    [cancellation] = run.cancellations
    assert cancellation.refused == f"{EXTERNAL_ID} could not be stopped: ThrottlingException: slow down."
    assert describe_run(run, harness.clock.now()) == (
        f"Run {RUN_ID} is to end, as {EXTERNAL_ID}. {CAUSE} Its target refuses the request to stop: "
        f"{EXTERNAL_ID} could not be stopped: ThrottlingException: slow down. The request to stop is sent again "
        "at 2026-11-22T18:03:30.000Z."
    )


def test_run_whose_target_cannot_be_queried_is_canceled_too(harness: EngineHarness) -> None:
    """For a day of denials, or a week of errors, the run would exceed its maximum runtime otherwise."""
    harness.target = SilentTarget(harness.clock)
    started(harness)

    assert pass_at(harness, OVER) == Reconciled(failed=1, timed_out=1)
    assert harness.only_run().next_at == OVER + CANCEL_AGAIN_MS
    assert pass_at(harness, OVER + CANCEL_AGAIN_MS) == Reconciled(failed=1)

    assert harness.target.roles.count(f"cancel {EXTERNAL_ID}") == 2
    assert describe_run(harness.only_run(), harness.clock.now()) == (
        f"Run {RUN_ID} is to end, as {EXTERNAL_ID}. {CAUSE} Queries of its target have failed since "
        f"2026-11-22T18:01:30.000Z: {EXTERNAL_ID} could not be described: AccessDenied. The request to stop is sent "
        "again at 2026-11-22T18:03:30.000Z."
    )
    canceled(harness)
    assert (harness.only_run().status, harness.only_run().failure) == (Status.FAILURE, EXCEEDED)


def test_run_on_an_unknown_target_is_not_shown_as_being_canceled(harness: EngineHarness) -> None:
    started(harness)
    harness.clock.time = OVER

    assert harness.reconciler(targets={}).reconcile(50) == Reconciled(failed=1)

    assert harness.only_run().cancellations == ()


def test_target_that_recovers_ends_the_run(harness: EngineHarness) -> None:
    harness.target = StubbornTarget(harness.clock)
    started(harness)
    pass_at(harness, OVER)
    accepting = InMemoryTarget(harness.clock, executions=harness.target.executions)
    harness.target = accepting

    assert pass_at(harness, OVER + CANCEL_AGAIN_MS) == Reconciled(described=1)

    [cancellation] = harness.only_run().cancellations
    assert (cancellation.refused, cancellation.at) == ("", OVER)


def test_redriven_execution_is_measured_from_its_own_start(harness: EngineHarness) -> None:
    started(harness)
    pass_at(harness, OVER)
    canceled(harness)
    later = OVER + 1_000_000
    harness.clock.time = later

    harness.recorder().record(harness.change(harness.only_run(), Status.STARTED, retry=1, started_at=later))
    harness.target.executions[EXTERNAL_ID] = Execution(EXTERNAL_ID, ARN, Status.STARTED, later, retry=1)
    assert harness.only_run().next_at == later + LIMIT

    assert pass_at(harness, later + LIMIT) == Reconciled(described=1, timed_out=1)
    assert [(each.attempt, each.retry) for each in harness.only_run().cancellations] == [(1, 0), (1, 1)]


def test_only_the_last_ten_cancellations_are_kept() -> None:
    run = Run(RUN_ID, JOB, "watch", "k", "tick", "{}", {MAX_RUNTIME_TAG: "1"}, NOON)

    for attempt in range(1, 13):
        run = fold(run, Report(attempt, Status.STARTED, NOON))
        run = cancellation_requested(run, NOON + 1_000)
        run = fold(run, Report(attempt, Status.CANCELED, NOON + 1_000))
        assert run.status is Status.FAILURE

    assert [each.attempt for each in run.cancellations] == list(range(3, 13))


def test_request_is_repeated_a_minute_later_unless_the_run_has_ended() -> None:
    """The process may end before the target's response, and the response may come after the end."""
    run = Run(RUN_ID, JOB, "watch", "k", "tick", "{}", {MAX_RUNTIME_TAG: "1"}, NOON)
    run = fold(run, Report(1, Status.STARTED, NOON))

    requested = cancellation_requested(run, NOON + 1_000)
    ended = fold(requested, Report(1, Status.CANCELED, NOON + 1_000))

    assert requested.next_at == NOON + 61_000
    assert cancellation_answered(ended, "", NOON + 2_000) == ended


def test_long_refusal_is_truncated() -> None:
    assert len(Cancellation(1, 0, "E", "c", NOON, "x" * 100_000).refused) < 5_000


# ---- Targets that cannot be stopped


def test_run_with_a_maximum_runtime_is_not_started_where_it_cannot_be_enforced(
    harness: EngineHarness,
) -> None:
    harness.target.contract = StartContract(describes=False)
    harness.tables.runs[RUN_ID] = replace(queue_run(harness), tags={MAX_RUNTIME_TAG: "90"})

    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, run.status, harness.target.starts) == (Decision.FAILURE, Status.FAILURE, [])
    assert run.failure is not None
    assert run.failure.error == LaunchRejectedError.__name__
    assert "which cannot be enforced" in run.failure.cause
    assert run.replaceable_request_digest is not None


def test_such_a_target_starts_runs_without_one(harness: EngineHarness) -> None:
    harness.target.contract = StartContract(describes=False)
    queue_run(harness)

    assert launch(harness).decision is Decision.LAUNCHED


def test_cancellation_of_one_attempt_says_nothing_of_another(harness: EngineHarness) -> None:
    started(harness)
    pass_at(harness, OVER)
    canceled(harness)
    harness.tables.runs[RUN_ID] = queue_next_attempt(harness.only_run(), harness.clock.now())
    launch(harness, attempt=2)

    harness.recorder().record(harness.change(harness.only_run(), Status.CANCELED))

    assert (harness.only_run().attempt, harness.only_run().status) == (2, Status.CANCELED)
