"""A target in memory that keeps to a declared contract: token life, listing lag, what it forgets."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace

from treadle.definitions.errors import LaunchError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus
from treadle.ports.runs import Failure
from treadle.ports.system import Clock
from treadle.ports.targets import Execution, JobSettings, Listed, Start, StartContract

NAMED = StartContract(token_ms=89 * 86_400_000, listing_ms=89 * 86_400_000, lists=True)
"""As Step Functions Standard: an execution's name is not given twice."""


@dataclass(slots=True)
class InMemoryTarget:
    """A `Target` in memory, whose runs end when a test says so.

    Attributes:
        clock: the time.
        contract: what keeps it from starting an attempt twice; it honours a token for just so long.
        listing_lag: milliseconds until an execution is found by its launch id.
        forgets_ended: True where an execution that has ended is not found any more, as a stopped ECS task.
        starts: every call, in order, those that were refused or found what was started before too.
        executions: what runs or ran, by external id.
        begun: for each launch id the external ids of what was started under it, in order.
        payloads: what each was started with, by external id.
        refusal: raised by every start until it is None again.
        unassumed: why roles cannot be assumed, by role; raised by whatever would use them.
        roles: with which each execution was started, described or canceled, in order.
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
        """Refuse a role that cannot be assumed."""
        if settings.role in self.unassumed:
            raise self.unassumed[settings.role]

    def _assume(self, role: str) -> None:
        if role in self.unassumed:
            raise self.unassumed[role]
        self.roles.append(role)

    def start(self, start: Start) -> Execution:
        """Start; within a token's life, the same start again finds the first one."""
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
        """What was started under the launch id, once its listing shows it."""
        if self.contract.listing_ms is None:
            return None
        self._assume(start.settings.role)
        visible_before = self.clock.now() - self.listing_lag
        found = (self.executions[external_id] for external_id in self.begun.get(start.launch_id, ()))
        return next((each for each in found if each.started_at <= visible_before), None)

    def describe(self, external_id: str, role: str = "") -> Execution:
        """How the execution stands."""
        self._assume(role)
        execution = self.executions.get(external_id)
        if execution is None or (self.forgets_ended and execution.status.is_finished):
            msg = f"There is no execution {external_id}."
            raise LaunchRejectedError(msg)
        return execution

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """What ran at the job's address, by when it ended or began; not why it failed."""
        self._assume(settings.role)
        found = [
            Listed(each.ended_at or each.started_at, replace(each, failure=None))
            for each in self.executions.values()
            if each.target == settings.arn
        ]
        yield from sorted((each for each in found if each.at >= since), key=lambda each: -each.at)

    def cancel(self, external_id: str, role: str = "") -> None:
        """End the execution, unless it has ended."""
        if not self.describe(external_id, role).status.is_finished:
            self.finish(external_id, DagsterRunStatus.CANCELED)

    def finish(self, external_id: str, status: DagsterRunStatus, failure: Failure | None = None) -> Execution:
        """End an execution, as its service would."""
        ended = replace(
            self.executions[external_id], status=status, ended_at=self.clock.now(), failure=failure
        )
        self.executions[external_id] = ended
        return ended
