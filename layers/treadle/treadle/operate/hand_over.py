"""The last part of a move: what a stopped single stack still has goes to the engine and the project."""

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from treadle.definitions.errors import CommandRefusedError
from treadle.definitions.status import DagsterRunStatus
from treadle.model.deployment import DeployedSensor
from treadle.model.moving import OldStack
from treadle.operate.move import QueuePair, replayed_from
from treadle.operate.replay import Replayer
from treadle.operate.sensors import SensorOperations
from treadle.ports.deployment import Deployment
from treadle.ports.moving import MessageMover
from treadle.ports.sensors import SensorStore
from treadle.ports.system import Clock


class HandOver:
    """Hands a single stack's sensors and messages over; everything in it can be repeated.

    Args:
        old: the single stack, stopped.
        left: names of sensors that are not moved.
        deployment: the registered sensors.
        jobs: the names of the registered jobs.
        states: keeps what is stored of sensors.
        sensors: starts them.
        replayer: sends them events again.
        messages: moves messages.
        pairs: which queue takes the messages of which.
        clock: the time.
    """

    def __init__(
        self,
        old: OldStack,
        left: Collection[str],
        deployment: Deployment,
        jobs: Collection[str],
        states: SensorStore,
        sensors: SensorOperations,
        replayer: Replayer,
        messages: MessageMover,
        pairs: Sequence[QueuePair],
        clock: Clock,
    ) -> None:
        self._old = old
        self._left = frozenset(left)
        self._deployment = deployment
        self._jobs = jobs
        self._states = states
        self._sensors = sensors
        self._replayer = replayer
        self._messages = messages
        self._pairs = pairs
        self._clock = clock

    def start(self, by: str) -> list[str]:
        """Start the sensors that ran in the single stack, and that the project's default would leave stopped.

        Args:
            by: who asks.

        Returns:
            Their names.

        Raises:
            CommandRefusedError: if one cannot be read.
            StoreError: if the store did not answer.
        """
        started: list[str] = []
        for sensor in self._moved():
            state = self._states.get(sensor.name)
            ran = state.is_running(self._old.sensors[sensor.name].default_status)
            if ran and not state.is_running(sensor.default_status):
                self._sensors.start(sensor.name, sensor.default_status, by)
                started.append(sensor.name)
        return started

    def replay(self) -> dict[str, int]:
        """Send the sensors of runs and assets what was published while there was an engine and no project.

        Returns:
            By sensor, how many events.

        Raises:
            CommandRefusedError: if there are too many, or the single stack was stopped too long ago.
            StoreError: if a store or a queue did not answer.
        """
        until = datetime.fromtimestamp(self._clock.now() / 1000, UTC)
        sent: dict[str, int] = {}
        for sensor in self._moved():
            state, subscription = self._states.get(sensor.name), sensor.subscription
            if subscription is None or not sensor.queue or not state.is_running(sensor.default_status):
                continue
            since = datetime.fromtimestamp(replayed_from(self._old, state) / 1000, UTC)
            events = 0
            if subscription.statuses:
                statuses = [DagsterRunStatus(each) for each in subscription.statuses]
                jobs = subscription.jobs or sorted(self._jobs)
                events += self._replayer.replay_runs(sensor.name, jobs, since, until, statuses).events
            if subscription.assets:
                events += self._replayer.replay_assets(sensor.name, subscription.assets, since, until).events
            if events:
                sent[sensor.name] = events
        return sent

    def move_messages(self) -> dict[str, int]:
        """Move the messages that can be received now.

        Returns:
            By whoever takes them, how many; those who got none are left out.

        Raises:
            StoreError: if a queue did not answer.
        """
        moved = {each.taker: self._messages.move(each.source, each.target) for each in self._pairs}
        return {taker: count for taker, count in moved.items() if count}

    def remaining(self) -> int:
        """Count the messages that the single stack's queues still have.

        Raises:
            StoreError: if a queue could not be queried.
        """
        return sum(self._messages.count(each.source) for each in self._pairs)

    def _moved(self) -> list[DeployedSensor]:
        """List the sensors that are moved.

        Raises:
            CommandRefusedError: if the function or the rule of one cannot be read.
        """
        found = self._deployment.sensors()
        moved = [
            found[name] for name in sorted(self._old.sensors) if name in found and name not in self._left
        ]
        for sensor in moved:
            if sensor.problem:
                msg = f"Sensor {sensor.name} cannot be handed over: {sensor.problem} {sensor.remedy}".rstrip()
                raise CommandRefusedError(msg)
        return moved
