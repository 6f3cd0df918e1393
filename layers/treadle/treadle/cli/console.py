"""The command that serves the console on this machine."""

import webbrowser

import click

from treadle.cli.local_server import server_options, serving
from treadle.cli.output import plain
from treadle.cli.stack import by_option, caller_name, deployed, stack_option


@click.command()
@stack_option
@server_options("the address", "The port")
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
