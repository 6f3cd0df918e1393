"""The numbers of events on DynamoDB's store, whatever becomes of the process that appends them, at each request."""

import contextlib
from collections.abc import Sequence
from dataclasses import replace

import boto3
import pytest

from tests.faults_moto.backend import Tables, on_dynamodb
from treadle.definitions.errors import StoreError
from treadle.model.assets import AssetEvent, ended_runs_key
from treadle.ports.assets import EventStore
from treadle.testing.faults import Fault, Faults

KEY = ended_runs_key("load")
EVENT = AssetEvent(KEY, "a", "SUCCESS", 1, "{}")
ONE, OTHER = [EVENT], [replace(EVENT, event_id="b")]
SEVERAL = [replace(EVENT, event_id=name) for name in "abcd"]
AFTERWARDS = {
    "delivered again": [ONE],
    "after another one": [OTHER, ONE],
    "in a larger batch": [SEVERAL, ONE],
}


def check(tables: Tables, events: EventStore, ids: set[str]) -> None:
    """Check that each event has one number, without a gap, which its id and the counter confirm."""
    stored = events.after(KEY, 0, 100)
    items = boto3.client("dynamodb").scan(TableName=tables.names.events)["Items"]
    numbers = {item["item"]["S"]: int(item["storage_id"]["N"]) for item in items}

    assert {event.event_id for event in stored} == ids
    assert [event.storage_id for event in stored] == list(range(1, len(ids) + 1))
    assert {name: number for name, number in numbers.items() if name.startswith("id#")} == {
        f"id#{event.event_id}": event.storage_id for event in stored
    }
    assert numbers["counter"] == len(ids)


def requests_of(tables: Tables, batch: Sequence[AssetEvent]) -> int:
    """Return the number of requests of an append."""
    faults = Faults()
    events = on_dynamodb(tables, faults, each_request=True).stores.events
    faults.run("publish", lambda: events.append(batch))
    return len(faults.calls)


@pytest.mark.parametrize("afterwards", AFTERWARDS)
@pytest.mark.parametrize("fault", [Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST])
@pytest.mark.parametrize("batch", [ONE, SEVERAL], ids=["one", "several"])
def test_append_that_ends_anywhere_is_completed(
    tables: Tables, batch: list[AssetEvent], fault: Fault, afterwards: str
) -> None:
    for number in range(1, requests_of(tables, batch) + 1):
        faults = Faults({number: fault})
        events = on_dynamodb(tables, faults, each_request=True).stores.events

        with contextlib.suppress(StoreError):
            faults.run("publish", lambda store=events: store.append(batch))  # type: ignore[misc]
        for later in (*AFTERWARDS[afterwards], batch):
            events.append(later)

        assert len(faults.injected) == 1
        ids = {event.event_id for each in (*AFTERWARDS[afterwards], batch) for event in each}
        check(tables, events, ids)


@pytest.mark.parametrize("meanwhile", AFTERWARDS)
@pytest.mark.parametrize("batch", [ONE, SEVERAL], ids=["one", "several"])
def test_append_that_another_overtakes_numbers_each_event_once(
    tables: Tables, batch: list[AssetEvent], meanwhile: str
) -> None:
    for number in range(1, requests_of(tables, batch) + 1):
        faults = Faults({number: Fault.PAUSE})
        events = on_dynamodb(tables, faults, each_request=True).stores.events

        def overtake(store: EventStore = events) -> None:
            for each in AFTERWARDS[meanwhile]:
                store.append(each)

        faults.pause = overtake
        faults.run("publish", lambda store=events: store.append(batch))  # type: ignore[misc]

        assert len(faults.injected) == 1
        check(tables, events, {e.event_id for each in (*AFTERWARDS[meanwhile], batch) for e in each})
