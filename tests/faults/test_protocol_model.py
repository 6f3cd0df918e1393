"""The protocol under anything that can happen to it: Hypothesis makes up the story, a model checks each call.

Two stacks in one account share sensors' names, objects' events and targets' events. Ticks come late, twice and out
of order; processes die, lose answers, stand still at any of their calls while others act, and have wrong clocks;
operators edit; targets refuse; targets' events come early, late, twice, out of order or not at all.
Invariants I1 to I7 and I9 hold after every call, and at the end everything has come to its end.

Left out, as they are not built: wake-ups, run status sensors, asset sensors.
`TREADLE_MODEL_EXAMPLES=1000` (with pytest's `--timeout=0`) makes up so many stories, others each time, and shortens
one that fails; without it they are always the same, and one that fails is shown as it is.
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
from tests.faults.protocol_steps import EDITS, ENDS, REFUSALS, Happening
from tests.faults.protocol_witness import ModelWitness, assert_all_done, assert_started_once
from tests.faults.protocol_world import BEHAVIOURS, COPIES, JOBS, Interruption, World
from treadle.definitions.status import DagsterRunStatus

pytestmark = pytest.mark.timeout(300)
EXAMPLES = int(os.environ.get("TREADLE_MODEL_EXAMPLES", "0"))
SKEWS = st.sampled_from((0, -3, 3))
WAITS = st.sampled_from((1, 20, 60, 61, 125, 1_000, 4_000))
NUMBERS = st.integers(0, 9)


def happenings(
    interruptions: st.SearchStrategy[Interruption | None],
    stacks: st.SearchStrategy[int | None] = st.integers(0, 1),  # noqa: B008 - strategies are values
) -> st.SearchStrategy[Happening]:
    """A step's circumstances."""
    return st.builds(Happening, stacks, NUMBERS, SKEWS, interruptions, st.booleans())


def _action(function: object, *arguments: st.SearchStrategy[object]) -> st.SearchStrategy[object]:
    return st.tuples(*arguments).map(lambda values: partial(_apply, function, values))


def _apply(function: object, values: tuple[object, ...], world: World) -> None:
    function(world, *values)  # type: ignore[operator]


UNDISTURBED = happenings(st.none())
MEANWHILE = happenings(st.none(), st.sampled_from((None, None, None, 0, 1)))
EDITED = _action(steps.operate, MEANWHILE, st.sampled_from(EDITS))
ACTIONS = st.one_of(
    _action(steps.wait, WAITS),
    _action(steps.tick, MEANWHILE, st.sampled_from(BEHAVIOURS)),
    EDITED,
    _action(steps.dispatch, MEANWHILE),
    _action(steps.launch, MEANWHILE),
    _action(steps.end, NUMBERS, st.sampled_from(ENDS)),
    _action(steps.record, MEANWHILE),
    _action(steps.reconcile, MEANWHILE),
    _action(steps.take_event, MEANWHILE, st.sampled_from(COPIES)),
)
OVERTAKEN = st.tuples(_action(steps.wait, st.sampled_from((61, 125, 200))), _action(steps.tick, MEANWHILE))
CROSSED = happenings(
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
    st.sampled_from((1, 2, 3, 4, 5, 6, 8, 11)),  # Few steps make so many calls: the others end undisturbed.
    st.booleans(),
    st.sampled_from(("kill", "lose", "pause")),
    st.lists(ACTIONS, max_size=4).map(tuple),
)
HOW = happenings(INTERRUPTIONS)
SHARED = happenings(
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
    """All that can happen."""

    def __init__(self) -> None:
        super().__init__()
        self.witness = ModelWitness()
        self.world = World(self.witness)

    @rule(how=HOW, behaviour=st.sampled_from(BEHAVIOURS), late=st.integers(0, 2))
    def tick(self, how: Happening, behaviour: str, late: int) -> None:
        steps.tick(self.world, how, behaviour, late)

    @rule(how=UNDISTURBED)
    def next_tick(self, how: Happening) -> None:
        steps.wait(self.world, 60)
        steps.tick(self.world, how)

    @rule(how=CROSSED)
    def crossed_tick(self, how: Happening) -> None:
        """A tick that is due, and during which an operator edits, or the next one takes its lease."""
        steps.wait(self.world, 60)
        steps.tick(self.world, how)

    @rule(key=st.integers(0, 2))
    def upload(self, key: int) -> None:
        steps.upload(self.world, key)

    @rule(how=HOW, copy=st.sampled_from(COPIES), behaviour=st.sampled_from(BEHAVIOURS))
    def take_event(self, how: Happening, copy: str, behaviour: str) -> None:
        steps.take_event(self.world, how, copy, behaviour)

    @rule(how=HOW)
    def dispatch(self, how: Happening) -> None:
        steps.dispatch(self.world, how)

    @rule(how=HOW)
    def launch(self, how: Happening) -> None:
        steps.launch(self.world, how)

    @rule(how=SHARED)
    def crossed_launch(self, how: Happening) -> None:
        """A launch during which its message comes again, and once more when a listing may still lag."""
        steps.launch(self.world, how)
        steps.wait(self.world, 25)
        steps.launch(self.world, replace(how, interruption=None))

    @rule(number=NUMBERS, status=st.sampled_from(ENDS))
    def end(self, number: int, status: DagsterRunStatus) -> None:
        steps.end(self.world, number, status)

    @rule(how=HOW)
    def record(self, how: Happening) -> None:
        steps.record(self.world, how)

    @rule(how=UNDISTURBED, status=st.sampled_from(ENDS))
    def go_through(self, how: Happening, status: DagsterRunStatus) -> None:
        steps.go_through(self.world, how, status)

    @rule(how=UNDISTURBED)
    def lose_event(self, how: Happening) -> None:
        steps.lose_event(self.world, how)

    @rule(how=HOW)
    def reconcile(self, how: Happening) -> None:
        steps.reconcile(self.world, how)

    @rule(how=HOW, edit=st.sampled_from(EDITS))
    def operate(self, how: Happening, edit: str) -> None:
        steps.operate(self.world, how, edit)

    @rule(job=st.sampled_from(sorted(JOBS)), how=st.sampled_from(sorted(REFUSALS)))
    def refuse(self, job: str, how: str) -> None:
        steps.refuse(self.world, job, how)

    @rule(seconds=WAITS)
    def wait(self, seconds: int) -> None:
        steps.wait(self.world, seconds)

    def teardown(self) -> None:
        """Let all come to its end, and look whether anything was lost."""
        steps.settle(self.world)
        assert_started_once(self.world)
        assert_all_done(self.world, self.witness)
        runs = [run for stack in self.world.stacks for run in stack.tables.runs.values()]
        TOTALS.update(self.world.struck)
        TOTALS.update({"runs": len(runs), "later attempts": sum(run.attempt > 1 for run in runs)})


SETTINGS = settings(
    max_examples=EXAMPLES or 110,
    stateful_step_count=40,
    deadline=None,
    derandomize=not EXAMPLES,
    database=None,
    suppress_health_check=list(HealthCheck),
    # To make a story that failed shorter takes minutes: only for those who explore.
    phases=list(Phase) if EXAMPLES else [Phase.generate],
)


def test_no_story_breaks_an_invariant_and_they_strike_everywhere(
    record_property: Callable[[str, object], None],
) -> None:
    """Shown at the end, too, as a model that nothing happens in proves nothing."""
    run_state_machine_as_test(Protocol, settings=SETTINGS)

    record_property("summary", f"protocol model: {dict(TOTALS)}")
    assert (
        min(TOTALS[f"{kind} {when}"] for kind in ("kill", "lose", "pause") for when in ("before", "after"))
        > 10
    )
    assert TOTALS["later attempts"] > 10
