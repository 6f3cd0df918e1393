"""AWS calls for alerts: secret values, SNS topics, and mail through SES. Errors never contain a secret."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.definitions.errors import AlertDelayedError, AlertError

SECRET_AGE = 300
"""Seconds after which a secret is read again, so that rotation takes effect."""

_PASSING = (
    "Throttl",
    "TooManyRequests",
    "LimitExceeded",
    "InternalError",
    "InternalFailure",
    "InternalServiceError",
    "ServiceUnavailable",
)
_MAX_MESSAGE = 500


@cache
def _provider(service: str) -> Any:
    # Imported here, as a sensor without alerts does not need it.
    from aws_lambda_powertools.utilities import parameters

    kind = parameters.SecretsProvider if service == "secretsmanager" else parameters.SSMProvider
    return kind(boto3_client=_aws(service))


def secret_value(service: str, name: str) -> str:
    """Return a secret's value, cached for five minutes.

    Args:
        service: "secretsmanager" or "ssm".
        name: the secret's name or ARN, or the parameter's name.

    Raises:
        AlertError: if it cannot be read, with AWS's message.
    """
    from aws_lambda_powertools.utilities.parameters.exceptions import GetParameterError

    try:
        value = _provider(service).get(name, max_age=SECRET_AGE, **_options(service))
    except GetParameterError as error:
        raise _alert_error(f"The secret {name!r} ({service}) cannot be read", error) from None
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value or "")


def publish(topic: str, subject: str, message: str, options: Mapping[str, Any]) -> None:
    """Publish to an SNS topic.

    Args:
        topic: its ARN.
        subject: up to 100 characters of ASCII.
        message: up to 256 KB.
        options: further arguments of `Publish`.

    Raises:
        AlertError: if SNS rejected it, with SNS's message.
    """
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _aws("sns").publish(TopicArn=topic, Subject=subject, Message=message, **options)
    except (BotoCoreError, ClientError) as error:
        raise _alert_error(f"The topic {topic} did not accept the alert", error) from None


def send_mail(sender: str, to: Sequence[str], subject: str, html: str) -> None:
    """Send an email through SES, from a verified address or domain.

    Args:
        sender: the sender's address.
        to: the recipients' addresses.
        subject: one line.
        html: the body.

    Raises:
        AlertError: if SES rejected it, with SES's message.
    """
    content = {
        "Simple": {
            "Subject": {"Data": subject, "Charset": "UTF-8"},
            "Body": {"Html": {"Data": html, "Charset": "UTF-8"}},
        }
    }
    from botocore.exceptions import BotoCoreError, ClientError

    try:
        _aws("sesv2").send_email(
            FromEmailAddress=sender, Destination={"ToAddresses": list(to)}, Content=content
        )
    except (BotoCoreError, ClientError) as error:
        raise _alert_error(f"SES did not accept the e-mail from {sender}", error) from None


def _aws(service: str) -> Any:
    return client(service)  # type: ignore[call-overload]


def _options(service: str) -> dict[str, Any]:
    return {"decrypt": True} if service == "ssm" else {}


def _alert_error(what: str, error: Exception) -> AlertError:
    """Convert an SDK error; Powertools wraps it, and the code is in the wrapped error."""
    wrapped = error.__context__
    code = code_of(error) or (code_of(wrapped) if isinstance(wrapped, Exception) else "")
    # Without a code there was no response at all.
    is_passing = not code or any(known in code for known in _PASSING)
    kind = AlertDelayedError if is_passing else AlertError
    return kind(f"{what}: {str(error)[:_MAX_MESSAGE]}")
