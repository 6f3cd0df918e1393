"""Engine-wide records in DynamoDB: two items of the sensors table."""

import logging
from collections.abc import Mapping
from dataclasses import asdict

from treadle.adapters.dynamodb.database import Database, Item, Table
from treadle.adapters.dynamodb.models import EngineModel, LateSensorsModel, whole
from treadle.definitions.errors import UnreadableRecordError
from treadle.model.engine_state import EngineRecord, LateSensor
from treadle.model.records import integer, reader, text

logger = logging.getLogger(__name__)

ENGINE = "#engine"
LATE = "#late"
"""Keys of the two items. Evaluators may read the first."""


class DynamoEngineStore:
    """An `EngineStore` in the sensors table."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def read(self) -> EngineRecord | None:
        """Return which engine uses the tables."""
        item = self._database.get(self._table, ENGINE)
        return None if item is None else _read_engine(item)

    def write(self, record: EngineRecord) -> None:
        """Store the record in one write."""
        item = EngineModel(sensor=ENGINE, engine_id=record.engine_id, seen_at=record.seen_at).serialize()
        self._database.put(self._table, (ENGINE,), item)


class DynamoLateSensorStore:
    """A `LateSensorStore` in the sensors table."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def read(self) -> Mapping[str, LateSensor]:
        """Return the late sensors by name."""
        item = self._database.get(self._table, LATE)
        try:
            return {} if item is None else _read_late(item)
        except UnreadableRecordError:
            logger.exception("The record of late sensors cannot be read and is written again")
            return {}

    def write(self, late: Mapping[str, LateSensor]) -> None:
        """Store these in one write."""
        item = LateSensorsModel(sensor=LATE, late=[asdict(each) for each in late.values()]).serialize()
        self._database.put(self._table, (LATE,), item)


def _engine_of(item: Item) -> EngineRecord:
    model = EngineModel.from_raw_data(item)
    return EngineRecord(text(model.engine_id), integer(whole(model.seen_at)))


def _late_of(item: Item) -> Mapping[str, LateSensor]:
    found = [_late(**each) for each in LateSensorsModel.from_raw_data(item).late]
    return {each.name: each for each in found}


def _late(name: object, project: object, since: object) -> LateSensor:
    return LateSensor(text(name), text(project), integer(since))


_read_engine = reader(_engine_of, lambda _: "the engine")
_read_late = reader(_late_of, lambda _: "the late sensors")
