"""A target in memory with a declared contract: token lifetime, listing lag, what it forgets."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from treadle.definitions.errors import LaunchError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus
from treadle.model.runs import Failure
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract
from treadle.ports.system import Clock

NAMED = StartContract(token_ms=89 * 86_400_000, listing_ms=89 * 86_400_000, lists=True)
"""Like Step Functions Standard: an execution's name is not reused."""


@dataclass(slots=True)
class InMemoryTarget:
    """A `Target` in memory, whose executions end when a test ends them.

    Attributes:
        clock: the clock.
        contract: what prevents duplicate starts; tokens are valid for exactly this time.
        listing_lag: milliseconds until an execution is found by its launch id.
        forgets_ended: True if an execution that has ended is not found any more, like a stopped ECS task.
        starts: every call in order, including those that failed or found an earlier execution.
        executions: all executions, by external id.
        begun: the external ids of each launch id's executions, in order.
        payloads: the payload of each execution, by external id.
        refusal: raised by every start until it is None again.
        unassumed: why roles cannot be assumed, by role; raised by every call that uses them.
        roles: the roles that executions were started, described or canceled with, in order.
        refusals: raised by the next calls of `start`, one each; None lets one through.
    """

    clock: Clock
    contract: StartContract = NAMED
    listing_lag: int = 0
    forgets_ended: bool = False
    starts: list[Start] = field(default_factory=list)
    executions: dict[str, Execution] = field(default_factory=dict)
    begun: dict[str, list[str]] = field(default_factory=dict)
    payloads: dict[str, str] = field(default_factory=dict)
    refusal: LaunchError | None = None
    unassumed: dict[str, LaunchError] = field(default_factory=dict)
    roles: list[str] = field(default_factory=list)
    refusals: Iterator[LaunchError | None] = field(default_factory=lambda: iter(()))

    def prepare(self, settings: JobSettings) -> None:
        """Raise an error for a role that cannot be assumed."""
        if settings.role in self.unassumed:
            raise self.unassumed[settings.role]

    def _assume(self, role: str) -> None:
        if role in self.unassumed:
            raise self.unassumed[role]
        self.roles.append(role)

    def start(self, start: Start) -> Execution:
        """Start an execution; within a token's lifetime, the same start returns the first one."""
        self._assume(start.settings.role)
        self.starts.append(start)
        refusal = next(self.refusals, None) or self.refusal
        if refusal is not None:
            raise refusal
        now, known = self.clock.now(), self.begun.setdefault(start.launch_id, [])
        if known and self.contract.token_ms is not None:
            first = self.executions[known[0]]
            if now - first.started_at < self.contract.token_ms:
                return first
        external_id = f"{start.settings.arn}:{start.launch_id}" + (f"#{len(known)}" if known else "")
        execution = Execution(
            external_id, start.settings.arn, DagsterRunStatus.STARTED, now, launch_id=start.launch_id
        )
        self.executions[external_id] = execution
        self.payloads[external_id] = start.payload
        known.append(external_id)
        return execution

    def resolve(self, start: Start) -> Execution | None:
        """Return what was started under the launch id, once the listing shows it."""
        if self.contract.listing_ms is None:
            return None
        self._assume(start.settings.role)
        visible_before = self.clock.now() - self.listing_lag
        found = (self.executions[external_id] for external_id in self.begun.get(start.launch_id, ()))
        return next((each for each in found if each.started_at <= visible_before), None)

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Describe an execution."""
        self._assume(role)
        execution = self.executions.get(external_id)
        if execution is None or (self.forgets_ended and execution.status.is_finished):
            msg = f"There is no execution {external_id}."
            raise LaunchRejectedError(msg)
        return execution

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Yield the executions at the job's address, by end or start time, without causes of failure."""
        self._assume(settings.role)
        found = [
            Listed(each.ended_at or each.started_at, replace(each, failure=None))
            for each in self.executions.values()
            if each.target == settings.arn
        ]
        yield from sorted((each for each in found if each.at >= since), key=lambda each: -each.at)

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        """End the execution, unless it has ended."""
        if not self.describe(external_id, role).status.is_finished:
            failure = Failure("Canceled", reason) if reason else None
            self.finish(external_id, DagsterRunStatus.CANCELED, failure)

    def finish(self, external_id: str, status: DagsterRunStatus, failure: Failure | None = None) -> Execution:
        """End an execution, as its service would."""
        ended = replace(
            self.executions[external_id], status=status, ended_at=self.clock.now(), failure=failure
        )
        self.executions[external_id] = ended
        return ended
