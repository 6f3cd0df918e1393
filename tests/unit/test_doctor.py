"""`treadle doctor`: each fault is found, with what to do; what could not be checked is said; the rest is in order."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from tests.support.dispatching import committed
from tests.support.engine import EngineHarness
from treadle.definitions.errors import StoreError
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus, TickStatus
from treadle.engine.dispatch.dispatcher import DEFAULT_DEPTH
from treadle.model.deployment import DeployedSensor, Subscription
from treadle.model.health import (
    Activity,
    Alarm,
    AlertAddress,
    AlertChannel,
    Backlog,
    Bucket,
    ConsumedQueue,
    EventTrigger,
    HealthSnapshot,
    JobTarget,
    MissingPermission,
    PolicyHolder,
    SkippedCheck,
    WebhookSecret,
)
from treadle.model.runs import PendingStart, Run, Unanswered
from treadle.model.sensors import SensorState
from treadle.model.targets import JobSettings
from treadle.model.ticks import ErrorInfo, PlannedRun, RejectedRequest, Tick, TickKind
from treadle.operate.doctor import COUNTED, LATE_MS, Doctor
from treadle.operate.drops import TickDrops
from treadle.operate.findings import Finding, Severity, of_unknown_jobs
from treadle.operate.moved_jobs import Addresses
from treadle.operate.overview import Overview
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.health import InMemoryHealth

OWNER = "sensor watch"
TOPIC = AlertAddress("sensor alert", "sns", "arn:ops", "TREADLE_ALERT_SNS_TOPIC")
HEALTHY = HealthSnapshot(
    switches=(
        EventTrigger("schedule", OWNER, "s", is_on=True),
        EventTrigger("rule", OWNER, "r", is_on=True),
        EventTrigger("mapping", OWNER, "m", is_on=True),
    ),
    backlogs=(
        Backlog(OWNER, "q", 3, oldest_seconds=20),
        Backlog("", "dead", 0),
        Backlog("launch", "f", None),
    ),
    buckets=(Bucket("watch", "landing", announces=True),),
    targets=(JobTarget("load", "arn", "LoadArn", exists=True),),
    holders=(PolicyHolder("arn", "role", "watch"),),
    clock_ahead_ms=400,
)


def examined(
    harness: EngineHarness,
    snapshot: HealthSnapshot = HEALTHY,
    answer: Mapping[str, object] | None = None,
    addresses: Addresses | None = None,
) -> list[Finding]:
    """Return the findings."""
    sensor = DeployedSensor("watch", "schedule", "", ("load",), DefaultSensorStatus.RUNNING, 60)
    deployment = InMemoryDeployment([sensor], {"watch": lambda event: {"name": "watch"}})
    if answer is not None:
        del deployment.functions["watch"]
    overview = Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)
    health = InMemoryHealth(snapshot)
    doctor = Doctor(deployment, health, overview, harness.ticks, harness.runs, harness.clock, addresses)
    return doctor.examine()


def test_queue_of_others_waits_for_a_stopped_sensor_and_that_is_no_fault(harness: EngineHarness) -> None:
    """Its mapping is off and its messages grow old, as they should; of a running one both are."""
    found = {}
    for status in (DefaultSensorStatus.STOPPED, DefaultSensorStatus.RUNNING):
        sensor = DeployedSensor("watch", "queue", "", ("load",), status)
        deployment = InMemoryDeployment([sensor], {"watch": lambda event: {"name": "watch"}})
        overview = Overview(deployment, harness.sensors, harness.ticks, harness.runs, harness.clock)
        snapshot = replace(
            HEALTHY,
            switches=(EventTrigger("mapping", OWNER, "m", is_on=False),),
            backlogs=(Backlog(OWNER, "orders", 3, oldest_seconds=90_000),),
            queues=(ConsumedQueue("watch", "orders", "watch", True, 60, 60),),
        )
        health = InMemoryHealth(snapshot)
        doctor = Doctor(deployment, health, overview, harness.ticks, harness.runs, harness.clock)
        found[status] = [each.check for each in wrong(doctor.examine())]

    assert found == {DefaultSensorStatus.STOPPED: [], DefaultSensorStatus.RUNNING: ["mappings", "queues"]}


def wrong(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each.severity is not Severity.OK]


def only(findings: list[Finding]) -> Finding:
    [found] = wrong(findings)
    assert found.advice, "each says what to do"
    assert findings[0] == found, "the worst is first"
    return found


def test_nothing_is_wrong_with_a_healthy_deployment_and_each_check_says_so(harness: EngineHarness) -> None:
    findings = examined(harness)

    assert wrong(findings) == []
    assert sorted({each.check for each in findings}) == [
        "alarms",
        "buckets",
        "clock",
        "configuration",
        "dead letters",
        "jobs",
        "mappings",
        "permissions",
        "queues",
        "requests",
        "rules",
        "schedules",
        "sensor roles",
        "sensors",
    ]


OFF: list[tuple[str, dict[str, Any], str, str]] = [
    ("schedules", {"switches": (EventTrigger("schedule", OWNER, "s", is_on=False),)}, OWNER, "is disabled, so it does not tick"),
    ("rules", {"switches": (EventTrigger("rule", OWNER, "r", is_on=False),)}, OWNER, "so it receives no events"),
    ("rules", {"switches": (EventTrigger("rule", OWNER, "r", is_on=True, missing="QUEUED"),)}, OWNER, "waits for events that are not published: QUEUED"),
    ("mappings", {"switches": (EventTrigger("mapping", "launch", "m", is_on=False),)}, "launch", "Its event source mapping m is disabled"),
    ("queues", {"backlogs": (Backlog("launch", "q", 4, oldest_seconds=301),)}, "launch", "oldest of 4 messages has waited for 301 s"),
    ("queues", {"backlogs": (Backlog("dispatch", "f", None, oldest_seconds=900),)}, "dispatch", "oldest record of its stream"),
    ("dead letters", {"backlogs": (Backlog("", "dead", 1, in_flight=1),)}, "dead", "It has 2 messages."),
    ("buckets", {"buckets": (Bucket("watch", "b", announces=False, remedy="aws s3api"),)}, OWNER, "sends no events"),
    ("buckets", {"buckets": (Bucket("watch", "b", has_versions=False, versioning_remedy="aws s3api"),)}, OWNER, "The versioning of bucket b is not enabled"),
    ("queues", {"queues": (ConsumedQueue("watch", "orders", "", True, 360, 60),)}, OWNER, "has no tag treadle:sensor"),
    ("queues", {"queues": (ConsumedQueue("watch", "orders", "other", True, 360, 60),)}, OWNER, "is tagged for sensor other"),
    ("queues", {"queues": (ConsumedQueue("watch", "orders", "watch", False, 360, 60),)}, OWNER, "has no redrive policy"),
    ("queues", {"queues": (ConsumedQueue("watch", "orders", "watch", True, 59, 60),)}, OWNER, "The visibility timeout of queue orders is 59 s"),
    ("queues", {"queues": (ConsumedQueue("watch", "orders", error="Queue orders does not exist"),)}, OWNER, "Queue orders does not exist."),
    ("secrets", {"secrets": (WebhookSecret("watch", "a", "The secret a does not exist"),)}, OWNER, "The secret a does not exist, so no request to the sensor is accepted."),
    ("buckets", {"buckets": (Bucket("watch", "b", "NoSuchBucket"),)}, OWNER, "NoSuchBucket"),
    ("jobs", {"targets": (JobTarget("load", "", "LoadArn", exists=False),)}, "load", "The job has no target address, so its runs fail."),
    ("jobs", {"targets": (JobTarget("load", "arn", "LoadArn", exists=False),)}, "load", "Its target does not exist: arn."),
    ("permissions", {"denials": (MissingPermission("launch", "sqs:SendMessage", "arn", "none of its role's policies allows it"),)}, "launch", "It is denied sqs:SendMessage on arn"),
    ("sensor roles", {"holders": (PolicyHolder("ann", "user"),)}, "user ann", "has the engine's policies for evaluators"),
    ("alarms", {"alarms": (Alarm("oops", 0, "too many"),)}, "oops", "since 1970-01-01T00:00:00.000Z: too many"),
    ("alerts", {"channels": (AlertChannel(TOPIC, "SNS topic ops is not there", "Create it."),)}, "sensor alert", "Alerts do not arrive: SNS topic ops is not there"),
    ("schedules", {"switches": (EventTrigger("schedule", OWNER, "s", is_on=False, error="it no longer exists"),)}, OWNER, "it no longer exists"),
    ("functions", {"activities": (Activity(OWNER, "f", 9, 3),)}, OWNER, "The last 3 invocations of its function f ended in an error"),
    ("clock", {"clock_ahead_ms": -61_000}, "this machine", "61 s behind AWS's"),
]  # fmt: skip


@pytest.mark.parametrize(("check", "change", "subject", "message"), OFF, ids=[each[0] for each in OFF])
def test_fault_is_a_problem_with_its_subject_and_what_to_do(
    harness: EngineHarness, check: str, change: dict[str, Any], subject: str, message: str
) -> None:
    findings = examined(harness, replace(HEALTHY, **change))

    found = only(findings)
    assert (found.check, found.subject, found.severity) == (check, subject, Severity.PROBLEM)
    assert message in found.message
    assert check not in {each.check for each in findings if each.severity is Severity.OK}


def test_what_is_denied_names_the_missing_permission_and_is_not_reported_to_be_in_order(
    harness: EngineHarness,
) -> None:
    unread = SkippedCheck("queues", "the queues", "sqs:GetQueueAttributes", "AccessDenied")

    findings = examined(harness, replace(HEALTHY, backlogs=(), unread=(unread,)))

    found = only(findings)
    assert (found.check, found.severity) == ("queues", Severity.WARNING)
    assert found.message == "Not checked: AccessDenied"
    assert found.advice == "Grant yourself sqs:GetQueueAttributes."
    assert "queues" not in {each.check for each in findings if each.severity is Severity.OK}


@pytest.mark.parametrize(
    ("address", "message"),
    [("", "no target address yet"), ("arn:load", "Its target does not exist yet: arn:load")],
)
def test_job_that_no_running_sensor_may_start_needs_no_target_yet(
    harness: EngineHarness, address: str, message: str
) -> None:
    """The project as it is shipped has such a job, of a sensor that is stopped."""
    keep(harness, status=InstigatorStatus.STOPPED)

    findings = examined(harness, replace(HEALTHY, targets=(JobTarget("load", address, "?", exists=False),)))

    assert wrong(findings) == []
    assert message in next(each for each in findings if each.subject == "load").message


def test_job_of_a_paused_sensor_needs_its_target(harness: EngineHarness) -> None:
    """It continues once it is started again."""
    keep(harness, status=InstigatorStatus.STOPPED, paused="after failures")

    findings = examined(
        harness, replace(HEALTHY, targets=(JobTarget("load", "arn:load", "?", exists=False),))
    )

    assert "load" in {each.subject for each in wrong(findings)}


def test_mapping_that_works_in_vain_is_a_warning(harness: EngineHarness) -> None:
    vain = EventTrigger("mapping", "launch", "m", is_on=True, error="PROBLEM: Function call failed")

    found = only(examined(harness, replace(HEALTHY, switches=(vain,))))

    assert (found.severity, found.subject) == (Severity.WARNING, "launch")
    assert "PROBLEM: Function call failed" in found.message


def test_function_that_does_not_begin_is_a_problem_with_its_own_message(harness: EngineHarness) -> None:
    found = only(examined(harness, answer={}))

    assert (found.check, found.subject) == ("configuration", OWNER)
    assert "The function of sensor watch failed" in found.message


def test_one_error_of_a_function_is_a_warning(harness: EngineHarness) -> None:
    found = only(examined(harness, replace(HEALTHY, activities=(Activity("launch", "f", 9, 1),))))
    assert (found.check, found.severity) == ("functions", Severity.WARNING)


def test_function_that_does_not_load_and_therefore_crashes_is_one_problem(harness: EngineHarness) -> None:
    snapshot = replace(HEALTHY, activities=(Activity(OWNER, "f", 9, 9),))

    assert only(examined(harness, snapshot, answer={})).check == "configuration"


def test_channels_that_are_there_are_in_order(harness: EngineHarness) -> None:
    findings = examined(harness, replace(HEALTHY, channels=(AlertChannel(TOPIC),)))

    assert wrong(findings) == []
    assert (
        "1 topics, secrets and senders" in next(each for each in findings if each.check == "alerts").message
    )


# ---- Sensors


def keep(harness: EngineHarness, **fields: Any) -> None:
    harness.tables.sensors["watch"] = SensorState("watch", **fields)


def test_paused_sensor_is_a_problem_with_why(harness: EngineHarness) -> None:
    keep(harness, status=InstigatorStatus.STOPPED, paused="Paused after 5 failures in a row")

    found = only(examined(harness))

    assert found.message == "It is paused: Paused after 5 failures in a row."
    assert "treadle sensor start watch" in found.advice


def test_failing_sensor_is_a_problem_with_its_last_error(harness: EngineHarness) -> None:
    now = harness.clock.now()
    keep(harness, failure_streak=3, resume_at=now + 5, last_scheduled_for=now)
    error = ErrorInfo("ValueError", "no such column")
    harness.ticks.put(Tick("watch", "t", TickKind.LEASED, TickStatus.FAILURE, now, now, now, error=error))

    says = only(examined(harness)).message

    assert says.startswith("3 ticks in a row have failed; in backoff until ")
    assert says.endswith("ValueError: no such column.")


def test_sensor_that_does_not_tick_is_a_problem(harness: EngineHarness) -> None:
    keep(harness, last_scheduled_for=harness.clock.now() - 1_000_000)

    assert only(examined(harness)).message == "Its tick is 940 s overdue."


def test_sensor_that_somebody_stopped_is_no_problem(harness: EngineHarness) -> None:
    keep(harness, status=InstigatorStatus.STOPPED, last_scheduled_for=1)

    assert wrong(examined(harness)) == []


# ---- What nobody processes


def test_ticks_that_nobody_dispatches_are_a_problem(harness: EngineHarness) -> None:
    then = harness.clock.now() - LATE_MS - 1
    request = PlannedRun("r", None, "load", "{}", {})
    tick = Tick("watch", "t", TickKind.EVENT, TickStatus.SUCCESS, then, then, then, requests=(request,))
    harness.ticks.put(tick)

    found = only(examined(harness))

    assert (found.check, found.subject) == ("lag", "dispatch")
    assert "1 ticks have waited for dispatch" in found.message


def test_runs_that_nobody_checks_are_a_problem(harness: EngineHarness) -> None:
    then = harness.clock.now() - LATE_MS - 1
    harness.runs.create(Run("r", "load", "watch", None, "t", "{}", {}, then, next_at=then))

    found = only(examined(harness))

    assert (found.check, found.subject) == ("lag", "reconcile")


def test_job_whose_runs_a_sensor_waits_for_and_nobody_has_is_a_problem() -> None:
    sensors = [
        DeployedSensor(
            "watch",
            "run_status",
            "",
            ("load",),
            DefaultSensorStatus.RUNNING,
            subscription=Subscription(jobs=("load", "lode"), statuses=("SUCCESS",)),
        )
    ]

    [found] = of_unknown_jobs(sensors, HEALTHY)

    assert (found.check, found.subject, found.severity) == ("jobs", OWNER, Severity.PROBLEM)
    assert "It waits for runs of job lode" in found.message
    assert "Registered jobs: load" in found.advice
    unread = replace(
        HEALTHY, unread=(SkippedCheck("jobs", "the target of job load", "glue:GetJob", "denied"),)
    )
    assert list(of_unknown_jobs(sensors, unread)) == []


MACHINE = "arn:aws:states:us-east-1:123456789012:stateMachine:load"
TASK = "arn:aws:ecs:us-east-1:123456789012:task-definition/load"


def under_way(harness: EngineHarness, kind: str, address: str, **fields: Any) -> None:
    """Record a run that is in progress at an address."""
    now = harness.clock.now()
    run = Run(
        "r",
        "load",
        "watch",
        "k",
        "t",
        "{}",
        {},
        now,
        pending_start=PendingStart("t", now, address, kind),
        next_at=now + 9,
    )
    harness.tables.runs["r"] = replace(run, **fields)


def at(kind: str, address: str, *former: str) -> Addresses:
    """Return a deployment whose only job is there."""
    place = "123456789012/us-east-1/treadle"
    return Addresses({"load": JobSettings("load", kind, address, "LoadArn", former=former)}, place)


@pytest.mark.parametrize(
    ("kind", "address", "deployed"),
    [
        ("step_functions", MACHINE, MACHINE),
        ("ecs", f"{TASK}:3", f"{TASK}:4"),
        ("sqs", "arn:aws:sqs:us-east-1:123456789012:old", "arn:aws:sqs:us-east-1:123456789012:new"),
    ],
)
def test_runs_under_way_where_a_job_is_are_in_order(
    harness: EngineHarness, kind: str, address: str, deployed: str
) -> None:
    under_way(harness, kind, address)

    findings = examined(harness, addresses=at(kind, deployed))

    assert wrong(findings) == []
    [found] = [each for each in findings if each.check == "runs under way"]
    assert found.message == "1 are at a current target of a job."


def test_runs_under_way_where_no_job_is_any_more_are_a_problem_that_names_the_entry(
    harness: EngineHarness,
) -> None:
    under_way(harness, "step_functions", MACHINE)

    found = only(examined(harness, addresses=at("step_functions", f"{MACHINE}-2")))

    assert (found.check, found.subject, found.severity) == ("runs under way", "job load", Severity.PROBLEM)
    assert f"1 of its runs are in progress at {MACHINE}, which is no longer a job's target" in found.message
    assert f'Add {MACHINE} to "former" in the entry of job load' in found.advice


def test_runs_under_way_of_a_job_that_is_gone_are_a_problem_with_another_advice(
    harness: EngineHarness,
) -> None:
    under_way(harness, "ecs", f"{TASK}:3")

    found = only(examined(harness, addresses=Addresses({})))

    assert "Deploy its entry and its role again" in found.advice


@pytest.mark.parametrize(
    ("kind", "address", "now", "former"),
    [
        ("step_functions", MACHINE, ("step_functions", f"{MACHINE}-2"), MACHINE),
        ("step_functions", MACHINE, ("ecs", f"{TASK}:3"), MACHINE),
        ("ecs", f"{TASK}:3", ("ecs", f"{TASK}-2:1"), f"{TASK}:3"),
        ("glue", "nightly", ("glue", "weekly"), "arn:aws:glue:us-east-1:123456789012:job/nightly"),
        ("glue", "arn:aws:glue:us-east-1:123456789012:job/nightly", ("glue", "weekly"), "nightly"),
    ],
)
def test_runs_under_way_at_a_former_address_that_is_kept_are_reported_and_in_order(
    harness: EngineHarness, kind: str, address: str, now: tuple[str, str], former: str
) -> None:
    under_way(harness, kind, address)

    findings = examined(harness, addresses=at(*now, former))

    assert wrong(findings) == []
    kept = "the entry of job load lists it as a former target until they have ended"
    assert any(kept in each.message for each in findings)


def test_a_former_address_of_another_kind_keeps_nothing(harness: EngineHarness) -> None:
    under_way(harness, "glue", "nightly")

    assert only(examined(harness, addresses=at("batch", "weekly", "nightly"))).severity is Severity.PROBLEM


def test_runs_whose_target_cannot_be_queried_are_a_problem_with_its_message(harness: EngineHarness) -> None:
    denied = Unanswered(
        "not authorized to perform: states:DescribeExecution", harness.clock.now(), harness.clock.now()
    )
    under_way(harness, "step_functions", MACHINE, unanswered=denied)

    found = only(examined(harness, addresses=at("step_functions", MACHINE)))

    assert "1 of its runs" in found.message
    assert "states:DescribeExecution" in found.message
    assert "Grant the job's role the missing permission" in found.advice


def test_doctor_names_the_sensor_and_the_reason_of_what_is_held_refused_or_rejected(
    harness: EngineHarness,
) -> None:
    held, refused = committed(harness, "k", number=1, job="other_job"), committed(harness, "r", number=2)
    harness.dispatcher().dispatch(held)
    harness.dispatcher().dispatch(replace(refused, depth=DEFAULT_DEPTH))
    rejected = replace(committed(harness, "a", number=3), rejected=(RejectedRequest("big", "too large"),))
    harness.tables.ticks["watch", rejected.tick_id] = rejected

    findings = [each for each in examined(harness) if each.check == "requests"]

    assert {each.subject for each in findings} == {"sensor watch"}
    text = " ".join(f"{each.severity} {each.message}" for each in findings)
    assert "problem Requests of a tick are held" in text
    assert "may not start job 'other_job'" in text
    assert f"problem Requests of a tick of the last day were refused; the newest is {refused.tick_id}" in text
    assert (
        f"warning Requests of a tick of the last day were rejected because they could never run; the newest is {rejected.tick_id}"
        in text
    )


def test_doctor_counts_what_it_has_seen_of_held_ticks_as_a_part(harness: EngineHarness) -> None:
    for number in range(COUNTED + 1):
        harness.dispatcher().dispatch(committed(harness, f"k{number}", number=number, job="other_job"))

    [found] = [each for each in examined(harness) if each.check == "requests"]

    assert f"Requests of at least {COUNTED} ticks are held" in found.message


def test_doctor_says_nothing_of_requests_that_an_operator_has_dropped(harness: EngineHarness) -> None:
    held = committed(harness, "k", job="other_job")
    harness.dispatcher().dispatch(held)
    TickDrops(harness.ticks, harness.clock).drop("watch", held.tick_id, "ann", "a typo")
    before = [each.severity for each in examined(harness) if each.check == "requests"]
    harness.reconciler().reconcile(50)

    after = [each.severity for each in examined(harness) if each.check == "requests"]

    assert (before, after) == ([Severity.OK], [Severity.OK])


def test_tick_whose_record_cannot_be_read_is_a_problem_and_hides_no_other(harness: EngineHarness) -> None:
    held, damaged = committed(harness, "k", job="other_job"), committed(harness, "d", number=2)
    harness.dispatcher().dispatch(held)
    harness.tables.unreadable["watch", damaged.tick_id] = "requests is no JSON"

    findings = [each for each in wrong(examined(harness)) if each.check == "requests"]

    text = " ".join(each.message for each in findings)
    assert f"The record of tick {damaged.tick_id} cannot be read" in text
    assert "may not start job 'other_job'" in text
    assert all(each.advice for each in findings)


@pytest.mark.parametrize("name", ["nightly", "arn:aws:glue:us-east-1:123456789012:job/nightly"])
def test_advice_on_a_former_glue_job_is_a_value_that_entry_and_role_take(
    harness: EngineHarness, name: str
) -> None:
    under_way(harness, "glue", name)

    found = only(examined(harness, addresses=at("glue", "weekly")))

    assert "Add arn:aws:glue:us-east-1:123456789012:job/nightly to" in found.advice


def test_run_of_unknown_kind_at_the_bare_name_of_its_job_is_in_order(harness: EngineHarness) -> None:
    under_way(harness, "", "weekly")

    assert wrong(examined(harness, addresses=at("glue", "weekly"))) == []


def test_ticks_whose_requests_cannot_be_fetched_are_a_problem(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    lost = committed(harness, "k")

    def gone(store: object, sensor: str, tick_id: str) -> None:
        raise StoreError(f"The requests of tick {tick_id} of sensor {sensor} are gone")

    monkeypatch.setattr(type(harness.ticks), "get", gone)

    [found] = [each for each in examined(harness) if each.check == "requests"]

    assert (found.severity, lost.tick_id in found.message) == (Severity.PROBLEM, True)
