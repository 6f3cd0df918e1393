"""The store of batches in memory: the same conditions, verified by the same contract tests."""

from collections.abc import Collection, Sequence
from dataclasses import replace
from functools import partial

from treadle.definitions.errors import LeaseLostError
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
    by_key,
    digest_of,
    opened,
)
from treadle.model.records import or_error
from treadle.testing.tables import InMemoryTables


class InMemoryBatchStore:
    """A `BatchStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def accept(self, sensor: str, items: Sequence[BatchItem]) -> list[LedgerEntry | Exception | None]:
        """Record each item that is new."""
        return [or_error(partial(self._accept, sensor, item)) for item in items]

    def _accept(self, sensor: str, item: BatchItem) -> LedgerEntry | None:
        item.compressed(sensor)
        with self._tables.lock:
            before = self._tables.ledger.get((sensor, item.key))
            if before is None:
                entry = LedgerEntry(item.key, item.by, item.accepted_at)
                self._tables.ledger[sensor, item.key] = entry
                self._tables.waiting.setdefault((sensor, by_key(item.by)), {})[item.member] = item
            return before

    def known(self, sensor: str, identities: Collection[str]) -> dict[str, LedgerEntry]:
        """Return the entries of the ledger."""
        found = {each: self._tables.ledger.get((sensor, digest_of(each))) for each in identities}
        return {identity: entry for identity, entry in found.items() if entry is not None}

    def open(
        self, sensor: str, by: str, now: int, within: int, quiet: int | None, *, at_once: bool = False
    ) -> None:
        """Write when the batch is due, unless somebody looks in time without that."""
        with self._tables.lock:
            key = sensor, by_key(by)
            state = self._tables.batches.get(key)
            times = opened(state, now, within, quiet, at_once=at_once)
            if times is not None:
                self._tables.batches[key] = replace(
                    state or BatchState(sensor, by),
                    due=times.due,
                    first_at=times.first_at,
                    last_at=times.last_at,
                    closing=None,
                )

    def acquire(self, sensor: str, key: str, owner: str, now: int, expires_at: int) -> BatchLease | None:
        """Take the lease."""
        with self._tables.lock:
            before = self._tables.batches.get((sensor, key))
            if before is None or before.is_held(now):
                return None
            epoch = before.epoch + 1
            self._tables.batches[sensor, key] = replace(
                before, owner=owner, epoch=epoch, expires_at=expires_at, due=expires_at + 1, closing=epoch
            )
            return BatchLease(sensor, before.by, owner, epoch, before)

    def waiting(self, sensor: str, key: str, limit: int) -> tuple[list[BatchItem], bool]:
        """Return the items that have waited longest."""
        with self._tables.lock:
            waiting = self._tables.waiting.get((sensor, key), {})
            members = sorted(waiting)
            return [waiting[each] for each in members[:limit]], len(members) <= limit

    def commit(self, lease: BatchLease, commit: BatchCommit) -> None:
        """Put everything, or nothing."""
        with self._tables.lock:
            key, tick = (lease.sensor, lease.key), commit.tick
            state = self._held(lease)
            if state is None or (tick.sensor, tick.tick_id) in self._tables.ticks:
                msg = f"The lease of sensor {lease.sensor} on a batch is no longer held."
                raise LeaseLostError(msg)
            self._tables.ticks[tick.sensor, tick.tick_id] = tick
            unmarked = None
            if commit.manifest is not None:
                self._tables.manifests[tick.sensor, tick.tick_id] = commit.manifest
                unmarked = tick.tick_id
            self._tables.batches[key] = replace(state, failures=commit.failures, unmarked=unmarked)

    def _held(self, lease: BatchLease) -> BatchState | None:
        state = self._tables.batches[lease.sensor, lease.key]
        return state if (state.owner, state.epoch) == (lease.owner, lease.epoch) else None

    def manifest(self, sensor: str, tick_id: str) -> Manifest | None:
        """Return a manifest."""
        return self._tables.manifests.get((sensor, tick_id))

    def mark(self, manifest: Manifest, members: Sequence[Member]) -> None:
        """Mark each item."""
        for member in members:
            with self._tables.lock:
                sensor = manifest.sensor
                self._tables.ledger[sensor, member.key] = LedgerEntry(
                    member.key, manifest.by, member.accepted_at, manifest.tick_id, manifest.set_aside
                )
                self._tables.waiting.get((sensor, by_key(manifest.by)), {}).pop(member, None)

    def marked(self, lease: BatchLease) -> None:
        """Forget the last batch, if the lease is held."""
        with self._tables.lock:
            state = self._held(lease)
            if state is not None:
                self._tables.batches[lease.sensor, lease.key] = replace(state, unmarked=None)

    def finish(self, lease: BatchLease, due: int | None, first_at: int) -> None:
        """Release the lease, if it is held."""
        with self._tables.lock:
            state = self._held(lease)
            if state is None:
                return
            is_unseen = state.closing == lease.epoch
            if due is not None and (is_unseen or state.due is None or state.due > due):
                state = replace(state, due=due, first_at=first_at)
            elif is_unseen:
                state = replace(state, due=None)
            self._tables.batches[lease.sensor, lease.key] = replace(
                state, owner=None, expires_at=0, closing=None
            )

    def due(self, now: int, limit: int) -> list[DueBatch]:
        """Return the batches that are due."""
        found = [
            DueBatch(sensor, key, state.due)
            for (sensor, key), state in self._tables.batches.items()
            if state.due is not None and state.due <= now
        ]
        return sorted(found, key=lambda each: each.due)[:limit]

    def states(self, sensor: str) -> list[BatchState]:
        """Return the states of batches for which items wait."""
        found = [state for (of, _), state in self._tables.batches.items() if of == sensor]
        return sorted((each for each in found if each.due is not None), key=lambda each: each.first_at)

    def count(self, sensor: str, key: str) -> WaitingItems:
        """Count the items that wait."""
        with self._tables.lock:
            waiting = list(self._tables.waiting.get((sensor, key), {}).values())
        oldest = min((each.accepted_at for each in waiting), default=None)
        return WaitingItems(len(waiting), sum(each.size for each in waiting), oldest, is_more=False)
