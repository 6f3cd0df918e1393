"""Commands on sensors: list, show, batches, start, stop, reset, release, preview, tick, cursor, replay."""

import functools
import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.cli.options import statuses_option
from treadle.cli.output import (
    EXIT_UNHEALTHY,
    FAILED,
    echo,
    echo_json,
    echo_lines,
    json_option,
    print_fields,
    table,
    when,
)
from treadle.cli.stack import by_option, caller_name, deployed, stack_option
from treadle.cli.times import TIME
from treadle.definitions.bounds import counted
from treadle.definitions.status import FINISHED_STATUSES, DagsterRunStatus
from treadle.model.records import UNREADABLE

if TYPE_CHECKING:
    from treadle.bootstrap.operator import OperatorParts
    from treadle.model.deployment import DeployedSensor
    from treadle.model.sensors import RecordedEdit, SensorState
    from treadle.operate.overview import SensorView
    from treadle.operate.withdrawals import Withdrawn

SHOWN_EDITS = 10
_MARKS = {"SUCCESS": "+", "SKIPPED": ".", "FAILURE": "!", "HELD": "H", "REFUSED": "R", "REJECTED": "X"}
_HEALTH = {
    "UNREADABLE": "not found",
    "REGISTRATION": "misregistered",
    "OWNERSHIP": "another project's",
    "LOOP": "held as a loop",
    "NOT_LOADING": "does not load",
    "FAILING": "failing",
    "LATE": "late",
    "BLOCKED": "blocked",
    "NO_EVENTS": "no events",
    "UNCHECKED": "not checked",
}

if_version_option = click.option(
    "--if-version",
    metavar="N",
    type=click.IntRange(min=0),
    help="Change nothing unless the sensor is still at this version, which `show` prints.",
)


def several(command: Callable[..., None]) -> Callable[..., None]:
    """Add names of sensors or `--all`, the stack, `--by`, and `--json` to a command."""
    names = click.argument("names", metavar="NAME...", nargs=-1)
    every = click.option(
        "--all", "every", is_flag=True, help="All sensors of the engine, of all its projects."
    )
    return names(stack_option(every(by_option(json_option(command)))))


@click.group()
def sensor() -> None:
    """List, show, start, stop, preview and tick sensors."""


@sensor.command("list")
@stack_option
@json_option
def list_sensors(stack: str, as_json: bool) -> None:
    """List the sensors with their status, and below them the problems and how to fix them.

    STATUS also names the problem: not found (its function or rule is missing or cannot be read), misregistered (its
    registry entry is inconsistent), another project's (its state is), held as a loop, does not load (its function), failing, late,
    blocked (by its stored state), no events (its rule is disabled), not checked (whether its function loads).
    LATELY has one sign for each of its last ticks, the newest first: + for a success, ! for a failure, . for
    consecutive skips; H if requests are held, R if some were refused, X if some were rejected.
    """
    from treadle.operate.views import sensor_json

    with deployed(stack) as parts:
        views = parts.overview.sensors()
        dead_letters = None if as_json else parts.redriver.count()
    if as_json:
        echo_json([sensor_json(each) for each in views])
        return
    columns = ("SENSOR", "KIND", "STATUS", "LAST TICK", "NEXT TICK", "LAG", "RUNS 24H", "FAILED", "LATELY")
    table(columns, [_row(each) for each in views], "No sensors are registered.")
    if any(each.problems for each in views):
        click.echo("")
    for each in views:
        echo_problems(each)
    if dead_letters:
        noun = "dead letter" if dead_letters == 1 else "dead letters"
        click.echo(f"\n! {dead_letters} {noun}: treadle dlq list")


@sensor.command()
@click.argument("name")
@stack_option
@json_option
def show(name: str, stack: str, as_json: bool) -> None:
    """Show the status of a sensor, and who changed it last."""
    with deployed(stack) as parts:
        view, edits = parts.overview.sensor(name), parts.sensors.edits(name, SHOWN_EDITS)
    if as_json:
        echo_json(_shown_json(view, edits))
        return
    last = view.last_tick
    print_fields(
        {
            "sensor": view.name,
            "kind": view.kind,
            "project": view.project,
            "description": view.description,
            "status": f"{view.status} (stored: {view.stored_status}, default: {view.default_status})",
            "paused": view.paused,
            "jobs": ", ".join(view.jobs) or "none",
            "endpoint": view.endpoint or None,
            "stream": view.stream or None,
            "interval": f"{view.interval_seconds} s" if view.interval_seconds else None,
            "hours": view.hours or None,
            "outside its hours until": when(view.outside_until) if view.outside_until else None,
            "last tick": last and f"{last.tick_id} {last.status}",
            "reason": last and (last.error_message or last.reason),
            "next tick": when(view.next_tick_at) if view.next_tick_at else None,
            "lag": None if view.lag_seconds is None else f"{view.lag_seconds:g} s",
            "failures": f"{view.failure_streak} in a row" if view.failure_streak else None,
            "backs off until": when(view.resume_at) if view.resume_at else None,
            "runs in 24 h": _run_counts(view),
            "cursor": view.cursor,
            "version": view.cursor_epoch,
            "function": view.function,
        }
    )
    echo_problems(view)
    if edits:
        click.echo()
        rows = [(when(each.at), each.by, each.action, each.before, each.after) for each in edits]
        table(("CHANGED", "BY", "WHAT", "FROM", "TO"), rows, "")


@sensor.command()
@click.argument("name")
@stack_option
@json_option
def batches(name: str, stack: str, as_json: bool) -> None:
    """List the open batches of a sensor: what waits for them, and when they are closed.

    First are those at which the function fails, then those with the oldest items; ten are shown. A batch is closed
    earlier if it is full.
    """
    from treadle.operate.views import plain_json

    with deployed(stack) as parts:
        _check(parts, name)
        found = parts.batches.of(name)
    if as_json:
        echo_json(plain_json(found))
        return
    rows = [
        (
            each.by,
            f"{each.items}{' or more' if each.is_more else ''}",
            each.bytes,
            when(each.oldest_at),
            "is being closed" if each.closes_at is None else when(each.closes_at),
            f"{each.failures} in a row" if each.failures else None,
        )
        for each in found.batches
    ]
    columns = ("BY", "ITEMS", "BYTES", "OLDEST ITEM", "CLOSES AT", "FAILURES")
    table(columns, rows, f"No item waits for a batch of sensor {name}.")
    for each in found.batches:
        if each.reason:
            echo(f"! {each.by or 'batch'}: {each.reason}")
    if found.omitted:
        click.echo(f"{found.omitted} more batches are open.")


@sensor.command()
@several
def start(names: tuple[str, ...], every: bool, stack: str, by: str | None, as_json: bool) -> None:
    """Start sensors; their cursors are kept. Ends a pause."""

    def change(parts: "OperatorParts", each: "DeployedSensor", who: str) -> "SensorState":
        return parts.sensors.start(each.name, each.default_status, who)

    _change(_named(names, every), stack, by, change, "is running", as_json)


@sensor.command()
@click.option(
    "--cancel-queued",
    is_flag=True,
    help="Then cancel the runs of the sensors that have not started, and drop their held requests.",
)
@click.option("--yes", is_flag=True, help="With --cancel-queued: do not ask before that.")
@several
def stop(
    names: tuple[str, ...],
    every: bool,
    cancel_queued: bool,
    yes: bool,
    stack: str,
    by: str | None,
    as_json: bool,
) -> None:
    """Stop sensors; their cursors are kept.

    A scheduled tick in progress commits nothing. The evaluation of an event checks the status when it begins, and
    again before it commits if that was more than a second ago: a tick that is being committed may still start its
    runs, and `treadle why` shows the stop beside them. Runs that were started before continue.

    Runs that wait for their launch, a pool or a retry start in their turn, unless --cancel-queued is given. It does not
    see requests that are being dispatched at the same time: repeat it after a minute.
    """
    if yes and not cancel_queued:
        raise click.UsageError("--yes is for --cancel-queued.")

    def change(parts: "OperatorParts", each: "DeployedSensor", who: str) -> "SensorState":
        return parts.sensors.stop(each.name, who)

    also = functools.partial(_withdraw, yes=yes, as_json=as_json) if cancel_queued else None
    _change(_named(names, every), stack, by, change, "is stopped", as_json, also)


def _withdraw(
    parts: "OperatorParts", sensors: "list[str]", by: str, *, yes: bool, as_json: bool
) -> "dict[str, Withdrawn]":
    """Cancel what sensors have requested and has not started; return the result by sensor."""
    from treadle.operate.withdrawals import Withdrawals

    withdrawals = Withdrawals(parts.ticks, parts.drops, parts.runs)
    outstanding = {name: withdrawals.outstanding(name) for name in sensors}
    runs, ticks = (sum(len(getattr(each, of)) for each in outstanding.values()) for of in ("runs", "ticks"))
    if (runs or ticks) and not yes:
        what = f"Cancel {counted(runs, 'run')}, and drop the held requests of {counted(ticks, 'tick')}?"
        click.confirm(what, abort=True, err=True)
    found = {name: withdrawals.withdraw(name, each, by) for name, each in outstanding.items()}
    for name, each in found.items():
        if not as_json:
            canceled, dropped = counted(len(each.canceled), "run"), counted(len(each.dropped), "tick")
            echo(f"Sensor {name}: {canceled} canceled, and the held requests of {dropped} dropped.")
            for reason in each.refused.values():
                echo(f"REFUSED: {reason}")
    return found


@sensor.command()
@several
def reset(names: tuple[str, ...], every: bool, stack: str, by: str | None, as_json: bool) -> None:
    """Reset sensors to the status that their code or deployment declares. Ends a pause."""

    def change(parts: "OperatorParts", each: "DeployedSensor", who: str) -> "SensorState":
        return parts.sensors.reset(each.name, who, each.default_status)

    _change(_named(names, every), stack, by, change, "has the status that its deployment declares", as_json)


@sensor.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@click.option(
    "--fresh", is_flag=True, help="Clear the cursors, so that the sensors start over; run keys stay taken."
)
@stack_option
@by_option
@json_option
def adopt(names: tuple[str, ...], fresh: bool, stack: str, by: str | None, as_json: bool) -> None:
    """Give sensors' states to the projects that have registered the sensors.

    The state under a sensor's name belongs to the project whose sensor ticked first; ticks of another project's sensor
    of this name fail. Adopted, it ticks on where the other one has ended. A tick in flight commits nothing.
    """

    def change(parts: "OperatorParts", each: "DeployedSensor", who: str) -> "SensorState":
        return parts.sensors.adopt(each.name, each.project, who, fresh=fresh)

    result = "belongs to project {project}" + (" and has no cursor" if fresh else "")
    _change(tuple(dict.fromkeys(names)), stack, by, change, result, as_json)


@sensor.command()
@click.argument("name")
@stack_option
@by_option
@json_option
def release(name: str, stack: str, by: str | None, as_json: bool) -> None:
    """Release a sensor that is held as a loop: what is held starts within about a minute.

    The runs before the release are no evidence any more; if the sensor is a loop, it is held again after as many runs.
    """
    from treadle.operate.views import sensor_json

    with deployed(stack) as parts:
        _check(parts, name)
        held = parts.loops.release(name, caller_name(by))
        if as_json:
            echo_json(sensor_json(parts.overview.sensor(name)))
            return
    echo(f"Sensor {name} is released, and {held} of its ticks are dispatched within about a minute.")


@sensor.command()
@click.argument("name")
@stack_option
@click.option("--cursor", metavar="TEXT", help="Evaluate with this cursor.  [default: the stored one]")
@click.option("--no-cursor", is_flag=True, help="Evaluate without a cursor, as a first tick does.")
@click.option(
    "--event",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Evaluate the event in this JSON file, as a rule or a queue delivers it.",
)
@json_option
def preview(
    name: str, stack: str, cursor: str | None, no_cursor: bool, event: Path | None, as_json: bool
) -> None:
    """Show what a sensor would do now; nothing is committed or started.

    Its deployed function runs, with its own permissions. The exit code is 1 if it fails.
    """
    from treadle.operate.views import plain_json

    if no_cursor and cursor is not None:
        raise click.UsageError("Give --cursor TEXT or --no-cursor.")
    options: dict[str, Any] = {"cursor": cursor} if no_cursor or cursor is not None else {}
    if event is not None:
        options["event"] = _read(event)
    with deployed(stack) as parts:
        found = parts.direct.preview(name, **options)
    if as_json:
        echo_json(plain_json(found))
    else:
        _print_preview(plain_json(found))
    if found.tick["status"] == "FAILURE":
        raise SystemExit(EXIT_UNHEALTHY)


@sensor.command("tick")
@click.argument("name")
@stack_option
@json_option
def tick_now(name: str, stack: str, as_json: bool) -> None:
    """Evaluate a sensor now, whatever its hours, interval and backoff.

    There is still one tick at a time: STOPPED, LEASED and LOST mean that there was none. The exit code is 1 unless
    the tick is a SUCCESS or SKIPPED.
    """
    from treadle.operate.views import plain_json

    with deployed(stack) as parts:
        done = parts.direct.tick(name)
    if as_json:
        echo_json(plain_json(done))
    else:
        echo(f"{done.decision}: {done.reason}" + (f" (tick {done.tick_id})" if done.tick_id else ""))
    if done.decision not in {"SUCCESS", "SKIPPED"}:
        raise SystemExit(EXIT_UNHEALTHY)


@sensor.group()
def cursor() -> None:
    """Show and change a sensor's cursor."""


@cursor.command("show")
@click.argument("name")
@stack_option
@json_option
def show_cursor(name: str, stack: str, as_json: bool) -> None:
    """Show a sensor's cursor, and its version for --if-version."""
    with deployed(stack) as parts:
        view = parts.overview.sensor(name)
    if as_json:
        echo_json({"sensor": name, "cursor": view.cursor, "version": view.cursor_epoch})
        return
    print_fields({"version": view.cursor_epoch})
    click.echo("no cursor" if view.cursor is None else f"cursor   {json.dumps(view.cursor)}")


@cursor.command("set")
@click.argument("name")
@click.argument("value")
@stack_option
@if_version_option
@by_option
@json_option
def set_cursor(
    name: str, value: str, stack: str, if_version: int | None, by: str | None, as_json: bool
) -> None:
    """Set a sensor's cursor to VALUE; a tick in progress commits nothing."""
    with deployed(stack) as parts:
        _check(parts, name)
        state = parts.sensors.set_cursor(name, value, caller_name(by), if_epoch=if_version)
        _edited(parts, state, "has the cursor", as_json)


@cursor.command("clear")
@click.argument("name")
@stack_option
@if_version_option
@by_option
@json_option
def clear_cursor(name: str, stack: str, if_version: int | None, by: str | None, as_json: bool) -> None:
    """Delete a sensor's cursor, so that it starts over; a tick in progress commits nothing."""
    with deployed(stack) as parts:
        _check(parts, name)
        state = parts.sensors.set_cursor(name, None, caller_name(by), if_epoch=if_version)
        _edited(parts, state, "has no cursor", as_json)


@sensor.command()
@click.argument("name")
@stack_option
@click.option(
    "--job",
    "jobs",
    metavar="JOB",
    multiple=True,
    help="A job whose run events are sent again; may be repeated.",
)
@click.option(
    "--asset",
    "assets",
    metavar="KEY",
    multiple=True,
    help="An asset whose materializations are sent again, such as shop/orders; may be repeated.",
)
@click.option(
    "--since",
    metavar="TIME",
    type=TIME,
    required=True,
    help="Such as 2026-11-25T06:00:00Z, or 2h for 2 hours ago.",
)
@click.option("--until", metavar="TIME", type=TIME, help="As --since.  [default: now]")
@statuses_option(DagsterRunStatus, "Which statuses of runs", FINISHED_STATUSES)
@json_option
def replay(
    name: str,
    stack: str,
    jobs: tuple[str, ...],
    assets: tuple[str, ...],
    since: datetime,
    until: datetime | None,
    statuses: tuple[str, ...],
    as_json: bool,
) -> None:
    """Send a sensor the events of a time range again, such as those it missed while it was stopped.

    It does not evaluate an event a second time.
    """
    if not (jobs or assets):
        raise click.UsageError("Choose events with --job JOB, --asset KEY, or both.")
    end = until or datetime.now(UTC)
    wanted = [DagsterRunStatus(status) for status in statuses]
    sent: dict[str, int] = {}
    with deployed(stack) as parts:
        if jobs:
            runs = parts.replayer.replay_runs(name, jobs, since, end, wanted)
            sent["events"], sent["runs"] = runs.events, runs.subjects
        if assets:
            sent["materializations"] = parts.replayer.replay_assets(name, assets, since, end).events
    if as_json:
        echo_json({"sensor": name, **sent})
        return
    if jobs:
        echo(f"Sent {sent['events']} events of {sent['runs']} runs to sensor {name}.")
    if assets:
        echo(f"Sent {sent['materializations']} materializations to sensor {name}.")


def _check(parts: "OperatorParts", name: str) -> None:
    """Check that the stack has a sensor, before anything is stored for it."""
    from treadle.operate.overview import deployed_sensor

    deployed_sensor(parts.deployment, name)


def _named(names: tuple[str, ...], every: bool) -> tuple[str, ...] | None:
    """Return the sensors that a command is for; None for all."""
    if bool(names) is every:
        raise click.UsageError("Give the names of sensors, or --all.")
    return None if every else tuple(dict.fromkeys(names))


def _change(
    names: tuple[str, ...] | None,
    stack: str,
    by: str | None,
    change: "Callable[[OperatorParts, DeployedSensor, str], SensorState]",
    result: str,
    as_json: bool,
    also: "Callable[[OperatorParts, list[str], str], Mapping[str, Withdrawn]] | None" = None,
) -> None:
    """Change sensors, one after the other; if the stack lacks one, none is changed.

    Raises:
        SystemExit: with status 2 if a part of what `also` does was refused.
    """
    from treadle.operate.overview import deployed_sensor
    from treadle.operate.views import plain_json, sensor_json

    with deployed(stack) as parts:
        known = parts.deployment.sensors() if names is None else names
        wanted = [deployed_sensor(parts.deployment, name) for name in known]
        who, views = caller_name(by), []
        for each in wanted:
            state = change(parts, each, who)
            if as_json:
                views.append(sensor_json(parts.overview.sensor(each.name)))
            else:
                echo(f"Sensor {each.name} {result.format(project=each.project)}, at version {state.epoch}.")
        withdrawn = also(parts, [each.name for each in wanted], who) if also else {}
    if as_json:
        echo_json(
            [
                view | ({"withdrawn": plain_json(withdrawn[each.name])} if withdrawn else {})
                for each, view in zip(wanted, views, strict=True)
            ]
        )
    if any(each.refused for each in withdrawn.values()):
        raise SystemExit(FAILED)


def _edited(parts: "OperatorParts", state: "SensorState", result: str, as_json: bool) -> None:
    from treadle.operate.views import sensor_json

    if as_json:
        echo_json(sensor_json(parts.overview.sensor(state.sensor)))
    else:
        echo(f"Sensor {state.sensor} {result}, at version {state.epoch}.")


def _row(view: "SensorView") -> tuple[object, ...]:
    last = view.last_tick
    lag = None if not view.lag_seconds else f"{view.lag_seconds:.0f} s"
    lately = "".join(_MARKS[(each.trouble or each.status).value] for each in view.recent)
    reached = None if last is None else last.last_time or last.time
    ticked = f"{when(reached)} {last.trouble or last.status}" if last else None
    next_at = when(view.next_tick_at) if view.next_tick_at else None
    is_readable = not (view.paused or "").startswith(UNREADABLE)
    status = view.status if is_readable else view.paused
    if view.outside_until:
        status = f"{status}, outside its hours until {when(view.outside_until)}"
    if view.problems:
        status = f"{status}, {_HEALTH[view.problems[0].kind.value]}"
    return (view.name, view.kind, status, ticked, next_at, lag, view.runs_24h, view.failures_24h, lately)


def echo_problems(view: "SensorView") -> None:
    """Print a sensor's problems, and what to do."""
    for each in view.problems:
        echo(f"! {view.name}: {each.message}")
        echo(f"  {each.advice}")


def _shown_json(view: "SensorView", edits: "list[RecordedEdit]") -> Mapping[str, Any]:
    from treadle.operate.views import edit_json, sensor_json

    return {**sensor_json(view), "edits": [edit_json(each) for each in edits]}


def _read(path: Path) -> Mapping[str, object]:
    try:
        event = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        msg = f"{path} is not JSON: {error}"
        raise click.UsageError(msg) from None
    if not isinstance(event, dict):
        msg = f"{path} must hold one event, a JSON object."
        raise click.UsageError(msg)
    return event


def _print_preview(found: Mapping[str, Any]) -> None:
    tick = found["tick"]
    error = tick["error"] or {}
    print_fields(
        {
            "would be": tick["status"],
            "reason": tick["reason"] or error.get("message"),
            "keys taken already": ", ".join(map(str, tick["existing_keys"])),
            "cursor before": found["cursor_before"],
            "cursor after": found["cursor_after"],
        }
    )
    echo_lines([str(error.get("stack") or "")])
    runs = [(each["run_key"], each["job"], each["run_config"]) for each in tick["requests"]]
    if runs:
        table(("RUN KEY", "JOB", "RUN CONFIG"), runs, "")
    for each in tick["rejected"]:
        echo(f"rejected {each['run_key']}: {each['reason']}")
    for each in tick["asset_events"]:
        # A function of an earlier version says no kind.
        echo_asset_event(each.get("kind"), each["asset_key"], each["partition"])
    for each in tick["dynamic_partitions_request_results"]:
        echo_partitions(each)
    for name, number in tick.get("left_out", {}).items():
        echo(f"{number} more {name.replace('_', ' ')} are omitted: the response has no room for them.")
    echo_lines([f"log: {line}" for line in tick["log"]], "")


def echo_asset_event(kind: str | None, asset_key: str, partition: str | None) -> None:
    """Print that a tick materializes or observes an asset."""
    verb = "observes" if kind == "ASSET_OBSERVATION" else "materializes"
    echo(f"{verb} {asset_key} {partition or ''}")


def echo_partitions(result: Mapping[str, Any]) -> None:
    """Print what a tick requests of a set of dynamic partitions."""
    name, added, deleted = (
        result[each] for each in ("partitions_def_name", "added_partitions", "deleted_partitions")
    )
    verb, keys = ("adds", added) if deleted is None else ("deletes", deleted)
    if keys:
        echo(f"{verb} partitions of {name}: {', '.join(keys)}")
    if skipped := result["skipped_partitions"]:
        why = "exist" if deleted is None else "do not exist"
        echo(f"skips partitions of {name} that {why}: {', '.join(skipped)}")


def _run_counts(view: "SensorView") -> str:
    from treadle.operate.overview import COUNTED

    if view.runs_24h < COUNTED:
        return f"{view.runs_24h}, of which {view.failures_24h} failed"
    return f"{view.runs_24h} or more; of the last {COUNTED}, {view.failures_24h} failed"
