"""An HTTPS request that a webhook sensor accepted."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import parse_qs

from treadle.definitions.errors import UnknownEventError


@dataclass(frozen=True, slots=True)
class WebhookRequest:
    """A request, whose sender is authenticated.

    Attributes:
        sensor: the name of the sensor whose endpoint received it.
        id: its delivery id as the sender states it, or what stands for it: the digest of the body, or the id that API
            Gateway gave the request.
        key: what its signature covers and is the same in each delivery: the default run key.
        body: as it was sent.
        headers: its headers, with names in lower case; several of one name are joined by commas.
        query: its query parameters; several of one name are joined by commas.
        time: when it was accepted first.
    """

    sensor: str
    id: str
    key: str
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    query: Mapping[str, str] = field(default_factory=dict, repr=False)
    time: datetime = field(kw_only=True)
    depth: ClassVar[int] = 0

    @property
    def text(self) -> str:
        """The body, decoded as UTF-8; what is none is replaced."""
        return self.body.decode(errors="replace")

    def json(self) -> Any:
        """Return the body, parsed as JSON.

        Raises:
            UnknownEventError: if it is not JSON.
        """
        try:
            return json.loads(self.body)
        except (ValueError, RecursionError) as error:
            # The error's own message may quote the body.
            msg = f"The body of {self.summary} is not JSON ({type(error).__name__})."
            raise UnknownEventError(msg) from None

    def form(self) -> dict[str, list[str]]:
        """Return the fields of a body of type application/x-www-form-urlencoded, each with its values."""
        return parse_qs(self.text, keep_blank_values=True)

    @property
    def run_key(self) -> str:
        """The default run key: `key`."""
        return self.key

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same in each delivery."""
        return ("request", self.key)

    @property
    def summary(self) -> str:
        """The request in one line, for operators; it ends with its id."""
        return f"Request to sensor {self.sensor}: {self.id}"
