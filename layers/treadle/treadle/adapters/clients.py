"""AWS clients, each made once per process, when it is first needed."""

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
"""How often the SDK sends a request before it gives up."""

PACED = {"iam": 10}
"""How often it sends requests of services that throttle early, which it then sends at the rate that they allow."""

CONNECTIONS = 24
"""How many requests of one client may be under way at a time, each by a thread of its own."""

SECONDS = 10
"""How long it waits for an answer."""

MAKING = threading.Lock()
"""Held while a client is made, as a session makes one at a time."""

RULED = frozenset({"dynamodb", "events", "lambda", "sqs", "stepfunctions", "sts"})
"""Services whose rules say all of their endpoints; `tests/unit/test_clients.py` holds that against botocore's table."""


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
        "ecs",
        "glue",
        "iam",
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
    """The client of a service, with the process's own credentials, region and endpoint.

    Args:
        service: as boto3 names it.
        once: True for one that sends each request once. A second sending by itself would start a job twice
            where there is no token, and would hide whether the first came through where there is one.
        seconds: how long an answer may take.
    """
    return _client(service, 1 if once else PACED.get(service, ATTEMPTS), seconds)


def session_for(service: str) -> Session:
    """The process's session for a service: credentials, endpoints and models are found once for its clients.

    It is botocore's own, as boto3's would add nothing that is used here but the time that boto3 takes to be imported.
    """
    return _session(service in RULED)


@cache
def _session(is_ruled: bool) -> Session:
    made = get_session()
    paths = made.get_component("data_loader").search_paths
    loader = _RuledLoader if is_ruled else _Loader
    made.register_component("data_loader", loader(paths, include_default_search_paths=False))
    # The global endpoint is in one Region: a failure there would stop starts in all the others.
    made.set_config_variable("sts_regional_endpoints", "regional")
    return made


def forget() -> None:
    """Make session and clients anew when they are needed next, as the process's environment has changed."""
    _session.cache_clear()
    _client.cache_clear()


class _Loader(Loader):
    """Takes a service's folder for the service, where botocore would first look into the folders of all, 400 of them."""

    def list_available_services(self, type_name: str) -> list[str]:
        del type_name
        folders = [Path(path) for path in self.search_paths]
        return sorted({each.name for folder in folders if folder.is_dir() for each in folder.iterdir()})


class _RuledLoader(_Loader):
    """Leaves out the table of all services' endpoints, 1.2 MB of JSON from before services had rules for them."""

    def load_data_with_path(self, name: str) -> tuple[Any, str]:
        if name != "endpoints":
            return super().load_data_with_path(name)
        # Of botocore's own: where a table is somebody else's, it goes before the rules.
        return {"partitions": []}, str(Path(self.BUILTIN_DATA_PATH) / "endpoints")


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials.

    Attributes:
        access_key: names them.
        secret_key: signs requests.
        token: goes with each request.
        obtained_at: when they were obtained, in seconds since the epoch.
        expires_at: when they expire.
    """

    access_key: str
    secret_key: str = field(repr=False)
    token: str = field(repr=False)
    obtained_at: float
    expires_at: float


def client_with(credentials: Credentials, service: str, *, once: bool = False) -> Any:
    """A new client of a service, over the same session as all others, with credentials of its own.

    Args:
        credentials: used until the client is dropped.
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
