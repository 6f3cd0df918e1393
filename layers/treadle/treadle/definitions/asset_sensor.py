"""Asset sensors: a function that is called once for each materialization of an asset."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.bounds import byte_size
from treadle.definitions.canonical import canonical_json
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
)
from treadle.definitions.evaluation import SensorReturnType, combine, flatten
from treadle.definitions.event_log import EventLogEntry, EventLogRecord
from treadle.definitions.options import SensorOptions, check_options
from treadle.definitions.results import SensorExecutionData, SkipReason
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.definitions.status import SensorType

if TYPE_CHECKING:
    from treadle.definitions.item_batches import Batch

AssetFunction = Callable[..., SensorReturnType]


@dataclass(slots=True)
class AssetSensorEvaluationContext(SensorEvaluationContext):
    """The context of an asset sensor's function; its `cursor` is the event's storage id, as text.

    So `RunRequest(run_key=context.cursor)` requests one run for each materialization.
    """

    def update_cursor(self, cursor: str | None) -> None:
        """Raise an error: events are evaluated concurrently, each once, and have no common cursor.

        Raises:
            DagsterInvariantViolationError: always.
        """
        msg = (
            f"Error in asset sensor {self.sensor_name}: the cursor was set to {cursor!r}. "
            "The cursor is managed by the asset sensor and should not be modified by a user."
        )
        raise DagsterInvariantViolationError(msg)


class AssetSensorDefinition(SensorDefinition):
    """A sensor over the materializations of an asset.

    Its function is called once for each, with the context and an `EventLogEntry`, or as many of these as it
    takes. None is skipped, however many occur between two ticks.

    Args:
        name: the sensor's name; the function's own name by default.
        asset_key: the asset.
        job_name: the only job that the function may request, by name.
        asset_materialization_fn: the function.
        batch: when materializations form a batch; the function then takes the context and their `EventLogRecord`s.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    sensor_type: ClassVar[SensorType] = SensorType.ASSET
    kind: ClassVar[str] = "asset"
    takes_events: ClassVar[bool] = True
    events_return: ClassVar[bool] = True
    values_taken: ClassVar[int] = 2

    def __init__(
        self,
        name: str | None = None,
        asset_key: AssetKey | None = None,
        job_name: str | None = None,
        asset_materialization_fn: AssetFunction | None = None,
        *,
        batch: "Batch | None" = None,
        **options: Unpack[SensorOptions],
    ) -> None:
        check_options(AssetSensorDefinition.__init__, options)
        super().__init__(name, evaluation_fn=asset_materialization_fn, job_name=job_name, **options)
        if not isinstance(asset_key, AssetKey):
            msg = f"Sensor {self.name!r} cannot work: asset_key must be an AssetKey, not {asset_key!r}."
            raise DagsterInvalidDefinitionError(msg)
        self.asset_key = asset_key
        self.batch = batch

    def monitors(self, event: SensorEvent) -> bool:
        """Return whether an event is a materialization of the asset."""
        return isinstance(event, AssetMaterialized) and event.asset_key == self.asset_key

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Evaluate the asset's newest materialization, or the batch of a context that was built for one, as a test does.

        Args:
            context: has the instance; if the materialization is newer than its cursor, the cursor moves to it.

        Raises:
            InvalidResultError: if the function returned what no sensor may return.
            DagsterInvariantViolationError: if the function set the cursor, or the context has no instance.
            DagsterUnknownPartitionError: if the job of a request does not have its partition.
        """
        if self.batch is not None:
            return super().evaluate_tick(context)
        record = self._newer(context)
        if record is None:
            return SensorExecutionData((), self._nothing_new, context.cursor)
        seen = AssetSensorEvaluationContext.extending(context)
        values = flatten(self._called(seen, record.event_log_entry), self.name)
        data = combine(values, seen, self.job_names)
        context.update_cursor(str(record.storage_id))
        return self._resolved(replace(data, cursor=context.cursor), context)

    def evaluate(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Return an empty result: materializations arrive as events."""
        del context
        return SensorExecutionData((), f"{self._nothing_new}: each one arrives as its own event.")

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Evaluate one materialization, or let it wait for a batch."""
        if not isinstance(event, AssetMaterialized):
            return super().evaluate_event(context, event)
        if not self.monitors(event):
            reason = f"{event.summary}: not watched, because the sensor watches {self.asset_key.to_escaped_user_string()}."
            return SensorExecutionData((), reason)
        if self.batch is not None:
            record = EventLogRecord.of(event)
            size = byte_size(canonical_json(event.materialization.plain_metadata))
            return self._waiting(self.batch, event.summary, event.item_identity, record, size)
        seen = replace(AssetSensorEvaluationContext.extending(context), _cursor=str(event.storage_id))
        values = flatten(self._called(seen, EventLogEntry.of(event)), self.name)
        return replace(combine(values, seen, self.job_names), cursor=None)

    def _values_for_batch(self, context: Any) -> tuple[Any, ...]:
        """Return the context and the materializations, both of which are optional for the function."""
        return context, context.items

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as a test does.

        Args:
            args: the context, and the event. With a context alone, the function receives the asset's newest
                materialization, if it is newer than the context's cursor, and the cursor moves to it.
            kwargs: these by name, and resources by name.

        Returns:
            An iterator over what the function returns or yields, or over a skip reason if nothing is newer. If an
            event was given, the function's return value.

        Raises:
            DagsterInvalidInvocationError: if an argument is missing or unknown.
            DagsterInvalidDefinitionError: if a resource is neither given nor in the context.
        """
        given = (*args, *kwargs.values())
        if self.batch or len(args) > 1 or any(isinstance(each, EventLogEntry) for each in given):
            return super().__call__(*args, **kwargs)
        context = next((each for each in given if isinstance(each, SensorEvaluationContext)), None)
        if context is None:
            msg = (
                "Sensor evaluation function expected context argument, but no context argument was provided when "
                "invoking."
            )
            raise DagsterInvalidInvocationError(msg)
        return self._newest(context, {k: v for k, v in kwargs.items() if v is not context})

    def _newest(self, context: SensorEvaluationContext, resources: Mapping[str, Any]) -> Iterator[Any]:
        record = self._newer(context)
        if record is None:
            yield SkipReason(self._nothing_new)
            return
        event = dict.fromkeys(self._signature.values[1:2], record.event_log_entry)
        yield from flatten(super().__call__(context, **event, **resources), self.name)
        context.update_cursor(str(record.storage_id))

    def _newer(self, context: SensorEvaluationContext) -> EventLogRecord | None:
        """Return the asset's newest materialization, if it is newer than the context's cursor."""
        record: EventLogRecord | None = context.instance.get_latest_materialization_records([self.asset_key])[
            self.asset_key
        ]
        seen = int(context.cursor) if context.cursor and context.cursor.isdecimal() else 0
        return record if record is not None and record.storage_id > seen else None

    @property
    def _nothing_new(self) -> str:
        return f"No new materialization events found for asset key {self.asset_key}"


def asset_sensor(
    asset_key: AssetKey,
    *,
    batch: "Batch | None" = None,
    job_name: str | None = None,
    name: str | None = None,
    **options: Unpack[SensorOptions],
) -> Callable[[AssetFunction], AssetSensorDefinition]:
    """Make a sensor of a function that is called once for each materialization of an asset.

    Args:
        asset_key: the asset.
        batch: when materializations form a batch, for which the function is called once, with a `BatchSensorContext`;
            None to call it for each.
        job_name: the only job that it may request, by name.
        name: the sensor's name; the function's own name by default.
        options: other arguments of `SensorDefinition`. `minimum_interval_seconds` is accepted for
            compatibility with Dagster: each event is evaluated when it arrives.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(asset_sensor, options)
    return lambda function: AssetSensorDefinition(name, asset_key, job_name, function, batch=batch, **options)
