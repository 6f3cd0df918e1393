"""Output of commands: plain text and tables, safe for any content, and errors without a traceback."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

import click

from treadle.definitions.errors import ScaffoldError, TreadleError

EXIT_UNHEALTHY = 1
"""Exit status of a command that succeeded, and found that something is unhealthy."""

FAILED = 2
"""Exit status of a command that failed."""

_SHOWN = 500
_ID, _GAP = 36, 2
_RUN_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_WIDE = 10_000
"""Columns of an output that is not a terminal: nothing is truncated."""

json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON.")


def plain(text: str, shown: int = _SHOWN) -> str:
    """Return text on one line, truncated, without control characters: keys and reasons are untrusted.

    Args:
        text: from outside.
        shown: the maximum number of characters.
    """
    text = text if len(text) <= shown else f"{text[:shown]}…"
    return "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def when(time: int | None) -> str:
    """Format milliseconds as ISO 8601 to the second; a dash for None."""
    return "-" if time is None else f"{datetime.fromtimestamp(time / 1000, UTC):%Y-%m-%dT%H:%M:%SZ}"


def echo(text: str) -> None:
    """Print a line, without control characters."""
    click.echo(plain(text))


def echo_json(value: object) -> None:
    """Print JSON; control characters are escaped in it."""
    click.echo(json.dumps(value, indent=2))


def echo_lines(texts: Sequence[str], indent: str = "  ") -> None:
    """Print lines, each indented."""
    for text in texts:
        for line in text.splitlines():
            click.echo(f"{indent}{plain(line)}")


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], nothing: str) -> None:
    """Print a table; on a terminal, it has the terminal's width, and runs' ids are short if they would not fit.

    Args:
        columns: the headings.
        rows: the cells; None is printed as a dash.
        nothing: the message if there are no rows.
    """
    if not rows:
        click.echo(nothing)
        return
    # Imported here, as commands that print no table need not wait for it.
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    shown = Table(box=None, pad_edge=False, header_style="bold")
    width = None if sys.stdout.isatty() else _WIDE
    console = Console(file=sys.stdout, width=width, markup=False, highlight=False)
    cells = [["-" if cell in {None, ""} else plain(str(cell)) for cell in row] for row in rows]
    widths = [
        max(map(len, [name, *column])) for name, column in zip(columns, zip(*cells, strict=True), strict=True)
    ]
    is_narrow = sum(widths) + _GAP * len(columns) > console.width
    for name, most in zip(columns, widths, strict=True):
        # What is to be copied, such as an id or a time, is not broken.
        shown.add_column(name, overflow="fold", no_wrap=most <= _ID)
    for row in cells:
        shown.add_row(*(Text(_shortened(cell) if is_narrow else cell) for cell in row))
    with console.capture() as captured:
        console.print(shown)
    click.echo("\n".join(line.rstrip() for line in captured.get().splitlines()))


def _shortened(cell: str) -> str:
    """Return the first characters of a run's id, which commands take in its place; other texts as they are."""
    return cell.partition("-")[0] if _RUN_ID.fullmatch(cell) else cell


def print_fields(values: Mapping[str, Any]) -> None:
    """Print names and values, one per line; None and empty values are omitted."""
    shown = {name: value for name, value in values.items() if value not in (None, "", [], ())}
    width = max(map(len, shown), default=0)
    for name, value in shown.items():
        click.echo(f"{name:<{width}}  {plain(str(value))}")


@contextmanager
def exit_on_error() -> Iterator[None]:
    """Exit with status 2 and the message of a Treadle error."""
    try:
        yield
    except TreadleError as error:
        click.echo(f"treadle: {plain(str(error))}", err=True)
        raise SystemExit(FAILED) from None


@contextmanager
def scaffold_errors() -> Iterator[None]:
    """End the command with every problem of the scaffold, each on a line."""
    try:
        yield
    except ScaffoldError as error:
        for problem in error.problems:
            click.echo(f"treadle: {problem}", err=True)
        raise SystemExit(FAILED) from None
