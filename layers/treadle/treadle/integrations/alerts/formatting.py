"""The text of alerts: truncated to each service's limit, and escaped for its medium.

Names, causes and all other values of a run are untrusted input.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime

from treadle.adapters.targets.links import console_links
from treadle.definitions.run_status_contexts import RunFailureSensorContext

TextFunction = Callable[[RunFailureSensorContext], str]
"""Returns a text of an alert, given the failed run's context."""

MAX_STEPS = 10
"""Maximum number of failed steps listed in an alert."""


@dataclass(frozen=True, slots=True)
class Link:
    """A link to a run.

    Attributes:
        label: as text.
        url: the address.
    """

    label: str
    url: str


def default_subject(context: RunFailureSensorContext) -> str:
    """Return the default subject."""
    return f"Run failed: {context.dagster_run.job_name}"


def run_link(context: RunFailureSensorContext, webserver_base_url: str | None) -> Link | None:
    """Return a link to the run: under the given base URL, or else in the AWS console.

    Args:
        context: of the failed run.
        webserver_base_url: the base of `/runs/<run id>`.

    Returns:
        None if there is no base URL, and the run's execution has no address in the AWS console.
    """
    run = context.dagster_run
    if webserver_base_url:
        return Link("View run", f"{webserver_base_url.rstrip('/')}/runs/{run.run_id}")
    found = console_links(run.external_id)
    return Link("View in the AWS console", found[0].url) if found else None


def event_time(context: RunFailureSensorContext) -> datetime:
    """Return when the run failed, the same in a redelivery."""
    return datetime.fromtimestamp(context.failure_event.timestamp, UTC)


def event_name(context: RunFailureSensorContext) -> str:
    """Return a unique name of this failure of the run, the same in a redelivery."""
    return f"{context.dagster_run.run_id}-{round(context.failure_event.timestamp * 1000)}"


def short_id(context: RunFailureSensorContext) -> str:
    """Return the first part of the run's id."""
    return context.dagster_run.run_id.split("-")[0]


def failed_steps(context: RunFailureSensorContext) -> list[str]:
    """Return the failed steps of the run, one per line, ten at most."""
    return [one_line(event.message, 500) for event in context.get_step_failure_events()[:MAX_STEPS]]


def clip(text: str, limit: int) -> str:
    """Truncate the text; characters that cannot be encoded as UTF-8 are replaced.

    Args:
        text: any.
        limit: in characters.
    """
    text = text.encode(errors="replace").decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clip_bytes(text: str, limit: int) -> str:
    """Truncate the text to a number of bytes in UTF-8.

    Args:
        text: any.
        limit: in bytes.
    """
    data = text.encode(errors="replace")
    if len(data) <= limit:
        return data.decode()
    return data[: limit - len("…".encode())].decode(errors="ignore") + "…"


def one_line(text: str, limit: int) -> str:
    """Return the text in one line, without control characters: for a subject, a title, a name.

    Args:
        text: any.
        limit: in characters.
    """
    printable = "".join(each if each.isprintable() else " " for each in text)
    return clip(" ".join(printable.split()), limit)


def escaped(text: str, signs: Mapping[str, str], limit: int) -> str:
    """Escape the text and truncate it, but never within a replacement.

    Args:
        text: any.
        signs: replacements by character.
        limit: in characters of the result.
    """
    found: list[str] = []
    size = 0
    for each in clip(text, limit):
        found.append(signs.get(each, each))
        size += len(found[-1])
        if size > limit:
            while size > limit - 1:
                size -= len(found.pop())
            return "".join([*found, "…"])
    return "".join(found)
