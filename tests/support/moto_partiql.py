"""Batches of PartiQL statements on moto, whose parser takes no parameters in INSERTs, and which inserts over taken keys."""

import re
from functools import cache
from typing import Any

from moto.dynamodb.models import DynamoDBBackend
from moto.dynamodb.responses import (
    validate_put_has_empty_attrs,
    validate_put_has_empty_keys,
    validate_put_has_gsi_keys_set_to_none,
)

Item = dict[str, dict[str, Any]]

_INSERT = re.compile(r'INSERT INTO "([^"]+)" VALUE \{(.*)\}')
_INSERTED = re.compile(r"'([^']+)': \?")
_UPDATE = re.compile(r'UPDATE "([^"]+)" (.*) WHERE (.*)')
_SET, _REMOVED = re.compile(r'SET "([^"]+)"=\?'), re.compile(r'REMOVE "([^"]+)"')
_EXPECTED = re.compile(r'"([^"]+)"=\?')


@cache
def execute_batches() -> None:
    """Let moto in this process execute batches of INSERT and UPDATE statements with parameters as DynamoDB does.

    An INSERT of a taken key is an error of its statement, without the item, and so is an UPDATE whose condition fails;
    neither concerns another statement: BatchExecuteStatement in DynamoDB's API reference.
    """

    def batch_execute_statement(self: Any, statements: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [_executed(self, each["Statement"], each["Parameters"]) for each in statements]

    DynamoDBBackend.batch_execute_statement = batch_execute_statement  # type: ignore[method-assign]


def _executed(backend: Any, statement: str, parameters: list[Any]) -> dict[str, Any]:
    try:
        if inserted := _INSERT.fullmatch(statement):
            _insert(backend, inserted[1], dict(zip(_INSERTED.findall(inserted[2]), parameters, strict=True)))
        elif updated := _UPDATE.fullmatch(statement):
            _update(backend, updated[1], updated[2], _EXPECTED.findall(updated[3]), parameters)
        else:
            return {
                "Error": {"Code": "ValidationError", "Message": f"Not a statement of Treadle: {statement}"}
            }
    except Exception as error:  # noqa: BLE001 - each statement has its own result
        code = str(getattr(error, "error_type", type(error).__name__))
        failed = "DuplicateItem" if _INSERT.match(statement) else "ConditionalCheckFailed"
        is_failed = "ConditionalCheckFailed" in code
        return {"Error": {"Code": failed if is_failed else "ValidationError", "Message": str(error)}}
    return {}


def _insert(backend: Any, table: str, item: Item) -> None:
    for check in (
        validate_put_has_empty_keys,
        validate_put_has_empty_attrs,
        validate_put_has_gsi_keys_set_to_none,
    ):
        check(item, backend.get_table(table))
    key = backend.get_table(table).table_key_attrs[0]
    backend.put_item(table, item, condition_expression=f"attribute_not_exists({key})")


def _update(backend: Any, table: str, actions: str, expected: list[str], parameters: list[Any]) -> None:
    names = _SET.findall(actions)
    values = dict(zip(names, parameters, strict=False))
    known = dict(zip(expected, parameters[len(names) :], strict=True))
    keys = backend.get_table(table).table_key_attrs
    item: Item = dict(backend.get_item(table, {key: known[key] for key in keys}).to_json()["Attributes"])
    removed = set(_REMOVED.findall(actions))
    changed = {name: value for name, value in {**item, **values}.items() if name not in removed}
    others = [name for name in expected if name not in keys]
    backend.put_item(
        table,
        changed,
        condition_expression=" AND ".join(f"#{name} = :{name}" for name in others),
        expression_attribute_names={f"#{name}": name for name in others},
        expression_attribute_values={f":{name}": known[name] for name in others},
    )
