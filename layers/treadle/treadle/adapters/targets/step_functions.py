"""Step Functions Standard: the launch id is the execution's name, so each attempt starts exactly once."""

import heapq
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from treadle.adapters.aws_errors import code_of
from treadle.adapters.targets.errors import (
    AwsError,
    failure_of,
    millis_of,
    not_answered,
    not_started,
)
from treadle.adapters.targets.history import failed_states
from treadle.adapters.targets.roles import AwsTarget, Roles
from treadle.definitions.errors import LaunchError, LaunchRejectedError, LaunchUncertainError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract
from treadle.ports.targets import CANCELED

_SERVICE = "stepfunctions"

STATUSES = {
    "RUNNING": Status.STARTED,
    "PENDING_REDRIVE": Status.STARTED,
    "SUCCEEDED": Status.SUCCESS,
    "FAILED": Status.FAILURE,
    "TIMED_OUT": Status.FAILURE,
    "ABORTED": Status.CANCELED,
}

_BUSY = {"ExecutionLimitExceeded"}
_GONE = {"ExecutionDoesNotExist", "InvalidArn"}
_NO_MACHINE = {"InvalidArn", "StateMachineDoesNotExist", "StateMachineTypeNotSupported"}

PAGE = 200
"""Page size of a list of executions."""

_LISTED = ("RUNNING", "SUCCEEDED", "FAILED", "TIMED_OUT", "ABORTED")
"""Statuses, each listed separately.

Running executions are ordered by start or redrive, the others by end. An execution that ends meanwhile is in
both lists, as the running ones are listed first.
"""

NAME_TAKEN_MS = 89 * 86_400_000
"""A name may be reused 90 days after its execution has closed; a day less, for clock skew."""


class StepFunctionsTarget(AwsTarget):
    """A `Target` on Step Functions.

    Its token is the execution's name: the same name with the same input never starts a second execution while
    the first runs, nor for 90 days after it has closed. This does not hold for Express state machines.
    """

    contract: ClassVar[StartContract] = StartContract(
        token_ms=NAME_TAKEN_MS, listing_ms=NAME_TAKEN_MS, lists=True
    )

    def __init__(self, roles: Roles | None = None) -> None:
        super().__init__(roles)
        self._standard: set[str] = set()

    def start(self, start: Start) -> Execution:
        """Start the execution, or return the one that the same start began before."""
        settings = start.settings
        self._refuse_express(settings)
        try:
            answer = self._roles.call(
                _SERVICE,
                settings.role,
                "start_execution",
                once=True,
                stateMachineArn=settings.arn,
                name=start.launch_id,
                input=start.payload,
            )
        except AwsError as error:
            if code_of(error) == "ExecutionAlreadyExists":
                return self._existing(start)
            raise not_started(error, _of(settings), busy=_BUSY) from error
        return Execution(answer["executionArn"], settings.arn, Status.STARTED, millis_of(answer["startDate"]))

    def _refuse_express(self, settings: JobSettings) -> None:
        """Reject an Express state machine; cached, as a type never changes."""
        if settings.arn in self._standard:
            return
        try:
            answer = self._roles.call(
                _SERVICE, settings.role, "describe_state_machine", stateMachineArn=settings.arn
            )
        except AwsError as error:
            what = f"{_of(settings)} could not be described"
            raise not_answered(error, what, gone=_NO_MACHINE) from error
        if answer["type"] != "STANDARD":
            msg = (
                f"{_of(settings)} is an Express state machine: it does not deduplicate starts, and "
                "its executions publish no status. Make it a Standard one."
            )
            raise LaunchRejectedError(msg)
        self._standard.add(settings.arn)

    def resolve(self, start: Start) -> Execution | None:
        """Return the execution whose name is the launch id."""
        try:
            return self._existing(start)
        except LaunchUncertainError as error:
            if isinstance(error.__cause__, AwsError) and code_of(error.__cause__) == "ExecutionDoesNotExist":
                return None
            raise

    def _existing(self, start: Start) -> Execution:
        """Return the existing execution of that name: ours, if its input is ours."""
        settings = start.settings
        arn = f"{settings.arn.replace(':stateMachine:', ':execution:')}:{start.launch_id}"
        try:
            answer = self._roles.call(_SERVICE, settings.role, "describe_execution", executionArn=arn)
        except (*AwsError, LaunchError) as error:  # The start itself succeeded.
            msg = f"Execution {arn} could not be described: {error}"
            raise LaunchUncertainError(msg) from error
        if answer.get("input") != start.payload:
            msg = (
                f"Execution {arn} exists with a different input: something other than Treadle started "
                "it under this name. Check it."
            )
            raise LaunchRejectedError(msg)
        return Execution(arn, settings.arn, Status.STARTED, millis_of(answer["startDate"]))

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Describe an execution, with error and cause if it failed."""
        try:
            answer = self._roles.call(_SERVICE, role, "describe_execution", executionArn=external_id)
        except AwsError as error:
            raise not_answered(
                error, f"Execution {external_id} could not be described", gone=_GONE
            ) from error
        failure = None
        if STATUSES[answer["status"]] in {Status.FAILURE, Status.CANCELED}:
            error_name = answer.get("error") or answer["status"]
            failure = failure_of(
                error_name, answer.get("cause"), steps=failed_states(external_id, role, self._roles)
            )
        return _execution(answer, failure)

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Yield the state machine's executions, by the time of their end, start or redrive."""
        lists = (self._listed(settings, status, since) for status in _LISTED)
        return heapq.merge(*lists, key=lambda each: -each.at)

    def _listed(self, settings: JobSettings, status: str, since: int) -> Iterator[Listed]:
        request: dict[str, Any] = {
            "stateMachineArn": settings.arn,
            "statusFilter": status,
            "maxResults": PAGE,
        }
        while True:
            try:
                answer = self._roles.call(_SERVICE, settings.role, "list_executions", **request)
            except AwsError as error:
                what = f"The executions of {_of(settings)} could not be listed"
                raise not_answered(error, what, gone=_NO_MACHINE) from error
            for item in answer["executions"]:
                execution = _execution(item)
                at = execution.ended_at or execution.started_at
                if at < since:
                    return
                yield Listed(at, execution)
            if not answer.get("nextToken"):
                return
            request["nextToken"] = answer["nextToken"]

    def cancel(self, external_id: str, role: str = "", reason: str = CANCELED) -> None:
        """Stop an execution."""
        try:
            request: dict[str, Any] = {"executionArn": external_id, "error": "Canceled", "cause": reason}
            self._roles.call(_SERVICE, role, "stop_execution", **request)
        except AwsError as error:
            gone = {*_GONE, "ValidationException"}
            raise not_answered(error, f"Execution {external_id} was not canceled", gone=gone) from error


def _execution(response: Mapping[str, Any], failure: Failure | None = None) -> Execution:
    """Convert a described or listed execution; a list does not contain the cause of a failure."""
    status, stopped = STATUSES[response["status"]], response.get("stopDate")
    # A redriven execution keeps its startDate.
    began = response.get("redriveDate") or response["startDate"]
    return Execution(
        response["executionArn"],
        response["stateMachineArn"],
        status,
        millis_of(began),
        millis_of(stopped) if stopped and status.is_finished else None,
        failure,
        response.get("redriveCount", 0),
        response["name"],
    )


def _of(settings: JobSettings) -> str:
    return f"State machine {settings.arn} ({settings.parameter})"
