"""Status changes of runs reach the sensors that watch them: once, soon, and whatever is lost on the way."""

import base64
import hashlib
import json
import os
import random
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import boto3
import pytest

from tests.e2e.deployment import (
    JOB,
    MALFORMED_CSV,
    MINUTE,
    Deployed,
    attempts,
    eventually,
    fresh_key,
    run_record,
)
from tests.e2e.job_chain import (
    BULK,
    COMBINE,
    CURRENT,
    DEADLINES,
    EXTRACT,
    FORMER,
    LOAD,
    QUEUE,
    REPORT,
    STATUSES,
    STREAM,
    UNPACK,
    ended,
    now,
    reactions,
    start,
    status_ids,
    ticks_of,
)
from tests.support.project import run as command
from tools import http_api
from tools.project import REGION
from treadle import HmacSignature, read_payload
from treadle.cli.fragments import NewJob
from treadle.cli.template_edit import load
from treadle.definitions.errors import PayloadError
from treadle.definitions.payloads import reference_in
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.record.run_state import OVERDUE_MS
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Failure, Run
from treadle.model.ticks import Tick

LOST = 0.2
MANY = 500


def test_a_run_that_fails_is_reacted_to_once_and_both_say_so(following: Deployed) -> None:
    [run] = ended(following, start(following, EXTRACT, fail=lambda _: True))

    [tick] = eventually(lambda: ticks_of(following, "tell_failed", [run]), "tell_failed has reacted")

    assert (run.status, tick.status) == (Status.FAILURE, TickStatus.SUCCESS)
    assert tick.acted_on == f"{run.run_id}/1/0/FAILURE"
    assert any("DataError" in line for line in tick.log)
    [noted] = eventually(lambda: now(following, [run])[0].reactions, "the run has the reaction")
    assert (noted.sensor, noted.event_id, noted.tick_id) == ("tell_failed", tick.acted_on, tick.tick_id)


def test_five_megabytes_travel_by_reference_and_only_the_jobs_own_role_may_read_them(
    following: Deployed,
) -> None:
    following.invoke("Bulky", {"treadle": "tick", "at_once": True})

    def runs() -> list[Run]:
        return following.stores.runs.list_by_sensor("bulky", 10)

    [tick] = eventually(lambda: following.stores.ticks.latest("bulky", 10), "bulky has ticked")
    [run] = ended(following, eventually(runs, "the request has a run"))

    [rejected] = tick.rejected
    assert (rejected.run_key, "the limit is 6000000" in rejected.reason) == ("seven", True)
    assert (run.run_key, run.status) == ("five", Status.SUCCESS)
    states = following.client("stepfunctions")
    received = json.loads(states.describe_execution(executionArn=run.external_id)["input"])["run_config"]
    reference = reference_in(received)
    assert reference is not None
    assert reference.url.startswith(f"s3://{following.contract['payload_bucket']}/large/bulky/{UNPACK}/")
    with job_roles(following, UNPACK, LOAD) as (own, other):
        assert read_as(following, own, received) == BULK
        for credentials in (other, *of_treadles_roles(following)):
            with pytest.raises(PayloadError, match=r"cannot be read: .*AccessDenied"):
                read_as(following, credentials, received)


@contextmanager
def job_roles(following: Deployed, *jobs: str) -> Iterator[list[Any]]:
    """Roles of the code of jobs are there meanwhile, with the statement that `treadle new job` prints; their credentials."""
    iam, bucket = following.client("iam"), following.contract["payload_bucket"]
    trust = {"Statement": [{"Effect": "Allow", "Principal": {"AWS": "*"}, "Action": "sts:AssumeRole"}]}
    for job in jobs:
        statement = load(f"printed: {NewJob(job).payload_statement}")["printed"]
        resource = statement["Resource"]["Fn::Sub"][0]
        statement["Resource"] = resource.replace("${AWS::Partition}", "aws").replace("${Name}", bucket)
        policy = {"Version": "2012-10-17", "Statement": [statement]}
        iam.create_role(RoleName=f"code-of-{job}", AssumeRolePolicyDocument=json.dumps(trust))
        iam.put_role_policy(RoleName=f"code-of-{job}", PolicyName="p", PolicyDocument=json.dumps(policy))
    try:
        yield [assumed(following, f"code-of-{job}") for job in jobs]
    finally:
        for job in jobs:
            iam.delete_role_policy(RoleName=f"code-of-{job}", PolicyName="p")
            iam.delete_role(RoleName=f"code-of-{job}")


def of_treadles_roles(following: Deployed) -> Iterator[Any]:
    """Yield the credentials of the roles of sensors, of steps of the engine, and of those that LAUNCH assumes for jobs."""
    steps = ("BulkyRole", "FollowLoadRole", "LaunchRole", "RecordRole", "ReconcileRole", "DispatchRole")
    for role in steps:
        yield assumed(following, following.physical_id(role))
    launch = session_of(assumed(following, following.physical_id("LaunchRole")))
    with closing(launch.client("sts", endpoint_url=following.endpoint)) as sts:
        for role in ("UnpackJobRole", "LoadJobRole"):
            yield assumed(following, following.physical_id(role), sts)


def assumed(following: Deployed, role: str, sts: Any = None) -> Any:
    """Return credentials of a role."""
    arn = following.client("iam").get_role(RoleName=role)["Role"]["Arn"]
    given = (sts or following.client("sts")).assume_role(RoleArn=arn, RoleSessionName="launch")
    return given["Credentials"]


def session_of(credentials: Any) -> boto3.Session:
    keys = (credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    return boto3.Session(*keys, REGION)


def read_as(following: Deployed, credentials: Any, run_config: Any) -> Any:
    """Return what a job's code with these credentials reads."""
    names = ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN")
    values = (credentials["AccessKeyId"], credentials["SecretAccessKey"], credentials["SessionToken"])
    before = dict(os.environ)
    os.environ.update(zip(names, values, strict=True))
    boto3.DEFAULT_SESSION = None
    try:
        return read_payload(run_config)
    finally:
        os.environ.clear()
        os.environ.update(before)
        boto3.DEFAULT_SESSION = None


def put_order(following: Deployed, **detail: object) -> str:
    """Put an event on the default bus, as an application does, and return its id."""
    entry = {"Source": "shop.orders", "DetailType": "Order Placed", "Detail": json.dumps(detail)}
    [put] = following.client("events").put_events(Entries=[entry])["Entries"]
    return str(put["EventId"])


def test_any_event_starts_one_run_however_often_it_is_delivered(following: Deployed) -> None:
    unwatched, event_id = (put_order(following, id="A-17", total=total) for total in (10, 11))

    def ticks() -> list[Tick]:
        return following.stores.ticks.latest("placed_orders", 100)

    [tick] = eventually(ticks, "the event was evaluated")
    assert (tick.status, tick.trigger) == (TickStatus.SUCCESS, f"Order Placed of shop.orders: {event_id}")
    [request] = tick.requests
    account, region, *_ = following.contract["namespace"].split("/")
    assert request.run_key == f"{account}/{region}/shop.orders/{event_id}"
    body = {
        "version": "0",
        "id": event_id,
        "detail-type": "Order Placed",
        "source": "shop.orders",
        "account": account,
        "time": datetime.fromtimestamp(tick.time / 1000, UTC).isoformat(),
        "region": region,
        "resources": [],
        "detail": {"id": "A-17", "total": 11},
    }
    following.send("PlacedOrders", json.dumps(body), json.dumps(body))
    following.send("PlacedOrders", json.dumps({**body, "id": "sentinel"}))
    eventually(lambda: len(ticks()) == 2, "what was sent after the second deliveries was evaluated")

    def runs() -> list[Run]:
        return following.stores.runs.list_by_sensor("placed_orders", 10)

    eventually(lambda: len(runs()) == 2, "both events have a run")
    [run] = [each for each in runs() if each.run_key == request.run_key]
    assert [each.status for each in ended(following, runs())] == [Status.SUCCESS] * 2
    why = command("why", "placed_orders", "--event", event_id, "--stack", following.name)
    assert (why.exit_code, run.run_id in why.output) == (0, True), why.output
    none = command("why", "placed_orders", "--event", unwatched, "--stack", following.name)
    assert "compare the event with the pattern" in none.output


def in_queue(following: Deployed) -> int:
    """Return how many messages are in the queue of others, being received or not."""
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    url = following.client("sqs").get_queue_url(QueueName=QUEUE)["QueueUrl"]
    found = following.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)["Attributes"]
    return sum(int(found[name]) for name in names)


def send_order(following: Deployed, body: str) -> str:
    """Send a message to the queue of others, and return its id."""
    url = following.client("sqs").get_queue_url(QueueName=QUEUE)["QueueUrl"]
    return str(following.client("sqs").send_message(QueueUrl=url, MessageBody=body)["MessageId"])


def operated(following: Deployed, *arguments: str) -> str:
    """Run a command of an operator."""
    done = command("sensor", *arguments, "--stack", following.name)
    assert done.exit_code == 0, done.output
    return done.output


def test_each_message_starts_one_run_and_is_gone_after_its_tick(following: Deployed) -> None:
    operated(following, "start", "queued_orders")
    stored = {"bucket": {"name": "landing"}, "object": {"key": "in/a+b.csv", "eTag": "1", "size": 3}}
    s3 = {
        "Records": [{"eventName": "ObjectCreated:Put", "eventTime": "2026-01-22T18:00:05.000Z", "s3": stored}]
    }
    sns = {"Type": "Notification", "TopicArn": "arn", "Message": "inside"}

    texts = {
        send_order(following, body): text
        for body, text in (
            ("any text", "any text"),
            (json.dumps(sns), "inside"),
            (json.dumps(s3), json.dumps(s3)),
        )
    }

    def runs() -> list[Run]:
        return following.stores.runs.list_by_sensor("queued_orders", 10)

    eventually(lambda: len(runs()) == 3, "each message has a run", seconds=90)
    assert {run.run_key: json.loads(run.run_config) for run in runs()} == {
        name: {"message": text} for name, text in texts.items()
    }
    eventually(lambda: in_queue(following) == 0, "the messages are gone")
    assert len(following.stores.ticks.latest("queued_orders", 10)) == 3

    operated(following, "stop", "queued_orders")
    later = send_order(following, "later")
    time.sleep(10)
    assert in_queue(following) == 1
    assert len(following.stores.ticks.latest("queued_orders", 10)) == 3
    operated(following, "start", "queued_orders")
    eventually(lambda: later in {run.run_key for run in runs()}, "the message is evaluated", seconds=90)
    eventually(lambda: in_queue(following) == 0, "it is gone, too")


def put_order_record(following: Deployed, data: bytes, key: str) -> dict[str, Any]:
    """Put a record into the stream, and return it as Lambda delivers it."""
    kinesis = following.client("kinesis")
    put = kinesis.put_record(StreamName=STREAM, Data=data, PartitionKey=key)
    number, shard = put["SequenceNumber"], put["ShardId"]
    iterator = kinesis.get_shard_iterator(
        StreamName=STREAM,
        ShardId=shard,
        ShardIteratorType="AT_SEQUENCE_NUMBER",
        StartingSequenceNumber=number,
    )
    [found] = kinesis.get_records(ShardIterator=iterator["ShardIterator"], Limit=1)["Records"]
    arn = kinesis.describe_stream_summary(StreamName=STREAM)["StreamDescriptionSummary"]["StreamARN"]
    return {
        "kinesis": {
            "kinesisSchemaVersion": "1.0",
            "partitionKey": key,
            "sequenceNumber": number,
            "data": base64.b64encode(data).decode(),
            "approximateArrivalTimestamp": found["ApproximateArrivalTimestamp"].timestamp(),
        },
        "eventSource": "aws:kinesis",
        "eventID": f"{shard}:{number}",
        "eventName": "aws:kinesis:record",
        "eventSourceARN": arn,
    }


def test_each_record_starts_one_run_and_a_bad_one_blocks_no_other(following: Deployed) -> None:
    """The local cloud passes what a batch response names, so each further delivery is an invocation with the batch."""
    operated(following, "start", "streamed_orders")
    # The one that is no text has another key: records of its own would wait for it.
    first, bad, last = (
        put_order_record(following, data, key)
        for data, key in ((b"first", "a"), (b"\xff", "b"), (b"last", "a"))
    )

    def runs() -> list[Run]:
        return following.stores.runs.list_by_sensor("streamed_orders", 10)

    eventually(lambda: len(runs()) == 2, "each record that is text has a run", seconds=90)
    assert {run.run_key: json.loads(run.run_config) for run in runs()} == {
        f"{each['eventSourceARN']}/{each['eventID']}": {"data": text}
        for each, text in ((first, "first"), (last, "last"))
    }

    def failed() -> list[Tick]:
        ticks = following.stores.ticks.latest("streamed_orders", 10)
        return [tick for tick in ticks if tick.status is TickStatus.FAILURE]

    [tick] = eventually(failed, "the bad record was evaluated")
    assert (tick.trigger, tick.attempts) == (f"Record of stream {STREAM}: {bad['eventID']}", 1)
    answers = [
        following.invoke("StreamedOrders", {"Records": [first, bad, last]}).value["batchItemFailures"]
        for _ in range(4)
    ]
    again = [{"itemIdentifier": bad["kinesis"]["sequenceNumber"]}]
    assert answers == [again, again, again, []]
    assert len(runs()) == 2
    assert len(following.stores.ticks.latest("streamed_orders", 10)) == 3

    done = command("dlq", "redrive", "--origin", "sensor streamed_orders", "--stack", following.name)
    assert "is not UTF-8" in done.output
    [letter] = following.dead_letters(bad["eventID"])
    assert json.loads(letter.body) == bad
    why = command("why", "streamed_orders", "--event", bad["eventID"], "--stack", following.name)
    assert "is not UTF-8" in why.output

    operated(following, "stop", "streamed_orders")
    put_order_record(following, b"later", "a")
    time.sleep(10)
    assert len(runs()) == 2
    operated(following, "start", "streamed_orders")
    eventually(lambda: len(runs()) == 3, "the record of the meantime is evaluated", seconds=90)


def post(
    following: Deployed, body: bytes, secret: str, delivery: str, kind: str = "application/json"
) -> tuple[int, str, str]:
    """Send a request to the endpoint as GitHub does; the status, the message and when to send it again."""
    shown = json.loads(operated(following, "show", "hooked_orders", "--json"))
    signed = HmacSignature().signed(body, secret, 0, delivery)
    answer = http_api.post(shown["endpoint"], body, {"Content-Type": kind, **signed})
    return answer.status, str(json.loads(answer.body)["message"]), answer.headers.get("retry-after", "")


def test_each_request_starts_one_run_once_its_sender_is_authenticated(following: Deployed) -> None:
    def ticks() -> list[Tick]:
        return following.stores.ticks.latest("hooked_orders", 100)

    body = b'{"id":"A-17"}'
    assert post(following, body, CURRENT, "d-1")[::2] == (503, "60")
    operated(following, "start", "hooked_orders")

    assert post(following, body, "a wrong secret", "d-1")[0] == 401
    assert ticks() == []
    assert [post(following, body, CURRENT, "d-1")[:2] for _ in range(3)] == [
        (202, "Accepted."),
        (202, "Accepted before."),
        (202, "Accepted before."),
    ]
    [tick] = ticks()
    # Captured, and sent under another id; then another body under the same id.
    assert post(following, body, CURRENT, "d-2")[:2] == (202, "Accepted before.")
    assert post(following, b"{}", CURRENT, "d-1")[:2] == (202, "Accepted before.")
    assert len(ticks()) == 1

    assert post(following, b'{"id":"A-18"}', FORMER, "d-3", "application/octet-stream")[0] == 202
    assert post(following, b"not JSON", CURRENT, "d-4")[0] == 503
    assert sorted(each.status for each in ticks()) == [
        TickStatus.FAILURE,
        TickStatus.SUCCESS,
        TickStatus.SUCCESS,
    ]

    def runs() -> list[Run]:
        return following.stores.runs.list_by_sensor("hooked_orders", 10)

    eventually(lambda: len(runs()) == 2, "both requests have a run")
    assert sorted(run.run_config for run in runs()) == [
        '{"content":{"id":"A-17"}}',
        '{"content":{"id":"A-18"}}',
    ]
    [run] = [each for each in runs() if each.tick_id == tick.tick_id]
    assert (run.run_key, tick.trigger) == (
        f"sha256:{hashlib.sha256(body).hexdigest()}",
        "Request to sensor hooked_orders: d-1",
    )
    why = command("why", "hooked_orders", "--event", "d-1", "--stack", following.name)
    assert (why.exit_code, run.run_id in why.output) == (0, True), why.output
    none = command("why", "hooked_orders", "--event", "d-9", "--stack", following.name)
    assert "No request d-9 was evaluated" in none.output


def test_failed_run_is_published_once_to_the_projects_topic(deployed: Deployed) -> None:
    key = fresh_key("malformed")
    with deployed.subscribed_to("Alerts") as published:
        deployed.upload(key, MALFORMED_CSV)
        run = deployed.ended_run(key)

        alerts = eventually(
            lambda: [each for each in published() if run.run_id in each["Message"]],
            "the alert of the failed run",
        )

    assert run.status is Status.FAILURE
    [alert] = alerts
    assert JOB in alert["Subject"]
    assert "line 3" in alert["Message"], "the cause, as the job gave it"


def combined(following: Deployed) -> list[Run]:
    """Return the runs that `when_both` has requested."""
    return following.stores.runs.find(RunQuery(job=COMBINE))


def test_a_job_starts_once_when_both_it_waits_for_have_succeeded(following: Deployed) -> None:
    def succeed(job: str) -> Run:
        [run] = ended(following, start(following, job, fail=lambda _: False))
        return run

    first = succeed(LOAD)
    assert combined(following) == []
    second = succeed(EXTRACT)
    [run] = eventually(lambda: combined(following), "combine was started")
    third = succeed(LOAD)
    received = eventually(
        lambda: ticks_of(following, "watch_load", [third]), "the third success was evaluated"
    )

    assert json.loads(run.run_config)["upstream"] == {LOAD: [first.run_id], EXTRACT: [second.run_id]}
    assert received
    assert attempts(combined(following)) == attempts([run])


@contextmanager
def losing(following: Deployed, share: float, seed: int) -> Iterator[list[tuple[str, str]]]:
    """Meanwhile so many of Step Functions' events are lost between their rule and RECORD, whatever they say.

    Gives the name and the status of each event lost, as they come.
    """
    sqs, events = following.client("sqs"), following.client("events")
    rule, chance, lost = (
        following.physical_id("StepFunctionsRule"),
        random.Random(seed),
        list[tuple[str, str]](),
    )
    url = sqs.create_queue(QueueName=f"leaking-{uuid4().hex[:8]}")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    [target] = events.list_targets_by_rule(Rule=rule)["Targets"]
    events.put_targets(Rule=rule, Targets=[{**target, "Arn": arn}])
    ends = threading.Event()

    def pump() -> None:
        while not ends.is_set():
            found = sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
            for message in found.get("Messages", []):
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                if chance.random() < share:
                    detail = json.loads(message["Body"])["detail"]
                    lost.append((detail["name"], detail["status"]))
                else:
                    sqs.send_message(
                        QueueUrl=following.outputs["RecordQueueUrl"], MessageBody=message["Body"]
                    )

    thread = threading.Thread(target=pump)
    thread.start()
    try:
        yield lost
    finally:
        ends.set()
        thread.join()
        events.put_targets(Rule=rule, Targets=[target])
        sqs.delete_queue(QueueUrl=url)


def make_due(following: Deployed, runs: list[Run]) -> None:
    """Let RECONCILE check those that have not ended, as if they had started an hour ago."""
    began = int(time.time() * 1000) - OVERDUE_MS - MINUTE
    for run in runs:
        if run.ended_at is None:
            following.client("dynamodb").update_item(
                TableName=following.outputs["RunsTableName"],
                Key={"run_id": {"S": run.run_id}},
                UpdateExpression="SET next_at = :due, started_at = :began",
                ConditionExpression="attribute_exists(next_at)",
                ExpressionAttributeValues={
                    ":due": {"N": str(began + OVERDUE_MS)},
                    ":began": {"N": str(began)},
                },
            )


@pytest.mark.parametrize("seed", [5])
def test_of_events_lost_at_random_nothing_is_lost_once_reconcile_has_checked(
    following: Deployed, seed: int
) -> None:
    """A fifth of Step Functions' events: in the end all runs are recorded as they are, and the sensor that watches
    every status has seen each of them once."""
    client = following.client("stepfunctions")
    with losing(following, LOST, seed) as lost:
        runs = start(following, LOAD, 40, fail=lambda n: n % 3 == 0)
        names = {run.launch_id for run in runs}

        def are_reported_or_lost() -> bool:
            reported = sum(each.ended_at is not None for each in now(following, runs))
            return reported + len([1 for name, _ in lost if name in names]) == len(runs)

        eventually(are_reported_or_lost, "each end was reported or lost", seconds=90, pause=0.5)
    assert "RUNNING" not in {status for name, status in lost if name in names}
    missing = [each for each in now(following, runs) if each.ended_at is None]
    assert missing
    make_due(following, missing)
    following.invoke("Reconcile", {"treadle": "reconcile"})

    true = {"SUCCEEDED": Status.SUCCESS, "FAILED": Status.FAILURE}
    found = ended(following, runs, seconds=10)
    for run in found:
        described = client.describe_execution(executionArn=run.external_id)
        assert run.status is true[described["status"]]
    expected = status_ids(found, *map(Status, STATUSES))
    assert len(expected) == 2 * len(runs)
    eventually(
        lambda: reactions(following, "watch_load", runs).keys() == expected,
        "all was seen",
        seconds=60,
        pause=0.5,
    )
    assert set(reactions(following, "watch_load", runs).values()) == {1}


def forget_the_last_poll(following: Deployed, job: str) -> None:
    """Let RECONCILE scan a job's target at its next call, though it did so less than ten minutes ago."""
    following.client("dynamodb").delete_item(
        TableName=following.outputs["RunsTableName"], Key={"run_id": {"S": f"look#{job}"}}
    )


def test_execution_by_hand_whose_events_are_lost_is_recorded_once_reconcile_has_listed_it(
    following: Deployed,
) -> None:
    client, name = following.client("stepfunctions"), f"by-hand-{uuid4().hex[:8]}"
    machine = f"arn:aws:states:us-east-1:000000000000:stateMachine:{REPORT}"
    with losing(following, 1, 0) as lost:
        execution = client.start_execution(
            stateMachineArn=machine, name=name, input='{"run_config":{"fail":true}}'
        )
        eventually(lambda: (name, "FAILED") in lost, "the end was reported, and lost")
    observed = RunQuery(job=REPORT, tags={"treadle/observed": "true"})
    assert following.stores.runs.find(observed) == []
    forget_the_last_poll(following, REPORT)

    following.invoke("Reconcile", {"treadle": "reconcile"})

    [run] = eventually(lambda: following.stores.runs.find(observed), "the execution has a run")
    assert (run.external_id, run.status, run.sensor) == (execution["executionArn"], Status.FAILURE, "")
    assert run.failure is not None
    assert run.failure.error == "DataError"


def test_five_hundred_ended_runs_are_all_reacted_to_and_none_twice(following: Deployed) -> None:
    at = int(time.time() * 1000)
    reached = {"1/0": {"QUEUED": at, "STARTED": at, "FAILURE": at}}
    failed = {
        "status": Status.FAILURE,
        "ended_at": at,
        "next_at": None,
        "failure": Failure("DataError", "row 7"),
    }
    runs = [run_record(job=EXTRACT, reached=reached, updated_at=at, **failed) for _ in range(MANY)]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(following.stores.runs.create, runs)) == [None] * MANY

    eventually(
        lambda: len(reactions(following, "tell_failed", runs)) == MANY,
        f"all {MANY} were reacted to",
        seconds=200,
        pause=1,
    )

    counted = reactions(following, "tell_failed", runs)
    assert counted.keys() == status_ids(runs, Status.FAILURE)
    assert set(counted.values()) == {1}


def test_deadline_is_scheduled_held_back_and_evaluated_once_in_its_zone(following: Deployed) -> None:
    """Of a day long ago, in whose night nothing ran. The local cloud takes no schedule's zone from a template."""
    [schedule] = [
        following.client("scheduler").get_schedule(Name=each["Name"])
        for each in following.client("scheduler").list_schedules()["Schedules"]
        if "LoadIsLate" in each["Target"]["Arn"]
    ]
    deadline = {"treadle": "deadline", "nominal_time": "2026-01-28T05:00:00Z"}

    held = following.invoke("LoadIsLate", deadline)
    following.send("LoadIsLate", json.dumps(deadline), json.dumps(deadline))
    [tick] = eventually(lambda: following.stores.ticks.latest("load_is_late", 2), "it was evaluated")

    assert schedule["ScheduleExpression"] == DEADLINES
    assert json.loads(schedule["Target"]["Input"])["treadle"] == "deadline"
    assert (held.value["decision"], held.value["reason"]) == ("DELAYED", "Will be evaluated in 300 s.")
    assert tick.trigger == "Deadline 2026-01-28 06:00:00 CET"
    assert tick.reason == "Job load has not succeeded by 2026-01-28 06:00:00 CET: no run was requested."
