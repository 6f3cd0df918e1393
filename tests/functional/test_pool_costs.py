"""What pools cost on Amazon's own DynamoDB engine: nothing for runs outside of them, and nothing while a run waits."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import boto3
import pytest

from tests.support.dynamodb_meter import Call, Meter, metered
from tests.support.tables import create_tables
from treadle.adapters.dynamodb.database import Item, Table
from treadle.adapters.dynamodb.pools import writes_of
from treadle.adapters.dynamodb.runs import _item
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.bootstrap.inbox import Inbox
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.definitions.status import TickStatus
from treadle.engine.assembly import Assembly
from treadle.engine.identity import RunIds, leased_tick_id
from treadle.engine.launch.launcher import Launcher
from treadle.engine.messages import LaunchRequest, PublishRequest
from treadle.engine.reconcile.reconciler import Reconciler
from treadle.engine.record.pool_slots import with_wait
from treadle.engine.record.recorder import StatusChange
from treadle.entrypoints.publisher import PublisherParts, publish_message
from treadle.model.registry import JOBS, SENSORS, KeptEntry, RegistryCopy
from treadle.model.runs import Run, pool_changes
from treadle.model.targets import JobSettings
from treadle.model.ticks import PlannedRun, Tick, TickKind
from treadle.ports.targets import Target
from treadle.testing.bus import InMemoryBus
from treadle.testing.registry import job_text, sensor_text
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue, VirtualClock
from treadle.testing.targets import InMemoryTarget

NAMESPACE = "123456789012/us-east-1/treadle"
SETTINGS = {name: JobSettings(name, "step_functions", f"arn:x:{name}", "-") for name in ("load", "clean")}
POOL = {"pools/warehouse": json.dumps({"project": "shop", "limit": "1"})}
STARTS = {"pools/warehouse": json.dumps({"project": "shop", "starts_per_minute": "1"})}
ENTRIES = {
    f"{SENSORS}/watch": sensor_text("shop", "load", "clean"),
    f"{JOBS}/load": job_text("shop", SETTINGS["load"]),
    f"{JOBS}/clean": job_text("shop", SETTINGS["clean"], pools="warehouse"),
}


@pytest.fixture
def meter(dynamodb_local: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[Meter]:
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    with metered() as counting:
        yield counting


class Engine:
    """An engine with two jobs, whose registry may declare a pool that one of them is in."""

    def __init__(self, entries: Mapping[str, str]) -> None:
        self.clock = VirtualClock()
        self.names = create_tables()
        self.stores = DynamoStores(self.names, RandomTokens())
        self.assembly = Assembly(self.stores, self.clock, RandomTokens(), NAMESPACE)
        self.launches = InMemoryQueue()
        self.target = InMemoryTarget(self.clock)
        now = self.clock.now()
        copy = RegistryCopy("default", {path: KeptEntry(text, now) for path, text in entries.items()}, now)
        assert self.stores.registry.replace(replace(copy, revision=self.stores.registry.copy().revision))
        assert set(self.assembly.registry.current().pools) == {"warehouse"} & {name[6:] for name in entries}
        self.stores.pools.declare(self.assembly.registry.current().pool_states().values(), ())
        self.dispatcher = self.assembly.dispatcher(self.launches, self.assembly.registry, InMemoryBus())
        self.recorder = self.assembly.recorder(self.assembly.jobs(), self.targets)

    @property
    def targets(self) -> dict[str, Target]:
        """The target."""
        return {"step_functions": self.target}

    @property
    def launcher(self) -> Launcher:
        """The launcher."""
        return self.assembly.launcher(self.launches, self.assembly.jobs(), self.targets)

    @property
    def reconciler(self) -> Reconciler:
        """RECONCILE's part."""
        return self.assembly.reconciler(self.dispatcher, self.launches, self.assembly.jobs(), self.targets)

    def run_once(self, job: str, key: str) -> Run:
        """Let a sensor request a run, and let it be started and end; return it."""
        now = self.clock.now()
        run_id, tick_id = RunIds.of(NAMESPACE).keyed("watch", key), leased_tick_id(now, 1)
        planned = (PlannedRun(run_id, key, job, "{}", {}),)
        tick = Tick("watch", tick_id, TickKind.LEASED, TickStatus.SUCCESS, now, now, now, requests=planned)
        assert self.stores.ticks.put(tick)
        self.dispatcher.dispatch(tick)
        for body in self.launches.drain():
            self.launcher.launch(LaunchRequest.from_json(body), 60.0)
        for execution in list(self.target.executions.values()):
            ended = self.target.finish(execution.external_id, Status.SUCCESS)
            self.recorder.record(
                StatusChange(
                    "step_functions",
                    ended.launch_id,
                    ended.external_id,
                    ended.target,
                    Status.SUCCESS,
                    self.clock.now(),
                )
            )
        found = self.stores.runs.get(run_id)
        assert found is not None
        return found


def calls_of_a_run(meter: Meter, entries: Mapping[str, str]) -> list[Call]:
    """Return the requests of a run that is in no pool, from its tick to its end."""
    engine = Engine(entries)
    engine.run_once("load", "first")  # Reads what the processes cache.
    meter.reset()

    run = engine.run_once("load", "second")

    assert (run.status, run.pools) == (Status.SUCCESS, ())
    return list(meter.calls)


@pytest.mark.parametrize("pool", [POOL, STARTS], ids=["runs at a time", "starts per minute"])
def test_run_outside_of_all_pools_costs_the_same_requests_and_units_in_an_engine_with_pools(
    meter: Meter, pool: Mapping[str, str]
) -> None:
    without = calls_of_a_run(meter, {path: text for path, text in ENTRIES.items() if "clean" not in path})
    with_pools = calls_of_a_run(meter, {**ENTRIES, **pool})

    assert with_pools == without
    assert "TransactWriteItems" not in {call.operation for call in with_pools}
    assert sum(call.units for call in with_pools) > 0


def test_run_of_a_pool_waits_by_one_transaction(meter: Meter) -> None:
    engine = Engine({**ENTRIES, **POOL})
    engine.run_once("load", "first")
    meter.reset()

    run = engine.run_once("clean", "waits")

    assert run.waiting is not None
    assert [call.writes for call in meter.calls if call.operation == "TransactWriteItems"] == [2]
    assert run.next_at is None


def test_start_is_granted_by_one_transaction_and_ends_without_one(meter: Meter) -> None:
    engine = Engine({**ENTRIES, **STARTS})
    run = engine.run_once("clean", "waits")
    meter.reset()

    engine.assembly.granter(engine.launches).grant("starts:warehouse", engine.clock.now() + 60_000)
    assert [call.writes for call in meter.calls if call.operation == "TransactWriteItems"] == [3]
    meter.reset()
    engine.run_once("load", "other")

    ended = engine.stores.runs.get(run.run_id)
    assert ended is not None
    assert (ended.status, ended.pools) == (Status.SUCCESS, ("starts:warehouse",))
    assert "TransactWriteItems" not in {call.operation for call in meter.calls}


def waits(engine: Engine, numbers: range) -> None:
    """Let runs wait, without a transaction for each."""
    now, names = engine.clock.now(), engine.names
    requests: list[tuple[str, Item]] = []
    for number in numbers:
        queued = {"1/0": {"QUEUED": now}}
        run = with_wait(
            Run(
                f"r{number}", "clean", "watch", None, "t", "{}", {}, now, reached=queued, pools=("warehouse",)
            )
        )
        [write] = writes_of(Table(names.events, "asset_key", "item"), pool_changes(None, run), run.run_id)
        requests += [(names.runs, _item(run, 0)), (names.events, write.item or {})]
    client = boto3.client("dynamodb")
    for first in range(0, len(requests), 24):
        batch: dict[str, list[Any]] = {}
        for name, item in requests[first : first + 24]:
            batch.setdefault(name, []).append({"PutRequest": {"Item": item}})
        assert not client.batch_write_item(RequestItems=batch)["UnprocessedItems"]


def passes(engine: Engine, meter: Meter, minutes: int) -> list[list[str]]:
    """Return the requests of each of RECONCILE's passes, one a minute."""
    found = []
    reconciler = engine.reconciler
    for _ in range(minutes):
        engine.clock.advance(60)
        meter.reset()
        reconciler.reconcile(60.0)
        found.append([call.operation for call in meter.calls])
    return found


@pytest.mark.timeout(300)
def test_passes_make_as_many_requests_for_a_thousand_waiting_runs_as_for_one(meter: Meter) -> None:
    engine = Engine({**ENTRIES, **POOL})
    waits(engine, range(2))
    engine.stores.pools.note_queue("warehouse", "t")
    engine.assembly.granter(engine.launches).grant("warehouse", engine.clock.now() + 60_000)
    for body in engine.launches.drain():
        engine.launcher.launch(LaunchRequest.from_json(body), 60.0)
    passes(engine, meter, 2)  # Reads what the process caches.
    few = passes(engine, meter, 10)
    assert engine.launches.drain() == []

    waits(engine, range(2, 1_001))
    many = passes(engine, meter, 60)

    assert engine.launches.drain() == []
    assert len(engine.stores.pools.waiters("warehouse", 2_000)) == 1_000
    assert set(map(len, many)) <= set(map(len, few))
    assert max(map(len, many)) <= 40
    assert many.count([]) == 0
    first: Any = engine.stores.runs.get("r0")
    assert first.status is Status.STARTED


def test_publishing_again_reads_the_run_once_and_reports_its_queue(meter: Meter) -> None:
    engine, dispatches = Engine({**ENTRIES, **POOL}), InMemoryQueue()
    engine.run_once("load", "first")
    run = engine.run_once("clean", "waits")
    parts = PublisherParts(
        engine.assembly.publisher(InMemoryBus()),
        engine.stores.runs.read,
        Inbox("publish", InMemoryQueue(), InMemoryDeadLetters()),
        dispatches,
        engine.stores.pools,
        RandomTokens(),
    )
    meter.reset()

    publish_message(parts, PublishRequest(run.run_id))

    assert [call.operation for call in meter.reads] == ["GetItem"]
    assert dispatches.drain() == [{"treadle": "grant", "pool": "warehouse"}]
