"""The four tables, made from the engine's template itself, so that tests and deployments agree."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import astuple
from functools import cache
from typing import Any
from uuid import uuid4

import boto3
from moto.core.models import DEFAULT_ACCOUNT_ID, botocore_stubber
from moto.dynamodb.models import dynamodb_backends

from tools.project import ENGINE
from tools.template import load
from treadle.adapters.dynamodb.tables import TableNames

_RESOURCES = ("SensorsTable", "TicksTable", "RunsTable", "EventsTable")
_TAKEN = ("AttributeDefinitions", "KeySchema", "GlobalSecondaryIndexes", "BillingMode", "StreamSpecification")
_AT_ONCE = 25
"""Items that one request deletes."""


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
    names = [f"{resource}-{uuid4().hex[:12]}" for resource in _RESOURCES]
    if botocore_stubber.enabled and not endpoint and "AWS_ENDPOINT_URL_DYNAMODB" not in os.environ:
        _create_on_moto(names)
    else:
        client = boto3.client("dynamodb", endpoint_url=endpoint)
        for name, properties in zip(names, _properties().values(), strict=True):
            client.create_table(TableName=name, **properties)
        client.close()
    return TableNames(*names)


def _create_on_moto(names: Sequence[str]) -> None:
    """Create them without requests, which would take as long as most tests."""
    backend = dynamodb_backends[DEFAULT_ACCOUNT_ID][os.environ["AWS_DEFAULT_REGION"]]
    for name, properties in zip(names, _properties().values(), strict=True):
        backend.create_table(
            name,
            schema=properties["KeySchema"],
            throughput=None,
            attr=properties["AttributeDefinitions"],
            global_indexes=properties.get("GlobalSecondaryIndexes", []),
            indexes=[],
            streams=properties.get("StreamSpecification"),
            billing_mode=properties["BillingMode"],
            sse_specification=None,
            tags=[],
            deletion_protection_enabled=False,
            warm_throughput=None,
        )


class KeptTables:
    """Tables of DynamoDB Local for one test after another: creating some takes longer with each that there is.

    Args:
        endpoint: of DynamoDB Local.
    """

    def __init__(self, endpoint: str) -> None:
        self._endpoint = endpoint
        self._client = boto3.client("dynamodb", endpoint_url=endpoint)
        self._names: list[str] = []

    def empty(self) -> TableNames:
        """Return empty tables: new ones, if those of the test before have too many items to delete them."""
        if not self._names or not all(map(self._emptied, self._names, _properties().values())):
            self._names = list(astuple(create_tables(self._endpoint)))
        return TableNames(*self._names)

    def _emptied(self, name: str, properties: Mapping[str, Any]) -> bool:
        key = [each["AttributeName"] for each in properties["KeySchema"]]
        found = self._client.scan(TableName=name, AttributesToGet=key, ConsistentRead=True)
        if "LastEvaluatedKey" in found or found["Count"] > _AT_ONCE:
            return False
        if found["Items"]:
            deletes: Any = [{"DeleteRequest": {"Key": each}} for each in found["Items"]]
            self._client.batch_write_item(RequestItems={name: deletes})
        return True

    def close(self) -> None:
        """Close the connections."""
        self._client.close()
