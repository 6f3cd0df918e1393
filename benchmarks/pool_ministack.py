"""The local cloud of `benchmarks.pools`: notes requests to DynamoDB, loses messages, and ends functions.

Run by MiniStack's own interpreter, in place of `tools/ministack_server.py`. It reads and replaces MiniStack's own parts.
"""

import bisect
import importlib
import json
import os
import random
import re
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from unittest.mock import patch

TRACE = "TREADLE_POOLS_TRACE"
"""The environment variable with the path of the file to which each note is appended, one JSON line each."""

LOST = "TREADLE_POOLS_LOST"
"""The share of messages that are lost."""

KILL_SECONDS = "TREADLE_POOLS_KILL_SECONDS"
"""The mean time between two ends of functions in the middle of an invocation; 0 for none."""

LOST_MESSAGE, FAILED_MESSAGE = "message lost", "message failed"
"""What notes say of a message: it was lost, or the function that processed it was killed, so that it comes again."""

_CHANCE = random.Random(7)
_lock = threading.Lock()


def note(what: str, **fields: object) -> None:
    """Append a note with the time."""
    line = json.dumps({"at": time.time(), "what": what, **fields})
    with _lock, Path(os.environ[TRACE]).open("a") as file:
        file.write(f"{line}\n")


def keys_of(action: str, request: Mapping[str, Any]) -> Iterator[str]:
    """Yield the keys of items that a request names, a written item's with "+" before it, a deleted one's with "-"."""
    if action == "TransactWriteItems":
        for each in request["TransactItems"]:
            [(kind, item)] = each.items()
            sign = "-" if kind == "Delete" else "+"
            yield sign + _key(item.get("Key") or item["Item"])
    elif action == "BatchGetItem":
        for of_table in request["RequestItems"].values():
            yield from map(_key, of_table["Keys"])
    elif action in {"GetItem", "UpdateItem", "DeleteItem"}:
        yield ("" if action == "GetItem" else "+") + _key(request["Key"])
    elif action == "PutItem":
        yield "+" + _key(request["Item"])


def _key(item: Mapping[str, Mapping[str, str]]) -> str:
    named = (item[name]["S"] for name in ("run_id", "asset_key", "item") if name in item)
    # An item of a pool has its run's id, too.
    return " ".join(named) if "asset_key" not in item else f"{item['asset_key']['S']} {item['item']['S']}"


_RANGE = re.compile(
    r"begins_with\s*\(\s*(?P<name>[#\w]+)\s*,\s*(?P<prefix>:\w+)\s*\)"
    r"|(?P<between>[#\w]+)\s+BETWEEN\s+(?P<low>:\w+)\s+AND\s+(?P<high>:\w+)"
)
"""The conditions of sort keys that are narrowed."""


def narrowed(dynamodb: Any, data: Mapping[str, Any]) -> dict[str, Any] | None:
    """Return the table of a query with only the items that it may return; None if it is not narrowed."""
    table = dynamodb._tables.get(data["TableName"])
    condition, values = data.get("KeyConditionExpression", ""), data.get("ExpressionAttributeValues", {})
    of_range = _RANGE.search(condition)
    if table is None or data.get("IndexName") or of_range is None or not data.get("ScanIndexForward", True):
        return None
    names = data.get("ExpressionAttributeNames", {})
    partition = dynamodb._extract_pk_from_condition(condition, values, names, table["pk_name"])
    items = table["items"].get(partition, {})
    if prefix := of_range["prefix"]:
        low = values[prefix]["S"]
        high = f"{low}\U0010ffff"
    else:
        low, high = values[of_range["low"]]["S"], values[of_range["high"]]["S"]
    if start := data.get("ExclusiveStartKey"):
        low = max(low, start[table["sk_name"]]["S"])
    keys = sorted(items)
    first, last = bisect.bisect_left(keys, low), bisect.bisect_right(keys, high)
    # One more than it may return, and the one at which it starts.
    last = min(last, first + data["Limit"] + 2) if "Limit" in data else last
    return {**table, "items": {partition: {key: items[key] for key in keys[first:last]}}}


def narrow_queries() -> None:
    """Let a query read what it may return, instead of all items of its partition: there are 10,000 that wait in one."""
    dynamodb: Any = importlib.import_module("ministack.services.dynamodb")
    before = dynamodb._query

    def query(data: dict[str, Any]) -> Any:
        table = narrowed(dynamodb, data)
        if table is None:
            return before(data)
        with patch.object(dynamodb, "_tables", {data["TableName"]: table}):
            return before(data)

    dynamodb._query = query


def note_requests() -> None:
    """Note each request to DynamoDB that names items, and whether it succeeded."""
    dynamodb: Any = importlib.import_module("ministack.services.dynamodb")
    before = dynamodb.handle_request

    async def handle_request(method: str, path: str, headers: Any, body: bytes, query: Any) -> Any:
        answer = await before(method, path, headers, body, query)
        action = headers.get("x-amz-target", "").rpartition(".")[2]
        keys = [key for key in keys_of(action, json.loads(body or b"{}")) if key.strip("+-")]
        if keys:
            note(action, keys=keys, is_done=answer[0] == 200)
        return answer

    dynamodb.handle_request = handle_request


def lose_messages(share: float) -> None:
    """Lose a share of the messages of all queues at their first delivery, and note those that a killed function had."""
    sqs: Any = importlib.import_module("ministack.services.sqs")
    lambdas: Any = importlib.import_module("ministack.services.lambda_svc")
    receive, execute = sqs._receive_messages_for_esm, lambdas._execute_function

    def received(url: str, most: int) -> list[dict[str, Any]]:
        batch: list[dict[str, Any]] = receive(url, most)
        lost = [each for each in batch if each.get("receive_count") == 1 and _CHANCE.random() < share]
        sqs._delete_messages_for_esm(url, {each["receipt_handle"] for each in lost})
        for each in lost:
            note(LOST_MESSAGE, body=each["body"])
        return [each for each in batch if each not in lost]

    def executed(function: Any, event: Any) -> Any:
        result = execute(function, event)
        if result.get("error"):
            for each in event.get("Records", ()) if isinstance(event, dict) else ():
                note(FAILED_MESSAGE, body=each.get("body") or json.dumps(each.get("dynamodb"), default=str))
        return result

    sqs._receive_messages_for_esm, lambdas._execute_function = received, executed


def kill_functions(seconds: float) -> None:
    """End one function in the middle of an invocation, now and then, if one is invoked within a second."""
    runtime: Any = importlib.import_module("ministack.core.lambda_runtime")
    while True:
        # Not until one is: otherwise each pass of RECONCILE would be killed when nothing else happens.
        time.sleep(_CHANCE.uniform(0, 2 * seconds))
        for _ in range(100):
            time.sleep(0.01)
            workers = [each for of in list(runtime._workers.values()) for each in list(of)]
            busy = [each for each in workers if each.in_use and each._proc is not None]
            if busy:
                killed = _CHANCE.choice(busy)
                killed._proc.kill()
                note("function killed", function=killed.func_name)
                break


def main() -> None:
    """Serve as the local cloud does, with these additions."""
    narrow_queries()
    note_requests()
    share, seconds = float(os.environ.get(LOST, "0")), float(os.environ.get(KILL_SECONDS, "0"))
    if share:
        lose_messages(share)
    if seconds:
        threading.Thread(target=kill_functions, args=(seconds,), daemon=True).start()
    # Behind MiniStack's own packages.
    sys.path.append(str(Path(__file__).parent.parent))
    importlib.import_module("tools.ministack_server").main()


if __name__ == "__main__":
    main()
