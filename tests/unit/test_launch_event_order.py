"""The target tells of a run before the launch has heard from it."""

from typing import Any

import pytest

from tests.support.house import House
from tests.support.launching import RUN_ID, launch, queue_run
from treadle.definitions.errors import LaunchUncertainError
from treadle.definitions.status import DagsterRunStatus as Status

NOON = 1_795_370_400_000


@pytest.mark.parametrize("end", [Status.STARTED, Status.SUCCESS])
def test_start_without_answer_of_which_the_target_has_told_is_not_tried_again(
    house: House, end: Status
) -> None:
    """A run that has ended is looked at no more."""
    run = queue_run(house)

    def refusals() -> Any:
        house.recorder().record(house.change(run, end))
        yield LaunchUncertainError("no answer")

    told: Any = refusals()
    house.target.refusals = told

    launch(house)

    due = house.tables.runs[RUN_ID].next_at
    assert house.tables.runs[RUN_ID].status is end
    assert due is None if end is Status.SUCCESS else due == NOON + 3_600_000
