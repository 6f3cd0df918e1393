"""The server of the console on this machine, which two commands run."""

import secrets
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import click

from treadle.cli.output import FAILED

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from treadle.bootstrap.operator import OperatorParts
    from treadle.console.api import Operation
    from treadle.console.server import Endpoints, LocalServer

Command = TypeVar("Command", bound=Callable[..., Any])

PORT = 8787
TOKEN_BYTES = 32


def server_options(what: str, port: str) -> Callable[[Command], Command]:
    """Add `--port` and `--no-browser`.

    Args:
        what: the address, for the help.
        port: the port, for the help.
    """

    def decorate(command: Command) -> Command:
        browser = click.option(
            "--no-browser", is_flag=True, help=f"Only print {what}; do not open a browser."
        )
        return click.option(
            "--port",
            metavar="PORT",
            type=click.IntRange(0, 65535),
            default=PORT,
            show_default=True,
            help=f"{port} on this machine; 0 for any free port.",
        )(browser(command))

    return decorate


def serving(
    parts: "Callable[[], OperatorParts]",
    port: int,
    by: str,
    operations: "Sequence[Operation] | None" = None,
    settings: "Mapping[str, str] | None" = None,
    endpoints: "Endpoints | None" = None,
) -> "tuple[LocalServer, str]":
    """Create the server, and the URL with the token that opens it.

    Args:
        parts: returns what the console uses.
        port: the port.
        by: the name under which changes are recorded.
        operations: the operations of the API; None for those of a deployed engine.
        settings: what the page reads beside its sign-in configuration.
        endpoints: those of webhook sensors; None if there are none.
    """
    # Imported here, as no other command needs them.
    from treadle.adapters.system import SystemClock
    from treadle.console.app import Console
    from treadle.console.routes import OPERATIONS
    from treadle.console.server import LocalServer
    from treadle.console.static_token import Caller, Role, StaticTokenAuth

    token = secrets.token_urlsafe(TOKEN_BYTES)
    access = StaticTokenAuth(token, Caller(by, Role.OPERATOR), settings or {})
    application = Console(parts, access, SystemClock(), operations or OPERATIONS)
    try:
        server = LocalServer(application, port, endpoints)
    except OSError as error:
        click.echo(
            f"treadle: Port {port} cannot be used: {error.strerror}. Choose another one with --port.",
            err=True,
        )
        raise SystemExit(FAILED) from None
    return server, f"{server.address}#token={token}"
