"""Callers and their roles, and authentication by a start-up token on a laptop."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aws_lambda_powertools.event_handler.exceptions import UnauthorizedError

BEARER = "Bearer "


class Role(StrEnum):
    """A caller's role: a viewer sees everything and changes nothing."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """A caller.

    Attributes:
        name: what edits and runs record as `by`.
        role: the role.
    """

    name: str
    role: Role


class Access(Protocol):
    """Authenticates callers."""

    @property
    def sign_in(self) -> Mapping[str, str]:
        """Return the page's sign-in configuration, which contains no secret: /config.json."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Return the other origins that the page connects to for sign-in."""

    def admit(self, headers: Mapping[str, str], context: Mapping[str, object]) -> Caller:
        """Authenticate a caller.

        Args:
            headers: the request's, by names in lower case.
            context: API Gateway's `requestContext`, with the authorizer's result.

        Raises:
            UnauthorizedError: if the caller is unknown (401).
            ForbiddenError: if the caller has no role (403).
        """


class StaticTokenAuth:
    """Authenticates callers with the token of the console's start, all in one role.

    Args:
        token: a random secret.
        caller: the user who started the console.
        settings: what the page reads beside its sign-in configuration.
    """

    origins: tuple[str, ...] = ()

    def __init__(self, token: str, caller: Caller, settings: Mapping[str, str] | None = None) -> None:
        self.sign_in: Mapping[str, str] = {"auth": "token", **(settings or {})}
        self._expected = (BEARER + token).encode()
        self._caller = caller

    def admit(self, headers: Mapping[str, str], context: Mapping[str, object]) -> Caller:
        """See `Access`."""
        del context
        given = headers.get("authorization", "").encode(errors="replace")
        if not secrets.compare_digest(given, self._expected):
            msg = "The token is missing or outdated: open the address that `treadle console` or `treadle dev` printed."
            raise UnauthorizedError(msg)
        return self._caller
