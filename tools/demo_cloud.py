"""The demo's view of a local cloud: a bucket, the stack deployed on it, the contents of its stores."""

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tools import stack
from tools.demo_jobs import CUSTOMERS, FOLLOWER, LARGE, LARGE_SENSOR, ORDERS, REPORT
from tools.demo_report import Seen
from tools.project import local_aws
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.objects import ObjectIdentity, S3Object
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run
from treadle.model.sensors import SensorState

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient

STACK = "treadle-demo"
SENSOR = "new_objects"
BUCKET = "treadle-demo-objects"
PARAMETERS = (f"NewObjectsBucket={BUCKET}", "LogRetentionDays=1")
_MANY = 500


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message that the stack gave up."""

    origin: str
    reason: str


class DemoCloud:
    """A bucket for the demo, and the project that watches it, with its engine."""

    def __init__(self, endpoint: str) -> None:
        self.endpoint = endpoint
        session = stack.session()
        self._s3: S3Client = session.client("s3", endpoint_url=endpoint)
        self._sqs: SQSClient = session.client("sqs", endpoint_url=endpoint)
        self._events = session.client("events", endpoint_url=endpoint)
        self._machines = session.client("stepfunctions", endpoint_url=endpoint)
        self._caught_url = ""
        self._caught: list[str] = []
        self._alerts_url = ""
        self._alerts: list[str] = []
        self._summaries: dict[str, str] = {}

    def create_bucket(self) -> None:
        """Create a bucket that sends its events to EventBridge, and a queue that stores a copy of each."""
        self._s3.create_bucket(Bucket=BUCKET)
        self._s3.put_bucket_notification_configuration(
            Bucket=BUCKET, NotificationConfiguration={"EventBridgeConfiguration": {}}
        )
        pattern = {
            "source": ["aws.s3"],
            "detail": {"bucket": {"name": [BUCKET]}, "object": {"key": [{"suffix": ".csv"}]}},
        }
        rule = self._events.put_rule(Name=f"{STACK}-copy", EventPattern=json.dumps(pattern))["RuleArn"]
        self._caught_url, arn = self._queue("copy", "events.amazonaws.com", rule)
        self._events.put_targets(Rule=f"{STACK}-copy", Targets=[{"Id": "copy", "Arn": arn}])

    def upload(self, key: str, body: bytes) -> str:
        """Store an object; return its run key."""
        answer = self._s3.put_object(Bucket=BUCKET, Key=key, Body=body)
        stored = self._s3.head_object(Bucket=BUCKET, Key=key)
        found = S3Object(BUCKET, key, answer["ETag"].strip('"'), "null", len(body), stored["LastModified"])
        return found.run_key(ObjectIdentity.ETAG)

    def deploy(self, project: Path) -> None:
        """Deploy the engine, and the project on the bucket, with `sam deploy`.

        Raises:
            ToolError: it failed.
        """
        stack.deploy_engine(self.endpoint)
        stack.deploy(self.endpoint, project, ["--stack-name", STACK, "--parameter-overrides", *PARAMETERS])
        self._receive_alerts()

    def is_registered(self) -> bool:
        """Return whether the engine knows everything that the project registers."""
        registry = self._stores.registry.read()
        return {SENSOR, FOLLOWER, LARGE_SENSOR} <= registry.sensors.keys() and {
            ORDERS,
            CUSTOMERS,
            REPORT,
            LARGE,
        } <= registry.jobs.keys()

    def _receive_alerts(self) -> None:
        """Subscribe a queue to the project's topic, instead of an address."""
        topic = self._deployed("Alerts")
        self._alerts_url, arn = self._queue("alerts", "sns.amazonaws.com", topic)
        topics = stack.session().client("sns", endpoint_url=self.endpoint)
        topics.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        topics.close()

    def _queue(self, name: str, service: str, source: str) -> tuple[str, str]:
        """Return URL and ARN of a new queue to which a rule or a topic may send."""
        url = self._sqs.create_queue(QueueName=f"{STACK}-{name}")["QueueUrl"]
        arn = self._sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"][
            "QueueArn"
        ]
        allow = {
            "Effect": "Allow",
            "Principal": {"Service": service},
            "Action": "sqs:SendMessage",
            "Resource": arn,
            "Condition": {"ArnEquals": {"aws:SourceArn": source}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allow]})
        self._sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        return url, arn

    def alerts(self) -> list[str]:
        """Return the subjects of all alerts that the project's topic has sent."""
        while messages := self._receive(self._alerts_url):
            self._alerts += [str(json.loads(message).get("Subject")) for message in messages]
        return self._alerts

    def _deployed(self, logical_id: str) -> str:
        """Return the physical id of a resource of the project."""
        return stack.physical_id(self.endpoint, STACK, logical_id)

    @cached_property
    def _contract(self) -> Mapping[str, str]:
        return stack.contract(self.endpoint, STACK)

    @cached_property
    def _queues(self) -> dict[str, str]:
        """Return the URLs of the queues between an event and its run."""
        engine = stack.outputs(self.endpoint, self._contract["stack"])
        return {
            "NewObjects": self._deployed("NewObjectsQueue"),
            "Launch": engine["LaunchQueueUrl"],
            "Record": engine["RecordQueueUrl"],
        }

    @cached_property
    def _stores(self) -> DynamoStores:
        # The library's stores take their endpoint and credentials from the environment, as in Lambda.
        os.environ.update(local_aws(self.endpoint))
        tables = (self._contract[f"{name}_table"] for name in ("sensors", "ticks", "runs", "events"))
        return DynamoStores(TableNames(*tables), RandomTokens())

    def state(self, sensor: str = SENSOR) -> SensorState:
        """Return a sensor's stored state."""
        return self._stores.sensors.get(sensor)

    def runs_of(self, job: str) -> list[Run]:
        """Return the recorded runs of a job, newest first."""
        return self._stores.runs.find(RunQuery(job=job))

    def seen(self) -> Seen:
        """Return ticks, runs and summaries, as they are now."""
        runs = {run.run_key or run.run_id: run for run in self._stores.runs.list_by_sensor(SENSOR, _MANY)}
        listed = self._s3.list_objects_v2(Bucket=BUCKET, Prefix="summaries/").get("Contents", [])
        for key in {entry["Key"] for entry in listed}:
            name = key.removeprefix("summaries/").removesuffix("/summary.json")
            self._summaries[name] = self._summaries.get(name) or self._summary(key)
        return Seen(self._stores.ticks.latest(SENSOR, _MANY), runs, dict(self._summaries))

    def _summary(self, key: str) -> str:
        content: dict[str, Any] = json.load(self._s3.get_object(Bucket=BUCKET, Key=key)["Body"])
        return f"{content['rows']} rows, {len(content['columns'])} columns"

    def received_ends(self, sensor: str, job: str) -> int:
        """Return how many ends of a job's runs a sensor that waits for several jobs has processed."""
        cursor = self.state(sensor).cursor
        return int(json.loads(cursor)["read"].get(job, 0)) if cursor else 0

    def is_done(self, sensor: str, job: str) -> bool:
        """Return whether all requests of a sensor were dispatched, and the job's runs have ended."""
        ticks = self._stores.ticks.latest(sensor, _MANY)
        is_dispatched = all(tick.dispatched is not None for tick in ticks if tick.requests)
        return is_dispatched and all(run.status.is_finished for run in self.runs_of(job))

    def executions(self) -> int:
        """Return how many executions the job's state machine has had, according to Step Functions."""
        machine = self._deployed("Summarize")
        pages = self._machines.get_paginator("list_executions").paginate(stateMachineArn=machine)
        return sum(len(page["executions"]) for page in pages)

    def caught(self) -> list[str]:
        """Return every event that the bucket has sent since the beginning."""
        while messages := self._receive(self._caught_url):
            self._caught += messages
        return self._caught

    def send_again(self, events: list[str]) -> None:
        """Put events on the sensor's queue once more."""
        for event in events:
            self._sqs.send_message(QueueUrl=self._queues["NewObjects"], MessageBody=event)

    def waiting_messages(self) -> int:
        """Return the number of messages in the queues, including those in flight."""
        total = 0
        for url in self._queues.values():
            answer = self._sqs.get_queue_attributes(
                QueueUrl=url,
                AttributeNames=["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"],
            )
            total += sum(int(number) for number in answer["Attributes"].values())
        return total

    def dead_letters(self) -> list[DeadLetter]:
        """Return the dead letters of engine and project, with their reasons, without deleting them."""
        found = []
        for url in (self._contract["dead_letter_queue_url"], self._deployed("DeadLetters")):
            answer = self._sqs.receive_message(
                QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"], VisibilityTimeout=0
            )
            found += answer.get("Messages", [])
        parsed = []
        for message in found:
            attributes = message.get("MessageAttributes", {})
            texts = {name: value.get("StringValue", "") for name, value in attributes.items()}
            parsed.append(DeadLetter(texts.get("origin", "AWS itself"), texts.get("reason", message["Body"])))
        return parsed

    def _receive(self, url: str) -> list[str]:
        answer = self._sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10, WaitTimeSeconds=1)
        messages = answer.get("Messages", [])
        for message in messages:
            self._sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
        return [message["Body"] for message in messages]
