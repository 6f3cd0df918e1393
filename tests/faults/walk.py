"""Walks through every call of a flow: strikes there, lets all go on, and checks the invariants."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from tests.faults.invariants import violations
from tests.faults.living import RestlessError
from tests.faults.world import World
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

ABOUT_TARGETS = frozenset({"LAUNCH", "RECORD", "RECONCILE"})
"""The steps in which it matters what the target promises."""

EVERYWHERE = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.PAUSE, Fault.THROTTLED)
IN_BATCHES = (Fault.HALF_KILLED, Fault.HALF_LOST)

MakeWorld = Callable[[Faults], World]


@dataclass(slots=True)
class Walked:
    """What a walk came to.

    Attributes:
        struck: how many fault points there were.
        violations: what did not hold, and where.
    """

    struck: int = 0
    violations: list[str] = field(default_factory=list)

    def __iadd__(self, other: "Walked") -> "Walked":
        """Both together."""
        self.struck += other.struck
        self.violations += other.violations
        return self


def calls_of(make: MakeWorld, plan: dict[int, Fault] | None = None) -> list[Call]:
    """All calls of a flow, in order."""
    world = make(Faults(plan or {}))
    world.live()
    return world.faults.calls


def faults_at(call: Call, contract: StartContract) -> Iterator[Fault]:
    """What can happen at a call."""
    for fault in EVERYWHERE:
        # Without a token nobody comes back after the time limit of LAUNCH: the claim is another's by then.
        if fault is Fault.PAUSE and call.step == "LAUNCH" and contract.token_ms is None:
            continue
        yield fault
    if call.size > 1:
        yield from IN_BATCHES


def strike(make: MakeWorld, plan: dict[int, Fault]) -> Walked:
    """Live through a flow with faults, and check what it has come to."""
    world = make(Faults(plan))
    planned = ", ".join(f"{fault} at call {number}" for number, fault in plan.items())
    try:
        world.live()
        found = violations(world)
    except RestlessError as error:
        found = [f"I2: {error}"]
    struck = [f"{fault} at {call}" for call, fault in world.faults.struck]
    if len(struck) != len(plan):
        found.append(f"only {struck} of {planned} struck")
    return Walked(1, [f"{' and '.join(struck)}: {problem}" for problem in found])


def walk(make: MakeWorld, contract: StartContract, fault: Fault, where: Callable[[Call], bool]) -> Walked:
    """Strike at every call.

    Args:
        make: a fresh world.
        contract: of its target.
        fault: what is to happen.
        where: which calls.
    """
    walked = Walked()
    for call in calls_of(make):
        if where(call) and fault in faults_at(call, contract):
            walked += strike(make, {call.number: fault})
    return walked


def walk_pairs(
    make: MakeWorld, contract: StartContract, first: Fault, where: Callable[[Call], bool]
) -> Walked:
    """Strike at every call, and at every later call of what that leads to."""
    walked = Walked()
    for call in filter(where, calls_of(make)):
        if first not in faults_at(call, contract):
            continue
        for later in filter(where, calls_of(make, {call.number: first})[call.number :]):
            for fault in faults_at(later, contract):
                walked += strike(make, {call.number: first, later.number: fault})
    return walked
