"""I10: one bad message or record never takes its neighbors with it, in any queue, stream or table.

Each case puts poison between good ones. The good ones are handled at the first delivery, the poison alone is a dead
dead letter with origin and reason, or an unreadable record that lists show, and nothing raises.
"""

import json
import time
from collections.abc import Callable, Mapping
from itertools import count, islice
from typing import Any
from uuid import uuid4

import boto3
import pytest

from tests.functional.conftest import BUCKET, STACK, Deployment, LambdaContext, batch, object_created
from tests.functional.test_command_line import treadle
from tests.support.poison import NO_MESSAGES, damaged
from tests.support.streams import as_record
from treadle import AssetKey, JobDefinition, RunRequest, asset_sensor, evaluator
from treadle.adapters.dynamodb.runs import _item
from treadle.adapters.dynamodb.ticks import to_item
from treadle.adapters.queues import SqsDeadLetters
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.identity import event_tick_id
from treadle.engine.reconcile.reconciler import DISPATCH_LATE_MS
from treadle.model.runs import Run
from treadle.model.ticks import PlannedRun, Tick, TickKind

NAMESPACE = "123456789012/us-east-1/test"
SENSOR = "new_objects"
JOB = "process_file"
DONE: dict[str, list[object]] = {"batchItemFailures": []}
NUMBERS = count()


def now() -> int:
    return int(time.time() * 1000)


def dead_letters(deployment: Deployment) -> list[tuple[str, str]]:
    """Return origin and reason of each dead letter."""
    return [
        tuple(message["MessageAttributes"][name]["StringValue"] for name in ("origin", "reason"))
        for message in deployment.messages("dead")
    ]


def planned() -> PlannedRun:
    return PlannedRun(str(uuid4()), f"k{next(NUMBERS)}", JOB, "{}", {"a": "b"})


def new_tick(*requests: PlannedRun, at: int | None = None) -> Tick:
    """Return a tick that was committed a while ago."""
    at = now() - DISPATCH_LATE_MS - 60_000 if at is None else at
    tick_id = event_tick_id(at, [str(next(NUMBERS))])
    return Tick(
        SENSOR, tick_id, TickKind.EVENT, TickStatus.SUCCESS, at, at, at,
        requests=requests or (planned(),), trigger="x", owner=str(uuid4()), log=("line",), acted_on="r/1/0/SUCCESS",
    )  # fmt: skip


def new_run(status: Status = Status.QUEUED, *, next_at: int | None = None) -> Run:
    at = now() - 3_600_000
    times = {"QUEUED": at} if status is Status.QUEUED else {"QUEUED": at, "STARTING": at, "STARTED": at}
    return Run(
        str(uuid4()), JOB, SENSOR, f"k{next(NUMBERS)}", "tick", "{}", {"a": "b"}, at,
        status=status, reached={"1/0": times}, next_at=next_at,
    )  # fmt: skip


def put(deployment: Deployment, table: str, item: Mapping[str, Any]) -> None:
    boto3.client("dynamodb").put_item(TableName=deployment.environment[f"TREADLE_{table}_TABLE"], Item=item)


# Queues.


class Objects:
    """Events of objects, in a sensor's own queue."""

    origin = "sensor new_objects"

    def __init__(self, deployment: Deployment) -> None:
        self.deployment = deployment

    def good(self) -> dict[str, Any]:
        return object_created(f"in/{next(NUMBERS)}.csv", "e1")

    def poison(self) -> Mapping[str, Any]:
        good = self.good()
        detail = good["detail"]
        return {
            "detail is a list": {**good, "detail": []},
            "object is null": {**good, "detail": {**detail, "object": None}},
            "half a pair in the key": {**good, "detail": {**detail, "object": {**detail["object"], "key": "\ud800"}}},
            "half a pair in the etag": {**good, "detail": {**detail, "object": {**detail["object"], "etag": "\udfff"}}},
            "size is true": {**good, "detail": {**detail, "object": {**detail["object"], "size": True}}},
            "size is Infinity": json.dumps(good).replace('"size": 8', '"size": Infinity'),
            "time is a list": {**good, "time": []},
            "time lies before the first year": {**good, "time": "0001-01-01T00:00:00+14:00"},
        }  # fmt: skip

    def deliver(self, *bodies: Any) -> Any:
        return self.deployment.invoke("sensors/new_objects", batch(*bodies))

    def handled(self) -> int:
        return len(self.deployment.stores.ticks.page(SENSOR, limit=1_000).ticks)


@asset_sensor(asset_key=AssetKey(["chaos", "batch"]), job=JobDefinition(JOB))
def on_batch(context: Any, entry: Any) -> RunRequest:
    return RunRequest(str(entry.storage_id if hasattr(entry, "storage_id") else uuid4()))


class Assets(Objects):
    """Events of assets, in a sensor's own queue."""

    origin = "sensor on_batch"

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        deployment.monkeypatch.delenv("TREADLE_INTERVAL_SECONDS")
        self.handler = evaluator(on_batch)

    def good(self) -> dict[str, Any]:
        number = next(NUMBERS)
        detail = {
            "version": 1, "id": f"e{number}", "namespace": NAMESPACE, "origin": NAMESPACE,
            "asset_key": "chaos/batch", "storage_id": number + 1, "time": "2026-11-22T18:00:05Z",
            "partition": "p", "description": None, "metadata": {"rows": 1}, "run_id": None, "depth": 0,
        }  # fmt: skip
        return {
            "source": "treadle",
            "detail-type": "Asset Materialized",
            "account": "123456789012",
            "region": "us-east-1",
            "detail": detail,
        }

    def poison(self) -> Mapping[str, Any]:
        def wrong(**fields: Any) -> dict[str, Any]:
            good = self.good()
            return {**good, "detail": {**good["detail"], **fields}}

        return {
            "partition is a number": wrong(partition=7),
            "metadata is a string": wrong(metadata="x"),
            "metadata is a list": wrong(metadata=[1]),
            "metadata is deep": json.dumps(wrong(metadata={"a": 1})).replace("1}", "[" * 2_000 + "]" * 2_000 + "}"),
            "half a pair in the id": wrong(id="\ud800"),
            "key is an object": wrong(asset_key={}),
            "storage id is true": wrong(storage_id=True),
            "depth is beyond all": wrong(depth=10**30),
            "no detail": {**self.good(), "detail": None},
        }  # fmt: skip

    def deliver(self, *bodies: Any) -> Any:
        return self.handler(batch(*bodies), LambdaContext())

    def handled(self) -> int:
        return len(self.deployment.stores.ticks.page("on_batch", limit=1_000).ticks)


class Launches(Objects):
    """LAUNCH's queue."""

    origin = "launch"

    def good(self) -> dict[str, Any]:
        run = new_run()
        assert self.deployment.stores.runs.create(run) is None
        return {"treadle": "launch", "run_id": run.run_id, "attempt": 1, "job": JOB}

    def poison(self) -> Mapping[str, Any]:
        form = {"treadle": "launch", "run_id": "x", "attempt": 1, "job": JOB}
        damaged_run = new_run()
        put(self.deployment, "RUNS", {**_item(damaged_run, 1), "tags": {"S": "[]"}})
        return {
            "attempt is true": {**form, "attempt": True},
            "attempt is a string": {**form, "attempt": "1"},
            "attempt is beyond all": {**form, "attempt": 2**70},
            "run id is empty": {**form, "run_id": ""},
            "run id is long": {**form, "run_id": "x" * 3_000},
            "run id is a list": {**form, "run_id": ["x"]},
            "no job": {**form, "job": None},
            "no such run": form,
            "a run whose record is damaged": {**form, "run_id": damaged_run.run_id},
        }

    def deliver(self, *bodies: Any) -> Any:
        return self.deployment.invoke("engine/launch", batch(*bodies))

    def handled(self) -> int:
        return len(self.deployment.executions())


class Dispatches(Objects):
    """DISPATCH's queue."""

    origin = "dispatch"

    def good(self) -> dict[str, Any]:
        tick = new_tick()
        assert self.deployment.stores.ticks.put(tick)
        return {"treadle": "dispatch", "sensor": SENSOR, "tick_id": tick.tick_id}

    def poison(self) -> Mapping[str, Any]:
        form = {"treadle": "dispatch", "sensor": SENSOR, "tick_id": "x"}
        bad = new_tick()
        put(
            self.deployment,
            "TICKS",
            {**to_item(bad, self.deployment.stores.ticks._outcomes), "requests": {"B": b"x"}},
        )
        return {
            "sensor is a number": {**form, "sensor": 7},
            "slice is true": {**form, "slice": True, "of": 2},
            "no such tick": form,
            "tick id is long": {**form, "tick_id": "x" * 500},
            "a tick whose record is damaged": {**form, "tick_id": bad.tick_id},
        }  # fmt: skip

    def deliver(self, *bodies: Any) -> Any:
        return self.deployment.invoke("engine/dispatch", batch(*bodies))

    def handled(self) -> int:
        table = self.deployment.environment["TREADLE_RUNS_TABLE"]
        return int(boto3.client("dynamodb").scan(TableName=table, Select="COUNT")["Count"])


class Records(Objects):
    """RECORD's queue."""

    origin = "record"

    def good(self) -> dict[str, Any]:
        detail = {"version": 1, "asset_key": f"chaos/a{next(NUMBERS)}", "event_id": str(uuid4())}
        return {
            "id": str(uuid4()),
            "time": "2026-11-22T18:00:05Z",
            "source": "treadle.report",
            "detail-type": "Asset Materialization Report",
            "account": "123456789012",
            "region": "us-east-1",
            "detail": detail,
        }

    def poison(self) -> Mapping[str, Any]:
        def wrong(**fields: Any) -> dict[str, Any]:
            good = self.good()
            return {**good, "detail": {**good["detail"], **fields}}

        bad_run = new_run(Status.STARTED)
        put(self.deployment, "RUNS", {**_item(bad_run, 1), "reached": {"S": "7"}})
        execution = {
            "executionArn": f"{self.deployment.machine.replace(':stateMachine:', ':execution:')}:x",
            "stateMachineArn": self.deployment.machine,
            "name": f"{bad_run.run_id}-1",
            "status": "SUCCEEDED",
        }
        change = {
            "time": "2026-11-22T18:00:10Z",
            "source": "aws.states",
            "detail-type": "Step Functions Execution Status Change",
            "detail": execution,
        }
        return {
            "partition is a number": wrong(partition=7),
            "metadata is a list": wrong(metadata=[1]),
            "event id is half a pair": wrong(event_id="\ud800"),
            "event id is an object": wrong(event_id={"a": 1}),
            "time is true": wrong(time=True),
            "detail is a string": {**self.good(), "detail": "x"},
            "kind is a list": {**self.good(), "detail-type": ["x"]},
            "status is a list": {**change, "detail": {**execution, "status": ["x"]}},
            "detail is null": {**change, "detail": None},
            "a run whose record is damaged": change,
        }

    def deliver(self, *bodies: Any) -> Any:
        return self.deployment.invoke("engine/record", batch(*bodies))

    def handled(self) -> int:
        return len(self.deployment.stores.events.asset_keys("", 1_000))


class Publications(Objects):
    """PUBLISH's queue."""

    origin = "publish"

    def __init__(self, deployment: Deployment) -> None:
        super().__init__(deployment)
        self.counted = 0
        deployment.subscribe()

    def good(self) -> dict[str, Any]:
        run = new_run()
        assert self.deployment.stores.runs.create(run) is None
        return {"treadle": "publish", "run_id": run.run_id}

    def poison(self) -> Mapping[str, Any]:
        bad = new_run()
        put(self.deployment, "RUNS", {**_item(bad, 1), "tags": {"S": '["a"]'}})
        return {
            "run id is empty": {"treadle": "publish", "run_id": ""},
            "run id is long": {"treadle": "publish", "run_id": "x" * 3_000},
            "events are objects": {"treadle": "publish", "run_id": "x", "events": [{}]},
            "a run whose record is damaged": {"treadle": "publish", "run_id": bad.run_id},
        }

    def deliver(self, *bodies: Any) -> Any:
        return self.deployment.invoke("engine/publish", batch(*bodies))

    def handled(self) -> int:
        self.counted += len({event["detail"]["id"] for event in self.deployment.bus_events()})
        return self.counted


@pytest.mark.parametrize("queue", [Objects, Assets, Launches, Dispatches, Records, Publications])
def test_a_bad_message_alone_becomes_a_dead_letter_and_its_neighbors_are_handled_at_once(
    deployment: Deployment, queue: Callable[[Deployment], Objects]
) -> None:
    queued = queue(deployment)
    handled = 0
    for name, body in {**NO_MESSAGES, **queued.poison()}.items():
        good = [queued.good() for _ in range(4)]

        answer = queued.deliver(good[0], body, *good[1:])

        handled += 4
        assert answer == DONE, name
        assert queued.handled() == handled, name
        [(origin, reason)] = dead_letters(deployment)
        assert (origin, bool(reason.partition(":")[2])) == (queued.origin, True), name


def test_a_wake_up_among_poison_still_wakes_and_poison_alone_does_not(deployment: Deployment) -> None:
    """Of a sensor that reads for itself what there is."""
    from treadle import multi_asset_sensor

    woken: list[int] = []

    @multi_asset_sensor(monitored_assets=[AssetKey(["chaos", "batch"])], job=JobDefinition(JOB))
    def both(context: Any) -> None:
        woken.append(1)

    deployment.monkeypatch.delenv("TREADLE_INTERVAL_SECONDS")
    handler = evaluator(both)

    assert handler(batch(*NO_MESSAGES.values()), LambdaContext()) == DONE
    assert woken == []
    assert len(dead_letters(deployment)) == len(NO_MESSAGES)
    assert handler(batch("{", {"treadle": "wake"}, "[]"), LambdaContext()) == DONE
    assert woken == [1]


# Streams.


def test_a_damaged_record_of_the_ticks_stream_becomes_a_dead_letter_and_the_others_are_dispatched(
    deployment: Deployment,
) -> None:
    items = dict(damaged(to_item(new_tick(), deployment.stores.ticks._outcomes), keys=("sensor", "tick_id")))
    good = [new_tick() for _ in range(6)]
    for tick in good:
        assert deployment.stores.ticks.put(tick)
    records = [as_record(item) for item in items.values()]
    for tick in good:
        records.insert(len(records) // 2, as_record(to_item(tick, deployment.stores.ticks._outcomes)))

    answer = deployment.invoke("engine/dispatch", {"Records": records})

    assert answer == DONE
    ids = {request.run_id for tick in good for request in tick.requests}
    assert set(deployment.stores.runs.get_many(ids)) == ids
    found = dead_letters(deployment)
    assert {origin for origin, _ in found} == {"dispatch"}
    assert len(found) >= len(items) // 2


def test_a_damaged_request_of_a_tick_is_rejected_and_its_others_are_started(deployment: Deployment) -> None:
    good = [planned() for _ in range(4)]
    bad = [
        PlannedRun(str(uuid4()), "b1", JOB, "{}", {}, partition_key=["2026"]),  # type: ignore[arg-type]
        PlannedRun(str(uuid4()), "b2", JOB, "{}", ["x"]),  # type: ignore[arg-type]
        PlannedRun(str(uuid4()), 7, JOB, "{}", {}),  # type: ignore[arg-type]
        PlannedRun("", "b4", JOB, "{}", {}),
        PlannedRun(str(uuid4()), "b5", JOB, "{}", {}, partition_key="x" * 420_000),
    ]
    tick = new_tick(*good[:2], *(each for each in bad if isinstance(each.tags, dict)), *good[2:])
    assert deployment.stores.ticks.put(tick)

    deployment.dispatch_pending()

    ids = {request.run_id for request in good}
    assert set(deployment.stores.runs.get_many(ids)) == ids
    assert len(deployment.messages("launch")) == 4
    kept = deployment.stores.ticks.get(SENSOR, tick.tick_id)
    assert kept is not None
    assert kept.dispatched is not None
    assert {each.run_key for each in kept.rejected} == {"b1", None}
    assert len(kept.refusals) == kept.dispatched.refused == 2
    assert dead_letters(deployment) == []


def test_a_request_whose_run_cannot_be_read_is_refused_and_the_others_are_started(
    deployment: Deployment,
) -> None:
    bad, good = planned(), [planned() for _ in range(4)]
    existing = Run(bad.run_id, JOB, SENSOR, bad.run_key, "before", "{}", {}, now())
    put(deployment, "RUNS", {**_item(existing, 1), "reached": {"S": "no JSON"}})
    tick = new_tick(good[0], bad, *good[1:])
    assert deployment.stores.ticks.put(tick)

    deployment.dispatch_pending()

    assert len(deployment.messages("launch")) == 4
    kept = deployment.stores.ticks.get(SENSOR, tick.tick_id)
    assert kept is not None
    [refusal] = kept.refusals
    assert bad.run_id in refusal
    assert "cannot be read" in refusal


def test_a_damaged_record_of_the_runs_stream_becomes_a_dead_letter_once_and_the_others_are_reported(
    deployment: Deployment,
) -> None:
    publications = Publications(deployment)
    images = dict(damaged(_item(new_run(), 1), keys=("run_id",)))
    good = [new_run() for _ in range(6)]

    def record(image: Mapping[str, Any], old: Mapping[str, Any] | None = None) -> dict[str, Any]:
        images = {"NewImage": image, "Keys": {"run_id": image["run_id"]}}
        return {"eventSource": "aws:dynamodb", "dynamodb": images | ({"OldImage": old} if old else {})}

    records = [record(image) for image in images.values()]
    for run in good:
        records.insert(len(records) // 2, record(_item(run, 1)))
    junk = {"reached": {"S": "junk"}}
    repaired = new_run()
    records.append(record(_item(repaired, 2), junk))

    answer = deployment.invoke("engine/publish", {"Records": records})

    assert answer == DONE
    published = {event["detail"]["run_id"] for event in deployment.bus_events()}
    assert {run.run_id for run in (*good, repaired)} <= published
    found = dead_letters(deployment)
    assert {origin for origin, _ in found} == {"publish"}
    assert len(found) >= len(images) // 3
    assert publications.origin == "publish"


def test_a_record_that_no_dead_letter_can_be_kept_of_comes_again_and_those_before_it_do_not(
    deployment: Deployment,
) -> None:
    """The stream continues at that very record, once the queue takes dead letters again."""
    good, bad = new_tick(), new_tick()
    for tick in (good, bad):
        assert deployment.stores.ticks.put(tick)
    first = as_record(to_item(good, deployment.stores.ticks._outcomes))
    broken = as_record({"sensor": {"S": SENSOR}, "tick_id": {"S": bad.tick_id}})
    for number, each in enumerate((first, broken), 1):
        each["dynamodb"]["SequenceNumber"] = str(number)
    deployment.setenv(TREADLE_DEAD_LETTER_QUEUE_URL=f"{deployment.queues['dead']}-that-is-not-there")

    answer = deployment.invoke("engine/dispatch", {"Records": [first, broken]})

    assert answer == {"batchItemFailures": [{"itemIdentifier": "2"}]}
    assert len(deployment.messages("launch")) == 1


# Tables.

KEYS_OF_TICKS = ("sensor", "tick_id", "pending", "pending_since")
KEYS_OF_RUNS = ("run_id", "sensor", "job", "created_at", "updated_at", "watch", "next_at", "job_ended")
"""Of the table and its indexes: DynamoDB itself takes nothing else there."""


def reconcile(deployment: Deployment) -> dict[str, Any]:
    answer: dict[str, Any] = deployment.invoke("engine/reconcile", {"treadle": "reconcile"})
    return answer


def test_reconcile_sets_damaged_ticks_apart_and_continues_with_all_others(
    deployment: Deployment, capsys: pytest.CaptureFixture[str]
) -> None:
    keys = ("sensor", "tick_id", "pending", "pending_since", "acted_on")
    base = to_item(new_tick(), deployment.stores.ticks._outcomes)
    items = list(damaged(base, keys=keys))[:150]
    for number, (_, item) in enumerate(items):
        tick_id = event_tick_id(now() - 10_000_000, [f"bad{number}"])
        put(deployment, "TICKS", {**item, "sensor": {"S": f"s{number % 3}"}, "tick_id": {"S": tick_id}})
    good = [new_tick() for _ in range(6)]
    for tick in good:
        assert deployment.stores.ticks.put(tick)

    answers = [reconcile(deployment) for _ in range(2)]

    ids = {request.run_id for tick in good for request in tick.requests}
    assert set(deployment.stores.runs.get_many(ids)) == ids
    assert answers[0]["is_complete"]
    assert answers[0]["unreadable"] > len(items) // 2
    assert answers[1]["unreadable"] == 0
    found = dead_letters(deployment)
    assert len(found) == answers[0]["unreadable"]
    assert {origin for origin, _ in found} == {"reconcile"}
    assert all("tick of sensor s" in reason and "cannot be read" in reason for _, reason in found)
    assert '"UnreadableRecords"' in capsys.readouterr().out


def test_reconcile_sets_damaged_runs_apart_and_continues_with_all_others(deployment: Deployment) -> None:
    base = _item(new_run(Status.STARTED, next_at=1), 1)
    items = list(damaged(base, keys=KEYS_OF_RUNS))
    bad = [str(uuid4()) for _ in items]
    for run_id, (_, item) in zip(bad, items, strict=True):
        put(deployment, "RUNS", {**item, "run_id": {"S": run_id}})
    good = [new_run(next_at=now() - 1) for _ in range(6)]
    for run in good:
        assert deployment.stores.runs.create(run) is None

    first = reconcile(deployment)
    second = reconcile(deployment)

    requested = {json.loads(message["Body"])["run_id"] for message in deployment.messages("launch")}
    assert {run.run_id for run in good} <= requested
    assert first["is_complete"]
    assert first["unreadable"] > len(items) // 3
    assert second["unreadable"] == 0
    found = dead_letters(deployment)
    assert len(found) == first["unreadable"]
    assert all(any(run_id in reason for run_id in bad) for _, reason in found)


def test_an_unreadable_tick_is_dispatched_once_it_is_repaired(deployment: Deployment) -> None:
    tick = new_tick()
    item = to_item(tick, deployment.stores.ticks._outcomes)
    put(deployment, "TICKS", {**item, "requests": {"B": b"no zlib"}})
    assert reconcile(deployment)["unreadable"] == 1

    put(deployment, "TICKS", item)
    answer = deployment.invoke(
        "engine/dispatch", batch({"treadle": "dispatch", "sensor": SENSOR, "tick_id": tick.tick_id})
    )

    assert answer == DONE
    assert len(deployment.messages("launch")) == 1
    assert reconcile(deployment)["dispatched"] == 0


def test_lists_show_what_cannot_be_read_as_a_line_and_all_others(stack: Deployment) -> None:
    tick, run = new_tick(at=now()), new_run()
    ticks = list(damaged(to_item(tick, stack.stores.ticks._outcomes), keys=KEYS_OF_TICKS))
    runs = list(damaged(_item(run, 1), keys=KEYS_OF_RUNS))
    for _, item in islice(ticks, 0, None, 3):
        tick_id = event_tick_id(now(), [str(next(NUMBERS))])
        put(stack, "TICKS", {**item, "tick_id": {"S": tick_id}})
    for _, item in islice(runs, 0, None, 3):
        put(stack, "RUNS", {**item, "run_id": {"S": str(uuid4())}})
    assert stack.stores.ticks.put(tick)
    assert stack.stores.runs.create(run) is None
    put(stack, "SENSORS", {"sensor": {"S": SENSOR}, "epoch": {"S": "x"}})

    shown = {
        command: treadle(*command.split())
        for command in (
            "sensor list",
            f"sensor show {SENSOR}",
            f"tick list {SENSOR} --max 500",
            f"tick list {SENSOR} --status FAILURE",
            f"tick list {SENSOR} --max 500 --json",
            f"run list --sensor {SENSOR} --max 500",
            f"run list --job {JOB} --max 500",
            f"run list --job {JOB} --max 500 --json",
            "run list --max 500",
        )
    }

    for command, done in shown.items():
        assert (command, done.exit_code, done.exception) == (command, 0, None)
        assert "unreadable: " in done.stdout, command
    assert tick.tick_id in shown[f"tick list {SENSOR} --max 500"].stdout
    assert all(run.run_id in shown[command].stdout for command in shown if command.startswith("run list"))


def test_one_record_that_cannot_be_read_is_named_without_a_traceback(stack: Deployment) -> None:
    tick, run = new_tick(), new_run()
    put(stack, "TICKS", {**to_item(tick, stack.stores.ticks._outcomes), "requests": {"B": b"no zlib"}})
    put(stack, "RUNS", {**_item(run, 1), "tags": {"S": "[]"}})

    for command in (
        f"tick show {SENSOR} {tick.tick_id}",
        f"run show {run.run_id}",
        f"run rerun {run.run_id}",
        f"why {SENSOR} --run {run.run_id}",
    ):
        done = treadle(*command.split())
        assert (command, done.exit_code) == (command, 2)
        assert "cannot be read" in done.stderr, command


def test_assets_show_what_cannot_be_read_as_a_line_and_all_others(stack: Deployment) -> None:
    for number in range(3):
        stack.invoke("engine/record", batch(Records(stack).good() | {"id": f"i{number}"}))
    keys = stack.stores.events.asset_keys("", 10)
    key, other = keys[0], keys[1]
    put(
        stack,
        "EVENTS",
        {
            "asset_key": {"S": key},
            "item": {"S": "event#000000000000001"},
            "storage_id": {"N": "1"},
            "body": {"N": "1"},
        },
    )
    put(
        stack,
        "EVENTS",
        {
            "asset_key": {"S": other},
            "item": {"S": "counter"},
            "storage_id": {"S": "x"},
            "listed": {"BOOL": True},
        },
    )

    listed, shown = treadle("asset", "list"), treadle("asset", "show", key)

    assert (listed.exit_code, shown.exit_code) == (0, 0)
    assert all(each in listed.stdout for each in keys)
    assert listed.stdout.count("unreadable: ") == 2
    assert "unreadable: " in shown.stdout


def test_dead_letters_of_any_kind_are_listed_and_the_good_ones_are_sent_again(stack: Deployment) -> None:
    box = SqsDeadLetters(stack.queues["dead"])
    run = new_run()
    assert stack.stores.runs.create(run) is None
    good = {"treadle": "launch", "run_id": run.run_id, "attempt": 1, "job": JOB}
    bodies = list(NO_MESSAGES.values())
    for body in (*bodies, json.dumps(good)):
        box.send(body, origin="launch", reason="StoreError: DynamoDB failed.")

    listed = treadle("dlq", "list")
    redriven = treadle("dlq", "redrive")

    assert (listed.exit_code, listed.exception) == (0, None)
    assert (redriven.exit_code, redriven.exception) == (0, None)
    assert [json.loads(each["Body"]) for each in stack.messages("launch")][-1:] == [good]
    assert redriven.stdout.count("LEFT ") >= len(bodies) - 2
    assert "cannot be read" in redriven.stdout
    assert (STACK, BUCKET) == ("shop", "treadle-watched-bucket")
