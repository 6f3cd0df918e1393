"""Stream sensors: a function that is called once for each record of a Kinesis stream or a table's stream."""

from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from treadle.definitions.attribute_values import typed_attributes
from treadle.definitions.bounds import byte_size, shown
from treadle.definitions.canonical import canonical_json
from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.options import SensorOptions, check_options
from treadle.definitions.per_event_sensor import PerEventSensorDefinition
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.sensors import SensorEvent, SensorFunction
from treadle.definitions.stream_record import StreamRecord

if TYPE_CHECKING:
    from treadle.definitions.item_batches import Batch

RecordIdentity = Callable[[StreamRecord], str]

MAX_ATTEMPTS = 5
"""How often a record is evaluated by default before it is given up."""

MOST_ATTEMPTS = 100


@dataclass(slots=True, kw_only=True)
class StreamSensorContext(SensorEvaluationContext):
    """The context of a stream sensor's function.

    Attributes:
        record: the record.
    """

    record: StreamRecord


class StreamSensorDefinition(PerEventSensorDefinition[StreamRecord]):
    """A sensor over the records of a stream; see `stream_sensor`.

    Args:
        name: the sensor's name; the function's own name by default.
        evaluation_fn: the function.
        stream: the name of a Kinesis stream or of a table, or the stream's ARN; the deployment's takes precedence.
        identity: returns a record's run key; None for the stream's ARN and the record's id.
        max_attempts: how often a record is evaluated before it is given up, from 1 to 100.
        batch: when records form a batch.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    kind: ClassVar[str] = "stream"
    consumes_stream: ClassVar[bool] = True
    events_return: ClassVar[bool] = True
    event_type = StreamRecord
    context_type = StreamSensorContext
    attribute = "record"

    def __init__(
        self,
        name: str | None = None,
        *,
        evaluation_fn: SensorFunction,
        stream: str = "",
        identity: RecordIdentity | None = None,
        max_attempts: int = MAX_ATTEMPTS,
        batch: "Batch | None" = None,
        job_name: str | None = None,
        **options: Unpack[SensorOptions],
    ) -> None:
        check_options(StreamSensorDefinition.__init__, options)
        super().__init__(
            name, evaluation_fn=evaluation_fn, identity=identity, batch=batch, job_name=job_name, **options
        )
        given: object = max_attempts
        if not isinstance(given, int) or isinstance(given, bool) or not 1 <= given <= MOST_ATTEMPTS:
            msg = (
                f"The max_attempts of sensor {self.name} is {shown(given)}. Give a whole number from 1 to "
                f"{MOST_ATTEMPTS}."
            )
            raise DagsterInvalidDefinitionError(msg)
        self.stream = stream
        self.max_attempts = given

    def configured(self, settings: Mapping[str, str]) -> Self:
        """Return the definition with the stream of the deployment."""
        changed = copy(self)
        changed.stream = settings.get("TREADLE_STREAM_ARN") or self.stream
        return changed

    def monitors(self, event: SensorEvent) -> bool:
        """Return whether an event is a record of the stream."""
        is_arn = self.stream.startswith("arn:")
        return isinstance(event, StreamRecord) and self.stream == (event.arn if is_arn else event.stream)

    def evaluate_batch(
        self, context: SensorEvaluationContext, items: Sequence[Any], by: str, run_key: str
    ) -> SensorExecutionData:
        """Evaluate a batch, of which the records of a key are in order."""
        return super().evaluate_batch(context, sorted(items, key=_order), by, run_key)

    def _size_of(self, event: StreamRecord) -> int:
        """Return the size of a record's data, or of the item's attributes before and after its change."""
        if not event.change:
            return len(event.data)
        images = [typed_attributes(each) for each in (event.new, event.old) if each is not None]
        return byte_size(canonical_json(images))

    def described(self) -> dict[str, Any]:
        """Return the sensor's properties as plain JSON, with its stream."""
        return {**super().described(), "stream": self.stream, "max_attempts": self.max_attempts}


def _order(record: StreamRecord) -> tuple[int, str]:
    """Return what sorts the records of a key as they were put; the numbers of all shards grow with time."""
    digits = record.sequence_number.lstrip("0")
    return len(digits), digits


def stream_sensor(
    stream: str = "",
    *,
    identity: RecordIdentity | None = None,
    max_attempts: int = MAX_ATTEMPTS,
    batch: "Batch | None" = None,
    name: str | None = None,
    job_name: str | None = None,
    **options: Unpack[SensorOptions],
) -> Callable[[SensorFunction], StreamSensorDefinition]:
    """Make a sensor of a function that is called once for each record of a Kinesis stream or a DynamoDB table's stream.

    Its function gets a `StreamSensorContext`, and returns what any sensor may return. The records of a key are
    evaluated in order, and the stream is read on once their ticks are committed. A run request without run key gets the
    stream's ARN and the record's id.

    Args:
        stream: the name of a Kinesis stream or of a table, or the stream's ARN; the deployment's takes precedence.
        identity: returns a record's run key, for a producer that puts the same record again, such as
            `lambda record: record.json()["order_id"]`. One run is started for each value, for as long as the run's
            record exists.
        max_attempts: how often a record is evaluated before it is given up: it is then in the project's dead-letter
            queue, and later records of its key are evaluated.
        batch: when records form a batch, for which the function is called once, with a `BatchSensorContext`; None to
            call it for each record.
        name: the sensor's name; the function's own name by default.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`. `minimum_interval_seconds` has no effect: each record is
            evaluated when it arrives.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(stream_sensor, options)
    return lambda function: StreamSensorDefinition(
        name,
        evaluation_fn=function,
        stream=stream,
        identity=identity,
        max_attempts=max_attempts,
        batch=batch,
        job_name=job_name,
        **options,
    )


def build_stream_sensor_context(
    record: StreamRecord,
    *,
    context: SensorEvaluationContext | None = None,
    instance: Any = None,
    sensor_name: str | None = None,
    resources: Mapping[str, Any] | None = None,
) -> StreamSensorContext:
    """Make a context for calling a stream sensor in a test.

    Args:
        record: the value of `context.record`.
        context: another context, from which resources, log and times are taken; without the arguments that follow.
        instance: the value of `context.instance`.
        sensor_name: the value of `context.sensor_name`.
        resources: by key: a `ResourceDefinition`, or the resource itself.
    """
    base = context or build_sensor_context(instance=instance, sensor_name=sensor_name, resources=resources)
    return StreamSensorContext.extending(base, record=record)
