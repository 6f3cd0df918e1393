"""What is recorded of the items of batches, for a rehearsal: their manifest, and the runs and assets that it names."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import islice

from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.bounds import counted
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import from_millis
from treadle.definitions.status import FINISHED_STATUSES, DagsterRunStatus, TickStatus
from treadle.engine.assembly import Stores
from treadle.engine.assets.asset_events import materialized
from treadle.engine.instance.views import dagster_run
from treadle.engine.publish.publisher import statuses_reached
from treadle.engine.rehearsal.recorded import RecordedBatch, is_of_batch
from treadle.model.batches import Manifest, batch_run_key, digest_of
from treadle.model.deployment import BATCH_KINDS, DeployedSensor
from treadle.model.records import each_readable
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run
from treadle.model.ticks import Tick

MOST_SEARCHED = 10_000
"""The maximum number of runs of a job, or of materializations of an asset, among which items are searched."""

BEFORE_MS = 86_400_000
"""A run whose status was accepted for a batch has changed at most so long before; one in progress was created since."""

_NOT_FINISHED = frozenset(DagsterRunStatus) - FINISHED_STATUSES

_DELETED = "the content of its items is not recorded: it is deleted once their batch is committed"
_FAILED = "it failed, and which items it had is not recorded: they waited for a later batch"
_SET_ASIDE = "it set an item aside, at which the function failed"

Event = RunStatusEvent | AssetMaterialized


def run_events(runs: Iterable[Run], namespace: str) -> Iterator[RunStatusEvent]:
    """Yield the events of all statuses that runs have reached.

    Args:
        runs: the records.
        namespace: the engine's.
    """
    for run in runs:
        author_run = dagster_run(run, namespace)
        for each in statuses_reached(run):
            time = from_millis(each.time)
            yield RunStatusEvent(author_run, each.status, time, each.attempt, each.retry, 0, each.will_retry)


class RecordedBatches:
    """Reads the items of a sensor's batches, as far as they are recorded.

    The content of an item is deleted once its batch is committed. A run and a materialization are still recorded, and the
    manifest has the digests of their identities.

    Args:
        stores: the deployment's.
        namespace: the engine's, as `account/region/namespace`.
    """

    def __init__(self, stores: Stores, namespace: str) -> None:
        self._stores = stores
        self._namespace = namespace

    def of(self, sensor: DeployedSensor, ticks: Sequence[Tick]) -> dict[str, RecordedBatch | str]:
        """Return the batches of those of the ticks that evaluated one, or why it cannot be rehearsed, by the ticks' ids.

        Raises:
            StoreError: if a store did not answer.
        """
        found: dict[str, RecordedBatch | str] = {}
        manifests: dict[str, Manifest] = {}
        for tick in ticks if sensor.kind in BATCH_KINDS else ():
            if not is_of_batch(tick):
                continue
            if tick.status is TickStatus.FAILURE:
                found[tick.tick_id] = _FAILED
            elif sensor.kind not in {"run_status", "asset"}:
                found[tick.tick_id] = _DELETED
            elif (manifest := self._stores.batches.manifest(sensor.name, tick.tick_id)) is not None:
                manifests[tick.tick_id] = manifest
        events = self._events(sensor, manifests.values())
        return found | {tick_id: _batch(manifest, events) for tick_id, manifest in manifests.items()}

    def _events(self, sensor: DeployedSensor, manifests: Collection[Manifest]) -> dict[str, Event]:
        """Return the events of items by the digests of their identities, as far as they are found."""
        wanted = {each.key for manifest in manifests for each in manifest.members}
        found: dict[str, Event] = {}
        if not wanted:
            return found
        since = min(each.accepted_at for manifest in manifests for each in manifest.members) - BEFORE_MS
        for event in self._recorded(sensor, since):
            key = digest_of(event.item_identity)
            if key in wanted:
                found[key] = event
                if len(found) == len(wanted):
                    break
        return found

    def _recorded(self, sensor: DeployedSensor, since: int) -> Iterator[Event]:
        subscription = sensor.subscription
        if sensor.kind == "asset":
            for asset in subscription.assets if subscription else ():
                newest_first = self._stores.events.between(asset, 0, ascending=False)
                yield from each_readable(materialized, islice(newest_first, MOST_SEARCHED))
        elif sensor.kind == "run_status":
            watched = subscription.jobs if subscription else ()
            for job in watched or self._stores.registry.read().jobs:
                ended = RunQuery(
                    job=job,
                    statuses=FINISHED_STATUSES,
                    updated=(since, None),
                    by_update=True,
                    limit=MOST_SEARCHED,
                )
                others = RunQuery(job=job, statuses=_NOT_FINISHED, created=(since, None), limit=MOST_SEARCHED)
                for query in (ended, others):
                    yield from run_events(self._stores.runs.find(query), self._namespace)


def _batch(manifest: Manifest, events: Mapping[str, Event]) -> RecordedBatch | str:
    if manifest.set_aside:
        return _SET_ASIDE
    items = tuple(events[each.key] for each in manifest.members if each.key in events)
    missing = len(manifest.members) - len(items)
    if missing:
        of = f"{missing:,} of " if items else ""
        return f"{of}its {counted(len(manifest.members), 'item')} cannot be found any more"
    return RecordedBatch(manifest.by, batch_run_key(manifest.members), items)
