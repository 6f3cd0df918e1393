"""What an operator of a deployed stack works with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.queues import SqsQueue
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.adapters.targets.registry import LazyTargets
from treadle.engine.identity import RunIds

if TYPE_CHECKING:
    from treadle.operate.dead_letters import Redriver
    from treadle.operate.replay import Replayer
    from treadle.operate.runs import RunOperations


from treadle.bootstrap.settings import Settings

ENGINE_QUEUES = {
    "dispatch": "DispatchQueue",
    "launch": "LaunchQueue",
    "publish": "PublishQueue",
    "record": "RecordQueue",
}
"""The engine's steps as dead letters name them, and the queues that each takes its messages from."""


@dataclass(frozen=True, slots=True)
class OperatorParts:
    """What an operator of a deployed stack needs.

    Attributes:
        runs: another attempt for a run, and the end of one.
        redriver: sends dead letters again.
        replayer: tells a sensor of runs once more.
    """

    runs: "RunOperations"
    redriver: "Redriver"
    replayer: "Replayer"


def operator_parts(stack: str) -> OperatorParts:
    """An operator's parts, for a stack in the account and Region that boto3 finds.

    Args:
        stack: its name.

    Raises:
        DeploymentError: if the stack cannot be read.
        SettingsError: if its functions are not set up as the template does it.
    """
    # Imported here, as no function needs them.
    from treadle.adapters.queues import SqsLetterBox
    from treadle.adapters.stack import read_stack
    from treadle.operate.dead_letters import Redriver
    from treadle.operate.letters import Destination
    from treadle.operate.replay import Replayer
    from treadle.operate.runs import RunOperations

    deployed = read_stack(stack, ("DispatchFunction", "LaunchFunction"))
    settings = Settings(deployed.environment)
    tables, jobs = settings.tables(), settings.jobs()
    namespace = settings.text("TREADLE_NAMESPACE")
    launches = settings.text("TREADLE_LAUNCH_QUEUE_URL")
    letters = settings.text("TREADLE_DEAD_LETTER_QUEUE_URL")
    sensors = {f"sensor {name}": _queue_id(name) for name in settings.grants()}
    settings.check()
    destinations = [
        Destination(origin, deployed.queue_arn(queue), SqsQueue(deployed.queue_urls[queue]))
        for origin, queue in (ENGINE_QUEUES | sensors).items()
        if queue in deployed.queue_urls
    ]
    stores = DynamoStores.of(tables, RandomTokens())
    runs = stores.runs
    operations = RunOperations(
        runs, SqsQueue(launches), jobs, LazyTargets(), RunIds.of(namespace), SystemClock()
    )
    queues = {
        name: SqsQueue(deployed.queue_urls[_queue_id(name)])
        for name in settings.grants()
        if _queue_id(name) in deployed.queue_urls
    }
    replayer = Replayer(runs, stores.events, queues, namespace, SystemClock())
    return OperatorParts(operations, Redriver(SqsLetterBox(letters), destinations), replayer)


def _queue_id(sensor: str) -> str:
    """`new_objects` -> `NewObjectsQueue`: the template names a sensor's resources after it."""
    return "".join(word.capitalize() for word in sensor.split("_")) + "Queue"
