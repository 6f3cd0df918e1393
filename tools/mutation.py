"""Changes one operator, number or condition of a module at a time: each time a unit test must fail.

`make mutation` runs it, on a copy of the project. Cosmic Ray makes the changes; `tools/mutation.toml` lists the
modules, their tests, and the changes that no test can detect, each with its reason.
"""

import json
import shutil
import subprocess
import sys
import tempfile
import time
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path
from typing import Any

from tools.project import ROOT, ToolError, run_tool
from tools.warm_pytest import warm_pytest

GOAL = 90
"""The percentage of a module's mutants that its tests must kill; equivalent ones do not count."""

LIBRARY = Path("layers/treadle/treadle")
BIN = ROOT / ".tools/mutation/bin"
TESTS = Path("tests/unit")
KEPT = (
    r"core/(?!(NumberReplacer|AddNot|ReplaceOrWithAnd|ReplaceAndWithOr|ReplaceTrueWithFalse|ReplaceFalseWithTrue"
    r"|ReplaceUnaryOperator_Delete_.*|ReplaceBinaryOperator_(Add_Sub|Sub_Add|Mul_FloorDiv|FloorDiv_Mul|Mod_FloorDiv"
    r"|LShift_RShift)|ReplaceComparisonOperator_(Eq_NotEq|NotEq_Eq|Is_IsNot|IsNot_Is|In_NotIn|NotIn_In|Lt_LtE|Lt_GtE"
    r"|LtE_Lt|LtE_Gt|Gt_GtE|Gt_LtE|GtE_Gt|GtE_Lt)|ZeroIterationForLoop|ReplaceBreakWithContinue"
    r"|ReplaceContinueWithBreak|ExceptionReplacer|RemoveDecorator)$)"
)
"""Excludes all operators except boundaries, negations, neighbors of numbers, and opposite arithmetic.

The others make changes that nobody makes by mistake, such as `+` into `<<`, and almost any test kills them.
"""

CONFIG = """\
[cosmic-ray]
module-path = {module}
timeout = {timeout}
excluded-modules = []
test-command = {command}
[cosmic-ray.distributor]
name = "local"
[cosmic-ray.filters.operators-filter]
exclude-operators = [{kept}]
"""


@dataclass(frozen=True, slots=True)
class Change:
    """One change to a module, and whether a test failed.

    Attributes:
        line: its number in the module.
        old: the text of the line.
        new: what replaces it.
        killed: whether a test failed.
    """

    line: int
    old: str
    new: str
    killed: bool


def copy_to(folder: Path) -> Path:
    """Copy the project, with its tools linked; the mutants are only made there."""
    copy = shutil.copytree(ROOT, folder / "project", ignore=shutil.ignore_patterns(".*", "__pycache__"))
    (copy / ".tools").symlink_to(ROOT / ".tools")
    return copy


def unit_tests_of(module: str, table: dict[str, list[str]]) -> list[str]:
    """Return the tests of a module: those of the table, or else those that import it.

    Raises:
        ToolError: if there is no such module, or no test of it.
    """
    if not (ROOT / LIBRARY / module).is_file():
        msg = f"{module} cannot be checked: it is no file in {LIBRARY}. Give a path in there, such as engine/identity.py."
        raise ToolError(msg)
    if module in table:
        return [str(TESTS / name) for name in table[module]]
    name = f"treadle.{module.removesuffix('.py').replace('/', '.')} import"
    tests = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / TESTS).rglob("test_*.py"))
        if name in path.read_text()
    ]
    if not tests:
        # Without a path, pytest would run all tests for each change.
        msg = f"{module} cannot be checked: no test in {TESTS} imports it. List its tests in tools/mutation.toml."
        raise ToolError(msg)
    return tests


def mutate(module: str, tests: list[str], folder: Path) -> Iterator[Change]:
    """Run Cosmic Ray over one module of a copy.

    Args:
        module: its path within the library.
        tests: the tests to run for each change.
        folder: the copy.

    Raises:
        ToolError: if the tests fail without any change.
    """
    # The other plugins would take a third of the time.
    plugins = "-p timeout -p _hypothesis_pytestplugin -p no:cacheprovider --hypothesis-seed=0"
    name = ".".join(["treadle", *Path(module).with_suffix("").parts])
    began = time.monotonic()
    # Tests marked "many" take longer than all others of a module.
    with warm_pytest(folder, name, ["-qx", "-m", "not many", *plugins.split(), *tests]) as command:
        if not command:
            msg = f"{module} cannot be checked: its tests fail without any change. Fix {' '.join(tests)}."
            raise ToolError(msg)
        yield from changes_of(module, command, 20 + 3 * (time.monotonic() - began), folder)


def changes_of(module: str, command: str, timeout: float, folder: Path) -> Iterator[Change]:
    """Let Cosmic Ray change a module of a copy, and run a command after each change."""
    texts = {"module": str(LIBRARY / module), "command": command, "kept": KEPT}
    config = CONFIG.format(timeout=timeout, **{key: json.dumps(text) for key, text in texts.items()})
    (folder / "mutation.toml").write_text(config)
    session = folder / f"{module.replace('/', '.')}.sqlite"
    for tool, *arguments in (
        ("cosmic-ray", "init", "mutation.toml", session),
        ("cr-filter-operators", session, "mutation.toml"),
        ("cosmic-ray", "exec", "mutation.toml", session),
    ):
        subprocess.run([BIN / tool, *map(str, arguments)], cwd=folder, check=True)
    dump = subprocess.run([BIN / "cosmic-ray", "dump", session], check=True, capture_output=True, text=True)
    for line in dump.stdout.splitlines():
        item, result = json.loads(line)
        # What does not compile is no mutant: an asterisk before an argument is not a multiplication.
        if result["worker_outcome"] == "normal" and "SyntaxError" not in result["output"]:
            yield change_of(item, result)


def change_of(item: dict[str, Any], result: dict[str, Any]) -> Change:
    """Return one change of Cosmic Ray's session."""
    changed = [line for line in result["diff"].splitlines() if not line.startswith(("---", "+++"))]
    old, new = (
        " ".join(" ".join(line[1:] for line in changed if line.startswith(sign)).split()) for sign in "-+"
    )
    return Change(item["mutations"][0]["start_pos"][0], old, new, result["test_outcome"] == "killed")


def main(modules: list[str]) -> int:
    """Print each module's killed mutants, and those that survive.

    Args:
        modules: paths within the library; those of the table if there are none.

    Returns:
        1 if a module is below the goal; 0 otherwise.

    Raises:
        ToolError: if a module cannot be checked.
    """
    table = tomllib.loads((ROOT / "tools/mutation.toml").read_text())
    equivalent = {(each.get("module"), each["old"], each["new"]) for each in table["equivalent"]}
    tests_of = {module: unit_tests_of(module, table["tests"]) for module in modules or table["tests"]}
    below = 0
    with tempfile.TemporaryDirectory(prefix="treadle-mutation-") as name:
        copy = copy_to(Path(name))
        for module, tests in tests_of.items():
            changes = sorted(mutate(module, tests, copy), key=attrgetter("line"))
            if not changes:
                msg = f"{module} cannot be checked: Cosmic Ray has made no change in it. Choose a module with conditions."
                raise ToolError(msg)
            survivors = [each for each in changes if not each.killed]
            missed = [
                each
                for each in survivors
                if not {(of, each.old, each.new) for of in (None, module)} & equivalent
            ]
            killed, equal = len(changes) - len(survivors), len(survivors) - len(missed)
            counted = killed + len(missed)
            below += 100 * killed < GOAL * counted
            print(f"{module:<40} {killed}/{counted} killed, {equal} equivalent", flush=True)
            for each in missed:
                print(f"  {LIBRARY / module}:{each.line}\n    - {each.old}\n    + {each.new}", flush=True)
    return int(below > 0)


if __name__ == "__main__":
    run_tool(lambda: main(sys.argv[1:]))
