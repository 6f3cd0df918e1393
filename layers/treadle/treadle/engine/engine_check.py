"""Whether the engine for which a function was deployed is there: RECONCILE notes it, and evaluators look before they tick.

Tables are kept when an engine is deleted, and another engine may have others: without this, evaluators would go on
committing to tables that nobody reads.
"""

import logging

from treadle.definitions.errors import EngineMismatchError, StoreError, UnreadableRecordError
from treadle.engine.identity import timestamp
from treadle.ports.engine_state import EngineRecord, EngineStore
from treadle.ports.system import Clock

logger = logging.getLogger(__name__)

NOTED_MS = 600_000
"""RECONCILE notes that it runs every ten minutes."""

STALE_MS = 3_600_000
"""An engine whose RECONCILE has not run for so long is taken for gone."""

CHECKED_MS = 3_600_000
"""An evaluator that has found its engine looks again after so long."""

UNKNOWN_MS = 600_000
"""The same where no engine has noted itself yet."""


class Heartbeat:
    """Notes which engine reads the tables, and that it runs.

    Args:
        store: keeps the note.
        engine_id: the engine's.
        clock: the time.
    """

    def __init__(self, store: EngineStore, engine_id: str, clock: Clock) -> None:
        self._store = store
        self._engine_id = engine_id
        self._clock = clock
        self._noted_at: int | None = None

    def note_if_due(self) -> None:
        """Note it unless this process did within the last ten minutes.

        Raises:
            StoreError: if the store did not answer; the next call notes it.
        """
        now = self._clock.now()
        if self._noted_at is None or now - self._noted_at >= NOTED_MS:
            self._store.write(EngineRecord(self._engine_id, now))
            self._noted_at = now


class EngineCheck:
    """Compares the engine that reads the tables with the one for which this function was deployed.

    One request per process and hour. Nothing is committed by a tick that this refuses, so cursors and events stay.

    Args:
        store: keeps which engine reads the tables.
        engine_id: of the engine for which this function was deployed; "" if that is not known, and nothing is checked.
        clock: the time.
    """

    def __init__(self, store: EngineStore, engine_id: str, clock: Clock) -> None:
        self._store = store
        self._engine_id = engine_id
        self._clock = clock
        self._good_until = 0

    def check(self) -> None:
        """Look at the engine, unless that was done within the last hour.

        Raises:
            EngineMismatchError: if it is another engine, or does not run.
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
                f"The function was deployed for engine {self._engine_id}, and its tables are read by engine "
                f"{found.engine_id}. Deploy the project again, with the present contract of its engine."
            )
            raise EngineMismatchError(msg)
        if now - found.seen_at > STALE_MS:
            msg = (
                f"The engine does not run: its RECONCILE ran last at {timestamp(found.seen_at)}. Was its stack deleted? "
                "Deploy the engine, then the project; or look at RECONCILE's schedule and log."
            )
            raise EngineMismatchError(msg)
        self._good_until = now + CHECKED_MS

    def _found(self) -> EngineRecord | None:
        try:
            return self._store.read()
        except (StoreError, UnreadableRecordError) as error:
            # What keeps a tick from being committed says so by itself, and nobody is known to be another.
            logger.warning("Which engine reads the tables is not known: %s", error)
            return None
