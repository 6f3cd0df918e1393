"""Authentication of the deployed console: API Gateway's authorizer verifies tokens, and a claim has the role.

API Gateway verifies the token's signature, issuer, audience and times, and passes its claims on. Other
requests are not accepted here.
"""

import base64
import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from aws_lambda_powertools.event_handler.exceptions import ForbiddenError, UnauthorizedError

from treadle.console.static_token import BEARER, Caller, Role

LEEWAY_SECONDS = 60
"""Clock skew that API Gateway allows."""

MAX_SUBJECT = 255
"""Maximum characters of a subject in OpenID Connect."""

_LISTED = {"scope", "scp"}
"""Claims that may be one string with several values, separated by blanks."""


@dataclass(frozen=True, slots=True)
class Issuer:
    """An identity provider, and the claims of viewers and operators.

    Attributes:
        issuer: its URL, as in tokens.
        audience: the audience of tokens.
        client_id: the page's client id, which is public.
        scope: the scope that the page requests.
        role_claim: the claim with the roles; dots separate nested names.
        viewer: its value for viewers.
        operator: its value for operators.
        token_origin: the origin of the token endpoint, if it is not the issuer's.
    """

    issuer: str
    audience: str
    client_id: str
    scope: str
    role_claim: str
    viewer: str
    operator: str
    token_origin: str = ""


class OidcAuth:
    """Authenticates callers who are signed in and have a role.

    Args:
        issuer: the identity provider.
        now: returns seconds since the epoch.
    """

    def __init__(self, issuer: Issuer, now: Callable[[], float] = time.time) -> None:
        self._issuer = issuer
        self._now = now

    @property
    def sign_in(self) -> Mapping[str, str]:
        """See `Access`."""
        known = self._issuer
        return {"auth": "oidc", "issuer": known.issuer, "client_id": known.client_id, "scope": known.scope}

    @property
    def origins(self) -> tuple[str, ...]:
        """See `Access`."""
        own = "/".join(self._issuer.issuer.split("/")[:3])
        return tuple(dict.fromkeys(origin for origin in (own, self._issuer.token_origin) if origin))

    def admit(self, headers: Mapping[str, str], context: Mapping[str, object]) -> Caller:
        """See `Access`."""
        vouched = _vouched(context)
        # The authorizer passes lists on as strings, in which one value with a blank looks like two. Roles are
        # therefore
        # read from the token itself, which the authorizer has verified: it is in this header.
        claims = _claims(headers.get("authorization", ""))
        subject = claims.get("sub")
        if not (isinstance(subject, str) and 0 < len(subject) <= MAX_SUBJECT):
            raise UnauthorizedError("The token has no subject.")
        if any(vouched.get(name) != claims.get(name) for name in ("iss", "sub")):
            raise UnauthorizedError("The token is not the one that API Gateway has verified.")
        self._check_meant(claims)
        return Caller(subject, self._role(claims))

    def _check_meant(self, claims: Mapping[str, Any]) -> None:
        """Repeat the authorizer's checks, so that a misconfigured authorizer accepts nobody."""
        meant = claims.get("aud", claims.get("client_id"))
        audiences = meant if isinstance(meant, list) else [meant]
        expires = claims.get("exp")
        if claims.get("iss") != self._issuer.issuer or self._issuer.audience not in audiences:
            raise UnauthorizedError("The token has another issuer or another audience.")
        if not (isinstance(expires, int | float) and self._now() < expires + LEEWAY_SECONDS):
            raise UnauthorizedError("The token has expired: sign in again.")

    def _role(self, claims: Mapping[str, Any]) -> Role:
        values = _values(claims, self._issuer.role_claim)
        if self._issuer.operator in values:
            return Role.OPERATOR
        if self._issuer.viewer in values:
            return Role.VIEWER
        msg = (
            f"You are signed in, but have no role here: your token's claim {self._issuer.role_claim} has neither "
            f"{self._issuer.viewer} nor {self._issuer.operator}."
        )
        raise ForbiddenError(msg)


def _vouched(context: Mapping[str, object]) -> Mapping[str, Any]:
    """Return the claims that API Gateway's authorizer has verified."""
    found: object = context
    for name in ("authorizer", "jwt", "claims"):
        found = found.get(name) if isinstance(found, Mapping) else None
    if not isinstance(found, Mapping):
        raise UnauthorizedError("You are not signed in.")
    return found


def _claims(authorization: str) -> Mapping[str, Any]:
    """Parse a token's claims; the authorizer has verified its signature."""
    try:
        _, payload, _ = authorization.removeprefix(BEARER).split(".")
        found = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    except (ValueError, RecursionError) as error:
        raise UnauthorizedError("The token is not a JSON Web Token.") from error
    if not isinstance(found, dict):
        raise UnauthorizedError("The token has no claims.")
    return found


def _values(claims: Mapping[str, Any], name: str) -> list[str]:
    """Return the values of a claim; none if it is missing."""
    found: Any = claims
    for part in [name] if name in claims else name.split("."):
        found = found.get(part) if isinstance(found, dict) else None
    if isinstance(found, str):
        return found.split() if name in _LISTED else [found]
    return [each for each in found if isinstance(each, str)] if isinstance(found, list) else []
