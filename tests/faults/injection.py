"""Injects a fault at each call of a scenario, runs the simulation to its end, and checks the invariants."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.invariants import violations
from tests.faults.simulation import NotQuiescentError
from treadle.model.targets import StartContract
from treadle.testing.faults import Call, Fault, Faults
from treadle.testing.targets import NAMED

TOKEN_FOR_AN_HOUR = StartContract(token_ms=3_600_000)
"""As ECS: a client token is valid for an hour, and stopped tasks are not listed."""

LISTED = StartContract(listing_ms=14 * 86_400_000)
"""As Glue and Batch: no token, but the listing shows the launch id of each run."""

AT_LEAST_ONCE = StartContract(describes=False)
"""As an asynchronous Lambda invocation."""

CONTRACTS = {
    "named": NAMED,
    "token for an hour": TOKEN_FOR_AN_HOUR,
    "listed": LISTED,
    "at least once": AT_LEAST_ONCE,
}

TARGET_STEPS = frozenset({"LAUNCH", "RECORD", "RECONCILE"})
"""The components that depend on the target's contract."""

CALL_FAULTS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.PAUSE, Fault.THROTTLED)
BATCH_FAULTS = (Fault.HALF_KILLED, Fault.HALF_LOST)

_READS = """
after attempts between contract counts copy cursor describe due edits existing find get get_many has_changed_partitions
holders in_progress is_dispatched key_states last_turn latest list list_by_sensor loop_hold loop_holds newest number_before numbered
page partitions pending poll_checkpoint queues read recent resolve state states unfinished waiters
"""

READS = frozenset(_READS.split())
"""The methods of ports that change nothing."""

NO_FAULTS: Mapping[int, Fault] = {}

MakeSimulation = Callable[[Faults], EngineSimulation]


@dataclass(slots=True)
class InjectionResult:
    """The result of injected faults.

    Attributes:
        injected: the number of plans of faults that were simulated.
        same: the number of further plans, each of which leaves the same state as a simulated one.
        violations: the violated invariants, with the fault points.
    """

    injected: int = 0
    same: int = 0
    violations: list[str] = field(default_factory=list)

    def __iadd__(self, other: "InjectionResult") -> "InjectionResult":
        """Add another result."""
        self.injected += other.injected
        self.same += other.same
        self.violations += other.violations
        return self


def calls_of(make: MakeSimulation, plan: dict[int, Fault] | None = None) -> list[Call]:
    """Return all calls of a simulation, in order."""
    simulation = make(Faults(plan or {}))
    simulation.run()
    return simulation.faults.calls


def faults_at(call: Call, contract: StartContract) -> Iterator[Fault]:
    """Yield the faults that can be injected at a call."""
    for fault in CALL_FAULTS:
        # Without a token, a paused LAUNCH would exceed its time limit: another one has the claim by then.
        if fault is Fault.PAUSE and call.step == "LAUNCH" and contract.token_ms is None:
            continue
        yield fault
    if call.size > 1:
        yield from BATCH_FAULTS


def is_same(
    fault: Fault,
    call: Call,
    calls: Sequence[Call],
    where: Callable[[Call], bool] = lambda _: True,
    plan: Mapping[int, Fault] = NO_FAULTS,
) -> bool:
    """Return whether a fault at a call leaves the same state as another one that is injected.

    A process that is killed before a call has done as much as one that is killed after the call before, if nothing else
    ran in between; and one that is killed after it has read has done as much as one that is killed before.

    Args:
        fault: the fault.
        call: the call.
        calls: all calls of the simulation without the fault, in order.
        where: selects the calls at which both are injected.
        plan: the other faults of that simulation.
    """
    if fault is Fault.KILL_AFTER:
        return call.method in READS
    if fault is not Fault.KILL_BEFORE or call.number == 1 or call.number - 1 in plan:
        return False
    before = calls[call.number - 2]
    return before.process == call.process and where(before)


def inject(make: MakeSimulation, plan: dict[int, Fault]) -> InjectionResult:
    """Run a simulation with injected faults, and check its invariants."""
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
    return InjectionResult(1, 0, [f"{' and '.join(injected)}: {problem}" for problem in found])


def inject_at_calls(
    make: MakeSimulation,
    contract: StartContract,
    fault: Fault,
    where: Callable[[Call], bool],
    part: tuple[int, int] = (0, 1),
) -> InjectionResult:
    """Inject a fault at each call.

    Args:
        make: creates a simulation.
        contract: the contract of its target.
        fault: the fault.
        where: selects the calls.
        part: which of how many parts of these calls; another test has the others.
    """
    result, calls = InjectionResult(), calls_of(make)
    for call in calls:
        if not where(call) or call.number % part[1] != part[0] or fault not in faults_at(call, contract):
            continue
        is_tested = is_same(fault, call, calls, where)
        result += InjectionResult(same=1) if is_tested else inject(make, {call.number: fault})
    return result


def inject_pairs(
    make: MakeSimulation, contract: StartContract, first: Fault, where: Callable[[Call], bool]
) -> InjectionResult:
    """Inject a fault at each call, and a second one at each later call of that simulation."""
    result, calls = InjectionResult(), calls_of(make)
    for call in filter(where, calls):
        if first not in faults_at(call, contract):
            continue
        plan = {call.number: first}
        after = calls_of(make, plan)
        is_tested = is_same(first, call, calls, where)
        for later in filter(where, after[call.number :]):
            for fault in faults_at(later, contract):
                is_same_pair = is_tested or is_same(fault, later, after, where, plan)
                result += (
                    InjectionResult(same=1) if is_same_pair else inject(make, {**plan, later.number: fault})
                )
    return result
