"""Read-modify-write of a run record under its revision."""

from collections.abc import Callable
from dataclasses import replace

from treadle.model.runs import Run
from treadle.ports.runs import RunStore


def update_with_optimistic_lock(runs: RunStore, run: Run, change: Callable[[Run], Run]) -> Run:
    """Apply a change to a record and return it; apply the change again if others write in between.

    Args:
        runs: stores the record.
        run: as last read.
        change: from the record to the record; if the result is equal, nothing is written.

    Raises:
        StoreError: if the store did not answer.
    """
    while True:
        changed = change(run)
        if changed == run:
            return run
        current = runs.replace(changed, run)
        if current is None:
            return replace(changed, revision=changed.revision + 1)
        run = current
