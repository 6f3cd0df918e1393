"""The check that the engine of a deployed function exists: RECONCILE writes a heartbeat, evaluators read it.

Tables are retained when an engine is deleted, and another engine may use other tables: without this check,
evaluators would keep committing to tables that nobody reads.
"""

import logging

from treadle.definitions.errors import EngineMismatchError, StoreError, UnreadableRecordError
from treadle.engine.identity import timestamp
from treadle.model.engine_state import EngineRecord
from treadle.ports.engine_state import EngineStore
from treadle.ports.system import Clock

logger = logging.getLogger(__name__)

NOTED_MS = 600_000
"""RECONCILE writes its heartbeat every ten minutes."""

STALE_MS = 3_600_000
"""An engine whose RECONCILE has not run for this long is considered gone."""

CHECKED_MS = 3_600_000
"""How long an evaluator relies on a successful check."""

UNKNOWN_MS = 600_000
"""The same where no engine has written a heartbeat yet."""


class Heartbeat:
    """Records which engine uses the tables, and that it is running."""

    def __init__(self, store: EngineStore, engine_id: str, clock: Clock) -> None:
        self._store = store
        self._engine_id = engine_id
        self._clock = clock
        self._noted_at: int | None = None

    def note_if_due(self) -> None:
        """Write the heartbeat unless this process did within the last ten minutes.

        Raises:
            StoreError: if the store did not answer; the next call tries again.
        """
        now = self._clock.now()
        if self._noted_at is None or now - self._noted_at >= NOTED_MS:
            self._store.write(EngineRecord(self._engine_id, now))
            self._noted_at = now


class EngineCheck:
    """Compares the engine that uses the tables with the one for which this function was deployed.

    It takes one request per process and hour. A tick that it refuses commits nothing, so cursors and events
    are kept.

    Args:
        store: stores which engine uses the tables.
        engine_id: the engine for which this function was deployed; "" if unknown, and nothing is checked.
        clock: the clock.
    """

    def __init__(self, store: EngineStore, engine_id: str, clock: Clock) -> None:
        self._store = store
        self._engine_id = engine_id
        self._clock = clock
        self._good_until = 0

    def check(self) -> None:
        """Check the engine, unless that was done within the last hour.

        Raises:
            EngineMismatchError: if it is another engine, or is not running.
        """
        now = self._clock.now()
        if not self._engine_id or now < self._good_until:
            return
        found = self._found()
        if found is None:
            self._good_until = now + UNKNOWN_MS
            return
        if found.engine_id != self._engine_id:
            msg = (
                f"The function was deployed for engine {self._engine_id}, but its tables now belong "
                f"to engine {found.engine_id}. Deploy the project again, so that it reads its "
                "engine's current contract."
            )
            raise EngineMismatchError(msg)
        if now - found.seen_at > STALE_MS:
            msg = (
                f"The engine is not running: its RECONCILE last ran at {timestamp(found.seen_at)}. "
                "If its stack was deleted, deploy the engine, then the project. Otherwise check "
                "RECONCILE's schedule and log."
            )
            raise EngineMismatchError(msg)
        self._good_until = now + CHECKED_MS

    def _found(self) -> EngineRecord | None:
        try:
            return self._store.read()
        except (StoreError, UnreadableRecordError) as error:
            # An outage that prevents commits is reported by itself, and no other engine is known to have
            # taken over.
            logger.warning("It is unknown which engine the tables belong to: %s", error)
            return None
