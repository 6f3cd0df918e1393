"""The recorded ticks that commands work on."""

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import click

from treadle.cli.options import Command
from treadle.cli.times import TIME, millis

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.adapters.tick_files import TickSource
    from treadle.bootstrap.operator import OperatorParts
    from treadle.engine.rehearsal.recorded import RecordedTick
    from treadle.operate.masks import Masks

DAY = timedelta(days=1)


def range_options(command: Command) -> Command:
    """Add `--since` and `--until`; the command takes both, and None for what is not given."""
    since = click.option(
        "--since",
        metavar="TIME",
        type=TIME,
        help="Only ticks since then, such as 2026-11-25T06:00:00Z, or 2h for 2 hours ago.  [default: a day ago]",
    )
    until = click.option("--until", metavar="TIME", type=TIME, help="As --since.  [default: now]")
    return since(until(command))


def recorded_ticks(
    parts: "OperatorParts", sensor: str, since: datetime | None, until: datetime | None, masks: "Masks"
) -> "tuple[TickSource, Iterator[RecordedTick]]":
    """Return the recorded ticks of a sensor in a stack, oldest first, and where they are from.

    Raises:
        CommandRefusedError: if the stack has no such sensor.
        StoreError: if a store did not answer, also while iterating.
    """
    from treadle.adapters.tick_files import TickSource
    from treadle.operate.overview import deployed_sensor

    found = deployed_sensor(parts.deployment, sensor)
    source = TickSource(sensor, parts.recorded.namespace, found.settings, masks)
    end = until or datetime.now(UTC)
    return source, parts.recorded.of(found, millis(since or end - DAY), millis(end))
