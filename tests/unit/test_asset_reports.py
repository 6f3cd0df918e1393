"""Asset reports that RECORD receives: read as they were meant, or refused with the reason."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from tests.support.engine import NAMESPACE, EngineHarness
from tests.support.starts import LAUNCH_ID, stubbed
from treadle import AssetKey, AssetMaterialization, MetadataValue, report_asset_materialization
from treadle.adapters.asset_reports import is_about_an_asset, parse_asset_event
from treadle.adapters.clients import client
from treadle.definitions.errors import InvalidReportError, SettingsError, UnknownEventError
from treadle.engine.assets.asset_recorder import AssetReport, RemoteAssetEvent
from treadle.engine.publish.bus_events import envelope

ROOT = Path(__file__).parents[2]
NOON = datetime(2026, 11, 22, 12, 0, 0, 250_000, UTC)
ENVELOPE = {
    "id": "315c1398-40ff-a850-213b-158f73e60286",
    "source": "treadle.report",
    "detail-type": "Asset Materialization Report",
    "time": "2026-11-22T12:00:09Z",
    "account": "123456789012",
    "region": "us-east-1",
}
LEAST = {"version": 1, "asset_key": "tables/orders"}


@pytest.fixture(autouse=True)
def no_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREADLE_BUS_NAME", raising=False)


def read(**detail: Any) -> AssetReport:
    parsed = parse_asset_event({**ENVELOPE, "detail": {**LEAST, **detail}})
    assert isinstance(parsed, AssetReport)
    return parsed


def sent(report: Callable[[], str]) -> tuple[str, dict[str, Any]]:
    """Return the id that the caller is given, and the event as EventBridge delivers it."""
    found: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        found.append(params)

    hook, emitter = "before-parameter-build.events.PutEvents", client("events").meta.events
    with stubbed("events") as stub:
        stub.add_response("put_events", {"Entries": [{"EventId": "1"}], "FailedEntryCount": 0})
        emitter.register(hook, note)
        try:
            named = report()
        finally:
            emitter.unregister(hook, note)
    [[entry]] = [params["Entries"] for params in found]
    assert entry["EventBusName"] == "stack-bus"
    event = {"source": entry["Source"], "detail-type": entry["DetailType"]}
    return named, {**ENVELOPE, **event, "detail": json.loads(entry["Detail"])}


def test_least_that_can_be_said_takes_id_and_time_from_eventbridge() -> None:
    report = read()

    assert report == AssetReport(
        AssetMaterialization(["tables", "orders"]),
        ENVELOPE["id"],
        datetime(2026, 11, 22, 12, 0, 9, tzinfo=UTC),
    )


@pytest.mark.parametrize(
    ("reported", "parts"),
    [
        ("orders", ["orders"]),
        ("tables/orders", ["tables", "orders"]),
        (r"tables/or\/ders", ["tables", "or/ders"]),
        (["tables", "or/ders"], ["tables", "or/ders"]),
    ],
)
def test_key_is_a_text_or_its_parts(reported: Any, parts: list[str]) -> None:
    assert read(asset_key=reported).reported.asset_key == AssetKey(parts)


def test_all_that_is_said_is_read() -> None:
    report = read(
        metadata={"rows": 3, "of": {"a": [1, None]}},
        partition="p",
        description="d",
        run_id=LAUNCH_ID,
        event_id="e1",
        time="2026-11-22T13:00:00.250+01:00",
        more="than is known",
    )

    made = AssetMaterialization(["tables", "orders"], "d", {"rows": 3, "of": {"a": [1, None]}}, "p")
    assert report == AssetReport(made, "e1", NOON, LAUNCH_ID)


@pytest.mark.parametrize(
    ("detail", "message"),
    [
        ({"version": 2}, "version 2 is not 1"),
        ({"version": None}, "version None is not 1"),
        ({"asset_key": None}, "must be a string"),
        ({"asset_key": 3}, "must be a string"),
        ({"asset_key": {"a": 1}}, "must be a string"),
        ({"asset_key": ""}, "one or more strings that are not empty"),
        ({"asset_key": []}, "one or more strings that are not empty"),
        ({"asset_key": ["a", 3]}, "one or more strings that are not empty"),
        ({"asset_key": "a//b"}, "one or more strings that are not empty"),
        ({"asset_key": "#ended/load"}, "must not begin with '#'"),
        ({"asset_key": "x" * 1_025}, "exceed 1024 bytes"),
        ({"asset_key": "\ud800"}, "surrogates not allowed"),
        ({"metadata": ["rows"]}, "metadata is a list"),
        ({"metadata": "rows"}, "metadata is a str"),
        ({"metadata": {"text": "x" * 66_000}}, "the limit is 65536"),
        ({"metadata": {"text": "\ud800"}}, "surrogates not allowed"),
        ({"description": "x" * 66_000}, "the limit is 65536"),
        ({"description": 3}, "description of asset tables/orders must be a string"),
        ({"partition": 3}, "partition of asset tables/orders must be a string"),
        ({"partition": ""}, "must have 1 to 1024 bytes"),
        ({"partition": "x" * 1_025}, "must have 1 to 1024 bytes"),
        ({"event_id": 3}, "event_id is '3'"),
        ({"event_id": "a\nb"}, "without control characters"),
        ({"event_id": "x" * 513}, "event_id is"),
        ({"run_id": 3}, "run_id is '3'"),
        ({"run_id": ""}, "run_id is ''"),
        ({"time": "noon"}, "has a missing or malformed field"),
        ({"time": 3}, "must be a string"),
        ({"time": "9999-12-31T23:59:59-12:00"}, "from 1970 to 9998"),
    ],
)
def test_what_cannot_be_recorded_is_refused_with_the_reason(detail: dict[str, Any], message: str) -> None:
    with pytest.raises((InvalidReportError, UnknownEventError), match=re.escape(message)):
        read(**detail)


@pytest.mark.parametrize("name", ["version", "asset_key"])
def test_what_must_be_given_is_requested(name: str) -> None:
    detail = {key: value for key, value in LEAST.items() if key != name}

    with pytest.raises(UnknownEventError, match=name):
        parse_asset_event({**ENVELOPE, "detail": detail})


@pytest.mark.parametrize("detail", [None, [], "text"])
def test_a_detail_that_is_none_is_refused(detail: Any) -> None:
    with pytest.raises(UnknownEventError):
        parse_asset_event({**ENVELOPE, "detail": detail})


@pytest.mark.parametrize(
    ("source", "kind"),
    [("treadle", "Asset Materialization Report"), ("treadle.report", "Asset Materialized")],
)
def test_neither_speaks_for_the_other(source: str, kind: str) -> None:
    """Whoever may report may not speak as a stack."""
    event = {**ENVELOPE, "source": source, "detail-type": kind, "detail": LEAST}

    assert is_about_an_asset(event)
    with pytest.raises(UnknownEventError, match="Unknown event type"):
        parse_asset_event(event)


def asset_event_of(harness: EngineHarness, namespace: str = NAMESPACE) -> dict[str, Any]:
    """Return a stack's event of an asset, as EventBridge delivers it."""
    harness.assets.record(read(metadata={"rows": 3}, event_id="e1"))
    event: dict[str, Any] = json.loads(json.dumps(envelope(harness.bus.events[-1], namespace)))
    return event


def test_what_another_stack_reports_is_read_as_it_was_reported(harness: EngineHarness) -> None:
    parsed = parse_asset_event(asset_event_of(harness))

    assert isinstance(parsed, RemoteAssetEvent)
    assert (parsed.namespace, parsed.event.location, parsed.event.storage_id) == (NAMESPACE, NAMESPACE, 1)
    assert parsed.event.reported.plain_metadata == {"rows": 3}


def test_a_stack_speaks_of_its_own_account_only(harness: EngineHarness) -> None:
    with pytest.raises(UnknownEventError, match="comes from 210987654321"):
        parse_asset_event(asset_event_of(harness) | {"account": "210987654321"})


def test_another_version_of_what_a_stack_reports_is_refused(harness: EngineHarness) -> None:
    event = asset_event_of(harness)
    event["detail"]["version"] = 2

    with pytest.raises(UnknownEventError, match="version 2 is not 1"):
        parse_asset_event(event)


# ---- The library's report


def test_report_is_read_as_it_was_meant() -> None:
    named, event = sent(
        lambda: report_asset_materialization(
            ["tables", "or/ders"],
            metadata={"rows": MetadataValue.int(3)},
            partition="p",
            description="d",
            run_id=LAUNCH_ID,
            event_id="e1",
            time=NOON,
            bus="stack-bus",
        )
    )

    assert (event["source"], event["detail-type"], named) == (
        "treadle.report",
        "Asset Materialization Report",
        "e1",
    )
    made = AssetMaterialization(["tables", "or/ders"], "d", {"rows": 3}, "p")
    assert parse_asset_event(event) == AssetReport(made, "e1", NOON, LAUNCH_ID)


def test_a_materialization_says_all_itself() -> None:
    made = AssetMaterialization("orders", "d", {"rows": 3}, "p")

    _, event = sent(lambda: report_asset_materialization(made, bus="stack-bus"))
    parsed = parse_asset_event(event)

    assert isinstance(parsed, AssetReport)
    assert parsed.reported == made
    others: list[dict[str, Any]] = [{"metadata": {}}, {"partition": "p"}, {"description": "d"}]
    for more in others:
        with pytest.raises(InvalidReportError, match="give them there"):
            report_asset_materialization(made, bus="stack-bus", **more)


def test_each_call_without_id_reports_again_under_an_id_that_a_repeated_request_keeps() -> None:
    first, second = (sent(lambda: report_asset_materialization("orders", bus="stack-bus")) for _ in range(2))

    assert first[0] != second[0]
    assert [event["detail"]["event_id"] for _, event in (first, second)] == [first[0], second[0]]


def test_largest_report_fits_into_an_event() -> None:
    """EventBridge takes 256 KB; what is no ASCII is sent escaped."""
    _, event = sent(
        lambda: report_asset_materialization(
            "é" * 512, metadata={"text": "é" * 32_000}, partition="é" * 512, bus="stack-bus"
        )
    )

    assert len(json.dumps(event)) < 256 * 1024 - 10_000


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"asset_key": ""}, "one or more strings that are not empty"),
        ({"metadata": {"a": object()}}, "must be plain JSON"),
        ({"metadata": {"a": "x" * 66_000}}, "the limit is 65536"),
        ({"event_id": ""}, "event_id is ''"),
        ({"run_id": ""}, "run_id is ''"),
        ({"time": NOON.replace(tzinfo=None)}, "no time zone"),
        ({"time": NOON.replace(year=1960)}, "from 1970 to 9998"),
    ],
)
def test_arguments_that_do_not_fit_are_refused_at_once(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidReportError, match=re.escape(message)):
        report_asset_materialization(**{"asset_key": "orders", "bus": "stack-bus", **arguments})


def test_report_without_a_bus_says_how_to_name_one(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SettingsError, match=r"give bus=…, or set TREADLE_BUS_NAME"):
        report_asset_materialization("orders")
    monkeypatch.setenv("TREADLE_BUS_NAME", "stack-bus")
    sent(lambda: report_asset_materialization("orders"))


# ---- The pages


PAGE = (ROOT / "docs" / "reference" / "events.md").read_text()
SECTION = PAGE.split("## Asset Materialization Report")[1].split("\n## ")[0]


def test_pages_example_is_read_and_its_table_names_every_field() -> None:
    [example] = re.findall(r"```json\n(.*?)```", SECTION, flags=re.DOTALL)
    detail = json.loads(example)

    report = parse_asset_event({**ENVELOPE, "detail": detail})

    assert isinstance(report, AssetReport)
    assert report.reported.plain_metadata == detail["metadata"]
    assert set(re.findall(r"^\| `detail\.(\w+)` \|", SECTION, flags=re.MULTILINE)) == set(detail)
    made = AssetMaterialization("a", "d", {"a": MetadataValue.path("b")}, "p", {"v": "1"})
    _, event = sent(lambda: report_asset_materialization(made, run_id="r", bus="stack-bus"))
    assert event["detail"].keys() == detail.keys()


def test_every_sample_is_read() -> None:
    [own] = bodies("record-asset-report")
    [foreign] = bodies("record-asset-of-another-stack")

    assert isinstance(parse_asset_event(own), AssetReport)
    assert isinstance(parse_asset_event(foreign), RemoteAssetEvent)


def bodies(name: str) -> list[dict[str, Any]]:
    records = json.loads((ROOT / "events" / f"{name}.json").read_text())["Records"]
    return [json.loads(record["body"]) for record in records]
