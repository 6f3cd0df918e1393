"""Example job: summarizes the CSV file of a run. It depends on Treadle only through the run's input."""

import csv
import json
import os
from collections.abc import Iterator
from contextlib import suppress
from math import inf, isfinite
from typing import Any

import boto3

s3, OUTPUT_PREFIX = boto3.client("s3"), os.environ["OUTPUT_PREFIX"]


class MalformedCsvError(ValueError):
    """The file is not a UTF-8 CSV with a header and rows of the same width; has the line and the reason."""


class _Column:
    def __init__(self, name: str) -> None:
        self.name, self.cells, self.distinct = name, 0, set[str]()
        self.numbers, self.total, self.low, self.high = 0, 0.0, inf, -inf

    def add(self, cell: str) -> None:
        self.cells += bool(cell)
        if cell and len(self.distinct) < 1000:  # bounds the memory; 1000 distinct means 1000 or more
            self.distinct.add(cell)
        with suppress(ValueError):
            self.low, self.high = min(self.low, number := float(cell)), max(self.high, number)
            self.numbers, self.total = self.numbers + 1, self.total + number

    def summary(self) -> dict[str, Any]:
        numeric = 0 < self.numbers == self.cells and isfinite(self.total)
        numbers = {"min": self.low, "max": self.high, "mean": self.total / self.numbers} if numeric else {}
        return {"name": self.name, "non_empty": self.cells, "distinct": len(self.distinct), **numbers}


def handler(event: dict[str, Any], _context: object) -> dict[str, Any]:
    bucket, key, version = (event["run_config"].get(name) for name in ("bucket", "key", "version"))
    stored = s3.get_object(Bucket=bucket, Key=key, **({"VersionId": version} if version else {}))
    summary = _summarize(stored["Body"].iter_lines(keepends=True))
    output = f"{OUTPUT_PREFIX}{key}/summary.json"
    s3.put_object(Bucket=bucket, Key=output, Body=json.dumps(summary), ContentType="application/json")
    return {"bucket": bucket, "key": output, "rows": summary["rows"], "bytes": stored["ContentLength"]}


def _summarize(lines: Iterator[bytes]) -> dict[str, Any]:
    rows, count = csv.reader((line.decode("utf-8-sig") for line in lines), strict=True), 0
    try:
        columns = [_Column(name) for name in next(rows)]
        for count, row in enumerate(filter(None, rows), start=1):
            if len(row) != len(columns):
                raise ValueError(f"row {count} has {len(row)} cells, the header {len(columns)}")  # noqa: TRY301
            for column, cell in zip(columns, row, strict=True):
                column.add(cell)
    except (csv.Error, StopIteration, ValueError) as error:
        line = rows.line_num + isinstance(error, UnicodeDecodeError | StopIteration)  # not counted yet
        raise MalformedCsvError(f"line {line}: {str(error) or 'no header'}") from error
    return {"rows": count, "columns": [column.summary() for column in columns]}
