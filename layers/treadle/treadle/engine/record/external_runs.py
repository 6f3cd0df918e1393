"""Records of external runs, for the jobs that a deployment observes."""

from collections.abc import Collection
from dataclasses import dataclass

from treadle.definitions.clocks import bounded
from treadle.engine.identity import RunIds
from treadle.engine.record.run_state import Report, fold
from treadle.engine.registry.registry_cache import NO_POOLS, Pools
from treadle.model.runs import Run
from treadle.model.targets import Execution

OBSERVED_TAG = "treadle/observed"
TAGS = {OBSERVED_TAG: "true"}
"""The tags of external runs."""


@dataclass(frozen=True, slots=True)
class ExternalRunRecorder:
    """Decides which external runs get a record, and under which id.

    Attributes:
        jobs: the names of the observed jobs, as currently registered.
        run_ids: generates the ids of their records.
        pools: which pools a run is in.
    """

    jobs: Collection[str]
    run_ids: RunIds
    pools: Pools = NO_POOLS


def observed_run(
    run_id: str, job: str, execution: Execution, observed_at: int, pools: tuple[str, ...] = ()
) -> Run:
    """Return the first record of an external run, as its target described it; it is never due for a launch.

    Args:
        run_id: the record's id.
        job: the job whose target it runs on.
        execution: as the target described it.
        observed_at: when it did.
        pools: the keys of the pools that it is in; it holds slots beyond their limits.
    """
    began = bounded(execution.started_at, observed_at)
    run = Run(
        run_id=run_id,
        job=job,
        sensor="",
        run_key=None,
        tick_id="",
        run_config="{}",
        tags=TAGS,
        pools=pools,
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
