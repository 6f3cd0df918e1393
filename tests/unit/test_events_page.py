"""docs/reference/events.md describes each event as it is."""

import json
import re
from datetime import UTC, datetime
from pathlib import Path

from treadle.definitions.assets import (
    AssetMaterialization,
    AssetMaterialized,
    AssetObservation,
    recorded_as,
)
from treadle.definitions.metadata import MetadataValue
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.publish.bus_events import (
    ASSET_MATERIALIZED,
    ASSET_OBSERVED,
    MAX_PUBLISHED_TAGS,
    RUN_STATUS_CHANGED,
    SENSOR_HEALTH_CHANGED,
    SOURCE,
    RunStatusChange,
    asset_recorded,
    published_tags,
    run_status_changed,
    sensor_health_changed,
    sensor_paused,
)
from treadle.engine.reconcile.late_sensors import late_reason
from treadle.model.engine_state import LateSensor
from treadle.model.runs import Failure, Run
from treadle.model.ticks import Tick, TickKind

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text()
SECTION = PAGE.split(f"## {RUN_STATUS_CHANGED}")[1].split("\n## ")[0]
RUN = Run(
    "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e",
    "process_file",
    "new_objects",
    "s3://raw/a.csv#9b2cf535f27731c974343645a3985328",
    "tick",
    "{}",
    {"treadle/depth": "1"},
    1_795_370_400_000,
    status=DagsterRunStatus.SUCCESS,
    external_id="arn:aws:states:eu-west-1:123456789012:execution:summarize:6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e-1",
)


def status_event(run: Run, status: DagsterRunStatus, number: int) -> dict[str, object]:
    reached = RunStatusChange(run, 1, 0, status, 1_795_370_409_250)
    event = run_status_changed(reached, "123456789012/eu-west-1/main", number)
    return dict(event.detail)


def test_example_is_what_is_reported() -> None:
    [example] = re.findall(r"```json\n(.*?)```", SECTION, flags=re.DOTALL)

    assert json.loads(example) == status_event(RUN, DagsterRunStatus.SUCCESS, 17)


def test_each_field_and_status_is_explained() -> None:
    explained = set(re.findall(r"`detail\.(\w+)`", SECTION))

    assert explained == set(status_event(RUN, DagsterRunStatus.SUCCESS, 1))
    assert all(f"`{status}`" in SECTION for status in DagsterRunStatus)
    assert f"`source` `{SOURCE}`" in PAGE


def test_bounds_are_those_of_the_page() -> None:
    failed = Run(
        "r",
        "j",
        "s",
        None,
        "t",
        "{}",
        {},
        1,
        status=DagsterRunStatus.FAILURE,
        failure=Failure("E", "x" * 2_000),
    )
    failure = status_event(failed, DagsterRunStatus.FAILURE, 1)["failure"]
    long = {"treadle/a": "x" * 247, "treadle/b": "x" * 248}
    tags = published_tags({**{f"t{n:03}": "v" for n in range(99)}, "treadle/depth": "1", **long})

    assert failure == {"error": "E", "cause": "x" * 1_000}
    assert len(tags) == MAX_PUBLISHED_TAGS == 50
    assert {name for name in tags if not name.startswith("t0")} == {"treadle/depth", "treadle/a"}


def test_pause_has_the_fields_of_the_page() -> None:
    tick = Tick("s", "t", TickKind.LEASED, TickStatus.FAILURE, 1, 1, 1, paused="why")
    section = PAGE.split("## Sensor Paused")[1].split("\n## ")[0]

    detail = sensor_paused(tick).detail

    assert all(f"`{field}`" in section for field in detail)
    assert detail["reason"] == "why"


def test_asset_example_is_what_is_reported_and_each_field_is_explained() -> None:
    section = PAGE.split(f"## {ASSET_MATERIALIZED}\n")[1].split("\n## ")[0]
    namespace = "123456789012/eu-west-1/main"
    metadata = {"rows": 1204, "source": MetadataValue.path("s3://raw/orders/2026-11-22.csv")}
    made = AssetMaterialization(["tables", "orders"], None, metadata, "2026-11-22", {"source": "shop"})
    time = datetime(2026, 11, 22, 18, 0, 9, 250_000, UTC)
    recorded = AssetMaterialized(made, f"{RUN.run_id}-1", 17, time, RUN.run_id, 1, namespace)
    [example] = re.findall(r"```json\n(.*?)```", section, flags=re.DOTALL)

    detail = asset_recorded(recorded, namespace).detail

    assert json.loads(example) == detail
    assert set(re.findall(r"`detail\.(\w+)`", section)) == set(detail)


def test_event_of_an_observation_has_the_fields_of_one_of_a_materialization() -> None:
    tags, namespace = {"source": "shop"}, "123456789012/eu-west-1/main"
    metadata = {"source": MetadataValue.path("s3://raw/orders/2026-11-22.csv")}
    made, seen = (
        kind("orders", None, metadata, None, tags) for kind in (AssetMaterialization, AssetObservation)
    )
    time = datetime(2026, 11, 22, 18, 0, 9, 250_000, UTC)

    events = [asset_recorded(recorded_as(each)(each, "e", 1, time), namespace) for each in (made, seen)]

    assert events[0].detail == events[1].detail
    assert [event.kind for event in events] == [ASSET_MATERIALIZED, ASSET_OBSERVED]
    assert (
        f"has the fields of `{ASSET_MATERIALIZED}`"
        in PAGE.split(f"## {ASSET_OBSERVED}\n")[1].split("\n## ")[0]
    )


HEALTH = PAGE.split(f"## {SENSOR_HEALTH_CHANGED}")[1].split("\n## ")[0]


def test_example_of_a_late_sensor_is_what_is_reported_and_each_field_is_explained() -> None:
    example, rule = re.findall(r"```json\n(.*?)```", HEALTH, flags=re.DOTALL)
    late = LateSensor("new_objects", "treadle", 1_795_370_400_000)
    namespace, found_at = "123456789012/eu-west-1/treadle", 1_795_371_362_000
    event = sensor_health_changed(late, namespace, found_at, late_reason(late), is_late=True)

    assert json.loads(example) == dict(event.detail)
    assert set(re.findall(r"`detail\.(\w+)`", HEALTH)) == set(event.detail)
    assert json.loads(rule)["detail-type"] == [event.kind]
    over = sensor_health_changed(late, namespace, found_at, "It is ticking again.", is_late=False).detail[
        "status"
    ]
    assert all(f"`{status}`" in HEALTH for status in (event.detail["status"], over))
