"""`make bench`: every benchmark, each in a process of its own, and the report of them all.

A goal that is missed is shown as missed, here and in docs/performance.md. Exit status 1 if one is, or if a
benchmark did not come through.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime
from importlib.metadata import version
from itertools import groupby
from pathlib import Path

from tests.bench.figures import COLLECTED, Figure
from tools.project import ROOT, run_tool

BENCHMARKS = (
    "tick_cpu",
    "cold_start",
    "idle_tick",
    "known_keys",
    "sweep_million",
    "launch_throughput",
    "ten_thousand",
    "memory",
    "event_to_execution",
    "end_to_next_start",
)
CHANGED = (
    "## What was changed for it",
    "",
    "Measured once while the machine was busy with other work: an order of magnitude, to be measured again.",
    "",
    "| hot path | where its time went | what was changed | ratio |",
    "| --- | --- | --- | ---: |",
    "| known keys, remembered | DynamoDB, and botocore's parser | settled keys are remembered until the sensor is edited | 102 requests become 2; 4.6 times the keys a second of asking for all, in one run |",
    "| known keys, asked for | a hundred requests in sequence | four at a time | 1.1 times boto3's own sequence with both CPUs busy; more where the network is what is waited for |",
    "| planning of 10,000 requests | JSON encoders made anew for each value, requests checked twice, sizes counted twice | one encoder, one check, one count | about 51 to 33 µs of a request, two runs |",
    "| import of an evaluator | making of dataclasses: 90 of them, more than half of the library's own time | events and readings are loaded by those that meet them: 61 | 190 to 165 ms of processor time, two runs |",
    "| dispatch of 100, launch | under a profiler, nine tenths in the client and its requests: three conditional writes for each run | nothing | |",
    "| idle tick | botocore, 0.3 ms of the protocol itself | nothing | |",
    "",
)
"""Kept by hand, as what was there before cannot be measured again."""

REPORT = ROOT / "docs" / "performance.md"
PACKAGES = ("boto3", "pynamodb", "aws-lambda-powertools")


def collected(path: Path) -> list[tuple[str, Figure]]:
    """The figures that benchmarks have added to a file, each with its table's title."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line.pop("title"), Figure(**line)) for line in lines]


def report(figures: list[tuple[str, Figure]], seconds: float, failed: list[str]) -> str:
    """The page.

    Args:
        figures: each with its table's title.
        seconds: that all took.
        failed: benchmarks that did not come through.
    """
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    machine = (
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    lines = [
        "# Performance",
        "",
        "`make bench` measures this and writes this page; each of its modules in `tests/bench` says what it does and runs by itself.",
        "Speeds hold for one machine and its DynamoDB Local: compare what was measured in one run, not the figures of two.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {versions}; {seconds / 60:.0f} minutes.",
    ]
    for title, group in groupby(figures, key=lambda each: each[0]):
        lines += ["", f"## {title}", "", "| figure | value | goal | |", "| --- | ---: | ---: | --- |"]
        lines += [f"| {' | '.join(figure.cells)} |" for _, figure in group]
    lines += ["", *CHANGED]
    lines += [*(f"{name} did not come through." for name in failed)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Entry point."""
    began, failed = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "figures")
        path.touch()
        for name in BENCHMARKS:
            print(f"\n{name} …", flush=True)
            before, at = path.stat().st_size, time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", f"tests.bench.{name}"],
                cwd=ROOT,
                env={**os.environ, COLLECTED: str(path)},
                check=False,
            )
            if done.returncode and path.stat().st_size == before:
                failed.append(name)
            print(f"{time.monotonic() - at:.0f} s")
        figures = collected(path)
    REPORT.write_text(report(figures, time.monotonic() - began, failed))
    missed = [f"{title}: {figure.name}" for title, figure in figures if not figure.is_met]
    print(f"\n{REPORT.relative_to(ROOT)} is written.")
    for each in missed:
        print(f"MISSED: {each}")
    for each in failed:
        print(f"DID NOT COME THROUGH: {each}")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    run_tool(main)
