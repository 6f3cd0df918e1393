"""Concurrency pools as deployed: an operator's commands, with the engine's own handlers at work on its tables and queues."""

import json
from dataclasses import replace
from typing import Any

import boto3
import pytest
from click.testing import Result

from tests.functional.conftest import STACK, Deployment, batch, object_created
from tests.support.project import run
from tests.support.streams import as_record
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure, Run

OPERATOR = "arn:aws:sts::123456789012:user/moto"


@pytest.fixture
def pool(stack: Deployment) -> Deployment:
    """A deployment with a pool of one slot, for which two runs wait while a third holds the slot."""
    stack.register("pools/warehouse", json.dumps({"project": "shop", "limit": "1"}))
    stack.register_job(sensors="new_objects", pools="warehouse")
    closed = stack.stores.pools.states()["warehouse"]
    assert closed.closed_until is not None
    assert stack.stores.pools.open(closed)
    for key in ("a.csv", "b.csv", "c.csv"):
        stack.invoke("sensors/new_objects", object_created(key, stack.put(key)))
    stack.dispatch_pending()
    publish(stack)
    dispatch(stack)
    stack.launch_queued()
    return stack


def treadle(*arguments: str) -> Result:
    done = run(*arguments, "--stack", STACK)
    assert done.exit_code == 0, done.output
    return done


def shown(*arguments: str) -> Any:
    return json.loads(treadle(*arguments, "--json").stdout)


def publish(stack: Deployment) -> None:
    """Hand all run records to PUBLISH, as the stream would."""
    runs = boto3.client("dynamodb").scan(TableName=stack.environment["TREADLE_RUNS_TABLE"])["Items"]
    stack.invoke("engine/publish", {"Records": [as_record(each) for each in runs]})


def dispatch(stack: Deployment) -> None:
    bodies = [message["Body"] for message in stack.messages("dispatch")]
    assert stack.invoke("engine/dispatch", batch(*bodies)) == {"batchItemFailures": []}


def started(stack: Deployment) -> list[Run]:
    found = stack.stores.runs.list_by_sensor("new_objects", 5)
    return [each for each in found if each.status is not Status.QUEUED]


def queue() -> list[str]:
    """Return the ids of the runs that wait, in the order of their starts."""
    return [each["run_id"] for each in shown("pool", "show", "warehouse")["waiters"]]


def test_raised_limit_starts_the_next_run_at_once(pool: Deployment) -> None:
    [before] = shown("pool", "list")
    first, second = queue()

    done = treadle("pool", "set-limit", "warehouse", "2")
    dispatch(pool)
    pool.launch_queued()

    assert (before["limit"], before["held"], before["waiting"]) == (1, 1, 2)
    assert done.stdout.startswith("The limit of pool warehouse is 2 instead of the declared 1")
    assert {each.run_id for each in started(pool)} >= {first}
    assert queue() == [second]
    [after] = shown("pool", "list")
    assert (after["limit"], after["declared_limit"], after["limit_set_by"]) == (2, 1, OPERATOR)
    assert (after["held"], after["project"]) == (2, "shop")

    assert (
        treadle("pool", "reset-limit", "warehouse").stdout
        == "The limit of pool warehouse is 1, as declared.\n"
    )
    [reset] = shown("pool", "list")
    assert (reset["limit"], reset["is_limit_set"], reset["limit_set_by"]) == (1, False, None)


def test_run_moves_ahead_by_its_priority_in_one_write(pool: Deployment) -> None:
    first, second = queue()

    treadle("run", "set-priority", second, "5")

    assert queue() == [second, first]
    moved = pool.stores.runs.get(second)
    assert moved is not None
    assert moved.tags["dagster/priority"] == "5"
    assert treadle("run", "show", second).stdout.count("it is number 1 in the queue") == 1
    why = treadle("why", "new_objects", "--run", first).stdout
    assert "has waited for a slot of pool warehouse since" in why
    assert "it is number 2 in the queue, and 1 run holds a slot of 1." in why


def test_slot_in_doubt_is_counted_and_freed(pool: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    [running] = started(pool)
    failure = Failure("LaunchOutcomeUnknownError", "It may have started.", assumed=True)
    ended = replace(running, status=Status.FAILURE, failure=failure, next_at=None)
    assert pool.stores.runs.replace(ended, running) is None
    capsys.readouterr()

    answer = pool.invoke("engine/reconcile", {"treadle": "reconcile"})

    assert (answer["in_doubt"], answer["granted"]) == (1, 0)
    written = [json.loads(line) for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    counted = {name: value for each in written for name, value in each.items()}
    assert counted["SlotsInDoubt"] == [1.0]
    assert (counted["pool"], counted["PoolRunsWaiting"]) == ("warehouse", [2.0])
    assert counted["PoolWaitAge"][0] >= 0
    [before] = shown("pool", "list")
    assert before["in_doubt"] == 1

    treadle("pool", "free", running.run_id)

    [after] = shown("pool", "list")
    assert (after["held"], after["in_doubt"]) == (0, 0)
    assert pool.invoke("engine/reconcile", {"treadle": "reconcile"})["granted"] == 1


def test_pool_without_waiting_runs_has_no_metrics(
    stack: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    stack.register("pools/warehouse", json.dumps({"project": "shop", "limit": "1"}))
    stack.invoke("engine/reconcile", {"treadle": "reconcile"})
    capsys.readouterr()

    stack.invoke("engine/reconcile", {"treadle": "reconcile"})

    assert "Pool" not in capsys.readouterr().out
