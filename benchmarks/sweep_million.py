"""A sweep of 1,000,000 objects: requests, duration and memory; compared with dagster-aws, if it is installed.

`python -m benchmarks.sweep_million` prints a table, and fails unless the sweep finds the ten new objects within
256 MB, also when its process is killed after every page.
"""

import resource
import sys
import time
from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from importlib import import_module
from math import ceil
from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.figures import Figure, report_figures
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.objects import ObjectIdentity, S3Object
from treadle.integrations.s3.lister import Page
from treadle.integrations.s3.objects import get_s3_keys
from treadle.integrations.s3.patterns import KeyPattern
from treadle.integrations.s3.selection import S3Selection, StartFrom
from treadle.integrations.s3.sweep import FULL_ROUND_MS, sweep
from treadle.testing.system import VirtualClock

BUCKET = "large"
OBJECTS = 1_000_000
PAGE = 1_000
NEW = frozenset(range(41, OBJECTS, OBJECTS // 10))
MAX_MEGABYTES = 256
SELECTION = S3Selection(BUCKET, start_from=StartFrom.BEGINNING)
ONE_IN_A_HUNDRED = replace(SELECTION, pattern=KeyPattern("in/{batch}41"))
LONG_AGO = datetime(2025, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class LargeBucket:
    """A bucket whose objects are generated when they are listed; also an S3 client for the helpers.

    Attributes:
        new_at: when the ten new objects were stored; None until they are.
        listed: the number of listed pages.
        batch_reads: the number of `BatchGetItem` requests, of a hundred keys each.
        max_batch_reads: the maximum for one page.
    """

    new_at: datetime | None = None
    listed: int = 0
    batch_reads: int = 0
    max_batch_reads: int = 0
    claimed: set[str] = field(default_factory=set)

    def numbers(self, after: int, size: int) -> Iterator[tuple[int, datetime]]:
        """Yield the numbers of a page, and when the objects were stored."""
        for number in range(after, min(after + size, OBJECTS)):
            if number not in NEW:
                yield number, LONG_AGO
            elif self.new_at is not None:
                yield number, self.new_at

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """Yield pages of a thousand objects."""
        start = int(after.rpartition("/")[2]) + 1 if after else 0
        for first in range(start, OBJECTS, PAGE):
            self.listed += 1
            objects = tuple(
                S3Object(BUCKET, f"in/{n:09}", "e1", "null", 10, at) for n, at in self.numbers(first, PAGE)
            )
            yield Page(objects, objects[-1].key if first + PAGE < OBJECTS else "")

    def announces(self, bucket: str) -> bool:
        """Return whether the bucket sends events: it does."""
        return bucket == BUCKET

    def has_versioning(self, bucket: str) -> bool:
        """Not needed."""
        raise NotImplementedError

    def find(self, bucket: str, key: str) -> S3Object | None:
        """Not needed."""
        raise NotImplementedError

    def members(self, selection: S3Selection, directory: str) -> Iterator[S3Object]:
        """Not needed."""
        raise NotImplementedError

    def claimed_of(self, keys: Collection[str]) -> set[str]:
        """Return all keys but those of new objects."""
        requests = ceil(len(keys) / 100)
        self.batch_reads += requests
        self.max_batch_reads = max(self.max_batch_reads, requests)
        new = {self.run_key(number) for number in NEW} - self.claimed
        return set(keys) - new

    @staticmethod
    def run_key(number: int) -> str:
        """Return the run key of an object."""
        return f"s3://{BUCKET}/in/{number:09}#e1"

    def get_paginator(self, _operation: str) -> "LargeBucket":
        """Return the bucket, which has the paginator's method."""
        return self

    def paginate(self, **_: str) -> Iterator[dict[str, Any]]:
        """Yield pages as `ListObjectsV2` does."""
        for first in range(0, OBJECTS, PAGE):
            self.listed += 1
            yield {
                "Contents": [
                    {"Key": f"in/{n:09}", "LastModified": at, "ETag": '"e1"', "Size": 10}
                    for n, at in self.numbers(first, PAGE)
                ]
            }


@dataclass(frozen=True, slots=True)
class Row:
    """The result of one sweep or listing."""

    name: str
    found: int
    ticks: int
    pages: int
    batch_reads: int
    seconds: float
    megabytes: float


class Sweeper:
    """A sensor that sweeps the bucket in consecutive ticks."""

    def __init__(self, bucket: LargeBucket, clock: VirtualClock, selection: S3Selection = SELECTION) -> None:
        self.bucket = bucket
        self.selection = selection
        self.clock = clock
        self.cursor: str | None = None
        self.ticks = 0

    def round(self, *, kill_after_each_page: bool = False) -> list[str]:
        """Return the keys that a whole round finds; a killed process has committed all but its last page."""
        found: list[str] = []
        while True:
            context = SensorEvaluationContext(
                "watch",
                self.cursor,
                _claimed_run_keys=self.bucket.claimed_of,
                _remaining_seconds=lambda: 0.0 if kill_after_each_page else float("inf"),
            )
            part = sweep(context, self.selection, self.bucket, self._now(kill_after_each_page))
            self.ticks += 1
            if kill_after_each_page and self.ticks % 2:
                continue  # Killed before its commit: neither cursor nor requests are durable.
            self.cursor = str(part.cursor)
            found += [stored.key for stored in part.objects]
            self.bucket.claimed |= {stored.run_key(ObjectIdentity.ETAG) for stored in part.objects}
            if part.is_complete:
                return found

    def _now(self, moves: bool) -> Any:
        def now() -> int:
            self.clock.time += 1 if moves else 0
            return self.clock.time

        return now


def megabytes() -> float:
    """Return the peak memory of this process."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 1024 / (1024 if sys.platform == "darwin" else 1)


class Measurement:
    """Measures sweeps and listings."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self.problems: list[str] = []
        self.clock = VirtualClock()

    def sweeps(self) -> None:
        """Measure the first round, one with new objects, the daily full one, and one with killed processes."""
        bucket = LargeBucket()
        sweeper = Sweeper(bucket, self.clock)
        self._round("sweep: the first round, all keys claimed", sweeper, 0)
        bucket.new_at = datetime.fromtimestamp(self.clock.advance(60) / 1000, UTC)
        self._round("sweep: ten new objects", sweeper, len(NEW))
        self.clock.advance(60)
        self._round("sweep: nothing new", sweeper, 0)
        self.clock.advance(FULL_ROUND_MS / 1000)
        self._round("sweep: the daily full round", sweeper, 0)
        if bucket.max_batch_reads > 10:
            self.problems.append(
                f"{bucket.max_batch_reads} requests for the claims of one page of 1,000 keys"
            )
        matched = Sweeper(LargeBucket(), self.clock, ONE_IN_A_HUNDRED)
        self._round("sweep: a pattern that one in a hundred matches", matched, 0)
        matched.bucket.new_at = datetime.fromtimestamp(self.clock.advance(60) / 1000, UTC)
        self._round("sweep: ten new objects that match the pattern", matched, len(NEW))
        killed = LargeBucket(new_at=datetime.fromtimestamp(self.clock.time / 1000, UTC))
        self._round(
            "sweep: a page per process, every second one killed", Sweeper(killed, self.clock), len(NEW), True
        )

    def _round(self, name: str, sweeper: Sweeper, expected: int, is_killed: bool = False) -> None:
        bucket, before = sweeper.bucket, (sweeper.ticks, sweeper.bucket.listed, sweeper.bucket.batch_reads)
        began = time.perf_counter()
        found = sweeper.round(kill_after_each_page=is_killed)
        ticks, listed, batch_reads = (
            sweeper.ticks - before[0],
            bucket.listed - before[1],
            bucket.batch_reads - before[2],
        )
        self._add(Row(name, len(found), ticks, listed, batch_reads, time.perf_counter() - began, megabytes()))
        if len(found) != expected or len(set(found)) != expected:
            self.problems.append(f"{name}: {len(found)} objects found, not {expected}")
        if megabytes() > MAX_MEGABYTES:
            self.problems.append(f"{name}: {megabytes():.0f} MB of memory, more than {MAX_MEGABYTES}")

    def helpers(self) -> None:
        """Measure `get_s3_keys` of Treadle and of dagster-aws with the same bucket."""
        bucket = LargeBucket(new_at=datetime.fromtimestamp(self.clock.advance(60) / 1000, UTC))
        last = f"in/{max(NEW):09}"
        began = time.perf_counter()
        keys = get_s3_keys(BUCKET, since_key=last, since_last_modified=bucket.new_at, s3_session=bucket)
        self._add(
            Row("get_s3_keys", len(keys), 1, bucket.listed, 0, time.perf_counter() - began, megabytes())
        )
        try:
            theirs = import_module("dagster_aws.s3.sensor").get_s3_keys
        except ImportError:
            return
        bucket.listed, began = 0, time.perf_counter()
        keys = theirs(BUCKET, since_key=last, s3_session=bucket)
        seconds = time.perf_counter() - began
        self._add(Row("dagster-aws' get_s3_keys", len(keys), 1, bucket.listed, 0, seconds, megabytes()))

    def _add(self, row: Row) -> None:
        self.rows.append(row)


def show(rows: list[Row]) -> None:
    """Print the table."""
    table = Table(title=f"Sweep of {OBJECTS:,} objects", title_justify="left")
    table.add_column("name", no_wrap=True)
    for column in ("found", "ticks", "LIST", "BatchGetItem", "seconds", "peak, MB"):
        table.add_column(column, justify="right")
    for row in rows:
        counts = (row.found, row.ticks, row.pages, row.batch_reads)
        table.add_row(row.name, *(f"{n:,}" for n in counts), f"{row.seconds:.1f}", f"{row.megabytes:.0f}")
    Console(width=120).print(table)


def figures(rows: list[Row], problems: list[str]) -> list[Figure]:
    """Return the figures.

    Args:
        rows: the sweeps and listings.
        problems: wrong results.
    """
    rounds = [row for row in rows if row.name.startswith("sweep")]
    found = [Figure(f"{row.name}: objects a second", OBJECTS / row.seconds, "objects/s") for row in rounds]
    pages = OBJECTS / PAGE
    usual = rounds[1]
    return [
        *found,
        Figure(f"{usual.name}: LIST requests", usual.pages, "", pages + usual.ticks),
        Figure(f"{usual.name}: BatchGetItem requests", usual.batch_reads, "", usual.found),
        Figure("peak memory of this process", max(row.megabytes for row in rows), "MB", MAX_MEGABYTES),
        Figure("sweeps with a wrong result or too much memory", len(problems), "", 0),
    ]


def main() -> int:
    """Measure and print; return 1 if a goal is missed."""
    measurement = Measurement()
    measurement.sweeps()
    measurement.helpers()
    show(measurement.rows)
    for problem in measurement.problems:
        print(f"WRONG: {problem}")
    title = f"Sweep of {OBJECTS:,} objects"
    return report_figures(title, figures(measurement.rows, measurement.problems))


if __name__ == "__main__":
    sys.exit(main())
