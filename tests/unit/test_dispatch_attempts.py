"""Later attempts: only for an ended run, an allowance and a later tick."""

from dataclasses import replace

import pytest

from tests.support.dispatching import NOON, change, committed, counts, dispatch, launched
from tests.support.engine import EngineHarness
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.run_state import LAUNCH_DUE_MS
from treadle.model.runs import Claim, Failure, PendingStart, Run
from treadle.model.ticks import DispatchCounts


def test_raised_allowance_lets_a_later_tick_start_the_next_attempt(harness: EngineHarness) -> None:
    first = committed(harness, "k", config='{"v":1}')
    dispatch(harness, first)
    harness.launches.drain()
    ended = change(
        harness,
        "k",
        status=Status.FAILURE,
        reached={"1/0": {"QUEUED": NOON, "FAILURE": NOON + 5}},
        granted=2,
        claim=Claim("old", NOON),
        external_id="e",
        target="t",
        started_at=NOON,
        ended_at=NOON + 5,
        failure=Failure("Reported", "text"),
        next_at=None,
        revision=4,
    )
    harness.clock.advance(60)
    later = committed(harness, "k", number=2, config='{"v":2}')

    dispatch(harness, later)

    run = harness.only_run()
    now = NOON + 60_000
    assert (run.attempt, run.attempts_allowed, run.status) == (2, 2, Status.QUEUED)
    assert (run.tick_id, run.run_config, run.created_at) == (later.tick_id, '{"v":2}', NOON)
    assert run.reached == {**ended.reached, "2/0": {"QUEUED": now}}
    assert (run.claim, run.external_id, run.failure, run.ended_at) == (None, None, None, None)
    assert (run.next_at, run.revision) == (now + LAUNCH_DUE_MS, 5)
    assert [body["attempt"] for body in harness.launches.drain()] == [2]
    assert counts(harness, later) == DispatchCounts(started=1)


@pytest.mark.parametrize(
    ("status", "allowed", "at"),
    [(Status.STARTED, 2, NOON + 1), (Status.FAILURE, 1, NOON + 1), (Status.FAILURE, 2, NOON - 1)],
    ids=["still running", "no more attempts", "committed before the attempt was made"],
)
@pytest.mark.parametrize("number", [1, 3], ids=["id sorts before", "id sorts behind"])
def test_next_attempt_needs_an_ended_run_an_allowance_and_a_later_tick(
    harness: EngineHarness, status: Status, allowed: int, at: int, number: int
) -> None:
    dispatch(harness, committed(harness, "k", number=2))
    harness.launches.drain()
    before = change(harness, "k", status=status, granted=allowed)

    dispatch(harness, committed(harness, "k", number=number, at=at))

    assert (harness.only_run(), launched(harness)) == (before, [])


@pytest.mark.parametrize("number", [1, 3], ids=["id sorts before", "id sorts behind"])
def test_tick_is_later_by_its_commit_and_not_by_its_id(harness: EngineHarness, number: int) -> None:
    """An id begins with when a tick was due, or with its event's time: those are no order of what was requested."""
    dispatch(harness, committed(harness, "k", number=2))
    change(harness, "k", status=Status.FAILURE, granted=2)
    later = committed(harness, "k", number=number, at=NOON + 1)

    dispatch(harness, later)

    assert (harness.only_run().attempt, harness.only_run().tick_id) == (2, later.tick_id)


def test_tick_committed_before_an_operator_let_the_run_start_again_starts_none_when_it_comes_again(
    harness: EngineHarness,
) -> None:
    dispatch(harness, committed(harness, "k"))
    harness.clock.advance(120)
    reached = {"1/0": {"QUEUED": NOON, "FAILURE": NOON}, "2/0": {"QUEUED": harness.clock.now()}}
    before = change(harness, "k", status=Status.FAILURE, attempt=2, granted=3, reached=reached)

    dispatch(harness, committed(harness, "k", number=2, at=NOON + 60_000))

    assert harness.only_run() == before


def test_tick_that_was_dispatched_while_the_run_was_under_way_starts_none_when_it_comes_again(
    harness: EngineHarness,
) -> None:
    dispatch(harness, committed(harness, "k"))
    change(harness, "k", status=Status.STARTED, granted=2)
    second = committed(harness, "k", number=2, at=NOON + 60_000)
    dispatch(harness, second)
    assert counts(harness, second) == DispatchCounts(existing=1)
    before = change(harness, "k", status=Status.FAILURE)
    harness.launches.drain()

    dispatch(harness, second)  # As the stream shows it: not dispatched yet.

    assert (harness.only_run(), launched(harness)) == (before, [])


def test_tick_requests_one_attempt_whatever_its_clock_said(harness: EngineHarness) -> None:
    first = committed(harness, "k", at=NOON + 3_000)
    dispatch(harness, first)
    change(harness, "k", status=Status.FAILURE, granted=3)
    dispatch(harness, committed(harness, "k", number=2, at=NOON + 1))
    before = change(harness, "k", status=Status.FAILURE)
    assert before.attempt == 2
    harness.tables.ticks["watch", first.tick_id] = first  # Its dispatch did not end.

    dispatch(harness, first)

    assert harness.only_run() == before


def test_attempt_made_by_a_clock_far_ahead_does_not_hold_its_key_until_then(harness: EngineHarness) -> None:
    harness.clock.advance(86_400)
    dispatch(harness, committed(harness, "k"))
    change(harness, "k", status=Status.FAILURE, granted=2)
    harness.clock.advance(-86_400 + 600)

    dispatch(harness, committed(harness, "k", number=2, at=harness.clock.now()))

    assert harness.only_run().attempt == 2


def test_redelivery_of_the_tick_behind_an_ended_attempt_starts_no_other(harness: EngineHarness) -> None:
    tick = committed(harness, "k")
    dispatch(harness, tick)
    harness.launches.drain()
    before = change(harness, "k", status=Status.FAILURE, granted=2)

    dispatch(harness, tick)

    assert (harness.only_run(), launched(harness)) == (before, [])


def test_each_raised_allowance_is_worth_one_attempt(harness: EngineHarness) -> None:
    dispatch(harness, committed(harness, "k"))
    change(harness, "k", status=Status.FAILURE, granted=2)

    for number in (2, 3):
        dispatch(harness, committed(harness, "k", number=number))
        change(harness, "k", status=Status.FAILURE)

    assert harness.only_run().attempt == 2


def failed_without_reaching_its_target(harness: EngineHarness) -> Run:
    dispatch(harness, committed(harness, "k"))
    harness.launches.drain()
    failure = Failure("LaunchRejectedError", "input too large", assumed=True)
    return change(harness, "k", status=Status.FAILURE, failure=failure, next_at=None)


def test_key_of_a_run_that_never_reached_its_target_goes_to_a_changed_request(harness: EngineHarness) -> None:
    failed_without_reaching_its_target(harness)
    later = committed(harness, "k", number=2, config='{"smaller":1}')

    dispatch(harness, later)

    run = harness.only_run()
    assert (run.attempt, run.status, run.run_config) == (2, Status.QUEUED, '{"smaller":1}')
    assert [body["attempt"] for body in harness.launches.drain()] == [2]
    assert counts(harness, later) == DispatchCounts(started=1)


def test_key_of_a_run_that_never_reached_its_target_stays_taken_for_the_same_request(
    harness: EngineHarness,
) -> None:
    before = failed_without_reaching_its_target(harness)

    dispatch(harness, committed(harness, "k", number=2))

    assert (harness.only_run(), launched(harness)) == (before, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"external_id": "arn:x"},
        {"pending_start": PendingStart("t", NOON, "arn:x")},
        {"reached": {"1/0": {"QUEUED": NOON, "STARTED": NOON, "FAILURE?": NOON}}},
        {"status": Status.CANCELED},
    ],
    ids=["started", "in doubt", "reported as started", "canceled"],
)
def test_key_of_a_run_that_may_have_reached_its_target_stays_taken(
    harness: EngineHarness, fields: dict[str, object]
) -> None:
    failed_without_reaching_its_target(harness)
    before = change(harness, "k", **fields)

    dispatch(harness, committed(harness, "k", number=2, config='{"smaller":1}'))

    assert (harness.only_run(), launched(harness)) == (before, [])


def test_second_attempt_that_never_reached_its_target_yields_only_if_no_attempt_did(
    harness: EngineHarness,
) -> None:
    failed_without_reaching_its_target(harness)
    reached = {
        "1/0": {"QUEUED": NOON, "STARTED": NOON, "FAILURE": NOON},
        "2/0": {"QUEUED": NOON, "FAILURE?": NOON},
    }
    before = change(harness, "k", attempt=2, granted=2, reached=reached)

    dispatch(harness, committed(harness, "k", number=2, config='{"smaller":1}'))

    assert harness.only_run() == before


@pytest.mark.parametrize("status", [Status.FAILURE, Status.CANCELED, Status.SUCCESS])
def test_key_is_retried_as_often_as_its_sensor_declares_unless_it_has_succeeded(
    harness: EngineHarness, status: Status
) -> None:
    attempts = []
    for number in range(1, 6):
        tick = committed(harness, "k", number=number)
        tick = replace(tick, requests=(replace(tick.requests[0], retries=2),))
        dispatch(harness, tick)
        attempts.append(harness.only_run().attempt)
        change(harness, "k", status=status, external_id="arn:x")

    assert attempts == ([1, 1, 1, 1, 1] if status is Status.SUCCESS else [1, 2, 3, 3, 3])
