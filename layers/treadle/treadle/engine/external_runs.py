"""Records of executions that Treadle did not start, for the jobs that a deployment observes."""

from collections.abc import Collection
from dataclasses import dataclass

from treadle.definitions.clocks import bounded
from treadle.engine.identity import RunIds
from treadle.engine.run_state import Report, fold
from treadle.ports.runs import Run
from treadle.ports.targets import Execution

OBSERVED_TAG = "treadle/observed"


@dataclass(frozen=True, slots=True)
class ExternalRunRecorder:
    """Which foreign executions get a record, and under which id.

    Attributes:
        jobs: the names of the jobs, as it is now.
        run_ids: names their records.
    """

    jobs: Collection[str]
    run_ids: RunIds


def observed_run(run_id: str, job: str, execution: Execution, observed_at: int) -> Run:
    """The first record of an execution: as its target described it, and never a launch that is due.

    Args:
        run_id: of the record.
        job: whose target it runs on.
        execution: as the target described it.
        observed_at: when.
    """
    began = bounded(execution.started_at, observed_at)
    run = Run(
        run_id=run_id,
        job=job,
        sensor="",
        run_key=None,
        tick_id="",
        run_config="{}",
        tags={OBSERVED_TAG: "true"},
        created_at=began,
        reached={"1/0": {"QUEUED": began}},
    )
    report = Report(
        1,
        execution.status,
        execution.ended_at or began,
        retry=execution.retry,
        started_at=began,
        external_id=execution.external_id,
        target=execution.target,
        failure=execution.failure,
        observed_at=observed_at,
    )
    return fold(run, report)
