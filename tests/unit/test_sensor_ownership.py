"""The state under a sensor's name belongs to one project: another one's sensor of the name does not inherit it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.house import JOB, RUN_IDS, House, keyless, sensor_of
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


def of(house: House, project: str) -> House:
    """Return the same engine, as another project's functions use it."""
    return replace(house, project=project)


def counting(context: SensorEvaluationContext) -> SensorResult:
    """Requests the next key."""
    number = int(context.cursor or 0)
    return SensorResult([RunRequest(f"k{number}")], cursor=str(number + 1))


def tick(house: House, project: str, function: Callable[..., Any] = counting) -> Outcome:
    """Return the present minute's tick of a project's sensor."""
    return of(house, project).leased(sensor_of(function)).tick(house.clock.now(), Budget())


def deliver(
    house: House, project: str, event: ObjectCreated, function: Callable[..., Any] = keyless
) -> Outcome:
    """Deliver an event to a project's sensor."""
    events = of(house, project).events(watching(function))
    return events.evaluate(event, events.load_batch_state([event]), Budget())


def adopt(house: House, project: str, *, fresh: bool = False) -> SensorState:
    """Assign the state to a project, as an operator."""
    return SensorOperations(house.sensors, house.clock).adopt("watch", project, "ann", fresh=fresh)


def evaluates_nothing() -> None:
    pytest.fail("nothing is to be evaluated")


# ---- Scheduled ticks


def test_tick_on_another_projects_state_fails_and_changes_nothing_of_it(house: House) -> None:
    tick(house, "shop")
    house.clock.advance(60)
    before = house.state()

    outcome = tick(house, "lake", evaluates_nothing)

    _, refused = house.tick_records()
    assert (outcome.decision, outcome.reason, outcome.subject) == (Decision.FAILURE, REASON, refused.tick_id)
    assert (refused.status, refused.time) == (TickStatus.FAILURE, house.clock.now())
    assert refused.error is not None
    assert (refused.error.type, refused.error.message) == ("SensorOwnershipError", REASON)
    assert (house.state(), house.state().project) == (before, "shop")
    assert not house.tables.runs


def test_deliveries_of_one_slot_fail_as_one_tick(house: House) -> None:
    tick(house, "shop")
    house.clock.time += 300_000 - house.clock.time % 300_000
    ticks = of(house, "lake").leased(sensor_of(evaluates_nothing), interval=300)

    subjects = {ticks.tick(house.clock.now() + minute * MINUTE, Budget()).subject for minute in range(4)}

    assert len(subjects) == 1
    assert [each.status for each in house.tick_records()] == [TickStatus.SUCCESS, TickStatus.FAILURE]


def test_tick_that_is_refused_keeps_the_owners_of_the_same_slot_from_nothing(house: House) -> None:
    """Both functions are deployed for a while."""

    def slow(context: SensorEvaluationContext) -> SensorResult:
        assert tick(house, "lake", evaluates_nothing).decision is Decision.FAILURE
        return counting(context)

    assert tick(house, "shop", slow).decision is Decision.SUCCESS

    assert house.state().cursor == "1"
    assert [each.status for each in house.tick_records()].count(TickStatus.FAILURE) == 1


def test_stopped_sensor_fails_no_ticks(house: House) -> None:
    """The one who moves it has stopped it."""
    tick(house, "shop")
    SensorOperations(house.sensors, house.clock).stop("watch", "ann")
    house.clock.advance(60)

    assert tick(house, "lake", evaluates_nothing).decision is Decision.STOPPED
    assert len(house.tick_records()) == 1


def test_tick_that_is_refused_sends_no_further_slots_ahead(house: House) -> None:
    tick(house, "shop")
    house.clock.advance(60)
    queue, house.project = InMemoryQueue(), "lake"
    ticks = house.leased(sensor_of(evaluates_nothing), interval=15, queue=queue)

    assert ticks.tick(house.clock.now(), Budget(), sends_ahead=True).decision is Decision.FAILURE
    assert queue.messages == []


def test_state_without_project_is_the_first_ones_that_ticks(house: House) -> None:
    """It was stored before projects were recorded; nobody has to do anything."""
    tick(house, "")
    assert house.state().project is None
    house.clock.advance(60)

    assert tick(house, "shop").decision is Decision.SUCCESS

    house.clock.advance(60)
    assert (house.state().project, house.state().cursor) == ("shop", "2")
    assert tick(house, "lake", evaluates_nothing).decision is Decision.FAILURE


def test_project_that_was_deleted_and_deployed_again_continues(house: House) -> None:
    """Its stack has another id then, and the same name."""
    tick(house, "shop")
    house.clock.advance(60)

    assert tick(house, "shop").decision is Decision.SUCCESS
    assert house.state().cursor == "2"


def test_adopted_sensor_continues_with_cursor_and_run_keys(house: House) -> None:
    tick(house, "shop")
    house.clock.advance(60)
    tick(house, "lake", evaluates_nothing)

    adopt(house, "lake")

    assert tick(house, "lake").decision is Decision.SUCCESS
    assert (house.state().project, house.state().cursor) == ("lake", "2")
    house.clock.advance(60)
    assert "its state belongs to project lake, and its function to project shop" in tick(house, "shop").reason


def test_sensor_that_is_adopted_fresh_begins_again_and_run_keys_stay_taken(house: House) -> None:
    """At most one run ever exists for a run key of a sensor (I1)."""
    tick(house, "shop")
    house.dispatcher().dispatch(house.tick_records()[0])
    house.clock.advance(60)
    seen: list[object] = []

    def observe(context: SensorEvaluationContext) -> SensorResult:
        seen.append((context.cursor, context.last_run_key, context.last_sensor_start_time))
        return SensorResult([RunRequest("k0"), RunRequest("k1")])

    adopt(house, "lake", fresh=True)
    tick(house, "lake", observe)

    last = house.tick_records()[-1]
    assert seen == [(None, None, house.clock.now() / 1000)]
    assert last.existing_keys == ("k0",)
    assert [run.run_id for run in last.requests] == [RUN_IDS.keyed("watch", "k1")]


def test_adoption_by_the_owner_changes_nothing_unless_it_is_to_begin_again(house: House) -> None:
    tick(house, "shop")
    before = house.state()

    assert adopt(house, "shop") == before
    assert house.sensors.edits("watch") == []
    assert (adopt(house, "shop", fresh=True).cursor, house.state().epoch) == (None, before.epoch + 1)


# ---- Events


def test_event_on_another_projects_state_fails_and_comes_again_until_it_is_adopted(
    house: House, created: ObjectCreated
) -> None:
    house.sensors.claim("watch", "shop")

    for _ in range(2):
        with pytest.raises(SensorEvaluationError, match="belongs to project shop") as failed:
            deliver(house, "lake", created, evaluates_nothing)
        assert (failed.value.error_type, str(failed.value)) == ("SensorOwnershipError", REASON)
    [refused] = house.tick_records()
    assert (refused.tick_id, refused.status, refused.attempts) == (tick_id_of(created), TickStatus.FAILURE, 2)
    assert refused.trigger == created.summary
    adopt(house, "lake")

    assert deliver(house, "lake", created).decision is Decision.SUCCESS
    [evaluated] = house.tick_records()
    assert (evaluated.status, evaluated.attempts) == (TickStatus.SUCCESS, 3)


def test_first_events_make_the_state_their_projects_once(house: House, created: ObjectCreated) -> None:
    claims: list[str] = []

    class Counting:
        def claim(self, sensor: str, project: str) -> SensorState:
            claims.append(project)
            return house.sensors.claim(sensor, project)

        def __getattr__(self, name: str) -> Any:
            return getattr(house.sensors, name)

    sensors: Any = Counting()
    settings = TickSettings(0, DefaultSensorStatus.RUNNING, project="shop")
    events = house.engine_with(sensors=sensors).sensor(watching(keyless), settings).events

    for _ in range(3):
        events.load_batch_state([created])

    assert (claims, house.state().project, house.state().epoch) == (["shop"], "shop", 0)


def test_event_that_the_owner_has_evaluated_is_a_second_delivery(
    house: House, created: ObjectCreated
) -> None:
    deliver(house, "shop", created)

    assert deliver(house, "lake", created, evaluates_nothing).decision is Decision.DUPLICATE
    assert [each.status for each in house.tick_records()] == [TickStatus.SUCCESS]


def test_event_that_the_owner_evaluates_meanwhile_keeps_its_tick(
    house: House, created: ObjectCreated
) -> None:
    events = of(house, "lake").events(watching(evaluates_nothing))
    house.sensors.claim("watch", "shop")
    batch_state: EventBatchState = events.load_batch_state([created])
    deliver(house, "shop", created)

    assert events.evaluate(created, batch_state, Budget()).decision is Decision.DUPLICATE
    assert [each.status for each in house.tick_records()] == [TickStatus.SUCCESS]


def test_event_whose_state_is_adopted_during_a_slow_evaluation_commits_nothing(
    house: House, created: ObjectCreated
) -> None:
    def slow() -> RunRequest:
        house.clock.advance(5)
        adopt(house, "lake")
        return RunRequest()

    with pytest.raises(
        SensorEvaluationError, match="belongs to project lake, and its function to project shop"
    ):
        deliver(house, "shop", created, slow)

    [refused] = house.tick_records()
    assert (refused.status, refused.requests) == (TickStatus.FAILURE, ())
    assert deliver(house, "lake", created).decision is Decision.SUCCESS


def test_function_that_is_given_no_project_takes_and_claims_nothing(
    house: House, created: ObjectCreated
) -> None:
    house.sensors.claim("watch", "shop")

    assert deliver(house, "", created).decision is Decision.SUCCESS
    assert tick(house, "").decision is Decision.SUCCESS
    assert house.state().project == "shop"


# ---- What operators see


GIVEN = {"TREADLE_PROJECT": "lake"}
"""The environment of its function."""


def overview(house: House, settings: Mapping[str, str] = GIVEN) -> Overview:
    def loads(event: Mapping[str, object]) -> Mapping[str, object]:
        return {"name": "watch"}

    running = DefaultSensorStatus.RUNNING
    sensor = DeployedSensor("watch", "schedule", "", (JOB,), running, 60, settings=settings, project="lake")
    deployment = InMemoryDeployment([sensor], {"watch": loads})
    return Overview(deployment, house.sensors, house.ticks, house.runs, house.clock)


def test_sensor_on_another_projects_state_is_shown_with_what_to_do_and_nothing_else(house: House) -> None:
    def failing() -> SkipReason:
        raise ValueError

    tick(house, "shop", failing)
    house.clock.advance(3_600)

    [problem] = overview(house).sensor("watch").problems

    assert problem.kind is ProblemKind.OWNERSHIP
    assert problem.says == (
        "Its state belongs to project shop, and it is registered by project lake: its ticks fail, and nothing is "
        "evaluated."
    )
    assert problem.advice == (
        "Rename the sensor, or take its state over: treadle sensor adopt watch, with --fresh without its cursor."
    )
    adopt(house, "lake")
    assert ProblemKind.OWNERSHIP not in {each.kind for each in overview(house).sensor("watch").problems}


def test_sensor_whose_function_is_given_no_project_is_shown_to_tick_on_the_others_state(house: House) -> None:
    """And so is what else is wrong with it: its own ticks have left that."""
    tick(house, "shop")
    house.clock.advance(3_600)

    problem, late = overview(house, {}).sensor("watch").problems

    assert (problem.kind, late.kind) == (ProblemKind.OWNERSHIP, ProblemKind.LATE)
    assert problem.says.endswith(": it ticks on that state, as its function has no TREADLE_PROJECT.")


def test_stopped_sensor_on_another_projects_state_is_shown_before_it_is_started(house: House) -> None:
    tick(house, "shop")
    SensorOperations(house.sensors, house.clock).stop("watch", "ann")

    assert [each.kind for each in overview(house).sensor("watch").problems] == [ProblemKind.OWNERSHIP]


def test_doctor_reports_a_sensor_on_another_projects_state(house: House) -> None:
    tick(house, "shop")
    observe = overview(house)
    doctor = Doctor(observe._deployment, InMemoryHealth(), observe, house.ticks, house.runs, house.clock)

    [found] = [each for each in doctor.examine() if each.severity is Severity.PROBLEM]

    assert (found.check, found.subject) == ("sensors", "sensor watch")
    assert "treadle sensor adopt watch" in found.advice
