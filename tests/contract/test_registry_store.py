"""What every `RegistryStore` guarantees: a copy comes back as it was written, and none overwrites a newer one."""

import json
import zlib
from dataclasses import replace
from typing import Any

import boto3
import pytest

from tests.contract.conftest import Stores
from treadle.adapters.dynamodb.registry import DynamoRegistryStore
from treadle.definitions.errors import StoreRejectedError, UnreadableRecordError
from treadle.model.registry import KeptEntry, Registry, RegistryCopy

NOON = 1_795_370_400_000
SENSOR = json.dumps({"project": "shop", "function": "shop-Daily", "kind": "schedule", "jobs": "load"})
JOB = json.dumps({"project": "shop", "target": "glue", "arn": "load"})
COPY = RegistryCopy(
    "main",
    {
        "sensors/daily": KeptEntry(SENSOR, NOON, is_missing=True),
        "jobs/load": KeptEntry(JOB, NOON + 1, "it is not JSON"),
        "jobs/broken": KeptEntry("", NOON, "its target is 'gleu'"),
        "jobs/gone": KeptEntry("", NOON + 2),
    },
    NOON,
)


def test_no_copy_is_an_empty_registry(stores: Stores) -> None:
    assert stores.registry.read() == Registry()
    assert stores.registry.copy() == RegistryCopy()


def test_copy_comes_back_as_it_was_written(stores: Stores) -> None:
    assert stores.registry.replace(COPY)

    assert stores.registry.copy() == replace(COPY, revision=1)


def test_registry_has_the_valid_entries_and_the_problems(stores: Stores) -> None:
    stores.registry.replace(COPY)

    found = stores.registry.read()

    assert (set(found.sensors), set(found.jobs), found.listed_at) == ({"daily"}, {"load"}, NOON)
    assert found.problems == {"jobs/load": "it is not JSON", "jobs/broken": "its target is 'gleu'"}
    assert found.may_start("daily", "load")


def test_entry_that_this_code_does_not_understand_is_a_problem(stores: Stores) -> None:
    stores.registry.replace(RegistryCopy("main", {"jobs/load": KeptEntry('{"project": "shop"}', NOON)}))

    found = stores.registry.read()

    assert (found.jobs, found.problems) == (
        {},
        {"jobs/load": "it has no target. Add it in its project's template."},
    )


def test_copy_that_was_read_before_another_was_written_is_not_written(stores: Stores) -> None:
    first, second = stores.registry.copy(), stores.registry.copy()
    assert stores.registry.replace(replace(first, engine="main", listed_at=NOON))

    assert not stores.registry.replace(replace(second, engine="main", listed_at=1))
    assert not stores.registry.replace(replace(second, engine="main", revision=7))
    assert stores.registry.copy() == RegistryCopy("main", listed_at=NOON, revision=1)


def test_copy_is_written_upon_the_one_that_was_read(stores: Stores) -> None:
    for number in range(1, 4):
        assert stores.registry.replace(replace(stores.registry.copy(), engine="main", listed_at=number))

    assert stores.registry.copy() == RegistryCopy("main", listed_at=3, revision=3)


def test_entries_of_a_thousand_sensors_and_jobs_fit(stores: Stores) -> None:
    def text(number: int, target: str) -> str:
        arn = f"arn:aws:states:eu-central-1:123456789012:stateMachine:{target}-with-a-long-name-{number}"
        return json.dumps(
            {"project": f"shop-{number % 7}", "target": "step_functions", "arn": arn, "role": arn}
        )

    entries = {
        f"jobs/job_{number}": KeptEntry(text(number, "load"), NOON + number) for number in range(2_000)
    }

    assert stores.registry.replace(RegistryCopy("main", entries, NOON))
    assert len(stores.registry.read().jobs) == 2_000


def _put(store: DynamoRegistryStore, **values: Any) -> None:
    client = boto3.client("dynamodb")
    client.put_item(TableName=store._table.name, Item={"sensor": {"S": "#registry"}, **values})
    client.close()


@pytest.mark.parametrize(
    "packed",
    [b"no zlib", zlib.compress(b"[]"), zlib.compress(b'{"engine": "main", "entries": {"jobs/a": [1]}}')],
)
def test_damaged_copy_is_reported_and_made_again(stores: Stores, packed: bytes) -> None:
    if not isinstance(stores.registry, DynamoRegistryStore):
        pytest.skip("needs a table")
    _put(stores.registry, registry={"B": packed}, revision={"N": "4"})

    with pytest.raises(UnreadableRecordError, match="Record of the copy of the registry cannot be read"):
        stores.registry.read()
    assert stores.registry.copy() == RegistryCopy(revision=4)
    assert stores.registry.replace(replace(COPY, revision=4))
    assert stores.registry.read().may_start("daily", "load")


def test_copy_that_no_item_can_hold_is_rejected(stores: Stores) -> None:
    if not isinstance(stores.registry, DynamoRegistryStore):
        pytest.skip("needs a table")
    stores.registry.replace(COPY)
    noise = "".join(chr(33 + (number * number) % 8_999) for number in range(400_000))

    with pytest.raises(StoreRejectedError):
        stores.registry.replace(RegistryCopy("main", {"jobs/load": KeptEntry(noise * 3, NOON)}, NOON, 1))
    assert stores.registry.copy() == replace(COPY, revision=1)
