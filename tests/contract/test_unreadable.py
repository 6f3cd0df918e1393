"""Records that cannot be read, on each DynamoDB: one read alone is named, several are read past it, a page shows it."""

from collections.abc import Callable, Iterable
from typing import Any

import boto3
import pytest

from tests.contract.conftest import Stores
from tests.support.partitions import no_partitions
from tests.support.poison import damaged
from treadle.adapters.dynamodb.assets import DynamoEventStore
from treadle.adapters.dynamodb.runs import DynamoRunStore, _item
from treadle.adapters.dynamodb.sensors import DynamoSensorStore
from treadle.adapters.dynamodb.ticks import DynamoTickStore, to_item
from treadle.definitions.errors import UnreadableRecordError
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus, TickStatus
from treadle.engine.dispatch.rate_limit import HOUR_MS, RunRateLimiter
from treadle.engine.identity import timestamp
from treadle.engine.instance.instance_reader import InstanceReader
from treadle.engine.instance.run_reader import CompletedRunReader
from treadle.model.assets import AssetEvent, ended_runs_key
from treadle.model.run_queries import RunQuery
from treadle.model.runs import KeyState, Run
from treadle.model.sensors import Edit, Lease, LeaseRequest
from treadle.model.ticks import Drop, PlannedRun, Tick, TickKind
from treadle.testing.system import VirtualClock

NOON = 1_795_370_400_000


@pytest.fixture(autouse=True)
def on_dynamodb(stores: Stores) -> None:
    """In memory, nothing is ever decoded."""
    if not isinstance(stores.runs, DynamoRunStore):
        pytest.skip("needs a table")


def put(store: Any, item: dict[str, Any]) -> None:
    """Write an item behind the store's back."""
    client = boto3.client("dynamodb")
    client.put_item(TableName=store._table.name, Item=item)
    client.close()


def run(name: str, **fields: Any) -> Run:
    given: dict[str, Any] = {"reached": {"1/0": {"QUEUED": NOON}}, "next_at": NOON, **fields}
    return Run(name, "load", "watch", name, "tick", "{}", {"a": "b"}, NOON, **given)


def tick(number: int) -> Tick:
    requests = (PlannedRun(f"r{number}", None, "load", "{}", {}),)
    tick_id = f"2026-11-22T18:00:0{number}.000Z-000000001"
    return Tick("watch", tick_id, TickKind.LEASED, TickStatus.SUCCESS, NOON, NOON, NOON, requests=requests)


def spoil_run(stores: Stores, name: str = "bad", **attributes: Any) -> None:
    put(stores.runs, {**_item(run(name), 1), **(attributes or {"tags": {"S": '["x"]'}})})


def failures(
    read: Callable[[dict[str, Any]], object], items: Iterable[tuple[str, dict[str, Any]]]
) -> list[UnreadableRecordError]:
    """Return a codec's errors for those items that it cannot read; all but its own error is raised."""
    found = []
    for _, item in items:
        try:
            read(item)
        except UnreadableRecordError as error:
            found.append(error)
    return found


def test_a_damaged_run_is_read_or_named_whatever_is_wrong_with_it(stores: Stores) -> None:
    assert isinstance(stores.runs, DynamoRunStore)
    errors = failures(stores.runs.read, damaged(_item(run("bad"), 1), keys=("run_id",)))

    assert len(errors) > 50
    assert {error.record for error in errors} == {"run bad"}
    assert all(str(error).startswith("Record of run bad cannot be read: ") for error in errors)


def test_a_damaged_tick_is_read_or_named_whatever_is_wrong_with_it(stores: Stores) -> None:
    assert isinstance(stores.ticks, DynamoTickStore)
    items = damaged(to_item(tick(1), stores.ticks._outcomes), keys=("sensor", "tick_id"))
    errors = failures(stores.ticks.read, items)

    assert len(errors) > 50
    assert {error.record for error in errors} <= {
        "the tick of sensor watch 2026-11-22T18:00:01.000Z-000000001",
        "a tick of sensor watch",
    }


def test_several_runs_are_read_past_one_that_cannot_be(stores: Stores) -> None:
    for name in ("a", "c"):
        assert stores.runs.create(run(name)) is None
    spoil_run(stores)

    with pytest.raises(UnreadableRecordError, match="run bad"):
        stores.runs.get("bad")
    assert set(stores.runs.get_many(["a", "bad", "c"])) == {"a", "c"}
    assert {each.run_id for each in stores.runs.find(RunQuery(job="load", limit=9))} == {"a", "c"}
    assert {each.run_id for each in stores.runs.list_by_sensor("watch", 9)} == {"a", "c"}


def test_a_page_of_runs_shows_one_that_cannot_be_read_as_a_failure_with_the_reason(stores: Stores) -> None:
    for name in ("a", "c"):
        assert stores.runs.create(run(name)) is None
    spoil_run(stores)

    found = {each.run_id: each for each in stores.runs.page(sensor="watch", limit=9).runs}

    assert set(found) == {"a", "bad", "c"}
    bad = found["bad"]
    assert (bad.status, bad.job, bad.created_at) == (DagsterRunStatus.FAILURE, "load", NOON)
    assert bad.failure is not None
    assert bad.failure.cause.startswith("unreadable: ")
    failures = stores.runs.page(job="load", statuses={DagsterRunStatus.FAILURE}, limit=9).runs
    assert [each.run_id for each in failures] == ["bad"]


def test_states_of_keys_and_counts_are_read_past_a_run_that_cannot_be(stores: Stores) -> None:
    assert stores.runs.create(run("a")) is None
    spoil_run(stores, status={"N": "1"}, attempt={"S": "x"})

    assert stores.runs.key_states({"a": None, "bad": None}) == {"a": KeyState.TAKEN}
    assert stores.runs.counts("watch", 0, 9) == {DagsterRunStatus.QUEUED: 1, DagsterRunStatus.FAILURE: 1}


def test_names_that_no_run_can_have_do_not_fail_the_others(stores: Stores) -> None:
    """DynamoDB refuses the whole request for one of them."""
    assert stores.runs.create(run("a")) is None

    assert set(stores.runs.get_many(["a", "", "x" * 3_000, "\ud800"])) == {"a"}
    assert stores.runs.get("") is stores.runs.get("x" * 3_000) is None
    assert stores.ticks.attempts("watch", ["", "x" * 1_100]) == {}


def test_a_run_is_marked_once_and_no_longer_due_until_its_time_has_come(stores: Stores) -> None:
    assert stores.runs.create(run("a")) is None
    spoil_run(stores)

    marked = [stores.runs.mark_unreadable("bad", NOON + 10, "why") for _ in range(2)]

    assert marked == [True, False]
    assert stores.runs.due(NOON, 9) == ["a"]
    assert set(stores.runs.due(NOON + 10, 9)) == {"a", "bad"}
    assert not stores.runs.mark_unreadable("none", NOON, "why")


def test_a_tick_is_marked_once_and_no_longer_pending_until_its_time_has_come(stores: Stores) -> None:
    bad, good = tick(1), tick(2)
    for each in (bad, good):
        assert stores.ticks.put(each)

    marked = [stores.ticks.mark_unreadable("watch", bad.tick_id, NOON + 10, "why") for _ in range(2)]

    assert marked == [True, False]
    assert stores.ticks.pending(NOON + 1, 9) == [("watch", good.tick_id)]
    assert len(stores.ticks.pending(NOON + 11, 9)) == 2
    assert not stores.ticks.mark_unreadable("watch", "none", NOON, "why")


def test_lists_of_ticks_show_one_that_cannot_be_read_as_a_failure_with_the_reason(stores: Stores) -> None:
    assert isinstance(stores.ticks, DynamoTickStore)
    good, bad = tick(1), tick(2)
    assert stores.ticks.put(good)
    put(stores.ticks, {**to_item(bad, stores.ticks._outcomes), "status": {"S": "x"}, "requests": {"B": b"x"}})

    page, latest = stores.ticks.page("watch", limit=9).ticks, stores.ticks.latest("watch", 9)

    for shown in (page[0], latest[0]):
        assert (shown.tick_id, shown.status) == (bad.tick_id, TickStatus.FAILURE)
    assert (page[0].error_message or "").startswith("unreadable: ")
    assert (page[1].tick_id, latest[1].requests) == (good.tick_id, good.requests)
    assert stores.ticks.attempts("watch", [good.tick_id, bad.tick_id]) == {
        good.tick_id: (TickStatus.SUCCESS, 1)
    }
    with pytest.raises(UnreadableRecordError):
        stores.ticks.get("watch", bad.tick_id)


def test_states_of_sensors_are_read_past_one_that_cannot_be_and_that_one_stands_still(stores: Stores) -> None:
    assert isinstance(stores.sensors, DynamoSensorStore)
    put(stores.sensors, {"sensor": {"S": "bad"}, "epoch": {"S": "x"}})
    put(stores.sensors, {"sensor": {"S": "good"}, "epoch": {"N": "3"}})

    states = stores.sensors.get_many(["bad", "good", "fresh"])

    assert (states["good"].epoch, states["fresh"].epoch) == (3, 0)
    assert (states["bad"].paused or "").startswith("unreadable: ")
    with pytest.raises(UnreadableRecordError, match="sensor bad"):
        stores.sensors.get("bad")


def test_a_count_of_an_hour_that_cannot_be_read_lets_the_runs_wait_for_the_next_one(stores: Stores) -> None:
    hour = NOON - NOON % HOUR_MS
    key = {"sensor": {"S": "watch#fuse"}, "tick_id": {"S": timestamp(hour)}}
    put(stores.ticks, {**key, "admitted": {"N": "1" + "0" * 30}})
    clock = VirtualClock(NOON)
    fuse = RunRateLimiter(stores.ticks, clock, lambda _: 10)

    assert not fuse.take("watch")
    clock.advance(HOUR_MS / 1000)
    assert fuse.take("watch")


def event(key: str, number: int, body: str) -> AssetEvent:
    return AssetEvent(key, f"e{number}", "SUCCESS", NOON + number, body)


def test_ended_runs_are_read_past_whole_pages_that_cannot_be(stores: Stores) -> None:
    """So that a sensor which reads on from the last of them is not stuck before them."""
    assert isinstance(stores.events, DynamoEventStore)
    good = '{"run_id":"r","tags":{},"partition_key":null,"depth":1}'
    stores.events.append(
        [event(ended_runs_key("load"), n, "junk" if n in range(2, 7) else good) for n in range(1, 9)]
    )
    key = ended_runs_key("load")
    put(stores.events, {"asset_key": {"S": key}, "item": {"S": f"event#{7:015d}"}, "storage_id": {"S": "x"}})
    ends = CompletedRunReader(stores.events, VirtualClock(NOON))

    assert [each.number for each in ends.after("load", 0, 2)] == [1, 8]
    assert [each.number for each in ends.after("load", 1, 2)] == [8]
    assert ends.after("load", 8, 2) == []


def test_materializations_are_read_past_one_that_cannot_be(stores: Stores) -> None:
    assert isinstance(stores.events, DynamoEventStore)
    good = '{"description":null,"metadata":{},"partition":"p","run_id":null,"depth":0,"location":"a/b/c"}'
    stores.events.append([event("orders", n, good if n != 2 else '{"depth":true}') for n in (1, 2, 3)])
    put(stores.events, {"asset_key": {"S": "orders"}, "item": {"S": f"event#{3:015d}"}, "body": {"N": "1"}})
    instance = InstanceReader(stores.runs, "a/b/c", stores.events, no_partitions)
    from treadle import AssetKey

    page = instance.fetch_materializations(AssetKey("orders"), limit=5, ascending=True)

    assert [record.storage_id for record in page.records] == [1]
    assert instance.get_materialized_partitions(AssetKey("orders")) == {"p"}
    shown = list(stores.events.between("orders", 0))
    assert [each.storage_id for each in shown] == [1, 2, 3]
    assert shown[2].body.startswith("unreadable: ")
    assert instance.get_latest_materialization_event(AssetKey("orders")) is None


def test_a_time_is_looked_up_past_a_whole_page_that_cannot_be_read(
    stores: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """So that no event that happened since then is passed over."""
    assert isinstance(stores.events, DynamoEventStore)
    monkeypatch.setattr("treadle.adapters.dynamodb.assets.AT_ONCE", 2)
    stores.events.append([event("orders", n, "{}") for n in range(1, 7)])
    for number in (3, 4):
        place = {"asset_key": {"S": "orders"}, "item": {"S": f"event#{number:015d}"}}
        put(stores.events, {**place, "storage_id": {"S": "x"}})

    assert stores.events.number_before("orders", NOON + 2) == 1


@pytest.mark.parametrize(
    "fields",
    [
        {"dropped": {"S": '["a", "b", "c"]'}},
        {"dropped": {"S": "[NaN, 1e999, 1]"}},
        {"dropped": {"S": '[1, "ann", null]'}},
    ],
    ids=str,
)
def test_a_damaged_decision_of_an_operator_makes_the_tick_unreadable(
    stores: Stores, fields: dict[str, Any]
) -> None:
    assert isinstance(stores.ticks, DynamoTickStore)
    bad = tick(1)
    put(stores.ticks, {**to_item(bad, stores.ticks._outcomes), "held": {"S": "waits"}, **fields})

    with pytest.raises(UnreadableRecordError, match=bad.tick_id):
        stores.ticks.get("watch", bad.tick_id)
    with pytest.raises(UnreadableRecordError, match=bad.tick_id):
        stores.ticks.drop("watch", bad.tick_id, Drop(NOON, "ann", "why"), NOON, "why")


def test_a_decision_of_an_operator_is_noted_again_with_the_same_text(stores: Stores) -> None:
    """However long its reason is, which is cut in the record."""
    assert isinstance(stores.ticks, DynamoTickStore)
    assert stores.ticks.put(tick(1))
    assert stores.ticks.postpone("watch", tick(1).tick_id, NOON, "waits", held=1)
    drop = Drop(NOON, "ann", "y" * 5_000)

    noted = [stores.ticks.drop("watch", tick(1).tick_id, drop, NOON, "why") for _ in range(2)]

    assert noted == [True, True]
    other = Drop(NOON, "bob", "z")
    assert not stores.ticks.drop("watch", tick(1).tick_id, other, NOON, "why")


@pytest.mark.parametrize("wrong", ['["a", "b", "c"]', "[NaN, 1e999, 1]", "[1, 2, 3]", '["a", 1]'])
def test_a_damaged_note_of_a_silent_target_makes_the_run_unreadable(stores: Stores, wrong: str) -> None:
    spoil_run(stores, unanswered={"S": wrong})

    with pytest.raises(UnreadableRecordError, match="run bad"):
        stores.runs.get("bad")


@pytest.mark.parametrize(
    "wrong", ['[1, 0, "E", "cause", 1, ""]', '[["a", 0, "E", "cause", 1, ""]]', '[[1, 0, "E"]]']
)
def test_a_damaged_cancellation_makes_the_run_unreadable(stores: Stores, wrong: str) -> None:
    spoil_run(stores, cancellations={"S": wrong})

    with pytest.raises(UnreadableRecordError, match="run bad"):
        stores.runs.get("bad")


def test_the_newest_ticks_are_listed_past_one_that_is_damaged_and_has_lost_its_requests(
    stores: Stores,
) -> None:
    assert isinstance(stores.ticks, DynamoTickStore)
    good, bad = tick(1), tick(2)
    assert stores.ticks.put(good)
    item = to_item(bad, stores.ticks._outcomes)
    del item["requests"]
    lost = {"outcome_key": {"S": "ticks/watch/none"}, "outcome_digest": {"S": "x"}, "attempts": {"N": "0.5"}}
    put(stores.ticks, {**item, **lost})

    latest = stores.ticks.latest("watch", 9)

    assert [each.tick_id for each in latest] == [bad.tick_id, good.tick_id]
    assert latest[0].error is not None
    assert latest[0].error.message.startswith("unreadable: ")


def test_ticks_of_a_range_show_one_that_cannot_be_read_and_one_that_has_lost_its_requests(
    stores: Stores,
) -> None:
    assert isinstance(stores.ticks, DynamoTickStore)
    good, bad, lost = tick(1), tick(2), tick(3)
    assert stores.ticks.put(good)
    put(stores.ticks, {**to_item(bad, stores.ticks._outcomes), "status": {"S": "x"}})
    item = to_item(lost, stores.ticks._outcomes)
    del item["requests"]
    put(stores.ticks, {**item, "outcome_key": {"S": "ticks/watch/none"}, "outcome_digest": {"S": "x"}})

    found = list(stores.ticks.between("watch", "0", "9"))

    assert [each.tick_id for each in found] == [good.tick_id, bad.tick_id, lost.tick_id]
    assert found[0] == good
    reasons = [each.error.message if each.error else "" for each in found]
    assert reasons[1].startswith("unreadable: ")
    assert reasons[2].startswith("unreadable: its requests cannot be read: ")


def request(owner: str, **fields: Any) -> LeaseRequest:
    given: dict[str, Any] = {
        "scheduled_for": NOON,
        "interval": 0,
        "now": NOON,
        "expires_at": NOON + 9_000,
        **fields,
    }
    return LeaseRequest("watch", owner, default_status=DefaultSensorStatus.RUNNING, **given)


def test_a_lease_whose_state_cannot_be_read_is_given_back(stores: Stores) -> None:
    """Nobody holds it, so that the sensor continues as soon as its record is repaired."""
    assert isinstance(stores.sensors, DynamoSensorStore)
    put(stores.sensors, {"sensor": {"S": "watch"}, "epoch": {"N": "3"}, "failure_streak": {"S": "x"}})
    with pytest.raises(UnreadableRecordError, match="sensor watch"):
        stores.sensors.acquire(request("a"))

    client = boto3.client("dynamodb")
    client.update_item(
        TableName=stores.sensors._table.name,
        Key={"sensor": {"S": "watch"}},
        UpdateExpression="SET failure_streak = :number",
        ExpressionAttributeValues={":number": {"N": "2"}},
    )
    client.close()
    lease = stores.sensors.acquire(request("b", scheduled_for=NOON + 1, now=NOON + 1))

    assert isinstance(lease, Lease)
    assert (lease.before.lease_owner, lease.before.failure_streak) == (None, 2)


def test_what_a_lease_stands_before_is_read_or_named(stores: Stores) -> None:
    assert isinstance(stores.sensors, DynamoSensorStore)
    held = {"lease_owner": {"S": "a"}, "lease_expires": {"N": str(NOON + 9_000)}}
    put(
        stores.sensors,
        {"sensor": {"S": "watch"}, "epoch": {"N": "3"}, **held, "prior_expires": {"N": "-1.5"}},
    )

    with pytest.raises(UnreadableRecordError, match="sensor watch"):
        stores.sensors.acquire(request("a"))


@pytest.mark.parametrize(
    "damage",
    [None, {}, {"cursor": {"N": "7"}}, {"cursor": {"NULL": True}}],
    ids=["gone", "empty", "7", "null"],
)
def test_a_lost_cursor_is_no_beginning_and_is_set_again_by_an_edit(
    stores: Stores, damage: dict[str, Any] | None
) -> None:
    assert isinstance(stores.sensors, DynamoSensorStore)
    stores.sensors.edit("watch", Edit(NOON, "ann", cursor="x" * 5_000, sets_cursor=True))
    key = {"sensor": {"S": "watch#cursor"}}
    client = boto3.client("dynamodb")
    client.delete_item(TableName=stores.sensors._table.name, Key=key)
    client.close()
    if damage is not None:
        put(stores.sensors, {**key, **damage})

    with pytest.raises(
        UnreadableRecordError, match=r"cursor of sensor watch.*treadle sensor cursor set watch"
    ):
        stores.sensors.cursor(stores.sensors.get("watch"))

    state = stores.sensors.edit("watch", Edit(NOON + 1, "ann", cursor="y" * 5_000, sets_cursor=True))
    assert stores.sensors.cursor(state) == "y" * 5_000
    before = stores.sensors.edits("watch")[0].before
    assert (before or "").startswith("unreadable: ")
