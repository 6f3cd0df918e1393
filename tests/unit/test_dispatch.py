"""DISPATCH: each request of a committed tick has its run once, whatever comes how often."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.house import JOB, RUN_IDS, House
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.folding import LAUNCH_DUE_MS
from treadle.engine.identity import leased_tick_id
from treadle.engine.outcomes import Decision, Outcome
from treadle.ports.runs import Claim, Failure, Run
from treadle.ports.ticks import DispatchCounts, PlannedRun, Tick, TickKind

NOON = 1_795_370_400_000


def committed(
    house: House,
    *keys: str | None,
    number: int = 1,
    status: TickStatus = TickStatus.SUCCESS,
    config: str = "{}",
    job: str = JOB,
) -> Tick:
    """A tick with a request for each key, as the evaluator commits it."""
    tick_id = leased_tick_id(NOON + number * 60_000, number)
    requests = tuple(
        PlannedRun(
            RUN_IDS.keyed("watch", key) if key else RUN_IDS.keyless("watch", tick_id, index),
            key,
            job,
            config,
            {"t": "1"},
        )
        for index, key in enumerate(keys)
    )
    tick = Tick("watch", tick_id, TickKind.LEASED, status, NOON, NOON, NOON, requests=requests)
    house.tables.ticks["watch", tick_id] = tick
    return tick


def dispatch(house: House, tick: Tick) -> Outcome:
    return house.dispatcher().dispatch(tick)


def change(house: House, key: str, **fields: object) -> Run:
    """The run of a key, changed behind everybody's back."""
    run_id = RUN_IDS.keyed("watch", key)
    house.tables.runs[run_id] = replace(house.tables.runs[run_id], **fields)  # type: ignore[arg-type]
    return house.tables.runs[run_id]


def launched(house: House) -> list[object]:
    return [body["run_id"] for body in house.launches.drain()]


def counts(house: House, tick: Tick) -> DispatchCounts | None:
    return house.tables.ticks[tick.sensor, tick.tick_id].dispatched


def test_request_becomes_a_queued_run_and_a_launch_message(house: House) -> None:
    tick = committed(house, "k", config='{"a":1}')

    outcome = dispatch(house, tick)

    run = house.only_run()
    assert run == Run(
        run_id=RUN_IDS.keyed("watch", "k"),
        job=JOB,
        sensor="watch",
        run_key="k",
        tick_id=tick.tick_id,
        run_config='{"a":1}',
        tags={
            "t": "1",
            "dagster/sensor_name": "watch",
            "dagster/tick": tick.tick_id,
            "dagster/run_key": "k",
        },
        created_at=NOON,
        reached={"1/0": {"QUEUED": NOON}},
        next_at=NOON + LAUNCH_DUE_MS,
    )
    assert [(m.body, m.delay_seconds) for m in house.launches.messages] == [
        ({"treadle": "launch", "run_id": run.run_id, "attempt": 1}, 0)
    ]
    assert (outcome.decision, outcome.count) == (Decision.SUCCESS, 1)
    assert outcome.reason == "1 runs, 0 keys taken already, 0 refused"
    assert counts(house, tick) == DispatchCounts(started=1)


def test_partition_and_own_tags_travel_and_treadles_tags_win(house: House) -> None:
    tick = committed(house, None)
    request = replace(tick.requests[0], partition_key="p", tags={"dagster/tick": "forged", "own": "1"})

    dispatch(house, replace(tick, requests=(request,)))

    run = house.only_run()
    assert (run.partition_key, run.tags["dagster/partition"]) == ("p", "p")
    assert (run.tags["dagster/tick"], run.tags["own"]) == (tick.tick_id, "1")
    assert "dagster/run_key" not in run.tags


@given(st.lists(st.sampled_from([None, "a", "b"]), unique_by=lambda key: key or object(), max_size=5))
def test_redelivery_of_a_tick_makes_no_further_run(keys: Sequence[str | None]) -> None:
    """I1 and I3."""
    house = House()
    tick = committed(house, *keys)

    dispatch(house, tick)
    runs, done = dict(house.tables.runs), counts(house, tick)
    dispatch(house, tick)

    assert len(runs) == len(keys)
    assert (house.tables.runs, counts(house, tick)) == (runs, done)


def test_redelivery_sends_again_only_what_no_launch_has_taken_up(house: House) -> None:
    """I2: the answer of the first dispatch may have been lost before the queue had the messages."""
    tick = committed(house, "waiting", "claimed", "started")
    dispatch(house, tick)
    house.launches.drain()
    change(house, "claimed", claim=Claim("token", NOON))
    change(house, "started", status=Status.STARTED)

    dispatch(house, tick)

    assert launched(house) == [RUN_IDS.keyed("watch", "waiting")]


def test_job_that_the_deployment_does_not_grant_is_refused_and_its_key_stays_free(house: House) -> None:
    tick = committed(house, "k", job="other_job")

    outcome = dispatch(house, tick)

    (refusal,) = house.tables.ticks["watch", tick.tick_id].refusals
    assert (house.tables.runs, house.launches.messages) == ({}, [])
    assert counts(house, tick) == DispatchCounts(refused=1)
    assert outcome.reason == "0 runs, 0 keys taken already, 1 refused"
    assert "Sensor watch may not start job 'other_job' (run key 'k')" in refusal
    assert "Jobs parameter" in refusal


def test_grant_of_another_sensor_does_not_count(house: House) -> None:
    tick = committed(house, "k")

    house.dispatcher(other=JOB).dispatch(tick)

    assert (house.tables.runs, counts(house, tick)) == ({}, DispatchCounts(refused=1))


def test_refused_request_does_not_block_the_others(house: House) -> None:
    tick = committed(house, "a", "b")
    requests = (replace(tick.requests[0], job="other_job"), tick.requests[1])

    dispatch(house, replace(tick, requests=requests))

    assert [run.run_key for run in house.tables.runs.values()] == ["b"]


@pytest.mark.parametrize("status", [TickStatus.SKIPPED, TickStatus.FAILURE])
def test_tick_that_is_no_success_has_nothing_to_dispatch(house: House, status: TickStatus) -> None:
    tick = committed(house, "k", status=status)

    outcome = dispatch(house, tick)

    assert outcome.decision is Decision.DUPLICATE
    assert (house.tables.runs, house.launches.messages, counts(house, tick)) == ({}, [], None)


def test_second_tick_with_the_same_key_starts_nothing(house: House) -> None:
    """I1: whatever has become of the run."""
    dispatch(house, committed(house, "k"))
    house.launches.drain()

    for number, status in enumerate(Status, start=2):
        before = change(house, "k", status=status)
        tick = committed(house, "k", number=number, config='{"changed":1}')
        dispatch(house, tick)

        assert house.only_run() == before
        assert counts(house, tick) == DispatchCounts(existing=1)
    assert launched(house) == []


def test_raised_allowance_lets_a_later_tick_start_the_next_attempt(house: House) -> None:
    first = committed(house, "k", config='{"v":1}')
    dispatch(house, first)
    house.launches.drain()
    ended = change(
        house,
        "k",
        status=Status.FAILURE,
        reached={"1/0": {"QUEUED": NOON, "FAILURE": NOON + 5}},
        attempts_allowed=2,
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
    before = change(house, "k", status=status, attempts_allowed=allowed)

    dispatch(house, committed(house, "k", number=number))

    assert (house.only_run(), launched(house)) == (before, [])


def test_redelivery_of_the_tick_behind_an_ended_attempt_starts_no_other(house: House) -> None:
    tick = committed(house, "k")
    dispatch(house, tick)
    house.launches.drain()
    before = change(house, "k", status=Status.FAILURE, attempts_allowed=2)

    dispatch(house, tick)

    assert (house.only_run(), launched(house)) == (before, [])


def test_each_raised_allowance_is_worth_one_attempt(house: House) -> None:
    dispatch(house, committed(house, "k"))
    change(house, "k", status=Status.FAILURE, attempts_allowed=2)

    for number in (2, 3):
        dispatch(house, committed(house, "k", number=number))
        change(house, "k", status=Status.FAILURE)

    assert house.only_run().attempt == 2
