"""Checks that the targets of jobs exist."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.engine import EngineFunction
from treadle.adapters.health.probes import LOCAL_ACCOUNT, Probe
from treadle.adapters.targets.roles import Roles
from treadle.definitions.errors import InvocationError, LaunchError
from treadle.model.health import JobTarget, SkippedCheck
from treadle.model.targets import JobSettings

_SHOWN = 300
_WITH_ROLES = "the targets of jobs with a role"


@dataclass(frozen=True, slots=True)
class TargetCheck:
    """How to check a target type.

    Attributes:
        action: the required permission.
        service: the service to call.
        operation: its client's method.
        request: converts the address to the method's arguments.
        gone: the service's codes for a missing resource.
        is_there: returns whether the response shows the target.
        retries: returns how often the target itself starts a failed run again.
    """

    action: str
    service: str
    operation: str
    request: Callable[[str], Mapping[str, Any]]
    gone: tuple[str, ...]
    is_there: Callable[[Mapping[str, Any]], bool] = bool
    retries: Callable[[Mapping[str, Any]], int] = lambda _: 0


def _queue(arn: str) -> Mapping[str, Any]:
    account, name = arn.split(":")[4:6]
    return {"QueueName": name, "QueueOwnerAWSAccountId": account}


CHECKS: Mapping[str, TargetCheck] = {
    "step_functions": TargetCheck(
        "states:DescribeStateMachine",
        "stepfunctions",
        "describe_state_machine",
        lambda arn: {"stateMachineArn": arn},
        ("StateMachineDoesNotExist", "InvalidArn"),
        lambda answer: answer["status"] == "ACTIVE",
    ),
    "glue": TargetCheck(
        "glue:GetJob",
        "glue",
        "get_job",
        lambda arn: {"JobName": arn.rpartition("/")[2]},
        ("EntityNotFoundException",),
        retries=lambda answer: int(answer["Job"].get("MaxRetries") or 0),
    ),
    "batch": TargetCheck(
        "batch:DescribeJobDefinitions",
        "batch",
        "describe_job_definitions",
        lambda arn: {"jobDefinitions": [arn], "status": "ACTIVE"},
        (),
        lambda answer: bool(answer["jobDefinitions"]),
    ),
    "ecs": TargetCheck(
        "ecs:DescribeTaskDefinition",
        "ecs",
        "describe_task_definition",
        lambda arn: {"taskDefinition": arn},
        ("ClientException",),
        lambda answer: answer["taskDefinition"]["status"] == "ACTIVE",
    ),
    "lambda": TargetCheck(
        "lambda:GetFunctionConfiguration",
        "lambda",
        "get_function_configuration",
        lambda arn: {"FunctionName": arn},
        ("ResourceNotFoundException",),
    ),
    "sqs": TargetCheck(
        "sqs:GetQueueUrl",
        "sqs",
        "get_queue_url",
        _queue,
        ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist"),
    ),
    "eventbridge": TargetCheck(
        "events:DescribeEventBus",
        "events",
        "describe_event_bus",
        lambda arn: {"Name": arn},
        ("ResourceNotFoundException",),
    ),
}


def check_target(settings: JobSettings, roles: Roles) -> dict[str, Any]:
    """Check a job's target: `exists`, `trouble` and `retries`; `error` if that is unknown.

    Args:
        settings: the job's.
        roles: provides the credentials of its role.
    """
    try:
        exists, problem, retries = _found(settings, roles)
    except (ClientError, BotoCoreError, LaunchError) as error:
        return {"error": f"{error}"[:_SHOWN]}
    return {"exists": exists, "trouble": problem, "retries": retries}


def _found(settings: JobSettings, roles: Roles) -> tuple[bool, str, int]:
    check = CHECKS[settings.target]
    try:
        answer = _query(check, settings, roles)
    except ClientError as error:
        if code_of(error) not in check.gone:
            raise
        return False, str(error)[:_SHOWN], 0
    is_there = check.is_there(answer)
    return is_there, "" if is_there else "It is not active.", check.retries(answer)


def _query(check: TargetCheck, settings: JobSettings, roles: Roles) -> Mapping[str, Any]:
    def ask(arn: str) -> Mapping[str, Any]:
        answer: Mapping[str, Any] = roles.call(
            check.service, settings.role, check.operation, **check.request(arn)
        )
        return answer

    try:
        return ask(settings.arn)
    except ClientError as error:
        # Local clouds accept a bus by name only.
        is_local = f":{LOCAL_ACCOUNT}:event-bus/" in settings.arn
        if code_of(error) != "ResourceNotFoundException" or not is_local:
            raise
        return ask(settings.arn.partition("event-bus/")[2])


def target_probe(settings: JobSettings) -> Probe:
    """Return the probe of a job's target with the caller's own permissions."""

    def check() -> Iterator[JobTarget]:
        named = (settings.job, settings.arn, settings.parameter)
        exists, problem, retries = _found(settings, Roles()) if settings.arn else (False, "", 0)
        yield JobTarget(*named, exists, problem, retries=retries)

    return Probe("jobs", f"the target of job {settings.job}", CHECKS[settings.target].action, check)


def roles_probe(jobs: Sequence[JobSettings], engine: EngineFunction) -> Probe:
    """Return the probe of targets of jobs with a role; the engine runs it, as only it may assume the role.

    Args:
        jobs: those that have a role and an address.
        engine: the engine's function.
    """

    def check() -> Iterator[JobTarget | SkippedCheck]:
        try:
            found = engine.targets()
        except InvocationError as error:
            action = "lambda:InvokeFunction" if error.is_denied else ""
            yield SkippedCheck("jobs", _WITH_ROLES, action, str(error)[:_SHOWN])
            return
        for each in jobs:
            result = found.get(each.job, {"error": "RECONCILE does not know this job yet."})
            problem = str(result.get("error") or result.get("trouble") or "")
            exists = None if "error" in result else bool(result.get("exists"))
            retries = int(result.get("retries") or 0)
            yield JobTarget(each.job, each.arn, each.parameter, exists, problem, each.role, retries)

    return Probe("jobs", _WITH_ROLES, "lambda:InvokeFunction", check)
