"""Commands on concurrency pools: list, show, change limits, free slots in doubt."""

from typing import TYPE_CHECKING

import click

from treadle.cli.options import limit_option
from treadle.cli.output import echo, echo_json, json_option, print_fields, table, when
from treadle.cli.stack import by_option, caller_name, deployed, stack_option
from treadle.model.pools import MAX_COUNTED, MAX_LIMIT, Overlap

if TYPE_CHECKING:
    from treadle.operate.pools import PoolDetails, PoolEdit, PoolHolder, PoolView, PoolWaiter


@click.group()
def pool() -> None:
    """List and show concurrency pools, change their limits, and free slots in doubt."""


@pool.command("list")
@stack_option
@json_option
def list_pools(stack: str, as_json: bool) -> None:
    """List pools: their limits, who holds slots, and who waits.

    The pool of one job is job:NAME. A limit of starts per minute is a pool of its own: starts:NAME, or starts:job:NAME for
    one job. A pool that has its limit for each value of a tag is followed by the values for
    which runs wait.
    """
    from treadle.operate.views import pool_json

    with deployed(stack) as parts:
        found = parts.pools.all()
    if as_json:
        echo_json([pool_json(each) for each in found])
    else:
        _list(found, "No pools are declared.")


@pool.command()
@click.argument("name")
@click.option(
    "--value", metavar="VALUE", help="A value of its tag, for a pool that has its limit for each value."
)
@limit_option(MAX_COUNTED, 20, of="waiting runs")
@stack_option
@json_option
def show(name: str, value: str | None, limit: int, stack: str, as_json: bool) -> None:
    """Show a pool: the runs that hold its slots, and the first of those that wait, in the order of their starts."""
    from treadle.operate.views import pool_details_json

    with deployed(stack) as parts:
        found = parts.pools.details(name, value, limit=limit)
    if as_json:
        echo_json(pool_details_json(found))
    else:
        _print(found)


@pool.command("set-limit")
@click.argument("name")
@click.argument("limit", metavar="N", type=click.IntRange(0, MAX_LIMIT))
@stack_option
@by_option
@json_option
def set_limit(name: str, limit: int, stack: str, by: str | None, as_json: bool) -> None:
    """Limit a pool to N runs instead of the declared limit, until reset-limit; 0 starts no more runs.

    N is the number of runs in progress at a time, or of starts per minute, as declared. Runs in progress continue. In a pool that has its limit for each value of a tag, N applies to each value. The operator
    and the time are recorded with the pool.
    """
    with deployed(stack) as parts:
        _print_edit(parts.pools.set_limit(name, limit, caller_name(by)), as_json)


@pool.command("reset-limit")
@click.argument("name")
@stack_option
@json_option
def reset_limit(name: str, stack: str, as_json: bool) -> None:
    """Let a pool's declared limit apply again."""
    with deployed(stack) as parts:
        _print_edit(parts.pools.reset_limit(name), as_json)


@pool.command()
@click.argument("run_id")
@stack_option
@by_option
@json_option
def free(run_id: str, stack: str, by: str | None, as_json: bool) -> None:
    """Free the slots of a run that may or may not have ended, once you know that its execution has ended.

    Refused for a run in progress. Look at the execution first: if it still runs, more runs than the limit will be in
    progress. `treadle run refresh RUN_ID` queries the target. The operator and the time are recorded with the run.
    """
    from treadle.operate.views import run_json

    with deployed(stack) as parts:
        edit = parts.pools.free(parts.runs.full_id(run_id), caller_name(by))
    if as_json:
        echo_json({"is_new": edit.is_new, "reason": edit.reason, "run": run_json(edit.run)})
    else:
        echo(edit.reason)


def _list(found: "list[PoolView] | tuple[PoolView, ...]", nothing: str) -> None:
    columns = ("POOL", "LIMIT", "HELD", "WAITING", "OLDEST WAITS SINCE", "NOTE")
    rows = [
        (
            each.key,
            _limit(each),
            *((None, None) if _is_empty(each) else (each.held, _waiting(each))),
            when(each.waiting_since),
            _note(each),
        )
        for each in found
    ]
    table(columns, rows, nothing)


def _limit(pool: "PoolView") -> str:
    if pool.limit is None:
        return "none: no longer declared"
    text = f"{pool.limit} per minute" if pool.is_per_minute else str(pool.limit)
    text = "0 (paused)" if pool.is_paused else text
    return f"{text} for each value" if pool.is_per_value and pool.value is None else text


def _is_empty(pool: "PoolView") -> bool:
    """Return whether a row stands only for the values of a pool, which have rows of their own."""
    return pool.is_per_value and pool.value is None and not (pool.held or pool.waiting)


def _waiting(pool: "PoolView") -> str:
    return f"{MAX_COUNTED} or more" if pool.waiting == MAX_COUNTED else str(pool.waiting)


def _note(pool: "PoolView") -> str:
    notes = (
        _overlap(pool),
        f"turns by {pool.turns_by}" if pool.turns_by else "",
        f"declared: {pool.declared_limit}" if pool.is_limit_set else "",
        f"closed until {when(pool.closed_until)}" if pool.closed_until is not None else "",
        f"next start at {when(pool.next_start_at)}"
        if pool.next_start_at is not None and pool.waiting
        else "",
        f"{pool.beyond} beyond the limit" if pool.beyond else "",
        f"{pool.in_doubt} in doubt" if pool.in_doubt else "",
        f"{pool.not_canceled} not canceled" if pool.not_canceled else "",
    )
    return ", ".join(filter(None, notes))


def _overlap(pool: "PoolView") -> str:
    return "" if pool.overlap is Overlap.QUEUE else f"overlap {pool.overlap}"


def _print(found: "PoolDetails") -> None:
    pool = found.pool
    print_fields(
        {
            "pool": pool.key,
            "project": pool.project,
            "limit": _limit(pool),
            "declared limit": str(pool.declared_limit) if pool.is_limit_set else None,
            "limit set by": pool.limit_set_by and f"{pool.limit_set_by} at {when(pool.limit_set_at)}",
            "turns by": pool.turns_by,
            "limits of values": ", ".join(f"{value}={limit}" for value, limit in sorted(pool.limits.items())),
            "overlap": None if pool.overlap is Overlap.QUEUE else pool.overlap.value,
            "starts in 60 seconds" if pool.is_per_minute else "slots held": str(pool.held),
            "beyond the limit": pool.beyond or None,
            "in doubt": pool.in_doubt or None,
            "not canceled": pool.not_canceled or None,
            "runs waiting": _waiting(pool),
            "oldest waits since": when(pool.waiting_since) if pool.waiting_since is not None else None,
            "next start at": when(pool.next_start_at) if pool.next_start_at is not None else None,
            "closed until": pool.closed_until and f"{when(pool.closed_until)}: jobs have joined it",
        }
    )
    if found.values:
        click.echo()
        _list(found.values, "")
    click.echo()
    first, nothing = (
        ("START GRANTED", "No start was granted in the last 60 seconds.")
        if pool.is_per_minute
        else ("HOLDS A SLOT", "No run holds a slot.")
    )
    columns = (first, "ATTEMPT", "JOB", "STATUS", "SINCE", "NOTE")
    table(columns, [_holder(each) for each in found.holders], nothing)
    click.echo()
    columns = ("PLACE", "WAITS", "JOB", "PRIORITY", "SINCE", "ALSO NEEDS")
    table(columns, [_waiter(each, pool.key) for each in found.waiters], "No run waits.")
    if len(found.waiters) < pool.waiting:
        click.echo(f"The first {len(found.waiters)} of {_waiting(pool)}; --max shows more.")


def _holder(each: "PoolHolder") -> tuple[object, ...]:
    doubt = "in doubt: may or may not have ended" if each.is_in_doubt else ""
    beyond = "beyond the limit" if each.is_beyond else ""
    note = ", ".join(filter(None, (doubt, beyond)))
    status = each.status and each.status.value
    return each.run_id, each.attempt, each.job or "unreadable", status, when(each.since), note


def _waiter(each: "PoolWaiter", key: str) -> tuple[object, ...]:
    others = ", ".join(other for other in each.pools if other != key)
    return each.place, each.run_id, each.job or "unreadable", each.priority, when(each.since), others


def _print_edit(edit: "PoolEdit", as_json: bool) -> None:
    from treadle.operate.views import pool_edit_json

    if as_json:
        echo_json(pool_edit_json(edit))
    else:
        echo(edit.reason)
