"""The store of tick records."""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

from treadle.definitions.status import TickStatus
from treadle.model.loops import LoopHold
from treadle.model.ticks import ChunkProgress, DispatchCounts, Drop, Tick, TickPage, TickTrouble

MOST_READ = 1_000
"""The maximum number of records that are read for one page."""


class TickStore(Protocol):
    """Stores tick records; none is ever overwritten with another result, except failures of events.

    Methods that return one record raise `UnreadableRecordError` if it exists and cannot be read. Methods that
    return several show an `unreadable_tick` in its place.
    """

    def get(self, sensor: str, tick_id: str) -> Tick | None:
        """Return the record, strongly consistent."""

    def is_dispatched(self, sensor: str, tick_id: str) -> bool:
        """Return whether a tick was dispatched, or its record has expired since, strongly consistent."""

    def has_changed_partitions(self, sensor: str, tick_id: str) -> bool:
        """Return whether DISPATCH has applied a tick's changes of dynamic partitions, strongly consistent.

        True once its requests are dispatched or held, which DISPATCH does afterwards, or its record has expired.
        """

    def latest(self, sensor: str, limit: int) -> list[Tick]:
        """Return the newest records of a sensor, newest first."""

    def between(self, sensor: str, first: str, last: str, *, ascending: bool = True) -> Iterator[Tick]:
        """Iterate lazily over a sensor's complete records whose ids are in a range, in the order of the ids.

        A record whose requests cannot be read is shown as an `unreadable_tick`, too.

        Args:
            sensor: the sensor's name.
            first: the lowest id, or a prefix of ids.
            last: no id sorts after it.
            ascending: False for the newest first.

        Raises:
            StoreError: if the store did not answer.
        """

    def page(
        self,
        sensor: str,
        *,
        before: str | None = None,
        limit: int,
        statuses: "Collection[TickStatus | TickTrouble] | None" = None,
    ) -> TickPage:
        """Return a page of a sensor's ticks, newest first, without their requests.

        Args:
            sensor: the sensor's name.
            before: only ticks whose id sorts before this one; None for the newest.
            limit: the maximum number. If few records have one of the statuses, a page may have fewer, or
                none, although more follow: at most `MOST_READ` records are read for one page.
            statuses: only ticks with one of these statuses or problems; None for all.

        Raises:
            StoreError: if the store did not answer.
        """

    def next_id(self, sensor: str, tick_id: str) -> str | None:
        """Return the lowest id of a sensor's ticks that sorts after one; None if there is none.

        Raises:
            StoreError: if the store did not answer.
        """

    def attempts(self, sensor: str, tick_ids: Collection[str]) -> dict[str, tuple[TickStatus, int]]:
        """Return status and attempts of the ticks that exist, strongly consistent, for at most 100 ids."""

    def put(self, tick: Tick) -> bool:
        """Write the record if none exists, or only one of a failure; return False if it exists already.

        A repeated call with the same record returns True.
        """

    def put_many(self, ticks: Sequence[Tick]) -> list[bool | Exception]:
        """Write records as `put` does; 25 take one request.

        Args:
            ticks: no two of one key.

        Returns:
            For each, what `put` returns, or the error that concerns it alone.

        Raises:
            StoreError: if the store did not answer; some may have been written.
        """

    def mark_chunk_done(
        self, tick: Tick, index: int, of: int, counts: DispatchCounts, refusals: Collection[str]
    ) -> ChunkProgress | None:
        """Record once that a chunk of a tick's requests is completed; a repeated call changes nothing.

        Nor does a call whose number of chunks differs from that of earlier ones.

        Args:
            tick: the tick.
            index: the chunk's number, from 0.
            of: the number of chunks.
            counts: the results of the chunk's requests.
            refusals: why some of these were refused.

        Returns:
            The tick's progress; None if its record is gone.

        Raises:
            StoreError: if the store did not answer.
        """

    def pending(self, before: int, limit: int) -> list[tuple[str, str]]:
        """Return sensor and id of ticks that are due to be dispatched, by an eventually consistent index.

        Args:
            before: only ticks that have been pending since before this time, or were postponed until before
                it.
            limit: the maximum number.
        """

    def postpone(
        self, sensor: str, tick_id: str, until: int, reason: str, *, held: int | None = None
    ) -> bool:
        """Defer a pending tick; change nothing if it is not pending any more.

        Args:
            sensor: the sensor's name.
            tick_id: the tick's id.
            until: when it is due to be dispatched again.
            reason: why it waits, for an operator.
            held: how many of its requests wait for a grant or for the next hour; None leaves the number
                unchanged.

        Returns:
            Whether it is still pending.

        Raises:
            StoreError: if the store did not answer.
        """

    def drop(self, sensor: str, tick_id: str, drop: Drop, due: int, reason: str) -> bool:
        """Record that an operator dropped a tick's held requests; change nothing if it has none.

        A repeated call with the same decision returns True.

        Args:
            sensor: the sensor's name.
            tick_id: the tick's id.
            drop: the decision.
            due: when it is due to be dispatched again.
            reason: why it still waits until then, for an operator.

        Returns:
            Whether the decision is recorded.

        Raises:
            StoreError: if the store did not answer.
        """

    def mark_unreadable(self, sensor: str, tick_id: str, until: int, reason: str) -> bool:
        """Defer a pending tick whose record cannot be read, and note why on the record.

        Args:
            sensor: the sensor's name.
            tick_id: the tick's id.
            until: when it is due to be dispatched again.
            reason: why it cannot be read.

        Returns:
            True if it was not marked so before; False also if it is not pending any more.

        Raises:
            StoreError: if the store did not answer.
        """

    def admit(self, sensor: str, hour: int, number: int, limit: int) -> int:
        """Count runs that a sensor is about to start against its limit for the hour.

        Args:
            sensor: the sensor's name.
            hour: when the hour began, in milliseconds.
            number: the number of runs.
            limit: the maximum number in an hour.

        Returns:
            How many of them may start: all, fewer, or none.

        Raises:
            StoreError: if the store did not answer.
        """

    def loop_hold(self, sensor: str) -> LoopHold:
        """Return whether a sensor's requests are held as a loop, strongly consistent.

        Raises:
            StoreError: if the store did not answer.
        """

    def loop_holds(self, sensors: Collection[str]) -> dict[str, LoopHold]:
        """Return the same of several sensors; those that never were held, or whose item is unreadable, are left out.

        Raises:
            StoreError: if the store did not answer.
        """

    def hold_loop(self, sensor: str, held_at: int, reason: str, released_at: int) -> bool:
        """Record that a sensor's requests are held as a loop, unless they are held, or were released meanwhile.

        Args:
            sensor: the sensor's name.
            held_at: since when.
            reason: what looks like a loop, for an operator.
            released_at: when they were released last, as the evidence was judged; 0 if they never were.

        Returns:
            Whether this call, or an earlier one of the same time and reason, has recorded it.

        Raises:
            StoreError: if the store did not answer.
        """

    def release_loop(self, sensor: str, at: int, by: str) -> bool:
        """Record that an operator has released a sensor's requests, if they are held.

        Args:
            sensor: the sensor's name.
            at: when.
            by: the operator.

        Returns:
            Whether this call, or an earlier one of the same time and operator, has released them.

        Raises:
            StoreError: if the store did not answer.
        """

    def mark_dispatched(self, tick: Tick, counts: DispatchCounts, refusals: Collection[str]) -> None:
        """Record the results of the requests; from then on the record may expire."""

    def mark_many_dispatched(self, done: Sequence[tuple[Tick, DispatchCounts]]) -> list[Exception | None]:
        """Record the results of ticks whose dispatch was not begun before, and refused nothing; 25 take one request.

        Args:
            done: each tick as committed, with its results; no two of one tick.

        Returns:
            For each, None if it was written, or the error that concerns it alone.

        Raises:
            StoreError: if the store did not answer; some may have been written.
        """
