"""The role that a job brings: with it every call to the target is made, and without it none is."""

from dataclasses import dataclass, replace
from typing import Any

import pytest

from tests.support.engine import ARN, JOB, JOBS, RUN_IDS, EngineHarness
from tests.support.launching import NOON, RUN_ID, launch, queue_run
from tests.support.moved_jobs import (
    ANYTHING,
    DENIED,
    HOUR,
    LISTED,
    MOVED,
    TOKENED,
    keep_launching,
    keep_reconciling,
    leave_pending_start,
    started,
    target_of,
)
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.launcher import DENIED_FOR_MS
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision
from treadle.engine.record.arns import role_of_start
from treadle.engine.record.run_state import OVERDUE_MS
from treadle.engine.record.unreachable_runs import DENIED_ENDS_MS
from treadle.model.deployment import CommandAnswer
from treadle.model.runs import PendingStart
from treadle.model.targets import JobSettings, StartContract
from treadle.operate.commands import Commands
from treadle.operate.runs import RunOperations
from treadle.testing.targets import NAMED, InMemoryTarget

ROLE = "arn:aws:iam::123456789012:role/treadle/main/us-east-1/job/process-1A"
NEXT = "arn:aws:iam::123456789012:role/treadle/main/us-east-1/job/process-2B"
NO_ROLE = LaunchDeniedError(f"Role {ROLE} could not be assumed: AccessDenied")
BUSY = LaunchDelayedError(f"Role {ROLE} could not be assumed: Throttling")
ANN = "ann"


def with_role(role: str, jobs: Any = None) -> Any:
    return {name: replace(each, role=role) for name, each in (jobs or JOBS).items()}


@pytest.fixture
def harness() -> EngineHarness:
    return EngineHarness(jobs=with_role(ROLE))


def test_run_is_started_with_the_role_of_its_job_and_its_record_says_so(harness: EngineHarness) -> None:
    queue_run(harness)

    launch(harness)

    run = harness.only_run()
    assert (run.status, harness.target.roles) == (Status.STARTED, [ROLE])
    assert run.pending_start is not None
    assert run.pending_start.role == ROLE


@pytest.mark.parametrize("refusal", [NO_ROLE, BUSY])
def test_role_that_cannot_be_assumed_leaves_no_pending_start(
    harness: EngineHarness, refusal: LaunchError
) -> None:
    queue_run(harness)
    harness.target.unassumed[ROLE] = refusal

    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, run.status, run.pending_start, run.claim) == (
        Decision.DELAYED,
        Status.QUEUED,
        None,
        None,
    )
    assert run.delayed is not None
    assert ROLE in run.delayed.reason
    assert harness.target.starts == []


def test_process_that_dies_where_a_role_was_refused_leaves_no_pending_start(harness: EngineHarness) -> None:
    """The claim names no address, so nobody searches there for a start that was never sent."""
    queue_run(harness)
    harness.target = target_of(harness, LISTED)
    harness.target.unassumed[ROLE] = NO_ROLE

    class Dead(KeyboardInterrupt):
        pass

    def dies(*_: object, **__: object) -> object:
        raise Dead

    launcher = harness.launcher()
    launcher._release = dies  # type: ignore[method-assign, assignment]
    with pytest.raises(Dead):
        launcher.launch(LaunchRequest(RUN_ID, 1, JOB), 30)
    left = harness.only_run()
    harness.target.unassumed.clear()
    assert left.claim is not None
    harness.clock.time = left.claim.expires_at + 1
    launch(harness)

    assert left.pending_start == PendingStart(left.claim.token, NOON, "", role="")
    assert len(harness.target.starts) == 1
    assert harness.only_run().status is Status.STARTED


class UnpreparedTarget(InMemoryTarget):
    """A target whose role is refused just before it is granted."""

    def prepare(self, settings: JobSettings) -> None:
        raise NO_ROLE


def test_start_whose_role_was_refused_is_not_sent_though_it_is_granted_by_now(harness: EngineHarness) -> None:
    """Nothing was noted of it, so that a lost answer would start it twice."""
    queue_run(harness)
    harness.target = UnpreparedTarget(harness.clock, ANYTHING)

    launch(harness)

    assert (harness.target.starts, harness.only_run().pending_start) == ([], None)


@pytest.mark.parametrize("contract", [NAMED, TOKENED, LISTED])
def test_pending_start_is_not_looked_up_before_its_role_is_granted(
    harness: EngineHarness, contract: StartContract
) -> None:
    """A denial of the query itself may say no more than that nothing is known, and would never count."""
    leave_pending_start(harness, contract)
    harness.target = UnpreparedTarget(harness.clock, contract)

    launch(harness)

    assert (harness.target.roles, harness.only_run().denied_at) == ([], harness.clock.now())


def test_denial_of_a_role_counts_as_long_as_one_of_its_target(harness: EngineHarness) -> None:
    queue_run(harness)
    harness.target.unassumed[ROLE] = NO_ROLE

    run = keep_launching(harness)

    assert run.failure is not None
    assert (run.status, run.failure.error) == (Status.FAILURE, "LaunchDeniedError")
    assert ROLE in run.failure.cause
    assert DENIED_FOR_MS < (run.ended_at or 0) - NOON < DENIED_FOR_MS + HOUR
    assert run.replaceable_request_digest is not None
    assert harness.target.starts == []


def test_sts_out_of_order_ends_no_run(harness: EngineHarness) -> None:
    queue_run(harness)
    harness.target.unassumed[ROLE] = BUSY

    waiting = keep_launching(harness, 50 * HOUR)
    harness.target.unassumed.clear()
    run = keep_launching(harness)

    assert (waiting.status, waiting.denied_at) == (Status.QUEUED, None)
    assert (run.status, len(harness.target.executions)) == (Status.STARTED, 1)


@pytest.mark.parametrize("contract", [NAMED, TOKENED, LISTED], ids=["name", "token", "listing"])
@pytest.mark.parametrize("refusal", [NO_ROLE, BUSY])
def test_pending_start_stays_pending_while_its_role_is_refused(
    harness: EngineHarness, refusal: LaunchError, contract: StartContract
) -> None:
    target = leave_pending_start(harness, contract)
    target.unassumed[ROLE] = refusal
    before = harness.only_run().pending_start

    launch(harness)
    refused = harness.only_run()
    target.unassumed.clear()
    run = keep_launching(harness, HOUR)

    assert (refused.status, refused.pending_start, refused.claim) == (Status.QUEUED, before, None)
    assert (run.status, len(target.executions)) == (Status.STARTED, 1)


def test_pending_start_whose_role_is_refused_for_a_day_is_unknown_and_keeps_its_key(
    harness: EngineHarness,
) -> None:
    target = leave_pending_start(harness, LISTED)
    target.unassumed[ROLE] = NO_ROLE
    at = harness.clock.now()

    run = keep_launching(harness)

    assert run.failure is not None
    assert (run.failure.error, run.replaceable_request_digest) == ("OutcomeUnknownError", None)
    assert harness.clock.now() - at > DENIED_ENDS_MS - HOUR


def test_replaced_role_of_a_job_that_stayed_is_used_for_what_was_started_with_the_old_one(
    harness: EngineHarness,
) -> None:
    target = leave_pending_start(harness)
    harness.jobs = with_role(NEXT)
    target.unassumed[ROLE] = NO_ROLE

    run = keep_launching(harness)
    harness.clock.time = run.next_at or 0
    harness.reconciler().reconcile(50)

    assert (run.status, len(target.executions)) == (Status.STARTED, 1)
    assert set(target.roles[1:]) == {NEXT}


def test_pending_start_of_a_job_that_has_moved_is_resolved_with_the_role_of_then(
    harness: EngineHarness,
) -> None:
    target = leave_pending_start(harness)
    harness.jobs = with_role(NEXT, MOVED)

    run = keep_launching(harness)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)
    assert set(target.roles) == {ROLE}


def test_pending_start_at_an_address_that_its_job_names_as_former_is_resolved_with_the_role_of_its_job(
    harness: EngineHarness,
) -> None:
    """That of then may be gone: what an entry names as former, its own role may query and start."""
    target = leave_pending_start(harness)
    harness.jobs = with_role(NEXT, {JOB: replace(MOVED[JOB], former=(ARN,))})
    target.unassumed[ROLE] = NO_ROLE

    run = keep_launching(harness)
    harness.clock.time = run.next_at or 0
    harness.reconciler().reconcile(50)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)
    assert set(target.roles[1:]) == {NEXT}


def test_pending_start_of_a_record_without_role_is_resolved_with_the_role_of_its_job(
    harness: EngineHarness,
) -> None:
    """Records of before: the engine's own permissions are gone, and a job's role keeps former addresses."""
    target = leave_pending_start(harness)
    pending_start = harness.only_run().pending_start
    assert pending_start is not None
    harness.tables.runs[RUN_ID] = replace(harness.only_run(), pending_start=replace(pending_start, role=None))
    harness.jobs = with_role(NEXT, MOVED)

    run = keep_launching(harness)
    harness.clock.time = run.next_at or 0
    harness.reconciler().reconcile(50)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)
    assert set(target.roles[1:]) == {NEXT}


def test_pending_start_does_not_wait_for_the_role_of_the_new_address(harness: EngineHarness) -> None:
    target = leave_pending_start(harness)
    harness.jobs = with_role(NEXT, MOVED)
    target.unassumed[NEXT] = LaunchDeniedError("no")

    assert launch(harness).decision is Decision.LAUNCHED


def test_job_whose_role_alone_changed_between_two_checks_is_started_with_the_new_one(
    harness: EngineHarness,
) -> None:
    queue_run(harness)
    target = target_of(harness)

    class Changing(dict[str, Any]):
        polls = 0

        def get(self, name: str, default: Any = None) -> Any:
            self.polls += 1
            return super().get(name, default) if self.polls == 1 else with_role(NEXT)[name]

    target.unassumed[ROLE] = NO_ROLE
    harness.jobs = Changing(with_role(ROLE))

    outcome = launch(harness)

    assert (outcome.decision, harness.only_run().denied_at) == (Decision.DELAYED, None)
    assert launch(harness).decision is Decision.LAUNCHED
    assert target.roles == [NEXT]


def test_job_without_role_is_started_with_the_engines_own_permissions(harness: EngineHarness) -> None:
    harness.jobs = JOBS
    queue_run(harness)

    launch(harness)

    assert harness.target.roles == [""]


@pytest.mark.parametrize("contract", [NAMED, TOKENED, LISTED, ANYTHING])
def test_denied_start_is_no_pending_start(harness: EngineHarness, contract: StartContract) -> None:
    queue_run(harness)
    target_of(harness, contract).start_walls[ARN] = DENIED

    launch(harness)

    assert harness.only_run().pending_start is None


# ---- Runs under way


def test_job_retired_with_unfinished_runs_ends_them_visibly(harness: EngineHarness) -> None:
    """Its role is gone with it, so nobody can say any more how they stand."""
    target = started(harness)
    harness.jobs = {}
    target.unassumed[ROLE] = NO_ROLE
    at = (harness.only_run().started_at or 0) + OVERDUE_MS

    keep_reconciling(harness)

    run = harness.only_run()
    assert run.failure is not None
    assert (run.status, run.failure.error) == (Status.FAILURE, "OutcomeUnknownError")
    assert run.ended_at == at + DENIED_ENDS_MS
    assert ROLE in run.failure.cause
    rerun = operations(harness).rerun(run.run_id, ANN)
    assert rerun.run.status is Status.QUEUED


def test_run_under_way_of_a_retired_job_is_checked_with_its_role_while_that_is_there(
    harness: EngineHarness,
) -> None:
    target = started(harness)
    harness.jobs = {}
    target.finish(harness.only_run().external_id or "", Status.SUCCESS)

    keep_reconciling(harness)

    assert harness.only_run().status is Status.SUCCESS
    assert target.roles[1:] == [ROLE]


def test_end_is_explained_with_the_role_of_the_job(harness: EngineHarness) -> None:
    target = started(harness)
    run = harness.only_run()
    target.finish(run.external_id or "", Status.FAILURE)

    harness.recorder().record(harness.change(run, Status.FAILURE))

    assert target.roles == [ROLE, ROLE]


def test_end_at_a_former_address_is_explained_with_the_role_of_its_start(harness: EngineHarness) -> None:
    target = started(harness)
    run = harness.only_run()
    target.finish(run.external_id or "", Status.FAILURE)
    harness.jobs = with_role(NEXT, MOVED)

    harness.recorder().record(harness.change(run, Status.FAILURE))

    assert target.roles == [ROLE, ROLE]


def test_end_at_an_address_that_a_job_names_as_former_is_explained_with_its_role(
    harness: EngineHarness,
) -> None:
    target = started(harness)
    run = harness.only_run()
    target.finish(run.external_id or "", Status.FAILURE)
    harness.jobs = with_role(NEXT, {JOB: replace(MOVED[JOB], former=(ARN,))})

    harness.recorder().record(harness.change(run, Status.FAILURE))

    assert target.roles == [ROLE, NEXT]


@pytest.mark.parametrize(
    ("pending_start", "former", "role"),
    [
        ("load", "arn:aws:glue:us-east-1:123456789012:job/load", NEXT),
        ("arn:aws:glue:us-east-1:123456789012:job/load", "load", NEXT),
        ("load", "arn:aws:batch:us-east-1:123456789012:job-definition/load", ROLE),
        ("load", "arn:aws:glue:us-east-1:123456789012:job/load2", ROLE),
    ],
)
def test_role_at_a_former_address_that_is_a_bare_name_or_its_arn(
    pending_start: str, former: str, role: str
) -> None:
    settings = JobSettings(JOB, "glue", "load_2", "P", role=NEXT, former=(former,))

    assert role_of_start(PendingStart("t", NOON, pending_start, "glue", role=ROLE), settings) == role


def test_end_of_a_retired_job_is_recorded_though_its_role_is_gone(harness: EngineHarness) -> None:
    target = started(harness)
    run = harness.only_run()
    target.finish(run.external_id or "", Status.FAILURE)
    harness.jobs, target.unassumed[ROLE] = {}, NO_ROLE

    harness.recorder().record(harness.change(run, Status.FAILURE))

    ended = harness.only_run()
    assert ended.failure is not None
    assert (ended.status, ROLE in ended.failure.cause) == (Status.FAILURE, True)


def test_observed_job_is_listed_with_its_role(harness: EngineHarness) -> None:
    harness.observed = frozenset({JOB})

    harness.reconciler().reconcile(50)

    assert harness.target.roles == [ROLE]


# ---- Operators


@dataclass
class Engine:
    """`EngineCommands` that records its calls."""

    calls: list[tuple[str, ...]]

    def cancel(self, run_id: str, by: str) -> CommandAnswer:
        self.calls.append(("cancel", run_id, by))
        return CommandAnswer(True, "Asked it to end.")

    def refresh(self, run_id: str) -> CommandAnswer:
        self.calls.append(("refresh", run_id))
        return CommandAnswer(False, "It is STARTED still.")


def operations(harness: EngineHarness, engine: Any = None) -> RunOperations:
    return RunOperations(
        harness.runs,
        harness.sensors,
        harness.launches,
        harness.jobs,
        {"step_functions": harness.target},
        RUN_IDS,
        harness.clock,
        engine,
    )


def test_operator_leaves_a_run_of_a_job_with_a_role_to_the_engine(harness: EngineHarness) -> None:
    started(harness)
    engine = Engine([])
    runs = operations(harness, engine)

    canceled, refreshed = runs.cancel(RUN_ID, ANN), runs.refresh(RUN_ID)

    assert engine.calls == [("cancel", RUN_ID, ANN), ("refresh", RUN_ID)]
    assert (canceled.is_new, canceled.reason) == (True, "Asked it to end.")
    assert (refreshed.is_new, refreshed.reason) == (False, "It is STARTED still.")
    assert harness.target.roles == [ROLE]


def test_operator_queries_the_target_of_a_job_without_role(harness: EngineHarness) -> None:
    harness.jobs = JOBS
    started(harness)
    engine = Engine([])

    operations(harness, engine).refresh(RUN_ID)
    operations(harness, engine).cancel(RUN_ID, ANN)

    assert (engine.calls, harness.only_run().status) == ([], Status.CANCELING)


def test_run_that_waits_is_canceled_without_the_engine(harness: EngineHarness) -> None:
    queue_run(harness)
    engine = Engine([])

    operations(harness, engine).cancel(RUN_ID, ANN)

    assert (engine.calls, harness.only_run().status) == ([], Status.CANCELED)


def commands(harness: EngineHarness) -> Commands:
    return Commands(
        operations(harness), harness.jobs, lambda job: {"exists": True, "trouble": job.job}, lambda: None
    )


def test_engine_cancels_and_refreshes_with_the_role(harness: EngineHarness) -> None:
    target = started(harness)

    refreshed = commands(harness).answer({"treadle": "refresh", "run_id": RUN_ID})
    canceled = commands(harness).answer({"treadle": "cancel", "run_id": RUN_ID, "by": ANN})

    assert (refreshed["is_new"], canceled["is_new"]) == (False, True)
    assert harness.only_run().status is Status.CANCELING
    assert set(target.roles) == {ROLE}


@pytest.mark.parametrize(
    ("event", "error"),
    [
        ({"treadle": "cancel", "run_id": "nobody", "by": ANN}, "CommandRefusedError"),
        ({"treadle": "cancel", "run_id": 5}, "CommandRefusedError"),
        ({"treadle": "refresh"}, "CommandRefusedError"),
        ({"treadle": "refresh", "run_id": RUN_ID}, "LaunchDeniedError"),
    ],
)
def test_engine_answers_why_it_did_not_carry_out_a_command(
    harness: EngineHarness, event: dict[str, Any], error: str
) -> None:
    started(harness).unassumed[ROLE] = NO_ROLE

    answer = commands(harness).answer(event)

    assert answer["error"] == error
    assert error != "LaunchDeniedError" or ROLE in answer["reason"]


def test_engine_checks_the_targets_of_jobs_that_bring_a_role(harness: EngineHarness) -> None:
    harness.jobs = {
        **harness.jobs,
        "bare": replace(JOBS[JOB], job="bare"),
        "nowhere": replace(JOBS[JOB], job="nowhere", arn="", role=ROLE),
    }

    answer = commands(harness).answer({"treadle": "targets"})

    assert answer == {"targets": {JOB: {"role": ROLE, "exists": True, "trouble": JOB}}}


def test_command_goes_by_what_is_registered_now(harness: EngineHarness) -> None:
    """An operator queries right after a deployment; a copy of the registry may be a minute old."""
    registered: dict[str, JobSettings] = {}

    def renew() -> None:
        registered[JOB] = replace(JOBS[JOB], role=ROLE)

    found = Commands(operations(harness), registered, lambda _: {"exists": True}, renew)

    assert set(found.answer({"treadle": "targets"})["targets"]) == {JOB}
