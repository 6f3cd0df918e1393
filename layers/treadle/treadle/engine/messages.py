"""What the steps say to each other on their queues."""

from dataclasses import dataclass, field

from treadle.ports.runs import Run


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """Which attempt of which run is to be started.

    Attributes:
        run_id: of the run.
        attempt: which start.
        job: the run's job.
        hops: how often LAUNCH has sent the message on to itself.
    """

    run_id: str
    attempt: int
    job: str
    hops: int = field(default=0, compare=False)


def launch_message(run: Run) -> dict[str, object]:
    """The message that asks LAUNCH for a run's present attempt, the first of its chain."""
    return {"treadle": "launch", "run_id": run.run_id, "attempt": run.attempt, "job": run.job}
