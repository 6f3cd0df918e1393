"""Commands on ticks: list, show, export, and drop."""

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from treadle.cli.options import limit_option, shown_status, statuses_option
from treadle.cli.output import echo, echo_json, echo_lines, json_option, print_fields, table, when
from treadle.cli.recorded import range_options, recorded_ticks
from treadle.cli.sensors import echo_asset_event, echo_partitions, echo_problems
from treadle.cli.stack import by_option, caller_name, deployed, stack_option
from treadle.cli.times import TIME, millis
from treadle.definitions.bounds import counted
from treadle.definitions.status import TickStatus
from treadle.model.ticks import TickTrouble
from treadle.operate.masks import DEFAULT_MASKS, Masks

if TYPE_CHECKING:
    from collections.abc import Mapping

    from treadle.model.runs import Run
    from treadle.model.ticks import Tick, TickSummary
    from treadle.operate.ticks import TickHistory


_STATES: "Mapping[str, TickStatus | TickTrouble]" = {
    state.value: state for states in (TickStatus, TickTrouble) for state in states
}


@click.group()
def tick() -> None:
    """List, show and export the evaluations of sensors, and drop held requests."""


@tick.command("list")
@click.argument("sensor")
@stack_option
@statuses_option(
    [*TickStatus, *TickTrouble], "Only ticks with this status, or with held, refused or rejected requests"
)
@click.option("--since", metavar="TIME", type=TIME, help="Only ticks since then, such as 2h for 2 hours ago.")
@click.option("--at", metavar="TIME", type=TIME, help="Only ticks up to then, such as 2026-11-25T06:00:00Z.")
@limit_option(10_000)
@json_option
def list_ticks(
    sensor: str,
    stack: str,
    statuses: tuple[str, ...],
    since: datetime | None,
    at: datetime | None,
    limit: int,
    as_json: bool,
) -> None:
    """List a sensor's ticks, newest first, and its problems. Consecutive skips are one line."""
    from treadle.operate.overview import deployed_sensor
    from treadle.operate.views import outline_json

    wanted = {_STATES[each] for each in statuses} or None
    with deployed(stack) as parts:
        deployed_sensor(parts.deployment, sensor)
        found = _found(parts.ticks, sensor, wanted, since, at, limit)
        view = None if as_json else parts.overview.sensor(sensor)
    if view is None:
        echo_json([outline_json(each) for each in found])
        return
    columns = ("TICK", "STATUS", "TOOK", "RUNS", "TAKEN", "TRIGGER", "REASON")
    nothing = "no matching ticks" if view.last_tick else "no ticks yet"
    table(columns, [_row(each) for each in found], f"Sensor {sensor} has {nothing}.")
    echo_problems(view)


@tick.command()
@click.argument("sensor")
@click.argument("tick_id")
@stack_option
@json_option
def show(sensor: str, tick_id: str, stack: str, as_json: bool) -> None:
    """Show a tick in full: times, requests and their runs, skipped run keys, log, and error with its stack."""
    from treadle.operate.views import run_json, tick_json

    with deployed(stack) as parts:
        found = parts.ticks.get(sensor, tick_id)
        runs = parts.ticks.runs(found)
    if as_json:
        echo_json({**tick_json(found), "runs": [run_json(run) for run in runs]})
        return
    _print_tick(found, {run.run_id: run for run in runs})


@tick.command()
@click.argument("sensor")
@click.argument("tick_id")
@stack_option
@click.option("--reason", metavar="TEXT", default="", help="The reason, which is recorded with the tick.")
@by_option
@json_option
def drop(sensor: str, tick_id: str, stack: str, reason: str, by: str | None, as_json: bool) -> None:
    """Drop the held requests of a tick; runs that it has started continue.

    The requests that have not been started count as refused. The operator, the time and the reason are recorded with
    the tick. RECONCILE applies the drop within about a minute.
    """
    from treadle.operate.views import tick_json

    with deployed(stack) as parts:
        found = parts.drops.drop(sensor, tick_id, caller_name(by), reason)
    if as_json:
        echo_json(tick_json(found))
    else:
        echo(found.held or "")


@tick.command()
@click.argument("sensor")
@stack_option
@click.option(
    "--to",
    "folder",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False),
    required=True,
    help="The folder; the file is SENSOR.jsonl in it.",
)
@range_options
@click.option(
    "--mask",
    "masks",
    metavar="PATTERN",
    multiple=True,
    help=f"Also hide fields whose names match this; may be repeated.  [always: {', '.join(DEFAULT_MASKS)}]",
)
@json_option
def export(
    sensor: str,
    stack: str,
    folder: Path,
    since: datetime | None,
    until: datetime | None,
    masks: tuple[str, ...],
    as_json: bool,
) -> None:
    """Write recorded ticks of a sensor to a file, for `treadle rehearse --from DIR`.

    In run configs, tags, cursors, events, metadata and the function's variables, values of fields are hidden whose names
    match a pattern; `-`, `_` and capitals make no difference. A tick whose cursor or event has a hidden field cannot be
    rehearsed from the file. Logs and messages are not written. Names of objects and run keys are.
    """
    from treadle.adapters.tick_files import tick_file, write_ticks

    with deployed(stack) as parts:
        source, ticks = recorded_ticks(parts, sensor, since, until, Masks((*DEFAULT_MASKS, *masks)))
        number = write_ticks(folder, source, ticks)
    path = tick_file(folder, sensor)
    if as_json:
        echo_json({"sensor": sensor, "ticks": number, "file": str(path)})
    else:
        echo(f"Wrote {counted(number, 'tick')} of sensor {sensor} to {path}.")


def _found(
    ticks: "TickHistory",
    sensor: str,
    wanted: "set[TickStatus | TickTrouble] | None",
    since: datetime | None,
    at: datetime | None,
    limit: int,
) -> "list[TickSummary]":
    """Return the ticks between two times, up to the limit."""
    from treadle.engine.identity import timestamp
    from treadle.operate.paging import each_page

    found: list[TickSummary] = []
    oldest = millis(since) if since else 0
    newest, size = timestamp(millis(at) + 1) if at else None, min(limit, 200)
    for page in each_page(
        lambda before: ticks.page(sensor, before=before, limit=size, statuses=wanted), newest
    ):
        found += [each for each in page.ticks if (each.last_time or each.time) >= oldest]
        if page.next is None or page.next < timestamp(oldest) or len(found) >= limit:
            break
    return found[:limit]


def _row(tick: "TickSummary") -> tuple[object, ...]:
    from treadle.operate.explanation import error_summary

    status = f"{tick.status} x{tick.skips}" if tick.skips > 1 else (tick.trouble or tick.status).value
    counts = tick.dispatched
    runs = "pending" if tick.is_pending else counts.started if counts else None
    failed = error_summary(tick.error_type, tick.error_message or "") if tick.error_type else None
    reason = failed or tick.held or _lost(tick) or tick.reason
    took = None if tick.skips else f"{(tick.ended_at - tick.started_at) / 1000:g} s"
    return (tick.tick_id, status, took, runs, counts and counts.existing, tick.trigger, reason)


def _lost(tick: "TickSummary") -> str | None:
    """Describe how many of its requests were lost; `tick show` has the reasons."""
    refused = tick.dispatched.refused if tick.dispatched else 0
    parts = [f"{refused} refused" if refused else "", f"{tick.rejected} rejected" if tick.rejected else ""]
    text = ", ".join(part for part in parts if part)
    return f"{text}: {tick.reason}" if text and tick.reason else text or None


def _status(tick: "Tick") -> str:
    return f"{tick.status}, {tick.trouble}" if tick.trouble else tick.status.value


def _without_run(tick: "Tick") -> str:
    """Return the status of a request without a run."""
    if tick.dispatched is not None:
        return "refused" if tick.dispatched.refused else "no run"
    return "held" if tick.held_requests else "no run yet"


def _print_tick(tick: "Tick", runs: "dict[str, Run]") -> None:
    from treadle.definitions.runs import assets_of
    from treadle.operate.views import plain_json

    error = tick.error
    print_fields(
        {
            "tick": tick.tick_id,
            "sensor": tick.sensor,
            "status": f"{tick.status} x{tick.skips}" if tick.skips > 1 else _status(tick),
            "kind": tick.kind,
            "due": when(tick.time),
            "last due": when(tick.last_time) if tick.last_time else None,
            "began": when(tick.started_at),
            "ended": when(tick.ended_at),
            "trigger": tick.trigger,
            "attempts": tick.attempts if tick.attempts > 1 else None,
            "reason": tick.reason,
            "error": error and error.message,
            "paused": tick.paused,
            "held": tick.held,
            "dispatched": "still to come" if tick.is_to_be_dispatched else tick.dispatched,
            "keys taken already": ", ".join(tick.existing_keys),
            "cursor": tick.cursor,
        }
    )
    if error and error.stack:
        echo_lines([error.stack])
    rows: list[tuple[object, ...]] = []
    selects = any(assets_of(each.tags) is not None for each in tick.requests)
    for each in tick.requests:
        run, assets = runs.get(each.run_id), assets_of(each.tags)
        status = shown_status(run) if run else _without_run(tick)
        selected = None if assets is None else ", ".join(assets) or "none"
        rows.append((each.run_id, each.job, each.run_key, status, *((selected,) if selects else ())))
    if rows:
        click.echo()
        table(("RUN", "JOB", "RUN KEY", "STATUS", *(("ASSETS",) if selects else ())), rows, "")
    for rejected in tick.rejected:
        echo(f"rejected {rejected.run_key}: {rejected.reason}")
    for refusal in tick.refusals:
        echo(f"refused: {refusal}")
    for made in tick.asset_events:
        echo_asset_event(made.kind, made.asset_key.to_escaped_user_string(), made.partition)
    for partitions in tick.dynamic_partitions_request_results:
        echo_partitions(plain_json(partitions))
    if tick.dropped:
        echo(f"dropped by {tick.dropped.by} at {when(tick.dropped.at)}: {tick.dropped.reason}")
    if tick.log:
        click.echo("\nlog:")
        echo_lines(tick.log)
