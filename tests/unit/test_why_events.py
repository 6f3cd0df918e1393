"""`treadle why SENSOR --event ID`: what an event started, and what should have delivered it."""

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.support.engine import JOB, EngineHarness
from tests.support.s3_engine import SENSOR, S3Engine
from treadle import EventBridgeEvent, EventSensorDefinition, RunRequest, SkipReason
from treadle.definitions.errors import SensorEvaluationError
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.tick.evaluation import Budget
from treadle.model.health import Backlog, EventTrigger, HealthSnapshot, WebhookSecret
from treadle.operate import explain_events


@pytest.fixture
def engine(harness: EngineHarness) -> S3Engine:
    return S3Engine(harness)


def deliver(engine: S3Engine, event_id: str, result: Any) -> None:
    """Evaluate an event with a function that returns this, and launch what it requests."""

    def function() -> Any:
        if isinstance(result, Exception):
            raise result
        return result

    definition = EventSensorDefinition(SENSOR, evaluation_fn=function, job_name=JOB)
    events = engine.harness.events(definition, status=DefaultSensorStatus.RUNNING)
    time = datetime.fromtimestamp(engine.harness.clock.now() / 1000, UTC)
    event = EventBridgeEvent("shop", "Placed", {}, event_id, time, "123456789012", "us-east-1")
    try:
        events.evaluate(event, events.load_batch_state([event]), Budget())
    except SensorEvaluationError:
        return
    engine.dispatch()
    engine.launch()


def test_event_that_started_a_run_is_explained_from_its_tick_to_the_run(engine: S3Engine) -> None:
    deliver(engine, "e-1", RunRequest())
    deliver(engine, "e-2", SkipReason("later"))

    explanation = engine.why(event="e-1")

    run = engine.harness.only_run()
    assert run.run_id in explanation.summary
    assert [step.kind for step in explanation.steps][:3] == ["event", "tick", "dispatch"]


def test_event_of_which_only_the_end_of_the_id_is_given_is_another_one(engine: S3Engine) -> None:
    deliver(engine, "e-1", RunRequest())

    assert engine.why(event="1").summary.startswith("No event 1 was evaluated")


def test_event_for_which_nothing_was_requested_is_explained_by_the_reason(engine: S3Engine) -> None:
    deliver(engine, "e-1", SkipReason("It is not paid yet."))

    assert engine.why(event="e-1").summary == (
        "Its event was evaluated, but no run was requested: It is not paid yet."
    )


def test_event_whose_run_key_was_taken_is_explained_by_the_run_that_has_it(engine: S3Engine) -> None:
    deliver(engine, "e-1", RunRequest("A-17"))
    deliver(engine, "e-2", RunRequest("A-17"))

    assert engine.harness.only_run().run_id in engine.why(event="e-2").summary


def test_event_at_which_the_function_fails_is_explained_by_the_error_and_the_dead_letter(
    engine: S3Engine,
) -> None:
    deliver(engine, "e-1", ValueError("no such order"))

    assert (
        "ValueError: no such order. The event is delivered again automatically"
        in engine.why(event="e-1").summary
    )

    body = '{"id":"e-1","source":"shop","detail":{"name":"Ann"}}'
    engine.dead_letters.send(body, origin=f"sensor {SENSOR}", reason="ValueError: no such order")
    assert "treadle dlq redrive" in engine.why(event="e-1").summary


@pytest.mark.parametrize(
    ("snapshot", "reason"),
    [
        (
            HealthSnapshot(switches=(EventTrigger("rule", f"sensor {SENSOR}", "rule-1", is_on=False),)),
            "its rule rule-1 is disabled",
        ),
        (
            HealthSnapshot(backlogs=(Backlog(f"sensor {SENSOR}", "queue-1", 3),)),
            "3 messages wait in its queue queue-1",
        ),
        (HealthSnapshot(), "compare the event with the pattern of the sensor's rule"),
    ],
    ids=["rule", "queue", "pattern"],
)
def test_event_that_never_came_is_explained_by_what_delivers_it(
    engine: S3Engine, snapshot: HealthSnapshot, reason: str
) -> None:
    engine.health.found = snapshot

    summary = engine.why(event="e-1").summary

    assert summary.startswith("No event e-1 was evaluated")
    assert reason in summary


def test_event_that_never_came_to_a_stopped_sensor_is_explained_by_the_stop(engine: S3Engine) -> None:
    engine.operations().stop(SENSOR, "ann")

    assert "ann" in engine.why(event="e-1").summary


def test_search_that_was_not_complete_says_so(engine: S3Engine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(explain_events, "READ_AT_ONCE", 1)
    monkeypatch.setattr(explain_events, "MOST_READ", 2)
    for number in range(4):
        deliver(engine, f"e-{number}", SkipReason("no"))

    assert engine.why(event="e-0").summary.startswith("None of the last 2 ticks evaluated event e-0")
    assert "evaluated" in engine.why(event="e-3").summary


@pytest.mark.parametrize("is_new", [False, True])
def test_request_that_was_not_accepted_is_for_its_sender_to_send_again(
    engine: S3Engine, *, is_new: bool
) -> None:
    engine.kind = "webhook"
    if not is_new:
        deliver(engine, "d-1", ValueError("no such branch"))

    summary = engine.why(event="d-1").summary

    assert ("No request d-1 was evaluated. Ask its sender for the response" in summary) is is_new
    assert ("ValueError: no such branch. Its sender got a response of status 503" in summary) is not is_new


def test_request_without_its_secret_is_explained_by_that(engine: S3Engine) -> None:
    engine.kind = "webhook"
    engine.health.found = HealthSnapshot(secrets=(WebhookSecret(SENSOR, "a", "The secret a does not exist"),))

    assert (
        "the secret a does not exist, so no request to the sensor is accepted"
        in engine.why(event="d-1").summary
    )
