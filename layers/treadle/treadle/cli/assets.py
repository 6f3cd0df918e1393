"""Commands on assets: list, and show one asset's events."""

import click

from treadle.cli.options import limit_option
from treadle.cli.output import echo_json, json_option, table, when
from treadle.cli.stack import deployed, stack_option


@click.group()
def asset() -> None:
    """List materialized assets and show their events."""


@asset.command("list")
@stack_option
@json_option
def list_assets(stack: str, as_json: bool) -> None:
    """List the assets, each with its newest event, newest first."""
    from treadle.operate.views import asset_event_json

    with deployed(stack) as parts:
        found = parts.assets.newest()
    if as_json:
        echo_json([asset_event_json(each) for each in found])
        return
    rows = [(each.asset_key, each.storage_id, when(each.time), each.body) for each in found]
    table(("ASSET", "EVENTS", "LAST", "WITH"), rows, "No assets have been materialized yet.")


@asset.command()
@click.argument("key")
@stack_option
@limit_option(1_000)
@json_option
def show(key: str, stack: str, limit: int, as_json: bool) -> None:
    """Show the events of the asset KEY, such as shop/orders, newest first."""
    from treadle.operate.views import asset_event_json

    with deployed(stack) as parts:
        found = parts.assets.events(key, limit=limit).events
    if as_json:
        echo_json([asset_event_json(each) for each in found])
        return
    rows = [(each.storage_id, when(each.time), each.kind, each.body) for each in found]
    table(("NUMBER", "AT", "WHAT", "WITH"), rows, "The asset has no events.")
