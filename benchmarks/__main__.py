"""`make bench`: runs every benchmark in its own process, and writes docs/performance.md.

The output and the page show which goals are missed. The exit status is 1 if a goal is missed, or if a benchmark
failed.
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

from benchmarks.figures import COLLECTED, Figure
from tools.project import ROOT, run_tool

BENCHMARKS = (
    "tick_cpu",
    "cold_start",
    "idle_tick",
    "known_keys",
    "sweep_million",
    "launch_throughput",
    "ten_thousand",
    "backfill",
    "memory",
    "event_to_execution",
    "end_to_next_start",
)
CHANGED = (
    "## Optimizations",
    "",
    "Processor time under a profiler, before and after, on one machine with other load; cold starts as multiples of boto3 alone.",
    "",
    "| hot path | profile | change | before | after |",
    "| --- | --- | --- | ---: | ---: |",
    "| known keys, a key of a later tick | botocore 30 %, sockets and JSON 41 % | final keys are cached until the sensor is edited: 102 requests become 2; others are read with four requests at a time | 0.88 ms | 0.24 ms |",
    "| planning of 10,000 requests, a request | JSON 39 %: an encoder for each value, requests checked twice, sizes counted twice | one encoder, one check, one count | 0.61 ms | 0.34 ms |",
    "| cold start of an evaluator | the table of all services' endpoints, 30 ms; the listing of 400 services' folders, 14; the creation of 68 dataclasses, 60; one regular expression, 9 | unused data of botocore is not read; ticks import runs and events when they use them: 54 dataclasses; the expression is compiled at its first use | 1.33 | 1.19 |",
    "| cold start of LAUNCH, of RECORD | the same, and boto3 beside PynamoDB's own session | one session of botocore's, and no boto3 | 1.43, 1.50 | 1.25, 1.17 |",
    "| cold start of an evaluator, of LAUNCH, of RECORD | Powertools' batch processor with asyncio, 45 ms; the garbage collector, 33 | a loop in place of the processor; no collection before the first event | 1.22, 1.55, 1.57 | 1.09, 1.09, 1.11 |",
    "| all functions cold on the local cloud: first upload to execution; first end to the next start | three and five cold starts in sequence | the same, and the clients are created while a function is initialized | 4.3 s, 15.3 s | 2.6 s, 2.9 s |",
    "| idle tick, the whole handler | botocore 36 %, sockets and JSON 22 %, PynamoDB 15 %, Treadle 5 % | nothing | 30 ms | 27 ms |",
    "| dispatch and launch, a run | botocore 33 %, PynamoDB 13 %, Treadle 3 %: three conditional writes for each run | nothing in the run itself; LAUNCH starts five of a batch at a time | 57 ms | 62 ms |",
    "| dispatch and launch of a run beside three bare writes | a request for each write: signing, serializing, waiting | runs are created, claimed and recorded by up to 25 statements in a request | 63 % | 126 %; processor time 0.36 |",
    "| upload to execution on the local cloud, median | | engine and project in stacks of their own; measured by turns, twice each | 0.23 s, 0.34 s | 0.17 s, 0.18 s |",
    "",
)
"""Edited by hand: the former code cannot be measured again."""

REPORT = ROOT / "docs" / "performance.md"
PACKAGES = ("boto3", "pynamodb", "aws-lambda-powertools")


def collected(path: Path) -> list[tuple[str, Figure]]:
    """Return the figures that benchmarks have added to a file, each with its table's title."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return [(line.pop("title"), Figure(**line)) for line in lines]


def report(figures: list[tuple[str, Figure]], seconds: float, failed: list[str]) -> str:
    """Return the page.

    Args:
        figures: each with its table's title.
        seconds: the total duration.
        failed: the benchmarks that failed.
    """
    versions = ", ".join(f"{package} {version(package)}" for package in PACKAGES)
    machine = (
        f"{os.cpu_count()} CPUs, {platform.system()} {platform.machine()}, Python {platform.python_version()}"
    )
    lines = [
        "# Performance",
        "",
        "`make bench` runs the benchmarks and writes this page; each module in `benchmarks` describes one, and also runs by itself.",
        "Speeds depend on the machine and DynamoDB Local: compare only figures of one run.",
        "",
        f"{datetime.now(UTC):%Y-%m-%d}, {machine}, {versions}; {seconds / 60:.0f} minutes.",
    ]
    for title, group in groupby(figures, key=lambda each: each[0]):
        lines += ["", f"## {title}", "", "| figure | value | goal | |", "| --- | ---: | ---: | --- |"]
        lines += [f"| {' | '.join(figure.cells)} |" for _, figure in group]
    lines += ["", *CHANGED]
    lines += [*(f"{name} failed." for name in failed)]
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    """Run all benchmarks."""
    began, failed = time.monotonic(), []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "figures")
        path.touch()
        for name in BENCHMARKS:
            print(f"\n{name} …", flush=True)
            before, at = path.stat().st_size, time.monotonic()
            done = subprocess.run(
                [sys.executable, "-m", f"benchmarks.{name}"],
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
        print(f"FAILED: {each}")
    return 1 if missed or failed else 0


if __name__ == "__main__":
    run_tool(main)
