"""The windows in which Dagster's sensors duplicate (D) or lose (L) runs, each closed here.

Numbers and names are those of docs/reference/dagster-windows.md, which also says which ones cannot exist here.
"""

import itertools
import json
import threading
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial

import pytest
from moto import mock_aws

from tests.support.dispatching import NOON, committed
from tests.support.engine import JOB, NAMESPACE, RUNNING, EngineHarness, sensor_of
from tests.support.objects import BUCKET, object_of
from tests.support.process_kill import KilledError, kill_point
from tests.support.tables import create_tables
from tests.support.windows import at_once, counting, launch_all, load, numbers_started
from tests.template.engine_model import all_statements, read_engine
from tests.template.model import actions
from treadle import (
    DagsterRunStatus,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    sensor,
)
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.definitions.errors import LaunchRejectedError
from treadle.definitions.objects import ObjectCreated
from treadle.engine.assembly import Assembly
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import TickSettings
from treadle.integrations.s3 import S3Selection, S3SensorDefinition
from treadle.testing import TreadleInstance
from treadle.testing.bus import InMemoryBus
from treadle.testing.grants import FixedGrants
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.system import InMemoryQueue, VirtualClock
from treadle.testing.targets import InMemoryTarget

GRANTS = FixedGrants({"watch": frozenset({JOB})})


@pytest.fixture
def harness() -> EngineHarness:
    """Return the engine over stores in memory."""
    return EngineHarness()


@pytest.fixture
def stores(dynamodb_local: str, monkeypatch: pytest.MonkeyPatch) -> DynamoStores:
    """Return empty tables on DynamoDB Local, which serializes the conditional writes."""
    monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", dynamodb_local)
    return DynamoStores(create_tables(), RandomTokens())


def test_d1_evaluators_that_request_one_key_at_the_same_time_start_one_run(stores: DynamoStores) -> None:
    evaluators, barrier, clock = 4, threading.Barrier(4), VirtualClock()

    def function() -> RunRequest:
        barrier.wait(30)  # All have read what exists before one of them commits.
        return RunRequest("the key")

    definition = S3SensorDefinition("watch", evaluation_fn=function, selection=S3Selection(BUCKET), job=load)
    engine = Assembly(stores, clock, RandomTokens(), NAMESPACE)
    events = engine.sensor(definition, TickSettings(0, RUNNING)).events
    time = datetime(2026, 11, 22, 18, tzinfo=UTC)
    uploads = [ObjectCreated(object_of("in/a.csv"), time, str(number)) for number in range(evaluators)]
    batch_state = events.load_batch_state(uploads)

    at_once([partial(events.evaluate, each, batch_state, Budget()) for each in uploads])
    queue, target = InMemoryQueue(), InMemoryTarget(clock)
    dispatcher = engine.dispatcher(queue, GRANTS, InMemoryBus())
    ticks = stores.ticks.latest("watch", 10)
    at_once([partial(dispatcher.dispatch, tick) for tick in ticks])
    launch_all(stores.runs, queue, target, clock, at_a_time=4)

    assert [len(tick.requests) for tick in ticks] == [1] * evaluators
    (run,) = stores.runs.list_by_sensor("watch", 10)
    assert [(start.run_id, len(target.begun[start.launch_id])) for start in target.starts] == [
        (run.run_id, 1)
    ]


def test_d2_threads_that_submit_one_ticks_requests_start_a_key_once(stores: DynamoStores) -> None:
    harness, target = EngineHarness(), InMemoryTarget(VirtualClock())
    once = committed(harness, "the key")
    tick = replace(once, requests=once.requests * 8)  # As if the repeated key had not been filtered before.
    stores.ticks.put(tick)
    engine = Assembly(stores, harness.clock, harness.tokens, NAMESPACE)
    dispatcher = engine.dispatcher(harness.launches, GRANTS, harness.bus, workers=8)

    dispatcher.dispatch(tick)
    launch_all(stores.runs, harness.launches, target, harness.clock)

    assert len(stores.runs.list_by_sensor("watch", 10)) == 1
    assert len(target.executions) == 1


@pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
def test_d3_crash_at_any_write_of_a_tick_leaves_cursor_and_requests_together(*, after: bool) -> None:
    killed_at = []
    for call in itertools.count(1):
        with mock_aws(), kill_point() as kill:
            stores = DynamoStores(create_tables(), RandomTokens())
            clock = VirtualClock()
            engine = Assembly(stores, clock, RandomTokens(), NAMESPACE)
            ticks = engine.sensor(sensor_of(counting), TickSettings(0, RUNNING)).scheduled
            kill.call, kill.after = call, after
            try:
                ticks.tick(clock.now(), Budget(60))
            except KilledError:
                killed_at.append(kill.killed_at)
            kill.call = 0
            _assert_one_request_for_each_number(stores)
            for _ in range(3):
                clock.advance(120)
                ticks.tick(clock.now(), Budget(60))
                _assert_one_request_for_each_number(stores)
            if not kill.killed_at:
                break

    assert {"UpdateItem", "TransactWriteItems"} <= set(killed_at)


def _assert_one_request_for_each_number(stores: DynamoStores) -> None:
    cursor = stores.sensors.cursor(stores.sensors.get("watch"))
    requested = [
        json.loads(run.run_config) for tick in stores.ticks.latest("watch", 50) for run in tick.requests
    ]
    assert sorted(each["n"] for each in requested) == list(range(1, int(cursor or 0) + 1))


def test_d4_request_that_fails_lets_none_of_the_others_start_again() -> None:
    @sensor(job=load, name="watch")
    def batch(context: SensorEvaluationContext) -> SensorResult | None:
        if context.cursor:
            return None
        return SensorResult([RunRequest(run_config={"n": n}) for n in (1, "two", 3)], cursor="done")

    instance = TreadleInstance([batch])
    instance.target.refusals = iter([LaunchRejectedError("no such version"), None])

    for _ in range(4):
        instance.tick("watch")

    assert instance.cursor("watch") == "done"
    assert [run.status for run in instance.runs()] == [DagsterRunStatus.FAILURE, DagsterRunStatus.STARTED]
    assert numbers_started(instance.target) == [3]


def test_d5_evaluation_that_takes_too_long_is_stopped_and_does_nothing_after_that(
    harness: EngineHarness,
) -> None:
    effects = itertools.count()

    def endless() -> None:
        while True:
            next(effects)

    outcome = harness.leased(sensor_of(endless)).tick(NOON, Budget(0.3))
    done = next(effects)
    threading.Event().wait(0.2)

    assert outcome.decision is Decision.FAILURE
    assert next(effects) == done + 1
    assert "was stopped after" in outcome.reason


def test_d8_key_stays_taken_when_everything_else_about_its_run_is_gone() -> None:
    @sensor(job=load, name="watch")
    def again() -> RunRequest:
        return RunRequest("the key")

    instance = TreadleInstance([again])
    instance.tick("watch")
    (run,) = instance.runs()
    instance.finish_run(run)
    instance._tables.ticks.clear()
    del instance.target.executions[run.external_id or ""]

    second = instance.tick("watch")

    assert (second.outcome.decision, second.runs) == (Decision.SKIPPED, ())
    assert [found.attempt for found in instance.runs()] == [1]


def test_d8_nobody_may_delete_run_records_and_they_do_not_expire() -> None:
    template = read_engine()

    table = template.resources("AWS::DynamoDB::Table")["RunsTable"]
    deleting = [
        statement
        for _, statement in all_statements()
        if any("Delete" in action and action.startswith("dynamodb:") for action in actions(statement))
    ]

    assert "TimeToLiveSpecification" not in table
    assert template.section("Resources")["RunsTable"]["DeletionPolicy"] == "RetainExceptOnCreate"
    # Slots of pools, and places in their queues, are deleted; they are in the events table, below keys of their own.
    for statement in deleting:
        [keys] = statement["Condition"]["ForAllValues:StringLike"].values()
        assert "Events" in json.dumps(statement["Resource"])
        assert "Runs" not in json.dumps(statement["Resource"])
        assert all(key.startswith("#pool") for key in keys)
    assert not [name for name in dir(InMemoryRunStore) if "delete" in name]
