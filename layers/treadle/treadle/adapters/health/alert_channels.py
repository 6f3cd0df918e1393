"""Checks that alerts can be delivered: the topic, secret or sender exists. Sends nothing and reads no secret."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from email.utils import parseaddr
from typing import Any

from botocore.exceptions import ClientError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.adapters.health.probes import Probe, Vital, taken
from treadle.model.health import AlertAddress, AlertChannel

Allowed = Callable[[str, str], Iterable[Probe]]
"""Returns the probes of whether the sender may do an action on a resource."""

_SHOWN = 300


@dataclass(frozen=True, slots=True)
class _Check:
    """How to check a channel with its service.

    Attributes:
        what: the kind of channel, for messages.
        action: the required permission.
        query: sends the request.
        gone: the service's codes for a missing or foreign resource.
        fault: returns what in a response prevents delivery and its fix; None if nothing does.
        needs: the action that the sender must be allowed; "" if that is not checked.
        resource: returns that action's resource from the response.
    """

    what: str
    action: str
    query: Callable[[str], Mapping[str, Any]]
    gone: tuple[str, ...]
    fault: Callable[[Mapping[str, Any]], tuple[str, str] | None]
    needs: str = ""
    resource: Callable[[Mapping[str, Any]], str] = str


def channel_probe(address: AlertAddress, allowed: Allowed | None = None) -> Probe:
    """Return the probe of an alert channel.

    Args:
        address: the channel's address.
        allowed: returns the probes of the sender's permission to send.
    """
    spec = _CHECKS[address.service]

    def check() -> Iterator[Vital]:
        try:
            answer = spec.query(address.name)
        except ClientError as error:
            if code_of(error) not in spec.gone:
                raise
            problem = f"{spec.what} {address.name} does not exist: {str(error)[:_SHOWN]}"
            yield AlertChannel(address, problem, f"Create it, or deploy with a different {address.setting}.")
            return
        fault = spec.fault(answer)
        problem, remedy = (f"{spec.what} {address.name} {fault[0]}", fault[1]) if fault else ("", "")
        yield AlertChannel(address, problem, remedy, is_unused=fault == _UNUSED)
        if spec.needs and allowed is not None:
            for probe in allowed(spec.needs, spec.resource(answer)):
                yield from taken(probe)

    return Probe("alerts", f"{spec.what} {address.name}", spec.action, check)


_UNUSED = (
    "has no subscription",
    "Subscribe to it, for example with AlertEmail, if somebody should be notified.",
)


def _topic(arn: str) -> Mapping[str, Any]:
    """Return the topic's attributes, with its confirmed subscriptions; not every cloud counts these."""
    attributes = dict(client("sns").get_topic_attributes(TopicArn=arn)["Attributes"])
    if attributes.get("SubscriptionsConfirmed") == "0":
        # Only the topic's own account may list them: otherwise the count is used.
        with suppress(ClientError):
            listed = client("sns").list_subscriptions_by_topic(TopicArn=arn)["Subscriptions"]
            confirmed = sum(each["SubscriptionArn"].startswith("arn:") for each in listed)
            attributes["SubscriptionsConfirmed"] = str(confirmed)
            attributes["IsUnused"] = str(not listed)
    return {"Attributes": attributes}


def _topic_fault(answer: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return the fault of a topic without subscribers."""
    confirmed = answer["Attributes"].get("SubscriptionsConfirmed")
    if confirmed is None or int(confirmed) > 0:
        return None
    if answer["Attributes"].get("IsUnused") == "True":
        return _UNUSED
    return (
        "has no confirmed subscription",
        "Subscribe to it, and confirm the subscription with the link in the e-mail from SNS.",
    )


def _secret_fault(answer: Mapping[str, Any]) -> tuple[str, str] | None:
    if "DeletedDate" not in answer:
        return None
    restore = f"aws secretsmanager restore-secret --secret-id {answer.get('ARN', '')}"
    return f"is scheduled for deletion and has been unreadable since {answer['DeletedDate']}", restore


def _identity(sender: str) -> Mapping[str, Any]:
    """Return the sender's identity in SES, or that of its domain: either is enough."""
    address = parseaddr(sender)[1] or sender
    domain = address.rpartition("@")[2]
    found: Mapping[str, Any] = {}
    for name in dict.fromkeys((address, domain)):
        try:
            found = client("sesv2").get_email_identity(EmailIdentity=name)
        except ClientError as error:
            if code_of(error) not in _NO_IDENTITY or (name == domain and not found):
                raise
        if found.get("VerifiedForSendingStatus"):
            break
    return found


def _identity_fault(answer: Mapping[str, Any]) -> tuple[str, str] | None:
    if answer.get("VerifiedForSendingStatus"):
        return None
    return (
        "is not verified in SES, so SES sends no e-mail from it",
        "Verify the address or its domain in SES.",
    )


_NO_IDENTITY = ("NotFoundException", "BadRequestException")

# Names of operations, errors and fields: botocore's models of sns, secretsmanager and sesv2.
_CHECKS: Mapping[str, _Check] = {
    "sns": _Check(
        "SNS topic",
        "sns:GetTopicAttributes",
        _topic,
        ("NotFound", "NotFoundException", "InvalidParameter", "InvalidParameterException"),
        _topic_fault,
        "sns:Publish",
        lambda answer: str(answer["Attributes"]["TopicArn"]),
    ),
    "secretsmanager": _Check(
        "The secret",
        "secretsmanager:DescribeSecret",
        lambda name: client("secretsmanager").describe_secret(SecretId=name),
        ("ResourceNotFoundException",),
        _secret_fault,
        "secretsmanager:GetSecretValue",
        lambda answer: str(answer["ARN"]),
    ),
    "ses": _Check("The sender", "ses:GetEmailIdentity", _identity, _NO_IDENTITY, _identity_fault),
}
