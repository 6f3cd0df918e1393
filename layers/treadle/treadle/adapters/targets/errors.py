"""Classifies the errors of calls to targets: rejected, denied, temporary, or unknown.

Knows only AWS's general errors; a service's own codes are passed in by its module.
"""

from collections.abc import Collection, Iterable
from datetime import datetime
from itertools import islice

from botocore.exceptions import (
    BotoCoreError,
    ClientError,
    ConnectTimeoutError,
    CredentialRetrievalError,
    EndpointConnectionError,
    NoCredentialsError,
    ParamValidationError,
    PartialCredentialsError,
    ProxyConnectionError,
)

from treadle.adapters.aws_errors import code_of
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.runs import StepFailure
from treadle.model.runs import MAX_STEPS, Failure

AwsError = (ClientError, BotoCoreError)
"""The errors that calls to AWS raise."""

_MAX_CAUSE = 2_000
_MAX_STEP_CAUSE = 1_000

_DENIED = {
    "AccessDenied",
    "AccessDeniedException",
    "ExpiredToken",
    "ExpiredTokenException",
    "InvalidClientTokenId",
    "KMSAccessDeniedException",
    "KmsAccessDenied",
    "KmsAccessDeniedException",
    "UnauthorizedOperation",
    "UnrecognizedClientException",
}
_BUSY = {
    "KmsThrottled",
    "KmsThrottlingException",
    "LimitExceededException",
    "RequestLimitExceeded",
    "RequestThrottled",
    "RequestThrottledException",
    "SlowDown",
    "Throttling",
    "ThrottlingException",
    "TooManyRequestsException",
}
# In none of these cases was the request sent.
_UNSENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)
_NO_CREDENTIALS = (CredentialRetrievalError, NoCredentialsError, PartialCredentialsError)


def not_started(
    error: Exception, what: str, *, busy: Collection[str] = (), unknown: Collection[str] = ()
) -> LaunchError:
    """Return the error of a failed start whose request was sent at most once.

    A service that responds with 4xx has not started anything; with 5xx, or without a response, it may have.

    Args:
        error: the error that the call raised.
        what: what was to be started, and its name.
        busy: the service's own codes for temporary refusals.
        unknown: the service's own codes for uncertain results.
    """
    msg = f"{what} was not started: {error}"
    if isinstance(error, ParamValidationError):
        return LaunchRejectedError(msg)
    if isinstance(error, _NO_CREDENTIALS):
        return LaunchDeniedError(msg)
    if isinstance(error, _UNSENT):
        return LaunchDelayedError(msg)
    code, status = code_of(error), _http_status(error)
    if code in _BUSY or code in busy or status == 429:
        return LaunchDelayedError(msg)
    if is_denied(error):
        return LaunchDeniedError(msg)
    if 400 <= status < 500 and status not in {408, 409} and code not in unknown:
        return LaunchRejectedError(msg)
    return LaunchUncertainError(f"It is unknown whether {what} was started: {error}")


def not_answered(error: Exception, what: str, *, gone: Collection[str] = ()) -> LaunchError:
    """Return the error of a failed query or cancellation.

    Args:
        error: the error that the call raised.
        what: what was requested, as the beginning of a sentence.
        gone: the service's own codes for a missing resource.
    """
    msg = f"{what}: {error}"
    if code_of(error) in gone:
        return LaunchRejectedError(msg)
    if is_denied(error):
        return LaunchDeniedError(msg)
    return LaunchDelayedError(msg)


def not_assumed(error: Exception, role: str) -> LaunchError:
    """Return the error of a failed request for a role's credentials; nothing was sent to a target."""
    msg = f"Role {role} could not be assumed: {error}"
    if isinstance(error, (*_NO_CREDENTIALS, ParamValidationError)):
        return LaunchDeniedError(msg)
    is_busy = code_of(error) in _BUSY or _http_status(error) == 429
    if 400 <= _http_status(error) < 500 and not is_busy:
        # Includes what STS calls invalid: a role can be fixed separately, so the start is not rejected.
        return LaunchDeniedError(msg)
    return LaunchDelayedError(msg)


def is_denied(error: Exception) -> bool:
    """Return whether a permission is missing, or the credentials are invalid."""
    return code_of(error) in _DENIED or _http_status(error) in {401, 403}


def _http_status(error: Exception) -> int:
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def failure_of(error: str, *causes: object, steps: Iterable[StepFailure] = ()) -> Failure:
    """Build a failure, truncated to what a record holds.

    Args:
        error: the failure's name.
        causes: details; empty ones are omitted.
        steps: the parts that failed.
    """
    return Failure(error, _text(causes, _MAX_CAUSE), steps=tuple(islice(steps, MAX_STEPS)))


def failed_step(step_key: str, error: str, *causes: object) -> StepFailure:
    """Build a failed step, truncated to what a record holds.

    Args:
        step_key: the step's name.
        error: the failure's name.
        causes: details; empty ones are omitted.
    """
    return StepFailure(step_key, error, _text(causes, _MAX_STEP_CAUSE))


def _text(causes: Iterable[object], most: int) -> str:
    return " ".join(str(cause).strip() for cause in causes if cause)[:most]


def millis_of(time: datetime) -> int:
    """Return milliseconds since the epoch."""
    return int(time.timestamp() * 1000)
