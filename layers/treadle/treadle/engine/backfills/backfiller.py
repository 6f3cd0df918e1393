"""Starts the runs of a backfill, slice by slice, and follows them to their ends.

A slice reserves partitions in the backfill's record, under its revision, and then creates their runs under ids
that are derived from backfill and partition. So whatever an operator writes in between is never overwritten, and
whoever finds a reservation creates what may be missing: a second creation changes nothing.
"""

import logging
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from itertools import chain
from typing import TypeVar

from treadle.definitions.errors import StoreRejectedError, UnreadableRecordError
from treadle.definitions.runs import DEPTH_TAG, PARTITION_TAG
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import RunIds
from treadle.engine.launch.attempts import allow_next_attempt, queue_next_attempt
from treadle.engine.messages import LaunchRequest
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.record.pool_slots import with_wait
from treadle.engine.record.run_state import LAUNCH_DUE_MS, Report, fold
from treadle.engine.registry.registry_cache import NO_POOLS, Pools
from treadle.engine.run_batches import write_batches
from treadle.model.backfills import (
    BACKFILL_TAG,
    MAX_ATTEMPTS,
    Backfill,
    BackfillPartition,
    BackfillStatus,
    PartitionState,
    tick_id_of,
)
from treadle.model.runs import Failure, Run
from treadle.ports.backfills import BackfillStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock, Queue

logger = logging.getLogger(__name__)

T = TypeVar("T")
R = TypeVar("R")

SLICE = 100
"""The maximum number of partitions that are reserved at once."""

LOOK_MS = 120_000
"""An unfinished backfill is looked at every two minutes, whether or not the end of a run was announced."""

LOOKED_AT = 1_000
"""The maximum number of runs in progress that one such look reads; the next look reads the following ones.

A look at a canceled backfill goes on with the following ones while there is time.
"""

PAUSED_MS = 86_400_000
"""A paused backfill of which no run is in progress is looked at once a day."""

_ENDED: Mapping[Status, PartitionState] = {
    Status.SUCCESS: PartitionState.SUCCESS,
    Status.FAILURE: PartitionState.FAILURE,
    Status.CANCELED: PartitionState.CANCELED,
}


@dataclass(frozen=True, slots=True)
class BackfillProgress:
    """The result of advancing a backfill.

    Attributes:
        created: runs and attempts that were created, or found in place of a creation that may have failed.
        ended: partitions whose run was found to have ended.
        is_complete: False if time ran out; RECONCILE continues.
        problem: why the backfill cannot continue; None if it can.
    """

    created: int = 0
    ended: int = 0
    is_complete: bool = True
    problem: str | None = None

    def __str__(self) -> str:
        """Return a one-line summary."""
        text = f"{self.created} runs created, {self.ended} ended"
        text = f"{text}; it cannot continue: {self.problem}" if self.problem else text
        return text if self.is_complete else f"{text}; more work is left"


class Backfiller:
    """Advances backfills.

    Args:
        backfills: stores backfills; a write under an old revision is refused.
        runs: stores run records; its conditional put is the authority on whether a partition has a run.
        launches: LAUNCH's queue.
        jobs: the names of the registered jobs.
        run_ids: generates the runs' ids.
        clock: the clock.
        workers: how many run records are written concurrently; above 1, stores must be thread-safe.
        pools: which pools a run is in.
    """

    def __init__(
        self,
        backfills: BackfillStore,
        runs: RunStore,
        launches: Queue,
        jobs: Collection[str],
        run_ids: RunIds,
        clock: Clock,
        *,
        workers: int = 1,
        pools: Pools = NO_POOLS,
    ) -> None:
        self._pools = pools
        self._backfills = backfills
        self._runs = runs
        self._launches = launches
        self._jobs = jobs
        self._run_ids = run_ids
        self._clock = clock
        self._workers = workers

    def advance(
        self, name: str, ends_at: int, positions: Collection[int] | None = None
    ) -> BackfillProgress | None:
        """Record ends of runs, and start as many as the limit allows; idempotent.

        Args:
            name: the backfill's name.
            ends_at: when to stop, in milliseconds.
            positions: the partitions whose runs are reported to have ended; None to look at those in progress.

        Returns:
            What was done; None if there is no such backfill.

        Raises:
            StoreError: if a store or the queue did not answer; it is safe to retry.
            UnreadableRecordError: if the backfill's record cannot be read.
        """
        backfill = self._backfills.get(name)
        if backfill is None:
            return None
        done, looked = BackfillProgress(), self._window(backfill) if positions is None else positions
        # Another invocation may be creating what is reserved: a report of ends leaves that to it, and to RECONCILE.
        takes_over = positions is None
        while True:
            reserved = backfill.positions(PartitionState.RESERVED)
            mine = reserved if takes_over else []
            followed = _followed(backfill, self._created(backfill, mine))
            followed, is_complete = self._looked(followed, looked, ends_at)
            changed = self._reserve(followed) if takes_over or not reserved else followed
            if positions is not None and changed == replace(backfill, next_at=changed.next_at):
                return done
            current = self._backfills.replace(changed)
            if current is not None:
                backfill = current  # Somebody else has written it: everything is decided again.
            else:
                created, ended = done.created + len(mine), done.ended + followed.ended - backfill.ended
                done = BackfillProgress(created, ended, is_complete, changed.problem)
                if (reserved and not takes_over) or not changed.count(PartitionState.RESERVED):
                    return done
                backfill, looked, takes_over = replace(changed, revision=changed.revision + 1), (), True
            if self._clock.now() >= ends_at:
                return replace(done, is_complete=False)

    def due(self, limit: int) -> list[str]:
        """Return the names of backfills that are due, the longest-waiting first."""
        return self._backfills.due(self._clock.now(), limit)

    def postpone(self, name: str, until: int, reason: str) -> bool:
        """Defer a backfill whose record cannot be read or written; return whether it was not deferred before."""
        return self._backfills.postpone(name, until, reason)

    def _window(self, backfill: Backfill) -> list[int]:
        """Return the partitions in progress to look at now: the windows of successive looks cover all."""
        found = backfill.positions(PartitionState.IN_PROGRESS)
        windows = -(-len(found) // LOOKED_AT) or 1
        first = self._clock.now() // LOOK_MS % windows * LOOKED_AT
        rotated = found[first:] + found[:first]
        return rotated if backfill.status is BackfillStatus.CANCELED else rotated[:LOOKED_AT]

    def _looked(self, backfill: Backfill, positions: Collection[int], ends_at: int) -> tuple[Backfill, bool]:
        """Return the backfill with the states of these runs, and False if time ran out before all were read."""
        wanted = [each for each in positions if each < backfill.total]
        for first in range(0, len(wanted), LOOKED_AT):
            if first and self._clock.now() >= ends_at:
                return backfill, False
            backfill = _followed(backfill, self._read(backfill, wanted[first : first + LOOKED_AT]))
        return backfill, True

    def _read(self, backfill: Backfill, positions: Collection[int]) -> dict[int, Run]:
        partitions = self._backfills.partitions(backfill, positions)
        ids = {self._run_ids.backfill(backfill.name, each.key): at for at, each in partitions.items()}
        runs = list(self._runs.get_many(ids).values())
        if backfill.status is BackfillStatus.CANCELED:
            runs = self._each(partial(self._canceled, backfill), runs)
        return {ids[run.run_id]: run for run in runs}

    def _each(self, work: Callable[[T], R], given: Iterable[T]) -> list[R]:
        """Return the results of calls that each write a record, made concurrently."""
        if self._workers == 1:
            return list(map(work, given))
        with ThreadPoolExecutor(self._workers, "backfill") as pool:
            return list(pool.map(work, given))

    def _created(self, backfill: Backfill, positions: Sequence[int]) -> "dict[int, Run | None]":
        """Create what reserved partitions may lack; return their runs, None for one that cannot be stored."""
        if not positions:
            return {}
        partitions = self._backfills.partitions(backfill, positions)
        first = [self._first_run(backfill, position, partitions[position]) for position in positions]
        batches = write_batches(first)
        existing = dict(zip(chain.from_iterable(batches), self._existing(first, batches), strict=True))

        def bring_up(index: int) -> Run | None:
            return self._brought_up(backfill, positions[index], first[index], existing[index])

        runs = self._each(bring_up, range(len(first)))
        self._launches.send([LaunchRequest.of(run).to_json() for run in runs if run and run.may_launch])
        return dict(zip(positions, runs, strict=True))

    def _existing(
        self, runs: Sequence[Run], batches: Sequence[Sequence[int]]
    ) -> Iterator[Run | Exception | None]:
        """Create runs by batches of their indexes; return in this order what exists of each, or why it cannot be written."""
        created = self._each(lambda batch: self._runs.create_many([runs[index] for index in batch]), batches)
        return chain.from_iterable(created)

    def _brought_up(
        self, backfill: Backfill, position: int, first: Run, existing: Run | Exception | None
    ) -> Run | None:
        """Return a partition's run at the attempt that its state is about, or a later one."""
        attempt = backfill.attempts[position]
        try:
            if isinstance(existing, Exception):
                raise existing
            run = existing or first

            def brought_up(current: Run) -> Run:
                if current.attempt >= attempt or not current.status.is_finished:
                    return current
                now = self._clock.now()
                return queue_next_attempt(allow_next_attempt(current, f"backfill {backfill.name}", now), now)

            run = update_with_optimistic_lock(self._runs, run, brought_up)
            return self._canceled(backfill, run) if backfill.status is BackfillStatus.CANCELED else run
        except (UnreadableRecordError, StoreRejectedError) as error:
            logger.error(  # noqa: TRY400 - its words say all
                "The run of partition %r of backfill %s was not recorded: %s",
                first.partition_key,
                backfill.name,
                error,
            )
            return None

    def _canceled(self, backfill: Backfill, run: Run) -> Run:
        """Return the run, canceled if it waits for its launch."""
        cause = f"Backfill {backfill.name} was canceled before it started."
        failure = Failure("CanceledError", cause, assumed=True)

        def canceled(current: Run) -> Run:
            if current.status is not Status.QUEUED or current.claim or current.pending_start:
                return current
            report = Report(current.attempt, Status.CANCELED, self._clock.now(), failure=failure)
            return fold(current, report)

        return update_with_optimistic_lock(self._runs, run, canceled)

    def _first_run(self, backfill: Backfill, position: int, partition: BackfillPartition) -> Run:
        now = self._clock.now()
        tags = {
            **backfill.tags,
            **partition.tags,
            BACKFILL_TAG: backfill.name,
            PARTITION_TAG: partition.key,
            DEPTH_TAG: "1",
        }
        pools = self._pools.of(backfill.job, tags)
        run = Run(
            run_id=self._run_ids.backfill(backfill.name, partition.key),
            job=backfill.job,
            sensor="",
            run_key=None,
            tick_id=tick_id_of(backfill.name, position),
            run_config=backfill.run_config,
            tags=tags,
            created_at=now,
            partition_key=partition.key,
            reached={"1/0": {Status.QUEUED.value: now}},
            pools=pools,
            turns=self._pools.turns(pools, tags),
            next_at=now + LAUNCH_DUE_MS,
        )
        return with_wait(run)

    def _reserve(self, backfill: Backfill) -> Backfill:
        """Return the backfill with the partitions reserved that may start now, and when it is due next."""
        now, problem = self._clock.now(), None
        if backfill.status is BackfillStatus.REQUESTED and backfill.count(PartitionState.WAITING):
            if backfill.job in self._jobs:
                backfill = replace(backfill, states=_reserved(backfill))
            else:
                problem = (
                    f"No job {backfill.job!r} is registered with this engine. Deploy the project that has it: "
                    "the backfill then continues by itself."
                )
        rests = backfill.status is BackfillStatus.PAUSED and not backfill.in_progress
        due = now + (PAUSED_MS if rests else LOOK_MS)
        return replace(backfill, problem=problem, next_at=due if backfill.is_unfinished else None)


def _followed(backfill: Backfill, seen: "Mapping[int, Run | None]") -> Backfill:
    """Return the backfill with the states of these runs; None stands for one that cannot be stored."""
    states, attempts = bytearray(backfill.states), bytearray(backfill.attempts)
    for position, run in seen.items():
        if states[position] == PartitionState.WAITING.byte:
            continue  # A retry was requested since its run ended.
        if run is None:
            states[position] = PartitionState.FAILURE.byte
        elif run.attempt >= attempts[position] or not run.status.is_finished:
            # A run that its retry policy starts again has not ended.
            ended = None if run.retry_at is not None else _ENDED.get(run.status)
            states[position] = (ended or PartitionState.IN_PROGRESS).byte
            attempts[position] = min(run.attempt, MAX_ATTEMPTS)
    return replace(backfill, states=bytes(states), attempts=bytes(attempts))


def _reserved(backfill: Backfill) -> bytes:
    states = bytearray(backfill.states)
    room = min(SLICE, backfill.limit - backfill.in_progress) if backfill.limit else SLICE
    for position in backfill.positions(PartitionState.WAITING, most=max(0, room)):
        states[position] = PartitionState.RESERVED.byte
    return bytes(states)
