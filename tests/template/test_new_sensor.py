"""A project with what `treadle new sensor` writes passes every check that the project itself passes."""

import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tests.support.project import run
from tools.project import ROOT
from tools.project_copy import copy_of_project
from tools.template import load
from treadle.cli.target_kinds import KINDS

pytestmark = pytest.mark.treadle

SAM = ROOT / ".tools" / "sam" / "bin" / "sam"
MINUTES = 300


def check(project: Path, *command: str | Path) -> str:
    """Return the output of a command that succeeds in the project."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
    environment |= {"AWS_DEFAULT_REGION": "us-east-1", "SAM_CLI_TELEMETRY": "0"}
    arguments = list(map(str, command))
    done = subprocess.run(
        arguments, cwd=project, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def python(project: Path, module: str, *arguments: str) -> str:
    """Return the output of a Python tool that succeeds in the project."""
    return check(project, sys.executable, "-m", module, *arguments)


def cfn_lint(project: Path) -> None:
    """Check the project's template with cfn-lint."""
    check(project, Path(sys.executable).with_name("cfn-lint"), "template.yaml")


def own_tests(project: Path) -> None:
    """Run the tests that every project has of its template."""
    python(project, "pytest", "tests/template", "-q", "-p", "no:randomly", "-m", "not treadle")


def type_check(project: Path, *files: str) -> None:
    """Check these files of the project with mypy, which has read the library for this project already."""
    python(project, "mypy", f"--cache-dir={ROOT / '.mypy_cache'}", *files)


@pytest.mark.timeout(MINUTES)
@pytest.mark.skipif(not SAM.exists(), reason="make setup brings SAM")
def test_template_with_jobs_of_all_kinds_passes_sam_validate_and_its_own_tests(tmp_path: Path) -> None:
    """Its own tests find every sensor by themselves."""
    copy = copy_of_project(tmp_path)
    for name in KINDS:
        done = run("new", "sensor", f"{name}_watch", "--target", name, "--root", copy)
        assert done.exit_code == 0, done.output
    assert run("new", "sensor", "known_job", "--job", "process_file", "--root", copy).exit_code == 0

    check(copy, SAM, "validate", "--lint", "--template-file", "template.yaml")
    own_tests(copy)


@pytest.mark.parametrize(("length", "job_length"), [(3, 3), (36, 40)])
def test_code_of_the_shortest_and_the_longest_names_is_formatted(
    tmp_path: Path, length: int, job_length: int
) -> None:
    copy, name = copy_of_project(tmp_path), "n" * length

    assert run("new", "sensor", name, "--job", "j" * job_length, "--root", copy).exit_code == 0
    python(copy, "ruff", "format", "--check", f"functions/sensors/{name}", f"tests/sensors/test_{name}.py")
    python(copy, "ruff", "check", f"functions/sensors/{name}", f"tests/sensors/test_{name}.py")


def test_layer_goes_without_the_command_line_and_the_testing_kit(tmp_path: Path) -> None:
    """What a function imports is there all the same."""
    layer = tmp_path / "python"
    check(
        ROOT / "layers" / "treadle",
        *("make", "build-TreadleLayer", f"ARTIFACTS_DIR={tmp_path}", f"PYTHON={sys.executable}"),
    )

    assert not {path.name for path in (layer / "treadle").iterdir()} & {"cli", "dev", "testing"}
    assert list((layer / "treadle").glob(f"__pycache__/__init__.{sys.implementation.cache_tag}.pyc"))
    code = (
        f"import sys; sys.path.insert(0, {str(layer)!r}); import treadle.entrypoints as e; print(e.__file__)"
    )
    assert check(tmp_path, sys.executable, "-c", code).startswith(str(layer))


@pytest.mark.parametrize("layer", ["deps", "treadle"])
def test_bytecode_is_made_for_the_runtime_of_the_functions(layer: str) -> None:
    runtime = load()["Globals"]["Function"]["Runtime"]

    assert f"RUNTIME := {runtime}\n" in (ROOT / "layers" / layer / "Makefile").read_text()


def test_package_requests_what_the_layer_has() -> None:
    """Every package that the library needs beside boto3 is pinned in the layer of dependencies."""
    project = tomllib.loads((ROOT / "layers/treadle/pyproject.toml").read_text())["project"]
    pinned = re.findall(r"^([\w-]+)==", (ROOT / "layers/deps/requirements.txt").read_text(), re.MULTILINE)

    needed = {re.split("[>=]", line)[0] for line in project["dependencies"]}
    assert needed - {"boto3"} <= set(pinned)
    assert "boto3" in needed
