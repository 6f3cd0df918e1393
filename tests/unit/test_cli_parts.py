"""The parts of the command line that need no stack: times, completion, parameters, what needs a checkout."""

import json
import os
import shutil
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import click
import pytest

from tests.support.project import run
from tools.project import ROOT
from treadle.cli.stack import local_environment, stack_option
from treadle.cli.times import TIME
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import DeployedSensor, LogLine
from treadle.operate.log_tail import LATE_MS, follow
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.system import VirtualClock


def test_version_is_that_of_the_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    metadata = tmp_path / "treadle-1.2.3.dist-info"
    metadata.mkdir()
    (metadata / "METADATA").write_text("Metadata-Version: 2.4\nName: treadle\nVersion: 1.2.3\n")
    monkeypatch.syspath_prepend(tmp_path)

    installed = run("--version")
    monkeypatch.setattr(sys, "path", [str(ROOT / "layers" / "treadle")])
    from_checkout = run("--version")

    assert installed.output == "treadle 1.2.3\n"
    assert from_checkout.output == "treadle, of a checkout that is not installed\n"
    assert installed.exit_code == from_checkout.exit_code == 0


def test_template_is_read_without_libyaml_too() -> None:
    """As PyYAML is where it was built without it: in a process of its own, as it is imported once."""
    code = (
        "import sys; sys.modules['yaml._yaml'] = None; import yaml; assert not yaml.__with_libyaml__; "
        "from treadle.cli import main; main()"
    )

    done = subprocess.run(
        [sys.executable, "-c", code, "params", "LogRetentionDays", "--json", "--root", str(ROOT)],
        env={"PYTHONPATH": str(ROOT / "layers" / "treadle")},
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert [each["name"] for each in json.loads(done.stdout)] == ["LogRetentionDays"]


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-25T06:00:00Z", datetime(2026, 11, 25, 6, tzinfo=UTC)),
        ("2026-11-25T08:00:00+02:00", datetime(2026, 11, 25, 6, tzinfo=UTC)),
        ("2026-11-25T06:00", datetime(2026, 11, 25, 6, tzinfo=UTC)),
        ("2026-11-25", datetime(2026, 11, 25, tzinfo=UTC)),
    ],
)
def test_moment_is_read_in_utc_unless_it_says_otherwise(text: str, moment: datetime) -> None:
    assert TIME.convert(text, None, None) == moment


@pytest.mark.parametrize(
    ("text", "ago"),
    [
        ("90s", timedelta(seconds=90)),
        ("15m", timedelta(minutes=15)),
        ("2h", timedelta(hours=2)),
        ("3d", timedelta(days=3)),
        ("1w", timedelta(weeks=1)),
    ],
)
def test_moment_may_be_how_long_ago(text: str, ago: timedelta) -> None:
    """To the millisecond."""
    begun = datetime.now(UTC) - timedelta(milliseconds=1)

    found = TIME.convert(text, None, None)

    assert begun - ago <= found <= datetime.now(UTC) - ago + timedelta(milliseconds=1)


@pytest.mark.parametrize("text", ["yesterday", "2 h", "h", "-2h", "25:00", "", "999999w"])
def test_what_is_no_time_is_refused_with_a_reason(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a time"):
        TIME.convert(text, None, None)


@pytest.mark.parametrize(
    ("shell", "line", "answer"),
    [
        ("bash", "treadle sens", "plain,sensor"),
        ("bash", "treadle sensor cur", "plain,cursor"),
        (
            "zsh",
            "treadle tick li",
            "plain\nlist\nList a sensor's ticks, newest first, and...",
        ),
        ("fish", "treadle dlq red", "plain,redrive"),
    ],
)
def test_shell_completes_commands(shell: str, line: str, answer: str) -> None:
    last = line.rsplit(maxsplit=1)[-1]
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT / "layers" / "treadle"),
        "_TREADLE_COMPLETE": f"{shell}_complete",
        "COMP_WORDS": line,
        "COMP_CWORD": last if shell == "fish" else str(len(line.split()) - 1),
    }

    done = subprocess.run(
        [sys.executable, "-c", "from treadle.cli import main; main()"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )

    assert done.stdout.strip().startswith(answer), done


def test_local_cloud_is_chosen_for_one_command_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_CLOUD_PORT", "4999")
    monkeypatch.setenv("TREADLE_STACK", "mine")
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    seen: dict[str, str | None] = {}

    @click.command()
    @stack_option
    def probe(stack: str) -> None:
        seen.update(
            {name: os.environ.get(name) for name in (*local_environment(""), "AWS_PROFILE")}, stack=stack
        )

    probe.main(["--local"], standalone_mode=False)

    assert seen == {**local_environment("4999"), "AWS_PROFILE": None, "stack": "mine"}
    assert (os.environ.get("AWS_ENDPOINT_URL"), os.environ["AWS_PROFILE"]) == (None, "production")


def test_stack_is_that_of_the_configuration_file_that_sam_reads(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("TREADLE_STACK", raising=False)
    monkeypatch.chdir(tmp_path)
    shutil.copy(ROOT / "samconfig.yaml", tmp_path)
    seen: list[str] = []

    @click.command()
    @stack_option
    def probe(stack: str) -> None:
        seen.append(stack)

    probe.main(["--local"], standalone_mode=False)
    probe.main([], standalone_mode=False)
    (tmp_path / "samconfig.toml").write_text('[default.deploy.parameters]\nstack_name = "shop"\n')
    probe.main(["--local"], standalone_mode=False)
    probe.main([], standalone_mode=False)
    (tmp_path / "samconfig.toml").write_text('[local.deploy.parameters]\nstack_name = "shop-local"\n')
    probe.main(["--local"], standalone_mode=False)
    with pytest.raises(click.UsageError, match="Which stack"):
        probe.main([], standalone_mode=False)

    assert seen == ["treadle-local", "treadle", "treadle-local", "shop", "shop-local"]


def test_parameters_are_explained_by_the_template_itself() -> None:
    shown = run("params", "bucket", "eventbridge", "--root", ROOT)
    parameters = json.loads(run("params", "--root", ROOT, "--json").stdout)

    assert "NewObjectsBucket" in shown.stdout
    assert "LogRetentionDays" not in shown.stdout
    text = (ROOT / "template.yaml").read_text()
    assert {each["name"] for each in parameters} >= {"Engine", "NewObjectsBucket"}
    assert all(f"\n  {each['name']}:\n" in text for each in parameters)
    assert all(each["description"] and each["group"] != "Others" for each in parameters)


def test_parameters_outside_a_project_are_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)

    done = run("params")

    assert done.exit_code == 2
    assert "is not in a Treadle project" in done.stderr


@pytest.mark.parametrize(
    "line", [("local", "up"), ("local", "down"), ("local", "demo"), ("invoke", "F", "e.json")]
)
def test_what_needs_a_checkout_says_so_outside_of_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: tuple[str, ...]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "e.json").write_text("{}")

    done = run(*line)

    assert (done.exit_code, done.stdout) == (2, "")
    assert "is not in a checkout of Treadle" in done.stderr


def test_local_command_runs_the_checkouts_own_target_and_ends_as_it_ends(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "tools").mkdir()
    (tmp_path / "tools" / "local_cloud.py").touch()
    (tmp_path / "Makefile").write_text("up:\n\t@touch was-up; exit 1\n")
    below = tmp_path / "below"
    below.mkdir()
    monkeypatch.chdir(below)

    done = run("local", "up")

    assert done.exit_code == 2
    assert (tmp_path / "was-up").exists()


def test_followed_log_shows_each_line_once_also_one_that_comes_late() -> None:
    clock = VirtualClock()
    start = clock.now()
    sensor = DeployedSensor("watch", "schedule", "", (), DefaultSensorStatus.RUNNING)
    first, second = LogLine("1", start, "first"), LogLine("2", start + 40_000, "second")
    late = LogLine("3", start + 39_000, "late")
    deployment = InMemoryDeployment([sensor], lines={"watch": [first]})
    rounds = iter([[first, second], [first, late, second]])

    def sleep(seconds: float) -> None:
        clock.advance(20)
        deployment.lines["watch"] = next(rounds)

    lines = follow(deployment, "watch", start, clock, sleep)

    assert [next(lines).text for _ in range(3)] == ["first", "second", "late"]
    with pytest.raises(StopIteration):
        sleep(0)
    assert LATE_MS == 30_000
