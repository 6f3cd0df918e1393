"""The next attempt of a run, created for a later request with its key or by an operator."""

from dataclasses import replace

from treadle.definitions.clocks import is_ahead
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.pool_slots import slots_for_retry, with_wait
from treadle.engine.record.run_state import LAUNCH_DUE_MS, MESSAGE_LOST_MS
from treadle.model.runs import RetryGrant, Run, request_digest

KEPT_TICKS = 100
"""The number of ticks that a run remembers as having requested attempts, the latest; none requests two."""


def queue_next_attempt(run: Run, now: int, pools: tuple[str, ...] | None = None) -> Run:
    """Return the run queued for its next attempt, with nothing left of the last one but its statuses.

    It waits for slots of its pools, if it has any. What an earlier attempt in doubt holds, it still holds.

    Args:
        run: one that has ended.
        now: the current time.
        pools: the keys of its pools; None for those that it had.
    """
    attempt = run.attempt + 1
    queued = replace(
        run,
        pools=run.pools if pools is None else pools,
        status=Status.QUEUED,
        attempt=attempt,
        policy_retries=0,
        retry_at=None,
        slots=slots_for_retry(run),
        reached={**run.reached, f"{attempt}/0": {Status.QUEUED.value: now}},
        claim=None,
        pending_start=None,
        unseen_at=None,
        denied_at=None,
        delayed=None,
        unanswered=None,
        external_id=None,
        target=None,
        started_at=None,
        ended_at=None,
        failure=None,
        updated_at=max(run.updated_at, now),
        next_at=now + LAUNCH_DUE_MS,
    )
    return with_wait(queued)


def allow_next_attempt(run: Run, by: str, now: int) -> Run:
    """Return the run with a retry grant for its next attempt.

    Args:
        run: one that has ended.
        by: the operator.
        now: the current time.
    """
    grant = RetryGrant(run.attempt + 1, by, now)
    return replace(run, granted=max(run.granted, grant.attempts), allowances=(*run.allowances, grant))


def attempt_by_policy(run: Run, now: int) -> Run:
    """Return the run queued for the attempt that its retry policy starts; the same run if it starts none.

    Args:
        run: the run.
        now: the current time.
    """
    if run.retry_at is None:
        return run
    again = queue_next_attempt(run, now)
    granted = max(run.granted, again.attempt)
    # RECONCILE writes several runs before it sends their messages: if it dies in between, the next pass sends them.
    due = again.next_at if again.waiting else now + MESSAGE_LOST_MS
    return replace(again, policy_retries=run.policy_retries + 1, granted=granted, next_at=due)


def attempt_for_request(run: Run, fresh: Run, committed_at: int) -> Run | None:
    """Return the run at its next attempt for a later request, if it may start again or yields its key.

    Args:
        run: the existing run.
        fresh: the run that the request would have created.
        committed_at: when the request's tick was committed.
    """
    changed = run.replaceable_request_digest not in {
        None,
        request_digest(fresh.job, fresh.run_config, fresh.partition_key, fresh.tags),
    }
    may = run.status.is_finished and (run.may_start_again or changed)
    if not (may and _is_later(run, fresh, committed_at)):
        return None
    again = queue_next_attempt(replace(run, tags=fresh.tags), fresh.created_at, fresh.pools)
    return replace(
        again,
        job=fresh.job,
        tick_id=fresh.tick_id,
        earlier_ticks=(*run.earlier_ticks, run.tick_id)[-KEPT_TICKS:],
        run_config=fresh.run_config,
        tags=fresh.tags,
        partition_key=fresh.partition_key,
        retries=fresh.retries,
        granted=max(run.granted, again.attempt) if changed else run.granted,
    )


def _is_later(run: Run, fresh: Run, committed_at: int) -> bool:
    """Return whether a request was committed after the run's current attempt was created.

    Tick ids do not show this: one begins with the scheduled time of its tick, another with the time of its
    event.
    """
    if fresh.tick_id in {run.tick_id, *run.earlier_ticks}:
        return False
    # A clock that was far ahead must not block the key until the other clocks catch up.
    return committed_at >= run.attempted_at or is_ahead(run.attempted_at, fresh.created_at)
