"""External runs: each is recorded once, with its true status, although events and listings are lost."""

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest

from tests.support.engine import ARN, JOB, JOBS, NAMESPACE, RUN_IDS
from treadle.definitions.errors import LaunchDelayedError, TreadleError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.assembly import Assembly
from treadle.engine.reconcile.external_run_poller import POLL_MS
from treadle.engine.record.recorder import StatusChange
from treadle.model.runs import Failure
from treadle.model.targets import Execution
from treadle.testing.faults import Fault, Faults, faulty
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import SequentialIds, VirtualClock
from treadle.testing.tables import InMemoryTables
from treadle.testing.targets import InMemoryTarget

if TYPE_CHECKING:
    from treadle.ports.targets import Target


NOON = 1_795_370_400_000
FAILED = Failure("States.TaskFailed", "no such file")
FAULTS = [
    Fault.KILL_BEFORE,
    Fault.KILL_AFTER,
    Fault.ANSWER_LOST,
    Fault.PAUSE,
    Fault.THROTTLED,
    Fault.REPEATED,
]


class Scene:
    """Three external executions: one runs, one has succeeded, one has failed; some of their events are lost.

    Args:
        fault: the injected fault, if any.
        number: the call at which it is injected; 0 for none.
    """

    def __init__(self, fault: Fault | None = None, number: int = 0) -> None:
        self.tables, self.clock = InMemoryTables(), VirtualClock(NOON)
        self.faults = Faults({number: fault} if fault else {}, pause=self.another_pass)
        self.inner = InMemoryTarget(self.clock)
        for name in ("runs", "succeeded", "failed"):
            arn = f"{ARN}:{name}"
            self.inner.executions[arn] = Execution(arn, ARN, Status.STARTED, NOON, launch_id=name)
        self.inner.finish(f"{ARN}:succeeded", Status.SUCCESS)
        self.inner.finish(f"{ARN}:failed", Status.FAILURE, FAILED)
        stores: Any = InMemoryStores(self.tables)
        stores.runs = faulty(stores.runs, "RunStore", self.faults)
        self.engine = Assembly(stores, self.clock, SequentialIds(), NAMESPACE)
        target: Target = self.inner
        lost = LaunchDelayedError
        self.targets = {"step_functions": faulty(target, "Target", self.faults, lost=lost, throttled=lost)}

    def another_pass(self) -> None:
        """Run RECONCILE and RECORD during a pause."""

        def everything() -> None:
            self.poll()
            self.record("failed", Status.FAILURE)

        self.faults.run("meanwhile", everything)

    def poll(self) -> None:
        """Poll the executions of the observed jobs."""
        self.engine.poller(JOBS, self.targets, {JOB}).watch(self.clock.now() + 50_000)

    def record(self, name: str, status: Status) -> None:
        """Record an event."""
        time = NOON if status is Status.STARTED else self.clock.time
        change = StatusChange("step_functions", name, f"{ARN}:{name}", ARN, status, time, started_at=NOON)
        self.engine.recorder(JOBS, self.targets, {JOB}).record(change)

    def step(self, name: str, function: Callable[[], object]) -> None:
        """Run a component as Lambda does: retry it after an error, or after its process was killed."""

        def guarded() -> bool:
            try:
                function()
            except TreadleError:
                return False
            return True

        done: list[bool] = []
        for _ in range(3):
            if self.faults.run(name, lambda: done.append(guarded())) and done[-1]:
                return

    def run(self) -> None:
        """Deliver two events out of order, and poll three times; an execution ends in between."""
        self.step("record", lambda: self.record("failed", Status.FAILURE))
        self.step("record", lambda: self.record("failed", Status.STARTED))
        self.step("reconcile", self.poll)
        self.inner.finish(f"{ARN}:runs", Status.SUCCESS)
        for _ in range(2):
            self.clock.time += POLL_MS
            self.step("reconcile", self.poll)

    def check(self) -> None:
        """Assert that each execution is one run, with the target's status."""
        recorded = {
            run.external_id: (run.status, run.failure, run.run_id, run.job, run.attempt)
            for run in self.tables.runs.values()
        }
        assert len(recorded) == len(self.tables.runs)
        assert recorded == {
            arn: (each.status, each.failure, RUN_IDS.observed("step_functions", arn), JOB, 1)
            for arn, each in self.inner.executions.items()
        }


def calls() -> int:
    """Return the number of calls of a scene."""
    scene = Scene()
    scene.run()
    scene.check()
    return len(scene.faults.calls)


@pytest.mark.parametrize("fault", FAULTS)
def test_no_fault_at_any_call_loses_or_doubles_an_external_run(fault: Fault) -> None:
    """Invariants I1 and I7 hold."""
    for number in range(1, calls() + 1):
        scene = Scene(fault, number)

        scene.run()

        assert [injected for _, injected in scene.faults.injected] == [fault]
        scene.check()


def test_scene_reaches_listing_descriptions_and_records() -> None:
    scene = Scene()

    scene.run()

    assert {call.site for call in scene.faults.calls} >= {
        "RunStore.poll_checkpoint",
        "RunStore.put_poll_checkpoint",
        "RunStore.create",
        "RunStore.replace_many",
        "Target.recent",
        "Target.describe",
    }
