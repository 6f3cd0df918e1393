"""What the console shows: sensors, ticks, runs, assets and how they are connected, as the engine has left them."""

import time
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any

import pytest

from tests.support.console import ANN, Client, MemoryStack, console_of
from treadle import (
    AssetMaterialization,
    AssetObservation,
    DeadlineSensorContext,
    DynamicPartitionsDefinition,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    SensorResult,
    SkipReason,
    deadline_sensor,
)
from treadle.console.static_token import Role
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.identity import timestamp
from treadle.model.batches import BatchItem
from treadle.model.deployment import DeployedSensor, Subscription
from treadle.model.runs import Claim, PendingStart
from treadle.model.ticks import Tick, TickKind
from treadle.operate.graph import Edge, Graph, Node, graph_of
from treadle.operate.load_checks import LoadChecks
from treadle.testing.deployment import Function, InMemoryDeployment
from treadle.testing.instance import TreadleInstance
from treadle.testing.system import VirtualClock

AWKWARD = "<img src=x onerror=alert(1)>\u2028\x1b[31m\"'"
BROKE = "Error occurred during the execution of evaluation_fn for sensor watch: ValueError: "
UNKNOWN_TICK = "2026-11-28T02:00:00.000Z-000000001"
UNKNOWN_RUN = "0e7a3f36-3f0e-5d8a-9c55-7e3a1d0f7e11"


@dataclass
class Source:
    """What a sensor's function finds next."""

    found: Any = None

    def __call__(self, context: Any) -> Any:
        if isinstance(self.found, Exception):
            raise self.found
        return self.found


@pytest.fixture
def source() -> Source:
    return Source(SkipReason("Nothing new."))


@pytest.fixture
def stack(source: Source) -> MemoryStack:
    def watch(context: Any) -> Any:
        return source(context)

    def idle(context: Any) -> SkipReason:
        return SkipReason("Idle.")

    return MemoryStack(
        TreadleInstance(
            [
                SensorDefinition("watch", evaluation_fn=watch, job_name="load", minimum_interval_seconds=60),
                SensorDefinition("idle", evaluation_fn=idle, job_name="load", minimum_interval_seconds=60),
            ]
        )
    )


@pytest.fixture
def viewer(stack: MemoryStack) -> Client:
    return Client(console_of(stack, Role.VIEWER))


def test_the_overview_shows_every_sensor_and_what_the_caller_may_do(
    stack: MemoryStack, viewer: Client
) -> None:
    stack.instance.tick("watch")
    stack.instance.tick("watch")

    shown = viewer.get("/api/overview").json

    assert (shown["stack"], shown["role"], shown["now"]) == (
        "in-memory",
        "viewer",
        stack.instance.clock.now(),
    )
    assert [each["name"] for each in shown["sensors"]] == ["idle", "watch"]
    watch = shown["sensors"][1]
    assert (watch["status"], watch["last_tick"]["status"], watch["last_tick"]["skips"]) == (
        "RUNNING",
        "SKIPPED",
        2,
    )
    assert watch["next_tick_at"] > stack.instance.clock.now()


def test_one_sensor_comes_with_what_operators_changed(stack: MemoryStack, viewer: Client) -> None:
    Client(console_of(stack)).post("/api/sensors/watch/stop")

    shown = viewer.get("/api/sensors/watch").json

    assert shown["status"] == "STOPPED"
    [edit] = shown["edits"]
    assert (edit["action"], edit["by"], edit["after"]) == ("stop", ANN, "STOPPED")


@pytest.mark.parametrize(
    "path",
    [
        "/api/sensors/unknown",
        "/api/sensors/unknown/ticks",
        f"/api/sensors/watch/ticks/{UNKNOWN_TICK}",
        f"/api/runs/{UNKNOWN_RUN}",
    ],
)
def test_what_there_is_not_is_not_found_with_a_message(viewer: Client, path: str) -> None:
    answer = viewer.get(path)

    assert answer.status == 404
    assert answer.json["message"] != "Not found"


def test_ticks_come_page_by_page_newest_first(stack: MemoryStack, source: Source, viewer: Client) -> None:
    for number in range(5):
        source.found = RunRequest(run_key=str(number))
        stack.instance.tick("watch")

    first = viewer.get("/api/sensors/watch/ticks", limit=2).json
    second = viewer.get("/api/sensors/watch/ticks", limit=2, before=first["next"]).json
    third = viewer.get("/api/sensors/watch/ticks", limit=2, before=second["next"]).json

    times = [each["time"] for page in (first, second, third) for each in page["ticks"]]
    assert len(times) == 5
    assert times == sorted(times, reverse=True)
    assert third["next"] is None


def test_ticks_are_chosen_by_how_they_ended(stack: MemoryStack, source: Source, viewer: Client) -> None:
    source.found = ValueError(AWKWARD)
    stack.instance.tick("watch")
    source.found = RunRequest(run_key="k")
    stack.instance.tick("watch")

    failed = viewer.get("/api/sensors/watch/ticks", status="FAILURE").json["ticks"]
    both = viewer.get("/api/sensors/watch/ticks", status="FAILURE,SUCCESS").json["ticks"]

    assert [(each["status"], each["error_message"]) for each in failed] == [("FAILURE", f"{BROKE}{AWKWARD}")]
    assert len(both) == 2
    assert viewer.get("/api/sensors/watch/ticks", status="BROKEN").status == 400


def test_a_tick_is_shown_with_its_requests_log_and_runs(
    stack: MemoryStack, source: Source, viewer: Client
) -> None:
    made = AssetMaterialization("orders", metadata={"rows": 7})
    changes = [DynamicPartitionsDefinition(name="fruits").build_add_request(["a", AWKWARD])]
    seen = AssetObservation("prices", partition="mon")
    source.found = SensorResult([RunRequest(run_key=AWKWARD)], None, "7", changes, [made, seen])
    tick = stack.instance.tick("watch").tick
    assert tick is not None

    shown = viewer.get(f"/api/sensors/watch/ticks/{tick.tick_id}").json

    assert [each["run_key"] for each in shown["requests"]] == [AWKWARD]
    assert (shown["requests_count"], shown["cursor"], shown["dispatched"]["started"]) == (1, "7", 1)
    assert [(each["run_key"], each["status"]) for each in shown["runs"]] == [(AWKWARD, "STARTED")]
    assert [(each["kind"], each["asset_key"], each["metadata"]) for each in shown["asset_events"]] == [
        ("ASSET_MATERIALIZATION", "orders", {"rows": 7}),
        ("ASSET_OBSERVATION", "prices", {}),
    ]
    assert shown["dynamic_partitions_request_results"] == [
        {
            "partitions_def_name": "fruits",
            "added_partitions": ["a", AWKWARD],
            "deleted_partitions": None,
            "skipped_partitions": [],
            "changed_count": 2,
            "skipped_count": 0,
        }
    ]
    assert "owner" not in shown


def test_a_failed_tick_is_shown_with_its_stack(stack: MemoryStack, source: Source, viewer: Client) -> None:
    source.found = ValueError(AWKWARD)
    tick = stack.instance.tick("watch").tick
    assert tick is not None

    error = viewer.get(f"/api/sensors/watch/ticks/{tick.tick_id}").json["error"]

    assert (error["type"], error["message"]) == ("ValueError", f"{BROKE}{AWKWARD}")
    assert "raise self.found" in error["stack"]


def test_a_tick_of_many_large_requests_is_shown_as_far_as_an_answer_takes(
    stack: MemoryStack, source: Source, viewer: Client
) -> None:
    source.found = [RunRequest(run_key=str(n), run_config={"text": "x" * 100_000}) for n in range(50)]
    tick = stack.instance.tick("watch").tick
    assert tick is not None

    answer = viewer.get(f"/api/sensors/watch/ticks/{tick.tick_id}")

    assert len(answer.text) < 2_000_000
    assert answer.json["requests_count"] == 50
    assert 0 < len(answer.json["requests"]) < 50


def test_runs_are_listed_of_a_sensor_of_a_job_and_of_all(
    stack: MemoryStack, source: Source, viewer: Client
) -> None:
    for number in range(3):
        source.found = RunRequest(run_key=str(number))
        stack.instance.tick("watch")
    *_, run = stack.instance.runs()
    stack.instance.finish_run(run, Status.FAILURE)

    list_by_sensor = viewer.get("/api/runs", sensor="watch", limit=2).json
    rest = viewer.get("/api/runs", sensor="watch", limit=2, before=list_by_sensor["next"]).json

    keys = [each["run_key"] for page in (list_by_sensor, rest) for each in page["runs"]]
    assert keys == ["2", "1", "0"]
    assert len(viewer.get("/api/runs", job="load").json["runs"]) == 3
    assert len(viewer.get("/api/runs").json["runs"]) == 3
    failed = viewer.get("/api/runs", status="FAILURE").json["runs"]
    assert [each["run_id"] for each in failed] == [run.run_id]
    assert viewer.get("/api/runs", sensor="idle").json == {"runs": [], "next": None, "searched_since": None}


def test_runs_are_listed_by_time_and_text(stack: MemoryStack, source: Source, viewer: Client) -> None:
    for number in range(3):
        source.found = RunRequest(run_key=f"day-{number}")
        stack.instance.tick("watch")
        stack.instance.clock.advance(3600)
    middle = timestamp(stack.instance.runs()[1].created_at)

    def keys(**query: str | int) -> list[str]:
        return [each["run_key"] for each in viewer.get("/api/runs", **query).json["runs"]]

    assert keys(since="150m") == ["day-2", "day-1"]
    assert keys(until="150m", job="load") == ["day-0"]
    assert keys(since=middle, until="90m", sensor="watch") == ["day-1"]
    assert keys(find="AY-1") == ["day-1"]
    page = viewer.get("/api/runs", sensor="watch", find="day", since="1d", limit=2).json
    assert keys(sensor="watch", find="day", since="1d", limit=2, before=page["next"]) == ["day-0"]
    for name in ("since", "until"):
        refused = viewer.get("/api/runs", **{name: "yesterday"})
        assert (refused.status, "This is not a time." in refused.text) == (400, True)


@pytest.mark.parametrize(
    "query",
    [
        {"sensor": "watch", "job": "load"},
        {"before": f"5/{UNKNOWN_RUN}"},
        {"sensor": "watch", "before": "5"},
        {"sensor": "watch", "before": f"x/{UNKNOWN_RUN}"},
    ],
)
def test_runs_that_cannot_be_listed_so_are_refused(viewer: Client, query: dict[str, str]) -> None:
    assert viewer.get("/api/runs", **query).status == 400


def test_a_run_is_shown_without_the_tokens_that_let_launch_act(
    stack: MemoryStack, source: Source, viewer: Client
) -> None:
    source.found = RunRequest(run_key="k", run_config={"a": 1})
    [run] = stack.instance.tick("watch").runs
    claimed = replace(run, claim=Claim("s3cret", 1), pending_start=PendingStart("s3cret", 1, "arn"))
    stack.instance._tables.runs[run.run_id] = claimed

    answer = viewer.get(f"/api/runs/{run.run_id}")

    assert (answer.json["run_config"], answer.json["launch_id"]) == ('{"a":1}', f"{run.run_id}-1")
    assert answer.json["pending_start"]["target"] == "arn"
    assert "s3cret" not in answer.text


def test_assets_are_shown_with_their_newest_event_and_those_before(
    stack: MemoryStack, viewer: Client
) -> None:
    for rows in range(3):
        stack.instance.report_runless_asset_event(AssetMaterialization("orders", metadata={"rows": rows}))
        stack.instance.clock.advance(1)

    [newest] = viewer.get("/api/assets").json["assets"]
    page = viewer.get("/api/assets/events", key="orders", limit=2).json
    rest = viewer.get("/api/assets/events", key="orders", limit=2, before=page["next"]).json

    assert (newest["asset_key"], newest["storage_id"]) == ("orders", 3)
    assert [each["storage_id"] for each in page["events"]] == [3, 2]
    assert [each["storage_id"] for each in rest["events"]] == [1]
    assert rest["next"] is None
    assert viewer.get("/api/assets/events").status == 400


def test_observations_are_shown_apart_from_materializations(stack: MemoryStack, viewer: Client) -> None:
    for rows in range(3):
        stack.instance.report_runless_asset_event(AssetObservation("prices", metadata={"rows": rows}))
    stack.instance.report_runless_asset_event(AssetMaterialization("orders"))
    kind = "ASSET_OBSERVATION"

    [newest] = viewer.get("/api/assets", kind=kind).json["assets"]
    page = viewer.get("/api/assets/events", key="prices", limit=2, kind=kind).json

    assert (newest["asset_key"], newest["storage_id"], newest["kind"]) == ("prices", 3, kind)
    assert [each["storage_id"] for each in page["events"]] == [3, 2]
    assert [each["asset_key"] for each in viewer.get("/api/assets").json["assets"]] == ["orders"]
    assert viewer.get("/api/assets/events", key="prices").json["events"] == []
    assert viewer.get("/api/assets", kind="ASSET_CHECK").status == 400


def test_the_map_shows_what_each_sensor_may_start(viewer: Client) -> None:
    shown = viewer.get("/api/graph").json

    assert {(each["id"], each["kind"]) for each in shown["nodes"]} == {
        ("sensor:watch", "sensor"),
        ("sensor:idle", "sensor"),
        ("job:load", "job"),
    }
    assert shown["edges"] == [
        {"from": "sensor:idle", "to": "job:load"},
        {"from": "sensor:watch", "to": "job:load"},
    ]


def deployed(name: str, *jobs: str, subscription: Subscription | None = None) -> DeployedSensor:
    return DeployedSensor(name, "schedule", "", jobs, DefaultSensorStatus.RUNNING, subscription=subscription)


def test_the_map_shows_what_each_sensor_subscribes_to() -> None:
    """A rule that names no job lets the runs of all registered jobs through; one of objects, none."""
    alert = deployed("alert", subscription=Subscription(statuses=("FAILURE",)))
    follow = deployed("follow", "report", subscription=Subscription(jobs=("load",), statuses=("SUCCESS",)))
    files = deployed("files", "load", subscription=Subscription(buckets=("b",)))
    rows = deployed("rows", subscription=Subscription(assets=("shop/orders",)))

    found = graph_in(InMemoryDeployment([alert, follow, files, rows]), "load", "billing")

    load, report, billing = Node("job", "load"), Node("job", "report"), Node("job", "billing")
    sensors = {name: Node("sensor", name) for name in ("alert", "follow", "files", "rows")}
    assert set(found.edges) == {
        Edge(load, sensors["alert"]),
        Edge(report, sensors["alert"]),
        Edge(billing, sensors["alert"]),
        Edge(load, sensors["follow"]),
        Edge(sensors["follow"], report),
        Edge(sensors["files"], load),
        Edge(Node("asset", "shop/orders"), sensors["rows"]),
    }
    assert set(found.nodes) == {load, report, billing, Node("asset", "shop/orders"), *sensors.values()}


def graph_in(deployment: InMemoryDeployment, *jobs: str) -> Graph:
    return graph_of(deployment, jobs, LoadChecks(deployment, VirtualClock()))


def test_the_map_shows_the_job_that_a_deadline_sensor_watches_as_its_function_describes_it() -> None:
    late = replace(deployed("late", "fix"), kind="deadline")
    early = replace(deployed("early"), kind="deadline")
    broken = replace(deployed("broken"), kind="deadline")

    @deadline_sensor(job=JobDefinition("load"), within=timedelta(hours=1))
    def late_function(context: DeadlineSensorContext) -> None:
        del context

    def does_not_load(event: object) -> dict[str, object]:
        raise ImportError("No module named 'requests'")

    functions: dict[str, Function] = {
        "late": lambda event: late_function.described(),
        "early": lambda event: {"name": "early"},
        "broken": does_not_load,
    }

    found = graph_in(InMemoryDeployment([late, early, broken], functions), "load")

    assert set(found.edges) == {
        Edge(Node("job", "load"), Node("sensor", "late")),
        Edge(Node("sensor", "late"), Node("job", "fix")),
    }
    assert set(found.unknown) == {"early", "broken"}
    assert "Deploy its project again." in found.unknown["early"]
    assert "No module named 'requests'" in found.unknown["broken"]
    assert "layers/project/requirements.txt" in found.unknown["broken"]


def many_sensors(number: int) -> Iterator[SensorDefinition]:
    for index in range(number):

        def watch(context: Any) -> RunRequest:
            return RunRequest()

        name = f"sensor_{index:03d}"
        yield SensorDefinition(name, evaluation_fn=watch, job_name="load", minimum_interval_seconds=60)


def test_a_thousand_ticks_and_a_hundred_sensors_are_answered_within_a_second() -> None:
    """In half a second of this process's own time, at the best of three: whatever else the machine does."""
    stack = MemoryStack(TreadleInstance(list(many_sensors(100))))
    start = stack.instance.clock.now()
    for number in range(1_000):
        at = start - number * 60_000
        tick_id = (
            f"{time.strftime('%Y-%m-%dT%H:%M:%S', time.gmtime(at // 1000))}.{at % 1000:03d}Z-{number:09d}"
        )
        made = Tick("sensor_000", tick_id, TickKind.LEASED, TickStatus.SUCCESS, at, at, at + 5)
        stack.instance._stores.ticks.put(made)
        for other in range(1, 100):
            if number < 10:
                stack.instance._stores.ticks.put(replace(made, sensor=f"sensor_{other:03d}"))
    viewer = Client(console_of(stack, Role.VIEWER))
    viewer.get("/config.json")

    took = []
    for _ in range(3):
        began = time.process_time()
        overview = viewer.get("/api/overview")
        all_ticks = viewer.get("/api/sensors/sensor_000/ticks", limit=1000)
        took.append(time.process_time() - began)
        assert len(overview.json["sensors"]) == 100
        assert len(all_ticks.json["ticks"]) == 1_000

    assert min(took) < 0.5


def test_open_batches_are_listed_with_what_waits() -> None:
    instance = TreadleInstance([SensorDefinition("watch", evaluation_fn=lambda: None, job_name="load")])
    client, now = Client(console_of(MemoryStack(instance))), instance.clock.now()
    instance._stores.batches.accept("watch", [BatchItem("a", AWKWARD, now, 7, '"x"')])
    instance._stores.batches.open("watch", AWKWARD, now, 1_000, None)

    assert client.get("/api/sensors/watch/batches").json == {
        "batches": [
            {
                "by": AWKWARD,
                "items": 1,
                "bytes": 7,
                "is_more": False,
                "oldest_at": now,
                "closes_at": now + 1_000,
                "failures": 0,
                "reason": "",
            }
        ],
        "omitted": 0,
    }
    assert client.get("/api/sensors/unknown/batches").status == 404
