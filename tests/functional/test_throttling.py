"""A throttled store: nothing is lost, and nothing becomes a dead letter."""

import json
from collections.abc import Callable, Iterator

import pytest

from tests.functional.conftest import Deployment, batch, object_created, sample
from tests.functional.test_engine import launched
from tests.support.throttling import CONFLICT, THROTTLED, refusing
from treadle.definitions.errors import StoreError, StoreThrottledError
from treadle.definitions.status import DagsterRunStatus
from treadle.entrypoints import handler

OPERATIONS = ("GetItem", "PutItem", "UpdateItem", "BatchGetItem", "TransactWriteItems", "Query")


class Store:
    """DynamoDB, which throttles while the test lets it."""

    def __init__(self) -> None:
        self.code: str | None = None
        self.left = 10**9
        self.operations: tuple[str, ...] = OPERATIONS

    def refuse(self, code: str | None, *operations: str, times: int = 10**9) -> None:
        self.code, self.left, self.operations = code, times, operations or OPERATIONS

    def __call__(self, operation: str) -> str | None:
        if self.code is None or self.left <= 0 or operation not in self.operations:
            return None
        self.left -= 1
        return self.code


@pytest.fixture
def store(deployment: Deployment, monkeypatch: pytest.MonkeyPatch) -> Iterator[Store]:
    """The deployment's DynamoDB; handlers start again, so that their clients use it."""
    # So that what is sent again is visible at once.
    monkeypatch.setattr(handler, "THROTTLED_SECONDS", (0, 0))
    made = Store()
    with refusing(made):
        deployment.handlers.clear()
        yield made


def test_a_queued_event_that_meets_a_throttled_store_is_sent_again_however_often(
    deployment: Deployment, store: Store
) -> None:
    body = object_created("in/a.csv", "e1")
    for receives in (1, 5):
        store.refuse(THROTTLED)
        answer = deployment.invoke("sensors/new_objects", batch(body, receives=receives))

        assert answer == {"batchItemFailures": []}
        assert deployment.messages("dead") == []
        [again] = _sent_again(deployment, "own")
        assert json.loads(again) == {**body, "hops": 1}

    store.refuse(None)
    deployment.invoke("sensors/new_objects", batch(body))
    deployment.dispatch_pending()
    assert len(deployment.stores.runs.list_by_sensor("new_objects", 5)) == 1


def test_a_launch_that_meets_a_throttled_store_is_sent_again(deployment: Deployment, store: Store) -> None:
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    deployment.dispatch_pending()
    [message] = [json.loads(each["Body"]) for each in deployment.messages("launch")]
    store.refuse(THROTTLED, "UpdateItem")

    assert deployment.invoke("engine/launch", batch(message, receives=5)) == {"batchItemFailures": []}

    assert (deployment.executions(), deployment.messages("dead")) == ([], [])
    [again] = _sent_again(deployment, "launch")
    store.refuse(None)
    deployment.invoke("engine/launch", batch(again))
    assert len(deployment.executions()) == 1


def test_a_status_change_that_meets_a_throttled_store_is_sent_again(
    deployment: Deployment, store: Store
) -> None:
    run = launched(deployment)
    event = deployment.changed(run, "SUCCEEDED", stop="1795370500000")
    store.refuse(THROTTLED)

    assert deployment.invoke("engine/record", batch(event, receives=5)) == {"batchItemFailures": []}

    [again] = _sent_again(deployment, "record")
    store.refuse(None)
    deployment.invoke("engine/record", batch(again))
    [run] = deployment.stores.runs.list_by_sensor("new_objects", 5)
    assert run.status is DagsterRunStatus.SUCCESS
    assert deployment.messages("dead") == []


def test_a_tick_that_its_stream_cannot_dispatch_now_is_left_to_reconciliation(
    deployment: Deployment, store: Store
) -> None:
    deployment.invoke("sensors/new_objects", batch(object_created("in/a.csv", "e1")))
    store.refuse(THROTTLED, "PutItem")

    deployment.dispatch_pending()

    assert deployment.messages("dead") == []
    assert deployment.stores.runs.list_by_sensor("new_objects", 5) == []
    store.refuse(None)
    [tick] = deployment.stores.ticks.latest("new_objects", 5)
    assert deployment.stores.ticks.pending(tick.ended_at + 1, 5) == [("new_objects", tick.tick_id)]


def test_a_scheduled_tick_that_meets_a_throttled_store_waits_for_the_next_minute(
    deployment: Deployment, store: Store
) -> None:
    store.refuse(THROTTLED)

    answer = deployment.invoke("sensors/new_objects", sample("new_objects-schedule"))

    assert answer["decision"] == "DELAYED"
    store.refuse(None)
    again = deployment.invoke("sensors/new_objects", sample("new_objects-schedule"))
    assert again["decision"] == "SKIPPED"


@pytest.mark.parametrize("operation", ["PutItem", "UpdateItem"])
def test_a_write_that_meets_anothers_transaction_is_made_again(
    deployment: Deployment, store: Store, operation: str
) -> None:
    run = launched(deployment)
    store.refuse(CONFLICT, operation, times=3)

    deployment.invoke(
        "engine/record", batch(deployment.changed(run, "SUCCEEDED", stop="1795370500000"))
    ) if operation == "PutItem" else deployment.invoke("sensors/new_objects", sample("new_objects-schedule"))

    assert store.left == 0
    assert (_sent_again(deployment, "record"), deployment.messages("dead")) == ([], [])


@pytest.mark.parametrize(
    "call",
    [
        lambda stores: stores.runs.get("r"),
        lambda stores: stores.runs.due(1, 1),
        lambda stores: stores.runs.key_states({"r": None}),
        lambda stores: stores.ticks.pending(1, 1),
        lambda stores: stores.ticks.admit("s", 1, 1, 1),
    ],
    ids=["get", "query of runs", "batch", "query of ticks", "update"],
)
def test_throttling_is_distinguished_from_other_refusals(
    deployment: Deployment, store: Store, call: Callable[[object], object]
) -> None:
    stores = deployment.fresh_stores()

    store.refuse(THROTTLED)
    with pytest.raises(StoreThrottledError):
        call(stores)
    store.refuse("AccessDeniedException")
    with pytest.raises(StoreError) as denied:
        call(stores)
    assert not isinstance(denied.value, StoreThrottledError)


def _sent_again(deployment: Deployment, queue: str) -> list[str]:
    return [message["Body"] for message in deployment.messages(queue)]
