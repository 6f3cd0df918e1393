"""The roles that jobs bring: their credentials, kept by each process, and the clients that use them.

Whatever STS answers in place of credentials, nothing was sent to the target.
"""

import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from treadle.adapters.clients import Credentials, client, client_with
from treadle.adapters.targets.errors import AwsError, is_denied, not_assumed
from treadle.definitions.errors import LaunchError
from treadle.ports.targets import JobSettings

ASSUMED_SECONDS = 3_600
"""A session of a role that assumes another one lasts an hour at most ("Role chaining" in the IAM User Guide)."""

REFRESH_SECONDS = 600
"""Credentials that expire within ten minutes are replaced before a start: no start takes so long."""

FRESH_SECONDS = 30
"""A denial of credentials that are older is checked with new ones; so long a refusal of STS is remembered too."""

STS_SECONDS = 5
"""How long STS may take to answer: LAUNCH has a minute for all that it does."""

MOST_CLIENTS = 32
"""So many clients are kept for roles; the least recently used one is dropped first. One takes about 0.4 MB."""


@dataclass(slots=True)
class _Role:
    """What is known of a role.

    Attributes:
        lock: held while STS is asked, so that one request answers all threads.
        credentials: the latest; None if there are none.
        error: why STS gave none when it was asked last; None if it gave some.
        failed_at: when that was.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    credentials: Credentials | None = None
    error: LaunchError | None = None
    failed_at: float = 0.0


class Roles:
    """Credentials of the roles that jobs bring, and clients with them.

    Args:
        session: the name of the sessions, which roles may tell apart: only those of `launch` may start anything.
        now: the time in seconds since the epoch.
    """

    def __init__(self, session: str = "operator", now: Callable[[], float] = time.time) -> None:
        self._session = session
        self._now = now
        self._lock = threading.Lock()
        self._roles: dict[str, _Role] = {}
        self._clients: OrderedDict[tuple[str, bool, str], Any] = OrderedDict()

    def obtain(self, role: str) -> None:
        """Have credentials of a role that last for the calls that follow.

        Args:
            role: its ARN; "" for the process's own credentials.

        Raises:
            LaunchDeniedError: if it may not be assumed.
            LaunchDelayedError: if STS did not answer, or has too much to do.
        """
        if role:
            self._credentials(role, REFRESH_SECONDS)

    def call(self, service: str, role: str, operation: str, *, once: bool = False, **request: Any) -> Any:
        """The answer of a service to one call with a role's credentials.

        A denial of credentials that are not fresh may be of a role that was replaced since: those are dropped, and
        the call is sent again with new ones. What was denied has had no effect.

        Args:
            service: as boto3 names it.
            role: the ARN; "" for the process's own credentials.
            operation: the client's method.
            once: True for a call that the SDK does not repeat.
            request: its arguments.

        Raises:
            LaunchDeniedError: if the role may not be assumed.
            LaunchDelayedError: if STS did not answer, or has too much to do.
            ClientError, BotoCoreError: as the service answers.
        """
        if not role:
            return getattr(client(service, once=once), operation)(**request)  # type: ignore[call-overload]
        credentials = self._credentials(role)
        try:
            return getattr(self._client(credentials, service, once), operation)(**request)
        except AwsError as error:
            if not is_denied(error) or not self._is_dropped(role, credentials):
                raise
        return getattr(self._client(self._credentials(role), service, once), operation)(**request)

    def _credentials(self, role: str, seconds: int = 0) -> Credentials:
        """Credentials that last for so many seconds more."""
        with self._lock:
            known = self._roles.setdefault(role, _Role())
        with known.lock:
            now, kept = self._now(), known.credentials
            if kept is not None and kept.expires_at - now > seconds:
                return kept
            error = known.error
            if error is None or now - known.failed_at >= FRESH_SECONDS:
                try:
                    known.credentials, known.error = self._assumed(role), None
                except LaunchError as refused:
                    error, known.error, known.failed_at = refused, refused, now
                else:
                    return known.credentials
            if kept is not None and kept.expires_at > now:
                return kept
            raise type(error)(str(error))

    def _assumed(self, role: str) -> Credentials:
        now = self._now()
        try:
            answer = client("sts", once=True, seconds=STS_SECONDS).assume_role(
                RoleArn=role, RoleSessionName=self._session, DurationSeconds=ASSUMED_SECONDS
            )
        except AwsError as error:
            raise not_assumed(error, role) from error
        given = answer["Credentials"]
        return Credentials(
            given["AccessKeyId"],
            given["SecretAccessKey"],
            given["SessionToken"],
            now,
            min(given["Expiration"].timestamp(), now + ASSUMED_SECONDS),
        )

    def _is_dropped(self, role: str, used: Credentials) -> bool:
        """Drop credentials that were denied; False if they are fresh, so that others would be denied as well."""
        known = self._roles[role]
        with known.lock:
            if known.credentials is not used:
                return True
            if self._now() - used.obtained_at < FRESH_SECONDS:
                return False
            known.credentials = None
            return True

    def _client(self, credentials: Credentials, service: str, once: bool) -> Any:
        key = (service, once, credentials.access_key)
        with self._lock:
            if key in self._clients:
                self._clients.move_to_end(key)
                return self._clients[key]
            made = self._clients[key] = client_with(credentials, service, once=once)
            if len(self._clients) > MOST_CLIENTS:
                self._clients.popitem(last=False)
            return made


class AwsTarget:
    """What targets share: calls with the credentials of the role that a job brings.

    Args:
        roles: gives the credentials; the process's own kind by default.
    """

    def __init__(self, roles: Roles | None = None) -> None:
        self._roles = roles or Roles()

    def prepare(self, settings: JobSettings) -> None:
        """Obtain the credentials of the job's role, if it brings one."""
        self._roles.obtain(settings.role)
