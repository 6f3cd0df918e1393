"""The next steps and the limits that `make up` prints."""

import os
import subprocess
import sys

import pytest

from tools import local_cloud, stack
from tools.local_cloud import explain
from tools.ministack import LocalCloud
from tools.project import ROOT, clean_environment
from treadle.cli.target_kinds import KINDS


@pytest.fixture
def output(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> str:
    """All of it, of a stack on another port than the usual one."""
    monkeypatch.setattr(stack, "outputs", lambda *_: {"Bucket": "landing"})
    monkeypatch.setattr(stack, "write_container_environment", lambda *_: ROOT / ".tools" / "run" / "env.json")
    explain(LocalCloud(4711))
    return capsys.readouterr().out


@pytest.mark.parametrize(
    "message",
    [
        "Stack treadle-engine-local",
        "Stack treadle-console-local",
        "Stack treadle-local",
        "upload_file('my.csv', 'landing', 'my.csv')",
        "AWS_ENDPOINT_URL=http://127.0.0.1:4711",
        "TREADLE_CLOUD_PORT=4711 treadle run list --local",
        "TREADLE_CLOUD_PORT=4711 treadle console --local",
        "pip install './layers/treadle[cli]'",
        "make down",
    ],
)
def test_it_names_the_next_steps_with_this_clouds_own_names(output: str, message: str) -> None:
    assert message in output


@pytest.mark.parametrize("module", ["tools.local_cloud", "tools.invoke"])
def test_the_local_cloud_is_used_without_the_library(module: str) -> None:
    """It is in no environment that `make setup` makes."""
    environment = clean_environment()

    subprocess.run([sys.executable, "-c", f"import {module}"], cwd=ROOT, env=environment, check=True)


def test_it_says_of_every_kind_of_job_what_becomes_of_it_there(output: str) -> None:
    names = {
        "step_functions": "Step Functions",
        "sqs": "a queue",
        "eventbridge": "a bus",
        "lambda": "Lambda",
    }

    for kind in KINDS:
        assert names.get(kind, kind.upper() if kind == "ecs" else kind.title()) in local_cloud.JOBS
    assert local_cloud.JOBS in output
    assert "docs/guide/local-cloud.md" in output


@pytest.mark.parametrize("module", ["tools.local_cloud", "tools.invoke"])
def test_it_runs_without_the_library_on_the_path(module: str) -> None:
    """As `make up`, `make invoke` and `treadle invoke` run it."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(
        [sys.executable, "-m", module, "--help"],
        check=False,
        cwd=ROOT,
        env=environment,
        capture_output=True,
        text=True,
    )

    assert (done.returncode, done.stderr) == (0, "")
