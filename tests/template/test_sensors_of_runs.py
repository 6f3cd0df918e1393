"""Sensors that hear of runs: only what their code asks for reaches them, and they read what they may."""

from typing import Any

import pytest

from tests.template.model import definition, logical_prefix, read, references
from treadle.definitions.asset_sensor import AssetSensorDefinition
from treadle.definitions.coordination import AllSucceededDefinition
from treadle.definitions.run_status import RunStatusSensorDefinition
from treadle.engine.telling import RUN_STATUS_CHANGED, SOURCE
from treadle.ports.assets import ended_runs_key

template = read()
NAMES = list(template.evaluators())
OWN_NAMESPACE = template.section("Globals")["Function"]["Environment"]["Variables"]["TREADLE_NAMESPACE"]
NOTHING = {"Ref": "AWS::NoValue"}


def rule_of(name: str) -> dict[str, Any]:
    """The rule that brings a sensor what becomes of runs."""
    rule = template.resources("AWS::Events::Rule")[f"{logical_prefix(name)}Rule"]
    [target] = rule["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": [f"{logical_prefix(name)}Queue", "Arn"]}
    assert rule["EventBusName"] == {"Ref": "Bus"}
    assert (rule["EventPattern"]["source"], rule["EventPattern"]["detail-type"]) == (
        [SOURCE],
        [RUN_STATUS_CHANGED],
    )
    return rule


@pytest.mark.parametrize("name", NAMES)
def test_a_run_status_sensor_is_told_of_its_statuses_and_its_jobs_only(name: str) -> None:
    """A busy stack does not wake it; with an asterisk it hears of every stack."""
    sensor, prefix = definition(name), logical_prefix(name)
    if not isinstance(sensor, RunStatusSensorDefinition):
        return
    detail = rule_of(name)["EventPattern"]["detail"]
    conditions, jobs = template.section("Conditions"), {"Ref": f"{prefix}MonitoredJobs"}

    assert set(detail["status"]) == sensor.statuses
    assert detail["namespace"] == {"Fn::If": [f"{prefix}WatchesAll", NOTHING, [OWN_NAMESPACE]]}
    assert detail["job"] == {"Fn::If": [f"{prefix}WatchesAnyJob", NOTHING, {"Fn::Split": [",", jobs]}]}
    assert conditions[f"{prefix}WatchesAll"] == {"Fn::Equals": [jobs, "*"]}
    assert conditions[f"{prefix}WatchesAnyJob"] == {
        "Fn::Or": [{"Condition": f"{prefix}WatchesAll"}, {"Fn::Equals": [jobs, ""]}]
    }


@pytest.mark.parametrize("name", NAMES)
def test_a_sensor_that_waits_for_jobs_is_woken_by_and_reads_of_those_only(name: str) -> None:
    sensor, prefix = definition(name), logical_prefix(name)
    if not isinstance(sensor, AllSucceededDefinition):
        return
    detail = rule_of(name)["EventPattern"]["detail"]
    (ended,) = [s for s in template.allowed(f"{prefix}Role") if "EventsTable" in references(s["Resource"])]
    (denied,) = [
        s for role, s in template.statements() if (role, s["Sid"]) == (f"{prefix}Role", "NeverWithoutKey")
    ]

    assert detail == {"status": ["SUCCESS"], "namespace": [OWN_NAMESPACE], "job": list(sensor.upstream)}
    assert ended["Action"] == "dynamodb:Query"
    assert ended["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"] == [
        ended_runs_key(job) for job in sensor.upstream
    ]
    assert "dynamodb:Query" in denied["Action"]
    assert "EventsTable" in references(denied["Resource"])


@pytest.mark.parametrize("name", NAMES)
def test_only_sensors_that_hear_of_runs_or_assets_hear_of_the_bus(name: str) -> None:
    heard = {
        queue
        for rule in template.resources("AWS::Events::Rule").values()
        if rule.get("EventBusName") == {"Ref": "Bus"}
        for target in rule["Targets"]
        for queue in references(target["Arn"])
    }

    sensor = definition(name)
    hears = sensor.is_woken or isinstance(sensor, RunStatusSensorDefinition | AssetSensorDefinition)
    assert (f"{logical_prefix(name)}Queue" in heard) is hears
