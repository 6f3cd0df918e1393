"""Writes docs/decisions/index.md from the decisions beside it: `python -m tools.decisions`."""

import re
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).resolve().parents[1] / "docs" / "decisions"
INDEX = FOLDER / "index.md"

AREAS = (
    "Protocol and storage",
    "Sensors",
    "Launching and targets",
    "Deployment",
    "Permissions",
    "Operations",
    "Console",
    "Testing and tools",
)

HEAD = """\
# Decisions

Why things are the way they are: one page per decision, with its context, the options, the choice, and how to undo it.
A decision is never rewritten. When a later one replaces it, its status names the successor.

To record a decision, add `docs/decisions/NNNN-imperative-title.md` with the next number and the headings of the pages
below, and run `python -m tools.decisions`, which writes this index.
"""


@dataclass(frozen=True, slots=True)
class Entry:
    """What the index shows of a decision."""

    file: str
    title: str
    status: str
    date: str
    area: str


def entries() -> list[Entry]:
    """Read all decisions, in the order of their numbers.

    Raises:
        ValueError: a page lacks its title, status, date or area.
    """
    return [entry(path) for path in sorted(FOLDER.glob("[0-9]*.md"))]


def entry(path: Path) -> Entry:
    """Read what the index shows of a page.

    Raises:
        ValueError: the page lacks its title, status, date or area.
    """
    found = re.match(
        r"# (?P<title>\d+\. .+)\n\n- Status: (?P<status>.+)\n- Date: (?P<date>\d{4}-\d\d-\d\d)\n- Area: (?P<area>.+)\n\n",
        path.read_text(),
    )
    if found is None or found["area"] not in AREAS:
        raise ValueError(
            f"Cannot read the head of {path.name}. Begin it with title, status, date and area as in 0001."
        )
    return Entry(path.name, found["title"], found["status"], found["date"], found["area"])


def render() -> str:
    """Build the index: a table for each area."""
    lines, found = [HEAD], entries()
    for area in AREAS:
        lines += [f"## {area}", "", "| decision | date | status |", "| --- | --- | --- |"]
        lines += [
            f"| [{each.title}]({each.file}) | {each.date} | {each.status} |"
            for each in found
            if each.area == area
        ]
        lines.append("")
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    INDEX.write_text(render())
