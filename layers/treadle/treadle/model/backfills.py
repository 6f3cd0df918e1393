"""The record of a backfill: its partitions, and how far each of them has come."""

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import StrEnum
from itertools import islice

from treadle.definitions.bounds import MAX_MESSAGE, fit_some
from treadle.model.runs import KEPT_EDITS, OperatorEdit, Run

BACKFILL_TAG = "dagster/backfill"

NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,119}")
"""The valid names of backfills: parts of an address, so none of them is `.` or `..`."""

MAX_PARTITIONS = 100_000
"""The maximum number of a backfill's partitions."""

MAX_ATTEMPTS = 255
"""The maximum number of a partition's attempts that a backfill counts."""

PAGE_SIZE = 100
"""How many partitions are stored together."""

_TICK_ID = re.compile(rf"backfill/({NAME.pattern})/([0-9]{{1,6}})")


class PartitionState(StrEnum):
    """How far a partition of a backfill has come; each value is the byte that stores it."""

    WAITING = "."
    RESERVED = "r"
    """The next slice creates its run or its next attempt, unless that exists already."""

    IN_PROGRESS = "p"
    SUCCESS = "s"
    FAILURE = "f"
    CANCELED = "c"

    @property
    def byte(self) -> int:
        """The byte that stores it."""
        return ord(self.value)


class BackfillStatus(StrEnum):
    """The status of a backfill, as operators see it; the names are Dagster's, except PAUSED."""

    REQUESTED = "REQUESTED"
    PAUSED = "PAUSED"
    CANCELING = "CANCELING"
    CANCELED = "CANCELED"
    COMPLETED_SUCCESS = "COMPLETED_SUCCESS"
    COMPLETED_FAILED = "COMPLETED_FAILED"


@dataclass(frozen=True, slots=True)
class BackfillPartition:
    """A partition of a backfill.

    Attributes:
        key: its key.
        tags: of its run, besides those of the backfill.
    """

    key: str
    tags: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Backfill:
    """A named set of runs of one job, one for each of its partitions.

    Attributes:
        name: the backfill's name.
        job: the job's name.
        digest: distinguishes another content under the same name: job, partitions, config and tags.
        run_config: of every run; canonical JSON.
        tags: of every run.
        limit: how many runs may be in progress at a time; 0 for no limit.
        created_at: when it was requested.
        states: the state of each partition, one byte each.
        attempts: the number of the attempt that each partition's state is about, one byte each.
        status: REQUESTED, PAUSED or CANCELED, as an operator set it.
        problem: why it cannot continue at the moment; None if it can.
        edits: what operators did, the latest last.
        next_at: when RECONCILE looks at it; None once nothing is left to do.
        revision: incremented by every write; a write requires that it is unchanged.
    """

    name: str
    job: str
    digest: str
    run_config: str
    tags: Mapping[str, str]
    limit: int
    created_at: int
    states: bytes
    attempts: bytes
    status: BackfillStatus = BackfillStatus.REQUESTED
    problem: str | None = None
    edits: tuple[OperatorEdit, ...] = ()
    next_at: int | None = None
    revision: int = 0

    def __post_init__(self) -> None:
        object.__setattr__(self, "problem", fit_some(self.problem, MAX_MESSAGE))

    @property
    def total(self) -> int:
        """The number of partitions."""
        return len(self.states)

    def count(self, state: PartitionState) -> int:
        """Return how many partitions are in a state."""
        return self.states.count(state.byte)

    def counts(self) -> dict[PartitionState, int]:
        """Return the number of partitions in each state."""
        found = Counter(self.states)
        return {state: found[state.byte] for state in PartitionState}

    def positions(self, *states: PartitionState, most: int | None = None) -> list[int]:
        """Return the positions of the first partitions in any of these states, in order."""
        wanted = {state.byte for state in states}
        found = (position for position, byte in enumerate(self.states) if byte in wanted)
        return list(islice(found, most))

    @property
    def in_progress(self) -> int:
        """How many runs are in progress, or about to be created."""
        return self.count(PartitionState.RESERVED) + self.count(PartitionState.IN_PROGRESS)

    @property
    def ended(self) -> int:
        """How many partitions have a run that has ended."""
        return self.total - self.count(PartitionState.WAITING) - self.in_progress

    @property
    def is_unfinished(self) -> bool:
        """Whether anything is left to do: runs in progress, or partitions that may still start."""
        waits = self.status is not BackfillStatus.CANCELED and PartitionState.WAITING.byte in self.states
        return waits or self.in_progress > 0

    @property
    def shown_status(self) -> BackfillStatus:
        """The status with the progress in it."""
        if self.status is BackfillStatus.CANCELED:
            return BackfillStatus.CANCELING if self.is_unfinished else BackfillStatus.CANCELED
        if self.is_unfinished:
            return self.status
        all_succeeded = self.count(PartitionState.SUCCESS) == self.total
        return BackfillStatus.COMPLETED_SUCCESS if all_succeeded else BackfillStatus.COMPLETED_FAILED

    def edited(self, edit: OperatorEdit, *, status: BackfillStatus | None = None) -> "Backfill":
        """Return the backfill after an operator's edit; it is due at once."""
        edited = replace(
            self,
            status=status or self.status,
            edits=(*self.edits, edit)[-KEPT_EDITS:],
        )
        return replace(edited, next_at=edit.at if edited.is_unfinished else None)


def tick_id_of(name: str, position: int) -> str:
    """Return what a backfill's run has in place of the tick that requested it.

    Args:
        name: the backfill's name.
        position: the partition's.
    """
    return f"backfill/{name}/{position}"


def backfill_of(run: Run) -> tuple[str, int] | None:
    """Return the backfill that requested a run, and its partition's position; None if none did."""
    found = None if run.sensor else _TICK_ID.fullmatch(run.tick_id)
    return (found[1], int(found[2])) if found else None


def page_token(created_at: int, name: str) -> str:
    """Return the token of the page that follows this backfill."""
    return f"{created_at}/{name}"


def parse_page_token(token: str) -> tuple[int, str] | None:
    """Parse a page token into its backfill's creation time and name; None if it is malformed."""
    time, _, name = token.partition("/")
    return (int(time), name) if re.fullmatch("[0-9]{1,15}", time) and NAME.fullmatch(name) else None


def pages(partitions: Sequence[BackfillPartition]) -> Iterator[Sequence[BackfillPartition]]:
    """Split partitions into the pages that are stored together."""
    for start in range(0, len(partitions), PAGE_SIZE):
        yield partitions[start : start + PAGE_SIZE]
