"""Retry policies: which failures of a run are retried, when, how often, and what sees a failure in between."""

from collections.abc import Mapping
from dataclasses import replace
from itertools import permutations
from typing import Any

import pytest

from tests.support.engine import ARN, JOB, RUN_IDS, EngineHarness, sensor_of
from tests.support.launching import NOON, RUN_ID, launch, queue_run
from treadle.definitions.errors import CommandRefusedError, DagsterInvalidDefinitionError, StoreRejectedError
from treadle.definitions.jobs import JobDefinition, tags_problem
from treadle.definitions.results import RunRequest
from treadle.definitions.retries import LONGEST_DELAY_SECONDS, Backoff, Jitter, RetryPolicy, retry_policy_of
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.attempts import attempt_for_request
from treadle.engine.outcomes import Decision
from treadle.engine.publish.bus_events import RunStatusChange
from treadle.engine.publish.publisher import statuses_reached
from treadle.engine.reconcile.reconciler import Reconciled
from treadle.engine.record.run_state import MESSAGE_LOST_MS, Report, fold
from treadle.engine.record.unreachable_runs import OUTCOME_UNKNOWN
from treadle.engine.tick.evaluation import Budget
from treadle.model.runs import Failure, KeyState, Run
from treadle.operate.explanation import describe_run
from treadle.operate.runs import RunOperations
from treadle.testing.system import InMemoryQueue

ANN = "arn:aws:iam::123456789012:user/ann"
BROKEN = Failure("States.TaskFailed", "no such file")
POLICY = RetryPolicy(2, delay=60, backoff=Backoff.EXPONENTIAL)


def started(harness: EngineHarness, policy: RetryPolicy = POLICY, **fields: Any) -> Run:
    """Return a run that has just started, with a retry policy."""
    harness.tables.runs[RUN_ID] = replace(queue_run(harness), tags=policy.tags, **fields)
    launch(harness)
    return harness.only_run()


def fails(harness: EngineHarness, failure: Failure = BROKEN) -> Run:
    """Return the run after a failure of its current attempt, a second later."""
    harness.clock.advance(1)
    run = harness.only_run()
    harness.target.finish(f"{ARN}:{run.launch_id}", Status.FAILURE, failure)
    harness.recorder().record(harness.change(run, Status.FAILURE, failure=failure))
    return harness.only_run()


def reconcile(harness: EngineHarness, at: int | None = None) -> Reconciled:
    """Run RECONCILE at a time, by default the current one."""
    harness.clock.time = harness.clock.now() if at is None else at
    return harness.reconciler().reconcile(50)


def retried(harness: EngineHarness) -> Run:
    """Return the run after RECONCILE and LAUNCH at the time of its retry."""
    at = harness.only_run().retry_at
    assert at is not None
    assert reconcile(harness, at) == Reconciled(retried=1)
    assert [body["attempt"] for body in harness.launches.drain()] == [harness.only_run().attempt]
    launch(harness, harness.only_run().attempt)
    return harness.only_run()


def operations(harness: EngineHarness) -> RunOperations:
    return RunOperations(
        harness.runs, harness.sensors, harness.launches, harness.jobs, harness.targets, RUN_IDS, harness.clock
    )


# ---- The policy


@pytest.mark.parametrize(
    ("backoff", "expected"),
    [(None, [10, 10, 10, 10]), (Backoff.LINEAR, [10, 20, 30, 40]), (Backoff.EXPONENTIAL, [10, 30, 70, 150])],
)
def test_delay_grows_as_in_dagster(backoff: Backoff | None, expected: list[float]) -> None:
    policy = RetryPolicy(4, delay=10, backoff=backoff)

    assert [policy.calculate_delay(number) for number in range(1, 5)] == expected


def test_delay_has_a_maximum() -> None:
    assert RetryPolicy(9, 10, Backoff.EXPONENTIAL, max_delay=100).calculate_delay(9) == 100
    assert RetryPolicy(100, 10, Backoff.EXPONENTIAL).calculate_delay(100) == LONGEST_DELAY_SECONDS
    assert RetryPolicy(1, LONGEST_DELAY_SECONDS).calculate_delay(1) == LONGEST_DELAY_SECONDS


@pytest.mark.parametrize(("jitter", "low", "high"), [(Jitter.FULL, 0, 70), (Jitter.PLUS_MINUS, 60, 80)])
def test_jitter_varies_the_delay_within_dagsters_bounds_and_is_reproducible(
    jitter: Jitter, low: float, high: float
) -> None:
    policy = RetryPolicy(3, 10, Backoff.EXPONENTIAL, jitter)

    delays = [policy.calculate_delay(3, seed=f"run-{number}") for number in range(500)]

    assert low <= min(delays) < low + (high - low) / 10
    assert high - (high - low) / 10 < max(delays) <= high
    assert delays == [policy.calculate_delay(3, seed=f"run-{number}") for number in range(500)]
    assert policy.calculate_delay(3) != policy.calculate_delay(3)


def test_run_is_retried_once_and_at_once_by_default() -> None:
    assert RetryPolicy().max_retries == 1
    assert RetryPolicy().calculate_delay(1) == 0


def test_jitter_never_makes_the_delay_negative() -> None:
    policy = RetryPolicy(1, 100, jitter=Jitter.PLUS_MINUS, max_delay=10)

    assert {policy.calculate_delay(1, seed) for seed in ("a", "b")} == {0, 10}


@pytest.mark.parametrize(
    ("given", "problem"),
    [
        ({"max_retries": -1}, "max_retries is -1. Use a number from 0 to 100."),
        ({"max_retries": 101}, "max_retries is 101. Use a number from 0 to 100."),
        ({"max_retries": True}, "max_retries is True. Use a number from 0 to 100."),
        ({"max_retries": "3"}, "max_retries is '3'. Use a number from 0 to 100."),
        ({"delay": -1}, "delay is -1. Use a number of seconds, up to 604800."),
        ({"delay": float("nan")}, "delay is nan. Use a number of seconds, up to 604800."),
        ({"delay": 1, "max_delay": "x"}, "max_delay is 'x'. Use a number of seconds, up to 604800."),
        ({"backoff": Backoff.LINEAR}, "backoff and jitter need a delay. Add delay."),
        ({"jitter": Jitter.FULL}, "backoff and jitter need a delay. Add delay."),
        ({"retry_on": [1]}, "retry_on is (1,). Use a list of names, such as ['States.Timeout']."),
    ],
    ids=lambda given: "" if isinstance(given, str) else "-".join(given),
)
def test_invalid_policy_raises(given: dict[str, Any], problem: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as raised:
        RetryPolicy(**given)

    assert str(raised.value) == f"The retry policy is invalid: {problem}"


@pytest.mark.parametrize(
    "policy",
    [
        RetryPolicy(),
        RetryPolicy(3, 1.5, Backoff.LINEAR, Jitter.PLUS_MINUS, 90, ("States.*", "Job?")),
        RetryPolicy(100, 0),
    ],
    ids=["default", "everything", "no-delay"],
)
def test_policy_is_read_from_its_tags_as_it_was(policy: RetryPolicy) -> None:
    found = retry_policy_of(policy.tags)

    assert found is not None
    assert replace(found, delay=found.delay or None) == replace(policy, delay=policy.delay or None)


@pytest.mark.parametrize(
    ("tags", "problem"),
    [
        ({"dagster/max_retries": "-1"}, "Tag dagster/max_retries is invalid: '-1' is not a number."),
        ({"dagster/max_retries": "1.5"}, "Tag dagster/max_retries is invalid: '1.5' is not a number."),
        ({"dagster/max_retries": "900"}, "max_retries is 900."),
        (
            {"dagster/max_retries": "1", "treadle/retry_policy": "{"},
            "Tag treadle/retry_policy is invalid: '{'",
        ),
        (
            {"dagster/max_retries": "1", "treadle/retry_policy": "[]"},
            "Tag treadle/retry_policy is invalid: '[]'",
        ),
        (
            {"dagster/max_retries": "1", "treadle/retry_policy": '{"wait":1}'},
            "unexpected keyword argument 'wait'",
        ),
        ({"dagster/max_retries": "1", "treadle/retry_policy": '{"delay":-1}'}, "delay is -1."),
        (
            {"dagster/max_retries": "1", "treadle/retry_policy": '{"backoff":"NO"}'},
            "'NO' is not a valid Backoff",
        ),
        ({"dagster/max_retries": "9" * 5_000}, "Tag dagster/max_retries is invalid: '999"),
        (
            {"dagster/max_retries": "1", "treadle/retry_policy": '{"max_retries":2}'},
            "multiple values for argument 'max_retries'",
        ),
        ({"dagster/max_retries": "1", "treadle/retry_policy": f'{{"delay":1{"0" * 400}}}'}, "delay is 1000"),
        (
            {"dagster/max_retries": "1", "treadle/retry_policy": "[" * 100_000},
            "Tag treadle/retry_policy is invalid: '[[[",
        ),
    ],
    ids=[
        *("negative", "fraction", "many", "no-json", "list", "unknown", "delay", "backoff"),
        *("long", "number-twice", "huge-delay", "nested"),
    ],
)
def test_invalid_tags_are_a_problem(tags: Mapping[str, str], problem: str) -> None:
    assert problem in str(tags_problem(tags))
    with pytest.raises(DagsterInvalidDefinitionError):
        JobDefinition("load", tags=tags)


def test_request_overrides_the_number_and_keeps_the_rest_of_its_jobs_policy(harness: EngineHarness) -> None:
    def requests() -> list[RunRequest]:
        numbers = {"a": {}, "b": {"dagster/max_retries": "5"}, "c": {"dagster/max_retries": "often"}}
        return [RunRequest(key, tags=tags) for key, tags in numbers.items()]

    job = JobDefinition(JOB, retry_policy=POLICY)
    harness.leased(sensor_of(requests, job=None, jobs=[job])).tick(harness.clock.now(), Budget())

    [tick] = harness.tick_records()
    found = {request.run_key: retry_policy_of(request.tags) for request in tick.requests}
    assert found == {"a": POLICY, "b": replace(POLICY, max_retries=5)}
    assert [rejected.run_key for rejected in tick.rejected] == ["c"]


def test_zero_retries_are_no_policy() -> None:
    assert retry_policy_of({"dagster/max_retries": "0"}) is None
    assert retry_policy_of({"dagster/max_retries": ""}) is None
    assert retry_policy_of({}) is None


# ---- Retries


def test_run_is_retried_after_its_delay_until_it_succeeds(harness: EngineHarness) -> None:
    started(harness)
    first = fails(harness)
    assert (first.retry_at, first.next_at) == (NOON + 1_000 + 60_000, NOON + 1_000 + 60_000)
    assert reconcile(harness, (first.retry_at or 0) - 1) == Reconciled()

    second = retried(harness)
    assert (second.attempt, second.status, second.policy_retries) == (2, Status.STARTED, 1)
    failed = fails(harness)
    assert failed.retry_at == (failed.ended_at or 0) + 180_000
    third = retried(harness)
    harness.recorder().record(harness.change(third, Status.SUCCESS))

    run = harness.only_run()
    assert (run.attempt, run.status, run.retry_at, run.next_at) == (3, Status.SUCCESS, None, None)
    assert len(harness.target.executions) == 3


def test_last_failure_remains(harness: EngineHarness) -> None:
    started(harness)
    fails(harness)
    retried(harness)
    fails(harness)
    retried(harness)

    run = fails(harness)

    assert (run.attempt, run.status, run.failure, run.retry_at, run.next_at) == (
        3,
        Status.FAILURE,
        BROKEN,
        None,
        None,
    )
    assert reconcile(harness, harness.clock.now() + 10**9) == Reconciled()
    assert not run.may_start_again
    assert run.is_final


def test_run_without_a_policy_is_not_retried(harness: EngineHarness) -> None:
    queue_run(harness)
    launch(harness)

    assert fails(harness).retry_at is None


@pytest.mark.parametrize(
    ("error", "is_retried"), [("States.Timeout", True), ("Job1", True), ("States", False), ("Job12", False)]
)
def test_only_the_named_failures_are_retried(harness: EngineHarness, error: str, is_retried: bool) -> None:
    started(harness, RetryPolicy(1, retry_on=("States.*", "Job?")))

    run = fails(harness, Failure(error, "why"))

    assert (run.retry_at is not None) is is_retried


def test_ce_14_what_treadle_only_infers_is_never_retried(harness: EngineHarness) -> None:
    """The attempt may still run, or was never started."""
    started(harness)
    unknown = Failure(OUTCOME_UNKNOWN, "it is not known whether it ran", assumed=True)

    run = fold(harness.only_run(), Report(1, Status.FAILURE, NOON + 1_000, failure=unknown))

    assert (run.status, run.retry_at) == (Status.FAILURE, None)
    run = fold(run, Report(1, Status.FAILURE, NOON + 2_000, failure=BROKEN))
    assert run.retry_at == NOON + 2_000 + 60_000


def test_canceled_run_is_not_retried(harness: EngineHarness) -> None:
    started(harness)

    harness.recorder().record(harness.change(harness.only_run(), Status.CANCELED, failure=BROKEN))

    assert harness.only_run().retry_at is None


def test_execution_that_its_target_revives_is_not_retried_beside_it(harness: EngineHarness) -> None:
    started(harness)
    fails(harness)

    harness.recorder().record(harness.change(harness.only_run(), Status.STARTED, retry=1))

    run = harness.only_run()
    assert (run.status, run.retry_at) == (Status.STARTED, None)
    assert run.next_at is not None


def test_order_of_reports_does_not_change_the_time_of_the_retry(harness: EngineHarness) -> None:
    first = started(harness, replace(POLICY, jitter=Jitter.FULL))
    reports = [
        Report(1, Status.STARTED, NOON, started_at=NOON),
        Report(1, Status.FAILURE, NOON + 9_000, failure=BROKEN),
        Report(1, Status.FAILURE, NOON + 8_000, failure=BROKEN),
        Report(1, Status.FAILURE, NOON + 7_000, failure=Failure(OUTCOME_UNKNOWN, "gone", assumed=True)),
    ]

    ends = set()
    for order in permutations(reports):
        run = first
        for report in order:
            run = fold(run, report)
            assert fold(run, report) == run
        ends.add((run.retry_at, run.next_at, run.status))

    [(retry_at, next_at, status)] = ends
    assert (retry_at == next_at, status) == (True, Status.FAILURE)
    assert NOON + 8_000 <= (retry_at or 0) <= NOON + 68_000


# ---- Run keys and requests


def test_ce_13_request_for_the_key_during_the_delay_starts_nothing(harness: EngineHarness) -> None:
    started(harness, retries=3)
    run = fails(harness)
    fresh = replace(run, tick_id="later", created_at=harness.clock.now(), run_config='{"a":2}')

    assert attempt_for_request(run, fresh, harness.clock.now() + 1_000) is None
    assert harness.runs.key_states({RUN_ID: "another digest"}) == {RUN_ID: KeyState.TAKEN}
    assert (run.is_final, run.attempts_allowed) == (False, 1)


def test_request_after_the_last_retry_has_a_policy_of_its_own(harness: EngineHarness) -> None:
    started(harness, RetryPolicy(1), retries=3)
    fails(harness)
    retried(harness)
    run = fails(harness)
    assert (run.retry_at, run.may_start_again) == (None, True)
    fresh = replace(run, tick_id="later", created_at=harness.clock.now())

    again = attempt_for_request(run, fresh, harness.clock.now() + 1_000)

    assert again is not None
    assert (again.attempt, again.policy_retries, again.retry_at) == (3, 0, None)


# ---- Operators


def test_rerun_starts_the_next_attempt_at_once_and_the_policy_from_the_beginning(
    harness: EngineHarness,
) -> None:
    started(harness)
    fails(harness)

    operations(harness).rerun(RUN_ID, ANN)

    run = harness.only_run()
    assert (run.attempt, run.status, run.policy_retries, run.retry_at) == (2, Status.QUEUED, 0, None)
    assert reconcile(harness).retried == 0


def test_cancel_during_the_delay_ends_the_run(harness: EngineHarness) -> None:
    started(harness)
    fails(harness)

    edit = operations(harness).cancel(RUN_ID, ANN)

    run = harness.only_run()
    assert (edit.is_new, run.status, run.attempt, run.retry_at, run.next_at) == (
        True,
        Status.CANCELED,
        2,
        None,
        None,
    )
    assert edit.reason == f"Run {RUN_ID} is canceled; attempt 2 has ended."
    assert reconcile(harness, harness.clock.now() + 10**9) == Reconciled()
    assert len(harness.target.executions) == 1


def test_key_of_a_run_that_waits_for_its_retry_is_released_after_the_run_is_canceled(
    harness: EngineHarness,
) -> None:
    """A permission for the attempt that the policy starts anyway would be used up by it."""
    started(harness)
    fails(harness)

    with pytest.raises(CommandRefusedError, match=f"treadle run cancel {RUN_ID}"):
        operations(harness).release("watch", "k", ANN)

    assert harness.only_run().allowances == ()
    operations(harness).cancel(RUN_ID, ANN)
    assert operations(harness).release("watch", "k", ANN).is_new
    assert harness.only_run().may_start_again


def test_cancel_after_the_last_failure_is_refused(harness: EngineHarness) -> None:
    started(harness, RetryPolicy(1, retry_on=("Other",)))
    fails(harness)

    with pytest.raises(CommandRefusedError, match="has already ended: FAILURE"):
        operations(harness).cancel(RUN_ID, ANN)


def test_explanation_says_when_the_run_is_retried(harness: EngineHarness) -> None:
    started(harness)
    run = fails(harness)

    assert describe_run(run, harness.clock.now()).endswith(
        "Its retry policy starts attempt 2 at 2026-11-22T18:01:01.000Z (retry 1 of 2)."
    )


# ---- Events


def failures(run: Run) -> list[RunStatusChange]:
    """Return the published failures of a run."""
    return [each for each in statuses_reached(run) if each.status is Status.FAILURE]


def test_failures_say_whether_another_attempt_follows(harness: EngineHarness) -> None:
    started(harness)
    first = fails(harness)
    assert [each.will_retry for each in failures(first)] == [True]
    retried(harness)
    fails(harness)
    retried(harness)
    last = fails(harness)

    assert [each.will_retry for each in failures(last)] == [True, True, False]


def test_failure_before_an_operators_rerun_was_the_last_one(harness: EngineHarness) -> None:
    started(harness, RetryPolicy(1))
    fails(harness)
    retried(harness)
    fails(harness)
    operations(harness).rerun(RUN_ID, ANN)
    launch(harness, 3)

    run = fails(harness)

    # The first one was followed by a retry: a record remembers only those since the rerun.
    assert [each.will_retry for each in failures(run)][1:] == [False, True]


def test_failure_that_a_redrive_follows_is_not_retried(harness: EngineHarness) -> None:
    started(harness, RetryPolicy(1))
    fails(harness)
    harness.recorder().record(harness.change(harness.only_run(), Status.STARTED, retry=1))
    harness.recorder().record(harness.change(harness.only_run(), Status.FAILURE, retry=1, failure=BROKEN))

    assert [(each.retry, each.will_retry) for each in failures(harness.only_run())] == [(0, False), (1, True)]


def test_only_the_last_end_is_numbered(harness: EngineHarness) -> None:
    """Sensors that wait for the ends of jobs do not see a failure that is retried."""
    publisher = harness.engine.publisher(harness.bus)
    started(harness, RetryPolicy(1))
    fails(harness)
    publisher.publish(failures(harness.only_run()))
    retried(harness)
    fails(harness)
    publisher.publish(failures(harness.only_run())[1:])

    details = [event.detail for event in harness.bus.events]
    assert [(each["will_retry"], each["number"]) for each in details] == [(True, 0), (False, 1)]
    assert ["dagster/will_retry" in str(each["tags"]) for each in details] == [True, False]


def test_message_that_the_queue_rejects_does_not_end_the_pass(harness: EngineHarness) -> None:
    class RejectingQueue(InMemoryQueue):
        def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
            if bodies:
                raise StoreRejectedError(f"{len(bodies)} messages were rejected.")

    started(harness)
    run = fails(harness)
    harness.launches = RejectingQueue()

    assert reconcile(harness, run.retry_at) == Reconciled(retried=1, failed=1)

    harness.launches = InMemoryQueue()
    assert reconcile(harness, harness.only_run().next_at) == Reconciled(relaunched=1)


def test_reconcile_that_dies_after_the_write_has_the_message_sent_later(harness: EngineHarness) -> None:
    started(harness)
    run = fails(harness)
    harness.clock.time = run.retry_at or 0
    reconcile(harness)
    harness.launches.drain()

    harness.clock.advance(MESSAGE_LOST_MS / 1000)
    assert reconcile(harness) == Reconciled(relaunched=1)

    assert [body["attempt"] for body in harness.launches.drain()] == [2]
    assert launch(harness, 2).decision is Decision.LAUNCHED
