"""What the items of simulated batches are: objects, run statuses, materializations or records of a stream."""

import base64
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from tests.faults.simulated_aws import object_created
from tests.support.engine import JOB, NAMESPACE
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.asset_sensor import asset_sensor
from treadle.definitions.assets import AssetMaterialization, AssetMaterialized
from treadle.definitions.item_batches import Batch
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.run_status import run_status_sensor
from treadle.definitions.runs import from_millis
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus
from treadle.definitions.stream_sensor import stream_sensor
from treadle.engine.identity import timestamp
from treadle.engine.publish.bus_events import RUN_STATUS_CHANGED, asset_recorded, envelope
from treadle.integrations.s3.definition import s3_sensor
from treadle.model.messages import BusEvent
from treadle.model.runs import Run
from treadle.testing.objects import InMemoryObjects
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import VirtualClock

SENSOR = "batched"
BUCKET = "incoming"
JOB_OF_SENSOR = JobDefinition(JOB)
ASSET = AssetKey("orders")
STREAM = "arn:aws:kinesis:us-east-1:123456789012:stream/orders"

Function = Callable[[Any], Any]


@dataclass(slots=True)
class Items(ABC):
    """The items of a kind of sensor.

    Attributes:
        clock: the time.
        stores: where runs are recorded.
        objects: the bucket.
        began_at: the time of the beginning.
    """

    clock: VirtualClock
    stores: InMemoryStores
    objects: InMemoryObjects
    began_at: int
    is_stream: ClassVar[bool] = False

    @abstractmethod
    def sensor(self, batch: Batch, function: Function) -> SensorDefinition:
        """Return the sensor."""

    @abstractmethod
    def key_of(self, item: Any) -> str:
        """Return the key of an item that the function gets."""

    @abstractmethod
    def identity(self, key: str) -> str:
        """Return what identifies an item in the ledger."""

    def happen(self, key: str) -> None:
        """Let it happen, before its event is sent."""
        del key

    @abstractmethod
    def event(self, key: str) -> Mapping[str, Any]:
        """Return its event: an EventBridge envelope, or a stream's record."""


class Objects(Items):
    """Objects of a bucket."""

    def sensor(self, batch: Batch, function: Function) -> SensorDefinition:
        """Return a sensor of the bucket."""
        made = s3_sensor(BUCKET, start_from="beginning", batch=batch, name=SENSOR, job=JOB_OF_SENSOR)(
            function
        )
        return made.with_lister(self.objects, self.clock.now, lambda: self.began_at)

    def key_of(self, item: Any) -> str:
        """Return the object's key."""
        return str(item.key)

    def identity(self, key: str) -> str:
        """Return the object's default run key."""
        return f"s3://{BUCKET}/{key}#{self._stored(key).etag}"

    def happen(self, key: str) -> None:
        """Store the object."""
        self.objects.put(BUCKET, key, key.encode())

    def event(self, key: str) -> Mapping[str, Any]:
        """Return the event that it was stored."""
        stored = self._stored(key)
        body: Any = object_created(key, int(stored.last_modified.timestamp() * 1000))
        body["detail"] |= {"bucket": {"name": BUCKET}}
        body["detail"]["object"] |= {"etag": stored.etag, "size": stored.size}
        return dict(body)

    def _stored(self, key: str) -> Any:
        stored = self.objects.find(BUCKET, key)
        assert stored is not None
        return stored


class RunStatuses(Items):
    """Runs that succeed."""

    def sensor(self, batch: Batch, function: Function) -> SensorDefinition:
        """Return a sensor of the runs' statuses."""
        decorate = run_status_sensor(DagsterRunStatus.SUCCESS, SENSOR, request_job=JOB_OF_SENSOR, batch=batch)
        return decorate(function).configured({"TREADLE_NAMESPACE": NAMESPACE})

    def key_of(self, item: Any) -> str:
        """Return what only the record of the run has, not its event."""
        return str(item.dagster_run.run_config["key"])

    def identity(self, key: str) -> str:
        """Return run, attempt, retry and status."""
        return f"run-{key}/1/0/SUCCESS"

    def happen(self, key: str) -> None:
        """Record the run."""
        config = f'{{"key":"{key}"}}'
        self.stores.runs.create(Run(f"run-{key}", "load", "loads", key, "t", config, {}, self.clock.now()))

    def event(self, key: str) -> Mapping[str, Any]:
        """Return the event that it succeeded."""
        detail = {
            "namespace": NAMESPACE,
            "run_id": f"run-{key}",
            "job": "load",
            "status": "SUCCESS",
            "attempt": 1,
            "retry": 0,
            "number": 1,
            "time": timestamp(self.clock.now()),
            "tags": {},
        }
        return envelope(BusEvent(RUN_STATUS_CHANGED, detail), NAMESPACE)


class Materializations(Items):
    """Materializations of an asset."""

    def sensor(self, batch: Batch, function: Function) -> SensorDefinition:
        """Return a sensor of the asset."""
        return asset_sensor(ASSET, batch=batch, name=SENSOR, job=JOB_OF_SENSOR)(function)

    def key_of(self, item: Any) -> str:
        """Return the partition."""
        return str(item.partition_key)

    def identity(self, key: str) -> str:
        """Return the asset and the id of the event."""
        return f"orders/id-{key}"

    def event(self, key: str) -> Mapping[str, Any]:
        """Return the event that a partition was updated."""
        made = AssetMaterialization(ASSET, partition=key)
        number = sum(map(ord, key))
        recorded = AssetMaterialized(
            made, f"id-{key}", number, from_millis(self.clock.now()), location=NAMESPACE
        )
        return envelope(asset_recorded(recorded, NAMESPACE), NAMESPACE)


class Records(Items):
    """Records of one shard of a stream, of which a key has those whose texts begin with the same letter."""

    is_stream = True

    def sensor(self, batch: Batch, function: Function) -> SensorDefinition:
        """Return a sensor of the stream."""
        return stream_sensor("orders", batch=batch, name=SENSOR, job=JOB_OF_SENSOR)(function)

    def key_of(self, item: Any) -> str:
        """Return the data."""
        return str(item.text)

    def identity(self, key: str) -> str:
        """Return the stream's ARN and the record's id."""
        return f"{STREAM}/shardId-0:{_number(key)}"

    def event(self, key: str) -> Mapping[str, Any]:
        """Return the record."""
        return {
            "kinesis": {
                "partitionKey": key[0],
                "sequenceNumber": _number(key),
                "data": base64.b64encode(key.encode()).decode(),
                "approximateArrivalTimestamp": self.clock.now() / 1000,
            },
            "eventSource": "aws:kinesis",
            "eventID": f"shardId-0:{_number(key)}",
            "eventSourceARN": STREAM,
        }


def _number(key: str) -> str:
    return str(int.from_bytes(key.encode(), "big"))


ITEMS: Mapping[str, type[Items]] = {
    "s3": Objects,
    "run_status": RunStatuses,
    "asset": Materializations,
    "stream": Records,
}
"""By the kind of their sensor."""
