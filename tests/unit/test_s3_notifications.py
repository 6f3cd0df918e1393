"""A bucket that sends no events: detected at low cost, and reported with the command that enables them."""

import json
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from moto import mock_aws

from tests.support.engine import JOB, EngineHarness, keyless
from tests.support.objects import BUCKET, InMemoryLister, object_of
from treadle.adapters import clients
from treadle.adapters.notifications import merging_command, silence
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.integrations.s3 import S3Selection, S3SensorDefinition, StartFrom
from treadle.integrations.s3.lister import S3Lister
from treadle.integrations.s3.sweep import FULL_ROUND_MS, SweepCursor, sweep
from treadle.model.sensors import SkipStreak

SELECTION = S3Selection(BUCKET, start_from=StartFrom.BEGINNING)
LONGEST = "b" * 63


def swept(lister: InMemoryLister, cursor: SweepCursor | None) -> SweepCursor:
    context = SensorEvaluationContext("watch", str(cursor) if cursor else None)
    return sweep(context, SELECTION, lister, lister.clock.now).cursor


def test_bucket_that_sends_events_is_queried_once_a_day() -> None:
    lister = InMemoryLister()
    cursor = None

    for _ in range(10):
        cursor = swept(lister, cursor)
        lister.clock.advance(60)
    assert (cursor and cursor.is_silent, lister.notification_queries) == (False, 1)
    lister.clock.advance(FULL_ROUND_MS / 1000)
    swept(lister, cursor)

    assert lister.notification_queries == 2


def test_silent_bucket_is_queried_at_each_round_until_it_is_not_silent_any_more() -> None:
    lister = InMemoryLister(sends_events=False)
    first = swept(lister, None)
    second = swept(lister, first)
    lister.sends_events = True

    third = swept(lister, second)

    assert [each.is_silent for each in (first, second, third)] == [True, True, False]
    assert lister.notification_queries == 3


def test_bucket_that_may_not_be_queried_is_not_called_silent() -> None:
    assert not swept(InMemoryLister(sends_events=None), None).is_silent


def test_slice_within_a_round_queries_nothing() -> None:
    lister = InMemoryLister([object_of(f"{n:02}") for n in range(30)], seconds_per_page=60)

    swept(lister, swept(lister, None))

    assert lister.notification_queries == 1


def watching(*, sends_events: bool, bucket: str = BUCKET) -> S3SensorDefinition:
    return S3SensorDefinition(
        "watch",
        evaluation_fn=keyless,
        selection=S3Selection(bucket, start_from=StartFrom.BEGINNING),
        lister=InMemoryLister(sends_events=sends_events),
        job_name=JOB,
    )


def test_sweep_of_a_silent_bucket_says_so_with_the_whole_command(harness: EngineHarness) -> None:
    """Also where it is kept with the skips before it, whose reason is cut."""
    outcome = harness.leased(watching(sends_events=False, bucket=LONGEST)).tick(harness.clock.now(), Budget())

    assert outcome.decision is Decision.SKIPPED
    skips = harness.state().skips
    assert isinstance(skips, SkipStreak)
    assert skips.reason.startswith(silence(LONGEST))
    assert ("BucketEventsDisabled", 1, "Count") in outcome.measures


def test_sweep_of_a_bucket_that_sends_events_measures_the_round_only(harness: EngineHarness) -> None:
    outcome = harness.leased(watching(sends_events=True)).tick(harness.clock.now(), Budget())

    [(name, age, unit)] = outcome.measures
    assert (name, unit) == ("SweepAge", "Seconds")
    assert 0 <= age < 60
    assert "EventBridge" not in outcome.reason


AWS_CLI = """#!/bin/sh
case "$2" in
get-bucket-notification-configuration) cat "$ANSWER" ;;
put-bucket-notification-configuration) printf '%s' "$6" > "$TAKEN" ;;
esac
"""


@pytest.mark.skipif(shutil.which("jq") is None, reason="the command needs jq, as CloudShell has it")
@pytest.mark.parametrize(
    "present",
    [None, {"QueueConfigurations": [{"Id": "a'b", "QueueArn": "q"}]}, {"EventBridgeConfiguration": {}}],
)
def test_command_keeps_what_is_there_and_adds_eventbridge(
    tmp_path: Path, present: dict[str, object] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run in a shell over a stand-in for the AWS CLI, which prints nothing of an empty configuration."""
    cli, answer, taken = (tmp_path / name for name in ("aws", "answer", "taken"))
    cli.write_text(AWS_CLI)
    cli.chmod(0o755)
    answer.write_text(json.dumps(present) if present else "")
    monkeypatch.setenv("PATH", str(tmp_path), prepend=":")
    monkeypatch.setenv("ANSWER", str(answer))
    monkeypatch.setenv("TAKEN", str(taken))

    subprocess.run(["/bin/sh", "-c", merging_command(BUCKET)], check=True)

    assert json.loads(taken.read_text()) == {**(present or {}), "EventBridgeConfiguration": {}}


@pytest.fixture
def on_s3() -> Iterator[None]:
    """A bucket on moto."""
    clients.forget()
    with mock_aws():
        boto3.client("s3").create_bucket(Bucket=BUCKET)
        yield
    clients.forget()


ANSWERS = {
    "<NotificationConfiguration><EventBridgeConfiguration/></NotificationConfiguration>": True,
    "<NotificationConfiguration><QueueConfiguration><Queue>q</Queue></QueueConfiguration>"
    "</NotificationConfiguration>": False,
    "<NotificationConfiguration/>": False,
}


class Raw:
    """The body of an answer, as the SDK reads it."""

    def __init__(self, text: str) -> None:
        self.text = text

    def stream(self) -> Iterator[bytes]:
        """The body."""
        yield self.text.encode()


@pytest.mark.usefixtures("on_s3")
@pytest.mark.parametrize("xml", ANSWERS)
def test_notifications_are_read_as_s3_writes_them(xml: str) -> None:
    """Moto leaves EventBridge out of what it says."""

    def answer(**_: object) -> AWSResponse:
        return AWSResponse("https://s3", 200, HTTPHeaders(), Raw(xml))

    events: Any = clients.client("s3").meta.events
    events.register("before-send.s3.GetBucketNotificationConfiguration", answer)

    assert S3Lister().announces(BUCKET) is ANSWERS[xml]


@pytest.mark.usefixtures("on_s3")
def test_bucket_whose_notifications_may_not_be_read_is_not_judged() -> None:
    assert S3Lister().announces("missing") is None
