"""The example job: what it counts, where it writes, and how it refuses what is no CSV."""

import importlib.util
import json
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

APP = Path(__file__).parents[2] / "functions" / "jobs" / "summarize_csv" / "app.py"
BUCKET = "watched"


@pytest.fixture
def app(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """The function as Lambda loads it, over a bucket in memory."""
    monkeypatch.setenv("OUTPUT_PREFIX", "summaries/")
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        spec = importlib.util.spec_from_file_location("summarize_csv_app", APP)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        yield module


def run(app: ModuleType, content: bytes, key: str = "in/data.csv", **config: str) -> dict[str, Any]:
    """Put the object, run the job on it, and return the summary it wrote."""
    s3 = boto3.client("s3")
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    app.handler({"run_config": {"bucket": BUCKET, "key": key, **config}}, None)
    written = s3.get_object(Bucket=BUCKET, Key=f"summaries/{key}/summary.json")
    summary: dict[str, Any] = json.loads(written["Body"].read())
    return summary


def test_counts_rows_and_describes_each_column(app: ModuleType) -> None:
    """A numeric column has its range and mean; a text column only counts; empty cells count for neither."""
    summary = run(app, b"city,degrees\nOslo,-4\nRome,11.5\nOslo,\n")

    assert summary == {
        "rows": 3,
        "columns": [
            {"name": "city", "non_empty": 3, "distinct": 2},
            {"name": "degrees", "non_empty": 2, "distinct": 2, "min": -4.0, "max": 11.5, "mean": 3.75},
        ],
    }


def test_result_points_to_the_summary(app: ModuleType) -> None:
    """The result is small: where the summary lies, and of how many rows and bytes it is."""
    boto3.client("s3").put_object(Bucket=BUCKET, Key="a b/ü.csv", Body=b"x\n1\n")

    result = app.handler({"run_config": {"bucket": BUCKET, "key": "a b/ü.csv"}}, None)

    assert result == {"bucket": BUCKET, "key": "summaries/a b/ü.csv/summary.json", "rows": 1, "bytes": 4}


def test_reads_the_version_that_the_run_is_about(app: ModuleType) -> None:
    """A later version of the key does not change what this run summarizes."""
    s3 = boto3.client("s3")
    s3.put_bucket_versioning(Bucket=BUCKET, VersioningConfiguration={"Status": "Enabled"})
    first = s3.put_object(Bucket=BUCKET, Key="in/data.csv", Body=b"x\n1\n2\n")["VersionId"]

    summary = run(app, b"x\n1\n", version=first)

    assert summary["rows"] == 2


def test_takes_what_spreadsheets_write(app: ModuleType) -> None:
    """A byte order mark, CRLF, quoted line breaks and blank lines are no malformation."""
    summary = run(app, b'\xef\xbb\xbfname,note\r\na,"two\r\nlines"\r\n\r\nb,\r\n')

    assert summary["rows"] == 2
    assert [column["name"] for column in summary["columns"]] == ["name", "note"]


def test_header_alone_is_a_file_without_rows(app: ModuleType) -> None:
    """No rows and columns that are not numeric."""
    assert run(app, b"a,b\n") == {
        "rows": 0,
        "columns": [
            {"name": "a", "non_empty": 0, "distinct": 0},
            {"name": "b", "non_empty": 0, "distinct": 0},
        ],
    }


@pytest.mark.parametrize("cell", [b"nan", b"inf", b"1e400"])
def test_column_with_unbounded_numbers_is_not_numeric(app: ModuleType, cell: bytes) -> None:
    """The summary stays valid JSON, which knows neither NaN nor Infinity."""
    summary = run(app, b"x\n1\n" + cell + b"\n")

    assert summary["columns"] == [{"name": "x", "non_empty": 2, "distinct": 2}]


def test_distinct_values_are_counted_up_to_a_bound(app: ModuleType) -> None:
    """Memory does not grow with the file; the range still covers every row."""
    summary = run(app, b"x\n" + b"".join(b"%d\n" % number for number in range(1500)))

    column = summary["columns"][0]
    assert column["distinct"] == 1000
    assert column["max"] == 1499


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "line 1: no header"),
        (b"a,b\n1,2\n3\n", "line 3: row 2 has 1 cells, the header 2"),
        (b"a\n1\n2,3\n", "line 3: row 2 has 2 cells, the header 1"),
        (b"a\n1\n\xff\n", "line 3: 'utf-8' codec can't decode byte 0xff"),
        (b"\xff\xfea\n", "line 1: 'utf-8' codec can't decode byte 0xff"),
        (b'a\n1\n"open\n', "line 3: unexpected end of data"),
    ],
)
def test_malformed_file_is_refused_with_line_and_reason(
    app: ModuleType, content: bytes, message: str
) -> None:
    """The error says where and why, and no summary is written."""
    with pytest.raises(app.MalformedCsvError) as refused:
        run(app, content)

    assert str(refused.value).startswith(message)
    assert "Contents" not in boto3.client("s3").list_objects_v2(Bucket=BUCKET, Prefix="summaries/")
