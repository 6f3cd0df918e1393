"""The run failure sensor around a channel of alerts, and what all factories of them share."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeVar

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.results import SkipReason
from treadle.definitions.run_status import Monitored, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus
from treadle.integrations.alerts.http import Remaining

AlertIf = Callable[[RunFailureSensorContext], bool]
"""Whether a failed run is worth an alert."""

WILL_RETRY_TAG = "dagster/will_retry"
"""On a failed run, "true" says that another attempt is to come."""

T = TypeVar("T")


class Channel(Protocol):
    """A way to tell people."""

    @property
    def name(self) -> str:
        """What it is called in logs and errors; holds no secret."""

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Tell of a failed run, at least once.

        Args:
            context: the run's.
            remaining: how long it may take.

        Raises:
            AlertError: if it could not be told.
        """


def unless_retried(context: RunFailureSensorContext) -> bool:
    """An `alert_if` that keeps quiet about a run whose tag `dagster/will_retry` is "true".

    Args:
        context: the failed run's.
    """
    return context.dagster_run.tags.get(WILL_RETRY_TAG, "").lower() != "true"


def alert_function(
    channel: Channel, alert_if: AlertIf | None
) -> Callable[[RunFailureSensorContext], SkipReason | None]:
    """The function of a run failure sensor that sends alerts.

    Args:
        channel: where they go.
        alert_if: whether a run is worth one; None for all.
    """

    def alert(context: RunFailureSensorContext) -> SkipReason | None:
        if alert_if is not None and not alert_if(context):
            run = context.dagster_run
            return SkipReason(f"No alert for run {run.run_id} of {run.job_name}: alert_if says so.")
        channel.send(context, lambda: context.remaining_seconds)
        context.log.info("Alert sent by %s.", channel.name)
        return None

    return alert


def alert_sensor(
    channel: Channel,
    *,
    name: str,
    alert_if: AlertIf | None,
    minimum_interval_seconds: int | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    job_selection: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool = False,
    monitor_all_repositories: bool | None = None,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
) -> RunFailureSensorDefinition:
    """A sensor that sends an alert for each watched run that fails.

    Args:
        channel: where it goes.
        name: the sensor's.
        alert_if: whether a run is worth one; None for all.
        minimum_interval_seconds: as of `@run_failure_sensor`, like all that follow.
        monitored_jobs: whose runs.
        job_selection: an older name of `monitored_jobs`.
        monitor_all_code_locations: True for every job of every engine.
        monitor_all_repositories: an older name of `monitor_all_code_locations`.
        default_status: whether it evaluates before anyone has started it.

    Raises:
        DagsterInvalidDefinitionError: when the definition cannot work.
    """
    return RunFailureSensorDefinition(
        name,
        DagsterRunStatus.FAILURE,
        alert_function(channel, alert_if),
        description=f"Tells of each failed run by {channel.name}.",
        minimum_interval_seconds=minimum_interval_seconds,
        monitored_jobs=renamed(monitored_jobs, job_selection, "monitored_jobs and job_selection"),
        monitor_all_code_locations=renamed(
            monitor_all_code_locations,
            monitor_all_repositories,
            "monitor_all_code_locations and monitor_all_repositories",
        ),
        default_status=default_status,
    )


def renamed(value: T, older: T | None, names: str) -> T:
    """An argument's value, under whichever of its two names it was given.

    Args:
        value: under today's name.
        older: under the name that Dagster gave it once.
        names: both, for the error.

    Raises:
        DagsterInvalidDefinitionError: if it was given under both.
    """
    if older is None:
        return value
    if value:
        msg = f"Cannot specify both {names}: the second is the older name of the first."
        raise DagsterInvalidDefinitionError(msg)
    return older


def check(name: str, **required: Any) -> None:
    """Make sure that arguments were given.

    Args:
        name: the sensor's.
        required: by argument, its value.

    Raises:
        DagsterInvalidDefinitionError: with all that are missing.
    """
    missing = [argument for argument, value in required.items() if not value]
    if missing:
        msg = f"Sensor {name!r} cannot work: {', '.join(missing)} must not be empty."
        raise DagsterInvalidDefinitionError(msg)
