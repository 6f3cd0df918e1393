"""Judges a deployment's health: each fault with what to do about it. Pure; performs no I/O."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from enum import StrEnum

from treadle.engine.identity import timestamp
from treadle.model.backfills import Backfill, BackfillStatus, PartitionState
from treadle.model.deployment import DeployedSensor
from treadle.model.health import (
    Activity,
    Alarm,
    AlertChannel,
    Backlog,
    Bucket,
    ConsumedQueue,
    ConsumedStream,
    EventTrigger,
    HealthSnapshot,
    JobTarget,
    MissingPermission,
    SkippedCheck,
    WebhookSecret,
)
from treadle.model.ticks import Tick, TickSummary, TickTrouble
from treadle.operate.explanation import closed
from treadle.operate.pools import PoolView

OLD_SECONDS = 300
"""A message that has waited longer is overdue; the alarms on age use the same limit."""

CRASHES = 3
"""Number of failed invocations within 15 minutes that is a problem rather than an incident."""

SKEW_MS = 5_000
"""Tolerated clock skew: the margin of leases."""


class Severity(StrEnum):
    """Severity of a finding."""

    PROBLEM = "problem"
    WARNING = "warning"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or may be.

    Attributes:
        check: the check, such as "rules".
        subject: "sensor new_objects", "launch", a job's or an alarm's name.
        severity: how bad it is.
        message: what is wrong.
        advice: what to do.
    """

    check: str
    subject: str
    severity: Severity
    message: str
    advice: str = ""


_SWITCHED = {
    "schedule": ("schedules", "Its schedule {name} is disabled, so it does not tick"),
    "rule": ("rules", "Its rule {name} is disabled, so it receives no events"),
    "mapping": (
        "mappings",
        "Its event source mapping {name} is disabled, so it receives nothing of its queue or stream",
    ),
}
_SWITCH_ON = {
    "schedule": "Enable the schedule in EventBridge Scheduler, or deploy the template again.",
    "rule": "aws events enable-rule --name {name}",
    "mapping": "aws lambda update-event-source-mapping --uuid {name} --enabled",
}


def of_switch(switch: EventTrigger) -> Iterator[Finding]:
    """Find schedules, rules and mappings that are disabled or have no effect."""
    check, template = _SWITCHED[switch.kind]
    if not switch.is_on:
        advice = _SWITCH_ON[switch.kind].format(name=switch.name)
        gone = ""
        if switch.error:
            gone, advice = f" ({switch.error})", "Deploy the template again."
        yield Finding(
            check, switch.owner, Severity.PROBLEM, f"{template.format(name=switch.name)}{gone}.", advice
        )
    elif switch.error:
        message = f"Its {switch.kind} {switch.name} has no effect: {switch.error}."
        yield Finding(
            check,
            switch.owner,
            Severity.WARNING,
            message,
            "Check the function's log.",
        )
    if switch.missing:
        message = (
            f"Its {switch.kind} {switch.name} waits for events that are not published: {switch.missing}."
        )
        advice = "Deploy the engine with TREADLE_RUN_EVENTS all, or let the rule match only the ends of runs."
        yield Finding(check, switch.owner, Severity.PROBLEM, message, advice)


def of_held(sensor: str, ticks: Sequence[Tick], *, is_all: bool) -> Finding:
    """Report requests of a sensor that wait for a grant, the next hour, or the release of a loop.

    Args:
        sensor: the sensor's name.
        ticks: the ticks with such requests; at least one.
        is_all: False if there may be more.
    """
    message = f"Requests of {_ticks(len(ticks), is_all=is_all)} are held; the first is {ticks[0].tick_id}: {ticks[0].held}"
    advice = "Grant the job or raise the limit, and deploy; or release a loop: treadle sensor release. Or drop them: treadle tick drop."
    return Finding("requests", f"sensor {sensor}", Severity.PROBLEM, message, advice)


def of_unreadable_tick(sensor: str, tick_id: str, reason: str) -> Finding:
    """Report a tick whose requests cannot be dispatched until its record is repaired."""
    message = closed(
        f"The record of tick {tick_id} cannot be read, so its requests are not dispatched: {reason}"
    )
    advice = "Repair the item in the ticks table, or delete it; then: treadle dlq redrive"
    return Finding("requests", f"sensor {sensor}", Severity.PROBLEM, message, advice)


def of_lost(
    sensor: str, problem: TickTrouble, ticks: Sequence[TickSummary], *, is_all: bool = True
) -> Finding:
    """Report requests of a sensor that were refused or rejected within a day.

    Args:
        sensor: the sensor's name.
        problem: refused or rejected.
        ticks: the ticks with such requests, newest first; at least one.
        is_all: False if there may be more.
    """
    what = "refused" if problem is TickTrouble.REFUSED else "rejected because they could never run"
    message = f"Requests of {_ticks(len(ticks), is_all=is_all)} of the last day were {what}; the newest is {ticks[0].tick_id}."
    advice = f"For the reason: treadle tick show {sensor} {ticks[0].tick_id}"
    severity = Severity.PROBLEM if problem is TickTrouble.REFUSED else Severity.WARNING
    return Finding("requests", f"sensor {sensor}", severity, message, advice)


def _ticks(number: int, *, is_all: bool) -> str:
    count = "a tick" if number == 1 else f"{number} ticks"
    return count if is_all else f"at least {count}"


def of_backlog(backlog: Backlog) -> Iterator[Finding]:
    """Find messages that have waited too long, or were given up."""
    if not backlog.owner:
        if backlog.waiting or backlog.in_flight:
            number = (backlog.waiting or 0) + backlog.in_flight
            advice = "treadle dlq list shows the reason of each. Fix it, then: treadle dlq redrive"
            yield Finding(
                "dead letters", backlog.name, Severity.PROBLEM, f"It has {number} messages.", advice
            )
        return
    if backlog.oldest_seconds is not None and backlog.oldest_seconds > OLD_SECONDS:
        what = "record of its stream" if backlog.waiting is None else f"of {backlog.waiting} messages"
        message = f"The oldest {what} has waited for {backlog.oldest_seconds:.0f} s in {backlog.name}."
        advice = "Check the function's errors and throttles. Its mapping may be disabled, or the account's concurrency limit reached."
        yield Finding("queues", backlog.owner, Severity.PROBLEM, message, advice)


def of_bucket(bucket: Bucket) -> Iterator[Finding]:
    """Find watched buckets that cannot be watched, or that send no events."""
    owner = f"sensor {bucket.sensor}"
    if bucket.error:
        yield Finding(
            "buckets",
            owner,
            Severity.PROBLEM,
            bucket.error,
            "Correct the sensor's bucket, or its permission.",
        )
    elif bucket.announces is False:
        message = f"Bucket {bucket.name} sends no events to EventBridge, so only the sweep finds its objects."
        yield Finding("buckets", owner, Severity.PROBLEM, message, f"Enable them: {bucket.remedy}")
    if bucket.has_versions is False:
        message = (
            f"The versioning of bucket {bucket.name} is not enabled, but the sensor's identity is version: an object "
            "that replaces another gets a run only if its etag differs."
        )
        advice = f"Enable it: {bucket.versioning_remedy} Or deploy the sensor with identity etag."
        yield Finding("buckets", owner, Severity.PROBLEM, message, advice)


def of_consumed(queue: ConsumedQueue) -> Iterator[Finding]:
    """Find queues of others whose messages a sensor cannot take, or may lose."""
    owner, name = f"sensor {queue.sensor}", queue.name
    tag = f"aws sqs tag-queue --queue-url URL_OF_{name} --tags treadle:sensor={queue.sensor}"
    found = []
    if queue.error:
        found.append((f"{queue.error}.", "Correct the queue in the sensor's block, and deploy."))
    elif queue.owner != queue.sensor:
        whose = f"is tagged for sensor {queue.owner}" if queue.owner else "has no tag treadle:sensor"
        message = f"Queue {name} {whose}, so the sensor may not receive from it."
        found.append((message, f"Take messages of another queue, or let its owner tag it: {tag}"))
    if not queue.error and not queue.has_redrive_policy:
        message = f"Queue {name} has no redrive policy: a message that cannot be evaluated is received again until it expires, and is lost then."
        found.append((message, "Let its owner add a dead-letter queue, with a maxReceiveCount of 5 or more."))
    if not queue.error and queue.visibility_seconds < queue.function_seconds:
        message = (
            f"The visibility timeout of queue {name} is {queue.visibility_seconds} s, and the sensor's function may take "
            f"{queue.function_seconds} s: a message is received again while it is being evaluated."
        )
        found.append((message, f"Let its owner set it to {6 * queue.function_seconds} s."))
    for message, advice in found:
        yield Finding("queues", owner, Severity.PROBLEM, message, advice)


def of_stream(stream: ConsumedStream) -> Iterator[Finding]:
    """Find streams whose records a sensor cannot take, or may lose."""
    found, name = [], stream.name
    if stream.error:
        found.append((f"{stream.error}.", "Correct the stream in the sensor's block, and deploy."))
    elif not stream.is_partial:
        message = (
            f"The event source mapping of {name} does not read batch responses: of a record that fails, those after it "
            "are lost with it."
        )
        found.append((message, "Add ReportBatchItemFailures to its FunctionResponseTypes, and deploy."))
    if not stream.error and stream.attempts is not None:
        message = (
            f"The event source mapping of {name} discards a batch after {stream.attempts} deliveries, also if the tables "
            "are throttled: its records are lost."
        )
        advice = "Remove its MaximumRetryAttempts, and deploy: the function itself gives bad records up."
        found.append((message, advice))
    age = stream.discarded_seconds
    if not stream.error and (age is None or age >= stream.kept_seconds or not stream.reports):
        message = f"Records of {name} that expire before they are evaluated are lost, and nothing names them."
        advice = (
            f"Give its event source mapping an OnFailure destination and a MaximumRecordAgeInSeconds of "
            f"{max(60, stream.kept_seconds - 3_600)}, an hour less than the stream keeps them, and deploy."
        )
        found.append((message, advice))
    elif not stream.error and age is not None and age < stream.kept_seconds / 2:
        message = f"Records of {name} are discarded at an age of {age} s; the stream keeps them for {stream.kept_seconds} s."
        advice = f"Set the MaximumRecordAgeInSeconds of its event source mapping to {stream.kept_seconds - 3_600}, and deploy."
        found.append((message, advice))
    if stream.others:
        message = f"Its function is also mapped to {', '.join(stream.others)}, whose records count as those of its stream."
        found.append((message, "Give each stream a sensor of its own, and deploy."))
    for message, advice in found:
        yield Finding("streams", f"sensor {stream.sensor}", Severity.PROBLEM, message, advice)


def of_stopped_stream(stream: ConsumedStream, since: int, now: int) -> Iterator[Finding]:
    """Find that records have expired while a sensor was stopped.

    Args:
        stream: its stream.
        since: when it was stopped, in milliseconds.
        now: the current time, in milliseconds.
    """
    first = now - min(stream.kept_seconds, stream.discarded_seconds or stream.kept_seconds) * 1000
    if since < first:
        message = f"Records that {stream.name} received from {timestamp(since)} to {timestamp(first)} were not evaluated and have expired."
        advice = "Start it, or let the stream keep its records for longer; let their producer put the lost ones again."
        yield Finding("streams", f"sensor {stream.sensor}", Severity.PROBLEM, message, advice)


def of_secret(secret: WebhookSecret) -> Iterator[Finding]:
    """Find secrets without which a webhook sensor accepts no request."""
    if secret.error:
        message = f"{secret.error}, so no request to the sensor is accepted."
        advice = (
            "Store the secret that its sender has, or correct its name in the sensor's block, and deploy."
        )
        yield Finding("secrets", f"sensor {secret.sensor}", Severity.PROBLEM, message, advice)


def of_target(target: JobTarget, in_use: Collection[str]) -> Iterator[Finding]:
    """Find a job that cannot be launched.

    Args:
        target: the job's target.
        in_use: jobs that running sensors may start; others do not need a target yet.
    """
    is_needed = target.job in in_use
    severity = Severity.PROBLEM if is_needed else Severity.OK
    if not target.address:
        message = "The job has no target address, so its runs fail."
        if not is_needed:
            message = "The job has no target address yet; no running sensor may start it."
        advice = "Set the address in the job's block of the project's template, and deploy."
        yield Finding("jobs", target.job, severity, message, advice if is_needed else "")
    elif target.exists is False:
        message = f"Its target does not exist: {target.address}. {target.error}".rstrip()
        if not is_needed:
            message = f"Its target does not exist yet: {target.address}; no running sensor may start it."
        advice = "Create it again, or correct the address in the job's block of the project's template, and deploy."
        yield Finding("jobs", target.job, severity, message, advice if is_needed else "")
    elif target.exists is None and target.error:
        message = closed(f"{target.address} cannot be described with role {target.role}: {target.error}")
        advice = "Compare the role's trust policy and permissions with the job's block in template.yaml, and deploy."
        yield Finding("jobs", target.job, Severity.PROBLEM, message, advice)


def of_own_retries(
    target: JobTarget, limited: Collection[str], retried: Collection[str]
) -> Iterator[Finding]:
    """Find a job whose target starts failed runs again by itself, although Treadle limits or retries them.

    Args:
        target: the job's target.
        limited: the jobs whose runs are in a pool.
        retried: the jobs that have a retry policy.
    """
    why = [
        *(["its runs are in a pool, and a retry starts without a slot"] * (target.job in limited)),
        *(["its retry policy starts them again, too"] * (target.job in retried)),
    ]
    if target.retries and why:
        message = (
            f"Glue starts its failed runs again by itself (MaxRetries is {target.retries}): {'; '.join(why)}."
        )
        advice = f"Set MaxRetries of {target.address} to 0, and leave retries to a retry policy of the job."
        yield Finding("jobs", target.job, Severity.PROBLEM, message, advice)


def of_unknown_jobs(sensors: Iterable[DeployedSensor], snapshot: HealthSnapshot) -> Iterator[Finding]:
    """Find sensors that wait for runs of jobs that are not registered.

    Args:
        sensors: the deployment's.
        snapshot: with the targets of its jobs.
    """
    known = sorted(each.job for each in snapshot.targets)
    if not known or any(each.check == "jobs" for each in snapshot.unread):
        return  # The registered jobs are unknown.
    for sensor in sensors:
        subscribed = sensor.subscription.jobs if sensor.subscription else ()
        for name in sorted(set(subscribed) - set(known)):
            message = f"It waits for runs of job {name}, but no project has registered that job."
            advice = f"Correct its monitored jobs, and deploy. Registered jobs: {', '.join(known)}."
            yield Finding("jobs", f"sensor {sensor.name}", Severity.PROBLEM, message, advice)


def of_denial(denial: MissingPermission) -> Finding:
    """Report a component that lacks a permission it needs."""
    where = f"on {denial.resource}" if denial.resource else "(the log names no resource)"
    message = f"It is denied {denial.action} {where}: {denial.detail}."
    advice = (
        f"Deploy the template again if its role has lost {denial.action}; look for a permissions boundary or a "
        "service control policy that denies it; or correct the parameter that names the resource."
    )
    return Finding("permissions", denial.owner, Severity.PROBLEM, message, advice)


def of_alarm(alarm: Alarm) -> Finding:
    """Report an alarm in state ALARM."""
    since = f" since {timestamp(alarm.since)}" if alarm.since is not None else ""
    message = f"In ALARM{since}: {alarm.detail}"
    return Finding("alarms", alarm.name, Severity.PROBLEM, message, "docs/operations.md explains each alarm.")


def of_channel(channel: AlertChannel) -> Iterator[Finding]:
    """Find channels on which alerts or alarms cannot arrive; a warning if nobody has subscribed."""
    if channel.error:
        message = f"Alerts do not arrive: {channel.error} ({channel.address.setting})"
        severity = Severity.WARNING if channel.is_unused else Severity.PROBLEM
        yield Finding("alerts", channel.address.owner, severity, closed(message), closed(channel.remedy))


def of_activity(activity: Activity) -> Iterator[Finding]:
    """Find functions whose recent invocations failed."""
    if activity.errors:
        times = "invocation" if activity.errors == 1 else f"{activity.errors} invocations"
        message = f"The last {times} of its function {activity.name} ended in an error, within 15 minutes."
        # A single one may be a deployment or an outage; SQS and Lambda retry it.
        severity = Severity.PROBLEM if activity.errors >= CRASHES else Severity.WARNING
        advice = "Its log has the error: a failed import, out of memory, or a timeout."
        yield Finding("functions", activity.owner, severity, message, advice)


def of_clock(ahead_ms: int | None) -> Iterator[Finding]:
    """Find a wrong clock on this machine."""
    if ahead_ms is not None and abs(ahead_ms) > SKEW_MS:
        way = "ahead of" if ahead_ms > 0 else "behind"
        message = f"This machine's clock is {abs(ahead_ms) / 1000:.0f} s {way} AWS's, so times relative to now are wrong."
        yield Finding(
            "clock", "this machine", Severity.PROBLEM, message, "Synchronize the clock, for example with NTP."
        )


def of_unread(unread: SkippedCheck) -> Finding:
    """Report something that could not be checked."""
    message = f"Not checked: {unread.detail}"
    advice = f"Grant yourself {unread.action}." if unread.action else "Try again."
    return Finding(unread.check, unread.what, Severity.WARNING, message, advice)


BACKFILLS = "backfills"
POOLS = "pools"


def of_backfill(backfill: Backfill, before: int) -> Iterator[Finding]:
    """Find what keeps an unfinished backfill from continuing.

    Args:
        backfill: as stored.
        before: one that was due before then is overdue.
    """
    subject, name = f"backfill {backfill.name}", backfill.name
    waiting = backfill.count(PartitionState.WAITING)
    if backfill.problem:
        yield Finding(BACKFILLS, subject, Severity.PROBLEM, backfill.problem, f"treadle backfill show {name}")
    if backfill.status is BackfillStatus.PAUSED:
        by = next((each for each in reversed(backfill.edits) if each.action == "paused"), None)
        who = f" by {by.by} at {timestamp(by.at)}" if by else ""
        says = f"It was paused{who}, and {waiting} of its {backfill.total} partitions wait."
        advice = f"treadle backfill resume {name}, or treadle backfill cancel {name}"
        yield Finding(BACKFILLS, subject, Severity.WARNING, says, advice)
    if backfill.next_at is not None and backfill.next_at < before:
        says = f"It was due at {timestamp(backfill.next_at)}, and RECONCILE has not reached it; {waiting} partitions wait."
        yield Finding(BACKFILLS, subject, Severity.PROBLEM, says, "Check RECONCILE's schedule and log.")


def of_pool(pool: PoolView, before: int) -> Iterator[Finding]:
    """Find what keeps a pool from starting the runs that wait for it, besides runs in progress and the time.

    Args:
        pool: the pool.
        before: one that was to be opened before then is overdue.
    """
    subject, name = f"pool {pool.key}", pool.name
    since = f", the oldest since {timestamp(pool.waiting_since)}" if pool.waiting_since is not None else ""
    if pool.in_doubt:
        says = (
            f"Slots in doubt: {pool.in_doubt} of the {pool.held} that are held, by attempts that may or may not have ended. "
            f"Waiting runs: {pool.waiting}{since}."
        )
        value = f" --value {pool.value}" if pool.value is not None else ""
        advice = (
            f"treadle pool show {name}{value} names the runs. Check each at its target (treadle run refresh RUN_ID), and if "
            "its execution has ended: treadle pool free RUN_ID"
        )
        yield Finding(POOLS, subject, Severity.PROBLEM, says, advice)
    if pool.not_canceled:
        says = (
            f"To be canceled: {pool.not_canceled} of the runs in progress, whose targets refuse that. "
            f"Waiting runs: {pool.waiting}{since}."
        )
        advice = f"treadle pool show {name} names the runs, and treadle run show RUN_ID says why."
        yield Finding(POOLS, subject, Severity.PROBLEM, says, advice)
    if pool.closed_until is not None and pool.closed_until < before:
        says = f"It was to open at {timestamp(pool.closed_until)}, and RECONCILE has not opened it. Waiting runs: {pool.waiting}{since}."
        yield Finding(POOLS, subject, Severity.PROBLEM, says, "Check RECONCILE's schedule and log.")
    if pool.is_paused and pool.waiting:
        by = (
            f", as {pool.limit_set_by} set it at {timestamp(pool.limit_set_at or 0)}"
            if pool.is_limit_set
            else ""
        )
        says = f"Its limit is 0{by}, so nothing starts. Waiting runs: {pool.waiting}{since}."
        advice = f"treadle pool set-limit {name} N"
        if pool.is_limit_set:
            advice += f", or treadle pool reset-limit {name} for the declared limit, {pool.declared_limit}"
        yield Finding(POOLS, subject, Severity.WARNING, says, advice)


def of_pools(pools: Collection[PoolView]) -> Finding:
    """Report that no pool has a problem."""
    declared = [each for each in pools if each.declared_limit is not None and each.value is None]
    changed = sorted(each.name for each in declared if each.is_limit_set)
    operator = f" Operators' limits apply to {', '.join(changed)}." if changed else ""
    waiting = sum(each.waiting for each in pools)
    says = f"Declared pools: {len(declared)}; waiting runs: {waiting}; no slot is in doubt.{operator}"
    return Finding(POOLS, POOLS, Severity.OK, says)


def of_unreadable_backfill(name: str, reason: str) -> Finding:
    """Report a backfill whose record cannot be read."""
    advice = "Repair its item in the runs table: RECONCILE tries again once a day."
    return Finding(
        BACKFILLS, f"backfill {name}", Severity.PROBLEM, f"Its record cannot be read: {reason}.", advice
    )
