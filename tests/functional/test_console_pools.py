"""Concurrency pools in the console: listed, shown with their runs, and changed under the caller's name."""

from dataclasses import replace
from typing import Any

import pytest

from tests.support.console import ANN, Client, MemoryStack, console_of
from treadle import RunRequest, SensorDefinition
from treadle.console.static_token import Role
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure, Run
from treadle.testing import Pool, TreadleInstance

JOB = "load"


def watch(context: Any) -> list[RunRequest]:
    """A sensor's function that requests four runs, two of them of a customer."""
    del context
    return [*(RunRequest(key, tags={"customer": "acme"}) for key in "ab"), RunRequest("c"), RunRequest("d")]


@pytest.fixture
def stack() -> MemoryStack:
    """A deployment in which two runs wait: one for a value of a pool, and one for the other pool."""
    sensors = [SensorDefinition("watch", evaluation_fn=watch, job_name=JOB)]
    pools = [Pool("warehouse", 2, jobs=[JOB]), Pool("customers", 1, tag="customer", per_value=True)]
    instance = TreadleInstance(sensors, pools=pools)
    instance.tick("watch")
    return MemoryStack(instance)


@pytest.fixture
def operator(stack: MemoryStack) -> Client:
    return Client(console_of(stack))


@pytest.fixture
def viewer(stack: MemoryStack) -> Client:
    return Client(console_of(stack, Role.VIEWER))


def run_of(stack: MemoryStack, key: str) -> Run:
    return next(run for run in stack.instance.runs() if run.run_key == key)


def test_pools_are_listed_with_the_values_for_which_runs_wait(viewer: Client) -> None:
    found = viewer.get("/api/pools").json["pools"]

    assert [(each["key"], each["limit"], each["held"], each["waiting"]) for each in found] == [
        ("customers", 1, 0, 0), ("customers=acme", 1, 1, 1), ("warehouse", 2, 2, 1),
    ]  # fmt: skip
    assert [each["is_per_value"] for each in found] == [True, True, False]


def test_pool_is_shown_with_its_runs(stack: MemoryStack, viewer: Client) -> None:
    shown = viewer.get("/api/pools/warehouse").json
    acme = viewer.get("/api/pools/customers", value="acme").json

    assert sorted(each["run_id"] for each in shown["holders"]) == sorted(
        run_of(stack, key).run_id for key in "ac"
    )
    assert [(each["place"], each["run_id"]) for each in shown["waiters"]] == [(1, run_of(stack, "d").run_id)]
    assert [each["run_id"] for each in acme["waiters"]] == [run_of(stack, "b").run_id]
    assert [each["key"] for each in viewer.get("/api/pools/customers").json["values"]] == ["customers=acme"]


def test_operator_changes_and_resets_a_limit(stack: MemoryStack, operator: Client) -> None:
    changed = operator.post("/api/pools/warehouse/limit", {"limit": 3}).json
    woken = stack.dispatches.drain()
    stack.instance._launch()

    pool = operator.get("/api/pools/warehouse").json["pool"]
    reset = operator.post("/api/pools/warehouse/reset-limit", {}).json

    assert (changed["is_new"], woken) == (True, [{"treadle": "grant", "pool": "warehouse"}])
    assert (pool["limit"], pool["limit_set_by"], pool["held"], pool["waiting"]) == (3, ANN, 3, 0)
    assert reset == {"is_new": True, "reason": "The limit of pool warehouse is 2, as declared."}


def test_run_says_what_it_waits_for_and_moves_by_its_priority(stack: MemoryStack, operator: Client) -> None:
    stack.instance.clock.advance(1)
    run = run_of(stack, "b")

    shown = operator.get(f"/api/runs/{run.run_id}").json
    moved = operator.post(f"/api/runs/{run.run_id}/priority", {"priority": 4}).json

    steps = {each["kind"]: each["detail"] for each in shown["explanation"]["steps"]}
    assert steps["pool"] == "attempt 1 waits for a slot of pool customers=acme"
    assert shown["waits"] == shown["explanation"]["summary"]
    assert "it is number 1 in the queue, and 1 of 1 slots are held." in shown["waits"]
    assert moved == {"is_new": True, "reason": f"The priority of run {run.run_id} is 4."}
    assert run_of(stack, "b").tags["dagster/priority"] == "4"
    [edit] = operator.get(f"/api/runs/{run.run_id}").json["edits"]
    assert (edit["by"], edit["action"]) == (ANN, "set its priority to 4")
    started = run_of(stack, "a").run_id
    assert operator.get(f"/api/runs/{started}").json["waits"] is None
    assert operator.post(f"/api/runs/{started}/priority", {"priority": 4}).status == 409


def test_slots_in_doubt_are_shown_and_freed(stack: MemoryStack, operator: Client) -> None:
    run = run_of(stack, "c")
    failure = Failure("LaunchOutcomeUnknownError", "It may have started.", assumed=True)
    stack.instance._tables.runs[run.run_id] = replace(run, status=Status.FAILURE, failure=failure)

    assert operator.get(f"/api/runs/{run.run_id}").json["pools_in_doubt"] == ["warehouse"]
    assert operator.get("/api/pools/warehouse").json["pool"]["in_doubt"] == 1
    assert operator.post(f"/api/runs/{run.run_id}/free-slots", {}).json["is_new"]
    assert run_of(stack, "c").slots == ()
    assert [each.by for each in run_of(stack, "c").edits] == [ANN]
    in_progress = operator.post(f"/api/runs/{run_of(stack, 'a').run_id}/free-slots", {})
    assert (in_progress.status, "is in progress" in in_progress.json["message"]) == (409, True)


@pytest.mark.parametrize(("method", "path"), [("GET", ""), ("POST", "/limit"), ("POST", "/reset-limit")])
@pytest.mark.parametrize("name", ["depot", "job:depot", "de=pot"])
def test_unknown_pool_is_not_found(operator: Client, method: str, path: str, name: str) -> None:
    body = {"limit": 1} if path == "/limit" else {}
    sent = operator.get if method == "GET" else lambda address: operator.post(address, body)

    assert sent(f"/api/pools/{name}{path}").status == 404


@pytest.mark.parametrize("limit", [-1, 1001, "1", True, None])
def test_invalid_limit_is_refused(stack: MemoryStack, operator: Client, limit: object) -> None:
    assert operator.post("/api/pools/warehouse/limit", {"limit": limit}).status == 400
    assert stack.instance._tables.pools["warehouse"].override is None


def test_viewer_changes_nothing(stack: MemoryStack, viewer: Client) -> None:
    run_id = run_of(stack, "d").run_id

    answers = [
        viewer.post("/api/pools/warehouse/limit", {"limit": 3}),
        viewer.post("/api/pools/warehouse/reset-limit", {}),
        viewer.post(f"/api/runs/{run_id}/free-slots", {}),
        viewer.post(f"/api/runs/{run_id}/priority", {"priority": 1}),
    ]

    assert {each.status for each in answers} == {403}
