"""Asks for one run."""

from treadle import JobDefinition, RunRequest, evaluator, sensor


@sensor(job=JobDefinition("finish"), minimum_interval_seconds=60)
def polled() -> RunRequest:
    return RunRequest(run_key="once")


handler = evaluator(polled)
