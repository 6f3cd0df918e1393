"""Posts JSON to a service, with a time limit, retries, and errors that contain no secret.

Uses the standard library's client, as it logs nothing: an address may be a secret.
"""

import base64
import json
import random
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http.client import HTTPConnection, HTTPException, HTTPSConnection, InvalidURL
from urllib.parse import SplitResult, urlsplit

from treadle.definitions.errors import AlertDelayedError, AlertError
from treadle.integrations.alerts.secrets import redacted

Remaining = Callable[[], float]
"""Returns the seconds left for an alert."""

CONNECT_SECONDS, READ_SECONDS = 3.0, 10.0
TRIES = 4
FIRST_WAIT = 0.5
"""Seconds before the second attempt; each further wait is twice as long, plus random jitter."""

LONGEST_WAIT = 30.0
"""If a service asks for a longer wait, the event is evaluated again instead: waiting is billed."""

_SPARE = 0.5
_MAX_ANSWER = 65_536
_MAX_MESSAGE = 300


@dataclass(frozen=True, slots=True)
class Route:
    """How to reach a service.

    Attributes:
        read_seconds: the timeout of its response.
        http_proxy: the proxy for http addresses.
        https_proxy: the proxy for https addresses.
        verify: whether its certificate is verified; or a file of trusted authorities.
    """

    read_seconds: float = READ_SECONDS
    http_proxy: str | None = None
    https_proxy: str | None = None
    verify: bool | str | None = None


@dataclass(frozen=True, slots=True)
class _Answer:
    status: int
    body: str
    retry_after: float = 0.0

    @property
    def is_passing(self) -> bool:
        return self.status in {408, 429} or self.status >= 500


@dataclass(frozen=True, slots=True)
class Post:
    """A POST of JSON.

    Attributes:
        service: its name, for errors.
        url: its address.
        secrets: texts that errors must not contain, in addition to the address.
        headers: in addition to the content's own.
        route: how to reach it.
    """

    service: str
    url: str = field(repr=False)
    secrets: Sequence[str] = field(default=(), repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    route: Route = field(default_factory=Route)

    def send(self, payload: Mapping[str, object], remaining: Remaining) -> str:
        """Send the payload and return the service's response.

        Sent up to four times in all, after no response, 408, 429 and 5xx; never beyond the time limit.

        Args:
            payload: the JSON object.
            remaining: the time limit.

        Raises:
            AlertDelayedError: if it did not respond in time, or is throttled.
            AlertError: if it rejected the payload, with its message.
        """
        body = json.dumps(payload, ensure_ascii=False).encode(errors="replace")
        for attempt in range(1, TRIES + 1):
            answer = self._answer(body, remaining)
            if isinstance(answer, _Answer) and 200 <= answer.status < 300:
                return answer.body
            message = answer if isinstance(answer, str) else self._message(answer)
            if isinstance(answer, _Answer) and not answer.is_passing:
                raise AlertError(message)
            wait = FIRST_WAIT * 2 ** (attempt - 1) * random.uniform(1, 1.5)  # noqa: S311 - jitter is no secret
            if isinstance(answer, _Answer):
                wait = max(wait, answer.retry_after)
            if attempt == TRIES or wait > LONGEST_WAIT or wait + _SPARE > remaining():
                msg = f"{message} (tried {attempt} times; no time to wait {wait:.1f} s for another)"
                raise AlertDelayedError(msg)
            time.sleep(wait)
        raise AssertionError

    def _message(self, answer: _Answer) -> str:
        said = " ".join(self.hidden(answer.body).split())[:_MAX_MESSAGE]
        return f"{self.service} answered {answer.status}: {said or 'nothing'}"

    def hidden(self, text: str) -> str:
        """Redact this post's secrets.

        Args:
            text: such as the service's message.
        """
        return redacted(text, [self.url, *self.secrets])

    def _answer(self, body: bytes, remaining: Remaining) -> _Answer | str:
        """Return the response, or why there is none if a retry may help."""
        try:
            return self._once(body, remaining())
        except ssl.SSLCertVerificationError as error:
            problem = f"{self.service} shows a certificate that is not trusted: {error.verify_message}"
        except (ValueError, InvalidURL):
            # The error's own message shows the malformed value, which is the secret.
            problem = f"{self.service}: its address or a header is malformed; look at the secret"
        except (OSError, HTTPException) as error:
            return self.hidden(f"{self.service} gave no answer: {type(error).__name__}: {error}")[
                :_MAX_MESSAGE
            ]
        raise AlertError(problem)

    def _once(self, body: bytes, seconds: float) -> _Answer:
        parts = urlsplit(self.url)
        connection, target, proxy_headers = self._connection(parts, min(CONNECT_SECONDS, max(seconds, 0.1)))
        try:
            connection.connect()
            connection.sock.settimeout(min(self.route.read_seconds, max(seconds, 0.1)))
            headers = {"Content-Type": "application/json; charset=utf-8", "User-Agent": "treadle"}
            connection.request("POST", target, body, {**headers, **proxy_headers, **self.headers})
            answer = connection.getresponse()
            text = answer.read(_MAX_ANSWER).decode(errors="replace")
            return _Answer(answer.status, text, _retry_after(answer.headers.get("Retry-After", "")))
        finally:
            connection.close()

    def _connection(
        self, parts: SplitResult, timeout: float
    ) -> tuple[HTTPConnection, str, Mapping[str, str]]:
        """Return the connection, the request target, and headers for a proxy."""
        host, target = parts.hostname or "", f"{parts.path or '/'}{f'?{parts.query}' if parts.query else ''}"
        if parts.scheme not in {"http", "https"} or not host or parts.username:
            raise ValueError
        is_secure = parts.scheme == "https"
        proxy = urlsplit((self.route.https_proxy if is_secure else self.route.http_proxy) or "")
        at, port = (proxy.hostname, proxy.port) if proxy.hostname else (host, parts.port)
        if not is_secure:
            headers = _credentials(proxy)
            return HTTPConnection(at, port, timeout=timeout), self.url if proxy.hostname else target, headers
        secure = HTTPSConnection(at, port, timeout=timeout, context=_tls(self.route.verify))
        if proxy.hostname:
            secure.set_tunnel(host, parts.port, dict(_credentials(proxy)))
        return secure, target, {}


def _credentials(proxy: SplitResult) -> Mapping[str, str]:
    if not proxy.username:
        return {}
    encoded = base64.b64encode(f"{proxy.username}:{proxy.password or ''}".encode()).decode()
    return {"Proxy-Authorization": f"Basic {encoded}"}


def _tls(verify: bool | str | None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=verify if isinstance(verify, str) else None)
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _retry_after(text: str) -> float:
    """Return the seconds of a header that has seconds or a date; 0 for anything else."""
    if text.isdecimal():
        return float(text)
    try:
        return max(0.0, (parsedate_to_datetime(text) - datetime.now(UTC)).total_seconds())
    except (ValueError, TypeError):
        return 0.0
