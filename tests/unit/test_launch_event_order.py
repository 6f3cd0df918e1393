"""The target's event of a run arrives before the response to its start."""

from typing import Any

import pytest

from tests.support.engine import EngineHarness
from tests.support.launching import RUN_ID, launch, queue_run
from treadle.definitions.errors import LaunchUncertainError
from treadle.definitions.status import DagsterRunStatus as Status

NOON = 1_795_370_400_000


@pytest.mark.parametrize("end", [Status.STARTED, Status.SUCCESS])
def test_start_without_answer_of_which_the_target_has_reported_is_not_tried_again(
    harness: EngineHarness, end: Status
) -> None:
    """A run that has ended is checked no more."""
    run = queue_run(harness)

    def refusals() -> Any:
        harness.recorder().record(harness.change(run, end))
        yield LaunchUncertainError("no answer")

    refused: Any = refusals()
    harness.target.refusals = refused

    launch(harness)

    due = harness.tables.runs[RUN_ID].next_at
    assert harness.tables.runs[RUN_ID].status is end
    assert due is None if end is Status.SUCCESS else due == NOON + 3_600_000
