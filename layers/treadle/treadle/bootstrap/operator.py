"""The objects that an operator of a deployed stack works with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.adapters.system import RandomTokens, SystemClock
from treadle.bootstrap.settings import Settings
from treadle.engine.identity import RunIds

if TYPE_CHECKING:
    from collections.abc import Collection

    from treadle.adapters.stack import DeployedStack
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
    from treadle.operate.recorded_ticks import RecordedTicks
    from treadle.operate.redrive import Redriver
    from treadle.operate.redrive_routes import Destination
    from treadle.operate.replay import Replayer
    from treadle.operate.runs import RunOperations
    from treadle.operate.search import Search
    from treadle.operate.sensors import SensorOperations
    from treadle.operate.ticks import TickHistory
    from treadle.ports.deployment import Deployment

ENGINE_QUEUES = {
    "dispatch": "DispatchQueue",
    "launch": "LaunchQueue",
    "publish": "PublishQueue",
    "record": "RecordQueue",
}
"""The engine's components as dead letters name them, and the queue from which each receives its messages."""


@dataclass(frozen=True, slots=True)
class OperatorParts:
    """The objects that an operator of a deployed stack works with.

    Attributes:
        deployment: lists sensors, their functions and logs.
        overview: summarizes all sensors.
        sensors: starts, stops and resets sensors, and sets cursors.
        ticks: reads ticks.
        direct: makes sensors' functions evaluate now, or preview.
        runs: reads, reruns and cancels runs.
        assets: reads assets.
        redriver: redrives dead letters.
        replayer: sends the events of recorded runs to a sensor again.
        why: explains why something did or did not run.
        doctor: finds problems.
        drops: drops the requests for which ticks wait.
        loops: releases sensors that are held as a loop.
        jobs: the names of the registered jobs.
        partitions: reads and repairs dynamic partitions.
        backfills: starts and controls backfills.
        pools: shows and controls concurrency pools.
        recorded: reads ticks with what they evaluated, for rehearsals.
        search: finds what texts name.
        batches: lists open batches.
    """

    deployment: "Deployment"
    overview: "Overview"
    sensors: "SensorOperations"
    ticks: "TickHistory"
    direct: "SensorInvoker"
    runs: "RunOperations"
    assets: "AssetCatalogue"
    redriver: "Redriver"
    replayer: "Replayer"
    why: "Explainer"
    doctor: "Doctor"
    drops: "TickDrops"
    loops: "LoopReleases"
    jobs: "Collection[str]"
    partitions: "PartitionOperations"
    backfills: "BackfillOperations"
    pools: "PoolOperations"
    recorded: "RecordedTicks"
    search: "Search"
    batches: "OpenBatches"


def operator_parts(stack: str) -> OperatorParts:
    """Create an operator's objects, for a stack in the account and Region that boto3 finds.

    Args:
        stack: its name.

    Raises:
        DeploymentError: if the stack cannot be read.
        SettingsError: if its functions are not configured as by the template.
    """
    # Imported here because no Lambda function needs them, and `treadle dev` needs no AWS.
    from treadle.adapters.blobs import S3BlobStore
    from treadle.adapters.deployment import StackDeployment
    from treadle.adapters.dynamodb.tables import DynamoStores
    from treadle.adapters.engine import EngineFunction
    from treadle.adapters.event_sources import EventSourceMappings
    from treadle.adapters.health.stack_health import StackHealth
    from treadle.adapters.queues import SqsDeadLetterQueue, SqsQueue
    from treadle.adapters.sensor_queues import SensorQueues
    from treadle.adapters.stack import read_stack
    from treadle.adapters.targets.registry import LazyTargets
    from treadle.engine.registry.registry_cache import CachedRegistry, RegisteredJobs
    from treadle.integrations.alerts.environment import alert_addresses
    from treadle.integrations.s3.inspection import SelectedObjects, selections_of
    from treadle.integrations.s3.lister import S3Lister
    from treadle.operate.assets import AssetCatalogue
    from treadle.operate.backfills import BackfillOperations
    from treadle.operate.doctor import Doctor
    from treadle.operate.drops import TickDrops
    from treadle.operate.explain import Explainer
    from treadle.operate.invoke import SensorInvoker
    from treadle.operate.loops import LoopReleases
    from treadle.operate.moved_jobs import Addresses
    from treadle.operate.open_batches import OpenBatches
    from treadle.operate.overview import Overview
    from treadle.operate.partitions import PartitionOperations
    from treadle.operate.pools import PoolOperations
    from treadle.operate.recorded_ticks import RecordedTicks
    from treadle.operate.redrive import Redriver
    from treadle.operate.registrations import Registrations
    from treadle.operate.replay import Replayer
    from treadle.operate.runs import RunOperations
    from treadle.operate.search import Search
    from treadle.operate.sensors import SensorOperations
    from treadle.operate.ticks import TickHistory

    deployed = read_stack(stack, ("DispatchFunction", "LaunchFunction"))
    settings = Settings(deployed.environment)
    tables = settings.tables()
    namespace, outcomes = (settings.text(f"TREADLE_{name}") for name in ("NAMESPACE", "OUTCOMES_BUCKET"))
    launches, dispatches = (
        SqsQueue(settings.text(name)) for name in ("TREADLE_LAUNCH_QUEUE_URL", "TREADLE_DISPATCH_QUEUE_URL")
    )
    dead_letters = SqsDeadLetterQueue(settings.text("TREADLE_DEAD_LETTER_QUEUE_URL"))
    settings.check()
    stores, clock = DynamoStores(tables, RandomTokens(), S3BlobStore(outcomes)), SystemClock()
    registry, run_ids = CachedRegistry(stores.registry, clock), RunIds.of(namespace)
    jobs, registrations = (
        RegisteredJobs(registry),
        Registrations(
            registry.current,
            # The last part of the ARN, which the template passes to evaluators.
            {**deployed.environment, "TREADLE_ENGINE_ID": deployed.arn.rpartition("/")[2]},
            clock,
        ),
    )
    queues, deployment = SensorQueues(registry.current, deployed), StackDeployment(deployed, registry.current)
    overview, objects, health = (
        Overview(deployment, stores.sensors, stores.ticks, stores.runs, clock, registrations),
        SelectedObjects(selections_of(deployment), S3Lister()),
        StackHealth(deployed, deployment, jobs, alert_addresses),
    )
    redriver = Redriver(
        dead_letters,
        lambda: [
            *_of_engine(deployed),
            *queues.destinations(),
            *queues.functions(deployment, S3BlobStore(outcomes)),
        ],
        queues.dead_letters,
    )
    pools = PoolOperations(stores.pools, stores.runs, dispatches, lambda: registry.current().pools, clock)
    runs = RunOperations(
        stores.runs,
        stores.sensors,
        launches,
        jobs,
        LazyTargets(),
        run_ids,
        clock,
        EngineFunction(deployed.physical_ids.get("ReconcileFunction", "")),
    )
    return OperatorParts(
        deployment,
        overview,
        SensorOperations(stores.sensors, clock, EventSourceMappings(deployed, deployment)),
        TickHistory(stores.sensors, stores.ticks, stores.runs),
        SensorInvoker(deployment),
        runs,
        AssetCatalogue(stores.events),
        redriver,
        Replayer(stores.runs, stores.events, queues, namespace, clock),
        Explainer(
            deployment,
            stores.sensors,
            stores.ticks,
            stores.runs,
            run_ids,
            objects,
            health,
            redriver,
            clock,
            registrations,
            pools,
            stores.batches,
        ),
        Doctor(
            deployment,
            health,
            overview,
            stores.ticks,
            stores.runs,
            clock,
            Addresses(jobs, namespace),
            registrations,
            stores.backfills,
            pools,
        ),
        TickDrops(stores.ticks, clock),
        LoopReleases(stores.ticks, stores.sensors, clock),
        jobs,
        PartitionOperations(stores.partitions, clock),
        BackfillOperations(stores.backfills, dispatches, jobs, runs, run_ids, clock),
        pools,
        RecordedTicks(stores, namespace),
        Search(deployment, runs, run_ids, objects, clock),
        OpenBatches(stores.batches, clock),
    )


def _of_engine(stack: "DeployedStack") -> "list[Destination]":
    """Return the queues of the engine's components, to which dead letters can be redriven."""
    from treadle.adapters.queues import SqsQueue
    from treadle.operate.redrive_routes import Destination

    return [
        Destination(
            origin,
            stack.queue_arn(queue),
            SqsQueue(stack.queue_urls[queue]),
            stack.physical_ids.get(f"{queue.removesuffix('Queue')}Function"),
        )
        for origin, queue in ENGINE_QUEUES.items()
        if queue in stack.queue_urls
    ]
