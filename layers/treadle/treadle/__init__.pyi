"""The names that `treadle` exports, each with its module; `__init__.py` reads them from here, too."""

from treadle.definitions.all_succeeded_sensor import all_succeeded as all_succeeded
from treadle.definitions.asset_key import AssetKey as AssetKey
from treadle.definitions.asset_selection import AssetSelection as AssetSelection
from treadle.definitions.asset_sensor import AssetSensorDefinition as AssetSensorDefinition
from treadle.definitions.asset_sensor import asset_sensor as asset_sensor
from treadle.definitions.asset_specs import AssetDep as AssetDep
from treadle.definitions.asset_specs import AssetSpec as AssetSpec
from treadle.definitions.assets import AssetMaterialization as AssetMaterialization
from treadle.definitions.assets import AssetObservation as AssetObservation
from treadle.definitions.assets_updated_sensor import AssetBatch as AssetBatch
from treadle.definitions.assets_updated_sensor import assets_updated as assets_updated
from treadle.definitions.batch_contexts import BatchSensorContext as BatchSensorContext
from treadle.definitions.batch_contexts import build_batch_sensor_context as build_batch_sensor_context
from treadle.definitions.batching import UpstreamBatch as UpstreamBatch
from treadle.definitions.bus_event import EventBridgeEvent as EventBridgeEvent
from treadle.definitions.configurable_resources import ConfigurableResource as ConfigurableResource
from treadle.definitions.contexts import SensorEvaluationContext as SensorEvaluationContext
from treadle.definitions.contexts import build_sensor_context as build_sensor_context
from treadle.definitions.cursors import CursorType as CursorType
from treadle.definitions.deadlines import DeadlineSensorContext as DeadlineSensorContext
from treadle.definitions.deadlines import deadline_sensor as deadline_sensor
from treadle.definitions.errors import DagsterInvalidConfigError as DagsterInvalidConfigError
from treadle.definitions.errors import DagsterInvalidDefinitionError as DagsterInvalidDefinitionError
from treadle.definitions.errors import DagsterInvalidInvocationError as DagsterInvalidInvocationError
from treadle.definitions.errors import DagsterInvariantViolationError as DagsterInvariantViolationError
from treadle.definitions.errors import TreadleError as TreadleError
from treadle.definitions.event_log import AssetRecordsFilter as AssetRecordsFilter
from treadle.definitions.event_log import EventLogEntry as EventLogEntry
from treadle.definitions.event_log import EventLogRecord as EventLogRecord
from treadle.definitions.event_log import EventRecordsFilter as EventRecordsFilter
from treadle.definitions.event_log import EventRecordsResult as EventRecordsResult
from treadle.definitions.event_sensor import EventSensorContext as EventSensorContext
from treadle.definitions.event_sensor import EventSensorDefinition as EventSensorDefinition
from treadle.definitions.event_sensor import build_event_sensor_context as build_event_sensor_context
from treadle.definitions.event_sensor import event_sensor as event_sensor
from treadle.definitions.hours import Hours as Hours
from treadle.definitions.instance import DagsterInstance as DagsterInstance
from treadle.definitions.item_batches import Batch as Batch
from treadle.definitions.jobs import JobDefinition as JobDefinition
from treadle.definitions.multi_asset_contexts import (
    MultiAssetSensorEvaluationContext as MultiAssetSensorEvaluationContext,
)
from treadle.definitions.multi_asset_contexts import (
    build_multi_asset_sensor_context as build_multi_asset_sensor_context,
)
from treadle.definitions.multi_asset_sensor import MultiAssetSensorDefinition as MultiAssetSensorDefinition
from treadle.definitions.multi_asset_sensor import multi_asset_sensor as multi_asset_sensor
from treadle.definitions.objects import ObjectIdentity as ObjectIdentity
from treadle.definitions.objects import S3Group as S3Group
from treadle.definitions.objects import S3Object as S3Object
from treadle.definitions.queue_message import QueueMessage as QueueMessage
from treadle.definitions.queue_sensor import QueueSensorContext as QueueSensorContext
from treadle.definitions.queue_sensor import QueueSensorDefinition as QueueSensorDefinition
from treadle.definitions.queue_sensor import build_queue_sensor_context as build_queue_sensor_context
from treadle.definitions.queue_sensor import queue_sensor as queue_sensor
from treadle.definitions.resources import InitResourceContext as InitResourceContext
from treadle.definitions.resources import ResourceDefinition as ResourceDefinition
from treadle.definitions.resources import ResourceParam as ResourceParam
from treadle.definitions.resources import build_resources as build_resources
from treadle.definitions.resources import resource as resource
from treadle.definitions.results import DagsterRunReaction as DagsterRunReaction
from treadle.definitions.results import RunRequest as RunRequest
from treadle.definitions.results import SensorExecutionData as SensorExecutionData
from treadle.definitions.results import SensorResult as SensorResult
from treadle.definitions.results import SkipReason as SkipReason
from treadle.definitions.retries import Backoff as Backoff
from treadle.definitions.retries import Jitter as Jitter
from treadle.definitions.retries import RetryPolicy as RetryPolicy
from treadle.definitions.run_config import RunConfig as RunConfig
from treadle.definitions.run_config_schema import validate_run_config as validate_run_config
from treadle.definitions.run_events import DagsterEvent as DagsterEvent
from treadle.definitions.run_events import DagsterEventType as DagsterEventType
from treadle.definitions.run_events import RunStatusEvent as RunStatusEvent
from treadle.definitions.run_status import CodeLocationSelector as CodeLocationSelector
from treadle.definitions.run_status import JobSelector as JobSelector
from treadle.definitions.run_status import RepositorySelector as RepositorySelector
from treadle.definitions.run_status import RunFailureSensorDefinition as RunFailureSensorDefinition
from treadle.definitions.run_status import RunStatusSensorDefinition as RunStatusSensorDefinition
from treadle.definitions.run_status import run_failure_sensor as run_failure_sensor
from treadle.definitions.run_status import run_status_sensor as run_status_sensor
from treadle.definitions.run_status_contexts import RunFailureSensorContext as RunFailureSensorContext
from treadle.definitions.run_status_contexts import RunStatusSensorContext as RunStatusSensorContext
from treadle.definitions.run_status_contexts import (
    build_run_status_sensor_context as build_run_status_sensor_context,
)
from treadle.definitions.runs import DagsterRun as DagsterRun
from treadle.definitions.runs import RunRecord as RunRecord
from treadle.definitions.runs import RunsFilter as RunsFilter
from treadle.definitions.sensors import SensorDefinition as SensorDefinition
from treadle.definitions.sensors import sensor as sensor
from treadle.definitions.status import DagsterRunStatus as DagsterRunStatus
from treadle.definitions.status import DefaultSensorStatus as DefaultSensorStatus
from treadle.definitions.status import InstigatorStatus as InstigatorStatus
from treadle.definitions.status import SensorType as SensorType
from treadle.definitions.status import TickStatus as TickStatus
from treadle.definitions.stream_record import StreamRecord as StreamRecord
from treadle.definitions.stream_sensor import StreamSensorContext as StreamSensorContext
from treadle.definitions.stream_sensor import StreamSensorDefinition as StreamSensorDefinition
from treadle.definitions.stream_sensor import build_stream_sensor_context as build_stream_sensor_context
from treadle.definitions.stream_sensor import stream_sensor as stream_sensor
from treadle.definitions.webhook_request import WebhookRequest as WebhookRequest
from treadle.definitions.webhook_sensor import WebhookSensorContext as WebhookSensorContext
from treadle.definitions.webhook_sensor import WebhookSensorDefinition as WebhookSensorDefinition
from treadle.definitions.webhook_sensor import build_webhook_sensor_context as build_webhook_sensor_context
from treadle.definitions.webhook_sensor import webhook_sensor as webhook_sensor
from treadle.definitions.webhook_verification import BearerToken as BearerToken
from treadle.definitions.webhook_verification import HmacSignature as HmacSignature
from treadle.definitions.webhook_verification import TimestampedSignature as TimestampedSignature
from treadle.entrypoints.evaluator import evaluator as evaluator
from treadle.integrations.alerts.channels import unless_retried as unless_retried
from treadle.integrations.alerts.environment import alert_from_environment as alert_from_environment
from treadle.integrations.alerts.mail import (
    make_email_on_run_failure_sensor as make_email_on_run_failure_sensor,
)
from treadle.integrations.alerts.pagerduty import (
    make_pagerduty_on_run_failure_sensor as make_pagerduty_on_run_failure_sensor,
)
from treadle.integrations.alerts.secrets import Secret as Secret
from treadle.integrations.alerts.slack import (
    make_slack_on_run_failure_sensor as make_slack_on_run_failure_sensor,
)
from treadle.integrations.alerts.sns import make_sns_on_run_failure_sensor as make_sns_on_run_failure_sensor
from treadle.integrations.alerts.teams import (
    make_teams_on_run_failure_sensor as make_teams_on_run_failure_sensor,
)
from treadle.integrations.alerts.webhook import (
    make_webhook_on_run_failure_sensor as make_webhook_on_run_failure_sensor,
)
from treadle.integrations.payloads import read_payload as read_payload
from treadle.integrations.reporting import report_asset_materialization as report_asset_materialization
from treadle.integrations.reporting import report_asset_observation as report_asset_observation
from treadle.integrations.reporting import report_run_status as report_run_status
from treadle.integrations.s3 import FileCount as FileCount
from treadle.integrations.s3 import FileNames as FileNames
from treadle.integrations.s3 import Marker as Marker
from treadle.integrations.s3 import S3SensorDefinition as S3SensorDefinition
from treadle.integrations.s3 import s3_sensor as s3_sensor
from treadle.integrations.s3.objects import get_objects as get_objects
from treadle.integrations.s3.objects import get_s3_keys as get_s3_keys

__all__: list[str]
from treadle.definitions.config_schema import Array as Array
from treadle.definitions.config_schema import BoolSource as BoolSource
from treadle.definitions.config_schema import EnvVar as EnvVar
from treadle.definitions.config_schema import Field as Field
from treadle.definitions.config_schema import IntSource as IntSource
from treadle.definitions.config_schema import Map as Map
from treadle.definitions.config_schema import Noneable as Noneable
from treadle.definitions.config_schema import Permissive as Permissive
from treadle.definitions.config_schema import Selector as Selector
from treadle.definitions.config_schema import Shape as Shape
from treadle.definitions.config_schema import StringSource as StringSource
from treadle.definitions.configurable_resources import Config as Config
from treadle.definitions.configurable_resources import PermissiveConfig as PermissiveConfig
from treadle.definitions.configurable_resources import ResourceDependency as ResourceDependency
from treadle.definitions.errors import DagsterConfigMappingFunctionError as DagsterConfigMappingFunctionError
from treadle.definitions.errors import (
    DagsterInvalidConfigDefinitionError as DagsterInvalidConfigDefinitionError,
)
from treadle.definitions.errors import DagsterResourceFunctionError as DagsterResourceFunctionError
from treadle.definitions.errors import DagsterUnknownPartitionError as DagsterUnknownPartitionError
from treadle.definitions.metadata import BoolMetadataValue as BoolMetadataValue
from treadle.definitions.metadata import DagsterAssetMetadataValue as DagsterAssetMetadataValue
from treadle.definitions.metadata import DagsterRunMetadataValue as DagsterRunMetadataValue
from treadle.definitions.metadata import FloatMetadataValue as FloatMetadataValue
from treadle.definitions.metadata import IntMetadataValue as IntMetadataValue
from treadle.definitions.metadata import JsonMetadataValue as JsonMetadataValue
from treadle.definitions.metadata import MarkdownMetadataValue as MarkdownMetadataValue
from treadle.definitions.metadata import MetadataValue as MetadataValue
from treadle.definitions.metadata import NotebookMetadataValue as NotebookMetadataValue
from treadle.definitions.metadata import NullMetadataValue as NullMetadataValue
from treadle.definitions.metadata import PathMetadataValue as PathMetadataValue
from treadle.definitions.metadata import TextMetadataValue as TextMetadataValue
from treadle.definitions.metadata import TimestampMetadataValue as TimestampMetadataValue
from treadle.definitions.metadata import UrlMetadataValue as UrlMetadataValue
from treadle.definitions.partitions.base import PartitionKeyRange as PartitionKeyRange
from treadle.definitions.partitions.base import PartitionsDefinition as PartitionsDefinition
from treadle.definitions.partitions.calendar_windows import (
    DailyPartitionsDefinition as DailyPartitionsDefinition,
)
from treadle.definitions.partitions.calendar_windows import (
    HourlyPartitionsDefinition as HourlyPartitionsDefinition,
)
from treadle.definitions.partitions.calendar_windows import (
    MonthlyPartitionsDefinition as MonthlyPartitionsDefinition,
)
from treadle.definitions.partitions.calendar_windows import (
    WeeklyPartitionsDefinition as WeeklyPartitionsDefinition,
)
from treadle.definitions.partitions.context import partition_loading_context as partition_loading_context
from treadle.definitions.partitions.dynamic import DynamicPartitionsDefinition as DynamicPartitionsDefinition
from treadle.definitions.partitions.mappings import AllPartitionMapping as AllPartitionMapping
from treadle.definitions.partitions.mappings import IdentityPartitionMapping as IdentityPartitionMapping
from treadle.definitions.partitions.mappings import LastPartitionMapping as LastPartitionMapping
from treadle.definitions.partitions.mappings import PartitionMapping as PartitionMapping
from treadle.definitions.partitions.mappings import (
    SpecificPartitionsPartitionMapping as SpecificPartitionsPartitionMapping,
)
from treadle.definitions.partitions.mappings import StaticPartitionMapping as StaticPartitionMapping
from treadle.definitions.partitions.multi import MultiPartitionKey as MultiPartitionKey
from treadle.definitions.partitions.multi import MultiPartitionsDefinition as MultiPartitionsDefinition
from treadle.definitions.partitions.multi_mappings import (
    DimensionPartitionMapping as DimensionPartitionMapping,
)
from treadle.definitions.partitions.multi_mappings import MultiPartitionMapping as MultiPartitionMapping
from treadle.definitions.partitions.multi_mappings import (
    MultiToSingleDimensionPartitionMapping as MultiToSingleDimensionPartitionMapping,
)
from treadle.definitions.partitions.requests import AddDynamicPartitionsRequest as AddDynamicPartitionsRequest
from treadle.definitions.partitions.requests import (
    DeleteDynamicPartitionsRequest as DeleteDynamicPartitionsRequest,
)
from treadle.definitions.partitions.static import StaticPartitionsDefinition as StaticPartitionsDefinition
from treadle.definitions.partitions.time_window_mapping import (
    TimeWindowPartitionMapping as TimeWindowPartitionMapping,
)
from treadle.definitions.partitions.time_windows import TimeWindow as TimeWindow
from treadle.definitions.partitions.time_windows import (
    TimeWindowPartitionsDefinition as TimeWindowPartitionsDefinition,
)
from treadle.definitions.resources import (
    IAttachDifferentObjectToOpContext as IAttachDifferentObjectToOpContext,
)
from treadle.definitions.resources import build_init_resource_context as build_init_resource_context
from treadle.definitions.resources import configured as configured
from treadle.definitions.resources import make_values_resource as make_values_resource
from treadle.testing.instance import instance_for_test as instance_for_test
