"""Run keys that this process has found final, until an operator releases them, so that they need no query.

It must not know why a key is free: releasing one edits the sensor, and that increments its epoch.
"""

from collections.abc import Mapping
from itertools import islice
from typing import TYPE_CHECKING

from treadle.model.ticks import PlannedRun

if TYPE_CHECKING:
    from treadle.ports.runs import RunStore

MAX_KEYS = 50_000
"""About 7 MB. Beyond this the first keys seen are kept, because a sweep visits them in the same order."""

MAX_AGE_MS = 600_000
"""The cache is cleared after ten minutes, in case of changes outside the protocol."""


class RunKeyCache:
    """The run keys of one sensor.

    A run that was started, and has no attempt left, can start again only after an operator's command, which
    edits the sensor. So what was read stays valid as long as only this process's ticks incremented the
    sensor's epoch.

    Args:
        runs: queried for keys that are not cached.
    """

    def __init__(self, runs: "RunStore") -> None:
        self._runs = runs
        self._settled: set[str] = set()
        self._free: set[str] = set()
        self._expected: dict[str, PlannedRun] = {}
        self._epoch = 0
        self._since = 0

    def start_tick(self, read: int, own: int, now: int) -> None:
        """Begin a tick; clear the cache if the sensor may have been edited since the last one.

        Args:
            read: the sensor's epoch before the tick.
            own: its epoch now, which a leased tick has incremented.
            now: the current time.
        """
        self._free.clear()
        if read != self._epoch or now - self._since > MAX_AGE_MS:
            self._settled.clear()
            self._since = now
        self._epoch = own

    def expect(self, requests: "Mapping[str, PlannedRun]") -> None:
        """Note requests, by run id, that `claimed` will be called for; the next query reads their keys as well."""
        self._expected.update(requests)

    def claimed(self, requests: Mapping[str, PlannedRun | None]) -> set[str]:
        """Return the run ids whose run cannot start again for the request.

        Keys that were free earlier in this tick are not queried again: DISPATCH has the final say.

        Args:
            requests: by run id; None where the request is not known yet.

        Raises:
            StoreError: if the store did not answer.
        """
        known = {run_id for run_id in requests if run_id in self._settled}
        unknown = requests.keys() - known - self._free
        if not unknown:
            return known
        # Imported here because most ticks request nothing.
        from treadle.model.runs import KeyState

        expected = {id_: run for id_, run in self._expected.items() if id_ not in self._settled}
        self._expected.clear()
        queried = {**expected, **{id_: requests[id_] for id_ in unknown}}
        states = self._runs.key_states({id_: _digest(run) for id_, run in queried.items()})
        self._free |= queried.keys() - states.keys()
        settled = (run_id for run_id, state in states.items() if state is KeyState.SETTLED)
        self._settled.update(islice(settled, max(0, MAX_KEYS - len(self._settled))))
        return known | {id_ for id_ in unknown if states.get(id_, KeyState.OPEN) is not KeyState.OPEN}


def _digest(run: PlannedRun | None) -> str | None:
    # Imported here because most ticks request nothing.
    from treadle.model.runs import request_digest

    return None if run is None else request_digest(run.job, run.run_config, run.partition_key, run.tags)
