"""`treadle why`: the explanation of an object, a key, a run or a time, and its summary."""

from dataclasses import replace

import pytest

from tests.support.engine import JOB, RUN_IDS, EngineHarness
from tests.support.s3_engine import BUCKET, INTERVAL, SENSOR, S3Engine
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    CommandRefusedError,
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchRejectedError,
)
from treadle.definitions.results import RunRequest, SkipReason
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.dispatch.dispatcher import Limits
from treadle.engine.identity import event_tick_id, timestamp
from treadle.integrations.s3 import FileCount, StartFrom
from treadle.model.health import Backlog, EventTrigger, HealthSnapshot
from treadle.model.runs import Claim, Failure, PendingStart
from treadle.model.ticks import Tick, TickKind
from treadle.operate import explain_objects
from treadle.operate.explanation import Explanation
from treadle.operate.runs import RunOperations

LOCATION = f"s3://{BUCKET}/in/a.csv"
ANN = "arn:aws:iam::123456789012:user/ann"


@pytest.fixture
def s3_engine(harness: EngineHarness) -> S3Engine:
    return S3Engine(harness)


def kinds(explanation: Explanation) -> list[str]:
    return [step.kind for step in explanation.steps]


def stopped_at(explanation: Explanation) -> str:
    """Return the last step of the explanation."""
    return [step for step in explanation.steps if not step.ok][-1].kind


def failing(stored: object) -> RunRequest:
    msg = "no such column"
    raise ValueError(msg)


def without_its_resource(context: SensorEvaluationContext) -> RunRequest:
    """What fails for all objects, and not for a single one."""
    context.resources.database  # noqa: B018
    return RunRequest()


# ---- What ran


def test_object_that_ran_is_explained_from_its_event_to_its_end(s3_engine: S3Engine) -> None:
    tick = s3_engine.arrive()
    run = s3_engine.harness.only_run()
    s3_engine.harness.clock.advance(5)
    s3_engine.harness.recorder().record(s3_engine.harness.change(run, Status.SUCCESS))

    explanation = s3_engine.why_object()

    run = s3_engine.harness.only_run()
    assert explanation.summary == f"Run {run.run_id} succeeded at {timestamp(run.ended_at or 0)}."
    assert kinds(explanation) == ["object", "event", "tick", "dispatch", "launch", *["status"] * 4]
    assert tick.tick_id in explanation.steps[2].detail
    assert explanation.steps[4].detail == f"attempt 1 is {run.external_id}"
    assert all(step.ok for step in explanation.steps)
    times = [step.at for step in explanation.steps if step.at is not None]
    assert times == sorted(times)


def test_key_run_and_object_have_the_same_explanation(s3_engine: S3Engine) -> None:
    s3_engine.arrive()
    run = s3_engine.harness.only_run()

    by_object = s3_engine.why_object()

    assert s3_engine.why(run_key=run.run_key).summary == by_object.summary
    assert s3_engine.why(run_id=run.run_id).steps == by_object.steps[1:]
    assert "is STARTED since" in by_object.summary


def test_object_that_a_sweep_found_has_its_run_explained_by_that_tick(s3_engine: S3Engine) -> None:
    s3_engine.put()
    s3_engine.sweep()
    s3_engine.dispatch()
    s3_engine.launch()

    explanation = s3_engine.why_object()

    run = s3_engine.harness.only_run()
    assert f"Run {run.run_id} is STARTED" in explanation.summary
    assert run.tick_id in explanation.steps[1].detail


def test_failed_run_is_reported_with_the_targets_message(s3_engine: S3Engine) -> None:
    s3_engine.arrive()
    run = s3_engine.harness.only_run()
    failure = Failure("States.TaskFailed", "line 3 has no population")
    s3_engine.harness.recorder().record(s3_engine.harness.change(run, Status.FAILURE, failure=failure))

    explanation = s3_engine.why_object()

    assert "failed at" in explanation.summary
    assert "States.TaskFailed: line 3 has no population." in explanation.summary
    assert stopped_at(explanation) == "status"


# ---- A key that is taken


def test_same_content_again_is_reported_with_the_run_that_holds_its_key(s3_engine: S3Engine) -> None:
    first = s3_engine.arrive()
    s3_engine.harness.clock.advance(3_600)
    again = s3_engine.arrive()

    explanation = s3_engine.why_object()

    run = s3_engine.harness.only_run()
    assert explanation.summary.startswith(
        f"No new run: tick {again.tick_id} requested run key {run.run_key!r}, which has belonged to run {run.run_id} since "
        f"{timestamp(run.created_at)}; tick {first.tick_id} requested that run."
    )
    assert stopped_at(explanation) == "request"


def test_key_that_two_events_at_once_requested_is_reported_by_the_one_that_lost(s3_engine: S3Engine) -> None:
    """Both are committed before either is dispatched, so that DISPATCH finds the key taken."""
    first = s3_engine.put()
    s3_engine.evaluate_event(first)
    s3_engine.harness.clock.advance(1)
    s3_engine.evaluate_event(
        replace(first, sequencer="FF", time=first.time.replace(second=first.time.second + 1))
    )
    s3_engine.dispatch()

    assert s3_engine.why_object().summary.startswith("No new run: tick ")


def test_released_key_waits_for_the_next_request(s3_engine: S3Engine) -> None:
    s3_engine.arrive()
    run = s3_engine.harness.only_run()
    s3_engine.harness.recorder().record(s3_engine.harness.change(run, Status.FAILURE))
    s3_engine.harness.clock.advance(60)
    targets = {"step_functions": s3_engine.harness.target}
    operations = RunOperations(
        s3_engine.harness.runs,
        s3_engine.harness.sensors,
        s3_engine.harness.launches,
        s3_engine.harness.jobs,
        targets,
        RUN_IDS,
        s3_engine.harness.clock,
    )
    operations.release(SENSOR, str(run.run_key), ANN)

    explanation = s3_engine.why_object()

    at = timestamp(s3_engine.harness.clock.now())
    released = (
        f"Its run key was released by {ANN} at {at}: the next request for its run key starts attempt 2."
    )
    assert explanation.summary.endswith(released)
    assert "allowance" in kinds(explanation)


# ---- A sensor that does not evaluate


def test_stopped_sensor_is_reported_with_who_stopped_it_and_since_when(s3_engine: S3Engine) -> None:
    s3_engine.operations().stop(SENSOR, ANN)
    since = timestamp(s3_engine.harness.clock.now())
    s3_engine.harness.clock.advance(60)
    s3_engine.evaluate_event(s3_engine.put())

    explanation = s3_engine.why_object()

    assert f"sensor {SENSOR} is stopped since {since}, by {ANN}" in explanation.summary
    assert f"treadle sensor start {SENSOR}" in explanation.summary
    assert stopped_at(explanation) == "sensor"


def test_sensor_that_its_block_stops_is_explained(s3_engine: S3Engine) -> None:
    s3_engine.default_status = DefaultSensorStatus.STOPPED
    s3_engine.evaluate_event(s3_engine.put())

    assert "as its block of template.yaml or its code declares" in s3_engine.why_object().summary


def test_object_that_came_before_the_start_is_found_by_the_sweep(s3_engine: S3Engine) -> None:
    s3_engine.default_status = DefaultSensorStatus.STOPPED
    s3_engine.evaluate_event(s3_engine.put())
    s3_engine.harness.clock.advance(60)
    s3_engine.operations().start(SENSOR, s3_engine.default_status, ANN)
    started = timestamp(s3_engine.harness.clock.now())

    explanation = s3_engine.why_object()

    assert (
        f"the sensor was not started until {started}, by {ANN}, and a stopped sensor drops its events."
        in explanation.summary
    )
    assert "The sweep will find it" in explanation.summary


def test_paused_sensor_is_reported_with_why(s3_engine: S3Engine) -> None:
    s3_engine.function = without_its_resource
    s3_engine.put()
    s3_engine.sweep(pause_after=1)

    explanation = s3_engine.why(run_key="k")

    assert f"sensor {SENSOR} is paused: Paused after 1 failures in a row" in explanation.summary
    assert "Resource with key 'database'" in explanation.summary


# ---- An object that does not count


@pytest.mark.parametrize("key", ["in/a.txt", "out/a.csv", "in.csv"])
def test_object_outside_the_selection_is_explained_by_what_is_watched(s3_engine: S3Engine, key: str) -> None:
    s3_engine.put(key)

    explanation = s3_engine.why_object(key)

    assert explanation.summary == (
        f"Sensor {SENSOR} does not watch s3://{BUCKET}/{key}; it watches s3://{BUCKET}/in/*.csv."
    )
    assert stopped_at(explanation) == "sensor"


def test_object_that_is_still_being_rewritten_waits_until_it_has_settled(s3_engine: S3Engine) -> None:
    s3_engine.selection = replace(s3_engine.selection, settle_seconds=600)
    s3_engine.evaluate_event(s3_engine.put())
    s3_engine.harness.clock.advance(100)

    summary = s3_engine.why_object().summary

    assert f"{LOCATION} must be unchanged for 600 s; checked again in 500 s." in summary


def test_group_that_is_not_complete_is_explained_by_how_many_files_it_lacks(s3_engine: S3Engine) -> None:
    s3_engine.selection = replace(s3_engine.selection, complete_when=FileCount(3))
    s3_engine.evaluate_event(s3_engine.put())

    assert f"s3://{BUCKET}/in/ holds 1 of 3 files." in s3_engine.why_object().summary


@pytest.mark.parametrize(("passed", "waits"), [(100, True), (601, False)])
def test_any_file_of_a_group_waits_for_the_newest_one_to_settle(
    s3_engine: S3Engine, passed: float, waits: bool
) -> None:
    s3_engine.selection = replace(s3_engine.selection, complete_when=FileCount(2), settle_seconds=600)
    s3_engine.put()
    s3_engine.harness.clock.advance(700)
    s3_engine.put("in/b.csv")
    s3_engine.harness.clock.advance(passed)

    summary = s3_engine.why_object().summary

    assert (f"s3://{BUCKET}/in/b.csv must be unchanged for 600 s" in summary) == waits
    assert "written again" not in summary
    assert ("The sweep will find it: it continues at" in summary) == (not waits)


def test_object_that_was_there_before_the_first_enable_does_not_count(s3_engine: S3Engine) -> None:
    s3_engine.selection = replace(s3_engine.selection, start_from=StartFrom.NOW)
    s3_engine.put()
    s3_engine.sweep()

    summary = s3_engine.why_object().summary

    assert f"it was stored before {timestamp(s3_engine.harness.clock.now())}" in summary
    assert "start_from is now" in summary


def test_function_that_requests_nothing_is_reported_with_its_reason(s3_engine: S3Engine) -> None:
    s3_engine.function = lambda stored: SkipReason("empty file")
    s3_engine.evaluate_event(s3_engine.put())

    explanation = s3_engine.why_object()

    assert explanation.summary == "Its event was evaluated, but no run was requested: empty file."
    assert stopped_at(explanation) == "tick"


def test_object_that_is_gone_and_was_never_reported_is_explained(s3_engine: S3Engine) -> None:
    assert s3_engine.why_object().summary.endswith("the object does not exist (any longer).")


def test_object_that_is_gone_has_its_run_explained(s3_engine: S3Engine) -> None:
    s3_engine.arrive()
    s3_engine.objects.delete(BUCKET, "in/a.csv")

    assert f"Run {s3_engine.harness.only_run().run_id} is STARTED" in s3_engine.why_object().summary


# ---- A function that fails


def test_failing_function_is_reported_with_its_error_and_how_often(s3_engine: S3Engine) -> None:
    s3_engine.function = failing
    event = s3_engine.put()
    s3_engine.evaluate_event(event)
    s3_engine.harness.clock.advance(30)
    s3_engine.evaluate_event(event)

    explanation = s3_engine.why_object()

    at = timestamp(s3_engine.harness.clock.now())
    assert explanation.summary == (
        f"The function of sensor {SENSOR} failed on its event, 2 times, the last time at {at}: "
        "ValueError: no such column. The event is delivered again automatically, five times in all."
    )
    assert stopped_at(explanation) == "tick"


def test_event_that_was_given_up_is_reported_as_a_dead_letter(s3_engine: S3Engine) -> None:
    s3_engine.function = failing
    s3_engine.evaluate_event(s3_engine.put())
    body = '{"detail":{"bucket":{"name":"landing"},"object":{"key":"in/a.csv"}}}'
    s3_engine.dead_letters.send(body, origin=f"sensor {SENSOR}", reason="ValueError: no such column")

    explanation = s3_engine.why_object()

    assert (
        f"It is a dead letter of sensor {SENSOR}: ValueError: no such column. Fix the cause, then: treadle dlq redrive"
        in explanation.summary
    )
    assert stopped_at(explanation) == "dead letter"


def test_sweep_that_fails_in_a_row_is_reported_with_its_streak_and_until_when_it_is_held_up(
    s3_engine: S3Engine,
) -> None:
    s3_engine.function = without_its_resource
    s3_engine.put()
    for _ in range(3):
        s3_engine.sweep()

    summary = s3_engine.why_object().summary

    held = timestamp(s3_engine.harness.state(SENSOR).resume_at or 0)
    assert f"the last 3 ticks of sensor {SENSOR} failed, in backoff until {held}: " in summary


def test_error_of_a_failing_sweep_is_reported_behind_any_number_of_events(s3_engine: S3Engine) -> None:
    s3_engine.function = without_its_resource
    s3_engine.put()
    s3_engine.sweep()
    [failed] = [tick for tick in s3_engine.harness.tables.ticks.values() if tick.kind is TickKind.LEASED]
    for number in range(1_100):
        later = failed.time + 60_000 + number
        tick = replace(failed, tick_id=event_tick_id(later, (str(number),)), kind=TickKind.EVENT, error=None)
        s3_engine.harness.tables.ticks[SENSOR, tick.tick_id] = replace(
            tick, status=TickStatus.SUCCESS, time=later
        )

    assert f"the last tick of sensor {SENSOR} failed" in s3_engine.why_object().summary
    assert "was not provided" in s3_engine.why_object().summary


def test_more_events_than_can_be_checked_are_reported_as_such(
    s3_engine: S3Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(explain_objects, "MOST_READ", 200)
    s3_engine.put()
    stored = s3_engine.harness.clock.now()
    for number in range(300):
        tick_id = event_tick_id(stored + number, (str(number),))
        tick = Tick(
            SENSOR, tick_id, TickKind.EVENT, TickStatus.SKIPPED, stored, stored, stored, trigger="other"
        )
        s3_engine.harness.tables.ticks[SENSOR, tick_id] = tick

    summary = s3_engine.why_object().summary

    assert summary.startswith("None of the 200 ticks that were searched evaluated an event of")


def test_object_at_which_the_function_fails_in_a_sweep_is_reported_as_rejected(s3_engine: S3Engine) -> None:
    s3_engine.function = failing
    s3_engine.put()
    s3_engine.sweep()

    assert "ValueError: no such column" in s3_engine.why_object().summary


# ---- An event that never came


def test_event_that_never_came_is_reported_by_the_rule_that_is_off_and_the_sweep_that_finds_it(
    s3_engine: S3Engine,
) -> None:
    s3_engine.sweep()
    s3_engine.harness.clock.advance(10)
    s3_engine.put()
    s3_engine.health.found = HealthSnapshot(
        switches=(EventTrigger("rule", f"sensor {SENSOR}", "rule-1", is_on=False),)
    )

    explanation = s3_engine.why_object()

    due = timestamp(s3_engine.harness.clock.now() - 10_000 + INTERVAL * 1000)
    assert explanation.summary == (
        f"No event of {LOCATION} was evaluated, and no sweep has requested a run for it: "
        "its rule rule-1 is disabled, so it receives no events (aws events enable-rule --name rule-1). "
        f"The sweep will find it: it continues at {due}."
    )
    assert stopped_at(explanation) == "rules"


def test_event_that_never_came_is_reported_by_the_bucket_that_sends_none(s3_engine: S3Engine) -> None:
    s3_engine.put()
    s3_engine.objects.sends_events = False

    explanation = s3_engine.why_object()

    assert f"bucket {BUCKET} sends no events to EventBridge" in explanation.summary
    assert "put-bucket-notification-configuration" in explanation.summary


def test_event_that_never_came_may_wait_in_the_sensors_queue(s3_engine: S3Engine) -> None:
    s3_engine.put()
    s3_engine.health.found = HealthSnapshot(
        backlogs=(Backlog(f"sensor {SENSOR}", "q", 12, oldest_seconds=20),)
    )

    assert "12 messages wait in its queue q; the event may be one of them." in s3_engine.why_object().summary


def test_event_that_never_came_although_all_is_in_order_is_reported_when_the_sweep_comes(
    s3_engine: S3Engine,
) -> None:
    s3_engine.put()

    summary = s3_engine.why_object().summary

    assert "; the delivery of its events is in order. The sweep will find it: it continues at" in summary


def test_key_that_the_present_round_has_passed_is_found_by_the_round_after_it(s3_engine: S3Engine) -> None:
    s3_engine.objects.page_size = 1
    for name in ("b", "c"):
        s3_engine.put(f"in/{name}.csv")
    s3_engine.sweep()
    state = s3_engine.harness.state(SENSOR)
    cursor = (state.cursor or "").replace('"position":""', '"position":"in/b.csv"')
    s3_engine.harness.tables.sensors[SENSOR] = replace(state, cursor=cursor)
    s3_engine.harness.clock.advance(1)
    s3_engine.put()

    assert (
        "The current round of the sweep has passed its key; the next round finds it."
        in s3_engine.why_object().summary
    )


# ---- From tick to run


def test_committed_tick_that_was_not_dispatched_waits(s3_engine: S3Engine) -> None:
    s3_engine.evaluate_event(s3_engine.put())

    explanation = s3_engine.why_object()

    assert "has waited for DISPATCH since" in explanation.summary
    assert "RECONCILE dispatches it after" in explanation.summary


def test_request_that_the_fuse_holds_back_waits_for_the_next_hour(s3_engine: S3Engine) -> None:
    s3_engine.evaluate_event(s3_engine.put("in/first.csv", b"first"))
    s3_engine.dispatch(Limits(runs_per_hour=1))
    s3_engine.evaluate_event(s3_engine.put())
    s3_engine.dispatch(Limits(runs_per_hour=1))

    explanation = s3_engine.why_object()

    assert "waits: 1 of 1 requests wait for the next hour" in explanation.summary
    assert "RunsPerHour" in explanation.summary


def test_request_for_a_job_that_is_not_granted_is_reported_with_the_parameter(s3_engine: S3Engine) -> None:
    s3_engine.jobs = ("another",)
    s3_engine.evaluate_event(s3_engine.put())
    s3_engine.dispatch()

    explanation = s3_engine.why_object()

    assert (
        "waits: 1 of 1 requests are held: sensor watch may not start job 'process_file'"
        in explanation.summary
    )
    assert "Add it to the jobs of its registry entry in template.yaml and deploy" in explanation.summary


def test_tick_that_is_a_dead_letter_is_reported_as_one(s3_engine: S3Engine) -> None:
    s3_engine.evaluate_event(s3_engine.put())
    tick_id = s3_engine.harness.tick_records(SENSOR)[-1].tick_id
    body = f'{{"keys":{{"sensor":"{SENSOR}","tick_id":"{tick_id}"}}}}'
    s3_engine.dead_letters.send(body, origin="dispatch", reason="StoreError: no answer")

    assert "It is a dead letter of dispatch: StoreError: no answer." in s3_engine.why_object().summary


# ---- From run to target


def test_run_whose_message_nobody_has_received_waits_in_the_queue(s3_engine: S3Engine) -> None:
    s3_engine.evaluate_event(s3_engine.put())
    s3_engine.dispatch()

    summary = s3_engine.why_object().summary

    run = s3_engine.harness.only_run()
    assert summary == (
        f"Attempt 1 of run {run.run_id} has waited in LAUNCH's queue since {timestamp(run.created_at)}; "
        f"RECONCILE checks it at {timestamp(run.next_at or 0)}."
    )


def test_throttled_target_is_reported_with_its_message_and_the_next_try(s3_engine: S3Engine) -> None:
    s3_engine.harness.target.refusals = iter([LaunchDelayedError("Rate exceeded")])
    s3_engine.arrive()

    explanation = s3_engine.why_object()

    delayed = s3_engine.harness.only_run().delayed
    assert delayed is not None
    assert (
        f"waits for its target, it will be tried again at {timestamp(delayed.until)}: Rate exceeded."
        in explanation.summary
    )
    assert stopped_at(explanation) == "launch"
    s3_engine.harness.clock.advance(1_000)
    assert f"it was due to be tried again at {timestamp(delayed.until)}" in s3_engine.why_object().summary


def test_denied_start_is_reported_with_how_long_it_is_tried(s3_engine: S3Engine) -> None:
    s3_engine.harness.target.refusals = iter(
        [LaunchDeniedError("not authorized to perform states:StartExecution")]
    )
    s3_engine.arrive()

    summary = s3_engine.why_object().summary

    assert "not authorized to perform states:StartExecution." in summary
    assert summary.endswith("if access is denied for 5 minutes, the attempt ends with FAILURE.")


def test_start_that_the_target_rejects_is_reported_with_its_message(s3_engine: S3Engine) -> None:
    s3_engine.harness.target.refusals = iter([LaunchRejectedError("StateMachineDoesNotExist: gone")])
    s3_engine.arrive()

    summary = s3_engine.why_object().summary

    run = s3_engine.harness.only_run()
    assert summary.startswith(
        f"Run {run.run_id} could not be started: LaunchRejectedError: StateMachineDoesNotExist: gone."
    )
    assert summary.endswith("so a changed request may reuse its run key.")


def test_claim_is_reported_with_who_owns_it_and_until_when(s3_engine: S3Engine) -> None:
    s3_engine.evaluate_event(s3_engine.put())
    s3_engine.dispatch()
    run = s3_engine.harness.only_run()
    now = s3_engine.harness.clock.now()
    claim = Claim("owner-12345678", now + 90_000)
    s3_engine.harness.runs.claim(run.run_id, JOB, 1, claim, PendingStart(claim.token, now, "arn"))

    explanation = s3_engine.why_object()

    until = timestamp(now + 90_000)
    assert (
        f"The launch 12345678 is starting attempt 1 of run {run.run_id}, which it owns until {until}"
        in explanation.summary
    )
    assert "claim" in kinds(explanation)
    s3_engine.harness.clock.advance(100)
    assert "The launch 12345678, which owned attempt 1" in s3_engine.why_object().summary


# ---- A key, a moment


def test_key_that_was_never_requested_is_reported_with_what_the_sensor_did_last(s3_engine: S3Engine) -> None:
    s3_engine.sweep()

    summary = s3_engine.why(run_key="never").summary

    assert summary.startswith(
        "No tick of sensor watch requested run key 'never', and no run has it; the last one"
    )
    assert "The next tick is due at" in summary


def test_key_of_an_object_that_was_rejected_is_explained(s3_engine: S3Engine) -> None:
    def picky(context: SensorEvaluationContext, stored: object) -> RunRequest:
        if getattr(stored, "key", "") == "in/a.csv":
            raise ValueError("bad name")
        return RunRequest()

    s3_engine.function = picky
    s3_engine.put()
    s3_engine.put("in/b.csv")
    s3_engine.sweep()

    explanation = s3_engine.why_object()

    assert "rejected its request" in explanation.summary
    assert "ValueError: bad name" in explanation.summary


def test_moment_of_a_skip_is_reported_with_the_streak(s3_engine: S3Engine) -> None:
    for _ in range(3):
        s3_engine.sweep()

    explanation = s3_engine.why(at=s3_engine.harness.clock.now())

    assert "3 ticks, from " in explanation.summary
    assert "objects listed" in explanation.summary


def test_moment_of_a_tick_is_reported_with_what_came_of_it(s3_engine: S3Engine) -> None:
    tick = s3_engine.arrive()

    explanation = s3_engine.why(at=s3_engine.harness.clock.now() + 1_000)

    assert (
        explanation.summary == f"Tick {tick.tick_id} requested 1 run: 1 run, 0 keys taken already, 0 refused."
    )


@pytest.mark.parametrize(
    ("seconds_later", "expected"), [(0, "requested 1 run"), (59, "requested 1 run"), (60, "were skipped")]
)
def test_moment_of_an_event_tick_between_skipped_sweeps_is_reported_by_the_event_tick(
    s3_engine: S3Engine, seconds_later: int, expected: str
) -> None:
    s3_engine.sweep()
    s3_engine.sweep()
    tick = s3_engine.arrive()
    s3_engine.sweep()
    s3_engine.sweep()
    status = s3_engine.harness.stores.sensors.get(SENSOR)
    assert status.skips is not None
    assert status.skips.first_at < tick.time < status.skips.last_at

    summary = s3_engine.why(at=tick.time + seconds_later * 1_000).summary

    assert expected in summary


def test_moment_at_which_the_sensor_was_stopped_is_reported_with_who_did_it(s3_engine: S3Engine) -> None:
    s3_engine.sweep()
    s3_engine.harness.clock.advance(1)
    s3_engine.operations().stop(SENSOR, ANN)
    stopped = timestamp(s3_engine.harness.clock.now())
    s3_engine.harness.clock.advance(3_600)
    at = s3_engine.harness.clock.now() - 1
    s3_engine.operations().start(SENSOR, s3_engine.default_status, ANN)

    summary = s3_engine.why(at=at).summary

    assert f"It had been stopped by {ANN} at {stopped}." in summary


def test_moment_long_after_the_last_tick_is_reported_as_a_gap(s3_engine: S3Engine) -> None:
    tick = s3_engine.arrive()
    s3_engine.harness.clock.advance(86_400)

    summary = s3_engine.why(at=s3_engine.harness.clock.now()).summary

    assert summary.startswith(f"No tick of sensor {SENSOR} is recorded for")
    assert f"the previous one is {tick.tick_id} (SUCCESS)" in summary


def test_run_that_was_recorded_after_its_sensor_was_stopped_has_the_stop_in_its_explanation(
    s3_engine: S3Engine,
) -> None:
    s3_engine.evaluate_event(s3_engine.put())
    s3_engine.operations().stop(SENSOR, ANN)
    s3_engine.harness.clock.advance(4)
    s3_engine.dispatch()

    explanation = s3_engine.why(run_id=s3_engine.harness.only_run().run_id)

    [stop] = [step for step in explanation.steps if step.kind == "sensor"]
    assert stop.detail == f"stopped by {ANN}; this tick was already committed or being committed"


# ---- What cannot be explained


@pytest.mark.parametrize(
    ("subject", "message"),
    [
        ({"run_id": "none"}, "Run none does not exist."),
        ({"object": "landing/in/a.csv"}, "is not an object. Write it as s3://bucket/key."),
        ({}, "Nothing to explain"),
    ],
)
def test_question_without_a_subject_is_refused(
    s3_engine: S3Engine, subject: dict[str, str], message: str
) -> None:
    with pytest.raises(CommandRefusedError, match=message):
        s3_engine.why(**subject)


def test_run_of_another_sensor_is_refused_with_whose_it_is(s3_engine: S3Engine) -> None:
    s3_engine.arrive()
    run = s3_engine.harness.only_run()
    s3_engine.harness.tables.runs[run.run_id] = replace(run, sensor="other")

    with pytest.raises(CommandRefusedError, match="was requested by sensor other, not by watch"):
        s3_engine.why(run_id=run.run_id)


def test_moment_outside_the_hours_of_a_sensor_is_explained_by_them(s3_engine: S3Engine) -> None:
    s3_engine.settings = {"TREADLE_HOURS": "06:00-08:00 UTC"}
    s3_engine.sweep()
    s3_engine.sweep()
    at = s3_engine.harness.clock.now() + 15 * 3_600_000

    explanation = s3_engine.why(at=at)

    assert explanation.summary == (
        f"Sensor watch is not evaluated at {timestamp(at)}: it is outside its hours, 06:00-08:00 UTC."
    )
    assert stopped_at(explanation) == "sensor"


def test_key_that_was_not_requested_is_explained_by_when_the_hours_begin(s3_engine: S3Engine) -> None:
    s3_engine.settings = {"TREADLE_HOURS": "06:00-08:00 UTC"}

    summary = s3_engine.why(run_key="never").summary

    assert "It is outside its hours until " in summary
    assert summary.endswith("T06:00:00.000Z.")
