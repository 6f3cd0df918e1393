"""Alerts to PagerDuty, by its Events API v2: one incident for each run."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.run_status import Monitored, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.status import DefaultSensorStatus
from treadle.integrations.alerts.channels import AlertIf, alert_sensor
from treadle.integrations.alerts.formatting import (
    TextFunction,
    clip,
    event_time,
    failed_steps,
    one_line,
    run_link,
)
from treadle.integrations.alerts.http import Post, Remaining
from treadle.integrations.alerts.secrets import SecretText, reveal

API = "https://events.pagerduty.com"
SEVERITIES = ("critical", "error", "warning", "info")
MAX_SUMMARY = 1_024
"""https://developer.pagerduty.com/docs/send-alert-event"""
_MAX_CAUSE = 10_000

DetailsFunction = Callable[[RunFailureSensorContext], Mapping[str, Any]]


def pagerduty_summary(context: RunFailureSensorContext) -> str:
    """Return the default summary.

    Args:
        context: of the failed run.
    """
    failure = context.dagster_run.failure
    cause = f": {failure.error}: {failure.cause}" if failure else ""
    return f"Job {context.dagster_run.job_name} failed{cause}"


def pagerduty_details(context: RunFailureSensorContext) -> Mapping[str, Any]:
    """Return the default details.

    Args:
        context: of the failed run.
    """
    run = context.dagster_run
    return {
        "job_name": one_line(run.job_name, 200),
        "run_id": run.run_id,
        "attempt": run.attempt,
        "external_id": run.external_id,
        "message": clip(context.failure_event.message, _MAX_CAUSE),
        "failed_steps": failed_steps(context),
    }


@dataclass(frozen=True, slots=True)
class PagerDutyChannel:
    """A service in PagerDuty.

    Attributes:
        routing_key: its integration key.
        severity: "critical", "error", "warning" or "info".
        summary_fn: the summary.
        details_fn: further details of the incident.
        webserver_base_url: the base of a link to the run.
        base_url: the Events API.
    """

    name: ClassVar[str] = "PagerDuty"
    routing_key: SecretText = field(repr=False)
    severity: str = "error"
    summary_fn: TextFunction = pagerduty_summary
    details_fn: DetailsFunction = pagerduty_details
    webserver_base_url: str | None = None
    base_url: str = API

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Trigger the incident; a repeated event finds it open.

        Raises:
            AlertError: if PagerDuty rejected it, with its message.
        """
        key = reveal(self.routing_key)
        post = Post(self.name, f"{self.base_url.rstrip('/')}/v2/enqueue", [key])
        post.send({"routing_key": key, **self._event(context)}, remaining)

    def _event(self, context: RunFailureSensorContext) -> dict[str, Any]:
        run = context.dagster_run
        event: dict[str, Any] = {
            "event_action": "trigger",
            "dedup_key": run.run_id,
            "client": "Treadle",
            "payload": {
                "summary": one_line(self.summary_fn(context), MAX_SUMMARY) or "A run failed",
                "source": one_line(run.location, 500) or "Treadle",
                "severity": self.severity,
                "timestamp": event_time(context).isoformat(),
                "component": one_line(run.job_name, 500),
                "class": "run failure",
                "custom_details": dict(self.details_fn(context)),
            },
        }
        link = run_link(context, self.webserver_base_url)
        if link is not None:
            event |= {"client_url": link.url, "links": [{"href": link.url, "text": link.label}]}
        return event


def make_pagerduty_on_run_failure_sensor(
    routing_key: SecretText,
    severity: str = "error",
    summary_fn: TextFunction = pagerduty_summary,
    details_fn: DetailsFunction = pagerduty_details,
    name: str | None = None,
    minimum_interval_seconds: int | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool = False,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    webserver_base_url: str | None = None,
    *,
    alert_if: AlertIf | None = None,
    base_url: str = API,
) -> RunFailureSensorDefinition:
    """Make a sensor that opens an incident at PagerDuty for each monitored run that fails.

    The run's id is the incident's key: an event that is evaluated again, or another failed attempt of the
    same run, does not open a second one while the first is open.

    Args:
        routing_key: the integration key of an "Events API v2" integration; preferably a `Secret`.
        severity: "critical", "error", "warning" or "info".
        summary_fn: the summary; reduced to one line of at most 1,024 characters.
        details_fn: further details of the incident: a mapping that JSON can represent.
        name: the sensor's name; by default `pagerduty_on_run_failure`.
        minimum_interval_seconds: as in `@run_status_sensor`.
        monitored_jobs: as in `@run_status_sensor`.
        monitor_all_code_locations: as in `@run_status_sensor`.
        default_status: whether it is evaluated before an operator has started it.
        webserver_base_url: base of the link `/runs/<run id>`; by default, the link leads to the
            execution in the AWS console.
        alert_if: given the context, whether to send an alert for the run, such as `unless_retried`.
        base_url: another address of the Events API, such as https://events.eu.pagerduty.com.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    name = name or "pagerduty_on_run_failure"
    if severity not in SEVERITIES:
        known = ", ".join(SEVERITIES)
        msg = f"Sensor {name!r} cannot work: severity is {severity!r}, and must be one of {known}."
        raise DagsterInvalidDefinitionError(msg)
    return alert_sensor(
        PagerDutyChannel(routing_key, severity, summary_fn, details_fn, webserver_base_url, base_url),
        name=name,
        alert_if=alert_if,
        minimum_interval_seconds=minimum_interval_seconds,
        monitored_jobs=monitored_jobs,
        monitor_all_code_locations=monitor_all_code_locations,
        default_status=default_status,
    )
