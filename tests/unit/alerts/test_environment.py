"""A failure sensor whose channels come from its function's environment, and the one that is deployed."""

import importlib.util
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.sesv2.models import sesv2_backends

from tests.support.alerts import Service, failed_context, serving
from treadle import (
    DagsterRunStatus,
    JobDefinition,
    RunRequest,
    TickStatus,
    alert_from_environment,
    evaluator,
    sensor,
)
from treadle.adapters import alerts, clients
from treadle.definitions.errors import AlertError, SettingsError
from treadle.integrations.alerts.environment import ManyChannels, channels_of, secret_named
from treadle.integrations.alerts.secrets import Secret
from treadle.integrations.alerts.slack import SlackChannel
from treadle.integrations.alerts.webhook import WebhookChannel
from treadle.model.runs import Failure
from treadle.testing import TreadleInstance

APP = Path(__file__).parents[3] / "functions" / "sensors" / "failure_alert" / "app.py"
TOPIC = "arn:aws:sns:us-east-1:123456789012:alerts"
FAILURE = DagsterRunStatus.FAILURE
MAIL = {
    "TREADLE_ALERT_EMAIL_FROM": "data@example.com",
    "TREADLE_ALERT_EMAIL_TO": "a@example.com, b@example.com",
}


@sensor(job=JobDefinition("load"))
def upstream() -> RunRequest:
    """One run at each tick."""
    return RunRequest()


@pytest.fixture
def sent() -> Iterator[Callable[[], list[Any]]]:
    """Gives the mails that SES has taken."""
    with mock_aws():
        clients.forget()
        alerts._provider.cache_clear()
        boto3.client("sesv2").create_email_identity(EmailIdentity="example.com")
        yield lambda: list(sesv2_backends["123456789012"]["us-east-1"].core_backend.sent_messages)
        clients.forget()
        alerts._provider.cache_clear()


@pytest.fixture
def app() -> ModuleType:
    """The deployed function's module, as Lambda loads it."""
    spec = importlib.util.spec_from_file_location("failure_alert_app", APP)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def slack_and_webhook(slack: Service, webhook: Service) -> ManyChannels:
    return ManyChannels((SlackChannel("", f"{slack.url}/x"), WebhookChannel(webhook.url)))


class TestEnvironment:
    def test_each_variable_makes_its_channel(self) -> None:
        channels = channels_of(
            {
                **MAIL,
                "TREADLE_ALERT_SNS_TOPIC": TOPIC,
                "TREADLE_ALERT_SLACK_SECRET": "alerts#slack",
                "TREADLE_ALERT_SLACK_CHANNEL": "#data",
                "TREADLE_ALERT_TEAMS_SECRET": "teams",
                "TREADLE_ALERT_PAGERDUTY_SECRET": "pagerduty",
                "TREADLE_ALERT_WEBHOOK_SECRET": "webhook",
            }
        )

        assert [channel.name for channel in channels] == [
            "e-mail to a@example.com, b@example.com",
            "SNS (alerts)",
            "Slack (#data)",
            "Teams",
            "PagerDuty",
            "webhook",
        ]
        assert isinstance(channels[2], SlackChannel)
        assert channels[2].token == Secret.secrets_manager("alerts", "slack")

    def test_secret_is_named_with_or_without_a_field(self) -> None:
        assert secret_named("alerts/slack") == Secret.secrets_manager("alerts/slack")
        assert secret_named("alerts#slack") == Secret.secrets_manager("alerts", "slack")

    @pytest.mark.parametrize("value", ["", "  "])
    def test_empty_parameters_are_as_if_not_set(self, value: str) -> None:
        names = ("SNS_TOPIC", "SLACK_SECRET", "SLACK_CHANNEL", "TEAMS_SECRET", "BASE_URL")

        channels = channels_of({**MAIL, **{f"TREADLE_ALERT_{name}": value for name in names}})

        assert [channel.name for channel in channels] == ["e-mail to a@example.com, b@example.com"]

    def test_nothing_named_is_an_error_that_says_what_could_be(self) -> None:
        with pytest.raises(
            SettingsError, match=r"no channel for alerts is named: set any of TREADLE_ALERT_EMAIL_TO, "
        ):
            alert_from_environment("alert").configured({"TREADLE_ALERT_BASE_URL": "https://x"})

    def test_all_problems_are_reported_at_once(self) -> None:
        with pytest.raises(SettingsError) as raised:
            channels_of(
                {
                    "TREADLE_ALERT_EMAIL_TO": "a@example.com",
                    "TREADLE_ALERT_SNS_TOPIC": "alerts",
                    "TREADLE_ALERT_SLACK_CHANNEL": "#data",
                    "TREADLE_ALERT_WEBHOOK_SECRET": "https://T0P-SECRET",
                }
            )

        assert str(raised.value).split("; ") == [
            "TREADLE_ALERT_EMAIL_TO is set, and TREADLE_ALERT_EMAIL_FROM is not",
            "TREADLE_ALERT_SNS_TOPIC is 'alerts', and must be the ARN of an SNS topic",
            "TREADLE_ALERT_SLACK_CHANNEL is set, and TREADLE_ALERT_SLACK_SECRET is not",
            "TREADLE_ALERT_WEBHOOK_SECRET holds a secret itself, and must name one in Secrets Manager.",
        ]

    def test_function_says_what_its_environment_lacks_when_it_starts(self) -> None:
        handler = evaluator(alert_from_environment("alert"))

        class Context:
            function_name = aws_request_id = invoked_function_arn = "x"
            memory_limit_in_mb = 256

            def get_remaining_time_in_millis(self) -> int:
                return 1_000

        with pytest.raises(
            SettingsError, match=r"no channel for alerts is named: .*TREADLE_NAMESPACE is not set"
        ):
            handler({"Records": []}, Context())

    def test_sensor_that_is_not_configured_notifies_nobody(self) -> None:
        with pytest.raises(SettingsError, match="before it is configured"):
            alert_from_environment("alert")(failed_context())

    def test_options_last_through_configuration(self) -> None:
        load = JobDefinition("load")
        made = alert_from_environment("alert", monitored_jobs=[load], owners=["team:data"]).configured(
            {**MAIL, "TREADLE_NAMESPACE": "1/r/s"}
        )

        assert (made.name, made.monitored_jobs, made.owners) == ("alert", (load,), ["team:data"])
        assert made.location == "1/r/s"
        assert made.configured({**MAIL, "TREADLE_MONITORED_JOBS": "*"}).monitors_everything


class TestDeployed:
    def test_failed_run_is_reported_by_mail_once_and_noted_on_the_run(
        self, app: ModuleType, sent: Callable[[], list[Any]]
    ) -> None:
        instance = TreadleInstance([upstream, app.failure_alert], settings={"failure_alert": MAIL})
        run = instance.tick("upstream").runs[0]

        ended = instance.finish_run(run, FAILURE, Failure("States.TaskFailed", "disk <full>"))

        [mail] = sent()
        [tick] = instance.ticks("failure_alert")
        assert mail.subject == "Run failed: load"
        assert "States.TaskFailed: disk &lt;full&gt;" in mail.body
        assert mail.destinations["ToAddresses"] == ["a@example.com", "b@example.com"]
        assert tick.status is TickStatus.SUCCESS
        assert tick.log == ("INFO Alert sent by e-mail to a@example.com, b@example.com.",)
        assert [reaction.sensor for reaction in ended.run.reactions] == ["failure_alert"]

    def test_runs_that_succeed_or_will_be_retried_notify_nobody(
        self, app: ModuleType, sent: Callable[[], list[Any]]
    ) -> None:
        @sensor(job=JobDefinition("load"))
        def retried() -> RunRequest:
            return RunRequest(tags={"dagster/will_retry": "true"})

        instance = TreadleInstance([upstream, retried, app.failure_alert], settings={"failure_alert": MAIL})
        instance.tick("upstream")
        instance.tick("retried")
        [succeeds] = instance.runs(lambda run: run.sensor == "upstream")
        [fails] = instance.runs(lambda run: run.sensor == "retried")
        instance.finish_run(succeeds)
        instance.finish_run(fails, FAILURE)

        [tick] = instance.ticks("failure_alert")
        assert sent() == []
        assert (tick.reason or "").endswith("of load: alert_if returned False.")

    def test_secret_of_the_deployment_is_read_and_shown_in_no_tick(
        self, app: ModuleType, service: Service, sent: Callable[[], list[Any]]
    ) -> None:
        service.answer(404, "no such hook: /services/T0P-SECRET")
        boto3.client("secretsmanager").create_secret(
            Name="alerts", SecretString=json.dumps({"slack": f"{service.url}/services/T0P-SECRET"})
        )
        settings = {"TREADLE_ALERT_SLACK_SECRET": "alerts#slack"}
        instance = TreadleInstance([upstream, app.failure_alert], settings={"failure_alert": settings})

        instance.finish_run(instance.tick("upstream").runs[0], FAILURE)

        [tick] = instance.ticks("failure_alert")
        assert [received.path for received in service.received] == ["/services/T0P-SECRET"]
        assert tick.error is not None
        assert "Slack answered 404: no such hook: ***" in tick.error.message
        assert "T0P" not in repr(tick)

    def test_app_is_short(self) -> None:
        assert len(APP.read_text().splitlines()) <= 60


class TestSeveralChannels:
    def test_channel_that_fails_keeps_it_from_no_other_and_is_alone_reported_again(
        self, service: Service
    ) -> None:
        with serving() as broken:
            broken.answer(403, "revoked")
            channels = slack_and_webhook(broken, service)
            expected = "1 of 2 channels .* tried again: Slack: Slack answered 403: revoked"

            for _ in range(2):
                with pytest.raises(AlertError, match=expected) as raised:
                    channels.send(failed_context(), lambda: 20.0)
                assert raised.value.retryable
            broken.answers.clear()
            channels.send(failed_context(), lambda: 20.0)

        assert (len(broken.received), len(service.received)) == (3, 1)

    def test_another_failure_is_reported_to_all(self, service: Service) -> None:
        channels = slack_and_webhook(service, service)

        for _ in range(2):
            channels.send(failed_context(), lambda: 20.0)

        assert len(service.received) == 4

    def test_channel_that_hangs_leaves_the_others_their_time(self, service: Service) -> None:
        with serving() as hanging:
            hanging.answers = [None]
            context = failed_context(seconds=2)

            with pytest.raises(AlertError, match="1 of 2 channels"):
                slack_and_webhook(hanging, service).send(context, lambda: context.remaining_seconds)

        assert len(service.received) == 1
        assert context.remaining_seconds > 0

    def test_any_error_that_one_meets_is_reported_without_its_message(self, service: Service) -> None:
        class Odd:
            name = "odd"

            def send(self, *_: object) -> None:
                raise KeyError("T0P-SECRET")

        channels = ManyChannels((Odd(), WebhookChannel(service.url)))

        with pytest.raises(AlertError, match="odd: KeyError") as raised:
            channels.send(failed_context(), lambda: 20.0)

        assert "T0P" not in str(raised.value)
        assert len(service.received) == 1
