"""`make dagster-examples`: ports the sensors of Dagster's documentation and example projects, and evaluates each once.

Compares what becomes of each with `examples.toml`. CLONES is a folder with clones of the repositories; without it, the
files are downloaded from GitHub.
"""

import json
import os
import sys
import tomllib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.peers.examples import surroundings
from tests.peers.examples.evaluated import evaluate, load, sensors
from tests.peers.examples.files import Example
from tests.support.project import run
from tools.project import ROOT, ToolError, run_tool
from treadle.cli.output import EXIT_UNHEALTHY
from treadle.cli.port_rules import GUIDE, Level

LIST = Path(__file__).parent / "examples.toml"
BY_HAND = {Level.HAND.value, Level.IMPOSSIBLE.value}


@dataclass(slots=True)
class Result:
    """What becomes of an example.

    Attributes:
        edits: the subjects of what is left to change by hand, or impossible.
        failed: the errors of statements of the ported file.
        runs: the sensors whose evaluation succeeds.
        skips: the sensors whose evaluation skips.
        cannot: why others are not evaluated.
    """

    edits: set[str]
    failed: dict[int, str] = field(default_factory=dict)
    runs: set[str] = field(default_factory=set)
    skips: set[str] = field(default_factory=set)
    cannot: dict[str, str] = field(default_factory=dict)


def main(chosen: Sequence[str]) -> int:
    """Port and evaluate the examples, and print the counts; return 1 if a result is other than listed.

    Args:
        chosen: parts of the paths of examples; none for all.
    """
    every = [Example.of(each) for each in tomllib.loads(LIST.read_text())["example"]]
    examples = [each for each in every if not chosen or any(part in each.path for part in chosen)]
    clones = Path(os.environ["CLONES"]).expanduser() if os.environ.get("CLONES") else None
    counts: Counter[str] = Counter()
    wrong = 0
    with TemporaryDirectory() as folder:
        files = [_placed(each, clones, Path(folder) / str(number)) for number, each in enumerate(examples)]
        for example, file, report in zip(examples, files, _ported(files), strict=True):
            result = _evaluated(example, file, report)
            kind = "edit" if example.edits else "runs"
            counts[kind] += len(result.runs) + len(result.skips)
            counts["cannot"] += len(result.cannot)
            for problem in _problems(example, result):
                print(f"{example.path}: {problem}")
                wrong += 1
    print(
        f"\n{counts.total()} sensors in {len(examples)} files: {counts['runs']} run as ported, "
        f"{counts['edit']} after an edit that the list names, {counts['cannot']} cannot; {wrong} problems."
    )
    return int(bool(wrong))


def _placed(example: Example, clones: Path | None, folder: Path) -> Path:
    """Write an example, and what its project has around it, below a folder."""
    file = folder / example.path
    file.parent.mkdir(parents=True)
    file.write_text(example.text(clones))
    for each in file.relative_to(folder).parents:
        (folder / each / "__init__.py").touch()
    for path, text in surroundings.of(example.path).files.items():
        (folder / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / path).write_text(text)
    return file


def _ported(files: Sequence[Path]) -> list[dict[str, Any]]:
    """Port the files as its user does, and return the command's report of each."""
    result = run("port", "--write", "--json", *files)
    if result.exit_code not in {0, EXIT_UNHEALTHY}:
        msg = f"`treadle port` failed: {result.output.strip() or result.exception}"
        raise ToolError(msg)
    reports: list[dict[str, Any]] = json.loads(result.output)
    return reports


def _evaluated(example: Example, file: Path, report: dict[str, Any]) -> Result:
    given = surroundings.of(example.path)
    result = Result({each["subject"] for each in report["findings"] if each["level"] in BY_HAND})
    with TemporaryDirectory() as folder, surroundings.world(given.modules, Path(folder)):
        loaded = load(file)
        result.failed = loaded.failed
        vars(loaded.module).update(given.values)
        for each in sensors(loaded.module, given):
            evaluation = evaluate(each, given)
            if evaluation.error is not None:
                result.cannot[each.name] = evaluation.error
            else:
                (result.skips if evaluation.skips else result.runs).add(each.name)
    listed = {each["variable"] for each in report["sensors"]}
    for name in [*example.cannot, *listed]:
        if name not in {*result.runs, *result.skips, *result.cannot}:
            result.cannot[name] = f"not defined; {'; '.join(result.failed.values())}"
    return result


def _problems(example: Example, result: Result) -> Iterator[str]:
    """Yield how a result differs from what is expected."""
    guide = (ROOT / GUIDE).read_text()
    for subject, row in example.edits.items():
        if row not in guide:
            yield f"{subject}: the guide has no row {row!r}."
    for line, error in result.failed.items():
        if not result.edits:
            yield f"line {line} fails, and `treadle port` reports nothing to change by hand: {error}"
    for subject in sorted(result.edits ^ example.edits.keys()):
        yield f"{subject}: " + (
            "is listed, but not reported." if subject in example.edits else "is reported, but not listed."
        )
    for kind in ("runs", "skips", "cannot"):
        found, expected = getattr(result, kind), getattr(example, kind)
        for name in sorted(set(found) - set(expected)):
            why = f": {result.cannot[name]}" if kind == "cannot" else ""
            yield f"{name}: is not listed below {kind}{why}."
        for name in sorted(set(expected) - set(found)):
            yield f"{name}: is listed below {kind}, but is not such."


if __name__ == "__main__":
    run_tool(lambda: main(sys.argv[1:]))
