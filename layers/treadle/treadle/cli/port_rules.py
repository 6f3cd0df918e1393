"""What a port changes, as tables, and what Treadle has, read from the package itself when the command runs."""

import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Any, NamedTuple, get_args

import treadle
from treadle.definitions.asset_sensor import AssetSensorEvaluationContext

GUIDE = "docs/guide/coming-from-dagster.md"
NOT_BUILT = "not-built-yet"
DIFFERENT = "what-is-different-and-why"
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

READS_PARTITIONS = frozenset(
    {
        "get_downstream_partition_keys",
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
_STORED_KEYS = Rule(
    "keys of dynamic partitions are not stored", "Keep the keys elsewhere; a partition_key is passed on"
)

OPTIONS: Mapping[str, Rule] = {
    **dict.fromkeys(("stale_assets_only", "asset_graph_subset"), _SELECTION),
    "asset_check_keys": _CHECKS,
    "dynamic_partitions_requests": _STORED_KEYS,
    "automation_condition_evaluations": Rule("automation conditions do not exist", "Write a sensor", WHICH),
}

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

NAMES: Mapping[str, Rule] = {
    **dict.fromkeys(("schedule", "ScheduleDefinition", "build_schedule_from_partitioned_job"), _SCHEDULE),
    **dict.fromkeys(
        ("AutomationCondition", "AutomationConditionSensorDefinition", "AutoMaterializePolicy"), _CONDITION
    ),
    **dict.fromkeys(
        ("FreshnessPolicy", "build_asset_reconciliation_sensor", "freshness_policy_sensor"), _CONDITION
    ),
    **dict.fromkeys(("materialize", "materialize_to_memory", "build_op_context"), _IN_TEST),
    **dict.fromkeys(
        ("IOManager", "io_manager", "ConfigurableIOManager", "FilesystemIOManager", "fs_io_manager"), _IO
    ),
    **dict.fromkeys(
        ("OpExecutionContext", "AssetExecutionContext", "In", "Out", "Output", "MaterializeResult"), _OF_CODE
    ),
    **dict.fromkeys(
        ("S3Resource", "SlackResource", "MSTeamsResource", "s3_resource", "slack_resource"), _CLIENT
    ),
    "get_dagster_logger": Rule("it logs to Dagster", "Use context.log", DIFFERENT, Level.HAND),
    "AssetsDefinition": _DEFINITION,
    **dict.fromkeys(
        ("AssetObservation", "AssetCheckResult", "AssetCheckEvaluation"),
        Rule("only materializations are recorded", "Report a materialization"),
    ),
    **dict.fromkeys(("AddDynamicPartitionsRequest", "DeleteDynamicPartitionsRequest"), _STORED_KEYS),
    **dict.fromkeys(
        ("daily_partitioned_config", "static_partitioned_config", "dynamic_partitioned_config"), _PARTITIONED
    ),
    **dict.fromkeys(
        ("PartitionedConfig", "hourly_partitioned_config", "weekly_partitioned_config"), _PARTITIONED
    ),
}

MEMBERS: Mapping[str, Rule] = {
    **dict.fromkeys(
        (
            "get_dynamic_partitions",
            "add_dynamic_partitions",
            "delete_dynamic_partition",
            "has_dynamic_partition",
        ),
        _STORED_KEYS,
    ),
    "assets_defs_by_key": _DEFINITION,
    **dict.fromkeys(
        ("tag", "tag_string", "owner", "key_substring", "required_multi_asset_neighbors"), _SELECTION
    ),
    **dict.fromkeys(("checks", "checks_for_assets", "all_asset_checks", "without_checks"), _CHECKS),
    **dict.fromkeys(
        ("repository_def", "definitions", "code_location_origin"),
        Rule(
            "code locations and repositories do not exist", "Name what it is used for", DIFFERENT, Level.HAND
        ),
    ),
    "execute_in_process": _IN_TEST,
}


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
        return OPTIONS.get(option, unknown(f"option {option} of {name}"))
    return _STORED_KEYS if (name, option) == ("DynamicPartitionsDefinition", "name") else None


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
