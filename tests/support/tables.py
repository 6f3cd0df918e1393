"""The four tables, made from the engine's template itself, so that tests and deployments agree."""

from functools import cache
from typing import Any
from uuid import uuid4

import boto3

from tools.project import ENGINE
from tools.template import load
from treadle.adapters.dynamodb.tables import TableNames

_RESOURCES = ("SensorsTable", "TicksTable", "RunsTable", "EventsTable")
_TAKEN = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode", "StreamSpecification")


@cache
def _properties() -> dict[str, Any]:
    """Read the tables' properties from the template, which takes longer than making them."""
    resources = load(ENGINE / "template.yaml")["Resources"]
    found = {}
    for name in _RESOURCES:
        declared = resources[name]["Properties"]
        properties = {key: value for key, value in declared.items() if key in _TAKEN}
        if "StreamSpecification" in properties:
            properties["StreamSpecification"] = {"StreamEnabled": True, **properties["StreamSpecification"]}
        found[name] = properties
    return found


def create_tables(endpoint: str | None = None) -> TableNames:
    """Create empty tables under unique names.

    Args:
        endpoint: of DynamoDB; None for the environment's.
    """
    client = boto3.client("dynamodb", endpoint_url=endpoint)
    names = []
    for resource in _RESOURCES:
        name = f"{resource}-{uuid4().hex[:12]}"
        client.create_table(TableName=name, **_properties()[resource])
        names.append(name)
    client.close()
    return TableNames(*names)
