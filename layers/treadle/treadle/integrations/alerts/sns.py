"""Alerts to an SNS topic, which delivers them to its subscribers."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from treadle.adapters.alerts import publish
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.run_status import Monitored, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.status import DefaultSensorStatus
from treadle.integrations.alerts.channels import AlertIf, alert_sensor
from treadle.integrations.alerts.formatting import (
    TextFunction,
    clip,
    clip_bytes,
    default_subject,
    event_name,
    failed_steps,
    one_line,
    run_link,
)
from treadle.integrations.alerts.http import Remaining

MAX_SUBJECT = 100
"""ASCII, in one line: https://docs.aws.amazon.com/sns/latest/api/API_Publish.html"""

MAX_MESSAGE_BYTES = 250_000
"""SNS accepts 256 KB, including the message's attributes."""

_TOPIC = re.compile(r"arn:aws[a-z-]*:sns:[a-z0-9-]+:\d{12}:[A-Za-z0-9_-]{1,256}(\.fifo)?")
_MAX_CAUSE = 10_000


def sns_message(context: RunFailureSensorContext) -> str:
    """Return the default message, in plain text.

    Args:
        context: of the failed run.
    """
    run = context.dagster_run
    lines = [
        f"Job {one_line(run.job_name, 200)} failed!",
        f"Run ID: {run.run_id}",
        f"Error: {clip(context.failure_event.message, _MAX_CAUSE)}",
    ]
    return "\n".join([*lines, *failed_steps(context)])


@dataclass(frozen=True, slots=True)
class SnsChannel:
    """An SNS topic.

    Attributes:
        topic_arn: the topic; one that ends with `.fifo` drops repetitions of an event within five minutes.
        message_fn: the message, in plain text.
        subject_fn: the subject.
        webserver_base_url: the base of a link to the run.
    """

    topic_arn: str
    message_fn: TextFunction = sns_message
    subject_fn: TextFunction = default_subject
    webserver_base_url: str | None = None

    @property
    def name(self) -> str:
        """Its name in logs and errors."""
        return f"SNS ({self.topic_arn.rpartition(':')[2]})"

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Publish the message; the SDK has its own timeouts and retries.

        Raises:
            AlertError: if the topic rejected it, with SNS's message.
        """
        del remaining
        link = run_link(context, self.webserver_base_url)
        text = self.message_fn(context) or "A run failed."
        message = clip_bytes(text, MAX_MESSAGE_BYTES) + (f"\n\n{link.label}: {link.url}" if link else "")
        subject = one_line(self.subject_fn(context).encode("ascii", "replace").decode(), 1_000)[:MAX_SUBJECT]
        job = one_line(context.dagster_run.job_name, 200) or "?"
        attributes = {"job_name": job, "status": context.dagster_run.status.value}
        options: dict[str, Any] = {
            "MessageAttributes": {
                name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
            }
        }
        if self.topic_arn.endswith(".fifo"):
            options["MessageGroupId"] = re.sub(r"[^A-Za-z0-9_-]", "_", job)[:128]
            options["MessageDeduplicationId"] = event_name(context)[:128]
        publish(self.topic_arn, subject.strip() or "Run failed", message, options)


def make_sns_on_run_failure_sensor(
    topic_arn: str,
    message_fn: TextFunction = sns_message,
    subject_fn: TextFunction = default_subject,
    name: str | None = None,
    minimum_interval_seconds: int | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool = False,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    webserver_base_url: str | None = None,
    *,
    alert_if: AlertIf | None = None,
) -> RunFailureSensorDefinition:
    """Make a sensor that publishes to an SNS topic for each monitored run that fails.

    The function needs `sns:Publish` on the topic. Subscribers may filter by the message attributes
    `job_name` and `status`.

    Args:
        topic_arn: the topic, in the function's own Region.
        message_fn: the message, in plain text, truncated to 250,000 bytes.
        subject_fn: the subject; reduced to one line of at most 100 ASCII characters.
        name: the sensor's name; by default `sns_on_run_failure`.
        minimum_interval_seconds: as in `@run_status_sensor`.
        monitored_jobs: as in `@run_status_sensor`.
        monitor_all_code_locations: as in `@run_status_sensor`.
        default_status: whether it is evaluated before an operator has started it.
        webserver_base_url: base of the link `/runs/<run id>`; by default, the link leads to the
            execution in the AWS console.
        alert_if: given the context, whether to send an alert for the run, such as `unless_retried`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    name = name or "sns_on_run_failure"
    if not is_topic(topic_arn):
        msg = f"Sensor {name!r} cannot work: topic_arn is {topic_arn!r}, and must be the ARN of an SNS topic."
        raise DagsterInvalidDefinitionError(msg)
    return alert_sensor(
        SnsChannel(topic_arn, message_fn, subject_fn, webserver_base_url),
        name=name,
        alert_if=alert_if,
        minimum_interval_seconds=minimum_interval_seconds,
        monitored_jobs=monitored_jobs,
        monitor_all_code_locations=monitor_all_code_locations,
        default_status=default_status,
    )


def is_topic(arn: str) -> bool:
    """Return whether a text is the ARN of an SNS topic."""
    return _TOPIC.fullmatch(arn) is not None
