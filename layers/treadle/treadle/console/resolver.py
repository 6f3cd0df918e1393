"""Powertools' resolver with a request per thread, so that the local server handles several at once."""

import threading
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver


class Resolver(APIGatewayHttpResolver):
    """Routes requests of API Gateway's payload format 2.0.

    Powertools stores the current request in its class, as Lambda sends one at a time; two threads of the
    local server would mix up theirs.
    """

    def __init__(self) -> None:
        self._at = threading.local()
        super().__init__(debug=False)

    @property
    def current_event(self) -> Any:
        """Return this thread's request."""
        return self._at.event

    @current_event.setter
    def current_event(self, value: Any) -> None:
        self._at.event = value

    @property
    def context(self) -> dict[Any, Any]:
        """Return the context of this thread's request."""
        if not hasattr(self._at, "context"):
            self._at.context = {}
        found: dict[Any, Any] = self._at.context
        return found

    @context.setter
    def context(self, value: dict[Any, Any]) -> None:
        self._at.context = value

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """Handle a request and return API Gateway's response.

        Args:
            event: in API Gateway's payload format 2.0.
            context: Lambda's; not used.
        """
        del context
        self.current_event = self._to_proxy_event(dict(event))
        try:
            return self._build_response(self._resolve())
        finally:
            self.context = {}
