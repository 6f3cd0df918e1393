"""AWS clients, each created once per process, on first use."""

import threading
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, overload

from botocore.config import Config
from botocore.loaders import Loader
from botocore.session import Session, get_session

if TYPE_CHECKING:
    from mypy_boto3_cloudformation import CloudFormationClient
    from mypy_boto3_events import EventBridgeClient
    from mypy_boto3_lambda import LambdaClient
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_sqs import SQSClient
    from mypy_boto3_stepfunctions import SFNClient

ATTEMPTS = 4
"""Attempts per request before the SDK gives up."""

PACED = {"iam": 10}
"""How often it sends requests of services that throttle early, which it then sends at the rate that they allow."""

CONNECTIONS = 24
"""Maximum number of concurrent requests of one client, each in its own thread."""

SECONDS = 10
"""Timeout of a response."""

MAKING = threading.Lock()
"""Held while a client is created: a session creates one at a time."""

RULED = frozenset({"dynamodb", "events", "lambda", "sqs", "stepfunctions", "sts"})
"""Services with complete endpoint rules; `tests/unit/test_clients.py` compares them with botocore's table."""


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
def client(service: Literal["sts"], *, once: bool = False, seconds: int = SECONDS) -> Any: ...
@overload
def client(service: Literal["cloudformation"], *, once: bool = False) -> "CloudFormationClient": ...
@overload
def client(
    service: Literal[
        "batch",
        "cloudwatch",
        "dynamodbstreams",
        "ecs",
        "glue",
        "iam",
        "kinesis",
        "logs",
        "scheduler",
        "secretsmanager",
        "sesv2",
        "sns",
        "ssm",
    ],
    *,
    once: bool = False,
) -> Any: ...
def client(service: str, *, once: bool = False, seconds: int = SECONDS) -> Any:
    """Return a service's client, with the process's own credentials, Region and endpoint.

    Args:
        service: as boto3 names it.
        once: True for a client that never retries. An automatic retry would start a job twice if there is no
            token, and would hide whether the first request was accepted if there is one.
        seconds: timeout of a response.
    """
    return _client(service, 1 if once else PACED.get(service, ATTEMPTS), seconds)


def session_for(service: str) -> Session:
    """Return a service's session: credentials, endpoints and models are loaded once for all clients.

    It is botocore's own session: boto3's would add only its import time.
    """
    return _session(service in RULED)


@cache
def _session(is_ruled: bool) -> Session:
    made = get_session()
    paths = made.get_component("data_loader").search_paths
    loader = _RuledLoader if is_ruled else _Loader
    made.register_component("data_loader", loader(paths, include_default_search_paths=False))
    # The global endpoint is in one Region: an outage there would stop starts in all others.
    made.set_config_variable("sts_regional_endpoints", "regional")
    return made


def forget() -> None:
    """Discard session and clients, as the process's environment has changed."""
    _session.cache_clear()
    _client.cache_clear()


class _Loader(Loader):
    """Checks the service's own folder only; botocore would list the folders of all services, about 400."""

    def list_available_services(self, type_name: str) -> list[str]:
        del type_name
        folders = [Path(path) for path in self.search_paths]
        return sorted({each.name for folder in folders if folder.is_dir() for each in folder.iterdir()})


class _RuledLoader(_Loader):
    """Skips the table of all services' endpoints, 1.2 MB of JSON that endpoint rules have superseded."""

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        if name != "endpoints":
            return super().load_data_with_path(name)
        # Only botocore's own table: a custom one has priority over the rules.
        return {"partitions": []}, str(Path(self.BUILTIN_DATA_PATH) / "endpoints")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials.

    Attributes:
        access_key: the access key id.
        secret_key: signs requests.
        token: the session token.
        obtained_at: in seconds since the epoch.
        expires_at: in seconds since the epoch.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    obtained_at: float
    expires_at: float


def client_with(credentials: Credentials, service: str, *, once: bool = False) -> Any:
    """Return a new client that shares the session but uses its own credentials.

    Args:
        credentials: used for the client's lifetime.
        service: as boto3 names it.
        once: as for `client`.
    """
    config = _config(1 if once else ATTEMPTS, SECONDS)
    with MAKING:
        return session_for(service).create_client(
            service,
            config=config,
            aws_access_key_id=credentials.access_key,
            aws_secret_access_key=credentials.secret_key,
            aws_session_token=credentials.token,
        )


@cache
def _client(service: str, attempts: int, seconds: int) -> Any:
    config = _config(attempts, seconds)
    with MAKING:
        return session_for(service).create_client(service, config=config)


def _config(attempts: int, seconds: int) -> Config:
    return Config(
        # "Adaptive retry mode" in the AWS SDKs and Tools Reference Guide: throttled, it limits its own rate.
        retries={"mode": "adaptive" if attempts > ATTEMPTS else "standard", "total_max_attempts": attempts},
        connect_timeout=3,
        read_timeout=seconds,
        max_pool_connections=CONNECTIONS,
    )
