"""One bad message never blocks those beside it, and is kept with origin and reason."""

import json
from collections.abc import Callable
from uuid import uuid4

import pytest

from tests.e2e.deployment import (
    Deployed,
    eventually,
    fresh_key,
    launch_message,
    object_created,
    run_record,
    status_changed,
)
from treadle.definitions.status import DagsterRunStatus

Proceeds = Callable[[], bool]


def object_event(deployed: Deployed) -> tuple[str, Proceeds]:
    key = fresh_key()
    with deployed.without_events():
        etag = deployed.upload(key)
    return object_created(deployed.bucket, key, etag), lambda: bool(deployed.event_ticks(key))


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
        ("Launch", launch, "launch"),
        ("Record", status_change, "record"),
    ],
)
def test_an_unknown_message_is_given_up_with_its_reason_and_the_one_beside_it_proceeds(
    deployed: Deployed,
    queue: str,
    good_message: Callable[[Deployed], tuple[str, Proceeds]],
    origin: str,
) -> None:
    good, proceeds = good_message(deployed)
    mark = str(uuid4())
    unknown = json.dumps({"source": "made.by.a.test", "detail-type": "Nobody Knows", "mark": mark})

    deployed.send(queue, unknown, "no JSON at all, " + mark, good)

    eventually(proceeds, "the good message was handled")
    eventually(lambda: len(deployed.dead_letters(mark)) == 2, "both of the others are dead letters")
    letters = deployed.dead_letters(mark)
    assert {letter.origin for letter in letters} == {origin}
    assert all(letter.reason.startswith("UnknownEventError: ") for letter in letters)
    assert unknown in {letter.body for letter in letters}
