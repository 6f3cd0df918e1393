"""A backfill as deployed: DISPATCH creates its runs, PUBLISH reports their ends, RECONCILE continues what stopped."""

import json
from typing import Any

import boto3
import pytest

from tests.functional.conftest import Deployment, batch
from treadle.adapters.dynamodb.runs import _item
from treadle.adapters.queues import SqsQueue
from treadle.definitions.errors import StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.backfills.backfiller import LOOK_MS
from treadle.engine.identity import RunIds
from treadle.engine.messages import BackfillRequest
from treadle.engine.record.run_state import Report, fold
from treadle.entrypoints import metric_names
from treadle.model.backfills import (
    Backfill,
    BackfillPartition,
    BackfillStatus,
    PartitionState,
    backfill_of,
)
from treadle.model.runs import Run
from treadle.operate.backfills import BackfillOperations
from treadle.operate.runs import RunOperations
from treadle.testing.system import VirtualClock

RUN_IDS = RunIds.of("123456789012/us-east-1/test")
JOB = "process_file"


@pytest.fixture
def operator(deployment: Deployment) -> BackfillOperations:
    """What the commands of an operator use."""
    stores, clock = deployment.stores, VirtualClock()
    launches, dispatches = (SqsQueue(deployment.queues[name]) for name in ("launch", "dispatch"))
    runs = RunOperations(stores.runs, stores.sensors, launches, {}, {}, RUN_IDS, clock)
    return BackfillOperations(stores.backfills, dispatches, [JOB], runs, RUN_IDS, clock)


def started(operator: BackfillOperations, total: int = 3, **options: Any) -> str:
    partitions = [BackfillPartition(f"p{number}") for number in range(total)]
    return operator.start(JOB, partitions, "ada", **options).backfill.name


def dispatch(deployment: Deployment) -> None:
    bodies = [message["Body"] for message in deployment.messages("dispatch")]
    assert bodies
    assert deployment.invoke("engine/dispatch", batch(*bodies)) == {"batchItemFailures": []}


def read(deployment: Deployment, name: str) -> Backfill:
    found = deployment.stores.backfills.get(name)
    assert found is not None
    return found


def end(deployment: Deployment, name: str, number: int, status: Status = Status.SUCCESS) -> dict[str, Any]:
    """End a run, and return the stream's record of it."""
    run = run_of(deployment, name, number)
    ended = fold(run, Report(run.attempt, status, run.created_at + 1))
    deployment.stores.runs.replace(ended)
    images = {"NewImage": _item(ended, 9), "OldImage": _item(run, 8), "Keys": {"run_id": {"S": run.run_id}}}
    return {"eventName": "MODIFY", "eventSource": "aws:dynamodb", "dynamodb": images}


def run_of(deployment: Deployment, name: str, number: int) -> Run:
    run = deployment.stores.runs.get(RUN_IDS.backfill(name, f"p{number}"))
    assert run is not None
    return run


def test_backfill_runs_from_its_start_to_its_end(
    deployment: Deployment, operator: BackfillOperations
) -> None:
    name = started(operator, limit=2, run_config='{"n":1}')
    dispatch(deployment)
    deployment.launch_queued()

    assert read(deployment, name).states == b"pp."
    assert len(deployment.executions()) == 2
    deployment.invoke("engine/publish", {"Records": [end(deployment, name, number) for number in (0, 1)]})
    dispatch(deployment)
    deployment.launch_queued()
    deployment.invoke("engine/publish", {"Records": [end(deployment, name, 2)]})
    dispatch(deployment)

    assert read(deployment, name).shown_status is BackfillStatus.COMPLETED_SUCCESS
    assert len(deployment.executions()) == 3
    machine = boto3.client("stepfunctions")
    [arn, *_] = [
        each["executionArn"]
        for each in machine.list_executions(stateMachineArn=deployment.machine)["executions"]
        if each["name"].startswith(run_of(deployment, name, 1).run_id)
    ]
    sent = json.loads(machine.describe_execution(executionArn=arn)["input"])
    assert (sent["partition_key"], sent["run_config"]) == ("p1", {"n": 1})
    assert sent["tags"]["dagster/backfill"] == name


def test_ends_that_publish_did_not_report_are_found_by_reconcile(
    deployment: Deployment, operator: BackfillOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = started(operator, limit=2)
    deployment.messages("dispatch")  # Lost.

    answer = deployment.invoke("engine/reconcile", {"treadle": "reconcile"})

    assert (answer["backfilled"], answer["failed"]) == (2, 0)
    for number in (0, 1):
        end(deployment, name, number, Status.FAILURE)
    assert deployment.invoke("engine/reconcile", {"treadle": "reconcile"})["backfilled"] == 0
    later = read(deployment, name).next_at or 0
    monkeypatch.setattr("treadle.adapters.system.SystemClock.now", lambda _: later + LOOK_MS)
    assert deployment.invoke("engine/reconcile", {"treadle": "reconcile"})["backfilled"] == 1
    assert read(deployment, name).states == b"ffp"


def test_backfill_of_an_unregistered_job_is_blocked_and_counted(
    deployment: Deployment, operator: BackfillOperations, capsys: pytest.CaptureFixture[str]
) -> None:
    name = started(operator)
    deployment.register(f"jobs/{JOB}", "", "Delete")

    answer = deployment.invoke("engine/reconcile", {"treadle": "reconcile"})

    assert (answer["blocked"], answer["backfilled"]) == (1, 0)
    assert "registered" in str(read(deployment, name).problem)
    assert metric_names.BACKFILLS_BLOCKED in capsys.readouterr().out


def test_damaged_backfill_is_set_apart_and_blocks_no_other(
    deployment: Deployment, operator: BackfillOperations
) -> None:
    bad, good = started(operator), started(operator, 2)
    table = deployment.environment["TREADLE_RUNS_TABLE"]
    key = {"run_id": {"S": f"backfill#{bad}"}}
    client = boto3.client("dynamodb")
    client.update_item(
        TableName=table,
        Key=key,
        UpdateExpression="SET progress = :bad",
        ExpressionAttributeValues={":bad": {"B": b"-"}},
    )

    first = deployment.invoke("engine/reconcile", {"treadle": "reconcile"})
    second = deployment.invoke("engine/reconcile", {"treadle": "reconcile"})

    assert (first["unreadable"], first["backfilled"], second["unreadable"]) == (1, 2, 0)
    assert read(deployment, good).states == b"pp"
    [dead_letter] = deployment.messages("dead")
    assert json.loads(dead_letter["Body"]) == {"treadle": "reconcile", "backfill": bad}


def test_publish_reports_only_ends_of_backfills(deployment: Deployment, operator: BackfillOperations) -> None:
    name = started(operator)
    dispatch(deployment)
    runs = [run_of(deployment, name, number) for number in range(3)]
    created = [
        {
            "eventName": "INSERT",
            "dynamodb": {"NewImage": _item(run, 1), "Keys": {"run_id": {"S": run.run_id}}},
        }
        for run in runs
    ]

    deployment.invoke("engine/publish", {"Records": created})
    assert deployment.messages("dispatch") == []
    deployment.invoke("engine/publish", {"Records": [end(deployment, name, 2)]})

    [message] = deployment.messages("dispatch")
    assert json.loads(message["Body"]) == BackfillRequest(name, (2,)).to_json()
    assert backfill_of(runs[2]) == (name, 2)


def test_end_that_cannot_be_reported_does_not_hold_up_the_stream(
    deployment: Deployment, operator: BackfillOperations, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = started(operator, limit=1)
    dispatch(deployment)
    records = [end(deployment, name, 0)]
    send = SqsQueue.send

    def without_dispatch(queue: SqsQueue, bodies: list[Any], **options: Any) -> None:
        if queue._url == deployment.queues["dispatch"]:
            raise StoreError("SQS did not answer.")
        send(queue, bodies, **options)

    monkeypatch.setattr(SqsQueue, "send", without_dispatch)

    answer = deployment.invoke("engine/publish", {"Records": records})

    assert answer == {"batchItemFailures": []}
    assert deployment.messages("dead") == []
    assert read(deployment, name).next_at is not None  # So RECONCILE finds the end.


@pytest.mark.parametrize(
    "body",
    [
        {"backfill": "a b"},
        {"backfill": 1},
        {"backfill": "may", "positions": []},
        {"backfill": "may", "positions": [-1]},
        {"backfill": "may", "positions": [True]},
        {"backfill": "may", "positions": [100_000]},
    ],
    ids=["name", "number", "none", "negative", "bool", "beyond"],
)
def test_malformed_message_becomes_a_dead_letter(deployment: Deployment, body: dict[str, Any]) -> None:
    deployment.invoke("engine/dispatch", batch({"treadle": "backfill", **body}))

    [dead_letter] = deployment.messages("dead")
    assert "The dispatch queue accepts" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_message_about_an_unknown_backfill_changes_nothing(deployment: Deployment) -> None:
    message = BackfillRequest("nobody").to_json()

    assert deployment.invoke("engine/dispatch", batch(message)) == {"batchItemFailures": []}
    assert deployment.messages("launch") == []


def test_page_of_partitions_has_the_runs_that_exist(
    deployment: Deployment, operator: BackfillOperations
) -> None:
    name = started(operator, total=205, limit=2)
    dispatch(deployment)
    states = list(PartitionState)

    first = operator.run_page(name, states, None, 3)
    across = operator.run_page(name, states, 98, 3)
    last = operator.run_page(name, [PartitionState.WAITING], 201, 100)

    assert [(each.partition_key, run and run.partition_key) for each, run in first.runs] == [
        ("p0", "p0"),
        ("p1", "p1"),
        ("p2", None),
    ]
    assert [each.partition_key for each, _ in across.runs] == ["p99", "p100", "p101"]
    assert [each.partition_key for each, _ in last.runs] == ["p202", "p203", "p204"]
    assert (first.next, across.next, last.next) == (2, 101, None)
