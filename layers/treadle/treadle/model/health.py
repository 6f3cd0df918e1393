"""A snapshot of a deployment's health: what is enabled, what waits in queues, what is denied."""

from dataclasses import dataclass

HOLDERS = "sensor roles"
"""The check of who has the engine's policies for evaluators."""


@dataclass(frozen=True, slots=True)
class EventTrigger:
    """A trigger that feeds a component, and may be disabled.

    Attributes:
        kind: "schedule", "rule", or "mapping" (from a queue or stream to its function).
        owner: the component that it feeds, as dead letters name it: "launch", "sensor new_objects".
        name: its AWS name.
        is_on: True if it is enabled.
        error: the error that AWS reports for its last invocation, or that it does not exist; "" if there is
            none.
        missing: the events that it matches, and that nobody publishes; "" if there are none.
    """

    kind: str
    owner: str
    name: str
    is_on: bool
    error: str = ""
    missing: str = ""


@dataclass(frozen=True, slots=True)
class Backlog:
    """The messages in a queue or records in a stream.

    Attributes:
        owner: the consumer: "launch", "sensor new_objects"; "" for the dead letters.
        name: the name of the queue or function.
        waiting: messages that are visible or delayed; None for a stream.
        in_flight: messages that are being processed.
        oldest_seconds: the age of the oldest message; None if AWS does not report it, as for an idle queue.
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
        sensor: the sensor's name.
        name: the bucket's name; "" if the deployment names none.
        error: why it cannot be watched; "" if it can.
        announces: True if it sends its events to EventBridge; None if that could not be checked.
        remedy: the command that enables those events.
        has_versions: True if versioning is enabled; None if the sensor does not need it, or that could not be
            checked.
        versioning_remedy: the command that enables versioning.
    """

    sensor: str
    name: str
    error: str = ""
    announces: bool | None = None
    remedy: str = ""
    has_versions: bool | None = None
    versioning_remedy: str = ""


@dataclass(frozen=True, slots=True)
class ConsumedQueue:
    """A queue of somebody else whose messages a sensor takes.

    Attributes:
        sensor: the sensor's name.
        name: the queue's name.
        owner: the sensor that its tag `treadle:sensor` names; "" if it has no such tag.
        has_redrive_policy: True if it limits how often a message is received.
        visibility_seconds: its visibility timeout.
        function_seconds: the timeout of the sensor's function.
        error: why it cannot be read; "" if it can.
    """

    sensor: str
    name: str
    owner: str = ""
    has_redrive_policy: bool = False
    visibility_seconds: int = 0
    function_seconds: int = 0
    error: str = ""


@dataclass(frozen=True, slots=True)
class ConsumedStream:
    """A stream whose records a sensor takes.

    Attributes:
        sensor: the sensor's name.
        name: the stream's ARN.
        kept_seconds: how long the stream keeps a record.
        discarded_seconds: the age from which on Lambda discards a record; None if it never does.
        reports: True if Lambda names discarded records in a queue or topic.
        is_partial: True if the function may name the record from which on a batch is delivered again.
        attempts: how often Lambda delivers a batch again before it discards it; None for as often as necessary.
        others: the ARNs of what else is mapped to the sensor's function.
        error: why the stream cannot be read; "" if it can.
    """

    sensor: str
    name: str
    kept_seconds: int = 0
    discarded_seconds: int | None = None
    reports: bool = False
    is_partial: bool = False
    attempts: int | None = None
    others: tuple[str, ...] = ()
    error: str = ""


@dataclass(frozen=True, slots=True)
class WebhookSecret:
    """The secret by which a webhook sensor authenticates its sender.

    Attributes:
        sensor: the sensor's name.
        name: the secret's name.
        error: why it cannot be read; "" if it can.
    """

    sensor: str
    name: str
    error: str = ""


@dataclass(frozen=True, slots=True)
class JobTarget:
    """The target of a job.

    Attributes:
        job: the job's name.
        address: the target's ARN or name; "" where the deployment left it out.
        parameter: what sets the address, for messages.
        exists: whether the target exists; None if that could not be checked.
        error: the error that AWS reports.
        role: the role that was assumed for the check; "" for none.
        retries: how often the target itself starts a run again that has failed; 0 if never, or if that is unknown.
    """

    job: str
    address: str
    parameter: str
    exists: bool | None = None
    error: str = ""
    role: str = ""
    retries: int = 0


@dataclass(frozen=True, slots=True)
class MissingPermission:
    """A permission that a component needs and does not have.

    Attributes:
        owner: the component.
        action: such as "sqs:SendMessage".
        resource: the resource; "" where it is not known.
        detail: the evidence for it.
    """

    owner: str
    action: str
    resource: str
    detail: str


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
    """An alarm in state ALARM.

    Attributes:
        name: the alarm's name.
        since: when it went off, in milliseconds.
        detail: its description and AWS's reason.
    """

    name: str
    since: int | None
    detail: str


@dataclass(frozen=True, slots=True)
class AlertAddress:
    """A destination of alerts, as far as AWS can be queried about it.

    Attributes:
        owner: the sender: "sensor failure_alert", or "alarms".
        service: "sns" for a topic, "secretsmanager" for a secret, "ses" for a sender.
        name: the topic's ARN, the secret's name or ARN, the sender's address.
        setting: the setting that names it, such as "TREADLE_ALERT_SNS_TOPIC".
    """

    owner: str
    service: str
    name: str
    setting: str


@dataclass(frozen=True, slots=True)
class AlertChannel:
    """Whether a destination can receive alerts.

    Attributes:
        address: the destination.
        error: why alerts cannot arrive; "" if no problem was found.
        remedy: what to do about the problem.
        is_unused: True if everything is in order except that nobody has subscribed.
    """

    address: AlertAddress
    error: str = ""
    remedy: str = ""
    is_unused: bool = False


@dataclass(frozen=True, slots=True)
class Activity:
    """Recent invocations of a function.

    Attributes:
        owner: the component.
        name: the function's name.
        invocations: the number of invocations.
        errors: how many of the latest invocations, back to the last one that succeeded, ended in an error of
            the function or its runtime.
    """

    owner: str
    name: str
    invocations: int = 0
    errors: int = 0


@dataclass(frozen=True, slots=True)
class SkippedCheck:
    """Something that could not be checked.

    Attributes:
        check: the check that is incomplete, such as "queues".
        what: what could not be read, such as "the log of launch".
        action: the missing permission, such as "sqs:GetQueueAttributes"; "" if something else went wrong.
        detail: AWS's error message.
    """

    check: str
    what: str
    action: str
    detail: str


@dataclass(frozen=True, slots=True)
class HealthSnapshot:
    """The health of a deployment.

    Attributes:
        switches: schedules, rules and mappings.
        backlogs: queues, including the dead-letter queues, and streams.
        buckets: the buckets that sensors watch.
        targets: the targets of jobs.
        denials: missing permissions of the deployment's own roles.
        holders: the principals that have the engine's policies for evaluators.
        alarms: the alarms in state ALARM.
        channels: the destinations of alerts and alarms.
        activities: the functions' invocations in the last 15 minutes.
        clock_ahead_ms: how far this machine's clock is ahead of AWS's; None if AWS returned no time.
        unread: what could not be checked.
        queues: the queues of others whose messages sensors take.
        streams: the streams whose records sensors take.
        secrets: the secrets of webhook sensors.
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
    queues: tuple[ConsumedQueue, ...] = ()
    streams: tuple[ConsumedStream, ...] = ()
    secrets: tuple[WebhookSecret, ...] = ()
