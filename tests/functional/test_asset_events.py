"""Asset events, as deployed: RECORD's and DISPATCH's handlers, bus, queues and tables on moto."""

import json
from typing import Any

import pytest

from tests.functional.conftest import Deployment, LambdaContext, batch, sample
from treadle import AssetMaterialization, RunRequest, SensorResult, sensor
from treadle import evaluator as handler_of
from treadle.definitions.errors import SettingsError
from treadle.entrypoints.recorder import recorder
from treadle.model.runs import Run

NAMESPACE = "123456789012/us-east-1/test"
RUN_ID = "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e"


@pytest.fixture
def bus_queue(deployment: Deployment) -> None:
    """Let a queue receive everything on Treadle's bus."""
    deployment.subscribe()


def published(deployment: Deployment) -> list[dict[str, Any]]:
    """Return the events on the bus since the last call."""
    events = deployment.bus_events()
    assert {event["detail-type"] for event in events} <= {"Asset Materialized"}
    return [event["detail"] for event in events]


def body_of(name: str, **detail: Any) -> dict[str, Any]:
    [record] = sample(name)["Records"]
    event: dict[str, Any] = json.loads(record["body"])
    return {**event, "detail": {**event["detail"], **detail}}


def record(deployment: Deployment, *bodies: dict[str, Any]) -> Any:
    return deployment.invoke("engine/record", batch(*map(json.dumps, bodies)))


def test_the_sample_report_is_numbered_and_reported_with_the_depth_of_its_run(
    deployment: Deployment, bus_queue: None
) -> None:
    run = Run(RUN_ID, "process_file", "s", "k", "t", "{}", {"treadle/depth": "2"}, 0)
    assert deployment.stores.runs.create(run) is None

    assert deployment.invoke("engine/record", sample("record-asset-report")) == {"batchItemFailures": []}

    [detail] = published(deployment)
    assert (detail["asset_key"], detail["storage_id"], detail["id"]) == ("tables/orders", 1, f"{RUN_ID}-1")
    assert (detail["run_id"], detail["depth"], detail["namespace"]) == (RUN_ID, 2, NAMESPACE)
    assert (detail["metadata"], detail["partition"]) == ({"rows": 1204}, "2026-11-22")
    [kept] = deployment.stores.events.after("tables/orders", 0, 9)
    assert (kept.event_id, kept.kind) == (detail["id"], "ASSET_MATERIALIZATION")


def test_the_sample_of_another_stack_is_numbered_again_and_reported_here(
    deployment: Deployment, bus_queue: None
) -> None:
    deployment.invoke("engine/record", sample("record-asset-of-another-stack"))

    [detail] = published(deployment)
    other = "210987654321/eu-west-1/shop"
    assert (detail["namespace"], detail["origin"], detail["storage_id"]) == (NAMESPACE, other, 1)
    assert detail["id"] == f"{other}/prices-2026-11-22"


def test_observation_is_recorded_once_apart_from_materializations(
    deployment: Deployment, bus_queue: None
) -> None:
    made = body_of("record-asset-report")
    seen = {**body_of("record-asset-report", metadata={"rows": 7}), "detail-type": "Asset Observation Report"}
    other = {**body_of("record-asset-of-another-stack"), "detail-type": "Asset Observed"}

    assert record(deployment, made, seen, other, seen) == {"batchItemFailures": []}

    events = deployment.bus_events()
    assert sorted((each["detail-type"], each["detail"]["storage_id"]) for each in events) == [
        ("Asset Materialized", 1),
        *[("Asset Observed", 1)] * 3,
    ]
    assert len(deployment.stores.events.after("tables/orders", 0, 9)) == 1
    [kept] = deployment.stores.events.after("#observed/tables/orders", 0, 9)
    assert (kept.kind, kept.event_id) == ("ASSET_OBSERVATION", f"{RUN_ID}-1")
    assert json.loads(kept.body)["metadata"] == {"rows": 7}


def test_redelivery_and_a_second_report_are_reported_as_the_first(
    deployment: Deployment, bus_queue: None
) -> None:
    again = body_of("record-asset-report", metadata={"rows": 1}, time="2026-11-23T00:00:00Z")

    deployment.invoke("engine/record", sample("record-asset-report"))
    record(deployment, again, body_of("record-asset-report"))

    first, second, third = published(deployment)
    assert first == second == third
    assert len(deployment.stores.events.after("tables/orders", 0, 9)) == 1


def test_what_cannot_be_recorded_is_a_dead_letter_with_its_reason_and_blocks_no_other(
    deployment: Deployment, bus_queue: None
) -> None:
    bad = {
        "version 2 is not 1": body_of("record-asset-report", version=2),
        "one or more strings that are not empty": body_of("record-asset-report", asset_key=[]),
        "the limit is 65536": body_of("record-asset-report", metadata={"text": "x" * 66_000}),
        "event_id is": body_of("record-asset-report", event_id="x" * 513),
    }

    answer = record(deployment, *bad.values(), body_of("record-asset-report"))

    assert answer == {"batchItemFailures": []}
    dead_letters = {
        dead_letter["Body"]: dead_letter["MessageAttributes"] for dead_letter in deployment.messages("dead")
    }
    assert dead_letters.keys() == {json.dumps(body) for body in bad.values()}
    for expected, body in bad.items():
        attributes = dead_letters[json.dumps(body)]
        assert attributes["origin"]["StringValue"] == "record"
        assert expected in attributes["reason"]["StringValue"]
    assert len(published(deployment)) == 1


def test_what_went_through_a_stack_changes_nothing(deployment: Deployment, bus_queue: None) -> None:
    through = "210987654321/eu-west-1/third"

    record(deployment, body_of("record-asset-of-another-stack", namespace=through))

    assert published(deployment) == []
    assert deployment.messages("dead") == []
    assert deployment.stores.events.after("vendor/prices", 0, 9) == []


def test_asset_events_of_a_tick_are_reported_by_dispatch_once_recorded(
    deployment: Deployment, bus_queue: None
) -> None:
    made = [AssetMaterialization("orders", metadata={"text": "é" * 20_000}), AssetMaterialization("orders")]

    @sensor(job_name="process_file", name="new_objects")
    def definition() -> SensorResult:
        return SensorResult([RunRequest("k")], asset_events=made)

    deployment.handlers["orders"] = handler_of(definition)
    deployment.invoke("orders", {"treadle": "tick", "nominal_time": "2026-11-22T18:00:00Z"})
    preview = deployment.invoke("orders", {"treadle": "preview"})
    assert [each["asset_key"] for each in preview["asset_events"]] == ["orders", "orders"]
    [tick] = deployment.stores.ticks.latest("new_objects", 9)
    assert (tick.asset_events, published(deployment)) == (tuple(made), [])

    deployment.dispatch_pending()

    details = published(deployment)
    ids = [f"new_objects/{tick.tick_id}/{index}" for index in range(2)]
    assert sorted((each["storage_id"], each["id"]) for each in details) == [(1, ids[0]), (2, ids[1])]
    assert {each["depth"] for each in details} == {1}
    assert len(deployment.stores.runs.list_by_sensor("new_objects", 9)) == 1
    deployment.dispatch_pending()
    assert published(deployment) == []


def test_record_says_which_setting_is_missing(deployment: Deployment) -> None:
    deployment.monkeypatch.delenv("TREADLE_BUS_NAME")

    with pytest.raises(SettingsError, match="TREADLE_BUS_NAME is not set"):
        recorder()(batch("{}"), LambdaContext())
