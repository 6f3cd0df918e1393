"""Addresses of targets: in which account, under which name, and with whose permissions."""

from dataclasses import replace

import pytest

from treadle.engine.record.arns import (
    arn_matches,
    full_address,
    is_elsewhere,
    kind_of_run,
    partition_of,
    role_of_run,
    role_of_start,
)
from treadle.model.runs import PendingStart, Run
from treadle.model.targets import JobSettings

OWN, OTHER = "123456789012/us-east-1/treadle", "210987654321/us-east-1/treadle"
GLUE = "arn:aws:glue:us-east-1:123456789012:job/load"
BATCH = "arn:aws:batch:us-east-1:123456789012:job-definition/load"
FUNCTION = "arn:aws:lambda:us-east-1:123456789012:function:load"
SETTINGS = JobSettings(
    "load", "glue", "arn:aws:glue:us-east-1:123456789012:job/new", "LoadArn", role="deployed"
)
START = PendingStart("t", 0, GLUE, "glue", role="recorded")
RUN = Run("run", "load", "watch", "key", "tick", "{}", {}, 0, pending_start=START)


@pytest.mark.parametrize(
    ("region", "partition"),
    [("us-east-1", "aws"), ("cn-north-1", "aws-cn"), ("us-gov-west-1", "aws-us-gov"), ("", "aws")],
)
def test_regions_are_in_three_partitions(region: str, partition: str) -> None:
    assert partition_of(region) == partition


@pytest.mark.parametrize(
    ("kind", "given", "address"),
    [
        ("glue", "load", GLUE),
        ("batch", "load", BATCH),
        ("glue", BATCH, BATCH),
        ("lambda", "load", "load"),
    ],
)
def test_plain_name_is_in_the_engines_account_and_region(kind: str, given: str, address: str) -> None:
    assert full_address(kind, given, OWN) == address


@pytest.mark.parametrize(
    ("address", "place", "expected"),
    [
        (GLUE, OWN, False),
        (GLUE, OTHER, True),
        (GLUE, "", False),
        ("load", OTHER, False),
        (None, OTHER, False),
        ("arn:aws:glue:us-east-1:123456789012", OTHER, False),
    ],
)
def test_only_an_arn_of_another_account_is_elsewhere(
    address: str | None, place: str, *, expected: bool
) -> None:
    assert is_elsewhere(address, place) is expected


@pytest.mark.parametrize(
    ("kind", "reported", "given", "expected"),
    [
        ("glue", GLUE, "load", True),
        ("glue", GLUE, "other", False),
        ("glue", "", "", False),
        ("glue", "", "load", False),
        ("glue", GLUE, None, False),
        ("ecs", GLUE, GLUE, True),
        ("ecs", GLUE, "load", False),
        ("batch", f"{BATCH}:3", "load", True),
        ("batch", f"{BATCH}:3", BATCH, True),
        ("batch", f"{BATCH}:3", f"{BATCH}:4", False),
        ("batch", f"{BATCH}:x", BATCH, False),
        ("glue", f"{GLUE}:3", GLUE, False),
        ("lambda", FUNCTION, f"{FUNCTION}:live", True),
        ("lambda", FUNCTION, f"{FUNCTION}2:live", False),
    ],
)
def test_reported_address_matches_what_is_deployed(
    kind: str, reported: str, given: str | None, *, expected: bool
) -> None:
    assert arn_matches(kind, reported, given, OWN) is expected


@pytest.mark.parametrize(
    ("settings", "start", "role"),
    [
        (SETTINGS, START, "recorded"),
        (SETTINGS, replace(START, target=SETTINGS.arn), "deployed"),
        (SETTINGS, replace(START, role=None), "deployed"),
        (SETTINGS, replace(START, role=""), ""),
        (SETTINGS, replace(START, target=SETTINGS.arn, kind=""), "deployed"),
        (SETTINGS, replace(START, target=SETTINGS.arn, kind="ecs"), "recorded"),
        (replace(SETTINGS, former=(GLUE,)), START, "deployed"),
        (replace(SETTINGS, former=("load",)), START, "deployed"),
        (replace(SETTINGS, former=(GLUE,)), replace(START, target="load"), "deployed"),
        (replace(SETTINGS, former=("other",)), START, "recorded"),
        (replace(SETTINGS, former=(BATCH,)), START, "recorded"),
        (replace(SETTINGS, target="batch", former=("load",)), START, "recorded"),
    ],
)
def test_start_at_a_present_or_former_address_has_the_deployed_role(
    settings: JobSettings, start: PendingStart, role: str
) -> None:
    assert role_of_start(start, settings) == role
    assert role_of_run(replace(RUN, pending_start=start), settings) == role


@pytest.mark.parametrize("start", [None, replace(START, target="")])
def test_run_without_an_address_has_its_jobs_role(start: PendingStart | None) -> None:
    run = replace(RUN, pending_start=start)

    assert role_of_run(run, SETTINGS) == "deployed"
    assert role_of_run(run, None) == ""


def test_run_whose_job_is_gone_has_the_role_of_its_start() -> None:
    assert role_of_run(RUN, None) == "recorded"
    assert role_of_run(replace(RUN, pending_start=replace(START, role=None)), None) == ""


@pytest.mark.parametrize(
    ("run", "settings", "kind"),
    [
        (replace(RUN, pending_start=replace(START, kind="ecs")), SETTINGS, "ecs"),
        (replace(RUN, pending_start=replace(START, kind="", target=BATCH)), SETTINGS, "batch"),
        (replace(RUN, pending_start=replace(START, kind=""), target=BATCH), SETTINGS, "batch"),
        (replace(RUN, pending_start=None, target=BATCH), SETTINGS, "batch"),
        (replace(RUN, pending_start=None), SETTINGS, "glue"),
        (replace(RUN, pending_start=None), None, ""),
    ],
)
def test_runs_target_type_is_that_of_its_start_then_of_its_address_then_of_its_job(
    run: Run, settings: JobSettings | None, kind: str
) -> None:
    assert kind_of_run(run, settings) == kind
