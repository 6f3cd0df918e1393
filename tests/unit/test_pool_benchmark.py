"""What `make bench-pools` concludes from the times of executions and from the requests to DynamoDB."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from benchmarks import pool_ministack as cloud
from benchmarks.pools import (
    GRANT,
    REPAIR_SECONDS,
    Execution,
    busy_slots,
    durations,
    late_slots,
    most_at_once,
    requests_while_waiting,
    share_of_ideal,
    to_next_starts,
)

LIMIT = 2
TIMES = {"a": (0, 10), "b": (0, 20), "c": (11, 21), "d": (22, 30), "e": (25, 35)}
FOUND = [Execution(f"{name}-1", start, stop, "SUCCEEDED") for name, (start, stop) in TIMES.items()]


def note(at: float, what: str, *keys: str, is_done: bool = True) -> Mapping[str, Any]:
    return {"at": at, "what": what, "keys": list(keys), "is_done": is_done}


def notes(delays: Mapping[str, float]) -> Iterator[Mapping[str, Any]]:
    """Yield the requests of the runs, whose slots are taken a second before the start, and returned with the end."""
    slots = {"a": 1, "b": 2, "c": 1, "d": 2, "e": 1}
    found = [note(-5, "TransactWriteItems", f"+{name}", f"+#pool/slots wait/{name}") for name in TIMES]
    for name, (start, stop) in TIMES.items():
        slot = f"#pool/slots slot/{slots[name]}"
        taken = note(start - 1, "TransactWriteItems", f"+{name}", f"+{slot}", f"-#pool/slots wait/{name}")
        returned = note(stop + delays.get(name, 0.5), "TransactWriteItems", f"+{name}", f"-{slot}")
        found += [taken, returned, note(start - 0.5, "UpdateItem", f"+{name}")]
    yield from sorted(found, key=lambda each: each["at"])


def test_figures_of_the_times() -> None:
    assert most_at_once(FOUND) == LIMIT
    assert to_next_starts(FOUND, LIMIT) == [1, 2, 4]
    assert busy_slots(FOUND, LIMIT) == pytest.approx((10 + 20 + 10 + 3) / 25)
    assert share_of_ideal(FOUND, [10, 20, 10, 8, 10], LIMIT) == pytest.approx(35 / 29)


def test_execution_that_starts_when_another_one_ends_is_not_at_once_with_it() -> None:
    found = [Execution("a-1", 0, 10, "SUCCEEDED"), Execution("b-1", 10, 20, "SUCCEEDED")]

    assert most_at_once(found) == 1


def test_durations_are_around_their_mean() -> None:
    found = durations(1_100, 10)

    assert (min(found), max(found), sum(found) / len(found)) == (5, 15, 10)


def test_request_for_a_run_that_is_not_among_the_next_is_counted() -> None:
    whole = list(notes({}))
    front = note(0.5, "BatchGetItem", "c", "d")
    behind = note(0.5, "BatchGetItem", "e")
    before_its_creation = note(-6, "BatchGetItem", "e")

    assert requests_while_waiting(whole, LIMIT) == 0
    assert requests_while_waiting([before_its_creation, *whole], LIMIT) == 0
    for found, expected in ((front, 0), (behind, 1)):
        assert requests_while_waiting(sorted([*whole, found], key=lambda n: n["at"]), LIMIT) == expected


def test_slot_that_is_late_without_a_fault_is_named() -> None:
    long = REPAIR_SECONDS + 1
    times = {"a": (0.0, 10.0), "b": (12.0 + long, 20.0 + long)}
    found = [Execution(f"{name}-1", *each, "SUCCEEDED") for name, each in times.items()]
    slot = "#pool/slots slot/1"
    whole = [
        note(0, "TransactWriteItems", "+a", f"+{slot}"),
        note(10 + long, "TransactWriteItems", "+a", f"-{slot}"),
        note(11 + long, "TransactWriteItems", "+b", f"+{slot}"),
        note(21 + long, "TransactWriteItems", "+b", f"-{slot}"),
    ]
    lost = {"at": 9.5, "what": cloud.LOST_MESSAGE, "body": json.dumps({"name": "a-1"})}

    assert late_slots(whole, found) == [f"{slot} of a was held after an end for {long:.0f} s"]
    assert late_slots([*whole, lost], found) == []
    assert late_slots(whole[:3], found) == late_slots(whole, found)
    assert late_slots(whole, found[:1])[-1] == f"{slot} of b was never used"


def test_slot_that_stays_free_is_named_unless_a_message_about_it_was_lost() -> None:
    long = REPAIR_SECONDS + 1
    found = [Execution("a-1", 1, 10, "SUCCEEDED"), Execution("b-1", 12 + long, 20 + long, "SUCCEEDED")]
    slot = "#pool/slots slot/1"
    whole = [
        note(0, "TransactWriteItems", "+a", f"+{slot}"),
        note(10, "TransactWriteItems", "+a", f"-{slot}"),
        note(11 + long, "TransactWriteItems", "+b", f"+{slot}"),
        note(20 + long, "TransactWriteItems", "+b", f"-{slot}"),
    ]
    lost = {"at": 10.5, "what": cloud.LOST_MESSAGE, "body": f'{{"treadle": {GRANT}, "pool": "slots"}}'}

    assert late_slots(whole, found) == [f"{slot} of a was free for {long + 1:.0f} s"]
    assert late_slots([*whole, lost], found) == []


@pytest.mark.parametrize(
    ("action", "request_", "keys"),
    [
        ("GetItem", {"TableName": "t", "Key": {"run_id": {"S": "a"}}}, ["a"]),
        ("PutItem", {"TableName": "t", "Item": {"run_id": {"S": "a"}, "job": {"S": "x"}}}, ["+a"]),
        ("UpdateItem", {"TableName": "t", "Key": {"run_id": {"S": "a"}}}, ["+a"]),
        ("BatchGetItem", {"RequestItems": {"t": {"Keys": [{"run_id": {"S": "a"}}]}}}, ["a"]),
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"Item": {"run_id": {"S": "a"}}}},
                    {"Delete": {"Key": {"asset_key": {"S": "#pool/p"}, "item": {"S": "slot/1"}}}},
                ]
            },
            ["+a", "-#pool/p slot/1"],
        ),
        ("Query", {"TableName": "t"}, []),
    ],
)
def test_keys_of_a_request_are_noted(action: str, request_: Mapping[str, Any], keys: list[str]) -> None:
    assert list(cloud.keys_of(action, request_)) == keys
