"""The deployed stack as its tests see it: what they upload, invoke and queue, and what came of it.

Ticks and runs are read through the library's own stores, everything else through AWS clients.
"""

import base64
import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any, TypeVar
from uuid import uuid4

from tools import stack
from tools.project import ToolError, local_aws
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.status import DagsterRunStatus
from treadle.model.engine_state import EngineRecord
from treadle.model.runs import Run
from treadle.model.ticks import Tick

T = TypeVar("T")

SENSOR = "new_objects"
JOB = "process_file"
MINUTE = 60_000
STEPS = ("dispatch", "launch", "record", "publish", "reconcile")
TABLES = ("Sensors", "Ticks", "Runs", "Events")
LATEST = 100
"""The number of runs, and of ticks, that are scanned for those of an object that a test has just stored."""

GOOD_CSV = b"city,population\nBern,134000\nBasel,173000\n"
MALFORMED_CSV = b"city,population\nBern,134000\nBasel\n"


def eventually(probe: Callable[[], T], what: str, *, seconds: float = 60, pause: float = 0.1) -> T:
    """Return what `probe` gives once that is true.

    Args:
        probe: called repeatedly.
        what: is waited for, said if it does not come.
        seconds: how long at most.
        pause: between two questions, in seconds.
    """
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"after {seconds:g} s still not: {what} (last seen: {found!r})"
        time.sleep(pause)
    return found


def fresh_key(stem: str = "cities") -> str:
    """Return a key that no test has used, within what the sensor watches."""
    return f"incoming/{uuid4().hex[:12]}/{stem}.csv"


@cache
def minutes_of_yesterday() -> Iterator[int]:
    """Yield scheduled times of yesterday, each once: none at which the schedule itself may tick meanwhile."""
    first = (int(time.time()) // 60 - 24 * 60) * MINUTE
    return iter(range(first, first + 1_000 * MINUTE, MINUTE))


def as_text(scheduled: int) -> str:
    """Return a scheduled time as a schedule delivers it."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(scheduled / 1000))


@dataclass(frozen=True, slots=True)
class Answer:
    """What an invoked function answered.

    Attributes:
        value: its answer, or Lambda's description of its error.
        failed: whether it raised.
        log: what it wrote meanwhile.
    """

    value: Any
    failed: bool
    log: str


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A message of the dead-letter queue.

    Attributes:
        body: as it was given up.
        origin: which step gave it up.
        reason: why.
    """

    body: str
    origin: str
    reason: str


@dataclass(slots=True)
class Deployed:
    """A project and its engine on a local cloud, with that cloud's root credentials.

    Attributes:
        endpoint: the cloud's URL.
        name: the project's stack.
        engine: the engine's stack.
        outputs: those of both stacks, and the engine's stores as `SensorsTableName` and so on.
        contract: the engine's.
        stores: the library's, on the engine's tables.
    """

    endpoint: str
    name: str
    engine: str
    outputs: dict[str, str]
    contract: Mapping[str, str]
    stores: DynamoStores
    _clients: dict[str, Any] = field(default_factory=dict)
    _dead_letters: list[DeadLetter] = field(default_factory=list)

    @classmethod
    def at(cls, endpoint: str, name: str | None = None) -> "Deployed":
        """Return the project that is deployed there; this process's environment must point there too.

        Args:
            endpoint: the cloud's URL.
            name: the project's stack; None for that of `make up`.
        """
        name = name or stack.stack_name()
        contract = stack.contract(endpoint, name)
        outputs = stack.outputs(endpoint, contract["stack"]) | stack.outputs(endpoint, name)
        stores = {f"{each}TableName": contract[f"{each.lower()}_table"] for each in TABLES}
        outputs |= stores | {"OutcomesBucketName": contract["payload_bucket"]}
        tables = TableNames(*stores.values())
        return cls(endpoint, name, contract["stack"], outputs, contract, DynamoStores(tables, RandomTokens()))

    def client(self, service: str) -> Any:
        """Return an AWS client of the cloud's root."""
        if service not in self._clients:
            made = stack.session().client(service, endpoint_url=self.endpoint)  # type: ignore[call-overload]
            self._clients[service] = made
        return self._clients[service]

    def close(self) -> None:
        """Close the clients."""
        for client in self._clients.values():
            client.close()

    def physical_id(self, logical_id: str) -> str:
        """Return the name under which a resource of the project, or else of the engine, is deployed."""
        try:
            return stack.physical_id(self.endpoint, self.name, logical_id)
        except ToolError:
            return stack.physical_id(self.endpoint, self.engine, logical_id)

    def function(self, name: str) -> str:
        """Return the name of a function, such as "NewObjects" or "Launch", as it is deployed."""
        return self.outputs.get(f"{name}FunctionName") or self.physical_id(name)

    @property
    def machine(self) -> str:
        """ARN of the state machine that the job starts."""
        return self.physical_id("Summarize")

    def knows_jobs(self, *jobs: str) -> None:
        """Wait until the engine's copy of the registry has the jobs: by the events of their entries.

        Steps read the copy, and what others start of a job that it lacks is not recorded.
        """
        eventually(
            lambda: self.stores.registry.read().jobs.keys() >= set(jobs),
            f"the registry has the jobs {', '.join(jobs)}",
            seconds=120,
        )

    def knows_sensors(self, *sensors: str) -> None:
        """Wait until the engine's copy of the registry has the sensors."""
        eventually(
            lambda: self.stores.registry.read().sensors.keys() >= set(sensors),
            f"the registry has the sensors {', '.join(sensors)}",
            seconds=120,
        )

    # ---- Objects

    @property
    def bucket(self) -> str:
        """The watched bucket."""
        return self.outputs["Bucket"]

    def upload(self, key: str, body: bytes = GOOD_CSV) -> str:
        """Store an object; its entity tag."""
        answer = self.client("s3").put_object(Bucket=self.bucket, Key=key, Body=body)
        etag: str = answer["ETag"].strip('"')
        return etag

    def summary(self, key: str) -> dict[str, Any]:
        """Return what the example job wrote about an object."""
        stored = self.client("s3").get_object(Bucket=self.bucket, Key=f"summaries/{key}/summary.json")
        with stored["Body"] as body:
            content: dict[str, Any] = json.loads(body.read())
        return content

    # ---- What came of them

    def runs_of(self, key: str) -> list[Run]:
        """Return the runs that the sensor requested, for an object."""
        found = self.stores.runs.list_by_sensor(SENSOR, LATEST)
        return [run for run in found if f"/{key}#" in (run.run_key or "")]

    def ended_run(self, key: str) -> Run:
        """Return the only run of an object, once it has ended."""

        def probe() -> list[Run]:
            return [run for run in self.runs_of(key) if run.ended_at is not None]

        eventually(probe, f"the run of {key} has ended")
        [run] = self.runs_of(key)
        return run

    def event_ticks(self, key: str) -> list[Tick]:
        """Return the ticks that evaluated an object's events, oldest first."""
        found = self.stores.ticks.latest(SENSOR, LATEST)
        return [tick for tick in reversed(found) if f"/{key} " in (tick.trigger or "")]

    def executions(self, run: Run) -> list[str]:
        """Return the names of the executions that were started for a run."""
        pages = self.client("stepfunctions").get_paginator("list_executions")
        return [
            execution["name"]
            for page in pages.paginate(stateMachineArn=self.machine)
            for execution in page["executions"]
            if execution["name"].startswith(run.run_id)
        ]

    def log_line(self, function: str, **fields: object) -> dict[str, Any]:
        """Return the only structured line of a function's log that has the given fields."""
        [line] = eventually(
            lambda: self._log_lines(function, fields), f"{function} logs a line with {fields}"
        )
        return line

    def _log_lines(self, function: str, fields: dict[str, object]) -> list[dict[str, Any]]:
        group = self.outputs["LogGroupName"] if function in STEPS else self.physical_id("Logs")
        pages = self.client("logs").get_paginator("filter_log_events")
        events = (event for page in pages.paginate(logGroupName=group) for event in page["events"])
        lines = (json.loads(event["message"]) for event in events if event["message"].startswith("{"))
        return [line for line in lines if fields.items() <= line.items()]

    def forget_logs(self) -> None:
        """Delete what the functions of both stacks have logged until now."""
        logs = self.client("logs")
        for group in (self.outputs["LogGroupName"], self.physical_id("Logs")):
            streams = logs.get_paginator("describe_log_streams").paginate(logGroupName=group)
            for stream in [stream["logStreamName"] for page in streams for stream in page["logStreams"]]:
                logs.delete_log_stream(logGroupName=group, logStreamName=stream)

    # ---- Functions and queues

    def invoke(self, function: str, event: dict[str, Any]) -> Answer:
        """Invoke a function, such as "NewObjects", with an event."""
        return self.invoke_named(self.function(function), event)

    def invoke_named(self, name: str, event: dict[str, Any]) -> Answer:
        """Invoke a function by its deployed name."""
        answer = self.client("lambda").invoke(FunctionName=name, Payload=json.dumps(event), LogType="Tail")
        with answer["Payload"] as payload:
            value = json.loads(payload.read() or b"null")
        log = base64.b64decode(answer.get("LogResult", "")).decode()
        return Answer(value, "FunctionError" in answer, log)

    def tick(self, scheduled: int | None = None) -> Answer:
        """Deliver a schedule's tick, by default for a minute that none was delivered for."""
        due = next(minutes_of_yesterday()) if scheduled is None else scheduled
        return self.invoke("NewObjects", {"treadle": "tick", "nominal_time": as_text(due)})

    def restart(self, *functions: str) -> None:
        """Let new processes handle what comes next: the local cloud starts one once a setting is given, even the same."""
        lambdas = self.client("lambda")
        for name in map(self.function, functions):
            timeout = lambdas.get_function_configuration(FunctionName=name)["Timeout"]
            lambdas.update_function_configuration(FunctionName=name, Timeout=timeout)

    def let_time_pass(self, **state: int) -> None:
        """Age the sensor's state: what its attributes name lies as far back as is said.

        By default all that a tick may have to wait for is over: the interval, failures, another's lease.

        Args:
            state: values of the sensor's attributes, in milliseconds since the epoch.
        """
        aged = state or {"last_completion": 0, "last_nominal": 0}
        over = "" if state else " REMOVE lease_owner, lease_expires, resume_at"
        self.client("dynamodb").update_item(
            TableName=self.outputs["SensorsTableName"],
            Key={"sensor": {"S": SENSOR}},
            UpdateExpression="SET " + ", ".join(f"{name} = :{name}" for name in aged) + over,
            ExpressionAttributeValues={f":{name}": {"N": str(value)} for name, value in aged.items()},
        )

    def send(self, queue: str, *bodies: str) -> None:
        """Put messages on a queue, such as "Launch", in one request."""
        url = self.physical_id(f"{queue}Queue")
        entries = [{"Id": str(index), "MessageBody": body} for index, body in enumerate(bodies)]
        answer = self.client("sqs").send_message_batch(QueueUrl=url, Entries=entries)
        assert not answer.get("Failed")

    def dead_letters(self, containing: str) -> list[DeadLetter]:
        """Return the dead letters of both stacks whose body contains the text; the queues are emptied, and kept here."""
        for url in (self.outputs["DeadLetterQueueUrl"], self.physical_id("DeadLetters")):
            self._take_dead_letters(url)
        return [dead_letter for dead_letter in self._dead_letters if containing in dead_letter.body]

    def _take_dead_letters(self, url: str) -> None:
        sqs = self.client("sqs")
        while messages := sqs.receive_message(
            QueueUrl=url, MaxNumberOfMessages=10, MessageAttributeNames=["All"]
        ).get("Messages"):
            for message in messages:
                sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
                given = message.get("MessageAttributes", {})
                origin, reason = (given.get(name, {}).get("StringValue", "") for name in ("origin", "reason"))
                self._dead_letters.append(DeadLetter(message["Body"], origin, reason))

    @contextlib.contextmanager
    def subscribed_to(self, topic: str) -> Iterator[Callable[[], list[dict[str, Any]]]]:
        """A queue is subscribed to a topic of the project meanwhile.

        Args:
            topic: its logical id.

        Yields:
            What gives all that was published since, each with `Subject` and `Message`.
        """
        sqs, sns, arn = self.client("sqs"), self.client("sns"), self.physical_id(topic)
        url = sqs.create_queue(QueueName=f"subscribed-{uuid4().hex[:8]}")["QueueUrl"]
        queue = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        allowed = {
            "Effect": "Allow",
            "Principal": {"Service": "sns.amazonaws.com"},
            "Action": "sqs:SendMessage",
            "Resource": queue,
            "Condition": {"ArnEquals": {"aws:SourceArn": arn}},
        }
        policy = json.dumps({"Version": "2012-10-17", "Statement": [allowed]})
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        made = sns.subscribe(TopicArn=arn, Protocol="sqs", Endpoint=queue, ReturnSubscriptionArn=True)
        found: list[dict[str, Any]] = []

        def published() -> list[dict[str, Any]]:
            while messages := sqs.receive_message(QueueUrl=url, MaxNumberOfMessages=10).get("Messages"):
                for message in messages:
                    found.append(json.loads(message["Body"]))
                    sqs.delete_message(QueueUrl=url, ReceiptHandle=message["ReceiptHandle"])
            return found

        try:
            yield published
        finally:
            sns.unsubscribe(SubscriptionArn=made["SubscriptionArn"])
            sqs.delete_queue(QueueUrl=url)

    # ---- Switches

    @contextlib.contextmanager
    def without_events(self, rule_id: str = "NewObjectsRule") -> Iterator[None]:
        """Disable a rule meanwhile, by default the one of new objects."""
        events, rule = self.client("events"), self.physical_id(rule_id)
        events.disable_rule(Name=rule)
        try:
            yield
        finally:
            events.enable_rule(Name=rule)

    def schedule(self, function: str = "NewObjects", *, enabled: bool) -> None:
        """Switch the schedule that starts a function each minute, by default the sensor's."""
        scheduler = self.client("scheduler")
        arn = f":function:{self.function(function)}"
        [name] = [
            schedule["Name"]
            for schedule in scheduler.list_schedules()["Schedules"]
            if schedule["Target"]["Arn"].endswith(arn)
        ]
        present = scheduler.get_schedule(Name=name)
        taken = ("Name", "GroupName", "ScheduleExpression", "ScheduleExpressionTimezone", "Target")
        kept = {
            part: present[part] for part in (*taken, "FlexibleTimeWindow", "Description") if part in present
        }
        scheduler.update_schedule(**kept, State="ENABLED" if enabled else "DISABLED")
        if function == "Reconcile" and not enabled:
            # Evaluators take an engine whose RECONCILE has not run for an hour for gone, and tests may take longer.
            tomorrow = int(time.time() * 1000) + 1_440 * MINUTE
            self.stores.engine.write(EngineRecord(self.contract["engine_id"], tomorrow))


def deploy_beside(
    endpoint: str, project: Path, name: str, edits: Mapping[str, str], *overrides: str
) -> Deployed:
    """Another project, with an engine of its own.

    Args:
        endpoint: the local cloud's URL; this process's environment must point there too.
        project: its folder.
        name: of the project's stack, and of the engine.
        edits: by texts that are once in template.yaml, what is written in place of them.
        overrides: values of the project's parameters.
    """
    edit(project / "template.yaml", edits)
    stack.build(endpoint, project)
    values = [f"EngineName={name}", "LogRetentionDays=1"]
    stack.deploy_engine(endpoint, ["--stack-name", f"{name}-engine", "--parameter-overrides", *values])
    values = [f"Engine=/treadle/{name}/v1", "LogRetentionDays=1", *overrides]
    stack.deploy(endpoint, project, ["--stack-name", name, "--parameter-overrides", *values])
    return Deployed.at(endpoint, name)


def without_sensors(project: Path) -> None:
    """Take the shipped sensors, their jobs and the example out of a project, as a further project begins."""
    path = project / "template.yaml"
    text = path.read_text()
    shared, found, _ = text.partition("\n  # ---- Sensors\n")
    assert found
    for part, end in (("  NewObjectsBucket:\n", "\nConditions:"), ("Outputs:\n", "Resources:")):
        before, _, rest = shared.partition(part)
        shared = before.rstrip() + "\n\n" + end.lstrip() + rest.partition(end)[2]
    gone = ("CreateBucket:", "- !Ref FailureAlertQueue", "- !Ref NewObjectsQueue", "- !Ref LargeFilesQueue")
    lines = [line for line in shared.splitlines() if not line.lstrip().startswith(gone)]
    path.write_text("\n".join(lines) + "\n")
    for each in ("failure_alert", "large_files", "new_objects"):
        shutil.rmtree(project / "functions/sensors" / each)


def edit(path: Path, edits: Mapping[str, str]) -> None:
    """Replace texts of a file, each of which must be there once."""
    text = path.read_text()
    for before, after in edits.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    path.write_text(text)


def running(project: Path, *sensors: str) -> None:
    """Let sensors that the scaffold has written run from their deployment on."""
    path = project / "template.yaml"
    head, *blocks = path.read_text().split("      CodeUri: functions/sensors/")
    for number, block in enumerate(blocks):
        if block.partition("\n")[0] in sensors:
            given = block.replace("TREADLE_DEFAULT_STATUS: STOPPED", "TREADLE_DEFAULT_STATUS: RUNNING", 1)
            blocks[number] = given.replace('"status":"STOPPED"', '"status":"RUNNING"', 1)
    path.write_text("      CodeUri: functions/sensors/".join([head, *blocks]))


@contextlib.contextmanager
def pointing_at(endpoint: str) -> Iterator[None]:
    """Point this process's AWS clients to the local cloud meanwhile."""
    before, pointing = dict(os.environ), local_aws(endpoint)
    os.environ.clear()
    os.environ.update(pointing)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def attempts(runs: Iterable[Run]) -> list[tuple[str, int]]:
    """Return the runs' ids and attempts; their statuses may still change."""
    return [(run.run_id, run.attempt) for run in runs]


def run_record(**fields: Any) -> Run:
    """Return a run that waits for its launch, of no sensor that is deployed."""
    now = int(time.time() * 1000)
    made: dict[str, Any] = {
        "run_id": str(uuid4()),
        "job": JOB,
        "sensor": "made_by_a_test",
        "run_key": None,
        "tick_id": "made-by-a-test",
        "run_config": "{}",
        "tags": {},
        "created_at": now,
        "reached": {"1/0": {DagsterRunStatus.QUEUED.value: now}},
        "next_at": now + MINUTE,
    }
    return Run(**{**made, **fields})


def queued(*bodies: str) -> dict[str, Any]:
    """Return the messages as SQS hands them to a function."""
    return {
        "Records": [
            {
                "messageId": f"m{index}",
                "receiptHandle": "none",
                "body": body,
                "attributes": {"ApproximateReceiveCount": "1"},
                "messageAttributes": {},
                "eventSource": "aws:sqs",
                "eventSourceARN": "arn:aws:sqs:us-east-1:000000000000:made-by-a-test",
                "awsRegion": "us-east-1",
            }
            for index, body in enumerate(bodies)
        ]
    }


def object_created(bucket: str, key: str, etag: str) -> str:
    """Return the event of an object, as EventBridge sends it."""
    stored = {"key": key, "size": len(GOOD_CSV), "etag": etag, "sequencer": uuid4().hex[:16].upper()}
    event = {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "000000000000",
        "time": as_text(int(time.time() * 1000)),
        "region": "us-east-1",
        "resources": [f"arn:aws:s3:::{bucket}"],
        "detail": {"version": "0", "bucket": {"name": bucket}, "object": stored, "reason": "PutObject"},
    }
    return json.dumps(event)


def launch_message(run: Run) -> str:
    """Return the message that requests the start of a run's present attempt."""
    return json.dumps({"treadle": "launch", "run_id": run.run_id, "attempt": run.attempt, "job": run.job})


def status_changed(machine: str, run: Run, status: str) -> str:
    """Return the event of a run's execution, as the rule's transformer leaves it."""
    now = str(int(time.time() * 1000))
    detail = {
        "executionArn": f"{machine.replace(':stateMachine:', ':execution:')}:{run.launch_id}",
        "stateMachineArn": machine,
        "name": run.launch_id,
        "status": status,
        "startDate": now,
        "stopDate": "" if status == "RUNNING" else now,
    }
    return json.dumps(
        {
            "id": str(uuid4()),
            "time": as_text(int(now)),
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "account": "000000000000",
            "region": "us-east-1",
            "detail": detail,
        }
    )
