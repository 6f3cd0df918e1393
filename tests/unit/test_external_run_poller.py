"""The poller of external runs: executions whose events were lost are listed and recorded."""

from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.engine import ARN, JOB, JOBS, RUN_IDS, EngineHarness
from tests.support.launching import NOON, RUN_ID, launch, queue_run
from treadle.definitions.errors import LaunchDelayedError, LaunchDeniedError, StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.reconcile.external_run_poller import MEMORY_MS, OVERLAP_MS, POLL_MS
from treadle.engine.reconcile.reconciler import Reconciled
from treadle.engine.record.recorder import StatusChange
from treadle.engine.record.run_state import OVERDUE_MS
from treadle.model.runs import Failure, PollCheckpoint, Run
from treadle.model.targets import Execution, JobSettings, Listed, StartContract
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.system import VirtualClock
from treadle.testing.targets import InMemoryTarget

NOTHING = Reconciled()
OTHER = "another_job"
REPORTED = Failure("States.TaskFailed", "no such file")


@pytest.fixture
def observing(harness: EngineHarness) -> EngineHarness:
    """An engine whose only job has external runs."""
    harness.observed = frozenset({JOB})
    return harness


def by_hand(harness: EngineHarness, name: str = "by-hand", *, began: int = NOON, arn: str = ARN) -> str:
    """Return an execution that somebody else started; its id."""
    external_id = f"{arn}:{name}"
    harness.target.executions[external_id] = Execution(
        external_id, arn, Status.STARTED, began, launch_id=name
    )
    return external_id


def pass_over(harness: EngineHarness, seconds: float = 50) -> Reconciled:
    """Run one pass."""
    return harness.reconciler().reconcile(seconds)


def observed_run(harness: EngineHarness, external_id: str) -> Run:
    """Return the run that stands for an execution."""
    return harness.tables.runs[RUN_IDS.observed("step_functions", external_id)]


def recorded(harness: EngineHarness) -> set[str | None]:
    """Return the executions that have a record."""
    return {run.external_id for run in harness.tables.runs.values()}


class BrokenTarget(InMemoryTarget):
    """A target that does not describe some executions, or lists none of some jobs."""

    broken: frozenset[str] = frozenset()
    error: Exception = LaunchDelayedError("throttled")

    def describe(self, external_id: str, role: str = "") -> Execution:
        if external_id in self.broken:
            raise self.error
        return super().describe(external_id, role)

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        if settings.arn in self.broken:
            msg = "not allowed"
            raise LaunchDeniedError(msg)
        return super().recent(settings, since)


def breaking(harness: EngineHarness, *broken: str) -> BrokenTarget:
    """Return the engine's target, some of which is broken."""
    target = BrokenTarget(harness.clock, executions=harness.target.executions)
    target.broken = frozenset(broken)
    harness.target = target
    return target


def test_executions_of_others_whose_events_were_lost_are_recorded(observing: EngineHarness) -> None:
    running, failed = by_hand(observing), by_hand(observing, "second")
    observing.target.finish(failed, Status.FAILURE, REPORTED)

    assert pass_over(observing) == Reconciled(observed=2)

    first, second = observed_run(observing, running), observed_run(observing, failed)
    assert (first.status, first.job, first.created_at) == (Status.STARTED, JOB, NOON)
    assert (second.status, second.failure) == (Status.FAILURE, REPORTED)


def test_event_after_the_listing_finds_the_same_run(observing: EngineHarness) -> None:
    external_id = by_hand(observing)
    pass_over(observing)

    observing.recorder().record(
        StatusChange("step_functions", "by-hand", external_id, ARN, Status.SUCCESS, NOON + 9)
    )

    run = observing.only_run()
    assert (run.run_id, run.status) == (RUN_IDS.observed("step_functions", external_id), Status.SUCCESS)


def test_target_is_scanned_every_ten_minutes(observing: EngineHarness) -> None:
    pass_over(observing)
    observing.clock.time += POLL_MS - 1
    external_id = by_hand(observing, began=observing.clock.time)

    assert pass_over(observing) == NOTHING
    observing.clock.time += 1
    assert pass_over(observing) == Reconciled(observed=1)
    assert observed_run(observing, external_id).status is Status.STARTED


def test_each_poll_begins_a_quarter_of_an_hour_before_the_last_one(observing: EngineHarness) -> None:
    """A listing may lag: what it did not show is still seen by the next poll."""
    pass_over(observing)
    late = by_hand(observing, "late", began=NOON - OVERLAP_MS)
    by_hand(observing, "old", began=NOON - OVERLAP_MS - 1)
    observing.clock.time += POLL_MS

    assert pass_over(observing) == Reconciled(observed=1)
    assert recorded(observing) == {late}


def test_job_that_was_not_checked_for_long_brings_a_week_of_its_past(observing: EngineHarness) -> None:
    pass_over(observing)
    observing.clock.time += 2 * MEMORY_MS
    by_hand(observing, "forgotten", began=observing.clock.time - MEMORY_MS - 1)
    kept = by_hand(observing, "kept", began=observing.clock.time - MEMORY_MS)

    pass_over(observing)

    assert recorded(observing) == {kept}


def test_runs_of_ours_and_what_is_recorded_already_are_no_news(observing: EngineHarness) -> None:
    queue_run(observing)
    launch(observing)
    by_hand(observing)
    assert pass_over(observing) == Reconciled(observed=1)
    before = dict(observing.tables.runs)
    observing.clock.time += POLL_MS

    assert pass_over(observing) == NOTHING
    assert observing.tables.runs == before
    assert len(before) == 2
    assert RUN_ID in before


def test_end_that_was_lost_is_listed_however_long_the_execution_ran(observing: EngineHarness) -> None:
    external_id = by_hand(observing)
    pass_over(observing)
    observing.clock.time += 4 * POLL_MS
    pass_over(observing)
    observing.target.finish(external_id, Status.SUCCESS)
    observing.clock.time += POLL_MS

    assert observing.clock.time < NOON + OVERDUE_MS
    assert pass_over(observing) == Reconciled(observed=1)
    assert observed_run(observing, external_id).status is Status.SUCCESS


def test_engine_without_observed_jobs_queries_nothing(harness: EngineHarness) -> None:
    by_hand(harness)
    target = breaking(harness, ARN)

    assert pass_over(harness) == NOTHING
    assert (harness.tables.runs, harness.tables.poll_checkpoints, target.starts) == ({}, {}, [])


def test_target_that_refuses_its_listing_is_queried_again_and_nothing_is_missed(
    observing: EngineHarness,
) -> None:
    target = breaking(observing, ARN)
    assert pass_over(observing) == Reconciled(failed=1)
    external_id = by_hand(observing)
    target.broken = frozenset()

    assert pass_over(observing) == NOTHING
    observing.clock.time += OVERLAP_MS + POLL_MS
    assert pass_over(observing) == Reconciled(observed=1)
    assert recorded(observing) == {external_id}


def test_refusal_of_one_target_does_not_hold_up_the_others(observing: EngineHarness) -> None:
    other = JobSettings(OTHER, "step_functions", f"{ARN}-other", "OtherArn")
    observing.jobs, observing.observed = {**JOBS, OTHER: other}, frozenset({JOB, OTHER})
    breaking(observing, other.arn)
    external_id = by_hand(observing)

    assert pass_over(observing) == Reconciled(observed=1, failed=1)
    assert recorded(observing) == {external_id}


@pytest.mark.parametrize(
    "error", [LaunchDelayedError("throttled"), KeyError("RESTING")], ids=["expected", "unexpected"]
)
def test_one_execution_that_cannot_be_queried_holds_up_none_and_comes_again(
    observing: EngineHarness, error: Exception
) -> None:
    """I10."""
    older, bad = by_hand(observing, "older"), by_hand(observing, "bad", began=NOON + 1)
    target = breaking(observing, bad)
    target.error = error

    assert pass_over(observing) == Reconciled(observed=1, failed=1)
    assert recorded(observing) == {older}
    newer = by_hand(observing, "newer", began=NOON + OVERLAP_MS + POLL_MS)
    observing.clock.time = NOON + OVERLAP_MS + POLL_MS
    assert pass_over(observing) == Reconciled(observed=1, failed=1)
    assert recorded(observing) == {older, newer}
    target.broken = frozenset()
    observing.clock.time += OVERLAP_MS + POLL_MS
    assert pass_over(observing) == Reconciled(observed=1)
    assert recorded(observing) == {older, newer, bad}


def test_reason_that_the_target_did_not_report_at_once_is_requested_again(observing: EngineHarness) -> None:
    external_id = by_hand(observing)
    pass_over(observing)
    observing.target.finish(external_id, Status.FAILURE, REPORTED)
    target = breaking(observing, external_id)
    observing.clock.time += POLL_MS

    assert pass_over(observing) == Reconciled(failed=1)
    assert (observing.only_run().status, observing.only_run().failure) == (Status.FAILURE, None)
    target.broken = frozenset()
    observing.clock.time += POLL_MS
    assert pass_over(observing) == Reconciled(observed=1)
    assert observing.only_run().failure == REPORTED


class SlowTarget(InMemoryTarget):
    """A target that takes ten seconds to describe an execution."""

    clock: VirtualClock

    def describe(self, external_id: str, role: str = "") -> Execution:
        self.clock.advance(10)
        return super().describe(external_id, role)


def test_poll_that_runs_out_of_time_is_continued_where_it_stopped(observing: EngineHarness) -> None:
    observing.target = SlowTarget(observing.clock)
    for number in range(5):
        by_hand(observing, f"e{number}", began=NOON + number)

    first = pass_over(observing, 15)
    stopped = observing.tables.poll_checkpoints[JOB]
    second, third = pass_over(observing, 25), pass_over(observing, 25)

    assert (first.observed, first.is_complete) == (2, False)
    assert stopped == PollCheckpoint(done_at=NOON, again_at=NOON, began_at=NOON, down_to=NOON + 3)
    assert second == Reconciled(observed=3)
    assert third == NOTHING
    assert len(observing.tables.runs) == 5


def test_what_begins_during_a_poll_is_seen_by_the_next_one(observing: EngineHarness) -> None:
    observing.target = SlowTarget(observing.clock)
    for number in range(3):
        by_hand(observing, f"e{number}", began=NOON + number)
    pass_over(observing, 15)
    observing.clock.advance(OVERLAP_MS / 1000)
    meanwhile = by_hand(observing, "meanwhile", began=observing.clock.time)

    assert pass_over(observing) == Reconciled(observed=1)
    assert observing.tables.poll_checkpoints[JOB].done_at == NOON
    assert meanwhile not in recorded(observing)
    observing.clock.time += POLL_MS
    assert pass_over(observing) == Reconciled(observed=1)
    assert meanwhile in recorded(observing)


def test_job_that_takes_all_the_time_lets_the_others_go_first_next_time(observing: EngineHarness) -> None:
    other = JobSettings(OTHER, "step_functions", f"{ARN}-other", "OtherArn")
    observing.jobs, observing.observed = {**JOBS, OTHER: other}, frozenset({JOB, OTHER})
    observing.target = SlowTarget(observing.clock)
    for arn in (ARN, other.arn):
        for number in range(5):
            by_hand(observing, f"e{number}", began=NOON + number, arn=arn)

    polls = observing.tables.poll_checkpoints
    reached = []
    for _ in range(3):
        assert not pass_over(observing, 15).is_complete
        reached.append({job: (poll.down_to or 0) - NOON for job, poll in polls.items()})

    assert reached == [{OTHER: 3}, {OTHER: 3, JOB: 3}, {OTHER: 1, JOB: 3}]


def test_store_that_does_not_keep_a_poll_holds_up_no_other_job(observing: EngineHarness) -> None:
    other = JobSettings(OTHER, "step_functions", f"{ARN}-other", "OtherArn")
    observing.jobs, observing.observed = {**JOBS, OTHER: other}, frozenset({JOB, OTHER})
    external_id = by_hand(observing)

    class ForgetfulStore(InMemoryRunStore):
        def put_poll_checkpoint(self, job: str, poll: PollCheckpoint) -> None:
            if job == OTHER:
                msg = "throttled"
                raise StoreError(msg)
            super().put_poll_checkpoint(job, poll)

    poller = observing.poller()
    poller._runs = ForgetfulStore(observing.tables)

    watched = poller.watch(NOON + 50_000)

    assert (watched.recorded, watched.failed) == (1, 1)
    assert recorded(observing) == {external_id}
    assert observing.tables.poll_checkpoints.keys() == {JOB}


def test_kind_that_lists_nothing_is_named_and_left_out(
    observing: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    observing.target.contract = StartContract()
    by_hand(observing)

    assert pass_over(observing) == NOTHING
    assert (
        f"Job {JOB} is observed by events only: step_functions executions cannot be listed" in caplog.messages
    )


def test_run_is_named_alike_by_event_and_by_listing_where_the_job_is_a_bare_name(
    harness: EngineHarness,
) -> None:
    """Glue's events contain the account, a listing the address of the deployment."""
    harness.jobs = {"load": JobSettings("load", "glue", "load", "LoadName")}
    harness.observed = frozenset({"load"})
    full = "arn:aws:glue:us-east-1:123456789012:job/load"
    reported = Execution("load/jr_1", "load", Status.STARTED, NOON)
    harness.target.executions = {
        "load/jr_1": reported,
        f"{full}/jr_1": replace(reported, external_id=f"{full}/jr_1", target=full),
    }
    targets = {"glue": harness.target}
    recorder = harness.engine.recorder(harness.jobs, targets, harness.observed)

    watched = harness.engine.poller(harness.jobs, targets, harness.observed).watch(NOON + 50_000)
    recorder.record(StatusChange("glue", None, f"{full}/jr_1", full, Status.SUCCESS, NOON + 9))

    run = harness.only_run()
    assert watched.recorded == 1
    assert (run.run_id, run.external_id) == (RUN_IDS.observed("glue", f"{full}/jr_1"), f"{full}/jr_1")
    assert run.status is Status.SUCCESS


def test_observed_job_that_is_registered_later_is_scanned_from_then_on(
    observing: EngineHarness, caplog: pytest.LogCaptureFixture
) -> None:
    """The registry changes while the process lives; that a job is missing is said once."""
    observing.jobs = jobs = {}
    poller = observing.poller()
    for _ in range(2):
        assert poller.watch(NOON + 50_000).recorded == 0
    by_hand(observing)

    jobs[JOB] = JOBS[JOB]

    assert poller.watch(NOON + 50_000).recorded == 1
    assert caplog.messages == [f"Job {JOB} is observed but not registered"]
