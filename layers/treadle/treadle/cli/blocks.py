"""Compares the blocks of a project's template with those that `treadle new` writes now.

A block is written once; a later version may write more. Names and values are the project's own and are not compared.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from itertools import product
from pathlib import Path
from typing import Any

import click

from treadle.cli.fragments import DEFAULT_BUS, VERIFICATIONS, NewJob, NewSensor
from treadle.cli.new_sensor import find_root
from treadle.cli.output import FAILED, echo_json, json_option, plain, table
from treadle.cli.sensor_kinds import SENSOR_KINDS
from treadle.cli.target_kinds import KINDS
from treadle.cli.template_edit import NAME, load
from treadle.definitions.errors import ScaffoldError

_ENTRY = re.compile(r"/(sensors|jobs)/(\w+)")
_KIND = {"sensors": re.compile(r'"kind"\s*:\s*"(\w+)"'), "jobs": re.compile(r'"target"\s*:\s*"(\w+)"')}
_NAME = "reference"
_PREFIXES = {"sensors": NewSensor(_NAME, None, 60).prefix, "jobs": NewJob(_NAME).prefix}
_SUFFIXES = {"sensors": "Entry", "jobs": ""}
_JSON_NAME = re.compile(r'"(\w+)"\s*:')
_OWN = frozenset({"EventPattern", "Resource", "Condition", "Dimensions"})
"""What the project chooses as a whole."""
_LISTS = frozenset({"Action", "FunctionResponseTypes"})
"""Lists of which each value counts."""

_Part = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class BlockGaps:
    """What a block does not have, and this version writes.

    Attributes:
        name: the sensor's or job's name.
        kind: the kind of the sensor, or the target type of the job.
        missing: the places, such as `LateOrders.Properties.Tags.treadle:sensor`.
    """

    name: str
    kind: str
    missing: tuple[str, ...]


def compare_blocks(text: str) -> list[BlockGaps]:
    """Return what each block of a template does not have; those of unknown kinds, and of pools, are left out.

    Args:
        text: the template.

    Raises:
        ScaffoldError: if it is not YAML.
    """
    resources = load(text).get("Resources", {})
    own, found = set(_parts(resources)), []
    for logical_id, what, name, kind in _entries(resources):
        prefix = logical_id.removesuffix(_SUFFIXES[what])
        written = [_renamed(block, _PREFIXES[what], prefix) for block in _written(what, kind)]
        if written:
            known = own & set[_Part]().union(*written)
            # It was written with options that are not known: those that differ least from it count.
            nearest = min(written, key=lambda each: len(each ^ known))
            missing = sorted(".".join(path) for path in _outermost(nearest - own))
            found.append(BlockGaps(name, kind, tuple(missing)))
    return found


def _entries(resources: Mapping[str, Any]) -> Iterator[tuple[str, str, str, str]]:
    """Yield the logical id of each registry entry, sensors or jobs, the name, and the kind or target type."""
    for logical_id, resource in resources.items():
        if resource.get("Type") == "AWS::SSM::Parameter":
            properties = resource.get("Properties", {})
            entry = _ENTRY.search(str(properties.get("Name", "")))
            kind = entry and _KIND[entry[1]].search(str(properties.get("Value", "")))
            if entry and kind:
                yield logical_id, entry[1], entry[2], kind[1]


@cache
def _written(what: str, kind: str) -> tuple[frozenset[_Part], ...]:
    """Return the parts of the blocks that this version writes for a kind, with any options."""
    blocks = _sensors(kind) if what == "sensors" else _jobs(kind)
    found = (_parts(load(f"Resources:\n{block}")["Resources"]) for block in dict.fromkeys(blocks))
    return tuple(dict.fromkeys(map(frozenset, found)))


def _jobs(target: str) -> Iterator[str]:
    if target in KINDS:
        yield NewJob(_NAME, target).block()
        yield NewJob(_NAME, target, role="arn:aws:iam::123456789012:role/r").block()


def _sensors(kind: str) -> Iterator[str]:
    """Yield the blocks of a kind with any options that decide about its parts."""
    for made in (each for each in SENSOR_KINDS.values() if each.kind == kind):
        several: dict[str, tuple[object, ...]] = {
            "interval": (60, 30) if made.has_interval else (60,),
            "reads_runs": (False, True),
            "hours": ("", "06:00-20:00 MON-FRI UTC") if made.has_interval and not made.subscribes else ("",),
            "key_prefixes": ((), ("in/",)) if made.has_objects else ((),),
            "wildcard": (False, True) if made.has_objects else (False,),
            "bus": (DEFAULT_BUS, "other") if made.has_pattern else (DEFAULT_BUS,),
            "stream": ("s", "arn:aws:dynamodb:us-east-1:123456789012:table/t/stream/1")
            if made.has_stream
            else ("",),
            "verification": tuple(VERIFICATIONS) if made.has_endpoint else ("github",),
            "secret": ("secret", "ssm:secret") if made.has_endpoint else ("",),
        }
        jobs = (None,) if made.fewest_jobs == 0 and not made.needs_job else ()
        for job, *chosen in product((*jobs, "load"), *several.values()):
            options: dict[str, Any] = dict(zip(several, chosen, strict=True))
            yield NewSensor(
                _NAME,
                job,
                made=made.name,
                upstream=("load",) * max(1, made.fewest_jobs)
                if made.status is not None or made.has_deadlines
                else (),
                assets=("a",) * made.assets[0],
                buckets=("bucket",) if made.has_objects else (),
                queue="q" if made.consumes else "",
                pattern={"source": ["s"]} if made.has_pattern else {},
                **options,
            ).block()


def _renamed(parts: frozenset[_Part], prefix: str, own: str) -> set[_Part]:
    return {(own + path[0].removeprefix(prefix), *path[1:]) for path in parts}


def _outermost(paths: set[_Part]) -> Iterator[_Part]:
    return (path for path in paths if path[:-1] not in paths)


def _parts(value: object, at: _Part = ()) -> Iterator[_Part]:
    """Yield the places of all parts of a value: names of mappings, and values whose presence matters."""
    if isinstance(value, str):
        if at[-1] in _LISTS:
            yield (*at, value)
        elif value.lstrip().startswith("{"):
            yield from ((*at, name) for name in _JSON_NAME.findall(value))
    elif isinstance(value, list):
        for each in value:
            # A tag of a resource that has them as a list.
            key = each.get("Key") if isinstance(each, dict) else None
            yield from ([(*at, key)] if isinstance(key, str) else _parts(each, at))
    elif isinstance(value, dict):
        yield from _parts_of_mapping(value, at)


def _parts_of_mapping(value: Mapping[str, Any], at: _Part) -> Iterator[_Part]:
    if len(value) == 1 and next(iter(value)).startswith(("Fn::", "Ref")):
        (name, argument), *_ = value.items()
        if name == "Fn::Select":
            # A part of the engine's contract, such as a policy.
            yield (*at, f"!Select {argument[0]}")
        elif name == "Fn::Sub":
            yield from _parts(argument if isinstance(argument, str) else argument[0], at)
        return
    for name, each in value.items():
        yield (*at, name)
        if name not in _OWN:
            yield from _parts(each, (*at, name))


@click.command()
@click.option(
    "--root",
    metavar="DIR",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    help="The project's folder.  [default: the nearest one with a template.yaml]",
)
@json_option
def blocks(root: Path | None, as_json: bool) -> None:
    """Compare the blocks of the project's sensors and jobs with those that this version of Treadle writes.

    Shows what a block does not have and `treadle new` would write for the same kind today. Names and values are yours,
    and are not compared; nothing is changed.
    """
    try:
        text = ((root.resolve() if root else find_root(Path.cwd())) / NAME).read_text("utf-8")
        found = compare_blocks(text)
    except (ScaffoldError, OSError) as error:
        click.echo(f"treadle: {plain(str(error))}", err=True)
        raise SystemExit(FAILED) from None
    if as_json:
        echo_json([asdict(each) for each in found])
        return
    rows = [(each.name, each.kind, place) for each in found for place in each.missing]
    table(
        ("SENSOR OR JOB", "KIND", "DOES NOT HAVE"),
        rows,
        f"The {len(found)} blocks have all that is written today.",
    )
    if rows:
        click.echo(
            "Let `treadle new` write a block of the same kind in another checkout, and copy what your block needs of it."
        )
