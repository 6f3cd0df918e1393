"""A sensor's tick history for operators: pages and single ticks, including the current skip streak."""

from collections.abc import Collection

from treadle.definitions.errors import CommandRefusedError, UnreadableRecordError
from treadle.definitions.status import TickStatus
from treadle.engine.tick.scheduled_ticks import streak_tick
from treadle.model.runs import Run, unreadable_run
from treadle.model.sensors import SensorState
from treadle.model.ticks import Tick, TickPage, TickSummary, TickTrouble, outline
from treadle.ports.runs import RunStore
from treadle.ports.sensors import SensorStore
from treadle.ports.ticks import TickStore

DEFAULT_LIMIT = 50


class TickHistory:
    """Reads ticks.

    Args:
        sensors: the sensors' state, with the current skip streak.
        ticks: tick records.
        runs: run records.
    """

    def __init__(self, sensors: SensorStore, ticks: TickStore, runs: RunStore) -> None:
        self._sensors = sensors
        self._ticks = ticks
        self._runs = runs

    def page(
        self,
        sensor: str,
        *,
        before: str | None = None,
        limit: int = DEFAULT_LIMIT,
        statuses: Collection[TickStatus | TickTrouble] | None = None,
    ) -> TickPage:
        """Return a page of a sensor's ticks, newest first, including the current skip streak.

        Args:
            sensor: the sensor's name.
            before: `next` of the previous page; None for the newest.
            limit: the maximum number; a page may hold fewer, or none, and still have a next page.
            statuses: only ticks with one of these statuses or troubles; None for all.

        Raises:
            StoreError: if a store did not respond.
        """
        page = self._ticks.page(sensor, before=before, limit=limit, statuses=statuses)
        streak = streak_outline(self._sensors.get_many([sensor])[sensor])
        if streak is None or (statuses is not None and TickStatus.SKIPPED not in statuses):
            return page
        is_here = (before is None or streak.tick_id < before) and (
            page.next is None or streak.tick_id > page.next
        )
        if not is_here or any(each.tick_id == streak.tick_id for each in page.ticks):
            return page
        ticks = sorted([*page.ticks, streak], key=lambda each: each.tick_id, reverse=True)
        if len(ticks) <= limit:
            return TickPage(tuple(ticks), page.next)
        return TickPage(tuple(ticks[:limit]), ticks[limit - 1].tick_id)

    def get(self, sensor: str, tick_id: str) -> Tick:
        """Return a tick with its requests and its log.

        Raises:
            CommandRefusedError: if the tick does not exist.
            StoreError: if a store did not respond.
        """
        tick = self._ticks.get(sensor, tick_id)
        if tick is not None:
            return tick
        skips = self._sensors.get(sensor).skips
        if skips is not None and skips.first_tick_id == tick_id:
            return streak_tick(sensor, skips)
        msg = f"Sensor {sensor} has no tick {tick_id}: records are kept for 90 days, and consecutive skips share one record."
        raise CommandRefusedError(msg)

    def neighbors(self, sensor: str, tick_id: str) -> tuple[str | None, str | None]:
        """Return the ids of the ticks before and after one; None where there is none.

        Raises:
            StoreError: if a store did not respond.
        """
        older = self.page(sensor, before=tick_id, limit=1).ticks
        streak = streak_outline(self._sensors.get_many([sensor])[sensor])
        newer = [self._ticks.next_id(sensor, tick_id), streak.tick_id if streak else None]
        return (
            older[0].tick_id if older else None,
            min((each for each in newer if each is not None and each > tick_id), default=None),
        )

    def runs(self, tick: Tick, limit: int = 100) -> list[Run]:
        """Return the existing runs of a tick's requests, in the order of the requests.

        Args:
            tick: the tick.
            limit: the maximum number of requests that are read.

        Raises:
            StoreError: if the store did not respond.
        """
        names = [each.run_id for each in tick.requests[:limit]]
        found = self._runs.get_many(names)
        runs = (found.get(name) or self._unreadable(name, tick) for name in names)
        return [run for run in runs if run is not None]

    def _unreadable(self, run_id: str, tick: Tick) -> Run | None:
        """Return a placeholder for a run whose record exists but cannot be read."""
        if tick.dispatched is None:
            return None
        try:
            return self._runs.get(run_id)
        except UnreadableRecordError as error:
            job = next(each.job for each in tick.requests if each.run_id == run_id)
            return unreadable_run(run_id, job, tick.sensor, tick.ended_at, error.reason)


def streak_outline(state: SensorState) -> TickSummary | None:
    """Return the current skip streak as one tick; None if the last tick was not skipped."""
    return None if state.skips is None else outline(streak_tick(state.sensor, state.skips))
