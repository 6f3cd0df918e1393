"""The names that Dagster has, and Treadle lacks or calls otherwise: `python -m tools.dagster_names`.

`treadle.cli.port_rules` has a rule for each; `treadle port` prints it, and the guide "Coming from Dagster" lists it.
This compares the two packages where Dagster is installed, and fails for each difference without a rule and for each
rule without a difference. `--write` writes the guide's list from the rules.
"""

import json
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import NamedTuple

from tools.project import ROOT, TOOLS, ToolError, run_tool
from tools.public_names import Description, Parameter, describe
from treadle.cli.port_rules import CALLS, CODE, FORMER, MEMBERS, NAMES, OPTIONS, Rule, matches

PYTHON = TOOLS / "peers" / "bin" / "python"
MODULES = ("dagster", "dagster_aws.s3.sensor")
GUIDE = ROOT / "docs" / "guide" / "coming-from-dagster.md"
BEGIN, END = "<!-- Written by `python -m tools.dagster_names --write`. -->\n", "<!-- End. -->"
TABLES: Mapping[str, Mapping[str, Rule]] = {
    "NAMES": NAMES,
    "OPTIONS": OPTIONS,
    "MEMBERS": MEMBERS,
    "CALLS": CALLS,
}
POSITIONAL, VARIABLE, KEYWORDS = {0, 1}, {2, 4}, 4

FAMILIES: Mapping[str, str] = {
    "ops, graphs, hooks, types, executors, loggers, retries: the code of a job, which is elsewhere": """
        _core.definitions.composition _core.definitions.config _core.definitions.dependency
        _core.definitions.decorators.config_mapping_decorator _core.definitions.decorators.graph_decorator
        _core.definitions.decorators.hook_decorator _core.definitions.decorators.op_decorator
        _core.definitions.executor_definition _core.definitions.graph_definition _core.definitions.hook_definition
        _core.definitions.input _core.definitions.logger_definition _core.definitions.op_definition
        _core.definitions.output _core.definitions.policy _core.definitions.step_launcher _core.execution.api
        _core.execution.context.hook _core.execution.context.input _core.execution.context.invocation
        _core.execution.context.logger _core.execution.context.op_execution_context _core.execution.context.output
        _core.execution.context.system _core.execution.execute_in_process_result
        _core.execution.job_execution_result _core.execution.plan _core.executor _core.log_manager
        _core.types.config_schema _core.types.dagster_type _core.types.decorator _core.types.python_dict
        _core.types.python_set _core.types.python_tuple _loggers _utils.dagster_type""",
    "definitions of assets and their checks: what a run makes is its job's business": """
        _core.definitions.asset_checks _core.definitions.assets _core.definitions.backfill_policy
        _core.definitions.data_version _core.definitions.decorators.asset_check_decorator
        _core.definitions.decorators.asset_decorator _core.definitions.decorators.source_asset_decorator
        _core.definitions.freshness _core.definitions.freshness_policy _core.definitions.materialize
        _core.definitions.metadata.source_code _core.definitions.result _core.definitions.source_asset
        _core.execution.context.asset_check_execution_context _core.execution.context.asset_execution_context
        _core.storage.asset_value_loader""",
    "automation conditions: sensors are written as functions": """
        _core.definitions.auto_materialize_policy _core.definitions.auto_materialize_rule
        _core.definitions.auto_materialize_rule_impls _core.definitions.automation_condition_sensor_definition
        _core.definitions.declarative_automation""",
    "schedules: EventBridge Scheduler starts a job at a time": """
        _core.definitions.decorators.schedule_decorator _core.definitions.partitions.partitioned_schedule
        _core.definitions.schedule_definition""",
    "code locations, repositories and components: each sensor is a Lambda function": """
        _core.definitions.decorators.repository_decorator _core.definitions.definitions_class
        _core.definitions.module_loaders _core.definitions.reconstruct _core.definitions.repository_definition
        components""",
    "inputs, outputs and files of a run, Pipes, the launcher and the queue: Treadle starts jobs and does not run them": """
        _config.pythonic_config.io_manager _core.launcher _core.pipes _core.run_coordinator
        _core.storage.defs_state _core.storage.file_manager _core.storage.fs_io_manager
        _core.storage.input_manager _core.storage.io_manager _core.storage.mem_io_manager _core.storage.migrate
        _core.storage.upath_io_manager""",
}
"""Families of names that are not a sensor's, each with its reason and the modules of `dagster` that define it."""

MADE_FOR_AUTHORS = frozenset(
    {
        *("DagsterEvent", "DagsterInstance", "DagsterRun", "EventLogEntry", "EventLogRecord", "RunRecord"),
        *("InitResourceContext", "MultiAssetSensorEvaluationContext", "RunFailureSensorContext"),
        *("JobDefinition", "RunStatusSensorContext", "SensorEvaluationContext", "SensorExecutionData"),
    }
)
"""Classes whose objects come from the engine, a decorator or a `build_` function: only their members are compared."""


class Difference(NamedTuple):
    """Something of Dagster's that Treadle lacks or calls otherwise.

    Attributes:
        table: the table of rules that it belongs to.
        key: what a rule's key must match.
        text: the thing, as `Class.method(option)`.
    """

    table: str
    key: str
    text: str


def differences(theirs: Mapping[str, Description], ours: Mapping[str, Description]) -> list[Difference]:
    """Return what Dagster has within the scope, and Treadle has not or calls otherwise."""
    modules = {f"dagster.{each}" for family in FAMILIES.values() for each in family.split()}
    found: list[Difference] = []
    for name, description in theirs.items():
        home = description["module"]
        if any(home == each or home.startswith(f"{each}.") for each in modules):
            continue
        if name not in ours:
            found += [] if name in CODE else [Difference("NAMES", name, name)]
            continue
        if name not in MADE_FOR_AUTHORS:
            found += _of_call(name, description["parameters"], ours[name]["parameters"])
        found += _of_members(name, description, ours[name])
    return found


def _of_members(name: str, description: Description, ours: Description) -> Iterator[Difference]:
    given = {each["name"] for each in description["parameters"] or () if name not in MADE_FOR_AUTHORS}
    has = ours["members"]
    for member, parameters in (description["members"] or {}).items():
        if has is None or member not in has:
            if member not in given:
                yield Difference("MEMBERS", f"{name}.{member}", f"{name}.{member}")
        else:
            yield from _of_call(f"{name}.{member}", parameters, has[member])


def _of_call(
    text: str, theirs: Iterable[Parameter] | None, ours: Iterable[Parameter] | None
) -> Iterator[Difference]:
    """Yield the options that are missing, and whether the others are called otherwise."""
    if theirs is None or ours is None or any(each["kind"] == KEYWORDS for each in ours):
        return
    theirs = [each for each in theirs if each["kind"] not in VARIABLE and not each["name"].startswith("_")]
    has = {each["name"]: each for each in ours}
    for each in theirs:
        if each["name"] not in has:
            yield Difference("OPTIONS", f"{text}.{each['name']}", f"{text}({each['name']})")
    known = {each["name"]: each["is_required"] for each in theirs}
    needed = [
        each["name"] for each in has.values() if each["is_required"] and not known.get(each["name"], False)
    ]
    order = [each["name"] for each in theirs if each["kind"] in POSITIONAL]
    while order and order[-1] not in has:
        order.pop()
    here = [each["name"] for each in has.values() if each["kind"] in POSITIONAL][: len(order)]
    takes_any = any(each["kind"] in VARIABLE for each in ours)
    if (theirs and needed) or (order != here and not takes_any):
        how = f"{text}: needs {needed or 'nothing'}, and by position takes {here} instead of {order}"
        yield Difference("CALLS", text.rpartition(".")[2], how)


def problems(found: Iterable[Difference], missing: Iterable[str]) -> Iterator[str]:
    """Yield the differences without a rule, and the rules without a difference.

    Args:
        found: the differences.
        missing: all names that only Dagster has, also those of the families that are left out.
    """
    used: set[tuple[str, str]] = {("NAMES", key) for key in NAMES if key in missing}
    for table, key, text in found:
        keys = {each for each in TABLES[table] if matches(each, key)} - FORMER
        used |= {(table, each) for each in keys}
        if not keys:
            yield f"{text}: no rule. Build it, or add it to {table} of port_rules.py."
    for table, rules in TABLES.items():
        for key in sorted(set(rules) - FORMER - {each for of, each in used if of == table}):
            yield f"{key}: no such difference. Remove it from {table} of port_rules.py, or add it to FORMER."
    for key in sorted(FORMER & set(missing)):
        yield f"{key}: Dagster has it. Remove it from FORMER of port_rules.py."


def page(guide: str) -> str:
    """Return the guide with its list of names."""
    spelled: Mapping[str, Callable[[str], str]] = {
        "NAMES": str,
        "OPTIONS": lambda key: "{}({}=)".format(*key.split(".")) if "." in key else f"{key}=",
        "MEMBERS": lambda key: key if "." in key else f".{key}",
        "CALLS": "{}(…)".format,
    }
    rows: dict[Rule, list[str]] = defaultdict(list)
    for table, rules in TABLES.items():
        for key, rule in rules.items():
            if key not in FORMER:
                rows[rule].append(f"`{spelled[table](key)}`")
    lines = ["| name | why it differs | what to do |", "| --- | --- | --- |"]
    lines += [f"| {', '.join(names)} | {rule.fact} | {rule.advice} |" for rule, names in rows.items()]
    lines += ["", "Not listed are:", "", *(f"- {reason}." for reason in FAMILIES)]
    if guide.count(BEGIN) != 1 or END not in guide:
        msg = f"{GUIDE.name} has no place for the list. Add the lines {BEGIN.strip()} and {END.strip()}."
        raise ToolError(msg)
    return re.sub(
        f"{re.escape(BEGIN)}.*?{re.escape(END)}",
        lambda _: "\n".join([BEGIN, *lines, "", END]),
        guide,
        flags=re.DOTALL,
    )


def dagsters() -> dict[str, Description]:
    """Return what the installed Dagster has."""
    if not PYTHON.exists():
        msg = "Dagster is not installed. Run: make .tools/peers/.ready"
        raise ToolError(msg)
    command = [str(PYTHON), str(ROOT / "tools" / "public_names.py"), *MODULES]
    described = subprocess.run(command, capture_output=True, text=True, check=False)
    if described.returncode:
        msg = f"Dagster's names cannot be read: {described.stderr.strip()}. Run: make .tools/peers/.ready"
        raise ToolError(msg)
    found: dict[str, Description] = json.loads(described.stdout)
    return found


def main() -> int:
    """Compare, or write the guide's list."""
    if sys.argv[1:] == ["--write"]:
        GUIDE.write_text(page(GUIDE.read_text()))
        return 0
    theirs, ours = dagsters(), describe("treadle", is_marked=False)
    found = differences(theirs, ours)
    wrong = list(problems(found, set(theirs) - set(ours)))
    if page(GUIDE.read_text()) != GUIDE.read_text():
        wrong.append(
            f"{GUIDE.name}: its list is not of these rules. Run: python -m tools.dagster_names --write"
        )
    for each in wrong:
        print(each)
    print(f"{len(found)} differences from Dagster, {len(wrong)} problems")
    return 1 if wrong else 0


if __name__ == "__main__":
    run_tool(main)
