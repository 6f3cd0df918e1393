"""Alerts to Slack, with a bot's token or by an incoming webhook's address."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from treadle.definitions.errors import AlertDelayedError, AlertError
from treadle.definitions.options import renamed
from treadle.definitions.run_status import Monitored, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.status import DefaultSensorStatus
from treadle.integrations.alerts.channels import AlertIf, alert_sensor
from treadle.integrations.alerts.formatting import TextFunction, clip, escaped, one_line, run_link, short_id
from treadle.integrations.alerts.http import Post, Remaining
from treadle.integrations.alerts.secrets import SecretText, reveal

API = "https://slack.com/api/"
MAX_BLOCK_TEXT = 3_000
"""https://docs.slack.dev/reference/block-kit/blocks/section-block"""
_MAX_BLOCKS = 50
_MAX_CAUSE = 2_900

_SIGNS = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
_PASSING = {"ratelimited", "rate_limited", "internal_error", "fatal_error", "service_unavailable"}

BlocksFunction = Callable[[RunFailureSensorContext], list[dict[str, Any]]]


def slack_text(context: RunFailureSensorContext) -> str:
    """Return the default body: the error, in a code block that it cannot leave.

    Args:
        context: of the failed run.
    """
    message = context.failure_event.message.replace("```", "'''")
    return f"Error: ```{escaped(message, _SIGNS, _MAX_CAUSE)}```"


@dataclass(frozen=True, slots=True)
class SlackChannel:
    """A channel in Slack.

    Attributes:
        channel: its name or id; ignored by an incoming webhook, which has its own.
        token: the bot's token, or an incoming webhook's address.
        text_fn: the body, in Slack's mrkdwn.
        blocks_fn: all blocks, instead of header and body.
        webserver_base_url: the base of a link to the run.
        base_url: Slack's API.
    """

    channel: str
    token: SecretText = field(repr=False)
    text_fn: TextFunction = slack_text
    blocks_fn: BlocksFunction | None = None
    webserver_base_url: str | None = None
    base_url: str = API

    @property
    def name(self) -> str:
        """Its name in logs and errors."""
        return f"Slack ({self.channel})" if self.channel else "Slack"

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Post the message.

        Raises:
            AlertError: if Slack rejected it, with its message.
        """
        text = clip(self.text_fn(context), MAX_BLOCK_TEXT)
        message: dict[str, Any] = {"text": text, "blocks": self._blocks(context, text)}
        token = reveal(self.token)
        if token.startswith(("https://", "http://")):
            Post(self.name, token).send(message, remaining)
            return
        if not self.channel:
            msg = "Slack: a bot's token needs a channel, and none is given."
            raise AlertError(msg)
        post = Post(
            self.name,
            f"{self.base_url.rstrip('/')}/chat.postMessage",
            [token],
            {"Authorization": f"Bearer {token}"},
        )
        _check(post, post.send({"channel": self.channel, **message}, remaining))

    def _blocks(self, context: RunFailureSensorContext, text: str) -> list[dict[str, Any]]:
        blocks = list(self.blocks_fn(context)) if self.blocks_fn else [_section(_header(context))]
        if not self.blocks_fn:
            blocks.append(_section(text))
        link = run_link(context, self.webserver_base_url)
        if link is None:
            return blocks[:_MAX_BLOCKS]
        button = {"type": "button", "text": {"type": "plain_text", "text": link.label}, "url": link.url}
        return [*blocks[: _MAX_BLOCKS - 1], {"type": "actions", "elements": [button]}]


def _header(context: RunFailureSensorContext) -> str:
    plain = one_line(context.dagster_run.job_name, 200).replace("`", "'").replace("*", "")
    return f'*Job "{escaped(plain, _SIGNS, 1_000)}" failed. `{short_id(context)}`*'


def _section(text: str) -> dict[str, Any]:
    return {"type": "section", "text": {"type": "mrkdwn", "text": text}}


def _check(post: Post, answer: str) -> None:
    """Raise an error if Slack rejected the message: its API returns 200 even then."""
    try:
        said = json.loads(answer)
    except ValueError:
        said = {}
    if not isinstance(said, dict) or said.get("ok") is not True:
        code = str(said.get("error") or "") if isinstance(said, dict) else ""
        needed = f", needed: {said['needed']}" if code and said.get("needed") else ""
        message = f"{post.service} refused the message: {code or 'its response is not JSON with ok'}{needed}"
        kind = AlertDelayedError if code in _PASSING else AlertError
        raise kind(post.hidden(message)[:500])


def make_slack_on_run_failure_sensor(
    channel: str,
    slack_token: SecretText,
    text_fn: TextFunction = slack_text,
    blocks_fn: BlocksFunction | None = None,
    name: str | None = None,
    dagit_base_url: str | None = None,
    minimum_interval_seconds: int | None = None,
    monitored_jobs: Sequence[Monitored] | None = None,
    job_selection: Sequence[Monitored] | None = None,
    monitor_all_code_locations: bool = False,
    default_status: DefaultSensorStatus = DefaultSensorStatus.STOPPED,
    webserver_base_url: str | None = None,
    monitor_all_repositories: bool | None = None,
    *,
    alert_if: AlertIf | None = None,
    base_url: str = API,
) -> RunFailureSensorDefinition:
    """Make a sensor that posts to a channel in Slack for each monitored run that fails.

    Args:
        channel: the channel's name or id.
        slack_token: a bot's token with `chat:write`, or an incoming webhook's address, which has its own
            channel; preferably a `Secret`.
        text_fn: the body, in Slack's mrkdwn; its return value is not escaped.
        blocks_fn: all blocks, instead of header and body.
        name: the sensor's name; by default `slack_on_run_failure`.
        dagit_base_url: a former name of `webserver_base_url`.
        minimum_interval_seconds: as in `@run_status_sensor`.
        monitored_jobs: as in `@run_status_sensor`.
        job_selection: a former name of `monitored_jobs`.
        monitor_all_code_locations: as in `@run_status_sensor`.
        default_status: whether it is evaluated before an operator has started it.
        webserver_base_url: base of the button's link `/runs/<run id>`; by default, it leads to the
            execution in the AWS console.
        monitor_all_repositories: a former name of `monitor_all_code_locations`.
        alert_if: given the context, whether to send an alert for the run, such as `unless_retried`.
        base_url: another address of Slack's API, such as GovSlack's.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    name = name or "slack_on_run_failure"
    base = renamed(webserver_base_url, dagit_base_url, "webserver_base_url and dagit_base_url")
    return alert_sensor(
        SlackChannel(channel, slack_token, text_fn, blocks_fn, base, base_url),
        name=name,
        alert_if=alert_if,
        minimum_interval_seconds=minimum_interval_seconds,
        monitored_jobs=monitored_jobs,
        job_selection=job_selection,
        monitor_all_code_locations=monitor_all_code_locations,
        monitor_all_repositories=monitor_all_repositories,
        default_status=default_status,
    )
