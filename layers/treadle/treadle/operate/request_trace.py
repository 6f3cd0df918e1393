"""Traces requests: from a tick's request, or a run key, to its run."""

from treadle.definitions.errors import UnreadableRecordError
from treadle.engine.identity import RunIds, timestamp
from treadle.model.runs import Run
from treadle.model.ticks import PlannedRun, Tick
from treadle.operate.explanation import (
    Explanation,
    ExplanationBuilder,
    add_run,
    add_tick,
    closed,
    describe_request,
    describe_run,
)
from treadle.operate.redrive import Redriver
from treadle.operate.redrive_routes import is_about
from treadle.ports.deployment import Deployment
from treadle.ports.runs import RunStore
from treadle.ports.ticks import TickStore

RECENT = 200
"""Number of a sensor's last ticks that are searched for a run key."""


class RequestTracer:
    """Traces requests.

    Args:
        deployment: the jobs that each sensor may start.
        ticks: tick records.
        runs: run records.
        run_ids: the deployment's run ids.
        letters: reads the dead letters.
    """

    def __init__(
        self, deployment: Deployment, ticks: TickStore, runs: RunStore, run_ids: RunIds, redriver: Redriver
    ) -> None:
        self._deployment = deployment
        self._ticks = ticks
        self._runs = runs
        self._run_ids = run_ids
        self._redriver = redriver

    def by_key(self, explanation: ExplanationBuilder, sensor: str, run_key: str) -> Explanation | None:
        """Explain what happened to a run key; return None if no request for it is recorded."""
        run = self._runs.get(self._run_ids.keyed(sensor, run_key))
        again = self._mention(sensor, run_key)
        if again is not None and (run is None or again.tick_id > run.tick_id):
            requested = next((each for each in again.requests if each.run_key == run_key), None)
            rejected = next((each for each in again.rejected if each.run_key == run_key), None)
            if requested is not None:
                return self.of_request(explanation, again, requested)
            if run is not None and run_key in again.existing_keys:
                return self.taken(explanation, run, again)
            if rejected is not None:
                add_tick(explanation, again)
                explanation.add("request", again.ended_at, f"rejected: {rejected.reason}", ok=False)
                return explanation.end(
                    f"Tick {again.tick_id} rejected its request: {closed(rejected.reason)}"
                )
        return None if run is None else self.of_run(explanation, run)

    def _mention(self, sensor: str, run_key: str) -> Tick | None:
        """Return the newest of the last ticks that requested a key, whatever the result."""
        for tick in self._ticks.latest(sensor, RECENT):
            keys = {each.run_key for each in tick.requests} | {each.run_key for each in tick.rejected}
            if run_key in keys or run_key in tick.existing_keys:
                return tick
        return None

    def of_request(self, explanation: ExplanationBuilder, tick: Tick, request: PlannedRun) -> Explanation:
        """Explain what happened to one request of a committed tick."""
        run = self._runs.get(request.run_id)
        if run is not None and run.tick_id == tick.tick_id:
            return self.of_run(explanation, run)
        if run is not None and tick.dispatched is not None:
            return self.taken(explanation, run, tick)
        add_tick(explanation, tick)
        granted = self._deployment.sensors()[tick.sensor].jobs
        text, is_open = describe_request(tick, request, granted=request.job in granted)
        explanation.add("dispatch", tick.ended_at, text, ok=is_open and tick.trouble is None)
        return self._end(explanation, text, tick.tick_id if is_open else None)

    def of_run(self, explanation: ExplanationBuilder, run: Run) -> Explanation:
        """Explain a run, from the tick that requested its current attempt."""
        self._add_tick_of(explanation, run)
        add_run(explanation, run)
        # A run that waits for a pool has no message that could be a dead letter.
        text = describe_run(run, explanation.now, explanation.waits(run))
        return self._end(explanation, text, run.run_id if run.may_launch else None)

    def taken(self, explanation: ExplanationBuilder, run: Run, again: Tick) -> Explanation:
        """Explain that the run key of a request had a run already."""
        self._add_tick_of(explanation, run)
        add_run(explanation, run)
        add_tick(explanation, again)
        explanation.add(
            "request",
            again.ended_at,
            f"run key {run.run_key!r} already belonged to run {run.run_id}",
            ok=False,
        )
        return explanation.end(
            f"No new run: tick {again.tick_id} requested run key {run.run_key!r}, which has belonged to run "
            f"{run.run_id} since {timestamp(run.created_at)}; tick {run.tick_id} requested that run. "
            f"{describe_run(run, explanation.now, explanation.waits(run))}"
        )

    def _add_tick_of(self, explanation: ExplanationBuilder, run: Run) -> None:
        try:
            tick = self._ticks.get(run.sensor, run.tick_id) if run.sensor and run.tick_id else None
        except UnreadableRecordError as error:
            explanation.add("tick", None, f"{run.tick_id}: {error.reason}", ok=False)
            return
        if tick is not None:
            add_tick(explanation, tick)
        else:
            explanation.add("tick", None, f"{run.tick_id or 'none'}: no longer recorded")

    def _end(self, explanation: ExplanationBuilder, text: str, about: str | None) -> Explanation:
        """Complete the explanation, with the dead letter that explains why the run is stuck, if there is one."""
        dead_letter = self.dead_letter(explanation, about) if about else None
        return explanation.end(f"{text} {dead_letter}" if dead_letter else text)

    def dead_letter(self, explanation: ExplanationBuilder, about: str) -> str | None:
        """Describe the dead letter of a run, a tick, an object or an event; return None if there is none.

        Args:
            explanation: a step is added to it.
            about: the run's, tick's or event's id, or the object's key.
        """
        found = next(
            (each for each in self._redriver.redrive(dry_run=True) if is_about(each.dead_letter, about)), None
        )
        if found is None:
            return None
        given = found.dead_letter.attributes
        why = given.get("reason") or given.get("ERROR_CODE") or found.reason
        detail = (
            f"It is a dead letter of {found.origin}: {closed(why)} Fix the cause, then: treadle dlq redrive"
        )
        explanation.add("dead letter", None, detail, ok=False)
        return detail
