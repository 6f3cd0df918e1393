"""Output of the demo's results; plain text if the output is not a terminal."""

import sys
from collections.abc import Mapping, Sequence

from rich.console import Console
from rich.table import Table

from tools.demo_report import Count, Row


def new_console() -> Console:
    """Return the console of the demo; without a terminal it is wide enough for a whole row."""
    width = None if sys.stdout.isatty() else 160
    return Console(highlight=False, markup=False, soft_wrap=True, width=width)


def line_of(row: Row) -> str:
    """Format the row as one line of the progress."""
    widths = (29, 7, 16, 11, 10, 0)
    return "".join(cell.ljust(width) for cell, width in zip(row.cells, widths, strict=True)).rstrip()


def table_of(rows: Sequence[Row]) -> Table:
    """Return the rows as a table."""
    table = Table("object", "found by", "tick", "run", "status", "summary", box=None, pad_edge=False)
    styles = {"SUCCESS": "green", "FAILURE": "red", "SKIPPED": "dim"}
    for row in rows:
        table.add_row(*row.cells, style=styles.get(row.status))
    return table


def table_of_counts(counted: Sequence[Count]) -> Table:
    """Return the counts as a table."""
    table = Table("", box=None, pad_edge=False)
    table.add_column("expected", justify="right")
    table.add_column("seen", justify="right")
    for one in counted:
        differs = one.expected != one.seen
        table.add_row(one.what, str(one.expected), str(one.seen), style="bold red" if differs else None)
    return table


def show(console: Console, rows: Sequence[Row], rounds: Mapping[str, Sequence[Count]]) -> None:
    """Print all results.

    Args:
        console: to print on.
        rows: one for each upload.
        rounds: counts by title.
    """
    console.print()
    console.print(table_of(rows))
    for title, counted in rounds.items():
        console.print(f"\n{title}", style="bold")
        console.print(table_of_counts(counted))
