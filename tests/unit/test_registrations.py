"""What is wrong with what projects have registered is found, with what to do, by the doctor and in the lists."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import EngineHarness
from treadle.definitions.hours import Hours
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.engine.identity import RunIds
from treadle.integrations.s3.inspection import SelectedObjects
from treadle.model.deployment import DeployedSensor
from treadle.model.registry import CONTRACT, JobEntry, Registry, SensorEntry
from treadle.model.sensors import SensorState
from treadle.model.targets import JobSettings
from treadle.operate.doctor import Doctor
from treadle.operate.explain import Explainer, Subject
from treadle.operate.findings import Finding, Severity
from treadle.operate.overview import Overview, SensorView
from treadle.operate.problems import ProblemKind
from treadle.operate.redrive import Redriver
from treadle.operate.registrations import OLDEST_MS, SHARED, Registrations
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.health import InMemoryHealth
from treadle.testing.objects import InMemoryObjects
from treadle.testing.system import InMemoryDeadLetters

ENGINE = {name: f"the engine's {name}" for name in SHARED}
WATCH = DeployedSensor(
    "watch",
    "schedule",
    "",
    ("load",),
    DefaultSensorStatus.RUNNING,
    60,
    "shop-WatchFunction-1X",
    settings=ENGINE,
    project="shop",
)
ENTRY = SensorEntry("watch", "shop", WATCH.function, "schedule", frozenset({"load"}))
LOAD = JobEntry("load", "shop", JobSettings("load", "glue", "load", "LoadGlueJobName"))
SENSORS, JOBS = {"watch": ENTRY}, {"load": LOAD}


def registry(harness: EngineHarness, **fields: Any) -> Registry:
    """Return a valid registry with other values of some fields."""
    return replace(Registry(SENSORS, JOBS, {}, harness.clock.now()), **fields)


def loads(event: Mapping[str, object]) -> Mapping[str, object]:
    """In place of a function that loads."""
    del event
    return {"name": "watch"}


def examined(harness: EngineHarness, found: Registry, *sensors: DeployedSensor) -> list[Finding]:
    """Return the doctor's findings."""
    deployment = InMemoryDeployment([*sensors] or [WATCH], dict.fromkeys(["watch", "other"], loads))
    registrations = Registrations(lambda: found, ENGINE, harness.clock)
    overview = Overview(
        deployment, harness.sensors, harness.ticks, harness.runs, harness.clock, registrations
    )
    doctor = Doctor(
        deployment,
        InMemoryHealth(),
        overview,
        harness.ticks,
        harness.runs,
        harness.clock,
        registrations=registrations,
    )
    return [each for each in doctor.examine() if each.severity is not Severity.OK]


def only(findings: list[Finding]) -> Finding:
    [found] = findings
    assert found.check == "registry"
    assert found.advice
    return found


def view(harness: EngineHarness, found: Registry, sensor: DeployedSensor = WATCH) -> SensorView:
    """Return the sensor as lists show it."""
    deployment = InMemoryDeployment([sensor], {"watch": loads})
    registrations = Registrations(lambda: found, ENGINE, harness.clock)
    return Overview(
        deployment, harness.sensors, harness.ticks, harness.runs, harness.clock, registrations
    ).sensor("watch")


def test_registry_in_order_is_reported_to_be_so(harness: EngineHarness) -> None:
    registrations = Registrations(lambda: registry(harness), ENGINE, harness.clock)

    [found] = registrations.findings([WATCH])

    assert examined(harness, registry(harness)) == []
    assert (found.check, found.severity) == ("registry", Severity.OK)
    assert found.message == "1 sensors and 1 jobs are registered and consistent."


def other(**fields: Any) -> Mapping[str, SensorEntry]:
    """Return the sensor's entry with other fields."""
    return {"watch": replace(ENTRY, **fields)}


OF_SENSOR: list[tuple[str, dict[str, Any], str, str]] = [
    (
        "unknown job",
        {"sensors": other(jobs=frozenset({"load", "lode"}))},
        "It may start lode, which no project has registered. Registered jobs: load.",
        "Correct the sensor's jobs in project shop",
    ),
    (
        "no jobs",
        {"jobs": {}},
        "It may start load, which no project has registered. Registered jobs: none.",
        "deploy the project of the job",
    ),
    (
        "refused",
        {"jobs": {"load": replace(LOAD, project="billing")}},
        "It may start job load, but the job's project, billing, does not accept the sensor.",
        "Add watch to the sensors of job load in project billing",
    ),
    (
        "one function",
        {"sensors": {**SENSORS, "other": replace(ENTRY, name="other", jobs=frozenset())}},
        "Its entry names function shop-WatchFunction-1X, which other names too, but a function can have only one sensor.",
        "Give the sensor its own function in project shop",
    ),
    (
        "rejected",
        {"problems": {"sensors/watch": "it has no kind. Add it in its project's template."}},
        "so the previous one is in use: it has no kind. Add it in its project's template.",
        "Correct the entry and deploy project shop",
    ),
]


@pytest.mark.parametrize(
    ("fields", "message", "advice"), [each[1:] for each in OF_SENSOR], ids=[each[0] for each in OF_SENSOR]
)
def test_what_is_wrong_with_a_sensors_registration_is_found_and_shown_with_the_sensor(
    harness: EngineHarness, fields: dict[str, Any], message: str, advice: str
) -> None:
    found = registry(harness, **fields)

    finding, [problem] = only(examined(harness, found)), view(harness, found).problems

    assert (finding.subject, finding.severity) == ("sensor watch", Severity.PROBLEM)
    assert message in finding.message
    assert advice in finding.advice
    assert (problem.kind, problem.message, problem.advice) == (
        ProblemKind.REGISTRATION,
        finding.message,
        finding.advice,
    )


@pytest.mark.parametrize("name", SHARED)
def test_function_of_another_engine_is_found_by_its_environment(harness: EngineHarness, name: str) -> None:
    """Nobody reads what it commits: it continues without an error."""
    sensor = replace(WATCH, settings={**ENGINE, name: "another"})

    finding = only(examined(harness, registry(harness), sensor))

    assert f"{name} is 'another', but the engine's is" in finding.message
    assert "project shop" in finding.advice
    [problem] = view(harness, registry(harness), sensor).problems
    assert problem.kind is ProblemKind.REGISTRATION


@pytest.mark.parametrize(
    ("fields", "settings", "message"),
    [
        (
            {},
            {"TREADLE_DEFAULT_STATUS": "RUNNING"},
            "status is 'STOPPED', but TREADLE_DEFAULT_STATUS is 'RUNNING'",
        ),
        (
            {"interval_seconds": 60},
            {"TREADLE_INTERVAL_SECONDS": "300"},
            "interval is '60', but TREADLE_INTERVAL_SECONDS is '300'",
        ),
        (
            {"dead_letters": "a"},
            {"TREADLE_DEAD_LETTER_QUEUE_URL": "b"},
            "dead_letters is 'a', but TREADLE_DEAD_LETTER_QUEUE_URL is 'b'",
        ),
        ({}, {"TREADLE_PROJECT": "lake"}, "project is 'shop', but TREADLE_PROJECT is 'lake'"),
        (
            {},
            {"TREADLE_HOURS": "06:00-20:00 UTC"},
            "hours is '', but TREADLE_HOURS is '06:00-20:00 UTC'",
        ),
        (
            {"hours": Hours("06:00-20:00")},
            {},
            "hours is '06:00-20:00 UTC', but TREADLE_HOURS is ''",
        ),
    ],
)
def test_entry_that_differs_from_its_function_is_found(
    harness: EngineHarness, fields: dict[str, Any], settings: dict[str, str], message: str
) -> None:
    """RECONCILE would take a sensor for late that is not, or for stopped."""
    sensor = replace(WATCH, settings={**ENGINE, **settings})

    finding = only(examined(harness, registry(harness, sensors=other(**fields)), sensor))

    assert message in finding.message
    assert finding.advice == "Use the same value for both in project shop, and deploy."


def test_entry_that_says_what_its_function_is_given_is_in_order(harness: EngineHarness) -> None:
    settings = {"TREADLE_DEFAULT_STATUS": "RUNNING", "TREADLE_INTERVAL_SECONDS": "60"}
    sensors = other(default_status=DefaultSensorStatus.RUNNING, interval_seconds=60)

    assert examined(harness, registry(harness, sensors=sensors), replace(WATCH, settings=settings)) == []


def test_variable_that_a_function_does_not_need_is_not_missed(harness: EngineHarness) -> None:
    sensor = replace(WATCH, settings={"TREADLE_NAMESPACE": ENGINE["TREADLE_NAMESPACE"]})

    assert examined(harness, registry(harness), sensor) == []


def test_job_of_another_project_that_accepts_the_sensor_is_in_order(harness: EngineHarness) -> None:
    job = replace(LOAD, project="billing", sensors=frozenset({"watch"}))

    assert examined(harness, registry(harness, jobs={"load": job})) == []


@pytest.mark.parametrize(
    ("path", "kept"),
    [
        ("jobs/load", "so the previous one is in use"),
        ("jobs/new", "and there is no previous one"),
        ("x", "there is no previous one"),
    ],
)
def test_entry_that_could_not_be_taken_is_found_with_its_reason(
    harness: EngineHarness, path: str, kept: str
) -> None:
    reason = "its target is 'glu'. Use one of: batch, glue."

    finding = only(examined(harness, registry(harness, problems={path: reason})))

    assert (finding.subject, finding.severity) == (path, Severity.PROBLEM)
    assert f"{kept}" in finding.message
    assert finding.message.endswith(reason)


def test_sensor_whose_only_entry_could_not_be_taken_is_found(harness: EngineHarness) -> None:
    """No list has it."""
    finding = only(examined(harness, registry(harness, problems={"sensors/new": "it is not JSON."})))

    assert finding.subject == "sensors/new"


@pytest.mark.parametrize(("age", "is_old"), [(OLDEST_MS, False), (OLDEST_MS + 1, True)])
def test_old_copy_shows_that_reconcile_does_not_run(harness: EngineHarness, age: int, is_old: bool) -> None:
    found = registry(harness)
    harness.clock.time += age

    registrations = Registrations(lambda: found, ENGINE, harness.clock)
    [finding] = registrations.findings([WATCH])

    assert (finding.severity is Severity.PROBLEM) is is_old
    if is_old:
        assert finding.subject == "reconcile"
        assert "RECONCILE does not list Parameter Store" in finding.message


def test_engine_without_copy_is_a_problem(harness: EngineHarness) -> None:
    registrations = Registrations(Registry, ENGINE, harness.clock)

    [finding] = registrations.findings([])

    assert (finding.subject, finding.severity) == ("reconcile", Severity.PROBLEM)
    assert "no copy of the registry yet" in finding.message


def test_projects_of_an_older_contract_are_behind(harness: EngineHarness) -> None:
    """Each once, whatever number of entries it has."""
    found = registry(
        harness,
        sensors=other(contract=CONTRACT - 1),
        jobs={"load": replace(LOAD, contract=CONTRACT - 1)},
    )

    finding = only(examined(harness, found))

    assert (finding.subject, finding.severity) == ("project shop", Severity.WARNING)
    assert finding.message.startswith("Project shop is outdated: 2 of its entries were written for contract")


def gone(sensor: DeployedSensor = WATCH) -> DeployedSensor:
    """Return a sensor whose function is gone."""
    problem = "Its function shop-WatchFunction-1X cannot be read: ResourceNotFoundException"
    return replace(
        sensor,
        problem=problem,
        remedy="Deploy project shop again.",
        settings={},
        interval_seconds=None,
        default_status=DefaultSensorStatus.STOPPED,
    )


def test_sensor_whose_function_is_gone_is_listed_with_that_problem_alone(harness: EngineHarness) -> None:
    found = view(harness, registry(harness), gone())

    [problem] = found.problems
    assert problem.kind is ProblemKind.UNREADABLE
    assert "ResourceNotFoundException" in problem.message
    assert (found.name, found.project, found.jobs) == ("watch", "shop", ("load",))


def test_function_that_is_gone_is_not_invoked_to_see_whether_it_loads(harness: EngineHarness) -> None:
    """Not even of a sensor that an operator has started, and that is late by now."""
    received: list[Mapping[str, object]] = []

    def watched(event: Mapping[str, object]) -> Mapping[str, object]:
        received.append(event)
        return loads(event)

    harness.tables.sensors["watch"] = SensorState(
        "watch", status=InstigatorStatus.RUNNING, last_scheduled_for=harness.clock.now() - 9 * 3_600_000
    )
    deployment = InMemoryDeployment([gone()], {"watch": watched})
    overview = Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)

    [problem] = overview.sensor("watch").problems

    assert (problem.kind, received) == (ProblemKind.UNREADABLE, [])


def test_doctor_reports_a_function_that_is_gone_once_and_continues_with_the_others(
    harness: EngineHarness,
) -> None:
    second = replace(WATCH, name="other", function="shop-OtherFunction-1X")
    sensors = {**SENSORS, "other": replace(ENTRY, name="other", function=second.function)}

    [finding] = examined(harness, registry(harness, sensors=sensors), gone(), second)

    assert (finding.check, finding.subject, finding.severity) == (
        "configuration",
        "sensor watch",
        Severity.PROBLEM,
    )
    assert finding.advice == "Deploy project shop again."


def test_why_names_the_function_that_is_gone(harness: EngineHarness) -> None:
    explains = Explainer(
        InMemoryDeployment([gone()]),
        harness.sensors,
        harness.ticks,
        harness.runs,
        RunIds.of("1/us-east-1/treadle"),
        SelectedObjects(lambda sensor: None, InMemoryObjects(harness.clock)),
        InMemoryHealth(),
        Redriver(InMemoryDeadLetters(), list),
        harness.clock,
        Registrations(lambda: registry(harness), ENGINE, harness.clock),
    )

    assert "ResourceNotFoundException" in explains.explain("watch", Subject(run_key="a")).summary
