"""Queries that tests of several templates share."""

import json
import re
from typing import Any

from treadle.engine.outcomes import Decision
from treadle.entrypoints import metric_names

KEYS = {
    "SensorsTable": ["sensor"],
    "TicksTable": ["sensor", "tick_id"],
    "TicksTable.pending": ["pending", "pending_since"],
    "RunsTable": ["run_id"],
    "RunsTable.watched": ["watch", "next_at"],
    "RunsTable.by_job": ["job", "created_at"],
    "RunsTable.by_job_end": ["job_ended", "updated_at"],
    "RunsTable.by_sensor": ["sensor", "created_at"],
    "EventsTable": ["asset_key", "item"],
}
"""The keys of tables and indexes."""


def names(schema: list[dict[str, str]]) -> list[str]:
    """Return a key schema as attribute names, hash key first."""
    assert [key["KeyType"] for key in schema] == ["HASH", "RANGE"][: len(schema)]
    return [key["AttributeName"] for key in schema]


def accepts(parameter: dict[str, Any], value: str) -> bool:
    """Return whether CloudFormation would take the value."""
    values = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    if "AllowedValues" in parameter:
        return all(item in map(str, parameter["AllowedValues"]) for item in values)
    if parameter["Type"] == "Number":
        return bool(parameter["MinValue"] <= float(value) <= parameter["MaxValue"])
    short = all(len(item) <= parameter.get("MaxLength", 4096) for item in values)
    return short and all(re.fullmatch(parameter["AllowedPattern"], item) for item in values)


def placed(path: str, body: dict[str, Any]) -> Any:
    """Return what an event has at a path such as `$.detail.state`; empty if it lacks it, as EventBridge fills it in."""
    found: Any = body
    for step in path.removeprefix("$.").split("."):
        found = found.get(step, "") if isinstance(found, dict) else ""
    return found


def transformed(text: str, paths: dict[str, str], body: dict[str, Any]) -> dict[str, Any]:
    """Return an event as its rule passes it on."""
    given = {key: placed(path, body) for key, path in paths.items()}
    quoted = re.sub(r'"<(\w+)>"', lambda found: json.dumps(str(given[found[1]])), text)
    sent: dict[str, Any] = json.loads(re.sub(r"<(\w+)>", lambda found: json.dumps(given[found[1]]), quoted))
    return sent


def written_metrics() -> set[str]:
    """Return the names of all metrics that the code writes with the stack as their dimension."""
    named = {value for name, value in vars(metric_names).items() if name.isupper() and isinstance(value, str)}
    decided = {
        metric_names.of_decision(step, decision)
        for step in ("tick", "dispatch", "launch", "record")
        for decision in Decision
    }
    return named | {name for name in decided if name}
