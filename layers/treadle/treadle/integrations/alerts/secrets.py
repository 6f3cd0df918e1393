"""Secrets of alerts: by reference to their store, or as text."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

from treadle.adapters.alerts import secret_value
from treadle.definitions.errors import AlertError

_SHORTEST = 4
"""A shorter text does not count as a secret, as redacting it would garble the message."""


@dataclass(frozen=True, slots=True)
class Secret:
    """A secret by reference; its value is read when it is needed, cached for five minutes, and never shown.

    Attributes:
        service: "secretsmanager" or "ssm".
        name: the secret's name or ARN, or the parameter's name.
        key: the field of a secret that is a JSON object; None for the whole.
    """

    service: str
    name: str
    key: str | None = None

    @classmethod
    def secrets_manager(cls, name: str, key: str | None = None) -> Self:
        """Refer to a secret in Secrets Manager; the function needs `secretsmanager:GetSecretValue` on it.

        Args:
            name: its name or ARN.
            key: the field, if the secret is a JSON object.
        """
        return cls("secretsmanager", name, key)

    @classmethod
    def ssm(cls, name: str) -> Self:
        """Refer to an SSM parameter, such as a SecureString; the function needs `ssm:GetParameter` on it.

        Args:
            name: its name, such as "/alerts/slack".
        """
        return cls("ssm", name)

    def value(self) -> str:
        """Read the secret's text.

        Raises:
            AlertError: if it cannot be read, is empty, or lacks the key.
        """
        text = secret_value(self.service, self.name).strip()
        if self.key is not None:
            text = self._field(text)
        if not text:
            msg = f"The secret {self.name!r} is empty."
            raise AlertError(msg)
        return text

    def _field(self, text: str) -> str:
        try:
            fields = json.loads(text)
        except ValueError:
            fields = None
        if not isinstance(fields, dict) or not isinstance(fields.get(self.key), str):
            msg = f"The secret {self.name!r} is no JSON object that has the text {self.key!r}."
            raise AlertError(msg)
        return str(fields[self.key]).strip()


SecretText = str | Secret | None
"""A secret as text, or by reference.

One that is empty or None fails the first alert, not the import; only the url of a webhook is required at once.
"""


def reveal(secret: SecretText) -> str:
    """Return the secret's text.

    Raises:
        AlertError: if it cannot be read, or is empty.
    """
    text = secret.value() if isinstance(secret, Secret) else (secret or "").strip()
    if not text:
        msg = "The alert's token or address is empty. Give it in the function's environment, or as a Secret."
        raise AlertError(msg)
    return text


def redacted(text: str, secrets: Sequence[str]) -> str:
    """Redact the secrets in a text, and the paths of those that are addresses.

    Args:
        text: such as a service's response.
        secrets: sent to it.
    """
    hidden = {*secrets}
    for secret in secrets:
        if secret.startswith(("http://", "https://")):
            parts = urlsplit(secret)
            hidden |= {parts.path, parts.query}
    # The longest first: an address is replaced before its path is.
    for secret in sorted(hidden, key=len, reverse=True):
        if len(secret) >= _SHORTEST:
            text = text.replace(secret, "***")
    return text
