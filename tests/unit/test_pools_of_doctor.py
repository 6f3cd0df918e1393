"""`treadle doctor`: what keeps a pool from starting the runs that wait for it, and pools that nobody declares."""

from dataclasses import replace

import pytest

from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import DefaultSensorStatus
from treadle.engine.identity import timestamp
from treadle.engine.record.pool_slots import with_wait
from treadle.model.deployment import DeployedSensor
from treadle.model.health import HealthSnapshot, JobTarget
from treadle.model.pools import PoolState, Slot
from treadle.model.registry import CONTRACT, JobEntry, PoolEntry, Registry
from treadle.model.runs import Cancellation, Run
from treadle.model.targets import JobSettings
from treadle.operate.doctor import LATE_MS, Doctor
from treadle.operate.findings import Finding, Severity
from treadle.operate.overview import Overview
from treadle.operate.pools import PoolOperations
from treadle.operate.registrations import Registrations
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.health import InMemoryHealth
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, VirtualClock

CLOCK = VirtualClock()
NOW = CLOCK.now()
POOL = "warehouse"
SETTINGS = JobSettings("load", "step_functions", "arn:machine", "-")


def run(run_id: str, *slots: Slot, status: Status = Status.STARTED) -> Run:
    started = {"1/0": {"QUEUED": NOW, "STARTED": NOW + 1}}
    made = Run(
        run_id, "load", "watch", run_id, "t", "{}", {}, NOW, pools=(POOL,), slots=slots, reached=started
    )
    return replace(made, status=status)


def waiting(run_id: str) -> Run:
    return with_wait(replace(run(run_id), status=Status.QUEUED, reached={"1/0": {"QUEUED": NOW}}))


def examined(state: PoolState, *runs: Run) -> list[Finding]:
    """Return the findings on pools."""
    stores, deployment = InMemoryStores(), InMemoryDeployment([], {})
    stores.tables.pools[state.name] = state
    for each in runs:
        assert stores.runs.create(each) is None
    overview = Overview(deployment, stores.sensors, stores.ticks, stores.runs, CLOCK)
    pools = PoolOperations(stores.pools, stores.runs, InMemoryQueue(), dict, CLOCK)
    doctor = Doctor(deployment, InMemoryHealth(), overview, stores.ticks, stores.runs, CLOCK, pools=pools)
    return [each for each in doctor.examine() if each.check == "pools"]


def registered(registry: Registry) -> list[Finding]:
    """Return the findings on a registry."""
    return list(Registrations(lambda: registry, {}, CLOCK).findings([]))


def test_pool_with_waiting_runs_is_in_order() -> None:
    holder = run("a", Slot(POOL, 1, 1))

    [found] = examined(PoolState(POOL, 1, override=2), holder, waiting("b"))

    assert (found.severity, found.subject) == (Severity.OK, "pools")
    assert found.message == (
        "Declared pools: 1; waiting runs: 1; no slot is in doubt. Operators' limits apply to warehouse."
    )


def test_slot_in_doubt_is_a_problem_that_names_the_commands() -> None:
    [found] = examined(PoolState(POOL, 1), run("a", Slot(POOL, 1, 1), status=Status.FAILURE), waiting("b"))

    assert (found.severity, found.subject) == (Severity.PROBLEM, "pool warehouse")
    assert found.message == (
        "Slots in doubt: 1 of the 1 that are held, by attempts that may or may not have ended. "
        f"Waiting runs: 1, the oldest since {timestamp(NOW)}."
    )
    assert "treadle pool show warehouse names the runs" in found.advice
    assert found.advice.endswith("treadle pool free RUN_ID")


def test_run_that_cannot_be_canceled_is_a_problem() -> None:
    refused = Cancellation(1, 0, "RunReplacedError", "A later one waits.", NOW, "no permission")
    holder = replace(run("a", Slot(POOL, 1, 1)), cancellations=(refused,))

    [found] = examined(PoolState(POOL, 1), holder, waiting("b"))

    assert (found.severity, found.subject) == (Severity.PROBLEM, "pool warehouse")
    assert found.message == (
        "To be canceled: 1 of the runs in progress, whose targets refuse that. "
        f"Waiting runs: 1, the oldest since {timestamp(NOW)}."
    )
    accepted = replace(holder, cancellations=(replace(refused, refused=""),))
    assert examined(PoolState(POOL, 1), accepted)[0].severity is Severity.OK


def test_pool_that_was_not_opened_is_a_problem() -> None:
    closed = PoolState(POOL, 1, closed_until=NOW - LATE_MS)

    assert examined(closed)[0].severity is Severity.OK
    [found] = examined(replace(closed, closed_until=NOW - LATE_MS - 1))

    assert found.severity is Severity.PROBLEM
    assert "RECONCILE has not opened it. Waiting runs: 0." in found.message


def test_limit_of_zero_is_a_warning_while_runs_wait() -> None:
    paused = PoolState(POOL, 3, override=0, override_by="ada", override_at=NOW)

    assert examined(paused)[0].severity is Severity.OK
    [found] = examined(paused, waiting("b"))
    [declared] = examined(PoolState(POOL, 0), waiting("b"))

    assert found.severity is Severity.WARNING
    assert (
        f"Its limit is 0, as ada set it at {timestamp(NOW)}, so nothing starts. Waiting runs: 1"
        in found.message
    )
    assert found.advice == (
        "treadle pool set-limit warehouse N, or treadle pool reset-limit warehouse for the declared limit, 3"
    )
    assert (declared.severity, declared.advice) == (Severity.WARNING, "treadle pool set-limit warehouse N")


def test_no_pools_are_no_finding() -> None:
    stores, deployment = InMemoryStores(), InMemoryDeployment([], {})
    overview = Overview(deployment, stores.sensors, stores.ticks, stores.runs, CLOCK)
    pools = PoolOperations(stores.pools, stores.runs, InMemoryQueue(), dict, CLOCK)
    doctor = Doctor(deployment, InMemoryHealth(), overview, stores.ticks, stores.runs, CLOCK, pools=pools)

    assert [each for each in doctor.examine() if each.check == "pools"] == []


def test_pool_that_a_job_names_and_nobody_declares_is_a_problem() -> None:
    job = JobEntry("load", "shop", SETTINGS, pools=frozenset({"warehouse", "depot"}))
    registry = Registry({}, {"load": job}, listed_at=NOW, pools={"depot": PoolEntry("depot", "shop", 1)})

    [found] = registered(registry)

    assert (found.subject, found.severity) == ("job load", Severity.PROBLEM)
    assert "Its entry names warehouse, which no project declares" in found.message
    assert "Declared pools: depot." in found.message
    assert "project shop" in found.advice


def of_jobs(
    retries: int, job: JobEntry, pools: dict[str, PoolEntry], policy: list[str] | None
) -> list[Finding]:
    """Return the findings on a Glue job whose MaxRetries are these, and which a sensor may start."""
    sensor = DeployedSensor("watch", "schedule", "", ("load",), DefaultSensorStatus.RUNNING, 60)
    described = {"name": "watch", "jobs": ["load"], **({} if policy is None else {"retried_jobs": policy})}
    stores, deployment = InMemoryStores(), InMemoryDeployment([sensor], {"watch": lambda _: described})
    overview = Overview(deployment, stores.sensors, stores.ticks, stores.runs, CLOCK)
    health = InMemoryHealth(
        HealthSnapshot(targets=(JobTarget("load", "arn", "P", exists=True, retries=retries),))
    )
    entries = Registrations(lambda: Registry({}, {"load": job}, listed_at=NOW, pools=pools), {}, CLOCK)
    doctor = Doctor(deployment, health, overview, stores.ticks, stores.runs, CLOCK, registrations=entries)
    return [each for each in doctor.examine() if each.check == "jobs" and each.severity is Severity.PROBLEM]


JOB = JobEntry("load", "shop", SETTINGS)
DEPOT = {"depot": PoolEntry("depot", "shop", 1)}
EVERY = {"all": PoolEntry("all", "shop", 1, all_jobs=True)}


@pytest.mark.parametrize(
    ("job", "pools", "policy"),
    [
        (replace(JOB, pools=frozenset({"depot"})), DEPOT, []),
        (replace(JOB, max_concurrent_runs=1), {}, None),
        (JOB, EVERY, []),
        (JOB, {}, ["load"]),
    ],
    ids=["pool", "limit of its own", "pool of all jobs", "retry policy"],
)
def test_job_whose_target_retries_by_itself_is_a_problem(
    job: JobEntry, pools: dict[str, PoolEntry], policy: list[str] | None
) -> None:
    [found] = of_jobs(2, job, pools, policy)

    assert (found.subject, found.advice) == (
        "load",
        "Set MaxRetries of arn to 0, and leave retries to a retry policy of the job.",
    )
    why = "its retry policy starts them" if policy else "its runs are in a pool"
    assert f"Glue starts its failed runs again by itself (MaxRetries is 2): {why}" in found.message
    assert of_jobs(0, job, pools, policy) == []


def test_retries_of_a_target_are_no_problem_without_a_pool_or_a_policy() -> None:
    assert of_jobs(2, replace(JOB, pools=frozenset({"unknown"})), DEPOT, []) == []


def test_entries_of_pools_are_checked_and_counted() -> None:
    pools = {"depot": PoolEntry("depot", "shop", 1)}
    whole = Registry({}, {}, listed_at=NOW, pools=pools)
    rejected = replace(whole, problems={"pools/depot": "it has no limit", "pools/other": "no limit either"})
    outdated = replace(whole, pools={"depot": replace(pools["depot"], contract=CONTRACT - 1)})

    assert registered(whole)[0].message == "0 sensors, 0 jobs and 1 pools are registered and consistent."
    assert [each.message.split(":")[0] for each in registered(rejected)] == [
        "Entry pools/depot is invalid, so the previous one is in use",
        "Entry pools/other is invalid, and there is no previous one",
    ]
    assert registered(outdated)[0].subject == "project shop"
