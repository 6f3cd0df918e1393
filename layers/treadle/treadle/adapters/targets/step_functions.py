"""Step Functions Standard: the launch id is the execution's name, so each attempt starts exactly once."""

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import client
from treadle.definitions.errors import LaunchDelayedError, LaunchDeniedError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.ports.launching import Execution, JobSettings
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
_REJECTED = {
    "InvalidArn",
    "InvalidExecutionInput",
    "InvalidName",
    "StateMachineDeleting",
    "StateMachineDoesNotExist",
    "ValidationException",
}
_MAX_CAUSE = 2_000


class StepFunctionsTarget:
    """A `Target` on Step Functions.

    Its token is the execution's name: the same name with the same input never starts a second execution
    while the first runs, nor for 90 days after it has closed.
    """

    def start(self, settings: JobSettings, launch_id: str, payload: str) -> Execution:
        """Start the execution, or find that the same start came through before."""
        try:
            answer = client("stepfunctions").start_execution(
                stateMachineArn=settings.arn, name=launch_id, input=payload
            )
        except ClientError as error:
            return self._refused(error, settings, launch_id, payload)
        except BotoCoreError as error:
            msg = f"Step Functions could not be reached to start {settings.arn}: {error}"
            raise LaunchDelayedError(msg) from error
        started = int(answer["startDate"].timestamp() * 1000)
        return Execution(answer["executionArn"], settings.arn, Status.STARTED, started)

    def _refused(self, error: ClientError, settings: JobSettings, launch_id: str, payload: str) -> Execution:
        code = error.response["Error"]["Code"]
        if code == "ExecutionAlreadyExists":
            return self._standing(settings, launch_id, payload)
        words = f"Step Functions did not start {settings.arn} ({settings.parameter}): {error}"
        if code in _DENIED:
            raise LaunchDeniedError(words) from error
        if code in _REJECTED:
            raise LaunchRejectedError(words) from error
        raise LaunchDelayedError(words) from error

    def _standing(self, settings: JobSettings, launch_id: str, payload: str) -> Execution:
        """The execution that bears the name already: ours, if its input is ours."""
        arn = f"{settings.arn.replace(':stateMachine:', ':execution:')}:{launch_id}"
        try:
            answer = client("stepfunctions").describe_execution(executionArn=arn)
        except (ClientError, BotoCoreError) as error:
            msg = f"Execution {arn} exists, and could not be looked at: {error}"
            raise LaunchDelayedError(msg) from error
        if answer.get("input") != payload:
            msg = f"Execution {arn} exists with another input: somebody else took its name. Look at it."
            raise LaunchRejectedError(msg)
        started = int(answer["startDate"].timestamp() * 1000)
        return Execution(arn, settings.arn, Status.STARTED, started)

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
