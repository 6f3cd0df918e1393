"""The shared state of the stores in memory."""

import threading
from dataclasses import dataclass, field

from treadle.definitions.errors import UnreadableRecordError
from treadle.model.assets import AssetEvent
from treadle.model.backfills import Backfill, BackfillPartition
from treadle.model.batches import BatchItem, BatchState, LedgerEntry, Manifest, Member
from treadle.model.engine_state import EngineRecord, LateSensor
from treadle.model.loops import LoopHold
from treadle.model.partitions import ChangeTime
from treadle.model.pools import Holder, PoolState
from treadle.model.registry import RegistryCopy
from treadle.model.runs import PollCheckpoint, Run
from treadle.model.sensors import (
    RecordedEdit,
    SensorState,
)
from treadle.model.ticks import (
    Tick,
)


@dataclass(slots=True)
class InMemoryTables:
    """The shared state of the stores of one deployment.

    Attributes:
        sensors: by name.
        before_leases: each sensor's state before its last lease.
        edits: by sensor, newest first.
        ticks: by sensor and tick id.
        runs: by run id.
        events: by asset key, in order.
        partitions: when each key of dynamic partitions was changed, by set and key, and its place among those added;
            None for a deleted one.
        backfills: by name.
        backfill_partitions: the partitions of each backfill, by its name.
        pools: the declared concurrency pools, by name.
        slots: the slots that are held, by the pool's key.
        waiters: the runs that wait for a slot, by the pool's key and their place.
        latest: the age of the newest run that was kept in a queue or started, by the pool's key.
        queues: the tokens of the notes of queues, by the pool's key.
        turns: the turn that was granted last, by the pool's key.
        pending_since: when deferred pending ticks are due again.
        poll_checkpoints: the poll checkpoint of each observed job.
        unreadable: why a record cannot be read, by its key; set by tests.
        marked: when ticks and runs marked as unreadable are due again, by their keys.
        admitted: runs counted against each sensor's limit, by sensor and hour.
        loop_holds: whether sensors are held as loops, by name.
        blobs: values that are too large for a record, by key.
        deliveries: when a request was accepted and its key, by sensor and by "key" or "delivery" with that identity.
        ledger: the items that were accepted, by sensor and key.
        waiting: the items that wait for a batch, by sensor and the key of their value of `Batch.by`.
        batches: the states of batches, by the same.
        manifests: what committed batches contain, by sensor and tick id.
        registry: the engine's copy of the registry.
        engine: the engine that owns the tables.
        late: the sensors reported as late.
        lock: held while a write checks its condition.
    """

    sensors: dict[str, SensorState] = field(default_factory=dict)
    before_leases: dict[str, SensorState] = field(default_factory=dict)
    edits: dict[str, list[RecordedEdit]] = field(default_factory=dict)
    ticks: dict[tuple[str, str], Tick] = field(default_factory=dict)
    runs: dict[str, Run] = field(default_factory=dict)
    events: dict[str, list[AssetEvent]] = field(default_factory=dict)
    partitions: dict[str, dict[str, tuple[ChangeTime, tuple[int, int] | None]]] = field(default_factory=dict)
    backfills: dict[str, Backfill] = field(default_factory=dict)
    backfill_partitions: dict[str, tuple[BackfillPartition, ...]] = field(default_factory=dict)
    pools: dict[str, PoolState] = field(default_factory=dict)
    slots: dict[str, set[Holder]] = field(default_factory=dict)
    waiters: dict[str, dict[str, str]] = field(default_factory=dict)
    latest: dict[str, str] = field(default_factory=dict)
    queues: dict[str, str] = field(default_factory=dict)
    turns: dict[str, str] = field(default_factory=dict)
    pending_since: dict[tuple[str, str], int] = field(default_factory=dict)
    poll_checkpoints: dict[str, PollCheckpoint] = field(default_factory=dict)
    unreadable: dict[tuple[str, ...], str] = field(default_factory=dict)
    marked: dict[tuple[str, ...], int] = field(default_factory=dict)
    admitted: dict[tuple[str, int], int] = field(default_factory=dict)
    loop_holds: dict[str, LoopHold] = field(default_factory=dict)
    blobs: dict[str, bytes] = field(default_factory=dict)
    deliveries: dict[tuple[str, str, str], tuple[int, str]] = field(default_factory=dict)
    ledger: dict[tuple[str, str], LedgerEntry] = field(default_factory=dict)
    waiting: dict[tuple[str, str], dict[Member, BatchItem]] = field(default_factory=dict)
    batches: dict[tuple[str, str], BatchState] = field(default_factory=dict)
    manifests: dict[tuple[str, str], Manifest] = field(default_factory=dict)
    registry: RegistryCopy = field(default_factory=RegistryCopy)
    engine: EngineRecord | None = None
    late: dict[str, LateSensor] = field(default_factory=dict)
    lock: threading.RLock = field(default_factory=threading.RLock)

    def check(self, *key: str) -> None:
        """Raise an error if a test has made a record unreadable.

        Raises:
            UnreadableRecordError: if it is unreadable.
        """
        if key in self.unreadable:
            is_noted = key in self.marked
            raise UnreadableRecordError(" ".join(key), self.unreadable[key], is_noted=is_noted)
