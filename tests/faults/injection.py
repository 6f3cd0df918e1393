"""Walks through every call of a scenario: strikes there, lets all go on, and checks the invariants."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.invariants import violations
from tests.faults.simulation import NotQuiescentError
from treadle.model.targets import StartContract
from treadle.testing.faults import Call, Fault, Faults
from treadle.testing.targets import NAMED

TOKEN_FOR_AN_HOUR = StartContract(token_ms=3_600_000)
"""As ECS: a client token is known for a while, and stopped tasks cannot be found."""

LISTED = StartContract(listing_ms=14 * 86_400_000)
"""As Glue and Batch: no token, but runs can be found by the launch id that they have."""

AT_LEAST_ONCE = StartContract(describes=False)
"""As an asynchronous Lambda invocation."""

CONTRACTS = {
    "named": NAMED,
    "token for an hour": TOKEN_FOR_AN_HOUR,
    "listed": LISTED,
    "at least once": AT_LEAST_ONCE,
}

TARGET_STEPS = frozenset({"LAUNCH", "RECORD", "RECONCILE"})
"""The steps in which it matters what the target promises."""

CALL_FAULTS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.PAUSE, Fault.THROTTLED)
BATCH_FAULTS = (Fault.HALF_KILLED, Fault.HALF_LOST)

MakeSimulation = Callable[[Faults], EngineSimulation]


@dataclass(slots=True)
class InjectionResult:
    """What a walk came to.

    Attributes:
        injected: how many fault points there were.
        violations: what did not check_result, and where.
    """

    injected: int = 0
    violations: list[str] = field(default_factory=list)

    def __iadd__(self, other: "InjectionResult") -> "InjectionResult":
        """Both together."""
        self.injected += other.injected
        self.violations += other.violations
        return self


def calls_of(make: MakeSimulation, plan: dict[int, Fault] | None = None) -> list[Call]:
    """All calls of a scenario, in order."""
    simulation = make(Faults(plan or {}))
    simulation.run()
    return simulation.faults.calls


def faults_at(call: Call, contract: StartContract) -> Iterator[Fault]:
    """What can happen at a call."""
    for fault in CALL_FAULTS:
        # Without a token nobody comes back after the time limit of LAUNCH: the claim is another's by then.
        if fault is Fault.PAUSE and call.step == "LAUNCH" and contract.token_ms is None:
            continue
        yield fault
    if call.size > 1:
        yield from BATCH_FAULTS


def inject(make: MakeSimulation, plan: dict[int, Fault]) -> InjectionResult:
    """Live through a flow with faults, and check what it has come to."""
    simulation = make(Faults(plan))
    planned = ", ".join(f"{fault} at call {number}" for number, fault in plan.items())
    try:
        simulation.run()
        found = violations(simulation)
    except NotQuiescentError as error:
        found = [f"I2: {error}"]
    injected = [f"{fault} at {call}" for call, fault in simulation.faults.injected]
    if len(injected) != len(plan):
        found.append(f"injected only {injected} of {planned}")
    return InjectionResult(1, [f"{' and '.join(injected)}: {problem}" for problem in found])


def inject_at_calls(
    make: MakeSimulation, contract: StartContract, fault: Fault, where: Callable[[Call], bool]
) -> InjectionResult:
    """Strike at every call.

    Args:
        make: a fresh simulation.
        contract: of its target.
        fault: what is to happen.
        where: which calls.
    """
    result = InjectionResult()
    for call in calls_of(make):
        if where(call) and fault in faults_at(call, contract):
            result += inject(make, {call.number: fault})
    return result


def inject_pairs(
    make: MakeSimulation, contract: StartContract, first: Fault, where: Callable[[Call], bool]
) -> InjectionResult:
    """Strike at every call, and at every later call of what that leads to."""
    result = InjectionResult()
    for call in filter(where, calls_of(make)):
        if first not in faults_at(call, contract):
            continue
        for later in filter(where, calls_of(make, {call.number: first})[call.number :]):
            for fault in faults_at(later, contract):
                result += inject(make, {call.number: first, later.number: fault})
    return result
