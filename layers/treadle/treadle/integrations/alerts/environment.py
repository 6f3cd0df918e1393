"""A run failure sensor whose channels are configured by its function's environment."""

import time
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Self, Unpack

from treadle.definitions.errors import AlertDelayedError, AlertError, SettingsError
from treadle.definitions.jobs import names_in
from treadle.definitions.options import check_options
from treadle.definitions.run_status import RunFailureOptions, RunFailureSensorDefinition
from treadle.definitions.run_status_contexts import RunFailureSensorContext
from treadle.definitions.status import DagsterRunStatus
from treadle.integrations.alerts.channels import AlertIf, Channel, alert_function
from treadle.integrations.alerts.formatting import event_name
from treadle.integrations.alerts.http import Remaining
from treadle.integrations.alerts.mail import EmailChannel, Ses
from treadle.integrations.alerts.pagerduty import PagerDutyChannel
from treadle.integrations.alerts.secrets import Secret
from treadle.integrations.alerts.slack import SlackChannel
from treadle.integrations.alerts.sns import SnsChannel, is_topic
from treadle.integrations.alerts.teams import TeamsChannel
from treadle.integrations.alerts.webhook import WebhookChannel
from treadle.model.health import AlertAddress

EMAIL_FROM, EMAIL_TO = "TREADLE_ALERT_EMAIL_FROM", "TREADLE_ALERT_EMAIL_TO"
SNS_TOPIC = "TREADLE_ALERT_SNS_TOPIC"
SLACK_SECRET, SLACK_CHANNEL = "TREADLE_ALERT_SLACK_SECRET", "TREADLE_ALERT_SLACK_CHANNEL"
TEAMS_SECRET = "TREADLE_ALERT_TEAMS_SECRET"  # noqa: S105 - a variable's name
PAGERDUTY_SECRET = "TREADLE_ALERT_PAGERDUTY_SECRET"  # noqa: S105 - a variable's name
WEBHOOK_SECRET = "TREADLE_ALERT_WEBHOOK_SECRET"  # noqa: S105 - a variable's name
BASE_URL = "TREADLE_ALERT_BASE_URL"

_REMEMBERED = 1_000


@dataclass(frozen=True, slots=True)
class ManyChannels:
    """Several channels: all are tried, even if one fails, and each has its share of the time.

    If one fails, the event is evaluated again. Channels that accepted the alert are remembered in this
    process and not called again, unless another process evaluates the event: delivery to each channel is at
    least once.

    Attributes:
        channels: in the order in which they are called.
    """

    channels: tuple[Channel, ...]
    _delivered: OrderedDict[str, set[str]] = field(default_factory=OrderedDict, repr=False, compare=False)

    @property
    def name(self) -> str:
        """Their names in logs and errors."""
        return ", ".join(channel.name for channel in self.channels)

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Send an alert on each channel that has not accepted this event yet.

        Raises:
            AlertError: if any did not accept it, with all their messages.
        """
        event = event_name(context)
        done = self._delivered.setdefault(event, set())
        self._delivered.move_to_end(event)
        if len(self._delivered) > _REMEMBERED:
            self._delivered.popitem(last=False)
        waiting = [channel for channel in self.channels if channel.name not in done]
        problems: list[str] = []
        for number, channel in enumerate(waiting):
            ends = time.monotonic() + remaining() / (len(waiting) - number)
            try:
                channel.send(context, lambda ends=ends: max(0.0, ends - time.monotonic()))  # type: ignore[misc]
            except Exception as error:  # noqa: BLE001 - whatever happens to one channel, the others are used
                # The messages of other errors may contain secrets, as nothing has redacted them.
                text = str(error) if isinstance(error, AlertError) else type(error).__name__
                problems.append(f"{channel.name}: {text}")
            else:
                done.add(channel.name)
        if problems:
            summary = f"{len(problems)} of {len(self.channels)} channels did not accept the alert"
            msg = f"{summary}, and will be tried again: {'; '.join(problems)}"
            raise AlertDelayedError(msg)
        self._delivered.pop(event)


class EnvironmentAlertDefinition(RunFailureSensorDefinition):
    """A run failure sensor that sends alerts to the channels that its function's environment names.

    Args:
        name: the sensor's name.
        channel: delivers the alerts; None until the environment is known.
        alert_if: whether to send an alert for a run; None for all.
        options: other arguments of `@run_failure_sensor`.
    """

    def __init__(
        self,
        name: str,
        channel: Channel | None = None,
        alert_if: AlertIf | None = None,
        **options: Unpack[RunFailureOptions],
    ) -> None:
        options.setdefault("description", "Reports each failed run on the channels of the deployment.")
        super().__init__(
            name, DagsterRunStatus.FAILURE, alert_function(channel or _Unconfigured(), alert_if), **options
        )
        self._alert_if = alert_if
        self._options = options

    def configured(self, settings: Mapping[str, str]) -> Self:
        """Return the definition with the channels and the monitored jobs of the deployment.

        Args:
            settings: the function's environment; the guide's page on alerts lists its variables.

        Raises:
            SettingsError: with all problems at once; also if no channel is named.
        """
        channels = channels_of(settings)
        channel = channels[0] if len(channels) == 1 else ManyChannels(tuple(channels))
        known = type(self)(self.name, channel, self._alert_if, **self._options)
        return RunFailureSensorDefinition.configured(known, settings)


def alert_from_environment(
    name: str, *, alert_if: AlertIf | None = None, **options: Unpack[RunFailureOptions]
) -> EnvironmentAlertDefinition:
    """Make a run failure sensor that sends alerts to the channels that its function's environment names.

    Args:
        name: the sensor's name.
        alert_if: given the context, whether to send an alert for the run, such as `unless_retried`.
        options: other arguments of `@run_failure_sensor`, such as `monitored_jobs`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(alert_from_environment, options)
    return EnvironmentAlertDefinition(name, None, alert_if, **options)


def channels_of(settings: Mapping[str, str]) -> list[Channel]:
    """Return the channels that an environment names; an empty value counts as absent.

    Raises:
        SettingsError: with all problems at once; also if no channel is named.
    """
    given = {name: value.strip() for name, value in settings.items() if value.strip()}
    base = given.get(BASE_URL)
    to = tuple(names_in(given.get(EMAIL_TO, "")))
    topic, secrets = (
        given.get(SNS_TOPIC, ""),
        {name: secret_named(given[name]) for name in _SECRETS & {*given}},
    )
    problems = _problems(given, to, topic)
    if problems:
        raise SettingsError("; ".join(problems) + ".")
    channels: list[Channel] = []
    if to:
        channels.append(EmailChannel(given[EMAIL_FROM], to, Ses(), webserver_base_url=base))
    if topic:
        channels.append(SnsChannel(topic, webserver_base_url=base))
    if SLACK_SECRET in secrets:
        slack = SlackChannel(given.get(SLACK_CHANNEL, ""), secrets[SLACK_SECRET], webserver_base_url=base)
        channels.append(slack)
    if TEAMS_SECRET in secrets:
        channels.append(TeamsChannel(secrets[TEAMS_SECRET], webserver_base_url=base))
    if PAGERDUTY_SECRET in secrets:
        channels.append(PagerDutyChannel(secrets[PAGERDUTY_SECRET], webserver_base_url=base))
    if WEBHOOK_SECRET in secrets:
        channels.append(WebhookChannel(secrets[WEBHOOK_SECRET], webserver_base_url=base))
    return channels


def alert_addresses(sensor: str, settings: Mapping[str, str]) -> tuple[AlertAddress, ...]:
    """Return the addresses of a sensor's alerts that AWS can check; webhooks are not called.

    Args:
        sensor: its name.
        settings: its function's environment.
    """
    given = {name: value.strip() for name, value in settings.items() if value.strip()}
    owner = f"sensor {sensor}"
    found = [
        AlertAddress(owner, service, given[name].partition("#")[0], name)
        for name, service in _CHECKED_SERVICES.items()
        if name in given
    ]
    return tuple(found)


def secret_named(text: str) -> Secret:
    """Parse the name or ARN of a secret in Secrets Manager, and the field of a JSON object after `#`.

    Args:
        text: such as "alerts/slack", or "alerts#slack".
    """
    name, _, key = text.partition("#")
    return Secret.secrets_manager(name, key or None)


_SECRETS = {SLACK_SECRET, TEAMS_SECRET, PAGERDUTY_SECRET, WEBHOOK_SECRET}
_CHECKED_SERVICES = {SNS_TOPIC: "sns", EMAIL_FROM: "ses"} | dict.fromkeys(sorted(_SECRETS), "secretsmanager")


def _problems(given: Mapping[str, str], to: Sequence[str], topic: str) -> list[str]:
    problems = []
    if to and EMAIL_FROM not in given:
        problems.append(f"{EMAIL_TO} is set, and {EMAIL_FROM} is not")
    if EMAIL_FROM in given and not to:
        problems.append(f"{EMAIL_FROM} is set, and {EMAIL_TO} is not")
    if topic and not is_topic(topic):
        problems.append(f"{SNS_TOPIC} is {topic!r}, and must be the ARN of an SNS topic")
    if SLACK_CHANNEL in given and SLACK_SECRET not in given:
        problems.append(f"{SLACK_CHANNEL} is set, and {SLACK_SECRET} is not")
    problems += [
        f"{name} holds a secret itself, and must name one in Secrets Manager"
        for name in sorted(_SECRETS & {*given})
        if given[name].startswith(("http://", "https://", "xox"))
    ]
    if not problems and not given.keys() & {EMAIL_TO, SNS_TOPIC, *_SECRETS}:
        known = ", ".join([EMAIL_TO, SNS_TOPIC, *sorted(_SECRETS)])
        problems.append(f"no channel for alerts is named: set any of {known}")
    return problems


class _Unconfigured:
    """A placeholder for the channels until the environment is known."""

    name = "the channels of the deployment"

    def send(self, context: RunFailureSensorContext, remaining: Remaining) -> None:
        """Raise an error.

        Raises:
            SettingsError: always.
        """
        del remaining
        msg = f"Sensor {context.sensor_name} has no channels before it is configured by its environment."
        raise SettingsError(msg)
