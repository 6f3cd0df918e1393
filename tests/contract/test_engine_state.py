"""Engine-wide state is returned as it was written."""

from typing import Any

import boto3
import pytest

from tests.contract.conftest import Stores
from treadle.adapters.dynamodb.engine_state import DynamoEngineStore, DynamoLateSensorStore
from treadle.definitions.errors import UnreadableRecordError
from treadle.model.engine_state import EngineRecord, LateSensor

NOON = 1_795_370_400_000
LATE = {
    "daily": LateSensor("daily", "shop", NOON),
    "hourly": LateSensor("hourly", "billing", NOON + 1),
}


def test_no_engine_has_noted_itself_and_no_sensor_is_late_at_first(stores: Stores) -> None:
    assert stores.engine.read() is None
    assert stores.late_sensors.read() == {}


def test_engine_that_notes_itself_takes_the_place_of_another(stores: Stores) -> None:
    stores.engine.write(EngineRecord("one", NOON))
    stores.engine.write(EngineRecord("two", NOON - 1))

    assert stores.engine.read() == EngineRecord("two", NOON - 1)


def test_late_sensors_come_back_as_they_were_written(stores: Stores) -> None:
    stores.late_sensors.write(LATE)
    assert stores.late_sensors.read() == LATE

    stores.late_sensors.write({})
    assert stores.late_sensors.read() == {}


def test_nothing_of_it_is_taken_for_a_sensor(stores: Stores) -> None:
    stores.engine.write(EngineRecord("one", NOON))
    stores.late_sensors.write(LATE)

    assert stores.registry.read().sensors == {}
    assert stores.sensors.get("daily").last_scheduled_for is None


def _put(store: DynamoEngineStore | DynamoLateSensorStore, key: str, **values: Any) -> None:
    client = boto3.client("dynamodb")
    client.put_item(TableName=store._table.name, Item={"sensor": {"S": key}, **values})
    client.close()


@pytest.mark.parametrize(
    "values", [{}, {"engine_id": {"S": "one"}}, {"engine_id": {"N": "1"}, "seen_at": {"N": "1"}}]
)
def test_damaged_record_of_the_engine_is_reported_and_replaced(
    stores: Stores, values: dict[str, Any]
) -> None:
    if not isinstance(stores.engine, DynamoEngineStore):
        pytest.skip("needs a table")
    _put(stores.engine, "#engine", **values)

    with pytest.raises(UnreadableRecordError, match="Record of the engine cannot be read"):
        stores.engine.read()
    stores.engine.write(EngineRecord("one", NOON))
    assert stores.engine.read() == EngineRecord("one", NOON)


@pytest.mark.parametrize(
    "late", ["no JSON", "[1]", '[{"name": "daily"}]', '[{"name": 1, "project": "a", "since": 1}]']
)
def test_damaged_list_of_late_sensors_is_made_again(stores: Stores, late: str) -> None:
    if not isinstance(stores.late_sensors, DynamoLateSensorStore):
        pytest.skip("needs a table")
    _put(stores.late_sensors, "#late", late={"S": late})

    assert stores.late_sensors.read() == {}
    stores.late_sensors.write(LATE)
    assert stores.late_sensors.read() == LATE
