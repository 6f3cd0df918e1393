"""Operators' use cases on backfills: start, list, pause, resume, cancel, retry. The record names the operators."""

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace

from treadle.definitions.bounds import MAX_PARTITION_KEY, byte_size, counted, shown
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import CommandRefusedError, StoreError, TreadleError
from treadle.definitions.status import DagsterRunStatus
from treadle.engine.identity import RunIds
from treadle.engine.messages import BackfillRequest
from treadle.model.backfills import (
    MAX_ATTEMPTS,
    MAX_PARTITIONS,
    NAME,
    PAGE_SIZE,
    Backfill,
    BackfillPartition,
    BackfillStatus,
    PartitionState,
    parse_page_token,
)
from treadle.model.runs import OperatorEdit, Run
from treadle.operate.runs import RunOperations
from treadle.ports.backfills import BackfillStore
from treadle.ports.system import Clock, Queue

MAX_CONTENT_BYTES = 50_000
"""The maximum size of run config and tags of a backfill: each slice writes them again."""

SHOWN_PARTITIONS = 20

PAUSED, RESUMED, CANCELED, RETRIED = "paused", "resumed", "canceled", "retried"


@dataclass(frozen=True, slots=True)
class BackfillChange:
    """The result of an operator's command.

    Attributes:
        backfill: the record afterwards.
        is_new: False if there was nothing to do, as when the command was repeated.
        reason: what was done, or why nothing was.
    """

    backfill: Backfill
    is_new: bool
    reason: str


@dataclass(frozen=True, slots=True)
class BackfillRun:
    """A run of a backfill.

    Attributes:
        partition_key: the partition.
        run_id: the run's id.
        attempt: the number of the attempt that the state is about.
        state: how far it has come.
    """

    partition_key: str
    run_id: str
    attempt: int
    state: PartitionState


@dataclass(frozen=True, slots=True)
class BackfillDetails:
    """A backfill, and some of its runs.

    Attributes:
        backfill: the record.
        runs: the first of those that failed or were canceled, and of those in progress.
    """

    backfill: Backfill
    runs: tuple[BackfillRun, ...]


@dataclass(frozen=True, slots=True)
class BackfillRunPage:
    """A page of a backfill's partitions.

    Attributes:
        runs: the runs of its partitions, each with its record; None if it was not created yet.
        next: where the next page starts; None if this is the last.
    """

    runs: tuple[tuple[BackfillRun, Run | None], ...]
    next: int | None


@dataclass(frozen=True, slots=True)
class CanceledRuns:
    """The result of canceling the runs of a backfill.

    Attributes:
        requested: how many targets received the request to end their run, or had not started it.
        refused: why others could not be canceled, by run id.
    """

    requested: int = 0
    refused: Mapping[str, str] = field(default_factory=dict)


class BackfillOperations:
    """Starts and controls backfills; the engine does the rest.

    Args:
        backfills: stores backfills.
        dispatches: DISPATCH's queue.
        jobs: the names of the registered jobs.
        runs: cancels runs.
        run_ids: the deployment's run ids.
        clock: the clock.
    """

    def __init__(
        self,
        backfills: BackfillStore,
        dispatches: Queue,
        jobs: Collection[str],
        runs: RunOperations,
        run_ids: RunIds,
        clock: Clock,
    ) -> None:
        self._backfills = backfills
        self._dispatches = dispatches
        self._jobs = jobs
        self._runs = runs
        self._run_ids = run_ids
        self._clock = clock

    def start(
        self,
        job: str,
        partitions: Sequence[BackfillPartition],
        by: str,
        *,
        name: str | None = None,
        again: int | None = None,
        run_config: str = "{}",
        tags: Mapping[str, str] | None = None,
        limit: int = 0,
    ) -> BackfillChange:
        """Start a backfill, once: a repeated command finds the existing one.

        Args:
            job: the job's name.
            partitions: in the order in which their runs start.
            by: the operator.
            name: the backfill's name; None to derive it from the job, the partitions, the config and the tags.
            again: distinguishes another backfill of the same content, in place of a name.
            run_config: of every run, as canonical JSON.
            tags: of every run.
            limit: how many runs may be in progress at a time; 0 for no limit.

        Raises:
            CommandRefusedError: if there is no such job, the partitions are invalid, or the name is taken by a
                backfill of other content.
            StoreError: if the store did not respond; the command can be repeated.
        """
        content = canonical_json(
            [job, [[each.key, dict(each.tags)] for each in partitions], run_config, tags or {}]
        )
        digest = hashlib.sha256(content.encode(errors="surrogatepass")).hexdigest()[:32]
        chosen = name if name is not None else f"{job}-{digest[:12]}" + (f"-{again}" if again else "")
        self._check(job, partitions, chosen, byte_size(run_config) + byte_size(canonical_json(tags or {})))
        now, total = self._clock.now(), len(partitions)
        backfill = Backfill(
            name=chosen,
            job=job,
            digest=digest,
            run_config=run_config,
            tags=tags or {},
            limit=limit,
            created_at=now,
            states=bytes([PartitionState.WAITING.byte]) * total,
            attempts=b"\x01" * total,
            edits=(OperatorEdit(now, by, "started"),),
            next_at=now,
        )
        existing = self._backfills.create(backfill, partitions)
        if existing is not None and existing.digest != digest:
            msg = (
                f"Backfill {chosen} exists with other content: {existing.total} partitions of job {existing.job}, "
                "or another config. Choose another name."
            )
            raise CommandRefusedError(msg)
        if existing not in (None, backfill):
            reason = f"Backfill {chosen} exists already ({existing.shown_status}): nothing was started again."
            return BackfillChange(existing, False, reason)
        self._wake(chosen)
        return BackfillChange(
            backfill, True, f"Backfill {chosen} of {counted(total, 'partition')} of job {job} is requested."
        )

    def _check(self, job: str, partitions: Sequence[BackfillPartition], name: str, size: int) -> None:
        keys = [each.key for each in partitions]
        if job not in self._jobs:
            raise CommandRefusedError(
                f"No job {job!r} is registered with this engine. `treadle doctor` lists entries."
            )
        if NAME.fullmatch(name) is None:
            msg = (
                f"{shown(name)} cannot name a backfill. Use 1 to 120 letters, digits, dots, dashes and underscores; "
                "the first is no dot or dash."
            )
            raise CommandRefusedError(msg)
        if not 0 < len(keys) <= MAX_PARTITIONS:
            msg = f"A backfill has 1 to {MAX_PARTITIONS} partitions, but {len(keys)} were given. Split it into several."
            raise CommandRefusedError(msg)
        if len(set(keys)) != len(keys):
            raise CommandRefusedError("A partition was given twice. Give each partition key once.")
        long = next((key for key in keys if not 0 < byte_size(key) <= MAX_PARTITION_KEY), None)
        if long is not None:
            msg = f"Partition key {shown(long)} has no valid length: use 1 to {MAX_PARTITION_KEY} bytes."
            raise CommandRefusedError(msg)
        if size > MAX_CONTENT_BYTES:
            msg = (
                f"The run config and tags of the backfill have {size} bytes; the limit is {MAX_CONTENT_BYTES}. Store "
                "large values and let the runs read them."
            )
            raise CommandRefusedError(msg)

    def page(self, before: str | None = None, limit: int = 50) -> tuple[list[Backfill], str | None]:
        """List backfills, newest first; return also the token of the next page, None at the end.

        Raises:
            CommandRefusedError: if `before` is not such a token.
            StoreError: if the store did not respond.
        """
        if before is not None and parse_page_token(before) is None:
            msg = f"{before[:80]!r} is not a page token. Use the one that the previous page returned."
            raise CommandRefusedError(msg)
        return self._backfills.page(before, limit)

    def details(self, name: str) -> BackfillDetails:
        """Return a backfill, with the runs that an operator may want to see.

        Raises:
            CommandRefusedError: if there is none of this name.
            StoreError: if the store did not respond.
        """
        backfill = self.get(name)
        failed = backfill.positions(PartitionState.FAILURE, PartitionState.CANCELED, most=SHOWN_PARTITIONS)
        running = backfill.positions(PartitionState.IN_PROGRESS, most=SHOWN_PARTITIONS)
        return BackfillDetails(backfill, tuple(self._of(backfill, [*failed, *running])))

    def run_page(
        self, name: str, states: Collection[PartitionState], after: int | None, limit: int
    ) -> BackfillRunPage:
        """Return a page of a backfill's partitions with their runs, in the order of the partitions.

        Args:
            name: the backfill's name.
            states: any of these.
            after: `next` of the previous page; None for the first.
            limit: the maximum number.

        Raises:
            CommandRefusedError: if there is no backfill of this name.
            StoreError: if the store did not respond.
        """
        backfill, first = self.get(name), 0 if after is None else after + 1
        positions = [each for each in backfill.positions(*states) if each >= first]
        shown_positions = positions[:limit]
        runs = tuple(self._with_records(backfill, shown_positions))
        return BackfillRunPage(runs, shown_positions[-1] if len(positions) > limit else None)

    def runs(self, name: str, statuses: Collection[DagsterRunStatus] | None, limit: int) -> list[Run]:
        """List a backfill's runs in the order of its partitions.

        Args:
            name: the backfill's name.
            statuses: any of these; None for all.
            limit: the maximum number.

        Raises:
            CommandRefusedError: if there is no backfill of this name.
            StoreError: if the store did not respond.
        """
        backfill, found = self.get(name), []
        for first in range(0, backfill.total, PAGE_SIZE):
            page = self._with_records(backfill, range(backfill.total)[first : first + PAGE_SIZE])
            found += [run for _, run in page if run and (statuses is None or run.status in statuses)]
            if len(found) >= limit:
                break
        return found[:limit]

    def pause(self, name: str, by: str) -> BackfillChange:
        """Let a backfill start no more runs until it is resumed; those in progress continue.

        Raises:
            CommandRefusedError: if there is none of this name, or it has ended.
            StoreError: if the store did not respond.
        """

        def paused(current: Backfill) -> Backfill:
            _check_unfinished(current, "pause")
            return replace(current, status=BackfillStatus.PAUSED)

        return self._edited(
            name, by, PAUSED, paused, f"Backfill {name} is paused: runs in progress continue."
        )

    def resume(self, name: str, by: str, *, limit: int | None = None) -> BackfillChange:
        """Let a paused backfill continue, optionally under another limit.

        Args:
            name: the backfill's name.
            by: the operator.
            limit: how many runs may be in progress at a time; 0 for no limit, None for the same as before.

        Raises:
            CommandRefusedError: if there is none of this name, or it has ended.
            StoreError: if the store did not respond.
        """

        def resumed(current: Backfill) -> Backfill:
            _check_unfinished(current, "resume")
            given = current.limit if limit is None else limit
            return replace(current, status=BackfillStatus.REQUESTED, limit=given)

        return self._edited(name, by, RESUMED, resumed, f"Backfill {name} continues.")

    def cancel(self, name: str, by: str) -> BackfillChange:
        """End a backfill: what has not started never starts, and runs that wait for their launch are canceled.

        Raises:
            CommandRefusedError: if there is none of this name, or all its runs have ended.
            StoreError: if the store did not respond.
        """

        def canceled(current: Backfill) -> Backfill:
            if current.status is BackfillStatus.CANCELED:
                return current
            _check_unfinished(current, "cancel")
            return replace(current, status=BackfillStatus.CANCELED)

        reason = f"Backfill {name} is canceled: it starts no more runs, and those that a target has started continue."
        return self._edited(name, by, CANCELED, canceled, reason)

    def cancel_runs(self, name: str, by: str) -> CanceledRuns:
        """Cancel the runs of a backfill that are in progress, one after the other.

        Raises:
            CommandRefusedError: if there is none of this name, or it would start others in their place.
            StoreError: if the store did not respond.
        """
        backfill = self.get(name)
        if backfill.status is not BackfillStatus.CANCELED:
            raise CommandRefusedError(f"Backfill {name} is {backfill.shown_status}. Cancel it first.")
        requested, refused = 0, {}
        positions = backfill.positions(PartitionState.RESERVED, PartitionState.IN_PROGRESS)
        for run in self._of(backfill, positions):
            try:
                self._runs.cancel(run.run_id, by)
                requested += 1
            except StoreError:
                raise
            except TreadleError as error:
                refused[run.run_id] = str(error)
        return CanceledRuns(requested, refused)

    def retry(self, name: str, by: str) -> BackfillChange:
        """Start the next attempt of each run that failed or was canceled, under the backfill's limit.

        Raises:
            CommandRefusedError: if there is none of this name, or it was canceled.
            StoreError: if the store did not respond.
        """
        failed = 0

        def retried(current: Backfill) -> Backfill:
            nonlocal failed
            if current.status is BackfillStatus.CANCELED:
                msg = (
                    f"Backfill {name} was canceled. Start another with the partitions that are left, by its own name "
                    "or with --again."
                )
                raise CommandRefusedError(msg)
            states, attempts = bytearray(current.states), bytearray(current.attempts)
            positions = [
                position
                for position in current.positions(PartitionState.FAILURE, PartitionState.CANCELED)
                if attempts[position] < MAX_ATTEMPTS
            ]
            failed = len(positions)
            for position in positions:
                states[position] = PartitionState.WAITING.byte
                attempts[position] += 1
            return replace(current, states=bytes(states), attempts=bytes(attempts))

        change = self._edited(name, by, RETRIED, retried, "")
        count, starts = counted(failed, "run"), "starts" if failed == 1 else "start"
        reason = f"{count} of backfill {name} {starts} again." if change.is_new else "Nothing failed."
        if change.is_new and change.backfill.status is BackfillStatus.PAUSED:
            reason = f"{count} of backfill {name} {starts} again once it is resumed."
        return replace(change, reason=reason)

    def _edited(
        self, name: str, by: str, action: str, change: Callable[[Backfill], Backfill], reason: str
    ) -> BackfillChange:
        """Apply an operator's edit under the record's revision; a repeated one changes nothing."""
        backfill, edit = self.get(name), OperatorEdit(self._clock.now(), by, action)
        while True:
            changed = change(backfill)
            if changed == backfill:
                return BackfillChange(backfill, False, f"Backfill {name} is {backfill.shown_status} already.")
            changed = changed.edited(edit)
            current = self._backfills.replace(changed)
            if current is None or edit in current.edits:
                self._wake(name)
                return BackfillChange(changed, True, reason)
            backfill = current

    def _wake(self, name: str) -> None:
        try:
            self._dispatches.send([BackfillRequest(name).to_json()])
        except StoreError as error:
            msg = f"The command on backfill {name} is recorded, and RECONCILE continues in a minute; but: {error}"
            raise StoreError(msg) from error

    def get(self, name: str) -> Backfill:
        """Return a backfill.

        Raises:
            CommandRefusedError: if there is none of this name.
            StoreError: if the store did not respond.
        """
        found = self._backfills.get(name) if NAME.fullmatch(name) else None
        if found is None:
            raise CommandRefusedError(
                f"Backfill {shown(name)} does not exist. `treadle backfill list` lists them."
            )
        return found

    def _with_records(
        self, backfill: Backfill, positions: Sequence[int]
    ) -> list[tuple[BackfillRun, Run | None]]:
        """Return the runs of partitions, each with its record; None if there is none."""
        found = self._of(backfill, positions)
        # What waits for its first attempt has no run.
        records = self._runs.get_many(
            [each.run_id for each in found if each.state is not PartitionState.WAITING or each.attempt > 1]
        )
        return [(each, records.get(each.run_id)) for each in found]

    def _of(self, backfill: Backfill, positions: Sequence[int]) -> list[BackfillRun]:
        partitions = self._backfills.partitions(backfill, positions)
        return [
            BackfillRun(
                partitions[each].key,
                self._run_ids.backfill(backfill.name, partitions[each].key),
                backfill.attempts[each],
                PartitionState(chr(backfill.states[each])),
            )
            for each in positions
        ]


def _check_unfinished(backfill: Backfill, then: str) -> None:
    if backfill.status is BackfillStatus.CANCELED or not backfill.is_unfinished:
        msg = f"Backfill {backfill.name} is {backfill.shown_status}: there is nothing to {then}."
        raise CommandRefusedError(msg)
