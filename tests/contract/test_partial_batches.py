"""A batch of statements of which DynamoDB applies a part, with or without an answer; each record is written once all the same."""

import contextlib
import itertools
import json
from base64 import b64decode
from collections.abc import Collection, Iterator
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import boto3
import pytest

from tests.contract.conftest import Stores
from tests.contract.test_run_store import NOW, RUN
from tests.contract.test_tick_store import FULL
from tests.support.hooks import hooked
from treadle.definitions.errors import StoreThrottledError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.ticks import DispatchCounts

RUNS = [replace(RUN, run_id=f"r{number}", tick_id=f"t{number}") for number in range(4)]
SUBSETS = [each for size in range(5) for each in itertools.combinations(range(4), size)]

on_tables = pytest.mark.parametrize("stores", ["moto", "dynamodb-local"], indirect=True)


@contextlib.contextmanager
def applying(applied: Collection[int], code: str | None) -> Iterator[list[str]]:
    """Let DynamoDB apply only some statements of a batch.

    Args:
        applied: their indexes.
        code: the error of each other statement; None if the whole request has no answer.

    Yields:
        The operations that were sent, in order.
    """
    client = boto3.client("dynamodb")
    sent: list[str] = []

    def answer(model: Any, params: Any, **_: Any) -> tuple[Any, dict[str, Any]] | None:
        sent.append(model.name)
        if model.name != "BatchExecuteStatement" or sent.count(model.name) > 1:
            return None
        return SimpleNamespace(status_code=200 if code else 500), _partly(client, params, applied, code)

    with hooked(("before-call.dynamodb.*", answer)):
        yield sent


def _decoded(value: dict[str, Any]) -> dict[str, Any]:
    """Return a value as a client takes it: it encodes bytes itself."""
    return {"B": b64decode(value["B"])} if isinstance(value.get("B"), str) else value


def _partly(client: Any, params: Any, applied: Collection[int], code: str | None) -> dict[str, Any]:
    statements = json.loads(params["body"], object_hook=_decoded)["Statements"]
    if applied:
        client.batch_execute_statement(Statements=[statements[index] for index in applied])
    if code is None:
        return {"Error": {"Code": "InternalServerError", "Message": "No answer."}, "ResponseMetadata": {}}
    error = {"Error": {"Code": code, "Message": "Not applied."}}
    return {"Responses": [{} if index in applied else error for index in range(len(statements))]}


@on_tables
@pytest.mark.parametrize("code", [None, "ThrottlingError", "TransactionConflict", "DuplicateItem"])
@pytest.mark.parametrize("applied", SUBSETS)
def test_each_record_is_written_once_whatever_part_of_the_batch_was_applied(
    stores: Stores, applied: tuple[int, ...], code: str | None
) -> None:
    with applying(applied, code) as sent:
        results = stores.runs.create_many(RUNS)

    # What was applied without an answer exists, as the writer's own record.
    expected = [RUNS[index] if code is None and index in applied else None for index in range(4)]
    assert results == expected
    assert [stores.runs.get(run.run_id) for run in RUNS] == RUNS
    assert sent.count("PutItem") == 4 - len(applied)
    assert sent.count("BatchGetItem") == (1 if code is None or len(applied) < 4 else 0)


@on_tables
@pytest.mark.parametrize("code", [None, "ThrottlingError", "ConditionalCheckFailed"])
@pytest.mark.parametrize("applied", SUBSETS)
def test_each_change_is_written_once_whatever_part_of_the_batch_was_applied(
    stores: Stores, applied: tuple[int, ...], code: str | None
) -> None:
    changed = [replace(run, status=Status.STARTED, next_at=None, started_at=NOW) for run in RUNS]
    after = [replace(run, revision=run.revision + 1) for run in changed]
    with applying(applied, code) as sent:
        for run in RUNS:
            assert stores.runs.create(run) is None
        sent.clear()
        results = stores.runs.replace_many(list(zip(changed, RUNS, strict=True)))

    assert results == [None] * 4
    assert [stores.runs.get(run.run_id) for run in RUNS] == after
    assert sent.count("PutItem") == 4 - len(applied)


@on_tables
@pytest.mark.parametrize("code", [None, "ThrottlingError", "ConditionalCheckFailed"])
@pytest.mark.parametrize("applied", SUBSETS)
def test_each_tick_is_noted_as_dispatched_whatever_part_of_the_batch_was_applied(
    stores: Stores, applied: tuple[int, ...], code: str | None
) -> None:
    ticks = [replace(FULL, tick_id=f"t{number}") for number in range(4)]
    with applying(applied, code) as sent:
        for tick in ticks:
            assert stores.ticks.put(tick)
        sent.clear()
        results = stores.ticks.mark_many_dispatched([(tick, DispatchCounts(1)) for tick in ticks])

    assert results == [None] * 4
    found = [stores.ticks.get(tick.sensor, tick.tick_id) for tick in ticks]
    assert [tick and tick.dispatched for tick in found] == [DispatchCounts(1)] * 4
    assert sent.count("UpdateItem") == (4 - len(applied) if code else 4)


@on_tables
@pytest.mark.parametrize("code", [None, "ThrottlingError", "DuplicateItem"])
@pytest.mark.parametrize("applied", SUBSETS)
def test_each_tick_is_put_once_whatever_part_of_the_batch_was_applied(
    stores: Stores, applied: tuple[int, ...], code: str | None
) -> None:
    ticks = [replace(FULL, tick_id=f"t{number}") for number in range(4)]
    with applying(applied, code) as sent:
        results = stores.ticks.put_many(ticks)

    assert results == [True] * 4
    assert [stores.ticks.get(tick.sensor, tick.tick_id) for tick in ticks] == ticks
    assert sent.count("PutItem") == (4 - len(applied) if code else 4)


@on_tables
def test_a_record_that_has_changed_meanwhile_is_returned_and_kept(stores: Stores) -> None:
    changed = [replace(run, updated_at=NOW + 5) for run in RUNS]
    other = replace(RUNS[2], updated_at=NOW + 1)
    with applying([0, 1, 2, 3], None):
        for run in RUNS:
            assert stores.runs.create(run) is None
        assert stores.runs.replace(other) is None
        results = stores.runs.replace_many(list(zip(changed, RUNS, strict=True)))

    kept = replace(other, revision=1)
    assert results == [None, None, kept, None]
    assert stores.runs.get("r2") == kept


@on_tables
def test_25_records_take_one_request(stores: Stores) -> None:
    with applying(range(25), "none of them fails") as sent:
        assert (
            stores.runs.create_many([replace(RUN, run_id=f"r{number}") for number in range(60)])
            == [None] * 60
        )

    assert sent == ["BatchExecuteStatement"] * 3


@on_tables
def test_a_taken_key_is_decided_by_its_item_and_not_by_the_answer(stores: Stores) -> None:
    other = replace(RUNS[1], tick_id="of another tick")
    with applying([0, 1, 2, 3], None):
        assert stores.runs.create(other) is None
        results = stores.runs.create_many(RUNS)

    assert results == [RUNS[0], other, RUNS[2], RUNS[3]]
    assert stores.runs.get("r1") == other


@on_tables
def test_a_store_that_does_not_answer_is_an_error_of_all(stores: Stores) -> None:
    is_down: list[bool] = []

    def answer(model: Any, **_: Any) -> Any:
        if not is_down or model.name == "BatchExecuteStatement":
            return None
        error = {"Error": {"Code": "ThrottlingException", "Message": "Too much."}, "ResponseMetadata": {}}
        return SimpleNamespace(status_code=400), error

    with hooked(("before-call.dynamodb.*", answer)):
        assert stores.runs.create(RUNS[1]) is None
        is_down.append(True)
        with pytest.raises(StoreThrottledError):
            stores.runs.create_many(RUNS)
        is_down.clear()

        assert stores.runs.create_many(RUNS) == RUNS


@on_tables
def test_a_missing_permission_costs_requests_and_no_record(
    stores: Stores, caplog: pytest.LogCaptureFixture
) -> None:
    def answer(model: Any, **_: Any) -> Any:
        if model.name != "BatchExecuteStatement":
            return None
        error = {
            "Error": {"Code": "AccessDeniedException", "Message": "no PartiQLInsert"},
            "ResponseMetadata": {},
        }
        return SimpleNamespace(status_code=400), error

    with hooked(("before-call.dynamodb.*", answer)):
        assert stores.runs.create_many(RUNS) == [None] * 4

    assert "no PartiQLInsert" in caplog.text
    assert [stores.runs.get(run.run_id) for run in RUNS] == RUNS
