"""The demo's uploads: real CSV files from the package vega_datasets, and one that is broken."""

import csv
import importlib.metadata
from dataclasses import dataclass
from pathlib import Path

EARLY = "iowa-electricity.csv"
"""Uploaded before the sensor exists, so that there is no event for it."""

TWICE = "stocks.csv"
"""Uploaded a second time, unchanged."""

BROKEN = "seattle-weather-cut-off.csv"
"""The head of a real file, with a line that lost its last cells."""

OTHERS = (
    "airports.csv",
    "la-riots.csv",
    "seattle-temps.csv",
    "seattle-weather.csv",
    "sf-temps.csv",
    "us-employment.csv",
)

_BROKEN_LINE = 8


@dataclass(frozen=True, slots=True)
class CsvFile:
    """A file to upload.

    Attributes:
        key: of its object.
        body: its bytes.
        is_broken: True if its run must fail.
        summary: the expected summary.
    """

    key: str
    body: bytes
    is_broken: bool
    summary: str


def real_file(name: str) -> CsvFile:
    """Return one of the package's files, counted here for comparison with its run's counts."""
    body = _body(name)
    header, *rows = csv.reader(body.decode("utf-8-sig").splitlines(keepends=True))
    return CsvFile(
        name, body, is_broken=False, summary=f"{len(list(filter(None, rows)))} rows, {len(header)} columns"
    )


def broken_file() -> CsvFile:
    """Return a real file that is cut off in the middle of a line."""
    lines = _body("seattle-weather.csv").splitlines(keepends=True)[:_BROKEN_LINE]
    cells = lines[0].count(b",") + 1
    whole, last = lines[:-1], lines[-1]
    cut = last.split(b",")[: cells - 2]
    reason = f"line {_BROKEN_LINE}: row {_BROKEN_LINE - 1} has {len(cut)} cells, the header {cells}"
    return CsvFile(BROKEN, b"".join(whole) + b",".join(cut), is_broken=True, summary=reason)


def _body(name: str) -> bytes:
    # The package's own functions would need pandas.
    package = importlib.metadata.distribution("vega_datasets")
    return Path(str(package.locate_file(f"vega_datasets/_data/{name}"))).read_bytes()
