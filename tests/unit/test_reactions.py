"""DISPATCH notes on runs that sensors acted on them, for the ticks of a batch together."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any, cast

import pytest

from tests.support.counting_runs import CountingRuns
from tests.support.dispatching import committed, dispatch
from tests.support.engine import JOB, EngineHarness
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import StoreRejectedError
from treadle.definitions.status import TickStatus
from treadle.engine.dispatch.dispatcher import Dispatcher
from treadle.engine.dispatch.reactions import ReactionNotes, reaction_of
from treadle.entrypoints.dispatcher import DispatcherParts, dispatch_stream
from treadle.model.runs import Run
from treadle.model.ticks import Tick
from treadle.testing.bus import InMemoryBus
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryRunStore


def reacting(harness: EngineHarness) -> tuple[list[Run], list[Tick]]:
    """Return runs, and ticks of a sensor that acted on each of them, and once more on the first one."""
    dispatch(harness, committed(harness, *"abc"))
    runs = list(harness.tables.runs.values())
    events = [f"{run.run_id}/1/0/SUCCESS" for run in runs] + [f"{runs[0].run_id}/1/0/STARTED"]
    ticks = [
        replace(committed(harness, number=number), acted_on=event) for number, event in enumerate(events, 2)
    ]
    return runs, ticks


def reactions(harness: EngineHarness) -> list[list[str]]:
    return [[each.tick_id for each in run.reactions] for run in harness.tables.runs.values()]


def dispatcher_on(harness: EngineHarness, runs: InMemoryRunStore) -> Dispatcher:
    grants = FixedGrants({"watch": frozenset({JOB})})
    return harness.engine_with(runs=runs).dispatcher(harness.launches, grants, harness.bus)


def test_reactions_of_a_batch_are_read_and_written_together(harness: EngineHarness) -> None:
    _, ticks = reacting(harness)
    store = CountingRuns(harness.tables)
    dispatcher = dispatcher_on(harness, store)

    dispatcher.dispatch_many(ticks)

    ids = [tick.tick_id for tick in ticks]
    assert reactions(harness) == [[ids[0], ids[3]], [ids[1]], [ids[2]]]
    assert store.called == ["get_many", "replace_many of 3"]


def test_run_that_others_change_meanwhile_gets_its_reaction_with_the_tick(harness: EngineHarness) -> None:
    runs, ticks = reacting(harness)
    store = CountingRuns(
        harness.tables,
        lambda: harness.runs.replace(replace(harness.tables.runs[runs[1].run_id], updated_at=1)),
    )
    dispatcher = dispatcher_on(harness, store)

    dispatcher.dispatch_many(ticks)

    assert store.called == ["get_many", "replace_many of 3", "get"]
    assert [len(each) for each in reactions(harness)] == [2, 1, 1]


def test_reaction_is_noted_once_however_often_its_batch_is_delivered(harness: EngineHarness) -> None:
    _, ticks = reacting(harness)

    for _ in range(3):
        ReactionNotes(harness.runs).note_many(ticks)

    assert [len(each) for each in reactions(harness)] == [2, 1, 1]


def test_ticks_without_a_run_here_are_left_to_their_own_dispatch(harness: EngineHarness) -> None:
    _, ticks = reacting(harness)
    elsewhere = replace(ticks[0], acted_on="of-another-stack/1/0/SUCCESS")
    plain = replace(ticks[1], acted_on=None)

    notes = ReactionNotes(harness.runs)
    assert notes.note_many([elsewhere, plain, *ticks[2:]]) == {tick.tick_id for tick in ticks[2:]}
    assert notes.note_many([ticks[0]]) == frozenset()


def test_reactions_of_two_ticks_are_noted_together(harness: EngineHarness) -> None:
    _, ticks = reacting(harness)

    assert ReactionNotes(harness.runs).note_many(ticks[:2]) == {tick.tick_id for tick in ticks[:2]}


def test_last_hundred_reactions_are_kept(harness: EngineHarness) -> None:
    _, ticks = reacting(harness)

    for number in range(101):
        ReactionNotes(harness.runs).note(replace(ticks[0], tick_id=str(number), sensor=f"sensor {number}"))

    assert reactions(harness)[0] == [str(number) for number in range(1, 101)]


def test_unreadable_run_keeps_no_tick_from_being_dispatched(harness: EngineHarness) -> None:
    runs, ticks = reacting(harness)
    harness.tables.unreadable[runs[0].run_id,] = "tags is a list"

    ReactionNotes(harness.runs).note(ticks[0])

    assert reactions(harness)[0] == []


@pytest.mark.parametrize("change", [{"status": TickStatus.SKIPPED}, {"dispatched": 1}, {"acted_on": None}])
def test_tick_that_is_not_to_be_dispatched_is_no_reaction(
    harness: EngineHarness, change: dict[str, Any]
) -> None:
    _, ticks = reacting(harness)

    assert reaction_of(ticks[0]) is not None
    assert reaction_of(replace(ticks[0], **change)) is None


class Rejecting(InMemoryRunStore):
    """Writes no record, as DynamoDB none that is too large."""

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        raise StoreRejectedError(f"{run.run_id} is too large")


def test_record_without_room_for_a_reaction_keeps_no_tick_from_being_dispatched(
    harness: EngineHarness,
) -> None:
    _, ticks = reacting(harness)

    ReactionNotes(Rejecting(harness.tables)).note(ticks[0])

    assert reactions(harness)[0] == []


class NeverTogether(InMemoryRunStore):
    """Fails in a way that no caller knows where several records are written."""

    def replace_many(self, changes: Sequence[tuple[Run, Run]]) -> list[Run | Exception | None]:
        raise ValueError(f"no such thing as {len(changes)} changes")


def test_batch_whose_reactions_cannot_be_noted_together_is_dispatched_all_the_same(
    harness: EngineHarness,
) -> None:
    _, ticks = reacting(harness)
    dispatcher = dispatcher_on(harness, NeverTogether(harness.tables))
    read: list[str] = []
    by_id = {tick.tick_id: tick for tick in ticks}

    def tick_of(image: dict[str, dict[str, Any]]) -> Tick:
        read.append(image["tick_id"]["S"])
        return by_id[read[-1]]

    none = cast("Any", None)
    parts = DispatcherParts(dispatcher, none, none, tick_of, InMemoryBus(), Inbox("dispatch", none, none))
    images = [{"tick_id": {"S": tick_id}, "acted_on": {"S": "an event"}} for tick_id in by_id]

    answer = dispatch_stream(parts, [{"dynamodb": {"NewImage": image}} for image in images])

    assert answer == {"batchItemFailures": []}
    assert [len(each) for each in reactions(harness)] == [2, 1, 1]
    assert read == list(by_id)
