"""The options that commands on many of a kind share: which statuses, and how many at most."""

from collections.abc import Callable, Iterable
from enum import StrEnum
from typing import Any, TypeVar

import click

_Command = TypeVar("_Command", bound=Callable[..., Any])


def statuses_option(
    known: Iterable[StrEnum], words: str, default: Iterable[str] | None = None
) -> Callable[[_Command], _Command]:
    """`--status`, which may be repeated; the command takes `statuses`.

    Args:
        known: all that there are.
        words: what it does, for the help.
        default: what holds where it is not given; None for no restriction.
    """
    return click.option(
        "--status",
        "statuses",
        multiple=True,
        type=click.Choice([each.value for each in known]),
        default=None if default is None else sorted(default),
        show_default=default is not None,
        help=f"{words}; may be repeated.",
    )


def limit_option(most: int | None, default: int = 50, of: str = "") -> Callable[[_Command], _Command]:
    """`--max`; the command takes `limit`.

    Args:
        most: the highest that may be given; None for no bound.
        default: what holds where it is not given.
        of: what is counted, for the help.
    """
    return click.option(
        "--max",
        "limit",
        metavar="N",
        type=click.IntRange(1, most),
        default=default,
        show_default=True,
        help=f"How many {of} at most." if of else "How many at most.",
    )
