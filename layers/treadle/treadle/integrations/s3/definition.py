"""`@s3_sensor`: a sensor that requests one run per object, found by an event or a sweep."""

import re
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import replace
from datetime import datetime
from typing import TYPE_CHECKING, Any, Self, Unpack

from treadle.adapters.function import deployed_at
from treadle.adapters.notifications import silence, without_versioning
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvariantViolationError, InvalidResultError
from treadle.definitions.evaluation import check_mix, combine, flatten, with_job_name
from treadle.definitions.objects import ObjectCreated, ObjectIdentity, S3Object
from treadle.definitions.options import SensorOptions, check_options
from treadle.definitions.results import Measure, RunRequest, SensorExecutionData, SensorResult, SkipReason
from treadle.definitions.sensors import SensorDefinition, SensorEvent, SensorFunction
from treadle.integrations.s3.groups import FileCount, FileNames, Marker
from treadle.integrations.s3.lister import ObjectLister, S3Lister
from treadle.integrations.s3.one_by_one import evaluate_objects
from treadle.integrations.s3.patterns import KeyPattern
from treadle.integrations.s3.selection import S3Selection, StartFrom, identity_of, texts_of
from treadle.integrations.s3.settling import check_event
from treadle.integrations.s3.sweep import Slice, sweep, system_now
from treadle.integrations.s3.sweep_cursor import not_before

if TYPE_CHECKING:
    from treadle.definitions.item_batches import Batch, ItemFacts


class S3SensorDefinition(SensorDefinition):
    """A sensor over the objects of a bucket.

    Its function is called once per object with `(context, stored)`, both optional, and returns what any
    sensor may return. A run request without run key gets the object's, without run config the object's
    fields.

    Args:
        name: the sensor's name.
        evaluation_fn: the function.
        selection: the watched objects; the deployment's values take precedence.
        lister: lists the bucket; replaced in tests.
        batch: when objects form a batch; None to call the function for each.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    kind = "s3"
    takes_events = True
    values_taken = 2

    def __init__(
        self,
        name: str | None = None,
        *,
        evaluation_fn: SensorFunction,
        selection: S3Selection,
        lister: ObjectLister | None = None,
        batch: "Batch | None" = None,
        job_name: str | None = None,
        **options: Unpack[SensorOptions],
    ) -> None:
        check_options(S3SensorDefinition.__init__, options)
        super().__init__(name, evaluation_fn=evaluation_fn, job_name=job_name, **options)
        self.selection = selection
        self.lister = lister or S3Lister()
        self.batch = batch
        self.now = system_now
        self.deployed_at: Callable[[], int | None] = deployed_at

    def configured(self, settings: Mapping[str, str]) -> Self:
        """Return the definition with the deployment's selection.

        Raises:
            SettingsError: with all problems at once.
        """
        changed = copy(self)
        changed.selection = self.selection.configured(settings)
        return changed

    def described(self) -> dict[str, Any]:
        """Return the sensor's properties as plain JSON, with its selection."""
        return {**super().described(), "selection": self.selection.described()}

    def with_lister(
        self,
        lister: ObjectLister,
        now: Callable[[], int],
        deployed_at: Callable[[], int | None] | None = None,
    ) -> Self:
        """Return the definition with another lister and clock, as in tests.

        Args:
            lister: lists the bucket.
            now: returns the time, in milliseconds since the epoch.
            deployed_at: returns when the sensor was deployed, in the same unit; None if that is unknown.
        """
        changed = copy(self)
        changed.lister = lister
        changed.now = now
        changed.deployed_at = deployed_at or self.deployed_at
        return changed

    def evaluate(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Sweep on from the cursor.

        An object at which the function fails, or does not end in time, is rejected with the reason, without
        effect on the others: the next round tries it again. A failure that concerns all objects, of the
        bucket or the function's resources, fails the tick. Objects beyond the limits of a tick are left to
        the next one.
        """
        waits = not_before(self.selection, self.now())
        if waits:
            return combine([SkipReason(waits)], context, self.job_names)
        found = sweep(context, self.selection, self.lister, self.now, self.deployed_at)
        if self.batch is not None:
            return self._items_of(context, found, self.batch)
        one = context.without_cursor()
        evaluated = evaluate_objects(
            one,
            found,
            lambda stored: _run_requests(self._requests(one, stored)),
            self.selection.run_key,
            lambda stored: self.selection.place(stored.bucket, stored.key),
        )
        found = evaluated.found
        context.update_cursor(str(found.cursor))
        notices = self._notices(found)
        for notice in notices:
            context.log.warning(notice)
        data = combine(evaluated.requests or [_skip(found, notices)], context, self.job_names)
        return replace(data, rejected=tuple(evaluated.failed), measures=_measures(found))

    def _notices(self, found: Slice) -> list[str]:
        """Return messages to operators about the bucket, or the sensor's first round."""
        notices = list(found.notes)
        cursor = found.cursor
        if cursor.is_unversioned:
            notices += map(without_versioning, cursor.unversioned or self.selection.buckets)
        if cursor.is_silent:
            notices += map(silence, cursor.silent or self.selection.buckets)
        if found.unremembered:
            notices.append(
                f"{found.unremembered} objects could not be remembered, as the cursor would get too large: those "
                "that must settle wait for a later round, and an upload in parts that was begun long before the "
                "sensor was first enabled may get no run without its event."
            )
        return notices

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Evaluate the event of one object; commit nothing where it must wait."""
        if not isinstance(event, ObjectCreated):
            return super().evaluate_event(context, event)
        stored = event.object
        if self.selection.passes_over(stored):
            reason = f"s3://{stored.bucket}/{stored.key} is empty and marks a folder, so it is passed over."
            return combine([SkipReason(reason)], context, self.job_names)
        if not self.selection.selects(stored):
            reason = f"s3://{stored.bucket}/{stored.key} is not watched: {self.selection.summary} is."
            return combine([SkipReason(reason)], context, self.job_names)
        start = self.selection.starts_at
        if start is not None and event.time < start:
            reason = (
                f"s3://{stored.bucket}/{stored.key} was stored at {event.time.isoformat()}, and start_from is "
                f"{start.isoformat()}."
            )
            return combine([SkipReason(reason)], context, self.job_names)
        seen = check_event(event, self.selection, self.lister, self.now())
        if seen.reason:
            data = combine([SkipReason(seen.reason)], context, self.job_names)
            return replace(data, wait_seconds=seen.wait_seconds)
        if seen.group is not None:
            stored = replace(stored, group=seen.group)
        if self.batch is not None:
            return SensorExecutionData(
                (), f"{event.summary}: waits for a batch.", items=(self._item(stored, self.batch),)
            )
        return combine(self._requests(context, stored, event), context, self.job_names)

    def _item(self, stored: S3Object, batch: "Batch") -> "ItemFacts":
        # Imported here, as most sensors have no batches.
        from treadle.definitions.item_batches import item_facts

        named = self.selection.named(stored)
        return item_facts(self.name, batch, self.selection.run_key(stored), named, stored.size)

    def _items_of(
        self, context: SensorEvaluationContext, found: Slice, batch: "Batch"
    ) -> SensorExecutionData:
        """Return the objects that a sweep has found, which are to wait for a batch."""
        items = tuple(self._item(stored, batch) for stored in found.objects)
        context.update_cursor(str(found.cursor))
        notices = self._notices(found)
        for notice in notices:
            context.log.warning(notice)
        data = combine([_skip(found, notices)], context, self.job_names)
        return replace(data, items=items, measures=_measures(found))

    def _values_for_batch(self, context: Any) -> tuple[Any, ...]:
        """Return the context and the objects, both of which are optional for the function."""
        return context, context.items

    def _requests(
        self, context: SensorEvaluationContext, stored: S3Object, event: ObjectCreated | None = None
    ) -> list[RunRequest | SkipReason]:
        stored = self.selection.named(stored)
        returned = flatten(self._called(context, stored), self.name)
        for whole in returned:
            if isinstance(whole, SensorResult) and whole.dynamic_partitions_requests:
                # Imported here, as most sensors have no dynamic partitions.
                from treadle.definitions.partitions.requests import change_partitions

                change_partitions(context.instance, whole.dynamic_partitions_requests)
        values = [value for whole in returned for value in self._parts(whole)]
        check_mix(values)
        keyless = [v for v in values if isinstance(v, RunRequest) and not v.run_key]
        if len(keyless) > 1:
            msg = (
                f"Sensor {self.name} requested {len(keyless)} runs without run key for one object: "
                "only one of them can have the object's. Give each its own run_key."
            )
            raise InvalidResultError(msg)
        time = event.time if event else stored.last_modified
        return [
            with_job_name(
                replace(
                    value,
                    run_key=value.run_key or self.selection.run_key(stored),
                    run_config=value.run_config or self._config(stored, time),
                ),
                self.name,
                self.job_names,
            )
            if isinstance(value, RunRequest)
            else value
            for value in values
        ]

    def _config(self, stored: S3Object, time: datetime) -> dict[str, Any]:
        """Return the default run config of an object or its group."""
        files, names = self.selection.files, dict(stored.names)
        group: dict[str, Any] = {}
        if self.selection.complete_when:
            group = {"bucket": stored.bucket, "group": self.selection.group_of(stored.key)}
        if files:
            if files.longest_wait and stored.group:
                group |= {"is_complete": stored.group.is_complete, "missing": list(stored.group.missing)}
            if files.by:
                group |= {"names": {name: names[name] for name in names if name in files.by}}
            return {**group, "event_time": time.isoformat()}
        return {
            **group,
            "bucket": stored.bucket,
            "key": stored.key,
            "etag": stored.etag,
            "version": None if stored.is_unversioned else stored.version,
            "size": stored.size,
            "event_time": time.isoformat(),
            **({"names": names} if self.selection.pattern else {}),
        }

    def _parts(self, value: RunRequest | SkipReason | SensorResult) -> list[RunRequest | SkipReason]:
        if not isinstance(value, SensorResult):
            return [value]
        if value.cursor:
            msg = f"Sensor {self.name}: the sweep keeps the cursor; SensorResult.cursor cannot be set here."
            raise DagsterInvariantViolationError(msg)
        if value.asset_events:
            msg = (
                f"Sensor {self.name}: an object is evaluated by event and by sweep, so asset events of it would "
                "be recorded twice. Let the job report them."
            )
            raise InvalidResultError(msg)
        skips = [value.skip_reason] if isinstance(value.skip_reason, SkipReason) else []
        return [*(value.run_requests or ()), *skips]


def _run_requests(values: Sequence[RunRequest | SkipReason]) -> list[RunRequest]:
    return [value for value in values if isinstance(value, RunRequest)]


def _skip(found: Slice, notices: Sequence[str]) -> SkipReason:
    rounds = "the round is complete" if found.is_complete else f"on from {found.cursor.position!r}"
    text = f"{found.listed} objects listed, {len(found.objects)} of them new; {rounds}."
    # First, as long reasons are truncated, which would make the commands useless.
    return SkipReason("\n".join([*notices, text]))


def _measures(found: Slice) -> tuple[Measure, ...]:
    counted = {
        "BucketUnversioned": int(found.cursor.is_unversioned),
        "BucketEventsDisabled": int(found.cursor.is_silent),
        "ObjectsNotRemembered": found.unremembered,
    }
    measures = [Measure(name, number, "Count") for name, number in counted.items() if number]
    return (Measure("SweepAge", found.age_seconds, "Seconds"), *measures)


def s3_sensor(
    bucket: str | Sequence[str] = "",
    *,
    prefix: str | Sequence[str] = "",
    suffix: str | Sequence[str] = "",
    identity: ObjectIdentity | str = ObjectIdentity.ETAG,
    start_from: StartFrom | datetime | str = StartFrom.NOW,
    settle_seconds: int = 0,
    settle_longest_seconds: int = 0,
    complete_when: Marker | FileCount | FileNames | None = None,
    pattern: str | re.Pattern[str] = "",
    batch: "Batch | None" = None,
    name: str | None = None,
    job_name: str | None = None,
    **options: Unpack[SensorOptions],
) -> Callable[[SensorFunction], S3SensorDefinition]:
    """Make a sensor over a bucket's objects, from a function that is called once per object.

    Args:
        bucket: the bucket, or a list of up to ten; variables of the deployment take precedence here and below.
        prefix: of keys, or a list of prefixes of which each key has one.
        suffix: of keys, or a list of suffixes of which each key has one.
        identity: `key` (once per key, whatever is stored there later), `etag` (again when the content
            differs) or `version` (again at each upload; needs versioning, otherwise it is the same as
            `etag`).
        start_from: `now`; `beginning` to include existing objects; or a time with its time zone, such as
            `2026-11-29T00:00:00Z`, to include those stored since.
        settle_seconds: an object counts when it has been unchanged for this many seconds, at most a day; not
            with identity `version`, as a version never changes.
        settle_longest_seconds: an object that keeps changing counts this many seconds after a sweep first saw
            it, and again as long after that; at most a week. 0 for never.
        complete_when: objects count by groups; a group is all objects directly in one "directory", or with
            the same names in their keys. It counts with `Marker("_SUCCESS")` when it has an object of that
            name, with `FileCount(n)` when it has n objects, with `FileNames([...])` when it has one of each
            name.
        pattern: what keys look like as a whole, with names in braces, such as
            `{region}/orders_{day:%Y%m%d}.csv`, or a compiled regular expression. A name has one or more
            characters without a slash; after a colon is the format of a time. `stored.names` and
            `stored.times` have the values.
        batch: when objects form a batch, for which the function is called once, with a `BatchSensorContext` and the
            batch's objects; None to call it for each object.
        name: the sensor's name; the function's own name by default.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`. `minimum_interval_seconds` is the time between sweeps;
            each sweep that finds an object again requests its run key again, which `retries_per_key` limits.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(s3_sensor, options)
    selection = S3Selection(
        texts_of("bucket", bucket),
        texts_of("prefix", prefix),
        texts_of("suffix", suffix),
        identity_of(identity),
        start_from,  # type: ignore[arg-type]  # The selection reads a text, too.
        settle_seconds,
        complete_when,
        KeyPattern.of(pattern),
        settle_longest_seconds,
    ).checked()

    return lambda function: S3SensorDefinition(
        name, evaluation_fn=function, selection=selection, batch=batch, job_name=job_name, **options
    )
