"""RECONCILE as a Lambda function: what each step can lose is put back on its way, and nothing else is touched."""

import json
import time
from dataclasses import replace
from uuid import uuid4

import boto3
import pytest

from tests.functional.conftest import Deployment, batch, object_created, sample
from tests.support.dynamodb_meter import metered
from treadle.adapters.dynamodb.batches import DUE_SHARDS
from treadle.adapters.dynamodb.runs import SHARDS as RUN_SHARDS
from treadle.adapters.dynamodb.ticks import SHARDS as TICK_SHARDS
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS
from treadle.model.runs import Run
from treadle.model.ticks import PlannedRun, Tick, TickKind, TickTrouble
from treadle.testing.registry import sensor_text

NOTHING = {
    "dispatched": 0,
    "relaunched": 0,
    "described": 0,
    "observed": 0,
    "failed": 0,
    "unreadable": 0,
    "held": 0,
    "refused": 0,
    "registered": 0,
    "invalid": 0,
    "retried": 0,
    "timed_out": 0,
    "not_canceled": 0,
    "backfilled": 0,
    "blocked": 0,
    "loops": 0,
    "granted": 0,
    "entered": 0,
    "in_doubt": 0,
    "closing": 0,
    "overdue": 0,
    "queues": (),
    "late": (),
    "is_complete": True,
}
MINUTE = 60_000


def now() -> int:
    return int(time.time() * 1000)


def reconcile(deployment: Deployment) -> dict[str, object]:
    """Return the outcome of a schedule's call."""
    answer: dict[str, object] = deployment.invoke("engine/reconcile", sample("reconcile-schedule"))
    return answer


def pending_tick(deployment: Deployment, at: int, number: int = 1) -> Tick:
    """Return a committed tick whose stream record has not reached DISPATCH."""
    requests = tuple(PlannedRun(str(uuid4()), None, "process_file", "{}", {}) for _ in range(number))
    tick = Tick(
        "new_objects", str(uuid4()), TickKind.EVENT, TickStatus.SUCCESS, at, at, at, requests=requests
    )
    assert deployment.stores.ticks.put(tick)
    return tick


def the_run(deployment: Deployment) -> Run:
    [run] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    return run


def let_it_be_due(deployment: Deployment) -> Run:
    """Return the only run, to be checked since a moment ago; if it has started, an hour ago."""
    run = the_run(deployment)
    started_at = run.started_at and run.started_at - 60 * MINUTE
    assert deployment.stores.runs.replace(replace(run, started_at=started_at, next_at=now() - 1)) is None
    return the_run(deployment)


def start_one(deployment: Deployment) -> Run:
    """Return a run that was dispatched and launched."""
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    deployment.dispatch_pending()
    deployment.launch_queued()
    return the_run(deployment)


def test_a_pending_tick_that_the_stream_lost_is_dispatched(deployment: Deployment) -> None:
    tick = pending_tick(deployment, now() - DISPATCH_LATE_MS - MINUTE)

    answer = reconcile(deployment)

    assert answer == {**NOTHING, "dispatched": 1}
    [message] = deployment.messages("launch")
    assert json.loads(message["Body"])["run_id"] == the_run(deployment).run_id
    dispatched = deployment.stores.ticks.get(tick.sensor, tick.tick_id)
    assert dispatched is not None
    assert dispatched.dispatched is not None
    assert dispatched.dispatched.started == 1
    assert reconcile(deployment) == NOTHING


def test_a_tick_that_the_stream_may_still_report_is_left_alone(deployment: Deployment) -> None:
    pending_tick(deployment, now())

    assert reconcile(deployment) == NOTHING
    assert deployment.stores.runs.list_by_sensor("new_objects", 5) == []


def test_a_large_tick_that_the_stream_lost_is_handed_to_dispatch_in_chunks(deployment: Deployment) -> None:
    """RECONCILE does not do it all itself, and returns to it only after a while."""
    pending_tick(deployment, now() - DISPATCH_LATE_MS - MINUTE, number=501)

    assert reconcile(deployment) == {**NOTHING, "dispatched": 1}

    assert len(deployment.messages("dispatch")) == 2
    assert reconcile(deployment) == NOTHING


def test_a_tick_of_a_job_that_is_not_granted_is_held_by_reconcile_too(deployment: Deployment) -> None:
    deployment.register("sensors/new_objects", sensor_text("shop", "another_job"))
    tick = pending_tick(deployment, now() - DISPATCH_LATE_MS - MINUTE)

    assert reconcile(deployment) == {**NOTHING, "held": 1}

    held = deployment.stores.ticks.get(tick.sensor, tick.tick_id)
    assert held is not None
    assert (held.dispatched, held.trouble) == (None, TickTrouble.HELD)
    assert "may not start job 'process_file'" in (held.held or "")
    assert deployment.stores.runs.list_by_sensor("new_objects", 5) == []


def test_what_waits_for_the_next_hour_is_not_started_before(deployment: Deployment) -> None:
    """Of two runs the hour's limit lets one start; RECONCILE keeps to the same count as DISPATCH."""
    deployment.setenv(TREADLE_RUNS_PER_HOUR="1")
    first = pending_tick(deployment, now(), number=2)
    deployment.dispatch_pending()

    assert reconcile(deployment) == {**NOTHING, "held": 1}

    assert len(deployment.stores.runs.list_by_sensor("new_objects", 5)) == 1
    held = deployment.stores.ticks.get(first.sensor, first.tick_id)
    assert held is not None
    assert held.held is not None
    assert held.held.startswith("1 of 2 requests wait for the next hour")


def test_a_queued_run_whose_message_was_lost_is_sent_again(deployment: Deployment) -> None:
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    deployment.dispatch_pending()
    assert deployment.messages("launch")
    run = let_it_be_due(deployment)

    assert reconcile(deployment) == {**NOTHING, "relaunched": 1}
    deployment.launch_queued()

    assert the_run(deployment).status is DagsterRunStatus.STARTED
    assert deployment.executions() == [run.launch_id]


def test_a_run_sent_again_for_nothing_starts_once(deployment: Deployment) -> None:
    """The message was only late."""
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    deployment.dispatch_pending()
    let_it_be_due(deployment)

    reconcile(deployment)
    deployment.launch_queued()

    assert len(deployment.executions()) == 1


def test_a_started_run_that_ended_unseen_gets_its_end(deployment: Deployment) -> None:
    run = start_one(deployment)
    boto3.client("stepfunctions").stop_execution(
        executionArn=run.external_id or "", error="Full", cause="no space"
    )
    let_it_be_due(deployment)

    assert reconcile(deployment) == {**NOTHING, "described": 1}

    ended = the_run(deployment)
    assert ended.status is DagsterRunStatus.CANCELED
    assert ended.ended_at is not None
    assert ended.next_at is None


def test_a_started_run_that_still_runs_is_queried_an_hour_later(deployment: Deployment) -> None:
    start_one(deployment)
    let_it_be_due(deployment)

    assert reconcile(deployment) == {**NOTHING, "described": 1}

    assert the_run(deployment).status is DagsterRunStatus.STARTED
    assert reconcile(deployment) == NOTHING
    assert (the_run(deployment).next_at or 0) > now() + 55 * MINUTE


def test_a_started_run_that_its_target_forgot_fails_with_a_message_on_what_to_do(
    deployment: Deployment,
) -> None:
    run = start_one(deployment)
    gone = replace(run, external_id=f"{run.external_id}-gone")
    assert deployment.stores.runs.replace(gone) is None
    let_it_be_due(deployment)

    reconcile(deployment)

    failed = the_run(deployment)
    assert failed.status is DagsterRunStatus.FAILURE
    assert failed.failure is not None
    assert failed.failure.error == "OutcomeUnknownError"
    assert "its target no longer knows it" in failed.failure.cause


def test_a_healthy_system_costs_the_queries_of_two_indexes(deployment: Deployment) -> None:
    """However many ticks and runs there are: here one that is under way, and one that waits for its launch.

    A new process scans all that waits once, as it may have new settings, notes that it runs, and reads the
    states of sensors, and which were late; and the registry's copy is read once a minute.
    """
    start_one(deployment)
    pending_tick(deployment, now())

    with metered() as meter:
        deployment.setenv()
        answers = [reconcile(deployment)]
        first = [call.operation for call in meter.calls]
        answers.append(reconcile(deployment))

    assert answers == [NOTHING, NOTHING]
    of_batches = ["Query"] * DUE_SHARDS
    every_time = ["Query"] * (TICK_SHARDS + RUN_SHARDS + 3)  # One for unfinished backfills, two for pools.
    once = ["PutItem", "BatchGetItem", "GetItem"]
    assert first == ["GetItem", *once, *of_batches, *["Query"] * TICK_SHARDS, "GetItem", *every_time]
    assert [call.operation for call in meter.calls][len(first) :] == [*of_batches, *every_time]
    assert deployment.messages("launch") == deployment.messages("dispatch") == []


def test_what_was_found_is_counted_and_nothing_else(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    pending_tick(deployment, now() - DISPATCH_LATE_MS - MINUTE)

    reconcile(deployment)
    found = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]
    reconcile(deployment)
    later = [line for line in capsys.readouterr().out.splitlines() if "_aws" in line]

    [counted] = map(json.loads, found)
    metrics = {metric["Name"] for metric in counted["_aws"]["CloudWatchMetrics"][0]["Metrics"]}
    assert metrics == {"TicksRecovered"}
    assert counted["TicksRecovered"] == [1.0]
    assert later == []
