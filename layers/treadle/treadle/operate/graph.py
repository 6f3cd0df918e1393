"""The graph of sensors, jobs and assets, as deployed."""

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from treadle.model.deployment import DeployedSensor
from treadle.ports.deployment import Deployment


@dataclass(frozen=True, slots=True, order=True)
class Node:
    """A sensor, a job or an asset.

    Attributes:
        kind: "sensor", "job" or "asset".
        name: the name; of an asset, the parts of its key joined by "/".
    """

    kind: str
    name: str

    @property
    def node_id(self) -> str:
        """Return the node's id in edges."""
        return f"{self.kind}:{self.name}"


@dataclass(frozen=True, slots=True, order=True)
class Edge:
    """A subscription of a sensor, or a job that it may start.

    Attributes:
        source: the job or asset that a sensor subscribes to, or the sensor that starts a job.
        target: the sensor, or the job that it starts.
    """

    source: Node
    target: Node


@dataclass(frozen=True, slots=True)
class Graph:
    """A sorted graph without duplicates."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]


def graph_of(deployment: Deployment, registered: Collection[str]) -> Graph:
    """Build the graph of sensors and jobs, with the sensors' subscriptions and the jobs that they may start.

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
    # A rule without jobs matches the runs of all jobs.
    upstream = subscription.jobs or (sorted(jobs) if subscription.statuses else ())
    for job in upstream:
        yield Edge(Node("job", job), own)
    for asset in subscription.assets:
        yield Edge(Node("asset", asset), own)
