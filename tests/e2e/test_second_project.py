"""Two projects on one engine: each has layers of its own, neither takes a name of the other, and one can be deleted alone."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.deployment import JOB, SENSOR, Deployed, edit, eventually, fresh_key, without_sensors
from tests.support.project import run
from tools import stack
from tools.project import ToolError
from tools.project_copy import copy_of_project
from treadle.definitions.status import DagsterRunStatus, TickStatus

pytestmark = pytest.mark.timeout(900)
NAME, THIRD = "second", "third"
SENSORS = ("polled_orders", "polled_returns")
SETTLE = "settle"
MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
CODE = '''
"""Asks for one run."""

from treadle import JobDefinition, RunRequest, evaluator, sensor


@sensor(job=JobDefinition("settle"), minimum_interval_seconds=60)
def NAME():
    return RunRequest(run_key="once")


handler = evaluator(NAME)
'''


@pytest.fixture(scope="module")
def built(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with two such sensors and their job, built."""
    project = copy_of_project(tmp_path_factory.mktemp("second"))
    without_sensors(project)
    for name in SENSORS:
        made = run("new", "sensor", name, "--job", SETTLE, "--root", project)
        assert made.exit_code == 0, made.output
        code = project / "functions/sensors" / name / "app.py"
        code.write_text(CODE.lstrip().replace("NAME", name))
    stack.create_machines(deployed.endpoint, [SETTLE], MACHINE)
    stack.build(deployed.endpoint, project)
    return project


@pytest.fixture(scope="module")
def second(deployed: Deployed, built: Path) -> Iterator[Deployed]:
    """The project beside the first, on its engine; its schedules rest."""
    stack.deploy(deployed.endpoint, built, ["--stack-name", NAME])
    added = Deployed.at(deployed.endpoint, NAME)
    for function in map(_function, SENSORS):
        added.schedule(function, enabled=False)
    added.knows_jobs(JOB, SETTLE)
    added.knows_sensors(*SENSORS)
    yield added
    added.close()


def _function(sensor: str) -> str:
    return "".join(map(str.capitalize, sensor.split("_")))


def test_each_stack_has_layers_of_its_own(deployed: Deployed, second: Deployed) -> None:
    functions = second.client("lambda")
    deployed_as = {
        "Launch": second.function("Launch"),
        "NewObjects": deployed.function("NewObjects"),
        "PolledOrders": second.function("PolledOrders"),
    }

    layers = {
        name: [each["Arn"].split(":")[-2] for each in found.get("Layers", [])]
        for name, function in deployed_as.items()
        for found in [functions.get_function_configuration(FunctionName=function)]
    }

    engine = deployed.contract["engine"]
    assert layers == {
        "Launch": [f"treadle-{engine}-deps", f"treadle-{engine}-library"],
        "NewObjects": [f"{deployed.name}-{each}" for each in ("deps", "treadle", "project")],
        "PolledOrders": [f"{NAME}-{each}" for each in ("deps", "treadle", "project")],
    }


def test_sensor_of_the_second_project_starts_its_job(second: Deployed) -> None:
    scheduled = {"treadle": "tick", "nominal_time": "2026-01-28T05:00:00Z"}
    done = run("sensor", "start", "polled_orders", "--stack", NAME)
    assert done.exit_code == 0, done.output

    answer = second.invoke("PolledOrders", scheduled)

    assert answer.value["decision"] == TickStatus.SUCCESS.value, answer.log
    [started] = eventually(
        lambda: [each for each in second.stores.runs.list_by_sensor("polled_orders", 5) if each.ended_at],
        "the run has ended",
    )
    assert (started.job, started.status) == (SETTLE, DagsterRunStatus.SUCCESS)


def test_sensors_name_of_another_project_is_refused_at_the_deployment(second: Deployed, built: Path) -> None:
    """Of a third project, which has another job."""
    path = f"/treadle/{second.contract['engine']}/sensors/"
    entries = second.client("ssm").get_parameters_by_path(Path=path)["Parameters"]
    edit(built / stack.LOCAL_BUILD / "template.yaml", {"/jobs/settle\n": "/jobs/settle_again\n"})

    with pytest.raises(ToolError, match="Failed to create/update the stack"):
        stack.deploy(second.endpoint, built, ["--stack-name", THIRD])

    events = second.client("cloudformation").describe_stack_events(StackName=THIRD)["StackEvents"]
    [failed] = [each for each in events if each["ResourceStatus"] == "CREATE_FAILED"]
    assert failed["LogicalResourceId"] in {"PolledOrdersEntry", "PolledReturnsEntry"}
    assert "The parameter already exists" in failed["ResourceStatusReason"]
    # The rollback deletes what the refused stack has made, and no entry of the other's.
    assert second.client("ssm").get_parameters_by_path(Path=path)["Parameters"] == entries
    _delete(second, THIRD)


def test_second_project_goes_and_the_first_continues(deployed: Deployed, second: Deployed) -> None:
    """The last test of the module, as it deletes the stack of the others."""
    _delete(second, NAME)
    eventually(
        lambda: not set(SENSORS) & deployed.stores.registry.read().sensors.keys(),
        "the engine has no entry of the second project",
        seconds=60,
    )

    deployed.upload(key := fresh_key())
    deployed.let_time_pass()

    assert deployed.ended_run(key).status is DagsterRunStatus.SUCCESS
    assert not deployed.tick().failed
    registry = deployed.stores.registry.read()
    assert SENSOR in registry.sensors
    assert registry.jobs.keys() == {JOB, "process_large_file"}
    listed = json.loads(run("sensor", "list", "--stack", deployed.name, "--json").stdout)
    assert {each["name"] for each in listed} == registry.sensors.keys()
    # What it has recorded stays, also for queries.
    assert deployed.stores.runs.list_by_sensor("polled_orders", 5)


def _delete(second: Deployed, name: str) -> None:
    """Delete a stack."""
    cloudformation = second.client("cloudformation")
    cloudformation.delete_stack(StackName=name)
    cloudformation.get_waiter("stack_delete_complete").wait(StackName=name, WaiterConfig={"Delay": 1})
