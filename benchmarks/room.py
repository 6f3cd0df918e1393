"""How many more sensors and jobs fit into one project's stack, by AWS's limits of a template."""

from collections.abc import Sequence
from dataclasses import dataclass

from tests.support.projects import GIVEN, project
from treadle.cli.fragments import NewJob, NewSensor
from treadle.cli.template_edit import add_blocks, load
from treadle.operate.limits import RESOURCES, Use, measure, room


@dataclass(frozen=True, slots=True)
class Fit:
    """How many more of a kind fit in addition to the shipped ones.

    Attributes:
        what: the kind.
        resources: the resources of each, its job included.
        more: the number.
        limit: the first limit that is reached.
    """

    what: str
    resources: int
    more: int
    limit: str


KINDS: Sequence[tuple[str, NewSensor | None]] = (
    ("a schedule of a minute or more", NewSensor("orders", "load", 300)),
    ("a schedule below a minute", NewSensor("orders", "load", 15)),
    ("runs or one asset", NewSensor("orders", "load", 60, made="run-status")),
    (
        "several jobs or assets",
        NewSensor("orders", "load", 60, made="all-succeeded", upstream=("a", "b")),
    ),
    ("a bucket", NewSensor("orders", "load", 300, made="s3", buckets=("landing",), key_prefixes=("in/",))),
    (
        "a bucket with --wildcard",
        NewSensor(
            "orders",
            "load",
            300,
            made="s3",
            buckets=("b",),
            key_prefixes=("in/",),
            key_suffixes=(".csv",),
            wildcard=True,
        ),
    ),
    ("a job alone", None),
)


def fits() -> list[Fit]:
    """Return the result for each kind, in addition to the shipped sensors and jobs."""
    before = measure(project().template, GIVEN)
    found = []
    for what, sensor in KINDS:
        after = _with(sensor)
        grown = room(before, after)
        assert grown is not None
        found.append(Fit(what, _resources(after) - _resources(before), grown.more + 1, grown.limit.name))
    return found


def _with(sensor: NewSensor | None) -> list[Use]:
    blocks = [*([sensor.block()] if sensor else []), NewJob("load").block()]
    queues = [f"{sensor.prefix}Queue"] if sensor and sensor.has_rule else []
    return measure(load(add_blocks(project().text, blocks, queues)), GIVEN)


def _resources(uses: Sequence[Use]) -> int:
    return next(use.used for use in uses if use.limit is RESOURCES)
