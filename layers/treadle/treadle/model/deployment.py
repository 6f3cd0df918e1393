"""A deployment as its operator sees it: sensors, subscriptions, log lines."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.status import DefaultSensorStatus

if TYPE_CHECKING:
    from treadle.definitions.hours import Hours

UNKNOWN_KIND = "unknown"
"""The kind of a sensor whose deployment does not state one."""

QUEUE_KIND = "queue"
"""The kind of a sensor that takes the messages of a queue that belongs to somebody else."""

STREAM_KIND = "stream"
"""The kind of a sensor that takes the records of a stream."""

WEBHOOK_KIND = "webhook"
"""The kind of a sensor with an HTTPS endpoint."""

DEADLINE_KIND = "deadline"
"""The kind of a sensor that a schedule invokes at its deadlines."""

SSM = "ssm:"
"""The prefix of the name of a webhook's secret that is an SSM parameter; others are in Secrets Manager."""

BATCH_KINDS = frozenset({"s3", "event", QUEUE_KIND, WEBHOOK_KIND, STREAM_KIND, "run_status", "asset"})
"""Kinds of sensors that may have batches."""

EVENT_KINDS = frozenset(
    {"run_status", "asset", DEADLINE_KIND, "event", QUEUE_KIND, STREAM_KIND, WEBHOOK_KIND}
)
"""Kinds of sensors that evaluate each event by itself, and nothing at a tick."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """The events that a sensor's rule matches.

    Attributes:
        jobs: the jobs whose run events it matches; empty for all jobs, or if it matches no run events.
        assets: the assets, their key parts joined by "/".
        statuses: the run statuses; empty if it matches no run events.
        buckets: the buckets whose object events it matches.
        is_on: False if the rule is disabled.
    """

    jobs: tuple[str, ...] = ()
    assets: tuple[str, ...] = ()
    statuses: tuple[str, ...] = ()
    buckets: tuple[str, ...] = ()
    is_on: bool = True


@dataclass(frozen=True, slots=True)
class DeployedSensor:
    """A sensor as it is deployed.

    Attributes:
        name: the sensor's name.
        kind: "schedule", "s3", "run_status", "asset", "multi_asset", "all_succeeded", "assets_updated",
            "deadline", "event", "queue", "stream" or "webhook", which its function checks when it starts;
            `UNKNOWN_KIND` where the deployment does not state it.
        description: its description for operators.
        jobs: the names of the jobs it may start.
        default_status: the status until an operator sets another one.
        interval_seconds: the deployed interval between two ticks; None if it has none: it is evaluated by
            events, or ticks each minute.
        function: its function's name.
        queue: the URL of its queue; None if it has none.
        subscription: the events that its rule matches; None if it has no rule.
        settings: its function's environment.
        project: the stack that registered it.
        rule: the EventBridge rule that feeds it, by CloudFormation's name; "" if it has none.
        log_group: its function's log group.
        role: the ARN of its function's role; "" if that is not known.
        problem: why its function or its rule cannot be read; "" if both can. With a problem, only its
            registry entry is known.
        remedy: what to do about the problem.
        dead_letters: the URL of its project's dead-letter queue; "" if its project has none.
        deployed_at: when the code or settings of its function last changed, in milliseconds; None if that is
            not known.
    """

    name: str
    kind: str
    description: str
    jobs: tuple[str, ...]
    default_status: DefaultSensorStatus
    interval_seconds: int | None = None
    function: str = ""
    queue: str | None = None
    subscription: Subscription | None = None
    settings: Mapping[str, str] = field(default_factory=dict)
    project: str = ""
    rule: str = ""
    log_group: str = ""
    role: str = ""
    problem: str = ""
    remedy: str = ""
    dead_letters: str = ""
    # Not part of its identity: a redeployed sensor compares equal.
    deployed_at: int | None = field(default=None, compare=False)

    @property
    def is_ticked(self) -> bool:
        """True if a schedule ticks it, each minute if it has no interval of its own."""
        if self.kind == UNKNOWN_KIND:
            return self.interval_seconds is not None
        return self.kind not in EVENT_KINDS

    @property
    def hours(self) -> "Hours | None":
        """The hours in which its schedule evaluates it; None for at all times, or if they cannot be read."""
        text = self.settings.get("TREADLE_HOURS")
        if not text:
            return None
        # Imported here, as few sensors have hours.
        from treadle.definitions.hours import Hours

        try:
            return Hours.parse(text)
        except DagsterInvalidDefinitionError:
            return None  # Its function does not load with them, which is shown.

    @property
    def consumes_queue(self) -> bool:
        """True if its queue belongs to somebody else, so that it only takes messages from it."""
        return self.kind == QUEUE_KIND

    @property
    def stream(self) -> str:
        """The ARN of the stream whose records it takes; "" if it takes none."""
        return self.settings.get("TREADLE_STREAM_ARN", "") if self.kind == STREAM_KIND else ""

    @property
    def waits_while_stopped(self) -> bool:
        """True if what arrives while it is stopped waits for its start, in a queue or stream of somebody else."""
        return self.consumes_queue or self.kind == STREAM_KIND

    @property
    def endpoint(self) -> str:
        """The URL of its HTTPS endpoint; "" if it has none."""
        return self.settings.get("TREADLE_WEBHOOK_ENDPOINT", "") if self.kind == WEBHOOK_KIND else ""

    @property
    def secret(self) -> str:
        """The name of the secret by which it authenticates its sender; "" if it has none."""
        return self.settings.get("TREADLE_WEBHOOK_SECRET", "") if self.kind == WEBHOOK_KIND else ""

    @property
    def has_schedule(self) -> bool:
        """True if a schedule invokes it, to tick it or at its deadlines."""
        return self.is_ticked or self.kind == DEADLINE_KIND


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a function's log.

    Attributes:
        line_id: stable across reads.
        at: when it was written.
        text: the unmodified line; untrusted, as anyone may have contributed to it.
    """

    line_id: str
    at: int
    text: str


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """The result of a command that the engine executed.

    Attributes:
        is_new: False if there was nothing left to do.
        reason: what was done, or why nothing was.
    """

    is_new: bool
    reason: str
