"""The command that rehearses recorded ticks with the project's code."""

from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.cli.new_sensor import find_root
from treadle.cli.options import by_root, limit_option
from treadle.cli.output import EXIT_UNHEALTHY, echo, echo_json, exit_on_error, json_option, scaffold_errors
from treadle.cli.recorded import range_options, recorded_ticks
from treadle.cli.stack import deployed, source_options
from treadle.cli.times import millis
from treadle.definitions.bounds import counted
from treadle.operate.masks import Masks
from treadle.operate.rehearsal import (
    UNREHEARSED,
    Change,
    Difference,
    DifferenceKind,
    RehearsalReport,
    RehearsedTick,
    compared,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from treadle.adapters.tick_files import TickSource
    from treadle.dev.cassettes import Cassettes
    from treadle.engine.assembly import Stores
    from treadle.engine.rehearsal.recorded import RecordedTick

_KINDS = [*(each.value for each in DifferenceKind), UNREHEARSED]
_ABSENT = "-"


@click.command()
@click.argument("sensor")
@source_options
@range_options
@click.option(
    "--fail-on",
    metavar="KIND,KIND",
    default="",
    help=f"Exit with status 1 if one of these occurs: {', '.join(_KINDS)}.",
)
@click.option(
    "--cassettes",
    "recordings",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    help="With --from: answer the code's HTTP requests from the cassettes of vcrpy in DIR.",
)
@click.option(
    "--record",
    is_flag=True,
    help="With --cassettes: send the requests of ticks without cassette, and record them.",
)
@limit_option(None, of="ticks that are shown; --json has all")
@by_root
@json_option
def rehearse(
    *,
    sensor: str,
    stack: str,
    folder: Path | None,
    since: datetime | None,
    until: datetime | None,
    fail_on: str,
    recordings: Path | None,
    record: bool,
    limit: int,
    root: Path | None,
    as_json: bool,
) -> None:
    """Evaluate recorded ticks again with the project's code, and show what would differ.

    Each tick is evaluated with its recorded cursor, event and time, and its requests are compared with the recorded
    ones. Nothing is committed, no job is started and no alert is sent; what the code itself calls is called. A tick
    whose input is not recorded is listed with the reason.
    """
    kinds = _checked_kinds(fail_on)
    with scaffold_errors():
        project = root.resolve() if root else find_root(Path.cwd())
    if recordings and folder is None:
        raise click.UsageError("--cassettes needs --from, as a stack is read by HTTP, too.")
    if record and recordings is None:
        raise click.UsageError("--record needs --cassettes.")
    with _source(sensor, stack, folder, since, until) as found:
        report = _report(project, *found, _cassettes(recordings, record))
    failed = report.found(kinds)
    if as_json:
        echo_json({"sensor": sensor, **_json(report), "failed_on": failed})
    else:
        _print(report, limit, failed)
    if failed:
        raise SystemExit(EXIT_UNHEALTHY)


@contextmanager
def _source(
    sensor: str, stack: str, folder: Path | None, since: datetime | None, until: datetime | None
) -> "Iterator[tuple[TickSource, Iterator[RecordedTick], Stores | None]]":
    if folder is None:
        with deployed(stack) as parts:
            yield *recorded_ticks(parts, sensor, since, until, Masks()), parts.recorded.stores
        return
    from treadle.adapters.tick_files import read_ticks

    first, last = millis(since) if since else 0, millis(until) if until else float("inf")
    with exit_on_error():
        source, ticks = read_ticks(folder, sensor)
        yield source, (each for each in ticks if first <= each.tick.time <= last), None


def _cassettes(folder: Path | None, records: bool) -> "Cassettes | None":
    if folder is None:
        return None
    from treadle.dev.cassettes import Cassettes

    with exit_on_error():
        return Cassettes(folder, records=records)


def _report(
    project: Path,
    source: "TickSource",
    ticks: "Iterator[RecordedTick]",
    stores: "Stores | None",
    cassettes: "Cassettes | None",
) -> RehearsalReport:
    from treadle.cli.template_edit import load
    from treadle.dev.rehearsing import rehearsed

    report = RehearsalReport()
    for each in rehearsed(project, load, source, ticks, stores, cassettes):
        report.add(compared(each, source.masks))
    return report


def _checked_kinds(text: str) -> list[str]:
    kinds = [each.strip() for each in text.split(",") if each.strip()]
    unknown = [each for each in kinds if each not in _KINDS]
    if unknown:
        msg = f"{', '.join(unknown)} is no kind of difference: use {', '.join(_KINDS)}."
        raise click.BadParameter(msg, param_hint="--fail-on")
    return kinds


def _json(report: RehearsalReport) -> dict[str, Any]:
    from treadle.operate.views import plain_json

    return {
        "ticks": {
            "same": report.same,
            "different": report.different,
            UNREHEARSED: report.unrehearsed,
        },
        "requests": {"same": report.same_requests},
        "differences": report.counts,
        "took_ms": {"recorded": report.took_before, "rehearsed": report.took},
        "found": [plain_json(each) for each in report.ticks],
    }


def _print(report: RehearsalReport, limit: int, failed: list[str]) -> None:
    for each in report.ticks[:limit]:
        _print_tick(each)
    if len(report.ticks) > limit:
        echo(f"{counted(len(report.ticks) - limit, 'more tick')} not shown: use --max or --json.")
    if report.ticks:
        click.echo()
    total = report.same + len(report.ticks)
    echo(
        f"{counted(total, 'tick')}: {report.same} the same, {report.different} different, {report.unrehearsed} cannot "
        "be rehearsed."
    )
    counts = ", ".join(f"{number} {kind}" for kind, number in report.counts.items() if number)
    echo(f"Requests: {report.same_requests} the same. Differences: {counts or 'none'}.")
    took, before = (f"{each / 1000:g} s" for each in (report.took, report.took_before))
    echo(f"The evaluations took {took}; when they were recorded, {before}.")
    if failed:
        echo(f"Failed on: {', '.join(failed)}.")


def _print_tick(tick: RehearsedTick) -> None:
    trigger = f"  {tick.trigger}" if tick.trigger else ""
    echo(f"{tick.tick_id}  {tick.status}{trigger}")
    if tick.problem is not None:
        echo(f"  cannot be rehearsed: {tick.problem}")
    for each in tick.differences:
        echo(f"  {_shown(each)}")
        if each.kind is DifferenceKind.CHANGED:
            for change in each.changes:
                echo(f"    {_shown_change(change)}")


def _shown(difference: Difference) -> str:
    parts = [f"{difference.kind.value:<9}"]
    if difference.job is not None:
        parts.append(f"{difference.job}  {difference.run_key or 'without a run key'}")
    if difference.kind is DifferenceKind.CURSOR:
        [change] = difference.changes
        parts.append(f"{change.before or _ABSENT} -> {change.after or _ABSENT}")
    if difference.reason is not None:
        parts.append(f": {difference.reason}" if difference.job else difference.reason)
    return " ".join(parts)


def _shown_change(change: Change) -> str:
    return f"{change.field}: {change.before or _ABSENT} -> {change.after or _ABSENT}"
