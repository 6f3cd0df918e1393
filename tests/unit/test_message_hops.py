"""No wait needs more than ten hops of a message: Lambda stops a chain after sixteen."""

import itertools
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from tests.faults.simulated_aws import SimulatedQueue
from tests.support.engine import JOB, RUNNING, EngineHarness
from tests.support.launching import RUN_ID, queue_run
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import LaunchDelayedError, LaunchDeniedError, LaunchError, StoreThrottledError
from treadle.definitions.partitions.dynamic import DynamicPartitionsDefinition
from treadle.definitions.results import SensorResult, SkipReason
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.message_hops import MOST_HOPS, first_of_a_chain, hops_of, one_hop_on
from treadle.engine.messages import LaunchRequest
from treadle.entrypoints import handler
from treadle.entrypoints.evaluator import WAKE, EvaluatorParts, _evaluate_batch
from treadle.entrypoints.handler import MAX_RECEIVES, flush_metrics, process_queue
from treadle.integrations.s3 import S3Selection, S3SensorDefinition
from treadle.model.runs import Claim
from treadle.model.sensors import LeaseRequest
from treadle.testing.objects import InMemoryObjects
from treadle.testing.system import VirtualClock

NOON = 1_795_370_400_000
SECONDS = 60
MINUTE = 60_000
HOUR = 3_600_000


class Context:
    """Lambda's, of an invocation that has just begun."""

    def get_remaining_time_in_millis(self) -> int:
        return SECONDS * 1000


@dataclass
class Chains:
    """A queue whose every message is handled when it is due; how long the longest chain was.

    A message that was received by a function, and sent by it, is a hop further; one that SQS delivers again is not.
    """

    clock: VirtualClock
    handle: Callable[[dict[str, Any]], Any]
    dead_letters: list[tuple[str, str]] = field(default_factory=list)
    longest: int = 0

    def __post_init__(self) -> None:
        self.queue = SimulatedQueue(self.clock, self.dead_letters)
        self.depth: dict[int, int] = {}
        # An id is a message's only as long as the message exists.
        self.sent: list[object] = []

    def receive(self) -> None:
        """Handle what is due."""
        while batch := self.queue.receive():
            known = {id(message) for message in self.queue.messages}
            records = [
                {
                    "messageId": str(index),
                    "receiptHandle": str(id(message)),
                    "body": message.body,
                    "attributes": {"ApproximateReceiveCount": str(message.receives)},
                    "eventSource": "aws:sqs",
                }
                for index, message in enumerate(batch)
            ]
            here = max(self.depth.get(id(message), 0) for message in batch)
            failed = {
                each["itemIdentifier"] for each in self.handle({"Records": records})["batchItemFailures"]
            }
            for message in self.queue.messages:
                if id(message) not in known:
                    self.sent.append(message)
                    self.depth[id(message)] = here + 1
                    self.longest = max(self.longest, here + 1)
            for index, message in enumerate(batch):
                if str(index) not in failed:
                    self.queue.delete(message)
            flush_metrics()

    def minutes(self, number: int) -> Iterator[int]:
        """Let minutes pass, and handle what comes."""
        for minute in range(number):
            self.receive()
            yield minute
            self.clock.advance(60)
        self.receive()


# LAUNCH.


@pytest.mark.parametrize(
    "error", [LaunchDelayedError("at its concurrency limit"), LaunchDeniedError("denied")]
)
@pytest.mark.parametrize("hours", [1, 12])
def test_a_launch_that_is_put_off_for_hours_needs_no_long_chain_and_starts_soon_after(
    harness: EngineHarness, error: LaunchError, hours: int
) -> None:
    queue_run(harness)
    chains = _launching(harness)
    reconciler = harness.reconciler()
    reconciler._launches = chains.queue
    harness.target.refusals = itertools.repeat(error)

    started = None
    for minute in chains.minutes(hours * 60 + 20):
        reconciler.reconcile(50)
        if minute == hours * 60:
            harness.target.refusals = iter(())
        if started is None and harness.only_run().status is not DagsterRunStatus.QUEUED:
            started = minute

    assert chains.longest <= MOST_HOPS
    assert chains.dead_letters == []
    if isinstance(error, LaunchDeniedError):
        failure = harness.only_run().failure
        assert failure is not None
        assert failure.error == "LaunchDeniedError"
    else:
        assert len(harness.target.executions) == 1
        assert started is not None
        assert hours * 60 < started <= hours * 60 + 17


def test_a_launch_that_meets_a_claim_again_and_again_is_left_to_reconcile(harness: EngineHarness) -> None:
    """As where each of its messages is delivered twice, and holders of the claim die one after the other."""
    run = replace(queue_run(harness), claim=Claim("another", NOON + 2 * MINUTE))
    harness.tables.runs[RUN_ID] = run
    chains = _launching(harness)
    chains.queue.send([{"treadle": "launch", "run_id": run.run_id, "attempt": 1, "job": JOB}])

    for _ in chains.minutes(600):
        claim = Claim("another", harness.clock.time + 2 * MINUTE)
        harness.tables.runs[RUN_ID] = replace(run, claim=claim)

    assert chains.longest <= MOST_HOPS
    assert harness.target.starts == []
    assert harness.only_run().next_at is not None


def _launching(harness: EngineHarness) -> Chains:
    launcher = harness.launcher()

    def handle(event: dict[str, Any]) -> Any:
        inbox = Inbox("launch", chains.queue, _DeadLetters(chains.dead_letters))
        launcher._launches = chains.queue
        return process_queue(
            event, lambda body: launcher.launch(LaunchRequest.from_json(body), SECONDS), inbox
        )

    chains = Chains(harness.clock, handle)
    return chains


class _DeadLetters:
    def __init__(self, kept: list[tuple[str, str]]) -> None:
        self.kept = kept

    def send(self, body: str, *, origin: str, reason: str) -> None:
        del origin
        self.kept.append((body, reason))


# A throttled store.


@pytest.mark.parametrize("minutes", [20, 60, 240])
def test_a_message_that_meets_a_throttled_store_waits_long_in_few_hops(
    minutes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(handler, "LAST_PAUSE_SECONDS", (0, 0))
    clock, done = VirtualClock(), list[int]()
    begun = clock.now()

    def handle(event: dict[str, Any]) -> Any:
        def one(body: object) -> None:
            del body
            if clock.now() - begun < minutes * MINUTE:
                raise StoreThrottledError("The table has too much to do.")
            done.append(clock.now())

        return process_queue(event, one, Inbox("record", chains.queue, _DeadLetters(chains.dead_letters)))

    chains = Chains(clock, handle)
    chains.queue.send([{"any": "message"}])
    for _ in chains.minutes(minutes + 60):
        pass

    assert chains.longest <= MOST_HOPS
    assert len(done) + len(chains.dead_letters) == 1
    assert bool(done) is (minutes <= 60)
    assert all("too much to do" in reason for _, reason in chains.dead_letters)


# Sensors.


def _parts(
    harness: EngineHarness, definition: SensorDefinition, chains: Chains, interval: int
) -> EvaluatorParts:
    inbox = Inbox(f"sensor {definition.name}", chains.queue, _DeadLetters(chains.dead_letters))
    return EvaluatorParts(
        harness.sensor(definition, interval=interval, queue=chains.queue), inbox, harness.clock
    )


class Woken(SensorDefinition):
    """A sensor that its events wake."""

    is_woken = True


def test_a_wake_up_that_meets_the_longest_evaluation_wakes_the_sensor_after_it(
    harness: EngineHarness,
) -> None:
    ticked: list[int] = []

    def function() -> SkipReason:
        ticked.append(harness.clock.time)
        return SkipReason("nothing")

    definition = Woken("woken", evaluation_fn=function, job_name=JOB)
    chains = Chains(harness.clock, lambda event: _evaluate_batch(parts, event, Context()))
    parts = _parts(harness, definition, chains, 0)
    lease = LeaseRequest("woken", "long", NOON - 1, 0, NOON, NOON + 905_000, RUNNING)
    harness.clock.time = NOON
    harness.sensors.acquire(lease)
    chains.queue.send([WAKE])

    for _ in chains.minutes(40):
        pass

    assert chains.longest <= MOST_HOPS
    assert len(ticked) == 1
    assert 905_000 < ticked[0] - NOON < 905_000 + 700_000


def test_a_wake_up_while_partitions_are_not_applied_yet_wakes_the_sensor_after_that(
    harness: EngineHarness,
) -> None:
    ticked: list[int] = []

    def function() -> SensorResult:
        ticked.append(harness.clock.time)
        add = DynamicPartitionsDefinition(name="fruits").build_add_request([str(len(ticked))])
        return SensorResult(dynamic_partitions_requests=[add])

    definition = Woken("woken", evaluation_fn=function, job_name=JOB)
    chains = Chains(harness.clock, lambda event: _evaluate_batch(parts, event, Context()))
    parts = _parts(harness, definition, chains, 0)
    harness.clock.time = NOON
    chains.queue.send([WAKE])
    chains.receive()
    harness.clock.advance(60)
    chains.queue.send([WAKE])

    for number, _ in enumerate(chains.minutes(40)):
        if number == 10:
            harness.dispatcher().dispatch(next(iter(harness.tables.ticks.values())))

    assert chains.longest <= MOST_HOPS
    assert len(ticked) == 2
    assert ticked[1] - ticked[0] > 10 * MINUTE


@pytest.mark.parametrize("interval", [300, 3_600, 6 * 3_600])
def test_a_wake_up_before_its_interval_is_over_waits_for_it_in_few_hops(
    harness: EngineHarness, interval: int
) -> None:
    """Where that is too long for a chain, the schedule, which comes each minute, ticks the sensor."""
    ticked: list[int] = []

    def function() -> SkipReason:
        ticked.append(harness.clock.time)
        return SkipReason("nothing")

    chains = Chains(harness.clock, lambda event: _evaluate_batch(parts, event, Context()))
    parts = _parts(harness, Woken("woken", evaluation_fn=function, job_name=JOB), chains, interval)
    harness.clock.time = NOON
    chains.queue.send([WAKE])
    chains.receive()
    chains.queue.send([WAKE])

    for _ in chains.minutes(interval // 60 + 10):
        pass

    assert chains.longest <= MOST_HOPS
    assert len(ticked) == (2 if interval < MOST_HOPS * 900 else 1)


@pytest.mark.parametrize("settle", [600, 2 * 3_600, 86_400])
def test_an_object_that_must_settle_for_a_day_is_left_to_the_sweep_after_ten_hops(
    harness: EngineHarness, settle: int
) -> None:
    evaluated: list[str] = []

    def function() -> SkipReason:
        evaluated.append("object")
        return SkipReason("checked")

    objects = InMemoryObjects(harness.clock)
    definition = S3SensorDefinition(
        "arrivals",
        evaluation_fn=function,
        selection=S3Selection("landing", settle_seconds=settle),
        job_name=JOB,
    ).with_lister(objects, harness.clock.now)
    chains = Chains(harness.clock, lambda event: _evaluate_batch(parts, event, Context()))
    parts = _parts(harness, definition, chains, 0)
    stored = objects.put("landing", "a.csv", b"1")
    chains.queue.send([_envelope(stored)])

    for _ in chains.minutes(settle // 60 + 20):
        pass

    assert chains.longest <= MOST_HOPS
    assert chains.dead_letters == []
    assert len(evaluated) == (1 if settle <= MOST_HOPS * 900 else 0)


def _envelope(event: Any) -> dict[str, object]:
    stored = event.object
    return {
        "source": "aws.s3",
        "detail-type": "Object Created",
        "time": event.time.isoformat().replace("+00:00", "Z"),
        "detail": {
            "bucket": {"name": stored.bucket},
            "object": {
                "key": stored.key,
                "etag": stored.etag,
                "size": stored.size,
                "sequencer": event.sequencer,
            },
        },
    }


# The count itself.


@pytest.mark.parametrize("hops", [None, "3", -1, 1.0, True, MOST_HOPS + 1])
def test_a_number_that_no_step_has_written_counts_as_none(hops: object) -> None:
    assert hops_of({"hops": hops}) == 0


def test_a_message_is_a_hop_further_each_time_and_a_dead_letter_that_is_redriven_begins_again() -> None:
    body: dict[str, Any] = {"treadle": "wake"}

    for number in range(1, MOST_HOPS + 1):
        body = one_hop_on(body)
        assert hops_of(body) == number

    assert first_of_a_chain(body) == WAKE
    assert MAX_RECEIVES > 1
