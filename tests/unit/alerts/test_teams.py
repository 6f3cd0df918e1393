"""Alerts to Teams: a card, with nothing in it that a run's text could turn into more than text."""

import inspect
import json
from typing import Any

import pytest

from tests.support.alerts import RUN_ID, Service, failed_context, shown
from treadle import DefaultSensorStatus, JobDefinition
from treadle.definitions.errors import AlertDelayedError, AlertError
from treadle.integrations.alerts.teams import make_teams_on_run_failure_sensor


def hook(service: Service) -> str:
    return f"{service.url}/workflows/T0P-SECRET"


def card(service: Service) -> dict[str, Any]:
    """Return the card that was sent."""
    [received] = service.received
    [attachment] = received.body["attachments"]
    assert (received.body["type"], attachment["contentType"]) == (
        "message",
        "application/vnd.microsoft.card.adaptive",
    )
    content: dict[str, Any] = attachment["content"]
    return content


def text(service: Service) -> str:
    [block] = card(service)["body"]
    return str(block["text"])


def test_default_card_reports_job_and_error(service: Service) -> None:
    service.answer(202)

    make_teams_on_run_failure_sensor(hook(service))(failed_context())

    assert text(service).replace("\\", "") == (
        'Job load failed!\n\nError: Execution of run for "load" failed. States.TaskFailed: disk full'
    )
    assert "actions" not in card(service)


def test_external_text_makes_no_link_and_no_emphasis(service: Service) -> None:
    make_teams_on_run_failure_sensor(hook(service))(
        failed_context("a_b", "[click](https://evil) *now* <at>you</at>")
    )

    assert "Job a\\_b failed\\!" not in text(service)
    assert "Job a\\_b failed!" in text(service)
    assert "\\[click\\]\\(https://evil\\) \\*now\\* \\<at\\>you\\</at\\>" in text(service)


def test_own_message_is_sent_as_it_is_and_cut_to_what_teams_takes(service: Service) -> None:
    make_teams_on_run_failure_sensor(hook(service), message_fn=lambda context: f"**{context.run.job_name}**")(
        failed_context()
    )
    assert text(service) == "**load**"

    service.received.clear()
    make_teams_on_run_failure_sensor(hook(service), lambda _context: "🚂" * 20_000)(failed_context())
    assert len(json.dumps(card(service), ensure_ascii=False).encode()) < 28_000
    assert text(service).endswith("🚂…")


def test_button_leads_to_the_run(service: Service) -> None:
    make_teams_on_run_failure_sensor(hook(service), webserver_base_url="https://runs.example.com")(
        failed_context()
    )

    [action] = card(service)["actions"]
    assert action == {
        "type": "Action.OpenUrl",
        "title": "View run",
        "url": f"https://runs.example.com/runs/{RUN_ID}",
    }


@pytest.mark.parametrize(("status", "kind"), [(429, AlertDelayedError), (413, AlertError)])
def test_older_webhook_that_says_200_to_what_came_no_further_is_no_success(
    service: Service, status: int, kind: type[AlertError]
) -> None:
    expected = "Webhook message delivery failed with error: Microsoft Teams endpoint returned HTTP error"
    service.answer(200, f"{expected} {status} for /workflows/T0P-SECRET")

    with pytest.raises(AlertError, match=f"HTTP error {status}") as raised:
        make_teams_on_run_failure_sensor(hook(service))(failed_context())

    assert type(raised.value) is kind
    assert "T0P" not in shown(raised.value)


def test_proxy_and_timeout_are_used(service: Service) -> None:
    through = make_teams_on_run_failure_sensor("http://teams.invalid/x", http_proxy=service.url)
    through(failed_context())
    assert [received.path for received in service.received] == ["http://teams.invalid/x"]

    service.answers = [None]
    with pytest.raises(AlertDelayedError, match="TimeoutError"):
        make_teams_on_run_failure_sensor(hook(service), timeout=0.2)(failed_context(seconds=1))


def test_definition_has_dagsters_arguments_and_defaults() -> None:
    parameters = inspect.signature(make_teams_on_run_failure_sensor).parameters
    load = JobDefinition("load")

    sensor = make_teams_on_run_failure_sensor("https://x", monitored_jobs=[load])

    assert list(parameters)[:-1] == [
        "hook_url",
        "message_fn",
        "http_proxy",
        "https_proxy",
        "timeout",
        "verify",
        "name",
        "dagit_base_url",
        "default_status",
        "monitored_jobs",
        "monitor_all_code_locations",
        "webserver_base_url",
        "monitor_all_repositories",
    ]
    assert (sensor.name, parameters["timeout"].default) == ("teams_on_run_failure", 60)
    assert (sensor.default_status, sensor.monitored_jobs) == (DefaultSensorStatus.STOPPED, (load,))
    with pytest.raises(AlertError, match="token or address is empty"):
        make_teams_on_run_failure_sensor("")(failed_context())
