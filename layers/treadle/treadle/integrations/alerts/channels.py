"""The run failure sensor that sends alerts to a channel, and the parts shared by all factories."""

from collections.abc import Callable, Sequence
from typing import Any, Protocol, Unpack

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.options import renamed
from treadle.definitions.results import SkipReason
from treadle.definitions.run_status import Monitored, RunFailureOptions, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.runs import WILL_RETRY_TAG
from treadle.definitions.status import DagsterRunStatus
from treadle.integrations.alerts.http import Remaining

AlertIf = Callable[[RunFailureSensorContext], bool]
"""Whether to send an alert for a failed run."""


class Channel(Protocol):
    """A service that delivers alerts."""

    @property
    def name(self) -> str:
        """Its name in logs and errors; contains no secret."""

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Send an alert about a failed run, at least once.

        Args:
            context: of the run.
            remaining: the time limit.

        Raises:
            AlertError: if it could not be sent.
        """


def unless_retried(context: RunFailureSensorContext) -> bool:
    """Suppress alerts for a run whose tag `dagster/will_retry` is "true"; use it as `alert_if`.

    Args:
        context: of the failed run.
    """
    return context.dagster_run.tags.get(WILL_RETRY_TAG, "").lower() != "true"


def _send(channel: Channel, context: RunFailureSensorContext) -> str:
    channel.send(context, lambda: context.remaining_seconds)
    return f"Alert sent by {channel.name}."


deliver: Callable[[Channel, RunFailureSensorContext], str] = _send
"""Delivers an alert, and returns what the tick's log says about that; `treadle dev` shows alerts instead."""


def alert_function(
    channel: Channel, alert_if: AlertIf | None
) -> Callable[[RunFailureSensorContext], SkipReason | None]:
    """Return the function of a run failure sensor that sends alerts.

    Args:
        channel: delivers the alerts.
        alert_if: whether to send an alert for a run; None for all.
    """

    def alert(context: RunFailureSensorContext) -> SkipReason | None:
        if alert_if is not None and not alert_if(context):
            run = context.dagster_run
            return SkipReason(f"No alert for run {run.run_id} of {run.job_name}: alert_if returned False.")
        context.log.info("%s", deliver(channel, context))
        return None

    return alert


def alert_sensor(
    channel: Channel,
    *,
    name: str,
    alert_if: AlertIf | None,
    job_selection: Sequence[Monitored] | None = None,
    monitor_all_repositories: bool | None = None,
    **options: Unpack[RunFailureOptions],
) -> RunFailureSensorDefinition:
    """Make a sensor that sends an alert for each monitored run that fails.

    Args:
        channel: delivers the alerts.
        name: the sensor's name.
        alert_if: whether to send an alert for a run; None for all.
        job_selection: a former name of `monitored_jobs`.
        monitor_all_repositories: a former name of `monitor_all_code_locations`.
        options: other arguments of `@run_failure_sensor`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    options["description"] = f"Reports each failed run by {channel.name}."
    options["monitored_jobs"] = renamed(
        options.get("monitored_jobs"), job_selection, "monitored_jobs and job_selection"
    )
    options["monitor_all_code_locations"] = renamed(
        options.get("monitor_all_code_locations"),
        monitor_all_repositories,
        "monitor_all_code_locations and monitor_all_repositories",
    )
    return RunFailureSensorDefinition(
        name, DagsterRunStatus.FAILURE, alert_function(channel, alert_if), **options
    )


def check(name: str, **required: Any) -> None:
    """Check that arguments were given.

    Args:
        name: the sensor's name.
        required: values by argument name.

    Raises:
        DagsterInvalidDefinitionError: with all that are missing.
    """
    missing = [argument for argument, value in required.items() if not value]
    if missing:
        msg = f"Sensor {name!r} cannot work: {', '.join(missing)} must not be empty."
        raise DagsterInvalidDefinitionError(msg)
