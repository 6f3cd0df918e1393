"""An operator's preview and tick: a sensor's own function is invoked, and its response is shown."""

from collections.abc import Mapping
from dataclasses import replace

import pytest

from treadle.definitions.errors import CommandRefusedError, InvocationError
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import DeployedSensor
from treadle.operate.invoke import ManualTickResult, SensorInvoker
from treadle.testing.deployment import InMemoryDeployment

WATCH = DeployedSensor("watch", "schedule", "", (), DefaultSensorStatus.RUNNING)
PREVIEW: dict[str, object] = {
    "decision": "SUCCESS",
    "reason": None,
    "stack": None,
    "requests": [{"run_key": "a", "job": "load", "run_config": "{}", "tags": {}}],
    "existing_keys": ["b"],
    "set_aside": [{"run_key": "c", "reason": "too large"}],
    "asset_events": [],
    "cursor_before": "1",
    "cursor_after": "2",
    "log": ["listed"],
    "settings": {},
}


class Function:
    """Answers, and records its events."""

    def __init__(self, answer: Mapping[str, object]) -> None:
        self.answer = answer
        self.received: list[Mapping[str, object]] = []

    def __call__(self, event: Mapping[str, object]) -> Mapping[str, object]:
        self.received.append(event)
        return self.answer


def invocations(function: Function, deployed: DeployedSensor = WATCH) -> SensorInvoker:
    return SensorInvoker(InMemoryDeployment([deployed], {deployed.name: function}))


def test_preview_reports_the_tick_and_the_cursor_before_and_after() -> None:
    function = Function(PREVIEW)

    found = invocations(function).preview("watch")

    assert function.received == [{"treadle": "preview"}]
    assert (found.cursor_before, found.cursor_after) == ("1", "2")
    assert found.tick == {
        "status": "SUCCESS",
        "reason": None,
        "error": None,
        "requests": PREVIEW["requests"],
        "existing_keys": ["b"],
        "rejected": PREVIEW["set_aside"],
        "asset_events": [],
        "log": ["listed"],
    }


@pytest.mark.parametrize("cursor", ["41", "", None])
def test_preview_with_a_cursor_also_with_none_requests_just_that(cursor: str | None) -> None:
    function = Function(PREVIEW)

    invocations(function).preview("watch", cursor=cursor)

    assert function.received == [{"treadle": "preview", "cursor": cursor}]


def test_preview_of_a_failure_separates_message_and_stack() -> None:
    function = Function({**PREVIEW, "decision": "FAILURE", "reason": "no table", "stack": "app.py line 3"})

    tick = invocations(function).preview("watch").tick

    assert (tick["status"], tick["reason"]) == ("FAILURE", None)
    assert tick["error"] == {"message": "no table", "stack": "app.py line 3"}


def test_preview_of_an_event_hands_it_on() -> None:
    function = Function(PREVIEW)

    invocations(function, replace(WATCH, kind="asset")).preview("watch", event={"id": "e"})

    assert function.received == [{"treadle": "preview", "event": {"id": "e"}}]


@pytest.mark.parametrize("kind", ["run_status", "asset", "deadline"])
def test_sensor_of_events_has_nothing_to_evaluate_at_a_tick(kind: str) -> None:
    function = Function(PREVIEW)
    invoker = invocations(function, replace(WATCH, kind=kind))

    with pytest.raises(CommandRefusedError, match="cannot be evaluated without one"):
        invoker.tick("watch")
    with pytest.raises(CommandRefusedError, match="give it one to preview"):
        invoker.preview("watch")
    assert function.received == []


@pytest.mark.parametrize(
    ("decision", "tick_id"), [("SUCCESS", "t1"), ("FAILURE", "t1"), ("SKIPPED", None), ("STOPPED", None)]
)
def test_tick_reports_the_decision_and_the_record_if_it_left_one(decision: str, tick_id: str | None) -> None:
    function = Function({"decision": decision, "reason": "because", "subject": "t1", "count": 0})

    assert invocations(function).tick("watch") == ManualTickResult(decision, "because", tick_id)
    assert function.received == [{"treadle": "tick", "at_once": True}]


def test_unknown_sensor_and_failing_function_are_reported_with_a_message() -> None:
    with pytest.raises(CommandRefusedError, match="no sensor 'wtach'"):
        invocations(Function(PREVIEW)).tick("wtach")
    with pytest.raises(InvocationError, match="KeyError"):
        SensorInvoker(InMemoryDeployment([WATCH])).tick("watch")


def test_preview_says_what_its_answer_has_no_room_for() -> None:
    function = Function({**PREVIEW, "left_out": {"requests": 9_000, "set_aside": 2}})

    assert invocations(function).preview("watch").tick["left_out"] == {"requests": 9_000, "rejected": 2}
