"""The store of backfills in memory."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from treadle.definitions.errors import StoreError
from treadle.model.backfills import Backfill, BackfillPartition, page_token, parse_page_token
from treadle.testing.tables import InMemoryTables


class InMemoryBackfillStore:
    """A `BackfillStore` in memory."""

    def __init__(self, tables: InMemoryTables) -> None:
        self._tables = tables

    def create(self, backfill: Backfill, partitions: Sequence[BackfillPartition]) -> Backfill | None:
        """Store a backfill if none has its name."""
        with self._tables.lock:
            existing = self.get(backfill.name)
            if existing is None:
                self._tables.backfills[backfill.name] = backfill
                self._tables.backfill_partitions[backfill.name] = tuple(partitions)
            return existing

    def get(self, name: str) -> Backfill | None:
        """Return a backfill."""
        self._tables.check(f"backfill {name}")
        return self._tables.backfills.get(name)

    def partitions(self, backfill: Backfill, positions: Collection[int]) -> Mapping[int, BackfillPartition]:
        """Return partitions by position."""
        found = self._tables.backfill_partitions[backfill.name]
        return {position: found[position] for position in positions}

    def replace(self, backfill: Backfill) -> Backfill | None:
        """Replace a backfill if its revision is unchanged."""
        with self._tables.lock:
            current = self._tables.backfills[backfill.name]
            if current.revision != backfill.revision:
                return current
            self._tables.backfills[backfill.name] = replace(backfill, revision=backfill.revision + 1)
            self._tables.marked.pop((f"backfill {backfill.name}",), None)
            return None

    def due(self, now: int, limit: int) -> list[str]:
        """Return the names of backfills that are due."""
        return [name for at, name in self._waiting() if at <= now][:limit]

    def unfinished(self, limit: int) -> list[str]:
        """Return the names of backfills that are not finished."""
        return [name for _, name in self._waiting()][:limit]

    def _waiting(self) -> list[tuple[int, str]]:
        marked = self._tables.marked
        return sorted(
            (marked.get((f"backfill {name}",), backfill.next_at), name)
            for name, backfill in self._tables.backfills.items()
            if backfill.next_at is not None
        )

    def page(self, before: str | None, limit: int) -> tuple[list[Backfill], str | None]:
        """Return a page of backfills, newest first."""
        place = None if before is None else parse_page_token(before)
        if before is not None and place is None:
            msg = f"{before[:80]!r} is not a page token of backfills: use the one of the previous page."
            raise StoreError(msg)
        newest = sorted(self._tables.backfills.values(), key=_place, reverse=True)
        found = [each for each in newest if place is None or _place(each) < place]
        token = page_token(*_place(found[limit - 1])) if len(found) >= limit else None
        return found[:limit], token

    def postpone(self, name: str, until: int, reason: str) -> bool:
        """Defer a backfill."""
        del reason
        with self._tables.lock:
            backfill = self._tables.backfills.get(name)
            is_waiting = backfill is not None and backfill.next_at is not None
            is_new = is_waiting and (f"backfill {name}",) not in self._tables.marked
            if is_waiting:
                self._tables.marked[f"backfill {name}",] = until
            return is_new


def _place(backfill: Backfill) -> tuple[int, str]:
    return (backfill.created_at, backfill.name)
