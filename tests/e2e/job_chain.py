"""A project whose sensors start one another's jobs, made by the scaffold, and runs of those jobs."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import boto3

from tests.e2e.deployment import (
    Deployed,
    deploy_beside,
    eventually,
    launch_message,
    run_record,
    running,
    without_sensors,
)
from tests.support.project import run
from tools import stack
from tools.project_copy import copy_of_project
from treadle.definitions.status import DagsterRunStatus
from treadle.model.runs import Run
from treadle.model.ticks import Tick

NAME = "treadle-following"
LOAD, EXTRACT, REPORT, COMBINE, DELIVER = "load", "extract", "report", "combine", "deliver"
UNPACK = "unpack"
LANDING = "landing-of-shops"
DEADLINES, ZONE = "cron(0 6 ? * MON-FRI *)", "Europe/Berlin"
ORDERS = '{"source":["shop.orders"],"detail":{"total":[{"numeric":[">",10]}]}}'
QUEUE = "orders-of-others"
STREAM = "orders-as-they-come"
SECRET = "shop/senders#orders"
FORMER, CURRENT = "the former secret", "the current secret"
SENSORS: dict[str, tuple[str, ...]] = {
    # They are there for their jobs, and stay stopped.
    "loading": ("--job", LOAD),
    "extracting": ("--job", EXTRACT),
    "watch_load": ("--kind", "run-status", "--jobs", LOAD),
    "follow_load": ("--kind", "run-status", "--jobs", LOAD, "--job", REPORT),
    "tell_failed": ("--kind", "run-failure", "--jobs", f"{LOAD},{EXTRACT}"),
    "load_is_late": ("--kind", "deadline", "--jobs", LOAD, "--deadlines", DEADLINES, "--time-zone", ZONE),
    "when_both": ("--kind", "all-succeeded", "--jobs", f"{LOAD},{EXTRACT}", "--job", COMBINE),
    # Its test lets it tick.
    "bulky": ("--job", UNPACK),
    "placed_orders": ("--kind", "event", "--pattern", ORDERS, "--job", DELIVER),
    # Its test starts it.
    "queued_orders": ("--kind", "queue", "--queue", QUEUE, "--job", DELIVER),
    "streamed_orders": ("--kind", "stream", "--stream", STREAM, "--job", DELIVER),
    "hooked_orders": ("--kind", "webhook", "--secret", SECRET, "--job", DELIVER),
    "landed_orders": (
        *("--kind", "s3", "--bucket", LANDING, "--key-pattern", "orders/{customer}/{order}.csv"),
        *("--job", DELIVER),
    ),
    "whole_days": (
        *("--kind", "s3", "--bucket", LANDING, "--key-pattern", "days/{day:%Y%m%d}/{table}.csv"),
        *("--job", DELIVER),
    ),
}
RUNNING = (
    *("bulky", "watch_load", "follow_load", "tell_failed", "load_is_late", "when_both", "placed_orders"),
    *("landed_orders", "whole_days"),
)
STATUSES = ("STARTED", "SUCCESS", "FAILURE")
MACHINE = {
    "StartAt": "Look",
    "States": {
        "Look": {
            "Type": "Choice",
            "Choices": [
                {
                    "And": [
                        {"Variable": "$.run_config.fail", "IsPresent": True},
                        {"Variable": "$.run_config.fail", "BooleanEquals": True},
                    ],
                    "Next": "Broken",
                }
            ],
            "Default": "Done",
        },
        "Broken": {"Type": "Fail", "Error": "DataError", "Cause": "row 7 has 4 cells"},
        "Done": {"Type": "Succeed"},
    },
}


def deploy_sensors_of_runs(endpoint: str, folder: Path) -> Deployed:
    """Deploy the project with an engine of its own and disabled schedules.

    Args:
        endpoint: the local cloud's URL; this process's environment must point there too.
        folder: where the project is written to.
    """
    project = copy_of_project(folder)
    # Without the shipped ones: failure_alert, too, would react to each failed run, and publish it.
    without_sensors(project)
    for name, options in SENSORS.items():
        done = run("new", "sensor", name, *options, "--root", project)
        assert done.exit_code == 0, done.output
    _watch_every_status(project)
    for name, code in CODE.items():
        (project / "functions/sensors" / name / "app.py").write_text(code)
    running(project, *RUNNING)
    stack.create_machines(endpoint, (LOAD, EXTRACT, REPORT, COMBINE, DELIVER, UNPACK), MACHINE)
    _create_queue(endpoint)
    boto3.client("kinesis", endpoint_url=endpoint).create_stream(StreamName=STREAM, ShardCount=1)
    _create_secret(endpoint)
    _create_bucket(endpoint)
    role = '"role":"${ReportJobRole.Arn}"'
    made = deploy_beside(endpoint, project, NAME, {role: f'{role},"observed":"true"'})
    polled = ("Bulky", "Loading", "Extracting", "WhenBoth", "LoadIsLate", "LandedOrders", "WholeDays")
    for function in (*polled, "Reconcile"):
        made.schedule(function, enabled=False)
    made.knows_jobs(LOAD, EXTRACT, REPORT, COMBINE)
    return made


def _create_queue(endpoint: str) -> None:
    """Create the queue that belongs to nobody's stack, as its owner does for the sensor."""
    sqs = boto3.client("sqs", endpoint_url=endpoint)
    dead = sqs.create_queue(QueueName=f"{QUEUE}-dead")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    redrive = json.dumps({"deadLetterTargetArn": arn, "maxReceiveCount": 5})
    sqs.create_queue(
        QueueName=QUEUE,
        Attributes={"VisibilityTimeout": "60", "RedrivePolicy": redrive},
        tags={"treadle:sensor": "queued_orders"},
    )


def _create_secret(endpoint: str) -> None:
    """Store the secret that a sender shares with a sensor, and rotate it once."""
    secrets = boto3.client("secretsmanager", endpoint_url=endpoint)
    name = SECRET.partition("#")[0]
    secrets.create_secret(Name=name, SecretString=json.dumps({"orders": FORMER}))
    secrets.put_secret_value(SecretId=name, SecretString=json.dumps({"orders": CURRENT}))


def _create_bucket(endpoint: str) -> None:
    """Create the bucket that belongs to nobody's stack, with its events."""
    s3 = boto3.client("s3", endpoint_url=endpoint)
    s3.create_bucket(Bucket=LANDING)
    s3.put_bucket_notification_configuration(
        Bucket=LANDING, NotificationConfiguration={"EventBridgeConfiguration": {}}
    )


def _watch_every_status(project: Path) -> None:
    """Subscribe `watch_load` to more than successes, as its author would: a line of code, and one of its rule."""
    code, template = project / "functions/sensors/watch_load/app.py", project / "template.yaml"
    listed = ", ".join(f"DagsterRunStatus.{status}" for status in STATUSES)
    text, before = code.read_text(), "run_status=DagsterRunStatus.SUCCESS"
    assert before in text
    code.write_text(text.replace(before, f"run_status=[{listed}]"))
    head, rule, tail = template.read_text().partition("\n  WatchLoadRule:\n")
    assert rule
    template.write_text(
        head + rule + tail.replace("status: [SUCCESS]", f"status: [{', '.join(STATUSES)}]", 1)
    )


BULK = {"rows": ["x" * 990] * 5_000}
"""Five megabytes."""

BATCH_SIZE, BATCH_SECONDS = 4, 20
CODE = {
    "bulky": """
from treadle import JobDefinition, RunRequest, evaluator, sensor


@sensor(job=JobDefinition("unpack"))
def bulky():
    yield RunRequest("five", {"rows": ["x" * 990] * 5_000})
    yield RunRequest("seven", {"rows": ["x" * 990] * 7_000})


handler = evaluator(bulky)
""",
    "landed_orders": f"""
from datetime import timedelta

from treadle import Batch, JobDefinition, RunRequest, evaluator, s3_sensor


@s3_sensor(
    pattern="orders/{{customer}}/{{order}}.csv",
    job=JobDefinition("deliver"),
    batch=Batch(
        size={BATCH_SIZE},
        within=timedelta(seconds={BATCH_SECONDS}),
        by=lambda stored: stored.names["customer"],
    ),
)
def landed_orders(context):
    orders = [stored.names["order"] for stored in context.items]
    return RunRequest(run_config={{"customer": context.by, "orders": orders}})


handler = evaluator(landed_orders)
""",
    "whole_days": """
from treadle import FileNames, JobDefinition, RunRequest, evaluator, s3_sensor


@s3_sensor(
    pattern="days/{day:%Y%m%d}/{table}.csv",
    complete_when=FileNames(["items", "orders"], by="day"),
    job=JobDefinition("deliver"),
)
def whole_days():
    return RunRequest()


handler = evaluator(whole_days)
""",
}
"""What the authors of some sensors have written in place of the scaffold's code."""


def start(deployed: Deployed, job: str, number: int = 1, *, fail: Callable[[int], bool] = bool) -> list[Run]:
    """Return runs of a job, recorded and sent to LAUNCH.

    Args:
        deployed: the stack.
        job: which.
        number: how many.
        fail: whether the one of a number fails, from 0; by default all but the first.
    """
    made = [
        run_record(job=job, run_key=f"{job}-{n}", run_config=json.dumps({"fail": fail(n)}))
        for n in range(number)
    ]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(deployed.stores.runs.create, made)) == [None] * number
    for first in range(0, number, 10):
        deployed.send("Launch", *map(launch_message, made[first : first + 10]))
    return made


def now(deployed: Deployed, runs: Iterable[Run]) -> list[Run]:
    """Return the runs as they are recorded now."""
    found = deployed.stores.runs.get_many([each.run_id for each in runs])
    return [found[each.run_id] for each in runs]


def ended(deployed: Deployed, runs: list[Run], *, seconds: float = 90) -> list[Run]:
    """Return the runs, once all of them are recorded as ended."""

    def probe() -> list[Run]:
        found = now(deployed, runs)
        return found if all(each.ended_at for each in found) else []

    return eventually(probe, f"{len(runs)} runs have ended", seconds=seconds, pause=0.3)


def ticks_of(deployed: Deployed, sensor: str, runs: Iterable[Run]) -> list[Tick]:
    """Return a sensor's ticks of these runs."""
    wanted = {each.run_id for each in runs}
    latest = deployed.stores.ticks.latest(sensor, 3_000)
    return [tick for tick in latest if (tick.acted_on or "").partition("/")[0] in wanted]


def reactions(deployed: Deployed, sensor: str, runs: Iterable[Run]) -> Counter[str]:
    """Return how often a sensor acted on each status of these runs, by the event's id."""
    return Counter(tick.acted_on or "" for tick in ticks_of(deployed, sensor, runs))


def status_ids(runs: Iterable[Run], *statuses: DagsterRunStatus) -> set[str]:
    """Return the ids of what there is to react to: the statuses of these that each run has reached."""
    return {
        f"{each.run_id}/{place}/{status}"
        for each in runs
        for place, times in each.reached.items()
        for status in statuses
        if status in times
    }
