"""How a webhook sensor authenticates its sender: by a signature of the body, with or without a time, or by a token."""

import base64
import hashlib
import hmac
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from enum import StrEnum
from http import HTTPStatus
from typing import TypeAlias

from treadle.definitions.clocks import duration_problem
from treadle.definitions.errors import DagsterInvalidDefinitionError, WebhookRejectedError

MAX_TOLERANCE = timedelta(hours=1)

_HEADER = re.compile(r"[A-Za-z0-9-]{1,100}")
_ID = re.compile(r"[\x21-\x7e]{1,200}")
_TIME = re.compile(r"[0-9]{1,12}")


class Authenticity(StrEnum):
    """The result of a check of a request's signature or token."""

    VALID = "valid"
    LATE = "late"
    """The signature is valid, and its time is further from now than the tolerance."""
    INVALID = "invalid"


@dataclass(frozen=True, slots=True)
class HttpRequest:
    """An HTTPS request of which nothing is known yet.

    Attributes:
        request_id: given by API Gateway.
        body: as it was sent.
        headers: its headers, with names in lower case.
        query: its query parameters.
    """

    request_id: str
    body: bytes
    headers: Mapping[str, str]
    query: Mapping[str, str]

    def header(self, name: str) -> str:
        """Return the value of a header.

        Raises:
            WebhookRejectedError: if the request does not have it.
        """
        value = self.headers.get(name.lower(), "").strip()
        if not value:
            raise WebhookRejectedError(HTTPStatus.UNAUTHORIZED, f"The header {name} is missing.")
        return value


@dataclass(frozen=True, slots=True)
class Identities:
    """What identifies a request in each of its deliveries.

    Attributes:
        key: what the signature or the token vouches for.
        delivery: an id in a header that the signature does not cover; "" if there is none.
        is_lasting: False if the sender gives no identity, so that each delivery is a request of its own.
    """

    key: str
    delivery: str = ""
    is_lasting: bool = True


@dataclass(frozen=True, slots=True)
class HmacSignature:
    """An HMAC-SHA256 of the body in a header; by default as GitHub signs.

    The signature covers neither a time nor the delivery's id, so whoever has captured a request can send it again, with
    another id. Hence a request starts something only if both its delivery id and the digest of its body are new.

    Attributes:
        header: the header of the signature.
        prefix: what precedes the signature in it.
        encoding: of the signature: "hex" or "base64".
        delivery_header: the header of the delivery's id; None if the sender has none.
    """

    header: str = "X-Hub-Signature-256"
    prefix: str = "sha256="
    encoding: str = "hex"
    delivery_header: str | None = "X-GitHub-Delivery"

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            DagsterInvalidDefinitionError: if one is invalid.
        """
        _check_headers(self.header, self.delivery_header)
        if self.encoding not in {"hex", "base64"}:
            msg = f"encoding is {self.encoding!r}; use 'hex' or 'base64'."
            raise DagsterInvalidDefinitionError(msg)

    def identities(self, request: HttpRequest) -> Identities:
        """Return the digest of the body and, beside it, the id of the delivery.

        Raises:
            WebhookRejectedError: if the id is missing or malformed.
        """
        return Identities(_digest(request.body), _id_of(request, self.delivery_header))

    def authenticate(self, request: HttpRequest, secrets: Sequence[str], now: int) -> Authenticity:
        """Compare the signature with that of each secret, in constant time.

        Raises:
            WebhookRejectedError: if the header is missing.
        """
        del now
        given = request.header(self.header)
        matches = [_same(given, f"{self.prefix}{self._signature(request.body, each)}") for each in secrets]
        return Authenticity.VALID if any(matches) else Authenticity.INVALID

    def signed(self, body: bytes, secret: str, now: int, delivery: str) -> dict[str, str]:
        """Return the headers with which a sender sends a body, for tests."""
        del now
        headers = {self.header: f"{self.prefix}{self._signature(body, secret)}"}
        return headers if self.delivery_header is None else {**headers, self.delivery_header: delivery}

    def _signature(self, body: bytes, secret: str) -> str:
        made = hmac.new(secret.encode(), body, hashlib.sha256).digest()
        return made.hex() if self.encoding == "hex" else base64.b64encode(made).decode()


@dataclass(frozen=True, slots=True)
class TimestampedSignature:
    """An HMAC-SHA256 of a time and the body in a header, as `t=…,v1=…`; by default as Stripe signs.

    A signature whose time is further from now than the tolerance is refused, unless the request was accepted before: a
    second delivery is never refused, or its sender would disable the endpoint.

    Attributes:
        header: the header of the signature.
        tolerance: how far its time may be from now, an hour at most.
        id_field: the field of the body, if that is a JSON object, with the event's id.
    """

    header: str = "Stripe-Signature"
    tolerance: timedelta = timedelta(minutes=5)
    id_field: str = "id"

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            DagsterInvalidDefinitionError: if one is invalid.
        """
        _check_headers(self.header)
        least = timedelta(seconds=1)
        problem = duration_problem("tolerance", self.tolerance, least, MAX_TOLERANCE, "1 second to 1 hour")
        if problem:
            msg = f"{problem}."
            raise DagsterInvalidDefinitionError(msg)

    def identities(self, request: HttpRequest) -> Identities:
        """Return the event's id, which the signature covers; the digest of a body without one."""
        try:
            content = json.loads(request.body)
        except (ValueError, RecursionError):
            content = None
        found = content.get(self.id_field) if isinstance(content, dict) else None
        is_id = isinstance(found, str) and _ID.fullmatch(found) is not None
        return Identities(str(found) if is_id else _digest(request.body))

    def authenticate(self, request: HttpRequest, secrets: Sequence[str], now: int) -> Authenticity:
        """Compare each signature with that of each secret, in constant time, and the time with now.

        Raises:
            WebhookRejectedError: if the header is missing.
        """
        parts = [each.strip().partition("=") for each in request.header(self.header).split(",")]
        times = [value for name, _, value in parts if name == "t"]
        given = [value for name, _, value in parts if name == "v1"]
        if len(times) != 1 or _TIME.fullmatch(times[0]) is None:
            return Authenticity.INVALID
        wanted = [_timed(times[0], request.body, each) for each in secrets]
        matches = [_same(value, each) for value in given for each in wanted]
        if not any(matches):
            return Authenticity.INVALID
        is_late = abs(now - int(times[0]) * 1000) > self.tolerance.total_seconds() * 1000
        return Authenticity.LATE if is_late else Authenticity.VALID

    def signed(self, body: bytes, secret: str, now: int, delivery: str) -> dict[str, str]:
        """Return the headers with which a sender sends a body, for tests."""
        del delivery
        time = str(now // 1000)
        return {self.header: f"t={time},v1={_timed(time, body, secret)}"}


@dataclass(frozen=True, slots=True)
class BearerToken:
    """A secret token in a header, as `Authorization: Bearer <token>`, or alone in another header.

    Attributes:
        header: the header of the token.
        delivery_header: the header of the request's id, such as "Idempotency-Key"; None if the sender has none, and then
            each delivery is a request of its own.
    """

    header: str = "Authorization"
    delivery_header: str | None = None

    def __post_init__(self) -> None:
        """Check the arguments.

        Raises:
            DagsterInvalidDefinitionError: if one is invalid.
        """
        _check_headers(self.header, self.delivery_header)

    def identities(self, request: HttpRequest) -> Identities:
        """Return the request's id, for which the token vouches.

        Raises:
            WebhookRejectedError: if the id is missing or malformed.
        """
        delivery = _id_of(request, self.delivery_header)
        return Identities(delivery) if delivery else Identities(request.request_id, is_lasting=False)

    def authenticate(self, request: HttpRequest, secrets: Sequence[str], now: int) -> Authenticity:
        """Compare the token with each secret, in constant time.

        Raises:
            WebhookRejectedError: if the header is missing.
        """
        del now
        given = request.header(self.header)
        matches = [_same(given, self._value(each)) for each in secrets]
        return Authenticity.VALID if any(matches) else Authenticity.INVALID

    def signed(self, body: bytes, secret: str, now: int, delivery: str) -> dict[str, str]:
        """Return the headers with which a sender sends a body, for tests."""
        del body, now
        headers = {self.header: self._value(secret)}
        return headers if self.delivery_header is None else {**headers, self.delivery_header: delivery}

    def _value(self, secret: str) -> str:
        return f"Bearer {secret}" if self.header.lower() == "authorization" else secret


WebhookVerification: TypeAlias = HmacSignature | TimestampedSignature | BearerToken


def _same(given: str, wanted: str) -> bool:
    return hmac.compare_digest(given.encode(errors="surrogatepass"), wanted.encode())


def _timed(time: str, body: bytes, secret: str) -> str:
    return hmac.new(secret.encode(), f"{time}.".encode() + body, hashlib.sha256).hexdigest()


def _digest(body: bytes) -> str:
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def _id_of(request: HttpRequest, header: str | None) -> str:
    """Return the id in a header; "" without a header.

    Raises:
        WebhookRejectedError: if it is missing or malformed.
    """
    if header is None:
        return ""
    value = request.headers.get(header.lower(), "").strip()
    if _ID.fullmatch(value) is None:
        msg = f"The header {header} must have an id of up to 200 printable ASCII characters without spaces."
        raise WebhookRejectedError(HTTPStatus.BAD_REQUEST, msg)
    return value


def _check_headers(*headers: str | None) -> None:
    for header in headers:
        if header is not None and _HEADER.fullmatch(header) is None:
            msg = f"{header!r} is no name of a header: use letters, digits and '-'."
            raise DagsterInvalidDefinitionError(msg)
