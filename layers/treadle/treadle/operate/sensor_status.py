"""The current status of a sensor: stopped, paused, failing, and its next tick."""

from collections.abc import Sequence
from dataclasses import dataclass

from treadle.definitions.status import InstigatorStatus
from treadle.engine.identity import timestamp
from treadle.model.deployment import DeployedSensor
from treadle.model.sensors import RecordedEdit, SensorState
from treadle.model.ticks import TickSummary
from treadle.operate.explanation import error_summary
from treadle.operate.overview import next_tick_at, outside_until
from treadle.operate.problems import ProblemKind, SensorProblem


@dataclass(frozen=True, slots=True)
class SensorStatus:
    """The current status of a sensor.

    Attributes:
        deployed: the deployed sensor.
        state: its stored state.
        edits: operators' edits, newest first.
        failure: its newest failed tick, if the last one failed.
        now: the time.
        problems: its current problems.
    """

    deployed: DeployedSensor
    state: SensorState
    edits: Sequence[RecordedEdit]
    failure: TickSummary | None
    now: int
    problems: Sequence[SensorProblem] = ()

    @property
    def name(self) -> str:
        """Return the sensor's name."""
        return self.state.sensor

    @property
    def stopped(self) -> str | None:
        """Describe since when it is stopped, and by whom; None if it is running, or if that is unknown."""
        if self.state.is_running(self.deployed.default_status):
            return None
        start = f"start it: treadle sensor start {self.name}"
        if self.state.paused:
            return f"sensor {self.name} is paused: {self.state.paused} ({start})"
        if self.state.status is InstigatorStatus.DECLARED_IN_CODE:
            if self.deployed.problem:
                return None  # Its default status is unknown.
            return (
                f"sensor {self.name} is stopped, as its block of template.yaml or its code declares ({start})"
            )
        edit = next((each for each in self.edits if each.action == "stop"), None)
        by = f" since {timestamp(edit.at)}, by {edit.by}" if edit else ""
        return f"sensor {self.name} is stopped{by} ({start})"

    def stopped_at(self, at: int) -> RecordedEdit | None:
        """Return the edit by which an operator had stopped it at a time; None if it was not stopped."""
        status = (each for each in self.edits if each.at <= at and each.action in {"start", "stop", "reset"})
        last = next(status, None)
        return last if last is not None and last.action == "stop" else None

    @property
    def foreign(self) -> str | None:
        """That its state belongs to another project; None if it does not."""
        return self._problem(ProblemKind.OWNERSHIP)

    @property
    def failing(self) -> str | None:
        """Describe failures of scheduled ticks and the end of the backoff; None if they do not fail."""
        streak, resume_at = self.state.failure_streak, self.state.resume_at
        if not streak:
            return None
        held = f", in backoff until {timestamp(resume_at)}" if resume_at and resume_at > self.now else ""
        why = ""
        if self.failure is not None:
            why = f": {error_summary(self.failure.error_type or 'Error', self.failure.error_message or '')}"
        times = "the last tick" if streak == 1 else f"the last {streak} ticks"
        return f"{times} of sensor {self.name} failed{held}{why}"

    @property
    def not_loading(self) -> str | None:
        """Describe why its function does not load, if it is known not to."""
        return self._problem(ProblemKind.UNREADABLE, ProblemKind.NOT_LOADING)

    @property
    def not_evaluating(self) -> str | None:
        """Describe other problems: failing events, missing ticks; None if there are none."""
        return self._problem(
            ProblemKind.FAILING, ProblemKind.BLOCKED, ProblemKind.LATE, ProblemKind.UNCHECKED
        )

    def _problem(self, *kinds: ProblemKind) -> str | None:
        found = next((each for each in self.problems if each.kind in kinds), None)
        if found is None:
            return None
        message = f"{found.message[0].lower()}{found.message[1:].rstrip('.')}"
        return f"sensor {self.name}: {message} ({found.advice.rstrip('.')})"

    @property
    def upcoming(self) -> str | None:
        """Return a sentence about its next tick; None if it evaluates only events."""
        until = outside_until(self.deployed, self.now)
        if until is not None:
            return f"It is outside its hours until {timestamp(until)}."
        return f"The next tick is due at {self.next_tick}." if self.next_tick else None

    @property
    def next_tick(self) -> str | None:
        """Return the time of its next tick as text; None if it evaluates only events."""
        at = next_tick_at(self.deployed, self.state, self.now)
        return None if at is None else timestamp(at)
