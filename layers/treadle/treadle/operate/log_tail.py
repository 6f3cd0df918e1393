"""Follows a function's log: yields each line once, even if CloudWatch shows it late."""

from collections.abc import Callable, Iterator

from treadle.model.deployment import LogLine
from treadle.ports.deployment import Deployment
from treadle.ports.system import Clock

LATE_MS = 30_000
"""Maximum delay between the writing of a line and its appearance in the log."""

PAUSE_SECONDS = 2.0


def follow(
    deployment: Deployment, sensor: str, since: int, clock: Clock, sleep: Callable[[float], object]
) -> Iterator[LogLine]:
    """Yield the lines of a sensor's log since a time, and then new ones indefinitely.

    Args:
        deployment: the stack.
        sensor: the sensor's name.
        since: time of the oldest line to yield, in milliseconds.
        clock: the clock.
        sleep: waits between two reads, in seconds.

    Raises:
        CommandRefusedError: if the sensor does not exist.
        DeploymentError: if its log cannot be read.
    """
    shown: dict[str, int] = {}
    while True:
        begun = clock.now()
        for line in deployment.logs(sensor, since):
            if line.line_id not in shown:
                shown[line.line_id] = line.at
                yield line
        since = max(since, begun - LATE_MS)
        shown = {name: at for name, at in shown.items() if at >= since}
        sleep(PAUSE_SECONDS)
