"""The actions of the simulation: invocations of functions, edits by operators, and the passing of time.

Numbers select one of the available items; an action without an item does nothing.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TypeVar

from tests.faults.protocol_simulation import (
    COPIES,
    JOBS,
    LIMIT_SECONDS,
    RUNNING,
    WATCH,
    Interruption,
    ProtocolSimulation,
    Stack,
)
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import LaunchRequest
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.schedule import MINUTE_MS, minute
from treadle.model.runs import RetryGrant, Run
from treadle.operate.sensors import SensorOperations
from treadle.testing.system import VirtualClock

T = TypeVar("T")
REFUSALS: dict[str, Callable[[str], LaunchError]] = {
    "rejected": LaunchRejectedError,
    "denied": LaunchDeniedError,
    "delayed": LaunchDelayedError,
    "uncertain": LaunchUncertainError,
}
EDITS = ("start", "stop", "set_cursor", "rerun")
ENDS = (Status.SUCCESS, Status.FAILURE, Status.CANCELED)


@dataclass(frozen=True, slots=True)
class Invocation:
    """The parameters of an invocation.

    Attributes:
        stack: the index of the stack; None for the stack of the paused step.
        number: selects its item.
        skew: the seconds that its clock is ahead.
        interruption: its interruption, if any.
        doubled: whether its message is delivered again although it succeeded.
    """

    stack: int | None = 0
    number: int = 0
    skew: int = 0
    interruption: Interruption | None = None
    doubled: bool = False

    def run(
        self, simulation: ProtocolSimulation, step: Callable[..., object], *, is_ended_in_time: bool = False
    ) -> bool:
        """Run a step, and return whether its message may be deleted."""
        done = simulation.run(step, self.interruption, self.skew, is_ended_in_time=is_ended_in_time)
        return done and not self.doubled

    def stack_in(self, simulation: ProtocolSimulation) -> Stack:
        """Return the stack."""
        return simulation.present if self.stack is None else simulation.stacks[self.stack]


def _chosen(values: Sequence[T], number: int) -> T | None:
    return values[number % len(values)] if values else None


def tick(simulation: ProtocolSimulation, how: Invocation, behavior: str = "requests", late: int = 0) -> None:
    """Run a scheduled tick, perhaps minutes late or out of order."""
    stack = how.stack_in(simulation)
    nominal = minute(simulation.clock.now()) - late * MINUTE_MS
    stack.behavior = behavior
    how.run(
        simulation,
        lambda clock: stack.sensor(stack.watch, clock).scheduled.tick(nominal, Budget(LIMIT_SECONDS)),
    )


def upload(simulation: ProtocolSimulation, key: int) -> None:
    """Store an object, and send its event to every sensor of every stack."""
    time = datetime.fromtimestamp(simulation.clock.now() / 1000, UTC)
    sequencer = str(len(simulation.uploads))
    event = ObjectCreated(S3Object("b", f"o{key}", "e", "null", 1, time), time, sequencer)
    simulation.uploads.append(event)
    for stack in simulation.stacks:
        for copy in COPIES:
            stack.uploads[copy].append(event)


def take_event(
    simulation: ProtocolSimulation, how: Invocation, copy: str, behavior: str = "requests"
) -> None:
    """Evaluate an event in one of the sensors that share it."""
    stack = how.stack_in(simulation)
    event = _chosen(stack.uploads[copy], how.number)
    if event is None:
        return
    stack.behavior = behavior

    def evaluate(clock: VirtualClock) -> None:
        events = stack.sensor(stack.copies[copy], clock).events
        events.evaluate(event, events.load_batch_state([event]), Budget(LIMIT_SECONDS))

    if how.run(simulation, evaluate) and event in stack.uploads[copy]:
        stack.uploads[copy].remove(event)


def dispatch(simulation: ProtocolSimulation, how: Invocation) -> None:
    """Dispatch a tick as the stream delivers it, perhaps again."""
    stack = how.stack_in(simulation)
    found = _chosen(stack.committed(), how.number)
    if found is not None:
        how.run(simulation, lambda clock: stack.dispatcher(clock).dispatch(replace(found, dispatched=None)))


def launch(simulation: ProtocolSimulation, how: Invocation) -> None:
    """Process a launch message, perhaps for the second time."""
    stack = how.stack_in(simulation)
    message = _chosen(stack.queue.visible(), how.number)
    if message is None:
        return
    request = LaunchRequest.from_json(message[1])

    def start(clock: VirtualClock) -> None:
        stack.engine(clock).launcher(stack.launches, JOBS, stack.targets).launch(request, LIMIT_SECONDS)

    done = how.run(simulation, start, is_ended_in_time=True)
    if done and message in stack.queue.messages:
        stack.queue.messages.remove(message)


def end(simulation: ProtocolSimulation, number: int, status: Status) -> None:
    """End an execution, whether or not its launch has recorded it."""
    running = [
        (target, external_id)
        for target in simulation.targets.values()
        for external_id, execution in target.executions.items()
        if not execution.status.is_finished
    ]
    chosen = _chosen(running, number)
    if chosen is not None:
        chosen[0].finish(chosen[1], status)
        simulation.report()


def record(simulation: ProtocolSimulation, how: Invocation) -> None:
    """Record an event of a target in one of the stacks, in any order, perhaps not for the last time."""
    stack = how.stack_in(simulation)
    change = _chosen(stack.inbox, how.number)
    if change is None:
        return
    done = how.run(simulation, lambda clock: stack.engine(clock).recorder(JOBS, stack.targets).record(change))
    if done and change in stack.inbox:
        stack.inbox.remove(change)


def lose_event(simulation: ProtocolSimulation, how: Invocation) -> None:
    """Lose an event of a target."""
    inbox = how.stack_in(simulation).inbox
    if inbox:
        del inbox[how.number % len(inbox)]


def reconcile(simulation: ProtocolSimulation, how: Invocation) -> None:
    """Run RECONCILE."""
    stack = how.stack_in(simulation)

    def check(clock: VirtualClock) -> None:
        dispatcher = stack.dispatcher(clock)
        reconciler = stack.engine(clock).reconciler(dispatcher, stack.launches, JOBS, stack.targets)
        reconciler.reconcile(LIMIT_SECONDS)

    how.run(simulation, check)


def operate(simulation: ProtocolSimulation, how: Invocation, edit: str) -> None:
    """Start or stop the sensor, set its cursor, or grant a run another attempt, as an operator."""
    stack = how.stack_in(simulation)
    if edit == "rerun":
        _rerun(simulation, stack, how)
        return

    def change(clock: object) -> None:
        operations = SensorOperations(stack.stores.sensors, clock)  # type: ignore[arg-type]
        if edit == "start":
            operations.start(WATCH, RUNNING, "ann")
        elif edit == "stop":
            operations.stop(WATCH, "ann")
        else:
            operations.set_cursor(WATCH, str(how.number), "ann")

    how.run(simulation, change)


def _rerun(simulation: ProtocolSimulation, stack: Stack, how: Invocation) -> None:
    run = _chosen([run for run in stack.tables.runs.values() if run.status.is_finished], how.number)

    def granted(current: Run) -> Run:
        if not current.status.is_finished:
            return current
        allowed = current.attempt + 1
        grants = (*current.allowances, RetryGrant(allowed, "operator", simulation.clock.now()))
        return replace(current, granted=allowed, allowances=grants)

    if run is not None:
        how.run(simulation, lambda _: update_with_optimistic_lock(stack.stores.runs, run, granted))


def refuse(simulation: ProtocolSimulation, job: str, how: str) -> None:
    """Have a target refuse the next start."""
    simulation.targets[job].refusals = iter([REFUSALS[how]("as configured")])


def wait(simulation: ProtocolSimulation, seconds: int) -> None:
    """Advance the clock."""
    simulation.clock.advance(seconds)


def process_all(simulation: ProtocolSimulation, how: Invocation, status: Status) -> None:
    """Process everything that waits in a stack, and end all executions."""
    stack = how.stack_in(simulation)
    for index in range(len(stack.committed())):
        dispatch(simulation, replace(how, number=index))
    for _ in range(len(stack.queue.visible())):
        launch(simulation, how)
    end_all(simulation, status)
    for _ in range(len(stack.inbox)):
        record(simulation, how)


def end_all(simulation: ProtocolSimulation, status: Status) -> None:
    """End all executions."""
    while any(
        not each.status.is_finished for t in simulation.targets.values() for each in t.executions.values()
    ):
        end(simulation, 0, status)


def settle(simulation: ProtocolSimulation, rounds: int = 40) -> None:
    """Run everything to its end, with RECONCILE and without interruptions.

    Raises:
        AssertionError: if something does not end.
    """
    for target in simulation.targets.values():
        target.refusals = iter(())
    for _ in range(rounds):
        for index, stack in enumerate(simulation.stacks):
            how = Invocation(index)
            for copy in COPIES:
                for _ in range(len(stack.uploads[copy])):
                    take_event(simulation, how, copy)
            reconcile(simulation, how)
            for _ in range(len(stack.queue.messages)):
                launch(simulation, how)
            for _ in range(len(stack.inbox)):
                record(simulation, how)
        end_all(simulation, Status.SUCCESS)
        if not _left(simulation):
            return
        wait(simulation, 16 * 60)
    left = _left(simulation)
    assert not left, left


def _left(simulation: ProtocolSimulation) -> list[object]:
    left: list[object] = []
    for stack in simulation.stacks:
        left += [run for run in stack.tables.runs.values() if not run.status.is_finished]
        left += [tick for tick in stack.committed() if tick.dispatched is None]
        left += [
            *stack.queue.messages,
            *stack.inbox,
            *(event for copy in COPIES for event in stack.uploads[copy]),
        ]
    return left
