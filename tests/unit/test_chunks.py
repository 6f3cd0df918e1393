"""DISPATCH in chunks: a tick with many requests ends as if it had been applied in one pass."""

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.support.engine import JOB, RUN_IDS, EngineHarness, sensor_of
from treadle.definitions.errors import StoreError, UnknownEventError
from treadle.definitions.results import RunRequest
from treadle.definitions.status import TickStatus
from treadle.engine.dispatch.chunks import CHUNK_SIZE, chunk, chunk_count
from treadle.engine.dispatch.dispatcher import (
    DEFAULT_DEPTH,
    HANDED_ON_MS,
    SHOWN_REFUSALS,
    SHOWN_REFUSALS_OF_CHUNK,
)
from treadle.engine.identity import leased_tick_id
from treadle.engine.messages import ChunkRequest
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.evaluation import Budget
from treadle.model.ticks import DispatchCounts, PlannedRun, Tick, TickKind
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryTickStore
from treadle.testing.system import InMemoryQueue

NOON = 1_795_370_400_000
TICK_ID = leased_tick_id(NOON, 1)


def requests_of(count: int, job: str = JOB) -> tuple[PlannedRun, ...]:
    keys = (f"k{index}" for index in range(count))
    return tuple(PlannedRun(RUN_IDS.keyed("watch", key), key, job, "{}", {}) for key in keys)


def committed(harness: EngineHarness, count: int, job: str = JOB) -> Tick:
    """Return a tick with so many requests, as the evaluator commits it."""
    requests = requests_of(count, job)
    tick = Tick("watch", TICK_ID, TickKind.LEASED, TickStatus.SUCCESS, NOON, NOON, NOON, requests=requests)
    harness.tables.ticks["watch", TICK_ID] = tick
    return tick


def handed_on(harness: EngineHarness, tick: Tick) -> list[ChunkRequest]:
    """Return what DISPATCH sends to itself for a tick."""
    harness.dispatcher().dispatch(tick)
    return [harness.chunk_request(body) for body in harness.chunks.drain()]


def too_deep(harness: EngineHarness) -> None:
    """Let the tick look like one of a loop, whose every request is refused."""
    harness.tables.ticks["watch", TICK_ID] = replace(stored(harness), depth=DEFAULT_DEPTH)


def dispatched(harness: EngineHarness, *chunks: ChunkRequest) -> list[Outcome]:
    return [harness.dispatcher().dispatch_chunk(each) for each in chunks]


def stored(harness: EngineHarness) -> Tick:
    return harness.tables.ticks["watch", TICK_ID]


def launched(harness: EngineHarness) -> list[object]:
    return [message.body["run_id"] for message in harness.launches.messages]


@pytest.mark.parametrize("workers", [1, 8])
@pytest.mark.many
def test_ten_thousand_requests_of_one_tick_have_one_run_and_one_launch_each(workers: int) -> None:
    """I1 and I2: from the evaluation to the launch messages, each chunk delivered twice."""
    harness = EngineHarness(workers=workers)
    keys = [f"k{index}" for index in range(10_000)]
    harness.leased(sensor_of(lambda: [RunRequest(key) for key in keys])).tick(NOON, Budget())
    (tick,) = harness.tick_records()

    chunks = handed_on(harness, tick)
    for each in chunks:
        dispatched(harness, each, each)
    dispatched(harness, *chunks)

    assert len(chunks) == 20
    assert sorted(run.run_key or "" for run in harness.tables.runs.values()) == sorted(keys)
    assert sorted(map(str, launched(harness))) == sorted(harness.tables.runs)
    (tick,) = harness.tick_records()
    assert tick.dispatched == DispatchCounts(started=10_000)


def test_tick_of_as_many_requests_as_a_chunk_is_one_pass(harness: EngineHarness) -> None:
    tick = committed(harness, CHUNK_SIZE)

    assert handed_on(harness, tick) == []

    assert len(harness.tables.runs) == CHUNK_SIZE
    assert stored(harness) == replace(tick, dispatched=DispatchCounts(CHUNK_SIZE))


def test_tick_of_one_request_more_is_handed_on_and_nothing_else_is_done(harness: EngineHarness) -> None:
    tick = committed(harness, CHUNK_SIZE + 1)

    chunks = handed_on(harness, tick)

    assert chunks == [ChunkRequest("watch", TICK_ID, index, 2) for index in (0, 1)]
    waiting = replace(tick, held=f"{CHUNK_SIZE + 1} requests: 2 of 2 chunks sent to the dispatch queue")
    assert (harness.tables.runs, harness.launches.messages, stored(harness)) == ({}, [], waiting)
    assert harness.ticks.pending(NOON + HANDED_ON_MS, 5) == []
    assert harness.ticks.pending(NOON + HANDED_ON_MS + 1, 5) == [("watch", TICK_ID)]


@pytest.mark.parametrize(("requests", "chunks"), [(1, 1), (500, 1), (501, 2), (1_000, 2), (1_001, 3)])
def test_a_tick_has_a_chunk_for_each_500_requests(harness: EngineHarness, requests: int, chunks: int) -> None:
    assert chunk_count(committed(harness, requests)) == chunks


@given(st.integers(1, 2_000), st.integers(1, 40))
def test_chunks_are_all_requests_each_once_in_even_parts(count: int, of: int) -> None:
    everything = list(range(count))

    parts = [chunk(everything, index, of) for index in range(of)]

    assert [each for part in parts for each in part] == everything
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


@settings(max_examples=20)
@given(st.permutations([0, 1, 2, 0, 1, 2]))
def test_chunks_in_any_order_delivered_twice_end_the_same(order: list[int]) -> None:
    harness = EngineHarness()
    chunks = handed_on(harness, committed(harness, 2 * CHUNK_SIZE + 1))

    dispatched(harness, *(chunks[index] for index in order))

    assert len(harness.tables.runs) == len(launched(harness)) == 2 * CHUNK_SIZE + 1
    assert stored(harness).dispatched == DispatchCounts(2 * CHUNK_SIZE + 1)


def test_tick_stays_pending_until_its_last_chunk_came_however_late(harness: EngineHarness) -> None:
    """A chunk whose process was killed before it did anything comes again."""
    chunks = handed_on(harness, committed(harness, 3 * CHUNK_SIZE))

    dispatched(harness, chunks[0], chunks[2])
    assert stored(harness).dispatched is None

    dispatched(harness, chunks[1])
    assert stored(harness).dispatched == DispatchCounts(3 * CHUNK_SIZE)


def test_chunk_killed_before_it_was_noted_comes_again_and_is_counted_once(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = handed_on(harness, committed(harness, 2 * CHUNK_SIZE))
    with monkeypatch.context() as patched:
        patched.setattr(InMemoryTickStore, "mark_chunk_done", _killed)
        with pytest.raises(StoreError):
            dispatched(harness, chunks[0])

    dispatched(harness, *chunks)

    assert len(harness.tables.runs) == 2 * CHUNK_SIZE
    assert stored(harness).dispatched == DispatchCounts(2 * CHUNK_SIZE)


def test_killed_between_the_last_note_and_the_end_the_redelivery_ends_it(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = handed_on(harness, committed(harness, 2 * CHUNK_SIZE))
    dispatched(harness, chunks[0])
    with monkeypatch.context() as patched:
        patched.setattr(InMemoryTickStore, "mark_dispatched", _killed)
        with pytest.raises(StoreError):
            dispatched(harness, chunks[1])
    before = list(harness.launches.messages)

    (outcome,) = dispatched(harness, chunks[1])

    assert outcome.decision is Decision.DUPLICATE
    assert stored(harness).dispatched == DispatchCounts(2 * CHUNK_SIZE)
    assert harness.launches.messages == before


def _killed(*_args: object) -> None:
    raise StoreError("killed")


def test_tick_handed_on_again_sends_only_the_chunks_that_are_not_done(harness: EngineHarness) -> None:
    """A pending tick may be sent to DISPATCH again."""
    chunks = handed_on(harness, committed(harness, 3 * CHUNK_SIZE))
    dispatched(harness, chunks[1])

    assert handed_on(harness, stored(harness)) == [chunks[0], chunks[2]]


def test_tick_handed_on_again_with_all_chunks_done_is_ended(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    chunks = handed_on(harness, committed(harness, 2 * CHUNK_SIZE))
    with monkeypatch.context() as patched:
        patched.setattr(InMemoryTickStore, "mark_dispatched", lambda *_args: None)
        dispatched(harness, *chunks)

    assert handed_on(harness, stored(harness)) == []

    assert stored(harness).dispatched == DispatchCounts(2 * CHUNK_SIZE)


@pytest.mark.parametrize(
    "request_", [ChunkRequest("watch", TICK_ID, 2, 2), ChunkRequest("watch", TICK_ID, 0, 3)]
)
def test_chunk_that_the_tick_does_not_have_is_refused_and_nothing_done(
    harness: EngineHarness, request_: ChunkRequest
) -> None:
    committed(harness, 2 * CHUNK_SIZE)

    with pytest.raises(
        UnknownEventError,
        match=f"has 2 chunks, and the message names chunk {request_.index} of {request_.of}",
    ):
        dispatched(harness, request_)

    assert harness.tables.runs == {}


def test_chunk_of_an_unknown_tick_is_refused(harness: EngineHarness) -> None:
    with pytest.raises(UnknownEventError, match="Sensor watch has no tick gone"):
        dispatched(harness, ChunkRequest("watch", "gone", 0, 2))


def test_chunks_keep_the_number_that_the_first_of_them_said(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deployment with chunks of another size may come in between."""
    chunks = handed_on(harness, committed(harness, 3 * CHUNK_SIZE))
    dispatched(harness, chunks[0])
    monkeypatch.setattr("treadle.engine.dispatch.chunks.CHUNK_SIZE", 100)

    dispatched(harness, *chunks)

    assert stored(harness).dispatched == DispatchCounts(3 * CHUNK_SIZE)


def test_refusals_are_all_counted_and_a_few_of_each_chunk_reported(harness: EngineHarness) -> None:
    chunks = handed_on(harness, committed(harness, 2 * CHUNK_SIZE))
    too_deep(harness)

    dispatched(harness, *chunks, *chunks)

    assert stored(harness).dispatched == DispatchCounts(refused=2 * CHUNK_SIZE)
    assert len(stored(harness).refusals) == 2 * SHOWN_REFUSALS_OF_CHUNK


def test_refusals_of_one_pass_are_all_counted_and_the_first_reported(harness: EngineHarness) -> None:
    """A record has no room for hundreds of them, and would stay pending for ever."""
    harness.dispatcher().dispatch(replace(committed(harness, CHUNK_SIZE), depth=DEFAULT_DEPTH))

    assert stored(harness).dispatched == DispatchCounts(refused=CHUNK_SIZE)
    assert len(stored(harness).refusals) == SHOWN_REFUSALS


def test_without_a_queue_for_chunks_any_tick_is_one_pass(harness: EngineHarness) -> None:
    tick = committed(harness, CHUNK_SIZE + 1)
    grants = FixedGrants({"watch": frozenset({JOB})})
    dispatcher = harness.engine.dispatcher(harness.launches, grants, harness.bus)

    dispatcher.dispatch(tick)

    assert stored(harness).dispatched == DispatchCounts(CHUNK_SIZE + 1)


def test_workers_keep_the_order_of_the_launches(harness: EngineHarness) -> None:
    harness.workers = 8
    tick = committed(harness, 100)

    handed_on(harness, tick)

    assert launched(harness) == [request.run_id for request in tick.requests]


def test_a_worker_that_fails_fails_the_pass_and_the_tick_stays_pending(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    harness.workers = 8
    monkeypatch.setattr(type(harness.runs), "create", _killed)

    with pytest.raises(StoreError):
        handed_on(harness, committed(harness, 100))

    assert stored(harness).dispatched is None
    assert isinstance(harness.launches, InMemoryQueue)
    assert harness.launches.messages == []
