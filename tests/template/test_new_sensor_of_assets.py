"""What `treadle new sensor` makes of kinds that hear of assets passes every check that the project itself passes."""

import sys
from pathlib import Path

import pytest

from tests.support.project import run
from tests.template.test_new_sensor import MINUTES, check, parsed, python
from tests.template.test_new_sensor_of_runs import files
from tools.project_copy import copy_of_project

SENSORS: dict[str, tuple[str, ...]] = {
    "on_orders": ("--kind", "asset", "--asset", "shop/orders", "--job", "process_file"),
    "on_prices": ("--kind", "asset", "--asset", "prices"),
    "when_fresh": ("--kind", "multi-asset", "--asset", "shop/orders", "--asset", "prices"),
}
LONGEST = "/".join([*["a"] * 7, "z" * 46])


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with sensors of each kind, with a known job and with new ones."""
    copy = copy_of_project(tmp_path_factory.mktemp("assets"))
    for name, options in SENSORS.items():
        done = run("new", "sensor", name, *options, "--root", copy)
        assert done.exit_code == 0, done.output
    return copy


@pytest.mark.timeout(MINUTES)
def test_template_passes_cfn_lint_and_its_own_tests(project: Path) -> None:
    check(project, Path(sys.executable).with_name("cfn-lint"), "template.yaml")
    python(project, "pytest", "tests/template", "-q", "-p", "no:randomly")


@pytest.mark.timeout(MINUTES)
def test_written_tests_pass(project: Path) -> None:
    tests = [file for file in files(*SENSORS) if file.endswith(".py")]

    assert "6 passed" in python(project, "pytest", "-q", *tests)


@pytest.mark.timeout(MINUTES)
def test_written_code_passes_formatter_linter_and_type_checker(project: Path) -> None:
    python(project, "ruff", "format", "--check", *files(*SENSORS))
    python(project, "ruff", "check", *files(*SENSORS))
    python(project, "mypy", *files(*SENSORS))


@pytest.mark.parametrize("kind", ["asset", "multi-asset"])
def test_code_of_the_longest_names_is_formatted(tmp_path: Path, kind: str) -> None:
    copy, name = copy_of_project(tmp_path), "n" * 36
    assets = ["--asset", LONGEST] + (["--asset", "b"] if kind == "multi-asset" else [])

    done = run("new", "sensor", name, "--kind", kind, "--job", "j" * 40, *assets, "--root", copy)

    assert done.exit_code == 0, done.output
    python(copy, "ruff", "format", "--check", *files(name))
    python(copy, "ruff", "check", *files(name))


def test_only_what_waits_for_several_ticks_by_schedule(project: Path) -> None:
    assert {"on_orders", "on_prices"}.isdisjoint(parsed(project).scheduled())
    assert "when_fresh" in parsed(project).scheduled()
