"""From a tick to the reaction on a run's end: the deployed engine and that of `treadle dev` decide alike."""

import json
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from tests.functional.conftest import ON_BOTH, Deployment, LambdaContext, batch, object_created
from treadle import (
    AssetMaterialization,
    DagsterRunStatus,
    JobDefinition,
    RunRequest,
    RunStatusSensorContext,
    SensorDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    TickStatus,
    all_succeeded,
    deadline_sensor,
    run_failure_sensor,
    run_status_sensor,
    sensor,
)
from treadle.definitions.status import InstigatorStatus
from treadle.model.runs import Run
from treadle.model.ticks import Tick
from treadle.operate.sensors import SensorOperations
from treadle.testing.registry import sensor_text
from treadle.testing.system import VirtualClock

pytestmark = ON_BOTH

JOB = JobDefinition("process_file")
ENDED_AT = 1_795_370_499_000


@sensor(job=JOB, name="new_objects", minimum_interval_seconds=60)
def counting(context: SensorEvaluationContext) -> SensorResult | SkipReason:
    """A run for each of three numbers."""
    number = int(context.cursor or 0) + 1
    if number > 3:
        return SkipReason("There are no more numbers.")
    request = RunRequest(f"number {number}", {"number": number}, {"team": "shop"})
    return SensorResult([request], cursor=str(number), asset_events=[AssetMaterialization("numbers")])


@sensor(job=JOB, name="new_objects", minimum_interval_seconds=60)
def failing() -> RunRequest:
    """Never works."""
    raise ValueError("no such table")


def deploy(deployment: Deployment, definition: SensorDefinition, **environment: str) -> Any:
    """Return the function of the sensor, which may start the job."""
    if definition.name != "new_objects":
        deployment.register(f"sensors/{definition.name}", sensor_text("shop", JOB.name))
    deployment.setenv(**environment)
    return deployment.evaluator(definition)


def tick(function: Any, minute: int = 1) -> Any:
    return function({"treadle": "tick", "nominal_time": f"2026-11-22T18:{minute:02}:00Z"}, LambdaContext())


def ticks(deployment: Deployment, name: str = "new_objects") -> list[Tick]:
    return deployment.stores.ticks.latest(name, 20)


def runs(deployment: Deployment, name: str = "new_objects") -> list[Run]:
    found = deployment.stores.runs.list_by_sensor(name, 20)
    return [run for each in found if (run := deployment.stores.runs.get(each.run_id)) is not None]


def launched(deployment: Deployment) -> Run:
    """Return the run of a tick, whose execution has started."""
    tick(deploy(deployment, counting))
    deployment.dispatch_pending()
    deployment.launch_queued()
    [run] = runs(deployment)
    return run


def test_tick_ends_as_one_execution_of_the_run_that_it_requested(deployment: Deployment) -> None:
    run = launched(deployment)

    assert deployment.executions() == [run.launch_id]
    assert (run.status, run.attempt, run.job) == (DagsterRunStatus.STARTED, 1, JOB.name)
    assert (run.run_key, run.run_config) == ("number 1", '{"number":1}')
    assert (run.tags["team"], run.tags["dagster/sensor_name"]) == ("shop", "new_objects")
    [found] = ticks(deployment)
    assert found.dispatched is not None
    assert (found.tick_id, found.dispatched.started, found.dispatched.existing) == (run.tick_id, 1, 0)


def test_cursor_moves_with_each_tick_and_a_skip_moves_nothing(deployment: Deployment) -> None:
    function = deploy(deployment, counting, TREADLE_INTERVAL_SECONDS="0")

    decisions = [tick(function, minute)["decision"] for minute in range(1, 6)]

    assert decisions == ["SUCCESS", "SUCCESS", "SUCCESS", "SKIPPED", "SKIPPED"]
    state = deployment.stores.sensors.get("new_objects")
    assert (deployment.stores.sensors.cursor(state), state.last_run_key) == ("3", "number 3")
    deployment.dispatch_pending()
    assert {run.run_key for run in runs(deployment)} == {"number 1", "number 2", "number 3"}


def test_time_that_was_evaluated_is_evaluated_once(deployment: Deployment) -> None:
    function = deploy(deployment, counting)

    decisions = [tick(function, minute)["decision"] for minute in (2, 2, 1)]

    assert decisions == ["SUCCESS", "NOT_DUE", "NOT_DUE"]
    assert len(ticks(deployment)) == 1


def test_whatever_is_repeated_starts_nothing_twice(deployment: Deployment) -> None:
    @sensor(job=JOB, name="new_objects", minimum_interval_seconds=60)
    def repeating() -> RunRequest:
        return RunRequest("the same")

    function = deploy(deployment, repeating, TREADLE_INTERVAL_SECONDS="0")
    answers = []
    for minute in (1, 2):
        answers.append(tick(function, minute))
        for _ in range(2):
            deployment.dispatch_pending()
    deployment.launch_queued()

    assert [each["decision"] for each in answers] == ["SUCCESS", "SKIPPED"]
    assert "already exist: the same" in answers[1]["reason"]
    assert len(deployment.executions()) == len(runs(deployment)) == len(ticks(deployment)) == 1


def test_stopped_sensor_is_not_evaluated_until_it_is_started(deployment: Deployment) -> None:
    operations = SensorOperations(deployment.stores.sensors, VirtualClock())
    operations.stop("new_objects", "ann")
    stopped = tick(deploy(deployment, counting))
    operations.start("new_objects", counting.default_status, "ann")
    running = tick(deploy(deployment, counting), 2)

    assert (stopped["decision"], running["decision"]) == ("STOPPED", "SUCCESS")
    assert len(ticks(deployment)) == 1


def test_sensor_that_fails_too_often_is_paused(deployment: Deployment) -> None:
    function = deploy(deployment, failing, TREADLE_PAUSE_AFTER="2", TREADLE_INTERVAL_SECONDS="0")

    for minute in (1, 2, 3):
        tick(function, minute)

    state = deployment.stores.sensors.get("new_objects")
    assert (state.status, state.failure_streak) == (InstigatorStatus.STOPPED, 2)
    assert [(each.status, bool(each.paused)) for each in ticks(deployment)] == [
        (TickStatus.FAILURE, True),
        (TickStatus.FAILURE, False),
    ]
    assert "no such table" in (ticks(deployment)[0].paused or "")


def test_preview_commits_nothing(deployment: Deployment) -> None:
    function = deploy(deployment, counting)

    previewed = function({"treadle": "preview", "cursor": "1"}, LambdaContext())

    assert [each["run_key"] for each in previewed["requests"]] == ["number 2"]
    assert (ticks(deployment), deployment.stores.sensors.get("new_objects").epoch) == ([], 0)


def test_materialization_of_a_tick_is_stored_once(deployment: Deployment) -> None:
    tick(deploy(deployment, counting))
    for _ in range(2):
        deployment.dispatch_pending()

    [event] = deployment.stores.events.after("numbers", 0, 9)
    assert (event.storage_id, event.kind) == (1, "ASSET_MATERIALIZATION")


def test_object_is_one_run_from_its_event_and_from_the_sweep(deployment: Deployment) -> None:
    event = object_created("in/a.csv", deployment.put("in/a.csv"))
    deployment.invoke("sensors/new_objects", batch(event))
    deployment.dispatch_pending()
    tick(lambda sent, _: deployment.invoke("sensors/new_objects", sent))
    deployment.dispatch_pending()
    deployment.launch_queued()

    [run] = runs(deployment)
    assert json.loads(run.run_config)["key"] == "in/a.csv"
    assert deployment.executions() == [run.launch_id]


@pytest.mark.parametrize("status", ["SUCCESS", "FAILURE", "CANCELED"])
def test_end_of_the_execution_is_that_of_the_run_and_stays(deployment: Deployment, status: str) -> None:
    run = launched(deployment)

    deployment.report(run, DagsterRunStatus(status), ENDED_AT)
    deployment.report(run, DagsterRunStatus.STARTED)

    [ended] = runs(deployment)
    assert (ended.status, ended.ended_at) == (DagsterRunStatus(status), ENDED_AT)


def ended(deployment: Deployment, status: DagsterRunStatus, definition: SensorDefinition) -> tuple[Any, Any]:
    """Return the function of a sensor over runs, and a batch of the event of a run's end."""
    deployment.report(launched(deployment), status, ENDED_AT)
    deployment.monkeypatch.delenv("TREADLE_INTERVAL_SECONDS")
    function = deploy(deployment, definition)
    [event] = (each for each in deployment.published() if each["detail"].get("status") == status.value)
    return function, batch(event)


def test_success_is_one_tick_of_a_sensor_over_it_however_often_its_event_comes(
    deployment: Deployment,
) -> None:
    @run_status_sensor(DagsterRunStatus.SUCCESS, monitored_jobs=[JOB], request_job=JOB)
    def chain(context: RunStatusSensorContext) -> RunRequest:
        return RunRequest(context.dagster_run.run_id, tags={"before": context.dagster_run.tags["team"]})

    function, event = ended(deployment, DagsterRunStatus.SUCCESS, chain)
    for _ in range(2):
        assert function(event, LambdaContext()) == {"batchItemFailures": []}
    deployment.dispatch_pending()

    [run] = runs(deployment, "chain")
    assert (run.tags["before"], run.status) == ("shop", DagsterRunStatus.QUEUED)
    assert len(ticks(deployment, "chain")) == 1


def test_failure_is_a_tick_of_a_failure_sensor_whose_exception_returns_the_event(
    deployment: Deployment,
) -> None:
    seen: list[str] = []

    @run_failure_sensor(monitored_jobs=[JOB])
    def alert(context: RunStatusSensorContext) -> None:
        seen.append(context.dagster_run.run_id)
        if len(seen) == 1:
            raise ConnectionError("no such topic")

    function, event = ended(deployment, DagsterRunStatus.FAILURE, alert)
    answers = [function(event, LambdaContext()) for _ in range(3)]

    assert [len(each["batchItemFailures"]) for each in answers] == [1, 0, 0]
    assert seen == [runs(deployment)[0].run_id] * 2


def test_success_of_each_job_wakes_a_sensor_that_reads_for_itself(deployment: Deployment) -> None:
    jobs = [JOB, JobDefinition("orders")]
    ready = all_succeeded("ready", jobs=jobs, within=timedelta(days=3_650), request_job=JOB)
    function, event = ended(deployment, DagsterRunStatus.SUCCESS, ready)
    assert function(event, LambdaContext()) == {"batchItemFailures": []}
    assert ticks(deployment, "ready") == []

    [run] = runs(deployment)
    other = replace(run, run_id="0c5b7a52-0000-5000-8000-00000000000b", job="orders")
    assert deployment.stores.runs.create(other) is None
    deployment.published()
    deploy(deployment, ready)(batch({"treadle": "wake"}), LambdaContext())

    found, *_ = ticks(deployment, "ready")
    assert ([request.job for request in found.requests], found.depth) == ([JOB.name], 1)


def test_deadline_without_a_success_is_held_back_for_the_grace_and_then_evaluated(
    deployment: Deployment,
) -> None:
    reasons: list[str] = []

    @deadline_sensor(job=JOB, within=timedelta(days=1), grace=timedelta(0))
    def late(context: Any) -> None:
        reasons.append(context.reason)

    function = deploy(deployment, late, TREADLE_TIME_ZONE="Europe/Berlin")
    held = function({"treadle": "deadline", "nominal_time": "2026-11-25T05:00:00Z"}, LambdaContext())
    [message] = deployment.messages("own")
    for _ in range(2):
        function(batch(message["Body"]), LambdaContext())

    assert held["reason"] == "Will be evaluated in 0 s."
    assert reasons == ["Job process_file has not succeeded by 2026-11-25 06:00:00 CET: no run was requested."]
