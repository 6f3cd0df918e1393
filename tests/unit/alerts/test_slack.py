"""Alerts to Slack: Dagster's text and arguments, escaped and limited as Slack requires."""

import inspect
from typing import Any

import pytest

from tests.support.alerts import RUN_ID, Service, failed_context, shown
from treadle import (
    DagsterInvalidDefinitionError,
    DefaultSensorStatus,
    JobDefinition,
    RunFailureSensorContext,
    RunFailureSensorDefinition,
    SkipReason,
)
from treadle.definitions.errors import AlertDelayedError, AlertError
from treadle.integrations.alerts.channels import unless_retried
from treadle.integrations.alerts.slack import make_slack_on_run_failure_sensor

TOKEN = "xoxb-T0P-SECRET"
ARN = "arn:aws:states:eu-central-1:123456789012:execution:load:5b1f0a52-1"
load = JobDefinition("load")


def slack(service: Service, **options: Any) -> RunFailureSensorDefinition:
    return make_slack_on_run_failure_sensor(
        "#alerts",
        TOKEN,
        base_url=f"{service.url}/api/",
        default_status=DefaultSensorStatus.RUNNING,
        **options,
    )


def sections(service: Service) -> list[str]:
    """Return the texts of the message that was sent."""
    [received] = service.received
    return [block["text"]["text"] for block in received.body["blocks"] if block["type"] == "section"]


class TestMessage:
    def test_default_is_dagsters_header_and_body(self, service: Service) -> None:
        slack(service)(failed_context())

        [received] = service.received
        body = 'Error: ```Execution of run for "load" failed. States.TaskFailed: disk full```'
        assert received.path == "/api/chat.postMessage"
        assert received.headers["Authorization"] == f"Bearer {TOKEN}"
        assert (received.body["channel"], received.body["text"]) == ("#alerts", body)
        assert sections(service) == ['*Job "load" failed. `5b1f0a52`*', body]

    def test_text_function_makes_the_body_and_blocks_function_all_blocks(self, service: Service) -> None:
        def text(context: RunFailureSensorContext) -> str:
            return f"*{context.dagster_run.job_name}* <!here>"

        slack(service, text_fn=text)(failed_context())
        block = {"type": "divider"}
        slack(service, text_fn=text, blocks_fn=lambda _context: [block])(failed_context())

        first, second = (received.body for received in service.received)
        assert first["blocks"][1]["text"]["text"] == "*load* <!here>"
        assert (second["text"], second["blocks"]) == ("*load* <!here>", [block])

    def test_names_and_causes_cannot_mention_anybody_nor_leave_the_fence(self, service: Service) -> None:
        cause = "<!channel> & <https://evil|ok> ``` *bold*"

        slack(service)(failed_context("a*`<!here>`*\nb", cause))

        header, body = sections(service)
        assert header == "*Job \"a'&lt;!here&gt;' b\" failed. `5b1f0a52`*"
        assert body.endswith("&lt;!channel&gt; &amp; &lt;https://evil|ok&gt; ''' *bold*```")
        assert body.count("```") == 2

    @pytest.mark.parametrize("sign", ["x", "&", "🚂", "\ud800"])
    def test_long_cause_is_cut_to_what_a_block_holds(self, service: Service, sign: str) -> None:
        slack(service)(failed_context(cause=sign * 9_000))

        body = sections(service)[1]
        assert 2_890 <= len(body) <= 3_000
        assert body.endswith("…```")
        assert not body.replace("&amp;", "").count("&")

    def test_own_text_is_cut_as_well(self, service: Service) -> None:
        slack(service, text_fn=lambda _context: "y" * 9_000)(failed_context())

        assert len(sections(service)[1]) == 3_000

    def test_button_leads_to_the_run_under_the_given_address(self, service: Service) -> None:
        slack(service, webserver_base_url="https://runs.example.com/")(failed_context(external_id=ARN))

        [button] = service.received[0].body["blocks"][-1]["elements"]
        assert button["url"] == f"https://runs.example.com/runs/{RUN_ID}"
        assert button["text"] == {"type": "plain_text", "text": "View run"}

    @pytest.mark.parametrize(
        ("partition", "host"),
        [("aws", "eu-central-1.console.aws.amazon.com"), ("aws-cn", "console.amazonaws.cn")],
    )
    def test_button_leads_to_an_execution_in_the_console(
        self, service: Service, partition: str, host: str
    ) -> None:
        arn = ARN.replace("arn:aws:", f"arn:{partition}:")

        slack(service)(failed_context(external_id=arn))

        [button] = service.received[0].body["blocks"][-1]["elements"]
        path = f"/states/home?region=eu-central-1#/v2/executions/details/{arn}"
        assert button["url"] == f"https://{host}{path}"

    def test_button_leads_to_an_execution_of_any_target(self, service: Service) -> None:
        glue = "arn:aws:glue:eu-central-1:123456789012:job/load"

        slack(service)(failed_context(external_id=f"{glue}/jr_0123456789"))

        [button] = service.received[0].body["blocks"][-1]["elements"]
        assert button["url"].endswith("/gluestudio/home?region=eu-central-1#/job/load/run/jr_0123456789")

    def test_execution_without_address_has_no_button(self, service: Service) -> None:
        slack(service)(failed_context(external_id="jr_0123456789"))

        assert [block["type"] for block in service.received[0].body["blocks"]] == ["section", "section"]

    def test_incoming_webhook_takes_the_place_of_a_token(self, service: Service) -> None:
        service.answer(200, "ok")
        hook = make_slack_on_run_failure_sensor("", f"{service.url}/services/T/B/x")

        hook(failed_context())

        [received] = service.received
        assert (received.path, "channel" in received.body) == ("/services/T/B/x", False)
        assert "Authorization" not in received.headers


class TestRefusals:
    def test_refusal_inside_an_answer_of_200_fails_the_tick_with_slacks_message(
        self, service: Service
    ) -> None:
        service.answer(200, '{"ok": false, "error": "missing_scope", "needed": "chat:write"}')

        with pytest.raises(
            AlertError, match=r"Slack \(#alerts\) refused the message: missing_scope, needed: chat:write"
        ) as raised:
            slack(service)(failed_context())

        assert (raised.value.retryable, TOKEN in shown(raised.value)) == (False, False)

    def test_slack_that_is_ill_is_worth_another_try(self, service: Service) -> None:
        service.answer(200, '{"ok": false, "error": "internal_error"}')

        with pytest.raises(AlertDelayedError, match="internal_error"):
            slack(service)(failed_context())

    def test_token_without_channel_cannot_work(self, service: Service) -> None:
        with pytest.raises(AlertError, match="needs a channel"):
            make_slack_on_run_failure_sensor("", TOKEN, base_url=service.url)(failed_context())

    @pytest.mark.parametrize("answer", ["<html>", "[]", "{}"])
    def test_answer_of_something_else_is_no_success(self, service: Service, answer: str) -> None:
        service.answer(200, answer)

        with pytest.raises(AlertError, match="not JSON with ok"):
            slack(service)(failed_context())


class TestFilter:
    def test_run_that_is_not_worth_an_alert_is_skipped_with_a_reason(self, service: Service) -> None:
        sensor = slack(service, alert_if=lambda context: context.dagster_run.job_name != "load")

        skip = sensor(failed_context())
        sensor(failed_context("clean"))

        assert isinstance(skip, SkipReason)
        assert skip.skip_message == f"No alert for run {RUN_ID} of load: alert_if returned False."
        assert [received.body["blocks"][0]["text"]["text"][:12] for received in service.received] == [
            '*Job "clean"'
        ]

    @pytest.mark.parametrize(("tag", "sent"), [("true", 0), ("false", 1), (None, 1)])
    def test_run_that_will_be_retried_can_be_left_out(
        self, service: Service, tag: str | None, sent: int
    ) -> None:
        tags = {"dagster/will_retry": tag} if tag else {}

        slack(service, alert_if=unless_retried)(failed_context(tags=tags))

        assert len(service.received) == sent


class TestDefinition:
    def test_given_name_is_used(self) -> None:
        sensor = make_slack_on_run_failure_sensor("#foo", "fake_token", name="my_failure_sensor")

        assert (sensor.name, sensor.sensor_type.value) == ("my_failure_sensor", "RUN_STATUS")
        assert sensor.statuses == {"FAILURE"}

    def test_default_name_and_options_are_dagsters(self) -> None:
        sensor = make_slack_on_run_failure_sensor(channel="#foo", slack_token="fake_token")

        assert (sensor.name, sensor.default_status.value) == ("slack_on_run_failure", "STOPPED")
        assert (sensor.monitors_everything, sensor.monitored_jobs, sensor.has_jobs) == (False, (), False)
        assert sensor.description == "Reports each failed run by Slack (#foo)."

    def test_options_are_handed_on_under_old_names_too(self) -> None:
        by_new = slack(Service(), monitored_jobs=[load], minimum_interval_seconds=30)
        by_old = slack(Service(), job_selection=[load])
        everywhere = slack(Service(), monitor_all_repositories=True)

        assert by_new.monitored_jobs == by_old.monitored_jobs == (load,)
        assert (by_new.minimum_interval_seconds, everywhere.monitors_everything) == (30, True)
        assert by_new.default_status is DefaultSensorStatus.RUNNING

    def test_arguments_stand_in_dagsters_order(self) -> None:
        parameters = inspect.signature(make_slack_on_run_failure_sensor).parameters.values()
        by_place = [each.name for each in parameters if each.kind is each.POSITIONAL_OR_KEYWORD]

        assert by_place == [
            "channel",
            "slack_token",
            "text_fn",
            "blocks_fn",
            "name",
            "dagit_base_url",
            "minimum_interval_seconds",
            "monitored_jobs",
            "job_selection",
            "monitor_all_code_locations",
            "default_status",
            "webserver_base_url",
            "monitor_all_repositories",
        ]

    @pytest.mark.parametrize(
        "options",
        [
            {"monitored_jobs": [load], "job_selection": [load]},
            {"webserver_base_url": "https://a", "dagit_base_url": "https://b"},
            {"monitored_jobs": [load], "monitor_all_code_locations": True},
        ],
    )
    def test_what_cannot_both_be_given_is_refused(self, options: dict[str, Any]) -> None:
        with pytest.raises(DagsterInvalidDefinitionError, match="Cannot specify both"):
            slack(Service(), **options)

    @pytest.mark.parametrize("token", ["", " ", None])
    def test_empty_token_fails_the_alert_and_not_the_import(self, token: str | None) -> None:
        alert = make_slack_on_run_failure_sensor("#foo", token)

        with pytest.raises(AlertError, match="token or address is empty"):
            alert(failed_context())
