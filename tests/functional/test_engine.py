"""DISPATCH, LAUNCH and RECORD as Lambda functions, and the whole flow through them."""

import json
from threading import Barrier

import boto3
import pytest

from tests.functional.conftest import ON_BOTH, Deployment, batch, object_created, sample
from tests.support.hooks import hooked
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import tick_time
from treadle.entrypoints.launcher import LAUNCH_WORKERS
from treadle.model.runs import Run
from treadle.model.ticks import TickTrouble
from treadle.testing.registry import sensor_text


def launched(deployment: Deployment) -> Run:
    """Return a run that came all the way from an event to its execution."""
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    deployment.dispatch_pending()
    deployment.launch_queued()
    [run] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    return run


def test_time_from_the_event_to_the_launch_is_measured(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    run = launched(deployment)

    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines() if '"_aws"' in line]
    [latency] = [line["LaunchLatency"] for line in lines if "LaunchLatency" in line]
    assert latency == [float((run.started_at or 0) - (tick_time(run.tick_id) or 0))]


def test_an_event_ends_as_one_execution_whose_input_is_the_run(deployment: Deployment) -> None:
    run = launched(deployment)

    assert deployment.executions() == [run.launch_id]
    assert run.status is DagsterRunStatus.STARTED
    described = boto3.client("stepfunctions").describe_execution(executionArn=run.external_id or "")
    given = json.loads(described["input"])
    assert given["run_config"]["key"] == "in/a.csv"
    assert (given["run_id"], given["run_key"]) == (run.run_id, run.run_key)
    assert given["tags"]["dagster/sensor_name"] == "new_objects"


def test_redelivery_of_everything_starts_nothing_twice(deployment: Deployment) -> None:
    event = batch(object_created("in/a.csv", "e1"))
    deployment.invoke("sensors/new_objects", event)
    deployment.dispatch_pending()
    messages = [message["Body"] for message in deployment.messages("launch")]

    for _ in range(2):
        deployment.invoke("sensors/new_objects", event)
        deployment.dispatch_pending()
        deployment.invoke("engine/launch", batch(*messages))

    assert len(deployment.executions()) == 1


def test_a_batch_s_runs_are_started_several_at_a_time_and_each_once(deployment: Deployment) -> None:
    """None of the first five comes back before all of them are under way; one of the messages is there twice."""
    events = batch(*(object_created(f"in/{number}.csv", "e1") for number in range(10)))
    deployment.invoke("sensors/new_objects", events)
    deployment.dispatch_pending()
    bodies = [message["Body"] for message in deployment.messages("launch")]
    together = Barrier(LAUNCH_WORKERS)

    def wait(**_: object) -> None:
        together.wait(timeout=20)

    with hooked(("before-call.sfn.StartExecution", wait)):
        deployment.handlers.clear()
        answer = deployment.invoke("engine/launch", batch(bodies[0], *bodies))

    assert answer == {"batchItemFailures": []}
    assert len(deployment.executions()) == len(set(deployment.executions())) == 10
    assert {run.status for run in deployment.stores.runs.list_by_sensor("new_objects", 20)} == {
        DagsterRunStatus.STARTED
    }


def test_messages_that_are_no_launches_become_dead_letters_and_the_others_started(
    deployment: Deployment,
) -> None:
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    deployment.dispatch_pending()
    [message] = deployment.messages("launch")

    answer = deployment.invoke("engine/launch", batch("no JSON", {"treadle": "else"}, message["Body"]))

    assert answer == {"batchItemFailures": []}
    assert len(deployment.executions()) == 1
    assert len(deployment.messages("dead")) == 2


@ON_BOTH
def test_an_identical_upload_makes_a_tick_but_no_second_run(deployment: Deployment) -> None:
    launched(deployment)

    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1", sequencer="02")))

    ticks = deployment.stores.ticks.latest("new_objects", 5)
    assert len(ticks) == 2
    assert any("already exist" in (tick.reason or "") for tick in ticks)
    assert len(deployment.stores.runs.list_by_sensor("new_objects", 5)) == 1


@ON_BOTH
def test_the_tick_says_what_became_of_its_requests(deployment: Deployment) -> None:
    launched(deployment)

    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    assert tick.dispatched is not None
    assert (tick.dispatched.started, tick.dispatched.existing) == (1, 0)


def test_the_sample_of_the_ticks_stream_is_dispatched(deployment: Deployment) -> None:
    answer = deployment.invoke("engine/dispatch", sample("dispatch-ticks-stream"))

    assert answer == {"batchItemFailures": []}
    [message] = deployment.messages("launch")
    [run] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    assert json.loads(message["Body"]) == {
        "treadle": "launch",
        "run_id": run.run_id,
        "attempt": 1,
        "job": run.job,
    }


def test_a_stream_record_that_cannot_be_dispatched_becomes_a_dead_letter_and_the_next_continues(
    deployment: Deployment,
) -> None:
    event = sample("dispatch-ticks-stream")
    broken = {
        "dynamodb": {"Keys": {"sensor": {"S": "x"}, "tick_id": {"S": "y"}}, "NewImage": {"a": {"S": "b"}}}
    }

    deployment.invoke("engine/dispatch", {"Records": [broken, *event["Records"]]})

    assert len(deployment.messages("launch")) == 1
    [dead_letter] = deployment.messages("dead")
    assert json.loads(dead_letter["Body"])["keys"] == {"sensor": "x", "tick_id": "y"}
    assert dead_letter["MessageAttributes"]["origin"]["StringValue"] == "dispatch"


def test_a_job_that_is_not_granted_makes_no_run_and_the_tick_is_held(deployment: Deployment) -> None:
    deployment.register("sensors/new_objects", sensor_text("shop", "another_job"))

    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    deployment.dispatch_pending()

    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    assert (tick.dispatched, tick.trouble) == (None, TickTrouble.HELD)
    assert "may not start job 'process_file'" in (tick.held or "")
    assert deployment.stores.runs.list_by_sensor("new_objects", 5) == []


def test_a_job_that_is_not_configured_fails_at_once_and_names_the_parameter(deployment: Deployment) -> None:
    deployment.register_job(arn="")

    run = launched(deployment)

    assert run.status is DagsterRunStatus.FAILURE
    assert run.failure is not None
    assert "ProcessFileStateMachineArn has no ARN" in run.failure.cause


def test_a_state_machine_that_is_missing_fails_the_run_with_the_targets_message(
    deployment: Deployment,
) -> None:
    deployment.register_job(arn=f"{deployment.machine}-gone")

    run = launched(deployment)

    assert run.failure is not None
    assert "StateMachineDoesNotExist" in run.failure.cause


def test_an_execution_that_took_the_name_with_another_input_is_not_taken_for_ours(
    deployment: Deployment,
) -> None:
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    deployment.dispatch_pending()
    [run] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    boto3.client("stepfunctions").start_execution(
        stateMachineArn=deployment.machine, name=run.launch_id, input='{"not":"ours"}'
    )

    deployment.launch_queued()

    [run] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    assert run.status is DagsterRunStatus.FAILURE
    assert run.failure is not None
    assert "something other than Treadle started it under this name" in run.failure.cause


@pytest.mark.parametrize("body", ['{"treadle":"launch"}', '{"treadle":"else","run_id":"r","attempt":1}'])
def test_a_launch_message_of_another_form_becomes_a_dead_letter(deployment: Deployment, body: str) -> None:
    answer = deployment.invoke("engine/launch", batch(body))

    assert answer == {"batchItemFailures": []}
    [dead_letter] = deployment.messages("dead")
    assert "The launch queue accepts" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


def test_the_sample_launch_of_a_run_that_was_never_recorded_becomes_a_dead_letter(
    deployment: Deployment,
) -> None:
    deployment.invoke("engine/launch", sample("launch-message"))

    [dead_letter] = deployment.messages("dead")
    assert "names an unknown run" in dead_letter["MessageAttributes"]["reason"]["StringValue"]


@pytest.mark.parametrize(
    ("target_status", "status"),
    [
        ("RUNNING", DagsterRunStatus.STARTED),
        ("SUCCEEDED", DagsterRunStatus.SUCCESS),
        ("FAILED", DagsterRunStatus.FAILURE),
        ("TIMED_OUT", DagsterRunStatus.FAILURE),
        ("ABORTED", DagsterRunStatus.CANCELED),
    ],
)
def test_a_status_change_is_applied_to_the_run(
    deployment: Deployment, target_status: str, status: DagsterRunStatus
) -> None:
    run = launched(deployment)

    deployment.invoke("engine/record", batch(deployment.changed(run, target_status, "1795370499000")))

    [folded] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    assert folded.status is status
    assert folded.ended_at == (1795370499000 if status.is_finished else None)


def test_a_late_running_event_does_not_reopen_a_finished_run(deployment: Deployment) -> None:
    run = launched(deployment)
    deployment.invoke("engine/record", batch(deployment.changed(run, "SUCCEEDED", "1795370499000")))

    deployment.invoke("engine/record", batch(deployment.changed(run, "RUNNING", "null")))

    [folded] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    assert folded.status is DagsterRunStatus.SUCCESS


@pytest.mark.parametrize("name", ["record-execution-succeeded", "record-execution-failed"])
def test_samples_of_executions_that_are_not_ours_change_nothing(deployment: Deployment, name: str) -> None:
    answer = deployment.invoke("engine/record", sample(name))

    assert answer == {"batchItemFailures": []}
    assert deployment.messages("dead") == []


def test_a_failing_store_brings_the_message_back_and_at_last_buries_it(deployment: Deployment) -> None:
    run = launched(deployment)
    message = deployment.changed(run, "SUCCEEDED", "1795370499000")
    deployment.setenv(TREADLE_RUNS_TABLE="no-such-table")

    early = deployment.invoke("engine/record", batch(message))
    last = deployment.invoke("engine/record", batch(message, receives=5))

    assert early == {"batchItemFailures": [{"itemIdentifier": "m0"}]}
    assert last == {"batchItemFailures": []}
    [dead_letter] = deployment.messages("dead")
    assert "StoreError" in dead_letter["MessageAttributes"]["reason"]["StringValue"]
