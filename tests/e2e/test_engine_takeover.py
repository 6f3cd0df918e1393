"""An engine is deleted, and deployed again with the retained resources: nothing runs twice, nothing is lost."""

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from uuid import uuid4

import pytest
from botocore.exceptions import ClientError

from tests.e2e.deployment import JOB, MINUTE, SENSOR, Deployed, edit, eventually, fresh_key, running
from tests.e2e.test_asset_reports import report
from tests.e2e.test_permissions import not_granted
from tests.support.project import run
from tools import stack
from tools.project import ToolError
from tools.project_copy import copy_of_project
from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.model.assets import ended_runs_key
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run
from treadle.model.ticks import Tick, TickKind

NAME, ENGINE = "treadle-moved", "treadle-moved-engine"
TAKEN = ("Namespace", "ExistingStores")
"""What an operator notes according to the guide: outputs of the engine whose names are parameters."""
STORES = ("sensors_table", "ticks_table", "runs_table", "events_table", "payload_bucket")

INTERVAL = {
    "TREADLE_INTERVAL_SECONDS: '300'": "TREADLE_INTERVAL_SECONDS: '60', TREADLE_S3_START_FROM: beginning"
}
"""Each minute is a tick's, and each sweep lists all that there is."""
FOLLOWING_JOB = "process_large_file"
SCHEDULED = ("NewObjects", "WhenFresh", "Reconcile")
PATIENCE = 120


def deploy(endpoint: str, project: Path, engine: Sequence[str], *parameters: str) -> Deployed:
    """Deploy the engine and the project, register it, and disable the schedules."""
    values = [f"EngineName={NAME}", "LogRetentionDays=1", *engine]
    stack.deploy_engine(endpoint, ["--stack-name", ENGINE, "--parameter-overrides", *values])
    values = [f"Engine=/treadle/{NAME}/v1", "LogRetentionDays=1", *parameters]
    stack.deploy(endpoint, project, ["--stack-name", NAME, "--parameter-overrides", *values])
    made = Deployed.at(endpoint, NAME)
    for function in SCHEDULED:
        made.schedule(function, enabled=False)

    def is_registered() -> bool:
        found = made.stores.registry.read().sensors
        return all(
            name in found and found[name].function == made.physical_id(function)
            for name, function in ((SENSOR, "NewObjects"), ("when_fresh", "WhenFresh"))
        )

    eventually(is_registered, "the sensors are registered as they are now", seconds=PATIENCE)
    return made


def delete(deployed: Deployed) -> None:
    """Delete the project and then its engine, and wait until they are gone; and the logs, whose name is taken."""
    logs = deployed.physical_id("Logs")
    for name in (NAME, ENGINE):
        delete_stack(deployed, name)
    with contextlib.suppress(deployed.client("logs").exceptions.ResourceNotFoundException):
        deployed.client("logs").delete_log_group(logGroupName=logs)


def delete_stack(deployed: Deployed, name: str) -> None:
    """Delete a stack, and wait until it is gone."""
    deployed.client("cloudformation").delete_stack(StackName=name)

    def is_gone() -> bool:
        try:
            [found] = deployed.client("cloudformation").describe_stacks(StackName=name)["Stacks"]
        except ClientError:
            return True
        return bool(found["StackStatus"] == "DELETE_COMPLETE")

    eventually(is_gone, f"stack {name} is gone", seconds=PATIENCE)


def stores(deployed: Deployed) -> dict[str, str]:
    """Return the names of the tables and the bucket, as projects see them."""
    return {name: deployed.contract[name] for name in STORES}


def make_assets(deployed: Deployed, event: str) -> None:
    """Report both assets that `when_fresh` waits for."""
    for asset in ("shop/orders", "prices"):
        report(deployed, asset_key=asset, event_id=event)


def followed(deployed: Deployed) -> list[Run]:
    """Return the runs that `when_fresh` has requested."""
    return deployed.stores.runs.find(RunQuery(sensor="when_fresh"))


def pending(deployed: Deployed) -> list[tuple[str, str]]:
    """Return the ticks that wait to be dispatched."""
    return deployed.stores.ticks.pending(int(time.time() * 1000) + 3 * 60 * MINUTE, 100)


def ended_run(deployed: Deployed, key: str) -> Run:
    """Return the only run of an object, once it has ended, on a machine that has much else to do."""
    eventually(
        lambda: [each for each in deployed.runs_of(key) if each.ended_at is not None],
        f"the run of {key} has ended",
        seconds=PATIENCE,
    )
    return deployed.ended_run(key)


def let_an_hour_pass(deployed: Deployed) -> None:
    """Age the ticks that wait to be dispatched by an hour."""
    for sensor, tick_id in pending(deployed):
        deployed.client("dynamodb").update_item(
            TableName=deployed.outputs["TicksTableName"],
            Key={"sensor": {"S": sensor}, "tick_id": {"S": tick_id}},
            UpdateExpression="SET pending_since = :then",
            ExpressionAttributeValues={":then": {"N": str(int(time.time() * 1000) - 60 * MINUTE)}},
        )


def large_tick(deployed: Deployed) -> Tick:
    """Return a tick that waits to be dispatched, with its requests in the bucket of outcomes."""
    names = TableNames(
        *(deployed.outputs[f"{each}TableName"] for each in ("Sensors", "Ticks", "Runs", "Events"))
    )
    blobs = S3BlobStore(deployed.outputs["OutcomesBucketName"])
    at, noise = int(time.time() * 1000), not_granted(2, 190_000)
    requests = [replace(each, job=JOB) for each in noise]
    tick = Tick(
        SENSOR, str(uuid4()), TickKind.EVENT, TickStatus.SUCCESS, at, at, at,
        requests=tuple(requests), held="It waits for the stack to be deployed again.",
    )  # fmt: skip
    assert DynamoStores(names, RandomTokens(), blobs).ticks.put(tick)
    return tick


@pytest.fixture(scope="module")
def project(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project with a sensor over two assets, built."""
    copy = copy_of_project(tmp_path_factory.mktemp("moved"))
    options = ("--kind", "multi-asset", "--asset", "shop/orders", "--asset", "prices", "--job", FOLLOWING_JOB)
    made = run("new", "sensor", "when_fresh", *options, "--root", copy)
    assert made.exit_code == 0, made.output
    running(copy, "when_fresh")
    edit(copy / "template.yaml", INTERVAL)
    stack.build(deployed.endpoint, copy)
    return copy


@pytest.fixture
def first(deployed: Deployed, project: Path) -> Iterator[Deployed]:
    """The engine as it is deployed first, with two runs an hour, and the project."""
    made = deploy(deployed.endpoint, project, ["RunsPerHour=2"])
    yield made
    made.close()


@pytest.mark.timeout(900)
def test_rebuilt_engine_continues_with_what_the_earlier_one_has_left(first: Deployed, project: Path) -> None:
    done = [fresh_key(), fresh_key()]
    for key in done:
        first.upload(key)
    before = {key: ended_run(first, key) for key in done}
    waiting = fresh_key()
    first.upload(waiting)
    eventually(
        lambda: [tick for tick in first.event_ticks(waiting) if tick.held],
        "its run is held back",
        seconds=PATIENCE,
    )
    large = large_tick(first)
    make_assets(first, "one")
    eventually(lambda: followed(first), "the sensor over both assets has acted", seconds=PATIENCE)
    cursor = first.stores.sensors.get("when_fresh").cursor
    earlier, kept = first.outputs, stores(first)

    delete(first)
    taken = [f"{name}={earlier[name]}" for name in TAKEN]
    second = deploy(
        first.endpoint, project, ["RunsPerHour=0", *taken], f"NewObjectsBucket={earlier['Bucket']}"
    )

    assert {name: second.outputs[name] for name in TAKEN} == {name: earlier[name] for name in TAKEN}
    assert stores(second) == kept
    let_an_hour_pass(second)
    assert not second.invoke("Reconcile", {"treadle": "reconcile"}).failed
    assert ended_run(second, waiting).status is DagsterRunStatus.SUCCESS
    for request in large.requests:
        found = second.stores.runs.get(request.run_id)
        assert found is not None, "a request of a large tick is a run"
    # A run that fails makes an alert, whose tick is dispatched in a moment.
    eventually(lambda: pending(second) == [], "no tick is pending", seconds=PATIENCE)

    # Nothing runs twice, though all is listed again.
    second.let_time_pass()
    swept = second.tick()
    assert swept.value["decision"] == "SKIPPED", swept
    for key in (*done, waiting):
        [known] = second.runs_of(key)
        assert second.executions(known) == [known.launch_id]
    assert {key: second.runs_of(key)[0].run_id for key in done} == {key: before[key].run_id for key in done}

    # What is new comes through, and numbers continue.
    fresh = fresh_key()
    second.upload(fresh)
    assert ended_run(second, fresh).status is DagsterRunStatus.SUCCESS
    make_assets(second, "two")
    eventually(lambda: len(followed(second)) == 2, "the sensor has acted again", seconds=PATIENCE)
    assert second.stores.sensors.get("when_fresh").cursor != cursor
    assert [event.storage_id for event in second.stores.events.after("prices", 0, 10)] == [1, 2]
    ends = eventually(
        lambda: _all_ends(second, 4), "the ends of all runs are numbered in one order", seconds=PATIENCE
    )
    assert ends == list(range(1, len(ends) + 1))

    # A deployment that says nothing of them keeps what was taken over.
    third = deploy(first.endpoint, project, [])
    assert {name: third.outputs[name] for name in TAKEN} == {name: earlier[name] for name in TAKEN}
    assert stores(third) == kept
    delete(third)
    second.close()
    third.close()


def _all_ends(deployed: Deployed, number: int) -> list[int]:
    found = deployed.stores.events.after(ended_runs_key(JOB), 0, 100)
    return [each.storage_id for each in found] if len(found) >= number else []


@pytest.mark.timeout(600)
@pytest.mark.parametrize("left_out", [1, 5], ids=["ticks table", "events table"])
def test_tables_without_the_others_are_refused_with_a_reason(deployed: Deployed, left_out: int) -> None:
    names = deployed.outputs["ExistingStores"].split(",")
    del names[left_out]
    given = ["EngineName=treadle-partly", f"ExistingStores={','.join(names)}"]

    with pytest.raises(ToolError, match="seven values separated by commas"):
        stack.deploy_engine(
            deployed.endpoint, ["--stack-name", "treadle-partly", "--parameter-overrides", *given]
        )
