"""Follows a function's log: each line once, as it comes, however late the log shows it."""

from collections.abc import Callable, Iterator

from treadle.ports.deployment import Deployment, LogLine
from treadle.ports.system import Clock

LATE_MS = 30_000
"""A line may be shown by so much later than it was written."""

PAUSE_SECONDS = 2.0


def follow(
    deployment: Deployment, sensor: str, since: int, clock: Clock, sleep: Callable[[float], object]
) -> Iterator[LogLine]:
    """The lines of a sensor's log since a time, and then each further one, for ever.

    Args:
        deployment: the stack.
        sensor: its name.
        since: when the first of interest was written.
        clock: the time.
        sleep: waits between two looks, in seconds.

    Raises:
        CommandRefusedError: if there is no such sensor.
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
