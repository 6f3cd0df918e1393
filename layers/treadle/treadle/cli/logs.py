"""The command that shows the log of a sensor's function."""

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import click

from treadle.cli.output import plain
from treadle.cli.stack import deployed, stack_option
from treadle.cli.times import TIME, millis

if TYPE_CHECKING:
    from collections.abc import Iterable

    from treadle.model.deployment import LogLine

_FIELDS = ("decision", "subject", "tick_id", "trigger")


@click.command()
@click.argument("sensor")
@stack_option
@click.option("--since", metavar="TIME", type=TIME, help="Such as 2h for 2 hours ago.  [default: 10m]")
@click.option("--until", metavar="TIME", type=TIME, help="As --since.  [default: now]")
@click.option("--follow", is_flag=True, help="Print new lines until interrupted.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON, one object per line.")
def logs(
    sensor: str, stack: str, since: datetime | None, until: datetime | None, follow: bool, as_json: bool
) -> None:
    """Show the log of a sensor's function, oldest first, without metrics."""
    from treadle.adapters.system import SystemClock
    from treadle.operate.log_tail import follow as followed

    if follow and until is not None:
        raise click.UsageError("Give --follow or --until.")
    begin = millis(since or datetime.now(UTC) - timedelta(minutes=10))
    with deployed(stack) as parts, contextlib.suppress(KeyboardInterrupt):
        lines: Iterable[LogLine] = (
            followed(parts.deployment, sensor, begin, SystemClock(), time.sleep)
            if follow
            else parts.deployment.logs(sensor, begin, millis(until) if until else None)
        )
        for line in lines:
            _print_line(line, as_json)


def _print_line(line: "LogLine", as_json: bool) -> None:
    record = _parsed(line.text)
    if "_aws" in record:
        return
    if as_json:
        click.echo(json.dumps({"at": line.at, "line_id": line.line_id, "text": line.text}))
        return
    at = f"{datetime.fromtimestamp(line.at / 1000, UTC):%Y-%m-%dT%H:%M:%S.%f}"[:-3] + "Z"
    if "message" not in record:
        click.echo(f"{at} {plain(line.text)}")
        return
    more = [f"{name}={record[name]}" for name in _FIELDS if record.get(name)]
    click.echo(plain(f"{at} {record.get('level', '')} {record['message']} {' '.join(more)}", 2_000).rstrip())


def _parsed(text: str) -> dict[str, Any]:
    """Parse a JSON line, as Powertools writes it; return {} for any other."""
    try:
        record = json.loads(text)
    except ValueError:
        return {}
    return record if isinstance(record, dict) else {}
