"""Commands on dead letters: list, show, redrive, and delete."""

from collections import Counter
from typing import TYPE_CHECKING, Any, NoReturn

import click

from treadle.cli.options import limit_option
from treadle.cli.output import FAILED, echo_json, echo_lines, json_option, plain, print_fields, table
from treadle.cli.stack import deployed, stack_option
from treadle.definitions.bounds import counted

if TYPE_CHECKING:
    from treadle.operate.redrive import RedriveResult

_LONGEST_BODY = 300_000

origin_option = click.option(
    "--origin",
    metavar="STEP",
    help="Only dead letters of this component, such as launch or 'sensor new_objects'.  [default: all]",
)
project_option = click.option(
    "--project",
    metavar="NAME",
    help="Only dead letters in the queue of this project; '' for the engine's.  [default: all]",
)
dead_letters_option = limit_option(None, 1_000, "dead letters")


@click.group()
def dlq() -> None:
    """List, show, redrive and delete dead letters."""


@dlq.command("list")
@stack_option
@project_option
@origin_option
@dead_letters_option
@json_option
def list_dead_letters(stack: str, project: str | None, origin: str | None, limit: int, as_json: bool) -> None:
    """List the messages of the dead-letter queues, with what a redrive would do with each; change nothing."""
    from treadle.operate.views import dead_letter_json

    with deployed(stack) as parts:
        results = parts.redriver.redrive(limit=limit, origin=origin, project=project, dry_run=True)
        found = list(map(dead_letter_json, results))
    if as_json:
        echo_json(found)
        return
    _list(found, "There are no dead letters.")


@dlq.command()
@click.argument("message_id")
@stack_option
@json_option
def show(message_id: str, stack: str, as_json: bool) -> None:
    """Show a dead letter in full: its body, its attributes, and what a redrive would do with it."""
    from treadle.operate.views import dead_letter_json

    with deployed(stack) as parts:
        found = next(
            (
                each
                for each in parts.redriver.redrive(dry_run=True)
                if each.dead_letter.message_id == message_id
            ),
            None,
        )
    if found is None:
        _exit_without(message_id)
    shown = {
        **dead_letter_json(found),
        "attributes": dict(found.dead_letter.attributes),
        "body": found.dead_letter.body,
    }
    if as_json:
        echo_json(shown)
        return
    print_fields({name.replace("_", " "): shown[name] for name in _FACTS})
    print_fields(shown["attributes"])
    click.echo("body:")
    echo_lines([plain(line, _LONGEST_BODY) for line in found.dead_letter.body.splitlines()])


@dlq.command()
@stack_option
@click.option("--dry-run", is_flag=True, help="Only print what would be done with each dead letter.")
@project_option
@origin_option
@dead_letters_option
@json_option
def redrive(
    stack: str, dry_run: bool, project: str | None, origin: str | None, limit: int, as_json: bool
) -> None:
    """Send the messages of the dead-letter queues to their original destinations again.

    A message is deleted after it was sent, so a crash in between sends it twice, which is safe. Obsolete messages are
    dropped, unknown ones stay in the queue; the output shows which.
    """
    from treadle.operate.views import dead_letter_json

    actions: Counter[str] = Counter()
    results = []
    with deployed(stack) as parts:
        for done in parts.redriver.redrive(limit=limit, origin=origin, project=project, dry_run=dry_run):
            actions[done.action.value] += 1
            results.append(dead_letter_json(done))
            if not as_json:
                click.echo(_line(done))
    if as_json:
        echo_json(results)
    else:
        _print_actions(actions, dry_run, limit)
    if actions["FAILED"]:
        raise SystemExit(FAILED)


@dlq.command()
@click.argument("message_ids", metavar="[MESSAGE_ID]...", nargs=-1)
@stack_option
@project_option
@origin_option
@dead_letters_option
@click.option("--yes", is_flag=True, help="Do not ask before the dead letters are deleted.")
@json_option
def delete(
    message_ids: tuple[str, ...],
    stack: str,
    project: str | None,
    origin: str | None,
    limit: int,
    yes: bool,
    as_json: bool,
) -> None:
    """Delete dead letters for good: those with the ids, or all of a project or a component.

    They are listed first. Nothing sends them again: what a message was about, such as an object or a run, may wait
    for RECONCILE or the next sweep, or never be processed. Redrive those that can be processed instead.
    """
    from treadle.operate.views import dead_letter_json

    if bool(message_ids) == (project is not None or origin is not None):
        raise click.UsageError("Give message ids, or one or both of --project and --origin.")
    with deployed(stack) as parts:
        planned = parts.redriver.redrive(limit=limit, origin=origin, project=project, dry_run=True)
        found = {
            each.dead_letter.message_id: each
            for each in planned
            if not message_ids or each.dead_letter.message_id in message_ids
        }
        missing = [each for each in message_ids if each not in found]
        if missing:
            _exit_without(missing[0])
        if not as_json:
            _list([dead_letter_json(each) for each in found.values()], "There are no matching dead letters.")
        if found and not yes:
            click.confirm(f"Delete {counted(len(found), 'dead letter')} for good?", abort=True, err=True)
        results = list(parts.redriver.delete(found))
    actions = Counter(each.action.value for each in results)
    if as_json:
        echo_json(list(map(dead_letter_json, results)))
    elif found:
        _print_actions(actions, False, limit)
    if actions["FAILED"]:
        raise SystemExit(FAILED)


def _exit_without(message_id: str) -> NoReturn:
    click.echo(
        f"treadle: There is no dead letter {plain(message_id)}: it was redriven or deleted. See `treadle dlq list`.",
        err=True,
    )
    raise SystemExit(FAILED)


def _list(found: "list[dict[str, Any]]", nothing: str) -> None:
    columns = ("MESSAGE ID", "PROJECT", "ORIGIN", "SUBJECT", "ACTION", "ERROR")
    table(columns, [tuple(each[name] or "" for name in _LISTED) for each in found], nothing)


_LISTED = ("message_id", "project", "origin", "subject", "action", "error")
_FACTS = ("message_id", "project", "origin", "subject", "action", "reason")


def _print_actions(actions: "Counter[str]", dry_run: bool, limit: int) -> None:
    counted = (
        ", ".join(f"{number} {action}" for action, number in sorted(actions.items())) or "no dead letters"
    )
    click.echo(f"Dry run, nothing was done: {counted}." if dry_run else f"{counted}.")
    if actions.total() == limit:
        click.echo("There may be more: run the command again.")


def _line(done: "RedriveResult") -> str:
    from treadle.operate.redrive_routes import subject_of

    subject = subject_of(done.dead_letter) or done.dead_letter.message_id
    line = f"{done.action:<7} {done.origin}: {subject}: {done.reason}"
    why = done.dead_letter.attributes.get("reason") or done.dead_letter.attributes.get("ERROR_CODE")
    return plain(f"{line} It was given up as {why}" if why else line)
