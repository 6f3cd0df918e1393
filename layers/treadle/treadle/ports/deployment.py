"""A deployment as its operator finds it: which sensors it has, their functions, and what these have logged."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Protocol

from treadle.definitions.status import DefaultSensorStatus

UNKNOWN_KIND = "unknown"
"""Of a sensor whose deployment does not say what it is."""

EVENT_KINDS = frozenset({"run_status", "asset", "deadline"})
"""Sensors that evaluate events, each by itself, and nothing at a tick."""


@dataclass(frozen=True, slots=True)
class Subscription:
    """What a sensor's rule lets through to it.

    Attributes:
        jobs: of whose runs it hears; empty for those of all, or of none.
        assets: of which assets, their parts joined by "/".
        statuses: which of a run's statuses it hears of; none if it hears of no runs.
        buckets: of whose objects.
        is_on: False if the rule is switched off.
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
        name: the sensor's.
        kind: "schedule", "s3", "run_status", "asset", "multi_asset", "all_succeeded", "assets_updated" or
            "deadline", as its function checks when it begins; `UNKNOWN_KIND` where the deployment does not say.
        description: what it is for, in words.
        jobs: those it may start, by name.
        default_status: what holds where no operator has said anything.
        interval_seconds: from one tick to the next, as deployed; None if it has no interval of its own: it hears
            of events, or ticks each minute.
        function: its function's name.
        queue: the URL of its queue; None if it has none.
        subscription: what its rule lets through; None if it has no rule.
        settings: its function's environment.
        project: the stack that registered it.
        rule: the EventBridge rule that feeds it, as CloudFormation names it; "" if it has none.
        log_group: where its function writes.
        role: the ARN of its function's role; "" if that is not known.
        problem: why its function or its rule cannot be read; "" if both can. Of such a sensor, no more than its
            entry in the registry is known.
        remedy: what to do then.
        dead_letters: the URL of its project's dead-letter queue; "" if its project has none.
        deployed_at: when its function last got code or settings, in milliseconds; None if that is not known.
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
    # Not part of what it is: the same sensor, deployed again, is the same.
    deployed_at: int | None = field(default=None, compare=False)

    @property
    def is_ticked(self) -> bool:
        """Whether a schedule ticks it: each minute, if it has no interval of its own."""
        if self.kind == UNKNOWN_KIND:
            return self.interval_seconds is not None
        return self.kind not in EVENT_KINDS

    @property
    def has_schedule(self) -> bool:
        """Whether a schedule invokes it: to tick it, or at its deadlines."""
        return self.is_ticked or self.kind == "deadline"


@dataclass(frozen=True, slots=True)
class LogLine:
    """A line of a function's log.

    Attributes:
        line_id: the same whenever the line is read.
        at: when it was written.
        text: as it was written; anybody may have had a hand in it.
    """

    line_id: str
    at: int
    text: str


CANCEL, REFRESH, TARGETS = "cancel", "refresh", "targets"

COMMANDS = frozenset({CANCEL, REFRESH, TARGETS})
"""What the field `treadle` of an event says that RECONCILE takes as an operator's command."""


@dataclass(frozen=True, slots=True)
class CommandAnswer:
    """What became of a command that the engine carried out.

    Attributes:
        is_new: False if there was nothing left to do.
        reason: what was done, or why nothing was, in words.
    """

    is_new: bool
    reason: str


class EngineCommands(Protocol):
    """What the engine does for an operator, as the roles that jobs bring trust its functions and no person."""

    def cancel(self, run_id: str, by: str) -> CommandAnswer:
        """Ask a run's target to end it.

        Args:
            run_id: of the run.
            by: who asks.

        Raises:
            CommandRefusedError: if it cannot be canceled.
            LaunchError: if the target did not take the request, or the job's role may not be assumed.
            StoreError: if the store did not answer.
            InvocationError: if the engine did not answer.
        """

    def refresh(self, run_id: str) -> CommandAnswer:
        """Ask a run's target how it stands, and record that.

        Args:
            run_id: of the run.

        Raises:
            CommandRefusedError, LaunchError, StoreError, InvocationError: as for `cancel`.
        """


class Deployment(Protocol):
    """One deployed engine, with the sensors of all its projects."""

    @property
    def name(self) -> str:
        """The engine's stack's."""

    def sensors(self) -> Mapping[str, DeployedSensor]:
        """The registered sensors by name, in order; may be a minute old.

        A sensor that cannot be read is among them, with its problem.

        Raises:
            StoreError: if the registry cannot be read.
        """

    def invoke(
        self, sensor: str, event: Mapping[str, object], *, seconds: int | None = None
    ) -> Mapping[str, object]:
        """What a sensor's function answers to a direct invocation, which is sent once.

        Args:
            sensor: its name.
            event: such as `{"treadle": "preview"}`.
            seconds: how long the answer is awaited; None for as long as a function may take.

        Raises:
            CommandRefusedError: if there is no such sensor.
            InvocationError: if the function failed, or did not answer.
        """

    def logs(self, sensor: str, since: int, until: int | None = None) -> Iterator[LogLine]:
        """The lines that a sensor's function wrote, oldest first, read as they are asked for; may lag a little.

        Args:
            sensor: its name.
            since: when the first of interest was written.
            until: when the last of interest was; None for all that there are.

        Raises:
            CommandRefusedError: if there is no such sensor.
            DeploymentError: if its log cannot be read.
        """
