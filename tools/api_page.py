"""Writes docs/reference/api.md from the docstrings of the public API: `python -m tools.api_page`."""

import inspect
import re
import sys
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs" / "reference" / "api.md"

HEAD = """\
# Every name

What `from treadle import …` gives, in the words of the docstrings.
Names that Dagster has mean what they mean there, but for [these differences](../guide/coming-from-dagster.md).
[The guide](../guide/write-a-sensor.md) shows them at work.
"""

GROUPS: dict[str, tuple[str, list[str]]] = {
    "Sensors": (
        "",
        [
            "sensor",
            "SensorDefinition",
            "s3_sensor",
            "S3SensorDefinition",
            "S3Object",
            "ObjectIdentity",
            "Marker",
            "FileCount",
            "JobDefinition",
            "evaluator",
        ],
    ),
    "Runs and their status": (
        "[A page of the guide](../guide/run-status-sensors.md) shows them.",
        [
            "run_status_sensor",
            "RunStatusSensorDefinition",
            "run_failure_sensor",
            "RunFailureSensorDefinition",
            "all_succeeded",
            "Batch",
            "deadline_sensor",
            "JobSelector",
            "CodeLocationSelector",
            "RepositorySelector",
        ],
    ),
    "Assets": (
        "[A page of the guide](../guide/asset-sensors.md) shows them.",
        [
            "AssetKey",
            "AssetMaterialization",
            "MetadataValue",
            "asset_sensor",
            "AssetSensorDefinition",
            "multi_asset_sensor",
            "MultiAssetSensorDefinition",
            "MultiAssetSensorEvaluationContext",
            "assets_updated",
            "AssetBatch",
            "EventLogEntry",
            "EventLogRecord",
            "EventRecordsFilter",
            "AssetRecordsFilter",
            "EventRecordsResult",
        ],
    ),
    "What a sensor gives": (
        "",
        [
            "RunRequest",
            "SkipReason",
            "SensorResult",
            "RunConfig",
            "DagsterRunReaction",
            "SensorExecutionData",
        ],
    ),
    "What a sensor is given": (
        "",
        [
            "SensorEvaluationContext",
            "CursorType",
            "RunStatusSensorContext",
            "RunFailureSensorContext",
            "DeadlineSensorContext",
            "DagsterEvent",
            "DagsterEventType",
            "DagsterRun",
            "RunRecord",
            "RunsFilter",
            "DagsterInstance",
        ],
    ),
    "Alerts": (
        "[A page of the guide](../guide/alerts.md) shows them.",
        [
            "make_slack_on_run_failure_sensor",
            "make_teams_on_run_failure_sensor",
            "make_email_on_run_failure_sensor",
            "make_sns_on_run_failure_sensor",
            "make_pagerduty_on_run_failure_sensor",
            "make_webhook_on_run_failure_sensor",
            "alert_from_environment",
            "Secret",
            "unless_retried",
        ],
    ),
    "Resources": (
        "",
        [
            "resource",
            "ResourceDefinition",
            "ConfigurableResource",
            "ResourceParam",
            "InitResourceContext",
            "build_resources",
        ],
    ),
    "Listing a bucket": ("", ["get_s3_keys", "get_objects"]),
    "Reporting how a run goes, and what it made": ("", ["report_run_status", "report_asset_materialization"]),
    "Statuses": (
        "",
        ["DefaultSensorStatus", "InstigatorStatus", "TickStatus", "DagsterRunStatus", "SensorType"],
    ),
    "Errors": (
        "All are caught by `TreadleError`; [operations](../operations.md#errors) lists those of a stack, too.",
        [
            "TreadleError",
            "DagsterInvalidDefinitionError",
            "DagsterInvalidInvocationError",
            "DagsterInvalidConfigError",
            "DagsterInvariantViolationError",
        ],
    ),
    "Testing": (
        "The first four come from `treadle`, the others from `treadle.testing`.",
        [
            "build_sensor_context",
            "build_run_status_sensor_context",
            "build_multi_asset_sensor_context",
            "validate_run_config",
            "TreadleInstance",
            "TickResult",
            "VirtualClock",
        ],
    ),
}

ALIASES = {
    "ResourceParam": "`ResourceParam[T]` annotates a parameter that takes the resource of its own name, "
    "of whatever type `T`.",
}
"""Names of annotations, which can have no docstring."""


def names() -> dict[str, Any]:
    """Return every public name with its value."""
    import treadle
    from treadle import testing

    return {name: getattr(treadle, name) for name in treadle.__all__} | {
        name: getattr(testing, name) for name in testing.__all__
    }


def sentence(value: Any) -> str:
    """Return the first paragraph of a value's docstring."""
    return " ".join((inspect.getdoc(value) or "").split("\n\n", maxsplit=1)[0].split())


def described(value: Any) -> dict[str, str]:
    """Parse the docstring's descriptions of arguments, attributes and errors."""
    rows = {}
    for section in re.findall(
        r"^(?:Args|Attributes|Raises):\n((?:    .*\n?|\n)+)", inspect.getdoc(value) or "", flags=re.MULTILINE
    ):
        for name, words in re.findall(r"^    (\w+): (.*(?:\n      +.*)*)", section, flags=re.MULTILINE):
            rows[name] = " ".join(words.split())
    return rows


def members(value: type) -> dict[str, str]:
    """Return a class's own public methods and properties with their descriptions."""
    return {
        name: sentence(member)
        for name, member in vars(value).items()
        if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property))
    }


def entry(name: str, value: Any) -> Iterator[str]:
    """Yield the lines of a name's entry."""
    yield from (f"### `{name}`", "", ALIASES.get(name) or sentence(value), "")
    if name in ALIASES:
        return
    rows = described(value)
    if rows:
        yield from ("| argument, attribute or error | |", "| --- | --- |")
        yield from (f"| `{key}` | {words} |" for key, words in rows.items())
        yield ""
    if inspect.isclass(value) and issubclass(value, Enum):
        yield from ("Values: " + ", ".join(f"`.{each.name}`" for each in value) + ".", "")
    if inspect.isclass(value) and members(value):
        yield from (f"- `.{member}`: {words}" for member, words in members(value).items())
        yield ""


def render() -> str:
    """Return the page."""
    known = names()
    lines = [HEAD]
    for title, (lead, group) in GROUPS.items():
        lines += [f"## {title}", "", *([lead, ""] if lead else [])]
        for name in group:
            lines += entry(name, known[name])
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT / "layers" / "treadle"))
    PAGE.write_text(render())
