"""Run records as a sensor's author sees them."""

import json

from treadle.definitions.runs import WILL_RETRY_TAG, DagsterRun, RunFailure, RunRecord, from_millis
from treadle.definitions.status import DagsterRunStatus
from treadle.model.runs import Failure, Run

_SUCCESS = DagsterRunStatus.SUCCESS.value


def dagster_run(run: Run, location: str = "") -> DagsterRun:
    """Return the run of a record.

    Args:
        run: the record.
        location: the stack that stores it, as `account/region/namespace`.
    """
    return DagsterRun(
        run.run_id,
        run.job,
        run.status,
        dict(run.tags) if run.retry_at is None else {**run.tags, WILL_RETRY_TAG: "true"},
        json.loads(run.run_config),
        run.run_key,
        run.sensor or None,
        run.attempt,
        run.external_id,
        run_failure(run.failure),
        location,
    )


def run_failure(failure: Failure | None) -> RunFailure | None:
    """Return a failure as an author sees it."""
    if failure is None:
        return None
    return RunFailure(failure.error, failure.cause, failure.steps)


def run_record(run: Run, location: str = "") -> RunRecord:
    """Return the record with its times.

    Args:
        run: the record.
        location: the stack that stores it, as `account/region/namespace`.
    """
    return RunRecord(
        dagster_run(run, location),
        from_millis(run.created_at),
        from_millis(run.updated_at),
        None if run.started_at is None else run.started_at / 1000,
        None if run.ended_at is None else run.ended_at / 1000,
        tuple(sorted(reached[_SUCCESS] / 1000 for reached in run.reached.values() if _SUCCESS in reached)),
    )
