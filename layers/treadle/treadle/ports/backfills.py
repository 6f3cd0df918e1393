"""The store of backfills."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from treadle.model.backfills import Backfill, BackfillPartition


class BackfillStore(Protocol):
    """Stores backfills and their partitions; none is ever deleted, so that a name stays taken.

    Methods that return one record raise `UnreadableRecordError` if it exists and cannot be read.
    """

    def create(self, backfill: Backfill, partitions: Sequence[BackfillPartition]) -> Backfill | None:
        """Store a backfill with its partitions if none has its name; return the existing one otherwise.

        A repeated call, as after a lost answer, returns the existing one.

        Raises:
            StoreError: if the store did not answer; then it exists with all its partitions, or not at all.
        """

    def get(self, name: str) -> Backfill | None:
        """Return a backfill, strongly consistent."""

    def partitions(self, backfill: Backfill, positions: Collection[int]) -> Mapping[int, BackfillPartition]:
        """Return partitions by position; the cost grows with their number, not with that of all.

        Raises:
            StoreError: if the store did not answer.
        """

    def replace(self, backfill: Backfill) -> Backfill | None:
        """Write the backfill if its revision is unchanged; return the current one if it is not.

        Raises:
            StoreError: if the store did not answer.
        """

    def due(self, now: int, limit: int) -> list[str]:
        """Return the names of backfills that are due, the longest-waiting first, by an index that may lag."""

    def unfinished(self, limit: int) -> list[str]:
        """Return the names of backfills that are not finished, by an index that may lag."""

    def page(self, before: str | None, limit: int) -> tuple[list[Backfill], str | None]:
        """Return a page of backfills, newest first, found by an index that may lag.

        Args:
            before: the token that the previous page returned; None for the newest.
            limit: the maximum number; one that cannot be read is left out, and logged.

        Returns:
            The backfills, and the token of the next page; None if this is the last.
        """

    def postpone(self, name: str, until: int, reason: str) -> bool:
        """Defer a backfill that cannot be read or written, in one write that does not parse it.

        Args:
            name: the backfill's name.
            until: when it is due again.
            reason: why it cannot continue, for an operator.

        Returns:
            True if it was not postponed so before.
        """
