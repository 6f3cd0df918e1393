"""Stream sensors: each record is evaluated until its tick is committed, or given up with its body; none blocks others."""

import base64
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import (
    DagsterInvalidDefinitionError,
    JobDefinition,
    RunRequest,
    StreamRecord,
    StreamSensorContext,
    TickStatus,
    build_sensor_context,
    build_stream_sensor_context,
    stream_sensor,
)
from treadle.adapters.events import parse_stream_record
from treadle.adapters.stream_records import sequence_number
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import (
    SensorEvaluationError,
    StoreError,
    StoreThrottledError,
    TreadleError,
    UnknownEventError,
)
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.assembly import Assembly
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.event_ticks import EventBatchState
from treadle.engine.tick.given_up_records import MAX_DEAD_LETTER, record_of
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.entrypoints.stream_consumer import MOST_RECORDS, StreamBatch
from treadle.model.ticks import Tick
from treadle.operate.sensors import SensorOperations
from treadle.testing import TreadleInstance
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.bus import NAMESPACE
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue, SequentialIds, VirtualClock

invoice = JobDefinition("invoice")
KINESIS = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"
TABLE = "arn:aws:dynamodb:us-east-1:123456789012:table/orders/stream/2026-11-22T18:00:00.000"


def record(number: int = 1, data: bytes = b"text", key: str = "k", **fields: Any) -> dict[str, Any]:
    """Return a record of a Kinesis stream as Lambda receives it."""
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": str(number),
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": 1795370400.123,
        },
        "eventSource": "aws:kinesis",
        "eventID": f"shardId-000000000006:{number}",
        "eventName": "aws:kinesis:record",
        "eventSourceARN": KINESIS,
        **fields,
    }


def change(name: str = "MODIFY", **fields: Any) -> dict[str, Any]:
    """Return a record of a table's stream as Lambda receives it."""
    image = {
        "id": {"N": "17"},
        "name": {"S": "é"},
        "price": {"N": "12.5"},
        "exact": {"N": "0.12345678901234567890123456789"},
        "data": {"B": "AAE="},
        "paid": {"BOOL": True},
        "none": {"NULL": True},
        "tags": {"SS": ["a", "b"]},
        "counts": {"NS": ["1"]},
        "parts": {"BS": ["AA=="]},
        "lines": {"L": [{"M": {"sku": {"S": "s"}}}]},
    }
    return {
        "eventID": "c4ca4238a0b923820dcc509a6f75849b",
        "eventName": name,
        "eventSource": "aws:dynamodb",
        "dynamodb": {
            "Keys": {"id": {"N": "17"}},
            "NewImage": image,
            "OldImage": {"id": {"N": "17"}},
            "SequenceNumber": "4421584500000000017450439091",
            "ApproximateCreationDateTime": 1795370400,
            "StreamViewType": "NEW_AND_OLD_IMAGES",
        },
        "eventSourceARN": TABLE,
        **fields,
    }


# ---- The record


def test_record_of_a_stream_is_what_kinesis_says() -> None:
    found = parse_stream_record(record(17, b'{"order":17}'))

    assert found == StreamRecord(
        "shardId-000000000006:17",
        KINESIS,
        "k",
        "17",
        datetime(2026, 11, 22, 18, 0, 0, 123_000, UTC),
        b'{"order":17}',
    )
    assert (found.stream, found.json()) == ("orders", {"order": 17})
    assert found.run_key == f"{KINESIS}/shardId-000000000006:17"


def test_record_of_a_table_has_plain_values_of_the_item_before_and_after() -> None:
    found = parse_stream_record(change())

    assert (found.stream, found.change, found.keys, found.key) == (
        "orders",
        "MODIFY",
        {"id": 17},
        '{"id":{"N":"17"}}',
    )
    assert found.new == {
        "id": 17,
        "name": "é",
        "price": 12.5,
        "exact": Decimal("0.12345678901234567890123456789"),
        "data": b"\x00\x01",
        "paid": True,
        "none": None,
        "tags": {"a", "b"},
        "counts": {1},
        "parts": {b"\x00"},
        "lines": [{"sku": "s"}],
    }
    assert found.old == {"id": 17}


def test_stream_of_keys_only_has_no_images() -> None:
    part = {name: value for name, value in change()["dynamodb"].items() if not name.endswith("Image")}

    found = parse_stream_record(change("REMOVE", dynamodb=part))

    assert (found.new, found.old, found.keys) == (None, None, {"id": 17})


@pytest.mark.parametrize(
    "field",
    ["partitionKey", "sequenceNumber", "data", "approximateArrivalTimestamp", "eventID", "eventSourceARN"],
)
def test_record_without_a_field_is_refused(field: str) -> None:
    whole = record()
    part = {name: value for name, value in whole["kinesis"].items() if name != field}

    with pytest.raises(UnknownEventError, match=field):
        parse_stream_record(
            {name: value for name, value in whole.items() if name != field} | {"kinesis": part}
        )


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)
ATTRIBUTE = st.dictionaries(
    st.sampled_from(["S", "N", "B", "BOOL", "NULL", "M", "L", "SS", "NS", "BS", "X"]), JSON
)


@given(
    st.sampled_from(["kinesis", "dynamodb"]),
    st.dictionaries(
        st.sampled_from([*record()["kinesis"], *change()["dynamodb"]]),
        JSON | st.dictionaries(st.text(max_size=4), ATTRIBUTE, max_size=3),
    ),
    st.dictionaries(st.sampled_from(["eventID", "eventName", "eventSourceARN", "kinesis", "dynamodb"]), JSON),
)
def test_malformed_record_is_refused_by_a_known_error(
    kind: str, parts: Mapping[str, Any], whole: Mapping[str, Any]
) -> None:
    good = record() if kind == "kinesis" else change()
    malformed = {**good, kind: {**good[kind], **parts}, **whole}

    try:
        found = parse_stream_record(malformed)
    except UnknownEventError:
        sequence_number(malformed)
    else:
        assert sequence_number(malformed) == found.sequence_number


@pytest.mark.parametrize("number", ["1E+999999", "NaN", "Infinity", "1E-999999"])
def test_number_that_dynamodb_does_not_have_is_refused(number: str) -> None:
    with pytest.raises(UnknownEventError, match="a number is"):
        parse_stream_record(change(dynamodb={**change()["dynamodb"], "Keys": {"id": {"N": number}}}))


def test_text_and_json_that_are_none_are_errors_that_name_the_record() -> None:
    with pytest.raises(UnknownEventError, match="of stream orders: shardId-000000000006:1 is not UTF-8"):
        _ = parse_stream_record(record(data=b"\xff")).text
    with pytest.raises(UnknownEventError, match="is not JSON"):
        parse_stream_record(record(data=b"{")).json()


# ---- The definition, run keys and the kit


@stream_sensor("orders", job=invoice)
def streamed(context: StreamSensorContext) -> RunRequest:
    """A run for each record."""
    return RunRequest(run_config={"text": context.record.text, "change": context.record.change})


def test_each_record_starts_one_run_however_often_it_is_delivered() -> None:
    instance = TreadleInstance([streamed])

    for number in ("1", "1", "2"):
        instance.put_record("orders", "text", sequence_number=number)
    instance.put_change("orders", {"id": 17}, new={"id": 17}, sequence_number="1")

    assert [json.loads(run.run_config)["change"] for run in instance.runs()] == ["", "", "INSERT"]
    assert len({run.run_key for run in instance.runs()}) == 3


def test_stream_of_the_deployment_takes_precedence_and_an_arn_is_exact() -> None:
    account, region, _ = NAMESPACE.split("/")
    arn = f"arn:aws:kinesis:{region}:{account}:stream/orders-dev"
    instance = TreadleInstance([streamed], settings={"streamed": {"TREADLE_STREAM_ARN": arn}})

    assert instance.put_record("orders", "text") == {}
    assert instance.put_change("orders-dev", {"id": 1}) == {}
    assert set(instance.put_record("orders-dev", "text")) == {"streamed"}


def test_stopped_sensor_leaves_the_record_and_evaluates_it_after_the_start() -> None:
    instance = TreadleInstance([streamed])
    instance.stop_sensor("streamed")

    outcome = instance.put_record("orders", "text")["streamed"].outcome
    instance.start_sensor("streamed")
    [left] = instance.undelivered
    instance.send(left)

    assert (outcome.decision, outcome.reason) == (
        Decision.STOPPED,
        "Sensor streamed is stopped; the record stays in its stream.",
    )
    assert len(instance.runs()) == 1


def test_record_at_which_the_function_fails_is_undelivered() -> None:
    instance = TreadleInstance([streamed])
    with pytest.raises(SensorEvaluationError, match="is not UTF-8"):
        instance.put_record("orders", b"\xff")

    assert len(instance.undelivered) == 1


def test_direct_call_gets_the_record() -> None:
    context = build_stream_sensor_context(parse_stream_record(record()))

    assert streamed(context).run_config == {"text": "text", "change": ""}
    assert streamed.evaluate_tick(context).run_requests[0].run_key == f"{KINESIS}/shardId-000000000006:1"
    skipped = streamed.evaluate_tick(build_sensor_context()).skip_message
    assert skipped == "Sensor streamed evaluates records, not ticks."
    assert (streamed.described()["stream"], streamed.described()["max_attempts"]) == ("orders", 5)


@pytest.mark.parametrize("given", [0, 101, True, "5", 2.0])
def test_number_of_attempts_that_is_none_is_refused(given: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="whole number from 1 to 100"):
        stream_sensor("orders", max_attempts=given, job=invoice, name="streamed")(lambda context: None)


# ---- Batches


@dataclass
class Shard:
    """A shard, read as Lambda reads it, with a sensor over stores in memory.

    Attributes:
        records: its records.
        bad: data at which the function fails.
        killing: data at which the process ends.
        failing: what the stores raise at data, once each time.
        position: how many of the records need not be delivered again.
        has_time: whether there is time for another record.
        max_attempts: how often a record is evaluated.
        dead_letters: the dead letters.
        blobs: the stored records.
        project: the project that the function belongs to.
    """

    records: list[dict[str, Any]]
    bad: set[bytes] = field(default_factory=set)
    killing: set[bytes] = field(default_factory=set)
    failing: dict[bytes, list[Exception]] = field(default_factory=dict)
    position: int = 0
    has_time: Callable[[], bool] = lambda: True
    max_attempts: int = 3
    dead_letters: InMemoryDeadLetters = field(default_factory=InMemoryDeadLetters)
    blobs: InMemoryBlobStore = field(default_factory=InMemoryBlobStore)
    project: str = ""

    def __post_init__(self) -> None:
        self.evaluated: list[bytes] = []
        self.stores, self.clock = InMemoryStores(), VirtualClock(1_795_370_500_000)
        self.ids = SequentialIds()
        engine = Assembly(self.stores, self.clock, self.ids, NAMESPACE)

        @stream_sensor("orders", job=invoice, name="streamed")
        def function(context: StreamSensorContext) -> RunRequest:
            data = context.record.data
            self.evaluated.append(data)
            if data in self.killing:
                raise KeyboardInterrupt
            if data in self.bad:
                raise ValueError("no such order")
            return RunRequest()

        ticking = TickSettings(0, DefaultSensorStatus.RUNNING, 0, 0, self.project)
        self.events = engine.sensor(function, ticking, granted=frozenset({"invoice"})).events

    def evaluate(self, event: StreamRecord, batch_state: EventBatchState) -> Outcome:
        """Evaluate a record, unless a store fails first."""
        if failing := self.failing.get(event.data):
            raise failing.pop(0)
        return self.events.evaluate(event, batch_state, Budget())

    def deliver(self, limit: int = 1_000) -> list[str]:
        """Deliver what is left; return the numbers in the response."""
        inbox = Inbox("sensor streamed", InMemoryQueue(), self.dead_letters)
        batch = StreamBatch(
            self.events,
            parse_stream_record,
            self.evaluate,
            inbox,
            self.blobs,
            self.max_attempts,
            self.has_time,
        )
        delivered = self.records[self.position : self.position + limit]
        answer = batch.consume(delivered)
        failed = [each["itemIdentifier"] for each in answer["batchItemFailures"]]
        numbers = [sequence_number(each) for each in delivered]
        self.position += numbers.index(failed[0]) if failed else len(delivered)
        return failed

    def read(self) -> int:
        """Deliver until nothing is left, starting again where the process was killed; return the deliveries."""
        for number in range(1, 200):
            try:
                if not self.deliver():
                    return number
            except KeyboardInterrupt:
                continue
        raise AssertionError(self.position)

    @property
    def ticks(self) -> dict[str, Tick]:
        """The ticks by the ids of their records."""
        found = self.stores.ticks.latest("streamed", 1_000)
        return {(each.trigger or "").rpartition(":")[2]: each for each in found}

    @property
    def given_up(self) -> list[Mapping[str, Any]]:
        """The records in the dead-letter queue."""
        bodies = [json.loads(each.body) for each in self.dead_letters.messages.values()]
        return [record_of(each, "streamed", self.blobs) for each in bodies]


def several(*data: bytes, keys: str = "") -> list[dict[str, Any]]:
    keys = keys or "k" * len(data)
    return [record(number, each, keys[number - 1]) for number, each in enumerate(data, 1)]


def test_records_are_evaluated_in_order_and_the_stream_is_read_on() -> None:
    shard = Shard(several(b"a", b"b", b"c"))

    assert shard.deliver() == []
    assert shard.evaluated == [b"a", b"b", b"c"]
    assert {each.status for each in shard.ticks.values()} == {TickStatus.SUCCESS}


def test_bad_record_is_given_up_with_its_body_and_those_after_it_are_evaluated() -> None:
    shard = Shard(several(b"a", b"bad", b"c"), bad={b"bad"})

    assert [shard.deliver(), shard.deliver(), shard.deliver()] == [["2"], ["2"], []]
    assert shard.evaluated == [b"a", b"bad", b"bad", b"bad", b"c"]
    [dead_letter] = shard.dead_letters.messages.values()
    assert shard.given_up == [shard.records[1]]
    assert dead_letter.attributes["origin"] == "sensor streamed"
    assert "no such order" in dead_letter.attributes["reason"]
    assert (shard.ticks["2"].status, shard.ticks["2"].attempts) == (TickStatus.FAILURE, 3)


def test_later_records_of_the_same_key_wait_and_others_do_not() -> None:
    shard = Shard(several(b"a1", b"bad", b"a2", b"b2", keys="abab"), bad={b"bad"})

    assert shard.deliver() == ["2"]
    assert shard.evaluated == [b"a1", b"bad", b"a2"]
    shard.bad.clear()
    assert shard.deliver() == []
    assert shard.evaluated == [b"a1", b"bad", b"a2", b"bad", b"b2"]


def test_batch_that_is_delivered_again_evaluates_nothing_twice() -> None:
    shard = Shard(several(b"a", b"b"))

    for _ in range(3):
        shard.position = 0
        assert shard.deliver() == []

    assert shard.evaluated == [b"a", b"b"]


@pytest.mark.parametrize("place", [0, 1, 2])
def test_record_that_ends_the_process_is_given_up_after_as_many_attempts(place: int) -> None:
    data = [b"a", b"b", b"c"]
    data[place] = b"killing"
    shard = Shard(several(*data), killing={b"killing"})

    # Behind others, its first attempt does not count.
    assert shard.read() == 4 + bool(place)
    assert shard.evaluated.count(b"killing") == 3 + bool(place)
    assert shard.given_up == [shard.records[place]]
    assert sorted(each.status for each in shard.ticks.values()) == [
        TickStatus.FAILURE,
        TickStatus.SUCCESS,
        TickStatus.SUCCESS,
    ]
    assert (tick := shard.ticks[str(place + 1)]).error is not None
    assert (tick.error.type, tick.attempts) == ("EvaluationDiedError", 3)


def test_bad_record_and_one_that_ends_the_process_are_both_given_up() -> None:
    shard = Shard(several(b"bad", b"b", b"killing", b"d", keys="abcd"), {b"bad"}, {b"killing"})

    shard.read()

    # A dead letter may be sent again until the response has reached Lambda.
    assert [*{each["eventID"]: each for each in shard.given_up}.values()] == [
        shard.records[0],
        shard.records[2],
    ]
    assert {number: each.status for number, each in shard.ticks.items()} == {
        "1": TickStatus.FAILURE,
        "2": TickStatus.SUCCESS,
        "3": TickStatus.FAILURE,
        "4": TickStatus.SUCCESS,
    }


@pytest.mark.parametrize("error", [StoreThrottledError("no"), StoreError("no")])
def test_store_that_does_not_answer_exhausts_no_record(error: StoreError) -> None:
    shard = Shard(several(b"a", b"b"), failing={b"a": [error] * 10})

    assert shard.read() == 11
    assert shard.given_up == []
    assert sorted(shard.evaluated) == [b"a", b"b"]


def test_error_of_ours_does_not_block_a_shard() -> None:
    shard = Shard(several(b"a", b"b"), failing={b"a": [ZeroDivisionError()] * 10})

    shard.read()

    assert shard.given_up == [shard.records[0]]
    assert shard.evaluated == [b"b"]


def test_record_that_is_none_is_given_up_at_once() -> None:
    shard = Shard([record(1, eventID=None), record(2)])

    assert shard.deliver() == []
    assert shard.given_up == [shard.records[0]]
    assert shard.evaluated == [b"text"]


def test_record_whose_dead_letter_was_not_sent_stays_in_the_stream() -> None:
    class Full(InMemoryDeadLetters):
        def send(self, body: str, *, origin: str, reason: str) -> None:
            raise StoreError(f"{origin}: {reason}: {body}")

    shard = Shard(several(b"bad", b"b"), bad={b"bad"}, dead_letters=Full())

    assert [shard.deliver() for _ in range(5)] == [["1"]] * 5
    assert shard.evaluated == [b"bad"] * 3
    shard.dead_letters = InMemoryDeadLetters()
    assert shard.deliver() == []
    assert shard.given_up == [shard.records[0]]
    assert shard.evaluated == [b"bad"] * 3 + [b"b"]


def test_record_behind_one_whose_dead_letter_cannot_be_sent_is_not_exhausted_by_waiting() -> None:
    class Full(InMemoryDeadLetters):
        def send(self, body: str, *, origin: str, reason: str) -> None:
            raise StoreError(f"{origin}: {reason}: {body}")

    shard = Shard(several(b"bad", b"b"), bad={b"bad"}, dead_letters=Full())

    assert [shard.deliver() for _ in range(10)] == [["1"]] * 10
    shard.dead_letters = InMemoryDeadLetters()
    assert shard.deliver() == []
    assert shard.evaluated[-1] == b"b"
    assert shard.ticks["2"].attempts == 1


def test_stop_during_a_batch_leaves_the_rest_in_the_stream() -> None:
    shard = Shard(several(b"a", b"b", keys="ab"))
    operations = SensorOperations(shard.stores.sensors, shard.clock)
    evaluate = shard.events.evaluate

    def stopping(event: StreamRecord, batch_state: EventBatchState, budget: Budget) -> Outcome:
        done = evaluate(event, batch_state, budget)
        operations.stop("streamed", "ann")
        shard.clock.advance(2)
        return done

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(shard, "evaluate", lambda event, state: stopping(event, state, Budget()))
        assert shard.deliver() == ["2"]
    assert shard.evaluated == [b"a"]
    operations.start("streamed", DefaultSensorStatus.RUNNING, "ann")
    assert shard.deliver() == []
    assert shard.evaluated == [b"a", b"b"]


def test_nothing_of_a_stopped_sensor_is_evaluated_or_given_up() -> None:
    shard = Shard([record(1, eventID=None), record(2, b"a"), record(3, b"b")])
    operations = SensorOperations(shard.stores.sensors, shard.clock)
    operations.stop("streamed", "ann")

    assert [shard.deliver() for _ in range(10)] == [["1"]] * 10
    assert (shard.evaluated, shard.ticks, shard.given_up) == ([], {}, [])
    operations.start("streamed", DefaultSensorStatus.RUNNING, "ann")
    assert shard.deliver() == []
    assert (shard.evaluated, shard.given_up) == ([b"a", b"b"], [shard.records[0]])


def test_state_of_another_project_exhausts_no_record() -> None:
    shard = Shard(several(b"a"), project="shop")
    shard.stores.sensors.claim("streamed", "other")

    assert [shard.deliver() for _ in range(10)] == [["1"]] * 10
    error = shard.ticks["1"].error
    assert error is not None
    assert error.type == "SensorOwnershipError"
    SensorOperations(shard.stores.sensors, shard.clock).adopt("streamed", "shop", "ann")
    assert shard.deliver() == []
    assert (shard.evaluated, shard.given_up) == ([b"a"], [])


def test_records_for_which_there_is_no_time_are_delivered_again_and_the_first_is_evaluated() -> None:
    shard = Shard(several(b"a", b"b", b"c"), has_time=lambda: False)

    assert [shard.deliver(), shard.deliver(), shard.deliver()] == [["2"], ["3"], []]
    assert shard.evaluated == [b"a", b"b", b"c"]


def test_large_batch_is_evaluated_in_parts() -> None:
    shard = Shard(several(*(str(number).encode() for number in range(MOST_RECORDS + 1))))

    assert shard.deliver() == [str(MOST_RECORDS + 1)]
    assert shard.deliver() == []
    assert len(shard.evaluated) == MOST_RECORDS + 1


def test_large_record_is_stored_and_its_dead_letter_names_it() -> None:
    large = b"x" * MAX_DEAD_LETTER
    shard = Shard(several(large), bad={large}, max_attempts=1)

    assert shard.deliver() == []
    [dead_letter] = shard.dead_letters.messages.values()
    assert len(dead_letter.body) < 1_000
    assert json.loads(dead_letter.body)["eventID"] == shard.records[0]["eventID"]
    assert all(key.startswith("ticks/streamed/") for key in shard.blobs.blobs)
    assert shard.given_up == shard.records


@pytest.mark.parametrize(
    "dead_letter",
    [
        {"treadle": "tick", "kinesis": {}},
        {"Records": [], "kinesis": {}},
        {"source": "aws.s3"},
        {"stored": "ticks/other/record-1.json"},
        {"stored": "ticks/streamed/2026.json"},
        {"stored": "ticks/streamed/record-list.json"},
        {"stored": "ticks/streamed/record-broken.json"},
    ],
)
def test_dead_letter_that_is_no_record_of_the_sensor_is_refused(dead_letter: dict[str, object]) -> None:
    stored = json.dumps(record()).encode()
    blobs = InMemoryBlobStore()
    blobs.put("ticks/other/record-1.json", stored)
    blobs.put("ticks/streamed/2026.json", stored)
    blobs.put("ticks/streamed/record-list.json", b"[]")
    blobs.put("ticks/streamed/record-broken.json", b"{")

    with pytest.raises(UnknownEventError, match="is no record of a stream"):
        record_of(dead_letter, "streamed", blobs)


def test_tables_that_do_not_answer_at_first_leave_the_batch_in_the_stream(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    shard = Shard(several(b"a"))

    def fail(*_: object) -> None:
        raise StoreThrottledError("no")

    with monkeypatch.context() as patch:
        patch.setattr(shard.stores.ticks, "attempts", fail)
        assert shard.deliver() == ["1"]
    assert shard.deliver() == []


def test_record_without_a_number_lets_its_whole_batch_be_delivered_again() -> None:
    class Full(InMemoryDeadLetters):
        def send(self, body: str, *, origin: str, reason: str) -> None:
            raise StoreError(f"{origin}: {reason}: {body}")

    shard = Shard([{"eventSource": "aws:kinesis"}], dead_letters=Full())

    with pytest.raises(TreadleError, match="without a sequence number"):
        shard.deliver()


# ---- Whatever is lost on the way


class Fault:
    """Kills the process, or lets a store not answer, at one call of a store or of the dead-letter queue.

    Args:
        at: the number of the call.
        is_before: whether the call has no effect.
        error: what is raised.
    """

    def __init__(self, at: int, error: type[BaseException], *, is_before: bool) -> None:
        self.left = at
        self.is_before = is_before
        self.error = error

    def around(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Return the call with the fault."""

        def faulty(*arguments: Any, **named: Any) -> Any:
            self.left -= 1
            if self.left == 0 and self.is_before:
                raise self.error("no answer")
            found = call(*arguments, **named)
            if self.left == 0:
                raise self.error("no answer")
            return found

        return faulty


class ReplaceableDeadLetters(InMemoryDeadLetters):
    """Dead letters whose methods can be replaced."""


@pytest.mark.parametrize("is_before", [True, False])
@pytest.mark.parametrize("error", [KeyboardInterrupt, StoreThrottledError])
def test_whatever_call_fails_each_record_is_evaluated_in_order_or_given_up(
    error: type[BaseException], *, is_before: bool
) -> None:
    for at in range(1, 1_000):
        shard = Shard(
            several(b"a1", b"bad", b"a2", b"b2", b"c1", keys="ababc"),
            bad={b"bad"},
            dead_letters=ReplaceableDeadLetters(),
        )
        fault = Fault(at, error, is_before=is_before)
        stores = shard.stores
        with pytest.MonkeyPatch.context() as patch:
            for store, name in (
                (stores.ticks, "put"),
                (stores.ticks, "attempts"),
                (stores.sensors, "get"),
                (shard.dead_letters, "send"),
            ):
                patch.setattr(store, name, fault.around(getattr(store, name)))
            shard.read()

        ticks = shard.ticks
        assert {number: each.status for number, each in ticks.items() if number != "2"} == dict.fromkeys(
            ("1", "3", "4", "5"), TickStatus.SUCCESS
        )
        assert ticks["2"].status is TickStatus.FAILURE
        assert {each["eventID"] for each in shard.given_up} == {shard.records[1]["eventID"]}
        firsts = [*dict.fromkeys(shard.evaluated)]
        assert [each for each in firsts if each in {b"a1", b"a2"}] == [b"a1", b"a2"]
        # The record behind the bad one comes after its last evaluation.
        assert shard.evaluated.index(b"b2") > max(
            n for n, each in enumerate(shard.evaluated) if each == b"bad"
        )
        assert shard.evaluated.count(b"bad") in {2, 3, 4}
        if fault.left > 0:
            break
    assert at > 10
