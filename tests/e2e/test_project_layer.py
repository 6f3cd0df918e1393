"""A project outside of the repository, made from the built wheel alone: its tests, its deployment, and a run.

Its sensors import a package with compiled parts, and code that they share, from the project's layer.
"""

import functools
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import Deployed, eventually, running
from tests.support.external_project import Outside
from tools.project import SAM
from tools.wheel import build_wheel
from treadle.definitions.status import DagsterRunStatus
from treadle.model.run_queries import RunQuery

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
TEST = '''
"""Sensor NAME."""

from functions.sensors.NAME import app
from treadle import build_sensor_context


def test_its_key_is_made_by_the_shared_code() -> None:
    [request] = app.NAME.evaluate_tick(build_sensor_context()).run_requests

    assert request.run_key == "NAME-000007"
'''


@pytest.fixture(scope="module")
def outside(tmp_path_factory: pytest.TempPathFactory) -> Outside:
    """A project outside of the repository, written by what the wheel installs; nothing else of Treadle is there."""
    folder = tmp_path_factory.mktemp("outside")
    made = Outside.from_wheel(build_wheel(folder / "dist"), folder)
    made.treadle("init", str(made.project), folder=folder)
    for name in SENSORS:
        made.treadle("new", "sensor", name, "--job", "process_file")
        _write(made.project / "functions/sensors" / name / "app.py", SENSOR.replace("NAME", name))
        _write(made.project / "tests/sensors" / f"test_{name}.py", TEST.replace("NAME", name))
    _write(made.project / "layers/project/python/shop_common.py", SHARED)
    _write(made.project / "layers/project/requirements.txt", "psycopg[binary]\n")
    return made


@pytest.fixture(scope="module")
def sharing(deployed: Deployed, outside: Outside) -> Iterator[Deployed]:
    """That project and an engine of its own, deployed by its own tools; its schedules rest."""
    engine = [
        "--config-env",
        "local",
        "--stack-name",
        f"{NAME}-engine",
        "--parameter-overrides",
        f"EngineName={NAME}",
    ]
    outside.treadle("engine", "deploy", *engine, aws=deployed.endpoint)
    running(outside.project, *SENSORS)
    outside.run(str(SAM), "build", "--config-env", "local", aws=deployed.endpoint)
    values = ["--stack-name", NAME, "--parameter-overrides", f"Engine=/treadle/{NAME}/v1"]
    outside.run(str(SAM), "deploy", "--config-env", "local", *values, aws=deployed.endpoint)
    deployed_project = Deployed.at(deployed.endpoint, NAME)
    assert (deployed_project.contract["engine"], deployed_project.engine) == (NAME, f"{NAME}-engine")
    for function in ("NewObjects", "Reconcile", "PolledOrders", "PolledReturns"):
        deployed_project.schedule(function, enabled=False)
    eventually(
        lambda: deployed_project.stores.registry.read().jobs,
        "the registry has the project's jobs",
        seconds=120,
    )
    yield deployed_project
    deployed_project.close()


def _write(path: Path, text: str) -> None:
    path.write_text(text.lstrip())


def test_its_own_tests_pass(outside: Outside) -> None:
    done = outside.run("make", "test")

    assert "4 passed" in done.stdout


@pytest.mark.parametrize("sensor", SENSORS)
def test_both_sensors_import_the_package_and_the_shared_code(sharing: Deployed, sensor: str) -> None:
    function = sharing.physical_id("".join(map(str.capitalize, sensor.split("_"))))

    answer = sharing.invoke_named(function, {"treadle": "preview"})

    assert not answer.failed, answer.log
    [request] = answer.value["requests"]
    assert request["run_key"] == f"{sensor}-000007"
    assert request["tags"]["libpq"].startswith("binary ")


def test_a_sensor_of_it_starts_a_run(sharing: Deployed) -> None:
    answer = sharing.invoke_named(sharing.physical_id("PolledOrders"), {"treadle": "tick"})

    assert answer.value["decision"] == "SUCCESS", answer.log
    runs = functools.partial(sharing.stores.runs.find, RunQuery(sensor="polled_orders"))
    [run] = eventually(runs, "the run is there", seconds=60)
    assert run.run_key == "polled_orders-000007"
    assert run.tags["libpq"].startswith("binary ")
    # Its state machine finds no file to read: the run has ended, which the engine knows from its event.
    eventually(lambda: runs()[0].status is DagsterRunStatus.FAILURE, "the run has ended", seconds=60)


def test_the_engine_is_protected_and_not_deleted_while_it_is_in_use(
    sharing: Deployed, outside: Outside
) -> None:
    stack = f"{NAME}-engine"
    cloudformation = sharing.client("cloudformation")

    refused = outside.treadle(
        "engine", "delete", "--stack-name", stack, "--yes", aws=sharing.endpoint, status=2
    )

    assert "entries are registered: jobs/process_file" in refused.stderr
    [found] = cloudformation.describe_stacks(StackName=stack)["Stacks"]
    assert found["EnableTerminationProtection"]
    policy = json.loads(cloudformation.get_stack_policy(StackName=stack)["StackPolicyBody"])
    assert policy["Statement"][1]["Effect"] == "Deny"


def test_the_engine_s_functions_go_without_the_layer(sharing: Deployed) -> None:
    functions = sharing.client("lambda")

    layers = {
        name: [each["Arn"].split(":")[-2].rpartition("-")[2] for each in found.get("Layers", [])]
        for name in ("LaunchFunction", "DispatchFunction", "PolledOrders")
        for found in [functions.get_function_configuration(FunctionName=sharing.physical_id(name))]
    }

    # Not their whole names: the local cloud names layers by the defaults of parameters.
    engine = ["deps", "library"]
    assert layers == {
        "LaunchFunction": engine,
        "DispatchFunction": engine,
        "PolledOrders": ["deps", "treadle", "project"],
    }
