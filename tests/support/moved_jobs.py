"""A job whose target changes while its runs are in progress, and a target that denies access."""

from collections.abc import Iterator, Mapping

from tests.support.engine import ARN, JOB, EngineHarness
from tests.support.launching import launch, queue_run
from treadle.definitions.errors import (
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.reconcile.reconciler import Reconciled
from treadle.model.runs import Run
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract
from treadle.testing.targets import NAMED, InMemoryTarget

NEW_ARN = ARN.replace("process-file", "process-file-2")
MOVED = {JOB: JobSettings(JOB, "step_functions", NEW_ARN, "ProcessFileStateMachineArn")}
LISTED = StartContract(listing_ms=24 * 3_600_000)
TOKENED = StartContract(token_ms=3_600_000)
ANYTHING = StartContract(describes=False)
DENIED = LaunchDeniedError("not authorized to perform: states:StartExecution")
GONE = LaunchRejectedError("StateMachineDoesNotExist")
HOUR = 3_600_000

MOST_PASSES = 1_000
"""Maximum number of passes: a run that is still due after them is stuck."""


class MovableTarget(InMemoryTarget):
    """A target that can refuse calls about an address.

    Attributes:
        walls: by address, the error of every call about it.
        start_walls: the same for starts only.
        loses: True while the responses to starts are lost.
    """

    walls: dict[str, LaunchError]
    start_walls: dict[str, LaunchError]
    loses: bool

    def __init__(self, harness: EngineHarness, contract: StartContract = NAMED) -> None:
        super().__init__(harness.clock, contract)
        self.walls, self.start_walls, self.loses = {}, {}, False

    def _check(self, text: str, more: Mapping[str, LaunchError] | None = None) -> None:
        for address, error in {**self.walls, **(more or {})}.items():
            if text == address or text.startswith(f"{address}:"):
                raise error

    def start(self, start: Start) -> Execution:
        self._check(start.settings.arn, self.start_walls)
        execution = super().start(start)
        if self.loses:
            msg = "no answer"
            raise LaunchUncertainError(msg)
        return execution

    def resolve(self, start: Start) -> Execution | None:
        self._check(start.settings.arn)
        return super().resolve(start)

    def describe(self, external_id: str, role: str = "") -> Execution:
        self._check(external_id)
        return super().describe(external_id, role)

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        self._check(settings.arn)
        return super().recent(settings, since)


def target_of(harness: EngineHarness, contract: StartContract = NAMED) -> MovableTarget:
    """Return the engine's target."""
    harness.target = target = MovableTarget(harness, contract)
    return target


def started(harness: EngineHarness) -> MovableTarget:
    """Start a run at the first address."""
    queue_run(harness)
    target = target_of(harness)
    launch(harness)
    assert harness.only_run().status is Status.STARTED
    return target


def leave_pending_start(harness: EngineHarness, contract: StartContract = NAMED) -> MovableTarget:
    """Start a run at the first address, and lose the response."""
    queue_run(harness)
    target = target_of(harness, contract)
    target.loses = True
    launch(harness)
    target.loses = False
    assert (harness.only_run().status, len(target.executions)) == (Status.QUEUED, 1)
    harness.launches.drain()
    harness.clock.advance(30)
    return target


def keep_launching(harness: EngineHarness, until: int = 100 * HOUR) -> Run:
    """Process each message when it is due, until there are none or the time is up."""
    end = harness.clock.now() + until
    launch(harness)
    while harness.launches.messages and harness.clock.now() < end:
        delay = max(message.delay_seconds for message in harness.launches.messages)
        harness.launches.drain()
        harness.clock.advance(delay)
        launch(harness)
    return harness.only_run()


def keep_reconciling(harness: EngineHarness, until: int = 400 * HOUR) -> list[Reconciled]:
    """Run a pass whenever the run is due, until it has ended or the time is up."""
    end, passes = harness.clock.now() + until, []
    while (due := harness.only_run().next_at) is not None and due < end:
        harness.clock.time = max(harness.clock.time, due)
        passes.append(harness.reconciler().reconcile(50))
        assert len(passes) < MOST_PASSES, "the run is due again and again"
    return passes
