"""Sensors of a project import a package with compiled parts, and code that they share, from the project's layer."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployed, deploy_beside, running
from tests.support.project import run
from tools.project_copy import copy_of_project

pytestmark = pytest.mark.timeout(900)
NAME = "sharing"
SENSORS = ("polled_orders", "polled_returns")
SHARED = '''
"""How both name what they find."""


def key(kind: str, number: int) -> str:
    return f"{kind}-{number:06}"
'''
SENSOR = '''
"""Asks for one run, under a key that the shared code makes; the version is that of a compiled part."""

import psycopg
from shop_common import key

from treadle import JobDefinition, RunRequest, evaluator, sensor


@sensor(job=JobDefinition("process_file"), minimum_interval_seconds=60)
def NAME():
    return RunRequest(run_key=key("NAME", 7), tags={"libpq": f"{psycopg.pq.__impl__} {psycopg.pq.version()}"})


handler = evaluator(NAME)
'''


@pytest.fixture(scope="module")
def sharing(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A project with two such sensors, and an engine of its own; its schedules rest."""
    project = copy_of_project(tmp_path_factory.mktemp("sharing"))
    for name in SENSORS:
        made = run("new", "sensor", name, "--job", "process_file", "--root", project)
        assert made.exit_code == 0, made.output
        _write(project / "functions/sensors" / name / "app.py", SENSOR.replace("NAME", name))
    _write(project / "layers/project/python/shop_common.py", SHARED)
    _write(project / "layers/project/requirements.txt", "psycopg[binary]\n")
    running(project, *SENSORS)
    stood = deploy_beside(deployed.endpoint, project, NAME, {})
    for function in ("NewObjects", "Reconcile", "PolledOrders", "PolledReturns"):
        stood.schedule(function, enabled=False)
    yield stood
    stood.close()


def _write(path: Path, text: str) -> None:
    path.write_text(text.lstrip())


@pytest.mark.parametrize("sensor", SENSORS)
def test_both_sensors_import_the_package_and_the_shared_code(sharing: Deployed, sensor: str) -> None:
    function = sharing.physical_id("".join(map(str.capitalize, sensor.split("_"))))

    answer = sharing.invoke_named(function, {"treadle": "preview"})

    assert not answer.failed, answer.log
    [request] = answer.value["requests"]
    assert request["run_key"] == f"{sensor}-000007"
    assert request["tags"]["libpq"].startswith("binary ")


def test_the_engine_s_functions_go_without_the_layer(sharing: Deployed) -> None:
    functions = sharing.client("lambda")

    layers = {
        name: [each["Arn"].split(":")[-2] for each in found.get("Layers", [])]
        for name in ("LaunchFunction", "DispatchFunction", "PolledOrders")
        for found in [functions.get_function_configuration(FunctionName=sharing.physical_id(name))]
    }

    engine = [f"treadle-{NAME}-deps", f"treadle-{NAME}-library"]
    assert layers == {
        "LaunchFunction": engine,
        "DispatchFunction": engine,
        "PolledOrders": [f"{NAME}-deps", f"{NAME}-treadle", f"{NAME}-project"],
    }
