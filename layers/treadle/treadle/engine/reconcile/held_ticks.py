"""RECONCILE's check of held ticks: a deployment may have removed what they are held for."""

import logging
from dataclasses import dataclass, replace

from treadle.definitions.errors import UnreadableRecordError
from treadle.engine.dispatch.dispatcher import Dispatcher
from treadle.engine.outcomes import Decision
from treadle.ports.system import Clock
from treadle.ports.ticks import TickStore

logger = logging.getLogger(__name__)

AGAIN_MS = 300_000
"""When held ticks are checked a second time.

A deployment updates one function after another, so a tick may meet an old DISPATCH. And while the registry
changes, DISPATCH may be about to hold a tick that is not yet held at the first check.
"""

FIRST_PAGE = 1_000
FAR = 1 << 52
"""Later than any time until which a tick can wait, in milliseconds."""


@dataclass(frozen=True, slots=True)
class HeldTicksResult:
    """The results of the ticks that waited.

    Attributes:
        dispatched: ticks that no longer wait.
        failed: ticks that could not be dispatched; they are retried when they are due.
        held: requests that still wait.
        loops: sensors that were found to look like a loop.
        refused: requests and asset events that were refused.
        is_complete: False if time ran out, and the next check continues.
    """

    dispatched: int = 0
    failed: int = 0
    held: int = 0
    loops: int = 0
    refused: int = 0
    is_complete: bool = True


class HeldTicks:
    """Dispatches every tick whose requests are held, regardless of when it is due.

    New settings come with a new process: Lambda starts no invocation in a process whose environment is from
    before an update. So each process does this first, and once more a little later; and again when the
    registry has changed. Ticks that it did not get to are next in the same process.
    """

    def __init__(self, ticks: TickStore, dispatcher: Dispatcher, clock: Clock) -> None:
        self._ticks = ticks
        self._dispatcher = dispatcher
        self._clock = clock
        self._due_at: int | None = 0
        self._again_at: int | None = None
        self._seen: set[tuple[str, str]] = set()
        self._page = FIRST_PAGE

    def renew(self) -> None:
        """Check all of them again, as at first, because the registry has changed."""
        self._due_at, self._again_at = 0, None
        self._seen, self._page = set(), FIRST_PAGE

    def check(self, ends_at: int) -> HeldTicksResult:
        """Dispatch the waiting ticks, if this process still has to.

        Args:
            ends_at: when to stop, in milliseconds.

        Raises:
            StoreError: if the index could not be read.
        """
        now = self._clock.now()
        if self._due_at is None or self._due_at > now:
            return HeldTicksResult()
        if self._again_at is None:
            self._again_at = now + AGAIN_MS
        found = HeldTicksResult()
        while True:
            keys = self._ticks.pending(FAR, self._page)
            for key in keys:
                if key in self._seen:
                    continue
                if self._clock.now() >= ends_at:
                    return replace(found, is_complete=False)
                found = self._dispatch(*key, found)
                self._seen.add(key)
            if len(keys) < self._page:
                break
            # Ticks that still wait are listed again: only a longer list shows those after them.
            self._page *= 2
        self._due_at = self._again_at if self._due_at == 0 else None
        self._seen, self._page = set(), FIRST_PAGE
        return found

    def _dispatch(self, sensor: str, tick_id: str, found: HeldTicksResult) -> HeldTicksResult:
        try:
            tick = self._ticks.get(sensor, tick_id)
            if tick is None or not tick.held_requests or not tick.is_to_be_dispatched:
                return found  # About to be dispatched by its stream, or in chunks.
            outcome = self._dispatcher.dispatch(tick)
        except UnreadableRecordError:
            return found  # Deferred and counted when it is due.
        except Exception:  # Whatever it is, the remaining ones must be processed.
            logger.exception("Held tick %s of sensor %s could not be dispatched", tick_id, sensor)
            return replace(found, failed=found.failed + 1)
        if outcome.decision is Decision.HELD:
            return replace(found, held=found.held + outcome.held, loops=found.loops + outcome.loops)
        return replace(found, dispatched=found.dispatched + 1, refused=found.refused + outcome.refused)
