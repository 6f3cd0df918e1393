"""AWS clients, each made once per process, when it is first needed."""

from functools import cache
from typing import TYPE_CHECKING, Any, Literal, overload

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

ATTEMPTS = 4
"""How often the SDK sends a request before it gives up."""

CONNECTIONS = 24
"""How many requests of one client may be under way at a time, each by a thread of its own."""

SECONDS = 10
"""How long it waits for an answer."""


@overload
def client(service: Literal["s3"], *, once: bool = False) -> "S3Client": ...
@overload
def client(service: Literal["sqs"], *, once: bool = False) -> "SQSClient": ...
@overload
def client(service: Literal["events"], *, once: bool = False) -> "EventBridgeClient": ...
@overload
def client(service: Literal["stepfunctions"], *, once: bool = False) -> "SFNClient": ...
@overload
def client(service: Literal["lambda"], *, once: bool = False, seconds: int = SECONDS) -> "LambdaClient": ...
@overload
def client(service: Literal["cloudformation"], *, once: bool = False) -> "CloudFormationClient": ...
@overload
def client(
    service: Literal["batch", "cloudwatch", "ecs", "glue", "iam", "logs", "scheduler", "sts"],
    *,
    once: bool = False,
) -> Any: ...
def client(service: str, *, once: bool = False, seconds: int = SECONDS) -> Any:
    """The client of a service, with the process's own credentials, region and endpoint.

    Args:
        service: as boto3 names it.
        once: True for one that sends each request once. A second sending by itself would start a job twice
            where there is no token, and would hide whether the first came through where there is one.
        seconds: how long an answer may take.
    """
    return _client(service, 1 if once else ATTEMPTS, seconds)


@cache
def _client(service: str, attempts: int, seconds: int) -> Any:
    # Imported here, as most invocations of most functions need no client but DynamoDB's.
    import boto3
    from botocore.config import Config

    config = Config(
        retries={"mode": "standard", "total_max_attempts": attempts},
        connect_timeout=3,
        read_timeout=seconds,
        max_pool_connections=CONNECTIONS,
    )
    return boto3.client(service, config=config)  # type: ignore[call-overload]
