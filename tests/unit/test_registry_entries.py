"""Entries of the registry, as projects' templates write them."""

import json

import pytest

from treadle.definitions.errors import RegistryEntryError
from treadle.ports.launching import JobSettings
from treadle.ports.registry import CONTRACT, JobEntry, Registry, SensorEntry, parse_job, parse_sensor

KINDS = frozenset({"step_functions", "batch"})
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


def test_job_is_read() -> None:
    more = {
        "role": "arn:aws:iam::1:role/r",
        "options": {"queue": "q"},
        "sensors": "daily",
        "parameter": "LoadArn",
        "observed": "true",
    }

    assert parse_job("load", json.dumps(JOB | more), KINDS) == JobEntry(
        "load",
        "shop",
        JobSettings("load", "batch", JOB["arn"], "LoadArn", {"queue": "q"}, "arn:aws:iam::1:role/r"),
        frozenset({"daily"}),
        is_observed=True,
    )


@pytest.mark.parametrize(
    ("name", "text", "words"),
    [
        ("a b", json.dumps(SENSOR), "'a b' cannot name a sensor"),
        ("daily", "{", "it is not JSON"),
        ("daily", "[" * 100_000, "it is not JSON"),
        ("daily", "[]", "it is a JSON list, and must be an object"),
        ("daily", json.dumps(SENSOR | {"function": ""}), "it has no function"),
        ("daily", json.dumps(SENSOR | {"jobs": ["load"]}), r"its jobs is \['load'\], and must be a text"),
        (
            "daily",
            json.dumps(SENSOR | {"contract": "two"}),
            "its contract is 'two', and must be a whole number",
        ),
        ("daily", json.dumps(SENSOR | {"contract": "0"}), "Deploy its project with a newer version"),
        (
            "daily",
            json.dumps(SENSOR | {"contract": str(CONTRACT + 1)}),
            "Deploy the engine with a newer version",
        ),
    ],
)
def test_malformed_sensor_is_refused_with_what_to_do(name: str, text: str, words: str) -> None:
    with pytest.raises(RegistryEntryError, match=words):
        parse_sensor(name, text)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"observed": "yes"}, "its observed is 'yes', and must be true or false"),
        ({"target": "cron"}, "its target is 'cron'. Use one of: batch, step_functions"),
        ({"target": ""}, "it has no target"),
        ({"options": []}, "its options are not an object of texts"),
        ({"options": {"queue": 1}}, "its options are not an object of texts"),
        ({"project": 3}, "its project is 3, and must be a text"),
    ],
)
def test_malformed_job_is_refused_with_what_to_do(change: dict[str, object], words: str) -> None:
    with pytest.raises(RegistryEntryError, match=words):
        parse_job("load", json.dumps(JOB | change), KINDS)


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
