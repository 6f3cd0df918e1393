"""A malformed message does not block others, and becomes a dead letter with origin and reason."""

import json
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.e2e.deployment import (
    SENSOR,
    Deployed,
    eventually,
    fresh_key,
    launch_message,
    object_created,
    run_record,
    status_changed,
)
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.dispatch.chunks import CHUNK_SIZE, chunk_count
from treadle.engine.dispatch.dispatcher import DEFAULT_DEPTH
from treadle.engine.messages import ChunkRequest
from treadle.model.ticks import DispatchCounts, PlannedRun, Tick, TickKind

Proceeds = Callable[[], bool]
GoodMessage = Callable[[Deployed], tuple[str, Proceeds]]


def object_event(deployed: Deployed) -> tuple[str, Proceeds]:
    key = fresh_key()
    with deployed.without_events():
        etag = deployed.upload(key)
    return object_created(deployed.bucket, key, etag), lambda: bool(deployed.event_ticks(key))


def tick_chunk(deployed: Deployed) -> tuple[str, Proceeds]:
    """Of a tick whose requests are all refused, as it looks like the end of a loop."""
    requests = [PlannedRun(str(uuid4()), None, "process_file", "{}", {}) for _ in range(CHUNK_SIZE + 1)]
    at = 1_795_370_405_000
    tick = Tick(
        SENSOR,
        str(uuid4()),
        TickKind.EVENT,
        TickStatus.SUCCESS,
        at,
        at,
        at,
        requests=tuple(requests),
        depth=DEFAULT_DEPTH,
    )
    deployed.stores.ticks.put(tick)

    def proceeds() -> bool:
        found = deployed.stores.ticks.get(SENSOR, tick.tick_id)
        return found is not None and found.dispatched == DispatchCounts(refused=len(requests))

    return json.dumps(ChunkRequest(tick.sensor, tick.tick_id, 0, chunk_count(tick)).to_json()), proceeds


def launch(deployed: Deployed) -> tuple[str, Proceeds]:
    run = run_record()
    deployed.stores.runs.create(run)
    return launch_message(run), lambda: bool(deployed.executions(run))


def status_change(deployed: Deployed) -> tuple[str, Proceeds]:
    run = run_record()
    deployed.stores.runs.create(run)

    def proceeds() -> bool:
        found = deployed.stores.runs.get(run.run_id)
        return found is not None and found.status is DagsterRunStatus.STARTED

    return status_changed(deployed.machine, run, "RUNNING"), proceeds


@pytest.mark.parametrize(
    ("queue", "good_message", "origin"),
    [
        ("NewObjects", object_event, "sensor new_objects"),
        ("Dispatch", tick_chunk, "dispatch"),
        ("Launch", launch, "launch"),
        ("Record", status_change, "record"),
    ],
)
def test_an_unknown_message_is_given_up_with_its_reason_and_the_one_beside_it_proceeds(
    deployed: Deployed,
    queue: str,
    good_message: GoodMessage,
    origin: str,
) -> None:
    good, proceeds = good_message(deployed)
    mark = str(uuid4())
    unknown = json.dumps({"source": "made.by.a.test", "detail-type": "Nobody Knows", "mark": mark})

    deployed.send(queue, unknown, "no JSON at all, " + mark, good)

    eventually(proceeds, "the good message was handled")
    eventually(lambda: len(deployed.dead_letters(mark)) == 2, "both of the others are dead letters")
    kept = deployed.dead_letters(mark)
    assert {dead_letter.origin for dead_letter in kept} == {origin}
    assert all(dead_letter.reason.startswith("UnknownEventError: ") for dead_letter in kept)
    assert unknown in {dead_letter.body for dead_letter in kept}
