"""The store of run records, which enforces that a run key is claimed once."""

from collections.abc import Collection, Mapping, Sequence
from typing import Protocol

from treadle.definitions.status import DagsterRunStatus
from treadle.model.run_queries import RunPage, RunQuery
from treadle.model.runs import Claim, KeyState, PendingStart, PollCheckpoint, Run


class RunStore(Protocol):
    """Stores run records; none is ever deleted to release its key.

    Methods that return one record raise `UnreadableRecordError` if it exists and cannot be read. Methods that
    return several skip and log such a record; a page shows an `unreadable_run` in its place.
    """

    def get(self, run_id: str) -> Run | None:
        """Return the record, strongly consistent."""

    def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
        """Return the records that exist, by id, strongly consistent; a request reads up to a hundred."""

    def find(self, query: RunQuery) -> list[Run]:
        """Return the records that match a query, in order.

        They are found by an eventually consistent index, then read strongly consistent.
        """

    def page(
        self,
        *,
        sensor: str | None = None,
        job: str | None = None,
        statuses: Collection[DagsterRunStatus] | None = None,
        since: int | None = None,
        until: int | None = None,
        text: str | None = None,
        before: str | None = None,
        limit: int,
    ) -> RunPage:
        """Return a page of a sensor's or a job's runs, newest first, found by an index and read consistently.

        Args:
            sensor: the sensor that requested the runs; alternatively
            job: the job's name.
            statuses: any of these; None for all.
            since: only runs created at this time or later, by the index.
            until: only runs created before this time, by the index.
            text: only runs that mention it, as `mentions` defines.
            before: the previous page's `next`, also if the times have changed since; None for the first page.
            limit: the maximum number. If few records have one of the statuses or the text, a page may have fewer,
                or none, although more follow: at most `MOST_SCANNED` records are read for one page.

        Raises:
            StoreError: if the store did not answer, or neither sensor nor job is given, or `before` is not a
                page's `next`.
        """

    def ids_beginning(self, text: str, job: str) -> list[str]:
        """Return the ids that begin with a text, of the newest `MOST_SEARCHED` runs of a job, by an index; newest first.

        Raises:
            StoreError: if the store did not answer.
        """

    def counts(self, sensor: str, since: int, limit: int) -> dict[DagsterRunStatus, int]:
        """Count the runs of a sensor by status, by an index.

        Args:
            sensor: the sensor that requested the runs.
            since: only runs created after this time.
            limit: count at most this many, the newest.
        """

    def list_by_sensor(self, sensor: str, limit: int) -> list[Run]:
        """Return the newest runs that a sensor requested, newest first; eventually consistent."""

    def in_progress(self, limit: int, after: str | None = None) -> tuple[list[str], str | None]:
        """Return ids of runs that are checked at some time, in any order, by an eventually consistent index.

        These are all runs that have not ended and whose target can be queried, except those that wait for a pool.

        Args:
            limit: the maximum number.
            after: the token that the previous page returned; None for the first page.

        Returns:
            The ids, and the token of the next page; None if there is none.
        """

    def due(self, now: int, limit: int) -> list[str]:
        """Return the ids of runs whose `next_at` has passed, by an eventually consistent index."""

    def key_states(self, requests: Mapping[str, str | None]) -> dict[str, KeyState]:
        """Return the state of each run key whose run exists, by run id; the other keys are free.

        Args:
            requests: the request's digest by run id, in any number (a hundred take one request); None where
                the digest is not known yet, and may have changed.
        """

    def create(self, run: Run) -> Run | None:
        """Write the record if none exists; return None, or the existing record.

        If the run waits for a pool, it joins the pool's queue in the same transaction.
        """

    def create_many(self, runs: Sequence[Run]) -> list[Run | Exception | None]:
        """Write each record if none exists, as `create` does one after the other; 25 that are in no pool take one request.

        Args:
            runs: the records.

        Returns:
            For each, None if it was written, or the existing record, or an error that concerns it alone.

        Raises:
            StoreError: if the store did not answer; some records may have been written.
        """

    def claim(
        self, run_id: str, job: str, attempt: int, claim: Claim, pending_start: PendingStart
    ) -> Run | None:
        """Claim an attempt if it is queued, waits for no pool, and no other launch can still act on it.

        Args:
            run_id: the run's id.
            job: the run's job; if it is another one, nothing is claimed.
            attempt: the attempt's number.
            claim: the claim.
            pending_start: recorded with it, unless an earlier pending start exists; its time is now.

        Returns:
            The record afterwards: it has exactly the given claim if that was successful. None if there is no
            such run.

        Raises:
            StoreError: if the store did not answer.
        """

    def replace(self, run: Run, before: Run | None = None) -> Run | None:
        """Write the changes if the revision is unchanged; return None, or the existing record.

        Args:
            run: the record, with the revision that it had when it was read.
            before: the record as it was read. What it changes in pools is written in the same transaction: slots that
                the run takes or returns, and queues that it joins or leaves. May be left out for a run that is and was
                in no pool.

        Raises:
            SlotTakenError: if another run holds one of the slots that it takes; nothing is written.
            StoreError: if the store did not answer.
        """

    def replace_many(self, changes: Sequence[tuple[Run, Run]]) -> list[Run | Exception | None]:
        """Write changes as `replace` does one after the other; 25 that change nothing in pools take one request.

        Args:
            changes: each record, with the revision that it had when it was read, and the record as it was read; no two
                of one run.

        Returns:
            For each, None if it was written, or the existing record, or an error that concerns it alone.

        Raises:
            StoreError: if the store did not answer; some may have been written.
        """

    def mark_unreadable(self, run_id: str, until: int, reason: str) -> bool:
        """Defer the check of a due run whose record cannot be read, and note why on the record.

        Args:
            run_id: the run's id.
            until: when it is checked again.
            reason: why it cannot be read.

        Returns:
            True if it was not marked so before; False also if it is not due for a check any more.

        Raises:
            StoreError: if the store did not answer.
        """

    def poll_checkpoint(self, job: str) -> PollCheckpoint | None:
        """Return the poll checkpoint of an observed job, strongly consistent; None if it was never polled."""

    def put_poll_checkpoint(self, job: str, checkpoint: PollCheckpoint) -> None:
        """Store a poll checkpoint, unless a later poll has completed.

        It is not a run, and no query returns it.
        """
