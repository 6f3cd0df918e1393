"""Doubles of jobs: nothing starts on AWS; they end as dev.toml says."""

import json
import subprocess
import sys
import threading
import uuid
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle.definitions.canonical import canonical_json
from treadle.definitions.status import DagsterRunStatus
from treadle.model.runs import Failure
from treadle.model.targets import Execution, JobSettings, Start
from treadle.ports.system import BlobStore, Clock
from treadle.testing.blobs import requested_config
from treadle.testing.targets import InMemoryTarget

EVERY = "*"
"""The name under which dev.toml says how jobs end that it does not name."""

SECONDS = 3.0
_SHOWN = 2_000
_CALL = "import importlib, json, sys; getattr(importlib.import_module(sys.argv[1]), sys.argv[2])(json.load(sys.stdin))"


@dataclass(frozen=True, slots=True)
class JobDouble:
    """How the runs of a job end.

    Attributes:
        seconds: after how many seconds.
        fails: whether they fail.
        command: what is executed instead, with the payload as its standard input: its exit status decides.
    """

    seconds: float = SECONDS
    fails: bool = False
    command: tuple[str, ...] = ()


class LocalJobs(InMemoryTarget):
    """A `Target` whose executions end as the developer says.

    Args:
        clock: the clock.
        doubles: returns how each job ends, by name, as of now.
        folder: in which commands are executed.
        ended: takes each execution that has ended.
        blobs: where run configs are that are too large to be sent; doubles get them whole.
    """

    def __init__(
        self,
        clock: Clock,
        doubles: Callable[[], Mapping[str, JobDouble]],
        folder: Path,
        ended: Callable[[Execution], object],
        blobs: BlobStore,
    ) -> None:
        super().__init__(clock)
        self._blobs = blobs
        self._doubles = doubles
        self._folder = folder
        self._ended = ended
        self._processes: dict[str, subprocess.Popen[str]] = {}
        self._closed = False
        self._running: dict[str, tuple[JobDouble, str]] = {}
        self._guard = threading.RLock()

    def start(self, start: Start) -> Execution:
        """Start an execution; the same start returns the first one."""
        with self._guard:
            known = len(self.executions)
            execution = super().start(start)
            if len(self.executions) > known:
                doubles = self._doubles()
                double = doubles.get(start.settings.job) or doubles.get(EVERY) or JobDouble()
                self._run_later(execution, double, self._whole(start.payload))
        return execution

    def _whole(self, payload: str) -> str:
        found = json.loads(payload)
        return canonical_json({**found, "run_config": requested_config(self._blobs, found["run_config"])})

    def begin(self, settings: JobSettings, double: JobDouble) -> Execution:
        """Start an execution as somebody else than the engine does.

        Args:
            settings: the job.
            double: how it ends.
        """
        external_id = f"{settings.arn}:{uuid.uuid4()}"
        execution = Execution(external_id, settings.arn, DagsterRunStatus.STARTED, self.clock.now())
        with self._guard:
            self.executions[external_id] = execution
            self._run_later(execution, double, "{}")
        return execution

    def close(self) -> None:
        """Kill what is executed; it has not ended, and `restore` starts it again."""
        with self._guard:
            self._closed = True
            for process in self._processes.values():
                process.kill()

    def snapshot(self) -> Mapping[str, Any]:
        """Return the executions, and what those that have not ended do."""
        with self._guard:
            return {
                "executions": dict(self.executions),
                "begun": {name: list(each) for name, each in self.begun.items()},
                "payloads": dict(self.payloads),
                "running": dict(self._running),
            }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Take over executions: those that have not ended start from the beginning, the others report their end again."""
        with self._guard:
            self.executions |= saved["executions"]
            self.begun |= saved["begun"]
            self.payloads |= saved["payloads"]
            for external_id, execution in self.executions.items():
                if external_id in saved["running"]:
                    self._run_later(execution, *saved["running"][external_id])
                else:
                    self._ended(execution)

    def _run_later(self, execution: Execution, double: JobDouble, payload: str) -> None:
        self._running[execution.external_id] = double, payload
        arguments = (execution.external_id, double, payload)
        threading.Thread(target=self._run, args=arguments, daemon=True).start()

    def _run(self, external_id: str, double: JobDouble, payload: str) -> None:
        if double.command:
            failure = self._executed(external_id, double.command, payload)
        else:
            threading.Event().wait(double.seconds)
            failure = Failure("DevFailure", "dev.toml says that this job fails.") if double.fails else None
        with self._guard:
            if not (self._closed or self.executions[external_id].status.is_finished):
                status = DagsterRunStatus.FAILURE if failure else DagsterRunStatus.SUCCESS
                self.finish(external_id, status, failure)

    def _executed(self, external_id: str, command: tuple[str, ...], payload: str) -> Failure | None:
        try:
            process = subprocess.Popen(  # noqa: S603 - the developer's own command
                command,
                cwd=self._folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
        except OSError as error:
            return Failure(type(error).__name__, f"{command[0]} cannot be executed: {error.strerror}")
        with self._guard:
            self._processes[external_id] = process
        errors = process.communicate(payload)[1]
        with self._guard:
            self._processes.pop(external_id, None)
        if process.returncode:
            return Failure(f"ExitStatus{process.returncode}", errors[-_SHOWN:].strip() or command[0])
        return None

    def finish(self, external_id: str, status: DagsterRunStatus, failure: Failure | None = None) -> Execution:
        """End an execution, and report that."""
        with self._guard:
            ended = super().finish(external_id, status, failure)
            self._running.pop(external_id, None)
            process = self._processes.get(external_id)
        if process is not None:
            process.kill()
        self._ended(ended)
        return ended


def doubles_of(table: Mapping[str, Any]) -> dict[str, JobDouble]:
    """Parse the table `jobs` of dev.toml.

    Raises:
        ValueError: with what is wrong in it.
    """
    return {name: _double(name, each) for name, each in table.items()}


def _double(name: str, table: Any) -> JobDouble:
    place = f"[jobs.{name}]"
    if not isinstance(table, Mapping):
        msg = f"{place} must be a table"
        raise ValueError(msg)  # noqa: TRY004 - a value of the file
    unknown = sorted(table.keys() - {"seconds", "status", "command", "function"})
    if unknown:
        msg = f"{place} has {', '.join(unknown)}: use seconds, status, command or function"
        raise ValueError(msg)
    kinds = [kind for kind in ("command", "function") if kind in table]
    if len(kinds) == 2 or (kinds and table.keys() - set(kinds)):
        msg = f"{place} has {', '.join(sorted(table))}: command and function stand alone"
        raise ValueError(msg)
    if "command" in table:
        command = table["command"]
        if not (isinstance(command, list) and command and all(isinstance(each, str) for each in command)):
            msg = f'{place}: command is {command!r}; it must be a list such as ["python", "load.py"]'
            raise ValueError(msg)
        return JobDouble(command=tuple(command))
    if "function" in table:
        module, colon, function = str(table["function"]).partition(":")
        if not (module and colon and function.isidentifier()):
            msg = f"{place}: function is {table['function']!r}; it must be written as module:function"
            raise ValueError(msg)
        return JobDouble(command=(sys.executable, "-c", _CALL, module, function))
    seconds, status = table.get("seconds", SECONDS), table.get("status", "success")
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or seconds < 0:
        msg = f"{place}: seconds is {seconds!r}; it must be a number, 0 or more"
        raise ValueError(msg)
    if status not in ("success", "failure"):
        msg = f"{place}: status is {status!r}; it must be success or failure"
        raise ValueError(msg)
    return JobDouble(float(seconds), status == "failure")
