"""A target in memory: every start is honoured once per launch id, and runs end when a test says so."""

from dataclasses import dataclass, field, replace

from treadle.definitions.errors import LaunchError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus
from treadle.ports.launching import Execution, JobSettings
from treadle.ports.runs import Failure
from treadle.ports.system import Clock


@dataclass(slots=True)
class InMemoryTarget:
    """A `Target` in memory.

    Attributes:
        clock: the time.
        executions: by external id.
        payloads: what each was started with, by external id.
        refusal: raised by every start until it is None again.
    """

    clock: Clock
    executions: dict[str, Execution] = field(default_factory=dict)
    payloads: dict[str, str] = field(default_factory=dict)
    refusal: LaunchError | None = None

    def start(self, settings: JobSettings, launch_id: str, payload: str) -> Execution:
        """Start once per launch id; the same start again finds the first one."""
        if self.refusal is not None:
            raise self.refusal
        external_id = f"{settings.arn}/{launch_id}"
        if external_id not in self.executions:
            now = self.clock.now()
            started = Execution(external_id, settings.arn, DagsterRunStatus.STARTED, now)
            self.executions[external_id] = started
            self.payloads[external_id] = payload
        return self.executions[external_id]

    def finish(self, external_id: str, status: DagsterRunStatus, failure: Failure | None = None) -> Execution:
        """End an execution, as its service would."""
        ended = replace(
            self.executions[external_id], status=status, ended_at=self.clock.now(), failure=failure
        )
        self.executions[external_id] = ended
        return ended

    def describe(self, external_id: str) -> Execution:
        """How the execution stands."""
        if external_id not in self.executions:
            msg = f"There is no execution {external_id}."
            raise LaunchRejectedError(msg)
        return self.executions[external_id]
