"""A tick with more requests than fit into its record, and into one pass of DISPATCH, through the handlers."""

import json
from typing import Any

import boto3
import pytest

from tests.functional.conftest import OUTCOMES, Deployment, batch, sample
from treadle.adapters.dynamodb import outcomes
from treadle.definitions.status import TickStatus
from treadle.engine.dispatch import chunks, dispatcher
from treadle.model.ticks import DispatchCounts, Tick

SENSOR = "sensors/new_objects"
CHUNK_SIZE = 50
COUNT = 2 * CHUNK_SIZE + 1


@pytest.fixture
def large(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Deployment:
    """Deployed where records and chunks have little room, with many objects in the bucket."""
    monkeypatch.setattr(outcomes, "MAX_REQUESTS_BYTES", 1_000)
    monkeypatch.setattr(chunks, "CHUNK_SIZE", CHUNK_SIZE)
    monkeypatch.setattr(dispatcher, "CHUNK_SIZE", CHUNK_SIZE)
    for index in range(COUNT):
        deployment.put(f"in/{index}.csv", b"a,b\n%d,2\n" % index)
    return deployment


def swept(deployment: Deployment) -> Tick:
    """Return the tick of one sweep over all objects."""
    assert deployment.invoke(SENSOR, sample("new_objects-schedule"))["decision"] == "SUCCESS"
    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    return tick


def item_of(deployment: Deployment, tick: Tick) -> dict[str, Any]:
    """Return the tick's record as it is stored."""
    answer = boto3.client("dynamodb").get_item(
        TableName=deployment.environment["TREADLE_TICKS_TABLE"],
        Key={"sensor": {"S": tick.sensor}, "tick_id": {"S": tick.tick_id}},
    )
    return answer["Item"]


def chunk_messages(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the dispatch queue's messages as the event source brings them, one a batch."""
    return [batch(message["Body"]) for message in deployment.messages("dispatch")]


def run_ids(deployment: Deployment) -> list[str]:
    """Return the run of each launch message."""
    return sorted(json.loads(message["Body"])["run_id"] for message in deployment.messages("launch"))


def test_a_large_sweep_is_kept_apart_and_every_request_launched_once(large: Deployment) -> None:
    tick = swept(large)
    item = item_of(large, tick)
    large.dispatch_pending()
    parts = chunk_messages(large)

    for part in parts:
        large.invoke("engine/dispatch", part)

    key = f"ticks/new_objects/{tick.tick_id}-{tick.owner}"
    assert (item["outcome_key"], "requests" in item) == ({"S": key}, False)
    assert len(parts) == 3
    assert run_ids(large) == sorted(request.run_id for request in tick.requests)
    done = item_of(large, tick)
    assert "expires_at" in done
    assert "pending" not in done
    [tick] = large.stores.ticks.latest("new_objects", 5)
    assert tick.dispatched == DispatchCounts(COUNT)

    for part in parts:
        large.invoke("engine/dispatch", part)
    assert run_ids(large) == []
    assert item_of(large, tick) == done


def test_the_stream_of_a_noted_chunk_hands_nothing_on(large: Deployment) -> None:
    """The table's stream shows each note, as the tick is pending still."""
    tick = swept(large)
    large.dispatch_pending()
    large.invoke("engine/dispatch", chunk_messages(large)[1])
    assert item_of(large, tick)["slices_done"] == {"NS": ["1"]}
    assert "pending" in item_of(large, tick)

    large.dispatch_pending()

    assert large.messages("dispatch") == []


def test_a_record_whose_object_is_gone_becomes_a_dead_letter_saying_which(large: Deployment) -> None:
    tick = swept(large)
    key = f"ticks/new_objects/{tick.tick_id}-{tick.owner}"
    boto3.client("s3").delete_object(Bucket=OUTCOMES, Key=key)

    large.dispatch_pending()

    [dead_letter] = large.messages("dead")
    reason = dead_letter["MessageAttributes"]["reason"]["StringValue"]
    assert f"s3://{OUTCOMES}/{key}" in reason
    [listed] = large.stores.ticks.latest("new_objects", 5)
    assert (listed.status, listed.requests) == (TickStatus.SUCCESS, ())


def test_a_record_whose_object_was_changed_becomes_a_dead_letter_and_nothing_of_it_started(
    large: Deployment,
) -> None:
    tick = swept(large)
    key = f"ticks/new_objects/{tick.tick_id}-{tick.owner}"
    boto3.client("s3").put_object(Bucket=OUTCOMES, Key=key, Body=b"forged")

    large.dispatch_pending()

    [dead_letter] = large.messages("dead")
    reason = dead_letter["MessageAttributes"]["reason"]["StringValue"]
    assert f"{key} are not the ones that were committed" in reason
    assert large.messages("launch") == []


def test_without_the_bucket_nothing_of_the_tick_is_committed(large: Deployment) -> None:
    """The object comes first: a record never names one that is not there."""
    large.setenv(TREADLE_OUTCOMES_BUCKET="no-such-bucket")

    with pytest.raises(Exception, match="S3 did not store"):
        large.invoke(SENSOR, sample("new_objects-schedule"))

    assert large.stores.ticks.latest("new_objects", 5) == []
    assert large.stores.sensors.get("new_objects").cursor is None


def test_the_sample_chunk_of_a_tick_that_is_gone_becomes_a_dead_letter(deployment: Deployment) -> None:
    answer = deployment.invoke("engine/dispatch", sample("dispatch-slice"))

    assert answer == {"batchItemFailures": []}
    [dead_letter] = deployment.messages("dead")
    assert "has no tick" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


@pytest.mark.parametrize(
    "change",
    [
        {"treadle": "launch"},
        {"sensor": ""},
        {"tick_id": "t" * 513},
        {"slice": True},
        {"slice": -1},
        {"of": 10_001},
        {"of": "2"},
        {"sensor": None},
    ],
    ids=str,
)
def test_a_dispatch_message_of_another_form_becomes_a_dead_letter(
    deployment: Deployment, change: dict[str, object]
) -> None:
    message = json.loads(sample("dispatch-slice")["Records"][0]["body"])

    answer = deployment.invoke("engine/dispatch", batch({**message, **change}))

    assert answer == {"batchItemFailures": []}
    [dead_letter] = deployment.messages("dead")
    assert "The dispatch queue accepts" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_a_chunk_meets_a_failing_store_and_comes_again(large: Deployment) -> None:
    swept(large)
    large.dispatch_pending()
    part = chunk_messages(large)[0]
    runs = large.environment["TREADLE_RUNS_TABLE"]
    large.setenv(TREADLE_RUNS_TABLE="no-such-table")

    early = large.invoke("engine/dispatch", part)
    large.setenv(TREADLE_RUNS_TABLE=runs)
    late = large.invoke("engine/dispatch", part)

    assert early == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert late == {"batchItemFailures": []}
    assert len(run_ids(large)) == COUNT // 3
