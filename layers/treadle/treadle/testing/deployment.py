"""A deployment in memory: its sensors, stub functions, and logs."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field

from treadle.definitions.errors import CommandRefusedError, InvocationError
from treadle.model.deployment import DeployedSensor, LogLine

Function = Callable[[Mapping[str, object]], Mapping[str, object]]


@dataclass(slots=True)
class InMemoryDeployment:
    """A `Deployment` in memory.

    Attributes:
        deployed: the sensors.
        functions: the stub of each sensor's function, by sensor.
        lines: the log of each sensor's function, by sensor, oldest first.
        name: the stack's name.
    """

    deployed: list[DeployedSensor]
    functions: dict[str, Function] = field(default_factory=dict)
    lines: dict[str, list[LogLine]] = field(default_factory=dict)
    name: str = "in-memory"

    def sensors(self) -> Mapping[str, DeployedSensor]:
        """Return the sensors by name."""
        return {each.name: each for each in sorted(self.deployed, key=lambda each: each.name)}

    def invoke(
        self, sensor: str, event: Mapping[str, object], *, seconds: int | None = None
    ) -> Mapping[str, object]:
        """Invoke the stub of the sensor's function."""
        del seconds
        self._check(sensor)
        try:
            return self.functions[sensor](event)
        except InvocationError:
            raise
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            msg = f"The function of sensor {sensor} failed: {reason}"
            raise InvocationError(msg, reason=reason) from error

    def logs(self, sensor: str, since: int, until: int | None = None) -> Iterator[LogLine]:
        """Yield the lines of the sensor's log."""
        self._check(sensor)
        yield from (
            line
            for line in self.lines.get(sensor, [])
            if line.at >= since and (until is None or line.at <= until)
        )

    def _check(self, sensor: str) -> None:
        if sensor not in self.sensors():
            msg = f"Stack {self.name!r} has no sensor {sensor!r}; it has: {', '.join(self.sensors()) or 'none'}."
            raise CommandRefusedError(msg)
