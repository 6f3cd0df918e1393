"""Event sensors: each event of a bus is evaluated once, and starts what its function requests once."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from treadle import (
    DagsterInvalidDefinitionError,
    EventBridgeEvent,
    EventSensorContext,
    EventSensorDefinition,
    JobDefinition,
    RunRequest,
    SensorResult,
    SkipReason,
    TickStatus,
    build_event_sensor_context,
    build_sensor_context,
    event_sensor,
)
from treadle.adapters.events import parse_any_event
from treadle.definitions.errors import SensorEvaluationError, UnknownEventError
from treadle.engine.outcomes import Decision
from treadle.testing import TreadleInstance

PATTERN = {"source": ["shop.orders"], "detail-type": ["Order Placed"]}
BODY: dict[str, Any] = {
    "version": "0",
    "id": "17793124-05d4-b198-2fde-7ededc63b103",
    "detail-type": "Order Placed",
    "source": "shop.orders",
    "account": "123456789012",
    "time": "2026-11-22T18:00:05Z",
    "region": "us-east-1",
    "resources": ["arn:aws:s3:::one"],
    "detail": {"id": "A-17", "total": 3},
}
EVENT = parse_any_event(BODY)
invoice = JobDefinition("invoice")


@event_sensor(PATTERN, job=invoice)
def placed(context: EventSensorContext) -> RunRequest:
    """A run for each order."""
    return RunRequest(run_config={"order": context.event.detail["id"]})


def returning(value: Any, **options: Any) -> EventSensorDefinition:
    """Return a sensor whose function returns a value."""
    return EventSensorDefinition("made", evaluation_fn=lambda context: value, job_name="invoice", **options)


# ---- The event


def test_event_is_what_eventbridge_says() -> None:
    assert (
        EventBridgeEvent(
            "shop.orders",
            "Order Placed",
            {"id": "A-17", "total": 3},
            "17793124-05d4-b198-2fde-7ededc63b103",
            datetime(2026, 11, 22, 18, 0, 5, tzinfo=UTC),
            "123456789012",
            "us-east-1",
            ("arn:aws:s3:::one",),
        )
        == EVENT
    )
    assert EVENT.envelope == BODY


def test_no_source_is_parsed_as_something_else() -> None:
    """As of an S3 object or a run, which other kinds of sensors evaluate."""
    found = parse_any_event({**BODY, "source": "aws.s3", "detail-type": "Object Created"})

    assert isinstance(found, EventBridgeEvent)


@pytest.mark.parametrize("field", ["id", "source", "detail-type", "account", "region", "time", "detail"])
@pytest.mark.parametrize("value", [None, 3])
def test_event_without_a_field_is_refused_with_its_name(field: str, value: object) -> None:
    with pytest.raises(UnknownEventError, match="missing or malformed field"):
        parse_any_event({**BODY, field: value})
    with pytest.raises(UnknownEventError, match=field):
        parse_any_event({name: each for name, each in BODY.items() if name != field})


def test_event_of_a_run_or_an_asset_has_its_depth_and_others_have_none() -> None:
    own = {**BODY, "source": "treadle"}

    assert parse_any_event({**own, "detail": {"tags": {"treadle/depth": "4"}}}).depth == 4
    assert parse_any_event({**own, "detail": {"depth": 3}}).depth == 3
    assert parse_any_event({**own, "detail": {"depth": "3"}}).depth == 0
    assert parse_any_event({**BODY, "detail": {"depth": 3}}).depth == 0


def test_chain_of_runs_over_the_engines_bus_ends_at_the_maximum_depth() -> None:
    instance = TreadleInstance([returning(RunRequest())])

    instance.put_event("treadle", "Run Status Changed", {"tags": {"treadle/depth": "7"}})
    instance.put_event("treadle", "Run Status Changed", {"tags": {"treadle/depth": "1000"}})

    assert [run.tags["treadle/depth"] for run in instance.runs()] == ["8"]


# ---- Run keys


def test_each_event_starts_one_run_however_often_it_is_delivered() -> None:
    instance = TreadleInstance([placed])

    first = instance.send(EVENT)["placed"]
    again = instance.send(EVENT)["placed"]
    instance.send(replace(EVENT, id="another"))

    assert (first.outcome.decision, again.outcome.decision) == (Decision.SUCCESS, Decision.DUPLICATE)
    assert [run.run_key for run in instance.runs()] == [
        "123456789012/us-east-1/shop.orders/17793124-05d4-b198-2fde-7ededc63b103",
        "123456789012/us-east-1/shop.orders/another",
    ]


@pytest.mark.parametrize("field", ["account", "region", "source", "id"])
def test_each_part_of_the_identity_counts(field: str) -> None:
    instance = TreadleInstance([returning(RunRequest())])

    for body in (BODY, {**BODY, field: "other"}):
        instance.send(parse_any_event(body))

    assert len(instance.runs()) == len(instance.ticks("made")) == 2


def test_with_an_identity_what_is_sent_three_times_is_evaluated_three_times_and_starts_one_run() -> None:
    instance = TreadleInstance([returning(RunRequest(), identity=lambda event: event.detail["id"])])

    for number in range(3):
        instance.put_event("shop.orders", "Order Placed", {"id": "A-17"}, event_id=str(number))

    [run] = instance.runs()
    assert (run.run_key, len(instance.ticks("made"))) == ("A-17", 3)


@pytest.mark.parametrize("value", ["", None, 3])
def test_identity_that_is_no_text_fails_the_tick_and_says_so(value: object) -> None:
    instance = TreadleInstance([returning(RunRequest(), identity=lambda _: value)])

    with pytest.raises(
        SensorEvaluationError, match=r"identity returned .* for Order Placed of shop\.orders: 17793124"
    ):
        instance.send(EVENT)
    assert instance.ticks("made")[0].status is TickStatus.FAILURE


def test_identity_is_not_asked_for_a_request_with_a_run_key() -> None:
    instance = TreadleInstance([returning(RunRequest("own"), identity=lambda event: event.detail["missing"])])

    instance.send(EVENT)

    assert [run.run_key for run in instance.runs()] == ["own"]


def test_one_request_of_several_may_have_the_events_run_key() -> None:
    one = TreadleInstance([returning(SensorResult([RunRequest("own"), RunRequest()]))])
    two = TreadleInstance([returning([RunRequest(), RunRequest()])])

    one.send(EVENT)
    with pytest.raises(SensorEvaluationError, match="requested 2 runs without run key for one event"):
        two.send(EVENT)

    assert [run.run_key for run in one.runs()] == ["own", EVENT.run_key]


# ---- The pattern


def test_event_that_does_not_match_is_skipped_and_the_tick_says_so() -> None:
    """The rule is wider than the code."""
    data = placed.evaluate_tick(build_event_sensor_context(replace(EVENT, detail_type="Order Sent")))

    assert data.run_requests == []
    assert "does not match the pattern in the sensor's code" in str(data.skip_message)


def test_without_a_pattern_each_event_is_evaluated() -> None:
    instance = TreadleInstance([returning(SkipReason("no"))])

    instance.put_event("anything", "At All")

    assert [tick.reason for tick in instance.ticks("made")] == ["no"]


def test_pattern_that_eventbridge_refuses_is_refused_with_the_definition() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"Sensor 'made' cannot work: .*source is 'shop'"):
        returning(None, pattern={"source": "shop"})


def test_sensor_describes_its_pattern() -> None:
    assert placed.described()["pattern"] == PATTERN
    assert returning(None).described()["pattern"] is None


# ---- The kit


def test_put_event_reaches_only_sensors_whose_pattern_matches() -> None:
    instance = TreadleInstance([placed, returning(SkipReason("no"))])

    reached = instance.put_event("shop.orders", "Order Placed", {"id": 1})
    others = instance.put_event("shop.orders", "Order Sent", {"id": 1})

    assert (set(reached), set(others)) == ({"placed", "made"}, {"made"})


def test_objects_runs_and_assets_do_not_reach_it_as_events_of_their_own_kind() -> None:
    instance = TreadleInstance([returning(SkipReason("no"))])

    assert instance.put_object("bucket", "key") == {}


def test_put_event_sends_json_as_put_events_does() -> None:
    instance = TreadleInstance([returning(SkipReason("no"))])

    with pytest.raises(UnknownEventError, match="must be JSON"):
        instance.put_event("shop.orders", "Order Placed", {"at": datetime.now(UTC)})
    with pytest.raises(UnknownEventError, match="must be JSON"):
        instance.put_event("shop.orders", "Order Placed", {"total": float("nan")})


def test_stopped_sensor_drops_the_event() -> None:
    instance = TreadleInstance([placed])
    instance.stop_sensor("placed")

    assert instance.send(EVENT)["placed"].outcome.decision is Decision.STOPPED


def test_function_that_raises_leaves_a_failed_tick_and_the_next_delivery_is_evaluated() -> None:
    failing = [True]

    @event_sensor(job=invoice)
    def flaky() -> RunRequest:
        if failing.pop():
            raise ValueError("not now")
        return RunRequest()

    instance = TreadleInstance([flaky])
    failing.insert(0, False)
    with pytest.raises(SensorEvaluationError, match="not now"):
        instance.send(EVENT)
    assert not instance.runs()

    instance.send(EVENT)

    assert len(instance.runs()) == 1


def test_direct_call_gets_the_event_and_takes_no_cursor() -> None:
    context = build_event_sensor_context(EVENT, sensor_name="placed")

    request = placed(context)

    assert request.run_config == {"order": "A-17"}
    assert placed.evaluate_tick(context).run_requests[0].run_key == EVENT.run_key


def test_context_of_another_one_keeps_its_instance() -> None:
    instance = TreadleInstance([placed])

    context = build_event_sensor_context(EVENT, context=build_sensor_context(instance=instance))

    assert context.instance is instance


def test_tick_without_an_event_evaluates_nothing() -> None:
    assert (
        placed.evaluate_tick(build_sensor_context()).skip_message
        == "Sensor placed evaluates events, not ticks."
    )
