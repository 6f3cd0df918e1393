"""The engine's copy of the registry in DynamoDB: one item of the sensors table."""

import json
import logging
import zlib
from typing import Any

from treadle.adapters.dynamodb.database import Database, Item, Table
from treadle.adapters.dynamodb.models import RegistryModel as Model
from treadle.adapters.dynamodb.models import whole
from treadle.adapters.targets.registry import KINDS
from treadle.definitions.errors import UnreadableRecordError
from treadle.model.records import integer, reader, text
from treadle.model.registry import KeptEntry, Registry, RegistryCopy

logger = logging.getLogger(__name__)

KEY = "#registry"
"""The item's key."""

_NAME = "the copy of the registry"


class DynamoRegistryStore:
    """A `RegistryStore` in the sensors table."""

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def read(self) -> Registry:
        """Read the copy strongly."""
        item = self._database.get(self._table, KEY)
        return Registry() if item is None else _read_copy(item).registry(KINDS)

    def copy(self) -> RegistryCopy:
        """Read the stored copy strongly; a damaged one is to be rebuilt."""
        item = self._database.get(self._table, KEY)
        if item is None:
            return RegistryCopy()
        try:
            return _read_copy(item)
        except UnreadableRecordError:
            logger.exception("The copy of the registry cannot be read and is built again")
            return RegistryCopy(revision=_read_revision(item))

    def replace(self, copy: RegistryCopy) -> bool:
        """Store the copy in one write, conditional on the revision that was read."""
        condition = Model.revision == copy.revision if copy.revision else Model.revision.does_not_exist()
        item = Model(sensor=KEY, registry=_packed(copy), revision=copy.revision + 1).serialize()
        return self._database.put(self._table, (KEY,), item, condition) is None


def _packed(copy: RegistryCopy) -> bytes:
    entries = {
        path: [kept.text, kept.read_at, kept.problem, kept.is_missing, kept.changed_at]
        for path, kept in sorted(copy.entries.items())
    }
    body = {"engine": copy.engine, "entries": entries, "listed_at": copy.listed_at}
    return zlib.compress(json.dumps(body, separators=(",", ":")).encode())


def _copy_of(item: Item) -> RegistryCopy:
    body = json.loads(zlib.decompress(Model.from_raw_data(item).registry))
    entries = {text(path): _kept(*values) for path, values in body["entries"].items()}
    return RegistryCopy(text(body["engine"]), entries, integer(body["listed_at"]), _revision(item))


def _kept(
    value: object, read_at: object, problem: object, is_missing: object, changed_at: object = 0
) -> KeptEntry:
    return KeptEntry(text(value), integer(read_at), text(problem), bool(is_missing), integer(changed_at))


def _revision(item: Item) -> int:
    return whole(Model.from_raw_data(item).revision) or 0


def _name(_: dict[str, Any]) -> str:
    return _NAME


_read_copy = reader(_copy_of, _name)
_read_revision = reader(_revision, _name)
