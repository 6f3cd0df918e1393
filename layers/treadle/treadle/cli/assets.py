"""Commands on assets: list, and show the materializations or observations of one."""

import click

from treadle.cli.options import limit_option
from treadle.cli.output import echo_json, json_option, table, when
from treadle.cli.stack import deployed, stack_option


@click.group()
def asset() -> None:
    """List assets and show their materializations and observations."""


_observations = click.option(
    "--observations", is_flag=True, help="Show observations in place of materializations."
)


@asset.command("list")
@stack_option
@_observations
@json_option
def list_assets(stack: str, observations: bool, as_json: bool) -> None:
    """List the assets with their newest materialization, newest first."""
    from treadle.operate.views import asset_event_json

    with deployed(stack) as parts:
        found = parts.assets.newest(observed=observations)
    if as_json:
        echo_json([asset_event_json(each) for each in found])
        return
    rows = [(each.asset_key, each.storage_id, when(each.time), each.body) for each in found]
    done = "observed" if observations else "materialized"
    table(("ASSET", "EVENTS", "LAST", "WITH"), rows, f"No assets have been {done} yet.")


@asset.command()
@click.argument("key")
@stack_option
@limit_option(1_000)
@_observations
@json_option
def show(key: str, stack: str, limit: int, observations: bool, as_json: bool) -> None:
    """Show the materializations of the asset KEY, such as shop/orders."""
    from treadle.operate.views import asset_event_json

    with deployed(stack) as parts:
        found = parts.assets.events(key, limit=limit, observed=observations).events
    if as_json:
        echo_json([asset_event_json(each) for each in found])
        return
    rows = [(each.storage_id, when(each.time), each.kind, each.body) for each in found]
    kind = "observations" if observations else "materializations"
    table(("NUMBER", "AT", "WHAT", "WITH"), rows, f"The asset has no {kind}.")
