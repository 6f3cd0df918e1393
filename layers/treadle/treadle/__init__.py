"""What a sensor's author imports. Names load on first use, so that a handler loads only what it uses."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle.definitions.contexts import SensorEvaluationContext
    from treadle.definitions.errors import (
        DagsterInvalidDefinitionError,
        DagsterInvalidInvocationError,
        DagsterInvariantViolationError,
        TreadleError,
    )
    from treadle.definitions.jobs import JobDefinition
    from treadle.definitions.objects import ObjectIdentity, S3Object
    from treadle.definitions.results import RunRequest, SensorExecutionData, SensorResult, SkipReason
    from treadle.definitions.sensors import SensorDefinition, sensor
    from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus, TickStatus
    from treadle.entrypoints.evaluator import evaluator
    from treadle.integrations.s3 import S3SensorDefinition, s3_sensor

_HOMES = {
    "definitions.contexts": ["SensorEvaluationContext"],
    "definitions.errors": [
        "DagsterInvalidDefinitionError",
        "DagsterInvalidInvocationError",
        "DagsterInvariantViolationError",
        "TreadleError",
    ],
    "definitions.jobs": ["JobDefinition"],
    "definitions.objects": ["ObjectIdentity", "S3Object"],
    "definitions.results": ["RunRequest", "SensorExecutionData", "SensorResult", "SkipReason"],
    "definitions.sensors": ["SensorDefinition", "sensor"],
    "definitions.status": ["DagsterRunStatus", "DefaultSensorStatus", "TickStatus"],
    "entrypoints.evaluator": ["evaluator"],
    "integrations.s3": ["S3SensorDefinition", "s3_sensor"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "DagsterInvalidDefinitionError",
    "DagsterInvalidInvocationError",
    "DagsterInvariantViolationError",
    "DagsterRunStatus",
    "DefaultSensorStatus",
    "JobDefinition",
    "ObjectIdentity",
    "RunRequest",
    "S3Object",
    "S3SensorDefinition",
    "SensorDefinition",
    "SensorEvaluationContext",
    "SensorExecutionData",
    "SensorResult",
    "SkipReason",
    "TickStatus",
    "TreadleError",
    "evaluator",
    "s3_sensor",
    "sensor",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module 'treadle' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"treadle.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
