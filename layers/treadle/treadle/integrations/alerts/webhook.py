"""Alerts to a webhook: a POST of JSON, whose format the guide's page on alerts documents."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from treadle.definitions.run_status import Monitored, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.status import DefaultSensorStatus
from treadle.integrations.alerts.channels import AlertIf, alert_sensor, check
from treadle.integrations.alerts.formatting import event_name, event_time, run_link
from treadle.integrations.alerts.http import Post, Remaining
from treadle.integrations.alerts.secrets import SecretText, reveal

FORM = 1
"""Incremented only when a field changes its meaning or is removed."""

PayloadFunction = Callable[[RunFailureSensorContext], Mapping[str, Any]]


def webhook_payload(context: RunFailureSensorContext) -> Mapping[str, Any]:
    """Return the default payload; the run's config is left out, as it may contain anything.

    Args:
        context: of the failed run.
    """
    run = context.dagster_run
    failure = run.failure
    return {
        "version": FORM,
        "type": "run_failure",
        "id": event_name(context),
        "time": event_time(context).isoformat(),
        "message": context.failure_event.message,
        "run": {
            "run_id": run.run_id,
            "job_name": run.job_name,
            "status": run.status.value,
            "attempt": run.attempt,
            "run_key": run.run_key,
            "sensor_name": run.sensor_name,
            "external_id": run.external_id,
            "location": run.location,
            "tags": dict(run.tags),
        },
        "failure": {
            "error": failure.error if failure else None,
            "cause": failure.cause if failure else None,
            "steps": [
                {"step_key": step.step_key, "error": step.error, "cause": step.cause}
                for step in (failure.steps if failure else ())
            ],
        },
    }


@dataclass(frozen=True, slots=True)
class WebhookChannel:
    """An address that accepts JSON.

    Attributes:
        url: the address.
        payload_fn: the JSON object.
        headers: sent with it.
        webserver_base_url: the base of a link to the run.
    """

    name: ClassVar[str] = "webhook"
    url: SecretText = field(repr=False)
    payload_fn: PayloadFunction = webhook_payload
    headers: Mapping[str, SecretText] = field(default_factory=dict, repr=False)
    webserver_base_url: str | None = None

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Post the JSON.

        Raises:
            AlertError: if it was rejected, with the service's message.
        """
        headers = {name: reveal(value) if value else "" for name, value in self.headers.items()}
        link = run_link(context, self.webserver_base_url)
        payload = dict(self.payload_fn(context))
        if link is not None:
            payload.setdefault("link", link.url)
        repeated = {"Idempotency-Key": event_name(context)}
        post = Post(self.name, reveal(self.url), [*headers.values()], {**repeated, **headers})
        post.send(payload, remaining)


def make_webhook_on_run_failure_sensor(
    url: SecretText,
    payload_fn: PayloadFunction = webhook_payload,
    headers: Mapping[str, SecretText] | None = None,
    name: str | None = None,
    minimum_interval_seconds: int | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool = False,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    webserver_base_url: str | None = None,
    *,
    alert_if: AlertIf | None = None,
) -> RunFailureSensorDefinition:
    """Make a sensor that posts JSON to an address for each monitored run that fails.

    The header `Idempotency-Key` and the field `id` are the same whenever the same event is evaluated again.

    Args:
        url: the address, as text or a `Secret`.
        payload_fn: the JSON object, instead of the documented one.
        headers: sent with it, such as `Authorization`; each as text or a `Secret`.
        name: the sensor's name; by default `webhook_on_run_failure`.
        minimum_interval_seconds: as in `@run_status_sensor`.
        monitored_jobs: as in `@run_status_sensor`.
        monitor_all_code_locations: as in `@run_status_sensor`.
        default_status: whether it is evaluated before an operator has started it.
        webserver_base_url: base of the field `link`, `/runs/<run id>`; by default, it leads to the
            execution in the AWS console.
        alert_if: given the context, whether to send an alert for the run, such as `unless_retried`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    name = name or "webhook_on_run_failure"
    check(name, url=url)
    return alert_sensor(
        WebhookChannel(url, payload_fn, headers or {}, webserver_base_url),
        name=name,
        alert_if=alert_if,
        minimum_interval_seconds=minimum_interval_seconds,
        monitored_jobs=monitored_jobs,
        monitor_all_code_locations=monitor_all_code_locations,
        default_status=default_status,
    )
