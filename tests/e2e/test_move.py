"""A single stack of the last version that had one is moved to an engine and a project: nothing twice, nothing lost."""

import os
import re
import subprocess
import sys
import tarfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.deployment import JOB, SENSOR, Deployed, eventually, fresh_key, pointing_at, running
from tests.e2e.test_asset_reports import report
from tests.e2e.test_engine_takeover import let_an_hour_pass, pending
from tests.support.project import run
from tools import stack
from tools.local_cloud import temporary_cloud
from tools.project_copy import copy_of_project
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.status import DagsterRunStatus, InstigatorStatus
from treadle.model.assets import ended_runs_key
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run

pytestmark = pytest.mark.timeout(1200)

ARCHIVE = Path(__file__).with_name("single_stack") / "single-stack.tar.xz"
OLD, ENGINE, NEW = "treadle", "moved-engine", "moved"
FOLLOWING, TOTAL = "process_large_file", "totals"
SENSORS = {
    "when_fresh": (
        *("--kind", "multi-asset", "--asset", "shop/orders", "--asset", "prices"),
        *("--job", FOLLOWING),
    ),
    "all_done": ("--kind", "all-succeeded", "--jobs", f"{JOB},{FOLLOWING}", "--job", TOTAL),
}
MACHINE = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}
PATIENCE = 180


def old_treadle(project: Path, *arguments: str) -> None:
    """Run the command of the version that the single stack is of."""
    done = subprocess.run(
        [sys.executable, "-c", "from treadle.cli import main; main()", *arguments],
        env={**os.environ, "PYTHONPATH": str(project / "layers/treadle")},
        capture_output=True,
        text=True,
        check=False,
        cwd=project,
    )
    assert done.returncode == 0, done.stderr


def single_stack(endpoint: str, project: Path) -> Deployed:
    """Deploy the single stack with two more sensors, and two runs an hour for each sensor."""
    with tarfile.open(ARCHIVE) as archive:
        # Debian 12's Python 3.11.2 has no filters yet.
        filters: dict[str, Any] = {"filter": "data"} if hasattr(tarfile, "data_filter") else {}
        archive.extractall(project, **filters)
    for name, options in SENSORS.items():
        old_treadle(project, "new", "sensor", name, *options, "--root", str(project))
    machines = stack.create_machines(endpoint, (FOLLOWING, TOTAL), MACHINE)
    values = (
        *("ExampleJob=on", "NewObjectsSuffix=.csv", "NewObjectsInterval=60", "NewObjectsStartFrom=beginning"),
        *("LogRetentionDays=1", "RunsPerHour=2", "WhenFreshStatus=RUNNING", "AllDoneStatus=RUNNING"),
        f"ProcessLargeFileStateMachineArn={machines[FOLLOWING]}",
        f"TotalsStateMachineArn={machines[TOTAL]}",
    )
    stack.build(endpoint, project)
    stack.deploy(endpoint, project, ["--stack-name", OLD, "--parameter-overrides", *values])
    outputs = stack.outputs(endpoint, OLD)
    tables = TableNames(*(outputs[f"{each}TableName"] for each in ("Sensors", "Ticks", "Runs", "Events")))
    outputs["Bucket"] = outputs["ObjectsBucketName"]
    return Deployed(endpoint, OLD, OLD, outputs, {}, DynamoStores(tables, RandomTokens()))


@pytest.fixture(scope="module")
def old(tmp_path_factory: pytest.TempPathFactory, build_once: Callable[[str], None]) -> Iterator[Deployed]:
    """The single stack on a cloud of its own."""
    with temporary_cloud() as cloud, pointing_at(cloud.endpoint):
        build_once(cloud.endpoint)
        made = single_stack(cloud.endpoint, tmp_path_factory.mktemp("single"))
        yield made
        made.close()


@pytest.fixture(scope="module")
def project(old: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with the same sensors; of the two more, one would stay stopped by itself."""
    copy = copy_of_project(tmp_path_factory.mktemp("moved"))
    for name, options in SENSORS.items():
        made = run("new", "sensor", name, *options, "--root", copy)
        assert made.exit_code == 0, made.output
    running(copy, "when_fresh")
    stack.build(old.endpoint, copy)
    return copy


def move(*options: str, status: int) -> str:
    """Return the output of `treadle move`, which ends with this status."""
    done = run("move", OLD, "--engine", ENGINE, "--yes", "--by", "ann", *options)
    assert done.exit_code == status, done.output
    return done.output


def values_in(output: str, file: str) -> dict[str, str]:
    """Return the values of parameters that a move has printed for a file."""
    block = output.partition(f"Into parameter_overrides of {file}:\n")[2]
    lines = re.match(r'(?:    ".*",\n)+', block)
    assert lines, output
    return dict(line.strip().strip('",').split("=", 1) for line in lines[0].splitlines())


def runs_of_job(deployed: Deployed, job: str) -> list[Run]:
    """Return the runs of a job, oldest first."""
    return deployed.stores.runs.find(RunQuery(job=job, newest_first=False))


def started(deployed: Deployed, found: Run) -> list[str]:
    """Return the executions of a run, on whichever machine."""
    machines = deployed.client("stepfunctions")
    arns = [each["stateMachineArn"] for each in machines.list_state_machines()["stateMachines"]]
    return [
        execution["name"]
        for arn in arns
        for execution in machines.list_executions(stateMachineArn=arn)["executions"]
        if execution["name"].startswith(found.run_id)
    ]


def succeeded(deployed: Deployed, job: str, count: int) -> list[Run]:
    """Return whether so many runs of a job have succeeded and no others have ended."""

    def probe() -> list[Run]:
        found = [each for each in runs_of_job(deployed, job) if each.ended_at is not None]
        return found if len(found) >= count else []

    found = eventually(probe, f"{count} runs of {job} have ended", seconds=PATIENCE)
    assert [each.status for each in found] == [DagsterRunStatus.SUCCESS] * count
    return found


def cursors(deployed: Deployed) -> dict[str, str | None]:
    """Return the cursors of the sensors that have one."""
    states = deployed.stores.sensors
    return {name: states.cursor(states.get(name)) for name in (SENSOR, *SENSORS)}


def test_single_stack_is_moved_without_a_run_too_many_or_an_event_too_few(
    old: Deployed, project: Path
) -> None:
    endpoint = old.endpoint
    # Two runs, a pending tick, and cursors of all kinds.
    done = [fresh_key(), fresh_key()]
    for key in done:
        old.upload(key)
    before = {each.run_id: each.launch_id for each in succeeded(old, JOB, 2)}
    held = fresh_key("held")
    old.upload(held)
    eventually(
        lambda: [each for each in old.event_ticks(held) if each.held], "its run is held", seconds=PATIENCE
    )
    for asset in ("shop/orders", "prices"):
        report(old, asset_key=asset, event_id="one")
    before |= {each.run_id: each.launch_id for each in succeeded(old, FOLLOWING, 1)}
    before |= {each.run_id: each.launch_id for each in succeeded(old, TOTAL, 1)}
    at_first = cursors(old)

    # The first step stops it.
    output = move("--timeout", "120", status=1)
    assert "Next, deploy the engine" in output
    values = values_in(output, "engine/samconfig.toml")
    assert values["RunsPerHour"] == "2"
    # What happens now waits in the queues: an object, a report on the earlier bus.
    missed = fresh_key("missed")
    old.upload(missed)
    report(old, asset_key="shop/orders", event_id="two")
    assert "Next, deploy the engine" in move(status=1)

    given = [
        f"EngineName={NEW}",
        *(f"{name}={value}" for name, value in (values | {"RunsPerHour": "0"}).items()),
    ]
    stack.deploy_engine(endpoint, ["--stack-name", ENGINE, "--parameter-overrides", *given])
    output = move(status=1)
    assert "No project has registered" in output
    engine = stack.outputs(endpoint, ENGINE)
    # What is published now reaches no sensor, as their rules are not there yet.
    report(Deployed(endpoint, NEW, ENGINE, engine, {}, old.stores), asset_key="prices", event_id="two")
    eventually(
        lambda: len(old.stores.events.after("prices", 0, 9)) == 2, "the event is recorded", seconds=PATIENCE
    )

    given = [f"Engine=/treadle/{NEW}/v1"]
    given += [f"{name}={value}" for name, value in values_in(output, "samconfig.toml").items()]
    stack.deploy(endpoint, project, ["--stack-name", NEW, "--parameter-overrides", *given])
    new = Deployed.at(endpoint, NEW)
    new.knows_sensors(SENSOR, "large_files", *SENSORS)
    new.knows_jobs(JOB, FOLLOWING, TOTAL)
    output = move("--timeout", "120", status=0)

    assert "Started sensor all_done" in output
    assert f"There is no stack {OLD}." in move(status=2)
    assert {name: new.outputs[name] for name in ("Namespace", "ExistingStores")} == {
        name: values[name] for name in ("Namespace", "ExistingStores")
    }
    assert new.stores.sensors.get("large_files").status is InstigatorStatus.STOPPED

    # The pending tick continues, and what was missed comes through, each once.
    let_an_hour_pass(new)
    eventually(lambda: not pending(new), "nothing is pending", seconds=PATIENCE)
    after = [*succeeded(new, JOB, 4), *succeeded(new, FOLLOWING, 2), *succeeded(new, TOTAL, 2)]
    for key in (*done, held, missed):
        [_] = new.runs_of(key)
    # The machine of the two first is gone with the stack.
    for each in after:
        if each.job != JOB or each.run_id not in before:
            assert started(new, each) == [each.launch_id]
    assert {each.run_id: each.launch_id for each in after if each.run_id in before} == before
    at_last = cursors(new)
    assert all(at_last[name] != at_first[name] for name in SENSORS)
    for asset in ("shop/orders", "prices"):
        assert [each.storage_id for each in new.stores.events.after(asset, 0, 9)] == [1, 2]
    ends = [each.storage_id for each in new.stores.events.after(ended_runs_key(JOB), 0, 9)]
    assert ends == [1, 2, 3, 4]
    new.close()
