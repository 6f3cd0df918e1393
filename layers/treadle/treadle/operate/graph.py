"""The graph of sensors, jobs and assets, as deployed."""

from collections.abc import Collection, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from treadle.model.deployment import DEADLINE_KIND, DeployedSensor
from treadle.operate.load_checks import LoadCheck, LoadChecks
from treadle.ports.deployment import Deployment

_WORKERS = 16


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
    """A subscription of a sensor, a job whose deadlines it watches, or a job that it may start.

    Attributes:
        source: the job or asset that a sensor subscribes to or watches, or the sensor that starts a job.
        target: the sensor, or the job that it starts.
    """

    source: Node
    target: Node


@dataclass(frozen=True, slots=True)
class Graph:
    """A sorted graph without duplicates.

    Attributes:
        nodes: the sensors, jobs and assets.
        edges: their connections.
        unknown: why it is not known what a sensor watches, by its name.
    """

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    unknown: Mapping[str, str]


def graph_of(deployment: Deployment, registered: Collection[str], loads: LoadChecks) -> Graph:
    """Build the graph of sensors and jobs, with what the sensors subscribe to or watch and the jobs that they may start.

    Args:
        deployment: its sensors.
        registered: the names of all registered jobs.
        loads: describe deadline sensors: the job that one watches is in its code.

    Raises:
        StoreError: if the registry cannot be read.
    """
    sensors = list(deployment.sensors().values())
    jobs = {*registered, *(job for each in sensors for job in each.jobs)}
    edges = {edge for each in sensors for edge in _edges(each, jobs)}
    nodes = {Node("sensor", each.name) for each in sensors} | {Node("job", each) for each in registered}
    deadlines = [each for each in sensors if each.kind == DEADLINE_KIND]
    unknown = {}
    with ThreadPoolExecutor(_WORKERS) as pool:
        for sensor, found in zip(deadlines, pool.map(loads.check, deadlines), strict=True):
            watched = found.described.get("watched_job")
            if isinstance(watched, str):
                edges.add(Edge(Node("job", watched), Node("sensor", sensor.name)))
            else:
                unknown[sensor.name] = _why_unknown(found)
    nodes |= {node for edge in edges for node in (edge.source, edge.target)}
    return Graph(tuple(sorted(nodes)), tuple(sorted(edges)), unknown)


def _why_unknown(found: LoadCheck) -> str:
    if found.error or found.unchecked:
        return f"{found.error or found.unchecked} {found.advice}"
    return "Its function is of an earlier version of Treadle. Deploy its project again."


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
