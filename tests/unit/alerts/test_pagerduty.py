"""Alerts to PagerDuty: events of its Events API v2."""

import pytest

from tests.support.alerts import RUN_ID, Service, failed_context, shown
from treadle import DagsterInvalidDefinitionError, JobDefinition, RunFailureSensorDefinition
from treadle.definitions.errors import AlertError
from treadle.definitions.runs import StepFailure
from treadle.integrations.alerts.pagerduty import make_pagerduty_on_run_failure_sensor

KEY = "T0PSECRETT0PSECRETT0PSECRETT0PSE"


@pytest.fixture
def pager(service: Service) -> RunFailureSensorDefinition:
    """The sensor with its defaults, over a service that takes everything."""
    service.answer(202, '{"status": "success"}')
    return make_pagerduty_on_run_failure_sensor(KEY, base_url=service.url)


def test_incident_has_the_runs_id_as_its_key(service: Service, pager: RunFailureSensorDefinition) -> None:
    for _ in range(2):
        pager(failed_context(steps=(StepFailure("Load", "E", "why"),)))

    first, second = service.received
    assert first.path == "/v2/enqueue"
    assert first.body == second.body
    assert first.body == {
        "routing_key": KEY,
        "event_action": "trigger",
        "dedup_key": RUN_ID,
        "client": "Treadle",
        "payload": {
            "summary": "Job load failed: States.TaskFailed: disk full",
            "source": "123456789012/eu-central-1/demo",
            "severity": "error",
            "timestamp": "2026-11-25T06:00:00+00:00",
            "component": "load",
            "class": "run failure",
            "custom_details": {
                "job_name": "load",
                "run_id": RUN_ID,
                "attempt": 1,
                "external_id": None,
                "message": 'Execution of run for "load" failed. States.TaskFailed: disk full',
                "failed_steps": ['Execution of step "Load" failed. E: why'],
            },
        },
    }


def test_summary_is_one_line_that_pagerduty_takes(
    service: Service, pager: RunFailureSensorDefinition
) -> None:
    pager(failed_context(cause="a\nb\x00" + "x" * 5_000))

    summary = service.received[0].body["payload"]["summary"]
    assert (len(summary), summary[:44]) == (1_024, "Job load failed: States.TaskFailed: a b xxxx")


def test_functions_and_severity_are_used(service: Service) -> None:
    make_pagerduty_on_run_failure_sensor(
        KEY,
        "critical",
        lambda context: f"{context.run.job_name}!",
        lambda context: {"tags": dict(context.run.tags)},
        webserver_base_url="https://runs.example.com",
        base_url=service.url,
    )(failed_context(tags={"team": "data"}))

    [received] = service.received
    assert received.body["payload"]["summary"] == "load!"
    assert received.body["payload"]["severity"] == "critical"
    assert received.body["payload"]["custom_details"] == {"tags": {"team": "data"}}
    link = f"https://runs.example.com/runs/{RUN_ID}"
    assert (received.body["client_url"], received.body["links"]) == (
        link,
        [{"href": link, "text": "View run"}],
    )


def test_refusal_is_reported_without_the_key(service: Service) -> None:
    service.answer(400, f'{{"status": "invalid event", "errors": ["routing_key {KEY} is disabled"]}}')

    with pytest.raises(AlertError, match=r"PagerDuty answered 400: .*invalid event") as raised:
        make_pagerduty_on_run_failure_sensor(KEY, base_url=service.url)(failed_context())

    assert KEY not in shown(raised.value)


def test_definition() -> None:
    load = JobDefinition("load")

    sensor = make_pagerduty_on_run_failure_sensor(KEY, monitored_jobs=[load])

    assert (sensor.name, sensor.monitored_jobs) == ("pagerduty_on_run_failure", (load,))
    with pytest.raises(DagsterInvalidDefinitionError, match="severity is 'bad', and must be one of critical"):
        make_pagerduty_on_run_failure_sensor(KEY, "bad")
    with pytest.raises(AlertError, match="token or address is empty"):
        make_pagerduty_on_run_failure_sensor("")(failed_context())
