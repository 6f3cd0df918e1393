"""Reporting how a run goes: one event, which RECORD reads as it was meant."""

import json
import re
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest

from tests.support.starts import LAUNCH_ID, RUN_ID, stubbed
from treadle import report_asset_materialization, report_run_status
from treadle.adapters.clients import client
from treadle.adapters.status_events import parse_status_change
from treadle.definitions.errors import InvalidReportError, SettingsError, StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.parsing import parse_message
from treadle.engine.record.recorder import REPORT, StatusChange
from treadle.model.runs import Failure

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "events.md").read_text()
PAGE = PAGE.split("## Run Status Report")[1].split("\n## ")[0]
NOON = datetime(2026, 11, 22, 12, 0, 0, 250_000, UTC)
MILLIS = int(NOON.timestamp() * 1000)


@pytest.fixture(autouse=True)
def no_bus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TREADLE_BUS_NAME", raising=False)


def sent(report: Callable[[], None]) -> dict[str, Any]:
    """Return the entry that EventBridge gets, checked against its model."""
    found: list[dict[str, Any]] = []

    def note(params: dict[str, Any], **_: Any) -> None:
        found.append(params)

    hook, emitter = "before-parameter-build.events.PutEvents", client("events").meta.events
    with stubbed("events") as stub:
        stub.add_response("put_events", {"Entries": [{"EventId": "1"}], "FailedEntryCount": 0})
        emitter.register(hook, note)
        try:
            report()
        finally:
            emitter.unregister(hook, note)
    [[entry]] = [params["Entries"] for params in found]
    return dict(entry)


def as_event(entry: dict[str, Any]) -> dict[str, Any]:
    """Return the event as EventBridge delivers the entry."""
    return {
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "detail": json.loads(entry["Detail"]),
        "time": "2026-11-22T12:00:09Z",
        "account": "123456789012",
        "region": "us-east-1",
    }


def test_report_is_one_event_of_the_documented_form() -> None:
    entry = sent(
        lambda: report_run_status(
            LAUNCH_ID, "FAILURE", error="ValueError", cause="bad row", time=NOON, bus="stack-bus"
        ),
    )

    assert (entry["EventBusName"], entry["Source"]) == ("stack-bus", "treadle.report")
    assert entry["DetailType"] == "Run Status Report"
    assert json.loads(entry["Detail"]) == {
        "version": 1,
        "launch_id": LAUNCH_ID,
        "status": "FAILURE",
        "time": "2026-11-22T12:00:00.250Z",
        "error": "ValueError",
        "cause": "bad row",
    }


@pytest.mark.parametrize(
    ("status", "failure"),
    [
        (Status.STARTED, None),
        (Status.SUCCESS, None),
        (Status.FAILURE, Failure("Broken", "text")),
        (Status.CANCELED, Failure("Broken", "text")),
    ],
)
def test_report_is_read_as_it_was_meant(status: Status, failure: Failure | None) -> None:
    details = {"error": failure.error, "cause": failure.cause} if failure else {}

    entry = sent(lambda: report_run_status(LAUNCH_ID, status, time=NOON, bus="b", **details))

    expected = StatusChange(REPORT, LAUNCH_ID, "", "", status, MILLIS, failure=failure)
    assert parse_status_change(as_event(entry)) == expected


def test_report_without_a_message_has_none() -> None:
    entry = sent(lambda: report_run_status(LAUNCH_ID, "SUCCESS", bus="b"))

    assert json.loads(entry["Detail"]).keys() == {"version", "launch_id", "status", "time"}


def test_time_is_now_or_the_one_given_in_whatever_zone() -> None:
    before = datetime.now(UTC) - timedelta(milliseconds=1)
    now = sent(lambda: report_run_status(LAUNCH_ID, "SUCCESS", bus="b"))
    there = NOON.astimezone(timezone(timedelta(hours=5)))
    then = sent(lambda: report_run_status(LAUNCH_ID, "SUCCESS", time=there, bus="b"))

    assert before <= datetime.fromisoformat(json.loads(now["Detail"])["time"]) <= datetime.now(UTC)
    assert json.loads(then["Detail"])["time"] == "2026-11-22T12:00:00.250Z"


def test_long_text_are_cut_so_that_the_event_fits() -> None:
    entry = sent(lambda: report_run_status(LAUNCH_ID, "FAILURE", cause="x" * 300_000, bus="b"))

    assert len(json.loads(entry["Detail"])["cause"]) == 2_000


def test_bus_is_the_environments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TREADLE_BUS_NAME", "from-environment")

    assert sent(lambda: report_run_status(LAUNCH_ID, "SUCCESS"))["EventBusName"] == ("from-environment")


def test_report_without_a_bus_says_how_to_name_one() -> None:
    with pytest.raises(SettingsError, match=r"give bus=…, or set TREADLE_BUS_NAME"):
        report_run_status(LAUNCH_ID, "SUCCESS")


@pytest.mark.parametrize("launch_id", ["", RUN_ID, f"{LAUNCH_ID}x", None, 5])
def test_what_is_no_launch_id_is_refused(launch_id: Any) -> None:
    with pytest.raises(InvalidReportError, match=r"launch_id is .*: give what the job was given"):
        report_run_status(launch_id, "SUCCESS", bus="b")


@pytest.mark.parametrize("status", ["", "success", "QUEUED", Status.CANCELING, None])
def test_what_may_not_be_reported_is_refused(status: Any) -> None:
    with pytest.raises(InvalidReportError, match="use STARTED, SUCCESS, FAILURE, CANCELED"):
        report_run_status(LAUNCH_ID, status, bus="b")


@pytest.mark.parametrize("details", [{"error": "E"}, {"cause": "c"}])
@pytest.mark.parametrize("status", ["STARTED", "SUCCESS"])
def test_error_and_cause_need_a_failure(status: str, details: dict[str, Any]) -> None:
    with pytest.raises(InvalidReportError, match=f"and status is {status}"):
        report_run_status(LAUNCH_ID, status, bus="b", **details)


def test_time_in_the_future_is_refused() -> None:
    ahead = datetime.now(UTC) + timedelta(minutes=10)
    with pytest.raises(InvalidReportError, match="lies in the future"):
        report_run_status(LAUNCH_ID, "SUCCESS", time=ahead, bus="b")
    with pytest.raises(InvalidReportError, match="lies in the future"):
        report_asset_materialization("orders", time=ahead, bus="b")


@pytest.mark.parametrize("time", [datetime.min.replace(tzinfo=UTC), datetime(1969, 12, 31, tzinfo=UTC)])
def test_time_that_cannot_be_kept_is_refused(time: datetime) -> None:
    """Sent, it would be a dead letter, of which its job learns nothing."""
    with pytest.raises(InvalidReportError, match=r"time is .*; it must be from 1970 to 9998"):
        report_run_status(LAUNCH_ID, "SUCCESS", time=time, bus="b")
    with pytest.raises(InvalidReportError, match="must be from 1970 to 9998"):
        report_asset_materialization("orders", time=time, bus="b")


def test_text_is_no_time() -> None:
    given: Any = "2026-11-29"
    with pytest.raises(InvalidReportError, match="it must be a datetime with a time zone"):
        report_run_status(LAUNCH_ID, "SUCCESS", time=given, bus="b")


def test_time_without_zone_is_refused() -> None:
    with pytest.raises(InvalidReportError, match="no time zone"):
        report_run_status(LAUNCH_ID, "SUCCESS", time=NOON.replace(tzinfo=None), bus="b")


def test_report_that_the_bus_does_not_take_is_an_error() -> None:
    with stubbed("events") as stub:
        stub.add_client_error("put_events", "AccessDeniedException")
        with pytest.raises(StoreError, match="could not be sent to bus b"):
            report_run_status(LAUNCH_ID, "SUCCESS", bus="b")


def test_pages_example_is_read_and_its_table_names_every_field() -> None:
    [example] = re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL)
    entry = sent(lambda: report_run_status(LAUNCH_ID, "SUCCESS", bus="b"))

    event = {**as_event(entry), "detail": json.loads(example)}
    assert parse_status_change(event).failure == Failure("ValueError", "bad row")
    assert set(re.findall(r"^\| `detail\.(\w+)` \|", PAGE, flags=re.MULTILINE)) == set(json.loads(example))


@pytest.mark.parametrize("name", ["error", "cause"])
@pytest.mark.parametrize("details", [ValueError("bad row"), ValueError, {"a": 1}, 5, b"bad"])
def test_error_and_cause_that_are_no_text_are_refused(name: str, details: Any) -> None:
    with pytest.raises(
        InvalidReportError, match=rf"{name} must be a string or None, not \w+: .* Write it as a"
    ):
        report_run_status(LAUNCH_ID, "FAILURE", bus="b", **{name: details})


@pytest.mark.parametrize("details", ["caf\udce9.csv", "x" * 1_000_000, "é" * 1_000_000])
def test_error_and_cause_of_any_content_and_length_reach_record(details: str) -> None:
    entry = sent(lambda: report_run_status(LAUNCH_ID, "FAILURE", error=details, cause=details, bus="b"))

    failure = parse_status_change({**as_event(entry), "detail": parse_message(entry["Detail"])}).failure

    assert failure is not None
    assert failure.cause.startswith(details[:3])
    assert len(entry["Detail"]) < 20_000


@pytest.mark.parametrize("year", [1, 1960])
def test_time_that_no_event_can_have_is_refused(year: int) -> None:
    early = datetime(year, 1, 1, tzinfo=UTC)
    with pytest.raises(InvalidReportError, match="from 1970 to 9998"):
        report_run_status(LAUNCH_ID, "SUCCESS", time=early, bus="b")
    with pytest.raises(InvalidReportError, match="from 1970 to 9998"):
        report_asset_materialization("orders", time=early, bus="b")


@pytest.mark.parametrize("bus", [5, "caf\udce9"])
def test_bus_that_has_no_name_is_refused(bus: Any) -> None:
    with pytest.raises(InvalidReportError, match="bus "):
        report_run_status(LAUNCH_ID, "SUCCESS", bus=bus)
