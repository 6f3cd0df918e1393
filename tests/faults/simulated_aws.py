"""The queues, streams and targets of a simulation: at-least-once delivery, without faults of their own."""

import heapq
import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from tests.support.engine import ARN
from tests.template.engine_model import read_engine
from treadle.definitions.errors import LaunchDelayedError, LaunchUncertainError
from treadle.definitions.event_pattern import EventPattern
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import timestamp, timestamp_of
from treadle.model.runs import Failure
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract
from treadle.testing.system import VirtualClock
from treadle.testing.targets import InMemoryTarget

VISIBILITY_MS = 180_000
MAX_RECEIVES = 5
BATCH = 10
RUN_MS = 300_000
"""The duration of a job."""

LATE_MS = 600_000
"""The delay of late events."""

RULE = EventPattern(read_engine().resources("AWS::Events::Rule")["StepFunctionsRule"]["EventPattern"])
"""Which events reach RECORD of a target whose executions can be found; of others, all do."""


@dataclass(slots=True, eq=False)
class QueuedMessage:
    """A message in a queue.

    Attributes:
        body: the text.
        visible_at: when it can be received.
        receives: how often it was received.
    """

    body: str
    visible_at: int
    receives: int = 0


@dataclass(slots=True)
class SimulatedQueue:
    """A `Queue` with a visibility timeout, which moves a message to the dead letters after five receives.

    Attributes:
        clock: the time.
        dead_letters: the messages that were received too often.
        messages: the messages.
    """

    clock: VirtualClock
    dead_letters: list[tuple[str, str]]
    messages: list[QueuedMessage] = field(default_factory=list)

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Add the messages."""
        delays = delay_seconds if isinstance(delay_seconds, list) else [delay_seconds] * len(bodies)
        now = self.clock.now()
        self.messages += [
            QueuedMessage(json.dumps(body), now + delay * 1000)
            for body, delay in zip(bodies, delays, strict=True)
        ]

    def receive(self) -> list[QueuedMessage]:
        """Return a batch of messages, invisible until the visibility timeout expires."""
        now = self.clock.now()
        batch = [each for each in self.messages if each.visible_at <= now][:BATCH]
        for each in batch:
            each.receives += 1
            each.visible_at = now + VISIBILITY_MS
        for each in batch:
            if each.receives > MAX_RECEIVES:
                self.dead_letters.append((each.body, "received too often"))
                self.delete(each)
        return [each for each in batch if each.receives <= MAX_RECEIVES]

    def delete(self, message: QueuedMessage) -> None:
        """Delete a message."""
        if message in self.messages:
            self.messages.remove(message)

    def postpone(self, handle: str, seconds: int) -> None:
        """Change the visibility timeout of a message."""
        for each in self.messages:
            if handle == str(id(each)):
                each.visible_at = self.clock.now() + seconds * 1000

    @property
    def next_at(self) -> int | None:
        """The time at which the next message becomes visible."""
        return min((each.visible_at for each in self.messages), default=None)


@dataclass(slots=True)
class SimulatedDeadLetters:
    """A `DeadLetters` port that tests can read.

    Attributes:
        kept: the body and the reason of each.
    """

    kept: list[tuple[str, str]] = field(default_factory=list)

    def send(self, body: str, *, origin: str, reason: str) -> None:
        """Store a dead letter."""
        self.kept.append((body, f"{origin}: {reason}"))


@dataclass(frozen=True, slots=True)
class TargetFaults:
    """Failures of a target, by run key.

    Attributes:
        failing: jobs that fail.
        silent: jobs without status events.
        late: jobs whose start is reported after their end, as rules of a former version do, with each event sent twice.
        unanswered: jobs whose first start succeeds but loses its response, and is reported late, if at all.
        swallowed: jobs whose first start loses its request.
        busy: jobs whose first start is delayed.
        hanging: jobs that end only when they are canceled.
        flaky: jobs whose first two attempts fail.
    """

    failing: frozenset[str] = frozenset()
    silent: frozenset[str] = frozenset()
    late: frozenset[str] = frozenset()
    unanswered: frozenset[str] = frozenset()
    swallowed: frozenset[str] = frozenset()
    busy: frozenset[str] = frozenset()
    hanging: frozenset[str] = frozenset()
    flaky: frozenset[str] = frozenset()


@dataclass(slots=True)
class SimulatedTarget:
    """A `Target` whose jobs run for five minutes, and send status events.

    Attributes:
        clock: the time.
        contract: the start contract.
        target_faults: its failures.
        events: the queue of its status events.
        inner: the target that implements the contract.
        ends: a heap of the executions by their end.
    """

    clock: VirtualClock
    contract: StartContract
    target_faults: TargetFaults
    events: SimulatedQueue
    inner: InMemoryTarget = field(init=False)
    ends: list[tuple[int, int, str, str]] = field(default_factory=list)
    _met: set[str] = field(default_factory=set)
    _count: Any = field(default_factory=itertools.count)

    def __post_init__(self) -> None:
        self.inner = InMemoryTarget(self.clock, self.contract, listing_lag=30_000)

    def prepare(self, settings: JobSettings) -> None:
        """Prepare nothing."""

    def start(self, start: Start) -> Execution:
        """Start a job, as often as the contract promises."""
        key = str(json.loads(start.payload)["run_key"])
        is_first = key not in self._met
        self._met.add(key)
        if is_first and key in self.target_faults.busy:
            msg = "Too many jobs run."
            raise LaunchDelayedError(msg)
        if is_first and key in self.target_faults.swallowed:
            msg = "The connection broke."
            raise LaunchUncertainError(msg)
        before = len(self.inner.executions)
        execution = self.inner.start(start)
        if len(self.inner.executions) > before:
            self._begun(execution, key)
        if is_first and key in self.target_faults.unanswered:
            msg = "The connection broke."
            raise LaunchUncertainError(msg)
        return execution

    def _begun(self, execution: Execution, key: str) -> None:
        end = (execution.started_at + RUN_MS, next(self._count), execution.external_id, key)
        if key not in self.target_faults.hanging:
            heapq.heappush(self.ends, end)
        is_late = key in self.target_faults.late | self.target_faults.unanswered
        self._report(execution, "RUNNING", key, LATE_MS if is_late else 0)
        if key in self.target_faults.late:
            # An execution of another state machine has the same name.
            self._report(execution, "FAILED", key, 0, f"{ARN}-foreign")

    def end_due(self) -> None:
        """End the jobs that have run for five minutes."""
        while self.ends and self.ends[0][0] <= self.clock.now():
            _, _, external_id, key = heapq.heappop(self.ends)
            is_early = external_id.endswith(("-1", "-2"))
            failed = key in self.target_faults.failing or (key in self.target_faults.flaky and is_early)
            failure = Failure("Job.Failed", "The file is empty.") if failed else None
            ended = self.inner.finish(external_id, Status.FAILURE if failed else Status.SUCCESS, failure)
            self._report(ended, "FAILED" if failed else "SUCCEEDED", key, 0)

    def _report(
        self, execution: Execution, status: str, key: str, delay: int, machine: str | None = None
    ) -> None:
        if key in self.target_faults.silent or not self.contract.describes:
            return
        event: dict[str, object] = {
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "time": timestamp(self.clock.now()),
            "detail": {
                "name": execution.external_id.removeprefix(f"{execution.target}:"),
                "executionArn": execution.external_id,
                "stateMachineArn": machine or execution.target,
                "status": status,
                "startDate": execution.started_at,
                "stopDate": execution.ended_at,
                "redriveCount": execution.retry,
            },
        }
        is_lasting = self.contract.token_ms is None or self.contract.listing_ms is not None
        if is_lasting and key not in self.target_faults.late and not RULE.matches(event):
            return
        times = 2 if key in self.target_faults.late else 1
        self.events.send([event] * times, delay_seconds=delay // 1000)

    def resolve(self, start: Start) -> Execution | None:
        """Return the execution in the listing."""
        return self.inner.resolve(start)

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Return an execution."""
        return self.inner.describe(external_id, role)

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Return the latest executions."""
        return self.inner.recent(settings, since)

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        """Cancel a job, and report its end."""
        if not self.inner.describe(external_id, role).status.is_finished:
            self.inner.cancel(external_id, role, reason)
            canceled = self.inner.executions[external_id]
            self._report(canceled, "ABORTED", str(json.loads(self.inner.payloads[external_id])["run_key"]), 0)


@dataclass(slots=True, eq=False)
class StreamRecord:
    """A record of the ticks table's stream.

    Attributes:
        image: the new image.
        keys: the keys.
        next_at: the time of the next delivery.
        deliveries: how often it was delivered.
    """

    image: dict[str, Any]
    keys: dict[str, Any]
    next_at: int
    deliveries: int = 0


def object_created(key: str, time: int) -> dict[str, object]:
    """Return the event of an object's upload."""
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": timestamp_of(timestamp(time)).isoformat(),
        "detail": {
            "bucket": {"name": "watched"},
            "object": {"key": key, "etag": "e1", "size": 1, "sequencer": "01"},
        },
    }
