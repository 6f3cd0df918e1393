"""What became of what a sensor asked for: from a tick's request, or a run key, to its run."""

from treadle.definitions.errors import UnreadableRecordError
from treadle.engine.identity import RunIds, timestamp
from treadle.operate.dead_letters import Redriven, Redriver
from treadle.operate.letters import subject_of_letter
from treadle.operate.stories import Story, Telling, closed, request_stands, run_stands, tell_run, tell_tick
from treadle.ports.deployment import Deployment
from treadle.ports.runs import Run, RunStore
from treadle.ports.ticks import PlannedRun, Tick, TickStore

RECENT = 200
"""So many of a sensor's last ticks are looked through for a run key."""


class AskedFor:
    """Follows requests.

    Args:
        deployment: which sensor may start which jobs.
        ticks: keeps tick records.
        runs: keeps run records.
        run_ids: of the deployment's namespace.
        letters: reads the dead letters.
    """

    def __init__(
        self, deployment: Deployment, ticks: TickStore, runs: RunStore, run_ids: RunIds, letters: Redriver
    ) -> None:
        self._deployment = deployment
        self._ticks = ticks
        self._runs = runs
        self._run_ids = run_ids
        self._letters = letters

    def by_key(self, telling: Telling, sensor: str, run_key: str) -> Story | None:
        """What became of a run key; None if the sensor has not asked for it, as far as is recorded."""
        run = self._runs.get(self._run_ids.keyed(sensor, run_key))
        again = self._mention(sensor, run_key)
        if again is not None and (run is None or again.tick_id > run.tick_id):
            asked = next((each for each in again.requests if each.run_key == run_key), None)
            aside = next((each for each in again.set_aside if each.run_key == run_key), None)
            if asked is not None:
                return self.of_request(telling, again, asked)
            if run is not None and run_key in again.existing_keys:
                return self.taken(telling, run, again)
            if aside is not None:
                tell_tick(telling, again)
                telling.add("request", again.ended_at, f"set aside: {aside.reason}", ok=False)
                return telling.end(
                    f"Tick {again.tick_id} set the request for it aside: {closed(aside.reason)}"
                )
        return None if run is None else self.of_run(telling, run)

    def _mention(self, sensor: str, run_key: str) -> Tick | None:
        """The newest of the last ticks that asked for a key, whatever came of it."""
        for tick in self._ticks.latest(sensor, RECENT):
            asked = {each.run_key for each in tick.requests} | {each.run_key for each in tick.set_aside}
            if run_key in asked or run_key in tick.existing_keys:
                return tick
        return None

    def of_request(self, telling: Telling, tick: Tick, request: PlannedRun) -> Story:
        """What became of one request of a committed tick."""
        run = self._runs.get(request.run_id)
        if run is not None and run.tick_id == tick.tick_id:
            return self.of_run(telling, run)
        if run is not None and tick.dispatched is not None:
            return self.taken(telling, run, tick)
        tell_tick(telling, tick)
        granted = self._deployment.sensors()[tick.sensor].jobs
        words, is_open = request_stands(tick, request, granted=request.job in granted)
        telling.add("dispatch", tick.ended_at, words, ok=is_open and tick.trouble is None)
        return self._end(telling, words, tick.tick_id if is_open else None)

    def of_run(self, telling: Telling, run: Run) -> Story:
        """What became of a run, from the tick that asked for its present attempt."""
        self._tell_tick_of(telling, run)
        tell_run(telling, run)
        waits = run.status.value == "QUEUED" and run.claim is None
        return self._end(telling, run_stands(run, telling.now), run.run_id if waits else None)

    def taken(self, telling: Telling, run: Run, again: Tick) -> Story:
        """That a tick asked for a key whose run there was already."""
        self._tell_tick_of(telling, run)
        tell_run(telling, run)
        tell_tick(telling, again)
        telling.add(
            "request", again.ended_at, f"run key {run.run_key!r} was taken by run {run.run_id}", ok=False
        )
        return telling.end(
            f"No new run: tick {again.tick_id} asked for run key {run.run_key!r}, which run {run.run_id} has "
            f"held since {timestamp(run.created_at)}, asked for by tick {run.tick_id}. {run_stands(run, telling.now)}"
        )

    def _tell_tick_of(self, telling: Telling, run: Run) -> None:
        try:
            tick = self._ticks.get(run.sensor, run.tick_id) if run.sensor and run.tick_id else None
        except UnreadableRecordError as error:
            telling.add("tick", None, f"{run.tick_id}: {error.reason}", ok=False)
            return
        if tick is not None:
            tell_tick(telling, tick)
        else:
            telling.add("tick", None, f"{run.tick_id or 'none'}: no longer recorded")

    def _end(self, telling: Telling, words: str, about: str | None) -> Story:
        """The story, with the dead letter that explains why it goes no further, if there is one."""
        letter = self.letter(telling, about) if about else None
        return telling.end(f"{words} {letter}" if letter else words)

    def letter(self, telling: Telling, about: str) -> str | None:
        """The dead letter about a run, a tick or an object, in words; None if there is none.

        Args:
            telling: gets a step for it.
            about: the run's or tick's id, or the object's key.
        """
        found = next((each for each in self._letters.redrive(dry_run=True) if _is_about(each, about)), None)
        if found is None:
            return None
        given = found.letter.attributes
        why = given.get("reason") or given.get("ERROR_CODE") or found.reason
        words = f"It is a dead letter of {found.origin}, given up as {closed(why)} Mend that, then: treadle dlq redrive"
        telling.add("dead letter", None, words, ok=False)
        return words


def _is_about(found: Redriven, about: str) -> bool:
    subject = subject_of_letter(found.letter)
    return about == subject or about in subject.split()
