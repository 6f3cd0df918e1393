"""The command that estimates the cost of an engine and its projects."""

import json
from collections.abc import Callable

import click

from treadle.cli.options import Command


def _number(
    name: str, default: int, text: str, least: int = 0, most: int | None = None
) -> Callable[[Command], Command]:
    """Add an option that takes a whole number."""
    return click.option(name, type=click.IntRange(least, most), default=default, show_default=True, help=text)


@click.command()
@_number("--sensors", 10, "Number of sensors with a schedule.", least=1)
@_number("--interval", 60, "Seconds between their ticks.", least=15, most=86_400)
@_number("--event-sensors", 0, "Number of event sensors, each with a queue and no schedule.")
@_number("--projects", 0, "Number of project stacks, each with its own alarm.")
@_number("--events", 0, "Number of events evaluated in a month.")
@_number("--runs", 0, "Number of runs in a month.")
@click.option(
    "--detailed", is_flag=True, help="With Monitoring=detailed: an alarm for each cause and a dashboard."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cost(
    sensors: int,
    interval: int,
    event_sensors: int,
    projects: int,
    events: int,
    runs: int,
    detailed: bool,
    as_json: bool,
) -> None:
    """Estimate the monthly cost of an engine and its projects, compared with a daemon that runs all month.

    The estimate multiplies requests by list prices, without any free tier. It does not include the cost of the jobs
    or of the daemon's database.
    """
    from treadle.operate.cost import (
        EVENT,
        EVENT_OF_TEN,
        IDLE_TICK,
        RUN,
        RUN_OF_TEN,
        Prices,
        Workload,
        daemon_per_month,
        per_million,
        per_month,
    )

    prices = Prices()
    month = per_month(Workload(sensors, interval, event_sensors, projects, events, runs, detailed), prices)
    uses = {
        "idle ticks": IDLE_TICK,
        "events": EVENT,
        "events in tens": EVENT_OF_TEN,
        "runs": RUN,
        "runs in tens": RUN_OF_TEN,
    }
    millions = {name: per_million(use, prices) for name, use in uses.items()}
    daemon = daemon_per_month(prices)
    if as_json:
        found = {
            "prices": f"{prices.region}, {prices.dated}",
            "month": month,
            "month_total": sum(month.values()),
        }
        click.echo(json.dumps({**found, "million": millions, "daemon_month": daemon}, indent=2))
        return
    click.echo(f"An engine with {sensors} sensors that evaluate every {interval} s;")
    click.echo(f"list prices of {prices.region}, {prices.dated}, no free tier:")
    for name, dollars in month.items():
        click.echo(f"  {name:<24}{dollars:>10.2f}")
    click.echo(f"  {'a month':<24}{sum(month.values()):>10.2f}")
    click.echo(f"  {'a daemon on Fargate':<24}{daemon:>10.2f}  (0.25 CPU, 0.5 GB, without its database)")
    for name, dollars in millions.items():
        click.echo(f"  {'a million ' + name:<24}{dollars:>10.2f}")
