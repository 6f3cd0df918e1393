"""Which job makes the assets that a sensor or a request selects."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.asset_selection import (
    AssetGraph,
    AssetSelection,
    Keys,
    listed,
    made_by_none,
    names_of,
)
from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.results import RunRequest, for_job


@dataclass(frozen=True, slots=True)
class AssetTargets:
    """The assets that a sensor selects, and the jobs that make them.

    Attributes:
        makers: the name of the job that makes each of the assets, in the order of their keys.
        jobs: these jobs.
    """

    makers: Mapping[AssetKey, str]
    jobs: tuple[JobDefinition, ...]

    def by_job(self, keys: Iterable[AssetKey]) -> dict[str, set[AssetKey]]:
        """Return those of the assets that are selected, by the name of the job that makes them."""
        found: dict[str, set[AssetKey]] = {}
        for key in keys:
            if key in self.makers:
                found.setdefault(self.makers[key], set()).add(key)
        return found

    def targeted(self, request: RunRequest) -> RunRequest:
        """Return the request with its assets, by default all that are selected, and with the job that makes most.

        `selection_problem` says why a request for which that job is not enough can never run.
        """
        keys = list(self.makers if request.asset_selection is None else request.asset_selection)
        made = {} if request.job_name else self.by_job(keys)
        name = request.job_name or max(made, key=lambda job: len(made[job]), default=self.jobs[0].name)
        return for_job(request, name, keys)


def asset_graph(jobs: object) -> AssetGraph:
    """Return the assets of a deployment's jobs.

    Raises:
        DagsterInvalidDefinitionError: if they are not jobs with different names, or contradict each other.
    """
    given = [each for each in jobs if isinstance(each, JobDefinition)] if isinstance(jobs, Sequence) else []
    if not isinstance(jobs, Sequence) or len(given) < len(jobs):
        msg = f"jobs must be a list of JobDefinitions, not {shown(jobs)}. Give JobDefinitions."
        raise DagsterInvalidDefinitionError(msg)
    names = [job.name for job in given]
    if len(set(names)) < len(names):
        msg = f"jobs contains two definitions of one job: {', '.join(sorted(names))}. Give each job once."
        raise DagsterInvalidDefinitionError(msg)
    return AssetGraph(given)


def resolved_keys(sensor_name: str, selection: AssetSelection, graph: AssetGraph) -> Keys:
    """Return the assets that a sensor's selection selects among those of the jobs.

    Raises:
        DagsterInvalidDefinitionError: if there are none, or it names one that no job makes.
    """
    try:
        keys = selection.resolve(graph)
    except DagsterInvalidDefinitionError as error:
        raise _cannot_select(sensor_name, selection, str(error), graph) from error
    if not keys:
        raise _cannot_select(sensor_name, selection, "it selects no asset", graph)
    return keys


def targets_of(sensor_name: str, selection: AssetSelection, jobs: Sequence[JobDefinition]) -> AssetTargets:
    """Return the jobs that make what a sensor selects.

    Raises:
        DagsterInvalidDefinitionError: unless the selection selects assets, and one job makes each of them.
    """
    graph = asset_graph(jobs)
    keys = resolved_keys(sensor_name, selection, graph)
    if unmade := keys - graph.made:
        raise _cannot_select(sensor_name, selection, made_by_none(unmade), graph)
    for key in sorted(keys):
        if len(graph.makers[key]) > 1:
            fact = f"{names_of([key])} made by several jobs, {' and '.join(graph.makers[key])}: give only one of these"
            raise _cannot_select(sensor_name, selection, fact, graph)
    makers = {key: graph.makers[key][0] for key in sorted(keys)}
    return AssetTargets(makers, tuple(job for job in jobs if job.name in makers.values()))


def selection_problem(targets: AssetTargets | None, job: JobDefinition, request: RunRequest) -> str | None:
    """Return why a request for assets can never run; None if its job makes all of them.

    Args:
        targets: what the sensor selects; None if it names its jobs.
        job: the request's job.
        request: with assets.
    """
    keys = frozenset(request.asset_selection or ())
    if targets is not None:
        if outside := keys - targets.makers.keys():
            return (
                "RunRequest includes asset keys that are not part of sensor's asset_selection: "
                f"{listed(outside)}. Select some of {listed(targets.makers)}."
            )
        makers = targets.by_job(sorted(keys))
        if not keys and len(targets.jobs) > 1:
            return (
                f"The request selects no asset, and {len(targets.jobs)} jobs make those of the sensor. Select some of "
                f"{listed(targets.makers)}."
            )
        if len(makers) > 1:
            each = "; ".join(f"{name} makes {listed(made)}" for name, made in makers.items())
            return (
                f"The request selects assets of several jobs, and a run is of one job: {each}. Return a request with "
                "asset_selection for each job."
            )
    if job.assets is None:
        return (
            f"The request selects assets of job {job.name}, which declares none: {listed(keys) or '[]'}. Give its "
            "JobDefinition assets=[...]."
        )
    if missing := keys - job.asset_keys:
        return (
            f"The request selects assets that job {job.name} does not make: {listed(missing)}. It makes "
            f"{listed(job.asset_keys) or 'none'}."
        )
    return None


def _cannot_select(
    sensor_name: str, selection: AssetSelection, fact: str, graph: AssetGraph
) -> DagsterInvalidDefinitionError:
    msg = (
        f"Sensor {sensor_name!r} cannot select {selection!r}: {fact}. The given jobs make "
        f"{listed(graph.made) or 'no assets'}. Give evaluator or TreadleInstance the jobs that make the assets, as "
        "jobs=[JobDefinition(..., assets=[...])]."
    )
    return DagsterInvalidDefinitionError(msg)
