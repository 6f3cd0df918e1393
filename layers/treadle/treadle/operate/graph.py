"""Which sensors connect which jobs and assets, as the deployment says it."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from treadle.ports.deployment import DeployedSensor, Deployment


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A sensor, a job or an asset.

    Attributes:
        kind: "sensor", "job" or "asset".
        name: its own; an asset's key has its parts joined by "/".
    """

    kind: str
    name: str

    @property
    def node_id(self) -> str:
        """What edges name it by."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """What is heard of, or started.

    Attributes:
        source: what comes first: the job or asset of which a sensor hears, or the sensor that starts a job.
        target: what follows.
    """

    source: Node
    target: Node


@dataclass(frozen=True, slots=True)
class Graph:
    """All of it, in order.

    Attributes:
        nodes: each once.
        edges: each once.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph_of(deployment: Deployment, registered: Collection[str]) -> Graph:
    """The sensors and the jobs, with what the sensors hear of and what they may start.

    Args:
        deployment: its sensors.
        registered: the names of all registered jobs.

    Raises:
        StoreError: if the registry cannot be read.
    """
    sensors = list(deployment.sensors().values())
    jobs = {*registered, *(job for each in sensors for job in each.jobs)}
    edges = {edge for each in sensors for edge in _edges(each, jobs)}
    nodes = {Node("sensor", each.name) for each in sensors} | {Node("job", each) for each in registered}
    nodes |= {node for edge in edges for node in (edge.source, edge.target)}
    return Graph(tuple(sorted(nodes)), tuple(sorted(edges)))


def _edges(sensor: DeployedSensor, jobs: set[str]) -> Iterator[Edge]:
    own, subscription = Node("sensor", sensor.name), sensor.subscription
    for job in sensor.jobs:
        yield Edge(own, Node("job", job))
    if subscription is None:
        return
    # A rule that names no job lets through the runs of all.
    heard = subscription.jobs or (sorted(jobs) if subscription.statuses else ())
    for job in heard:
        yield Edge(Node("job", job), own)
    for asset in subscription.assets:
        yield Edge(Node("asset", asset), own)
