"""The command that serves the console on this machine."""

import secrets
import webbrowser
from typing import TYPE_CHECKING

import click

from treadle.cli.output import FAILED, plain
from treadle.cli.stack import by_option, caller_name, deployed, stack_option

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from treadle.bootstrap.operator import OperatorParts
    from treadle.console.api import Operation
    from treadle.console.server import LocalServer

PORT = 8787
TOKEN_BYTES = 32


@click.command()
@stack_option
@click.option(
    "--port",
    metavar="PORT",
    type=click.IntRange(0, 65535),
    default=PORT,
    show_default=True,
    help="The port on this machine; 0 for any free port.",
)
@click.option("--no-browser", is_flag=True, help="Only print the address; do not open a browser.")
@by_option
def console(stack: str, port: int, no_browser: bool, by: str | None) -> None:
    """Serve the console to this machine until it is interrupted.

    It uses your credentials and has their permissions. The printed address contains a token, which is new each
    time: whoever has it can do the same.
    """
    with deployed(stack) as parts:
        server, address = serving(lambda: parts, port, caller_name(by))
    click.echo(f"Stack {plain(stack)} at {address}\nPress Ctrl-C to stop it.")
    if not no_browser:
        webbrowser.open(address)
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo("Ended.")
    finally:
        server.server_close()


def serving(
    parts: "Callable[[], OperatorParts]",
    port: int,
    by: str,
    operations: "Sequence[Operation] | None" = None,
    settings: "Mapping[str, str] | None" = None,
) -> "tuple[LocalServer, str]":
    """Create the server, and the URL with the token that opens it.

    Args:
        parts: returns what the console uses.
        port: the port.
        by: the name under which changes are recorded.
        operations: the operations of the API; None for those of a deployed engine.
        settings: what the page reads beside its sign-in configuration.
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
        server = LocalServer(application, port)
    except OSError as error:
        click.echo(
            f"treadle: Port {port} cannot be used: {error.strerror}. Choose another one with --port.",
            err=True,
        )
        raise SystemExit(FAILED) from None
    return server, f"{server.address}#token={token}"
