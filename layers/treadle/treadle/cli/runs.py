"""Commands on runs: another attempt, another chance for a key, the end."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import click

from treadle.cli.deployed import asking, by_option, deployed, if_attempt_option, stack_option
from treadle.cli.speaking import plain
from treadle.definitions.status import FINISHED_STATUSES, DagsterRunStatus

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


@click.command()
@click.argument("sensor")
@stack_option
@click.option(
    "--job", "jobs", metavar="JOB", multiple=True, help="Whose runs it hears of once more; may be repeated."
)
@click.option(
    "--asset",
    "assets",
    metavar="KEY",
    multiple=True,
    help="Whose materializations, such as shop/orders; may be repeated.",
)
@click.option("--since", metavar="TIME", required=True, help="Such as 2026-11-25T06:00:00Z.")
@click.option("--until", metavar="TIME", help="As --since.  [default: now]")
@click.option(
    "--status",
    "statuses",
    multiple=True,
    type=click.Choice([status.value for status in DagsterRunStatus]),
    default=sorted(FINISHED_STATUSES),
    show_default=True,
    help="Which statuses of runs; may be repeated.",
)
def replay(
    sensor: str,
    stack: str,
    jobs: tuple[str, ...],
    assets: tuple[str, ...],
    since: str,
    until: str | None,
    statuses: tuple[str, ...],
) -> None:
    """Send SENSOR the events of a time range once more, such as those it missed while it was stopped.

    What it has evaluated already it does not evaluate again.
    """
    if not (jobs or assets):
        raise click.UsageError("Say whose events: --job JOB, --asset KEY, or both.")
    begin, end = _moment(since, "--since"), _moment(until, "--until") if until else datetime.now(UTC)
    wanted = [DagsterRunStatus(status) for status in statuses]
    with deployed(stack) as parts:
        if jobs:
            runs = parts.replayer.replay_runs(sensor, jobs, begin, end, wanted)
            click.echo(plain(f"Sent {runs.events} events of {runs.subjects} runs to sensor {sensor}."))
        if assets:
            made = parts.replayer.replay_assets(sensor, assets, begin, end)
            click.echo(plain(f"Sent {made.events} materializations to sensor {sensor}."))


def _moment(text: str, option: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        msg = f"{text!r} is no time such as 2026-11-25T06:00:00Z."
        raise click.BadParameter(msg, param_hint=option) from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _say(edit: "RunEdit") -> None:
    click.echo(plain(edit.reason))
