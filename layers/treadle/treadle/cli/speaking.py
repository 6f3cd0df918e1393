"""How commands speak: plain text, whatever was written by others, and errors without a traceback."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from treadle.definitions.errors import TreadleError

FAILED = 2
"""The exit status of a command that could not be carried out."""

_SHOWN = 500


def plain(text: str) -> str:
    """The text on one line, shortened, without what a terminal would obey: keys and reasons are anybody's.

    Args:
        text: from outside.
    """
    shown = text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in shown)


@contextmanager
def failing_plainly() -> Iterator[None]:
    """What Treadle raises within ends the command, in its own words, with exit status 2."""
    try:
        yield
    except TreadleError as error:
        click.echo(f"treadle: {plain(str(error))}", err=True)
        raise SystemExit(FAILED) from None
