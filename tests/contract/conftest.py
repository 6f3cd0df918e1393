"""Each port's contract runs on every backend: in memory, as `treadle dev` has it, on moto, on Amazon's DynamoDB engine."""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest
from moto import mock_aws
from moto.core.models import DEFAULT_ACCOUNT_ID
from moto.s3.models import s3_backends

from tests.support.dev_stores import worker_stores
from tests.support.moto_partiql import execute_batches
from tests.support.moto_responses import find_names_once
from tests.support.moto_transactions import keep_tables_uncopied
from tests.support.tables import KeptTables, create_tables
from treadle.adapters import clients
from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.ports.assets import EventStore
from treadle.ports.backfills import BackfillStore
from treadle.ports.batches import BatchStore
from treadle.ports.deliveries import DeliveryStore
from treadle.ports.engine_state import EngineStore, LateSensorStore
from treadle.ports.partitions import PartitionStore
from treadle.ports.pools import PoolStore
from treadle.ports.registry import RegistryStore
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.system import BlobStore
from treadle.ports.ticks import TickStore
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.stores import InMemoryStores

OUTCOMES = "treadle-outcomes-bucket"

AT_THE_SAME_TIME = pytest.mark.parametrize("stores", ["memory", "dynamodb-local"], indirect=True)
"""Marks a test whose threads write at the same time: not on moto, which checks a condition and writes in two steps."""


@dataclass(frozen=True)
class Stores:
    """One deployment's stores, whatever they rest on."""

    sensors: SensorStore
    ticks: TickStore
    runs: RunStore
    events: EventStore
    partitions: PartitionStore
    blobs: BlobStore
    registry: RegistryStore
    engine: EngineStore
    late_sensors: LateSensorStore
    backfills: BackfillStore
    pools: PoolStore
    deliveries: DeliveryStore
    batches: BatchStore


@pytest.fixture(scope="session")
def kept_tables(dynamodb_local: str) -> Iterator[KeptTables]:
    made = KeptTables(dynamodb_local)
    yield made
    made.close()


@pytest.fixture(params=["memory", "dev", "moto", "dynamodb-local"])
def stores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Stores]:
    if request.param == "memory":
        yield _in_memory()
    elif request.param == "dev":
        with worker_stores(InMemoryStores()) as made:
            yield _of(made, made.blobs)
    elif request.param == "moto":
        keep_tables_uncopied()
        execute_batches()
        find_names_once()
        with mock_aws():
            yield _on_dynamodb(create_tables(), s3_blobs())
            clients.forget()
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue("dynamodb_local"))
        yield _on_dynamodb(request.getfixturevalue("kept_tables").empty(), InMemoryBlobStore())


def s3_blobs() -> S3BlobStore:
    """Stores in a new bucket of moto, which is created without a request: that would take as long as many tests."""
    clients.forget()
    s3_backends[DEFAULT_ACCOUNT_ID]["aws"].create_bucket(OUTCOMES, os.environ["AWS_DEFAULT_REGION"])
    return S3BlobStore(OUTCOMES)


def _in_memory() -> Stores:
    return _of(InMemoryStores(), InMemoryBlobStore())


def _on_dynamodb(tables: TableNames, blobs: BlobStore) -> Stores:
    return _of(DynamoStores(tables, RandomTokens(), blobs), blobs)


def _of(stores: Any, blobs: BlobStore) -> Stores:
    return Stores(
        stores.sensors,
        stores.ticks,
        stores.runs,
        stores.events,
        stores.partitions,
        blobs,
        stores.registry,
        stores.engine,
        stores.late_sensors,
        stores.backfills,
        stores.pools,
        stores.deliveries,
        stores.batches,
    )
