"""`make peers`: runs Dagster's own tests of sensors, compares each result with `items.toml`, and prints the counts."""

import re
import sys
import tomllib
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from io import StringIO
from pathlib import Path
from typing import Any

import pytest

from tests.peers import clock, daemon, definitions, words
from tests.peers.modules import Suites, install
from tools.project import ROOT, ToolError, run_tool

GOAL = 95
"""The percentage of the applicable items that must pass."""

FOLDER = Path(__file__).resolve().parent
SUITES = ROOT / ".tools" / "dagster-suites"
GUIDE = ROOT / "docs" / "guide" / "coming-from-dagster.md"
SOURCES = ("treadle", "treadle.testing")
OPTIONS = (
    "-qq",
    "-c",
    "/dev/null",
    "--assert=plain",
    "--tb=short",
    "-p",
    "no:cacheprovider",
    "-p",
    "no:randomly",
)
OTHER_EXECUTORS = "threadpool"
"""Parameters of the daemon: with and without threads, which Treadle does not have."""


@dataclass(frozen=True, slots=True)
class Table:
    """What `items.toml` lists.

    Attributes:
        files: the files with the tests.
        failing: the items that fail, each with the row of the guide.
        not_applicable: the items that are not run, each with the reason.
    """

    files: Sequence[str]
    failing: dict[str, str]
    not_applicable: dict[str, str]

    @classmethod
    def of(cls, parsed: dict[str, Any]) -> "Table":
        """Return the table of the parsed file.

        Raises:
            ToolError: if the guide does not have one of the rows.
        """
        guide = GUIDE.read_text()
        for group in parsed["failing"]:
            if group["row"] not in guide:
                msg = f"items.toml quotes a row that {GUIDE.name} does not have: {group['row']}."
                raise ToolError(msg)
        return cls(
            parsed["files"],
            {item: group["row"] for group in parsed["failing"] for item in group["items"]},
            {item: group["reason"] for group in parsed["not_applicable"] for item in group["items"]},
        )


@dataclass(eq=False, slots=True)
class Results:
    """The results of the items, as pytest reports them.

    Attributes:
        skipped: items that are not run.
        passed: the items that passed.
        failed: why items failed.
        found: all items.
    """

    skipped: Sequence[str]
    passed: set[str] = field(default_factory=set)
    failed: dict[str, str] = field(default_factory=dict)
    found: set[str] = field(default_factory=set)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Leave out what is not applicable, and the same items with another executor."""
        items[:] = [each for each in items if OTHER_EXECUTORS not in each.name]
        self.found = {_named(each.nodeid) for each in items}
        items[:] = [each for each in items if _named(each.nodeid) not in self.skipped]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Take a file that could not be loaded as an item."""
        if report.failed:
            self.failed[report.nodeid] = report.longreprtext

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Take the result of an item."""
        name = _named(report.nodeid)
        if report.failed:
            self.failed[name] = report.longreprtext
            self.passed.discard(name)
        elif report.when == "call" and report.passed:
            self.passed.add(name)


def _named(node_id: str) -> str:
    """Return the name of an item: its file's, and its own without the executor."""
    name = re.sub(r"synchronous-?", "", node_id.rpartition("/")[2])
    return name.replace("-]", "]").replace("[]", "")


def main(chosen: Sequence[str]) -> int:
    """Run the items and print the counts; return 1 if a result is other than listed.

    Args:
        chosen: items; none for all.
    """
    parsed = tomllib.loads((FOLDER / "items.toml").read_text())
    table = Table.of(parsed)
    scaffold = {**definitions.SCAFFOLD, **clock.SCAFFOLD, **daemon.SCAFFOLD, **words.SCAFFOLD}
    suites = Suites(SUITES, parsed["left_out"])
    install(scaffold, SOURCES, suites)
    daemon.use_location()
    daemon.PeerInstance.fail_invalid = parsed["fail_invalid"]
    results = Results(tuple(table.not_applicable))
    options = ["-k", " or ".join(chosen)] if chosen else []
    with redirect_stdout(StringIO()):
        pytest.main(
            [*OPTIONS, f"--rootdir={SUITES}", *options, *(str(SUITES / each) for each in table.files)],
            [results],
        )
    unlisted = sorted(results.failed.keys() - table.failing.keys())
    for name in unlisted:
        print(f"\nfails, and is not listed: {name}\n{results.failed[name]}")
    fixed = sorted(results.passed & table.failing.keys())
    for name in fixed:
        print(f"\npasses, but is listed as failing: {name}")
    gone = sorted((table.failing.keys() | table.not_applicable.keys()) - results.found) if not chosen else []
    for name in gone:
        print(f"\nis listed, but does not exist: {name}")
    passed, failed = len(results.passed), len(results.failed)
    share = 100 * passed / max(passed + failed, 1)
    print(
        f"\n{len(results.found)} items: {passed} pass, {failed} fail ({failed - len(unlisted)} with a row of the guide), "
        f"{len(results.found) - passed - failed} are not applicable; {share:.1f} % of the applicable ones pass (goal: {GOAL} %)."
    )
    return int(bool(unlisted or fixed or gone))


if __name__ == "__main__":
    run_tool(lambda: main(sys.argv[1:]))
