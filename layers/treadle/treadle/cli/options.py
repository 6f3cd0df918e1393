"""Options that several commands share, and placeholders for unreadable records."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from treadle.model.records import UNREADABLE

if TYPE_CHECKING:
    from treadle.model.runs import Run

Command = TypeVar("Command", bound=Callable[..., Any])

by_root = click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The project's folder.  [default: the nearest one with a template.yaml]",
)


def statuses_option(
    known: Iterable[StrEnum], description: str, default: Iterable[str] | None = None
) -> Callable[[Command], Command]:
    """Add `--status`, which may be repeated; the command takes `statuses`.

    Args:
        known: all statuses.
        description: its description, for the help.
        default: the statuses if it is not given; None for no restriction.
    """
    return click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice([each.value for each in known]),
        default=None if default is None else sorted(default),
        show_default=default is not None,
        help=f"{description}; may be repeated.",
    )


def shown_status(run: "Run") -> str:
    """Return a run's status, and whether a retry follows; for an unreadable record, the reason."""
    cause = run.failure.cause if run.failure else ""
    status = run.status.value + (" (will retry)" if run.retry_at is not None else "")
    return cause if cause.startswith(UNREADABLE) else status


def limit_option(most: int | None, default: int = 50, of: str = "") -> Callable[[Command], Command]:
    """Add `--max`; the command takes `limit`.

    Args:
        most: the maximum value; None for no bound.
        default: the value if it is not given.
        of: what is counted, for the help.
    """
    return click.option(
        "--max",
        "limit",
        metavar="N",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        help=f"Maximum number of {of}." if of else "Maximum number.",
    )
