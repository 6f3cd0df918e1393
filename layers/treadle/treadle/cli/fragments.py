"""The texts that a new sensor is made of, with its names filled in."""

import re
from collections.abc import Set
from dataclasses import dataclass
from importlib import resources

from treadle.cli.kinds import STEP_FUNCTIONS, Kind, kind_of
from treadle.cli.sensor_kinds import SCHEDULE, SENSOR_KINDS, SensorKind

_MARK = re.compile(r"\s*\{\{([#^/])(\w+)\}\}\n?")
"""A line that begins or ends what a text has only with a flag (#), or only without it (^)."""


def pascal(name: str) -> str:
    """`late_orders` -> `LateOrders`: how the parameters and resources of a sensor or job begin."""
    return "".join(word.capitalize() for word in name.split("_"))


@dataclass(frozen=True, slots=True)
class NewSensor:
    """What a new sensor is to be.

    Attributes:
        name: of the sensor, in snake case.
        job: the name of the job that it starts; None if it starts none.
        interval: seconds between its ticks, if it ticks.
        target: the kind of target that the job has; None for Step Functions, or what a known job has.
        made: its own kind, one of `SENSOR_KINDS`.
        upstream: the jobs whose runs it hears of.
        reads_runs: whether it may read recorded runs; one that hears of runs may in any case.
        assets: the assets that it hears of, their parts joined by "/".
    """

    name: str
    job: str | None
    interval: int
    target: str | None = None
    made: str = SCHEDULE
    upstream: tuple[str, ...] = ()
    reads_runs: bool = False
    assets: tuple[str, ...] = ()

    @property
    def prefix(self) -> str:
        """How its parameters and resources begin."""
        return pascal(self.name)

    @property
    def job_prefix(self) -> str:
        """How its job's parameters begin."""
        return pascal(self.job or "")

    @property
    def sensor_kind(self) -> SensorKind:
        """What tells it from sensors of other kinds."""
        return SENSOR_KINDS[self.made]

    @property
    def kind(self) -> Kind:
        """What the job needs if it is new."""
        return kind_of(self.target or STEP_FUNCTIONS)

    @property
    def address(self) -> str:
        """The parameter that gives the new job's address."""
        return f"{self.job_prefix}{self.kind.address}"

    @property
    def does(self) -> str:
        """What it does, in words behind its name."""
        kind = self.sensor_kind
        return (kind.does if self.job else kind.does_without_job).replace("{{job}}", self.job or "")

    @property
    def flags(self) -> Set[str]:
        """What decides which parts of the texts it has."""
        kind = self.sensor_kind
        given = {
            "schedule": kind.has_schedule,
            "interval": kind.has_interval,
            "hears": kind.hears,
            "hears_of_runs": kind.status is not None,
            "hears_of_assets": kind.hears_of_assets,
            "watches": kind.watches,
            "deadline": kind.has_deadlines,
            "waits": kind.status is not None and not kind.watches,
            "reads_events": (kind.status is not None and not kind.watches) or kind.hears_of_assets,
            "failure": kind.status == "FAILURE",
            "reads": kind.watches or kind.has_deadlines or self.reads_runs,
            "job": self.job is not None,
            "upstream": bool(self.upstream),
            "imports_job": self.job is not None or bool(self.upstream),
        }
        return {flag for flag, is_set in given.items() if is_set}

    def fragment(self, file: str) -> str:
        """One of this package's templates, filled in.

        Args:
            file: its name.
        """
        return self.fill(resources.files("treadle.cli").joinpath("templates", file).read_text("utf-8"))

    def fill(self, text: str) -> str:
        """A text with what it has for this sensor, and `{{sensor}}`, `{{Sensor}}`, `{{job}}` and so on replaced."""
        values = {
            "sensor": self.name,
            "Sensor": self.prefix,
            "does": self.does,
            "job": self.job or "",
            "Job": self.job_prefix,
            "interval": str(self.interval),
            "kind": self.sensor_kind.kind,
            "status": self.sensor_kind.status or "",
            "upstream": ",".join(self.upstream),
            "upstream_list": ", ".join(self.upstream),
            "definitions": "".join(f'    JobDefinition("{job}"),\n' for job in self.upstream).rstrip(),
            "ended_keys": ", ".join(f"'#ended/{job}'" for job in self.upstream),
            "assets": ", ".join(f"'{asset}'" for asset in self.assets),
            "asset_keys": "".join(f"    {_asset_key(asset)},\n" for asset in self.assets).rstrip(),
            "asset_key": _asset_key(self.assets[0]) if self.assets else "",
            "asset": self.assets[0] if self.assets else "",
            "first": self.upstream[0] if self.upstream else "process_file",
        }
        return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], _chosen(text, self.flags))


def _asset_key(asset: str) -> str:
    """The key of an asset, as code."""
    first, *more = asset.split("/")
    parts = ", ".join(f'"{part}"' for part in (first, *more))
    return f"AssetKey([{parts}])" if more else f"AssetKey({parts})"


def _chosen(text: str, flags: Set[str]) -> str:
    """The lines that a text has with these flags."""
    kept, opened = [], list[bool]()
    for line in text.splitlines(keepends=True):
        mark = _MARK.fullmatch(line)
        if mark is None:
            kept.append(line if all(opened) else "")
        elif mark[1] == "/":
            opened.pop()
        else:
            opened.append((mark[2] in flags) is (mark[1] == "#"))
    return "".join(kept)
