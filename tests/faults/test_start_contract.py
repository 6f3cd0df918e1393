"""The start contract, row by row: the launch is killed, or loses the response, between the call and the record.

Each row's test double has the contract of the deployed class.
"""

from dataclasses import replace

import pytest

from tests.support.engine import ARN, JOB, EngineHarness
from tests.support.launching import RUN_ID, SECONDS, launch, queue_run
from treadle.adapters.targets.batch import BatchTarget
from treadle.adapters.targets.ecs import EcsTarget
from treadle.adapters.targets.event_bus import EventBridgeTarget
from treadle.adapters.targets.glue import GlueTarget
from treadle.adapters.targets.lambda_function import LambdaTarget
from treadle.adapters.targets.sqs import SqsTarget
from treadle.adapters.targets.step_functions import StepFunctionsTarget
from treadle.definitions.errors import LaunchDelayedError, LaunchUncertainError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import LaunchRequest
from treadle.model.runs import Run
from treadle.model.targets import Execution, JobSettings, Start, StartContract
from treadle.ports.system import Clock
from treadle.testing.targets import InMemoryTarget

LAUNCH_ID = f"{RUN_ID}-1"
MINUTE, HOUR, DAY = 60_000, 3_600_000, 86_400_000

KILLED_BEFORE = "killed before the call"
KILLED_AFTER = "killed after the call"
ANSWER_LOST = "response lost"
REACHED = [KILLED_AFTER, ANSWER_LOST]


class Killed(BaseException):
    """The process is killed here."""


class FaultyTarget(InMemoryTarget):
    """A target with a fault at one start.

    Attributes:
        fault: the fault of the next start, if any.
        resolved: the starts that were resolved.
    """

    def __init__(
        self, clock: Clock, contract: StartContract, *, listing_lag: int = 0, forgets_ended: bool = False
    ) -> None:
        super().__init__(clock, contract, listing_lag, forgets_ended)
        self.fault: str | None = None
        self.resolved: list[Start] = []

    def start(self, start: Start) -> Execution:
        """Start, or have the fault before or after it."""
        fault, self.fault = self.fault, None
        if fault == KILLED_BEFORE:
            raise Killed
        execution = super().start(start)
        if fault == KILLED_AFTER:
            raise Killed
        if fault == ANSWER_LOST:
            msg = "there was no response"
            raise LaunchUncertainError(msg)
        return execution

    def resolve(self, start: Start) -> Execution | None:
        """Return the execution in the listing."""
        self.resolved.append(start)
        return super().resolve(start)


class Scene:
    """A run whose first launch had a fault.

    Args:
        contract: the target's contract.
        fault: the fault.
        listing_lag: milliseconds until the target's listing shows an execution.
        forgets_ended: whether the target forgets what has ended.
    """

    def __init__(
        self, contract: StartContract, fault: str, *, listing_lag: int = 0, forgets_ended: bool = False
    ) -> None:
        self.harness = EngineHarness()
        self.target = FaultyTarget(
            self.harness.clock, contract, listing_lag=listing_lag, forgets_ended=forgets_ended
        )
        self.harness.target = self.target
        queue_run(self.harness)
        self.target.fault = fault
        try:
            launch(self.harness)
        except Killed:
            assert fault != ANSWER_LOST
        assert len(self.target.starts) == (fault != KILLED_BEFORE)
        assert self.run.status is Status.QUEUED

    @property
    def run(self) -> Run:
        """The record."""
        return self.harness.only_run()

    @property
    def executions(self) -> list[str]:
        """The executions of the attempt."""
        return self.target.begun.get(LAUNCH_ID, [])

    def resume(self, after: int = 0) -> Run:
        """Redeliver the message when the claim has expired, or later, and then until none is left.

        Args:
            after: milliseconds from now.
        """
        clock, claim = self.harness.clock, self.run.claim
        clock.time += after
        if claim is not None:
            clock.time = max(clock.time, claim.expires_at + 1)
        self.harness.launches.drain()
        launch(self.harness)
        for _ in range(20):
            delays = [message.delay_seconds for message in self.harness.launches.messages]
            if not delays:
                return self.run
            clock.advance(max(delays))
            self.harness.launches.drain()
            launch(self.harness)
        pytest.fail("the launch does not end")


def assert_started_once(scene: Scene) -> None:
    """Assert that the attempt has one execution, which the record has."""
    run = scene.run
    assert scene.executions == [run.external_id]
    assert (run.status, run.attempt) == (Status.STARTED, 1)


def assert_unknown(scene: Scene) -> None:
    """Assert that the attempt was started once, and that the run has failed with an unknown outcome."""
    run = scene.run
    assert len(scene.executions) == 1
    assert run.status is Status.FAILURE
    assert run.failure is not None
    assert (run.failure.error, run.failure.assumed) == ("OutcomeUnknownError", True)
    assert ARN in run.failure.cause
    assert LAUNCH_ID in run.failure.cause
    assert run.replaceable_request_digest is None


@pytest.mark.parametrize("fault", [KILLED_BEFORE, *REACHED])
@pytest.mark.parametrize("after", [0, 88 * DAY])
def test_step_functions_starts_exactly_once(fault: str, after: int) -> None:
    scene = Scene(StepFunctionsTarget.contract, fault)

    scene.resume(after)

    assert_started_once(scene)


@pytest.mark.parametrize("fault", REACHED)
def test_step_functions_past_the_life_of_a_name_is_unknown(fault: str) -> None:
    scene = Scene(StepFunctionsTarget.contract, fault)

    scene.resume(90 * DAY)

    assert_unknown(scene)


@pytest.mark.parametrize("fault", [KILLED_BEFORE, *REACHED])
@pytest.mark.parametrize("after", [0, 50 * MINUTE])
def test_ecs_starts_exactly_once_inside_the_tokens_life(fault: str, after: int) -> None:
    scene = Scene(EcsTarget.contract, fault, forgets_ended=True)
    for task in scene.executions:
        scene.target.finish(task, Status.SUCCESS)

    scene.resume(after)

    assert_started_once(scene)


@pytest.mark.parametrize("fault", REACHED)
@pytest.mark.parametrize("after", [55 * MINUTE, HOUR, DAY])
def test_ecs_past_the_tokens_life_is_unknown(fault: str, after: int) -> None:
    scene = Scene(EcsTarget.contract, fault, forgets_ended=True)

    scene.resume(after)

    assert_unknown(scene)


def starts_exactly_once_by_its_listing(contract: StartContract, fault: str, lag: int, after: int) -> None:
    """Check a target without token, whose executions can be listed."""
    scene = Scene(contract, fault, listing_lag=lag)

    scene.resume(after)

    assert_started_once(scene)


# The launch lists executions when the claim has expired, or after the first retry, and then a minute later.
LAGS = [0, 60_000]


@pytest.mark.parametrize("fault", [KILLED_BEFORE, *REACHED])
@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("after", [0, 23 * HOUR])
def test_glue_starts_exactly_once_by_its_listing(fault: str, lag: int, after: int) -> None:
    starts_exactly_once_by_its_listing(GlueTarget.contract, fault, lag, after)


@pytest.mark.parametrize("fault", REACHED)
def test_glue_past_the_listing_is_unknown(fault: str) -> None:
    scene = Scene(GlueTarget.contract, fault)

    scene.resume(25 * HOUR)

    assert_unknown(scene)


@pytest.mark.parametrize("fault", [KILLED_BEFORE, *REACHED])
@pytest.mark.parametrize("lag", LAGS)
@pytest.mark.parametrize("after", [0, 23 * HOUR])
def test_batch_starts_exactly_once_by_its_listing(fault: str, lag: int, after: int) -> None:
    starts_exactly_once_by_its_listing(BatchTarget.contract, fault, lag, after)


@pytest.mark.parametrize("fault", REACHED)
def test_batch_past_the_listing_is_unknown(fault: str) -> None:
    scene = Scene(BatchTarget.contract, fault)

    scene.resume(25 * HOUR)

    assert_unknown(scene)


def starts_at_least_once(contract: StartContract, fault: str) -> None:
    """Check a fire-and-forget target: at least one start, and each with the same launch id."""
    scene = Scene(contract, fault)
    before = len(scene.executions)

    run = scene.resume()

    assert (before, len(scene.executions)) == (0, 1) if fault == KILLED_BEFORE else (1, 2)
    assert len({scene.target.payloads[each] for each in scene.executions}) == 1
    assert {start.launch_id for start in scene.target.starts} == {LAUNCH_ID}
    assert (run.status, run.next_at) == (Status.STARTED, None)


@pytest.mark.parametrize("fault", [KILLED_BEFORE, *REACHED])
def test_lambda_starts_at_least_once(fault: str) -> None:
    starts_at_least_once(LambdaTarget.contract, fault)


@pytest.mark.parametrize("fault", [KILLED_BEFORE, *REACHED])
def test_sqs_starts_at_least_once(fault: str) -> None:
    starts_at_least_once(SqsTarget.contract, fault)


@pytest.mark.parametrize("fault", [KILLED_BEFORE, *REACHED])
def test_eventbridge_starts_at_least_once(fault: str) -> None:
    starts_at_least_once(EventBridgeTarget.contract, fault)


# A pending start is resolved with the target of its first try, whatever is deployed by then.

OLD = JobSettings(JOB, "glue", "arn:old", "OldArn", {"queue": "old"})
NEW = JobSettings(JOB, "batch", "arn:new", "NewArn", {"queue": "new", "arguments": "x"})


class MovedJob:
    """A job that was moved from one target type to another."""

    def __init__(self) -> None:
        self.harness = EngineHarness()
        clock = self.harness.clock
        self.old = FaultyTarget(clock, GlueTarget.contract)
        self.new = FaultyTarget(clock, BatchTarget.contract)
        queue_run(self.harness)

    def launch(self, settings: JobSettings | None) -> Run:
        """Process the message, with a deployment's settings."""
        harness = self.harness
        jobs = {JOB: settings} if settings else {}
        launcher = harness.engine.launcher(harness.launches, jobs, self.targets)
        launcher.launch(LaunchRequest(RUN_ID, 1, JOB), SECONDS)
        return harness.only_run()

    @property
    def targets(self) -> dict[str, FaultyTarget]:
        """Both target types."""
        return {"glue": self.old, "batch": self.new}


@pytest.mark.parametrize(
    "deployed",
    [
        NEW,
        replace(OLD, arn="arn:new"),
        replace(OLD, options={"queue": "new"}),
        replace(OLD, options={}),
        replace(OLD, arn=""),
        None,
    ],
    ids=["kind", "address", "queue", "no queue", "no address", "no job"],
)
def test_pending_start_is_resolved_with_the_same_target(deployed: JobSettings | None) -> None:
    scene = MovedJob()
    scene.old.fault = KILLED_AFTER
    with pytest.raises(Killed):
        scene.launch(OLD)
    tried_at = scene.harness.clock.now()
    scene.harness.clock.advance(SECONDS + 61)

    run = scene.launch(deployed)

    [resolved] = scene.old.resolved
    settings = resolved.settings
    assert (settings.target, settings.arn, settings.options) == (OLD.target, OLD.arn, OLD.options)
    assert resolved.tried_at == tried_at
    assert (run.status, run.target) == (Status.STARTED, "arn:old")
    assert (len(scene.old.starts), scene.new.starts) == (1, [])


def test_pending_start_that_was_lost_is_repeated_with_the_same_target() -> None:
    scene = MovedJob()
    scene.old.fault = KILLED_BEFORE
    with pytest.raises(Killed):
        scene.launch(OLD)
    scene.harness.clock.advance(SECONDS + 61)

    scene.launch(NEW)
    scene.harness.clock.advance(61)
    run = scene.launch(NEW)

    assert (run.status, run.target) == (Status.STARTED, "arn:old")
    assert scene.new.starts == []


def test_refused_start_is_repeated_with_the_current_target() -> None:
    scene = MovedJob()
    scene.old.refusals = iter([LaunchDelayedError("too many at once")])
    scene.launch(OLD)

    run = scene.launch(NEW)

    assert (run.status, run.target, scene.old.executions) == (Status.STARTED, "arn:new", {})


def test_run_is_described_with_the_target_that_started_it() -> None:
    scene = MovedJob()
    scene.launch(OLD)
    [external_id] = scene.old.executions
    scene.old.finish(external_id, Status.SUCCESS)
    harness = scene.harness
    harness.clock.advance(3_601)

    reconciler = harness.reconciler(jobs={JOB: NEW}, targets=scene.targets)
    found = reconciler.reconcile(60)

    assert found.described == 1
    assert harness.only_run().status is Status.SUCCESS


def test_run_whose_target_reports_nothing_is_not_described() -> None:
    scene = MovedJob()
    scene.launch(OLD)
    scene.old.contract = SqsTarget.contract
    scene.old.executions.clear()
    harness = scene.harness
    harness.clock.advance(3_601)

    reconciler = harness.reconciler(jobs={JOB: OLD}, targets=scene.targets)
    reconciler.reconcile(60)

    assert harness.only_run().status is Status.STARTED
