"""Asset events: recorded once under each event id, numbered, and published on the bus."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import NAMESPACE, EngineHarness
from treadle.definitions.assets import AssetMaterialization, AssetMaterialized
from treadle.definitions.errors import InvalidReportError
from treadle.definitions.runs import DEPTH_TAG, from_millis
from treadle.definitions.status import TickStatus
from treadle.engine.assets.asset_recorder import (
    MAX_EVENT_ID,
    MAX_NAMESPACE,
    AssetReport,
    RemoteAssetEvent,
)
from treadle.engine.identity import event_tick_id, leased_tick_id, timestamp
from treadle.engine.outcomes import Decision
from treadle.model.runs import Run
from treadle.model.ticks import Tick, TickKind

NOON = datetime(2026, 11, 22, 12, 0, 0, 250_000, UTC)
OTHER = "210987654321/eu-west-1/shop"
RUN_ID = "0b8f6a0e-3c53-5a3f-9d4f-6f0a3f2c7d11"
ORDERS = AssetMaterialization(["tables", "orders"], "made", {"rows": 3}, "2026-11-22")
REPORT = AssetReport(ORDERS, "e1", NOON)
PUBLISHED = AssetMaterialized(ORDERS, "e1", 40, NOON, "a run there", 3, OTHER)


def published(harness: EngineHarness) -> list[dict[str, Any]]:
    assert {event.kind for event in harness.bus.events} <= {"Asset Materialized"}
    return [dict(event.detail) for event in harness.bus.events]


def numbers(harness: EngineHarness) -> list[object]:
    return [detail["storage_id"] for detail in published(harness)]


def made_by(harness: EngineHarness, depth: str) -> None:
    harness.tables.runs[RUN_ID] = Run(RUN_ID, "load", "s", "k", "t", "{}", {DEPTH_TAG: depth}, 0)


def test_a_report_is_numbered_and_reported_with_all_that_it_says(harness: EngineHarness) -> None:
    outcome = harness.assets.record(REPORT)

    assert published(harness) == [
        {
            "version": 1,
            "id": "e1",
            "namespace": NAMESPACE,
            "origin": NAMESPACE,
            "asset_key": "tables/orders",
            "storage_id": 1,
            "time": "2026-11-22T12:00:00.250Z",
            "partition": "2026-11-22",
            "description": "made",
            "metadata": {"rows": 3},
            "run_id": None,
            "depth": 0,
        }
    ]
    assert (outcome.decision, outcome.subject) == (Decision.RECORDED, "e1")
    assert "tables/orders: materialization 1" in outcome.reason


def test_a_second_report_of_an_id_is_reported_as_the_first_whatever_it_says(harness: EngineHarness) -> None:
    harness.assets.record(REPORT)
    again = AssetReport(
        AssetMaterialization(ORDERS.asset_key, metadata={"rows": 4}), "e1", datetime(2026, 11, 23, tzinfo=UTC)
    )

    harness.assets.record(again)

    first, second = published(harness)
    assert first == second
    assert len(harness.tables.events["tables/orders"]) == 1


def test_an_id_is_of_its_asset_alone(harness: EngineHarness) -> None:
    harness.assets.record(REPORT)
    harness.assets.record(replace(REPORT, reported=AssetMaterialization("customers")))

    assert numbers(harness) == [1, 1]


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 4)), max_size=12))
def test_numbers_of_an_asset_have_no_gap_and_follow_the_order_of_recording(
    reports: list[tuple[str, int]],
) -> None:
    harness = EngineHarness()
    for key, number in reports:
        harness.assets.record(AssetReport(AssetMaterialization(key), f"e{number}", NOON))

    for key in "ab":
        first_seen = dict.fromkeys(f"e{number}" for of, number in reports if of == key)
        kept = harness.tables.events.get(key, [])
        assert [(each.event_id, each.storage_id) for each in kept] == [
            (name, place) for place, name in enumerate(first_seen, 1)
        ]


@pytest.mark.parametrize("given_id", [RUN_ID, f"{RUN_ID}-2"])
def test_what_a_run_made_is_as_deep_as_the_run(harness: EngineHarness, given_id: str) -> None:
    made_by(harness, "4")

    harness.assets.record(replace(REPORT, run_id=given_id))

    [detail] = published(harness)
    assert (detail["run_id"], detail["depth"]) == (RUN_ID, 4)


def test_what_an_unknown_run_made_is_reported_with_its_name(harness: EngineHarness) -> None:
    harness.assets.record(replace(REPORT, run_id="nightly by hand"))

    [detail] = published(harness)
    assert (detail["run_id"], detail["depth"]) == ("nightly by hand", 0)


def test_what_another_stack_reports_is_numbered_here_and_says_where_it_is_from(
    harness: EngineHarness,
) -> None:
    harness.assets.record(REPORT)
    outcome = harness.assets.record(RemoteAssetEvent(PUBLISHED, OTHER))

    own, foreign = published(harness)
    assert own["storage_id"] == 1
    assert foreign == {
        **own,
        "id": f"{OTHER}/e1",
        "origin": OTHER,
        "storage_id": 2,
        "run_id": "a run there",
        "depth": 3,
    }
    assert outcome.decision is Decision.RECORDED


@pytest.mark.parametrize(
    ("namespace", "origin"),
    [
        pytest.param(NAMESPACE, NAMESPACE, id="own"),
        pytest.param(NAMESPACE, OTHER, id="own, from elsewhere"),
        pytest.param("210987654321/eu-west-1/third", OTHER, id="went through a stack already"),
        pytest.param(OTHER, NAMESPACE, id="own, come back"),
    ],
)
def test_what_went_through_a_stack_is_not_recorded_again(
    harness: EngineHarness, namespace: str, origin: str
) -> None:
    outcome = harness.assets.record(RemoteAssetEvent(replace(PUBLISHED, location=origin), namespace))

    assert outcome.decision is Decision.FOREIGN
    assert namespace in outcome.reason
    assert (harness.tables.events, published(harness)) == ({}, [])


def test_what_a_tick_reports_is_recorded_once_one_step_deeper(harness: EngineHarness) -> None:
    customers = AssetMaterialization("customers")
    tick = Tick(
        "watch", "t1", TickKind.EVENT, TickStatus.SUCCESS, 1, 1, 1_795_348_800_250,
        depth=2, asset_events=(ORDERS, customers, ORDERS),
    )  # fmt: skip

    harness.assets.record_tick(tick)
    harness.assets.record_tick(tick)

    first, second = published(harness)[:3], published(harness)[3:]
    assert first == second
    assert [(each["id"], each["asset_key"], each["storage_id"]) for each in first] == [
        ("watch/t1/0", "tables/orders", 1),
        ("watch/t1/1", "customers", 1),
        ("watch/t1/2", "tables/orders", 2),
    ]
    assert {(each["depth"], each["time"], each["origin"]) for each in first} == {
        (3, "2026-11-22T12:00:00.250Z", NAMESPACE)
    }


@pytest.mark.parametrize("event_id", ["e" * MAX_EVENT_ID, "s3://b/k v+é", "orders/2026-11-25/3", "1/2/3"])
def test_ids_that_may_be_reported(event_id: str) -> None:
    assert replace(REPORT, event_id=event_id).event_id == event_id


@pytest.mark.parametrize(
    "event_id",
    ["", "é" * (MAX_EVENT_ID // 2 + 1), "a\nb", "a\x00", None, 7],
)
def test_ids_that_cannot_be_kept_are_refused(event_id: Any) -> None:
    with pytest.raises(InvalidReportError, match=rf"event_id is .* 1 to {MAX_EVENT_ID} bytes"):
        replace(REPORT, event_id=event_id)


@pytest.mark.parametrize(
    "event_id",
    [
        f"watch/{leased_tick_id(1_795_348_800_250, 7)}/0",
        f"watch/{event_tick_id(1_795_348_800_250, ['a'])}/12",
        f"{OTHER}/e1",
    ],
)
def test_ids_that_treadle_itself_gives_are_refused(event_id: str) -> None:
    with pytest.raises(InvalidReportError, match="reserved for Treadle"):
        replace(REPORT, event_id=event_id)


@pytest.mark.parametrize("run_id", ["", "x" * 513, "a\tb", 7])
def test_a_run_that_cannot_be_one_is_refused(run_id: Any) -> None:
    with pytest.raises(InvalidReportError, match="run_id is"):
        replace(REPORT, run_id=run_id)


def test_what_is_reported_to_be_made_far_ahead_was_made_now_and_stays_so(harness: EngineHarness) -> None:
    far = datetime(2099, 1, 1, tzinfo=UTC)
    reports: list[AssetReport | RemoteAssetEvent] = [
        replace(REPORT, time=far),
        RemoteAssetEvent(replace(PUBLISHED, time=far), OTHER),
    ]
    now = timestamp(harness.clock.now())
    for report in reports:
        harness.assets.record(report)
    harness.clock.advance(3_600)
    for report in reports:
        harness.assets.record(report)

    assert [detail["time"] for detail in published(harness)] == [now] * 4


def test_clocks_may_differ_by_minutes(harness: EngineHarness) -> None:
    time = from_millis(harness.clock.now() + 240_000)

    harness.assets.record(replace(REPORT, time=time))

    assert published(harness)[0]["time"] == timestamp(harness.clock.now() + 240_000)


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(InvalidReportError, match="no time zone"):
        replace(REPORT, time=datetime(2026, 11, 22))  # noqa: DTZ001


@pytest.mark.parametrize("year", [1969, 9999])
def test_times_that_nothing_is_made_at_are_refused(year: int) -> None:
    time = datetime(year, 12, 31, tzinfo=UTC)
    with pytest.raises(InvalidReportError, match="from 1970 to 9998"):
        replace(REPORT, time=time)
    with pytest.raises(InvalidReportError, match="from 1970 to 9998"):
        RemoteAssetEvent(replace(PUBLISHED, time=time), OTHER)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"event_id": "x" * 513}, "id is"),
        ({"run_id": 3}, "run_id is"),
        ({"depth": -1}, "depth is"),
    ],
)
def test_what_another_stack_reports_and_cannot_be_kept_is_refused(
    changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(InvalidReportError, match=message):
        RemoteAssetEvent(replace(PUBLISHED, **changes), OTHER)
    with pytest.raises(InvalidReportError, match="namespace is"):
        RemoteAssetEvent(PUBLISHED, f"{OTHER}{'x' * 300}")


def test_the_longest_ids_of_the_longest_stack_fit_into_a_key_of_the_table(harness: EngineHarness) -> None:
    namespace = f"{OTHER}{'x' * (MAX_NAMESPACE - len(OTHER))}"
    foreign = replace(PUBLISHED, event_id="e" * MAX_EVENT_ID, location=namespace)

    harness.assets.record(RemoteAssetEvent(foreign, namespace))

    [kept] = harness.tables.events["tables/orders"]
    assert len(f"id#{kept.event_id}".encode()) <= 1_024
