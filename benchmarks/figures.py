"""The figures of a benchmark and their goals."""

import json
import math
import os
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

COLLECTED = "TREADLE_FIGURES"
"""The environment variable with the path of the file to which each benchmark appends its figures, one JSON line each."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: what was measured.
        value: the value.
        unit: its unit.
        goal: the goal; None if there is none.
        at_most: whether the goal is an upper bound.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_most: bool = True

    @property
    def is_met(self) -> bool:
        """Whether the goal is met."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """The name, the value, the goal and whether it is met, as text."""
        if self.goal is None:
            return (self.name, f"{rounded(self.value)} {self.unit}", "", "")
        bound = "≤" if self.at_most else "≥"
        return (
            self.name,
            f"{rounded(self.value)} {self.unit}",
            f"{bound} {self.goal:,g}",
            "met" if self.is_met else "MISSED",
        )


def rounded(value: float) -> str:
    """Format a number with three digits, or with all of a larger one's."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """Return the median ratio over the rounds, in each of which both were measured in turn.

    Other load of the machine affects both values of a round; the best of each would be from different moments.
    """
    return statistics.median(one / other for one, other in zip(over, under, strict=True))


def report_figures(title: str, figures: Sequence[Figure]) -> int:
    """Print and collect figures; return 1 if a goal is missed.

    Args:
        title: of the table.
        figures: the figures, in order.
    """
    table = Table()
    table.add_column("figure")
    for column in ("value", "goal"):
        table.add_column(column, justify="right", no_wrap=True)
    table.add_column("")
    for figure in figures:
        table.add_row(*figure.cells, style=None if figure.is_met else "bold red")
    print(title)
    Console(width=120).print(table)
    if COLLECTED in os.environ:
        with Path(os.environ[COLLECTED]).open("a") as file:
            file.writelines(f"{json.dumps(asdict(figure) | {'title': title})}\n" for figure in figures)
    return 0 if all(figure.is_met for figure in figures) else 1


def report_seconds(title: str, first: float, taken: Sequence[float], goal: float) -> int:
    """Print and collect figures of durations; return 1 if the median misses its goal.

    Args:
        title: what was measured.
        first: the first duration, with cold functions.
        taken: the other durations.
        goal: for the median.
    """
    ordered = sorted(taken)
    return report_figures(
        title,
        [
            Figure("first, functions cold if the cloud is fresh", first, "s"),
            Figure(f"median of {len(taken)}", statistics.median(taken), "s", goal),
            Figure(f"p95 of {len(taken)}", ordered[math.ceil(0.95 * len(ordered)) - 1], "s"),
            Figure(f"longest of {len(taken)}", ordered[-1], "s"),
        ],
    )
