"""What every `BackfillStore` guarantees: one backfill per name, and no write that overwrites another."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import boto3
import pytest

from tests.contract.conftest import Stores
from treadle.adapters.dynamodb.backfills import DynamoBackfillStore
from treadle.definitions.errors import StoreError, UnreadableRecordError
from treadle.model.backfills import (
    PAGE_SIZE,
    Backfill,
    BackfillPartition,
    BackfillStatus,
    page_token,
)
from treadle.model.run_queries import RunQuery
from treadle.model.runs import OperatorEdit, Run

NOON = 1_795_370_400_000
MANY = [BackfillPartition(f"day-{number}") for number in range(2 * PAGE_SIZE + 7)]


def backfill(name: str, total: int = 3, **fields: Any) -> Backfill:
    given: dict[str, Any] = {
        "states": b"." * total,
        "attempts": b"\x01" * total,
        "created_at": NOON,
        "next_at": NOON,
        **fields,
    }
    return Backfill(name, "load", "d1", '{"a":1}', {"team": "a"}, 5, **given)


THREE = [
    BackfillPartition("a"),
    BackfillPartition("b", {"dagster/partition/x": "b"}),
    BackfillPartition("é|ü"),
]


def test_backfill_comes_back_as_it_was_created(stores: Stores) -> None:
    full = backfill(
        "full",
        states=b".rp",
        attempts=b"\x01\x02\xff",
        status=BackfillStatus.PAUSED,
        problem="no job",
        edits=(OperatorEdit(NOON, "ada", "paused"),),
    )

    assert stores.backfills.create(full, THREE) is None

    assert stores.backfills.get("full") == full
    assert stores.backfills.get("other") is None
    assert stores.backfills.partitions(full, [2, 1]) == {1: THREE[1], 2: THREE[2]}


def test_second_creation_changes_nothing(stores: Stores) -> None:
    first = backfill("twice")
    stores.backfills.create(first, THREE)

    again = stores.backfills.create(replace(first, digest="d2", limit=9), THREE[:1])

    assert again == first == stores.backfills.get("twice")
    assert stores.backfills.partitions(first, [0]) == {0: THREE[0]}


def test_partitions_are_found_at_their_positions(stores: Stores) -> None:
    many = backfill("many", len(MANY))
    stores.backfills.create(many, MANY)
    positions = [0, PAGE_SIZE - 1, PAGE_SIZE, len(MANY) - 1]

    assert stores.backfills.partitions(many, positions) == {each: MANY[each] for each in positions}
    assert stores.backfills.partitions(many, []) == {}


def test_write_under_an_old_revision_is_refused(stores: Stores) -> None:
    first = backfill("edited")
    stores.backfills.create(first, THREE)
    paused = replace(first, status=BackfillStatus.PAUSED)

    assert stores.backfills.replace(paused) is None
    refused = stores.backfills.replace(replace(first, states=b"rrr"))

    assert refused == replace(paused, revision=1) == stores.backfills.get("edited")


def test_due_and_unfinished_are_listed_by_time(stores: Stores) -> None:
    for name, at in (("late", NOON + 2), ("early", NOON), ("later", NOON + 9), ("done", None)):
        stores.backfills.create(backfill(name, next_at=at), THREE)

    assert stores.backfills.due(NOON + 2, 10) == ["early", "late"]
    assert stores.backfills.due(NOON + 2, 1) == ["early"]
    assert stores.backfills.unfinished(10) == ["early", "late", "later"]


def test_finished_backfill_is_never_due_again(stores: Stores) -> None:
    first = backfill("over")
    stores.backfills.create(first, THREE)

    stores.backfills.replace(replace(first, next_at=None))

    assert stores.backfills.due(NOON + 10, 10) == []


def test_pages_show_the_newest_first(stores: Stores) -> None:
    for number in range(5):
        stores.backfills.create(backfill(f"b{number}", created_at=NOON + number), THREE)

    first, token = stores.backfills.page(None, 2)
    second, after = stores.backfills.page(token, 2)
    last, end = stores.backfills.page(after, 2)

    assert [each.name for each in (*first, *second, *last)] == ["b4", "b3", "b2", "b1", "b0"]
    assert token == page_token(first[-1].created_at, first[-1].name)
    assert end is None
    with pytest.raises(StoreError, match="'x/' is not a page token"):
        stores.backfills.page("x/", 2)


def test_postponed_backfill_is_due_later(stores: Stores) -> None:
    stores.backfills.create(backfill("bad"), THREE)
    stores.backfills.create(backfill("over", next_at=None), THREE)

    assert stores.backfills.postpone("bad", NOON + 5, "it is damaged")

    assert not stores.backfills.postpone("bad", NOON + 5, "it is damaged")
    assert not stores.backfills.postpone("over", NOON + 5, "it is damaged")
    assert stores.backfills.due(NOON + 4, 10) == []
    assert stores.backfills.due(NOON + 5, 10) == ["bad"]


def test_runs_are_listed_without_backfills(stores: Stores) -> None:
    stores.backfills.create(backfill("beside"), THREE)
    run = Run("r1", "load", "", None, "backfill/beside/0", "{}", {}, NOON, next_at=NOON)
    stores.runs.create(run)

    assert stores.runs.get("backfill#beside") is None
    assert stores.runs.due(NOON, 10) == ["r1"]
    assert stores.runs.find(RunQuery(job="load")) == [run]


@pytest.mark.parametrize(
    "damage",
    [
        lambda item: {**item, "progress": {"B": b"not zlib"}},
        lambda item: {**item, "status": {"S": "RUNNING"}},
        lambda item: {name: value for name, value in item.items() if name != "digest"},
    ],
    ids=["progress", "status", "digest"],
)
def test_damaged_backfill_is_named(
    stores: Stores, damage: Callable[[dict[str, Any]], dict[str, Any]]
) -> None:
    if not isinstance(stores.backfills, DynamoBackfillStore):
        pytest.skip("needs a table")
    stores.backfills.create(backfill("bad"), THREE)
    stores.backfills.create(backfill("good", created_at=NOON + 1), THREE)
    client, table = boto3.client("dynamodb"), stores.backfills._table.name
    item = client.get_item(TableName=table, Key={"run_id": {"S": "backfill#bad"}})["Item"]
    client.put_item(TableName=table, Item=damage(item))
    client.close()

    with pytest.raises(UnreadableRecordError, match="backfill#bad"):
        stores.backfills.get("bad")
    assert [each.name for each in stores.backfills.page(None, 5)[0]] == ["good"]
