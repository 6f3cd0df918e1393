"""The filter before the commit asks the runs each time: what it once knew may no longer hold."""

from tests.support.dispatching import change, committed, dispatch
from tests.support.house import House, sensor_of
from treadle.definitions.results import RunRequest
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.evaluation import Budget

NOON = 1_795_370_400_000


def test_key_that_was_taken_is_asked_for_once_it_may_start_again(house: House) -> None:
    """One process, two ticks; in between an operator grants another attempt."""
    dispatch(house, committed(house, "k"))
    change(house, "k", status=Status.FAILURE, tried=None, external_id="e")
    ticks = house.leased(sensor_of(lambda: RunRequest("k")))

    ticks.tick(NOON + 600_000, Budget(60))
    change(house, "k", granted=2)
    ticks.tick(NOON + 660_000, Budget(60))

    asked = [tick for tick in house.tick_records()[1:] if tick.status is TickStatus.SUCCESS]
    assert [request.run_key for tick in asked for request in tick.requests] == ["k"]
