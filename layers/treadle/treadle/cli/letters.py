"""The command that sends dead letters again."""

from collections import Counter
from typing import TYPE_CHECKING

import click

from treadle.cli.deployed import deployed, stack_option
from treadle.cli.speaking import FAILED, plain

if TYPE_CHECKING:
    from treadle.operate.dead_letters import Redriven


@click.command()
@stack_option
@click.option("--dry-run", is_flag=True, help="Only say what would become of each letter.")
@click.option(
    "--origin",
    metavar="STEP",
    help="Only letters from there, such as launch or 'sensor new_objects'.  [default: all]",
)
@click.option(
    "--max",
    "limit",
    metavar="N",
    type=click.IntRange(min=1),
    default=1_000,
    show_default=True,
    help="How many letters at most.",
)
def redrive(stack: str, dry_run: bool, origin: str | None, limit: int) -> None:
    """Send the messages of the dead-letter queue again, each to the step it was meant for.

    A letter is deleted once it was sent, so a crash in between sends it twice, which is safe. What is worth
    nothing any more is dropped, what nobody knows is left, and of each letter it is said which.
    """
    fates: Counter[str] = Counter()
    with deployed(stack) as parts:
        for done in parts.redriver.redrive(limit=limit, origin=origin, dry_run=dry_run):
            click.echo(_line(done))
            fates[done.fate.value] += 1
    counted = ", ".join(f"{number} {fate}" for fate, number in sorted(fates.items())) or "no letters"
    click.echo(f"Dry run, nothing was done: {counted}." if dry_run else f"{counted}.")
    if fates.total() == limit:
        click.echo("There may be more: run the command again.")
    if fates["FAILED"]:
        raise SystemExit(FAILED)


def _line(done: "Redriven") -> str:
    from treadle.operate.letters import subject_of_letter

    subject = subject_of_letter(done.letter) or done.letter.letter_id
    words = f"{done.fate:<7} {done.origin}: {subject}: {done.reason}"
    why = done.letter.attributes.get("reason") or done.letter.attributes.get("ERROR_CODE")
    return plain(f"{words} It was given up as {why}" if why else words)
