"""`treadle move`: its next step, what it copies, and which events sensors receive again."""

from dataclasses import replace
from typing import Any

import pytest

from tests.unit.test_replay import ended, instance, replayer_of
from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.model.deployment import DeployedSensor, Subscription
from treadle.model.moving import NewEngine, OldSensor, OldStack, Part
from treadle.model.sensors import SensorState
from treadle.operate.hand_over import HandOver
from treadle.operate.move import (
    EARLIER_MS,
    QueuePair,
    Step,
    check_left,
    missing_of,
    next_step,
    pairs_of,
    replayed_from,
    values_of,
)
from treadle.operate.sensors import SensorOperations
from treadle.testing.deployment import InMemoryDeployment
from treadle.testing.instance import TreadleInstance

__all__ = ["instance"]
RUNNING, STOPPED = DefaultSensorStatus.RUNNING, DefaultSensorStatus.STOPPED
NOON = 1_795_348_800_000
HOUR = 3_600_000
OLD = OldStack(
    name="single",
    namespace="shop",
    stores="sensors,ticks,stream,runs,stream,events,outcomes",
    bucket="incoming",
    bus="single-treadle",
    sensors={
        "watch": OldSensor("watch", "run_status", RUNNING, "old/watch"),
        "start": OldSensor("start", "schedule", STOPPED, "old/start"),
    },
    jobs={"load": "arn"},
    own_jobs=frozenset(),
    queues={"Launch": "old/launch", "Record": "old/record"},
    dead_letters="old/dead",
    is_on={Part.INTAKE: False, Part.REST: False},
    stopped_at=NOON,
)
NEW = NewEngine(
    "engine", "main", OLD.namespace, OLD.stores, "treadle-main", {"Launch": "launch", "Record": "record"}
)


@pytest.mark.parametrize(
    ("intake", "rest", "is_stable", "step"),
    [
        (True, True, True, Step.STOP),
        (True, False, True, Step.STOP),
        (False, True, True, Step.DRAIN),
        (False, False, False, Step.DRAIN),
        (False, False, True, Step.READY),
    ],
)
@pytest.mark.parametrize("engine", [None, NEW], ids=["no engine", "engine"])
def test_next_step_shows_in_what_is_on(
    engine: NewEngine | None, *, intake: bool, rest: bool, is_stable: bool, step: Step
) -> None:
    old = replace(OLD, is_on={Part.INTAKE: intake, Part.REST: rest}, is_stable=is_stable)

    assert next_step(old, engine) is step


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"namespace": "main"}, "its Namespace is main, and must be shop"),
        ({"stores": "others"}, "its ExistingStores is others, and must be sensors,ticks"),
    ],
)
def test_engine_must_continue_with_the_namespace_and_the_stores(change: dict[str, Any], message: str) -> None:
    with pytest.raises(CommandRefusedError, match=message):
        next_step(OLD, replace(NEW, **change))


def test_values_go_to_the_engine_to_the_project_or_elsewhere() -> None:
    given = {
        "Namespace": "shop",
        "RunsPerHour": "7",
        "LogRetentionDays": "1",
        "FailureAlertEmailTo": "ann@example.com",
        "NewObjectsBucket": "incoming",
        "NewObjectsInterval": "60",
    }

    found = values_of(replace(OLD, values=given))

    assert found.engine == {
        "Namespace": "shop",
        "ExistingStores": OLD.stores,
        "LogRetentionDays": "1",
        "RunsPerHour": "7",
    }
    assert found.project == {
        "NewObjectsBucket": "incoming",
        "AlertEmail": "ann@example.com",
        "LogRetentionDays": "1",
    }
    assert found.elsewhere == {"NewObjectsInterval": "60"}


def test_everything_is_registered_or_left_behind() -> None:
    assert missing_of(OLD, ["watch"], [], []) == ["sensor start", "job load"]
    assert missing_of(OLD, ["watch"], ["load"], ["start"]) == []
    check_left(OLD, ["start", "load"])
    with pytest.raises(CommandRefusedError, match="no sensor or job daily"):
        check_left(OLD, ["daily"])


def test_each_queue_has_its_taker_and_a_sensor_without_a_queue_has_none() -> None:
    assert pairs_of(OLD, NEW, {"watch": "new/watch"}) == [
        QueuePair("launch", "old/launch", "launch"),
        QueuePair("record", "old/record", "record"),
        QueuePair("sensor watch", "old/watch", "new/watch"),
    ]


@pytest.mark.parametrize(
    ("started_at", "since"),
    [
        (None, NOON - EARLIER_MS),
        (NOON - 2 * HOUR, NOON - EARLIER_MS),
        (NOON - HOUR // 2, NOON - HOUR // 2),
        # By the move itself, which lets nothing be missed that came before.
        (NOON + HOUR, NOON),
    ],
)
def test_events_are_sent_again_from_before_the_stop_but_not_from_before_the_start(
    started_at: int | None, since: int
) -> None:
    assert replayed_from(OLD, SensorState("watch", started_at=started_at)) == since


def hand_over(instance: TreadleInstance, old: OldStack, **of_watch: Any) -> tuple[HandOver, Any]:
    """Return the hand-over of a stack whose engine is the instance, and the queue of the sensor of runs."""
    replayer, queue = replayer_of(instance, "watch")
    subscription = Subscription(jobs=("load",), statuses=("SUCCESS",))
    watch = DeployedSensor(
        "watch", "run_status", "", (), RUNNING, queue="new/watch", subscription=subscription
    )
    start = DeployedSensor("start", "schedule", "", ("load",), STOPPED)
    deployment = InMemoryDeployment([replace(watch, **of_watch), start])
    states, clock = instance._stores.sensors, instance.clock
    made = HandOver(
        old,
        (),
        deployment,
        ["load"],
        states,
        SensorOperations(states, clock),
        replayer,
        Messages(),
        [],
        clock,
    )
    return made, queue


class Messages:
    """A `MessageMover` without messages."""

    def count(self, queue: str) -> int:
        """None."""
        return 0

    def move(self, source: str, target: str) -> int:
        """None."""
        return 0


def stopped(instance: TreadleInstance) -> OldStack:
    """Return the stack, stopped now."""
    return replace(OLD, stopped_at=instance.clock.now())


def test_sensor_of_runs_is_sent_what_was_published_since_the_stop(instance: TreadleInstance) -> None:
    old = stopped(instance)
    ended(instance)
    instance.clock.advance(1)

    handing, queue = hand_over(instance, old)

    assert handing.replay() == {"watch": 1}
    assert len(queue.drain()) == 1


def test_stopped_sensor_is_sent_nothing(instance: TreadleInstance) -> None:
    old = stopped(instance)
    ended(instance)
    instance.clock.advance(1)
    instance.stop_sensor("watch")

    handing, queue = hand_over(instance, old)

    assert handing.replay() == {}
    assert queue.drain() == []


def test_sensor_that_ran_is_started_and_one_that_did_not_is_not(instance: TreadleInstance) -> None:
    handing, _ = hand_over(instance, stopped(instance), default_status=STOPPED)

    assert handing.start("ann") == ["watch"]
    assert handing.start("ann") == []
    assert instance._stores.sensors.get("watch").status is InstigatorStatus.RUNNING
    assert instance._stores.sensors.get("start").status is not InstigatorStatus.RUNNING


def test_sensor_that_cannot_be_read_keeps_the_stack(instance: TreadleInstance) -> None:
    handing, _ = hand_over(
        instance, stopped(instance), problem="Its rule is gone.", remedy="Deploy the project."
    )

    with pytest.raises(CommandRefusedError, match="watch cannot be handed over: Its rule is gone"):
        handing.start("ann")
