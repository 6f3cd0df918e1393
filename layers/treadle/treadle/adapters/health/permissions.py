"""Whether the deployment's roles still allow what their functions need, as IAM reckons it, and as the logs show."""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from treadle.adapters.clients import client
from treadle.adapters.dynamodb.runs import CLAIM_ATTRIBUTES
from treadle.adapters.health.looking import Probe
from treadle.adapters.stack import DeployedStack
from treadle.engine.identity import timestamp
from treadle.ports.deployment import DeployedSensor
from treadle.ports.health import Denial
from treadle.ports.launching import JobSettings

RECENT_MS = 900_000
"""A denial that a log shows is told for so long."""

_STARTS = {
    "step_functions": "states:StartExecution",
    "glue": "glue:StartJobRun",
    "batch": "batch:SubmitJob",
    "ecs": "ecs:RunTask",
    "lambda": "lambda:InvokeFunction",
    "sqs": "sqs:SendMessage",
    "eventbridge": "events:PutEvents",
}
_DENIED = re.compile(r'perform: ([\w:]+)(?: on resource: ([^\s"\\,}]+))?')


@dataclass(frozen=True, slots=True)
class Need:
    """What a role must allow.

    Attributes:
        owner: the step.
        role: its role's logical id.
        resource: the ARN.
        actions: on it.
        context: what the calls carry, by condition key.
    """

    owner: str
    role: str
    resource: str
    actions: tuple[str, ...]
    context: Mapping[str, list[str]]


def needs(
    stack: DeployedStack,
    sensors: Iterable[DeployedSensor],
    prefixes: Mapping[str, str],
    jobs: Iterable[JobSettings],
) -> Iterator[Need]:
    """What the functions cannot do without, one role and resource at a time.

    Args:
        stack: the stack.
        sensors: its sensors.
        prefixes: by sensor, how the names of its resources begin.
        jobs: what each job launches.
    """
    arn = _Arns(stack)
    taking = ("sqs:ReceiveMessage", "sqs:DeleteMessage")
    dead, launches = arn.queue("DeadLetterQueue"), arn.queue("LaunchQueue")
    for sensor in sensors:
        prefix, owner = prefixes[sensor.name], f"sensor {sensor.name}"
        role, own = f"{prefix}Role", {"dynamodb:LeadingKeys": [sensor.name]}
        yield Need(owner, role, arn.table("SENSORS"), ("dynamodb:GetItem", "dynamodb:UpdateItem"), own)
        yield Need(owner, role, arn.table("TICKS"), ("dynamodb:PutItem",), own)
        known = {"dynamodb:Attributes": list(CLAIM_ATTRIBUTES)}
        yield Need(owner, role, arn.table("RUNS"), ("dynamodb:BatchGetItem",), known)
        if sensor.queue:
            own_queue = arn.queue(f"{prefix}Queue")
            yield Need(owner, role, own_queue, (*taking, "sqs:SendMessage"), {})
        yield Need(owner, role, dead, ("sqs:SendMessage",), {})
    yield Need(
        "dispatch", "DispatchRole", arn.table("TICKS"), ("dynamodb:GetItem", "dynamodb:UpdateItem"), {}
    )
    yield Need("dispatch", "DispatchRole", arn.table("RUNS"), ("dynamodb:PutItem",), {})
    yield Need("dispatch", "DispatchRole", launches, ("sqs:SendMessage",), {})
    yield Need("launch", "LaunchRole", launches, (*taking, "sqs:SendMessage"), {})
    yield Need("launch", "LaunchRole", arn.table("RUNS"), ("dynamodb:UpdateItem", "dynamodb:PutItem"), {})
    yield Need("record", "RecordRole", arn.queue("RecordQueue"), taking, {})
    yield Need("record", "RecordRole", arn.table("RUNS"), ("dynamodb:GetItem", "dynamodb:PutItem"), {})
    yield Need("publish", "PublishRole", arn.table("RUNS"), ("dynamodb:GetItem",), {})
    yield Need("reconcile", "ReconcileRole", f"{arn.table('TICKS')}/index/pending", ("dynamodb:Query",), {})
    yield Need("reconcile", "ReconcileRole", f"{arn.table('RUNS')}/index/watched", ("dynamodb:Query",), {})
    for job in jobs:
        if job.arn.startswith("arn:"):
            yield Need("launch", "LaunchRole", job.arn, (_STARTS[job.target],), {})


class _Arns:
    def __init__(self, stack: DeployedStack) -> None:
        self._stack = stack
        self._partition, _, self._region, self._account = stack.arn.split(":")[1:5]

    def table(self, which: str) -> str:
        name = self._stack.environment[f"TREADLE_{which}_TABLE"]
        return f"arn:{self._partition}:dynamodb:{self._region}:{self._account}:table/{name}"

    def queue(self, logical_id: str) -> str:
        return self._stack.queue_arn(logical_id)


def permission_probe(stack: DeployedStack, need: Need) -> Probe:
    """The look at whether a role allows what it must.

    Args:
        stack: the stack.
        need: what is needed.
    """
    partition, account = stack.arn.split(":")[1], stack.arn.split(":")[4]
    context: list[dict[str, Any]] = [
        {"ContextKeyName": key, "ContextKeyType": "stringList", "ContextKeyValues": values}
        for key, values in need.context.items()
    ]
    context.append(
        {"ContextKeyName": "aws:PrincipalAccount", "ContextKeyType": "string", "ContextKeyValues": [account]}
    )

    def look() -> Iterator[Denial]:
        answer = client("iam").simulate_principal_policy(
            PolicySourceArn=f"arn:{partition}:iam::{account}:role/{stack.physical_ids[need.role]}",
            ActionNames=list(need.actions),
            ResourceArns=[need.resource],
            ContextEntries=context,
        )
        for result in answer["EvaluationResults"]:
            if result["EvalDecision"] != "allowed":
                words = f"IAM reckons {result['EvalDecision']}"
                yield Denial(need.owner, result["EvalActionName"], need.resource, words)

    return Probe("permissions", "the roles' permissions", "iam:SimulatePrincipalPolicy", look)


def log_probe(owner: str, group: str, since: int) -> Probe:
    """The look at what a function was denied lately.

    Args:
        owner: the step.
        group: its log group.
        since: when the first line of interest was written, in milliseconds.
    """

    def look() -> Iterator[Denial]:
        answer = client("logs").filter_log_events(
            logGroupName=group, startTime=since, filterPattern="AccessDenied", limit=20
        )
        told: set[str] = set()
        for event in answer["events"]:
            found = _DENIED.search(event["message"])
            if found is None or found[1] in told:
                continue
            told.add(found[1])
            words = f"its log says so, at {timestamp(event['timestamp'])}"
            yield Denial(owner, found[1], found[2] or "?", words)

    return Probe("permissions", f"the log {group}", "logs:FilterLogEvents", look)
