"""Commands on runs: another attempt, another chance for a key, the end."""

from typing import TYPE_CHECKING

import click

from treadle.cli.deployed import asking, by_option, deployed, if_attempt_option, stack_option
from treadle.cli.speaking import plain

if TYPE_CHECKING:
    from treadle.operate.runs import RunEdit


@click.command()
@click.argument("run_id")
@stack_option
@if_attempt_option
@by_option
def rerun(run_id: str, stack: str, if_attempt: int | None, by: str | None) -> None:
    """Start a run that has ended once more, at once.

    The next attempt has the same config and tags, and the launch id RUN_ID-<attempt>. Who asked, and when, is
    kept on the run's record.
    """
    with deployed(stack) as parts:
        _say(parts.runs.rerun(run_id, asking(by), if_attempt=if_attempt))


@click.command()
@click.argument("sensor")
@click.argument("run_key")
@stack_option
@if_attempt_option
@by_option
def release(sensor: str, run_key: str, stack: str, if_attempt: int | None, by: str | None) -> None:
    """Let the next request for a run key start its run once more.

    Nothing starts by itself: the sensor has to ask for RUN_KEY again. Who asked, and when, is kept on the
    run's record.
    """
    with deployed(stack) as parts:
        _say(parts.runs.release(sensor, run_key, asking(by), if_attempt=if_attempt))


@click.command()
@click.argument("run_id")
@stack_option
@by_option
def cancel(run_id: str, stack: str, by: str | None) -> None:
    """End a run: at once if it waits for its launch, else by asking its target.

    What the target ends is CANCELED once the target has reported it.
    """
    with deployed(stack) as parts:
        _say(parts.runs.cancel(run_id, asking(by)))


def _say(edit: "RunEdit") -> None:
    click.echo(plain(edit.reason))
