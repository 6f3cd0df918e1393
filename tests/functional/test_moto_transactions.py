"""Moto's transactions, as tests run them: one that fails changes nothing."""

import contextlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws

from tests.support.moto_transactions import keep_tables_uncopied
from tests.support.tables import create_tables


@pytest.mark.parametrize("fails", [True, False])
def test_a_transaction_changes_all_or_nothing(fails: bool) -> None:
    keep_tables_uncopied()
    with mock_aws():
        names, client = create_tables(), boto3.client("dynamodb")
        first, second = (
            {"sensor": {"S": "watch"}, "tick_id": {"S": number}} for number in ("first", "second")
        )
        for key in (first, second):
            client.put_item(TableName=names.ticks, Item={**key, "n": {"N": "1"}})
        client.put_item(TableName=names.sensors, Item={"sensor": {"S": "watch"}, "n": {"N": "1"}})
        changes: list[Any] = [
            *(
                {
                    "Update": {
                        "TableName": table,
                        "Key": key,
                        "UpdateExpression": "SET n = n + :one",
                        "ExpressionAttributeValues": {":one": {"N": "1"}},
                    }
                }
                for table, key in ((names.ticks, first), (names.sensors, {"sensor": {"S": "watch"}}))
            ),
            {"Delete": {"TableName": names.ticks, "Key": second}},
            {"Put": {"TableName": names.ticks, "Item": {**first, "tick_id": {"S": "third"}}}},
            {
                "ConditionCheck": {
                    "TableName": names.runs,
                    "Key": {"run_id": {"S": "r"}},
                    "ConditionExpression": f"attribute_{'' if fails else 'not_'}exists(run_id)",
                }
            },
        ]

        def stored() -> list[Any]:
            tables = (names.sensors, names.ticks)
            return [item for table in tables for item in client.scan(TableName=table)["Items"]]

        before = stored()
        if fails:
            with pytest.raises(client.exceptions.TransactionCanceledException):
                client.transact_write_items(TransactItems=changes)
        else:
            client.transact_write_items(TransactItems=changes)

        assert (stored() == before) == fails
        assert sorted(item.get("n", {}).get("N", "") for item in stored()) == (
            ["1", "1", "1"] if fails else ["", "2", "2"]
        )


def test_failed_transaction_does_not_undo_what_other_threads_write() -> None:
    keep_tables_uncopied()
    with mock_aws():
        names, client = create_tables(), boto3.client("dynamodb")
        taken = {"sensor": {"S": "watch"}, "tick_id": {"S": "taken"}}
        client.put_item(TableName=names.ticks, Item=taken)

        def write(number: int) -> None:
            key = {"sensor": {"S": "watch"}, "tick_id": {"S": str(number)}}
            first = taken if number % 2 else key
            condition = {"ConditionExpression": "attribute_not_exists(sensor)"}
            put: Any = {"Put": {"TableName": names.ticks, "Item": first, **condition}}
            with contextlib.suppress(ClientError):
                client.transact_write_items(TransactItems=[put])

        with ThreadPoolExecutor(8) as threads:
            list(threads.map(write, range(60)))

        assert client.scan(TableName=names.ticks, Select="COUNT")["Count"] == 31
