"""Recorded events of assets in Dagster's form, as a sensor's function reads them, and filters."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import (
    AssetMaterialization,
    AssetMaterialized,
    AssetObservation,
    RecordedEvent,
    ReportedEvent,
)
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.run_events import (
    DagsterEvent,
    DagsterEventType,
    EventSpecificData,
    SerializableErrorInfo,
)


@dataclass(frozen=True, slots=True)
class EventLogEntry:
    """A recorded event.

    Attributes:
        error_info: why something failed; None for an event of an asset.
        level: of the log.
        user_message: as text.
        run_id: the run that updated or observed the asset; "" if none is known, as for Dagster's runless events.
        timestamp: seconds since the epoch.
        step_key: for compatibility with Dagster.
        job_name: likewise.
        dagster_event: what happened.
    """

    error_info: SerializableErrorInfo | None
    level: int
    user_message: str
    run_id: str
    timestamp: float
    step_key: str | None = None
    job_name: str | None = None
    dagster_event: DagsterEvent | None = None

    @classmethod
    def of(cls, recorded: RecordedEvent) -> "EventLogEntry":
        """Make the entry of a materialization or an observation."""
        run_id, time = recorded.run_id or "", recorded.time.timestamp()
        key, description = recorded.asset_key.to_escaped_user_string(), recorded.reported.description
        if isinstance(recorded, AssetMaterialized):
            message, data = f"Materialized value {key}.", EventSpecificData(materialization=recorded.reported)
        else:
            message, data = f"Observed {key}.", EventSpecificData(asset_observation=recorded.reported)
        message, kind = description or message, recorded.reported.kind
        event = DagsterEvent(kind, "", message, run_id, timestamp=time, event_specific_data=data)
        return cls(None, logging.INFO, message, run_id, time, dagster_event=event)

    @property
    def is_dagster_event(self) -> bool:
        """Whether the entry has a `DagsterEvent`."""
        return self.dagster_event is not None

    def get_dagster_event(self) -> DagsterEvent:
        """Return the event.

        Raises:
            DagsterInvalidDefinitionError: if the entry has none.
        """
        if self.dagster_event is None:
            msg = "Not a dagster event, check is_dagster_event before calling get_dagster_event."
            raise DagsterInvalidDefinitionError(msg)
        return self.dagster_event

    @property
    def dagster_event_type(self) -> DagsterEventType | None:
        """The type of the event."""
        return self.dagster_event.event_type if self.dagster_event else None

    @property
    def message(self) -> str:
        """The event as text."""
        return (self.dagster_event.message if self.dagster_event else "") or self.user_message

    @property
    def asset_materialization(self) -> AssetMaterialization | None:
        """The materialization; None if it is an observation."""
        return self.dagster_event.event_specific_data.materialization if self.dagster_event else None

    @property
    def asset_observation(self) -> AssetObservation | None:
        """The observation; None if it is a materialization."""
        return self.dagster_event.event_specific_data.asset_observation if self.dagster_event else None

    @property
    def tags(self) -> Mapping[str, str] | None:
        """The tags of the materialization or observation."""
        reported = self.dagster_event.event_specific_data.asset_event if self.dagster_event else None
        return reported.tags if reported else None

    @property
    def asset_key(self) -> AssetKey | None:
        """The asset."""
        return self.dagster_event.asset_key if self.dagster_event else None

    @property
    def partition_key(self) -> str | None:
        """The asset's partition."""
        return self.dagster_event.partition if self.dagster_event else None


@dataclass(frozen=True, slots=True)
class EventLogRecord:
    """A recorded event with its storage id.

    Attributes:
        storage_id: its number among the materializations, or the observations, of its asset, in the order of
            recording, from 1.
        event_log_entry: the event.
        depth: the number of runs that led to it, one after the other.
    """

    storage_id: int
    event_log_entry: EventLogEntry
    depth: int = 0

    @classmethod
    def of(cls, event: RecordedEvent) -> "EventLogRecord":
        """Make the record of a materialization or an observation."""
        return cls(event.storage_id, EventLogEntry.of(event), event.depth)

    @property
    def run_id(self) -> str:
        """The run that updated or observed the asset."""
        return self.event_log_entry.run_id

    @property
    def timestamp(self) -> float:
        """Seconds since the epoch."""
        return self.event_log_entry.timestamp

    @property
    def asset_key(self) -> AssetKey | None:
        """The asset."""
        return self.event_log_entry.asset_key

    @property
    def partition_key(self) -> str | None:
        """The asset's partition."""
        return self.event_log_entry.partition_key

    @property
    def asset_materialization(self) -> AssetMaterialization | None:
        """The materialization; None if it is an observation."""
        return self.event_log_entry.asset_materialization

    @property
    def asset_observation(self) -> AssetObservation | None:
        """The observation; None if it is a materialization."""
        return self.event_log_entry.asset_observation

    @property
    def asset_event(self) -> ReportedEvent | None:
        """The materialization or the observation."""
        return self.asset_materialization or self.asset_observation

    @property
    def event_type(self) -> DagsterEventType:
        """The type of the event."""
        return self.event_log_entry.get_dagster_event().event_type


@dataclass(frozen=True, slots=True)
class AssetEntry:
    """What is known about an asset.

    Attributes:
        asset_key: the asset.
        last_materialization_record: its materialization that was recorded last.
        last_run_id: the run that made it.
    """

    asset_key: AssetKey
    last_materialization_record: EventLogRecord | None = None
    last_run_id: str | None = None

    @property
    def last_materialization(self) -> EventLogEntry | None:
        """The last materialization's event."""
        record = self.last_materialization_record
        return None if record is None else record.event_log_entry

    @property
    def last_materialization_storage_id(self) -> int | None:
        """The last materialization's storage id."""
        record = self.last_materialization_record
        return None if record is None else record.storage_id


@dataclass(frozen=True, slots=True)
class AssetRecord:
    """The record of an asset.

    Attributes:
        asset_entry: what is known about it.
    """

    asset_entry: AssetEntry


_RECORDED = (DagsterEventType.ASSET_MATERIALIZATION, DagsterEventType.ASSET_OBSERVATION)


@dataclass(frozen=True, slots=True)
class EventRecordsFilter:
    """A filter of events; conditions that are left out are not applied.

    Events are read by asset and storage id, and there is no search: events that a condition on partition or
    time excludes are read too, so `after_cursor` is what bounds the cost.

    Args:
        event_type: `DagsterEventType.ASSET_MATERIALIZATION` or `ASSET_OBSERVATION`, as no other event of an asset
            is recorded.
        asset_key: the asset.
        asset_partitions: any of these partitions of it.
        after_cursor: recorded after this storage id.
        before_cursor: recorded before this storage id.
        after_timestamp: made later than this, in seconds since the epoch.
        before_timestamp: made earlier than this.
        storage_ids: with one of these storage ids.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """

    event_type: DagsterEventType
    asset_key: AssetKey
    asset_partitions: Sequence[str] | None = None
    after_cursor: int | None = None
    before_cursor: int | None = None
    after_timestamp: float | None = None
    before_timestamp: float | None = None
    storage_ids: Sequence[int] | None = None

    def __post_init__(self) -> None:
        problems = []
        if self.event_type not in _RECORDED:
            problems.append(f"event_type is {self.event_type}: only {' and '.join(_RECORDED)} are recorded")
        _check(self, problems, "after_cursor", "before_cursor")

    @property
    def takes_all(self) -> bool:
        """Whether all events in its range of storage ids match."""
        return (
            self.asset_partitions is None and self.after_timestamp is None and self.before_timestamp is None
        )

    def fits(self, record: EventLogRecord) -> bool:
        """Return whether a record of the asset, in the range of storage ids, matches."""
        partitions, after, before = self.asset_partitions, self.after_timestamp, self.before_timestamp
        return (
            (partitions is None or record.partition_key in partitions)
            and (after is None or record.timestamp > after)
            and (before is None or record.timestamp < before)
        )


@dataclass(frozen=True, slots=True)
class AssetRecordsFilter:
    """A filter of an asset's materializations or observations, as `EventRecordsFilter` in Dagster's newer terms.

    Args:
        asset_key: the asset.
        asset_partitions: any of these partitions of it.
        after_timestamp: made later than this, in seconds since the epoch.
        before_timestamp: made earlier than this.
        after_storage_id: recorded after this storage id.
        before_storage_id: recorded before this storage id.
        storage_ids: with one of these storage ids.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """

    asset_key: AssetKey
    asset_partitions: Sequence[str] | None = None
    after_timestamp: float | None = None
    before_timestamp: float | None = None
    after_storage_id: int | None = None
    before_storage_id: int | None = None
    storage_ids: Sequence[int] | None = None

    def __post_init__(self) -> None:
        _check(self, [], "after_storage_id", "before_storage_id")

    def beyond(
        self, event_type: DagsterEventType, place: int | None, *, ascending: bool
    ) -> EventRecordsFilter:
        """Return the filter of the next page.

        Args:
            event_type: of the events that are read.
            place: the storage id at which the previous page ended; None for the first page.
            ascending: whether pages go from the first record to the last.
        """
        after, before = self.after_storage_id, self.before_storage_id
        if place is not None and ascending:
            after = max(place, after or 0)
        elif place is not None:
            before = place if before is None else min(place, before)
        return EventRecordsFilter(
            event_type,
            self.asset_key,
            asset_partitions=self.asset_partitions,
            after_cursor=after,
            before_cursor=before,
            after_timestamp=self.after_timestamp,
            before_timestamp=self.before_timestamp,
            storage_ids=self.storage_ids,
        )


@dataclass(frozen=True, slots=True)
class EventRecordsResult:
    """A page of records.

    Attributes:
        records: the matching records.
        cursor: the argument that requests the next page.
        has_more: whether there may be a next page: this one is full.
    """

    records: Sequence[EventLogRecord]
    cursor: str
    has_more: bool


def _check(wanted: EventRecordsFilter | AssetRecordsFilter, problems: list[str], *places: str) -> None:
    key: object = wanted.asset_key
    if not isinstance(key, AssetKey):
        problems.append(f"asset_key is {key!r}: give an AssetKey, because events are read by asset")
    problems += [
        f"{name} is {value!r}: give a whole number, an event's storage_id"
        for name in places
        if (value := getattr(wanted, name)) is not None and not isinstance(value, int)
    ]
    problems += [
        f"{name} is {value!r}: give seconds since the epoch, such as datetime.now(timezone.utc).timestamp()"
        for name in ("after_timestamp", "before_timestamp")
        if (value := getattr(wanted, name)) is not None
        and (isinstance(value, bool) or not isinstance(value, int | float))
    ]
    if problems:
        msg = f"{type(wanted).__name__} is not valid: {'; '.join(problems)}."
        raise DagsterInvalidDefinitionError(msg)
