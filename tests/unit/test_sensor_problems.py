"""Problems of a sensor: failing events, missing ticks, functions that do not load; and what is no problem."""

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import JOB, EngineHarness, sensor_of
from tools.project import ROOT
from treadle import SkipReason
from treadle.cli.sensors import _HEALTH
from treadle.definitions.errors import InvocationError
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus, TickStatus
from treadle.engine.identity import RunIds, event_tick_id
from treadle.engine.tick.evaluation import Budget
from treadle.integrations.s3.inspection import SelectedObjects
from treadle.model.deployment import DeployedSensor, Subscription
from treadle.model.sensors import SensorState
from treadle.model.ticks import ErrorInfo, Tick, TickKind
from treadle.operate.doctor import Doctor
from treadle.operate.explain import Explainer, Subject
from treadle.operate.findings import Severity
from treadle.operate.load_checks import LOADED_FOR_MS, LoadChecks, advice_on_load
from treadle.operate.overview import Overview
from treadle.operate.problems import LATE_SECONDS, MANY, RETRIED_MS, ProblemKind, SensorProblem
from treadle.operate.redrive import Redriver
from treadle.operate.sensors import SensorOperations
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.health import InMemoryHealth
from treadle.testing.objects import InMemoryObjects
from treadle.testing.system import InMemoryDeadLetters

MINUTE, HOUR = 60_000, 3_600_000
RUNNING = DefaultSensorStatus.RUNNING
ALERT = DeployedSensor("watch", "run_status", "", (JOB,), RUNNING)
SCHEDULED = DeployedSensor("watch", "schedule", "", (JOB,), RUNNING, 60)
HOURLY = replace(SCHEDULED, interval_seconds=3_600)
SWEPT = DeployedSensor("watch", "s3", "", (JOB,), RUNNING, 300)
IMPORT = "Runtime.ImportModuleError: Unable to import module 'app': No module named 'requests'"


def loads(event: Mapping[str, object]) -> Mapping[str, object]:
    assert event == {"treadle": "describe"}, "nothing is evaluated by looking"
    return {"name": "watch"}


def does_not_load(event: Mapping[str, object]) -> Mapping[str, object]:
    del event
    raise InvocationError(f"The function failed: {IMPORT}", reason=IMPORT)


def overview(
    harness: EngineHarness, deployed: DeployedSensor, function: Callable[[Mapping[str, object]], Any] = loads
) -> Overview:
    deployment = InMemoryDeployment([deployed], {deployed.name: function})
    return Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)


def problems(harness: EngineHarness, deployed: DeployedSensor, **options: Any) -> list[SensorProblem]:
    return list(overview(harness, deployed, **options).sensor(deployed.name).problems)


def kinds(harness: EngineHarness, deployed: DeployedSensor, **options: Any) -> list[ProblemKind]:
    return [each.kind for each in problems(harness, deployed, **options)]


def event(
    harness: EngineHarness,
    name: str,
    status: TickStatus,
    *,
    happened: int = 0,
    ended: int = 0,
    attempts: int = 1,
) -> None:
    """Record an event that happened, and whose evaluation ended, so many milliseconds ago."""
    now = harness.clock.now()
    error = (
        ErrorInfo("AlertError", f"SNS (ops): no such topic, for {name}")
        if status is TickStatus.FAILURE
        else None
    )
    at = now - happened
    harness.ticks.put(
        Tick(
            "watch",
            event_tick_id(at, name),
            TickKind.EVENT,
            status,
            at,
            now - ended,
            now - ended,
            reason=None if error else "nothing to do",
            error=error,
            attempts=attempts,
            owner=f"{name} {attempts}",
        )
    )


# ---- Events that fail


def test_sensor_whose_last_event_failed_is_failing_with_its_error(harness: EngineHarness) -> None:
    event(harness, "fine", TickStatus.SUCCESS, happened=9 * MINUTE, ended=9 * MINUTE)
    event(harness, "alert", TickStatus.FAILURE, happened=MINUTE, ended=MINUTE)

    [found] = problems(harness, ALERT)

    assert found.kind is ProblemKind.FAILING
    assert "AlertError: SNS (ops): no such topic, for alert" in found.message
    assert "treadle dlq redrive" in found.advice


def test_event_that_a_retry_evaluated_is_no_failure_any_more(harness: EngineHarness) -> None:
    event(harness, "alert", TickStatus.FAILURE, happened=9 * MINUTE, ended=8 * MINUTE)
    assert kinds(harness, ALERT) == [ProblemKind.FAILING]

    event(harness, "alert", TickStatus.SUCCESS, happened=9 * MINUTE, attempts=2)

    assert kinds(harness, ALERT) == []


def test_last_evaluation_decides_and_not_the_last_event(harness: EngineHarness) -> None:
    """An older event is evaluated again and again, after a younger one was."""
    event(harness, "younger", TickStatus.SUCCESS, happened=MINUTE, ended=MINUTE)
    event(harness, "older", TickStatus.FAILURE, happened=40 * MINUTE, ended=0, attempts=4)

    assert kinds(harness, ALERT) == [ProblemKind.FAILING]


def test_one_bad_event_among_good_ones_is_left_to_the_dead_letters(harness: EngineHarness) -> None:
    event(harness, "bad", TickStatus.FAILURE, happened=3 * MINUTE, ended=3 * MINUTE)
    event(harness, "good", TickStatus.SUCCESS, happened=MINUTE, ended=MINUTE)

    assert kinds(harness, ALERT) == []


@pytest.mark.parametrize(("failed", "found"), [(MANY - 1, []), (MANY, [ProblemKind.FAILING])])
def test_several_bad_events_of_late_are_a_failing_sensor_whatever_came_last(
    harness: EngineHarness, failed: int, found: list[ProblemKind]
) -> None:
    for number in range(failed):
        event(harness, f"bad {number}", TickStatus.FAILURE, happened=9 * MINUTE, ended=9 * MINUTE)
    event(harness, "good", TickStatus.SUCCESS, happened=MINUTE, ended=MINUTE)

    assert kinds(harness, ALERT) == found


def test_failures_of_long_ago_count_no_more_once_an_event_was_evaluated(harness: EngineHarness) -> None:
    for number in range(MANY):
        event(harness, f"bad {number}", TickStatus.FAILURE, happened=3 * HOUR, ended=RETRIED_MS + 1)
    assert kinds(harness, ALERT) == [ProblemKind.FAILING], "nothing has shown since that it works"

    event(harness, "good", TickStatus.SUCCESS)

    assert kinds(harness, ALERT) == []


def test_failed_event_of_a_swept_sensor_counts_while_it_is_delivered_again(harness: EngineHarness) -> None:
    """After that the sweeps, which evaluate the same objects, say whether it works."""
    harness.leased(sensor_of(lambda: SkipReason("nothing")), interval=300).tick(harness.clock.now(), Budget())
    event(harness, "object", TickStatus.FAILURE, happened=5, ended=5)

    assert kinds(harness, SWEPT) == [ProblemKind.FAILING]
    harness.clock.advance(RETRIED_MS / 1000)
    harness.leased(sensor_of(lambda: SkipReason("nothing")), interval=300).tick(harness.clock.now(), Budget())
    assert kinds(harness, SWEPT) == []


def test_start_by_an_operator_ends_what_failed_before(harness: EngineHarness) -> None:
    event(harness, "alert", TickStatus.FAILURE, happened=9 * MINUTE, ended=8 * MINUTE)
    operations = SensorOperations(harness.sensors, harness.clock)

    operations.stop("watch", "ann")
    assert kinds(harness, ALERT) == [], "a stopped sensor evaluates nothing"
    operations.start("watch", RUNNING, "ann")

    assert kinds(harness, ALERT) == []


def test_failing_event_sensor_is_a_problem_of_the_doctors_and_not_in_order(harness: EngineHarness) -> None:
    event(harness, "alert", TickStatus.FAILURE, ended=MINUTE)
    deployment = InMemoryDeployment([ALERT], {"watch": loads})
    sensor_overview = Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)

    findings = Doctor(
        deployment, InMemoryHealth(), sensor_overview, harness.ticks, harness.runs, harness.clock
    ).examine()

    [found] = [each for each in findings if each.severity is Severity.PROBLEM]
    assert (found.check, found.subject) == ("sensors", "sensor watch")
    assert "no such topic" in found.message
    assert "none of them fails" not in " ".join(each.message for each in findings)


# ---- Functions that do not load


def deployed_at(harness: EngineHarness, sensor: DeployedSensor, ago: int) -> DeployedSensor:
    return replace(sensor, deployed_at=harness.clock.now() - ago)


@pytest.mark.parametrize("kind", [ALERT, SCHEDULED, HOURLY, SWEPT], ids=["events", "minute", "hour", "swept"])
def test_function_that_does_not_load_is_shown_at_once_with_its_own_error(
    harness: EngineHarness, kind: DeployedSensor
) -> None:
    found = problems(harness, deployed_at(harness, kind, 5_000), function=does_not_load)

    assert [each.kind for each in found] == [ProblemKind.NOT_LOADING]
    assert found[0].message == f"Its function does not load: {IMPORT}."
    assert "layers/project/requirements.txt" in found[0].advice


@pytest.mark.parametrize("kind", [ALERT, HOURLY], ids=["events", "hour"])
def test_function_that_stopped_loading_with_its_last_deployment_is_shown_before_it_is_late(
    harness: EngineHarness, kind: DeployedSensor
) -> None:
    harness.tables.sensors["watch"] = SensorState(
        "watch",
        last_scheduled_for=harness.clock.now() - 9 * MINUTE,
        last_completion=harness.clock.now() - 9 * MINUTE,
    )
    event(harness, "fine", TickStatus.SUCCESS, ended=9 * MINUTE)

    assert kinds(harness, deployed_at(harness, kind, 10 * MINUTE), function=does_not_load) == []
    assert kinds(harness, deployed_at(harness, kind, 5_000), function=does_not_load) == [
        ProblemKind.NOT_LOADING
    ]


def test_function_that_stopped_loading_without_a_deployment_is_shown_instead_of_its_being_late(
    harness: EngineHarness,
) -> None:
    harness.tables.sensors["watch"] = SensorState("watch", last_scheduled_for=harness.clock.now() - HOUR)

    assert kinds(harness, SCHEDULED, function=does_not_load) == [ProblemKind.NOT_LOADING]
    assert kinds(harness, SCHEDULED) == [ProblemKind.LATE]


def test_sensor_that_may_not_be_invoked_is_reported_not_to_be_checked(harness: EngineHarness) -> None:
    def denied(event: Mapping[str, object]) -> Mapping[str, object]:
        raise InvocationError("AccessDeniedException on lambda:InvokeFunction", is_denied=True)

    [found] = problems(harness, deployed_at(harness, ALERT, MINUTE), function=denied)

    assert found.kind is ProblemKind.UNCHECKED
    assert found.advice == "Grant yourself lambda:InvokeFunction."


def test_functions_whose_ticks_show_that_they_load_are_not_invoked(harness: EngineHarness) -> None:
    received: list[object] = []

    def counting(event: Mapping[str, object]) -> Mapping[str, object]:
        received.append(event)
        return {}

    event(harness, "fine", TickStatus.SUCCESS, ended=MINUTE)
    overview(harness, deployed_at(harness, ALERT, 2 * MINUTE), counting).sensors()

    assert received == []


def test_checking_again_and_again_invokes_a_function_once_in_a_while(harness: EngineHarness) -> None:
    received: list[object] = []

    def counting(event: Mapping[str, object]) -> Mapping[str, object]:
        received.append(event)
        return {}

    sensor_overview = overview(harness, deployed_at(harness, ALERT, 5 * MINUTE), counting)
    for _ in range(20):
        sensor_overview.sensors()
        harness.clock.advance(4)
    assert len(received) == 1
    harness.clock.advance(LOADED_FOR_MS / 1000)
    sensor_overview.sensors()
    assert len(received) == 2


def test_what_was_found_of_a_function_does_not_outlast_its_deployment(harness: EngineHarness) -> None:
    deployment = InMemoryDeployment([ALERT], {"watch": does_not_load})
    checks = LoadChecks(deployment, harness.clock)

    first = checks.check(deployed_at(harness, ALERT, 5 * MINUTE))
    deployment.functions["watch"] = loads
    again = checks.check(deployed_at(harness, ALERT, MINUTE))

    assert (bool(first.error), bool(again.error)) == (True, False)


@pytest.mark.parametrize(
    ("error", "advice"),
    [
        (
            "Runtime.HandlerNotFound: Handler 'handler' missing on module 'app'",
            "Add `handler = evaluator(…)`",
        ),
        ("Worker init failed: module 'app' has no attribute 'handler'", "Add `handler = evaluator(…)`"),
        ("Runtime.UserCodeSyntaxError: Syntax error in module 'app': invalid syntax", "Fix the syntax"),
        (IMPORT, "add the package"),
        ("Worker init failed: No module named 'requests'", "add the package"),
        (
            "Runtime.ImportModuleError: cannot import name 'JobDefinitions' from 'treadle'",
            "Correct the import",
        ),
        (
            "SettingsError: The function's environment does not fit: TREADLE_QUEUE_URL is not set",
            "Correct its block of template.yaml",
        ),
        ("MemoryError: ", "Fix its code or its block of template.yaml"),
    ],
)
def test_each_reason_not_to_load_has_its_fix(error: str, advice: str) -> None:
    assert advice in advice_on_load(error)


# ---- Ticks that do not come


@pytest.mark.parametrize(("ago", "found"), [(60_000, []), (121_000, [ProblemKind.LATE])])
@pytest.mark.parametrize("kind", [SCHEDULED, HOURLY], ids=["minute", "hour"])
def test_scheduled_sensor_that_has_not_ticked_two_minutes_after_its_deployment_is_late(
    harness: EngineHarness, kind: DeployedSensor, ago: int, found: list[ProblemKind]
) -> None:
    harness.clock.time -= harness.clock.time % MINUTE

    assert kinds(harness, deployed_at(harness, kind, ago)) == found


def test_lag_of_the_first_tick_counts_from_the_first_delivery_after_the_deployment(
    harness: EngineHarness,
) -> None:
    harness.clock.time -= harness.clock.time % MINUTE
    view = overview(harness, deployed_at(harness, SCHEDULED, 150_000)).sensor("watch")

    assert view.lag_seconds == 120


def test_stopped_sensor_is_not_late_and_after_its_start_nothing_was_due_before(
    harness: EngineHarness,
) -> None:
    harness.tables.sensors["watch"] = SensorState(
        "watch", InstigatorStatus.STOPPED, last_scheduled_for=harness.clock.now() - 9 * HOUR
    )
    assert kinds(harness, SCHEDULED) == []

    SensorOperations(harness.sensors, harness.clock).start("watch", RUNNING, "ann")

    assert overview(harness, SCHEDULED).sensor("watch").lag_seconds == 0


def test_sensor_of_events_is_never_late(harness: EngineHarness) -> None:
    assert kinds(harness, deployed_at(harness, ALERT, 9 * HOUR)) == []


def test_evaluation_that_died_is_a_failure_before_the_next_tick_records_it(harness: EngineHarness) -> None:
    now = harness.clock.now()
    state = SensorState(
        "watch", last_scheduled_for=now - 5 * MINUTE, lease_owner="gone", lease_expires=now - 2 * MINUTE
    )
    harness.tables.sensors["watch"] = state

    [found] = problems(harness, HOURLY)

    assert found.kind is ProblemKind.FAILING
    assert "has not ended, and its lease expired" in found.message

    harness.tables.sensors["watch"] = replace(state, lease_expires=now + MINUTE)
    assert problems(harness, HOURLY) == [], "an evaluation that is under way is none"


def test_time_in_the_future_and_a_lease_without_end_block_a_sensor(harness: EngineHarness) -> None:
    now = harness.clock.now()
    harness.tables.sensors["watch"] = SensorState("watch", last_scheduled_for=now + 9 * HOUR)
    assert kinds(harness, SCHEDULED) == [ProblemKind.BLOCKED]

    harness.tables.sensors["watch"] = SensorState(
        "watch", last_scheduled_for=now, lease_owner="nobody", lease_expires=now + 9 * HOUR
    )
    assert kinds(harness, SCHEDULED) == [ProblemKind.BLOCKED]


def test_sensor_whose_rule_is_disabled_gets_no_events(harness: EngineHarness) -> None:
    assert kinds(harness, replace(ALERT, subscription=Subscription(is_on=False))) == [ProblemKind.NO_EVENTS]
    assert kinds(harness, replace(ALERT, subscription=Subscription())) == []


# ---- Their messages


def test_each_kind_of_problem_has_its_text_in_lists_and_on_the_page() -> None:
    page = (ROOT / "layers/treadle/treadle/console/static/deployment.js").read_text()
    texts = page.split("const PROBLEMS = {")[1].split("};")[0]

    assert set(re.findall(r"([A-Z_]+): \[", texts)) == set(ProblemKind)
    assert set(_HEALTH) == set(ProblemKind)


# ---- Why


def test_why_says_whose_the_state_is_where_nothing_was_requested(harness: EngineHarness) -> None:
    harness.tables.sensors["watch"] = SensorState("watch", project="shop", failure_streak=3)

    sentence = why(harness, replace(SCHEDULED, project="lake"), loads)

    assert "its state belongs to project shop, and it is registered by project lake" in sentence
    assert "treadle sensor adopt watch" in sentence


def why(
    harness: EngineHarness, deployed: DeployedSensor, function: Callable[[Mapping[str, object]], Any]
) -> str:
    explains = Explainer(
        InMemoryDeployment([deployed], {"watch": function}),
        harness.sensors,
        harness.ticks,
        harness.runs,
        RunIds.of("1/us-east-1/treadle"),
        SelectedObjects(lambda sensor: None, InMemoryObjects(harness.clock)),
        InMemoryHealth(),
        Redriver(InMemoryDeadLetters(), list),
        harness.clock,
    )
    return explains.explain("watch", Subject(at=harness.clock.now())).summary


def test_why_gives_the_reason_that_a_function_does_not_load_for_ticks_that_are_missing(
    harness: EngineHarness,
) -> None:
    sentence = why(harness, deployed_at(harness, SCHEDULED, MINUTE), does_not_load)

    assert IMPORT in sentence
    assert "The next tick is due" not in sentence


def test_why_says_that_events_fail_where_there_is_no_run(harness: EngineHarness) -> None:
    event(harness, "alert", TickStatus.FAILURE, happened=9 * HOUR, ended=0)

    assert "no such topic, for alert" in why(harness, ALERT, loads)


@pytest.mark.parametrize("how", ["reset", "deployed"])
def test_sensor_that_its_default_starts_after_a_stop_was_due_no_earlier(
    harness: EngineHarness, how: str
) -> None:
    """A deployment with another default is an update of the function."""
    harness.tables.sensors["watch"] = SensorState("watch", last_scheduled_for=harness.clock.now() - 9 * HOUR)
    deployed = deployed_at(harness, SCHEDULED, 10 * HOUR if how == "reset" else 20_000)
    if how == "reset":
        harness.tables.sensors["watch"] = replace(
            harness.tables.sensors["watch"], status=InstigatorStatus.STOPPED
        )
        SensorOperations(harness.sensors, harness.clock).reset("watch", "ann")

    assert kinds(harness, deployed) == []

    harness.clock.advance(2 * LATE_SECONDS)
    assert kinds(harness, deployed) == [ProblemKind.LATE]
