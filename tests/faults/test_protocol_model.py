"""A stateful test of the protocol: Hypothesis generates schedules of actions, and a model checks each call.

Two stacks in one account share sensors' names, objects' events and targets' events. Ticks are late, repeated and out
of order; processes are killed, lose responses, pause at any call while others run, and have skewed clocks;
operators edit; targets refuse; targets' events are early, late, repeated, out of order or lost.
Invariants I1 to I7 and I9 hold after every call, and at the end nothing is left to do.

Wake-ups, run status sensors and asset sensors are not part of the model.
`TREADLE_MODEL_EXAMPLES=1000` (with pytest's `--timeout=0`) generates so many schedules, different ones each time, and
shrinks a failing one; without it they are always the same, and a failing one is not shrunk.
"""

import os
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from functools import partial

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, rule, run_state_machine_as_test

from tests.faults import protocol_steps as steps
from tests.faults.protocol_checker import ModelChecker, assert_nothing_lost, assert_started_once
from tests.faults.protocol_simulation import BEHAVIORS, COPIES, JOBS, Interruption, ProtocolSimulation
from tests.faults.protocol_steps import EDITS, ENDS, REFUSALS, Invocation
from treadle.definitions.status import DagsterRunStatus

pytestmark = pytest.mark.timeout(300)
EXAMPLES = int(os.environ.get("TREADLE_MODEL_EXAMPLES", "0"))
SKEWS = st.sampled_from((0, -3, 3))
WAITS = st.sampled_from((1, 20, 60, 61, 125, 1_000, 4_000))
NUMBERS = st.integers(0, 9)


def invocations(
    interruptions: st.SearchStrategy[Interruption | None],
    stacks: st.SearchStrategy[int | None] = st.integers(0, 1),  # noqa: B008 - strategies are values
) -> st.SearchStrategy[Invocation]:
    """Return a strategy of invocations."""
    return st.builds(Invocation, stacks, NUMBERS, SKEWS, interruptions, st.booleans())


def _action(function: object, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.tuples(*arguments).map(lambda values: partial(_apply, function, values))


def _apply(function: object, values: tuple[object, ...], simulation: ProtocolSimulation) -> None:
    function(simulation, *values)  # type: ignore[operator]


UNINTERRUPTED = invocations(st.none())
MEANWHILE = invocations(st.none(), st.sampled_from((None, None, None, 0, 1)))
EDITED = _action(steps.operate, MEANWHILE, st.sampled_from(EDITS))
ACTIONS = st.one_of(
    _action(steps.wait, WAITS),
    _action(steps.tick, MEANWHILE, st.sampled_from(BEHAVIORS)),
    EDITED,
    _action(steps.dispatch, MEANWHILE),
    _action(steps.launch, MEANWHILE),
    _action(steps.end, NUMBERS, st.sampled_from(ENDS)),
    _action(steps.record, MEANWHILE),
    _action(steps.reconcile, MEANWHILE),
    _action(steps.take_event, MEANWHILE, st.sampled_from(COPIES)),
)
OVERTAKEN = st.tuples(_action(steps.wait, st.sampled_from((61, 125, 200))), _action(steps.tick, MEANWHILE))
CROSSED = invocations(
    st.builds(
        Interruption,
        st.integers(1, 5),
        st.booleans(),
        st.just("pause"),
        st.one_of(st.tuples(EDITED), OVERTAKEN),
    )
)
INTERRUPTIONS = st.builds(
    Interruption,
    st.sampled_from(
        (1, 2, 3, 4, 5, 6, 8, 11)
    ),  # Few steps make so many calls; the others are not interrupted.
    st.booleans(),
    st.sampled_from(("kill", "lose", "pause")),
    st.lists(ACTIONS, max_size=4).map(tuple),
)
HOW = invocations(INTERRUPTIONS)
SHARED = invocations(
    st.builds(
        Interruption,
        st.integers(1, 3),
        st.booleans(),
        st.just("pause"),
        st.tuples(_action(steps.launch, MEANWHILE), _action(steps.wait, st.sampled_from((20, 40, 61, 200)))),
    )
)
TOTALS: Counter[str] = Counter()


class Protocol(RuleBasedStateMachine):
    """Actions of the simulation."""

    def __init__(self) -> None:
        super().__init__()
        self.checker = ModelChecker()
        self.simulation = ProtocolSimulation(self.checker)

    @rule(how=HOW, behavior=st.sampled_from(BEHAVIORS), late=st.integers(0, 2))
    def tick(self, how: Invocation, behavior: str, late: int) -> None:
        steps.tick(self.simulation, how, behavior, late)

    @rule(how=UNINTERRUPTED)
    def next_tick(self, how: Invocation) -> None:
        steps.wait(self.simulation, 60)
        steps.tick(self.simulation, how)

    @rule(how=CROSSED)
    def crossed_tick(self, how: Invocation) -> None:
        """Run a due tick, during which an operator edits, or the next tick acquires the lease."""
        steps.wait(self.simulation, 60)
        steps.tick(self.simulation, how)

    @rule(key=st.integers(0, 2))
    def upload(self, key: int) -> None:
        steps.upload(self.simulation, key)

    @rule(how=HOW, copy=st.sampled_from(COPIES), behavior=st.sampled_from(BEHAVIORS))
    def take_event(self, how: Invocation, copy: str, behavior: str) -> None:
        steps.take_event(self.simulation, how, copy, behavior)

    @rule(how=HOW)
    def dispatch(self, how: Invocation) -> None:
        steps.dispatch(self.simulation, how)

    @rule(how=HOW)
    def launch(self, how: Invocation) -> None:
        steps.launch(self.simulation, how)

    @rule(how=SHARED)
    def crossed_launch(self, how: Invocation) -> None:
        """Launch while the message is redelivered, and once more while a listing may still lag."""
        steps.launch(self.simulation, how)
        steps.wait(self.simulation, 25)
        steps.launch(self.simulation, replace(how, interruption=None))

    @rule(number=NUMBERS, status=st.sampled_from(ENDS))
    def end(self, number: int, status: DagsterRunStatus) -> None:
        steps.end(self.simulation, number, status)

    @rule(how=HOW)
    def record(self, how: Invocation) -> None:
        steps.record(self.simulation, how)

    @rule(how=UNINTERRUPTED, status=st.sampled_from(ENDS))
    def go_through(self, how: Invocation, status: DagsterRunStatus) -> None:
        steps.process_all(self.simulation, how, status)

    @rule(how=UNINTERRUPTED)
    def lose_event(self, how: Invocation) -> None:
        steps.lose_event(self.simulation, how)

    @rule(how=HOW)
    def reconcile(self, how: Invocation) -> None:
        steps.reconcile(self.simulation, how)

    @rule(how=HOW, edit=st.sampled_from(EDITS))
    def operate(self, how: Invocation, edit: str) -> None:
        steps.operate(self.simulation, how, edit)

    @rule(job=st.sampled_from(sorted(JOBS)), how=st.sampled_from(sorted(REFUSALS)))
    def refuse(self, job: str, how: str) -> None:
        steps.refuse(self.simulation, job, how)

    @rule(seconds=WAITS)
    def wait(self, seconds: int) -> None:
        steps.wait(self.simulation, seconds)

    def teardown(self) -> None:
        """Run everything to its end, and assert that nothing was lost."""
        steps.settle(self.simulation)
        assert_started_once(self.simulation)
        assert_nothing_lost(self.simulation, self.checker)
        runs = [run for stack in self.simulation.stacks for run in stack.tables.runs.values()]
        TOTALS.update(self.simulation.injected)
        TOTALS.update({"runs": len(runs), "later attempts": sum(run.attempt > 1 for run in runs)})


SETTINGS = settings(
    max_examples=EXAMPLES or 110,
    stateful_step_count=40,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
    # Shrinking a failing schedule takes minutes.
    phases=list(Phase) if EXAMPLES else [Phase.generate],
)


def test_no_schedule_breaks_an_invariant_and_all_interruptions_occur(
    record_property: Callable[[str, object], None],
) -> None:
    """The summary shows the numbers, as a test without interruptions would prove nothing."""
    run_state_machine_as_test(Protocol, settings=SETTINGS)

    record_property("summary", f"protocol model: {dict(TOTALS)}")
    assert (
        min(TOTALS[f"{kind} {when}"] for kind in ("kill", "lose", "pause") for when in ("before", "after"))
        > 10
    )
    assert TOTALS["later attempts"] > 10
