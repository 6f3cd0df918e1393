"""What `treadle move` works with."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.queues import SqsDeadLetterQueue, SqsMover, SqsQueue, queue_arn
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.bootstrap.operator import operator_parts
from treadle.operate.hand_over import HandOver
from treadle.operate.move import QueuePair, pairs_of
from treadle.operate.redrive import Redriver
from treadle.operate.redrive_routes import Destination
from treadle.operate.sensors import SensorOperations

if TYPE_CHECKING:
    from treadle.model.moving import NewEngine, OldStack
    from treadle.ports.runs import RunStore
    from treadle.ports.sensors import SensorStore


@dataclass(frozen=True, slots=True)
class OldParts:
    """What a single stack's own records are read and changed with.

    Attributes:
        states: what is stored of sensors.
        sensors: stops sensors.
        runs: the runs.
    """

    states: "SensorStore"
    sensors: SensorOperations
    runs: "RunStore"


def old_parts(old: "OldStack") -> OldParts:
    """Make the parts for a single stack's tables.

    Args:
        old: the stack.
    """
    sensors, ticks, _, runs, _, events, _ = old.stores.split(",")
    stores = DynamoStores(TableNames(sensors, ticks, runs, events), RandomTokens())
    return OldParts(stores.sensors, SensorOperations(stores.sensors, SystemClock()), stores.runs)


@dataclass(frozen=True, slots=True)
class NewParts:
    """What a single stack is handed over with.

    Attributes:
        sensors: the names of the registered sensors.
        jobs: the names of the registered jobs.
        hand_over: hands it over.
        redriver: sends the single stack's dead letters to the new queues.
    """

    sensors: Collection[str]
    jobs: Collection[str]
    hand_over: HandOver
    redriver: Redriver


def new_parts(old: "OldStack", engine: "NewEngine", left: Collection[str]) -> NewParts:
    """Make the parts for an engine and its projects.

    Args:
        old: the single stack.
        engine: the engine that takes it over.
        left: names of sensors that are not moved.

    Raises:
        DeploymentError: if the engine cannot be read.
        SettingsError: if its functions are not set up as the template does it.
    """
    parts, old_ones = operator_parts(engine.stack), old_parts(old)
    found = parts.deployment.sensors()
    queues = {name: each.queue for name, each in found.items() if each.queue and name not in left}
    pairs = pairs_of(old, engine, queues)
    hand_over = HandOver(
        old,
        left,
        parts.deployment,
        list(parts.jobs),
        old_ones.states,
        parts.sensors,
        parts.replayer,
        SqsMover(),
        pairs,
        SystemClock(),
    )
    redriver = Redriver(SqsDeadLetterQueue(old.dead_letters), lambda: _destinations(old, pairs))
    return NewParts(found.keys(), list(parts.jobs), hand_over, redriver)


def _destinations(old: "OldStack", pairs: Sequence[QueuePair]) -> list[Destination]:
    """List the new queues, found by the queues and functions that the single stack's dead letters name."""
    functions = {f"sensor {name}": sensor.function for name, sensor in old.sensors.items()}
    return [
        Destination(each.taker, queue_arn(each.source), SqsQueue(each.target), functions.get(each.taker))
        for each in pairs
    ]
