"""A tick that the store rejects becomes a failed tick with the reason; the lease is released, the message redelivered."""

import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from moto import mock_aws

from tests.support.engine import JOB, NAMESPACE
from tests.support.tables import create_tables
from treadle.adapters import clients
from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.system import RandomTokens
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import SensorEvaluationError, StoreError, StoreRejectedError
from treadle.definitions.objects import ObjectCreated, S3Object
from treadle.definitions.results import RunRequest, SensorResult
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus, TickStatus
from treadle.engine.assembly import Assembly, SensorParts
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.scheduled_ticks import ScheduledTickRunner, TickSettings
from treadle.integrations.s3.definition import S3SensorDefinition
from treadle.integrations.s3.selection import S3Selection
from treadle.model.sensors import Completion, Lease
from treadle.testing.system import VirtualClock

SETTINGS = TickSettings(0, DefaultSensorStatus.RUNNING)


@pytest.fixture(params=["moto", "dynamodb-local"])
def stores(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoStores]:
    """Stores without room for what is too large for a record: a large tick is rejected for good."""
    clients.forget()
    if request.param == "moto":
        with mock_aws():
            yield DynamoStores(create_tables(), RandomTokens(), None)
    else:
        monkeypatch.setenv("AWS_ENDPOINT_URL_DYNAMODB", request.getfixturevalue("dynamodb_local"))
        yield DynamoStores(create_tables(), RandomTokens(), None)
    clients.forget()


def noise(size: int) -> str:
    """Return text that hardly gets smaller by compression."""
    return random.Random(7).randbytes(size).hex()


@dataclass
class Sensor:
    """A sensor whose requests are more than can be kept, until `is_small`."""

    stores: DynamoStores
    clock: VirtualClock = field(default_factory=VirtualClock)
    is_small: bool = False

    def function(self, context: SensorEvaluationContext) -> Any:
        requests = [RunRequest(f"k{number}", {"x": noise(90_000)}) for number in range(5)]
        context.log.info("about to request")
        return SensorResult([RunRequest("small")] if self.is_small else requests, cursor="moved")

    def parts(self, definition: SensorDefinition, sensors: Any = None) -> SensorParts:
        stores: Any = SimpleNamespace(
            sensors=sensors or self.stores.sensors, ticks=self.stores.ticks, runs=self.stores.runs
        )
        return Assembly(stores, self.clock, RandomTokens(), NAMESPACE).sensor(definition, SETTINGS)

    def leased(self, sensors: Any = None) -> ScheduledTickRunner:
        definition = SensorDefinition("large", evaluation_fn=self.function, job_name=JOB)
        return self.parts(definition, sensors).scheduled


def test_scheduled_tick_that_is_rejected_is_recorded_as_failed_and_gives_its_lease_back(
    stores: DynamoStores,
) -> None:
    sensor = Sensor(stores)

    outcome = sensor.leased().tick(sensor.clock.now(), Budget())

    tick = stores.ticks.get("large", outcome.subject)
    state = stores.sensors.get("large")
    assert tick is not None
    assert tick.error is not None
    assert outcome.decision is Decision.FAILURE
    assert "5 requests of tick" in tick.error.message
    assert "Return fewer" in outcome.reason
    assert (state.lease_owner, state.cursor, state.failure_streak) == (None, None, 1)


def test_the_next_tick_is_due_at_once_and_may_succeed(stores: DynamoStores) -> None:
    sensor = Sensor(stores)
    sensor.leased().tick(sensor.clock.now(), Budget())
    sensor.is_small = True
    sensor.clock.advance(60)

    outcome = sensor.leased().tick(sensor.clock.now(), Budget())

    assert outcome.decision is Decision.SUCCESS
    assert stores.sensors.get("large").cursor == "moved"


def test_a_commit_that_came_through_all_the_same_stands(stores: DynamoStores) -> None:
    """What stands in for it has a token of its own: DynamoDB takes no other writes under one that was given."""

    class Confused:
        """Commits, and then says that it was rejected."""

        def __getattr__(self, name: str) -> Any:
            return getattr(stores.sensors, name)

        def commit(self, lease: Lease, completion: Completion) -> None:
            stores.sensors.commit(lease, completion)
            msg = "too large"
            raise StoreRejectedError(msg)

    sensor = Sensor(stores, is_small=True)

    outcome = sensor.leased(Confused()).tick(sensor.clock.now(), Budget())

    (tick,) = stores.ticks.latest("large", 2)
    assert outcome.decision is Decision.LOST
    assert (tick.status, stores.sensors.get("large").cursor) == (TickStatus.SUCCESS, "moved")


def test_a_store_that_does_not_answer_is_no_failure_of_the_sensor(stores: DynamoStores) -> None:
    class Silent:
        def __getattr__(self, name: str) -> Any:
            return getattr(stores.sensors, name)

        def commit(self, lease: Lease, completion: Completion) -> None:
            msg = "no answer"
            raise StoreError(msg)

    sensor = Sensor(stores, is_small=True)

    with pytest.raises(StoreError, match="no answer"):
        sensor.leased(Silent()).tick(sensor.clock.now(), Budget())

    assert stores.ticks.latest("large", 1) == []


def test_event_tick_that_is_rejected_is_recorded_as_failed_and_its_message_comes_again(
    stores: DynamoStores,
) -> None:
    sensor = Sensor(stores)
    definition = S3SensorDefinition(
        "large",
        evaluation_fn=lambda context: sensor.function(context).run_requests,
        selection=S3Selection("bucket"),
        job_name=JOB,
    )
    created = ObjectCreated(S3Object("bucket", "a", "e", "null", 1, datetime.now(UTC)), datetime.now(UTC), "")
    events = sensor.parts(definition).events

    with pytest.raises(SensorEvaluationError, match="cannot be recorded"):
        events.evaluate(created, events.load_batch_state([created]), Budget())

    (tick,) = stores.ticks.latest("large", 2)
    assert (tick.status, tick.requests) == (TickStatus.FAILURE, ())
