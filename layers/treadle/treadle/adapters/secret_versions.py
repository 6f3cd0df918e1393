"""The secrets of webhooks, in Secrets Manager or as SSM parameters, with their previous versions."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.definitions.errors import WebhookSecretError
from treadle.model.deployment import SSM

_NONE_BEFORE = {"ResourceNotFoundException", "ParameterNotFound", "ParameterVersionNotFound"}


class AwsSecretStore:
    """A `SecretStore` in Secrets Manager and SSM."""

    def read(self, name: str) -> tuple[str, ...]:
        """Read both versions of a secret; a field of a JSON object is named after `#`."""
        if name.startswith(SSM):
            return _of_parameter(name.removeprefix(SSM))
        secret, _, field = name.partition("#")
        current = _called(name, lambda: _secret(secret, "AWSCURRENT"))
        try:
            before = _secret(secret, "AWSPREVIOUS")
        except (BotoCoreError, ClientError) as error:
            if code_of(error) not in _NONE_BEFORE:
                raise _unread(name, error) from None
            return (_text(name, current, field),)
        return (_text(name, current, field), _text(name, before, field))


def _of_parameter(name: str) -> tuple[str, ...]:
    found = _called(f"{SSM}{name}", lambda: _parameter(name))
    current, version = _text(f"{SSM}{name}", str(found["Value"])), int(found["Version"])
    if version == 1:
        return (current,)
    try:
        before = str(_parameter(f"{name}:{version - 1}")["Value"])
    except (BotoCoreError, ClientError) as error:
        if code_of(error) not in _NONE_BEFORE:
            raise _unread(f"{SSM}{name}", error) from None
        return (current,)
    return (current, before)


def _secret(name: str, stage: str) -> str:
    answer = client("secretsmanager").get_secret_value(SecretId=name, VersionStage=stage)
    return str(answer.get("SecretString") or "")


def _parameter(name: str) -> Any:
    return client("ssm").get_parameter(Name=name, WithDecryption=True)["Parameter"]


def _called(name: str, call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (BotoCoreError, ClientError) as error:
        raise _unread(name, error) from None


def _unread(name: str, error: Exception) -> WebhookSecretError:
    return WebhookSecretError(
        f"The secret {name} cannot be read: {error}. Correct its name in the sensor's block of template.yaml, or "
        "allow the sensor's role to read it."
    )


def _text(name: str, value: str, field: str = "") -> str:
    """Return a secret's text, or that of a field of it.

    Raises:
        WebhookSecretError: if it is empty, as anybody could sign with an empty secret.
    """
    if field:
        try:
            fields = json.loads(value)
        except ValueError:
            fields = None
        found = fields.get(field) if isinstance(fields, dict) else None
        value = found if isinstance(found, str) else ""
    if not value.strip():
        msg = f"The secret {name} is empty, or has no such field. Store it, and send the request again."
        raise WebhookSecretError(msg)
    return value.strip()
