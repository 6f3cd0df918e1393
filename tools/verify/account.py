"""The account and Region of a run, and clients for it."""

import contextlib
import functools
import os
import secrets
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import boto3
import botocore.exceptions
from botocore.config import Config

from tools.project import ToolError, local_aws
from treadle.adapters import clients

LOCAL_ACCOUNT = "000000000000"
"""The local cloud's account, which does not exist on AWS."""

PREFIX = "treadle-verify"
"""The prefix of the names of all resources that a run creates."""

TAG = "treadle:verify"
"""The tag on all resources that can have one; its value is the run's id."""

_RETRIES: Any = {"mode": "standard", "max_attempts": 8}


@dataclass(frozen=True, slots=True)
class Account:
    """The account where checks run.

    Attributes:
        session: the caller's credentials and Region.
        id: the account's number.
        caller: the caller's ARN.
        partition: such as "aws".
        region: the Region.
        run: this run's id, part of the names of its resources.
        secret: known to this run only; required to assume a role of the run.
    """

    session: boto3.Session
    id: str
    caller: str
    partition: str
    region: str
    run: str = field(default_factory=lambda: secrets.token_hex(3))
    secret: str = field(default_factory=lambda: secrets.token_hex(16))

    @property
    def is_local(self) -> bool:
        """Whether this is the local cloud."""
        return self.id == LOCAL_ACCOUNT

    @property
    def name(self) -> str:
        """The prefix of the names of this run's resources."""
        return f"{PREFIX}-{self.run}"

    @property
    def path(self) -> str:
        """The path of this run's parameters and log groups."""
        return f"/{PREFIX}/{self.run}"

    def client(self, service: str) -> Any:
        """Return a client with the caller's credentials.

        Args:
            service: as boto3 names it.
        """
        return client_of(self.session, service)

    def arn(self, service: str, resource: str) -> str:
        """Return an ARN in this account and Region.

        Args:
            service: its name in ARNs.
            resource: the part after the account's number.
        """
        region = "" if service == "iam" else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.id}:{resource}"


@functools.cache
def client_of(session: boto3.Session, service: str) -> Any:
    """Return a client that retries throttled requests.

    Args:
        session: has the credentials.
        service: as boto3 names it.
    """
    make: Any = session.client
    return make(service, config=Config(retries=_RETRIES))


def identify() -> Account:
    """Return the account of the environment's credentials.

    Raises:
        ToolError: there are no credentials, or no Region.
    """
    session = boto3.Session()
    if not session.region_name:
        raise ToolError(
            "the Region cannot be determined: none is configured. Set AWS_DEFAULT_REGION, or a Region in your profile."
        )
    try:
        caller = client_of(session, "sts").get_caller_identity()
    except (botocore.exceptions.BotoCoreError, botocore.exceptions.ClientError) as error:
        raise ToolError(
            f"the caller's identity cannot be read: {error}. Check your AWS credentials."
        ) from error
    return Account(
        session, caller["Account"], caller["Arn"], caller["Arn"].split(":")[1], session.region_name
    )


@contextlib.contextmanager
def pointing_at(endpoint: str) -> Iterator[None]:
    """Point all clients of this process to a local cloud, whatever profile the developer uses otherwise."""
    before = dict(os.environ)
    os.environ.clear()
    os.environ.update(local_aws(endpoint))
    clients.forget()
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)
        clients.forget()
