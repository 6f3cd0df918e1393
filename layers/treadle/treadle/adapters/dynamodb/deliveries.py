"""What identifies accepted requests, in DynamoDB: an item of the ticks table for each identity."""

import hashlib

from treadle.adapters.dynamodb.database import Database, Item, Table, Write
from treadle.adapters.dynamodb.models import DeliveryModel as Model
from treadle.adapters.dynamodb.models import named, whole
from treadle.definitions.errors import StoreThrottledError
from treadle.definitions.webhook_verification import Identities
from treadle.model.records import integer, reader, text

REQUESTS = "#requests"
"""The end of the hash key of a sensor's accepted requests; no sensor has such a name."""

_KEY, _DELIVERY = "key/", "delivery/"
_TOKEN = 36


class DynamoDeliveryStore:
    """A `DeliveryStore` in a table.

    Args:
        database: the client.
        table: the ticks table.
    """

    def __init__(self, database: Database, table: Table) -> None:
        self._database = database
        self._table = table

    def accept(self, sensor: str, identities: Identities, at: int) -> int | None:
        """Put an item for each identity in one transaction, on the condition that neither exists."""
        key, absent = _digest(identities.key), Model.tick_id.does_not_exist()
        names = [f"{_KEY}{key}"]
        names += [f"{_DELIVERY}{_digest(identities.delivery)}"] if identities.delivery else []
        partition = f"{sensor}{REQUESTS}"
        values = {"accepted_at": {"N": str(at)}, "request_key": {"S": key}}
        writes = [
            Write(
                self._table,
                (partition, name),
                {"sensor": {"S": partition}, "tick_id": {"S": name}, **values},
                condition=absent,
            )
            for name in names
        ]
        # Tokens are those of an account: another engine has other tables.
        token = _digest(f"{self._table.name} {partition} {' '.join(names)} {at}")[:_TOKEN]
        if self._database.transact(writes, token) is None:
            return at
        found = self._read(partition, names)
        delivery = found.get(names[1]) if len(names) > 1 else None
        if delivery is not None and delivery[1] != key:
            return None
        if names[0] in found:
            return found[names[0]][0]
        # Items are never deleted, so this is an answer of another replica; the sender tries again.
        msg = (
            f"The identity of a request to sensor {sensor} was written, and could not be read. Send it again."
        )
        raise StoreThrottledError(msg)

    def accepted_at(self, sensor: str, identities: Identities) -> int | None:
        """Read the item of the key strongly."""
        name = f"{_KEY}{_digest(identities.key)}"
        found = self._read(f"{sensor}{REQUESTS}", [name]).get(name)
        return None if found is None else found[0]

    def _read(self, partition: str, names: list[str]) -> dict[str, tuple[int, str]]:
        keys = [(partition, name) for name in names]
        return dict(map(_accepted, self._database.batch_get(self._table, keys, strongly=True)))


def _digest(value: str) -> str:
    return hashlib.sha256(value.encode()).hexdigest()


def _read_accepted(item: Item) -> tuple[str, tuple[int, str]]:
    model = Model.from_raw_data(item)
    return model.tick_id, (integer(whole(model.accepted_at) or 0), text(model.request_key))


_accepted = reader(_read_accepted, named("the request of sensor", "sensor", "tick_id"))
