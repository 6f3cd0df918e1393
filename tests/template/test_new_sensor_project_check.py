"""`make check` in a project with sensors of its own: what concerns the project, and in what words."""

import os
import re
import resource
import subprocess
from pathlib import Path

import pytest

from tests.support.project import run
from tests.template.test_new_sensor import MINUTES
from tools.project import ROOT
from tools.project_copy import copy_of_project

pytestmark = [pytest.mark.treadle, pytest.mark.timeout(MINUTES)]

MINUTE = 60

SENSORS: dict[str, tuple[str, ...]] = {
    "late_orders": ("--job", "load_orders"),
    "load_orders": ("--job", "load_orders_job"),
    "planning": ("--kind", "run-failure", "--jobs", "load_orders"),
    "when_ready": ("--kind", "all-succeeded", "--jobs", "load_orders,process_file"),
    "on_orders": ("--kind", "asset", "--asset", "shop/orders", "--job", "process_file"),
}
"""By name, the names that the command line suggests, and one of a module of Treadle's own tests."""
OWN_STYLE = """
import os, sys
from treadle import *
from shop_common import key
from functions.sensors.late_orders import *

def unused( context ): return key(context)
"""
"""Code that keeps to none of Treadle's rules of style."""


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with sensors of its own, one of them with a helper module, shared code and a style of its own."""
    copy = copy_of_project(tmp_path_factory.mktemp("checked"))
    for name, options in SENSORS.items():
        done = run("new", "sensor", name, *options, "--root", copy)
        assert done.exit_code == 0, done.output
    (copy / "layers" / "project" / "python" / "shop_common.py").write_text("def key( x ): return str(x)\n")
    (copy / "tests" / "sensors" / "test_own_style.py").write_text(
        "from shop_common import key\n\ndef test_key( ): assert key(7)=='7'\n"
    )
    (copy / "functions" / "sensors" / "late_orders" / "own.py").write_text(OWN_STYLE)
    add_environment(copy)
    return copy


def add_environment(copy: Path) -> None:
    """Give a project the tools of this one, as if `make setup` had run there."""
    (copy / ".venv").mkdir()
    for name in ("bin", "lib", "pyvenv.cfg"):
        (copy / ".venv" / name).symlink_to(ROOT / ".venv" / name)
    for stamp in (".ready", ".project"):
        (copy / ".venv" / stamp).touch()


def make(project: Path, target: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """`make TARGET` there."""
    left_out = ("PYTEST_", "MAKE", "MFLAGS")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(left_out)}
    return subprocess.run(
        ["make", target, *arguments],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_it_is_green_whatever_the_sensors_are_called_and_however_they_are_written(project: Path) -> None:
    """And takes less than a minute of one processor; the template is only linted again once it has changed."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)

    done = make(project, "check")

    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == 0, done.stdout + done.stderr
    assert " passed" in done.stdout
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < MINUTE
    assert (project / ".aws-sam" / "template.checked").is_file()


MISSPELT = "[default.deploy.parameters]\nparameter_overrides = ['LogRetentionDay=30']"
CODE, TESTS = "check-project-code", "check-project-tests"
AT_ONCE = "PYTEST_ARGS=--exitfirst"


@pytest.mark.parametrize(
    ("target", "path", "text", "expected"),
    [
        (TESTS, "functions/sensors/planning/requirements.txt", "requests", "layers/project/requirements.txt"),
        (TESTS, "tests/sensors/test_broken.py", "def test_no(): assert 1 == 2", "test_broken.py"),
        (TESTS, "samconfig.toml", MISSPELT, "is it LogRetentionDays?"),
        (CODE, "functions/sensors/planning/helper.py", "x = undefined_name", "undefined_name"),
        (CODE, "functions/sensors/planning/helper.py", "def broken(:", "helper.py"),
        (CODE, "layers/project/python/shared.py", "x = undefined_name", "undefined_name"),
    ],
)
def test_what_would_not_work_is_named(
    project: Path, target: str, path: str, text: str, expected: str
) -> None:
    """By a part of the check, and by the first test that fails."""
    (project / path).write_text(text + "\n")

    done = make(project, target, AT_ONCE)

    (project / path).unlink()
    assert done.returncode != 0
    assert expected in done.stdout + done.stderr


def test_a_sensor_that_lacks_a_part_of_its_block_is_named(project: Path) -> None:
    template = project / "template.yaml"
    before = template.read_text()
    assert before.count("        - !Ref PlanningQueue\n") == 1
    template.write_text(before.replace("        - !Ref PlanningQueue\n", ""))

    done = make(project, TESTS, AT_ONCE)

    template.write_text(before)
    assert done.returncode != 0
    assert "PlanningQueue" in done.stdout


def test_the_check_is_made_of_these_parts() -> None:
    """And `make test` of it and of all that is Treadle's: what continuous integration runs leaves nothing out."""
    text = (ROOT / "Makefile").read_text()

    [parts] = re.findall(r"^check: .*\n\t@\$\(PARALLEL\) (.*)$", text, flags=re.MULTILINE)
    assert {CODE, TESTS, ".aws-sam/template.checked"} == set(parts.split())
    assert re.search(r"^test: check check-treadle ", text, flags=re.MULTILINE)
    assert (ROOT / ".ci" / "run").read_text().endswith("make test\n")


def test_what_it_leaves_to_the_simulations_is_run_by_them() -> None:
    """Each module is run by one of the three commands of `make test`."""
    everything, apart, end_to_end = (
        make(ROOT, each, "--dry-run").stdout for each in ("test", "simulations", "e2e")
    )

    [(folders, left_out)] = re.findall(r"-m pytest ([^-]*) ((?:--ignore=\S+ )+)-n", everything)
    [simulations] = re.findall(r"nice -n 19 \S+ -m pytest (.*) --timeout 600 -n auto", apart)
    assert re.search(r" e2e simulations$", everything, re.MULTILINE)
    assert "-m pytest tests/e2e " in end_to_end
    modules = {path for path in (ROOT / "tests").glob("*/**/test_*.py") if "sensors" not in path.parts}
    assert found(folders.split()) | found(simulations.split()) | found(["tests/e2e"]) == modules
    assert found(left_out.replace("--ignore=", "").split()) == found(simulations.split())


def found(places: list[str]) -> set[Path]:
    """Return the test modules in these folders, and those that are named."""
    paths = {ROOT / place for place in places}
    return {path for path in paths if path.is_file()} | {
        each for path in paths for each in path.rglob("test_*.py")
    }
