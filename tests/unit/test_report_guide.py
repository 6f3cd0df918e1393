"""docs/guide/report-assets.md: its code runs, and its state machine reports what RECORD reads."""

import json
import re
from pathlib import Path
from types import ModuleType
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.template.model import read
from treadle import AssetKey, AssetMaterialization, AssetObservation, SensorDefinition
from treadle.adapters import clients
from treadle.adapters.asset_reports import parse_asset_event
from treadle.engine.assets.asset_recorder import MAX_EVENT_ID, AssetReport
from treadle.engine.tick.planning import MAX_ASSET_EVENTS
from treadle.testing import TreadleInstance

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "report-assets.md").read_text()
JOB, SENSOR, OBSERVER = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
[MACHINE] = (json.loads(block) for block in re.findall(r"```json\n(.*?)```", PAGE, flags=re.DOTALL))
LAUNCH_ID = "6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e-1"
CONTEXT = {"Execution.Name": LAUNCH_ID}


def resolved(value: Any, given: Any) -> Any:
    """Return a task's parameters as Step Functions fills them in."""
    if isinstance(value, list):
        return [resolved(each, given) for each in value]
    if not isinstance(value, dict):
        return value
    return {
        name.removesuffix(".$"): _path(each, given) if name.endswith(".$") else resolved(each, given)
        for name, each in value.items()
    }


def _path(path: str, given: Any) -> Any:
    if path.startswith("$$."):
        return CONTEXT[path[3:]]
    if path.startswith("States.Format("):
        text, *paths = re.findall(r"[^,()]+", path.removeprefix("States.Format"))
        return text.strip("'").format(*(_path(each.strip(), given) for each in paths))
    for name in path.removeprefix("$.").split("."):
        given = given[name]
    return given


def reported(state: dict[str, Any], given: Any) -> AssetReport:
    """Return what RECORD reads of a task that puts one event on the bus."""
    assert state["Resource"].endswith(":states:::events:putEvents")
    [entry] = resolved(state["Parameters"], given)["Entries"]
    event = {
        "id": "315c1398-40ff-a850-213b-158f73e60286",
        "source": entry["Source"],
        "detail-type": entry["DetailType"],
        "time": "2026-11-22T12:00:09Z",
        "account": "123456789012",
        "region": "us-east-1",
        "detail": entry["Detail"],
    }
    parsed = parse_asset_event(event)
    assert isinstance(parsed, AssetReport)
    return parsed


def test_the_state_machine_reports_under_its_launch_id() -> None:
    given = {"run_config": {"day": "2026-11-22"}, "loaded": {"rows": 3}}

    report = reported(MACHINE["States"]["Report"], given)

    assert report.reported.asset_key == AssetKey(["tables", "orders"])
    assert report.reported.plain_metadata == {"rows": 3}
    assert (report.reported.partition, report.event_id, report.run_id) == (
        "2026-11-22",
        LAUNCH_ID,
        LAUNCH_ID,
    )


def test_the_state_machine_is_one() -> None:
    with mock_aws():
        machine = boto3.client("stepfunctions", region_name="us-east-1").create_state_machine(
            name="load", definition=json.dumps(MACHINE), roleArn="arn:aws:iam::123456789012:role/load"
        )

    assert machine["stateMachineArn"]


def test_the_examples_state_machine_reports_its_summary() -> None:
    """And ends with the summary's place, as it did before."""
    machines = read().resources("AWS::Serverless::StateMachine")
    states = machines["Summarize"]["Definition"]["States"]
    made = {"bucket": "raw", "key": "summaries/a.csv/summary.json", "rows": 3, "bytes": 70}
    given = {"run_config": {"key": "in/a.csv"}, "result": {"Payload": made}}

    report = reported(states["Report"], given)

    assert (states["Summarize"]["Next"], states["Summarize"]["ResultPath"]) == ("Report", "$.result")
    assert (states["Report"]["ResultPath"], states["Report"]["OutputPath"]) == (
        "$.report",
        "$.result.Payload",
    )
    assert report.reported.asset_key == AssetKey("summaries")
    assert report.reported.partition == "in/a.csv"
    assert report.reported.plain_metadata == {
        "rows": 3,
        "bytes": 70,
        "summary": "s3://raw/summaries/a.csv/summary.json",
    }
    assert report.run_id == report.event_id == LAUNCH_ID


def reports_of(code: str, monkeypatch: pytest.MonkeyPatch, **names: Any) -> list[AssetReport]:
    """Return what RECORD reads if the code of the page runs twice."""
    module = ModuleType("app")
    exec(code, module.__dict__)
    module.__dict__.update(names)
    monkeypatch.setenv("TREADLE_BUS_NAME", "treadle")
    with mock_aws():
        clients.forget()
        url = bus_queue()
        for _ in range(2):
            module.__dict__["handler"]({"launch_id": LAUNCH_ID, "run_config": {"day": "2026-11-22"}}, None)
        messages = boto3.client("sqs").receive_message(QueueUrl=url, MaxNumberOfMessages=10)["Messages"]
        clients.forget()

    events = [json.loads(message["Body"]) for message in messages]
    reports = [parse_asset_event({**event, "account": "1", "region": "r"}) for event in events]
    assert len(reports) == 2
    return [each for each in reports if isinstance(each, AssetReport)]


def test_the_job_reports_under_its_launch_id_however_often_it_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = reports_of(JOB, monkeypatch, load=lambda _: 3)

    assert (first.event_id, second.event_id, first.run_id) == (LAUNCH_ID, LAUNCH_ID, LAUNCH_ID)
    assert first.reported == second.reported
    assert first.reported == AssetMaterialization(["tables", "orders"], None, {"rows": 3}, "2026-11-22")


def test_the_observer_reports_under_its_launch_id_however_often_it_runs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    first, second = reports_of(OBSERVER, monkeypatch, count_rows=lambda: 3)

    assert (first.event_id, second.event_id) == (LAUNCH_ID, LAUNCH_ID)
    assert first.reported == second.reported == AssetObservation(["vendor", "prices"], metadata={"rows": 3})


def bus_queue() -> str:
    """URL of a queue that receives everything on a bus."""
    sqs, events = boto3.client("sqs"), boto3.client("events")
    url: str = sqs.create_queue(QueueName="bus")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    events.create_event_bus(Name="treadle")
    events.put_rule(Name="all", EventBusName="treadle", EventPattern='{"source": ["treadle.report"]}')
    events.put_targets(Rule="all", EventBusName="treadle", Targets=[{"Id": "bus", "Arn": arn}])
    return url


def test_the_sensor_reports_each_day_once() -> None:
    module = ModuleType("app")
    exec(SENSOR, module.__dict__)
    days = ["2026-11-21", "2026-11-21", "2026-11-22"]
    module.__dict__["latest_day"] = lambda: days.pop(0)
    [definition] = [each for each in vars(module).values() if isinstance(each, SensorDefinition)]
    instance = TreadleInstance([definition])

    decisions = [instance.tick(definition.name).outcome.decision.value for _ in range(3)]

    assert decisions == ["SUCCESS", "SKIPPED", "SUCCESS"]
    kept = instance._tables.events["vendor/prices"]
    assert [(each.storage_id, json.loads(each.body)["partition"]) for each in kept] == [
        (1, "2026-11-21"),
        (2, "2026-11-22"),
    ]


def test_numbers_of_the_page_are_the_codes() -> None:
    assert f"A tick may have {MAX_ASSET_EVENTS} of them" in PAGE
    assert MAX_EVENT_ID == 512
