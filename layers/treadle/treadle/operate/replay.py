"""Replay: what became of runs or assets in a time range, told once more to one sensor."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import FINISHED_STATUSES, DagsterRunStatus
from treadle.engine.asset_events import materialized
from treadle.engine.bus_events import asset_materialized, envelope, run_status_changed
from treadle.engine.publish import statuses_reached
from treadle.ports.assets import EventStore
from treadle.ports.records import each_readable
from treadle.ports.run_queries import RunQuery
from treadle.ports.runs import Run, RunStore
from treadle.ports.system import Clock, Queue

KEPT = timedelta(days=90)
"""As long as tick records are kept, which say what was evaluated."""

LONGEST = timedelta(days=7)
"""A run that has been under way for longer is not looked for, nor a materialization reported later than that."""

MAX_RUNS = 100_000


@dataclass(frozen=True, slots=True)
class Replayed:
    """What a replay came to.

    Attributes:
        subjects: how many runs were looked at, or assets.
        events: how many events were sent to the sensor.
    """

    subjects: int
    events: int


class Replayer:
    """Tells sensors of runs and assets once more; what a sensor has evaluated it does not evaluate again.

    Args:
        runs: keeps run records.
        assets: keeps events of assets.
        queues: by sensor, its own queue.
        namespace: the engine's, as `account/region/namespace`.
        clock: the time.
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
        """Send a sensor what became of runs in a time range.

        Args:
            sensor: which; one that takes events of runs.
            jobs: whose runs.
            since: statuses reached at this time or later.
            until: and before this time.
            statuses: which.

        Raises:
            CommandRefusedError: if the range is none, begins earlier than it is known what was evaluated, has
                more runs than can be looked at, or the stack has no such sensor.
            StoreError: if a store or the queue did not answer; nothing is doubled by doing it again.
        """
        begin, end = self._range(sensor, since, until)
        looked_at, events = 0, 0
        for job in dict.fromkeys(jobs):
            runs = self._runs_since(job, begin)
            looked_at += len(runs)
            news = [
                each
                for run in runs
                for each in statuses_reached(run)
                if begin <= each.time < end and each.status in statuses
            ]
            news.sort(key=lambda each: (each.time, each.event_id))
            events += len(news)
            told = [run_status_changed(each, self._namespace, number=0) for each in news]
            self._queues[sensor].send([envelope(event, self._namespace) for event in told])
        return Replayed(looked_at, events)

    def replay_assets(
        self, sensor: str, asset_keys: Collection[str], since: datetime, until: datetime
    ) -> Replayed:
        """Send a sensor the materializations of a time range.

        Args:
            sensor: which; one that takes events of assets.
            asset_keys: of which assets, their parts joined by "/".
            since: made at this time or later.
            until: and before this time.

        Raises:
            CommandRefusedError: if the range is none, begins earlier than it is known what was evaluated, or
                the stack has no such sensor.
            StoreError: if a store or the queue did not answer; nothing is doubled by doing it again.
        """
        begin, end = self._range(sensor, since, until)
        reported = begin - int(LONGEST.total_seconds() * 1000)
        keys, events = dict.fromkeys(asset_keys), 0
        for key in keys:
            after = self._assets.number_before(key, reported)
            kept = self._assets.between(key, after)
            made = each_readable(materialized, (each for each in kept if not 0 < each.time < begin))
            told = [
                asset_materialized(each, self._namespace)
                for each in made
                if begin <= int(each.time.timestamp() * 1000) < end
            ]
            events += len(told)
            self._queues[sensor].send([envelope(event, self._namespace) for event in told])
        return Replayed(len(keys), events)

    def _range(self, sensor: str, since: datetime, until: datetime) -> tuple[int, int]:
        """The range in milliseconds, of a sensor that the stack has."""
        if since.utcoffset() is None or until.utcoffset() is None:
            msg = f"The range from {since} to {until} has no time zone: give one, such as +00:00."
            raise CommandRefusedError(msg)
        begin, end = (int(moment.timestamp() * 1000) for moment in (since, until))
        oldest = self._clock.now() - int(KEPT.total_seconds() * 1000)
        if begin >= end:
            raise CommandRefusedError(f"There is no time from {since.isoformat()} to {until.isoformat()}.")
        if begin < oldest:
            msg = (
                f"{since.isoformat()} is more than {KEPT.days} days ago: the records of what was evaluated have "
                "expired, and all of it would be evaluated again. Begin later."
            )
            raise CommandRefusedError(msg)
        if sensor not in self._queues:
            known = ", ".join(sorted(self._queues))
            raise CommandRefusedError(f"The stack has no sensor {sensor!r}; it has: {known}.")
        return begin, end

    def _runs_since(self, job: str, begin: int) -> list[Run]:
        """The runs that may have reached something since: those that have ended since, and those under way."""
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
