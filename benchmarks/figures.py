"""What a benchmark found, beside its goal."""

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
"""Names the file to which each benchmark adds its figures, a line of JSON each, when all are run together."""


@dataclass(frozen=True, slots=True)
class Figure:
    """One figure.

    Attributes:
        name: what was measured, in words.
        value: how much.
        unit: of what.
        goal: how much there should be; None for one that is only shown.
        at_most: whether the goal is an upper bound.
    """

    name: str
    value: float
    unit: str
    goal: float | None = None
    at_most: bool = True

    @property
    def is_met(self) -> bool:
        """Whether it is as good as it should be."""
        if self.goal is None:
            return True
        return self.value <= self.goal if self.at_most else self.value >= self.goal

    @property
    def cells(self) -> tuple[str, str, str, str]:
        """Its name, its value, its goal and how it stands, as text."""
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
    """Three digits, or all of a larger number's."""
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def ratio(over: Sequence[float], under: Sequence[float]) -> float:
    """How many times the one is the other: the median of the rounds, in which both were measured by turns.

    Whatever else the machine does falls on both of a round; the best of each would compare its quietest moments.
    """
    return statistics.median(one / other for one, other in zip(over, under, strict=True))


def tell(title: str, figures: Sequence[Figure]) -> int:
    """Print figures and collect them; 1 if a goal is missed.

    Args:
        title: of the table.
        figures: in the order in which they are shown.
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


def seconds_told(title: str, first: float, taken: Sequence[float], goal: float) -> int:
    """Tell of times taken one after another; 1 if the median misses its goal.

    Args:
        title: what was timed.
        first: the first one, functions cold.
        taken: the others.
        goal: for the median.
    """
    ordered = sorted(taken)
    return tell(
        title,
        [
            Figure("first, functions cold if the cloud is fresh", first, "s"),
            Figure(f"median of {len(taken)}", statistics.median(taken), "s", goal),
            Figure(f"p95 of {len(taken)}", ordered[math.ceil(0.95 * len(ordered)) - 1], "s"),
            Figure(f"longest of {len(taken)}", ordered[-1], "s"),
        ],
    )
