"""Step Functions Standard: the launch id is the execution's name, so each attempt starts exactly once."""

from typing import Any, ClassVar

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import client
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.ports.launching import Execution, Start, StartContract
from treadle.ports.runs import Failure

STATUSES = {
    "RUNNING": Status.STARTED,
    "PENDING_REDRIVE": Status.STARTED,
    "SUCCEEDED": Status.SUCCESS,
    "FAILED": Status.FAILURE,
    "TIMED_OUT": Status.FAILURE,
    "ABORTED": Status.CANCELED,
}

_DENIED = {
    "AccessDeniedException",
    "UnrecognizedClientException",
    "ExpiredTokenException",
    "KmsAccessDeniedException",
}
_BUSY = {"ExecutionLimitExceeded", "ThrottlingException", "TooManyRequestsException"}
_REJECTED = {
    "InvalidArn",
    "InvalidExecutionInput",
    "InvalidName",
    "StateMachineDeleting",
    "StateMachineDoesNotExist",
    "ValidationException",
}
_MAX_CAUSE = 2_000

NAME_TAKEN_MS = 89 * 86_400_000
"""A name may be given again 90 days after its execution has closed; a day less, for clocks that differ."""


class StepFunctionsTarget:
    """A `Target` on Step Functions.

    Its token is the execution's name: the same name with the same input never starts a second execution
    while the first runs, nor for 90 days after it has closed.
    """

    contract: ClassVar[StartContract] = StartContract(token_ms=NAME_TAKEN_MS, listing_ms=NAME_TAKEN_MS)

    def start(self, start: Start) -> Execution:
        """Start the execution, or find that the same start came through before."""
        settings = start.settings
        try:
            answer = client("stepfunctions").start_execution(
                stateMachineArn=settings.arn, name=start.launch_id, input=start.payload
            )
        except ClientError as error:
            return self._refused(error, start)
        except BotoCoreError as error:
            msg = f"Step Functions could not be reached to start {settings.arn}: {error}"
            raise LaunchUncertainError(msg) from error
        started = int(answer["startDate"].timestamp() * 1000)
        return Execution(answer["executionArn"], settings.arn, Status.STARTED, started)

    def _refused(self, error: ClientError, start: Start) -> Execution:
        code, settings = error.response["Error"]["Code"], start.settings
        if code == "ExecutionAlreadyExists":
            return self._standing(start)
        words = f"Step Functions did not start {settings.arn} ({settings.parameter}): {error}"
        if code in _DENIED:
            raise LaunchDeniedError(words) from error
        if code in _REJECTED:
            raise LaunchRejectedError(words) from error
        if code in _BUSY:
            raise LaunchDelayedError(words) from error
        raise LaunchUncertainError(words) from error

    def resolve(self, start: Start) -> Execution | None:
        """The execution that bears the launch id as its name."""
        try:
            return self._standing(start)
        except LaunchUncertainError as error:
            cause: Any = error.__cause__
            if isinstance(cause, ClientError) and cause.response["Error"]["Code"] == "ExecutionDoesNotExist":
                return None
            raise

    def _standing(self, start: Start) -> Execution:
        """The execution that bears the name already: ours, if its input is ours."""
        settings = start.settings
        arn = f"{settings.arn.replace(':stateMachine:', ':execution:')}:{start.launch_id}"
        try:
            answer = client("stepfunctions").describe_execution(executionArn=arn)
        except (ClientError, BotoCoreError) as error:
            msg = f"Execution {arn} could not be looked at: {error}"
            raise LaunchUncertainError(msg) from error
        if answer.get("input") != start.payload:
            msg = f"Execution {arn} exists with another input: somebody else took its name. Look at it."
            raise LaunchRejectedError(msg)
        started = int(answer["startDate"].timestamp() * 1000)
        return Execution(arn, settings.arn, Status.STARTED, started)

    def cancel(self, external_id: str) -> None:
        """Ask for the execution's end."""
        try:
            client("stepfunctions").stop_execution(
                executionArn=external_id, error="Canceled", cause="Canceled by an operator of Treadle."
            )
        except ClientError as error:
            gone = error.response["Error"]["Code"] in {
                "ExecutionDoesNotExist",
                "InvalidArn",
                "ValidationException",
            }
            msg = f"Execution {external_id} could not be canceled: {error}"
            raise (LaunchRejectedError if gone else LaunchDelayedError)(msg) from error
        except BotoCoreError as error:
            msg = f"Step Functions could not be reached to cancel {external_id}: {error}"
            raise LaunchDelayedError(msg) from error

    def describe(self, external_id: str) -> Execution:
        """How the execution stands, with error and cause if it failed."""
        try:
            answer = client("stepfunctions").describe_execution(executionArn=external_id)
        except ClientError as error:
            code = error.response["Error"]["Code"]
            kind = (
                LaunchRejectedError if code in {"ExecutionDoesNotExist", "InvalidArn"} else LaunchDelayedError
            )
            msg = f"Execution {external_id} could not be looked at: {error}"
            raise kind(msg) from error
        except BotoCoreError as error:
            msg = f"Step Functions could not be reached to look at {external_id}: {error}"
            raise LaunchDelayedError(msg) from error
        status = STATUSES[answer["status"]]
        stopped = answer.get("stopDate")
        failure = None
        if status in {Status.FAILURE, Status.CANCELED}:
            failure = Failure(
                answer.get("error") or answer["status"], (answer.get("cause") or "")[:_MAX_CAUSE]
            )
        return Execution(
            external_id,
            answer["stateMachineArn"],
            status,
            int(answer["startDate"].timestamp() * 1000),
            int(stopped.timestamp() * 1000) if stopped else None,
            failure,
        )
