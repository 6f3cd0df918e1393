"""The store of batches: the ledger of accepted items, those that wait, and the states of open batches."""

from collections.abc import Collection, Sequence
from typing import Protocol

from treadle.model.batches import (
    BatchCommit,
    BatchItem,
    BatchLease,
    BatchState,
    DueBatch,
    LedgerEntry,
    Manifest,
    Member,
    WaitingItems,
)


class BatchStore(Protocol):
    """Stores batches. Reads are strongly consistent, except `due` and `count`.

    Each method raises `StoreError` if the store did not answer.
    """

    def accept(self, sensor: str, items: Sequence[BatchItem]) -> list[LedgerEntry | Exception | None]:
        """Record each item, and let it wait, unless its identity was accepted before.

        Args:
            sensor: the sensor's name.
            items: the items.

        Returns:
            For each item, what was known of it before, None if it was accepted now, or `ItemTooLargeError` if it cannot
            be stored.

        Raises:
            StoreError: if the store did not answer; some may have been accepted.
        """

    def known(self, sensor: str, identities: Collection[str]) -> dict[str, LedgerEntry]:
        """Return what is known of those of the identities that were accepted, by identity."""

    def open(
        self, sensor: str, by: str, now: int, within: int, quiet: int | None, *, at_once: bool = False
    ) -> None:
        """Make sure that somebody looks at the batch of an item that was accepted; see `opened`."""

    def acquire(self, sensor: str, key: str, owner: str, now: int, expires_at: int) -> BatchLease | None:
        """Take the lease, count up its epoch, and mark the state as being closed until just after the lease.

        Args:
            sensor: the sensor's name.
            key: the key of the value of `Batch.by`.
            owner: a token that was never used before.
            now: the current time.
            expires_at: when the lease expires.

        Returns:
            The lease; None if another closer has it, or no item was ever accepted.
        """

    def waiting(self, sensor: str, key: str, limit: int) -> tuple[list[BatchItem], bool]:
        """Return items that wait, by the time of acceptance, and whether these are all.

        Args:
            sensor: the sensor's name.
            key: the key of the value of `Batch.by`.
            limit: how many are needed; if more wait, at least that many are returned, unless they exceed 16 MB.
        """

    def commit(self, lease: BatchLease, commit: BatchCommit) -> None:
        """Put a tick, its manifest and its failures, in one transaction, if the lease is still held.

        Raises:
            LeaseLostError: if another closer has taken the lease; nothing was written.
        """

    def manifest(self, sensor: str, tick_id: str) -> Manifest | None:
        """Return what a committed batch contains; None if the tick is no batch's."""

    def mark(self, manifest: Manifest, members: Sequence[Member]) -> None:
        """Note the tick of a committed manifest in the ledger for some of its items, and let them no longer wait.

        A repetition, by whoever, writes the same.
        """

    def marked(self, lease: BatchLease) -> None:
        """Record that the items of the last batch are marked, if the lease is still held."""

    def finish(self, lease: BatchLease, due: int | None, first_at: int) -> None:
        """Release the lease, if it is still held, and set when somebody must look again.

        Args:
            lease: the lease.
            due: the time; None if no item waits, which has no effect if somebody has accepted an item since the lease was
                taken.
            first_at: when the first item was accepted that still waits.
        """

    def due(self, now: int, limit: int) -> list[DueBatch]:
        """Return open batches that are due, the longest-waiting first, by an eventually consistent index."""

    def states(self, sensor: str) -> list[BatchState]:
        """Return the states of a sensor's batches for which items wait, for operators."""

    def count(self, sensor: str, key: str) -> WaitingItems:
        """Count the items that wait for a batch, some thousands at least, for operators.

        Args:
            sensor: the sensor's name.
            key: the key of the value of `Batch.by`.
        """
