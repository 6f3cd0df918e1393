"""DISPATCH: each request of a committed tick has its run once, whatever comes how often."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.dispatching import NOON, change, committed, counts, dispatch, launched
from tests.support.engine import JOB, RUN_IDS, EngineHarness
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.outcomes import Decision
from treadle.engine.record.run_state import LAUNCH_DUE_MS
from treadle.model.runs import Claim, Run
from treadle.model.ticks import DispatchCounts


def test_request_becomes_a_queued_run_and_a_launch_message(harness: EngineHarness) -> None:
    tick = committed(harness, "k", config='{"a":1}')

    outcome = dispatch(harness, tick)

    run = harness.only_run()
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
            "treadle/depth": "1",
        },
        created_at=NOON,
        reached={"1/0": {"QUEUED": NOON}},
        next_at=NOON + LAUNCH_DUE_MS,
    )
    assert [(m.body, m.delay_seconds) for m in harness.launches.messages] == [
        ({"treadle": "launch", "run_id": run.run_id, "attempt": 1, "job": JOB}, 0)
    ]
    assert (outcome.decision, outcome.count) == (Decision.SUCCESS, 1)
    assert outcome.reason == "1 run, 0 keys taken already, 0 refused"
    assert counts(harness, tick) == DispatchCounts(started=1)


def test_partition_and_own_tags_travel_and_treadles_tags_win(harness: EngineHarness) -> None:
    tick = committed(harness, None)
    request = replace(tick.requests[0], partition_key="p", tags={"dagster/tick": "forged", "own": "1"})

    dispatch(harness, replace(tick, requests=(request,)))

    run = harness.only_run()
    assert (run.partition_key, run.tags["dagster/partition"]) == ("p", "p")
    assert (run.tags["dagster/tick"], run.tags["own"]) == (tick.tick_id, "1")
    assert "dagster/run_key" not in run.tags


@given(st.lists(st.sampled_from([None, "a", "b"]), unique_by=lambda key: key or object(), max_size=5))
def test_redelivery_of_a_tick_makes_no_further_run(keys: Sequence[str | None]) -> None:
    """I1 and I3."""
    harness = EngineHarness()
    tick = committed(harness, *keys)

    dispatch(harness, tick)
    runs, done = dict(harness.tables.runs), counts(harness, tick)
    dispatch(harness, tick)

    assert len(runs) == len(keys)
    assert (harness.tables.runs, counts(harness, tick)) == (runs, done)


def test_redelivery_sends_again_only_what_no_launch_has_received(harness: EngineHarness) -> None:
    """I2: the answer of the first dispatch may have been lost before the queue had the messages."""
    tick = committed(harness, "waiting", "claimed", "started")
    dispatch(harness, tick)
    harness.launches.drain()
    change(harness, "claimed", claim=Claim("token", NOON))
    change(harness, "started", status=Status.STARTED)

    dispatch(harness, tick)

    assert launched(harness) == [RUN_IDS.keyed("watch", "waiting")]


def test_grant_of_another_sensor_does_not_count(harness: EngineHarness) -> None:
    tick = committed(harness, "k")

    outcome = harness.dispatcher(other=JOB).dispatch(tick)

    assert (harness.tables.runs, counts(harness, tick)) == ({}, None)
    assert (outcome.decision, outcome.held) == (Decision.HELD, 1)


@pytest.mark.parametrize("status", [TickStatus.SKIPPED, TickStatus.FAILURE])
def test_tick_that_is_no_success_has_nothing_to_dispatch(harness: EngineHarness, status: TickStatus) -> None:
    tick = committed(harness, "k", status=status)

    outcome = dispatch(harness, tick)

    assert outcome.decision is Decision.DUPLICATE
    assert (harness.tables.runs, harness.launches.messages, counts(harness, tick)) == ({}, [], None)


def test_second_tick_with_the_same_key_starts_nothing(harness: EngineHarness) -> None:
    """I1: whatever has become of the run."""
    dispatch(harness, committed(harness, "k"))
    harness.launches.drain()

    for number, status in enumerate(Status, start=2):
        before = change(harness, "k", status=status, external_id="arn:x")
        tick = committed(harness, "k", number=number, config='{"changed":1}')
        dispatch(harness, tick)

        assert harness.only_run() == before
        assert counts(harness, tick) == DispatchCounts(existing=1)
    assert launched(harness) == []
