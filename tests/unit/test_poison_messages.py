"""For any message, its parser returns a value or raises one of its own two errors."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tests.support.poison import NO_MESSAGES, WRONG, mutations
from treadle.adapters.asset_reports import is_about_an_asset, parse_asset_event
from treadle.adapters.events import parse_sensor_event
from treadle.adapters.status_events import parse_status_change
from treadle.definitions.errors import InvalidReportError, UnknownEventError
from treadle.engine.messages import LaunchRequest, PublishRequest, TickRequest
from treadle.engine.parsing import MAX_NESTING, parse_message
from treadle.engine.tick.event_ticks import tick_id_of
from treadle.entrypoints.evaluator import scheduled_time
from treadle.model.messages import DeadLetter
from treadle.operate.redrive import Redriver
from treadle.operate.redrive_routes import Destination, subject_of

EVENTS = Path(__file__).parents[2] / "events"
KNOWN = (UnknownEventError, InvalidReportError)
Parser = Callable[[Mapping[str, Any]], object]

LAUNCH = {"treadle": "launch", "run_id": "r", "attempt": 1, "job": "load"}
DISPATCH = {"treadle": "dispatch", "sensor": "s", "tick_id": "t", "slice": 0, "of": 2}
PUBLISH = {"treadle": "publish", "run_id": "r", "events": ["r/1/0/SUCCESS"]}
SLOT = {"treadle": "slot", "nominal_time": "2026-11-22T18:00:00Z"}
HERE = {"account": "123456789012", "region": "us-east-1"}
NAMESPACE = "123456789012/us-east-1/test"


def sensor_event(body: Mapping[str, Any]) -> object:
    event = parse_sensor_event(body)
    return tick_id_of(event).encode(), event.summary.encode(), event.time.timestamp()


def record(body: Mapping[str, Any]) -> object:
    return parse_asset_event(body) if is_about_an_asset(body) else parse_status_change(body)


def bodies(name: str) -> list[dict[str, Any]]:
    event = json.loads((EVENTS / f"{name}.json").read_text())
    if "Records" not in event:
        return [event]
    return [json.loads(each["body"]) for each in event["Records"] if "body" in each]


RUN_STATUS = {
    "source": "treadle",
    "detail-type": "Run Status Changed",
    **HERE,
    "detail": {
        "namespace": NAMESPACE,
        "run_id": "r",
        "job": "load",
        "sensor": "s",
        "run_key": "k",
        "status": "FAILURE",
        "attempt": 1,
        "retry": 0,
        "time": "2026-11-22T18:00:00Z",
        "number": 3,
        "tags": {"a": "b"},
        "external_id": "x",
        "failure": {"error": "E", "cause": "c"},
    },
}
ASSET = {
    "source": "treadle",
    "detail-type": "Asset Materialized",
    **HERE,
    "detail": {
        "version": 1,
        "namespace": NAMESPACE,
        "origin": NAMESPACE,
        "id": "e1",
        "asset_key": "shop/orders",
        "storage_id": 4,
        "time": "2026-11-22T18:00:00Z",
        "partition": "2026",
        "description": "d",
        "metadata": {"rows": 1},
        "run_id": "r",
        "depth": 1,
    },
}

PARSERS: list[tuple[str, Parser, Mapping[str, Any]]] = [
    ("launch", LaunchRequest.from_json, LAUNCH),
    ("dispatch", TickRequest.from_json, DISPATCH),
    ("publish", PublishRequest.from_json, PUBLISH),
    ("slot", scheduled_time, SLOT),
    ("object", sensor_event, bodies("new_objects-s3-event-direct")[0]),
    ("run status", sensor_event, RUN_STATUS),
    ("asset", sensor_event, ASSET),
    ("foreign asset", record, ASSET),
    *(
        (f"{path.stem} {index}", record, body)
        for path in sorted(EVENTS.glob("record-*.json"))
        for index, body in enumerate(bodies(path.stem))
    ),
]


def attempt(parser: Parser, body: Mapping[str, Any]) -> Exception | None:
    """Return the parser's error for a message that has come by a queue; all but its own two errors is raised."""
    try:
        parser(parse_message(json.dumps(body)))
    except KNOWN as error:
        str(error).encode()
        return error
    return None


@pytest.mark.parametrize(
    "time",
    [
        "0001-01-01T00:00:00Z",
        "0001-01-01T00:00:00+23:59",
        "1969-12-31T23:59:59Z",
        "9999-12-31T23:59:59-23:59",
        1_795_600_800,
        1_795_600_800.5,
        True,
    ],
)
def test_scheduled_time_that_cannot_be_kept_is_none(time: object) -> None:
    with pytest.raises(UnknownEventError, match="must be a time from 1970 to 9998, such as"):
        scheduled_time({"treadle": "slot", "nominal_time": time})


@pytest.mark.parametrize(("parser", "message"), [each[1:] for each in PARSERS], ids=[p[0] for p in PARSERS])
def test_a_message_with_anything_in_any_field_is_parsed_or_unknown(
    parser: Parser, message: Mapping[str, Any]
) -> None:
    assert attempt(parser, message) is None

    refused = [name for name, body in mutations(message) if attempt(parser, body)]

    assert refused


JSON = st.recursive(
    st.sampled_from(WRONG) | st.text(max_size=5) | st.integers() | st.floats(allow_nan=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=6,
)


@given(data=st.data(), case=st.sampled_from(PARSERS))
def test_several_wrong_fields_at_once_are_parsed_or_unknown(
    data: st.DataObject, case: tuple[str, Parser, Mapping[str, Any]]
) -> None:
    _, parser, message = case
    body = json.loads(json.dumps(message))
    for part in (body, body.get("detail")):
        if isinstance(part, dict):
            for name in data.draw(st.sets(st.sampled_from(sorted(part)), max_size=3)):
                part[name] = data.draw(JSON)

    attempt(parser, body)


@given(st.text() | JSON.map(lambda value: json.dumps(value, ensure_ascii=True)))
@example("[" * 100_000)
@example('{"a":' * 100_000)
def test_any_text_is_an_object_that_can_be_written_again_or_no_message(text: str) -> None:
    try:
        value = parse_message(text)
    except UnknownEventError as error:
        str(error).encode()
    else:
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()


@pytest.mark.parametrize("body", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_what_no_queue_takes_is_unknown_to_each_parser(body: str) -> None:
    for _, parser, _ in PARSERS[:3]:
        with pytest.raises(UnknownEventError):
            parser(parse_message(body))


def test_a_message_may_be_nested_as_deep_as_is_said_and_no_deeper() -> None:
    fits = '{"a":' * MAX_NESTING + "1" + "}" * MAX_NESTING

    assert parse_message(fits)
    with pytest.raises(UnknownEventError, match="nested more than 100 levels deep"):
        parse_message('{"b":' + fits + "}")


def test_a_key_that_is_there_twice_and_text_of_any_alphabet_are_fine() -> None:
    assert parse_message('{"a": 1, "a": 2, "k": "e\u0301 \U0001f600", "e": "\\ud83d\\ude00"}') == {
        "a": 2,
        "k": "e\u0301 \U0001f600",
        "e": "\U0001f600",
    }


@pytest.mark.parametrize("attempt_number", [True, 1.0, "1", 0, -1, 10**12, None])
def test_what_is_no_count_of_attempts_is_no_launch(attempt_number: Any) -> None:
    with pytest.raises(UnknownEventError, match="attempt a whole number from 1"):
        LaunchRequest.from_json({**LAUNCH, "attempt": attempt_number})


class Box:
    """Dead letters as they are stored."""

    def __init__(self, *dead_letters: DeadLetter) -> None:
        self.dead_letters = list(dead_letters)
        self.given_back: list[str] = []

    def count(self) -> int:
        return len(self.dead_letters)

    def receive(self) -> list[DeadLetter]:
        found, self.dead_letters = self.dead_letters, []
        return found

    def delete(self, dead_letter: DeadLetter) -> None:
        self.given_back.append(f"deleted {dead_letter.message_id}")

    def give_back(self, dead_letter: DeadLetter) -> None:
        self.given_back.append(dead_letter.message_id)


class Sent:
    """A queue that takes all but what cannot be encoded."""

    def __init__(self) -> None:
        self.bodies: list[Mapping[str, object]] = []

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        del delay_seconds
        json.dumps(bodies, ensure_ascii=False).encode()
        self.bodies += bodies


def dead_letter(name: str, body: str, **attributes: str) -> DeadLetter:
    return DeadLetter(name, name, body, attributes)


@pytest.mark.parametrize("poison", NO_MESSAGES.values(), ids=NO_MESSAGES)
def test_a_dead_letter_that_cannot_be_read_is_left_with_the_reason_and_the_others_are_sent(
    poison: str,
) -> None:
    good = [dead_letter(f"g{number}", json.dumps(LAUNCH), origin="launch") for number in range(2)]
    queue, box = Sent(), Box(good[0], dead_letter("bad", poison, origin="launch"), good[1])

    done = list(Redriver(box, lambda: [Destination("launch", "arn", queue)]).redrive())

    assert [each.action for each in done] == ["SENT", "LEFT", "SENT"]
    assert done[1].origin == "launch"
    assert "cannot be read" in done[1].reason or "not a JSON object" in done[1].reason
    assert queue.bodies == [LAUNCH, LAUNCH]
    assert box.given_back == ["deleted g0", "deleted g1", "bad"]


@given(
    body=st.text() | JSON.map(json.dumps),
    attributes=st.dictionaries(
        st.sampled_from(["origin", "reason", "RULE_ARN", "TARGET_ARN", "SCHEDULE_ARN"]), st.text()
    ),
)
def test_any_dead_letter_has_a_subject_and_a_fate(body: str, attributes: dict[str, str]) -> None:
    odd = dead_letter("odd", body, **attributes)

    [done] = Redriver(Box(odd), lambda: [Destination("launch", "arn", Sent())]).redrive(dry_run=True)

    assert done.reason
    assert subject_of(odd) is not None
