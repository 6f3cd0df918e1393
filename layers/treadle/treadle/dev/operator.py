"""What the console and an operator's commands use of `treadle dev`."""

import json
from collections.abc import Callable, Iterator, Mapping

from treadle.bootstrap.operator import OperatorParts
from treadle.definitions.errors import CommandRefusedError, InvocationError
from treadle.definitions.status import DefaultSensorStatus
from treadle.dev.engine import LocalEngine, LocalSensor
from treadle.dev.messages import Failed
from treadle.dev.project import DevProject
from treadle.engine.identity import RunIds
from treadle.integrations.s3.inspection import SelectedObjects, selections_of
from treadle.model.deployment import STREAM_KIND, UNKNOWN_KIND, DeployedSensor, LogLine
from treadle.operate.assets import AssetCatalogue
from treadle.operate.backfills import BackfillOperations
from treadle.operate.doctor import Doctor
from treadle.operate.drops import TickDrops
from treadle.operate.explain import Explainer
from treadle.operate.invoke import SensorInvoker
from treadle.operate.loops import LoopReleases
from treadle.operate.open_batches import OpenBatches
from treadle.operate.overview import Overview
from treadle.operate.partitions import PartitionOperations
from treadle.operate.pools import PoolOperations
from treadle.operate.record_redrive import StreamSensorFunction
from treadle.operate.recorded_ticks import RecordedTicks
from treadle.operate.redrive import Redriver
from treadle.operate.redrive_routes import Destination
from treadle.operate.replay import Replayer
from treadle.operate.runs import RunOperations
from treadle.operate.search import Search
from treadle.operate.sensors import SensorOperations
from treadle.operate.ticks import TickHistory
from treadle.testing.blobs import InMemoryBlobStore
from treadle.testing.bus import NAMESPACE
from treadle.testing.health import InMemoryHealth


class LocalDeployment:
    """A `Deployment` on this machine.

    Args:
        project: the project.
    """

    def __init__(self, project: DevProject) -> None:
        self._engine = project.engine
        self._endpoint = project.endpoint
        self.name = project.root.name

    def sensors(self) -> Mapping[str, DeployedSensor]:
        """Return the sensors by name."""
        found = (_deployed(local, self._endpoint) for local in list(self._engine.sensors.values()))
        return {each.name: each for each in sorted(found, key=lambda each: each.name)}

    def invoke(
        self, sensor: str, event: Mapping[str, object], *, seconds: int | None = None
    ) -> Mapping[str, object]:
        """Invoke the sensor's function."""
        del seconds  # The function's own timeout is as short as any.
        found = self._engine.invoke(self._local_sensor(sensor), event)
        if isinstance(found, Failed):
            msg = f"The function of sensor {sensor} failed: {found}"
            raise InvocationError(msg, reason=str(found))
        answer: Mapping[str, object] = found.value
        return answer

    def logs(self, sensor: str, since: int, until: int | None = None) -> Iterator[LogLine]:
        """Yield the lines of the sensor's log."""
        for line in list(self._local_sensor(sensor).function.lines):
            if line.at >= since and (until is None or line.at <= until):
                yield line

    def _local_sensor(self, sensor: str) -> LocalSensor:
        found = next((each for each in self._engine.sensors.values() if each.function.name == sensor), None)
        if found is None:
            known = ", ".join(self.sensors()) or "none"
            msg = f"Project {self.name!r} has no sensor {sensor!r}; it has: {known}."
            raise CommandRefusedError(msg)
        return found


def _deployed(local: LocalSensor, endpoint: Callable[[str], str]) -> DeployedSensor:
    function, loaded = local.function, local.function.loaded
    changed_at = function.changed_at
    if loaded is None:
        status = DefaultSensorStatus.STOPPED
        return DeployedSensor(function.name, UNKNOWN_KIND, "", (), status, deployed_at=changed_at)
    settings = {"TREADLE_NAMESPACE": NAMESPACE}
    if loaded.buckets:
        settings["TREADLE_S3_BUCKET"] = json.dumps(loaded.buckets)
    if loaded.hours:
        settings["TREADLE_HOURS"] = loaded.hours
    if loaded.verification:
        settings["TREADLE_WEBHOOK_ENDPOINT"] = endpoint(loaded.name)
    return DeployedSensor(
        loaded.name,
        loaded.kind,
        loaded.description,
        loaded.jobs,
        DefaultSensorStatus(loaded.status),
        loaded.interval,
        settings=settings,
        deployed_at=changed_at,
    )


def operator_parts(project: DevProject) -> OperatorParts:
    """Make the objects that the console uses.

    Args:
        project: the project.
    """
    engine, buckets = project.engine, project.buckets
    stores, clock, run_ids = engine.stores, engine.clock, RunIds.of(NAMESPACE)
    deployment, health = LocalDeployment(project), InMemoryHealth()
    overview = Overview(deployment, stores.sensors, stores.ticks, stores.runs, clock)
    redriver = Redriver(engine.dead_letters, lambda: _destinations(engine, deployment), dict)
    runs = RunOperations(
        stores.runs, stores.sensors, engine.launches, engine.jobs, engine.targets, run_ids, clock
    )
    objects = SelectedObjects(selections_of(deployment), buckets.objects)
    pools = PoolOperations(stores.pools, stores.runs, engine.dispatches, lambda: engine.pools.declared, clock)
    return OperatorParts(
        deployment,
        overview,
        SensorOperations(stores.sensors, clock),
        TickHistory(stores.sensors, stores.ticks, stores.runs),
        SensorInvoker(deployment),
        runs,
        AssetCatalogue(stores.events),
        redriver,
        Replayer(stores.runs, stores.events, engine.queues, NAMESPACE, clock),
        Explainer(
            *(deployment, stores.sensors, stores.ticks, stores.runs, run_ids),
            *(objects, health, redriver, clock),
            pools=pools,
            batches=stores.batches,
        ),
        Doctor(deployment, health, overview, stores.ticks, stores.runs, clock, pools=pools),
        TickDrops(stores.ticks, clock),
        LoopReleases(stores.ticks, stores.sensors, clock),
        engine.jobs,
        PartitionOperations(stores.partitions, clock),
        BackfillOperations(stores.backfills, engine.dispatches, engine.jobs, runs, run_ids, clock),
        pools,
        RecordedTicks(stores, NAMESPACE),
        Search(deployment, runs, run_ids, objects, clock),
        OpenBatches(stores.batches, clock),
    )


def _destinations(engine: LocalEngine, deployment: LocalDeployment) -> list[Destination]:
    streamed = {name for name, each in deployment.sensors().items() if each.kind == STREAM_KIND}
    return [
        Destination(f"sensor {name}", "", StreamSensorFunction(deployment, name, InMemoryBlobStore()), name)
        if name in streamed
        else Destination(f"sensor {name}", f"local:{name}", queue, name)
        for name, queue in engine.queues.items()
    ]
