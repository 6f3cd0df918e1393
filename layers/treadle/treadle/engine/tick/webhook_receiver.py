"""Accepts requests to a webhook sensor: authenticates their sender, and evaluates each once."""

from collections.abc import Callable
from dataclasses import dataclass
from http import HTTPStatus

from treadle.definitions.errors import ItemTooLargeError, WebhookRejectedError, WebhookSecretError
from treadle.definitions.runs import from_millis
from treadle.definitions.webhook_request import WebhookRequest
from treadle.definitions.webhook_verification import (
    Authenticity,
    HttpRequest,
    Identities,
    WebhookVerification,
)
from treadle.engine.outcomes import Decision, Outcome
from treadle.ports.deliveries import DeliveryStore, SecretStore
from treadle.ports.system import Clock

MAX_BODY = 4_000_000
"""The maximum size of a body; with base64 and headers its event stays below 6 MB, the most that Lambda takes."""

REFRESH_MS = 60_000
"""How often a secret is read again at most because a signature does not match."""

MAX_AGE_MS = 3_600_000
"""A secret is read again after this time in any case, so that a version that was withdrawn becomes invalid."""

RECENT_MS = 30 * 86_400_000
"""A request that was accepted longer ago is not evaluated again: the record of its tick expires after 90 days."""


@dataclass(frozen=True, slots=True)
class WebhookResponse:
    """The response to a request.

    Attributes:
        status: the HTTP status: 202 only if the tick that evaluated the request is committed.
        message: why, in one line.
        outcome: what became of the request; None if it was refused.
    """

    status: int
    message: str
    outcome: Outcome | None = None


NOT_ACCEPTED = WebhookResponse(HTTPStatus.SERVICE_UNAVAILABLE, "The request was not accepted. Send it again.")


class RotatedSecret:
    """A secret, cached, and read again when it may have been rotated.

    Args:
        store: reads it.
        name: the secret's name.
        clock: the clock.
    """

    def __init__(self, store: SecretStore, name: str, clock: Clock) -> None:
        self._store = store
        self._name = name
        self._clock = clock
        self._versions: tuple[str, ...] = ()
        self._read_at = 0
        self._tried_at = 0
        self._error: WebhookSecretError | None = None

    def versions(self) -> tuple[str, ...]:
        """Return the current version and the previous one.

        Raises:
            WebhookSecretError: if it cannot be read.
        """
        is_old = self._clock.now() - self._read_at >= MAX_AGE_MS
        return self._read() if is_old or not self._versions else self._versions

    def newer(self) -> tuple[str, ...] | None:
        """Return the versions, read again; None if they were read less than a minute ago.

        Raises:
            WebhookSecretError: if it cannot be read, or could not less than a minute ago.
        """
        if self._clock.now() - self._tried_at < REFRESH_MS:
            if self._error is not None:
                raise self._error
            return None
        return self._read()

    def _read(self) -> tuple[str, ...]:
        self._tried_at = self._clock.now()
        try:
            self._versions = self._store.read(self._name)
        except WebhookSecretError as error:
            self._error = error
            raise
        self._read_at, self._error = self._tried_at, None
        return self._versions


class WebhookReceiver:
    """Accepts requests to one sensor.

    Args:
        sensor: the sensor's name.
        verification: how it authenticates its sender.
        deliveries: what identifies the accepted requests.
        secret: its secret.
        clock: the clock.
    """

    def __init__(
        self,
        sensor: str,
        verification: WebhookVerification,
        deliveries: DeliveryStore,
        secret: RotatedSecret,
        clock: Clock,
    ) -> None:
        self._sensor = sensor
        self._verification = verification
        self._deliveries = deliveries
        self._secret = secret
        self._clock = clock

    def receive(self, request: HttpRequest, evaluate: Callable[[WebhookRequest], Outcome]) -> WebhookResponse:
        """Authenticate a request, and evaluate it unless that was done before. Nothing is stored before it is authentic.

        Args:
            request: the request.
            evaluate: evaluates the event of a request, unless it was evaluated before, and commits the result.

        Raises:
            WebhookSecretError: if the secret cannot be read.
            SensorEvaluationError: if the evaluation failed.
            StoreError: if a store did not answer.
        """
        try:
            outcome = self._received(request, evaluate)
        except WebhookRejectedError as error:
            return WebhookResponse(error.status, str(error))
        except ItemTooLargeError as error:
            return WebhookResponse(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, str(error))
        if outcome.decision is Decision.STOPPED:
            message = "The sensor is stopped, and the request was not accepted. Send it again."
            return WebhookResponse(NOT_ACCEPTED.status, message, outcome)
        message = "Accepted before." if outcome.decision is Decision.DUPLICATE else "Accepted."
        return WebhookResponse(HTTPStatus.ACCEPTED, message, outcome)

    def _received(self, request: HttpRequest, evaluate: Callable[[WebhookRequest], Outcome]) -> Outcome:
        if len(request.body) > MAX_BODY:
            message = f"The body has more than {MAX_BODY:,} bytes. Send a reference to its content instead."
            raise WebhookRejectedError(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, message)
        authenticity = self._authenticity(request)
        if authenticity is Authenticity.INVALID:
            raise WebhookRejectedError(HTTPStatus.UNAUTHORIZED, "The signature or the token is not valid.")
        identities = self._verification.identities(request)
        at = self._accepted_at(identities, is_late=authenticity is Authenticity.LATE)
        if at is None:
            reason = "The delivery's id belongs to a request with another body: nothing is started."
            return Outcome(Decision.DUPLICATE, reason, identities.key)
        if self._clock.now() - at > RECENT_MS:
            reason = "The request was already accepted: this is a second delivery."
            return Outcome(Decision.DUPLICATE, reason, identities.key)
        return evaluate(self.event(request, identities, at))

    def event(self, request: HttpRequest, identities: Identities, at: int) -> WebhookRequest:
        """Return the event of a request.

        Args:
            request: the request.
            identities: what identifies it.
            at: when it was accepted first.
        """
        return WebhookRequest(
            self._sensor,
            identities.delivery or identities.key,
            identities.key,
            request.body,
            request.headers,
            request.query,
            time=from_millis(at),
        )

    def sample(self, request: HttpRequest) -> WebhookRequest:
        """Return the event of a request that is not authenticated, for a preview.

        Raises:
            WebhookRejectedError: if it is malformed.
        """
        return self.event(request, self._verification.identities(request), self._clock.now())

    def _authenticity(self, request: HttpRequest) -> Authenticity:
        now = self._clock.now()
        found = self._verification.authenticate(request, self._secret.versions(), now)
        if found is not Authenticity.INVALID:
            return found
        newer = self._secret.newer()
        return found if newer is None else self._verification.authenticate(request, newer, now)

    def _accepted_at(self, identities: Identities, *, is_late: bool) -> int | None:
        """Return when a request was accepted first: now, if its identities are new.

        Raises:
            WebhookRejectedError: if its signature is too old, and it was not accepted before.
        """
        now = self._clock.now()
        if is_late:
            before = self._deliveries.accepted_at(self._sensor, identities)
            if before is None:
                raise WebhookRejectedError(
                    HTTPStatus.UNAUTHORIZED, "The time of the signature is too far from now."
                )
            return before
        return self._deliveries.accept(self._sensor, identities, now) if identities.is_lasting else now
