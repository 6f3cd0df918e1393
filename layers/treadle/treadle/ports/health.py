"""How the parts of a deployment are at one moment: what is switched on, what waits, what is denied."""

from dataclasses import dataclass
from typing import Protocol

HOLDERS = "sensor roles"
"""The check of who has the engine's policies for evaluators."""


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """Something that feeds a step, and may be off.

    Attributes:
        kind: "schedule", "rule", or "mapping" (from a queue or stream to its function).
        owner: what it feeds, as dead letters name it: "launch", "sensor new_objects".
        name: AWS's.
        is_on: whether it is enabled.
        trouble: what AWS says went wrong when it last worked, or that it is gone; "" if nothing did.
    """

    kind: str
    owner: str
    name: str
    is_on: bool
    trouble: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits in a queue or stream.

    Attributes:
        owner: who takes it: "launch", "sensor new_objects"; "" for the dead letters.
        name: the queue's or function's.
        waiting: messages that can be received, or are held back; None for a stream.
        in_flight: messages that somebody is at work on.
        oldest_seconds: how long the oldest has waited; None if it is not told, as of an idle queue.
    """

    owner: str
    name: str
    waiting: int | None
    in_flight: int = 0
    oldest_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Bucket:
    """A bucket that a sensor watches.

    Attributes:
        sensor: its name.
        name: the bucket's; "" if the deployment names none.
        trouble: why it cannot be watched; "" if it can.
        announces: whether it sends its events to EventBridge; None if that could not be asked.
        remedy: what switches that on.
        has_versions: whether its versioning is enabled; None if the sensor needs none, or that could not be asked.
        versioning_remedy: what enables that.
    """

    sensor: str
    name: str
    trouble: str = ""
    announces: bool | None = None
    remedy: str = ""
    has_versions: bool | None = None
    versioning_remedy: str = ""


@dataclass(frozen=True, slots=True)
class JobTarget:
    """What a job launches.

    Attributes:
        job: its name.
        address: of what is launched; "" where the deployment left it out.
        parameter: what gives the address, for messages.
        exists: whether it is there; None if nobody can say.
        trouble: what AWS says of it.
        role: the role that was assumed for the look; "" for none.
    """

    job: str
    address: str
    parameter: str
    exists: bool | None = None
    trouble: str = ""
    role: str = ""


@dataclass(frozen=True, slots=True)
class MissingPermission:
    """A permission that a step needs and does not have.

    Attributes:
        owner: the step.
        action: such as "sqs:SendMessage".
        resource: on what; "" where it is not known.
        words: how that is known.
    """

    owner: str
    action: str
    resource: str
    words: str


@dataclass(frozen=True, slots=True)
class PolicyHolder:
    """Somebody that has one of the engine's policies for evaluators.

    Attributes:
        name: a role's ARN, or the name of a user or a group.
        kind: "role", "user" or "group".
        sensor: as which sensor, by the role's tag; "" for none.
        trusted: who else than Lambda may assume the role.
    """

    name: str
    kind: str
    sensor: str = ""
    trusted: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Alarm:
    """An alarm that is in ALARM.

    Attributes:
        name: its name.
        since: when it went off, in milliseconds.
        words: its description and AWS's reason.
    """

    name: str
    since: int | None
    words: str


@dataclass(frozen=True, slots=True)
class AlertAddress:
    """Where alerts go, as far as AWS can be asked about it.

    Attributes:
        owner: who sends them: "sensor failure_alert", or "alarms".
        service: "sns" for a topic, "secretsmanager" for a secret, "ses" for a sender.
        name: the topic's ARN, the secret's name or ARN, the sender's address.
        setting: where the deployment names it, such as "TREADLE_ALERT_SNS_TOPIC".
    """

    owner: str
    service: str
    name: str
    setting: str


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """Whether alerts can arrive.

    Attributes:
        address: where they go.
        trouble: why they cannot; "" if nothing speaks against it.
        remedy: what to do then.
        is_unused: whether all is in order but for receivers, of which nobody has added any.
    """

    address: AlertAddress
    trouble: str = ""
    remedy: str = ""
    is_unused: bool = False


@dataclass(frozen=True, slots=True)
class Activity:
    """How often a function was invoked lately.

    Attributes:
        owner: the step.
        name: the function's.
        invocations: how many there were.
        errors: how many of the last ones, none of which ended well, ended in an error of the function or its runtime.
    """

    owner: str
    name: str
    invocations: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class SkippedCheck:
    """Something that could not be looked at.

    Attributes:
        check: which check lacks it, such as "queues".
        what: in words, such as "the log of launch".
        action: the permission that is missing, such as "sqs:GetQueueAttributes"; "" if something else went wrong.
        words: what AWS said.
    """

    check: str
    what: str
    action: str
    words: str


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """How a deployment is.

    Attributes:
        switches: schedules, rules and mappings.
        backlogs: queues, the dead letters' among them, and streams.
        buckets: those that sensors watch.
        targets: what jobs launch.
        denials: missing permissions of the deployment's own roles.
        holders: who has the engine's policies for evaluators.
        alarms: those that are in ALARM.
        channels: where alerts and alarms go.
        activities: how often functions were invoked within the last quarter of an hour.
        clock_ahead_ms: how far this machine's clock is ahead of AWS's; None if AWS told no time.
        unread: what could not be looked at.
    """

    switches: tuple[EventTrigger, ...] = ()
    backlogs: tuple[Backlog, ...] = ()
    buckets: tuple[Bucket, ...] = ()
    targets: tuple[JobTarget, ...] = ()
    denials: tuple[MissingPermission, ...] = ()
    holders: tuple[PolicyHolder, ...] = ()
    alarms: tuple[Alarm, ...] = ()
    channels: tuple[AlertChannel, ...] = ()
    activities: tuple[Activity, ...] = ()
    clock_ahead_ms: int | None = None
    unread: tuple[SkippedCheck, ...] = ()


class Health(Protocol):
    """Looks at a deployment."""

    def snapshot(self, owner: str | None = None) -> HealthSnapshot:
        """How it is now; what cannot be read is said to be so, and never raised.

        Args:
            owner: only what feeds one step, such as "sensor new_objects": its switches and its queue; None for all.
        """
