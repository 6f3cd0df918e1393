"""Whether what a job launches is there."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from treadle.adapters.answers import code_of
from treadle.adapters.clients import client
from treadle.adapters.health.looking import LOCAL_ACCOUNT, Probe
from treadle.ports.health import JobTarget
from treadle.ports.launching import JobSettings


@dataclass(frozen=True, slots=True)
class _Question:
    """How a kind of target is asked for.

    Attributes:
        action: the permission.
        ask: sends the request.
        gone: the service's words for "there is no such thing".
        is_there: whether the answer shows it.
    """

    action: str
    ask: Callable[[str], Mapping[str, Any]]
    gone: tuple[str, ...]
    is_there: Callable[[Mapping[str, Any]], bool] = bool


def _queue_url(arn: str) -> Mapping[str, Any]:
    account, name = arn.split(":")[4:6]
    return client("sqs").get_queue_url(QueueName=name, QueueOwnerAWSAccountId=account)


def _event_bus(arn: str) -> Mapping[str, Any]:
    """The bus of an ARN, which local clouds know by its name only."""
    try:
        return client("events").describe_event_bus(Name=arn)
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException" or f":{LOCAL_ACCOUNT}:" not in arn:
            raise
        return client("events").describe_event_bus(Name=arn.partition("event-bus/")[2])


_QUESTIONS: Mapping[str, _Question] = {
    "step_functions": _Question(
        "states:DescribeStateMachine",
        lambda arn: client("stepfunctions").describe_state_machine(stateMachineArn=arn),
        ("StateMachineDoesNotExist", "InvalidArn"),
        lambda answer: answer["status"] == "ACTIVE",
    ),
    "glue": _Question(
        "glue:GetJob",
        lambda arn: client("glue").get_job(JobName=arn.rpartition("/")[2]),
        ("EntityNotFoundException",),
    ),
    "batch": _Question(
        "batch:DescribeJobDefinitions",
        lambda arn: client("batch").describe_job_definitions(jobDefinitions=[arn], status="ACTIVE"),
        (),
        lambda answer: bool(answer["jobDefinitions"]),
    ),
    "ecs": _Question(
        "ecs:DescribeTaskDefinition",
        lambda arn: client("ecs").describe_task_definition(taskDefinition=arn),
        ("ClientException",),
        lambda answer: answer["taskDefinition"]["status"] == "ACTIVE",
    ),
    "lambda": _Question(
        "lambda:GetFunctionConfiguration",
        lambda arn: client("lambda").get_function_configuration(FunctionName=arn),
        ("ResourceNotFoundException",),
    ),
    "sqs": _Question(
        "sqs:GetQueueUrl", _queue_url, ("AWS.SimpleQueueService.NonExistentQueue", "QueueDoesNotExist")
    ),
    "eventbridge": _Question(
        "events:DescribeEventBus",
        _event_bus,
        ("ResourceNotFoundException",),
    ),
}


def target_probe(settings: JobSettings) -> Probe:
    """The look at what a job launches.

    Args:
        settings: the job's.
    """
    question = _QUESTIONS[settings.target]

    def look() -> Iterator[JobTarget]:
        found = JobTarget(settings.job, settings.arn, settings.parameter, exists=False)
        if not settings.arn:
            yield found
            return
        try:
            answer = question.ask(settings.arn)
        except ClientError as error:
            if code_of(error) not in question.gone:
                raise
            yield JobTarget(
                settings.job, settings.arn, settings.parameter, exists=False, trouble=str(error)[:300]
            )
            return
        is_there = question.is_there(answer)
        trouble = "" if is_there else "It is not active (any more)."
        yield JobTarget(settings.job, settings.arn, settings.parameter, is_there, trouble)

    return Probe("jobs", f"what job {settings.job} launches", question.action, look)
