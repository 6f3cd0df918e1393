"""A deployment's stores as evaluations read them: without what was recorded after the tick that is rehearsed."""

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from treadle.engine.rehearsal.unrecorded import Unrecorded, UnrecordedObject
from treadle.model.assets import AssetEvent
from treadle.model.run_queries import RunQuery
from treadle.model.runs import KeyState, Run
from treadle.ports.assets import AT_ONCE

if TYPE_CHECKING:
    from treadle.engine.assembly import Stores
    from treadle.ports.assets import EventStore
    from treadle.ports.partitions import PartitionStore
    from treadle.ports.runs import RunStore


class PastStores:
    """The stores that evaluations read; nothing can be written.

    A run that exists already is returned as it is recorded now.

    Args:
        stores: the deployment's; None if only ticks are at hand, and then reading anything else fails.
        unrecorded: notes what else is read.

    Attributes:
        blobs: the addresses of payloads; nothing is stored.
        at: the time of the tick, in milliseconds; a run that was not created before, and an event
            that happened later, do not exist.
        is_taken: returns whether the run key of a run, given by its id, was taken at that time.
    """

    def __init__(self, stores: "Stores | None", unrecorded: Unrecorded) -> None:
        self.at = 0
        self.is_taken: Callable[[str], bool] = lambda _run_id: False
        none = UnrecordedObject(unrecorded, "what the evaluation reads of the deployment")
        runs, events, partitions = (
            (
                UnrecordedObject(unrecorded, "what the evaluation reads of runs"),
                UnrecordedObject(unrecorded, "what the evaluation reads of assets and of ended runs"),
                UnrecordedObject(unrecorded, "what the evaluation reads of dynamic partitions"),
            )
            if stores is None
            else (stores.runs, stores.events, stores.partitions)
        )
        self.runs = cast("RunStore", _PastRuns(self, cast("RunStore", runs)))
        self.events = cast("EventStore", _PastEvents(self, cast("EventStore", events)))
        self.partitions = cast("PartitionStore", _PastPartitions(cast("PartitionStore", partitions)))
        self.blobs = cast("Any", none)
        self.sensors = self.ticks = self.pools = self.backfills = self.deliveries = self.batches = cast(
            "Any", none
        )
        self.registry = self.engine = self.late_sensors = cast("Any", none)


class _PastRuns:
    def __init__(self, past: PastStores, runs: "RunStore") -> None:
        self._past = past
        self._runs = runs

    def get(self, run_id: str) -> Run | None:
        run = self._runs.get(run_id)
        return run if run is not None and run.created_at < self._past.at else None

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        found = self._runs.get_many(run_ids)
        return {run_id: run for run_id, run in found.items() if run.created_at < self._past.at}

    def find(self, query: RunQuery) -> list[Run]:
        after, before = query.created
        end = self._past.at
        return self._runs.find(replace(query, created=(after, end if before is None else min(before, end))))

    def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
        return {run_id: KeyState.TAKEN for run_id in requests if self._past.is_taken(run_id)}


class _PastEvents:
    def __init__(self, past: PastStores, events: "EventStore") -> None:
        self._past = past
        self._events = events

    def between(
        self,
        asset_key: str,
        after: int,
        before: int | None = None,
        *,
        ascending: bool = True,
        at_once: int = AT_ONCE,
    ) -> Iterator[AssetEvent]:
        found = self._events.between(asset_key, after, before, ascending=ascending, at_once=at_once)
        return (each for each in found if each.time <= self._past.at)

    def numbered(self, asset_key: str, numbers: Collection[int]) -> list[AssetEvent]:
        return [each for each in self._events.numbered(asset_key, numbers) if each.time <= self._past.at]

    def newest(self, asset_keys: Collection[str]) -> dict[str, AssetEvent]:
        newest = {key: next(self.between(key, 0, ascending=False), None) for key in asset_keys}
        return {key: event for key, event in newest.items() if event is not None}

    def after(self, asset_key: str, storage_id: int, limit: int) -> list[AssetEvent]:
        return [
            each for each in self._events.after(asset_key, storage_id, limit) if each.time <= self._past.at
        ]

    def number_before(self, asset_key: str, time: int) -> int:
        return self._events.number_before(asset_key, time)


class _PastPartitions:
    def __init__(self, partitions: "PartitionStore") -> None:
        self.partitions = partitions.partitions
        self.existing = partitions.existing
