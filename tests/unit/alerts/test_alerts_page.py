"""docs/guide/alerts.md: its examples are sensors, its JSON is what is posted, its numbers are the code's."""

import json
import re
from pathlib import Path
from types import ModuleType

import pytest

import treadle
from tests.support.alerts import Service, failed_context
from treadle import DagsterRunStatus, JobDefinition, RunRequest, TickStatus, run_status_sensor, sensor
from treadle.definitions.run_status import RunFailureSensorDefinition
from treadle.definitions.runs import StepFailure
from treadle.entrypoints.handler import RETRY_SECONDS
from treadle.integrations.alerts import environment, http
from treadle.integrations.alerts.slack import make_slack_on_run_failure_sensor
from treadle.integrations.alerts.webhook import make_webhook_on_run_failure_sensor
from treadle.testing import TreadleInstance

PAGE = (Path(__file__).parents[3] / "docs" / "guide" / "alerts.md").read_text()
BLOCKS = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


def run(block: str) -> ModuleType:
    module = ModuleType("app")
    exec(block, module.__dict__)
    return module


@pytest.mark.parametrize("block", BLOCKS)
def test_example_makes_a_run_failure_sensor(block: str) -> None:
    made = [value for value in vars(run(block)).values() if isinstance(value, RunFailureSensorDefinition)]

    assert len(made) == 1


def test_json_of_the_page_is_what_a_webhook_is_sent(service: Service) -> None:
    [shown] = re.findall(r"^```json\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    expected = json.loads(shown)
    step = StepFailure("Load", "States.TaskFailed", "disk full")

    make_webhook_on_run_failure_sensor(service.url)(
        failed_context(tags={"team": "data"}, external_id=expected["run"]["external_id"], steps=(step,))
    )

    assert service.received[0].body == expected


def test_slack_message_of_the_page_is_the_default(service: Service) -> None:
    make_slack_on_run_failure_sensor("#a", "xoxb", base_url=service.url)(failed_context())

    quoted = [line[2:] for line in PAGE.splitlines() if line.startswith("> ")]
    texts = [block["text"]["text"] for block in service.received[0].body["blocks"]]
    assert [re.sub(r"\*\*", "*", line) for line in quoted] == [text.replace("```", "`") for text in texts]


def test_each_variable_and_factory_is_on_the_page_and_no_other() -> None:
    variables = {value for value in vars(environment).values() if str(value).startswith("TREADLE_ALERT_")}
    factories = {name for name in treadle.__all__ if name.endswith("_on_run_failure_sensor")}

    assert set(re.findall(r"`(TREADLE_\w+)`", PAGE)) == variables
    assert set(re.findall(r"^\| `(make_\w+)`", PAGE, flags=re.MULTILINE)) == factories


def test_numbers_are_those_of_the_code() -> None:
    assert (http.CONNECT_SECONDS, http.READ_SECONDS, http.TRIES) == (3, 10, 4)
    assert RETRY_SECONDS == (30, 2 * 60, 8 * 60, 30 * 60)


def test_slack_factory_uses_the_given_name_and_is_deployed_like_any_sensor() -> None:
    alert = make_slack_on_run_failure_sensor(channel="#foo", slack_token="fake", name="my_failure_sensor")

    instance = TreadleInstance([alert])

    assert instance.ticks("my_failure_sensor") == []


def test_email_slack_and_own_success_sensors_are_deployed_side_by_side(service: Service) -> None:
    load = JobDefinition("load")
    seen: list[str] = []

    @sensor(job=load)
    def upstream() -> RunRequest:
        return RunRequest()

    @run_status_sensor(DagsterRunStatus.SUCCESS, monitored_jobs=[load])
    def on_success(context: treadle.RunStatusSensorContext) -> None:
        seen.append(context.dagster_run.job_name)

    slack = make_slack_on_run_failure_sensor("#foo", "fake", base_url=service.url)
    mail = treadle.make_email_on_run_failure_sensor(
        "no-reply@example.com", None, ["x@example.com"], smtp_host="localhost", smtp_port=9
    )
    instance = TreadleInstance([upstream, slack, mail, on_success])
    instance.finish_run(instance.tick("upstream").runs[0])
    assert (seen, service.received) == (["load"], [])

    instance.finish_run(instance.tick("upstream").runs[0], DagsterRunStatus.FAILURE)
    [acted] = instance.ticks("slack_on_run_failure")
    [failed] = instance.ticks("email_on_run_failure")

    assert (acted.status, len(service.received)) == (TickStatus.SUCCESS, 1)
    assert failed.status is TickStatus.FAILURE
