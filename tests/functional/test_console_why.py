"""The console says why something did or did not run, and what is wrong."""

import pytest

from tests.functional.test_console_reads import UNKNOWN_RUN, Source
from tests.support.console import Client, MemoryStack, console_of
from treadle import RunRequest, SensorDefinition, SkipReason
from treadle.console.static_token import Role
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.testing.instance import TreadleInstance

AWKWARD = "<img src=x onerror=alert(1)>"


@pytest.fixture
def source() -> Source:
    return Source(RunRequest(run_key=AWKWARD))


@pytest.fixture
def stack(source: Source) -> MemoryStack:
    return MemoryStack(TreadleInstance([SensorDefinition("watch", evaluation_fn=source, job_name="load")]))


@pytest.fixture
def viewer(stack: MemoryStack) -> Client:
    return Client(console_of(stack, Role.VIEWER))


def test_a_key_that_was_taken_leads_to_its_run(stack: MemoryStack, viewer: Client) -> None:
    [run] = stack.instance.tick("watch").runs

    explanation = viewer.get("/api/why", sensor="watch", key=AWKWARD).json

    assert run.run_id in explanation["summary"]
    assert {"tick", "dispatch", "status"} <= {step["kind"] for step in explanation["steps"]}


def test_a_run_has_its_own_explanation(stack: MemoryStack, viewer: Client) -> None:
    [run] = stack.instance.tick("watch").runs
    stack.instance.finish_run(run, Status.FAILURE)

    of_run = viewer.get(f"/api/runs/{run.run_id}").json["explanation"]
    explanation = viewer.get("/api/why", run=run.run_id).json

    assert of_run == explanation
    assert not explanation["steps"][-1]["ok"]


def test_a_key_that_has_a_run_and_a_run_are_explained_without_their_sensor(
    stack: MemoryStack, viewer: Client
) -> None:
    stack.instance.tick("watch")

    of_sensor = viewer.get("/api/why", sensor="watch", key=AWKWARD).json

    assert viewer.get("/api/why", key=AWKWARD).json == of_sensor


def test_a_text_is_found_as_what_it_names(stack: MemoryStack, viewer: Client) -> None:
    [run] = stack.instance.tick("watch").runs
    found = {
        "kind": "run",
        "sensor": "watch",
        "object": None,
        "run_id": run.run_id,
        "job": "load",
        "run_key": AWKWARD,
        "status": "STARTED",
        "created_at": run.created_at,
    }

    assert viewer.get("/api/search", text=AWKWARD).json == {"matches": [found]}
    assert viewer.get("/api/search", text=f" {run.run_id[:8]} ").json == {"matches": [found]}
    [sensor] = viewer.get("/api/search", text="wat").json["matches"]
    assert (sensor["kind"], sensor["sensor"], sensor["run_id"]) == ("sensor", "watch", None)
    assert viewer.get("/api/search", text="no-such-thing").json == {"matches": []}
    assert viewer.get("/api/search").status == 400


def test_a_time_shows_what_happened_then(stack: MemoryStack, source: Source, viewer: Client) -> None:
    source.found = SkipReason("Nothing new.")
    stack.instance.tick("watch")
    stack.instance.clock.advance(30)

    assert "Nothing new." in viewer.get("/api/why", sensor="watch", at="20s").json["summary"]


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ({}, 400),
        ({"sensor": "watch"}, 400),
        ({"at": "2h"}, 400),
        ({"event": "e"}, 400),
        ({"key": "k"}, 404),
        ({"object": "s3://bucket/key"}, 404),
        ({"sensor": "watch", "key": "k", "at": "2h"}, 400),
        ({"sensor": "watch", "at": "yesterday"}, 400),
        ({"sensor": "watch", "object": "https://bucket/key"}, 400),
        ({"sensor": "watch", "object": "s3://bucket/key"}, 404),
        ({"sensor": "unknown", "key": "k"}, 404),
        ({"run": UNKNOWN_RUN}, 404),
        ({"run": "x"}, 400),
    ],
)
def test_what_cannot_be_queried_so_is_refused(viewer: Client, query: dict[str, str], status: int) -> None:
    answer = viewer.get("/api/why", **query)

    assert (answer.status, bool(answer.json["message"])) == (status, True)


def test_a_viewer_may_see_what_is_wrong(viewer: Client) -> None:
    findings = viewer.get("/api/doctor").json["findings"]

    assert {"check", "subject", "severity", "message", "advice"} == set(findings[0])
    assert {each["severity"] for each in findings} <= {"problem", "warning", "ok"}
