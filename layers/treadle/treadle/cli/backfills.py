"""Commands on backfills: start, list, show, pause, resume, cancel, retry."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from treadle.cli.options import limit_option
from treadle.cli.output import FAILED, echo, echo_json, exit_on_error, json_option, print_fields, table, when
from treadle.cli.stack import by_option, caller_name, deployed, stack_option
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import CommandRefusedError

if TYPE_CHECKING:
    from treadle.definitions.jobs import JobDefinition
    from treadle.model.backfills import Backfill, BackfillPartition
    from treadle.operate.backfills import BackfillChange, BackfillDetails, CanceledRuns

RANGE = "..."
"""Between the ends of a range of partitions; no partition key may contain it."""

limit_of_backfill = click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=0),
    help="How many of its runs may be in progress at a time; 0 for no limit.",
)


@click.group()
def backfill() -> None:
    """Start one run for each partition of a set, and pause, resume, cancel or retry them together."""


@backfill.command()
@click.argument("job")
@click.option(
    "--partitions", metavar="FIRST...LAST", help="A range of the job's partitions, both ends included."
)
@click.option("--partition", "keys", metavar="KEY", multiple=True, help="A partition key; may be repeated.")
@click.option("--all", "of_all", is_flag=True, help="All partitions of the job.")
@click.option("--name", metavar="NAME", help="The backfill's name.  [default: derived from what it runs]")
@click.option(
    "--again",
    metavar="N",
    type=click.IntRange(min=1),
    help="Start another backfill of the same content, without a name of its own.",
)
@click.option(
    "--config", metavar="JSON", default="{}", help="The run config of each run; @FILE reads a file."
)
@click.option(
    "--tag", "tags", metavar="NAME=VALUE", multiple=True, help="A tag of each run; may be repeated."
)
@limit_of_backfill
@click.option(
    "--code",
    metavar="FILE",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="The Python file that defines the job.  [default: the only one of the project that does]",
)
@stack_option
@by_option
@json_option
def start(
    *,
    job: str,
    partitions: str | None,
    keys: tuple[str, ...],
    of_all: bool,
    name: str | None,
    again: int | None,
    config: str,
    tags: tuple[str, ...],
    limit: int | None,
    code: Path | None,
    stack: str,
    by: str | None,
    as_json: bool,
) -> None:
    """Start a backfill of JOB: one run for each of the given partitions.

    The partitions are those of the JobDefinition in the project's code, as of now; stored keys of dynamic partitions are
    read from the engine. The name is derived from the job, the partitions, the config and the tags, so the same command
    starts nothing twice; --again starts them once more. The same name with other content is refused.
    """
    if sum((partitions is not None, bool(keys), of_all)) != 1:
        raise click.UsageError("Which partitions? Give --partitions FIRST...LAST, --partition KEY, or --all.")
    if name is not None and again is not None:
        raise click.UsageError("--again is for a backfill without a name of its own: choose another name.")
    with exit_on_error():
        from treadle.cli.job_code import job_definition
        from treadle.definitions.partitions.context import partition_loading_context

        definition = job_definition(job, code)
        run_config, all_tags = _content(definition, config, tags)
    with deployed(stack) as parts:
        caller = caller_name(by)
        with partition_loading_context(dynamic_partitions_store=parts.partitions.store(caller)):
            wanted = _partitions(job, definition, partitions, keys)
        change = parts.backfills.start(
            job,
            wanted,
            caller,
            name=name,
            again=again,
            run_config=run_config,
            tags=all_tags,
            limit=limit or 0,
        )
    _print_change(change, as_json)


@backfill.command("list")
@limit_option(1_000)
@stack_option
@json_option
def list_backfills(limit: int, stack: str, as_json: bool) -> None:
    """List backfills, newest first, with their progress."""
    with deployed(stack) as parts:
        found, _ = parts.backfills.page(limit=limit)
    if as_json:
        echo_json([_json(each) for each in found])
        return
    table(
        ("BACKFILL", "JOB", "STATUS", "SUCCEEDED", "FAILED", "IN PROGRESS", "WAITING", "REQUESTED"),
        [_row(each) for each in found],
        "There are no backfills.",
    )


@backfill.command()
@click.argument("name")
@stack_option
@json_option
def show(name: str, stack: str, as_json: bool) -> None:
    """Show a backfill: its progress, its failed runs, those in progress, and what operators did to it."""
    with deployed(stack) as parts:
        found = parts.backfills.details(name)
    if as_json:
        runs = [
            {
                "partition_key": each.partition_key,
                "run_id": each.run_id,
                "attempt": each.attempt,
                "state": each.state.name,
            }
            for each in found.runs
        ]
        echo_json({**_json(found.backfill), "runs": runs})
    else:
        _print_details(found)


def _named(command: Callable[..., None]) -> Callable[..., None]:
    return click.argument("name")(stack_option(by_option(json_option(command))))


@backfill.command()
@_named
def pause(name: str, stack: str, by: str | None, as_json: bool) -> None:
    """Start no more runs of a backfill until it is resumed; runs in progress continue."""
    with deployed(stack) as parts:
        _print_change(parts.backfills.pause(name, caller_name(by)), as_json)


@backfill.command()
@limit_of_backfill
@_named
def resume(name: str, limit: int | None, stack: str, by: str | None, as_json: bool) -> None:
    """Let a paused backfill continue; with --limit also change the limit of one that is not paused."""
    with deployed(stack) as parts:
        _print_change(parts.backfills.resume(name, caller_name(by), limit=limit), as_json)


@backfill.command()
@click.option("--runs", is_flag=True, help="Also cancel the runs that their targets have started.")
@_named
def cancel(name: str, runs: bool, stack: str, by: str | None, as_json: bool) -> None:
    """End a backfill: partitions that have not started never start, and runs that wait for their launch are canceled.

    Runs that their targets have started continue, unless --runs is given. A backfill that was canceled cannot be resumed.
    """
    with deployed(stack) as parts:
        change = parts.backfills.cancel(name, caller_name(by))
        ended = parts.backfills.cancel_runs(name, caller_name(by)) if runs else None
    _print_change(change, as_json, ended)
    if ended is not None and ended.refused:
        raise SystemExit(FAILED)


@backfill.command()
@_named
def retry(name: str, stack: str, by: str | None, as_json: bool) -> None:
    """Start each failed or canceled run of a backfill again, under its limit; those that succeeded stay as they are."""
    with deployed(stack) as parts:
        _print_change(parts.backfills.retry(name, caller_name(by)), as_json)


def _partitions(
    job: str, definition: "JobDefinition | None", wanted: str | None, keys: tuple[str, ...]
) -> "list[BackfillPartition]":
    """Return the partitions of the command, checked against the job's definition.

    The keys of dynamic partitions are those of the store of `partition_loading_context`.

    Raises:
        CommandRefusedError: if the job has no partitions in code or none now, or lacks one of those.
        DagsterInvalidInvocationError: if it lacks an end of the range.
    """
    from treadle.definitions.partitions.base import PartitionKeyRange, key_problems
    from treadle.definitions.runs import PARTITION_TAG
    from treadle.model.backfills import BackfillPartition

    partitions_def = definition.partitions_def if definition else None
    if partitions_def is None:
        if keys:
            return [BackfillPartition(key) for key in dict.fromkeys(keys)]
        msg = (
            f"No partitions of job {job} were found in the project's code. Run the command in the project whose code has "
            "its JobDefinition with a partitions_def, name the file with --code, or give each --partition."
        )
        raise CommandRefusedError(msg)
    if keys:
        problems = key_problems(partitions_def, set(keys))
        if problems:
            raise CommandRefusedError(next(problems[key] for key in keys if key in problems))
        found = list(dict.fromkeys(keys))
    elif wanted is None:
        found = list(partitions_def.get_partition_keys())
    else:
        first, separator, last = wanted.partition(RANGE)
        if not separator:
            msg = f"{wanted!r} is not a range: give FIRST...LAST, or --partition for one key."
            raise CommandRefusedError(msg)
        found = list(partitions_def.get_partition_keys_in_range(PartitionKeyRange(first, last)))
    if not found:
        msg = f"Job {job} has no partitions now: nothing was started. Repeat the command once it has some."
        raise CommandRefusedError(msg)
    tags = map(partitions_def.get_tags_for_partition_key, found)
    return [
        BackfillPartition(str(key), {name: value for name, value in of.items() if name != PARTITION_TAG})
        for key, of in zip(found, tags, strict=True)
    ]


def _content(
    definition: "JobDefinition | None", config: str, tags: tuple[str, ...]
) -> tuple[str, dict[str, str]]:
    """Return the canonical run config, and the tags of the job and of the command.

    Raises:
        CommandRefusedError: if one of them is invalid.
    """
    from treadle.definitions.jobs import tags_problem
    from treadle.definitions.run_config_schema import config_problem

    try:
        text = Path(config[1:]).read_text("utf-8") if config.startswith("@") else config
        value: Any = json.loads(text)
    except (OSError, ValueError) as error:
        raise CommandRefusedError(f"--config is not JSON: {error}. Give an object, or @FILE.") from error
    if not isinstance(value, dict):
        raise CommandRefusedError(f"--config must be a JSON object, not {type(value).__name__}.")
    pairs = [tag.partition("=") for tag in tags]
    unnamed = next(
        (tag for tag, (name, separator, _) in zip(tags, pairs, strict=True) if not (name and separator)), None
    )
    if unnamed is not None:
        raise CommandRefusedError(f"--tag {unnamed!r} is not NAME=VALUE.")
    of_job = dict(definition.run_tags or {}) if definition else {}
    all_tags = {**of_job, **{name: text for name, _, text in pairs}}
    of_config = config_problem(definition, value) if definition else None
    problem = of_config or tags_problem(all_tags)
    if problem:
        raise CommandRefusedError(problem)
    return canonical_json(value), all_tags


def _row(backfill: "Backfill") -> tuple[object, ...]:
    from treadle.model.backfills import PartitionState as State

    return (
        backfill.name,
        backfill.job,
        backfill.shown_status.value + (" (blocked)" if backfill.problem else ""),
        f"{backfill.count(State.SUCCESS)} of {backfill.total}",
        backfill.count(State.FAILURE) + backfill.count(State.CANCELED),
        backfill.in_progress,
        backfill.count(State.WAITING),
        when(backfill.created_at),
    )


def _print_details(found: "BackfillDetails") -> None:
    from treadle.model.backfills import PartitionState as State

    backfill = found.backfill
    counts = backfill.counts()
    print_fields(
        {
            "backfill": backfill.name,
            "job": backfill.job,
            "status": backfill.shown_status.value,
            "problem": backfill.problem,
            "partitions": backfill.total,
            "succeeded": str(counts[State.SUCCESS]),
            "failed": str(counts[State.FAILURE]),
            "canceled": str(counts[State.CANCELED]),
            "in progress": str(backfill.in_progress),
            "waiting": str(counts[State.WAITING]),
            "limit": f"{backfill.limit} in progress" if backfill.limit else "none",
            "run config": backfill.run_config,
            "tags": ", ".join(f"{name}={value}" for name, value in sorted(backfill.tags.items())),
            "looked at again": when(backfill.next_at) if backfill.next_at else None,
        }
    )
    if found.runs:
        click.echo()
        rows = [(each.partition_key, each.state.name, each.attempt, each.run_id) for each in found.runs]
        table(("PARTITION", "STATE", "ATTEMPT", "RUN"), rows, "")
    click.echo()
    for edit in backfill.edits:
        echo(f"{when(edit.at)} {edit.by} {edit.action} it")


def _json(backfill: "Backfill") -> dict[str, Any]:
    from treadle.operate.views import backfill_json

    return backfill_json(backfill)


def _print_change(change: "BackfillChange", as_json: bool, ended: "CanceledRuns | None" = None) -> None:
    from treadle.operate.views import plain_json

    if as_json:
        runs = {} if ended is None else {"runs": plain_json(ended)}
        shown = _json(change.backfill)
        echo_json({"is_new": change.is_new, "reason": change.reason, "backfill": shown, **runs})
        return
    echo(change.reason)
    if ended is not None:
        total = ended.requested + len(ended.refused)
        for run_id, reason in ended.refused.items():
            echo(f"NOT CANCELED: {run_id}: {reason}")
        click.echo(f"{ended.requested} of {total} runs were canceled, or received the request to stop.")
