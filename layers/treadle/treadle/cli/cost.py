"""The command that says what a deployment costs."""

import json

import click


@click.command()
@click.option(
    "--sensors", type=click.IntRange(min=1), default=10, show_default=True, help="Sensors with a schedule."
)
@click.option(
    "--interval",
    type=click.IntRange(15, 86_400),
    default=60,
    show_default=True,
    help="Seconds between the ticks of each.",
)
@click.option(
    "--events",
    type=click.IntRange(min=0),
    default=100_000,
    show_default=True,
    help="Events evaluated in a month.",
)
@click.option(
    "--runs", type=click.IntRange(min=0), default=100_000, show_default=True, help="Runs in a month."
)
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def cost(sensors: int, interval: int, events: int, runs: int, as_json: bool) -> None:
    """Say what an engine and a project cost in a month, beside a daemon that waits all month.

    It reckons with counted requests and list prices, without any free tier; what the jobs themselves cost is
    not in it, nor is what the daemon's database costs.
    """
    from treadle.operate.cost import (
        EVENT,
        IDLE_TICK,
        RUN,
        Prices,
        Workload,
        daemon_per_month,
        per_million,
        per_month,
    )

    prices = Prices()
    month = per_month(Workload(sensors, interval, events, runs), prices)
    uses = {"idle ticks": IDLE_TICK, "events": EVENT, "runs": RUN}
    millions = {name: per_million(use, prices) for name, use in uses.items()}
    daemon = daemon_per_month(prices)
    if as_json:
        told = {
            "prices": f"{prices.region}, {prices.dated}",
            "month": month,
            "month_total": sum(month.values()),
        }
        click.echo(json.dumps({**told, "million": millions, "daemon_month": daemon}, indent=2))
        return
    click.echo(f"{sensors} sensors each {interval} s, {events:,} events and {runs:,} runs a month;")
    click.echo(f"list prices of {prices.region}, {prices.dated}, no free tier:")
    for name, dollars in month.items():
        click.echo(f"  {name:<22}{dollars:>10.2f}")
    click.echo(f"  {'a month':<22}{sum(month.values()):>10.2f}")
    click.echo(f"  {'a daemon on Fargate':<22}{daemon:>10.2f}  (0.25 CPU, 0.5 GB, without its database)")
    for name, dollars in millions.items():
        click.echo(f"  {'a million ' + name:<22}{dollars:>10.2f}")
