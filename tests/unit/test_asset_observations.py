"""Observations of assets: reported, recorded and queried, as in Dagster; they trigger nothing."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.engine import EngineHarness
from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetObservation,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInvariantViolationError,
    EventLogEntry,
    EventRecordsFilter,
    JobDefinition,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    asset_sensor,
    assets_updated,
    build_sensor_context,
    multi_asset_sensor,
    report_asset_materialization,
    report_asset_observation,
    s3_sensor,
    sensor,
)
from treadle.adapters import clients
from treadle.adapters.asset_reports import parse_asset_event
from treadle.adapters.events import parse_sensor_event
from treadle.definitions.assets import AssetObserved
from treadle.definitions.errors import InvalidReportError, UnknownEventError, UnreadableRecordError
from treadle.engine.assets.asset_events import asset_event, materialized, recorded
from treadle.engine.assets.asset_recorder import AssetReport, RemoteAssetEvent
from treadle.engine.publish.bus_events import asset_recorded, envelope
from treadle.operate.assets import AssetCatalogue
from treadle.testing.instance import TreadleInstance

OBSERVATION = DagsterEventType.ASSET_OBSERVATION
ORDERS = AssetKey("orders")
START = datetime(2026, 11, 22, 18, tzinfo=UTC)
LOAD = JobDefinition("load")


@pytest.fixture
def instance() -> TreadleInstance:
    """Three observations of an asset and one materialization of it, a minute apart."""
    made = TreadleInstance([], start=START)
    for rows, day in enumerate(("mon", "tue", "mon"), 1):
        made.report_runless_asset_event(AssetObservation(ORDERS, metadata={"rows": rows}, partition=day))
        made.clock.advance(60)
    made.report_runless_asset_event(AssetMaterialization(ORDERS, partition="wed"), run_id="run-1")
    return made


class TestValue:
    def test_has_the_fields_and_defaults_of_dagsters(self) -> None:
        observation = AssetObservation(["shop", "orders"])

        assert (observation.description, observation.metadata, observation.partition) == (None, {}, None)
        assert observation.tags == {}
        assert observation.data_version is None
        assert observation.label == "shop orders"
        assert AssetObservation("a", tags={"dagster/data_version": "7"}).data_version == "7"
        assert AssetObservation("a", "b", {"rows": 1}).with_metadata({"rows": 2}) == AssetObservation(
            "a", "b", {"rows": 2}
        )

    def test_is_no_materialization(self) -> None:
        materialization: object = AssetMaterialization("a")

        assert AssetObservation("a") != materialization
        assert not isinstance(AssetObservation("a"), AssetMaterialization)
        assert not hasattr(AssetObservation, "file")

    def test_partition_is_what_was_given_whatever_its_tags_say(self) -> None:
        tags = {"dagster/partition/day": "mon", "dagster/partition/shop": "north"}

        assert AssetObservation("a", partition="mon|north", tags=tags).partition == "mon|north"
        assert AssetObservation("a", tags=tags).partition is None

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"metadata": {"text": "x" * 66_000}}, "the limit is 65536"),
            ({"tags": {"a b": "1"}}, "cannot contain 'a b'"),
            ({"partition": 7}, "must be a string"),
            ({"asset_key": "#a"}, "#"),
        ],
    )
    def test_invalid_parts_are_refused(self, arguments: dict[str, Any], message: str) -> None:
        with pytest.raises(InvalidReportError, match=message):
            AssetObservation(**{"asset_key": "a", **arguments})

    def test_comes_back_as_it_was_stored(self) -> None:
        made = AssetObservation(["a", "b/c"], "d", {"rows": 3, "at": 1.5}, "p", {"dagster/data_version": "7"})
        event = AssetObserved(made, "e", 7, START, "r", 2, "1/r/e")

        assert recorded(asset_event(event)) == event
        assert asset_event(event).asset_key == r"#observed/a/b\/c"
        with pytest.raises(UnreadableRecordError, match="it is an observation"):
            materialized(asset_event(event))


class TestQueries:
    def test_records_are_observations_alone(self, instance: TreadleInstance) -> None:
        found = instance.get_event_records(EventRecordsFilter(OBSERVATION, ORDERS))

        assert [each.storage_id for each in found] == [3, 2, 1]
        assert [
            each.asset_observation.metadata["rows"].value for each in found if each.asset_observation
        ] == [
            3,
            2,
            1,
        ]
        assert {(each.event_type, each.asset_materialization) for each in found} == {(OBSERVATION, None)}
        materializations = EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION, ORDERS)
        [made] = instance.get_event_records(materializations)
        assert (made.storage_id, made.asset_observation) == (1, None)

    def test_conditions_select_some(self, instance: TreadleInstance) -> None:
        def numbers(**conditions: Any) -> list[int]:
            wanted = EventRecordsFilter(OBSERVATION, ORDERS, **conditions)
            return [each.storage_id for each in instance.get_event_records(wanted, ascending=True)]

        assert numbers(asset_partitions=["mon"]) == [1, 3]
        assert numbers(after_cursor=1) == [2, 3]
        assert numbers(storage_ids=[1, 3, 9]) == [1, 3]
        assert numbers(before_timestamp=(START + timedelta(seconds=61)).timestamp()) == [1, 2]

    def test_pages_follow_each_other(self, instance: TreadleInstance) -> None:
        first = instance.fetch_observations(ORDERS, limit=2, ascending=True)
        second = instance.fetch_observations(
            AssetRecordsFilter(ORDERS), limit=2, cursor=first.cursor, ascending=True
        )

        assert [[each.storage_id for each in page.records] for page in (first, second)] == [[1, 2], [3]]
        assert (first.has_more, second.has_more) == (True, False)
        assert instance.fetch_observations(ORDERS, 1).records[0].storage_id == 3
        with pytest.raises(DagsterInvariantViolationError, match="limit is 0"):
            instance.fetch_observations(ORDERS, limit=0)

    def test_entry_has_dagsters_fields(self, instance: TreadleInstance) -> None:
        record = instance.fetch_observations(ORDERS, limit=1).records[0]
        entry, event = record.event_log_entry, record.event_log_entry.get_dagster_event()

        assert (record.partition_key, record.asset_key, record.run_id) == ("mon", ORDERS, "")
        assert record.asset_event == entry.asset_observation == event.asset_observation_data.asset_observation
        assert (event.is_asset_observation, event.is_step_materialization) == (True, False)
        assert (event.asset_key, event.partition, entry.tags) == (ORDERS, "mon", {})
        assert entry.message == "Observed orders."
        with pytest.raises(DagsterInvariantViolationError, match="no materialization"):
            _ = event.materialization

    def test_materialization_has_no_observation(self, instance: TreadleInstance) -> None:
        made = instance.get_latest_materialization_event(ORDERS)

        assert made is not None
        assert made.asset_observation is None
        with pytest.raises(DagsterInvariantViolationError, match="no observation: it is of type ASSET_MAT"):
            _ = made.get_dagster_event().asset_observation_data

    def test_materializations_are_as_without_observations(self, instance: TreadleInstance) -> None:
        assert instance.get_materialized_partitions(ORDERS) == {"wed"}
        [record] = instance.fetch_materializations(ORDERS, limit=10).records
        assert record.storage_id == 1

    def test_asset_that_was_only_observed_has_a_record(self, instance: TreadleInstance) -> None:
        instance.report_runless_asset_event(AssetObservation("seen"))

        records = instance.get_asset_records([AssetKey("nothing"), AssetKey("seen"), ORDERS])

        entries = [each.asset_entry for each in records]
        assert [each.asset_key for each in entries] == [AssetKey("seen"), ORDERS]
        assert [each.last_run_id for each in entries] == [None, "run-1"]
        assert entries[0].last_materialization is None


class TestSensors:
    def test_none_is_triggered(self) -> None:
        @asset_sensor(ORDERS, job=LOAD)
        def each_update() -> RunRequest:
            return RunRequest()

        @multi_asset_sensor(monitored_assets=[ORDERS], job=LOAD)
        def several(context: Any) -> None:
            raise AssertionError(context)

        batch = assets_updated("batch", any_of=[ORDERS], request_job=LOAD)

        @s3_sensor("bucket", job=LOAD)
        def objects(context: Any, stored: Any) -> None:
            raise AssertionError(context, stored)

        sensors = [each_update, several, batch, objects]
        instance = TreadleInstance(sensors, settings={"objects": {"TREADLE_S3_BUCKET": "bucket"}})

        observed = instance.report_runless_asset_event(AssetObservation(ORDERS))

        assert isinstance(observed, AssetObserved)
        assert instance.runs() == ()
        assert [instance.ticks(each) for each in ("each_update", "several", "batch")] == [[], [], []]
        assert instance.undelivered == []
        delivered: Any = observed
        assert instance.send(delivered) == {}

    def test_none_evaluates_its_event(self) -> None:
        """Not even if its rule lets such events through."""
        event = AssetObserved(AssetObservation(ORDERS), "e", 1, START, location="1/r/e")

        with pytest.raises(UnknownEventError, match="Asset Observed"):
            parse_sensor_event(envelope(asset_recorded(event, "1/r/e"), "1/r/e"))

    def test_tick_reports_them_in_order_with_materializations(self) -> None:
        @sensor(minimum_interval_seconds=30)
        def watch(context: SensorEvaluationContext) -> SensorResult:
            rows = int(context.cursor or 0)
            seen = AssetObservation(ORDERS, metadata={"rows": rows})
            return SensorResult(asset_events=[seen, AssetMaterialization(ORDERS)], cursor=str(rows + 1))

        instance = TreadleInstance([watch])
        ticks = [instance.tick("watch").tick for _ in range(2)]

        found = instance.fetch_observations(ORDERS, limit=9, ascending=True).records
        assert [each.storage_id for each in found] == [1, 2]
        assert [each.asset_observation for each in found] == [
            AssetObservation(ORDERS, metadata={"rows": rows}) for rows in (0, 1)
        ]
        assert [tick.asset_events[0] for tick in ticks if tick] == [each.asset_observation for each in found]
        assert len(instance.fetch_materializations(ORDERS, limit=9).records) == 2

    def test_function_reads_them_from_its_context(self, instance: TreadleInstance) -> None:
        @sensor()
        def watch(context: SensorEvaluationContext) -> SensorResult:
            [newest] = context.instance.fetch_observations(ORDERS, limit=1).records
            return SensorResult(cursor=str(newest.storage_id))

        result = watch(build_sensor_context(instance=instance))

        assert isinstance(result, SensorResult)
        assert result.cursor == "3"


def test_second_report_of_an_id_changes_nothing() -> None:
    instance = TreadleInstance([])

    first = instance.report_runless_asset_event(AssetObservation("a", metadata={"rows": 1}), event_id="e")
    again = instance.report_runless_asset_event(AssetObservation("a", metadata={"rows": 2}), event_id="e")
    made = instance.report_runless_asset_event(AssetMaterialization("a"), event_id="e")

    assert first == again
    assert (again.storage_id, made.storage_id) == (1, 1)
    assert EventLogEntry.of(again).asset_observation == AssetObservation("a", metadata={"rows": 1})


def test_another_engines_observation_is_recorded_with_a_number_of_this_one(harness: EngineHarness) -> None:
    other = "210987654321/eu-west-1/shop"
    event = AssetObserved(AssetObservation("a", tags={"x": "1"}), "e1", 40, START, "there", 3, other)

    parsed = parse_asset_event(envelope(asset_recorded(event, other), other))
    assert isinstance(parsed, RemoteAssetEvent)
    outcome = harness.assets.record(parsed)

    assert parsed == RemoteAssetEvent(event, other)
    assert outcome.reason == "Asset a: observation 1"
    [kept] = harness.tables.events["#observed/a"]
    assert (kept.event_id, kept.storage_id) == (f"{other}/e1", 1)
    assert [each.kind for each in harness.bus.events] == ["Asset Observed"]


class TestReport:
    def sent(self, report: Any) -> Any:
        with mock_aws():
            clients.forget()
            events, sqs = boto3.client("events"), boto3.client("sqs")
            events.create_event_bus(Name="treadle")
            url = sqs.create_queue(QueueName="all")["QueueUrl"]
            arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
                "QueueArn"
            ]
            pattern = json.dumps({"source": ["treadle.report"]})
            events.put_rule(Name="all", EventBusName="treadle", EventPattern=pattern)
            events.put_targets(Rule="all", EventBusName="treadle", Targets=[{"Id": "all", "Arn": arn}])
            event_id = report()
            [message] = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
            clients.forget()
        return event_id, json.loads(message["Body"])

    def test_of_a_job_is_read_as_it_was_sent(self) -> None:
        made = AssetObservation("orders", "d", {"rows": 3}, "mon", {"x": "1"})

        event_id, event = self.sent(
            lambda: report_asset_observation(made, run_id="r", time=START, bus="treadle")
        )

        assert event["detail-type"] == "Asset Observation Report"
        assert parse_asset_event(event) == AssetReport(made, event_id, START, "r")

    def test_takes_the_parts_of_an_observation(self) -> None:
        _, event = self.sent(
            lambda: report_asset_observation(
                ["shop", "orders"], metadata={"rows": 3}, partition="mon", description="d", bus="treadle"
            )
        )

        parsed = parse_asset_event(event)
        assert isinstance(parsed, AssetReport)
        assert parsed.reported == AssetObservation(["shop", "orders"], "d", {"rows": 3}, "mon")

    def test_of_the_other_kind_is_refused(self) -> None:
        observation: Any = AssetObservation("a")
        materialization: Any = AssetMaterialization("a")

        with pytest.raises(InvalidReportError, match=r"no AssetObservation\. Use report_asset_observation"):
            report_asset_materialization(observation, bus="treadle")
        with pytest.raises(
            InvalidReportError, match=r"no AssetMaterialization\. Use report_asset_materialization"
        ):
            report_asset_observation(materialization, bus="treadle")
        with pytest.raises(InvalidReportError, match="in the AssetObservation already"):
            report_asset_observation(AssetObservation("a"), partition="mon", bus="treadle")


def test_catalogue_lists_observations_apart(instance: TreadleInstance) -> None:
    instance.report_runless_asset_event(AssetObservation("seen"))
    catalogue = AssetCatalogue(instance._stores.events)

    assert [each.asset_key for each in catalogue.newest()] == ["orders"]
    newest = catalogue.newest(observed=True)
    assert [(each.asset_key, each.storage_id, each.kind) for each in newest] == [
        ("seen", 1, "ASSET_OBSERVATION"),
        ("orders", 3, "ASSET_OBSERVATION"),
    ]
    page = catalogue.events("orders", limit=2, observed=True)
    assert [(each.asset_key, each.storage_id) for each in page.events] == [("orders", 3), ("orders", 2)]
    rest = catalogue.events("orders", before=page.next, observed=True)
    assert [each.storage_id for each in rest.events] == [1]
    assert [each.kind for each in catalogue.events("orders").events] == ["ASSET_MATERIALIZATION"]
