"""A target in memory: starts executions once per launch id, and fails as it is told."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from treadle.definitions.errors import LaunchError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus
from treadle.ports.launching import Execution, JobSettings
from treadle.ports.runs import Failure
from treadle.testing.system import VirtualClock


@dataclass(frozen=True, slots=True)
class Start:
    """One call that asked for a start.

    Attributes:
        settings: what was to be started.
        launch_id: under which name.
        payload: with what.
    """

    settings: JobSettings
    launch_id: str
    payload: str


@dataclass(slots=True)
class InMemoryTarget:
    """A `Target` whose token is the launch id, as Step Functions' is the execution's name.

    Attributes:
        clock: the time.
        starts: every call, in order, those that were refused too.
        executions: what runs or ran, by external id.
        refusals: raised by the next calls of `start`, one each; None lets one through.
    """

    clock: VirtualClock
    starts: list[Start] = field(default_factory=list)
    executions: dict[str, Execution] = field(default_factory=dict)
    refusals: Iterator[LaunchError | None] = field(default_factory=lambda: iter(()))

    def start(self, settings: JobSettings, launch_id: str, payload: str) -> Execution:
        """Start, or find what was started under the same launch id."""
        self.starts.append(Start(settings, launch_id, payload))
        refusal = next(self.refusals, None)
        if refusal is not None:
            raise refusal
        external_id = f"{settings.arn}:{launch_id}"
        if external_id not in self.executions:
            started = Execution(external_id, settings.arn, DagsterRunStatus.STARTED, self.clock.now())
            self.executions[external_id] = started
        return self.executions[external_id]

    def describe(self, external_id: str) -> Execution:
        """How the execution stands."""
        if external_id not in self.executions:
            msg = f"There is no execution {external_id}."
            raise LaunchRejectedError(msg)
        return self.executions[external_id]

    def end(self, external_id: str, status: DagsterRunStatus, failure: Failure | None = None) -> Execution:
        """Let an execution come to its end."""
        ended = replace(self.describe(external_id), status=status, ended_at=self.clock.now(), failure=failure)
        self.executions[external_id] = ended
        return ended
