"""`treadle why` for items of batches: from the item to its batch and its run, or what it waits for."""

from datetime import timedelta

import pytest

from tests.support.engine import JOB, EngineHarness
from tests.support.s3_engine import BUCKET, SENSOR, S3Engine
from treadle.definitions.batch_contexts import BatchSensorContext
from treadle.definitions.item_batches import Batch
from treadle.definitions.results import RunRequest, SkipReason
from treadle.definitions.status import TickStatus
from treadle.engine.batches.closer import RETRY_MS
from treadle.engine.identity import timestamp
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.integrations.s3.definition import S3SensorDefinition
from treadle.model.batches import BatchItem, by_key
from treadle.model.deployment import Subscription
from treadle.operate.explanation import Explanation
from treadle.testing.system import VirtualClock

KEYS = ("in/a.csv", "in/b.csv")
STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
LONG = Batch(size=9, within=timedelta(minutes=5))


@pytest.fixture
def s3_engine(harness: EngineHarness) -> S3Engine:
    return S3Engine(harness)


class Accepted:
    """A sensor that has accepted two objects for a batch.

    Args:
        s3_engine: the engine.
        result: what its function returns; "raise" to fail, and "poison" to fail at one of them.
        by: the value of `Batch.by`.
    """

    def __init__(self, s3_engine: S3Engine, result: SkipReason | str = "", by: str = "") -> None:
        self.engine = s3_engine

        def function(context: BatchSensorContext) -> RunRequest | SkipReason:
            if result == "raise" or (result == "poison" and any("b.csv" in o.key for o in context.items)):
                raise ValueError("no such column")
            return result if isinstance(result, SkipReason) else RunRequest()

        batch = LONG if not by else Batch(size=9, within=timedelta(minutes=5), by=lambda _: by)
        made = S3SensorDefinition(
            SENSOR, evaluation_fn=function, selection=s3_engine.selection, job_name=JOB, batch=batch
        )
        definition = made.with_lister(s3_engine.objects, s3_engine.harness.clock.now)
        status = s3_engine.default_status
        self.parts = s3_engine.harness.engine.sensor(definition, TickSettings(60_000, status))
        assert self.parts.acceptor is not None
        self.by = by
        for key in KEYS:
            event = s3_engine.objects.put(BUCKET, key, b"1")
            self.parts.events.evaluate(event, self.parts.events.load_batch_state([event]), Budget())
        self.parts.acceptor.settle()

    @property
    def clock(self) -> VirtualClock:
        """The time."""
        return self.engine.harness.clock

    def close(self, times: int = 1) -> None:
        """Close the batch by time; each further time is after a failure."""
        for _ in range(times):
            self.clock.advance(RETRY_MS[-1] / 1000)
            assert self.parts.closer is not None
            self.parts.closer.close(by_key(self.by), Budget())

    def why(self, key: str = KEYS[0]) -> Explanation:
        """Explain an object."""
        return self.engine.why(object=f"s3://{BUCKET}/{key}")


def test_item_that_waits_says_since_when_and_until_when(s3_engine: S3Engine) -> None:
    accepted = Accepted(s3_engine)
    now = accepted.clock.now()

    found = accepted.why()

    assert found.summary == (
        f"It has waited for a batch since {timestamp(now)}; somebody looks whether the batch is to be closed at "
        f"{timestamp(now + 300_000)}, or earlier if it is full."
    )
    assert [step.kind for step in found.steps] == ["object", "item"]


def test_item_of_a_batch_leads_to_its_run(s3_engine: S3Engine) -> None:
    accepted = Accepted(s3_engine, by="ann")
    accepted.close()
    s3_engine.dispatch()
    s3_engine.launch()

    found = accepted.why()

    [run] = s3_engine.harness.tables.runs.values()
    assert f"Run {run.run_id} is STARTED" in found.summary
    assert "item" in [step.kind for step in found.steps]
    assert "accepted for a batch of 'ann'" in " ".join(step.detail for step in found.steps)


def test_item_of_a_batch_that_is_not_marked_yet_is_in_it(
    s3_engine: S3Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    accepted = Accepted(s3_engine, SkipReason("nothing new"))

    class KilledError(BaseException):
        pass

    def killed(*_: object) -> None:
        raise KilledError

    monkeypatch.setattr("treadle.testing.batches.InMemoryBatchStore.mark", killed)
    with pytest.raises(KilledError):
        accepted.close()

    assert "which requested no run: nothing new." in accepted.why().summary


def test_item_says_why_its_batch_fails_and_when_it_is_tried_again(s3_engine: S3Engine) -> None:
    accepted = Accepted(s3_engine, "raise")
    accepted.close()

    found = accepted.why()

    assert "the function failed 1 time in a row: " in found.summary
    assert "no such column" in found.summary
    assert f"again at {timestamp(accepted.clock.now() + RETRY_MS[0])}" in found.summary


def test_item_that_was_set_aside_says_why_and_the_others_ran(s3_engine: S3Engine) -> None:
    accepted = Accepted(s3_engine, "poison")
    accepted.close(5)

    assert "in/b.csv" in accepted.why(KEYS[1]).summary
    assert "was set aside. The function fails for it alone: " in accepted.why(KEYS[1]).summary
    [ran] = [each for each in s3_engine.harness.tick_records(SENSOR) if each.requests]
    assert ran.status is TickStatus.SUCCESS
    assert ran.tick_id in " ".join(step.detail for step in accepted.why().steps)


def test_item_whose_tick_has_expired_names_it(s3_engine: S3Engine) -> None:
    accepted = Accepted(s3_engine)
    accepted.close()
    [tick] = s3_engine.harness.tick_records(SENSOR)
    del s3_engine.harness.tables.ticks[SENSOR, tick.tick_id]

    assert accepted.why().summary == f"It is in the batch of tick {tick.tick_id}; that record has expired."


def test_run_key_names_an_item(s3_engine: S3Engine) -> None:
    Accepted(s3_engine)
    [first, _] = next(iter(s3_engine.harness.tables.waiting.values())).values()

    assert "has waited for a batch" in s3_engine.why(run_key=first.identity).summary


@pytest.mark.parametrize(
    ("identity", "event"),
    [
        ("run/1/0/FAILURE", "run/1/0/FAILURE"),
        (f"{STREAM}/shardId-0:17", "shardId-0:17"),
        ("orders/run-1/orders", "run-1/orders"),
    ],
)
def test_event_names_a_status_a_record_or_a_materialization(
    s3_engine: S3Engine, identity: str, event: str
) -> None:
    s3_engine.kind, s3_engine.settings = "stream", {"TREADLE_STREAM_ARN": STREAM}
    s3_engine.subscription = Subscription(assets=("items", "orders"))
    s3_engine.harness.stores.batches.accept(SENSOR, [BatchItem(identity, "", 1, 1, '"x"')])

    found = s3_engine.why(event=event)

    assert found.steps[0].detail == f"{identity} was accepted for a batch"
    assert s3_engine.why(event="another").summary.startswith("No record another was evaluated")
