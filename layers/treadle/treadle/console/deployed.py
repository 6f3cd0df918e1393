"""The console as a Lambda function behind API Gateway, configured by its environment."""

import functools
import os
from collections.abc import Callable, Mapping
from typing import Any

from treadle.adapters.system import SystemClock
from treadle.bootstrap.operator import OperatorParts, operator_parts
from treadle.bootstrap.settings import Settings
from treadle.console.app import Console
from treadle.console.oidc import Issuer, OidcAuth


def console() -> Callable[[dict[str, Any], Any], dict[str, Any]]:
    """Return the handler of the console's requests."""
    made = functools.cache(lambda: console_of(os.environ))

    def handler(event: dict[str, Any], context: Any) -> dict[str, Any]:
        return made().handle(event, context)

    return handler


def console_of(environment: Mapping[str, str]) -> Console:
    """Create a stack's console; its components are created on first use.

    Args:
        environment: names and values, such as `os.environ`.

    Raises:
        SettingsError: with all problems at once.
    """
    settings = Settings(environment)
    stack = settings.text("TREADLE_STACK")
    issuer = Issuer(
        issuer=settings.text("TREADLE_CONSOLE_ISSUER"),
        audience=settings.text("TREADLE_CONSOLE_AUDIENCE"),
        client_id=settings.text("TREADLE_CONSOLE_CLIENT_ID"),
        scope=settings.text("TREADLE_CONSOLE_SCOPE"),
        role_claim=settings.text("TREADLE_CONSOLE_ROLE_CLAIM"),
        viewer=settings.text("TREADLE_CONSOLE_VIEWER_ROLE"),
        operator=settings.text("TREADLE_CONSOLE_OPERATOR_ROLE"),
        token_origin=settings.text("TREADLE_CONSOLE_TOKEN_ORIGIN"),
    )
    settings.check()

    @functools.cache
    def parts() -> OperatorParts:
        return operator_parts(stack)

    return Console(parts, OidcAuth(issuer), SystemClock())
