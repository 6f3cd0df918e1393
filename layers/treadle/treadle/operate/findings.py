"""What a deployment's vitals mean: each fault with what to do about it. Pure judgement; nothing is read here."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from enum import StrEnum

from treadle.engine.identity import timestamp
from treadle.ports.health import Alarm, Backlog, Bucket, Denial, JobTarget, Switch, Unread

OLD_SECONDS = 300
"""A message that has waited for longer is not simply next in line; the alarms on age say the same."""

SKEW_MS = 5_000
"""Clocks may differ by so much without harm: leases have that margin."""


class Severity(StrEnum):
    """How bad a finding is."""

    PROBLEM = "problem"
    WARNING = "warning"
    OK = "ok"


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is wrong, or may be.

    Attributes:
        check: what was looked at, such as "rules".
        subject: of what: "sensor new_objects", "launch", a job's or an alarm's name.
        severity: how bad it is.
        says: what is wrong, in words.
        advice: what to do.
    """

    check: str
    subject: str
    severity: Severity
    says: str
    advice: str = ""


_SWITCHED = {
    "schedule": ("schedules", "Its schedule {name} is off, so nothing ticks it"),
    "rule": ("rules", "Its rule {name} is off, so no event reaches it"),
    "mapping": ("mappings", "Nothing takes what waits for it: its event source mapping {name} is off"),
}
_SWITCH_ON = {
    "schedule": "Enable the schedule in EventBridge Scheduler, or deploy the template again.",
    "rule": "aws events enable-rule --name {name}",
    "mapping": "aws lambda update-event-source-mapping --uuid {name} --enabled",
}


def of_switch(switch: Switch) -> Iterator[Finding]:
    """That a schedule, a rule or a mapping is off, or works in vain."""
    check, words = _SWITCHED[switch.kind]
    if not switch.is_on:
        advice = _SWITCH_ON[switch.kind].format(name=switch.name)
        yield Finding(check, switch.owner, Severity.PROBLEM, f"{words.format(name=switch.name)}.", advice)
    elif switch.trouble:
        says = f"Its {switch.kind} {switch.name} works in vain: {switch.trouble}."
        yield Finding(
            check,
            switch.owner,
            Severity.WARNING,
            says,
            "Look at the function's log.",
        )


def of_backlog(backlog: Backlog) -> Iterator[Finding]:
    """That something has waited for too long, or was given up."""
    if not backlog.owner:
        if backlog.waiting or backlog.in_flight:
            number = (backlog.waiting or 0) + backlog.in_flight
            advice = "treadle dlq list says of each why; mend that, then: treadle dlq redrive"
            yield Finding(
                "dead letters", backlog.name, Severity.PROBLEM, f"{number} messages were given up.", advice
            )
        return
    if backlog.oldest_seconds is not None and backlog.oldest_seconds > OLD_SECONDS:
        what = "record of its stream" if backlog.waiting is None else f"of {backlog.waiting} messages"
        says = f"The oldest {what} has waited for {backlog.oldest_seconds:.0f} s in {backlog.name}."
        advice = "Look at the function's errors and throttles; its mapping may be off, or the account's limit reached."
        yield Finding("queues", backlog.owner, Severity.PROBLEM, says, advice)


def of_bucket(bucket: Bucket) -> Iterator[Finding]:
    """That a watched bucket cannot be watched, or tells of nothing."""
    owner = f"sensor {bucket.sensor}"
    if bucket.trouble:
        yield Finding(
            "buckets",
            owner,
            Severity.PROBLEM,
            bucket.trouble,
            "Correct the sensor's bucket, or its permission.",
        )
    elif bucket.announces is False:
        says = f"Bucket {bucket.name} sends no events to EventBridge, so its objects wait for the sweep."
        yield Finding("buckets", owner, Severity.PROBLEM, says, f"Switch them on: {bucket.remedy}")


def of_target(target: JobTarget, in_use: Collection[str]) -> Iterator[Finding]:
    """That a job launches nothing.

    Args:
        target: what it launches.
        in_use: jobs that running sensors may start; another one needs no address yet.
    """
    if not target.address:
        is_needed = target.job in in_use
        says = "The deployment gives the job no address, so its runs fail."
        if not is_needed:
            says = "The deployment gives the job no address yet; no running sensor may start it."
        severity = Severity.PROBLEM if is_needed else Severity.OK
        advice = f"Deploy with {target.parameter}, or take the job out of Jobs."
        yield Finding("jobs", target.job, severity, says, advice if is_needed else "")
    elif target.exists is False:
        says = f"What it launches is not there: {target.address}. {target.trouble}".rstrip()
        advice = f"Make it again, or deploy with another {target.parameter}."
        yield Finding("jobs", target.job, Severity.PROBLEM, says, advice)


def of_denial(denial: Denial) -> Finding:
    """That a step may not do what it must."""
    where = f"on {denial.resource}" if denial.resource else "(the log names no resource)"
    says = f"It may not {denial.action} {where}: {denial.words}."
    advice = (
        f"Deploy the template again if its role has lost {denial.action}; look for a boundary or an organization's "
        "policy that denies it; or correct the parameter that names what it may reach."
    )
    return Finding("permissions", denial.owner, Severity.PROBLEM, says, advice)


def of_alarm(alarm: Alarm) -> Finding:
    """That an alarm has gone off."""
    since = f" since {timestamp(alarm.since)}" if alarm.since is not None else ""
    says = f"In ALARM{since}: {alarm.words}"
    return Finding(
        "alarms", alarm.name, Severity.PROBLEM, says, "docs/operations.md says what each alarm means."
    )


def of_clock(ahead_ms: int | None) -> Iterator[Finding]:
    """That this machine's clock is wrong."""
    if ahead_ms is not None and abs(ahead_ms) > SKEW_MS:
        way = "ahead of" if ahead_ms > 0 else "behind"
        says = f"This machine's clock is {abs(ahead_ms) / 1000:.0f} s {way} AWS's, so what is told as now is not."
        yield Finding("clock", "this machine", Severity.PROBLEM, says, "Set the clock, by NTP.")


def of_unread(unread: Unread) -> Finding:
    """That something could not be looked at."""
    says = f"Not checked: {unread.words}"
    advice = f"Grant yourself {unread.action}." if unread.action else "Try again."
    return Finding(unread.check, unread.what, Severity.WARNING, says, advice)
