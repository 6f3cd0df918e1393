"""The context of a function that is called for a batch."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context


@dataclass(slots=True, kw_only=True)
class BatchSensorContext(SensorEvaluationContext):
    """The context of a function that is called for a batch.

    Attributes:
        items: the batch's objects, events, messages, requests, records, run statuses or materializations, in the order
            in which they were accepted; records by their sequence numbers.
        by: the value of `Batch.by` that they share; "" without it.
    """

    items: tuple[Any, ...]
    by: str = ""


def build_batch_sensor_context(
    items: Sequence[Any],
    *,
    by: str = "",
    context: SensorEvaluationContext | None = None,
    instance: Any = None,
    sensor_name: str | None = None,
    resources: Mapping[str, Any] | None = None,
) -> BatchSensorContext:
    """Make a context for calling a function for a batch in a test.

    Args:
        items: the value of `context.items`.
        by: the value of `context.by`.
        context: another context, from which resources, log and times are taken; without the arguments that follow.
        instance: the value of `context.instance`.
        sensor_name: the value of `context.sensor_name`.
        resources: by key: a `ResourceDefinition`, or the resource itself.
    """
    base = context or build_sensor_context(instance=instance, sensor_name=sensor_name, resources=resources)
    return BatchSensorContext.extending(base, items=tuple(items), by=by)
