"""Explanations of a tick's requests and of a run: steps in causal order, and a one-sentence summary."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

from treadle.definitions.bounds import counted
from treadle.definitions.max_runtime import START_TIMEOUT_TAG, start_timeout_ms
from treadle.definitions.runs import MAX_RETRIES_TAG
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.identity import timestamp
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS
from treadle.engine.record.max_runtime import current_cancellation
from treadle.engine.record.run_state import ASSUMED
from treadle.engine.record.unreachable_runs import DENIED_ENDS_MS, OUTCOME_UNKNOWN
from treadle.model.pools import MAX_COUNTED
from treadle.model.runs import Claim, Failure, Run, Unanswered
from treadle.model.sensors import RecordedEdit
from treadle.model.ticks import PlannedRun, Tick, TickSummary
from treadle.operate.pools import PoolView, PoolWaitView

MINUTE_MS = 60_000

_BEGINNING = re.compile(r"Error occurred during the execution of evaluation_fn for sensor [^\s:]+: ")


@dataclass(frozen=True, slots=True)
class Step:
    """One thing that happened, or did not.

    Attributes:
        at: the time; None if it is unknown or the step has not happened.
        kind: "object", "event", "sensor", "tick", "request", "dispatch", "allowance", "edit", "pool", "claim", "launch",
            "cancel", "status", "dead letter" or a check's name.
        detail: a description.
        ok: False if the chain of events ended here.
    """

    at: int | None
    kind: str
    detail: str
    ok: bool = True


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why something did or did not run.

    Attributes:
        summary: the current status; if it stopped, the reason and what comes next.
        steps: in order of time.
    """

    summary: str
    steps: tuple[Step, ...]


@dataclass(slots=True)
class ExplanationBuilder:
    """Collects the steps of an explanation.

    Attributes:
        now: the time.
        stopped_at: finds the edit that had stopped the sensor at a given time.
        waits: finds what a run waits for, in the queue of a pool.
        steps: the steps so far.
    """

    now: int
    stopped_at: Callable[[int], RecordedEdit | None] = lambda _: None
    waits: Callable[[Run], PoolWaitView | None] = lambda _: None
    steps: list[Step] = field(default_factory=list)

    def add(self, kind: str, at: int | None, detail: str, *, ok: bool = True) -> None:
        """Add a step."""
        self.steps.append(Step(at, kind, detail, ok))

    def end(self, summary: str) -> Explanation:
        """Return the explanation with its steps in order of time."""
        placed, at = [], 0
        for step in self.steps:
            # A step without a time stays behind the one that was added before it.
            at = at if step.at is None else step.at
            placed.append((at, step))
        return Explanation(summary, tuple(step for _, step in sorted(placed, key=lambda each: each[0])))


def add_tick(explanation: ExplanationBuilder, tick: Tick | TickSummary) -> None:
    """Add a tick's evaluation and its result."""
    if tick.trigger:
        explanation.add("event", tick.time, tick.trigger)
    if isinstance(tick, Tick):
        requested = len(tick.requests)
        error = tick.error and error_summary(tick.error.type, tick.error.message)
    else:
        requested = None
        error = error_summary(tick.error_type, tick.error_message or "") if tick.error_type else None
    result = error or tick.reason or ("" if requested is None else f"{counted(requested, 'run')} requested")
    skipped = f" ({tick.skips} ticks, to {timestamp(tick.last_time or tick.time)})" if tick.skips > 1 else ""
    tries = f", evaluation {tick.attempts}" if tick.attempts > 1 else ""
    detail = f"{tick.tick_id}{tries}: {tick.status}{skipped}{': ' if result else ''}{result}"
    explanation.add("tick", tick.started_at, detail, ok=tick.status is TickStatus.SUCCESS)


def add_run(explanation: ExplanationBuilder, run: Run) -> None:
    """Add a run's steps, from its record to its current status."""
    of = f" for run key {run.run_key!r}" if run.run_key else ""
    stop = explanation.stopped_at(run.created_at)
    if stop is not None:
        # A stop ends evaluations, not what was committed; an event's commit may have been in progress.
        detail = f"stopped by {stop.by}; this tick was already committed or being committed"
        explanation.add("sensor", stop.at, detail)
    explanation.add("dispatch", run.created_at, f"run {run.run_id} of job {run.job}{of} recorded")
    for each in run.allowances:
        explanation.add("allowance", each.at, f"attempt {each.attempts} allowed by {each.by}")
    for edit in run.edits:
        explanation.add("edit", edit.at, f"{edit.by} {edit.action}")
    if run.waiting is not None:
        waits = f"attempt {run.attempt} waits for a slot of pool {run.waiting.pool}"
        explanation.add("pool", run.waiting.since, waits)
    if run.claim is not None and run.status is Status.QUEUED:
        until = f"{_owner(run.claim)} owns attempt {run.attempt} until {timestamp(run.claim.expires_at)}"
        explanation.add("claim", run.pending_start.at if run.pending_start else None, until)
    if run.delayed is not None:
        explanation.add("launch", run.delayed.at, run.delayed.reason, ok=False)
    elif run.external_id is not None:
        explanation.add("launch", run.started_at, f"attempt {run.attempt} is {run.external_id}")
    if run.unanswered is not None:
        explanation.add("status", run.unanswered.at, _cannot_be_queried(run.unanswered), ok=False)
    _add_cancellations(explanation, run)
    _add_statuses(explanation, run)


def _add_cancellations(explanation: ExplanationBuilder, run: Run) -> None:
    for each in run.cancellations:
        refused = f" Its target refuses: {each.refused}" if each.refused else ""
        explanation.add("cancel", each.at, f"attempt {each.attempt}: {each.cause}{refused}", ok=False)


def _add_statuses(explanation: ExplanationBuilder, run: Run) -> None:
    for place, times in sorted(run.reached.items(), key=lambda each: _order(each[0])):
        for name, at in sorted(times.items(), key=lambda each: (each[1], _rank(each[0]))):
            status = Status(name.removesuffix(ASSUMED))
            ended_badly = status in {Status.FAILURE, Status.CANCELED}
            text = f"{status}, concluded by Treadle" if name.endswith(ASSUMED) else status.value
            attempt, retry = place.split("/")
            retried = f", the target's retry {retry}" if retry != "0" else ""
            explanation.add("status", at, f"attempt {attempt}{retried}: {text}", ok=not ended_badly)


def _order(place: str) -> tuple[int, ...]:
    return tuple(map(int, place.split("/")))


def _rank(name: str) -> int:
    return Status(name.removesuffix(ASSUMED)).rank


def describe_run(run: Run, now: int, waits: PoolWaitView | None = None) -> str:
    """Describe a run's status in one or two sentences.

    Args:
        run: its record.
        now: the time.
        waits: what it waits for, in the queue of a pool; None if that is not known, or it does not.
    """
    if run.waiting is not None:
        return describe_wait(run, waits)
    if run.status is Status.QUEUED:
        return _waits_for_launch(run, now)
    cancellation = current_cancellation(run)
    if cancellation is not None and not run.status.is_finished:
        text = f"Run {run.run_id} is to end, as {run.external_id}. {cancellation.cause}"
        if cancellation.refused:
            text += f" Its target refuses the request to stop: {closed(cancellation.refused)}"
        if run.unanswered is not None:
            text += f" {_cannot_be_queried(run.unanswered)}"
        return (
            f"{text} The request to stop is sent again at {timestamp(run.next_at)}." if run.next_at else text
        )
    if run.status is Status.CANCELING:
        return f"Run {run.run_id} is being canceled: {run.external_id} received the request to stop."
    if not run.status.is_finished:
        since = f" since {timestamp(run.started_at)}" if run.started_at else ""
        check = f" RECONCILE checks it at {timestamp(run.next_at)}." if run.next_at else ""
        if run.unanswered is not None:
            end = timestamp(run.unanswered.since + DENIED_ENDS_MS)
            reason = _cannot_be_queried(run.unanswered)
            check = (
                f" {reason} If access is still denied at {end}, the run ends with an unknown result.{check}"
            )
        return f"Run {run.run_id} is {run.status}{since}, as {run.external_id}.{check}"
    return f"{_ended(run)}{_may_follow(run)}"


def describe_wait(run: Run, waits: PoolWaitView | None) -> str:
    """Describe what a run waits for, in the queue of a pool; "" if it does not.

    Args:
        run: its record.
        waits: its place in the queue, and the pool; None if that is not known.
    """
    if run.waiting is None:
        return ""
    pool, since = run.waiting.pool, timestamp(run.waiting.since)
    text = f"Attempt {run.attempt} of run {run.run_id} has waited for a slot of pool {pool} since {since}"
    timeout = start_timeout_ms(run.tags)
    canceled = [] if timeout is None else [_times_out(run.waiting.since + timeout)]
    if waits is None:
        return " ".join([f"{text}.", *canceled])
    behind = f"one of {MAX_COUNTED} or more" if waits.pool.turns_by else f"behind the first {MAX_COUNTED}"
    place = f"number {waits.place}" if waits.place else behind
    turns = (
        f", which takes turns among the values of the tag {waits.pool.turns_by}"
        if waits.pool.turns_by
        else ""
    )
    sentences = [f"{text}: it is {place} in the queue{turns}, and {_held(waits.pool)}.", *_blocked(waits)]
    if waits.pool.overlap.keeps_latest:
        sentences.append(f"A later request replaces it, as the overlap of its job is {waits.pool.overlap}.")
    return " ".join([*sentences, *canceled])


def _times_out(at: int) -> str:
    return f"It is canceled if it has not started by {timestamp(at)}, as its tag {START_TIMEOUT_TAG} says."


def _held(pool: PoolView) -> str:
    if pool.limit is None:
        return "the pool is no longer declared, so it starts in its turn"
    if pool.is_per_minute:
        next_start = (
            f", and the next is possible at {timestamp(pool.next_start_at)}"
            if pool.next_start_at is not None
            else ""
        )
        return (
            f"{pool.held} of {pool.limit} starts per minute were granted in the last 60 seconds{next_start}"
        )
    if pool.held > pool.limit:
        return f"{pool.held} slots are held, more than the limit of {pool.limit}"
    return f"{pool.held} of {pool.limit} slots are held"


def _blocked(waits: PoolWaitView) -> Iterator[str]:
    """Yield what keeps a pool from starting runs, besides those in progress, and what to do."""
    pool = waits.pool
    if pool.closed_until is not None:
        yield (
            f"The pool is closed until {timestamp(pool.closed_until)}, because jobs have joined it; RECONCILE then opens it."
        )
    if pool.is_paused:
        by = (
            f", as {pool.limit_set_by} set it at {timestamp(pool.limit_set_at or 0)}"
            if pool.is_limit_set
            else ""
        )
        reset = (
            f", or treadle pool reset-limit {pool.name}" if pool.is_limit_set and pool.declared_limit else ""
        )
        yield (
            f"The limit is 0{by}, so no run starts until it is raised (treadle pool set-limit {pool.name} N{reset})."
        )
    for run_id, refused in waits.ending:
        if refused:
            yield f"Run {run_id} is to be canceled first, and its target refuses that: {closed(refused)}"
        else:
            yield f"Run {run_id} is canceled first: this one starts when its target has reported the end."
    if waits.in_doubt:
        first, more = waits.in_doubt[0], len(waits.in_doubt) - 1
        others = f" (and {more} others)" if more else ""
        yield (
            f"Run {first}{others} holds a slot in doubt: it may or may not have ended. If its execution has ended at its "
            f"target, free the slot (treadle pool free {first})."
        )


def _waits_for_launch(run: Run, now: int) -> str:
    which = f"attempt {run.attempt} of run {run.run_id}"
    check = "RECONCILE checks it" + (f" at {timestamp(run.next_at)}" if run.next_at else "")
    if run.claim is not None and run.claim.expires_at >= now:
        until = timestamp(run.claim.expires_at)
        return f"The {_owner(run.claim)} is starting {which}, which it owns until {until}; {check}."
    if run.claim is not None:
        return f"The {_owner(run.claim)}, which owned {which}, ended without a result; {check}."
    subject = f"{which[0].upper()}{which[1:]}"
    if run.delayed is None:
        return f"{subject} has waited in LAUNCH's queue since {timestamp(_queued_at(run))}; {check}."
    verb = "will be" if run.delayed.until >= now else "was due to be"
    retry = f"it {verb} tried again at {timestamp(run.delayed.until)}"
    limit = (
        "" if run.denied_at is None else "; if access is denied for 5 minutes, the attempt ends with FAILURE"
    )
    if run.denied_at is not None and run.pending_start is not None:
        end = timestamp(max(run.denied_at, run.pending_start.at) + DENIED_ENDS_MS)
        limit = f"; an earlier start may have reached its target, and if access is still denied at {end}, the run ends with an unknown result"
    return f"{subject} waits for its target, {retry}: {closed(run.delayed.reason)} {check}{limit}."


def _cannot_be_queried(unanswered: Unanswered) -> str:
    return closed(
        f"Queries of its target have failed since {timestamp(unanswered.since)}: {unanswered.reason}"
    )


def _owner(claim: Claim) -> str:
    """Return a prefix for a claim's owner: enough of the token to identify it, too little to act for it."""
    return f"launch {claim.token[-8:]}"


def _queued_at(run: Run) -> int:
    return run.reached.get(f"{run.attempt}/0", {}).get(Status.QUEUED.value, run.created_at)


def _ended(run: Run) -> str:
    at = timestamp(run.ended_at) if run.ended_at else "an unknown time"
    why = f": {reason_of(run.failure)}" if run.failure else "."
    if run.status is Status.SUCCESS:
        return f"Run {run.run_id} succeeded at {at}."
    if run.status is Status.CANCELED:
        return f"Run {run.run_id} was canceled at {at}{why}"
    if run.failure is not None and run.failure.assumed and run.started_at is None:
        doubt = run.failure.error == OUTCOME_UNKNOWN
        verb = "may or may not have been started" if doubt else "could not be started"
        return f"Run {run.run_id} {verb}{why}"
    return f"Run {run.run_id} failed at {at}{why}"


def reason_of(failure: Failure) -> str:
    """Return the failure's name and message."""
    return closed(f"{failure.error}: {failure.cause}")


def _may_follow(run: Run) -> str:
    if run.retry_at is not None:
        number = f"{run.policy_retries + 1} of {run.tags.get(MAX_RETRIES_TAG, '?')}"
        return f" Its retry policy starts attempt {run.attempt + 1} at {timestamp(run.retry_at)} (retry {number})."
    if not run.may_start_again:
        if run.replaceable_request_digest is not None and run.run_key:
            return " Nothing was started, so a changed request may reuse its run key."
        return ""
    next_one = f"the next request for its run key starts attempt {run.attempt + 1}"
    if run.attempt < run.granted and run.allowances:
        last = run.allowances[-1]
        return f" Its run key was released by {last.by} at {timestamp(last.at)}: {next_one}."
    return f" {next_one[0].upper()}{next_one[1:]}, because the sensor allows retries."


def describe_tick(tick: Tick) -> str:
    """Describe a tick's result in one sentence."""
    what = f"Tick {tick.tick_id}"
    if tick.error is not None:
        return f"{what} failed: {closed(error_summary(tick.error.type, tick.error.message))}"
    if tick.status is TickStatus.SKIPPED:
        return f"{what} requested no runs: {closed(tick.reason or 'the function gave no reason')}"
    requested = f"{what} requested {counted(len(tick.requests), 'run')}"
    if tick.held is not None:
        return f"{requested}, which wait: {closed(tick.held)}"
    if tick.dispatched is None:
        return f"{requested}, which have waited for DISPATCH since {timestamp(tick.ended_at)}."
    refused = f" Refused: {closed(tick.refusals[0])}" if tick.refusals else ""
    rejected = (
        f" Rejected because it could never run: {closed(tick.rejected[0].reason)}" if tick.rejected else ""
    )
    return f"{requested}: {tick.dispatched}.{refused}{rejected}"


def describe_request(tick: Tick, request: PlannedRun, granted: bool) -> tuple[str, bool]:
    """Describe why a request of a committed tick has no run (yet), and return whether one may still come.

    Args:
        tick: the tick's record.
        request: one of its requests.
        granted: whether the deployment currently allows the sensor to start the job.
    """
    what = f"The request for run key {request.run_key!r}" if request.run_key else "The request"
    if tick.held is not None:
        return f"{what} waits: {closed(tick.held)}", True
    if tick.dispatched is None:
        late = timestamp(tick.ended_at + DISPATCH_LATE_MS)
        return (
            f"{what} has waited for DISPATCH since {timestamp(tick.ended_at)}; RECONCILE dispatches it after {late}.",
            True,
        )
    named = f"(run key {request.run_key!r})"
    refusal = next((each for each in tick.refusals if named in each), None)
    if refusal is None and tick.dispatched.refused:
        refusal = next(iter(tick.refusals), None) if len(tick.requests) == 1 or not granted else None
    if refusal is None and tick.dropped is not None:
        drop = tick.dropped
        refusal = f"it was dropped by {drop.by} at {timestamp(drop.at)}: {drop.reason}"
    if refusal is not None:
        return f"{what} was refused: {closed(refusal)}", False
    return f"{what} was dispatched ({tick.dispatched}), but the run does not exist.", False


def error_summary(kind: str, message: str) -> str:
    """Return an error's name and message; most messages contain the name already.

    The words with which Dagster begins the message of an evaluation's error are left out, as a list may cut it off.
    """
    message = _BEGINNING.sub("", message)
    return message if f"{kind}: " in message else f"{kind}: {message}"


def closed(text: str) -> str:
    """Return the text with a final punctuation mark."""
    text = text.rstrip()
    return text if text.endswith((".", "!", "?", "…")) else f"{text}."
