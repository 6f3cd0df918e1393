"""What a port changes, as tables, and what Treadle has, read from the package itself when the command runs."""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from fnmatch import fnmatchcase
from functools import cache
from typing import Any, NamedTuple, get_args

import treadle
from treadle.definitions.asset_sensor import AssetSensorEvaluationContext

GUIDE = "docs/guide/coming-from-dagster.md"
NOT_BUILT = "not-built-yet"
DIFFERENT = "what-is-different-and-why"
LISTED = "names-that-differ"
WHICH = "which-one-to-use"


class Level(StrEnum):
    """What becomes of a line."""

    WORKS = "works"
    CHANGE = "change"
    HAND = "by hand"
    IMPOSSIBLE = "cannot be expressed"


class Rule(NamedTuple):
    """What is said of a name or an option that Treadle does not have.

    Attributes:
        fact: why.
        advice: what to do.
        section: of the guide.
        level: what becomes of it.
    """

    fact: str
    advice: str
    section: str = NOT_BUILT
    level: Level = Level.IMPOSSIBLE


@dataclass(frozen=True, slots=True)
class Code:
    """A decorator or call whose code is not a sensor's.

    Attributes:
        kind: "job" is replaced by a `JobDefinition`, everything else is removed.
        fact: what it is.
        advice: where it belongs.
    """

    kind: str
    fact: str
    advice: str


_OF_JOB = "It belongs to what the job starts"
_JOB = Code("job", "the job's code is elsewhere", "Deploy the job with `treadle new job {name}`")
_OP = Code("op", "code of a job", f"Remove it. {_OF_JOB}")
_ASSET = Code(
    "asset", "asset definitions do not exist", f"Remove it. {_OF_JOB}, which reports its materializations"
)
_WIRING = Code(
    "wiring",
    "sensors and jobs are deployed in template.yaml",
    "Remove it. `treadle new sensor` and `treadle new job` write their blocks",
)

CODE: Mapping[str, Code] = {
    **dict.fromkeys(("job", "define_asset_job"), _JOB),
    "graph": Code("graph", "code of a job", f"Remove it. {_OF_JOB}"),
    **dict.fromkeys(
        ("op", "failure_hook", "success_hook", "config_mapping", "asset_check", "multi_asset_check"), _OP
    ),
    **dict.fromkeys(
        (
            *(
                "asset",
                "multi_asset",
                "graph_asset",
                "graph_multi_asset",
                "observable_source_asset",
                "SourceAsset",
            ),
            *("multi_observable_source_asset", "load_assets_from_modules"),
            *(
                "load_assets_from_current_module",
                "load_assets_from_package_module",
                "load_asset_checks_from_modules",
            ),
        ),
        _ASSET,
    ),
    **dict.fromkeys(
        ("Definitions", "definitions", "repository", "load_defs", "load_definitions_from_module"), _WIRING
    ),
}

PACKAGES = frozenset({"dagster", "dagster_aws", "dagster_slack", "dagster_msteams"})
"""Whose names may exist in Treadle."""

_LIBRARIES = """
    airbyte airflow airlift anthropic aws azure celery celery_docker celery_k8s census chroma clickhouse cloud cloud_cli
    contrib_gcp dask databricks datadog datahub dbt dg_cli dg_core deltalake deltalake_pandas deltalake_polars dlt docker
    duckdb duckdb_pandas duckdb_polars duckdb_pyspark embedded_elt fivetran gcp gcp_pandas gcp_pyspark ge gemini github
    graphql hex hightouch iceberg k8s looker managed_elements mlflow modal msteams mysql omni openai pagerduty pandas
    pandera papertrail pipes polars polytomic postgres powerbi prefect prometheus pyspark shared sigma slack sling
    snowflake snowflake_pandas snowflake_polars snowflake_pyspark spark ssh tableau twilio wandb webserver
"""
LIBRARIES = frozenset(_LIBRARIES.split())
"""What follows `dagster_` in the packages of Dagster's libraries; any other such package is the project's own."""

SENSORS: Mapping[str, str] = {
    "sensor": "schedule",
    "SensorDefinition": "schedule",
    "asset_sensor": "asset",
    "AssetSensorDefinition": "asset",
    "multi_asset_sensor": "multi-asset",
    "MultiAssetSensorDefinition": "multi-asset",
    "run_status_sensor": "run-status",
    "RunStatusSensorDefinition": "run-status",
    "run_failure_sensor": "run-failure",
    "make_email_on_run_failure_sensor": "run-failure",
    "make_slack_on_run_failure_sensor": "run-failure",
    "make_teams_on_run_failure_sensor": "run-failure",
}
"""What makes a sensor, with the kind that `treadle new sensor` has for it."""

TARGETS = frozenset(
    {"job", "jobs", "target", "request_job", "request_jobs", "monitored_jobs", "job_selection"}
)
"""Options that take jobs."""

CONTEXTS: Mapping[str, type] = {
    "sensor": treadle.SensorEvaluationContext,
    "asset_sensor": AssetSensorEvaluationContext,
    "multi_asset_sensor": treadle.MultiAssetSensorEvaluationContext,
    "run_status_sensor": treadle.RunStatusSensorContext,
    "run_failure_sensor": treadle.RunFailureSensorContext,
}
"""What a decorator calls its function with."""

RENAMED_OPTIONS: Mapping[str, str] = {
    "asset_keys": "monitored_assets",
    "dagit_base_url": "webserver_base_url",
    "monitor_all_repositories": "monitor_all_code_locations",
    "pipeline_name": "job_name",
}
"""Options under Dagster's former names, applied if only the new one exists."""

DROPPED_OPTIONS = frozenset({"repository_def", "definitions"})
"""Options that name what does not exist, and mean nothing here."""

MAPS_PARTITIONS = "get_downstream_partition_keys"
"""The method of a multi-asset sensor's context that needs the partitions of both assets."""

READS_PARTITIONS = frozenset(
    {
        MAPS_PARTITIONS,
        "all_partitions_materialized",
        "latest_materialization_records_by_partition",
        "latest_materialization_records_by_partition_and_asset",
    }
)
"""Methods of a multi-asset sensor's context that read the partitions of assets."""

DROPPED_OF_ASSETS = "nothing would use it"
"""Why options of `AssetSpec` that do not exist are left out."""

_SELECTION = Rule(
    "assets are selected by key, group and dependency only", "Select the assets by these", DIFFERENT
)
_DEFINITION = Rule("asset definitions do not exist", "Request the job that makes the assets")
_CHECKS = Rule("asset checks do not exist", "Run the checks within the job")
_CONDITION_OPTION = Rule("automation conditions do not exist", "Write a sensor", WHICH)
_LOCATIONS = Rule(
    "code locations and repositories do not exist", "Name what it is used for", DIFFERENT, Level.HAND
)
_ENGINES_OWN = Rule("it is a part of Dagster's engine", "Leave it out", LISTED, Level.HAND)
_IN_MEMORY = Rule("the instance of a test is in memory", "Leave it out", DIFFERENT, Level.HAND)
_NOT_IN_RUNS = Rule("a run record has no such field", "Keep it in the run's tags", LISTED, Level.HAND)
_NO_SCAN = Rule("nothing is ever scanned", "Give the keys, the job or the run ids", DIFFERENT, Level.HAND)
_CONFIG_TYPES = Rule(
    "it is not ported from Dagster's config", "Use the other types of config", DIFFERENT, Level.HAND
)

OPTIONS: Mapping[str, Rule] = {
    "stale_assets_only": _SELECTION,
    "asset_check_keys": _CHECKS,
    "automation_condition_evaluations": _CONDITION_OPTION,
    **dict.fromkeys(("repository_def", "definitions"), _LOCATIONS),
    **dict.fromkeys(("instance_ref", "dagster_run", "event_loop", "log_manager"), _ENGINES_OWN),
    **dict.fromkeys(
        ("preload", "settings", "tempdir", "temp_dir", "overrides", "set_dagster_home"), _IN_MEMORY
    ),
    "synchronous_run_*": _IN_MEMORY,
    **dict.fromkeys(("snapshot_id", "exclude_subruns"), _NOT_IN_RUNS),
    **dict.fromkeys(("get_run_records.cursor", "bucket_by"), _NO_SCAN),
    **dict.fromkeys(("field_aliases", "key_label_name"), _CONFIG_TYPES),
}
"""By the name of an option, or by `call.option`; `*` stands for any characters, here as in the other tables."""

JOB_ELSEWHERE = Rule(
    "the job's code is elsewhere", 'Write JobDefinition("its name") here', DIFFERENT, Level.HAND
)
RELATIVE = Rule(
    "the function's folder is no package",
    "Copy what the sensor needs from there, or share it by the project's layer",
    DIFFERENT,
    Level.HAND,
)
RESOURCES = Rule(
    "the function of each sensor makes what it uses",
    "Pass them to its handler: evaluator(sensor, resources={...})",
    DIFFERENT,
    Level.HAND,
)
ASSETS_OF_JOB = Rule(
    "a job must list the assets that requests select",
    "Give its JobDefinition assets=[...], with AssetSpecs where deps or groups matter",
    DIFFERENT,
    Level.HAND,
)
JOBS_OF_ASSETS = Rule(
    "it selects among the assets of jobs",
    "Give the handler the jobs that make them: evaluator(sensor, jobs=[JobDefinition(..., assets=[...])])",
    DIFFERENT,
    Level.HAND,
)
PARTITIONS_OF_KEY = Rule(
    "the asset is not defined in this file, and its partitions are mapped",
    "Name it by AssetSpec(key, partitions_def=...)",
    DIFFERENT,
    Level.HAND,
)
MAPPING_OF_INPUT = Rule(
    "an asset's code is elsewhere, so it has no inputs",
    "Give its AssetSpec deps=[AssetDep(..., partition_mapping=...)]",
    DIFFERENT,
    Level.HAND,
)
CONFIG_OF_JOB = Rule(
    "a job has no config of its own", "Give it as the run_config of each request", DIFFERENT, Level.HAND
)

_SCHEDULE = Rule("only sensors are evaluated", "Start the job by EventBridge Scheduler", WHICH)
_CONDITION = Rule("automation conditions do not exist", "Write an asset sensor", WHICH)
_IN_TEST = Rule("jobs do not run in a test", "Use TreadleInstance of treadle.testing", DIFFERENT, Level.HAND)
_IO = Rule("it moves data within a job", "Remove it; it belongs to what the job starts", WHICH, Level.HAND)
_OF_CODE = Rule("it is part of a job's code", "Move what uses it to the job", WHICH, Level.HAND)
_CLIENT = Rule(
    "resources of Dagster's libraries do not exist",
    "Use the service's own client, such as boto3.client",
    DIFFERENT,
    Level.HAND,
)
_PARTITIONED = Rule(
    "partitioned configs are not built", "Give the job partitions_def, and the config with each request"
)
_EVENTS = Rule(
    "events within a run, and those of the instance, are not recorded",
    "React to the status of runs or to materializations",
    LISTED,
)
_NO_STATUS = Rule("no run has this status or event", "Leave it out", DIFFERENT, Level.HAND)
_READ_ONLY = Rule(
    "a sensor only reads the instance",
    "Return asset_events with SensorResult; operators delete with the command line",
    LISTED,
    Level.HAND,
)
_METADATA = Rule("metadata has no such type", "Use MetadataValue.json or text", DIFFERENT, Level.HAND)
_TIMES = Rule("start and end are given as times", "Use start and end", LISTED, Level.HAND)
_NAMED = Rule("only its first arguments may be positional", "Name the others", LISTED, Level.HAND)
_ERRORS = Rule("it is raised by Dagster's engine", "Catch TreadleError", LISTED, Level.HAND)
_TYPES_ONLY = Rule("it is for annotations alone", "Leave the annotation out", LISTED, Level.HAND)
_PLAIN = Rule("it is a helper of Dagster's", "Use Python's own: logging, json, pathlib", LISTED, Level.HAND)
_PAGES = Rule("keys of partitions are strings, and not paged", "Use get_partition_keys")

NAMES: Mapping[str, Rule] = {
    **dict.fromkeys(("schedule", "ScheduleDefinition", "build_schedule_from_partitioned_job"), _SCHEDULE),
    **dict.fromkeys(
        ("AutomationCondition", "AutomationConditionSensorDefinition", "AutoMaterializePolicy"), _CONDITION
    ),
    **dict.fromkeys(
        ("FreshnessPolicy", "build_asset_reconciliation_sensor", "freshness_policy_sensor"), _CONDITION
    ),
    "FreshnessPolicySensorContext": _CONDITION,
    **dict.fromkeys(("materialize", "materialize_to_memory", "build_op_context"), _IN_TEST),
    **dict.fromkeys(
        ("IOManager", "io_manager", "ConfigurableIOManager", "FilesystemIOManager", "fs_io_manager"), _IO
    ),
    **dict.fromkeys(
        ("OpExecutionContext", "AssetExecutionContext", "In", "Out", "Output", "MaterializeResult"), _OF_CODE
    ),
    **dict.fromkeys(("*Resource", "*_resource"), _CLIENT),
    "get_dagster_logger": Rule("it logs to Dagster", "Use context.log", DIFFERENT, Level.HAND),
    "AssetsDefinition": _DEFINITION,
    **dict.fromkeys(("AssetCheckResult", "AssetCheckEvaluation", "AssetCheckKey", "AssetJobKey"), _CHECKS),
    **dict.fromkeys(("AssetOrCheckKey", "ResolvedAssetKey", "SensorReturnTypesUnion"), _TYPES_ONLY),
    "PipesExecutionResult": _TYPES_ONLY,
    **dict.fromkeys(("DagsterError", "Dagster*Error", "DagsterEventLogInvalidForRun"), _ERRORS),
    **dict.fromkeys(("DagsterTypeCheckDidNotPass", "raise_execution_interrupts", "ClientException"), _ERRORS),
    **dict.fromkeys(
        ("BetaWarning", "PreviewWarning", "SupersessionWarning", "ConfigArgumentWarning"), _PLAIN
    ),
    **dict.fromkeys(
        ("deprecation_warning", "file_relative_path", "config_from_*", "DagsterLibraryRegistry"), _PLAIN
    ),
    **dict.fromkeys(("serialize_value", "deserialize_value", "_check"), _PLAIN),
    **dict.fromkeys(("ConfigSchema", "Enum", "EnumValue", "ScalarUnion"), _CONFIG_TYPES),
    **dict.fromkeys(("Table*", "MetadataEntry", "PoolMetadataValue", "DagsterJobMetadataValue"), _METADATA),
    "PythonArtifactMetadataValue": _METADATA,
    **dict.fromkeys(
        ("Bool", "Float", "Int", "Nothing", "String", "TypeCheck", "ExpectationResult"), _OF_CODE
    ),
    **dict.fromkeys(("DynamicOutput", "Failure", "RetryRequested", "HookExecutionResult"), _OF_CODE),
    "MAX_RUNTIME_SECONDS_TAG": Rule(
        "tags are written as text", 'Write "dagster/max_runtime"', LISTED, Level.HAND
    ),
    "with_resources": RESOURCES,
    **dict.fromkeys(
        ("RunStatusChangeRecordsFilter", "RunShardedEventsCursor", "AssetPartitionStatus"), _NO_SCAN
    ),
    **dict.fromkeys(("PaginatedResults", "Partition"), _PAGES),
    **dict.fromkeys(
        ("daily_partitioned_config", "static_partitioned_config", "dynamic_partitioned_config"), _PARTITIONED
    ),
    **dict.fromkeys(
        ("PartitionedConfig", "hourly_partitioned_config", "weekly_partitioned_config"), _PARTITIONED
    ),
    **dict.fromkeys(("monthly_partitioned_config", "partitioned_config"), _PARTITIONED),
}

MEMBERS: Mapping[str, Rule] = {
    "assets_defs_by_key": _DEFINITION,
    **dict.fromkeys(
        ("tag", "tag_string", "owner", "key_substring", "required_multi_asset_neighbors"), _SELECTION
    ),
    **dict.fromkeys(("checks", "checks_for_assets", "all_asset_checks", "without_checks"), _CHECKS),
    "PartitionMapping.get_*_for_partitions": Rule(
        "sets of partitions are lists of keys here", "Use get_downstream_partition_keys", LISTED, Level.HAND
    ),
    "sources": Rule("its name is roots", "Change it to roots", LISTED, Level.HAND),
    **dict.fromkeys(("repository_def", "code_location_origin"), _LOCATIONS),
    "execute_in_process": _IN_TEST,
    "JobDefinition.*": _OF_CODE,
    **dict.fromkeys(("STEP_*", "HOOK_*", "RESOURCE_INIT_*", "ALERT_*", "ASSET_*_OPERATION"), _EVENTS),
    **dict.fromkeys(("OBJECT_STORE_*", "ENGINE_EVENT", "HANDLED_OUTPUT", "LOADED_INPUT", "LOGS_*"), _EVENTS),
    **dict.fromkeys(("FRESHNESS_*", "ASSET_HEALTH_*", "ASSET_FAILED_*", "ASSET_WIPED"), _EVENTS),
    **dict.fromkeys(("ASSET_MATERIALIZATION_PLANNED", "CODE_LOCATION_UPDATED"), _EVENTS),
    **dict.fromkeys(("is_step_*", "is_hook_event", "is_engine_event", "is_expectation_result"), _EVENTS),
    **dict.fromkeys(("is_handled_output", "is_loaded_input", "is_resource_init_failure"), _EVENTS),
    **dict.fromkeys(("is_successful_output", "is_asset_materialization_planned"), _EVENTS),
    **dict.fromkeys(("step_handle", "step_kind_value", "node_handle", "logging_tags", "pid"), _EVENTS),
    "ASSET_CHECK_*": _CHECKS,
    **dict.fromkeys(("NOT_STARTED", "MANAGED", "SUSPENDED"), _NO_STATUS),
    **dict.fromkeys(("RUN_DEQUEUED", "RUN_SUSPENDED", "RUN_RESUMED"), _NO_STATUS),
    **dict.fromkeys(("is_cancelable", "is_resume_retry", "*_snapshot_id", "*_job_origin"), _NOT_IN_RUNS),
    **dict.fromkeys(("job_code_origin", "has_repository_load_data", "*op_selection"), _NOT_IN_RUNS),
    **dict.fromkeys(("*asset_check_selection", "step_keys_to_execute"), _NOT_IN_RUNS),
    **dict.fromkeys(
        ("root_run_id", "parent_run_id", "run_op_concurrency", "partitions_subset"), _NOT_IN_RUNS
    ),
    "RunRecord.storage_id": _NOT_IN_RUNS,
    **dict.fromkeys(
        ("instance_ref", "log_key", "resource_defs", "last_completion_time", "event_loop"), _ENGINES_OWN
    ),
    **dict.fromkeys(
        ("compute_log_manager", "defs_state_storage", "run_coordinator", "run_launcher"), _ENGINES_OWN
    ),
    **dict.fromkeys(("run_storage", "schedule_storage", "scheduler", "DagsterInstance.get"), _ENGINES_OWN),
    "local_temp": _IN_MEMORY,
    **dict.fromkeys(("get_asset_keys", "has_asset_key", "get_status_by_partition"), _NO_SCAN),
    "fetch_run_status_changes": Rule(
        "events of runs are not listed", "Use get_run_records, or a run status sensor", LISTED, Level.HAND
    ),
    **dict.fromkeys(("delete_run", "wipe_assets", "DagsterInstance.report_runless_asset_event"), _READ_ONLY),
    "get_latest_materialization_code_versions": Rule(
        "code versions are not recorded", "Put the version into the metadata", LISTED, Level.HAND
    ),
    "RunRequest.asset_graph_subset": _SELECTION,
    "SensorResult.automation_condition_evaluations": _CONDITION,
    **dict.fromkeys(
        (f"*MetadataValue.{each}" for each in ("table", "table_schema", "column_lineage", "job", "pool")),
        _METADATA,
    ),
    "*MetadataValue.python_artifact": _METADATA,
    **dict.fromkeys(("start_ts", "end_ts"), _TIMES),
    "Array.description": _CONFIG_TYPES,
}
"""By the name of an attribute, or by `Class.attribute`."""

CALLS: Mapping[str, Rule] = {
    **dict.fromkeys(("*SensorDefinition", "run_status_sensor", "run_failure_sensor", "RunRequest"), _NAMED),
    **dict.fromkeys(("build_sensor_context", "RunsFilter"), _NAMED),
    **dict.fromkeys(("get_run_records", "get_asset_records"), _NO_SCAN),
    "EventRecordsFilter": _NO_SCAN,
}
"""By the name of what is called with other arguments, although each of them exists."""

FORMER = frozenset(
    {
        *("automation_condition_evaluations", "build_asset_reconciliation_sensor", "freshness_policy_sensor"),
        *("FreshnessPolicySensorContext", "*Resource", "*_resource", "_check"),
        *("tag_string", "owner", "key_substring"),
    }
)
"""What the compared packages of Dagster do not show: of former releases and other libraries, internal or hidden."""


def matches(key: str, name: str) -> bool:
    """Return whether a key of a table is of a name, which may be `Class.attribute` or `call.option`."""
    return fnmatchcase(name, key) or fnmatchcase(name, f"*.{key}")


def rule_of(table: Mapping[str, Rule], name: str) -> Rule | None:
    """Return the rule of a name, which may be `Class.attribute` or `call.option`; None if there is none."""
    return next((rule for key, rule in table.items() if matches(key, name)), None)


def missing_name(name: str) -> Rule:
    """Return what is said of a name that Treadle does not have."""
    if name in CODE:
        return Rule(CODE[name].fact, CODE[name].advice, DIFFERENT, Level.HAND)
    return rule_of(NAMES, name) or unknown(name)


def unknown(name: str) -> Rule:
    """Return what is said of something that is in no table."""
    return Rule(
        f"not known: Treadle has no {name}",
        "Look for it in the guide, or do without it",
        DIFFERENT,
        Level.HAND,
    )


def exists(name: str) -> bool:
    """Return whether Treadle has a name."""
    return name in treadle.__all__


@cache
def options_of(name: str) -> tuple[str, ...] | None:
    """Return the options of one of Treadle's names, those that may be positional first; None if any will do."""
    try:
        signature = inspect.signature(getattr(treadle, name))
    except (TypeError, ValueError):
        return None
    options: list[str] = []
    for parameter in signature.parameters.values():
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD:
            options.append(parameter.name)
            continue
        of = get_args(parameter.annotation)
        if not of or not hasattr(of[0], "__optional_keys__"):
            return None
        options += sorted(of[0].__optional_keys__ | of[0].__required_keys__)
    return tuple(options)


def refusal(name: str, option: str) -> Rule | None:
    """Return why an option of one of Treadle's names cannot be given; None if it can."""
    if option not in (options_of(name) or ()):
        return rule_of(OPTIONS, f"{name}.{option}") or unknown(f"option {option} of {name}")
    return None


def positional(name: str) -> int:
    """Return how many arguments of one of Treadle's names may be positional."""
    kinds = [each.kind for each in inspect.signature(getattr(treadle, name)).parameters.values()]
    if inspect.Parameter.VAR_POSITIONAL in kinds:
        return sys.maxsize
    return sum(kind is inspect.Parameter.POSITIONAL_OR_KEYWORD for kind in kinds)


@cache
def has_member(cls: type, name: str) -> bool:
    """Return whether objects of a class, or the class itself, have an attribute."""
    return (
        hasattr(cls, name)
        or hasattr(cls, "__getattr__")
        or any(name in vars(base).get("__annotations__", {}) for base in cls.__mro__)
    )


def class_of(name: str) -> Any:
    """Return Treadle's class of a name; None if it has none."""
    value = getattr(treadle, name, None)
    return value if isinstance(value, type) else None
