"""What an operator of a deployed stack works with."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from treadle.adapters.dynamodb.tables import DynamoStores
from treadle.adapters.queues import SqsQueue
from treadle.adapters.system import RandomTokens, SystemClock
from treadle.adapters.targets.registry import LazyTargets
from treadle.bootstrap.settings import Settings
from treadle.engine.identity import RunIds

if TYPE_CHECKING:
    from treadle.operate.assets import AssetCatalogue
    from treadle.operate.dead_letters import Redriver
    from treadle.operate.direct import DirectInvocations
    from treadle.operate.doctor import Doctor
    from treadle.operate.drops import TickDrops
    from treadle.operate.overview import Overview
    from treadle.operate.replay import Replayer
    from treadle.operate.runs import RunOperations
    from treadle.operate.sensors import SensorOperations
    from treadle.operate.ticks import TickHistory
    from treadle.operate.why import Why
    from treadle.ports.deployment import Deployment

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
        deployment: which sensors there are, their functions and logs.
        overview: all sensors at a glance.
        sensors: starts, stops and resets them, and sets cursors.
        ticks: reads ticks.
        direct: has sensors' functions evaluate now, or show what they would do.
        runs: reads runs; another attempt for one, and the end of one.
        assets: reads assets.
        redriver: sends dead letters again.
        replayer: tells a sensor of runs once more.
        why: explains why something did or did not run.
        doctor: looks for what is wrong.
        drops: drops what ticks wait for.
    """

    deployment: "Deployment"
    overview: "Overview"
    sensors: "SensorOperations"
    ticks: "TickHistory"
    direct: "DirectInvocations"
    runs: "RunOperations"
    assets: "AssetCatalogue"
    redriver: "Redriver"
    replayer: "Replayer"
    why: "Why"
    doctor: "Doctor"
    drops: "TickDrops"


def operator_parts(stack: str) -> OperatorParts:
    """An operator's parts, for a stack in the account and Region that boto3 finds.

    Args:
        stack: its name.

    Raises:
        DeploymentError: if the stack cannot be read.
        SettingsError: if its functions are not set up as the template does it.
    """
    # Imported here, as no function needs them.
    from treadle.adapters.blobs import S3BlobStore
    from treadle.adapters.deployment import StackDeployment, resource_prefix
    from treadle.adapters.engine import EngineFunction
    from treadle.adapters.health.stack_health import StackHealth
    from treadle.adapters.queues import SqsLetterBox
    from treadle.adapters.stack import read_stack
    from treadle.integrations.alerts.environment import alert_addresses
    from treadle.integrations.s3.lister import S3Lister
    from treadle.integrations.s3.lookup import SelectedObjects, selections_of
    from treadle.operate.assets import AssetCatalogue
    from treadle.operate.dead_letters import Redriver
    from treadle.operate.direct import DirectInvocations
    from treadle.operate.doctor import Doctor
    from treadle.operate.drops import TickDrops
    from treadle.operate.letters import Destination
    from treadle.operate.moved import Addresses
    from treadle.operate.overview import Overview
    from treadle.operate.replay import Replayer
    from treadle.operate.runs import RunOperations
    from treadle.operate.sensors import SensorOperations
    from treadle.operate.ticks import TickHistory
    from treadle.operate.why import Why

    deployed = read_stack(stack, ("DispatchFunction", "LaunchFunction"))
    settings = Settings(deployed.environment)
    tables, jobs, grants = settings.tables(), settings.jobs(), settings.grants()
    namespace, former = settings.text("TREADLE_NAMESPACE"), settings.former_jobs()
    outcomes = settings.text("TREADLE_OUTCOMES_BUCKET")
    launches = settings.text("TREADLE_LAUNCH_QUEUE_URL")
    letters = settings.text("TREADLE_DEAD_LETTER_QUEUE_URL")
    settings.check()
    urls = deployed.queue_urls
    queue_ids = {name: f"{resource_prefix(name)}Queue" for name in grants}
    destinations = [
        Destination(
            origin,
            deployed.queue_arn(queue),
            SqsQueue(urls[queue]),
            deployed.physical_ids.get(f"{queue.removesuffix('Queue')}Function"),
        )
        for origin, queue in (ENGINE_QUEUES | {f"sensor {name}": queue_ids[name] for name in grants}).items()
        if queue in urls
    ]
    queues = {name: SqsQueue(urls[queue]) for name, queue in queue_ids.items() if queue in urls}
    stores, clock = DynamoStores(tables, RandomTokens(), S3BlobStore(outcomes)), SystemClock()
    deployment = StackDeployment(deployed, grants)
    overview = Overview(deployment, stores.sensors, stores.ticks, stores.runs, clock)
    health = StackHealth(deployed, deployment, jobs, alert_addresses)
    redriver = Redriver(SqsLetterBox(letters), destinations)
    run_ids = RunIds.of(namespace)
    objects = SelectedObjects(selections_of(deployment), S3Lister())
    why = Why(
        deployment,
        stores.sensors,
        stores.ticks,
        stores.runs,
        run_ids,
        objects,
        health,
        redriver,
        clock,
    )
    addresses = Addresses(jobs, former, namespace)
    return OperatorParts(
        deployment,
        overview,
        SensorOperations(stores.sensors, clock),
        TickHistory(stores.sensors, stores.ticks, stores.runs),
        DirectInvocations(deployment),
        RunOperations(
            stores.runs,
            stores.sensors,
            SqsQueue(launches),
            jobs,
            LazyTargets(),
            run_ids,
            clock,
            EngineFunction(deployed.physical_ids.get("ReconcileFunction", "")),
        ),
        AssetCatalogue(stores.events),
        redriver,
        Replayer(stores.runs, stores.events, queues, namespace, clock),
        why,
        Doctor(deployment, health, overview, stores.ticks, stores.runs, clock, addresses),
        TickDrops(stores.ticks, clock),
    )
