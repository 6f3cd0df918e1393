"""Entries of the registry, as projects' templates write them."""

import json

import pytest

from treadle.definitions.errors import RegistryEntryError
from treadle.model.registry import (
    CONTRACT,
    JobEntry,
    KeptEntry,
    Registry,
    RegistryCopy,
    SensorEntry,
    parse_job,
    parse_sensor,
)
from treadle.model.targets import JobSettings

KINDS = frozenset({"step_functions", "batch", "lambda"})
SENSOR = {"project": "shop", "function": "shop-Daily", "kind": "schedule", "jobs": "load, clean"}
JOB = {"project": "shop", "target": "batch", "arn": "arn:aws:batch:r:1:job-definition/load:3"}


def test_sensor_is_read() -> None:
    text = json.dumps(SENSOR | {"queue": "https://q", "rule": "bus|rule", "log_group": "/treadle/shop"})

    assert parse_sensor("daily", text) == SensorEntry(
        "daily",
        "shop",
        "shop-Daily",
        "schedule",
        frozenset({"load", "clean"}),
        "https://q",
        "bus|rule",
        "/treadle/shop",
        CONTRACT,
    )


def test_limits_of_a_sensor_are_read() -> None:
    plain, own = (
        parse_sensor("daily", json.dumps(SENSOR | more))
        for more in ({}, {"runs_per_hour": "200", "loops": "ALLOW"})
    )

    assert (plain.runs_per_hour, plain.holds_loops) == (None, True)
    assert (own.runs_per_hour, own.holds_loops) == (200, False)
    assert parse_sensor("daily", json.dumps(SENSOR | {"runs_per_hour": "0"})).runs_per_hour == 0


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"runs_per_hour": "many"}, "its runs_per_hour is 'many'; it must be a whole number of runs"),
        ({"loops": "NEVER"}, "its loops is 'NEVER'; it must be HOLD or ALLOW"),
    ],
)
def test_limit_that_is_none_is_a_problem_of_the_entry(field: dict[str, str], message: str) -> None:
    with pytest.raises(RegistryEntryError, match=message):
        parse_sensor("daily", json.dumps(SENSOR | field))


@pytest.mark.parametrize(("kind", "is_watched"), [("s3", True), ("schedule", False)])
def test_only_sensors_over_buckets_are_watched_for_loops(kind: str, is_watched: bool) -> None:
    entry = parse_sensor("daily", json.dumps(SENSOR | {"kind": kind}))

    assert entry.is_watched_for_loops is is_watched


def test_job_is_read() -> None:
    more = {
        "role": "arn:aws:iam::1:role/r",
        "options": {"queue": "q"},
        "sensors": "daily",
        "parameter": "LoadArn",
        "observed": "true",
        "former": "load:2, arn:aws:states:r:1:stateMachine:load,",
    }
    former = ("load:2", "arn:aws:states:r:1:stateMachine:load")

    assert parse_job("load", json.dumps(JOB | more), KINDS) == JobEntry(
        "load",
        "shop",
        JobSettings("load", "batch", JOB["arn"], "LoadArn", {"queue": "q"}, "arn:aws:iam::1:role/r", former),
        frozenset({"daily"}),
        is_observed=True,
    )


def test_address_of_a_job_is_reported_as_that_of_its_entry() -> None:
    """Messages name what gives the address: there is no parameter for it."""
    assert parse_job("load", json.dumps(JOB), KINDS).settings.parameter == "the registry entry of job load"


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a b", json.dumps(SENSOR), "'a b' cannot name a sensor"),
        ("daily", "{", "it is not JSON"),
        ("daily", "[" * 100_000, "it is not JSON"),
        ("daily", "[]", "it is a JSON list; it must be an object"),
        ("daily", json.dumps(SENSOR | {"function": ""}), "it has no function"),
        ("daily", json.dumps(SENSOR | {"jobs": ["load"]}), r"its jobs is \['load'\]; it must be a string"),
        (
            "daily",
            json.dumps(SENSOR | {"contract": "two"}),
            "its contract is 'two'; it must be a whole number",
        ),
        ("daily", json.dumps(SENSOR | {"contract": "0"}), "Deploy its project with a newer version"),
        (
            "daily",
            json.dumps(SENSOR | {"contract": str(CONTRACT + 1)}),
            "Deploy the engine with a newer version",
        ),
    ],
)
def test_malformed_sensor_is_refused_with_what_to_do(name: str, text: str, message: str) -> None:
    with pytest.raises(RegistryEntryError, match=message):
        parse_sensor(name, text)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"observed": "yes"}, "its observed is 'yes'; it must be true or false"),
        ({"observed": "true", "target": "lambda"}, "it is observed, but jobs on lambda cannot be observed"),
        ({"former": ["load"]}, r"its former is \['load'\]; it must be a string"),
        ({"target": "cron"}, "its target is 'cron'. Use one of: batch, lambda, step_functions"),
        ({"target": ""}, "it has no target"),
        ({"options": []}, "its options are not an object of strings"),
        ({"options": {"queue": 1}}, "its options are not an object of strings"),
        ({"project": 3}, "its project is 3; it must be a string"),
    ],
)
def test_malformed_job_is_refused_with_what_to_do(change: dict[str, object], message: str) -> None:
    with pytest.raises(RegistryEntryError, match=message):
        parse_job("load", json.dumps(JOB | change), KINDS)


ADDRESSES = (
    "arn:aws:states:eu-central-1:123456789012:stateMachine:load+1",
    "arn:aws:glue:eu-central-1:123456789012:job/load all",
    "arn:aws:batch:eu-central-1:123456789012:job-definition/load:3",
    "arn:aws-cn:ecs:cn-north-1:123456789012:task-definition/load:3",
    "arn:aws:lambda:eu-central-1:123456789012:function:load:live",
    "arn:aws:sqs:eu-central-1:123456789012:load.fifo",
    "arn:aws:events:eu-central-1:123456789012:event-bus/load",
)


def test_former_addresses_may_be_of_every_kind() -> None:
    job = parse_job("load", json.dumps(JOB | {"former": ",".join(ADDRESSES)}), KINDS)

    assert job.settings.former == ADDRESSES


@pytest.mark.parametrize(
    ("target", "address"),
    [
        ("step_functions", "arn:aws:states:eu-central-1:123456789012:execution:load:*"),
        ("step_functions", "arn:aws:states:eu-central-1:123456789012:execution:load"),
        ("step_functions", "arn:aws:states:eu-central-1:123456789012:stateMachine:*"),
        ("step_functions", "arn:aws:states:eu-central-1:123456789012:stateMachine:"),
        ("step_functions", "arn:aws:states:eu-central-1"),
        ("step_functions", "arn:aws:s3:::bucket"),
        ("step_functions", "load"),
        ("batch", "load*"),
        ("batch", "arn:aws:batch:eu-central-1:123456789012:job-queue/load"),
    ],
)
def test_what_no_job_can_have_as_its_address_is_no_former_one(target: str, address: str) -> None:
    """Such as what the resources of a role may be besides."""
    fields = JOB | {"target": target, "former": f"{ADDRESSES[0]},{address}"}

    with pytest.raises(RegistryEntryError) as refused:
        parse_job("load", json.dumps(fields), KINDS)

    assert f"its former has {address!r}, which is not a valid value of arn" in str(refused.value)


def registry(*, jobs: str = "load", sensors: str = "", project: str = "shop") -> Registry:
    sensor = parse_sensor("daily", json.dumps(SENSOR | {"jobs": jobs}))
    job = parse_job("load", json.dumps(JOB | {"sensors": sensors, "project": project}), KINDS)
    return Registry({"daily": sensor}, {"load": job})


@pytest.mark.parametrize(
    ("found", "may"),
    [
        (registry(), True),
        (registry(jobs="clean"), False),
        (registry(project="payments"), False),
        (registry(project="payments", sensors="daily"), True),
        (registry(sensors="hourly"), False),
        (Registry(), False),
    ],
)
def test_start_needs_both_entries(found: Registry, may: bool) -> None:
    """Whoever writes a sensor's entry cannot start another project's job by it."""
    assert found.may_start("daily", "load") is may


def test_only_entries_that_have_changed_are_parsed_again() -> None:
    """RECONCILE parses the whole copy several times a minute."""
    entries = {"jobs/load": KeptEntry(json.dumps(JOB), 1), "jobs/clean": KeptEntry(json.dumps(JOB), 1)}
    before = RegistryCopy("shop", entries).registry(KINDS)
    changed = KeptEntry(json.dumps(JOB | {"project": "payments"}), 2)

    after = RegistryCopy("shop", entries | {"jobs/clean": changed}).registry(set(KINDS))

    assert after.jobs["load"] is before.jobs["load"]
    assert (before.jobs["clean"].project, after.jobs["clean"].project) == ("shop", "payments")
    assert RegistryCopy("shop", entries).registry(KINDS - {"batch"}).jobs == {}


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"overlap": "NEWEST"}, "its overlap is 'NEWEST'. Use one of: QUEUE, SKIP, LATEST, CANCEL."),
        ({"overlap": 1}, "its overlap is 1; it must be a string."),
        ({"overlap": "SKIP", "target": "lambda"}, "it has overlap, but jobs on lambda cannot be limited"),
    ],
)
def test_overlap_that_a_job_cannot_have_is_named(fields: dict[str, object], problem: str) -> None:
    with pytest.raises(RegistryEntryError) as refused:
        parse_job("load", json.dumps(JOB | fields), KINDS)

    assert str(refused.value).startswith(problem)
