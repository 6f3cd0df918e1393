"""What projects register, from Parameter Store to the engine's steps, and what is held until it is there."""

from typing import Any

import boto3
import pytest

from tests.functional.conftest import ENGINE, Deployment, batch, job_at, object_created, sample
from tests.support.hooks import hooked
from treadle.adapters import clients
from treadle.adapters.parameters import ParameterStore, changed_entry
from treadle.definitions.errors import StoreThrottledError
from treadle.definitions.status import DagsterRunStatus
from treadle.model.ticks import Tick, TickTrouble
from treadle.testing.registry import job_text, sensor_text

SENSOR, JOB = "sensors/new_objects", "jobs/process_file"


def commit_tick(deployment: Deployment, key: str = "in/a.csv") -> None:
    """Let the sensor's code request a run, and DISPATCH read the committed tick."""
    deployment.invoke("sensors/new_objects", batch(object_created(key, "e1")))
    deployment.dispatch_pending()


def the_tick(deployment: Deployment) -> Tick:
    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    return tick


def granted(deployment: Deployment, operation: str = "Update") -> Any:
    return deployment.register(SENSOR, sensor_text("shop", "process_file", kind="s3"), operation)


def test_ce_1a_code_that_requests_a_job_before_its_grant_is_registered_loses_nothing(
    deployment: Deployment,
) -> None:
    """CloudFormation updates function and entry in any order. The entry's change releases the tick by itself."""
    deployment.register(SENSOR, sensor_text("shop", "another_job", kind="s3"))
    commit_tick(deployment)
    assert (the_tick(deployment).dispatched, the_tick(deployment).trouble) == (None, TickTrouble.HELD)

    answer = granted(deployment)

    assert (answer["registered"], answer["dispatched"], answer["held"]) == (1, 1, 0)
    deployment.launch_queued()
    [run] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    assert (run.status, len(deployment.executions())) == (DagsterRunStatus.STARTED, 1)
    assert the_tick(deployment).dispatched is not None


def test_ce_1a_dispatch_whose_copy_is_older_than_the_tick_reads_past_it(deployment: Deployment) -> None:
    """The process has the copy from before the deployment, which is less than a minute old."""
    deployment.register(SENSOR, sensor_text("shop", "another_job", kind="s3"))
    commit_tick(deployment)
    warm = deployment.handlers["engine/dispatch"]
    granted(deployment)
    deployment.handlers["engine/dispatch"] = warm

    commit_tick(deployment, "in/b.csv")

    assert len(deployment.stores.runs.list_by_sensor("new_objects", 5)) == 2


def test_ce_1b_pending_ticks_of_a_deleted_project_are_held_and_continue_with_it(
    deployment: Deployment,
) -> None:
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    for path in (SENSOR, JOB):
        deployment.register(path, "", "Delete")

    deployment.dispatch_pending()

    tick = the_tick(deployment)
    assert (tick.dispatched, tick.trouble) == (None, TickTrouble.HELD)
    message = "): sensor new_objects is not registered. Deploy its project, or drop them: treadle tick drop"
    assert message in (tick.held or "")
    assert granted(deployment, "Create")["held"] == 1
    assert "job 'process_file' is not registered" in (the_tick(deployment).held or "")
    text = job_text("shop", job_at(deployment.machine))
    assert deployment.register(JOB, text, "Create")["dispatched"] == 1
    assert len(deployment.stores.runs.list_by_sensor("new_objects", 5)) == 1


def test_ce_1c_throttled_parameter_store_is_no_refusal(deployment: Deployment) -> None:
    """An event that cannot be applied leaves the copy as it was, and the next pass lists all entries."""
    text = job_text("shop", job_at(deployment.machine), parameter="Changed")
    with throttled_parameters():
        clients.forget()
        answer = deployment.register(JOB, text)
        assert (answer["registered"], answer["failed"]) == (0, 1)
        commit_tick(deployment)
    clients.forget()
    deployment.handlers.clear()

    assert len(deployment.stores.runs.list_by_sensor("new_objects", 5)) == 1
    assert deployment.stores.registry.read().jobs["process_file"].settings.parameter != "Changed"


def test_ce_1c_entry_that_is_replaced_loses_nothing_in_between(deployment: Deployment) -> None:
    """A changed name is a deletion and a creation."""
    deployment.register(JOB, "", "Delete")
    commit_tick(deployment)
    assert the_tick(deployment).trouble == TickTrouble.HELD

    answer = deployment.register(JOB, job_text("shop", job_at(deployment.machine)), "Create")

    assert (answer["dispatched"], len(deployment.stores.runs.list_by_sensor("new_objects", 5))) == (1, 1)


def test_run_whose_job_is_replaced_is_launched_once_it_is_back(deployment: Deployment) -> None:
    commit_tick(deployment)
    deployment.register(JOB, "", "Delete")
    deployment.launch_queued()
    [run] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    assert (run.status, deployment.executions()) == (DagsterRunStatus.QUEUED, [])

    deployment.register(JOB, job_text("shop", job_at(deployment.machine)), "Create")
    body = {"treadle": "launch", "run_id": run.run_id, "attempt": 1, "job": "process_file"}
    deployment.invoke("engine/launch", batch(body))

    assert deployment.executions() == [run.launch_id]


def test_malformed_entry_is_counted_as_long_as_it_is_there(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    assert deployment.register(JOB, "{}")["invalid"] == 1
    assert deployment.invoke("engine/reconcile", sample("reconcile-schedule"))["invalid"] == 1
    assert '"InvalidEntries":[1.0]' in capsys.readouterr().out
    assert deployment.register(JOB, job_text("shop", job_at(deployment.machine)))["invalid"] == 0
    commit_tick(deployment)
    assert len(deployment.stores.runs.list_by_sensor("new_objects", 5)) == 1


def test_ce_15_hot_paths_read_one_item_a_minute_and_never_parameter_store(deployment: Deployment) -> None:
    calls: list[str] = []
    with (
        hooked(("before-call.ssm.*", lambda model, **_: calls.append(model.name))),
        hooked(("before-call.dynamodb.GetItem", lambda params, **_: calls.append(str(params["body"])))),
    ):
        clients.forget()
        deployment.handlers.clear()
        for number in range(3):
            commit_tick(deployment, f"in/{number}.csv")
            deployment.launch_queued()

    assert [call for call in calls if "Parameter" in call] == []
    # One of DISPATCH, one of LAUNCH.
    assert len([call for call in calls if "#registry" in call]) == 2


def throttled_parameters() -> Any:
    """Let Parameter Store throttle clients that are made meanwhile."""

    def answer(**_: Any) -> Any:
        from types import SimpleNamespace

        error = {"Error": {"Code": "ThrottlingException", "Message": "Rate exceeded"}}
        return SimpleNamespace(status_code=400), error | {"ResponseMetadata": {"RequestId": "r"}}

    return hooked(("before-call.ssm.GetParameter", answer), ("before-call.ssm.GetParametersByPath", answer))


def test_all_pages_of_both_folders_are_listed_and_nothing_else(deployment: Deployment) -> None:
    ssm = boto3.client("ssm")
    for number in range(25):
        ssm.put_parameter(Name=f"/treadle/{ENGINE}/jobs/job_{number}", Value="{}", Type="String")
    for name in (
        f"/treadle/{ENGINE}/v1",
        f"/treadle/{ENGINE}-2/jobs/a",
        f"/treadle/{ENGINE}/jobs/deep/er",
        "/a",
    ):
        ssm.put_parameter(Name=name, Value="{}", Type="String")

    found = ParameterStore(ENGINE).list()

    assert found.keys() == {SENSOR, JOB, *(f"jobs/job_{number}" for number in range(25))}
    assert ParameterStore(ENGINE).get(JOB) == found[JOB]
    assert ParameterStore(ENGINE).get("jobs/nowhere") is None


def test_error_of_parameter_store_is_never_absence(deployment: Deployment) -> None:
    with throttled_parameters():
        clients.forget()
        with pytest.raises(StoreThrottledError, match="did not list /treadle/shop/sensors"):
            ParameterStore(ENGINE).list()
        with pytest.raises(StoreThrottledError, match="did not return /treadle/shop/jobs/load"):
            ParameterStore(ENGINE).get("jobs/load")


@pytest.mark.parametrize(
    ("change", "entry"),
    [
        ({}, (JOB, False)),
        ({"operation": "Delete"}, (JOB, True)),
        ({"operation": "Create", "name": "/treadle/shop/sensors/a"}, ("sensors/a", False)),
        ({"operation": "LabelParameterVersion"}, None),
        ({"name": "/treadle/shop/v1"}, None),
        ({"name": "/treadle/shop/jobs/a/b"}, None),
        ({"name": "/treadle/shop/jobs/"}, None),
        ({"name": "/treadle/shop-2/jobs/a"}, None),
        ({"name": None}, None),
    ],
)
def test_change_is_of_an_entry_of_this_engine_or_of_none(
    change: dict[str, Any], entry: tuple[str, bool] | None
) -> None:
    event = sample("reconcile-registry")

    assert changed_entry({**event, "detail": {**event["detail"], **change}}, ENGINE) == entry


@pytest.mark.parametrize("event", [{}, {"source": "aws.ssm"}, {"source": "aws.ecs", "detail": {}}])
def test_other_events_are_no_change(event: dict[str, Any]) -> None:
    assert changed_entry(event, ENGINE) is None
