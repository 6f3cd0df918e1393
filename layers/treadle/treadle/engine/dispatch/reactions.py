"""Notes on runs that sensors acted on their statuses."""

import logging
from collections.abc import Sequence
from dataclasses import replace

from treadle.definitions.errors import StoreRejectedError, UnreadableRecordError
from treadle.definitions.status import TickStatus
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.model.runs import Reaction, Run
from treadle.model.ticks import Tick
from treadle.ports.runs import RunStore

logger = logging.getLogger(__name__)

KEPT_REACTIONS = 100
"""The number of reactions that are kept on a run, the latest."""

_NOT_NOTED = "The note that sensor %s acted on %s was not written"


class ReactionNotes:
    """Records on runs that sensors acted on them.

    Args:
        runs: stores run records.
    """

    def __init__(self, runs: RunStore) -> None:
        self._runs = runs

    def note_many(self, ticks: Sequence[Tick]) -> frozenset[str]:
        """Record the reactions of ticks: one request reads the runs, and one writes 25 of them.

        Args:
            ticks: as committed.

        Returns:
            The ids of the ticks whose reaction is recorded; `note` records those of the others.

        Raises:
            StoreError: if the store did not answer; some may be recorded.
        """
        reactions = [(tick, found) for tick in ticks if (found := reaction_of(tick))]
        if len(reactions) < 2:
            return frozenset()
        before = self._runs.get_many(list(dict.fromkeys(_run_of(reaction) for _, reaction in reactions)))
        after = dict(before)
        for _, reaction in reactions:
            if (run := after.get(_run_of(reaction))) is not None:
                after[run.run_id] = _noted(run, reaction)
        changes = [(run, before[run_id]) for run_id, run in after.items() if run != before[run_id]]
        results = self._runs.replace_many(changes)
        unwritten = {
            run.run_id for (run, _), result in zip(changes, results, strict=True) if result is not None
        }
        noted = before.keys() - unwritten
        return frozenset(tick.tick_id for tick, reaction in reactions if _run_of(reaction) in noted)

    def note(self, tick: Tick) -> None:
        """Record a tick's reaction, if it has one, once; a run of another stack has no record here.

        Raises:
            StoreError: if the store did not answer.
        """
        reaction = reaction_of(tick)
        if reaction is None:
            return
        try:
            run = self._runs.get(_run_of(reaction))
        except UnreadableRecordError:
            logger.exception(_NOT_NOTED, tick.sensor, reaction.event_id)
            return
        if run is None:
            return
        try:
            update_with_optimistic_lock(self._runs, run, lambda current: _noted(current, reaction))
        except StoreRejectedError:
            # Such as a record of the maximum size: the tick's requests matter more than the note.
            logger.exception(_NOT_NOTED, tick.sensor, reaction.event_id)


def reaction_of(tick: Tick) -> Reaction | None:
    """Return the reaction of a tick that is to be dispatched, if it acted on an event of a run."""
    if tick.acted_on is None or tick.status is not TickStatus.SUCCESS or tick.dispatched is not None:
        return None
    return Reaction(tick.sensor, tick.acted_on, tick.tick_id, tick.ended_at)


def _run_of(reaction: Reaction) -> str:
    return reaction.event_id.partition("/")[0]


def _noted(run: Run, reaction: Reaction) -> Run:
    """Return the run with the reaction, which it has once."""
    event = (reaction.sensor, reaction.event_id)
    if any((each.sensor, each.event_id) == event for each in run.reactions):
        return run
    return replace(run, reactions=(*run.reactions, reaction)[-KEPT_REACTIONS:])
