"""Committed ticks, and the results of DISPATCH."""

from dataclasses import replace

from tests.support.engine import JOB, RUN_IDS, EngineHarness
from treadle.definitions.status import TickStatus
from treadle.engine.identity import leased_tick_id
from treadle.engine.outcomes import Outcome
from treadle.model.runs import Run
from treadle.model.ticks import DispatchCounts, PlannedRun, Tick, TickKind

NOON = 1_795_370_400_000


def committed(
    harness: EngineHarness,
    *keys: str | None,
    number: int = 1,
    status: TickStatus = TickStatus.SUCCESS,
    config: str = "{}",
    job: str = JOB,
    at: int = NOON,
) -> Tick:
    """Return a tick with a request for each key, as the evaluator commits it."""
    tick_id = leased_tick_id(NOON + number * 60_000, number)
    requests = tuple(
        PlannedRun(
            RUN_IDS.keyed("watch", key) if key else RUN_IDS.keyless("watch", tick_id, index),
            key,
            job,
            config,
            {"t": "1"},
        )
        for index, key in enumerate(keys)
    )
    tick = Tick("watch", tick_id, TickKind.LEASED, status, NOON, at, at, requests=requests)
    harness.tables.ticks["watch", tick_id] = tick
    return tick


def dispatch(harness: EngineHarness, tick: Tick) -> Outcome:
    """Dispatch a tick."""
    return harness.dispatcher().dispatch(tick)


def change(harness: EngineHarness, key: str, **fields: object) -> Run:
    """Change the run of a key directly in the store."""
    run_id = RUN_IDS.keyed("watch", key)
    harness.tables.runs[run_id] = replace(harness.tables.runs[run_id], **fields)  # type: ignore[arg-type]
    return harness.tables.runs[run_id]


def launched(harness: EngineHarness) -> list[object]:
    """Return the runs for which launch messages were sent, and empty the queue."""
    return [body["run_id"] for body in harness.launches.drain()]


def counts(harness: EngineHarness, tick: Tick) -> DispatchCounts | None:
    """Return the dispatch counts in the tick's record."""
    return harness.tables.ticks[tick.sensor, tick.tick_id].dispatched
