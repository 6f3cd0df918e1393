"""The application behind both front ends: it takes API Gateway events and returns API Gateway responses."""

import json
import logging
import re
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import TYPE_CHECKING, Any

from aws_lambda_powertools.event_handler import Response
from aws_lambda_powertools.event_handler.exceptions import ForbiddenError, NotFoundError, ServiceError

from treadle.console.api import JSON_TYPE, NAMES, ApiRequest, Operation, RequestValidator
from treadle.console.errors import status_of
from treadle.console.openapi import document
from treadle.console.pages import Page, pages, security_headers
from treadle.console.resolver import Resolver
from treadle.console.routes import OPERATIONS
from treadle.console.static_token import Access, Role
from treadle.definitions.errors import TreadleError
from treadle.ports.system import Clock

if TYPE_CHECKING:
    from treadle.bootstrap.operator import OperatorParts

CHANGE_HEADER = ("x-treadle", "console")
"""Header of every change: another site's page cannot send it without a preflight request, which is refused.
"""

CONFIG, DESCRIPTION = "/config.json", "/openapi.json"

KEPT = "public, max-age=31536000, immutable"

LINK = "/runs/<run_id>"
"""Target of links in alerts, if the console's address is configured; the page's own addresses are fragments.
"""

_log = logging.getLogger(__name__)


class Console:
    """Handles requests from API Gateway, and from the local server in the same format.

    Args:
        parts: returns the operator's components, on first use.
        access: authenticates callers.
        clock: the clock.
        operations: the operations of the API.
    """

    def __init__(
        self,
        parts: "Callable[[], OperatorParts]",
        access: Access,
        clock: Clock,
        operations: Sequence[Operation] = OPERATIONS,
    ) -> None:
        self._parts = parts
        self._access = access
        self._clock = clock
        self._operations = operations
        self._headers = security_headers(access.origins)
        self._open = {**pages(), CONFIG: Page(JSON_TYPE, json.dumps(dict(access.sign_in)))}
        self._resolver = Resolver()
        for operation in operations:
            self._resolver.route(operation.path, operation.method)(self._answering(operation))
        for path, page in self._open.items():
            self._resolver.get(path)(_sent(page))
        self._resolver.get(LINK)(_to_run)
        self._resolver.get(DESCRIPTION)(lambda: _answer(HTTPStatus.OK, document(operations)))
        for error, handle in self._refusals().items():
            self._resolver.exception_handler(error)(handle)

    def handle(self, event: Mapping[str, Any], context: object = None) -> dict[str, Any]:
        """Handle a request and return API Gateway's response.

        Args:
            event: in API Gateway's payload format 2.0.
            context: Lambda's; not used.
        """
        answer = self._resolver.resolve(event, context)
        answer["headers"] = {**self._headers, **answer.get("headers", {})}
        return answer

    def _answering(self, operation: Operation) -> "Callable[..., Response[Any]]":
        intake = RequestValidator(operation)

        def answer(**path: str) -> Response[Any]:
            event = self._resolver.current_event
            headers = {name.lower(): value for name, value in event.headers.items()}
            caller = self._access.admit(headers, event.raw_event.get("requestContext") or {})
            if operation.changes:
                _check_change(headers, caller.role)
            checked = intake.path(path), intake.query(event), intake.body(event)
            request = ApiRequest(self._parts(), caller, self._clock.now(), *checked)
            if operation.changes:
                _log.info("%s %s by %s", operation.method, event.path, caller.name)
            return _answer(HTTPStatus.OK, operation.act(request))

        return answer

    def _refusals(self) -> "Mapping[type[Exception], Callable[[Any], Response[Any]]]":
        return {
            NotFoundError: self._not_found,
            ServiceError: lambda error: _refusal(error.status_code, error.msg),
            TreadleError: lambda error: _refusal(status_of(error), str(error)),
            Exception: _broken,
        }

    def _not_found(self, error: NotFoundError) -> "Response[Any]":
        event = self._resolver.current_event
        named = [each for each in self._operations if each.path == event.path]
        matching = named or [each for each in self._operations if _matches(each.path, event.path)]
        allowed = sorted({each.method for each in matching})
        if event.path in {*self._open, DESCRIPTION} or _matches(LINK, event.path):
            allowed = ["GET"]
        if not allowed or event.http_method in allowed:
            return _refusal(HTTPStatus.NOT_FOUND, error.msg)
        message = f"{event.path} accepts only {', '.join(allowed)}."
        refused = _refusal(HTTPStatus.METHOD_NOT_ALLOWED, message)
        refused.headers["Allow"] = ", ".join(allowed)
        return refused


def _to_run(run_id: str) -> "Response[Any]":
    if not re.fullmatch(NAMES["run_id"]["pattern"], run_id):
        raise NotFoundError
    return Response(HTTPStatus.FOUND, "text/plain", "", {"Location": f"/#/runs/{run_id}"})


def _check_change(headers: Mapping[str, str], role: Role) -> None:
    name, value = CHANGE_HEADER
    if headers.get(name) != value:
        msg = f"A change needs the header X-Treadle: {value}, so that no foreign page can ask for it."
        raise ForbiddenError(msg)
    if role is not Role.OPERATOR:
        msg = "You may view everything here, but changes require the role operator."
        raise ForbiddenError(msg)


def _matches(path: str, requested: str) -> bool:
    return re.fullmatch(re.sub(r"<\w+>", "[^/]+", path), requested) is not None


def _sent(page: Page) -> "Callable[[], Response[Any]]":
    headers = {"Cache-Control": KEPT} if page.is_kept else {}

    def send() -> Response[Any]:
        # Powertools adds to the headers that it receives.
        return Response(HTTPStatus.OK, page.kind, page.content, dict(headers))

    return send


def _answer(status: int, body: Mapping[str, Any]) -> "Response[Any]":
    return Response(int(status), JSON_TYPE, json.dumps(body))


def _refusal(status: int, message: object) -> "Response[Any]":
    return _answer(status, {"message": str(message)})


def _broken(error: Exception) -> "Response[Any]":
    _log.error("The console failed: %r", error, exc_info=error)
    return _refusal(HTTPStatus.INTERNAL_SERVER_ERROR, "The console failed. Its log has the reason.")
