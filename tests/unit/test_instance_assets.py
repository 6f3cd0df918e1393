"""What `context.instance` returns of recorded assets, by their index alone."""

from collections.abc import Iterator
from datetime import UTC, datetime

import pytest

from tests.support.partitions import no_partitions
from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetRecordsFilter,
    DagsterEventType,
    DagsterInstance,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    EventRecordsFilter,
)
from treadle.engine.instance.instance_reader import InstanceReader
from treadle.model.assets import AssetEvent
from treadle.ports.assets import AT_ONCE
from treadle.testing.bus import NAMESPACE
from treadle.testing.event_store import InMemoryEventStore
from treadle.testing.instance import TreadleInstance
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.tables import InMemoryTables

MATERIALIZATION = DagsterEventType.ASSET_MATERIALIZATION
ORDERS, CUSTOMERS, NOTHING = (AssetKey(name) for name in ("orders", "customers", "nothing"))
START = datetime(2026, 11, 22, 18, tzinfo=UTC)
DAYS = ("mon", "tue", "mon", "wed")


@pytest.fixture
def instance() -> TreadleInstance:
    """Four materializations of an asset's partitions, a minute apart, and one of another asset."""
    made = TreadleInstance([], start=START)
    for number, day in enumerate(DAYS, 1):
        event = AssetMaterialization(ORDERS, metadata={"rows": number}, partition=day)
        made.report_runless_asset_event(event, run_id=f"run-{number}")
        made.clock.advance(60)
    made.report_runless_asset_event(AssetMaterialization(CUSTOMERS))
    return made


def found(
    instance: TreadleInstance, limit: int | None = None, *, ascending: bool = True, **more: object
) -> list[int]:
    wanted = EventRecordsFilter(MATERIALIZATION, ORDERS, **more)  # type: ignore[arg-type]
    return [each.storage_id for each in instance.get_event_records(wanted, limit, ascending)]


class TestRecords:
    def test_come_newest_first_unless_requested_otherwise(self, instance: TreadleInstance) -> None:
        assert found(instance, ascending=False) == [4, 3, 2, 1]
        assert found(instance) == [1, 2, 3, 4]
        assert found(instance, 2) == [1, 2]

    def test_are_those_between_two_places(self, instance: TreadleInstance) -> None:
        assert found(instance, after_cursor=1) == [2, 3, 4]
        assert found(instance, after_cursor=1, before_cursor=4) == [2, 3]
        assert found(instance, after_cursor=4) == []

    def test_are_those_of_some_partitions_as_many_as_are_requested(self, instance: TreadleInstance) -> None:
        assert found(instance, asset_partitions=["mon"]) == [1, 3]
        assert found(instance, 1, asset_partitions=["mon"], ascending=False) == [3]

    def test_are_those_between_two_times(self, instance: TreadleInstance) -> None:
        after, before = START.timestamp(), START.timestamp() + 180

        assert found(instance, after_timestamp=after, before_timestamp=before) == [2, 3]

    def test_are_those_at_some_places(self, instance: TreadleInstance) -> None:
        assert found(instance, storage_ids=[4, 2, 9]) == [2, 4]
        assert found(instance, storage_ids=[4, 2, 9], ascending=False) == [4, 2]
        assert found(instance, storage_ids=[4, 2], after_cursor=2) == [4]

    def test_report_what_was_made_and_by_which_run(self, instance: TreadleInstance) -> None:
        [record] = instance.get_event_records(EventRecordsFilter(MATERIALIZATION, ORDERS), limit=1)

        assert (record.storage_id, record.asset_key, record.partition_key) == (4, ORDERS, "wed")
        assert (record.run_id, record.timestamp) == ("run-4", START.timestamp() + 180)
        assert record.asset_materialization == record.event_log_entry.asset_materialization
        assert record.asset_materialization is not None
        assert record.asset_materialization.metadata["rows"].value == 4

    def test_no_more_are_read_than_are_requested(self) -> None:
        events = CountingEvents(InMemoryTables())
        events.append([stored(number) for number in range(1, 3_001)])
        reading = InstanceReader(InMemoryRunStore(InMemoryTables()), NAMESPACE, events, no_partitions)

        assert len(reading.get_event_records(EventRecordsFilter(MATERIALIZATION, ORDERS))) == 1_000
        assert len(reading.get_event_records(EventRecordsFilter(MATERIALIZATION, ORDERS), limit=5)) == 5
        assert events.at_once == 5
        assert events.read <= 1_010
        assert reading.get_event_records(EventRecordsFilter(MATERIALIZATION, ORDERS), limit=0) == []


class TestPages:
    @pytest.mark.parametrize(("ascending", "ids"), [(True, [1, 2, 3, 4]), (False, [4, 3, 2, 1])])
    def test_follow_one_another_by_their_cursor(
        self, instance: TreadleInstance, ascending: bool, ids: list[int]
    ) -> None:
        first = instance.fetch_materializations(ORDERS, 3, ascending=ascending)
        second = instance.fetch_materializations(ORDERS, 3, first.cursor, ascending)
        third = instance.fetch_materializations(ORDERS, 3, second.cursor, ascending)

        assert [each.storage_id for each in (*first.records, *second.records)] == ids
        assert (first.has_more, second.has_more) == (True, False)
        assert (third.records, third.cursor) == ([], second.cursor)

    def test_behind_an_empty_one_is_what_comes_later(self, instance: TreadleInstance) -> None:
        empty = instance.fetch_materializations(NOTHING, 10, ascending=True)
        instance.report_runless_asset_event(AssetMaterialization(NOTHING))

        page = instance.fetch_materializations(NOTHING, 10, empty.cursor, ascending=True)

        assert [each.asset_key for each in page.records] == [NOTHING]

    def test_have_what_fits(self, instance: TreadleInstance) -> None:
        wanted = AssetRecordsFilter(ORDERS, asset_partitions=["mon"], after_storage_id=1, before_storage_id=4)

        assert [each.storage_id for each in instance.fetch_materializations(wanted, 5).records] == [3]
        for cursor, ascending, ids in (
            ("2", False, []),
            ("2", True, [3]),
            ("3", True, []),
            ("9", False, [3]),
        ):
            page = instance.fetch_materializations(wanted, 5, cursor, ascending)
            assert [each.storage_id for each in page.records] == ids

    @pytest.mark.parametrize(
        ("limit", "cursor", "message"),
        [(0, None, "limit is 0"), (5, "behind", "cursor is 'behind'"), (5, "-1", "cursor is '-1'")],
    )
    def test_are_refused_without_a_limit_or_with_another_cursor(
        self, instance: TreadleInstance, limit: int, cursor: str | None, message: str
    ) -> None:
        with pytest.raises(DagsterInvariantViolationError, match=message):
            instance.fetch_materializations(ORDERS, limit, cursor)


class TestLatest:
    def test_of_one_asset(self, instance: TreadleInstance) -> None:
        entry = instance.get_latest_materialization_event(ORDERS)

        assert entry is not None
        assert (entry.run_id, entry.partition_key) == ("run-4", "wed")
        assert instance.get_latest_materialization_event(NOTHING) is None

    def test_of_several_assets(self, instance: TreadleInstance) -> None:
        entries = instance.get_latest_materialization_events([ORDERS, CUSTOMERS, NOTHING])
        records = instance.get_latest_materialization_records([ORDERS, CUSTOMERS, NOTHING])

        assert {key: entry and entry.asset_key for key, entry in entries.items()} == {
            ORDERS: ORDERS,
            CUSTOMERS: CUSTOMERS,
            NOTHING: None,
        }
        assert [record and record.storage_id for record in records.values()] == [4, 1, None]


class TestPartitions:
    def test_are_those_ever_materialized_or_within_a_range(self, instance: TreadleInstance) -> None:
        assert instance.get_materialized_partitions(ORDERS) == {"mon", "tue", "wed"}
        assert instance.get_materialized_partitions(ORDERS, after_cursor=2) == {"mon", "wed"}
        assert instance.get_materialized_partitions(ORDERS, before_cursor=2) == {"mon"}
        assert instance.get_materialized_partitions(CUSTOMERS) == set()

    def test_reading_ends_once_those_requested_are_found(self) -> None:
        events = CountingEvents(InMemoryTables())
        events.append([stored(number) for number in range(1, 3_001)])
        reading = InstanceReader(InMemoryRunStore(InMemoryTables()), NAMESPACE, events, no_partitions)

        assert reading.get_materialized_partitions(ORDERS, partitions=["3000", "2999"]) == {"3000", "2999"}
        assert events.read <= 3


class TestFilter:
    def test_names_all_that_it_cannot_be_read_by(self) -> None:
        with pytest.raises(DagsterInvalidDefinitionError) as caught:
            EventRecordsFilter(DagsterEventType.RUN_START, None, after_cursor="7")  # type: ignore[arg-type]

        for message in ("only ASSET_MATERIALIZATION", "give an AssetKey", "after_cursor is '7'"):
            assert message in str(caught.value)

    def test_of_an_asset_names_what_it_cannot_be_read_by(self) -> None:
        with pytest.raises(
            DagsterInvalidDefinitionError, match=r"AssetRecordsFilter.*asset_key.*after_storage_id"
        ):
            AssetRecordsFilter("orders", after_storage_id="7")  # type: ignore[arg-type]


def test_instance_in_memory_is_an_instance(instance: TreadleInstance) -> None:
    as_seen: DagsterInstance = instance

    assert as_seen.get_run_by_id("none") is None
    assert as_seen.get_run_record_by_id("none") is None


def stored(number: int) -> AssetEvent:
    body = (
        f'{{"depth":0,"description":null,"location":"","metadata":{{}},"partition":"{number}","run_id":null}}'
    )
    return AssetEvent("orders", f"e{number}", "ASSET_MATERIALIZATION", number, body)


class CountingEvents(InMemoryEventStore):
    """Counts the events that are taken from it."""

    read = at_once = 0

    def between(
        self,
        asset_key: str,
        after: int,
        before: int | None = None,
        *,
        ascending: bool = True,
        at_once: int = AT_ONCE,
    ) -> Iterator[AssetEvent]:
        """One by one."""
        self.at_once = at_once
        for event in super().between(asset_key, after, before, ascending=ascending):
            self.read += 1
            yield event
