"""Later attempts: only for an ended run, an allowance and a later tick."""

from dataclasses import replace

import pytest

from tests.support.dispatching import NOON, change, committed, counts, dispatch, launched
from tests.support.house import House
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.folding import LAUNCH_DUE_MS
from treadle.ports.runs import Claim, Failure, Run, Try
from treadle.ports.ticks import DispatchCounts


def test_raised_allowance_lets_a_later_tick_start_the_next_attempt(house: House) -> None:
    first = committed(house, "k", config='{"v":1}')
    dispatch(house, first)
    house.launches.drain()
    ended = change(
        house,
        "k",
        status=Status.FAILURE,
        reached={"1/0": {"QUEUED": NOON, "FAILURE": NOON + 5}},
        granted=2,
        claim=Claim("old", NOON),
        external_id="e",
        target="t",
        started_at=NOON,
        ended_at=NOON + 5,
        failure=Failure("Told", "words"),
        next_at=None,
        revision=4,
    )
    house.clock.advance(60)
    later = committed(house, "k", number=2, config='{"v":2}')

    dispatch(house, later)

    run = house.only_run()
    now = NOON + 60_000
    assert (run.attempt, run.attempts_allowed, run.status) == (2, 2, Status.QUEUED)
    assert (run.tick_id, run.run_config, run.created_at) == (later.tick_id, '{"v":2}', NOON)
    assert run.reached == {**ended.reached, "2/0": {"QUEUED": now}}
    assert (run.claim, run.external_id, run.failure, run.ended_at) == (None, None, None, None)
    assert (run.next_at, run.revision) == (now + LAUNCH_DUE_MS, 5)
    assert [body["attempt"] for body in house.launches.drain()] == [2]
    assert counts(house, later) == DispatchCounts(started=1)


@pytest.mark.parametrize(
    ("status", "allowed", "number"),
    [(Status.STARTED, 2, 3), (Status.FAILURE, 1, 3), (Status.FAILURE, 2, 1)],
    ids=["still running", "no more attempts", "an earlier tick"],
)
def test_next_attempt_needs_an_ended_run_an_allowance_and_a_later_tick(
    house: House, status: Status, allowed: int, number: int
) -> None:
    dispatch(house, committed(house, "k", number=2))
    house.launches.drain()
    before = change(house, "k", status=status, granted=allowed)

    dispatch(house, committed(house, "k", number=number))

    assert (house.only_run(), launched(house)) == (before, [])


def test_redelivery_of_the_tick_behind_an_ended_attempt_starts_no_other(house: House) -> None:
    tick = committed(house, "k")
    dispatch(house, tick)
    house.launches.drain()
    before = change(house, "k", status=Status.FAILURE, granted=2)

    dispatch(house, tick)

    assert (house.only_run(), launched(house)) == (before, [])


def test_each_raised_allowance_is_worth_one_attempt(house: House) -> None:
    dispatch(house, committed(house, "k"))
    change(house, "k", status=Status.FAILURE, granted=2)

    for number in (2, 3):
        dispatch(house, committed(house, "k", number=number))
        change(house, "k", status=Status.FAILURE)

    assert house.only_run().attempt == 2


def failed_without_reaching_its_target(house: House) -> Run:
    dispatch(house, committed(house, "k"))
    house.launches.drain()
    failure = Failure("LaunchRejectedError", "input too large", assumed=True)
    return change(house, "k", status=Status.FAILURE, failure=failure, next_at=None)


def test_key_of_a_run_that_never_reached_its_target_goes_to_a_changed_request(house: House) -> None:
    failed_without_reaching_its_target(house)
    later = committed(house, "k", number=2, config='{"smaller":1}')

    dispatch(house, later)

    run = house.only_run()
    assert (run.attempt, run.status, run.run_config) == (2, Status.QUEUED, '{"smaller":1}')
    assert [body["attempt"] for body in house.launches.drain()] == [2]
    assert counts(house, later) == DispatchCounts(started=1)


def test_key_of_a_run_that_never_reached_its_target_stays_taken_for_the_same_request(house: House) -> None:
    before = failed_without_reaching_its_target(house)

    dispatch(house, committed(house, "k", number=2))

    assert (house.only_run(), launched(house)) == (before, [])


@pytest.mark.parametrize(
    "fields",
    [
        {"external_id": "arn:x"},
        {"tried": Try("t", NOON, "arn:x")},
        {"reached": {"1/0": {"QUEUED": NOON, "STARTED": NOON, "FAILURE?": NOON}}},
        {"status": Status.CANCELED},
    ],
    ids=["started", "in doubt", "reported as started", "canceled"],
)
def test_key_of_a_run_that_may_have_reached_its_target_stays_taken(
    house: House, fields: dict[str, object]
) -> None:
    failed_without_reaching_its_target(house)
    before = change(house, "k", **fields)

    dispatch(house, committed(house, "k", number=2, config='{"smaller":1}'))

    assert (house.only_run(), launched(house)) == (before, [])


def test_second_attempt_that_never_reached_its_target_yields_only_if_no_attempt_did(house: House) -> None:
    failed_without_reaching_its_target(house)
    reached = {
        "1/0": {"QUEUED": NOON, "STARTED": NOON, "FAILURE": NOON},
        "2/0": {"QUEUED": NOON, "FAILURE?": NOON},
    }
    before = change(house, "k", attempt=2, granted=2, reached=reached)

    dispatch(house, committed(house, "k", number=2, config='{"smaller":1}'))

    assert house.only_run() == before


@pytest.mark.parametrize("status", [Status.FAILURE, Status.CANCELED, Status.SUCCESS])
def test_key_is_retried_as_often_as_its_sensor_declares_unless_it_has_succeeded(
    house: House, status: Status
) -> None:
    attempts = []
    for number in range(1, 6):
        tick = committed(house, "k", number=number)
        tick = replace(tick, requests=(replace(tick.requests[0], retries=2),))
        dispatch(house, tick)
        attempts.append(house.only_run().attempt)
        change(house, "k", status=status, external_id="arn:x")

    assert attempts == ([1, 1, 1, 1, 1] if status is Status.SUCCESS else [1, 2, 3, 3, 3])
