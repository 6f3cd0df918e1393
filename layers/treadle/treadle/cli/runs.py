"""Commands on runs: list, show, rerun, cancel, refresh, set the priority, and release a run key."""

from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING

import click

from treadle.cli.options import Command, limit_option, shown_status, statuses_option
from treadle.cli.output import (
    FAILED,
    echo,
    echo_json,
    echo_lines,
    json_option,
    plain,
    print_fields,
    table,
    when,
)
from treadle.cli.stack import by_option, caller_name, deployed, if_attempt_option, stack_option
from treadle.cli.times import TIME, millis
from treadle.definitions.status import FINISHED_STATUSES, DagsterRunStatus
from treadle.model.pools import MAX_PRIORITY

if TYPE_CHECKING:
    from collections.abc import Callable

    from treadle.model.runs import Run
    from treadle.operate.pools import PoolWaitView
    from treadle.operate.runs import RunEdit, RunOperations

_URL = 3_000
"""Maximum length of a link."""

_CANCELABLE = tuple(
    each for each in DagsterRunStatus if each not in FINISHED_STATUSES | {DagsterRunStatus.CANCELING}
)

_ENDED = tuple(sorted(FINISHED_STATUSES, key=lambda each: each.value))


@click.group()
def run() -> None:
    """List, show, rerun and cancel job runs, set priorities, and release run keys."""


@run.command("list")
@stack_option
@click.option("--sensor", metavar="NAME", help="Only runs that this sensor requested.")
@click.option("--job", metavar="JOB", help="Only runs of this job.")
@click.option(
    "--backfill", metavar="NAME", help="Only runs of this backfill, in the order of its partitions."
)
@statuses_option(DagsterRunStatus, "Only runs with this status")
@click.option(
    "--since", metavar="TIME", type=TIME, help="Only runs created since then, such as 2h for 2 hours ago."
)
@click.option("--until", metavar="TIME", type=TIME, help="Only runs created before then.")
@click.option(
    "--find", metavar="TEXT", help="Only runs with this text in id, run key, job, sensor, partition or error."
)
@limit_option(10_000)
@json_option
def list_runs(
    stack: str,
    sensor: str | None,
    job: str | None,
    backfill: str | None,
    statuses: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    find: str | None,
    limit: int,
    as_json: bool,
) -> None:
    """List runs, newest first: of a sensor, of a job, or the newest of all jobs."""
    from treadle.operate.views import run_json

    if backfill and (sensor or job or since or until or find):
        raise click.UsageError(
            "--backfill lists the runs of one backfill: leave out --sensor, --job, --since, --until and --find."
        )
    wanted = {DagsterRunStatus(each) for each in statuses} or None
    with deployed(stack) as parts:
        if backfill:
            found = parts.backfills.runs(backfill, wanted, limit)
        else:
            found = _found(parts.runs, sensor, job, wanted, since, limit, until, find)
    if as_json:
        echo_json([run_json(each) for each in found])
        return
    _list(found, "No matching runs.")


@run.command()
@click.argument("run_id")
@stack_option
@json_option
def show(run_id: str, stack: str, as_json: bool) -> None:
    """Show a run in full: its config, its statuses with their times, its failure and its retry grants.

    Also links to its execution and its log in the AWS console.
    """
    from treadle.adapters.targets.links import console_links
    from treadle.operate.views import plain_json, run_json

    with deployed(stack) as parts:
        found = parts.runs.get(parts.runs.full_id(run_id))
        waits = None if as_json else parts.pools.waits(found)
    if as_json:
        echo_json({**run_json(found), "links": plain_json(console_links(found.external_id))})
        return
    _print_run(found, waits)
    for link in console_links(found.external_id):
        click.echo(f"{link.label} in the AWS console: {plain(link.url, _URL)}")


def _created_options(command: Command) -> Command:
    """Add `--since` and `--until` of the runs of `--sensor` or `--job`."""
    since = click.option(
        "--since", metavar="TIME", type=TIME, help="With them: only runs created since then, such as 2h."
    )
    until = click.option(
        "--until", metavar="TIME", type=TIME, help="With them: only runs created before then."
    )
    return since(until(command))


@run.command()
@click.argument("run_ids", metavar="[RUN_ID]...", nargs=-1)
@stack_option
@click.option(
    "--sensor", metavar="NAME", help="Rerun the runs that have ended and that this sensor requested."
)
@click.option("--job", metavar="JOB", help="Rerun the runs of this job that have ended.")
@statuses_option(_ENDED, "With --sensor or --job: only runs with this status; FAILURE by default")
@_created_options
@limit_option(10_000, of="runs to rerun with --sensor or --job")
@if_attempt_option
@click.option("--yes", is_flag=True, help="Do not ask before runs of --sensor or --job are rerun.")
@by_option
@json_option
def rerun(
    run_ids: tuple[str, ...],
    stack: str,
    sensor: str | None,
    job: str | None,
    statuses: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    if_attempt: int | None,
    yes: bool,
    by: str | None,
    as_json: bool,
) -> None:
    """Start runs that have ended again, immediately.

    The next attempt has the same config and tags, and the launch id RUN_ID-<attempt>. The operator and the time are
    recorded with the run. Give run ids, or --sensor or --job for their runs that failed, which are listed first.
    """
    _check_which(run_ids, sensor, job, statuses, since, until)
    if if_attempt is not None and len(run_ids) != 1:
        raise click.UsageError("--if-attempt is for one run.")
    with deployed(stack) as parts:
        run_ids = tuple(map(parts.runs.full_id, run_ids))
        if len(run_ids) == 1:
            _edited(parts.runs.rerun(run_ids[0], caller_name(by), if_attempt=if_attempt), as_json)
            return
        if not run_ids:
            wanted = {DagsterRunStatus(each) for each in statuses} or {DagsterRunStatus.FAILURE}
            found = _found(parts.runs, sensor, job, wanted, since, limit, until)
            _confirm(found, "Rerun", "No matching runs have ended.", yes=yes, as_json=as_json)
            run_ids = tuple(each.run_id for each in found)
        name = caller_name(by)
        _edit_each(run_ids, lambda run_id: parts.runs.rerun(run_id, name), "RERUN", "rerun", as_json)


@run.command()
@click.argument("run_ids", metavar="[RUN_ID]...", nargs=-1)
@stack_option
@click.option("--sensor", metavar="NAME", help="Cancel the runs in progress that this sensor requested.")
@click.option("--job", metavar="JOB", help="Cancel the runs in progress of this job.")
@statuses_option(_CANCELABLE, "With --sensor or --job: only runs with this status")
@_created_options
@limit_option(10_000, of="runs to cancel with --sensor or --job")
@click.option("--yes", is_flag=True, help="Do not ask before runs of --sensor or --job are canceled.")
@by_option
@json_option
def cancel(
    run_ids: tuple[str, ...],
    stack: str,
    sensor: str | None,
    job: str | None,
    statuses: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
    limit: int,
    yes: bool,
    by: str | None,
    as_json: bool,
) -> None:
    """Cancel runs: immediately if they wait for their launch, otherwise through their target.

    Give run ids, or --sensor or --job for all of their runs in progress, which are listed first; without --status, so
    are failed runs that wait for a retry. A run that its target stops is CANCELED once the target has reported that.
    """
    _check_which(run_ids, sensor, job, statuses, since, until)
    with deployed(stack) as parts:
        # All before the first is canceled.
        run_ids = tuple(map(parts.runs.full_id, run_ids))
        if len(run_ids) == 1:
            _edited(parts.runs.cancel(run_ids[0], caller_name(by)), as_json)
            return
        if not run_ids:
            # A failed run that its retry policy starts again is in progress, too.
            wanted = {DagsterRunStatus(each) for each in statuses or (*_CANCELABLE, DagsterRunStatus.FAILURE)}
            found = _found(parts.runs, sensor, job, wanted, since, limit, until, is_open=True)
            _confirm(found, "Cancel", "No matching runs are in progress.", yes=yes, as_json=as_json)
            run_ids = tuple(each.run_id for each in found)
        name = caller_name(by)
        done = "canceled, or received the request to stop"
        _edit_each(run_ids, lambda run_id: parts.runs.cancel(run_id, name), "CANCELED", done, as_json)


def _check_which(
    run_ids: tuple[str, ...],
    sensor: str | None,
    job: str | None,
    statuses: tuple[str, ...],
    since: datetime | None,
    until: datetime | None,
) -> None:
    """Check that runs are given either by their ids, or by their sensor or job.

    Raises:
        UsageError: if they are not.
    """
    if bool(run_ids) == bool(sensor or job):
        raise click.UsageError("Give run ids, or one of --sensor and --job.")
    if run_ids and (statuses or since or until):
        raise click.UsageError("--status, --since and --until select among the runs of --sensor or --job.")


def _confirm(found: "list[Run]", action: str, nothing: str, *, yes: bool, as_json: bool) -> None:
    if not as_json:
        _list(found, nothing)
    if found and not yes:
        click.confirm(f"{action} {len(found)} runs?", abort=True, err=True)


def _edit_each(
    run_ids: tuple[str, ...], edit: "Callable[[str], RunEdit]", mark: str, done: str, as_json: bool
) -> None:
    """Edit runs one after the other; one that cannot be edited does not keep the others from it.

    Args:
        run_ids: the runs.
        edit: edits one.
        mark: what has not been done, for the line of a run that was not edited.
        done: what was done, for the last line.
        as_json: whether JSON is printed.

    Raises:
        SystemExit: with status 2 if one could not be edited.
    """
    from treadle.definitions.errors import TreadleError
    from treadle.operate.views import run_json

    results: list[dict[str, object]] = []
    failed = 0
    for run_id in dict.fromkeys(run_ids):
        try:
            made = edit(run_id)
        except TreadleError as error:
            failed += 1
            results.append(
                {"run_id": run_id, "is_new": False, "reason": None, "error": str(error), "run": None}
            )
        else:
            shown = run_json(made.run)
            results.append(
                {"run_id": run_id, "is_new": made.is_new, "reason": made.reason, "error": None, "run": shown}
            )
        if not as_json:
            last = results[-1]
            echo(f"NOT {mark}: {last['error']}" if last["error"] else str(last["reason"]))
    if as_json:
        echo_json(results)
    elif results:
        click.echo(f"{len(results) - failed} of {len(results)} runs were {done}.")
    if failed:
        raise SystemExit(FAILED)


@run.command()
@click.argument("run_id")
@stack_option
@json_option
def refresh(run_id: str, stack: str, as_json: bool) -> None:
    """Query a run's target for the run's status, and record it.

    RECONCILE does the same for a run that has had no event for an hour. You need the permission to describe the
    execution, such as glue:GetJobRun; for a job with its own role, lambda:InvokeFunction on RECONCILE.
    """
    with deployed(stack) as parts:
        _edited(parts.runs.refresh(parts.runs.full_id(run_id)), as_json)


@run.command("set-priority", context_settings={"ignore_unknown_options": True})
@click.argument("run_id")
@click.argument("priority", metavar="N", type=click.IntRange(-MAX_PRIORITY, MAX_PRIORITY))
@stack_option
@by_option
@json_option
def set_priority(run_id: str, priority: int, stack: str, by: str | None, as_json: bool) -> None:
    """Set the priority of a run that waits for a pool: the highest starts first, then the one that has waited longest.

    The priority is the run's tag dagster/priority. The length of its wait still counts. The operator and the time are
    recorded with the run.
    """
    with deployed(stack) as parts:
        _edited(parts.pools.set_priority(parts.runs.full_id(run_id), priority, caller_name(by)), as_json)


@run.command("release-key")
@click.argument("sensor")
@click.argument("run_key")
@stack_option
@if_attempt_option
@by_option
@json_option
def release_key(
    sensor: str, run_key: str, stack: str, if_attempt: int | None, by: str | None, as_json: bool
) -> None:
    """Let the next request for a run key start its run again.

    Nothing starts immediately: SENSOR has to request RUN_KEY again. The operator and the time are recorded with the
    run.
    """
    with deployed(stack) as parts:
        _edited(parts.runs.release(sensor, run_key, caller_name(by), if_attempt=if_attempt), as_json)


def _found(
    runs: "RunOperations",
    sensor: str | None,
    job: str | None,
    wanted: set[DagsterRunStatus] | None,
    since: datetime | None,
    limit: int,
    until: datetime | None = None,
    text: str | None = None,
    *,
    is_open: bool = False,
) -> "list[Run]":
    """Return the newest runs created between two times, up to the limit; `is_open` omits those that ended for good."""
    found = runs.newest(
        sensor=sensor,
        job=job,
        statuses=wanted,
        since=millis(since) if since else None,
        until=millis(until) if until else None,
        text=text,
        limit=min(limit, 200),
    )
    matching = (each for each in found if not (is_open and each.status.is_finished and each.retry_at is None))
    return list(islice(matching, limit))


def _list(found: "list[Run]", nothing: str) -> None:
    columns = ("RUN", "JOB", "SENSOR", "STATUS", "ATTEMPT", "MADE", "TOOK", "RUN KEY", "ERROR")
    table(columns, [_row(each) for each in found], nothing)


def _row(run: "Run") -> tuple[object, ...]:
    return (
        run.run_id,
        run.job,
        run.sensor or _requester(run),
        shown_status(run),
        run.attempt,
        when(run.created_at),
        _took(run),
        run.run_key,
        run.failure and f"{run.failure.error}: {run.failure.cause}",
    )


def _took(run: "Run") -> str | None:
    """Return how long the last attempt took, in seconds; None if it has not ended."""
    if run.started_at is None or run.ended_at is None:
        return None
    return f"{max(0, run.ended_at - run.started_at) / 1000:g} s"


def _requester(run: "Run") -> str | None:
    """Return the backfill that requested a run, or else None."""
    from treadle.model.backfills import backfill_of

    found = backfill_of(run)
    return f"backfill {found[0]}" if found else None


def _print_run(run: "Run", waits: "PoolWaitView | None") -> None:
    from treadle.definitions.runs import assets_of
    from treadle.engine.record.max_runtime import current_cancellation
    from treadle.engine.record.pool_slots import slots_in_doubt
    from treadle.operate.explanation import describe_wait

    failure, unanswered, assets = run.failure, run.unanswered, assets_of(run.tags)
    cancellation = current_cancellation(run)
    print_fields(
        {
            "run": run.run_id,
            "job": run.job,
            "sensor": run.sensor,
            "run key": run.run_key,
            "requested by": _requester(run),
            "tick": run.tick_id if run.sensor else None,
            "partition": run.partition_key,
            "assets": None if assets is None else ", ".join(assets) or "none",
            "status": run.status,
            "waits": describe_wait(run, waits),
            "pools": ", ".join(run.pools),
            "overlap": run.overlap,
            "slots in doubt": ", ".join(sorted({slot.pool for slot in slots_in_doubt(run)})),
            "attempt": f"{run.attempt} of {run.attempts_allowed}",
            "retried at": run.retry_at and when(run.retry_at),
            "made": when(run.created_at),
            "started": run.started_at and when(run.started_at),
            "ended": run.ended_at and when(run.ended_at),
            "took": _took(run),
            "execution": run.external_id,
            "target": run.target,
            "failure": failure and f"{failure.error}: {failure.cause}",
            "failure is": "what Treadle concluded" if failure and failure.assumed else None,
            "not queried since": unanswered and f"{when(unanswered.since)}: {unanswered.reason}",
            "to be canceled since": cancellation and f"{when(cancellation.at)}: {cancellation.cause}",
            "not canceled because": (cancellation and cancellation.refused) or None,
            "checked again": when(run.next_at) if run.next_at else None,
            "run config": run.run_config,
            "tags": ", ".join(f"{name}={value}" for name, value in sorted(run.tags.items())),
        }
    )
    for step in failure.steps if failure else ():
        echo_lines([f"step {step.step_key}: {step.error}: {step.cause}"])
    rows = [(when(at), attempt, retry, status) for at, attempt, retry, status in _reached(run)]
    click.echo()
    table(("REACHED", "ATTEMPT", "RETRY", "STATUS"), rows, "It has reached nothing yet.")
    for each in run.allowances:
        echo(f"{when(each.at)} {each.by} allowed attempt {each.attempts}")
    for edit in run.edits:
        echo(f"{when(edit.at)} {edit.by} {edit.action}")
    for reaction in run.reactions:
        echo(
            f"{when(reaction.at)} sensor {reaction.sensor} acted on {reaction.event_id} (tick {reaction.tick_id})"
        )


def _reached(run: "Run") -> list[tuple[int, int, int, str]]:
    """Return the statuses that a run has reached, with time, attempt and retry, in their order."""
    from treadle.engine.record.run_state import ASSUMED

    reached: list[tuple[int, int, int, str]] = []
    for place, times in run.reached.items():
        attempt, retry = map(int, place.split("/"))
        reached += [(at, attempt, retry, status) for status, at in times.items()]
    return sorted(reached, key=lambda each: (*each[:3], DagsterRunStatus(each[3].removesuffix(ASSUMED)).rank))


def _edited(edit: "RunEdit", as_json: bool) -> None:
    from treadle.operate.views import run_json

    if as_json:
        echo_json({"is_new": edit.is_new, "reason": edit.reason, "run": run_json(edit.run)})
    else:
        echo(edit.reason)
