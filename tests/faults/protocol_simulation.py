"""A simulation of two stacks in one account, whose every step can be interrupted at each of its calls.

A step is one invocation of a function: it has its own clock, skewed by seconds, and can be killed, lose a response, or
be paused while others run. The step itself is the engine's code; this module simulates only its environment.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from tests.support.process_kill import KilledError
from tests.support.replaced_stores import ReplacedStores
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    LaunchError,
    LaunchUncertainError,
    SensorEvaluationError,
    StoreError,
)
from treadle.definitions.evaluation import combine
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.results import RunRequest, SensorExecutionData, SensorResult, SkipReason
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus, TickStatus
from treadle.engine.assembly import Assembly, SensorParts
from treadle.engine.dispatch.dispatcher import Dispatcher
from treadle.engine.identity import RunIds
from treadle.engine.record.recorder import StatusChange
from treadle.engine.tick.schedule import MINUTE_MS
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.model.targets import JobSettings, StartContract
from treadle.testing.bus import InMemoryBus
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import SequentialIds, VirtualClock
from treadle.testing.targets import NAMED, InMemoryTarget

LIMIT_SECONDS = 60
WATCH = "watch"
COPIES = ("left", "right")
"""Two sensors that share their events."""

RUNNING = DefaultSensorStatus.RUNNING
JOBS = {name: JobSettings(name, name, f"arn:{name}", "-") for name in ("named", "listed")}
LISTED = StartContract(listing_ms=89 * 86_400_000)
LISTING_LAG_MS = 30_000
BEHAVIORS = ("requests", "changes", "skips", "fails")


@dataclass(frozen=True, slots=True)
class Interruption:
    """An interruption of a step.

    Attributes:
        call: the number of the interrupted call, from 1.
        after: whether the interruption follows the call's effect.
        kind: `kill`, `lose` (the response), or `pause`.
        meanwhile: the actions of others during a pause.
    """

    call: int
    after: bool
    kind: str
    meanwhile: tuple[Callable[["ProtocolSimulation"], None], ...] = ()


@dataclass(slots=True)
class Step:
    """A step in progress.

    Attributes:
        interruption: its interruption, if any.
        ends_at: when its function's time limit ends it, by the true clock; None if a step that exceeds the limit
            must be harmless, too.
        calls: the number of its calls so far.
    """

    interruption: Interruption | None
    ends_at: int | None
    calls: int = 0


class Observer(Protocol):
    """Observes each completed call."""

    def observe(self, stack: "Stack", port: str, method: str, args: Sequence[Any], result: Any) -> None:
        """Check what the call has changed; `result` is what it returned or raised."""


class InterruptiblePort:
    """A port of a stack whose calls can be interrupted, and are observed."""

    def __init__(
        self, simulation: "ProtocolSimulation", stack: "Stack", name: str, port: Any, lost: type[Exception]
    ) -> None:
        self._call = simulation.call
        self._stack = stack
        self._name = name
        self._port = port
        self._lost = lost

    def __getattr__(self, method: str) -> Any:
        value = getattr(self._port, method)
        if not callable(value):
            return value

        def call(*args: Any, **options: Any) -> Any:
            return self._call(
                self._stack, self._name, method, lambda: value(*args, **options), args, self._lost
            )

        return call


@dataclass(slots=True)
class DelayedQueue:
    """A queue whose messages stay until they are deleted.

    Attributes:
        clock: the time.
        messages: the time from which each is visible, and its body.
    """

    clock: VirtualClock
    messages: list[tuple[int, dict[str, Any]]] = field(default_factory=list)

    def send(self, bodies: list[dict[str, Any]], *, delay_seconds: int = 0) -> None:
        """Store the messages."""
        self.messages += [(self.clock.now() + delay_seconds * 1000, body) for body in bodies]

    def visible(self) -> list[tuple[int, dict[str, Any]]]:
        """Return the visible messages."""
        return [message for message in self.messages if message[0] <= self.clock.now()]


class Copy(SensorDefinition):
    """A sensor that requests one run per object, for whichever event."""

    takes_events = True

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Return the object's run request."""
        assert isinstance(event, ObjectCreated)
        returned = self._called(context)
        return combine([replace(returned, run_key=event.object.key)], context, self.job_names)


class Stack:
    """One deployment: its tables and queues, and its functions' code.

    Args:
        name: its namespace.
        simulation: the simulation.
    """

    def __init__(self, name: str, simulation: "ProtocolSimulation") -> None:
        self.name = name
        self.queue = DelayedQueue(simulation.clock)
        self.inbox: list[StatusChange] = []
        self.uploads: dict[str, list[SensorEvent]] = {copy: [] for copy in COPIES}
        self.run_ids = RunIds.of(name)
        self.behavior = "requests"
        self.simulation = simulation
        jobs = [JobDefinition(job) for job in JOBS]
        self.watch = SensorDefinition(WATCH, evaluation_fn=self._watch, jobs=jobs, retries_per_key=1)
        self.copies = {copy: Copy(copy, evaluation_fn=self._copy, jobs=jobs) for copy in COPIES}
        stores = InMemoryStores()
        self.tables = stores.tables
        ports = ("sensors", "ticks", "runs", "events")
        watched = {name: self._watched(name, getattr(stores, name)) for name in ports}
        self.stores: Any = ReplacedStores(stores, **watched)
        self.launches = self._watched("launches", self.queue)
        self.targets = {
            kind: self._watched(kind, target, LaunchUncertainError)
            for kind, target in simulation.targets.items()
        }

    def _watched(self, name: str, port: Any, lost: type[Exception] = StoreError) -> Any:
        return InterruptiblePort(self.simulation, self, name, port, lost)

    def _behave(self) -> str:
        behavior = self.behavior
        self.simulation.call(self, "function", behavior, _nothing, (), ValueError)
        if behavior == "fails":
            msg = "The function fails on request"
            raise ValueError(msg)
        return behavior

    def _watch(self, context: SensorEvaluationContext) -> SensorResult | SkipReason:
        number = int(context.cursor or 0)
        behavior = self._behave()
        if behavior == "skips":
            return SkipReason("skips on request")
        config = {"version": number if behavior == "changes" else 0}
        keys = [(f"k{each % 3}", ("named", "listed", "named")[each % 3]) for each in (number, number + 1)]
        keyed = [RunRequest(key, config, job_name=job) for key, job in keys]
        return SensorResult([*keyed, RunRequest(job_name="named")], cursor=str(number + 1))

    def _copy(self) -> RunRequest:
        self._behave()
        return RunRequest(job_name="listed")

    def dispatcher(self, clock: VirtualClock) -> Dispatcher:
        """Return DISPATCH's dispatcher."""
        grants = FixedGrants({name: frozenset(JOBS) for name in (WATCH, *COPIES)})
        return self.engine(clock).dispatcher(self.launches, grants, InMemoryBus())

    def engine(self, clock: VirtualClock) -> Assembly:
        """Return the assembly of the engine's components."""
        return Assembly(self.stores, clock, self.simulation.tokens, self.name)

    def sensor(self, definition: SensorDefinition, clock: VirtualClock) -> SensorParts:
        """Return the components that evaluate a sensor."""
        return self.engine(clock).sensor(definition, TickSettings(MINUTE_MS, RUNNING))

    def committed(self) -> list[Any]:
        """Return the ticks that requested runs, in order."""
        return [tick for _, tick in sorted(self.tables.ticks.items()) if tick.status is TickStatus.SUCCESS]


class ProtocolSimulation:
    """Two stacks and the targets that they share.

    Args:
        observer: observes every call.
    """

    def __init__(self, observer: Observer) -> None:
        self.clock = VirtualClock()
        self.tokens = SequentialIds()
        self.targets = {
            "named": InMemoryTarget(self.clock, contract=NAMED),
            "listed": InMemoryTarget(self.clock, contract=LISTED, listing_lag=LISTING_LAG_MS),
        }
        self._observer = observer
        self._reported: set[tuple[str, DagsterRunStatus]] = set()
        self._step: Step | None = None
        self.stacks = [Stack(name, self) for name in ("one", "two")]
        self.present = self.stacks[0]
        self.uploads: list[SensorEvent] = []
        self.injected: Counter[str] = Counter()

    def call(
        self,
        stack: Stack,
        port: str,
        method: str,
        function: Callable[[], Any],
        args: Sequence[Any],
        lost: type[Exception],
    ) -> Any:
        """Make a step's call, with its interruption."""
        step = self._step
        assert step is not None
        step.calls += 1
        self.present = stack
        interruption = (
            step.interruption if step.interruption and step.interruption.call == step.calls else None
        )
        if interruption and not interruption.after:
            self._interrupt(step, interruption, lost)
        try:
            result = function()
        except Exception as error:
            self._observer.observe(stack, port, method, args, error)
            raise
        self.report()
        self._observer.observe(stack, port, method, args, result)
        if interruption and interruption.after:
            self._interrupt(step, interruption, lost)
        return result

    def _interrupt(self, step: Step, interruption: Interruption, lost: type[Exception]) -> None:
        self.injected[f"{interruption.kind} {'after' if interruption.after else 'before'}"] += 1
        if interruption.kind == "kill":
            raise KilledError
        if interruption.kind == "lose":
            msg = "there was no response"
            raise lost(msg)
        stack = self.present
        for action in interruption.meanwhile:
            self.present = stack
            action(self)
        self._step = step
        if step.ends_at is not None and self.clock.now() >= step.ends_at:
            raise KilledError

    def report(self) -> None:
        """Send the targets' status events to both stacks."""
        for kind, target in self.targets.items():
            for external_id, execution in target.executions.items():
                for status in dict.fromkeys((DagsterRunStatus.STARTED, execution.status)):
                    if (external_id, status) not in self._reported:
                        self._reported.add((external_id, status))
                        name = external_id.removeprefix(f"arn:{kind}:").partition("#")[0]
                        at = execution.ended_at if status.is_finished else execution.started_at
                        started_at = execution.started_at if status.is_finished else None
                        change = StatusChange(
                            kind, name, external_id, execution.target, status, at or 0, started_at
                        )
                        for stack in self.stacks:
                            stack.inbox.append(change)

    def run(
        self,
        step: Callable[[VirtualClock], object],
        interruption: Interruption | None,
        skew: int,
        *,
        is_ended_in_time: bool = False,
    ) -> bool:
        """Run a step, and return whether it succeeded, so that its message may be deleted."""
        outer = self._step
        self._step = Step(interruption, self.clock.now() + LIMIT_SECONDS * 1000 if is_ended_in_time else None)
        try:
            step(Skewed(self.clock, skew * 1000))
        except (KilledError, StoreError, LaunchError, SensorEvaluationError):
            return False
        finally:
            self._step = outer
        return True


def _nothing() -> None:
    """Do nothing: the call stands for the function's own."""


class Skewed(VirtualClock):
    """The skewed clock of a process.

    Args:
        clock: the true one.
        skew: the milliseconds that this one is ahead.
    """

    def __init__(self, clock: VirtualClock, skew: int) -> None:
        super().__init__()
        self._clock = clock
        self._skew = skew

    def now(self) -> int:
        """Return the time of this process."""
        return self._clock.now() + self._skew
