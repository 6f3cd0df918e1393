"""Many objects at once, with lost and duplicate events: one run for each.

`TREADLE_MANY_OBJECTS` says how many, such as 2000 on a quiet machine; 200 are what the suite has the time for.
"""

import json
import os
import random
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.deployment import SENSOR, Deployed, eventually
from treadle.definitions.status import DagsterRunStatus
from treadle.model.runs import Run

MANY = int(os.environ.get("TREADLE_MANY_OBJECTS", "200"))
PATIENCE = 60 + MANY * 0.75
"""Seconds: the local cloud evaluates, dispatches and launches some objects a second on two busy cores."""

SHARE = 0.05
UPLOADS_AT_ONCE = 8
PUMPS = 3
AT_ONCE = '{"StartAt": "Done", "States": {"Done": {"Type": "Pass", "End": true}}}'


@dataclass(slots=True)
class Leak:
    """What a queue between rule and sensor did.

    Attributes:
        lost: keys whose event it dropped.
        doubled: keys whose event it sent twice.
        passed: how many events it has seen.
    """

    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    passed: int = 0


@contextmanager
def leaking(deployed: Deployed, seed: int) -> Iterator[Leak]:
    """Lose some of the bucket's events between rule and sensor meanwhile, and deliver as many twice."""
    sqs, events = deployed.client("sqs"), deployed.client("events")
    rule, leak, chance = deployed.physical_id("NewObjectsRule"), Leak(), random.Random(seed)
    url = sqs.create_queue(QueueName=f"leaking-{uuid4().hex[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
    events.put_targets(Rule=rule, Targets=[{**target, "Arn": arn}])
    ends, lock = threading.Event(), threading.Lock()
    onward = deployed.physical_id("NewObjectsQueue")

    def bodies_of(message: dict[str, Any]) -> list[str]:
        key = json.loads(message["Body"])["detail"]["object"]["key"]
        with lock:
            leak.passed += 1
            drawn = chance.random()
            if drawn < SHARE:
                leak.lost.append(key)
                return []
            if drawn < 2 * SHARE:
                leak.doubled.append(key)
                return [message["Body"]] * 2
        return [message["Body"]]

    def pump() -> None:
        while not ends.is_set():
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            messages = found.get("Messages", [])
            bodies = [body for message in messages for body in bodies_of(message)]
            for start in range(0, len(bodies), 10):
                part = bodies[start : start + 10]
                entries = [{"Id": str(n), "MessageBody": body} for n, body in enumerate(part)]
                sqs.send_message_batch(QueueUrl=onward, Entries=entries)
            if messages:
                gone = [
                    {"Id": str(n), "ReceiptHandle": each["ReceiptHandle"]} for n, each in enumerate(messages)
                ]
                sqs.delete_message_batch(QueueUrl=url, Entries=gone)

    pumps = [threading.Thread(target=pump) for _ in range(PUMPS)]
    for each in pumps:
        each.start()
    try:
        yield leak
    finally:
        ends.set()
        for each in pumps:
            each.join()
        events.put_targets(Rule=rule, Targets=[target])
        sqs.delete_queue(QueueUrl=url)


@contextmanager
def ending_at_once(deployed: Deployed) -> Iterator[None]:
    """Replace the job by one that does nothing meanwhile: the start of runs is measured."""
    states = deployed.client("stepfunctions")
    present = states.describe_state_machine(stateMachineArn=deployed.machine)["definition"]
    states.update_state_machine(stateMachineArn=deployed.machine, definition=AT_ONCE)
    try:
        yield
    finally:
        states.update_state_machine(stateMachineArn=deployed.machine, definition=present)


def run_ids(deployed: Deployed) -> list[str]:
    """Return the ids of the sensor's runs, by their index: a hundred times cheaper than the records."""
    pages = deployed.client("dynamodb").get_paginator("query")
    found = pages.paginate(
        TableName=deployed.outputs["RunsTableName"],
        IndexName="by_sensor",
        KeyConditionExpression="sensor = :sensor",
        ExpressionAttributeValues={":sensor": {"S": SENSOR}},
    )
    return [item["run_id"]["S"] for page in found for item in page["Items"]]


def executions(deployed: Deployed, run_ids: set[str]) -> Counter[str]:
    """Return how often each of the runs was started."""
    pages = deployed.client("stepfunctions").get_paginator("list_executions")
    names = (
        each["name"]
        for page in pages.paginate(stateMachineArn=deployed.machine)
        for each in page["executions"]
    )
    return Counter(name.rpartition("-")[0] for name in names if name.rpartition("-")[0] in run_ids)


@pytest.mark.timeout(4 * PATIENCE)
def test_many_objects_get_a_run_each_though_events_are_lost_and_doubled(deployed: Deployed) -> None:
    folder = f"many-{uuid4().hex[:8]}"
    keys = [f"{folder}/{number:04}.csv" for number in range(MANY)]
    s3 = deployed.client("s3")

    before = set(run_ids(deployed))

    def count() -> int:
        return len(run_ids(deployed)) - len(before)

    def runs() -> list[Run]:
        ids = sorted(set(run_ids(deployed)) - before)
        parts = [ids[start : start + 100] for start in range(0, len(ids), 100)]
        found = [run for part in parts for run in deployed.stores.runs.get_many(part).values()]
        return [run for run in found if f"/{folder}/" in (run.run_key or "")]

    with ending_at_once(deployed), leaking(deployed, seed=1) as leak:
        began = time.time()
        with ThreadPoolExecutor(UPLOADS_AT_ONCE) as uploads:
            list(uploads.map(lambda key: s3.put_object(Bucket=deployed.bucket, Key=key, Body=key), keys))
        uploaded = time.time()
        eventually(lambda: leak.passed >= MANY, "every event has come to the leak", seconds=PATIENCE, pause=3)
        expected = MANY - len(leak.lost)
        eventually(
            lambda: count() >= expected, "each event that was not lost has its run", seconds=PATIENCE, pause=3
        )
        by_events = time.time()
        assert count() == expected

        deployed.let_time_pass()
        swept = deployed.tick()
        assert swept.value["count"] >= len(leak.lost), swept.value
        eventually(
            lambda: count() >= MANY, "the sweep found those whose event was lost", seconds=PATIENCE, pause=3
        )
        eventually(
            lambda: all(run.external_id for run in runs()), "each run has started", seconds=PATIENCE, pause=3
        )
        started = runs()

    keyed = Counter(str(run.run_key).partition("#")[0].partition(f"{deployed.bucket}/")[2] for run in started)
    assert keyed == Counter(keys)
    eventually(
        lambda: len(executions(deployed, {r.run_id for r in started})) == MANY,
        "all are listed",
        seconds=PATIENCE,
        pause=3,
    )
    assert set(executions(deployed, {run.run_id for run in started}).values()) == {1}
    assert {run.attempt for run in started} == {1}
    assert not any(run.status is DagsterRunStatus.FAILURE for run in started)
    starts = [
        min(at for status, at in run.reached["1/0"].items() if status != DagsterRunStatus.QUEUED)
        for run in started
    ]
    last = max(starts) / 1000
    print(
        f"\n{MANY} objects, {len(leak.lost)} events lost, {len(leak.doubled)} doubled: {len(started)} runs. "
        f"Uploads took {uploaded - began:.0f} s; all that events named had a run after {by_events - began:.0f} s; "
        f"the last run started {last - began:.0f} s after the first upload."
    )
