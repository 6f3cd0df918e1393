"""Alerts to an address of one's own: the documented JSON, and headers that may be secrets."""

import json

import pytest

from tests.support.alerts import RUN_ID, Service, failed_context, shown
from treadle import DagsterInvalidDefinitionError, JobDefinition
from treadle.definitions.errors import AlertError
from treadle.definitions.runs import StepFailure
from treadle.integrations.alerts.webhook import make_webhook_on_run_failure_sensor

BEARER = "Bearer T0P-SECRET"
ARN = "arn:aws:states:eu-central-1:123456789012:execution:load:5b1f0a52-1"


def test_documented_form_is_posted(service: Service) -> None:
    service.answer(204)
    context = failed_context(
        tags={"team": "data"}, external_id=ARN, steps=(StepFailure("Load", "E", "why <b>"),)
    )

    make_webhook_on_run_failure_sensor(f"{service.url}/hook")(context)

    [received] = service.received
    assert received.headers["Idempotency-Key"] == received.body["id"]
    assert received.body == {
        "version": 1,
        "type": "run_failure",
        "id": f"{RUN_ID}-1795586400000",
        "time": "2026-11-25T06:00:00+00:00",
        "message": 'Execution of run for "load" failed. States.TaskFailed: disk full',
        "run": {
            "run_id": RUN_ID,
            "job_name": "load",
            "status": "FAILURE",
            "attempt": 1,
            "run_key": None,
            "sensor_name": None,
            "external_id": ARN,
            "location": "123456789012/eu-central-1/demo",
            "tags": {"team": "data"},
        },
        "failure": {
            "error": "States.TaskFailed",
            "cause": "disk full",
            "steps": [{"step_key": "Load", "error": "E", "cause": "why <b>"}],
        },
        "link": "https://eu-central-1.console.aws.amazon.com/states/home?region=eu-central-1"
        f"#/v2/executions/details/{ARN}",
    }


def test_what_no_text_may_hold_is_replaced(service: Service) -> None:
    make_webhook_on_run_failure_sensor(service.url)(failed_context(cause="half a \ud83d sign"))

    assert service.received[0].body["failure"]["cause"] == "half a ? sign"


def test_payload_and_headers_are_ones_own(service: Service) -> None:
    make_webhook_on_run_failure_sensor(
        service.url, lambda context: {"text": context.run.job_name}, {"Authorization": BEARER}
    )(failed_context())

    [received] = service.received
    assert (received.body, received.headers["Authorization"]) == ({"text": "load"}, BEARER)


def test_header_is_in_no_error(service: Service) -> None:
    service.answer(401, json.dumps({"got": BEARER}))
    sensor = make_webhook_on_run_failure_sensor(service.url, headers={"Authorization": BEARER})

    with pytest.raises(AlertError, match=r'webhook answered 401: \{"got": "\*\*\*"\}') as raised:
        sensor(failed_context())

    assert "T0P" not in shown(raised.value)


def test_definition() -> None:
    load = JobDefinition("load")

    sensor = make_webhook_on_run_failure_sensor("https://x", monitored_jobs=[load])

    assert (sensor.name, sensor.monitored_jobs) == ("webhook_on_run_failure", (load,))
    with pytest.raises(DagsterInvalidDefinitionError, match="url must not be empty"):
        make_webhook_on_run_failure_sensor("")
