"""Replay: sends the events of runs or assets in a time range to one sensor again."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from treadle.definitions.clocks import check_time
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import FINISHED_STATUSES, DagsterRunStatus
from treadle.engine.assets.asset_events import materialized
from treadle.engine.publish.bus_events import asset_recorded, envelope, run_status_changed
from treadle.engine.publish.publisher import statuses_reached
from treadle.model.records import each_readable
from treadle.model.run_queries import RunQuery
from treadle.model.runs import Run
from treadle.ports.assets import EventStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock, Queue

KEPT = timedelta(days=90)
"""How long tick records are kept; they show what was evaluated."""

LONGEST = timedelta(days=7)
"""Runs that have been in progress for longer, and materializations reported later than this, are not found.
"""

MAX_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """The result of a replay.

    Attributes:
        subjects: the number of runs or assets that were read.
        events: the number of events that were sent to the sensor.
    """

    subjects: int
    events: int


class Replayer:
    """Resends events of runs and assets to sensors; a sensor does not evaluate an event a second time.

    Args:
        runs: run records.
        assets: events of assets.
        queues: each sensor's queue, by sensor name.
        namespace: the engine's, as `account/region/namespace`.
        clock: the clock.
    """

    def __init__(
        self, runs: RunStore, assets: EventStore, queues: Mapping[str, Queue], namespace: str, clock: Clock
    ) -> None:
        self._runs = runs
        self._assets = assets
        self._queues = queues
        self._namespace = namespace
        self._clock = clock

    def replay_runs(
        self,
        sensor: str,
        jobs: Collection[str],
        since: datetime,
        until: datetime,
        statuses: Collection[DagsterRunStatus],
    ) -> Replayed:
        """Send the status changes of runs in a time range to a sensor.

        Args:
            sensor: a sensor that takes run events.
            jobs: the jobs whose runs are replayed.
            since: start of the range, inclusive.
            until: end of the range, exclusive.
            statuses: the statuses to send.

        Raises:
            CommandRefusedError: if the range is empty, begins before the oldest tick records, has more runs
                than can be read, or the stack has no such sensor.
            StoreError: if a store or the queue did not respond; a repeated replay creates no duplicates.
        """
        begin, end = self._range(sensor, since, until)
        run_count, events = 0, 0
        for job in dict.fromkeys(jobs):
            runs = self._runs_since(job, begin)
            run_count += len(runs)
            changes = [
                each
                for run in runs
                for each in statuses_reached(run)
                if begin <= each.time < end and each.status in statuses
            ]
            changes.sort(key=lambda each: (each.time, each.event_id))
            events += len(changes)
            bus_events = [run_status_changed(each, self._namespace, number=0) for each in changes]
            self._queues[sensor].send([envelope(event, self._namespace) for event in bus_events])
        return Replayed(run_count, events)

    def replay_assets(
        self, sensor: str, asset_keys: Collection[str], since: datetime, until: datetime
    ) -> Replayed:
        """Send the materializations of a time range to a sensor.

        Args:
            sensor: a sensor that takes asset events.
            asset_keys: the assets; the parts of a key are joined by "/".
            since: start of the range, inclusive.
            until: end of the range, exclusive.

        Raises:
            CommandRefusedError: if the range is empty, begins before the oldest tick records, or the stack
                has no such sensor.
            StoreError: if a store or the queue did not respond; a repeated replay creates no duplicates.
        """
        begin, end = self._range(sensor, since, until)
        reported = begin - int(LONGEST.total_seconds() * 1000)
        keys, events = dict.fromkeys(asset_keys), 0
        for key in keys:
            after = self._assets.number_before(key, reported)
            kept = self._assets.between(key, after)
            made = each_readable(materialized, (each for each in kept if not 0 < each.time < begin))
            bus_events = [
                asset_recorded(each, self._namespace)
                for each in made
                if begin <= int(each.time.timestamp() * 1000) < end
            ]
            events += len(bus_events)
            self._queues[sensor].send([envelope(event, self._namespace) for event in bus_events])
        return Replayed(len(keys), events)

    def _range(self, sensor: str, since: datetime, until: datetime) -> tuple[int, int]:
        """Validate a sensor's range and return it in milliseconds."""
        for end_of, time in (("start", since), ("end", until)):
            check_time(f"The {end_of} of the range", time, CommandRefusedError)
        begin, end = (int(time.timestamp() * 1000) for time in (since, until))
        oldest = self._clock.now() - int(KEPT.total_seconds() * 1000)
        if begin >= end:
            raise CommandRefusedError(
                f"The range from {since.isoformat()} to {until.isoformat()} is empty. Give an end after the start."
            )
        if begin < oldest:
            msg = (
                f"{since.isoformat()} is more than {KEPT.days} days ago: the records of evaluated events have "
                "expired, so all of them would be evaluated again. Start the range later."
            )
            raise CommandRefusedError(msg)
        if sensor not in self._queues:
            known = ", ".join(sorted(self._queues))
            raise CommandRefusedError(f"The stack has no sensor {sensor!r}; it has: {known}.")
        return begin, end

    def _runs_since(self, job: str, begin: int) -> list[Run]:
        """Return the runs that may have changed since then: those that ended since, and those in progress."""
        ended = RunQuery(
            job=job, statuses=FINISHED_STATUSES, updated=(begin - 1, None), by_update=True, limit=MAX_RUNS
        )
        under_way = RunQuery(
            job=job,
            statuses=frozenset(DagsterRunStatus) - FINISHED_STATUSES,
            created=(begin - int(LONGEST.total_seconds() * 1000), None),
            limit=MAX_RUNS,
        )
        found = [self._runs.find(query) for query in (ended, under_way)]
        if any(len(runs) >= MAX_RUNS for runs in found):
            msg = f"Job {job!r} has more than {MAX_RUNS:,} runs since then: replay a shorter range, the latest first."
            raise CommandRefusedError(msg)
        return [run for runs in found for run in runs]
