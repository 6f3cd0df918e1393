"""The state under a sensor's name belongs to one project: another one's sensor of the name does not inherit it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import JOB, RUN_IDS, EngineHarness, keyless, sensor_of
from tests.unit.test_event_ticks import watching
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import SensorEvaluationError
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.results import RunRequest, SensorResult, SkipReason
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.event_ticks import EventBatchState, tick_id_of
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.model.deployment import DeployedSensor
from treadle.model.sensors import SensorState
from treadle.operate.doctor import Doctor
from treadle.operate.findings import Severity
from treadle.operate.overview import Overview
from treadle.operate.problems import ProblemKind
from treadle.operate.sensors import SensorOperations
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.health import InMemoryHealth
from treadle.testing.system import InMemoryQueue

MINUTE = 60_000
REASON = (
    "Sensor watch was not evaluated: its state belongs to project shop, and its function to project lake. Rename the "
    "sensor, or take its state over: treadle sensor adopt watch."
)


def of(harness: EngineHarness, project: str) -> EngineHarness:
    """Return the same engine, as another project's functions use it."""
    return replace(harness, project=project)


def counting(context: SensorEvaluationContext) -> SensorResult:
    """Requests the next key."""
    number = int(context.cursor or 0)
    return SensorResult([RunRequest(f"k{number}")], cursor=str(number + 1))


def tick(harness: EngineHarness, project: str, function: Callable[..., Any] = counting) -> Outcome:
    """Return the present minute's tick of a project's sensor."""
    return of(harness, project).leased(sensor_of(function)).tick(harness.clock.now(), Budget())


def deliver(
    harness: EngineHarness, project: str, event: ObjectCreated, function: Callable[..., Any] = keyless
) -> Outcome:
    """Deliver an event to a project's sensor."""
    events = of(harness, project).events(watching(function))
    return events.evaluate(event, events.load_batch_state([event]), Budget())


def adopt(harness: EngineHarness, project: str, *, fresh: bool = False) -> SensorState:
    """Assign the state to a project, as an operator."""
    return SensorOperations(harness.sensors, harness.clock).adopt("watch", project, "ann", fresh=fresh)


def evaluates_nothing() -> None:
    pytest.fail("nothing is to be evaluated")


# ---- Scheduled ticks


def test_tick_on_another_projects_state_fails_and_changes_nothing_of_it(harness: EngineHarness) -> None:
    tick(harness, "shop")
    harness.clock.advance(60)
    before = harness.state()

    outcome = tick(harness, "lake", evaluates_nothing)

    _, refused = harness.tick_records()
    assert (outcome.decision, outcome.reason, outcome.subject) == (Decision.FAILURE, REASON, refused.tick_id)
    assert (refused.status, refused.time) == (TickStatus.FAILURE, harness.clock.now())
    assert refused.error is not None
    assert (refused.error.type, refused.error.message) == ("SensorOwnershipError", REASON)
    assert (harness.state(), harness.state().project) == (before, "shop")
    assert not harness.tables.runs


def test_deliveries_of_one_slot_fail_as_one_tick(harness: EngineHarness) -> None:
    tick(harness, "shop")
    harness.clock.time += 300_000 - harness.clock.time % 300_000
    ticks = of(harness, "lake").leased(sensor_of(evaluates_nothing), interval=300)

    subjects = {ticks.tick(harness.clock.now() + minute * MINUTE, Budget()).subject for minute in range(4)}

    assert len(subjects) == 1
    assert [each.status for each in harness.tick_records()] == [TickStatus.SUCCESS, TickStatus.FAILURE]


def test_tick_that_is_refused_keeps_the_owners_of_the_same_slot_from_nothing(harness: EngineHarness) -> None:
    """Both functions are deployed for a while."""

    def slow(context: SensorEvaluationContext) -> SensorResult:
        assert tick(harness, "lake", evaluates_nothing).decision is Decision.FAILURE
        return counting(context)

    assert tick(harness, "shop", slow).decision is Decision.SUCCESS

    assert harness.state().cursor == "1"
    assert [each.status for each in harness.tick_records()].count(TickStatus.FAILURE) == 1


def test_stopped_sensor_fails_no_ticks(harness: EngineHarness) -> None:
    """The one who moves it has stopped it."""
    tick(harness, "shop")
    SensorOperations(harness.sensors, harness.clock).stop("watch", "ann")
    harness.clock.advance(60)

    assert tick(harness, "lake", evaluates_nothing).decision is Decision.STOPPED
    assert len(harness.tick_records()) == 1


def test_tick_that_is_refused_sends_no_further_slots_ahead(harness: EngineHarness) -> None:
    tick(harness, "shop")
    harness.clock.advance(60)
    queue, harness.project = InMemoryQueue(), "lake"
    ticks = harness.leased(sensor_of(evaluates_nothing), interval=15, queue=queue)

    assert ticks.tick(harness.clock.now(), Budget(), sends_ahead=True).decision is Decision.FAILURE
    assert queue.messages == []


def test_state_without_project_is_the_first_ones_that_ticks(harness: EngineHarness) -> None:
    """It was stored before projects were recorded; nobody has to do anything."""
    tick(harness, "")
    assert harness.state().project is None
    harness.clock.advance(60)

    assert tick(harness, "shop").decision is Decision.SUCCESS

    harness.clock.advance(60)
    assert (harness.state().project, harness.state().cursor) == ("shop", "2")
    assert tick(harness, "lake", evaluates_nothing).decision is Decision.FAILURE


def test_project_that_was_deleted_and_deployed_again_continues(harness: EngineHarness) -> None:
    """Its stack has another id then, and the same name."""
    tick(harness, "shop")
    harness.clock.advance(60)

    assert tick(harness, "shop").decision is Decision.SUCCESS
    assert harness.state().cursor == "2"


def test_adopted_sensor_continues_with_cursor_and_run_keys(harness: EngineHarness) -> None:
    tick(harness, "shop")
    harness.clock.advance(60)
    tick(harness, "lake", evaluates_nothing)

    adopt(harness, "lake")

    assert tick(harness, "lake").decision is Decision.SUCCESS
    assert (harness.state().project, harness.state().cursor) == ("lake", "2")
    harness.clock.advance(60)
    assert (
        "its state belongs to project lake, and its function to project shop" in tick(harness, "shop").reason
    )


def test_sensor_that_is_adopted_fresh_begins_again_and_run_keys_stay_taken(harness: EngineHarness) -> None:
    """At most one run ever exists for a run key of a sensor (I1)."""
    tick(harness, "shop")
    harness.dispatcher().dispatch(harness.tick_records()[0])
    harness.clock.advance(60)
    seen: list[object] = []

    def observe(context: SensorEvaluationContext) -> SensorResult:
        seen.append((context.cursor, context.last_run_key, context.last_sensor_start_time))
        return SensorResult([RunRequest("k0"), RunRequest("k1")])

    adopt(harness, "lake", fresh=True)
    tick(harness, "lake", observe)

    last = harness.tick_records()[-1]
    assert seen == [(None, None, harness.clock.now() / 1000)]
    assert last.existing_keys == ("k0",)
    assert [run.run_id for run in last.requests] == [RUN_IDS.keyed("watch", "k1")]


def test_adoption_by_the_owner_changes_nothing_unless_it_is_to_begin_again(harness: EngineHarness) -> None:
    tick(harness, "shop")
    before = harness.state()

    assert adopt(harness, "shop") == before
    assert harness.sensors.edits("watch") == []
    assert (adopt(harness, "shop", fresh=True).cursor, harness.state().epoch) == (None, before.epoch + 1)


# ---- Events


def test_event_on_another_projects_state_fails_and_comes_again_until_it_is_adopted(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    harness.sensors.claim("watch", "shop")

    for _ in range(2):
        with pytest.raises(SensorEvaluationError, match="belongs to project shop") as failed:
            deliver(harness, "lake", created, evaluates_nothing)
        assert (failed.value.error_type, str(failed.value)) == ("SensorOwnershipError", REASON)
    [refused] = harness.tick_records()
    assert (refused.tick_id, refused.status, refused.attempts) == (tick_id_of(created), TickStatus.FAILURE, 2)
    assert refused.trigger == created.summary
    adopt(harness, "lake")

    assert deliver(harness, "lake", created).decision is Decision.SUCCESS
    [evaluated] = harness.tick_records()
    assert (evaluated.status, evaluated.attempts) == (TickStatus.SUCCESS, 3)


def test_first_events_make_the_state_their_projects_once(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    claims: list[str] = []

    class Counting:
        def claim(self, sensor: str, project: str) -> SensorState:
            claims.append(project)
            return harness.sensors.claim(sensor, project)

        def __getattr__(self, name: str) -> Any:
            return getattr(harness.sensors, name)

    sensors: Any = Counting()
    settings = TickSettings(0, DefaultSensorStatus.RUNNING, project="shop")
    events = harness.engine_with(sensors=sensors).sensor(watching(keyless), settings).events

    for _ in range(3):
        events.load_batch_state([created])

    assert (claims, harness.state().project, harness.state().epoch) == (["shop"], "shop", 0)


def test_event_that_the_owner_has_evaluated_is_a_second_delivery(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    deliver(harness, "shop", created)

    assert deliver(harness, "lake", created, evaluates_nothing).decision is Decision.DUPLICATE
    assert [each.status for each in harness.tick_records()] == [TickStatus.SUCCESS]


def test_event_that_the_owner_evaluates_meanwhile_keeps_its_tick(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    events = of(harness, "lake").events(watching(evaluates_nothing))
    harness.sensors.claim("watch", "shop")
    batch_state: EventBatchState = events.load_batch_state([created])
    deliver(harness, "shop", created)

    assert events.evaluate(created, batch_state, Budget()).decision is Decision.DUPLICATE
    assert [each.status for each in harness.tick_records()] == [TickStatus.SUCCESS]


def test_event_whose_state_is_adopted_during_a_slow_evaluation_commits_nothing(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    def slow() -> RunRequest:
        harness.clock.advance(5)
        adopt(harness, "lake")
        return RunRequest()

    with pytest.raises(
        SensorEvaluationError, match="belongs to project lake, and its function to project shop"
    ):
        deliver(harness, "shop", created, slow)

    [refused] = harness.tick_records()
    assert (refused.status, refused.requests) == (TickStatus.FAILURE, ())
    assert deliver(harness, "lake", created).decision is Decision.SUCCESS


def test_function_that_is_given_no_project_takes_and_claims_nothing(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    harness.sensors.claim("watch", "shop")

    assert deliver(harness, "", created).decision is Decision.SUCCESS
    assert tick(harness, "").decision is Decision.SUCCESS
    assert harness.state().project == "shop"


# ---- What operators see


GIVEN = {"TREADLE_PROJECT": "lake"}
"""The environment of its function."""


def overview(harness: EngineHarness, settings: Mapping[str, str] = GIVEN) -> Overview:
    def loads(event: Mapping[str, object]) -> Mapping[str, object]:
        return {"name": "watch"}

    running = DefaultSensorStatus.RUNNING
    sensor = DeployedSensor("watch", "schedule", "", (JOB,), running, 60, settings=settings, project="lake")
    deployment = InMemoryDeployment([sensor], {"watch": loads})
    return Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)


def test_sensor_on_another_projects_state_is_shown_with_what_to_do_and_nothing_else(
    harness: EngineHarness,
) -> None:
    def failing() -> SkipReason:
        raise ValueError

    tick(harness, "shop", failing)
    harness.clock.advance(3_600)

    [problem] = overview(harness).sensor("watch").problems

    assert problem.kind is ProblemKind.OWNERSHIP
    assert problem.message == (
        "Its state belongs to project shop, and it is registered by project lake: its ticks fail, and nothing is "
        "evaluated."
    )
    assert problem.advice == (
        "Rename the sensor, or take its state over: treadle sensor adopt watch, with --fresh without its cursor."
    )
    adopt(harness, "lake")
    assert ProblemKind.OWNERSHIP not in {each.kind for each in overview(harness).sensor("watch").problems}


def test_sensor_whose_function_is_given_no_project_is_shown_to_tick_on_the_others_state(
    harness: EngineHarness,
) -> None:
    """And so is what else is wrong with it: its own ticks have left that."""
    tick(harness, "shop")
    harness.clock.advance(3_600)

    problem, late = overview(harness, {}).sensor("watch").problems

    assert (problem.kind, late.kind) == (ProblemKind.OWNERSHIP, ProblemKind.LATE)
    assert problem.message.endswith(": it ticks on that state, as its function has no TREADLE_PROJECT.")


def test_stopped_sensor_on_another_projects_state_is_shown_before_it_is_started(
    harness: EngineHarness,
) -> None:
    tick(harness, "shop")
    SensorOperations(harness.sensors, harness.clock).stop("watch", "ann")

    assert [each.kind for each in overview(harness).sensor("watch").problems] == [ProblemKind.OWNERSHIP]


def test_doctor_reports_a_sensor_on_another_projects_state(harness: EngineHarness) -> None:
    tick(harness, "shop")
    observe = overview(harness)
    doctor = Doctor(
        observe._deployment, InMemoryHealth(), observe, harness.ticks, harness.runs, harness.clock
    )

    [found] = [each for each in doctor.examine() if each.severity is Severity.PROBLEM]

    assert (found.check, found.subject) == ("sensors", "sensor watch")
    assert "treadle sensor adopt watch" in found.advice
