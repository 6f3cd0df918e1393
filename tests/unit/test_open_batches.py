"""Open batches as operators see them."""

from datetime import timedelta

from treadle import Batch, BatchSensorContext, EventBridgeEvent, JobDefinition, RunRequest, event_sensor
from treadle.engine.batches.closer import RETRY_MS
from treadle.model.batches import by_key
from treadle.operate.open_batches import SHOWN, OpenBatch, OpenBatches
from treadle.testing import TreadleInstance

WITHIN_MS = 300_000


def customer_of(event: EventBridgeEvent) -> str:
    return str(event.detail["of"])


@event_sensor(
    {"source": ["shop"]},
    job=JobDefinition("load"),
    batch=Batch(size=9, within=timedelta(minutes=5), by=customer_of),
)
def orders(context: BatchSensorContext) -> RunRequest:
    """A sensor that fails for one customer."""
    if context.by == "bad":
        raise ValueError("no such column")
    return RunRequest()


def accept(instance: TreadleInstance, *customers: str) -> None:
    """Let an event of each of these wait, a second after the other."""
    for customer in customers:
        instance.put_event("shop", "Order", {"of": customer})
        instance.clock.advance(1)


def test_open_batch_says_what_waits_since_when_and_when_it_is_closed() -> None:
    instance = TreadleInstance([orders])
    began = instance.clock.now()

    accept(instance, "ann", "bob", "ann")

    ann, bob = instance.open_batches("orders")
    assert ann == OpenBatch("ann", 2, ann.bytes, False, began, began + WITHIN_MS, 0, "")
    assert (bob.by, bob.items, bob.oldest_at, ann.bytes) == ("bob", 1, began + 1_000, 2 * bob.bytes)
    assert bob.bytes > 0


def test_nothing_is_open_once_everything_was_evaluated() -> None:
    instance = TreadleInstance([orders])
    accept(instance, "ann")

    instance.clock.advance(300)
    instance.reconcile()

    assert instance.open_batches("orders") == ()


def test_batch_that_fails_is_first_with_the_reason_and_the_time_of_its_next_evaluation() -> None:
    instance = TreadleInstance([orders])
    accept(instance, "bad")
    instance.clock.advance(300)
    accept(instance, "ann")
    instance.reconcile()
    failed_at = instance.clock.now()

    bad, ann = instance.open_batches("orders")

    assert (bad.by, bad.items, bad.failures, bad.closes_at) == ("bad", 1, 1, failed_at + RETRY_MS[0])
    assert "no such column" in bad.reason
    assert (ann.by, ann.failures, ann.reason) == ("ann", 0, "")


def test_batch_that_a_closer_holds_has_no_time_of_its_own() -> None:
    instance = TreadleInstance([orders])
    accept(instance, "ann")
    now = instance.clock.now()
    batches = instance._stores.batches

    assert batches.acquire("orders", by_key("ann"), "closer", now, now + 1_000) is not None
    [held] = instance.open_batches("orders")
    instance.clock.advance(2)
    [expired] = instance.open_batches("orders")

    assert (held.closes_at, expired.closes_at) == (None, now + 1_001)


def test_items_of_a_few_batches_are_counted_and_the_others_are_named_by_their_number() -> None:
    instance = TreadleInstance([orders])
    accept(instance, *(f"c{number:02}" for number in range(SHOWN + 2)))

    found = OpenBatches(instance._stores.batches, instance.clock).of("orders")

    assert [each.by for each in found.batches] == [f"c{number:02}" for number in range(SHOWN)]
    assert found.omitted == 2
