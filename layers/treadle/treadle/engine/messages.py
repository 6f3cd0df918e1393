"""The messages that components send each other through queues."""

from dataclasses import dataclass, field

from treadle.model.runs import Run


@dataclass(frozen=True, slots=True)
class LaunchRequest:
    """A request to start an attempt of a run.

    Attributes:
        run_id: the run's id.
        attempt: the attempt's number.
        job: the run's job.
        hops: how often LAUNCH has sent the message on to itself.
    """

    run_id: str
    attempt: int
    job: str
    hops: int = field(default=0, compare=False)


def launch_message(run: Run) -> dict[str, object]:
    """Return the message that requests LAUNCH to start a run's current attempt, the first of its chain."""
    return {"treadle": "launch", "run_id": run.run_id, "attempt": run.attempt, "job": run.job}
