"""The roles of jobs: their credentials, cached per process, and clients that use them.

Whatever error STS returns, nothing was sent to the target.
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
from treadle.model.targets import JobSettings

ASSUMED_SECONDS = 3_600
"""A session of a role assumed by another role lasts at most an hour ("Role chaining" in the IAM User Guide).
"""

REFRESH_SECONDS = 600
"""Credentials that expire within ten minutes are replaced before a start: no start takes that long."""

FRESH_SECONDS = 30
"""A denial of older credentials is retried with new ones; an error of STS is cached for the same time."""

STS_SECONDS = 5
"""Timeout of STS: LAUNCH has a minute for all its work."""

MOST_CLIENTS = 32
"""Maximum number of cached clients for roles, about 0.4 MB each; the least recently used is dropped first."""


def sts() -> Any:
    """Return the client that assumes roles."""
    return client("sts", once=True, seconds=STS_SECONDS)


@dataclass(slots=True)
class _Role:
    """The cached state of a role.

    Attributes:
        lock: held during a request to STS, so that one request serves all threads.
        credentials: the latest; None if there are none.
        error: the last error of STS; None if it returned credentials.
        failed_at: the time of that error.
    """

    lock: threading.Lock = field(default_factory=threading.Lock)
    credentials: Credentials | None = None
    error: LaunchError | None = None
    failed_at: float = 0.0


class Roles:
    """Credentials of jobs' roles, and clients that use them.

    Args:
        session: the session name, which roles may check: only sessions of `launch` may start anything.
        now: returns the time in seconds since the epoch.
    """

    def __init__(self, session: str = "operator", now: Callable[[], float] = time.time) -> None:
        self._session = session
        self._now = now
        self._lock = threading.Lock()
        self._roles: dict[str, _Role] = {}
        self._clients: OrderedDict[tuple[str, bool, str], Any] = OrderedDict()

    def obtain(self, role: str) -> None:
        """Obtain credentials of a role that last for the following calls.

        Args:
            role: the role's ARN; "" for the process's own credentials.

        Raises:
            LaunchDeniedError: if it may not be assumed.
            LaunchDelayedError: if STS did not respond, or throttled the request.
        """
        if role:
            self._credentials(role, REFRESH_SECONDS)

    def call(self, service: str, role: str, operation: str, *, once: bool = False, **request: Any) -> Any:
        """Call a service with a role's credentials and return its response.

        A denial of credentials that are not fresh may concern a role that has been replaced: they are
        dropped, and the call is retried with new ones. A denied call has had no effect.

        Args:
            service: as boto3 names it.
            role: the role's ARN; "" for the process's own credentials.
            operation: the client's method.
            once: True for a call that the SDK does not retry.
            request: its arguments.

        Raises:
            LaunchDeniedError: if the role may not be assumed.
            LaunchDelayedError: if STS did not respond, or throttled the request.
            ClientError, BotoCoreError: from the service.
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
        """Return credentials that remain valid for at least this many seconds."""
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
            answer = sts().assume_role(
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
        """Drop denied credentials; return False if they are fresh, so that new ones would be denied as well."""
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
    """Base class of targets: calls with the credentials of the job's role.

    Args:
        roles: provides the credentials; created by default.
    """

    def __init__(self, roles: Roles | None = None) -> None:
        self._roles = roles or Roles()

    def prepare(self, settings: JobSettings) -> None:
        """Obtain the credentials of the job's role, if it has one."""
        self._roles.obtain(settings.role)
