"""Which new run records are written together."""

from collections.abc import Sequence

from treadle.model.runs import Run

BATCH_SIZE = 25
"""How many new runs are written by one request; the maximum of DynamoDB's BatchExecuteStatement."""


def write_batches(planned: Sequence[object]) -> list[Sequence[int]]:
    """Group plans by their indexes: new runs that are in no pool are written together, and each other one alone."""
    together = [index for index, plan in enumerate(planned) if isinstance(plan, Run) and not plan.pools]
    batches = [together[first : first + BATCH_SIZE] for first in range(0, len(together), BATCH_SIZE)]
    alone = set(range(len(planned))).difference(together)
    return [*batches, *([index] for index in sorted(alone))]
