"""The environment of a check: its stack's outputs, clients, roles to assume, and polling."""

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeVar

import boto3
from botocore.exceptions import ClientError

from tools.verify.account import Account
from tools.verify.stacks import Stack, Stacks
from treadle.adapters.aws_errors import code_of

DENIALS = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AuthorizationError",
        "UnauthorizedOperation",
        "NotAuthorized",
        "AWS.SimpleQueueService.AccessDenied",
    }
)

SETTLED_SECONDS = 60
"""How long changes of IAM may take until they apply everywhere.

"IAM user guide", "Changes that I make are not always immediately visible".
"""

SETTLED_SECONDS_LOCALLY = 3

Value = TypeVar("Value")


class DidNotHoldError(Exception):
    """AWS did not behave as expected; the message has the difference."""


class NotTriedError(Exception):
    """A check cannot be carried out here; the message has the reason."""


@dataclass(slots=True)
class Lab:
    """The environment of one check.

    Attributes:
        account: where it runs.
        stacks: creates further stacks of the run.
        check: the check's name.
        outputs: of its stack.
        pause: seconds between two polls.
        sleep: waits.
    """

    account: Account
    stacks: Stacks
    check: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    pause: float = 1.0
    sleep: Callable[[float], None] = time.sleep

    @property
    def stack_name(self) -> str:
        """The name of the check's own stack."""
        return self.stacks.name_of(self.check)

    @property
    def settling(self) -> float:
        """How many seconds a change of IAM may take here."""
        return SETTLED_SECONDS_LOCALLY if self.account.is_local else SETTLED_SECONDS

    def client(self, service: str) -> Any:
        """Return a client with the caller's credentials.

        Args:
            service: as boto3 names it.
        """
        return self.account.client(service)

    def acting_as(self, role: str, session_name: str = "verify") -> boto3.Session:
        """Return a session of a role of this run, once IAM lets it be assumed.

        Args:
            role: the role's ARN.
            session_name: the session's.
        """
        sts = self.client("sts")
        try:
            granted: Any = self.once_allowed(
                lambda: sts.assume_role(
                    RoleArn=role,
                    RoleSessionName=session_name,
                    ExternalId=self.account.secret,
                    DurationSeconds=900,
                ),
                "the caller may not assume the check's role; the account's root user never may",
            )
        except DidNotHoldError as error:
            raise NotTriedError(str(error)) from error
        return session_of(granted["Credentials"], self.account.region)

    def once_allowed(self, call: Callable[[], Value], what: str) -> Value:
        """Return the response to a request that must be allowed, once IAM has applied recent changes.

        Args:
            call: sends the request.
            what: the meaning of a lasting denial, for the message.

        Raises:
            DidNotHoldError: it stays denied.
        """
        until = time.monotonic() + self.settling
        while True:
            try:
                return call()
            except ClientError as error:
                if not is_denial(error):
                    raise
                if time.monotonic() >= until:
                    raise DidNotHoldError(f"{what}: {code_of(error)}") from error
            self.sleep(self.pause)

    def eventually(self, probe: Callable[[], Value | None], seconds: float) -> Value | None:
        """Poll until there is a result and return it; None if there never is.

        Args:
            probe: returns None for nothing yet.
            seconds: how long to poll.
        """
        until = time.monotonic() + seconds
        while True:
            seen = probe()
            if seen is not None or time.monotonic() >= until:
                return seen
            self.sleep(self.pause)

    def receive(self, queue: str, seconds: float) -> str | None:
        """Return the body of a message, deleted from its queue; None if none arrives.

        Args:
            queue: the queue's URL.
            seconds: how long to wait for one.
        """
        sqs = self.client("sqs")

        def probe() -> str | None:
            for message in sqs.receive_message(QueueUrl=queue, WaitTimeSeconds=1).get("Messages", []):
                sqs.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
                return str(message["Body"])
            return None

        return self.eventually(probe, seconds)

    def invoke(self, function: str, event: Mapping[str, Any]) -> dict[str, Any]:
        """Invoke a function and return its response."""
        answer = self.client("lambda").invoke(FunctionName=function, Payload=json.dumps(event).encode())
        text = answer["Payload"].read()
        if answer.get("FunctionError"):
            raise NotTriedError(f"the check's function failed: {text.decode(errors='replace')[:300]}")
        found: dict[str, Any] = json.loads(text)
        return found

    def deploy(
        self,
        part: str,
        template: Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        *,
        is_validated: bool = True,
    ) -> Stack:
        """Create a further stack of this check and wait for it, however it ends.

        Args:
            part: distinguishes it from the check's other stacks.
            template: of the stack.
            parameters: values of the template's parameters.
            is_validated: whether CloudFormation looks for conflicts before it creates the first resource.
        """
        name = f"{self.stack_name}-{part}"
        self.stacks.create(name, template, parameters, is_validated=is_validated)
        return self.stacks.wait(name)


def session_of(credentials: Mapping[str, str], region: str) -> boto3.Session:
    """Return a session with credentials from STS."""
    return boto3.Session(
        aws_access_key_id=credentials["AccessKeyId"],
        aws_secret_access_key=credentials["SecretAccessKey"],
        aws_session_token=credentials["SessionToken"],
        region_name=region,
    )


def is_denial(error: ClientError) -> bool:
    """Return whether a request was refused for lack of permission.

    Args:
        error: what the request raised.
    """
    return code_of(error) in DENIALS or "not authorized" in str(error)


def is_denied(call: Callable[[], object]) -> bool:
    """Return whether a request is denied; another error is raised.

    Args:
        call: sends the request.
    """
    try:
        call()
    except ClientError as error:
        if is_denial(error):
            return True
        raise
    return False


def expect_denied(call: Callable[[], object], what: str) -> None:
    """Send a request that must be denied.

    Args:
        call: sends the request.
        what: the request, for the message.

    Raises:
        DidNotHoldError: it was allowed.
    """
    if not is_denied(call):
        raise DidNotHoldError(f"{what} was allowed")
