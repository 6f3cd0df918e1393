"""One fault injected at every call while runs wait for pools, hold their slots, and return them; and many at once.

`make every-fault` injects each fault, and each pair of them, in every scenario.
"""

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache, partial

import pytest

from tests.faults.injection import CALL_FAULTS, READS, InjectionResult, Timeline, inject
from tests.faults.pool_scenarios import (
    CANCELED,
    PAIRED,
    RATED,
    SCENARIOS,
    SEVERAL,
    STEADY,
    TURNS,
    UNREPORTED,
)
from tests.faults.pool_simulation import PoolScenario, PoolSimulation, violations
from treadle.ports.pools import PoolStore
from treadle.testing.faults import Call, Fault, Faults, PendingCall

EVERY_FAULT = bool(os.environ.get("TREADLE_EVERY_FAULT"))

# Each test runs many simulations, and the machine may be busy.
pytestmark = pytest.mark.timeout(6 * 3_600 if EVERY_FAULT else 600)

NOT_IN_THE_SCENARIOS = {
    "PoolStore.declare": "called by the deployment, which test_registry_sync.py covers",
}


@dataclass(slots=True)
class DistinctCalls(Faults):
    """Notes the first call of each method in each state of the simulation.

    Attributes:
        simulation: the simulation.
        distinct: those calls.
    """

    simulation: PoolSimulation | None = None
    distinct: list[Call] = field(default_factory=list)
    _met: set[object] = field(default_factory=set)

    def call(self, call: PendingCall) -> object:
        """Make a call."""
        known, state = len(self.calls), self.simulation.digest() if self.simulation else ()
        answer = Faults.call(self, call)
        for made in self.calls[known : known + 1]:
            if (made.step, made.site, state) not in self._met:
                self._met.add((made.step, made.site, state))
                self.distinct.append(made)
        return answer


def timeline(scenario: PoolScenario) -> Timeline[PoolSimulation]:
    return Timeline(partial(PoolSimulation, scenario))


@lru_cache(maxsize=1)
def shared(name: str) -> tuple[Timeline[PoolSimulation], list[Call]]:
    """Return a scenario without faults, and the first call of each method in each state; tests in a row share them."""
    scenario = SCENARIOS[name]
    return timeline(scenario), distinct_calls(distinguished(scenario))


def distinguished(scenario: PoolScenario) -> Timeline[PoolSimulation]:
    """Return a simulation that notes the first call of each method in each state."""

    def make(faults: Faults) -> PoolSimulation:
        noting = DistinctCalls(faults.plan)
        noting.simulation = PoolSimulation(scenario, noting)
        return noting.simulation

    return Timeline(make)


def distinct_calls(simulated: Timeline[PoolSimulation]) -> list[Call]:
    """Return the first call of each method in each state."""
    noted = simulated.simulation.faults
    assert isinstance(noted, DistinctCalls)
    return noted.distinct


def is_possible(scenario: PoolScenario, fault: Fault, call: Call) -> bool:
    """Return whether a fault at a call is another than that at the call before it, and can happen."""
    if call.method in READS:
        # A process that is killed there dies as if at its last write.
        return fault in {Fault.PAUSE, Fault.THROTTLED, Fault.ANSWER_LOST}
    # Without a token, a paused LAUNCH would exceed its time limit: another one has the claim by then.
    return fault is not Fault.PAUSE or call.step != "LAUNCH" or scenario.contract.token_ms is not None


@pytest.mark.parametrize("scenario", SCENARIOS.values(), ids=SCENARIOS)
def test_limits_hold_and_every_run_ends(scenario: PoolScenario) -> None:
    assert violations(timeline(scenario).simulation) == []


@pytest.mark.parametrize("name", ["ordered", "several", "limited"])
def test_slot_is_granted_in_the_moment_in_which_it_is_free(name: str) -> None:
    assert set(timeline(SCENARIOS[name]).simulation.longest_idle.values()) <= {0}


def test_values_are_in_turn_by_the_history_of_the_target() -> None:
    simulation = timeline(TURNS).simulation

    started = [simulation.key_of(each.launch_id) for each in simulation.jobs_run.intervals]
    assert violations(simulation) == []
    # Those of minute 3: the customer with a backlog does not delay the others.
    assert started.index("c1") < started.index("a6")
    assert started.index("none") < started.index("a6")


def test_starts_of_a_minute_are_as_many_as_allowed_by_the_history_of_the_target() -> None:
    simulation = timeline(STEADY).simulation

    times = [each.started_at for each in simulation.jobs_run.intervals]
    between = [later - earlier for earlier, later in zip(times, times[2:], strict=False)]
    assert violations(simulation) == []
    assert len(times) == 8
    assert min(between) >= 60_000
    # A message to grant comes a second later at most, and so does nothing wait for RECONCILE's next pass.
    assert max(between) <= 61_000


def test_scenarios_reach_every_method_of_the_store() -> None:
    methods = {f"PoolStore.{name}" for name in vars(PoolStore) if not name.startswith("_")}
    calls = [call for scenario in SCENARIOS.values() for call in timeline(scenario).calls]

    assert {call.site for call in calls if call.port == "PoolStore"} == methods - set(NOT_IN_THE_SCENARIOS)


FULLY = ("ordered", "retried", "several", "joined", "skipped", "latest", "canceled", "rated", "turns")
ALL_FAULTS = tuple(SCENARIOS) if EVERY_FAULT else FULLY
INJECTED = [(name, fault) for name in ALL_FAULTS for fault in CALL_FAULTS] + [
    (name, Fault.KILL_AFTER) for name in SCENARIOS if name not in ALL_FAULTS
]


@pytest.mark.parametrize(("name", "fault"), INJECTED)
def test_no_fault_at_any_call_exceeds_a_limit_or_leaves_a_slot(
    name: str, fault: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    result = InjectionResult()
    simulated, calls = shared(name)

    for call in calls:
        if is_possible(SCENARIOS[name], fault, call):
            result += inject(simulated, {call.number: fault}, violations)

    check_result(result)


PAIRS = (Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.PAUSE)
TWICE = {"paired": PAIRED, **(SCENARIOS if EVERY_FAULT else {})}


@pytest.mark.parametrize("first", PAIRS)
@pytest.mark.parametrize("scenario", TWICE.values(), ids=TWICE)
def test_no_two_faults_exceed_a_limit_or_leave_a_slot(
    scenario: PoolScenario, first: Fault, check_result: Callable[[InjectionResult], None]
) -> None:
    """The second one is injected at each later write of that simulation."""
    simulated, noting, result = timeline(scenario), distinguished(scenario), InjectionResult()

    for call in distinct_calls(noting):
        if not is_possible(scenario, first, call):
            continue
        plan = {call.number: first}
        after = simulated.later(plan)
        for each in distinct_calls(noting.later(plan)):
            is_later_write = each.number > call.number and each.method not in READS
            if is_later_write and each.step != "RECONCILE":
                result += inject(after, {**plan, each.number: Fault.KILL_AFTER}, violations)

    check_result(result)


@pytest.mark.parametrize("seed", range(10))
@pytest.mark.parametrize(
    "scenario",
    [SEVERAL, UNREPORTED, CANCELED, RATED, TURNS],
    ids=["several", "unreported", "canceled", "rated", "turns"],
)
def test_many_faults_exceed_no_limit_and_leave_no_slot(scenario: PoolScenario, seed: int) -> None:
    chance = random.Random(seed)
    faults = [Fault.KILL_BEFORE, Fault.KILL_AFTER, Fault.ANSWER_LOST, Fault.THROTTLED]
    plan = {number: chance.choice(faults) for number in range(1, 2_000) if chance.random() < 0.04}
    simulation = PoolSimulation(scenario, Faults(plan))

    simulation.run()

    assert violations(simulation) == []
