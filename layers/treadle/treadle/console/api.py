"""The operations of the API, and the validation of requests against their schemas."""

import base64
import functools
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

import fastjsonschema
from aws_lambda_powertools.event_handler.exceptions import (
    BadRequestError,
    NotFoundError,
    RequestEntityTooLargeError,
    ServiceError,
)

from treadle.console.static_token import Caller

if TYPE_CHECKING:
    from aws_lambda_powertools.utilities.data_classes import APIGatewayProxyEventV2

    from treadle.bootstrap.operator import OperatorParts

Schema = Mapping[str, Any]
Json = Mapping[str, Any]

MAX_BODY = 512 * 1024
"""Maximum bytes of a request: a cursor of 300,000 bytes fits, with JSON escapes, in most alphabets."""

JSON_TYPE = "application/json"

MAX_DIGITS = 16
"""Maximum digits of a number in a parameter: more than any time in milliseconds has."""


NAMES: Mapping[str, Schema] = {
    "sensor": {"type": "string", "pattern": "^[A-Za-z0-9_]{1,80}$"},
    "tick_id": {
        "type": "string",
        "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:]{8}[.][0-9]{3}Z-[0-9a-f]{9,32}$",
    },
    "backfill": {"type": "string", "pattern": "^[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}$"},
    "pool": {"type": "string", "pattern": "^(starts:)?(job:)?[A-Za-z0-9_]{1,80}$"},
    "run_id": {"type": "string", "pattern": "^[0-9a-f-]{36}$"},
}
"""Schemas of the path parameters, by name."""


@dataclass(frozen=True, slots=True)
class ApiRequest:
    """A validated request.

    Attributes:
        parts: the operator's components.
        caller: the caller.
        now: the time.
        path: the path parameters, by name.
        query: the query parameters, by name, with defaults for missing ones.
        body: the request's body.
    """

    parts: "OperatorParts"
    caller: Caller
    now: int
    path: Mapping[str, str]
    query: Mapping[str, Any]
    body: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Operation:
    """An operation of the API.

    Attributes:
        method: GET reads, everything else changes something.
        path: relative to the console's address, with `<name>` for parameters.
        summary: what the caller gets, or what is done.
        act: executes it.
        answer: the schema of its response.
        query: the schema of each query parameter, by name.
        required: names of required query parameters.
        body: the schema of the request's body; None if it takes none.
        refusals: statuses other than 200, and when they are returned.
    """

    method: str
    path: str
    summary: str
    act: Callable[[ApiRequest], Json]
    answer: Schema
    query: Mapping[str, Schema] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    body: Schema | None = None
    refusals: Mapping[HTTPStatus, str] = field(default_factory=dict)

    @property
    def path_schemas(self) -> Mapping[str, Schema]:
        """Return the schemas of the path parameters, by name and in order."""
        return {name: NAMES[name] for name in re.findall(r"<(\w+)>", self.path)}

    @property
    def changes(self) -> bool:
        """Return whether it requires the operator role."""
        return self.method != "GET"

    @property
    def query_schema(self) -> Schema:
        """Return the schema of all query parameters together."""
        return {
            "type": "object",
            "properties": self.query,
            "required": list(self.required),
            "additionalProperties": False,
        }


class RequestValidator:
    """Validates requests of one operation; its schemas are compiled on first use."""

    def __init__(self, operation: Operation) -> None:
        self._operation = operation

    @functools.cached_property
    def _check_query(self) -> Callable[..., Any]:
        return _compiled(self._operation.query_schema)

    @functools.cached_property
    def _check_body(self) -> Callable[..., Any]:
        return _compiled(self._operation.body or {})

    def path(self, given: Mapping[str, str]) -> Mapping[str, str]:
        """Validate the path parameters.

        Raises:
            NotFoundError: if one cannot be the name of anything.
        """
        for name, schema in self._operation.path_schemas.items():
            if not re.fullmatch(schema["pattern"], given[name]):
                raise NotFoundError(f"There is no {name.removesuffix('_id')} with this name.")
        return given

    def query(self, event: "APIGatewayProxyEventV2") -> Mapping[str, Any]:
        """Parse the query parameters by their schemas: numbers, and lists separated by commas.

        Raises:
            BadRequestError: if they are invalid.
        """
        given = {
            name: _typed(self._operation.query.get(name, {}), text)
            for name, text in event.query_string_parameters.items()
        }
        return _checked(self._check_query, "query", given)

    def body(self, event: "APIGatewayProxyEventV2") -> Mapping[str, Any]:
        """Parse and validate a request's body.

        Raises:
            BadRequestError: if it is invalid, or not JSON.
            ServiceError: if its content type is not JSON, or it is too large.
        """
        body = _bytes(event)
        if len(body) > MAX_BODY:
            msg = f"The request has more than {MAX_BODY} bytes."
            raise RequestEntityTooLargeError(msg)
        if self._operation.body is None:
            return {}
        kind = event.headers.get("content-type", "").partition(";")[0].strip().lower()
        if body and kind != JSON_TYPE:
            raise ServiceError(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, f"The request must be {JSON_TYPE}.")
        return _checked(self._check_body, "body", _json(body) if body else {})


def _compiled(schema: Schema) -> Callable[..., Any]:
    check: Callable[..., Any] = fastjsonschema.compile(dict(schema))
    return check


def _checked(check: Callable[..., Any], part: str, given: Any) -> Mapping[str, Any]:
    try:
        checked: Mapping[str, Any] = check(given, name_prefix=part)
    except fastjsonschema.JsonSchemaValueException as error:
        raise BadRequestError(f"{error.message}.") from error
    return checked


def _bytes(event: "APIGatewayProxyEventV2") -> bytes:
    """Return a request's body as sent; API Gateway encodes bodies that are not text as base64."""
    body = event.body or ""
    return base64.b64decode(body) if event.is_base64_encoded else body.encode(errors="surrogatepass")


def _json(body: bytes) -> Any:
    try:
        value = json.loads(body.decode())
        # NaN, lone surrogates and endless nesting cannot be stored.
        json.dumps(value, ensure_ascii=False, allow_nan=False).encode()
    except (ValueError, RecursionError) as error:
        raise BadRequestError(f"The request is not JSON: {error}.") from error
    return value


def _typed(schema: Schema, text: str) -> Any:
    if schema.get("type") == "integer":
        return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else text
    if schema.get("type") == "array":
        return [each for each in text.split(",") if each]
    return text
