"""HTTP responses for errors."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from treadle.console.pages import security_headers
from treadle.definitions.errors import (
    BucketError,
    CommandRefusedError,
    DagsterInvariantViolationError,
    DeploymentError,
    InvocationError,
    LaunchError,
    LeaseLostError,
    StoreError,
    TreadleError,
    UnreadableRecordError,
)

STATUSES: dict[type[TreadleError], HTTPStatus] = {
    CommandRefusedError: HTTPStatus.CONFLICT,
    LeaseLostError: HTTPStatus.CONFLICT,
    DagsterInvariantViolationError: HTTPStatus.UNPROCESSABLE_ENTITY,
    BucketError: HTTPStatus.BAD_GATEWAY,
    DeploymentError: HTTPStatus.BAD_GATEWAY,
    # The sensor failed, or received invalid input; the console itself works.
    InvocationError: HTTPStatus.CONFLICT,
    LaunchError: HTTPStatus.BAD_GATEWAY,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    # The console works, and the caller may repair the record.
    UnreadableRecordError: HTTPStatus.CONFLICT,
}
"""Status of an error: 4xx if the caller can do something about it, 5xx if AWS has to."""


def status_of(error: TreadleError) -> HTTPStatus:
    """Return the status of an error, or of its nearest base class."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def refused(status: HTTPStatus, message: str) -> Mapping[str, Any]:
    """Return a response in API Gateway's format to a request that does not reach the application.

    Args:
        status: the reason.
        message: the message.
    """
    headers = {"Content-Type": "application/json", **security_headers(())}
    return {"statusCode": int(status), "headers": headers, "body": json.dumps({"message": message})}
