"""Event sensors: a function that is called once for each event of an EventBridge bus."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Unpack

from treadle.definitions.bounds import byte_size
from treadle.definitions.bus_event import EventBridgeEvent
from treadle.definitions.canonical import canonical_json
from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.event_pattern import EventPattern
from treadle.definitions.options import SensorOptions, check_options
from treadle.definitions.per_event_sensor import PerEventSensorDefinition
from treadle.definitions.sensors import SensorEvent, SensorFunction

if TYPE_CHECKING:
    from treadle.definitions.item_batches import Batch

EventIdentity = Callable[[EventBridgeEvent], str]


@dataclass(slots=True, kw_only=True)
class EventSensorContext(SensorEvaluationContext):
    """The context of an event sensor's function.

    Attributes:
        event: the event.
    """

    event: EventBridgeEvent


class EventSensorDefinition(PerEventSensorDefinition[EventBridgeEvent]):
    """A sensor over the events of an EventBridge bus; see `event_sensor`.

    Args:
        name: the sensor's name; the function's own name by default.
        evaluation_fn: the function.
        pattern: which events are evaluated; None for each that the sensor's rule delivers.
        identity: returns an event's run key; None for the event's own.
        batch: when events form a batch.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    kind: ClassVar[str] = "event"
    takes_any_event: ClassVar[bool] = True
    event_type = EventBridgeEvent
    context_type = EventSensorContext
    attribute = "event"

    def __init__(
        self,
        name: str | None = None,
        *,
        evaluation_fn: SensorFunction,
        pattern: Mapping[str, Any] | None = None,
        identity: EventIdentity | None = None,
        batch: "Batch | None" = None,
        job_name: str | None = None,
        **options: Unpack[SensorOptions],
    ) -> None:
        check_options(EventSensorDefinition.__init__, options)
        super().__init__(
            name, evaluation_fn=evaluation_fn, identity=identity, batch=batch, job_name=job_name, **options
        )
        try:
            self._pattern = None if pattern is None else EventPattern(pattern)
        except DagsterInvalidDefinitionError as error:
            msg = f"Sensor {self.name!r} cannot work: {error}"
            raise DagsterInvalidDefinitionError(msg) from error

    def monitors(self, event: SensorEvent) -> bool:
        """Return whether an event matches the pattern."""
        return isinstance(event, EventBridgeEvent) and (
            self._pattern is None or self._pattern.matches(event.envelope)
        )

    def _size_of(self, event: EventBridgeEvent) -> int:
        """Return the size of an event's detail."""
        return byte_size(canonical_json(dict(event.detail)))

    def described(self) -> dict[str, Any]:
        """Return the sensor's properties as plain JSON, with its pattern."""
        return {**super().described(), "pattern": None if self._pattern is None else self._pattern.pattern}

    def unwatched(self, event: EventBridgeEvent) -> str:
        """Return that an event does not match the pattern, if so."""
        return "" if self.monitors(event) else "it does not match the pattern in the sensor's code"


def event_sensor(
    pattern: Mapping[str, Any] | None = None,
    *,
    identity: EventIdentity | None = None,
    batch: "Batch | None" = None,
    name: str | None = None,
    job_name: str | None = None,
    **options: Unpack[SensorOptions],
) -> Callable[[SensorFunction], EventSensorDefinition]:
    """Make a sensor of a function that is called once for each event of an EventBridge bus.

    Its function gets an `EventSensorContext`, and returns what any sensor may return. A run request without run key
    gets the event's: its account, Region, source and id.

    Args:
        pattern: which events are evaluated, in EventBridge's pattern language. The rule in template.yaml, which also
            names the bus, delivers no others; an event of a rule that is wider is skipped. None for each event that the
            rule delivers.
        identity: returns an event's run key, for a source that sends the same event again under another id, such as
            `lambda event: event.detail["order_id"]`. One run is started for each value, for as long as the run's
            record exists.
        batch: when events form a batch, for which the function is called once, with a `BatchSensorContext`;
            None to call it for each event.
        name: the sensor's name; the function's own name by default.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`. `minimum_interval_seconds` has no effect: each event is
            evaluated when it arrives.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(event_sensor, options)
    return lambda function: EventSensorDefinition(
        name,
        evaluation_fn=function,
        pattern=pattern,
        identity=identity,
        batch=batch,
        job_name=job_name,
        **options,
    )


def build_event_sensor_context(
    event: EventBridgeEvent,
    *,
    context: SensorEvaluationContext | None = None,
    instance: Any = None,
    sensor_name: str | None = None,
    resources: Mapping[str, Any] | None = None,
) -> EventSensorContext:
    """Make a context for calling an event sensor in a test.

    Args:
        event: the value of `context.event`.
        context: another context, from which resources, log and times are taken; without the arguments that follow.
        instance: the value of `context.instance`.
        sensor_name: the value of `context.sensor_name`.
        resources: by key: a `ResourceDefinition`, or the resource itself.
    """
    base = context or build_sensor_context(instance=instance, sensor_name=sensor_name, resources=resources)
    return EventSensorContext.extending(base, event=event)
