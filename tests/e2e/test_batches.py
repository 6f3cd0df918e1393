"""Objects whose keys have names: several of them in one run, and those of a day as a group."""

import json
from collections import Counter
from typing import Any
from uuid import uuid4

import pytest

from tests.e2e.deployment import Answer, Deployed, eventually, object_created, queued
from tests.e2e.job_chain import BATCH_SECONDS, BATCH_SIZE, LANDING
from tests.e2e.policies import Permission
from treadle.definitions.status import TickStatus
from treadle.model.batches import BatchState, by_key
from treadle.model.ticks import Tick


def store(following: Deployed, *keys: str) -> list[str]:
    """Store objects, of which the bucket sends events; their entity tags."""
    s3 = following.client("s3")
    stored = [s3.put_object(Bucket=LANDING, Key=key, Body=key.encode()) for key in keys]
    return [each["ETag"].strip('"') for each in stored]


def configs(following: Deployed, sensor: str) -> list[dict[str, Any]]:
    """Return the run configs of a sensor's runs, oldest first."""
    runs = following.stores.runs.list_by_sensor(sensor, 100)
    return [json.loads(run.run_config) for run in reversed(runs)]


def ticks_of(following: Deployed, sensor: str, key: str) -> list[Tick]:
    """Return the ticks of an object's events."""
    found = following.stores.ticks.latest(sensor, 100)
    return [tick for tick in found if f"/{key} " in (tick.trigger or "")]


def sweep(following: Deployed, function: str) -> Answer:
    """Let a sensor list the bucket."""
    return following.invoke(function, {"treadle": "tick", "at_once": True})


def waiting(following: Deployed, customer: str) -> list[BatchState]:
    """Return the state of a customer's batch, if nobody closes it, and it has its time."""
    states = [each for each in following.stores.batches.states("landed_orders") if each.by == customer]
    return [each for each in states if each.due == each.first_at + BATCH_SECONDS * 1000]


def reconcile(following: Deployed) -> Answer:
    return following.invoke("Reconcile", {"treadle": "reconcile"})


def test_objects_are_in_one_batch_each_which_size_closes_or_time(following: Deployed) -> None:
    orders = [f"o{number}" for number in range(BATCH_SIZE + 2)]
    keys = [f"orders/ann/{order}.csv" for order in orders]

    etags = store(following, *keys)

    def batches() -> list[list[str]]:
        found = configs(following, "landed_orders")
        return [each["orders"] for each in found if each["customer"] == "ann"]

    [full] = eventually(batches, "a batch is full")
    assert len(full) == BATCH_SIZE
    identities = [f"s3://{LANDING}/{key}#{etag}" for key, etag in zip(keys, etags, strict=True)]
    eventually(
        lambda: len(following.stores.batches.known("landed_orders", identities)) == len(keys),
        "each object is accepted",
    )
    # Neither an event that comes twice, nor the sweep, lets an object wait again.
    events = [object_created(LANDING, key, etag) for key, etag in zip(keys, etags, strict=True)]
    assert following.invoke("LandedOrders", queued(*events)).value == {"batchItemFailures": []}
    swept = sweep(following, "LandedOrders")
    assert swept.value["decision"] == "SKIPPED", swept
    # RECONCILE closes the other batch, and not before its time.
    [state] = eventually(lambda: waiting(following, "ann"), "the rest waits for its time")
    assert state.due is not None

    def both() -> bool:
        assert not reconcile(following).failed
        return len(batches()) == 2

    eventually(both, "the other batch is closed", pause=1)
    assert Counter(order for batch in batches() for order in batch) == Counter(orders)
    [closed] = [
        tick
        for tick in following.stores.ticks.latest("landed_orders", 100)
        if (tick.trigger or "").startswith("Batch of 2 items of 'ann'")
    ]
    assert closed.time >= state.due


def test_group_of_a_day_counts_once_it_has_each_name(following: Deployed) -> None:
    orders, items, never = "days/20260128/orders.csv", "days/20260128/items.csv", "days/20261328/items.csv"

    store(following, orders, never)
    [first] = eventually(lambda: ticks_of(following, "whole_days", orders), "the first object is evaluated")
    [outside] = eventually(lambda: ticks_of(following, "whole_days", never), "what is no day is evaluated")
    store(following, items)
    [config] = eventually(lambda: configs(following, "whole_days"), "the day has a run")
    swept = sweep(following, "WholeDays")

    assert (first.status, "items" in (first.reason or "")) == (TickStatus.SKIPPED, True), first.reason
    assert (outside.status, "is not watched" in (outside.reason or "")) == (TickStatus.SKIPPED, True)
    assert config.pop("event_time")
    assert config == {"bucket": LANDING, "group": "days/20260128/", "names": {"day": "20260128"}}
    assert swept.value["decision"] == "SKIPPED", swept
    assert len(configs(following, "whole_days")) == 1


# ---- Permissions


def full_batch(following: Deployed) -> Answer:
    """Let a batch become full, of a customer who has none."""
    return following.invoke("LandedOrders", queued(*_orders(BATCH_SIZE)[1]))


def due_batch(following: Deployed) -> Answer:
    """Let RECONCILE find a batch that is due, as time closes it."""
    customer, [event] = _orders(1)
    following.invoke("LandedOrders", queued(event))
    following.client("dynamodb").update_item(
        TableName=following.outputs["TicksTableName"],
        Key={"sensor": {"S": "landed_orders#batch"}, "tick_id": {"S": f"state/{by_key(customer)}"}},
        UpdateExpression="SET pending_since = :past",
        ExpressionAttributeValues={":past": {"N": "1"}},
    )
    return reconcile(following)


def _orders(number: int) -> tuple[str, list[str]]:
    """Return a new customer, and events of orders, which are in no bucket."""
    customer = uuid4().hex
    return customer, [object_created(LANDING, f"orders/{customer}/{n}.csv", "e1") for n in range(number)]


PERMISSIONS = [
    *(
        Permission("EvaluatorPolicy", "OwnTicks", f"dynamodb:{action}", full_batch)
        for action in ("BatchWriteItem", "Query", "UpdateItem")
    ),
    Permission("ReconcileRole", "SensorsWithBatches", "lambda:InvokeFunction", due_batch),
]


@pytest.mark.parametrize("permission", PERMISSIONS, ids=str)
def test_without_the_permission_it_is_denied_and_with_it_not(
    following: Deployed, permission: Permission
) -> None:
    permission.check(following)
