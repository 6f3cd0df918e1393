"""The texts that a new sensor is made of, with its names filled in."""

import re
from dataclasses import dataclass
from importlib import resources

from treadle.cli.kinds import STEP_FUNCTIONS, Kind, kind_of


def pascal(name: str) -> str:
    """`late_orders` -> `LateOrders`: how the parameters and resources of a sensor or job begin."""
    return "".join(word.capitalize() for word in name.split("_"))


@dataclass(frozen=True, slots=True)
class NewSensor:
    """What a new sensor is to be.

    Attributes:
        name: of the sensor, in snake case.
        job: the name of the job that it starts.
        interval: seconds between its ticks.
        target: the kind of target that the job has; None for Step Functions, or what a known job has.
    """

    name: str
    job: str
    interval: int
    target: str | None = None

    @property
    def prefix(self) -> str:
        """How its parameters and resources begin."""
        return pascal(self.name)

    @property
    def job_prefix(self) -> str:
        """How its job's parameters begin."""
        return pascal(self.job)

    @property
    def kind(self) -> Kind:
        """What the job needs if it is new."""
        return kind_of(self.target or STEP_FUNCTIONS)

    @property
    def address(self) -> str:
        """The parameter that gives the new job's address."""
        return f"{self.job_prefix}{self.kind.address}"

    def fragment(self, file: str) -> str:
        """One of this package's templates, filled in.

        Args:
            file: its name.
        """
        return self.fill(resources.files("treadle.cli").joinpath("templates", file).read_text("utf-8"))

    def fill(self, text: str) -> str:
        """A text with `{{sensor}}`, `{{Sensor}}`, `{{job}}`, `{{Job}}` and `{{interval}}` replaced."""
        values = {
            "sensor": self.name,
            "Sensor": self.prefix,
            "job": self.job,
            "Job": self.job_prefix,
            "interval": str(self.interval),
        }
        return re.sub(r"\{\{(\w+)\}\}", lambda found: values[found[1]], text)
