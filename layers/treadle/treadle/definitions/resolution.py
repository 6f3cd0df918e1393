"""Resolves the requests of an evaluation in a test, as Dagster's `evaluate_tick` does; ticks do it when they plan."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from typing import Any

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.partitions.context import partition_loading_context
from treadle.definitions.partitions.requests import AddDynamicPartitionsRequest, DynamicPartitionsRequest
from treadle.definitions.results import RunRequest, SensorExecutionData
from treadle.definitions.runs import PARTITION_TAG, SENSOR_NAME_TAG


@dataclass(frozen=True, slots=True)
class _AfterRequests:
    """The dynamic partitions of an instance after the changes that a result requests."""

    instance: Any
    requests: Sequence[DynamicPartitionsRequest]

    def get_dynamic_partitions(self, partitions_def_name: str) -> list[str]:
        keys = dict.fromkeys(self.instance.get_dynamic_partitions(partitions_def_name))
        for request in self.requests:
            if request.partitions_def_name != partitions_def_name:
                continue
            if isinstance(request, AddDynamicPartitionsRequest):
                keys |= dict.fromkeys(request.partition_keys)
            else:
                keys = {key: None for key in keys if key not in request.partition_keys}
        return list(keys)

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        return partition_key in self.get_dynamic_partitions(partitions_def_name)


def resolved(
    data: SensorExecutionData,
    sensor_name: str,
    jobs: Sequence[JobDefinition],
    context: SensorEvaluationContext,
) -> SensorExecutionData:
    """Return the result with the tags of sensor and partition on each request.

    Args:
        data: of the evaluation.
        sensor_name: the sensor's name.
        jobs: its jobs, which know their partitions.
        context: of the evaluation; its instance has the keys of dynamic partitions.

    Raises:
        DagsterUnknownPartitionError: if the job of a request does not have its partition.
    """
    by_name = {job.name: job for job in jobs}
    with _partitions(context, data.dynamic_partitions_requests):
        requests = [
            replace(
                request,
                tags={
                    **request.tags,
                    **_partition_tags(request, by_name.get(request.job_name or "")),
                    SENSOR_NAME_TAG: sensor_name,
                },
            )
            for request in data.run_requests
        ]
    return replace(data, run_requests=requests)


def _partitions(
    context: SensorEvaluationContext, requests: Sequence[DynamicPartitionsRequest]
) -> AbstractContextManager[object]:
    if context._instance is None:  # noqa: SLF001 - its property raises
        return nullcontext()
    return partition_loading_context(dynamic_partitions_store=_AfterRequests(context.instance, requests))


def _partition_tags(request: RunRequest, job: JobDefinition | None) -> dict[str, str]:
    # A request of run_request_for_partition was checked when it was made, and has the tags.
    if request.partition_key is None or PARTITION_TAG in request.tags:
        return {}
    if job is None or job.partitions_def is None:
        return {PARTITION_TAG: request.partition_key}
    job.partitions_def.validate_partition_key(request.partition_key)
    return dict(job.partitions_def.get_tags_for_partition_key(request.partition_key))
