"""Who asks, and what they may do: a start-up token on a laptop, an authorizer's claims when deployed."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol

from aws_lambda_powertools.event_handler.exceptions import UnauthorizedError

BEARER = "Bearer "


class Role(StrEnum):
    """What somebody may do: a viewer sees everything and changes nothing."""

    VIEWER = "viewer"
    OPERATOR = "operator"


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks.

    Attributes:
        name: what edits and runs record as `by`.
        role: what they may do.
    """

    name: str
    role: Role


class Access(Protocol):
    """Decides who may come in."""

    @property
    def sign_in(self) -> Mapping[str, str]:
        """What the page needs to know to sign in, none of it secret: /config.json."""

    @property
    def origins(self) -> tuple[str, ...]:
        """Where else than to the console itself the page has to connect to sign in."""

    def admit(self, headers: Mapping[str, str], context: Mapping[str, object]) -> Caller:
        """Who asks.

        Args:
            headers: the request's, by names in lower case.
            context: API Gateway's `requestContext`, with what its authorizer found.

        Raises:
            UnauthorizedError: if that is not known (401).
            ForbiddenError: if they have no role here (403).
        """


class StaticTokenAuth:
    """Lets in who bears the token that was made when the console was started, all in one role.

    Args:
        token: unguessable.
        caller: who has started it.
    """

    sign_in: Mapping[str, str] = {"auth": "token"}
    origins: tuple[str, ...] = ()

    def __init__(self, token: str, caller: Caller) -> None:
        self._expected = (BEARER + token).encode()
        self._caller = caller

    def admit(self, headers: Mapping[str, str], context: Mapping[str, object]) -> Caller:
        """See `Access`."""
        del context
        given = headers.get("authorization", "").encode(errors="replace")
        if not secrets.compare_digest(given, self._expected):
            msg = "The token is missing, or is an earlier one: open the address that `treadle console` has printed."
            raise UnauthorizedError(msg)
        return self._caller
