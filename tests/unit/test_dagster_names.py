"""tools.dagster_names: what Dagster has and Treadle lacks, each with a rule that the guide lists."""

import json
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from tools import dagster_names
from tools.dagster_names import FAMILIES, GUIDE, PYTHON, Difference, differences, page, problems
from tools.project import ROOT, ToolError
from tools.public_names import Description, Parameter, describe
from treadle import DagsterInvalidDefinitionError, JobSelector, RunsFilter, build_sensor_context
from treadle.cli.port_rules import FORMER, LISTED, NAMES, rule_of

MODULE = "dagster._core.definitions.sensor_definition"


def parameters(*names: str, kind: int = 1) -> list[Parameter]:
    """Describe parameters; those with a `!` must be given."""
    return [{"name": name.strip("!"), "kind": kind, "is_required": name.endswith("!")} for name in names]


def thing(
    given: list[Parameter] | None = None,
    members: Mapping[str, list[Parameter] | None] | None = None,
    module: str = MODULE,
) -> Description:
    return {"module": module, "parameters": given, "members": None if members is None else dict(members)}


@pytest.mark.parametrize(
    ("theirs", "ours", "found"),
    [
        ({"New": thing()}, {}, [("NAMES", "New")]),
        ({"New": thing()}, {"New": thing()}, []),
        ({"op": thing(module="dagster._core.definitions.decorators.op_decorator")}, {}, []),
        ({"Other": thing(module="dagster._core.definitions.compositions")}, {}, [("NAMES", "Other")]),
        ({"job": thing()}, {}, []),
        ({"f": thing(parameters("a", "b"))}, {"f": thing(parameters("a"))}, [("OPTIONS", "f.b")]),
        ({"f": thing(parameters("a", "_b"))}, {"f": thing(parameters("a"))}, []),
        ({"f": thing(parameters("a"))}, {"f": thing(parameters("options", kind=4))}, []),
        ({"f": thing(parameters("a"))}, {"f": thing(parameters("a", "more"))}, []),
        ({"f": thing(parameters("a"))}, {"f": thing(parameters("a!"))}, [("CALLS", "f")]),
        ({"f": thing(parameters("a!"))}, {"f": thing(parameters("a!"))}, []),
        ({"f": thing(parameters("a", "b"))}, {"f": thing(parameters("b", "a"))}, [("CALLS", "f")]),
        ({"f": thing(parameters("a"))}, {"f": thing(parameters("a", kind=3))}, [("CALLS", "f")]),
        ({"f": thing(parameters("a", kind=3))}, {"f": thing(parameters("a"))}, []),
        ({"C": thing(members={"m": None})}, {"C": thing(members={})}, [("MEMBERS", "C.m")]),
        ({"C": thing(members={"m": None})}, {"C": thing(members={"m": None})}, []),
        (
            {"C": thing(members={"m": parameters("a")})},
            {"C": thing(members={"m": parameters()})},
            [("OPTIONS", "C.m.a")],
        ),
        # A field that is an option, too, is one difference.
        (
            {"C": thing(parameters("a"), {"a": None})},
            {"C": thing([], {})},
            [("OPTIONS", "C.a")],
        ),
        # Nobody makes a context: its parameters do not matter, its members do.
        (
            {"SensorEvaluationContext": thing(parameters("a"), {"a": None})},
            {"SensorEvaluationContext": thing([], {})},
            [("MEMBERS", "SensorEvaluationContext.a")],
        ),
    ],
)
def test_difference_is_found(
    theirs: dict[str, Description], ours: dict[str, Description], found: list[tuple[str, str]]
) -> None:
    assert [(each.table, each.key) for each in differences(theirs, ours)] == found


def test_difference_without_rule_is_a_problem() -> None:
    rules = [(table, key) for table, rules in dagster_names.TABLES.items() for key in rules]
    every = [Difference(table, key.replace("*", "x"), key) for table, key in rules if key not in FORMER]

    assert list(problems(every, [])) == []
    [new] = problems([*every, Difference("MEMBERS", "Any.new_member", "Any.new_member")], [])
    assert new == "Any.new_member: no rule. Build it, or add it to MEMBERS of port_rules.py."
    [gone] = problems([each for each in every if each.text != "get_dagster_logger"], [])
    assert gone.startswith("get_dagster_logger: no such difference. Remove it from NAMES")
    [former] = problems(every, ["_check"])
    assert former == "_check: Dagster has it. Remove it from FORMER of port_rules.py."


def test_guide_lists_the_rules() -> None:
    guide = GUIDE.read_text()

    assert page(guide) == guide, "run: python -m tools.dagster_names --write"
    assert page(guide.replace("| `get_dagster_logger` |", "| `gone` |")) == guide
    assert all(f"- {reason}." in guide for reason in FAMILIES)
    with pytest.raises(ToolError, match="no place for the list"):
        page("# A page")


def test_rule_is_found_by_name_class_and_pattern() -> None:
    of_class = rule_of({"Run*.gone": NAMES["In"]}, "RunRequest.gone")

    assert of_class is NAMES["In"]
    assert rule_of({"Run*.gone": NAMES["In"]}, "SensorResult.gone") is None
    assert rule_of({"gone": NAMES["In"]}, "SensorResult.gone") is NAMES["In"]
    unknown = rule_of(NAMES, "DagsterUserCodeExecutionError")
    assert unknown is not None
    assert unknown.section == LISTED


def test_description_has_what_is_marked_and_what_objects_are_made_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "described.py").write_text(
        "import json\n"
        "def public(of): of._is_public = True; return of\n"
        "class Made:\n"
        "    field: int\n"
        "    def __init__(self, shown, hidden=None): ...\n"
        "    @property\n"
        "    def shown(self): ...\n"
        "    @classmethod\n"
        "    @public\n"
        "    def method(cls, option=1): ...\n"
        "    def internal(self): ...\n"
    )
    monkeypatch.syspath_prepend(tmp_path)

    found = describe("described", is_marked=True)

    assert set(found) == {"Made", "public"}
    assert found["Made"]["members"] == {"field": None, "shown": None, "method": parameters("option")}
    assert found["Made"]["parameters"] == parameters("shown!", "hidden")


def test_description_of_treadle_has_options_and_what_init_assigns() -> None:
    found: dict[str, Any] = describe("treadle", is_marked=False)

    assert "job" in {each["name"] for each in found["sensor"]["parameters"]}
    assert {"name", "metadata"} <= set(found["SensorDefinition"]["members"])


def test_comparison_without_dagster_names_the_command(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dagster_names, "PYTHON", tmp_path / "python")

    with pytest.raises(ToolError, match=r"Run: make \.tools/peers/\.ready"):
        dagster_names.dagsters()


def test_description_is_printed_as_json() -> None:
    command = [sys.executable, str(ROOT / "tools" / "public_names.py"), "json.decoder"]

    assert "JSONDecoder" in json.loads(subprocess.run(command, capture_output=True, check=True).stdout)


@pytest.mark.parametrize(
    "call",
    [
        lambda: JobSelector("shop", "load"),
        lambda: RunsFilter(None, "load", None, None, "snapshot"),  # type: ignore[call-arg, arg-type]
        lambda: build_sensor_context(None, None, "main", "a repository"),  # type: ignore[call-arg]
    ],
    ids=["JobSelector", "RunsFilter", "build_sensor_context"],
)
def test_argument_in_the_place_of_another_of_dagsters_is_refused(call: Callable[[], object]) -> None:
    with pytest.raises((TypeError, DagsterInvalidDefinitionError), match=r"positional|no job_name"):
        call()


@pytest.mark.skipif(not PYTHON.exists(), reason="Dagster is not installed in .tools/peers")
def test_each_difference_from_dagster_has_a_rule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["dagster_names"])

    assert dagster_names.main() == 0
