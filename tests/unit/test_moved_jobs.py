"""A job whose address changes while its runs are under way: each run keeps its own until it has ended, or is unknown.

A deployment can take away every permission on the former address; here the target denies all that it takes away.
"""

from collections.abc import Iterator, Mapping
from dataclasses import replace

import pytest

from tests.support.house import ARN, JOB, RUN_IDS, House
from tests.support.launching import NOON, RUN_ID, launch, queue_run
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.folding import LAUNCH_DUE_MS, OVERDUE_MS
from treadle.engine.launch import DENIED_FOR_MS
from treadle.engine.messages import LaunchRequest
from treadle.engine.observing import OBSERVED_TAG
from treadle.engine.outcomes import Decision
from treadle.engine.reconcile import RETRY_MS, Reconciled
from treadle.engine.record import REPORT, Recorder, StatusChange
from treadle.engine.unanswered import DENIED_ENDS_MS, SILENT_ENDS_MS
from treadle.operate.stories import run_stands
from treadle.ports.launching import Execution, JobSettings, Listed, Start, StartContract
from treadle.ports.runs import Claim, Failure, Run, Try
from treadle.testing.targets import NAMED, InMemoryTarget

NEW_ARN = ARN.replace("process-file", "process-file-2")
MOVED = {JOB: JobSettings(JOB, "step_functions", NEW_ARN, "ProcessFileStateMachineArn")}
LISTED = StartContract(listing_ms=24 * 3_600_000)
TOKENED = StartContract(token_ms=3_600_000)
ANYTHING = StartContract(describes=False)
DENIED = LaunchDeniedError("not authorized to perform: states:StartExecution")
GONE = LaunchRejectedError("StateMachineDoesNotExist")
HOUR = 3_600_000


class MovableTarget(InMemoryTarget):
    """A target that can refuse whatever concerns an address.

    Attributes:
        walls: by address, the error that every call about it ends with.
        start_walls: the same of starts alone.
        loses: True while starts come through without an answer.
    """

    walls: dict[str, LaunchError]
    start_walls: dict[str, LaunchError]
    loses: bool

    def __init__(self, house: House, contract: StartContract = NAMED) -> None:
        super().__init__(house.clock, contract)
        self.walls, self.start_walls, self.loses = {}, {}, False

    def _check(self, text: str, more: Mapping[str, LaunchError] | None = None) -> None:
        for address, error in {**self.walls, **(more or {})}.items():
            if text == address or text.startswith(f"{address}:"):
                raise error

    def start(self, start: Start) -> Execution:
        self._check(start.settings.arn, self.start_walls)
        execution = super().start(start)
        if self.loses:
            msg = "no answer"
            raise LaunchUncertainError(msg)
        return execution

    def resolve(self, start: Start) -> Execution | None:
        self._check(start.settings.arn)
        return super().resolve(start)

    def describe(self, external_id: str) -> Execution:
        self._check(external_id)
        return super().describe(external_id)

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        self._check(settings.arn)
        return super().recent(settings, since)


def target_of(house: House, contract: StartContract = NAMED) -> MovableTarget:
    """The house's target."""
    house.target = target = MovableTarget(house, contract)
    return target


def started(house: House) -> MovableTarget:
    """A run under way at the first address."""
    queue_run(house)
    target = target_of(house)
    launch(house)
    assert house.only_run().status is Status.STARTED
    return target


def in_doubt(house: House, contract: StartContract = NAMED) -> MovableTarget:
    """A run whose start came through at the first address, and got no answer."""
    queue_run(house)
    target = target_of(house, contract)
    target.loses = True
    launch(house)
    target.loses = False
    assert (house.only_run().status, len(target.executions)) == (Status.QUEUED, 1)
    house.launches.drain()
    house.clock.advance(30)
    return target


def keep_launching(house: House, until: int = 100 * HOUR) -> Run:
    """Take up each message when it is due, until there is none or it is so late."""
    end = house.clock.now() + until
    launch(house)
    while house.launches.messages and house.clock.now() < end:
        delay = max(message.delay_seconds for message in house.launches.messages)
        house.launches.drain()
        house.clock.advance(delay)
        launch(house)
    return house.only_run()


def keep_reconciling(house: House, until: int = 400 * HOUR) -> list[Reconciled]:
    """One pass whenever the run is due, until it has ended or it is so late."""
    end, passes = house.clock.now() + until, []
    while (due := house.only_run().next_at) is not None and due < end:
        house.clock.time = max(house.clock.time, due)
        passes.append(house.reconciler().reconcile(50))
    return passes


# RECONCILE


def test_a_run_whose_target_denies_is_visible_at_once_and_asked_again_soon(house: House) -> None:
    started(house).walls[ARN] = DENIED
    house.jobs = MOVED
    house.clock.time = NOON + OVERDUE_MS

    assert house.reconciler().reconcile(50) == Reconciled(failed=1)

    run = house.only_run()
    assert run.unanswered is not None
    assert (run.status, run.unanswered.since, run.unanswered.at) == (
        Status.STARTED,
        house.clock.now(),
        house.clock.now(),
    )
    assert run.next_at == house.clock.now() + RETRY_MS
    assert "cannot be queried since" in run_stands(run, house.clock.now())
    assert "states:StartExecution" in run_stands(run, house.clock.now())


def test_a_run_whose_target_denies_for_a_day_ends_as_unknown(house: House) -> None:
    started(house).walls[ARN] = DENIED
    house.jobs = MOVED

    passes = keep_reconciling(house)

    run = house.only_run()
    assert run.failure is not None
    assert (run.status, run.failure.error, run.failure.assumed) == (
        Status.FAILURE,
        "OutcomeUnknownError",
        True,
    )
    assert run.ended_at == NOON + OVERDUE_MS + DENIED_ENDS_MS
    assert (run.unanswered, run.next_at, run.yields) == (None, None, None)
    for words in (f"{ARN}:{RUN_ID}-1", "not authorized", "FormerJobArns", "rerun"):
        assert words in run.failure.cause
    assert [each.failed for each in passes[:-1]] == [1] * (len(passes) - 1)
    assert passes[-1] == Reconciled(described=1)
    assert len(passes) < 40, "it is asked about ever less often"


def test_a_run_whose_target_is_out_of_order_is_given_a_week(house: House) -> None:
    started(house).walls[ARN] = LaunchDelayedError("internal error")

    keep_reconciling(house)

    assert house.only_run().ended_at == NOON + OVERDUE_MS + SILENT_ENDS_MS


def test_permission_that_is_given_back_in_time_brings_the_real_end(house: House) -> None:
    target = started(house)
    target.walls[ARN] = DENIED
    house.jobs = MOVED
    house.clock.time = NOON + OVERDUE_MS
    house.reconciler().reconcile(50)
    target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)

    del target.walls[ARN]
    keep_reconciling(house)

    run = house.only_run()
    assert (run.status, run.failure, run.unanswered) == (Status.SUCCESS, None, None)
    assert house.clock.now() == NOON + OVERDUE_MS + RETRY_MS


def test_an_answer_ends_the_time_that_a_denial_lasts(house: House) -> None:
    target = started(house)
    target.walls[ARN] = DENIED
    keep_reconciling(house, 20 * HOUR)
    del target.walls[ARN]
    keep_reconciling(house, 2 * HOUR)
    assert house.only_run().unanswered is None
    target.walls[ARN] = DENIED
    again = house.only_run().next_at or 0

    keep_reconciling(house)

    assert house.only_run().ended_at == again + DENIED_ENDS_MS


def test_the_real_end_supersedes_the_unknown_one(house: House) -> None:
    started(house).walls[ARN] = DENIED
    house.jobs = MOVED
    keep_reconciling(house)

    house.recorder().record(house.change(house.only_run(), Status.SUCCESS))

    assert (house.only_run().status, house.only_run().failure) == (Status.SUCCESS, None)


def test_an_execution_that_is_gone_with_its_state_machine_ends_at_once(house: House) -> None:
    target = started(house)
    target.executions.clear()
    house.jobs = MOVED
    house.clock.time = NOON + OVERDUE_MS

    assert house.reconciler().reconcile(50) == Reconciled(described=1)

    failure = house.only_run().failure
    assert failure is not None
    assert (failure.error, failure.assumed) == ("OutcomeUnknownError", True)


@pytest.mark.parametrize("wall", [DENIED, None], ids=["denied", "gone"])
def test_a_redriven_run_ends_as_unknown_too(house: House, wall: LaunchError | None) -> None:
    target = started(house)
    run = house.only_run()
    house.recorder().record(house.change(run, Status.FAILURE, failure=Failure("E", "c")))
    house.recorder().record(house.change(run, Status.STARTED, retry=1))
    assert house.only_run().status is Status.STARTED
    target.executions.clear()
    if wall is not None:
        target.walls[ARN] = wall
    house.jobs = {}

    keep_reconciling(house)

    assert house.only_run().status is Status.FAILURE
    assert house.only_run().next_at is None


def test_a_run_of_which_nobody_knows_the_target_ends_as_unknown(house: House) -> None:
    started(house)
    house.tables.runs[RUN_ID] = replace(house.only_run(), tried=None, target="process-file")
    house.jobs = {}

    passes = keep_reconciling(house)

    failure = house.only_run().failure
    assert passes[0] == Reconciled(failed=1)
    assert failure is not None
    assert failure.error == "OutcomeUnknownError"
    assert "on which kind of target" in failure.cause


def test_a_run_of_another_kind_than_its_job_is_now_is_asked_about_where_it_runs(house: House) -> None:
    target = started(house)
    target.finish(f"{ARN}:{RUN_ID}-1", Status.SUCCESS)
    house.tables.runs[RUN_ID] = replace(house.only_run(), tried=None)
    house.jobs = {JOB: JobSettings(JOB, "glue", "load", "LoadGlueJobName")}

    keep_reconciling(house)

    assert house.only_run().status is Status.SUCCESS


def test_a_rerun_that_comes_between_is_left_alone_by_the_old_attempts_answer(house: House) -> None:
    target = started(house)

    class RerunMeanwhile(MovableTarget):
        def describe(self, external_id: str) -> Execution:
            run = house.only_run()
            second = {"2/0": {"QUEUED": house.clock.now()}}
            again = replace(
                run,
                status=Status.QUEUED,
                attempt=2,
                reached={**run.reached, **second},
                next_at=house.clock.now() + 1,
                revision=run.revision + 1,
            )
            house.tables.runs[RUN_ID] = again
            raise GONE

    house.target = RerunMeanwhile(house)
    house.target.executions = target.executions
    house.clock.time = NOON + OVERDUE_MS
    house.reconciler().reconcile(50)

    run = house.only_run()
    assert (run.status, run.attempt) == (Status.QUEUED, 2)
    assert run.next_at == house.clock.now() + LAUNCH_DUE_MS


# LAUNCH


def test_a_start_in_doubt_whose_address_denies_is_never_called_denied(house: House) -> None:
    in_doubt(house).walls[ARN] = DENIED
    house.jobs = MOVED

    run = keep_launching(house, 20 * HOUR)

    assert run.status is Status.QUEUED
    assert run.delayed is not None
    assert "not authorized" in run.delayed.reason
    assert "may have come through" in run_stands(run, house.clock.now())


def test_a_start_in_doubt_whose_address_denies_for_a_day_is_unknown_and_keeps_its_key(house: House) -> None:
    target = in_doubt(house)
    target.walls[ARN] = DENIED
    house.jobs = MOVED
    denied_at = house.clock.now()

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.status, run.failure.error, run.yields) == (Status.FAILURE, "OutcomeUnknownError", None)
    assert DENIED_ENDS_MS < house.clock.now() - denied_at < DENIED_ENDS_MS + HOUR
    for words in (ARN, "not authorized", "FormerJobArns"):
        assert words in run.failure.cause
    assert len(target.executions) == 1


def test_a_start_in_doubt_is_settled_where_it_was_tried_once_permission_is_back(house: House) -> None:
    target = in_doubt(house)
    target.walls[ARN] = DENIED
    house.jobs = MOVED
    keep_launching(house, HOUR)

    del target.walls[ARN]
    run = keep_launching(house)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)


def test_a_denial_from_before_the_start_in_doubt_does_not_count(house: House) -> None:
    in_doubt(house).walls[ARN] = DENIED
    house.tables.runs[RUN_ID] = replace(house.only_run(), denied_at=NOON - 2 * DENIED_ENDS_MS)

    assert launch(house).decision is Decision.DELAYED
    assert house.only_run().denied_at == house.clock.now()


@pytest.mark.parametrize("contract", [NAMED, TOKENED, LISTED], ids=["name", "token", "listing"])
def test_a_start_in_doubt_whose_target_is_gone_is_unknown_at_once(
    house: House, contract: StartContract
) -> None:
    target = in_doubt(house, contract)
    target.walls[ARN] = GONE
    house.jobs = MOVED

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.failure.error, run.yields, len(target.executions)) == ("OutcomeUnknownError", None, 1)
    assert "StateMachineDoesNotExist" in run.failure.cause


@pytest.mark.parametrize("wall", [DENIED, GONE], ids=["denied", "gone"])
def test_a_start_that_certainly_reached_nobody_goes_to_the_new_address(
    house: House, wall: LaunchError
) -> None:
    """Two looks have shown nothing at the former address; then it refuses the start that they allow."""
    target = in_doubt(house, LISTED)
    target.executions.clear()
    target.begun.clear()
    launch(house)
    house.launches.drain()
    house.clock.advance(61)
    target.start_walls[ARN] = wall
    house.jobs = MOVED
    house.tables.runs[RUN_ID] = replace(house.only_run(), denied_at=NOON)

    run = keep_launching(house)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)
    assert len(target.executions) == 1


def test_a_denied_start_goes_to_the_new_address_and_is_never_in_doubt(house: House) -> None:
    queue_run(house)
    target = target_of(house)
    target.walls[ARN] = DENIED
    launch(house)
    assert house.only_run().tried is None
    house.jobs = MOVED

    run = keep_launching(house)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)


def test_a_denied_start_of_a_job_that_has_not_moved_is_denied_after_five_minutes(house: House) -> None:
    queue_run(house)
    target_of(house).walls[ARN] = DENIED

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.failure.error, run.tried) == ("LaunchDeniedError", None)
    assert DENIED_FOR_MS < house.clock.now() - NOON < DENIED_FOR_MS + HOUR


@pytest.mark.parametrize("wall", [DENIED, GONE], ids=["denied", "gone"])
def test_a_start_in_doubt_at_a_target_without_token_is_sent_to_the_new_address(
    house: House, wall: LaunchError
) -> None:
    """I2: at least once; whoever took the first one knows the launch id."""
    target = in_doubt(house, ANYTHING)
    target.walls[ARN] = wall
    house.jobs = MOVED

    run = keep_launching(house)

    assert (run.status, run.target) == (Status.STARTED, NEW_ARN)
    assert len(target.executions) == 2


def test_a_start_in_doubt_without_token_that_is_refused_at_both_addresses_is_unknown(house: House) -> None:
    target = in_doubt(house, ANYTHING)
    target.walls = {ARN: GONE, NEW_ARN: GONE}
    house.jobs = MOVED

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.failure.error, run.yields) == ("OutcomeUnknownError", None)


def test_a_start_in_doubt_of_a_job_that_is_no_longer_there_is_settled(house: House) -> None:
    target = in_doubt(house)
    house.jobs = {}

    run = keep_launching(house)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)


def test_a_start_in_doubt_on_a_kind_that_is_not_known_is_unknown(house: House) -> None:
    in_doubt(house)
    run = house.only_run()
    assert run.tried is not None
    house.tables.runs[RUN_ID] = replace(run, tried=replace(run.tried, kind=""))
    house.jobs = {}

    run = keep_launching(house)

    assert run.failure is not None
    assert (run.failure.error, run.yields) == ("OutcomeUnknownError", None)


def test_a_try_from_before_the_job_had_an_address_gives_way_to_the_first_real_one(house: House) -> None:
    """Else a second start would go wherever the job is by then, although the first may have come through."""
    queue_run(house)
    target = target_of(house)
    house.runs.claim(RUN_ID, JOB, 1, Claim("dead", NOON), Try("dead", NOON, ""))
    house.clock.advance(1)
    target.loses = True
    launch(house)
    target.loses = False
    house.launches.drain()
    house.clock.advance(60)
    house.jobs = MOVED

    run = keep_launching(house)

    assert (run.status, run.target, len(target.executions)) == (Status.STARTED, ARN, 1)


def test_a_try_without_address_keeps_no_key(house: House) -> None:
    queue_run(house)
    house.runs.claim(RUN_ID, JOB, 1, Claim("dead", NOON), Try("dead", NOON, ""))
    house.clock.advance(1)
    house.jobs = {}

    launch(house)

    run = house.only_run()
    assert run.failure is not None
    assert (run.failure.error, run.tried) == ("JobNotConfiguredError", None)
    assert run.yields is not None


def test_options_of_another_kind_do_not_come_along_to_the_former_address(house: House) -> None:
    target = in_doubt(house)
    house.jobs = {JOB: JobSettings(JOB, "batch", "arn:new", "NewArn", {"queue": "q"})}

    keep_launching(house)

    assert [each.settings.options for each in target.starts] == [{}, {}]


# RECORD


def recorder(house: House, *former: str) -> Recorder:
    """RECORD, which is told the former addresses."""
    return Recorder(house.runs, house.jobs, {"step_functions": house.target}, house.clock, former=former)


def test_events_of_a_run_at_a_former_address_are_recorded(house: House) -> None:
    started(house)
    house.jobs = MOVED

    house.recorder().record(house.change(house.only_run(), Status.SUCCESS))

    assert house.only_run().status is Status.SUCCESS


def test_an_execution_at_the_new_address_does_not_end_a_run_at_the_former_one(house: House) -> None:
    started(house)
    house.jobs = MOVED
    run = house.only_run()
    change = house.change(run, Status.SUCCESS, target=NEW_ARN, external_id=f"{NEW_ARN}:{run.launch_id}")

    outcome = house.recorder().record(change)

    assert outcome.decision is Decision.FOREIGN
    assert house.only_run() == run


def test_a_name_of_another_kind_of_target_is_not_the_runs_address(house: House) -> None:
    started(house)
    tried = Try("t", NOON, "load", "glue")
    house.tables.runs[RUN_ID] = run = replace(house.only_run(), tried=tried, target=None)
    definition = "arn:aws:batch:us-east-1:123456789012:job-definition/load:3"
    change = house.change(run, Status.SUCCESS, kind="batch", target=definition, external_id="b")

    assert house.recorder().record(change).decision is Decision.FOREIGN


def test_a_failure_whose_reason_is_denied_since_the_job_has_moved_is_recorded_and_no_dead_letter(
    house: House,
) -> None:
    started(house).walls[ARN] = DENIED
    house.jobs = MOVED

    outcome = house.recorder().record(house.change(house.only_run(), Status.FAILURE))

    run = house.only_run()
    assert outcome.decision is Decision.RECORDED
    assert run.failure is not None
    assert (run.status, run.failure.error, run.failure.assumed) == (
        Status.FAILURE,
        "UnknownFailureError",
        False,
    )


def test_a_failure_whose_reason_is_denied_at_the_jobs_own_address_is_asked_for_again(house: House) -> None:
    started(house).walls[ARN] = DENIED

    with pytest.raises(LaunchDeniedError):
        house.recorder().record(house.change(house.only_run(), Status.FAILURE))

    assert house.only_run().status is Status.FAILURE


@pytest.mark.parametrize(("former", "decision"), [([ARN], Decision.RECORDED), ([], Decision.FOREIGN)])
def test_an_event_without_launch_id_is_looked_into_at_former_addresses_only(
    house: House, former: list[str], decision: Decision
) -> None:
    started(house)
    house.jobs = MOVED
    change = house.change(house.only_run(), Status.SUCCESS, name=None)

    assert recorder(house, *former).record(change).decision is decision


@pytest.mark.parametrize(("former", "decision"), [([ARN], Decision.RECORDED), ([], Decision.FOREIGN)])
def test_the_late_end_of_an_attempt_at_a_former_address_is_kept_beside_the_next_one(
    house: House, former: list[str], decision: Decision
) -> None:
    started(house)
    first = house.only_run()
    house.recorder().record(house.change(first, Status.FAILURE, failure=Failure("E", "c")))
    house.jobs = MOVED
    ended = house.only_run()
    house.tables.runs[RUN_ID] = replace(ended, attempt=2, tried=Try("t", NOON, NEW_ARN), target=NEW_ARN)

    outcome = recorder(house, *former).record(house.change(first, Status.SUCCESS))

    assert outcome.decision is decision
    assert ("SUCCESS" in house.only_run().reached["1/0"]) is (decision is Decision.RECORDED)


def test_an_execution_of_others_that_was_recorded_before_the_move_gets_its_end(house: House) -> None:
    house.observed = frozenset({JOB})
    target = target_of(house)
    external_id = f"{ARN}:nightly"
    target.executions[external_id] = Execution(external_id, ARN, Status.STARTED, NOON, launch_id="nightly")
    change = StatusChange("step_functions", "nightly", external_id, ARN, Status.STARTED, NOON)
    house.recorder().record(change)
    assert OBSERVED_TAG in house.only_run().tags
    house.jobs = MOVED

    observed = Recorder(
        house.runs,
        house.jobs,
        {"step_functions": target},
        house.clock,
        observed=house.recorder()._observed,
        former=[ARN],
    )
    other = replace(change, name="weekly", external_id=f"{ARN}:weekly")

    assert observed.record(other).decision is Decision.FOREIGN
    assert observed.record(replace(change, status=Status.SUCCESS)).decision is Decision.RECORDED
    assert house.only_run().status is Status.SUCCESS


def test_whoever_has_looked_may_report_of_a_run_that_ended_as_unknown(house: House) -> None:
    started(house).walls[ARN] = DENIED
    report = StatusChange(REPORT, f"{RUN_ID}-1", "", "", Status.SUCCESS, NOON + 5)
    assert house.recorder().record(report).decision is Decision.FOREIGN
    keep_reconciling(house)

    outcome = house.recorder().record(report)

    assert (outcome.decision, house.only_run().status) == (Decision.RECORDED, Status.SUCCESS)
    assert house.recorder().record(replace(report, status=Status.FAILURE)).decision is Decision.FOREIGN


# Under load


@pytest.mark.parametrize("keeps", [True, False], ids=["with permissions", "without permissions"])
def test_a_move_under_load_brings_each_run_to_its_end_or_to_unknown_and_starts_none_twice(
    house: House, keeps: bool
) -> None:
    """Runs that are queued, claimed by a launch that died, in doubt, refused, started, and ended unheard of."""
    target = target_of(house)
    states = ("queued", "died", "in doubt", "refused", "started", "ended", "failed unheard of")
    runs = {state: RUN_IDS.keyed("watch", state) for state in states}
    template = queue_run(house)
    del house.tables.runs[RUN_ID]

    def take_up(run_id: str) -> None:
        house.launcher().launch(LaunchRequest(run_id, 1, JOB), 30)

    for state, run_id in runs.items():
        house.tables.runs[run_id] = replace(template, run_id=run_id, run_key=state)
        target.loses = state == "in doubt"
        target.refusals = iter([LaunchDelayedError("busy")] if state == "refused" else [])
        if state == "died":
            house.runs.claim(
                run_id, JOB, 1, Claim("dead", NOON + 90_000), Try("dead", NOON, ARN, "step_functions")
            )
        elif state != "queued":
            take_up(run_id)
    target.loses = False
    house.launches.drain()
    target.finish(f"{ARN}:{runs['ended']}-1", Status.SUCCESS)
    target.finish(f"{ARN}:{runs['failed unheard of']}-1", Status.FAILURE, Failure("E", "c"))

    house.jobs = MOVED
    if not keeps:
        target.walls[ARN] = DENIED
    for _ in range(200):
        house.clock.advance(900)
        for message in house.launches.drain():
            take_up(str(message["run_id"]))
        for external_id, execution in list(target.executions.items()):
            if not execution.status.is_finished and house.clock.now() - execution.started_at > 3 * HOUR:
                target.finish(external_id, Status.SUCCESS)
        house.reconciler().reconcile(50)
        if all(run.next_at is None for run in house.tables.runs.values()):
            break

    ended = {state: house.tables.runs[run_id] for state, run_id in runs.items()}
    assert all(run.status.is_finished and run.next_at is None for run in ended.values())
    assert all(len(begun) == 1 for begun in target.begun.values())
    unknown = {
        state for state, run in ended.items() if run.failure and run.failure.error == "OutcomeUnknownError"
    }
    moved = {state for state, run in ended.items() if run.target == NEW_ARN}
    assert moved == {"queued", "refused"}
    assert unknown == (set() if keeps else {"died", "in doubt", "started", "ended", "failed unheard of"})
    if keeps:
        assert ended["failed unheard of"].failure == Failure("E", "c")
        assert {state for state, run in ended.items() if run.status is Status.SUCCESS} == set(states) - {
            "failed unheard of"
        }
