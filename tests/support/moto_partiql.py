"""Batches of INSERT statements on moto, whose parser of PartiQL takes no parameters in them, and which inserts over taken keys."""

import re
from functools import cache
from typing import Any

from moto.dynamodb.models import DynamoDBBackend

_INSERT = re.compile(r'INSERT INTO "([^"]+)" VALUE \{(.*)\}')
_NAME = re.compile(r"'([^']+)': \?")


@cache
def insert_with_parameters() -> None:
    """Let moto in this process answer batches of INSERT statements with parameters as DynamoDB does.

    A taken key is an error of its statement, without the item, and concerns no other one: BatchExecuteStatement and
    DuplicateItem in DynamoDB's API reference.
    """
    before = DynamoDBBackend.batch_execute_statement

    def batch_execute_statement(self: Any, statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
        inserts = [_INSERT.fullmatch(each["Statement"]) for each in statements]
        if not all(inserts):
            return before(self, statements)
        return [
            _insert(self, found[1], dict(zip(_NAME.findall(found[2]), each["Parameters"], strict=True)))
            for each, found in zip(statements, inserts, strict=True)
            if found
        ]

    DynamoDBBackend.batch_execute_statement = batch_execute_statement  # type: ignore[method-assign]


def _insert(backend: Any, name: str, item: dict[str, Any]) -> dict[str, Any]:
    keys = backend.get_table(name).table_key_attrs
    try:
        backend.put_item(name, item, condition_expression=f"attribute_not_exists({keys[0]})")
    except Exception as error:  # noqa: BLE001 - each statement has its own result
        code = getattr(error, "error_type", type(error).__name__)
        taken = "ConditionalCheckFailed" in str(code)
        return {"Error": {"Code": "DuplicateItem" if taken else "ValidationError", "Message": str(error)}}
    return {"TableName": name}
