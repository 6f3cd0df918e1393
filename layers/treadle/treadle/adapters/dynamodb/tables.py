"""The four stores over one client."""

from dataclasses import dataclass

from treadle.adapters.dynamodb.assets import DynamoEventStore
from treadle.adapters.dynamodb.database import Database, Table
from treadle.adapters.dynamodb.outcomes import Outcomes
from treadle.adapters.dynamodb.runs import DynamoRunStore
from treadle.adapters.dynamodb.sensors import DynamoSensorStore
from treadle.adapters.dynamodb.ticks import DynamoTickStore
from treadle.ports.system import BlobStore, Tokens


@dataclass(frozen=True, slots=True)
class TableNames:
    """The tables' names, as deployed."""

    sensors: str
    ticks: str
    runs: str
    events: str


@dataclass(frozen=True, slots=True)
class DynamoStores:
    """All stores of a deployment."""

    sensors: DynamoSensorStore
    ticks: DynamoTickStore
    runs: DynamoRunStore
    events: DynamoEventStore

    @classmethod
    def of(cls, names: TableNames, tokens: Tokens, blobs: BlobStore | None = None) -> "DynamoStores":
        """The stores on the named tables, over one client.

        Args:
            names: of the tables.
            tokens: names transactions.
            blobs: takes what is too large for a tick record; without it, such ticks are neither kept nor read.
        """
        sensors = Table(names.sensors, "sensor")
        ticks = Table(names.ticks, "sensor", "tick_id", indexes=(("pending", "pending", "pending_since"),))
        runs = Table(
            names.runs,
            "run_id",
            indexes=(
                ("by_job", "job", "created_at"),
                ("by_job_end", "job_ended", "updated_at"),
                ("by_sensor", "sensor", "created_at"),
                ("watched", "watch", "next_at"),
            ),
        )
        events = Table(names.events, "asset_key", "item")
        database = Database((sensors, ticks, runs, events))
        outcomes = Outcomes(blobs)
        return cls(
            DynamoSensorStore(database, sensors, ticks, outcomes),
            DynamoTickStore(database, ticks, outcomes),
            DynamoRunStore(database, runs),
            DynamoEventStore(database, events, tokens),
        )
