"""What an operator changes in the console: sensors and cursors, each under their name, none by accident."""

import json
from typing import Any

import pytest

from tests.support.console import ANN, CHANGE, Client, MemoryStack, console_of
from treadle import RunRequest, SensorDefinition
from treadle.definitions.contexts import MAX_CURSOR_BYTES
from treadle.testing.instance import TreadleInstance

NAMES = ("a", "b", "c")


def watch(context: Any) -> RunRequest:
    """A sensor's function that requests a run each time."""
    del context
    return RunRequest()


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(
        TreadleInstance([SensorDefinition(name, evaluation_fn=watch, job_name="load") for name in NAMES])
    )


@pytest.fixture
def operator(stack: MemoryStack) -> Client:
    return Client(console_of(stack))


def edits(stack: MemoryStack, sensor: str) -> list[tuple[str, str]]:
    """Return who changed a sensor, and how, newest first."""
    return [(each.action, each.by) for each in stack.parts.sensors.edits(sensor)]


def test_a_sensor_is_stopped_started_and_reset_by_name(stack: MemoryStack, operator: Client) -> None:
    statuses = [
        operator.post(f"/api/sensors/a/{action}", {}).json["status"] for action in ("stop", "start", "reset")
    ]

    assert statuses == ["STOPPED", "RUNNING", "RUNNING"]
    assert edits(stack, "a") == [("reset", ANN), ("start", ANN), ("stop", ANN)]
    assert edits(stack, "b") == []


def test_a_sensor_that_is_held_as_a_loop_is_shown_and_released(stack: MemoryStack, operator: Client) -> None:
    stack.instance._stores.ticks.hold_loop("a", stack.instance.clock.now(), "30 objects in a row", 0)
    (held, well, _) = operator.get("/api/overview").json["sensors"]

    released = operator.post("/api/sensors/a/release-loop", {})

    assert [each["kind"] for each in held["problems"]] == ["LOOP"]
    assert "held since 2026-11-22T18:00:00.000Z: 30 objects in a row" in held["problems"][0]["message"]
    assert (well["problems"], released.json["problems"]) == ([], [])
    assert edits(stack, "a") == [("release_loop", ANN)]
    stack.instance.clock.advance(1)
    assert operator.post("/api/sensors/a/release-loop", {}).status == 409


def test_several_are_changed_and_of_each_it_is_reported(stack: MemoryStack, operator: Client) -> None:
    body = {"action": "stop", "sensors": ["a", "unknown", "c", "a"]}

    results = operator.post("/api/sensors/bulk", body).json["results"]

    assert [(each["sensor"], each["ok"]) for each in results] == [
        ("a", True),
        ("unknown", False),
        ("c", True),
    ]
    assert results[0]["message"] == "It is STOPPED."
    assert "no sensor 'unknown'" in results[1]["message"]
    assert [len(edits(stack, name)) for name in NAMES] == [1, 0, 1]


@pytest.mark.parametrize(
    "body",
    [
        {"action": "stop", "sensors": []},
        {"action": "stop", "sensors": ["a"] * 101},
        {"action": "explode", "sensors": ["a"]},
        {"action": "stop", "sensors": ["a/b"]},
        {"action": "stop"},
        {"action": "set_cursor", "sensors": ["a"]},
    ],
)
def test_what_no_bulk_change_is_is_refused(
    stack: MemoryStack, operator: Client, body: dict[str, Any]
) -> None:
    assert operator.post("/api/sensors/bulk", body).status == 400
    assert [edits(stack, name) for name in NAMES] == [[], [], []]


@pytest.mark.parametrize("cursor", ["", "7", '{"a": "<script>"}', "x" * MAX_CURSOR_BYTES, None])
def test_a_cursor_is_set_as_it_is(stack: MemoryStack, operator: Client, cursor: str | None) -> None:
    seen = operator.get("/api/sensors/a").json["cursor_epoch"]

    answer = operator.put("/api/sensors/a/cursor", {"cursor": cursor, "if_epoch": seen})

    assert (answer.status, answer.json["cursor"]) == (200, cursor)
    assert stack.instance.cursor("a") == cursor
    assert edits(stack, "a") == [("set_cursor", ANN)]


def test_a_cursor_that_has_moved_stays_as_it_is(stack: MemoryStack, operator: Client) -> None:
    """A tick that came in between is not undone by whoever has not seen it."""
    seen = operator.get("/api/sensors/a").json["cursor_epoch"]
    stack.instance.tick("a")

    answer = operator.put("/api/sensors/a/cursor", {"cursor": "7", "if_epoch": seen})

    assert answer.status == 409
    assert answer.json["message"]
    assert stack.instance.cursor("a") is None
    assert edits(stack, "a") == []


@pytest.mark.parametrize(
    ("body", "status"),
    [
        ({"cursor": "7"}, 400),
        ({"if_epoch": 0}, 400),
        ({"cursor": 7, "if_epoch": 0}, 400),
        ({"cursor": "7", "if_epoch": "0"}, 400),
        ({"cursor": "7", "if_epoch": -1}, 400),
        ({"cursor": "7", "if_epoch": 2**60}, 400),
        ({"cursor": "x" * (MAX_CURSOR_BYTES + 1), "if_epoch": 0}, 400),
        ({"cursor": "\u00e9" * (MAX_CURSOR_BYTES - 1), "if_epoch": 0}, 413),
        ({"cursor": "\u00e9" * 80_000 * 2, "if_epoch": 0}, 422),
    ],
)
def test_a_cursor_that_does_not_fit_is_refused(
    stack: MemoryStack, operator: Client, body: dict[str, Any], status: int
) -> None:
    text = json.dumps(body, ensure_ascii=False)

    answer = operator.send("PUT", "/api/sensors/a/cursor", body=text, headers=CHANGE)

    assert answer.status == status
    assert edits(stack, "a") == []


@pytest.mark.parametrize("action", ["start", "stop", "reset", "release-loop"])
def test_a_sensor_that_there_is_not_is_not_made(stack: MemoryStack, operator: Client, action: str) -> None:
    answer = operator.post(f"/api/sensors/unknown/{action}")

    assert (answer.status, "no sensor 'unknown'" in answer.json["message"]) == (404, True)
    assert edits(stack, "unknown") == []


def test_changes_are_logged_with_who_requested_it(operator: Client, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", "treadle"):
        operator.post("/api/sensors/a/stop")
        operator.get("/api/overview")

    assert [record.getMessage() for record in caplog.records] == [f"POST /api/sensors/a/stop by {ANN}"]
