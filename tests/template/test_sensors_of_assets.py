"""Sensors over assets: only materializations of their assets reach them, and they read of no others."""

from typing import Any

import pytest

from tests.template.model import definition, logical_prefix, read, references
from treadle.definitions.asset_coordination import AssetsUpdatedDefinition
from treadle.definitions.asset_sensor import AssetSensorDefinition
from treadle.definitions.multi_asset_sensor import MultiAssetSensorDefinition
from treadle.engine.telling import ASSET_MATERIALIZED, SOURCE

template = read()
NAMES = list(template.evaluators())
OWN_NAMESPACE = template.section("Globals")["Function"]["Environment"]["Variables"]["TREADLE_NAMESPACE"]


def assets_of(name: str) -> list[str]:
    """The assets that a sensor's code names."""
    sensor = definition(name)
    if isinstance(sensor, AssetSensorDefinition):
        return [sensor.asset_key.to_user_string()]
    if isinstance(sensor, MultiAssetSensorDefinition | AssetsUpdatedDefinition):
        return [key.to_user_string() for key in sensor.monitored_assets]
    return []


@pytest.mark.parametrize("name", NAMES)
def test_a_sensor_over_assets_is_told_of_those_only(name: str) -> None:
    """Of its own stack's bus: another stack's materializations are told there as they are recorded."""
    assets, prefix = assets_of(name), logical_prefix(name)
    if not assets:
        return
    rule = template.resources("AWS::Events::Rule")[f"{prefix}Rule"]

    assert rule["EventBusName"] == {"Ref": "Bus"}
    assert rule["EventPattern"] == {
        "source": [SOURCE],
        "detail-type": [ASSET_MATERIALIZED],
        "detail": {"namespace": [OWN_NAMESPACE], "asset_key": assets},
    }
    assert [target["Arn"] for target in rule["Targets"]] == [{"Fn::GetAtt": [f"{prefix}Queue", "Arn"]}]


@pytest.mark.parametrize("name", NAMES)
def test_a_sensor_over_assets_reads_of_those_only(name: str) -> None:
    assets, role = assets_of(name), f"{logical_prefix(name)}Role"
    if not assets:
        return
    (granted,) = [s for s in template.allowed(role) if "EventsTable" in references(s["Resource"])]
    (denied,) = [s for of, s in template.statements() if (of, s["Sid"]) == (role, "NeverWithoutKey")]

    assert granted["Action"] == ["dynamodb:Query", "dynamodb:BatchGetItem"]
    assert leading_keys(granted) == assets
    assert set(granted["Action"]) <= set(denied["Action"])
    assert "EventsTable" in references(denied["Resource"])


@pytest.mark.parametrize("name", NAMES)
def test_a_sensor_over_nothing_that_is_numbered_reads_no_events(name: str) -> None:
    if definition(name).is_woken or assets_of(name):
        return

    granted = template.allowed(f"{logical_prefix(name)}Role")
    assert [s for s in granted if "EventsTable" in references(s["Resource"])] == []


def leading_keys(statement: dict[str, Any]) -> Any:
    """Of which items a statement is."""
    return statement["Condition"]["ForAllValues:StringEquals"]["dynamodb:LeadingKeys"]
