"""dev.toml: how jobs end, folders of buckets, and parameters."""

import sys
from pathlib import Path

import pytest

from treadle.definitions.errors import SettingsError
from treadle.dev.config import DevConfig, read_config
from treadle.dev.jobs import JobDouble


def test_a_missing_file_is_empty(tmp_path: Path) -> None:
    assert read_config(tmp_path / "dev.toml") == DevConfig()


def test_every_table_is_read(tmp_path: Path) -> None:
    path = tmp_path / "dev.toml"
    path.write_text(
        '[jobs."*"]\nseconds = 0.5\n'
        '[jobs.load]\nstatus = "failure"\n'
        '[jobs.report]\ncommand = ["sh", "report.sh"]\n'
        '[jobs.score]\nfunction = "doubles:score"\n'
        '[buckets]\nlanding = "inbox"\n'
        '[parameters]\nLimit = "7"\n'
    )

    found = read_config(path)

    score = found.jobs["score"].command
    assert (score[0], score[-2:]) == (sys.executable, ("doubles", "score"))
    assert {name: each for name, each in found.jobs.items() if name != "score"} == {
        "*": JobDouble(0.5),
        "load": JobDouble(3.0, fails=True),
        "report": JobDouble(command=("sh", "report.sh")),
    }
    assert (found.buckets, found.parameters) == ({"landing": "inbox"}, {"Limit": "7"})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[jobs", "Expected"),
        ("[job.load]\n", "it has job, and only the tables jobs, buckets, parameters, secrets mean something"),
        ("jobs = 1\n", r"jobs must be a table, \[jobs\]"),
        ("[jobs]\nload = 1\n", r"\[jobs.load\] must be a table"),
        ("[jobs.load]\nsecs = 1\n", r"\[jobs.load\] has secs: use seconds, status, command or function"),
        ("[jobs.load]\nseconds = true\n", "seconds is True; it must be a number, 0 or more"),
        ("[jobs.load]\nseconds = -1\n", "seconds is -1; it must be a number, 0 or more"),
        ("[jobs.load]\nstatus = 'late'\n", "status is 'late'; it must be success or failure"),
        ("[jobs.load]\ncommand = 'sh'\n", "command is 'sh'; it must be a list"),
        ("[jobs.load]\ncommand = []\n", "it must be a list"),
        (
            "[jobs.load]\nfunction = 'doubles'\n",
            "function is 'doubles'; it must be written as module:function",
        ),
        (
            "[jobs.load]\nfunction = 'a:b'\nseconds = 1\n",
            "has function, seconds: command and function stand alone",
        ),
        ("[jobs.load]\nfunction = 'a:b'\ncommand = ['a']\n", "command and function stand alone"),
        ("[buckets]\nlanding = 1\n", r"\[buckets\]: landing must be text in quotation marks"),
        (
            "[secrets]\nmine = ''\n",
            r'\[secrets\]: mine must be text in quotation marks, or \{ env = "VARIABLE" \}',
        ),
        ("[secrets]\nmine = { env = '' }\n", r"\[secrets\]: mine must be text"),
        ("[secrets]\nmine = { file = 'a' }\n", r"\[secrets\]: mine must be text"),
    ],
)
def test_what_is_wrong_is_said(tmp_path: Path, text: str, problem: str) -> None:
    path = tmp_path / "dev.toml"
    path.write_text(text)

    with pytest.raises(SettingsError, match=problem) as raised:
        read_config(path)

    assert str(raised.value).startswith(f"{path} cannot be used: ")
    assert str(raised.value).endswith(" Correct it.")
