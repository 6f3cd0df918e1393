"""`make dagster-examples`: ports files, evaluates their sensors, and reports each result that is not listed."""

import re
import subprocess
import tomllib
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any
from urllib.error import URLError

import pytest

from tests.peers.examples import __main__ as examples
from tests.peers.examples import files
from tests.peers.examples.files import Example
from tools.project import ROOT, ToolError
from treadle.cli.port_rules import GUIDE

COMMIT = "0123456789012345678901234567890123456789"
SOURCE = """\
import dagster as dg


@dg.job
def load(): ...


@dg.sensor(job=load)
def requests():
    yield dg.RunRequest(run_key="a")


@dg.sensor(job=load)
def waits():
    yield dg.SkipReason("nothing")


@dg.sensor(job=load)
def fails():
    raise ValueError("it broke")


@dg.asset_sensor(asset_key=dg.AssetKey("orders"), job=load)
def on_orders():
    return dg.RunRequest()


@dg.run_failure_sensor
def alerts(context): ...


nightly = dg.ScheduleDefinition(job=load, cron_schedule="0 3 * * *")
"""
LISTED = """
runs = ["requests", "on_orders", "alerts"]
skips = ["waits"]
cannot = { fails = "it raises" }
edits = { ScheduleDefinition = "`schedule`, `ScheduleDefinition`" }
"""
Listing = Callable[..., None]


@pytest.fixture
def listing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Listing:
    """Write a list with one example, whose file was obtained before."""

    def write(listed: str = LISTED, source: str = SOURCE) -> None:
        kept = tmp_path / "kept" / "dagster-io/dagster" / COMMIT / "docs/sensors.py"
        kept.parent.mkdir(parents=True)
        kept.write_text(source)
        entry = f'[[example]]\npath = "docs/sensors.py"\ncommit = "{COMMIT}"\n{listed}'
        (tmp_path / "examples.toml").write_text(entry)

    monkeypatch.setattr(files, "KEPT", tmp_path / "kept")
    monkeypatch.setattr(examples, "LIST", tmp_path / "examples.toml")
    return write


def test_results_as_listed_are_counted(listing: Listing, capsys: pytest.CaptureFixture[str]) -> None:
    listing()

    assert examples.main([]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "",
        "5 sensors in 1 files: 0 run as ported, 4 after an edit that the list names, 1 cannot; 0 problems.",
    ]


@pytest.mark.parametrize(
    ("before", "after", "problem"),
    [
        ('"requests", ', "", "requests: is not listed below runs."),
        ('["waits"]', '["waits", "gone"]', "gone: is listed below skips, but is not such."),
        ('fails = "it raises"', "", "ValueError: it broke"),
        ("ScheduleDefinition = ", "job = ", "ScheduleDefinition: is reported, but not listed."),
        ("ScheduleDefinition = ", "job = ", "job: is listed, but not reported."),
        ('"`schedule`', '"`no such row`', "ScheduleDefinition: the guide has no row"),
    ],
)
def test_results_other_than_listed_are_reported(
    before: str, after: str, problem: str, listing: Listing, capsys: pytest.CaptureFixture[str]
) -> None:
    assert before in LISTED
    listing(LISTED.replace(before, after))

    assert examples.main([]) == 1
    assert problem in capsys.readouterr().out


def test_statement_that_fails_must_have_been_reported(
    listing: Listing, capsys: pytest.CaptureFixture[str]
) -> None:
    listing("", "import dagster as dg\n\nx = dg.SkipReason()\nraise ValueError('it broke')\n")

    assert examples.main([]) == 1
    assert "line 4 fails, and `treadle port` reports nothing" in capsys.readouterr().out


def test_part_of_a_file_that_a_page_shows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "KEPT", tmp_path)
    path = tmp_path / "dagster-io/dagster" / COMMIT / "a.py"
    path.parent.mkdir(parents=True)
    path.write_text(
        "def f():\n    # start_b\n    import dagster\n\n    x = 1\n    # end_b\n    # start_a_b\n"
    )

    shown = Example(path="a.py", commit=COMMIT, between="b").text(None)

    assert shown == "import dagster\n\nx = 1\n"
    with pytest.raises(ToolError, match=r"a\.py has 0 markers of job instead of 2"):
        Example(path="a.py", commit=COMMIT, between="job").text(None)


def test_file_is_taken_from_a_clone_at_its_commit_and_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "KEPT", tmp_path / "kept")
    clone = tmp_path / "clones" / "dagster"
    commits = [_committed(clone, text) for text in ("one\n", "two\n")]

    first = Example(path="docs/a.py", commit=commits[0])

    assert first.text(tmp_path / "clones") == "one\n"
    assert first.text(None) == "one\n"
    assert Example(path="docs/a.py", commit=commits[1]).text(tmp_path / "clones") == "two\n"
    with pytest.raises(
        ToolError, match=r"does not have docs/a\.py of 0123.*Clone github\.com/dagster-io/dagster"
    ):
        Example(path="docs/a.py", commit=COMMIT).text(tmp_path / "clones")


def _committed(clone: Path, text: str) -> str:
    """Commit a file to a repository, and return the commit."""
    (clone / "docs").mkdir(parents=True, exist_ok=True)
    (clone / "docs" / "a.py").write_text(text)
    person = ("-c", "user.name=a", "-c", "user.email=a@example.com")
    for command in (["init", "-q"], ["add", "."], [*person, "commit", "-q", "-m", "a"]):
        subprocess.run(["git", "-C", str(clone), *command], check=True, capture_output=True)
    head = ["git", "-C", str(clone), "rev-parse", "HEAD"]
    return subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()


def test_file_that_cannot_be_downloaded_says_what_else_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def refuse(url: str, **_: object) -> None:
        asked.append(url)
        raise URLError("no route")

    monkeypatch.setattr(files, "KEPT", tmp_path)
    monkeypatch.setattr(files, "urlopen", refuse)

    with pytest.raises(ToolError, match=r"cannot be downloaded: .*no route.* set CLONES"):
        Example(path="a.py", commit=COMMIT).text(None)
    assert asked == [f"https://raw.githubusercontent.com/dagster-io/dagster/{COMMIT}/a.py"]


def test_downloaded_file_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    answers = iter([BytesIO(b"import dagster\n")])
    monkeypatch.setattr(files, "KEPT", tmp_path)
    monkeypatch.setattr(files, "urlopen", lambda _url, **_: next(answers))
    example = Example(path="docs/a.py", commit=COMMIT)

    assert [example.text(None) for _ in range(2)] == ["import dagster\n"] * 2


def test_list_names_commits_and_rows_of_the_guide() -> None:
    guide = (ROOT / GUIDE).read_text()
    entries: list[dict[str, Any]] = tomllib.loads(examples.LIST.read_text())["example"]

    every = [Example.of(entry) for entry in entries]

    assert len({(each.repository, each.path) for each in every}) == len(every)
    assert all(re.fullmatch("[0-9a-f]{40}", each.commit) for each in every)
    assert not {row for each in every for row in each.edits.values() if row not in guide}
    with pytest.raises(ToolError, match=r"examples\.toml has a wrong entry, a\.py"):
        Example.of({"path": "a.py", "commit": COMMIT, "run": []})
