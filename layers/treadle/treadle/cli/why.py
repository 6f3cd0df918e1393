"""The command that explains why something did or did not run."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from treadle.cli.output import echo_json, json_option, plain
from treadle.cli.stack import deployed, stack_option
from treadle.cli.times import TIME, millis

if TYPE_CHECKING:
    from treadle.operate.explanation import Step

_SHOWN = 3_000
"""Maximum length of a summary, which may contain a command."""

_BLANK = " " * len("2026-11-28T02:25:00.000Z")


@click.command()
@click.argument("sensor")
@stack_option
@click.option("--key", metavar="KEY", help="A run key of the sensor.")
@click.option("--object", "location", metavar="S3-URI", help="An object, as s3://bucket/key.")
@click.option("--event", "event_id", metavar="ID", help="An event, message, record or request, by its id.")
@click.option("--run", "run_id", metavar="RUN_ID", help="A run that the sensor requested.")
@click.option("--at", metavar="TIME", type=TIME, help="A time, such as 2026-11-25T06:00:00Z or 2h.")
@json_option
def why(
    sensor: str,
    stack: str,
    key: str | None,
    location: str | None,
    event_id: str | None,
    run_id: str | None,
    at: datetime | None,
    as_json: bool,
) -> None:
    """Explain why something of SENSOR did or did not run: what happened, step by step, and where it stopped.

    Give one of: a run key, an object, an event, a run, a time. Nothing is changed.
    """
    from treadle.operate.explain import Subject
    from treadle.operate.views import plain_json

    if sum(each is not None for each in (key, location, event_id, run_id, at)) != 1:
        raise click.UsageError("Give one of --key, --object, --event, --run and --at.")
    subject = Subject(key, location, run_id, None if at is None else millis(at), event_id)
    with deployed(stack) as parts:
        explanation = parts.why.explain(sensor, subject)
    if as_json:
        echo_json(plain_json(explanation))
        return
    click.echo(plain(explanation.summary, _SHOWN))
    click.echo("")
    width = max((len(step.kind) for step in explanation.steps), default=0)
    for step in explanation.steps:
        click.echo(_line(step, width))


def _line(step: "Step", width: int) -> str:
    at = _BLANK if step.at is None else _text(step.at)
    mark = " " if step.ok else "!"
    return plain(f"{mark} {at}  {step.kind:<{width}}  {step.detail}", _SHOWN)


def _text(time: int) -> str:
    shown = datetime.fromtimestamp(time / 1000, UTC)
    return f"{shown:%Y-%m-%dT%H:%M:%S}.{time % 1000:03d}Z"
