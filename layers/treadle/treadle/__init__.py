"""What a sensor's author imports. Names load on first use, so that a handler loads only what it uses."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
    from treadle.definitions.cursors import CursorType
    from treadle.definitions.errors import (
        DagsterInvalidConfigError,
        DagsterInvalidDefinitionError,
        DagsterInvalidInvocationError,
        DagsterInvariantViolationError,
        TreadleError,
    )
    from treadle.definitions.jobs import JobDefinition
    from treadle.definitions.objects import ObjectIdentity, S3Object
    from treadle.definitions.resources import (
        ConfigurableResource,
        InitResourceContext,
        ResourceDefinition,
        ResourceParam,
        build_resources,
        resource,
    )
    from treadle.definitions.results import RunRequest, SensorExecutionData, SensorResult, SkipReason
    from treadle.definitions.run_config import RunConfig, validate_run_config
    from treadle.definitions.sensors import SensorDefinition, sensor
    from treadle.definitions.status import (
        DagsterRunStatus,
        DefaultSensorStatus,
        InstigatorStatus,
        SensorType,
        TickStatus,
    )
    from treadle.entrypoints.evaluator import evaluator
    from treadle.integrations.s3 import S3SensorDefinition, s3_sensor
    from treadle.integrations.s3.objects import get_objects, get_s3_keys

_HOMES = {
    "definitions.contexts": ["SensorEvaluationContext", "build_sensor_context"],
    "definitions.cursors": ["CursorType"],
    "definitions.errors": [
        "DagsterInvalidConfigError",
        "DagsterInvalidDefinitionError",
        "DagsterInvalidInvocationError",
        "DagsterInvariantViolationError",
        "TreadleError",
    ],
    "definitions.jobs": ["JobDefinition"],
    "definitions.objects": ["ObjectIdentity", "S3Object"],
    "definitions.resources": [
        "ConfigurableResource",
        "InitResourceContext",
        "ResourceDefinition",
        "ResourceParam",
        "build_resources",
        "resource",
    ],
    "definitions.results": ["RunRequest", "SensorExecutionData", "SensorResult", "SkipReason"],
    "definitions.run_config": ["RunConfig", "validate_run_config"],
    "definitions.sensors": ["SensorDefinition", "sensor"],
    "definitions.status": [
        "DagsterRunStatus",
        "DefaultSensorStatus",
        "InstigatorStatus",
        "SensorType",
        "TickStatus",
    ],
    "entrypoints.evaluator": ["evaluator"],
    "integrations.s3": ["S3SensorDefinition", "s3_sensor"],
    "integrations.s3.objects": ["get_objects", "get_s3_keys"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "ConfigurableResource",
    "CursorType",
    "DagsterInvalidConfigError",
    "DagsterInvalidDefinitionError",
    "DagsterInvalidInvocationError",
    "DagsterInvariantViolationError",
    "DagsterRunStatus",
    "DefaultSensorStatus",
    "InitResourceContext",
    "InstigatorStatus",
    "JobDefinition",
    "ObjectIdentity",
    "ResourceDefinition",
    "ResourceParam",
    "RunConfig",
    "RunRequest",
    "S3Object",
    "S3SensorDefinition",
    "SensorDefinition",
    "SensorEvaluationContext",
    "SensorExecutionData",
    "SensorResult",
    "SensorType",
    "SkipReason",
    "TickStatus",
    "TreadleError",
    "build_resources",
    "build_sensor_context",
    "evaluator",
    "get_objects",
    "get_s3_keys",
    "resource",
    "s3_sensor",
    "sensor",
    "validate_run_config",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module 'treadle' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"treadle.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
