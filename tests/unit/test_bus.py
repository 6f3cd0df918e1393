"""The bus's adapter: as many events in a request as EventBridge takes."""

from typing import Any

from tests.support.starts import stubbed
from treadle.adapters.bus import EventBridgeBus
from treadle.adapters.clients import client
from treadle.model.messages import BusEvent

MOST = 262_144
"""Bytes of a request, by EventBridge's older limit."""


def requests_of(*sizes: int) -> list[list[int]]:
    """Return the number of the events in each request that is made of events of these sizes."""
    found: list[list[dict[str, str]]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        found.append(params["Entries"])
        stub.add_response(
            "put_events", {"Entries": [{"EventId": "1"}] * len(params["Entries"]), "FailedEntryCount": 0}
        )

    hook, emitter = "provide-client-params.events.PutEvents", client("events").meta.events
    with stubbed("events") as stub:
        emitter.register(hook, note)
        try:
            EventBridgeBus("b").publish(
                [
                    BusEvent("Reported", {"number": number, "text": "é" * size})
                    for number, size in enumerate(sizes)
                ]
            )
        finally:
            emitter.unregister(hook, note)
    assert all(sum(len(value.encode()) for e in each for value in e.values()) <= MOST for each in found)
    return [[int(entry["Detail"].split(",")[0].rpartition(" ")[2]) for entry in each] for each in found]


def test_small_events_travel_ten_in_a_request() -> None:
    assert [len(each) for each in requests_of(*[10] * 23)] == [10, 10, 3]


def test_large_events_travel_in_requests_that_are_not_too_large_and_stay_in_order() -> None:
    assert requests_of(30_000, 10_000, 10_000, 1, 30_000) == [[0, 1], [2, 3, 4]]


def test_nothing_to_report_is_no_request() -> None:
    assert requests_of() == []
