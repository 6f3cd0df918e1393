"""The slots of a run's pools: when its attempts wait for them, hold them, and return them, from the record alone."""

from collections.abc import Set
from dataclasses import replace

from treadle.definitions.max_runtime import start_timeout_ms
from treadle.definitions.runs import PRIORITY_TAG, priority_of
from treadle.definitions.status import FINISHED_STATUSES
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.pools import BEYOND, MAX_PRIORITY, PoolWait, Slot, is_of_starts, order_of, pool_of_job
from treadle.model.runs import Run


def with_wait(run: Run, pool: str | None = None, requested: tuple[int, int] | None = None) -> Run:
    """Return a queued run that waits for slots of its pools, if it needs any.

    Nothing checks it meanwhile, unless it has a time limit for that. It waits first for the pool of its job, whose
    overlap may end it; a slot of that pool that an earlier attempt has kept for it, it keeps.

    Args:
        run: one whose current attempt is to be launched; one that waits already keeps its place.
        pool: the pool in whose queue it waits; None for that of its job, or else the first one.
        requested: when it was requested, and its position among those requested at the same time; None for the time
            at which the attempt was queued.
    """
    needed = pools_needed(run)
    if not needed:
        return run
    own = pool_of_job(run.job)
    since, position = requested or (run.attempted_at, 0)
    place = order_of(_bounded(priority_of(run.tags)), since, position, run.run_id)
    wait = run.waiting or PoolWait("", place, since)
    timeout = start_timeout_ms(run.tags)
    return replace(
        run,
        waiting=replace(wait, pool=pool or (own if own in needed else needed[0])),
        slots=tuple(slot for slot in run.slots if slot.attempt != run.attempt or _is_kept(run, slot)),
        starts=(),
        claim=None,
        pending_start=None,
        unseen_at=None,
        next_at=None if timeout is None else wait.since + timeout,
    )


def pools_needed(run: Run) -> tuple[str, ...]:
    """Return the pools that a queued attempt needs a slot of: all but that of its job, if an earlier attempt kept it."""
    kept = {slot.pool for slot in run.slots if _is_kept(run, slot)}
    return tuple(pool for pool in run.pools if pool not in kept)


def slots_for_retry(run: Run) -> tuple[Slot, ...]:
    """Return a run's slots for its next attempt: a retry takes over the slot that was kept for it."""
    if run.retry_at is None:
        return run.slots
    return tuple(
        replace(slot, attempt=run.attempt + 1) if _is_kept(run, slot) else slot for slot in run.slots
    )


def _is_kept(run: Run, slot: Slot) -> bool:
    """Return whether the current attempt holds a slot as long as its run is in progress, from the first attempt to the last.

    The run is in progress also while it waits for its retry, so that its job's overlap lets no other one start.
    """
    is_own = slot.pool == pool_of_job(run.job) and slot.number != BEYOND
    return run.overlap is not None and is_own and slot.attempt == run.attempt


def with_priority(run: Run, priority: int) -> Run:
    """Return a waiting run that has moved in its queue, as its priority has changed; the length of its wait still counts."""
    wait = run.waiting
    if wait is None:
        return run
    position = int(wait.order.split("/")[2])
    order = order_of(_bounded(priority), wait.since, position, run.run_id)
    return replace(run, tags={**run.tags, PRIORITY_TAG: str(priority)}, waiting=replace(wait, order=order))


def _bounded(priority: int) -> int:
    return max(-MAX_PRIORITY, min(MAX_PRIORITY, priority))


def with_slots(run: Run) -> Run:
    """Return the record after a report: an attempt that has ended returns its slots, one that waits no longer leaves its queue.

    An end that Treadle only inferred, of an attempt that may have reached its target, returns nothing: the slot is in
    doubt, until the target reports the end or an operator frees it. An execution that is in progress without slots,
    such as a redrive, holds slots beyond the limit.

    Args:
        run: the record after a report.
    """
    if not (run.pools or run.slots or run.waiting):
        return run
    is_retried = run.retry_at is not None
    slots = tuple(
        slot for slot in run.slots if (is_retried and _is_kept(run, slot)) or not _is_over(run, slot.attempt)
    )
    holding = {slot.attempt for slot in slots}
    for attempt in _in_progress(run) - holding:
        slots += _beyond(run.pools, attempt)
    waiting = run.waiting if run.status is Status.QUEUED else None
    return replace(run, slots=slots, waiting=waiting)


def with_pools(run: Run, pools: tuple[str, ...]) -> Run:
    """Return a run that also is in these pools, which were declared after it had been created.

    If it is in progress, or may be, it holds slots of theirs beyond the limit; otherwise, it is returned as it is.

    Args:
        run: the record.
        pools: the keys of the pools.
    """
    added = tuple(pool for pool in pools if pool not in run.pools)
    if not added or _is_over(run, run.attempt):
        return run
    slots = (*run.slots, *_beyond(added, run.attempt))
    return replace(run, pools=tuple(sorted((*run.pools, *added))), slots=slots)


def _beyond(pools: tuple[str, ...], attempt: int) -> tuple[Slot, ...]:
    """Return slots beyond the limits; a pool of starts per minute counts no run that is in progress."""
    return tuple(Slot(pool, BEYOND, attempt) for pool in pools if not is_of_starts(pool))


def slots_in_doubt(run: Run) -> tuple[Slot, ...]:
    """Return the slots that attempts of a run hold although they count as ended."""
    has_ended = run.status.is_finished and run.retry_at is None
    return tuple(slot for slot in run.slots if slot.attempt != run.attempt or has_ended)


def is_in_doubt(run: Run) -> bool:
    """Return whether an attempt of a run holds slots although it counts as ended."""
    return bool(slots_in_doubt(run))


def without_slots_in_doubt(run: Run) -> Run:
    """Return the run without them, as an operator has decided that those attempts have ended."""
    doubted = slots_in_doubt(run)
    return replace(run, slots=tuple(slot for slot in run.slots if slot not in doubted))


def _in_progress(run: Run) -> set[int]:
    """Return the attempts whose targets report that they are in progress: the current one, or a redriven earlier one."""
    attempts = {int(place.split("/")[0]) for place in run.reached}
    last = {attempt: _last_statuses(run, attempt) for attempt in attempts}
    return {
        attempt
        for attempt, names in last.items()
        if names & _STARTED and not {name.removesuffix("?") for name in names} & FINISHED_STATUSES
    }


def _is_over(run: Run, attempt: int) -> bool:
    """Return whether an attempt has certainly ended, or certainly never reached its target."""
    if _last_statuses(run, attempt) & FINISHED_STATUSES:
        return True
    if attempt != run.attempt or not run.status.is_finished:
        return False
    was_started = any(
        _STARTED & times.keys() for place, times in run.reached.items() if int(place.split("/")[0]) == attempt
    )
    may_have_started = run.pending_start is not None and run.pending_start.target != ""
    return not (was_started or may_have_started)


def _last_statuses(run: Run, attempt: int) -> Set[str]:
    """Return the names of the statuses that the last retry or redrive of an attempt has reached."""
    retries = (place.split("/") for place in run.reached)
    last = max((int(retry) for of, retry in retries if int(of) == attempt), default=0)
    return run.reached.get(f"{attempt}/{last}", {}).keys()


_STARTED = frozenset({Status.STARTING, Status.STARTED, Status.CANCELING})
