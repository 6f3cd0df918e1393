"""What a target's answer to a call means: never, not allowed, not now, or not known.

Knows AWS's errors in general; what only one service says is handed in by its module.
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
from treadle.ports.runs import MAX_STEPS, Failure

AwsError = (ClientError, BotoCoreError)
"""Whatever a call to AWS raises."""

CANCELED = "Canceled by an operator of Treadle."
"""The reason that a target is given for an end, where it takes one."""

_MAX_WORDS = 2_000
_MAX_STEP_WORDS = 1_000

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
# None of these has sent the request.
_UNSENT = (ConnectTimeoutError, EndpointConnectionError, ProxyConnectionError)
_NO_CREDENTIALS = (CredentialRetrievalError, NoCredentialsError, PartialCredentialsError)


def not_started(
    error: Exception, what: str, *, busy: Collection[str] = (), unknown: Collection[str] = ()
) -> LaunchError:
    """The error that a start ends with, when the request was sent once at most.

    A service that answers 4xx has not done what it was asked for; one that answers 5xx, or not at all,
    may have.

    Args:
        error: what the call raised.
        what: what was to be started, and what names it.
        busy: the service's own names for "not now".
        unknown: the service's own names for "perhaps".
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
    """The error that a question, or the request to end an execution, ends with.

    Args:
        error: what the call raised.
        what: what was asked, as the beginning of a sentence.
        gone: the service's own names for "there is no such thing".
    """
    msg = f"{what}: {error}"
    if code_of(error) in gone:
        return LaunchRejectedError(msg)
    if is_denied(error):
        return LaunchDeniedError(msg)
    return LaunchDelayedError(msg)


def not_assumed(error: Exception, role: str) -> LaunchError:
    """The error that the request for a role's credentials ends with; nothing was sent to a target.

    Args:
        error: what the call raised.
        role: its ARN.
    """
    msg = f"Role {role} could not be assumed: {error}"
    if isinstance(error, (*_NO_CREDENTIALS, ParamValidationError)):
        return LaunchDeniedError(msg)
    is_busy = code_of(error) in _BUSY or _http_status(error) == 429
    if 400 <= _http_status(error) < 500 and not is_busy:
        # Also what STS calls invalid: a role is corrected without this start, so it is no reason to give it up.
        return LaunchDeniedError(msg)
    return LaunchDelayedError(msg)


def is_denied(error: Exception) -> bool:
    """Whether a permission is missing, or the credentials do not hold."""
    return code_of(error) in _DENIED or _http_status(error) in {401, 403}


def _http_status(error: Exception) -> int:
    if not isinstance(error, ClientError):
        return 0
    return int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))


def failure_of(error: str, *causes: object, steps: Iterable[StepFailure] = ()) -> Failure:
    """Why an execution failed, in so many of its target's words as a record holds.

    Args:
        error: the failure's name.
        causes: what is known of it; what is empty is left out.
        steps: its parts that failed.
    """
    return Failure(error, _words(causes, _MAX_WORDS), steps=tuple(islice(steps, MAX_STEPS)))


def failed_step(step_key: str, error: str, *causes: object) -> StepFailure:
    """A part of an execution that failed, in so many words as a record holds.

    Args:
        step_key: its name.
        error: the failure's name.
        causes: what is known of it; what is empty is left out.
    """
    return StepFailure(step_key, error, _words(causes, _MAX_STEP_WORDS))


def _words(causes: Iterable[object], most: int) -> str:
    return " ".join(str(cause).strip() for cause in causes if cause)[:most]


def millis_of(moment: datetime) -> int:
    """Milliseconds since the epoch."""
    return int(moment.timestamp() * 1000)
