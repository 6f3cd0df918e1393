"""Commands on dynamic partitions: list the keys of a set, add and delete some."""

from typing import TYPE_CHECKING

import click

from treadle.cli.output import echo, echo_json, json_option, table, when
from treadle.cli.stack import by_option, caller_name, deployed, stack_option

if TYPE_CHECKING:
    from collections.abc import Sequence

    from treadle.model.partitions import StoredPartition


@click.group()
def partition() -> None:
    """List, add and delete the keys of dynamic partitions."""


@partition.command("list")
@click.argument("set_name", metavar="SET")
@stack_option
@json_option
def list_partitions(set_name: str, stack: str, as_json: bool) -> None:
    """List the keys of SET, the name of a DynamicPartitionsDefinition, in the order in which they were added."""
    with deployed(stack) as parts:
        found = parts.partitions.partitions(set_name)
    if as_json:
        _say_json(found)
        return
    rows = [(each.partition_key, when(each.added_at), each.changed_by) for each in found]
    table(("KEY", "ADDED", "CHANGED BY"), rows, f"The set {set_name} has no keys.")


@partition.command()
@click.argument("set_name", metavar="SET")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@stack_option
@by_option
@json_option
def add(set_name: str, keys: tuple[str, ...], stack: str, by: str | None, as_json: bool) -> None:
    """Add KEYs to SET. A key that exists stays where it is."""
    with deployed(stack) as parts:
        before = parts.partitions.partitions(set_name)
        found = parts.partitions.add(set_name, keys, caller_name(by))
    _say(before, found, keys, "added", set_name, as_json)


@partition.command()
@click.argument("set_name", metavar="SET")
@click.argument("keys", metavar="KEY...", nargs=-1, required=True)
@stack_option
@by_option
@json_option
def delete(set_name: str, keys: tuple[str, ...], stack: str, by: str | None, as_json: bool) -> None:
    """Delete KEYs from SET. Runs of these partitions continue."""
    with deployed(stack) as parts:
        before = parts.partitions.partitions(set_name)
        found = parts.partitions.delete(set_name, keys, caller_name(by))
    _say(before, found, keys, "deleted", set_name, as_json)


def _say(
    before: "Sequence[StoredPartition]",
    found: "Sequence[StoredPartition]",
    keys: "Sequence[str]",
    done: str,
    set_name: str,
    as_json: bool,
) -> None:
    if as_json:
        _say_json(found)
        return
    # Not the given keys: one that is misspelled, or was there already, changes nothing.
    changed = {each.partition_key for each in before} ^ {each.partition_key for each in found}
    echo(f"{len(changed.intersection(keys))} {done}; the set {set_name} has {len(found)} keys.")


def _say_json(found: "Sequence[StoredPartition]") -> None:
    from treadle.operate.views import plain_json

    echo_json(plain_json(found))
