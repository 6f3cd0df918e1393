"""DynamoDB's stores on moto, optionally with faults at each request."""

from typing import TYPE_CHECKING, Any

import boto3
from botocore.exceptions import ReadTimeoutError
from moto.dynamodb.models import dynamodb_backends
from pynamodb.exceptions import VerboseClientError

from tests.faults.backends import Backend
from tests.support.streams import as_record
from tests.support.tables import create_tables
from treadle.adapters.dynamodb.runs import _run
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.model.ticks import Tick
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.faults import Faults, faulty

if TYPE_CHECKING:
    from treadle.ports.system import BlobStore

ACCOUNT, REGION = "123456789012", "us-east-1"


class Tables:
    """Tables and clients, which take seconds to create, and are reused."""

    def __init__(self) -> None:
        self.names = create_tables()
        self.client = boto3.client("dynamodb")
        stores = DynamoStores(self.names, RandomTokens())
        stores.sensors.get("nobody")  # Makes its client.
        self.connection = stores.sensors._database._connection

    def clear(self) -> None:
        """Delete all items."""
        for name in (self.names.sensors, self.names.ticks, self.names.runs, self.names.events):
            dynamodb_backends[ACCOUNT][REGION].tables[name].items.clear()


def on_dynamodb(tables: Tables, faults: Faults, *, each_request: bool = False) -> Backend:
    """Return stores on empty tables.

    Args:
        tables: the tables, whose items are deleted.
        faults: injected at the blob store.
        each_request: whether they are injected at each request to DynamoDB, too.
    """
    tables.clear()
    names, client = tables.names, tables.client
    blobs: BlobStore = InMemoryBlobStore()
    stores = DynamoStores(names, RandomTokens(), faulty(blobs, "BlobStore", faults))
    database = stores.sensors._database
    database.sleep = lambda _: None
    database._connection = tables.connection
    if each_request:
        database._connection = faulty(
            tables.connection,
            "DynamoDB",
            faults,
            lost=_no_answer,
            throttled=_throttled,
            only={"dispatch", "query"},
        )

    def image(tick: Tick) -> dict[str, Any]:
        key = {"sensor": {"S": tick.sensor}, "tick_id": {"S": tick.tick_id}}
        item: Any = client.get_item(TableName=names.ticks, Key=key)["Item"]
        found: dict[str, Any] = as_record(item)["dynamodb"]["NewImage"]
        return found

    def items(table: str) -> list[Any]:
        # Read without the service, because it is called very often.
        return list(dynamodb_backends[ACCOUNT][REGION].tables[table].all_items())

    def is_anything_left() -> bool:
        return any("pending" in item.attrs for item in items(names.ticks)) or any(
            "next_at" in item.attrs for item in items(names.runs)
        )

    return Backend(
        stores,
        image,
        stores.ticks.read,
        lambda: [_run(item.to_json()["Attributes"]) for item in items(names.runs)],
        is_anything_left,
    )


def _no_answer(message: str) -> Exception:
    return ReadTimeoutError(endpoint_url=f"https://dynamodb: {message}")


def _throttled(message: str) -> Exception:
    answer: Any = {"Error": {"Code": "ThrottlingException", "Message": message}}
    return VerboseClientError(answer, "DynamoDB", {})
