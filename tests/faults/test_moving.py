"""A deployment moves the job to another target at each call, with and without permissions on the former target."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pytest

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.injection import CONTRACTS, TARGET_STEPS, TOKEN_FOR_AN_HOUR, Timeline
from tests.faults.invariants import i1, i3, violations
from tests.faults.scenario import Scenario, keys_of
from tests.faults.simulated_aws import SimulatedTarget, TargetFaults
from tests.support.engine import ARN
from tests.support.moved_jobs import MOVED, NEW_ARN
from treadle.definitions.errors import LaunchDeniedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.assembly import Assembly
from treadle.model.targets import Execution, JobSettings, Start, StartContract
from treadle.testing.faults import Call, Fault
from treadle.testing.targets import NAMED

pytestmark = pytest.mark.timeout(600)

KEYS = ("busy", "unanswered", "swallowed", "late", "silent", "failing", "plain")
EVERYTHING = Scenario(
    batches=(KEYS,),
    target_faults=TargetFaults(
        failing=keys_of("failing"),
        silent=keys_of("silent"),
        late=keys_of("late"),
        unanswered=keys_of("unanswered"),
        swallowed=keys_of("swallowed"),
        busy=keys_of("busy"),
    ),
)
PLAIN = Scenario(batches=(("only",),))


@dataclass(slots=True)
class GuardedTarget(SimulatedTarget):
    """A target whose former ARN denies everything, and sends no events, once it is closed."""

    is_closed: bool = False

    def _guard(self, text: str, arn: str = ARN) -> None:
        if self.is_closed and (text == arn or text.startswith(f"{arn}:")):
            msg = f"not authorized to perform anything on {arn}"
            raise LaunchDeniedError(msg)

    def start(self, start: Start) -> Execution:
        """Start a job."""
        self._guard(start.settings.arn)
        return SimulatedTarget.start(self, start)

    def resolve(self, start: Start) -> Execution | None:
        """Return the execution in the listing."""
        self._guard(start.settings.arn)
        return SimulatedTarget.resolve(self, start)

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Return an execution."""
        self._guard(external_id)
        return SimulatedTarget.describe(self, external_id, role)

    def _report(
        self, execution: Execution, status: str, key: str, delay: int, machine: str | None = None
    ) -> None:
        if not (self.is_closed and execution.target == ARN):
            SimulatedTarget._report(self, execution, status, key, delay, machine)


@dataclass(slots=True)
class MovingSimulation(EngineSimulation):
    """A simulation in which a deployment moves the job in place of a pause.

    Attributes:
        keeps: whether the deployment keeps rules and permissions for the former target.
    """

    keeps: bool = True
    moves: int = 0
    guarded: GuardedTarget = field(init=False)

    def __post_init__(self) -> None:
        EngineSimulation.__post_init__(self)
        self.jobs_run = self.guarded = GuardedTarget(
            self.clock, self.contract, self.scenario.target_faults, self.events
        )
        self.faults.pause = self.move

    def _jobs(self, engine: Assembly) -> Mapping[str, JobSettings]:
        return self.jobs

    def move(self) -> None:
        """Deploy; running components still have the former deployment's settings."""
        self.jobs, self.moves = MOVED, self.moves + 1
        self.guarded.is_closed = not self.keeps


def moved_at_each_call(
    contract: StartContract, scenario: Scenario, first: dict[int, Fault], *, keeps: bool
) -> Iterator[tuple[Call, MovingSimulation]]:
    """Yield a finished simulation for each call at which the job can move."""
    timeline = Timeline(lambda faults: MovingSimulation(contract, scenario, faults, keeps=keeps), first)
    for call in timeline.calls:
        if call.step in TARGET_STEPS and call.number > max(first, default=0):
            simulation = timeline.with_faults({**first, call.number: Fault.PAUSE})
            simulation.run()
            assert simulation.moves == 1
            yield call, simulation


def violations_without_permissions(simulation: MovingSimulation) -> Iterator[str]:
    """Yield the violations without permissions: then a run may end as unknown, and nothing else may differ."""
    yield from i1(simulation)
    yield from i3(simulation)
    if simulation.dead_letters.kept:
        yield f"dead letters: {simulation.dead_letters.kept}"
    for run in simulation.backend.all_runs():
        if not run.status.is_finished and (run.next_at is not None or simulation.contract.describes):
            yield f"{run.run_key} is {run.status} forever"
        error = run.failure.error if run.failure else None
        if error == "OutcomeUnknownError":
            if (
                run.pending_start is None
                or run.pending_start.target != ARN
                or run.replaceable_request_digest is not None
            ):
                yield f"{run.run_key} is unknown although it was not started at the former target: {run}"
        elif run.status is Status.FAILURE and run.run_key != "failing":
            yield f"{run.run_key} has failed: {run.failure}"


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "taken away"])
@pytest.mark.parametrize("contract", CONTRACTS.values(), ids=CONTRACTS)
def test_a_move_at_any_call_loses_no_run_and_starts_none_twice(contract: StartContract, keeps: bool) -> None:
    found: list[str] = []
    target_arns: set[str | None] = set()

    for call, simulation in moved_at_each_call(contract, EVERYTHING, {}, keeps=keeps):
        found += [
            f"{call}: {problem}"
            for problem in (violations if keeps else violations_without_permissions)(simulation)
        ]
        target_arns |= {run.target for run in simulation.backend.all_runs()}

    assert found == []
    assert {ARN, NEW_ARN} <= target_arns


@pytest.mark.parametrize("keeps", [True, False], ids=["kept", "taken away"])
@pytest.mark.parametrize("fault", [Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST])
@pytest.mark.parametrize("contract", [NAMED, TOKEN_FOR_AN_HOUR], ids=["named", "token for an hour"])
def test_a_move_after_a_start_that_met_a_fault_loses_no_run_and_starts_none_twice(
    contract: StartContract, fault: Fault, keeps: bool
) -> None:
    plain = EngineSimulation(contract, PLAIN)
    plain.run()
    start = next(call for call in plain.faults.calls if call.site == "Target.start")

    simulations = list(moved_at_each_call(contract, PLAIN, {start.number: fault}, keeps=keeps))

    found = [
        f"{call}: {problem}"
        for call, simulation in simulations
        for problem in (violations if keeps else violations_without_permissions)(simulation)
    ]
    assert found == []
    assert len(simulations) > 3
