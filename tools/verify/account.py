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
"""With what the name of everything begins that a run creates."""

TAG = "treadle:verify"
"""The tag on all of it that can have one; its value is the run's id."""

_RETRIES: Any = {"mode": "standard", "max_attempts": 8}


@dataclass(frozen=True, slots=True)
class Account:
    """An account that is verified.

    Attributes:
        session: the caller's credentials and Region.
        id: the account's number.
        caller: the caller's ARN.
        partition: such as "aws".
        region: the Region.
        run: this run's id, part of the name of all that it creates.
        secret: known to this run only; whoever assumes a role of the run gives it.
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
        """With what the names of this run's resources begin."""
        return f"{PREFIX}-{self.run}"

    @property
    def path(self) -> str:
        """Under which path this run's parameters and log groups are."""
        return f"/{PREFIX}/{self.run}"

    def client(self, service: str) -> Any:
        """A client with the caller's credentials.

        Args:
            service: as boto3 names it.
        """
        return client_of(self.session, service)

    def arn(self, service: str, resource: str) -> str:
        """An ARN of this account and Region.

        Args:
            service: its name in ARNs.
            resource: what follows the account's number.
        """
        region = "" if service == "iam" else self.region
        return f"arn:{self.partition}:{service}:{region}:{self.id}:{resource}"


@functools.cache
def client_of(session: boto3.Session, service: str) -> Any:
    """A client that waits for throttling to end.

    Args:
        session: whose credentials it has.
        service: as boto3 names it.
    """
    make: Any = session.client
    return make(service, config=Config(retries=_RETRIES))


def identify() -> Account:
    """The account to which the environment's credentials belong.

    Raises:
        ToolError: there are no credentials, or no Region.
    """
    session = boto3.Session()
    if not session.region_name:
        raise ToolError(
            "the Region cannot be determined: none is configured. Set AWS_REGION, or a Region in your profile."
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
    """Let all clients of this process talk to a local cloud, whatever profile the developer uses otherwise.

    Args:
        endpoint: the local cloud's URL.
    """
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
