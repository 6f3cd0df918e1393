"""An operator's withdrawal of what a sensor has requested and has not been started."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import islice

from treadle.definitions.errors import StoreError, TreadleError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Run
from treadle.model.ticks import TickTrouble
from treadle.operate.drops import TickDrops
from treadle.operate.paging import each_page
from treadle.operate.runs import RunOperations
from treadle.operate.ticks import TickHistory

MOST = 10_000
"""The maximum number of runs, and of ticks, of one withdrawal."""

_PAGE = 200


@dataclass(frozen=True, slots=True)
class Outstanding:
    """What a sensor has requested and has not been started.

    Attributes:
        runs: those that wait for their launch, a slot of a pool, or a retry, newest first.
        ticks: the ids of ticks with held requests, newest first.
    """

    runs: tuple[Run, ...] = ()
    ticks: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.runs or self.ticks)


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The result of a withdrawal.

    Attributes:
        canceled: the ids of the runs that were canceled, or sent to their target to be canceled.
        dropped: the ids of the ticks whose held requests were dropped.
        refused: why others were not, by their ids.
    """

    canceled: tuple[str, ...] = ()
    dropped: tuple[str, ...] = ()
    refused: Mapping[str, str] = field(default_factory=dict)


class Withdrawals:
    """Cancels runs that have not started, and drops held requests.

    Args:
        ticks: reads ticks.
        drops: drops held requests.
        runs: cancels runs.
    """

    def __init__(self, ticks: TickHistory, drops: TickDrops, runs: RunOperations) -> None:
        self._ticks = ticks
        self._drops = drops
        self._runs = runs

    def outstanding(self, sensor: str) -> Outstanding:
        """Return what a sensor has requested and has not been started; a tick that is being dispatched is not seen.

        Raises:
            StoreError: if a store did not respond.
        """
        statuses = {Status.QUEUED, Status.FAILURE}
        pages = each_page(
            lambda before: self._runs.page(sensor=sensor, statuses=statuses, before=before, limit=_PAGE)
        )
        held = each_page(
            lambda before: self._ticks.page(sensor, before=before, limit=_PAGE, statuses={TickTrouble.HELD})
        )
        runs = (
            run
            for page in pages
            for run in page.runs
            if run.status is Status.QUEUED or run.retry_at is not None
        )
        ticks = (tick.tick_id for page in held for tick in page.ticks if not tick.is_dropped)
        return Outstanding(tuple(islice(runs, MOST)), tuple(islice(ticks, MOST)))

    def withdraw(self, sensor: str, found: Outstanding, by: str) -> Withdrawn:
        """Cancel the runs, and drop the held requests, one after the other; one that is refused stops no other.

        Args:
            sensor: the sensor.
            found: what it has requested.
            by: the operator.

        Raises:
            StoreError: if a store did not respond; it is safe to repeat.
        """
        refused: dict[str, str] = {}

        def succeeds(name: str, act: Callable[[], object]) -> bool:
            try:
                act()
            except StoreError:
                raise
            except TreadleError as error:
                refused[name] = str(error)
            return name not in refused

        # Ticks first: what they hold must not become runs meanwhile.
        ticks = [each for each in found.ticks if succeeds(each, lambda: self._drops.drop(sensor, each, by))]  # noqa: B023
        ids = [each.run_id for each in found.runs]
        runs = [each for each in ids if succeeds(each, lambda: self._runs.cancel(each, by))]  # noqa: B023
        return Withdrawn(tuple(runs), tuple(ticks), refused)
