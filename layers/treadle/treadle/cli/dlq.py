"""Commands on dead letters: list, show, and redrive."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from treadle.cli.options import limit_option
from treadle.cli.output import FAILED, echo_json, echo_lines, json_option, plain, print_fields, table
from treadle.cli.stack import deployed, stack_option

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
    """List, show and redrive dead letters."""


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
    columns = ("MESSAGE ID", "PROJECT", "ORIGIN", "SUBJECT", "ACTION", "ERROR")
    rows = [tuple(each[name] or "" for name in _LISTED) for each in found]
    table(columns, rows, "There are no dead letters.")


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
        click.echo(
            f"treadle: There is no dead letter {plain(message_id)}: it was redriven or deleted. See `treadle dlq list`.",
            err=True,
        )
        raise SystemExit(FAILED)
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
