"""Answers HTTPS requests to a webhook sensor: with 2xx only once a request's tick is committed."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from treadle.definitions.errors import (
    SensorEvaluationError,
    TreadleError,
    UnknownEventError,
    WebhookRejectedError,
)
from treadle.definitions.webhook_verification import HttpRequest
from treadle.engine.tick.webhook_receiver import NOT_ACCEPTED, WebhookResponse
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import count, logger

RETRY_SECONDS = 60
"""When a sender is to send a request again that was not accepted."""


def respond(
    event: Mapping[str, Any], sensor: str, receive: Callable[[HttpRequest], WebhookResponse]
) -> dict[str, Any]:
    """Return the response to a request, in API Gateway's payload format 2.0.

    Nothing of the request is logged but API Gateway's id of it.

    Args:
        event: the request, in the same format.
        sensor: the sensor's name.
        receive: accepts it.

    Raises:
        UnknownEventError: if the event is no request.
    """
    request_id = _request_id(event)
    try:
        response = receive(http_request(event))
    except WebhookRejectedError as error:
        response = WebhookResponse(error.status, str(error))
    except Exception as error:  # noqa: BLE001 - whatever it is, the request is not accepted
        # A failed evaluation has been reported.
        is_known = isinstance(error, TreadleError)
        if not isinstance(error, SensorEvaluationError):
            logger().warning(f"Request {request_id} is not accepted: {error}", exc_info=not is_known)
        count(metric_names.MESSAGES_RETRIED, dimension=("sensor", sensor))
        response = NOT_ACCEPTED
    if response.outcome is None and response is not NOT_ACCEPTED:
        logger().info(f"Request {request_id} is refused with {response.status}: {response.message}")
    headers = {"Content-Type": "application/json"}
    if response.status == NOT_ACCEPTED.status:
        headers["Retry-After"] = str(RETRY_SECONDS)
    return {
        "statusCode": int(response.status),
        "headers": headers,
        "body": json.dumps({"message": response.message}),
    }


def http_request(event: Mapping[str, Any]) -> HttpRequest:
    """Parse a request ("Create AWS Lambda proxy integrations for HTTP APIs" in the API Gateway developer guide).

    Raises:
        UnknownEventError: if the event is no request.
        WebhookRejectedError: if its body cannot be decoded.
    """
    request_id, body = _request_id(event), event.get("body")
    headers, query = event.get("headers"), event.get("queryStringParameters")
    decoded = _body("" if body is None else body, event)
    lowered = {name.lower(): value for name, value in _texts(headers).items()}
    return HttpRequest(request_id, decoded, lowered, _texts(query))


def _request_id(event: Mapping[str, Any]) -> str:
    context = event.get("requestContext")
    if not isinstance(context, Mapping) or not context.get("requestId"):
        msg = (
            "The event is no request to an HTTP API in payload format 2.0. Send the request to the sensor's endpoint, "
            "or preview it."
        )
        raise UnknownEventError(msg)
    return str(context["requestId"])


def _body(body: object, event: Mapping[str, Any]) -> bytes:
    if not isinstance(body, str):
        raise WebhookRejectedError(HTTPStatus.BAD_REQUEST, "The body cannot be decoded.")
    try:
        decoded = (
            base64.b64decode(body, validate=True) if event.get("isBase64Encoded") is True else body.encode()
        )
    except (binascii.Error, ValueError):
        raise WebhookRejectedError(HTTPStatus.BAD_REQUEST, "The body cannot be decoded.") from None
    return decoded


def _texts(values: object) -> dict[str, str]:
    return {str(name): str(value) for name, value in values.items()} if isinstance(values, Mapping) else {}
