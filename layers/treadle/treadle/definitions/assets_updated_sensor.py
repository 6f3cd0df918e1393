"""Sensors that wait until assets are updated: one line each, exactly one run per batch."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, ClassVar, Unpack

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.batching import (
    PAGE,
    PARTITION_KEY,
    Part,
    Upstream,
    UpstreamBatch,
    UpstreamBatchSensorDefinition,
    UpstreamEvent,
)
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.event_log import EventLogRecord, EventRecordsFilter
from treadle.definitions.event_numbers import check_is_recorded
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.options import UntargetedOptions, check_options
from treadle.definitions.run_events import DagsterEventType
from treadle.definitions.sensors import SensorEvent

_DAY = timedelta(days=1)
_PAGE = 100

_OLD_EVENTS = 1_000
"""The search for updates within the window ends after this many consecutive updates from before it."""


@dataclass(frozen=True, slots=True)
class AssetBatch(UpstreamBatch):
    """Updates of assets that belong together; `runs` is keyed by the asset key as text."""

    @property
    def run_config(self) -> dict[str, Any]:
        """The storage ids of the batch's updates, by asset."""
        return {"upstream": {asset: [each.number for each in parts] for asset, parts in self.runs.items()}}


class AssetsUpdatedDefinition(UpstreamBatchSensorDefinition):
    """A sensor that requests one run per batch of updates; see `assets_updated`."""

    kind: ClassVar[str] = "assets_updated"
    _made_of: ClassVar[type[UpstreamBatch]] = AssetBatch
    _things: ClassVar[str] = "updates"
    _happened: ClassVar[str] = "updated"

    def __init__(
        self,
        name: str,
        *,
        all_of: Sequence[AssetKey],
        any_of: Sequence[AssetKey],
        per_partition: bool,
        **options: Any,
    ) -> None:
        given: Sequence[object] = [*all_of, *any_of]
        keys = [key for key in given if isinstance(key, AssetKey)]
        problems = [f"{key!r} is not an AssetKey" for key in given if not isinstance(key, AssetKey)]
        if bool(all_of) == bool(any_of):
            problems.append("name assets by either all_of or any_of")
        elif len(set(given)) < len(given) or len(all_of) == 1:
            problems.append("all_of must name two or more different assets, and any_of different ones")
        self.monitored_assets = tuple(keys)
        self.takes_any = bool(any_of)
        super().__init__(
            name,
            upstream=[key.to_escaped_user_string() for key in keys],
            correlate_by=PARTITION_KEY if per_partition else None,
            problems=problems,
            **options,
        )

    def is_woken_by(self, event: SensorEvent) -> bool:
        """Return whether an event belongs to one of the upstream assets."""
        return isinstance(event, AssetMaterialized) and event.asset_key in self.monitored_assets

    def _read(self, context: SensorEvaluationContext, name: str, number: int) -> list[UpstreamEvent]:
        # Start at the number itself: reading that event costs no further request, and checks the cursor.
        wanted = _filter(name, after_cursor=max(number - 1, 0))
        records = context.instance.get_event_records(wanted, PAGE + 1 if number else PAGE, ascending=True)
        check_is_recorded(self.name, f"asset {name}", number, is_recorded=bool(records))
        return [
            UpstreamEvent(name, _upstream(record), self._key(record))
            for record in records
            if record.storage_id > number
        ]

    def _number_at(self, context: SensorEvaluationContext, name: str, time: datetime) -> int:
        key, cursor = AssetKey.from_escaped_user_string(name), None
        number: int | None = None
        old = 0
        while True:
            # Records are numbered in order of arrival: an old one, read backwards, may hide others in time.
            page = context.instance.fetch_materializations(key, _PAGE, cursor)
            in_time = [each.storage_id for each in page.records if each.timestamp >= time.timestamp()]
            if number is None:
                number = page.records[0].storage_id if page.records else 0
            number = min([number, *(each - 1 for each in in_time)])
            old = 0 if in_time else old + len(page.records)
            if old >= _OLD_EVENTS or not page.has_more:
                return number
            cursor = page.cursor

    def _key(self, record: EventLogRecord) -> str | None:
        return "" if self.correlate_by is None else record.partition_key

    def _fold(self, parts: Sequence[Part]) -> Iterator[dict[str, list[Upstream]]]:
        if not self.takes_any:
            return super()._fold(parts)
        return ({name: [part]} for name, part in parts if name in self.upstream)

    @property
    def _supersedes(self) -> bool:
        return super()._supersedes and not self.takes_any


def _filter(name: str, **more: Any) -> EventRecordsFilter:
    key = AssetKey.from_escaped_user_string(name)
    return EventRecordsFilter(DagsterEventType.ASSET_MATERIALIZATION, key, **more)


def _upstream(record: EventLogRecord) -> Upstream:
    return Upstream(record.run_id, record.storage_id, round(record.timestamp * 1000), record.depth)


def assets_updated(
    name: str,
    *,
    all_of: Sequence[AssetKey] = (),
    any_of: Sequence[AssetKey] = (),
    request_job: JobDefinition,
    within: timedelta = _DAY,
    per_partition: bool = False,
    earlier: str = "latest",
    run_config_fn: Callable[[UpstreamBatch], Mapping[str, Any]] | None = None,
    **options: Unpack[UntargetedOptions],
) -> AssetsUpdatedDefinition:
    """Make a sensor that starts a job once assets are updated; exactly one run per batch.

    With `all_of`, a batch is one materialization of each asset, all within a window; with `any_of`, each
    materialization of any of the assets is a batch. They are read in the order of their recording, each once,
    so none is missed, however late its event arrived. A tick orders all known materializations that are not
    in a batch yet by the time at which they happened, so the order of arrival makes no difference. A
    requested batch is never changed: a materialization recorded later waits for partners that are in no
    batch, or, with "latest", is superseded if a later one of its asset is in a batch. The first tick also
    reads the materializations within the window before it.

    Args:
        name: the sensor's name.
        all_of: two or more assets, each of which must be updated.
        any_of: one or more assets, of which one must be updated; instead of `all_of`.
        request_job: the job to start. Its run config is `{"upstream": {asset: [storage ids]}}`.
        within: how far apart the updates of a batch may lie.
        per_partition: True if only updates of the same partition make a batch, and those without a partition
            are ignored; the run is of that partition.
        earlier: how to treat an asset's earlier updates when it is updated again before a batch is complete:
            "latest" drops them, "each" keeps them for further batches, first in, first out, and "all" puts
            all of them into the one batch.
        run_config_fn: makes a different run config from a batch.
        options: other arguments of `SensorDefinition`, such as `default_status`.

    Raises:
        DagsterInvalidDefinitionError: with all problems at once.
    """
    check_options(assets_updated, options)
    return AssetsUpdatedDefinition(
        name,
        all_of=all_of,
        any_of=any_of,
        per_partition=per_partition,
        within=within,
        earlier=earlier,
        run_config_fn=run_config_fn,
        job=request_job,
        **options,
    )
