"""Powertools' resolver with the request kept by thread, so that the local server answers several at once."""

import threading
from collections.abc import Mapping
from typing import Any

from aws_lambda_powertools.event_handler import APIGatewayHttpResolver


class Resolver(APIGatewayHttpResolver):
    """Finds the route of a request of API Gateway's payload version 2.

    Powertools keeps the request that it is at in its class, as Lambda sends one at a time; two threads of the
    local server would take each other's.
    """

    def __init__(self) -> None:
        self._at = threading.local()
        super().__init__(debug=False)

    @property
    def current_event(self) -> Any:
        """The request that this thread is at."""
        return self._at.event

    @current_event.setter
    def current_event(self, value: Any) -> None:
        self._at.event = value

    @property
    def context(self) -> dict[Any, Any]:
        """What is known of it on the way."""
        if not hasattr(self._at, "context"):
            self._at.context = {}
        found: dict[Any, Any] = self._at.context
        return found

    @context.setter
    def context(self, value: dict[Any, Any]) -> None:
        self._at.context = value

    def resolve(self, event: Mapping[str, Any], context: Any) -> dict[str, Any]:
        """API Gateway's answer to a request.

        Args:
            event: of API Gateway's payload version 2.
            context: Lambda's; nobody looks at it.
        """
        del context
        self.current_event = self._to_proxy_event(dict(event))
        try:
            return self._build_response(self._resolve())
        finally:
            self.context = {}
