"""All stores over one client."""

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from treadle.adapters.dynamodb.database import Database, Table
from treadle.adapters.dynamodb.outcomes import Outcomes
from treadle.adapters.dynamodb.sensors import DynamoSensorStore
from treadle.adapters.dynamodb.ticks import DynamoTickStore
from treadle.definitions.errors import StoreError
from treadle.ports.system import BlobStore, IdGenerator

if TYPE_CHECKING:
    from treadle.adapters.dynamodb.assets import DynamoEventStore
    from treadle.adapters.dynamodb.backfills import DynamoBackfillStore
    from treadle.adapters.dynamodb.batches import DynamoBatchStore
    from treadle.adapters.dynamodb.deliveries import DynamoDeliveryStore
    from treadle.adapters.dynamodb.engine_state import DynamoEngineStore, DynamoLateSensorStore
    from treadle.adapters.dynamodb.partitions import DynamoPartitionStore
    from treadle.adapters.dynamodb.pools import DynamoPoolStore
    from treadle.adapters.dynamodb.registry import DynamoRegistryStore
    from treadle.adapters.dynamodb.runs import DynamoRunStore


@dataclass(frozen=True, slots=True)
class TableNames:
    """The tables' names, as deployed."""

    sensors: str
    ticks: str
    runs: str
    events: str


class DynamoStores:
    """All stores of a deployment, over one client; all but sensors and ticks are imported on first use.

    Args:
        names: the tables' names.
        tokens: creates transaction tokens.
        blobs: stores payloads too large for a record; without it, such ticks cannot be stored or read.
    """

    def __init__(self, names: TableNames, tokens: IdGenerator, blobs: BlobStore | None = None) -> None:
        sensors = Table(names.sensors, "sensor")
        ticks = Table(names.ticks, "sensor", "tick_id", indexes=(("pending", "pending", "pending_since"),))
        self._runs = Table(
            names.runs,
            "run_id",
            indexes=(
                ("by_job", "job", "created_at"),
                ("by_job_end", "job_ended", "updated_at"),
                ("by_sensor", "sensor", "created_at"),
                ("watched", "watch", "next_at"),
            ),
        )
        self._ticks = ticks
        self._events = Table(names.events, "asset_key", "item")
        self._sensors = sensors
        self._database = Database((sensors, ticks, self._runs, self._events))
        self._tokens = tokens
        self._blobs = blobs
        self._outcomes = Outcomes(blobs)
        self.sensors = DynamoSensorStore(self._database, sensors, ticks, self._outcomes)
        self.ticks = DynamoTickStore(self._database, ticks, self._outcomes)

    def create_client(self) -> None:
        """Create the client now, and not for the first request."""
        self._database.create_client()

    @property
    def blobs(self) -> BlobStore:
        """Return the store of payloads."""
        if self._blobs is None:
            msg = "This function was built without a store of payloads."
            raise StoreError(msg)
        return self._blobs

    @cached_property
    def runs(self) -> "DynamoRunStore":
        """Return the store of runs."""
        from treadle.adapters.dynamodb.runs import DynamoRunStore

        return DynamoRunStore(self._database, self._runs, self._events, self._tokens)

    @cached_property
    def partitions(self) -> "DynamoPartitionStore":
        """Return the store of dynamic partitions."""
        from treadle.adapters.dynamodb.partitions import DynamoPartitionStore

        return DynamoPartitionStore(self._database, self._events)

    @cached_property
    def pools(self) -> "DynamoPoolStore":
        """Return the store of concurrency pools."""
        from treadle.adapters.dynamodb.pools import DynamoPoolStore

        return DynamoPoolStore(self._database, self._events)

    @cached_property
    def deliveries(self) -> "DynamoDeliveryStore":
        """Return the store of accepted requests."""
        from treadle.adapters.dynamodb.deliveries import DynamoDeliveryStore

        return DynamoDeliveryStore(self._database, self._ticks)

    @cached_property
    def batches(self) -> "DynamoBatchStore":
        """Return the store of batches."""
        from treadle.adapters.dynamodb.batches import DynamoBatchStore

        return DynamoBatchStore(self._database, self._ticks, self._tokens, self._outcomes)

    @cached_property
    def backfills(self) -> "DynamoBackfillStore":
        """Return the store of backfills."""
        from treadle.adapters.dynamodb.backfills import DynamoBackfillStore

        return DynamoBackfillStore(self._database, self._runs)

    @cached_property
    def registry(self) -> "DynamoRegistryStore":
        """Return the store of the registry's copy."""
        from treadle.adapters.dynamodb.registry import DynamoRegistryStore

        return DynamoRegistryStore(self._database, self._sensors)

    @cached_property
    def engine(self) -> "DynamoEngineStore":
        """Return the store of the engine's record."""
        from treadle.adapters.dynamodb.engine_state import DynamoEngineStore

        return DynamoEngineStore(self._database, self._sensors)

    @cached_property
    def late_sensors(self) -> "DynamoLateSensorStore":
        """Return the store of late sensors."""
        from treadle.adapters.dynamodb.engine_state import DynamoLateSensorStore

        return DynamoLateSensorStore(self._database, self._sensors)

    @cached_property
    def events(self) -> "DynamoEventStore":
        """Return the store of events of assets and of completed runs."""
        from treadle.adapters.dynamodb.assets import DynamoEventStore

        return DynamoEventStore(self._database, self._events, self._tokens)
