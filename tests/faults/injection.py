"""Injects a fault at each call of a scenario, runs the simulation to its end, and checks the invariants."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Generic, TypeVar

from tests.faults.engine_simulation import EngineSimulation
from tests.faults.invariants import violations
from tests.faults.simulation import NotQuiescentError, Simulation
from tests.faults.snapshots import Snapshot
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
after attempts between contract counts copy cursor describe due edits existing exists find get get_many has_changed_partitions
holders in_progress is_dispatched key_states last_turn latest list list_by_sensor loop_hold loop_holds newest number_before numbered
page partitions pending poll_checkpoint queues read recent resolve state states unfinished waiters
"""

READS = frozenset(_READS.split())
"""The methods of ports that change nothing."""

NO_FAULTS: Mapping[int, Fault] = {}

S = TypeVar("S", bound=Simulation)

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


class Timeline(Generic[S]):
    """A simulation, and its states between steps, from which it is simulated with further faults.

    Attributes:
        simulation: the simulation at its end.

    Args:
        make: creates a simulation.
        plan: the injected faults.
        earlier: the simulation without the last of them.
        resumes: whether a simulation can continue from such a state; else each begins at its start. It can if its stores
            are in memory.
    """

    def __init__(
        self,
        make: Callable[[Faults], S],
        plan: Mapping[int, Fault] = NO_FAULTS,
        earlier: "Timeline[S] | None" = None,
        *,
        resumes: bool = True,
    ) -> None:
        self._make = make
        self._plan = plan
        self._resumes = resumes
        self._snapshots: list[Snapshot] = []
        self.simulation = make(Faults(plan)) if earlier is None else earlier.with_faults(plan)
        self._note()
        while self.simulation.step():
            self._note()

    def _note(self) -> None:
        number = len(self.simulation.faults.calls)
        if self._resumes and (not self._snapshots or number > self._snapshots[-1].calls):
            self._snapshots.append(Snapshot.of(self.simulation))

    @property
    def calls(self) -> list[Call]:
        """All calls, in order."""
        return self.simulation.faults.calls

    def with_faults(self, plan: Mapping[int, Fault]) -> S:
        """Return a simulation with further faults, which goes on before the step with the first of these."""
        first = min(set(plan) - set(self._plan))
        before = [each for each in self._snapshots if each.calls < first]
        if not before:
            return self._make(Faults(plan))
        simulation: S = before[-1].restored()
        simulation.faults.plan = plan
        return simulation

    def later(self, plan: Mapping[int, Fault]) -> "Timeline[S]":
        """Return the timeline with further faults."""
        return Timeline(self._make, plan, self, resumes=self._resumes)


def calls_of(make: MakeSimulation) -> list[Call]:
    """Return all calls of a simulation, in order."""
    return Timeline(make, resumes=False).calls


def faults_at(call: Call, contract: StartContract) -> Iterator[Fault]:
    """Yield the faults that can be injected at a call."""
    for fault in CALL_FAULTS:
        # Without a token, a paused LAUNCH would exceed its time limit: another one has the claim by then.
        if fault is Fault.PAUSE and call.step == "LAUNCH" and contract.token_ms is None:
            continue
        yield fault
    if call.size > 1:
        yield from BATCH_FAULTS


def any_call(_: Call) -> bool:
    """Return whether a call is one."""
    return True


def is_same(
    fault: Fault,
    call: Call,
    calls: Sequence[Call],
    where: Callable[[Call], bool] = any_call,
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


def inject(
    timeline: Timeline[S], plan: Mapping[int, Fault], violations_of: Callable[[S], Iterable[str]]
) -> InjectionResult:
    """Run a simulation with further faults, and check its invariants.

    Args:
        timeline: the simulation without them.
        plan: all faults.
        violations_of: returns the violated invariants.
    """
    simulation = timeline.with_faults(plan)
    try:
        simulation.run()
        found = list(violations_of(simulation))
    except NotQuiescentError as error:
        found = [f"I2: {error}"]
    injected = [f"{fault} at {call}" for call, fault in simulation.faults.injected]
    if len(injected) != len(plan):
        planned = ", ".join(f"{fault} at call {number}" for number, fault in plan.items())
        found.append(f"injected only {injected} of {planned}")
    return InjectionResult(1, 0, [f"{' and '.join(injected)}: {problem}" for problem in found])


def inject_at_each(
    timeline: Timeline[S],
    fault: Fault,
    violations_of: Callable[[S], Iterable[str]],
    *,
    where: Callable[[Call], bool] = any_call,
    possible_at: Callable[[Call], bool] = any_call,
    part: tuple[int, int] = (0, 1),
) -> InjectionResult:
    """Inject a fault at each call.

    Args:
        timeline: the simulation without it.
        fault: the fault.
        violations_of: returns the violated invariants.
        where: selects the calls.
        possible_at: returns whether the fault can be injected at a call.
        part: which of how many parts of the calls; another test has the others.
    """
    result = InjectionResult()
    for call in filter(where, timeline.calls):
        if call.number % part[1] != part[0] or not possible_at(call):
            continue
        is_tested = is_same(fault, call, timeline.calls, where)
        result += (
            InjectionResult(same=1) if is_tested else inject(timeline, {call.number: fault}, violations_of)
        )
    return result


def inject_and_kill_later(
    timeline: Timeline[S], fault: Fault, violations_of: Callable[[S], Iterable[str]], times: int
) -> InjectionResult:
    """Inject a fault at each call, and kill a process before some of the later calls of that simulation.

    Args:
        timeline: the simulation without them.
        fault: the first fault.
        violations_of: returns the violated invariants.
        times: about how many later calls there are.
    """
    result = InjectionResult()
    for call in timeline.calls:
        plan = {call.number: fault}
        after = timeline.later(plan)
        later = after.calls[call.number :]
        for each in later[:: max(1, len(later) // times)]:
            result += inject(after, {**plan, each.number: Fault.KILL_BEFORE}, violations_of)
    return result


def inject_at_calls(
    timeline: Timeline[EngineSimulation],
    contract: StartContract,
    fault: Fault,
    where: Callable[[Call], bool],
    part: tuple[int, int] = (0, 1),
) -> InjectionResult:
    """Inject a fault at each call of a simulation of the engine.

    Args:
        timeline: the simulation without it.
        contract: the contract of its target.
        fault: the fault.
        where: selects the calls.
        part: which of how many parts of these calls; another test has the others.
    """
    return inject_at_each(
        timeline,
        fault,
        violations,
        where=where,
        possible_at=lambda call: fault in faults_at(call, contract),
        part=part,
    )


def inject_pairs(
    make: MakeSimulation, contract: StartContract, first: Fault, where: Callable[[Call], bool]
) -> InjectionResult:
    """Inject a fault at each call, and a second one at each later call of that simulation."""
    result, timeline = InjectionResult(), Timeline(make)
    for call in filter(where, timeline.calls):
        if first not in faults_at(call, contract):
            continue
        plan = {call.number: first}
        after = timeline.later(plan)
        is_tested = is_same(first, call, timeline.calls, where)
        for later in filter(where, after.calls[call.number :]):
            for fault in faults_at(later, contract):
                is_same_pair = is_tested or is_same(fault, later, after.calls, where, plan)
                result += (
                    InjectionResult(same=1)
                    if is_same_pair
                    else inject(after, {**plan, later.number: fault}, violations)
                )
    return result
