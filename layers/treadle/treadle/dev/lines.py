"""Lines for the terminal: what the engine decides, what functions log, and what does not load."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_PROBLEMS = {"ERROR", "CRITICAL"}


@dataclass(frozen=True, slots=True)
class Line:
    """A line for the terminal.

    Attributes:
        subject: the sensor or job.
        text: one line, or several.
        is_problem: whether something failed.
    """

    subject: str
    text: str
    is_problem: bool = False


def logged(subject: str, text: str) -> Line | None:
    """Return what a line of a function's log says; None for one that is not for people, such as a metric.

    Args:
        subject: the sensor.
        text: JSON as the library writes it, or any text that the author's code prints.
    """
    try:
        found = json.loads(text)
    except ValueError:
        return Line(subject, text)
    if not isinstance(found, Mapping):
        return Line(subject, text)
    return _of_fields(subject, text, found)


def _of_fields(subject: str, text: str, found: Mapping[str, Any]) -> Line | None:
    if "_aws" in found:
        return None
    if "alert" in found:
        reason = f": {found['reason']}" if found.get("reason") else ""
        return Line(subject, f"ALERT for {found.get('channel')}: {found['alert']}{reason}", is_problem=True)
    if "message" not in found or "level" not in found:
        return Line(subject, text)
    decision = f"{found['decision']}: " if found.get("decision") else ""
    return Line(subject, f"{decision}{found['message']}", found["level"] in _PROBLEMS)
