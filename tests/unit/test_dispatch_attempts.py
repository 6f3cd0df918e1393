"""Later attempts: only for an ended run, an allowance and a later tick."""

import pytest

from tests.support.dispatching import NOON, change, committed, counts, dispatch, launched
from tests.support.house import House
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.folding import LAUNCH_DUE_MS
from treadle.ports.runs import Claim, Failure
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
