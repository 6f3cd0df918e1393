"""Operators' use cases on concurrency pools: who holds their slots, who waits, and what may be changed."""

from collections.abc import Callable, Collection, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.runs import priority_of
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.messages import GrantRequest
from treadle.engine.optimistic_lock import update_with_optimistic_lock
from treadle.engine.record.max_runtime import current_cancellation
from treadle.engine.record.pool_slots import slots_in_doubt, with_priority, without_slots_in_doubt
from treadle.model.pools import (
    BEYOND,
    MAX_COUNTED,
    MAX_LIMIT,
    Holder,
    Overlap,
    PoolState,
    Slot,
    Waiter,
    declared_name,
    in_turn,
    is_of_starts,
    pool_key,
    pool_name,
    pool_value,
    start_times,
)
from treadle.model.registry import PoolEntry
from treadle.model.runs import Run
from treadle.operate.runs import RunEdit, existing_run
from treadle.ports.pools import PoolStore
from treadle.ports.runs import RunStore
from treadle.ports.system import Clock, Queue

SHOWN = 20
"""How many waiting runs are shown."""

_WORKERS = 16


@dataclass(frozen=True, slots=True)
class PoolView:
    """A pool, or the part of a pool for one value of its tag.

    Attributes:
        name: the pool's name.
        value: the value, hashed if it is long; None for the whole pool.
        project: the project that declares it; "" for the pool of one job.
        limit: how many runs may be in progress at a time, or start per minute; None if it is no longer declared, and
            limits nothing.
        declared_limit: the limit without an operator's.
        limits: the declared limits of single values.
        is_limit_set: True if an operator's limit applies.
        limit_set_by: the operator.
        limit_set_at: when it was set.
        is_per_value: True if each value of the tag has the limit by itself.
        held: how many slots are held.
        beyond: how many of them beyond the limit, by runs that were in progress without a slot.
        in_doubt: how many of them by attempts that may or may not have ended.
        waiting: how many runs wait, up to `MAX_COUNTED`.
        waiting_since: since when the oldest one waits.
        closed_until: no run starts before this time, because jobs have joined the pool; None if it is open.
        turns_by: the tag among whose values the runs that wait take turns; "" for none.
        is_per_minute: True if it limits starts per minute; its slots are those taken in the last 60 seconds.
        next_start_at: when it allows the next start; None if it does now, or limits something else.
        overlap: of the pool of one job: what becomes of a run for which no slot is free.
        not_canceled: how many of the runs that hold slots are to be canceled, and their targets refuse that.
    """

    name: str
    value: str | None = None
    project: str = ""
    limit: int | None = None
    declared_limit: int | None = None
    limits: Mapping[str, int] = field(default_factory=dict)
    is_limit_set: bool = False
    limit_set_by: str | None = None
    limit_set_at: int | None = None
    is_per_value: bool = False
    held: int = 0
    beyond: int = 0
    in_doubt: int = 0
    waiting: int = 0
    waiting_since: int | None = None
    closed_until: int | None = None
    turns_by: str = ""
    is_per_minute: bool = False
    next_start_at: int | None = None
    overlap: Overlap = Overlap.QUEUE
    not_canceled: int = 0

    @property
    def key(self) -> str:
        """The pool's key."""
        return self.name if self.value is None else f"{self.name}={self.value}"

    @property
    def is_paused(self) -> bool:
        """True if no run may start."""
        return self.limit == 0


@dataclass(frozen=True, slots=True)
class PoolHolder:
    """An attempt that holds a slot.

    Attributes:
        run_id: the run.
        attempt: the attempt's number.
        job: the run's job; None if its record cannot be read.
        status: the run's status.
        since: when the attempt reached its target, or else was concluded to have ended; None if neither is recorded. In a
            pool of starts per minute, when its start was granted.
        is_beyond: True if it holds the slot beyond the limit.
        is_in_doubt: True if the attempt may or may not have ended.
    """

    run_id: str
    attempt: int
    job: str | None
    status: Status | None
    since: int | None
    is_beyond: bool
    is_in_doubt: bool


@dataclass(frozen=True, slots=True)
class PoolWaiter:
    """A run that waits.

    Attributes:
        place: its place in the queue, from 1.
        run_id: the run.
        job: the run's job; None if its record cannot be read.
        priority: its priority.
        since: since when it waits.
        pools: the keys of all pools of which it needs a slot.
    """

    place: int
    run_id: str
    job: str | None
    priority: int
    since: int | None
    pools: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class PoolDetails:
    """A pool with its runs.

    Attributes:
        pool: the pool.
        holders: the attempts that hold its slots; those in doubt first.
        waiters: the first runs in its queue.
        values: the pool by value of its tag, for each value in which runs wait.
    """

    pool: PoolView
    holders: tuple[PoolHolder, ...]
    waiters: tuple[PoolWaiter, ...]
    values: tuple[PoolView, ...] = ()


@dataclass(frozen=True, slots=True)
class PoolWaitView:
    """What a run waits for.

    Attributes:
        pool: the pool in whose queue it is.
        place: its place in the queue, from 1; None beyond `MAX_COUNTED`, and among as many that take turns.
        since: since when it waits.
        in_doubt: the runs whose attempts hold slots, and may or may not have ended.
        ending: the runs in progress that are to be canceled, each with the reason why its target refuses that, or "".
    """

    pool: PoolView
    place: int | None
    since: int
    in_doubt: tuple[str, ...] = ()
    ending: tuple[tuple[str, str], ...] = ()


@dataclass(frozen=True, slots=True)
class PoolEdit:
    """The result of an operator's change of a limit.

    Attributes:
        pool: the pool afterwards.
        is_new: False if there was nothing to do.
        reason: what was done, or why nothing was.
    """

    pool: PoolView
    is_new: bool
    reason: str


class PoolOperations:
    """Shows pools, changes their limits, frees slots, and moves waiting runs.

    Args:
        pools: stores pools.
        runs: stores run records.
        dispatches: DISPATCH's queue.
        declared: returns the registered pools by name; the pools of single jobs are not among them.
        clock: the clock.
    """

    def __init__(
        self,
        pools: PoolStore,
        runs: RunStore,
        dispatches: Queue,
        declared: Callable[[], Mapping[str, PoolEntry]],
        clock: Clock,
    ) -> None:
        self._pools = pools
        self._runs = runs
        self._dispatches = dispatches
        self._declared = declared
        self._clock = clock

    def all(self) -> list[PoolView]:
        """Return all pools by name, each followed by its values in which runs wait.

        Raises:
            StoreError: if a store did not respond.
        """
        states, entries = self._pools.states(), self._declared()
        keys = sorted({*states, *self._pools.queues()}, key=lambda key: (pool_name(key), key))
        with ThreadPoolExecutor(_WORKERS) as pool:
            views = list(pool.map(lambda key: self._view(key, states, entries)[0], keys))
        # A queue that is noted may have been emptied since.
        return [each for each in views if each.key in states or each.held or each.waiting]

    def details(self, name: str, value: str | None = None, *, limit: int = SHOWN) -> PoolDetails:
        """Return a pool, who holds its slots, and the first runs that wait.

        Args:
            name: the pool's name.
            value: a value of its tag, for a pool that has the limit for each; None for the whole pool.
            limit: the maximum number of waiting runs.

        Raises:
            CommandRefusedError: if there is no such pool, or it has no limit for each value.
            StoreError: if a store did not respond.
        """
        states, entries, queues = self._pools.states(), self._declared(), self._pools.queues()
        if name not in states and name not in map(pool_name, queues):
            raise CommandRefusedError(_unknown(name, states))
        if value is not None and name in states and not self._is_per_value(name):
            msg = f"Pool {name} has one limit for all of its runs, not one for each value of a tag. Leave the value out."
            raise CommandRefusedError(msg)
        view, holders, waiters, runs = self._view(pool_key(name, value), states, entries)
        of_waiters = self._runs.get_many([each.run_id for each in waiters[:limit]])
        values = sorted(key for key in queues if value is None and key != name and pool_name(key) == name)
        found = [_holder(each, runs.get(each.run_id)) for each in holders]
        return PoolDetails(
            view,
            tuple(sorted(found, key=lambda each: (not each.is_in_doubt, each.since or 0, each.run_id))),
            tuple(
                _waiter(place, each, of_waiters.get(each.run_id))
                for place, each in enumerate(waiters[:limit], 1)
            ),
            tuple(self._view(key, states, entries)[0] for key in values),
        )

    def waits(self, run: Run) -> PoolWaitView | None:
        """Return what a run waits for; None if it does not wait for a pool.

        Args:
            run: its record.

        Raises:
            StoreError: if a store did not respond.
        """
        if run.waiting is None:
            return None
        key = run.waiting.pool
        state = self._pools.state(pool_name(key))
        states = {} if state is None else {state.name: state}
        view, _, waiters, holders = self._view(key, states, self._declared())
        places = [each.order for each in waiters]
        # With more runs, those that are counted are not the next ones in turn.
        is_known = len(waiters) < MAX_COUNTED or not any(each.has_turn for each in waiters)
        own = run.place.order if run.place is not None and is_known else ""
        place = places.index(own) + 1 if own in places else None
        in_doubt = sorted(each.run_id for each in holders.values() if _doubted(each, key))
        ending = sorted((each.run_id, refused) for each, refused in _ending(holders.values()))
        return PoolWaitView(view, place, run.waiting.since, tuple(in_doubt), tuple(ending))

    def set_limit(self, name: str, limit: int, by: str) -> PoolEdit:
        """Set a limit that applies instead of the declared one until it is reset; no run in progress is ended.

        Args:
            name: the pool's name.
            limit: how many runs may be in progress at a time, or start per minute; 0 for none. It applies to each value
                of the pool's tag.
            by: the operator.

        Raises:
            CommandRefusedError: if the pool is not declared, or the limit is not possible.
            StoreError: if a store or the queue did not respond; it is safe to repeat.
        """
        if not 0 <= limit <= MAX_LIMIT:
            msg = f"{limit} is no limit: give a number from 0 to {MAX_LIMIT}."
            raise CommandRefusedError(msg)
        before = self._state(name)
        after = self._pools.set_override(name, limit, by, self._clock.now())
        self._wake(name)
        each = " for each value of its tag" if self._is_per_value(name) else ""
        declared = "" if before.limit == limit else f" instead of the declared {before.limit}"
        effect = "no run starts until the limit is raised" if limit == 0 else "in force with the next start"
        reason = f"The limit of pool {name} is {limit}{each}{declared}: {effect}. Until: treadle pool reset-limit {name}"
        return self._edited(after, name, before.override != limit, reason)

    def reset_limit(self, name: str) -> PoolEdit:
        """Let the declared limit apply again.

        Args:
            name: the pool's name.

        Raises:
            CommandRefusedError: if the pool is not declared.
            StoreError: if a store or the queue did not respond; it is safe to repeat.
        """
        before = self._state(name)
        after = self._pools.set_override(name, None, "", self._clock.now())
        self._wake(name)
        reason = f"The limit of pool {name} is {before.limit}, as declared."
        return self._edited(after, name, before.override is not None, reason)

    def free(self, run_id: str, by: str) -> RunEdit:
        """Free the slots of a run's attempts that may or may not have ended, as the operator knows that they have.

        Args:
            run_id: the run.
            by: the operator.

        Raises:
            CommandRefusedError: if there is no such run, or it holds slots because it is in progress.
            StoreError: if a store did not respond.
        """
        before, now = existing_run(self._runs, run_id), self._clock.now()

        def freed(current: Run) -> Run:
            changed = without_slots_in_doubt(current)
            if changed.slots and changed.slots == current.slots:
                msg = (
                    f"Run {run_id} is in progress ({current.status}), so its slots are not in doubt: they are returned when "
                    f"it ends. To end it: treadle run cancel {run_id}"
                )
                raise CommandRefusedError(msg)
            gone = _pools_of(slots_in_doubt(current))
            return changed.edited(now, by, f"freed its slots in doubt of {gone}") if gone else current

        after = update_with_optimistic_lock(self._runs, before, freed)
        gone = [slot for slot in before.slots if slot not in after.slots]
        if not gone:
            return RunEdit(after, False, f"Run {run_id} holds no slots.")
        reason = f"The slots that run {run_id} held in doubt are free: {_pools_of(gone)}."
        return RunEdit(after, True, reason)

    def set_priority(self, run_id: str, priority: int, by: str) -> RunEdit:
        """Move a run in the queue of its pool: the highest priority starts first, then the longest wait.

        Args:
            run_id: the run.
            priority: its priority from now on.
            by: the operator.

        Raises:
            CommandRefusedError: if there is no such run, or it does not wait for a pool.
            StoreError: if a store did not respond.
        """

        def moved(current: Run) -> Run:
            if current.waiting is None:
                msg = (
                    f"Run {run_id} does not wait for a pool ({current.status}), so its priority has no effect and was not "
                    "changed."
                )
                raise CommandRefusedError(msg)
            changed = with_priority(current, priority)
            return (
                changed if changed == current else changed.edited(now, by, f"set its priority to {priority}")
            )

        before, now = existing_run(self._runs, run_id), self._clock.now()
        after = update_with_optimistic_lock(self._runs, before, moved)
        is_new = after.revision != before.revision
        verb = "is" if is_new else "was already"
        return RunEdit(after, is_new, f"The priority of run {run_id} {verb} {priority}.")

    def _state(self, name: str) -> PoolState:
        state = self._pools.state(name)
        if state is None:
            raise CommandRefusedError(_unknown(name, self._pools.states()))
        return state

    def _is_per_value(self, name: str) -> bool:
        entry = self._declared().get(declared_name(name))
        return entry is not None and entry.per_value

    def _wake(self, name: str) -> None:
        """Let DISPATCH grant the slots that a changed limit has made free; RECONCILE does within a minute or two if this is lost."""
        keys = {name, *(key for key in self._pools.queues() if pool_name(key) == name)}
        self._dispatches.send([GrantRequest(key).to_json() for key in sorted(keys)])

    def _edited(self, after: PoolState | None, name: str, is_new: bool, reason: str) -> PoolEdit:
        states = {} if after is None else {name: after}
        return PoolEdit(self._view(name, states, self._declared())[0], is_new, reason)

    def _view(
        self, key: str, states: Mapping[str, PoolState], entries: Mapping[str, PoolEntry]
    ) -> tuple[PoolView, list[Holder], list[Waiter], dict[str, Run]]:
        """Return a pool with its holders, its queue, and the runs that hold its slots."""
        name = pool_name(key)
        state, entry, now = states.get(name), entries.get(declared_name(name)), self._clock.now()
        holders = [each for each in self._pools.holders(key) if each.is_held(now)]
        waiters = self._pools.waiters(key, MAX_COUNTED)
        if any(each.has_turn for each in waiters):
            waiters = in_turn(waiters, self._pools.last_turn(key))
        limit = state.limit_of(key) if state else None
        is_full = is_of_starts(key) and limit is not None and len(holders) >= limit
        runs = self._runs.get_many({each.run_id for each in holders})
        view = PoolView(
            name,
            pool_value(key),
            entry.project if entry else "",
            limit,
            state.declared_limit_of(key) if state else None,
            dict(state.limits) if state else {},
            state is not None and state.override is not None,
            state.override_by if state else None,
            state.override_at if state else None,
            entry is not None and entry.per_value,
            len(holders),
            sum(each.number == BEYOND for each in holders),
            sum(_is_doubted(each, runs.get(each.run_id)) for each in holders),
            len(waiters),
            min((each.since for each in waiters if each.since is not None), default=None),
            state.closed_until if state else None,
            entry.turns_by if entry else "",
            is_of_starts(key),
            next(iter(start_times(holders, limit or 0, now)), None) if is_full else None,
            state.overlap if state else Overlap.QUEUE,
            sum(bool(refused) for _, refused in _ending(runs.values())),
        )
        return view, holders, waiters, runs


def _unknown(name: str, states: Collection[str]) -> str:
    return f"Pool {name!r} does not exist. Declared pools: {', '.join(sorted(states)) or 'none'}"


def _pools_of(slots: Collection[Slot]) -> str:
    """Return the names of the pools of these slots, such as "pools a, b"; "" without slots."""
    names = sorted({slot.pool for slot in slots})
    return f"pool{'s' if len(names) > 1 else ''} {', '.join(names)}" if names else ""


def _ending(runs: Collection[Run]) -> list[tuple[Run, str]]:
    """Return the runs in progress that are to be canceled, each with the reason why its target refuses that, or ""."""
    found = ((run, current_cancellation(run)) for run in runs if not run.status.is_finished)
    return [(run, request.refused) for run, request in found if request is not None]


def _doubted(run: Run, key: str) -> bool:
    return any(slot.pool == key for slot in slots_in_doubt(run))


def _is_doubted(holder: Holder, run: Run | None) -> bool:
    return (
        run is not None
        and holder.taken_at is None
        and holder.attempt in {slot.attempt for slot in slots_in_doubt(run)}
    )


def _holder(holder: Holder, run: Run | None) -> PoolHolder:
    return PoolHolder(
        holder.run_id,
        holder.attempt,
        run.job if run else None,
        run.status if run else None,
        holder.taken_at or (_reached_at(run, holder.attempt) if run else None),
        holder.number == BEYOND,
        _is_doubted(holder, run),
    )


def _reached_at(run: Run, attempt: int) -> int | None:
    """Return when an attempt reached its target, as far as it is known."""
    times = [
        at
        for place, reached in run.reached.items()
        if place.split("/")[0] == str(attempt)
        for status, at in reached.items()
        if status != Status.QUEUED.value
    ]
    return min(times, default=None)


def _waiter(place: int, waiter: Waiter, run: Run | None) -> PoolWaiter:
    return PoolWaiter(
        place,
        waiter.run_id,
        run.job if run else None,
        priority_of(run.tags) if run else waiter.priority,
        waiter.since,
        run.pools if run else (),
    )
