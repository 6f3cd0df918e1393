"""The result of evaluating one key now, for operators who want to know why an object got no run."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime

from treadle.adapters.notifications import merging_command
from treadle.definitions.errors import DagsterInvariantViolationError, InvocationError
from treadle.definitions.objects import ObjectCreated, ObjectIdentity, S3Object
from treadle.integrations.s3.lister import ObjectLister
from treadle.integrations.s3.selection import S3Selection
from treadle.integrations.s3.settling import check_event, check_group
from treadle.integrations.s3.sweep_cursor import SweepCursor, bounded, read_cursor
from treadle.integrations.s3.sweep_memory import OVERLAP_MS, modified_ms, seen_at
from treadle.model.objects import ObjectInspection
from treadle.ports.deployment import Deployment

NO_TIME = datetime.fromtimestamp(0, UTC)


def selections_of(deployment: Deployment) -> Callable[[str], S3Selection | None]:
    """Return a lookup of selections by sensor: as its function reports it, or else as it was deployed.

    Args:
        deployment: the sensors and their functions.
    """

    def selection_of(name: str) -> S3Selection | None:
        sensor = deployment.sensors()[name]
        try:
            described = deployment.invoke(name, {"treadle": "describe"}).get("selection")
        except InvocationError:
            watches = "TREADLE_S3_BUCKET" in sensor.settings
            return S3Selection().configured(sensor.settings) if watches else None
        return S3Selection.of_description(described) if isinstance(described, Mapping) else None

    return selection_of


class SelectedObjects:
    """An `ObjectLookup` that uses the sensors' own selections.

    Args:
        selection_of: returns a selection by sensor name; None for a sensor that watches no bucket.
        lister: reads keys and directories.
    """

    def __init__(self, selection_of: Callable[[str], S3Selection | None], lister: ObjectLister) -> None:
        self._selection_of = selection_of
        self._lister = lister

    def inspect(
        self, sensor: str, bucket: str, key: str, cursor: str | None, now: int
    ) -> ObjectInspection | None:
        """Return the sensor's view of a key."""
        selection = self._selection_of(sensor)
        if selection is None:
            return None
        named = S3Object(bucket, key, "", "null", 1, NO_TIME)
        if not selection.selects(named):
            return ObjectInspection(selection.summary, is_watched=False)
        stored = self._stored(selection, bucket, key)
        if stored is not None and selection.passes_over(stored):
            watched = f"{selection.summary} without the empty objects that mark folders"
            return ObjectInspection(watched, is_watched=False)
        swept = _swept(cursor, selection, now)
        key_of, place = self._grouped(stored or named, selection, now), selection.place(bucket, key)
        return ObjectInspection(
            selection.summary,
            is_watched=True,
            run_key=selection.run_key(key_of) if stored or _is_by_key(selection) else None,
            modified_at=modified_ms(stored) if stored else None,
            is_in_parts=stored is not None and stored.is_in_parts,
            waits=self._waits(stored, selection, swept, now) if stored else "",
            was_there_before=stored is not None and swept is not None and not swept.counts(stored, place),
            counts_since=swept.since if swept else None,
            round_started=swept.round_started if swept and swept.position else None,
            is_passed=swept is not None and bool(swept.position) and place <= swept.position,
            complete_round=swept.complete_round or None if swept else None,
            announces=self._lister.announces(bucket),
            remedy=merging_command(bucket),
        )

    def _grouped(self, stored: S3Object, selection: S3Selection, now: int) -> S3Object:
        """Return an object with its group, as its run key may depend on what the group has."""
        files = selection.files
        if files is None or (files.once and files.longest_wait is None):
            return stored
        group = check_group(stored.bucket, selection.group_of(stored.key), selection, self._lister)
        if not group.is_complete(files) and not group.is_overdue(files, now):
            return stored
        return replace(stored, group=group.shown(files))

    def _stored(self, selection: S3Selection, bucket: str, key: str) -> S3Object | None:
        if not selection.lists_versions:
            return self._lister.find(bucket, key)
        # Of all keys with this prefix, it is listed first, with its versions in the order of storing, the
        # last
        # one first. That is not the order of their times: an upload in parts has the time of its beginning.
        page = next(self._lister.pages(replace(selection, bucket=bucket, prefix=key), ""))
        return next((stored for stored in page.objects if stored.key == key), None)

    def _waits(self, stored: S3Object, selection: S3Selection, swept: SweepCursor | None, now: int) -> str:
        if selection.files:
            # The file that was stored last determines when the group has settled.
            newest = (
                check_group(stored.bucket, selection.group_of(stored.key), selection, self._lister).newest
                or stored
            )
            return self._waits_since(newest, newest.last_modified, selection, now)
        if not stored.is_in_parts or not selection.settle_seconds or selection.complete_when is not None:
            return self._waits_since(stored, stored.last_modified, selection, now)
        place = selection.place(stored.bucket, stored.key)
        first = seen_at((swept.waiting, swept.waited), stored, place) if swept else None
        if first is not None:
            return self._waits_since(stored, datetime.fromtimestamp(first, UTC), selection, now)
        if stored.last_modified.timestamp() + OVERLAP_MS / 1000 + selection.settle_seconds <= now / 1000:
            return ""
        return (
            f"it was uploaded in parts, and has the time at which that began: it counts when its event or a sweep "
            f"has seen it unchanged for {selection.settle_seconds} s"
        )

    def _waits_since(self, stored: S3Object, time: datetime, selection: S3Selection, now: int) -> str:
        return check_event(ObjectCreated(stored, time, ""), selection, self._lister, now).reason


def _is_by_key(selection: S3Selection) -> bool:
    """Return whether the run key is the same whatever is stored."""
    return selection.identity is ObjectIdentity.KEY or selection.files is not None


def _swept(cursor: str | None, selection: S3Selection, now: int) -> SweepCursor | None:
    """Return the sweep's cursor; None if it was never begun for this selection."""
    try:
        found = bounded(read_cursor(cursor, selection, now), now) if cursor else None
    except DagsterInvariantViolationError:
        return None
    return found if found and (found.round_started or found.complete_round) else None
