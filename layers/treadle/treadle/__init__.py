"""What a sensor's author imports. Names load on first use, so that a handler loads only what it uses."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from treadle.definitions.all_succeeded_sensor import all_succeeded
    from treadle.definitions.asset_sensor import AssetSensorDefinition, asset_sensor
    from treadle.definitions.assets import AssetKey, AssetMaterialization, MetadataValue
    from treadle.definitions.assets_updated_sensor import AssetBatch, assets_updated
    from treadle.definitions.batching import Batch
    from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
    from treadle.definitions.cursors import CursorType
    from treadle.definitions.deadlines import DeadlineSensorContext, deadline_sensor
    from treadle.definitions.errors import (
        DagsterInvalidConfigError,
        DagsterInvalidDefinitionError,
        DagsterInvalidInvocationError,
        DagsterInvariantViolationError,
        DagsterUnknownPartitionError,
        TreadleError,
    )
    from treadle.definitions.event_log import (
        AssetRecordsFilter,
        EventLogEntry,
        EventLogRecord,
        EventRecordsFilter,
        EventRecordsResult,
    )
    from treadle.definitions.instance import DagsterInstance
    from treadle.definitions.jobs import JobDefinition
    from treadle.definitions.multi_asset_contexts import (
        MultiAssetSensorEvaluationContext,
        build_multi_asset_sensor_context,
    )
    from treadle.definitions.multi_asset_sensor import MultiAssetSensorDefinition, multi_asset_sensor
    from treadle.definitions.objects import ObjectIdentity, S3Object
    from treadle.definitions.partitions.base import PartitionKeyRange, PartitionsDefinition
    from treadle.definitions.partitions.calendar_windows import (
        DailyPartitionsDefinition,
        HourlyPartitionsDefinition,
        MonthlyPartitionsDefinition,
        WeeklyPartitionsDefinition,
    )
    from treadle.definitions.partitions.context import partition_loading_context
    from treadle.definitions.partitions.dynamic import DynamicPartitionsDefinition
    from treadle.definitions.partitions.multi import MultiPartitionKey, MultiPartitionsDefinition
    from treadle.definitions.partitions.static import StaticPartitionsDefinition
    from treadle.definitions.partitions.time_windows import TimeWindow, TimeWindowPartitionsDefinition
    from treadle.definitions.resources import (
        ConfigurableResource,
        InitResourceContext,
        ResourceDefinition,
        ResourceParam,
        build_resources,
        resource,
    )
    from treadle.definitions.results import (
        DagsterRunReaction,
        RunRequest,
        SensorExecutionData,
        SensorResult,
        SkipReason,
    )
    from treadle.definitions.run_config import RunConfig, validate_run_config
    from treadle.definitions.run_events import DagsterEvent, DagsterEventType
    from treadle.definitions.run_status import (
        CodeLocationSelector,
        JobSelector,
        RepositorySelector,
        RunFailureSensorDefinition,
        RunStatusSensorDefinition,
        run_failure_sensor,
        run_status_sensor,
    )
    from treadle.definitions.run_status_contexts import (
        RunFailureSensorContext,
        RunStatusSensorContext,
        build_run_status_sensor_context,
    )
    from treadle.definitions.runs import DagsterRun, RunRecord, RunsFilter
    from treadle.definitions.sensors import SensorDefinition, sensor
    from treadle.definitions.status import (
        DagsterRunStatus,
        DefaultSensorStatus,
        InstigatorStatus,
        SensorType,
        TickStatus,
    )
    from treadle.entrypoints.evaluator import evaluator
    from treadle.integrations.alerts.channels import unless_retried
    from treadle.integrations.alerts.environment import alert_from_environment
    from treadle.integrations.alerts.mail import make_email_on_run_failure_sensor
    from treadle.integrations.alerts.pagerduty import make_pagerduty_on_run_failure_sensor
    from treadle.integrations.alerts.secrets import Secret
    from treadle.integrations.alerts.slack import make_slack_on_run_failure_sensor
    from treadle.integrations.alerts.sns import make_sns_on_run_failure_sensor
    from treadle.integrations.alerts.teams import make_teams_on_run_failure_sensor
    from treadle.integrations.alerts.webhook import make_webhook_on_run_failure_sensor
    from treadle.integrations.reporting import report_asset_materialization, report_run_status
    from treadle.integrations.s3 import FileCount, Marker, S3SensorDefinition, s3_sensor
    from treadle.integrations.s3.objects import get_objects, get_s3_keys

_HOMES = {
    "definitions.assets_updated_sensor": ["AssetBatch", "assets_updated"],
    "definitions.asset_sensor": ["AssetSensorDefinition", "asset_sensor"],
    "definitions.assets": ["AssetKey", "AssetMaterialization", "MetadataValue"],
    "definitions.batching": ["Batch"],
    "definitions.contexts": ["SensorEvaluationContext", "build_sensor_context"],
    "definitions.all_succeeded_sensor": ["all_succeeded"],
    "definitions.cursors": ["CursorType"],
    "definitions.deadlines": ["DeadlineSensorContext", "deadline_sensor"],
    "definitions.errors": [
        "DagsterInvalidConfigError",
        "DagsterInvalidDefinitionError",
        "DagsterInvalidInvocationError",
        "DagsterInvariantViolationError",
        "DagsterUnknownPartitionError",
        "TreadleError",
    ],
    "definitions.event_log": [
        "AssetRecordsFilter",
        "EventLogEntry",
        "EventLogRecord",
        "EventRecordsFilter",
        "EventRecordsResult",
    ],
    "definitions.instance": ["DagsterInstance"],
    "definitions.jobs": ["JobDefinition"],
    "definitions.multi_asset_contexts": [
        "MultiAssetSensorEvaluationContext",
        "build_multi_asset_sensor_context",
    ],
    "definitions.multi_asset_sensor": ["MultiAssetSensorDefinition", "multi_asset_sensor"],
    "definitions.objects": ["ObjectIdentity", "S3Object"],
    "definitions.partitions.base": ["PartitionKeyRange", "PartitionsDefinition"],
    "definitions.partitions.calendar_windows": [
        "DailyPartitionsDefinition",
        "HourlyPartitionsDefinition",
        "MonthlyPartitionsDefinition",
        "WeeklyPartitionsDefinition",
    ],
    "definitions.partitions.context": ["partition_loading_context"],
    "definitions.partitions.dynamic": ["DynamicPartitionsDefinition"],
    "definitions.partitions.multi": ["MultiPartitionKey", "MultiPartitionsDefinition"],
    "definitions.partitions.static": ["StaticPartitionsDefinition"],
    "definitions.partitions.time_windows": ["TimeWindow", "TimeWindowPartitionsDefinition"],
    "definitions.resources": [
        "ConfigurableResource",
        "InitResourceContext",
        "ResourceDefinition",
        "ResourceParam",
        "build_resources",
        "resource",
    ],
    "definitions.results": [
        "DagsterRunReaction",
        "RunRequest",
        "SensorExecutionData",
        "SensorResult",
        "SkipReason",
    ],
    "definitions.run_config": ["RunConfig", "validate_run_config"],
    "definitions.run_events": ["DagsterEvent", "DagsterEventType"],
    "definitions.run_status": [
        "CodeLocationSelector",
        "JobSelector",
        "RepositorySelector",
        "RunFailureSensorDefinition",
        "RunStatusSensorDefinition",
        "run_failure_sensor",
        "run_status_sensor",
    ],
    "definitions.run_status_contexts": [
        "RunFailureSensorContext",
        "RunStatusSensorContext",
        "build_run_status_sensor_context",
    ],
    "definitions.runs": ["DagsterRun", "RunRecord", "RunsFilter"],
    "definitions.sensors": ["SensorDefinition", "sensor"],
    "definitions.status": [
        "DagsterRunStatus",
        "DefaultSensorStatus",
        "InstigatorStatus",
        "SensorType",
        "TickStatus",
    ],
    "entrypoints.evaluator": ["evaluator"],
    "integrations.alerts.channels": ["unless_retried"],
    "integrations.alerts.environment": ["alert_from_environment"],
    "integrations.alerts.mail": ["make_email_on_run_failure_sensor"],
    "integrations.alerts.pagerduty": ["make_pagerduty_on_run_failure_sensor"],
    "integrations.alerts.secrets": ["Secret"],
    "integrations.alerts.slack": ["make_slack_on_run_failure_sensor"],
    "integrations.alerts.sns": ["make_sns_on_run_failure_sensor"],
    "integrations.alerts.teams": ["make_teams_on_run_failure_sensor"],
    "integrations.alerts.webhook": ["make_webhook_on_run_failure_sensor"],
    "integrations.reporting": ["report_asset_materialization", "report_run_status"],
    "integrations.s3": ["FileCount", "Marker", "S3SensorDefinition", "s3_sensor"],
    "integrations.s3.objects": ["get_objects", "get_s3_keys"],
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [
    "AssetBatch",
    "AssetKey",
    "AssetMaterialization",
    "AssetRecordsFilter",
    "AssetSensorDefinition",
    "Batch",
    "CodeLocationSelector",
    "ConfigurableResource",
    "CursorType",
    "DagsterEvent",
    "DagsterEventType",
    "DagsterInstance",
    "DagsterInvalidConfigError",
    "DagsterInvalidDefinitionError",
    "DagsterInvalidInvocationError",
    "DagsterInvariantViolationError",
    "DagsterRun",
    "DagsterRunReaction",
    "DagsterRunStatus",
    "DagsterUnknownPartitionError",
    "DailyPartitionsDefinition",
    "DeadlineSensorContext",
    "DefaultSensorStatus",
    "DynamicPartitionsDefinition",
    "EventLogEntry",
    "EventLogRecord",
    "EventRecordsFilter",
    "EventRecordsResult",
    "FileCount",
    "HourlyPartitionsDefinition",
    "InitResourceContext",
    "InstigatorStatus",
    "JobDefinition",
    "JobSelector",
    "Marker",
    "MetadataValue",
    "MonthlyPartitionsDefinition",
    "MultiAssetSensorDefinition",
    "MultiAssetSensorEvaluationContext",
    "MultiPartitionKey",
    "MultiPartitionsDefinition",
    "ObjectIdentity",
    "PartitionKeyRange",
    "PartitionsDefinition",
    "RepositorySelector",
    "ResourceDefinition",
    "ResourceParam",
    "RunConfig",
    "RunFailureSensorContext",
    "RunFailureSensorDefinition",
    "RunRecord",
    "RunRequest",
    "RunStatusSensorContext",
    "RunStatusSensorDefinition",
    "RunsFilter",
    "S3Object",
    "S3SensorDefinition",
    "Secret",
    "SensorDefinition",
    "SensorEvaluationContext",
    "SensorExecutionData",
    "SensorResult",
    "SensorType",
    "SkipReason",
    "StaticPartitionsDefinition",
    "TickStatus",
    "TimeWindow",
    "TimeWindowPartitionsDefinition",
    "TreadleError",
    "WeeklyPartitionsDefinition",
    "alert_from_environment",
    "all_succeeded",
    "asset_sensor",
    "assets_updated",
    "build_multi_asset_sensor_context",
    "build_resources",
    "build_run_status_sensor_context",
    "build_sensor_context",
    "deadline_sensor",
    "evaluator",
    "get_objects",
    "get_s3_keys",
    "make_email_on_run_failure_sensor",
    "make_pagerduty_on_run_failure_sensor",
    "make_slack_on_run_failure_sensor",
    "make_sns_on_run_failure_sensor",
    "make_teams_on_run_failure_sensor",
    "make_webhook_on_run_failure_sensor",
    "multi_asset_sensor",
    "partition_loading_context",
    "report_asset_materialization",
    "report_run_status",
    "resource",
    "run_failure_sensor",
    "run_status_sensor",
    "s3_sensor",
    "sensor",
    "unless_retried",
    "validate_run_config",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME_OF:
        msg = f"module 'treadle' has no attribute {name!r}"
        raise AttributeError(msg)
    value = getattr(import_module(f"treadle.{_HOME_OF[name]}"), name)
    globals()[name] = value
    return value
