"""Which states of an execution failed, from its history as Step Functions reports it, newest event first."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.starts import LAUNCH_ID, stubbed
from treadle.adapters.targets import history
from treadle.adapters.targets.history import failed_states
from treadle.adapters.targets.roles import Roles
from treadle.adapters.targets.step_functions import StepFunctionsTarget
from treadle.definitions.runs import StepFailure
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure

ARN = f"arn:aws:states:us-east-1:123456789012:execution:load:{LAUNCH_ID}"
MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:load"
REQUEST = {"executionArn": ARN, "maxResults": 500, "reverseOrder": True, "includeExecutionData": False}


def event(number: int, kind: str, before: int | None = None, **details: Any) -> dict[str, Any]:
    """Return an event that follows the one before it, or a given one."""
    previous = number - 1 if before is None else before
    return {"timestamp": 1, "type": kind, "id": number, "previousEventId": previous, **details}


def entered(
    number: int, name: str, kind: str = "TaskStateEntered", before: int | None = None
) -> dict[str, Any]:
    return event(number, kind, before, stateEnteredEventDetails={"name": name})


def failed(number: int, error: str, cause: str = "", before: int | None = None) -> dict[str, Any]:
    state_details = {"error": error, "cause": cause, "resourceType": "lambda", "resource": "invoke"}
    return event(number, "TaskFailed", before, taskFailedEventDetails=state_details)


def ended(number: int, error: str, cause: str = "") -> dict[str, Any]:
    return event(number, "ExecutionFailed", executionFailedEventDetails={"error": error, "cause": cause})


def states(*events: dict[str, Any]) -> tuple[StepFailure, ...]:
    """Return what is found in a history."""
    with stubbed("stepfunctions") as stub:
        stub.add_response("get_execution_history", {"events": list(reversed(events))}, REQUEST)
        return failed_states(ARN, "", Roles())


def test_failed_state_is_reported_with_error_and_cause() -> None:
    found = states(
        event(1, "ExecutionStarted"),
        entered(2, "Load"),
        event(3, "TaskScheduled"),
        failed(4, "ValueError", "bad row"),
        ended(5, "ValueError", "bad row"),
    )

    assert found == (StepFailure("Load", "ValueError", "bad row"),)


def test_branches_that_failed_are_distinguished_by_what_each_event_follows() -> None:
    found = states(
        entered(1, "Left"),
        entered(2, "Right", before=0),
        failed(3, "LeftError", before=1),
        failed(4, "RightError", before=2),
        ended(5, "RightError"),
    )

    assert found == (StepFailure("Right", "RightError", ""), StepFailure("Left", "LeftError", ""))


def test_state_that_was_retried_is_reported_once_with_its_last_error() -> None:
    found = states(entered(1, "Load"), failed(2, "First"), event(3, "TaskScheduled"), failed(4, "Last"))

    assert found == (StepFailure("Load", "Last", ""),)


def test_state_that_timed_out_without_a_message_is_reported_by_its_event() -> None:
    state_details = event(3, "LambdaFunctionTimedOut", lambdaFunctionTimedOutEventDetails={})

    assert states(entered(1, "Load"), event(2, "LambdaFunctionScheduled"), state_details) == (
        StepFailure("Load", "LambdaFunctionTimedOut", ""),
    )


def test_fail_state_is_the_step_that_failed() -> None:
    found = states(entered(1, "Refuse", "FailStateEntered"), ended(2, "NoRows", "the file is empty"))

    assert found == (StepFailure("Refuse", "NoRows", "the file is empty"),)


def test_what_failed_before_a_redrive_is_left_out() -> None:
    found = states(
        entered(1, "Load"),
        failed(2, "Old"),
        ended(3, "Old"),
        event(4, "ExecutionRedriven"),
        entered(5, "Load"),
        failed(6, "New"),
    )

    assert found == (StepFailure("Load", "New", ""),)


def test_ten_steps_of_a_thousand_characters_are_kept() -> None:
    pairs = [(entered(2 * n, f"S{n}", before=0), failed(2 * n + 1, "E", "x" * 3_000)) for n in range(1, 13)]

    found = states(*(each for pair in pairs for each in pair))

    assert [step.step_key for step in found] == [f"S{n}" for n in range(12, 2, -1)]
    assert {len(step.cause) for step in found} == {1_000}


def test_two_pages_are_read_and_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    assert (history.PAGE, history.PAGES) == (500, 2)
    with stubbed("stepfunctions") as stub:
        stub.add_response(
            "get_execution_history", {"events": [failed(9, "E", before=8)], "nextToken": "t"}, REQUEST
        )
        more = {"events": [entered(8, "Load")], "nextToken": "u"}
        stub.add_response("get_execution_history", more, {**REQUEST, "nextToken": "t"})
        assert failed_states(ARN, "", Roles()) == (StepFailure("Load", "E", ""),)


@pytest.mark.parametrize("code", ["AccessDeniedException", "ThrottlingException", "ExecutionDoesNotExist"])
def test_failure_is_reported_without_steps_where_the_history_cannot_be_read(
    code: str, caplog: pytest.LogCaptureFixture
) -> None:
    state_details = {
        "executionArn": ARN,
        "stateMachineArn": MACHINE,
        "name": LAUNCH_ID,
        "status": "FAILED",
        "startDate": datetime.fromtimestamp(10, UTC),
        "redriveDate": datetime.fromtimestamp(20, UTC),
        "stopDate": datetime.fromtimestamp(30, UTC),
        "redriveCount": 2,
        "error": "ValueError",
        "cause": "bad row",
    }
    with stubbed("stepfunctions") as stub:
        stub.add_response("describe_execution", state_details)
        stub.add_client_error("get_execution_history", code)
        execution = StepFunctionsTarget().describe(ARN)

    assert execution.failure == Failure("ValueError", "bad row")
    assert (execution.status, execution.retry, execution.launch_id) == (Status.FAILURE, 2, LAUNCH_ID)
    assert (execution.started_at, execution.ended_at) == (20_000, 30_000)
    assert "could not be read" in caplog.text
