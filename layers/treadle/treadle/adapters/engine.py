"""Executes commands that need a job's role, by direct invocation of the engine's function."""

import json
from collections.abc import Mapping
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import client
from treadle.adapters.targets.errors import is_denied
from treadle.definitions import errors
from treadle.definitions.errors import CommandRefusedError, InvocationError, LaunchError, StoreError
from treadle.model.deployment import CommandAnswer
from treadle.ports.deployment import CANCEL, REFRESH, TARGETS

ANSWER_SECONDS = 60
"""Timeout of a command: some calls to a target, and a few to the store."""


class EngineFunction:
    """`EngineCommands` by direct invocation.

    Args:
        function: RECONCILE's name.
    """

    def __init__(self, function: str) -> None:
        self._function = function

    def cancel(self, run_id: str, by: str) -> CommandAnswer:
        """Request that a run's target end it."""
        return self._edited({"treadle": CANCEL, "run_id": run_id, "by": by})

    def refresh(self, run_id: str) -> CommandAnswer:
        """Query a run's target for its status."""
        return self._edited({"treadle": REFRESH, "run_id": run_id})

    def targets(self) -> Mapping[str, Mapping[str, Any]]:
        """Check the targets of the jobs that have a role: by job, its `role`, and the result of the check.

        Raises:
            InvocationError: if the function failed or did not respond.
        """
        found: Mapping[str, Mapping[str, Any]] = self._invoke({"treadle": TARGETS})["targets"]
        return found

    def _edited(self, event: Mapping[str, str]) -> CommandAnswer:
        answer = self._invoke(event)
        if "error" not in answer:
            return CommandAnswer(bool(answer.get("is_new")), str(answer.get("reason")))
        kind = getattr(errors, str(answer["error"]), None)
        if isinstance(kind, type) and issubclass(kind, (CommandRefusedError, LaunchError, StoreError)):
            raise kind(str(answer.get("reason")))
        msg = f"RECONCILE did not execute the command: {answer['error']}: {answer.get('reason')}"
        raise InvocationError(msg, reason=str(answer.get("reason")))

    def _invoke(self, event: Mapping[str, str]) -> Mapping[str, Any]:
        try:
            # No retries: after a lost response, the caller may request it again.
            lambdas = client("lambda", once=True, seconds=ANSWER_SECONDS)
            answer = lambdas.invoke(FunctionName=self._function, Payload=json.dumps(event).encode())
            response = json.loads(answer["Payload"].read())
        except (ClientError, BotoCoreError, ValueError) as error:
            msg = (
                (
                    f"RECONCILE, which assumes the roles of jobs, did not respond: {error}. Allow "
                    f"lambda:InvokeFunction on {self._function}."
                )
                if is_denied(error)
                else f"RECONCILE, which assumes the roles of jobs, did not respond: {error}. Try again."
            )
            raise InvocationError(msg, is_denied=is_denied(error)) from error
        if answer.get("FunctionError") or not isinstance(response, dict):
            message = response.get("errorMessage") if isinstance(response, dict) else response
            msg = f"RECONCILE failed: {message}. See its log."
            raise InvocationError(msg, reason=str(message))
        return response
