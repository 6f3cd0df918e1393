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


@overload
def client(service: Literal["s3"]) -> "S3Client": ...
@overload
def client(service: Literal["sqs"]) -> "SQSClient": ...
@overload
def client(service: Literal["events"]) -> "EventBridgeClient": ...
@overload
def client(service: Literal["stepfunctions"]) -> "SFNClient": ...
@overload
def client(service: Literal["cloudformation"]) -> "CloudFormationClient": ...
@overload
def client(service: Literal["lambda"]) -> "LambdaClient": ...
@overload
def client(service: Literal["sts"]) -> Any: ...
def client(service: str) -> Any:
    """The client of a service, with the process's own credentials, region and endpoint."""
    return _client(service)


@cache
def _client(service: str) -> Any:
    # Imported here, as most invocations of most functions need no client but DynamoDB's.
    import boto3
    from botocore.config import Config

    retries = Config(
        retries={"mode": "standard", "total_max_attempts": 4}, connect_timeout=3, read_timeout=10
    )
    return boto3.client(service, config=retries)  # type: ignore[call-overload]
