"""The API's description, generated from its operations: the same schemas validate the requests."""

import re
from collections.abc import Iterator, Mapping, Sequence
from http import HTTPStatus
from typing import Any

from treadle.console.api import JSON_TYPE, Operation, Schema

ERROR: Schema = {
    "type": "object",
    "required": ["message"],
    "properties": {"message": {"type": "string", "description": "The error, and what to do."}},
}

ALWAYS = {
    HTTPStatus.BAD_REQUEST: "The request is invalid.",
    HTTPStatus.UNAUTHORIZED: "The caller is not authenticated.",
    HTTPStatus.FORBIDDEN: "The caller lacks the permission.",
    HTTPStatus.BAD_GATEWAY: "AWS denied a required request; the message names it.",
    HTTPStatus.SERVICE_UNAVAILABLE: "AWS throttled a request or did not respond: try again.",
}
WITH_BODY = {
    HTTPStatus.REQUEST_ENTITY_TOO_LARGE: "The request is too large.",
    HTTPStatus.UNSUPPORTED_MEDIA_TYPE: "The request is not JSON.",
}


def document(operations: Sequence[Operation]) -> Mapping[str, Any]:
    """Return the description in OpenAPI 3.1 format.

    Args:
        operations: the operations of the API.
    """
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        path = re.sub(r"<(\w+)>", r"{\1}", operation.path)
        paths.setdefault(path, {})[operation.method.lower()] = _operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Treadle's console",
            "version": "1",
            "description": "Times are milliseconds since the epoch. Lists are newest first.",
        },
        "paths": paths,
        "components": {"securitySchemes": {"token": {"type": "http", "scheme": "bearer"}}},
        "security": [{"token": []}],
    }


def _operation(operation: Operation) -> Mapping[str, Any]:
    made: dict[str, Any] = {
        "summary": operation.summary,
        "operationId": operation.act.__name__,
        "parameters": list(_parameters(operation)),
        "responses": {
            "200": _content("What was asked for.", operation.answer),
            **{
                str(status.value): _content(description, ERROR)
                for status, description in sorted(_refusals(operation).items())
            },
        },
    }
    if operation.body is not None:
        required = bool(operation.body.get("required"))
        made["requestBody"] = {"required": required, "content": {JSON_TYPE: {"schema": operation.body}}}
    return made


def _parameters(operation: Operation) -> Iterator[Mapping[str, Any]]:
    for name, schema in operation.path_schemas.items():
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    for name, schema in operation.query.items():
        listed = {"style": "form", "explode": False} if schema.get("type") == "array" else {}
        required = name in operation.required
        yield {"name": name, "in": "query", "required": required, "schema": schema, **listed}
    if operation.changes:
        header = {"type": "string", "const": "console"}
        yield {"name": "X-Treadle", "in": "header", "required": True, "schema": header}


def _refusals(operation: Operation) -> Mapping[HTTPStatus, str]:
    bodied = WITH_BODY if operation.body is not None else {}
    named = {HTTPStatus.NOT_FOUND: "It does not exist."} if operation.path_schemas else {}
    return {**ALWAYS, **named, **bodied, **operation.refusals}


def _content(description: str, schema: Schema) -> Mapping[str, Any]:
    return {"description": description, "content": {JSON_TYPE: {"schema": schema}}}
