"""Backfills in the console: listed with their progress, shown with their runs, and changed under the caller's name."""

from typing import Any

import pytest

from tests.support.console import ANN, Client, MemoryStack, console_of
from treadle import RunRequest, SensorDefinition
from treadle.console.static_token import Role
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.testing.instance import TreadleInstance

JOB = "load"
KEYS = ["2026-10-01", "2026-10-02", "2026-10-03", "2026-10-04", "2026-10-05"]


def watch(context: Any) -> RunRequest:
    """A sensor's function that requests a run each time."""
    del context
    return RunRequest()


@pytest.fixture
def stack() -> MemoryStack:
    """A deployment with a backfill of which one run succeeded, one failed, and one may be in progress at a time."""
    instance = TreadleInstance([SensorDefinition("watch", evaluation_fn=watch, job_name=JOB)])
    instance.tick("watch")
    instance.backfill(JOB, KEYS, name="october", limit=1, run_config={"n": 1})
    for status in (Status.SUCCESS, Status.FAILURE):
        end_one(instance, status)
    return MemoryStack(instance)


def end_one(instance: TreadleInstance, status: Status = Status.SUCCESS) -> None:
    """End the run of the backfill that is in progress."""
    [run] = [each for each in instance.runs() if each.partition_key and not each.status.is_finished]
    instance.finish_run(run, status)


@pytest.fixture
def operator(stack: MemoryStack) -> Client:
    return Client(console_of(stack))


@pytest.fixture
def viewer(stack: MemoryStack) -> Client:
    return Client(console_of(stack, Role.VIEWER))


def runs(client: Client, **query: str | int) -> list[tuple[str, str]]:
    """Return the listed partitions of the backfill, with their states."""
    found = client.get("/api/backfills/october/runs", **query).json["runs"]
    return [(each["partition_key"], each["state"]) for each in found]


def test_backfills_are_listed_newest_first_in_pages(stack: MemoryStack, viewer: Client) -> None:
    for name in ("november", "december"):
        stack.instance.clock.advance(60)
        stack.instance.backfill(JOB, ["a"], name=name)

    first = viewer.get("/api/backfills", limit=2).json
    second = viewer.get("/api/backfills", limit=2, before=first["next"]).json

    assert [each["name"] for each in first["backfills"]] == ["december", "november"]
    [october] = second["backfills"]
    assert (october["name"], october["job"], october["status"], october["total"]) == (
        "october", JOB, "REQUESTED", 5,
    )  # fmt: skip
    assert october["counts"] == {
        "WAITING": 2, "RESERVED": 0, "IN_PROGRESS": 1, "SUCCESS": 1, "FAILURE": 1, "CANCELED": 0,
    }  # fmt: skip
    assert second["next"] is None
    assert "run_config" not in october


def test_backfill_is_shown_in_full(viewer: Client) -> None:
    shown = viewer.get("/api/backfills/october").json

    assert (shown["run_config"], shown["limit"], shown["problem"]) == ('{"n":1}', 1, None)
    assert [each["action"] for each in shown["edits"]] == ["started"]


def test_partitions_are_listed_with_their_runs_in_pages(stack: MemoryStack, viewer: Client) -> None:
    first = viewer.get("/api/backfills/october/runs", limit=3).json
    second = viewer.get("/api/backfills/october/runs", limit=3, after=first["next"]).json

    both = [*first["runs"], *second["runs"]]
    assert [each["partition_key"] for each in both] == KEYS
    assert [each["run"] and each["run"]["status"] for each in both] == [
        "SUCCESS", "FAILURE", "STARTED", None, None,
    ]  # fmt: skip
    assert {each["run_id"] for each in both[:3]} <= {run.run_id for run in stack.instance.runs()}
    assert (first["next"], second["next"]) == (2, None)


def test_partitions_are_filtered_by_state(viewer: Client) -> None:
    assert runs(viewer, state="FAILURE,CANCELED") == [(KEYS[1], "FAILURE")]
    assert runs(viewer, state="WAITING", limit=1) == [(KEYS[3], "WAITING")]
    assert runs(viewer, state="WAITING", after=3) == [(KEYS[4], "WAITING")]


def test_operator_pauses_and_resumes_under_another_limit(stack: MemoryStack, operator: Client) -> None:
    paused = operator.post("/api/backfills/october/pause", {}).json
    again = operator.post("/api/backfills/october/pause", {}).json
    end_one(stack.instance)
    waits = operator.get("/api/backfills/october").json
    resumed = operator.post("/api/backfills/october/resume", {"limit": 2}).json
    stack.instance._advance_backfills()

    assert (paused["is_new"], again["is_new"]) == (True, False)
    assert (waits["status"], waits["counts"]["WAITING"]) == ("PAUSED", 2)
    assert resumed == {"is_new": True, "reason": "Backfill october continues."}
    shown = operator.get("/api/backfills/october").json
    assert (shown["status"], shown["limit"], shown["counts"]["IN_PROGRESS"]) == ("REQUESTED", 2, 2)
    assert [(each["action"], each["by"]) for each in shown["edits"][1:]] == [
        ("paused", ANN),
        ("resumed", ANN),
    ]


def test_limit_changes_only_if_it_is_given(stack: MemoryStack, operator: Client) -> None:
    operator.post("/api/backfills/october/pause", {})
    operator.post("/api/backfills/october/resume", {})

    assert operator.get("/api/backfills/october").json["limit"] == 1


def test_operator_retries_what_failed(stack: MemoryStack, operator: Client) -> None:
    assert operator.post("/api/backfills/october/retry", {}).json["reason"] == (
        "1 run of backfill october starts again."
    )
    retried = operator.get("/api/backfills/october/runs", state="WAITING", limit=1).json["runs"][0]

    assert (retried["partition_key"], retried["attempt"]) == (KEYS[1], 2)
    assert retried["run"]["status"] == "FAILURE"


def test_canceled_backfill_starts_no_more_runs_and_cannot_be_changed(
    stack: MemoryStack, operator: Client
) -> None:
    assert operator.post("/api/backfills/october/cancel", {}).json["is_new"]
    end_one(stack.instance)

    refused = {
        action: operator.post(f"/api/backfills/october/{action}", {})
        for action in ("pause", "resume", "retry")
    }

    assert operator.get("/api/backfills/october").json["status"] == "CANCELED"
    assert len(runs(operator, state="WAITING")) == 2
    assert {action: answer.status for action, answer in refused.items()} == dict.fromkeys(refused, 409)
    assert "was canceled" in refused["retry"].json["message"]


@pytest.mark.parametrize("path", ["", "/runs"])
def test_unknown_backfill_is_not_found(viewer: Client, path: str) -> None:
    assert viewer.get(f"/api/backfills/june{path}").status == 404


@pytest.mark.parametrize("action", ["pause", "resume", "cancel", "retry"])
def test_unknown_backfill_cannot_be_changed(operator: Client, action: str) -> None:
    answer = operator.post(f"/api/backfills/june/{action}", {})

    assert (answer.status, "Backfill 'june' does not exist" in answer.json["message"]) == (404, True)


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("", {"before": "yesterday"}),
        ("/october/runs", {"state": "STARTED"}),
        ("/october/runs", {"after": "-1"}),
        ("/october/runs", {"limit": "101"}),
    ],
)
def test_invalid_parameters_are_refused(viewer: Client, path: str, query: dict[str, str]) -> None:
    assert viewer.get(f"/api/backfills{path}", **query).status == 400


@pytest.mark.parametrize("limit", [-1, 100_001, "1", True])
def test_invalid_limit_is_refused(operator: Client, limit: object) -> None:
    assert operator.post("/api/backfills/october/resume", {"limit": limit}).status == 400
    assert operator.get("/api/backfills/october").json["limit"] == 1
