"""Moto's responses, as tests read them: those that moto itself gives."""

from typing import Any

import boto3
import pytest
from moto import mock_aws
from moto.core.serialize import ResponseSerializer

from tests.support.moto_responses import find_names_once
from tests.support.tables import create_tables

ITEM: dict[str, Any] = {
    "sensor": {"S": "watch"},
    "tick_id": {"S": "1"},
    "names": {"SS": ["a", "b"]},
    "body": {"B": b"\x00\xff"},
    "empty": {"M": {}},
    "nothing": {"NULL": True},
    "nested": {"M": {"S": {"L": [{"N": "1"}, {"BOOL": False}, {"M": {"L": {"L": []}}}]}}},
}


def test_responses_are_those_of_moto(monkeypatch: pytest.MonkeyPatch) -> None:
    find_names_once()
    with mock_aws():
        name = create_tables().ticks
        dynamodb, queues, parameters = boto3.client("dynamodb"), boto3.client("sqs"), boto3.client("ssm")
        dynamodb.put_item(TableName=name, Item=ITEM)
        queue = queues.create_queue(QueueName="inbox")["QueueUrl"]
        parameters.put_parameter(Name="/a/b", Value="1", Type="String")

        def read() -> list[Any]:
            key = {name: ITEM[name] for name in ("sensor", "tick_id")}
            found: list[Any] = [
                dynamodb.get_item(TableName=name, Key=key),
                dynamodb.scan(TableName=name),
                dynamodb.describe_table(TableName=name),
                queues.get_queue_attributes(QueueUrl=queue, AttributeNames=["All"]),
                parameters.get_parameters_by_path(Path="/a"),
            ]
            for each in found:
                del each["ResponseMetadata"]
            return found

        with_known_names = read()
        by_moto = ResponseSerializer.get_value.__wrapped__  # type: ignore[attr-defined]
        monkeypatch.setattr(ResponseSerializer, "get_value", by_moto)

        assert with_known_names == read()
        assert with_known_names[0]["Item"] == ITEM
