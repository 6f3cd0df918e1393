"""Alerts to Microsoft Teams, by the address of a workflow or of a legacy incoming webhook."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from treadle.definitions.errors import AlertDelayedError, AlertError
from treadle.definitions.options import renamed
from treadle.definitions.run_status import Monitored, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.status import DefaultSensorStatus
from treadle.integrations.alerts.channels import AlertIf, alert_sensor, check
from treadle.integrations.alerts.formatting import TextFunction, clip_bytes, escaped, one_line, run_link
from treadle.integrations.alerts.http import Post, Remaining, Route
from treadle.integrations.alerts.secrets import SecretText, reveal

MAX_TEXT_BYTES = 20_000
"""A message may have 28 KB: https://learn.microsoft.com/microsoftteams/limits-specifications-teams"""

_MAX_CAUSE = 4_000
_MARKDOWN = {each: f"\\{each}" for each in "\\`*_[]()#+-!<>~|"}
_CARD = "application/vnd.microsoft.card.adaptive"


def teams_text(context: RunFailureSensorContext) -> str:
    """Return the default text, in the Markdown of cards, with all values from the run escaped.

    Args:
        context: of the failed run.
    """
    job = escaped(one_line(context.dagster_run.job_name, 200), _MARKDOWN, 500)
    message = escaped(context.failure_event.message, _MARKDOWN, _MAX_CAUSE)
    return f"Job {job} failed!\n\nError: {message}"


@dataclass(frozen=True, slots=True)
class TeamsChannel:
    """A channel in Teams.

    Attributes:
        hook_url: the webhook's address.
        message_fn: the text, in the Markdown of cards.
        route: how to reach it.
        webserver_base_url: the base of a link to the run.
    """

    name: ClassVar[str] = "Teams"
    hook_url: SecretText = field(repr=False)
    message_fn: TextFunction = teams_text
    route: Route = field(default_factory=Route)
    webserver_base_url: str | None = None

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Post the card.

        Raises:
            AlertError: if Teams rejected it, with its message.
        """
        post = Post(self.name, reveal(self.hook_url), route=self.route)
        answer = post.send(self._message(context), remaining)
        # A legacy webhook returns 200, and a text that says that the message was not delivered.
        if "delivery failed" in answer:
            kind = AlertDelayedError if "429" in answer else AlertError
            raise kind(f"Teams did not accept the message: {' '.join(post.hidden(answer).split())[:300]}")

    def _message(self, context: RunFailureSensorContext) -> dict[str, Any]:
        text = clip_bytes(self.message_fn(context), MAX_TEXT_BYTES)
        card: dict[str, Any] = {
            "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
            "type": "AdaptiveCard",
            "version": "1.2",
            "msteams": {"width": "Full"},
            "body": [{"type": "TextBlock", "text": text, "wrap": True}],
        }
        link = run_link(context, self.webserver_base_url)
        if link is not None:
            card["actions"] = [{"type": "Action.OpenUrl", "title": link.label, "url": link.url}]
        return {"type": "message", "attachments": [{"contentType": _CARD, "content": card}]}


def make_teams_on_run_failure_sensor(
    hook_url: SecretText,
    message_fn: TextFunction = teams_text,
    http_proxy: str | None = None,
    https_proxy: str | None = None,
    timeout: float = 60,
    verify: bool | str | None = None,
    name: str | None = None,
    dagit_base_url: str | None = None,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    monitored_jobs: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool = False,
    webserver_base_url: str | None = None,
    monitor_all_repositories: bool | None = None,
    *,
    alert_if: AlertIf | None = None,
) -> RunFailureSensorDefinition:
    """Make a sensor that posts a card to Microsoft Teams for each monitored run that fails.

    Args:
        hook_url: the address of a workflow "when a webhook request is received", or of a legacy incoming
            webhook; preferably a `Secret`.
        message_fn: the text, in the Markdown of cards; its return value is not escaped.
        http_proxy: the proxy for http addresses.
        https_proxy: the proxy for https addresses.
        timeout: of the response in seconds, within the evaluation's own limit.
        verify: False to skip verification of the certificate; or a file of trusted authorities.
        name: the sensor's name; by default `teams_on_run_failure`.
        dagit_base_url: a former name of `webserver_base_url`.
        default_status: whether it is evaluated before an operator has started it.
        monitored_jobs: as in `@run_status_sensor`.
        monitor_all_code_locations: as in `@run_status_sensor`.
        webserver_base_url: base of the button's link `/runs/<run id>`; by default, it leads to the
            execution in the AWS console.
        monitor_all_repositories: a former name of `monitor_all_code_locations`.
        alert_if: given the context, whether to send an alert for the run, such as `unless_retried`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    name = name or "teams_on_run_failure"
    check(name, timeout=timeout)
    base = renamed(webserver_base_url, dagit_base_url, "webserver_base_url and dagit_base_url")
    route = Route(timeout, http_proxy, https_proxy, verify)
    return alert_sensor(
        TeamsChannel(hook_url, message_fn, route, base),
        name=name,
        alert_if=alert_if,
        monitored_jobs=monitored_jobs,
        monitor_all_code_locations=monitor_all_code_locations,
        monitor_all_repositories=monitor_all_repositories,
        default_status=default_status,
    )
