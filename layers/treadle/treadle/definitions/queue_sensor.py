"""Queue sensors: a function that is called once for each message of an SQS queue."""

from collections.abc import Callable, Mapping
from copy import copy
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from treadle.definitions.bounds import byte_size
from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
from treadle.definitions.options import SensorOptions, check_options
from treadle.definitions.per_event_sensor import PerEventSensorDefinition
from treadle.definitions.queue_message import QueueMessage
from treadle.definitions.sensors import SensorEvent, SensorFunction

if TYPE_CHECKING:
    from treadle.definitions.item_batches import Batch

MessageIdentity = Callable[[QueueMessage], str]


@dataclass(slots=True, kw_only=True)
class QueueSensorContext(SensorEvaluationContext):
    """The context of a queue sensor's function.

    Attributes:
        message: the message.
    """

    message: QueueMessage


class QueueSensorDefinition(PerEventSensorDefinition[QueueMessage]):
    """A sensor over the messages of an SQS queue; see `queue_sensor`.

    Args:
        name: the sensor's name; the function's own name by default.
        evaluation_fn: the function.
        queue: the queue's name; the deployment's takes precedence.
        identity: returns a message's run key; None for its message id.
        batch: when messages form a batch.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    kind: ClassVar[str] = "queue"
    consumes_queue: ClassVar[bool] = True
    event_type = QueueMessage
    context_type = QueueSensorContext
    attribute = "message"

    def __init__(
        self,
        name: str | None = None,
        *,
        evaluation_fn: SensorFunction,
        queue: str = "",
        identity: MessageIdentity | None = None,
        batch: "Batch | None" = None,
        job_name: str | None = None,
        **options: Unpack[SensorOptions],
    ) -> None:
        check_options(QueueSensorDefinition.__init__, options)
        super().__init__(
            name, evaluation_fn=evaluation_fn, identity=identity, batch=batch, job_name=job_name, **options
        )
        self.queue = queue

    def configured(self, settings: Mapping[str, str]) -> Self:
        """Return the definition with the queue of the deployment."""
        changed = copy(self)
        changed.queue = settings.get("TREADLE_QUEUE_URL", "").rpartition("/")[2] or self.queue
        return changed

    def monitors(self, event: SensorEvent) -> bool:
        """Return whether an event is a message of the queue."""
        return isinstance(event, QueueMessage) and event.queue == self.queue

    def _size_of(self, event: QueueMessage) -> int:
        """Return the size of a message's body."""
        return byte_size(event.body)

    def described(self) -> dict[str, Any]:
        """Return the sensor's properties as plain JSON, with its queue."""
        return {**super().described(), "queue": self.queue}


def queue_sensor(
    queue: str = "",
    *,
    identity: MessageIdentity | None = None,
    batch: "Batch | None" = None,
    name: str | None = None,
    job_name: str | None = None,
    **options: Unpack[SensorOptions],
) -> Callable[[SensorFunction], QueueSensorDefinition]:
    """Make a sensor of a function that is called once for each message of an SQS queue.

    Its function gets a `QueueSensorContext`, and returns what any sensor may return. A message is deleted once the tick
    that evaluated it is committed. A run request without run key gets the message's id.

    Args:
        queue: the queue's name; the deployment's takes precedence.
        identity: returns a message's run key, for a sender that sends the same message again, such as
            `lambda message: message.json()["order_id"]`. One run is started for each value, for as long as the run's
            record exists.
        batch: when messages form a batch, for which the function is called once, with a `BatchSensorContext`;
            None to call it for each message.
        name: the sensor's name; the function's own name by default.
        job_name: the only target, by name.
        options: other arguments of `SensorDefinition`. `minimum_interval_seconds` has no effect: each message is
            evaluated when it arrives.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(queue_sensor, options)
    return lambda function: QueueSensorDefinition(
        name,
        evaluation_fn=function,
        queue=queue,
        identity=identity,
        batch=batch,
        job_name=job_name,
        **options,
    )


def build_queue_sensor_context(
    message: QueueMessage,
    *,
    context: SensorEvaluationContext | None = None,
    instance: Any = None,
    sensor_name: str | None = None,
    resources: Mapping[str, Any] | None = None,
) -> QueueSensorContext:
    """Make a context for calling a queue sensor in a test.

    Args:
        message: the value of `context.message`.
        context: another context, from which resources, log and times are taken; without the arguments that follow.
        instance: the value of `context.instance`.
        sensor_name: the value of `context.sensor_name`.
        resources: by key: a `ResourceDefinition`, or the resource itself.
    """
    base = context or build_sensor_context(instance=instance, sensor_name=sensor_name, resources=resources)
    return QueueSensorContext.extending(base, message=message)
