"""Commands that RECONCILE executes for operators on direct invocation: calls that only the engine may make."""

from collections.abc import Callable, Mapping
from typing import Any

from treadle.definitions.bounds import MAX_NAME, fit
from treadle.definitions.errors import CommandRefusedError, LaunchError, StoreError
from treadle.model.targets import JobSettings
from treadle.operate.runs import RunEdit, RunOperations
from treadle.ports.deployment import REFRESH, TARGETS

Answer = dict[str, Any]


class Commands:
    """Executes operators' commands with the roles of jobs.

    Args:
        runs: cancels and refreshes runs.
        jobs: the settings of each job, by name.
        check: checks a job's target; returns the fields `exists` and `trouble`, or `error` if that is unknown.
        renew: reads the registry again, as an operator may have just changed it.
    """

    def __init__(
        self,
        runs: RunOperations,
        jobs: Mapping[str, JobSettings],
        check: Callable[[JobSettings], Answer],
        renew: Callable[[], None],
    ) -> None:
        self._runs = runs
        self._jobs = jobs
        self._check = check
        self._renew = renew

    def answer(self, event: Mapping[str, Any]) -> Answer:
        """Execute a command and return its result; a failure has the error's name in `error`.

        Args:
            event: `{"treadle": "cancel", "run_id": ..., "by": ...}`, `{"treadle": "refresh", "run_id": ...}`
                or `{"treadle": "targets"}`.
        """
        self._renew()
        if event.get("treadle") == TARGETS:
            with_role = (each for each in self._jobs.values() if each.role and each.arn)
            return {"targets": {each.job: {"role": each.role, **self._check(each)} for each in with_role}}
        try:
            edit = self._edit(event)
        except (CommandRefusedError, LaunchError, StoreError) as error:
            return {"error": type(error).__name__, "reason": str(error)}
        return {"is_new": edit.is_new, "reason": edit.reason}

    def _edit(self, event: Mapping[str, Any]) -> RunEdit:
        run_id, by = event.get("run_id"), event.get("by", "")
        if not isinstance(run_id, str) or not isinstance(by, str):
            msg = f"The command has run_id {run_id!r:.80}, which is not text. Give the run's id."
            raise CommandRefusedError(msg)
        if event.get("treadle") == REFRESH:
            return self._runs.refresh(run_id)
        return self._runs.cancel(run_id, fit(by, MAX_NAME))
