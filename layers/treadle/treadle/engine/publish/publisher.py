"""PUBLISH: publishes runs' status changes on the bus, and numbers the completed runs of each job."""

from collections.abc import Collection, Mapping, Sequence

from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import UnknownEventError
from treadle.definitions.runs import depth_of
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import MAX_POSITIONS, BackfillRequest
from treadle.engine.publish.bus_events import RunStatusChange, published_tags, run_status_changed
from treadle.engine.record.run_state import ASSUMED
from treadle.model.assets import AssetEvent, ended_runs_key
from treadle.model.backfills import backfill_of
from treadle.model.runs import Reached, Run, pool_changes
from treadle.ports.assets import EventStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Bus


def statuses_reached(run: Run, before: Reached | None = None) -> list[RunStatusChange]:
    """Return the statuses that a record has and an earlier version did not, in order.

    A status that Treadle inferred and that is reported later is returned once.

    Args:
        run: the record.
        before: the statuses of the earlier version; None if there was none.
    """
    known = {(place, _plain(name)) for place, times in (before or {}).items() for name in times}
    fresh: dict[tuple[int, int, int, str], RunStatusChange] = {}
    for place, times in run.reached.items():
        attempt, retry = map(int, place.split("/"))
        for name, time in times.items():
            status = Status(_plain(name))
            key = (attempt, retry, status.rank, status.value)
            if (place, status.value) not in known and (key not in fresh or time < fresh[key].time):
                fresh[key] = RunStatusChange(run, attempt, retry, status, time)
    return [fresh[key] for key in sorted(fresh)]


def backfill_requests(changes: Collection[RunStatusChange]) -> list[BackfillRequest]:
    """Return the requests to advance the backfills whose runs have ended, a few for each."""
    ended: dict[str, dict[int, None]] = {}
    for each in changes:
        found = backfill_of(each.run) if each.status.is_finished else None
        if found is not None:
            ended.setdefault(found[0], {})[found[1]] = None
    return [
        BackfillRequest(name, tuple(positions)[first : first + MAX_POSITIONS])
        for name, positions in ended.items()
        for first in range(0, len(positions), MAX_POSITIONS)
    ]


def changed_pools(before: Run | None, after: Run) -> tuple[list[str], list[str]]:
    """Return the keys of pools whose slots a run has returned, and of those whose queue it has joined."""
    changed = pool_changes(before, after)
    return [slot.pool for slot, _ in changed.freed], [changed.parked.pool] if changed.parked else []


def _plain(name: str) -> str:
    return name.removesuffix(ASSUMED)


class Publisher:
    """Publishes status changes of runs.

    Args:
        runs: stores run records.
        events: numbers the completed runs of each job, in the order in which they are published.
        bus: the bus.
        namespace: the engine's, as `account/region/namespace`.
        only_ends: True to publish no status that is not an end.
    """

    def __init__(
        self, runs: RunStore, events: EventStore, bus: Bus, namespace: str, *, only_ends: bool = False
    ) -> None:
        self._runs = runs
        self._events = events
        self._bus = bus
        self._namespace = namespace
        self._only_ends = only_ends

    def publish(self, changes: Sequence[RunStatusChange]) -> int:
        """Publish each status, at least once; a final one is numbered before, exactly once.

        Returns:
            How many were published.

        Raises:
            StoreError: if the store or the bus did not answer; it is safe to retry.
        """
        changes = [each for each in changes if each.status.is_finished or not self._only_ends]
        ends = [each for each in changes if each.status.is_finished and not each.will_retry]
        numbered = self._events.append([_numbered(each) for each in ends])
        numbers = {event.event_id: event.storage_id for event in numbered}
        self._bus.publish(
            [run_status_changed(each, self._namespace, numbers.get(each.event_id, 0)) for each in changes]
        )
        return len(changes)

    def publish_again(self, run_id: str, event_ids: Collection[str] | None = None) -> tuple[Run, int]:
        """Publish statuses of a run again; return its record, and how many.

        Args:
            run_id: the run's id.
            event_ids: which statuses; those that the record does not have are skipped. None for all.

        Raises:
            UnknownEventError: if there is no such run.
            StoreError: if a store or the bus did not answer.
        """
        run = self._runs.get(run_id)
        if run is None:
            raise UnknownEventError(f"There is no run {run_id} to publish.")
        changes = [each for each in statuses_reached(run) if event_ids is None or each.event_id in event_ids]
        return run, self.publish(changes)


def _numbered(reached: RunStatusChange) -> AssetEvent:
    run = reached.run
    body: Mapping[str, object] = {
        "run_id": run.run_id,
        "partition_key": run.partition_key,
        "tags": published_tags(run.tags),
        "depth": depth_of(run.tags),
    }
    return AssetEvent(
        ended_runs_key(run.job), reached.event_id, reached.status.value, reached.time, canonical_json(body)
    )
