"""What `treadle doctor` asks IAM about is what the roles of the template need, with all that their policies look at."""

from typing import Any

import pytest

from tests.template.model import logical_prefix, read
from treadle.adapters.dynamodb.runs import CLAIM_ATTRIBUTES
from treadle.adapters.health.permissions import Need, needs
from treadle.adapters.stack import DeployedStack
from treadle.definitions.status import DefaultSensorStatus
from treadle.ports.deployment import DeployedSensor

template = read()
RESOURCES = template.section("Resources")
TABLES = {
    f"TREADLE_{table}_TABLE": f"{table.title()}Table" for table in ("SENSORS", "TICKS", "RUNS", "EVENTS")
}
STACK = DeployedStack(
    "shop",
    "arn:aws:cloudformation:us-east-1:123456789012:stack/shop/1",
    {name: name for name in RESOURCES},
    {name: body["Type"] for name, body in RESOURCES.items()},
    {
        name: f"https://sqs/123456789012/{name}"
        for name, body in RESOURCES.items()
        if body["Type"] == "AWS::SQS::Queue"
    },
    TABLES,
)
EVALUATORS = template.evaluators()


def needed() -> list[Need]:
    """Everything that the doctor asks about."""
    sensors = [DeployedSensor(name, "s3", "", (), DefaultSensorStatus.RUNNING) for name in EVALUATORS]
    return list(needs(STACK, sensors, {name: logical_prefix(name) for name in EVALUATORS}, []))


def attribute_lists() -> list[list[str]]:
    """The attributes of runs that each evaluator may read, as the policies list them."""
    found: list[list[str]] = []
    for _, statement in template.statements():
        conditions: dict[str, Any] = statement.get("Condition", {})
        allowed = conditions.get("ForAllValues:StringEquals", {})
        if "dynamodb:Attributes" in allowed:
            found.append(allowed["dynamodb:Attributes"])
    return found


def test_policies_let_evaluators_read_exactly_the_attributes_that_the_store_reads() -> None:
    """One that is missing would deny every look; one too many would show more of a run than is needed."""
    lists = attribute_lists()

    assert lists
    assert all(each == list(CLAIM_ATTRIBUTES) for each in lists)


@pytest.mark.parametrize("sensor", EVALUATORS)
def test_doctor_asks_about_the_attributes_that_the_store_reads(sensor: str) -> None:
    [asked] = [
        need.context["dynamodb:Attributes"]
        for need in needed()
        if need.role == f"{logical_prefix(sensor)}Role" and "dynamodb:Attributes" in need.context
    ]

    assert asked == list(CLAIM_ATTRIBUTES)
