"""How errors are told over HTTP."""

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
    # The sensor has failed, or was given what it does not take; the console itself works.
    InvocationError: HTTPStatus.CONFLICT,
    LaunchError: HTTPStatus.BAD_GATEWAY,
    StoreError: HTTPStatus.SERVICE_UNAVAILABLE,
    # The console works, and the caller may repair the record.
    UnreadableRecordError: HTTPStatus.CONFLICT,
}
"""What an error is answered with: 4xx where the caller can do something about it, 5xx where AWS has to."""


def status_of(error: TreadleError) -> HTTPStatus:
    """The status that stands for an error, or for what it is a kind of."""
    for kind in type(error).__mro__:
        if kind in STATUSES:
            return STATUSES[kind]
    return HTTPStatus.INTERNAL_SERVER_ERROR


def refused(status: HTTPStatus, message: str) -> Mapping[str, Any]:
    """An answer in API Gateway's form to a request that never reaches the application.

    Args:
        status: why it does not.
        message: in words.
    """
    headers = {"Content-Type": "application/json", **security_headers(())}
    return {"statusCode": int(status), "headers": headers, "body": json.dumps({"message": message})}
