"""Jobs, ops and assets with code, in Dagster's form: what the guide says to replace by targets on AWS.

Their code runs in this process and reports to a `PeerInstance`, as a target reports to Treadle.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import treadle as tr
from tests.peers.modules import Broken
from treadle.definitions.asset_selection import AssetGraph, selection_of
from treadle.testing.bus import RunResult

_composed: list[list["Op"]] = []


def _configurable(make: Callable[..., Any]) -> Callable[..., Any]:
    """Let a decorator be used with and without arguments."""

    def decorator(function: Callable[..., Any] | None = None, **options: Any) -> Any:
        if function is None:
            return lambda given: make(given, **options)
        return make(function, **options)

    return decorator


@dataclass(frozen=True, slots=True)
class Output:
    """A value that an op or an asset yields or returns."""

    value: Any = None
    metadata: Mapping[str, Any] | None = None


def _events(function: Callable[..., Any], values: Mapping[str, Any]) -> Iterator[Any]:
    """Run the function with a context and what it depends on; yield what it yields or returns."""
    context = SimpleNamespace()
    made = function(*(values.get(name, context) for name in inspect.signature(function).parameters))
    if inspect.isgenerator(made):
        yield from made
    else:
        yield made


@dataclass(frozen=True, slots=True)
class Op:
    """A step of a job."""

    function: Callable[..., Any]

    def __call__(self, *_: object) -> None:
        """Add the step to the job whose function is called."""
        _composed[-1].append(self)


def _composition(function: Callable[..., Any]) -> list[Op]:
    _composed.append([])
    function()
    return _composed.pop()


class Job(tr.JobDefinition):
    """A job with its code."""

    steps: Sequence[Op]

    def run(self, instance: Any, run_id: str, partition_key: str | None) -> None:
        """Run the code, and report to the instance which assets it updates or observes."""
        for step in self.steps:
            for event in _events(step.function, {}):
                if isinstance(event, tr.AssetMaterialization | tr.AssetObservation):
                    instance.report_runless_asset_event(event, run_id=run_id)
        run_assets(
            [each for each in self.asset_specs if isinstance(each, Asset)], instance, run_id, partition_key
        )

    def resolve(self, **_: object) -> "Job":
        """Return itself."""
        return self

    def execute_in_process(
        self, *, instance: Any, raise_on_error: bool = True, **options: Any
    ) -> "ExecuteInProcessResult":
        """Run the job as a target would."""
        run_id = instance.create_run_for_job(self, **options).run_id
        result: ExecuteInProcessResult = instance.execute(run_id, raise_on_error=raise_on_error)
        return result


class ExecuteInProcessResult(RunResult):
    """A run that has ended."""

    @property
    def success(self) -> bool:
        """Whether it succeeded."""
        return self.run.status is tr.DagsterRunStatus.SUCCESS

    @property
    def run_id(self) -> str:
        """The run's id."""
        return self.run.run_id


def _job(name: str, steps: Sequence[Op] = (), **options: Any) -> Job:
    made = Job(name, **options)
    object.__setattr__(made, "steps", steps)
    return made


RUN_CONFIG = {
    "properties": {name: {"type": "object"} for name in ("execution", "loggers", "ops", "resources")},
    "additionalProperties": False,
}
"""What the run config of any job of Dagster's may have."""


def job(function: Callable[..., Any], *, name: str | None = None, **options: Any) -> Job:
    """Make a job of a function that calls ops, with the schema of their run config."""
    return _job(name or function.__name__, _composition(function), run_config_schema=RUN_CONFIG, **options)


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps of which jobs are made."""

    name: str
    steps: Sequence[Op]

    def to_job(self, name: str | None = None, **options: Any) -> Job:
        """Make a job of the steps."""
        return _job(name or self.name, self.steps, **options)


class Asset(tr.AssetSpec):
    """What is declared about an asset, with the function that makes it."""

    function: Callable[..., Any]

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        return self.function(*args)


ASSETS: dict[tr.AssetKey, Asset] = {}
"""The assets that were defined, of each key the last."""


def asset(
    function: Callable[..., Any],
    *,
    ins: Mapping[str, tr.AssetKey] | None = None,
    partitions_def: Any = None,
    group_name: str | None = None,
) -> Asset:
    """Make an asset of a function, whose parameters are the assets that it depends on."""
    inputs = [each for each in inspect.signature(function).parameters if each != "context"]
    deps = [(ins or {}).get(each, tr.AssetKey(each)) for each in inputs]
    made = Asset(function.__name__, deps=deps, group_name=group_name, partitions_def=partitions_def)
    object.__setattr__(made, "function", function)
    ASSETS[made.key] = made
    return made


def asset_jobs(assets: Sequence[tr.AssetSpec]) -> list[Job]:
    """Return jobs that make the assets: one for those of the same partitions, as Dagster has."""
    groups: list[list[tr.AssetSpec]] = []
    for each in assets:
        same = (group for group in groups if group[0].partitions_def == each.partitions_def)
        group = next(same, None)
        if group is None:
            groups.append([each])
        else:
            group.append(each)
    return [_job(f"__ASSET_JOB_{number}", assets=group) for number, group in enumerate(groups)]


def run_assets(assets: Sequence[Asset], instance: Any, run_id: str, partition_key: str | None) -> None:
    """Make assets in the given order, and report each to the instance."""
    values: dict[str, Any] = {}
    for each in assets:
        [made] = list(_events(each.function, values))
        output = made if isinstance(made, Output) else Output(made)
        values[each.key.path[-1]] = output.value
        event = tr.AssetMaterialization(each.key, metadata=output.metadata, partition=partition_key)
        instance.report_runless_asset_event(event, run_id=run_id)


def materialize(assets: Sequence[Asset], instance: Any, partition_key: str | None = None) -> Any:
    """Make assets in one run."""
    tags = {"dagster/partition": partition_key} if partition_key else {}
    return _job("__ASSET_JOB", assets=assets).execute_in_process(instance=instance, tags=tags)


def define_asset_job(name: str, selection: Any = None, *, partitions_def: Any = None) -> Job:
    """Make a job that makes the selected assets, as the guide says to declare it."""
    selected = selection_of("*" if selection is None else selection).resolve(
        AssetGraph(asset_jobs([*ASSETS.values()]))
    )
    assets = [each for each in ASSETS.values() if each.key in selected]
    if partitions_def is not None:
        assets = [each for each in assets if each.partitions_def == partitions_def]
    return _job(name, assets=assets, partitions_def=partitions_def)


@dataclass(frozen=True, slots=True)
class Repository:
    """The definitions of a repository, or of a `Definitions`."""

    name: str
    members: Sequence[Any]
    resources: Mapping[str, Any] = field(default_factory=dict)

    @property
    def sensors(self) -> dict[str, tr.SensorDefinition]:
        """The sensors by name."""
        return {each.name: each for each in self.members if isinstance(each, tr.SensorDefinition)}

    @property
    def assets(self) -> dict[tr.AssetKey, Asset]:
        """The assets by key."""
        return {each.key: each for each in self.members if isinstance(each, Asset)}

    def get_repository_def(self) -> "Repository":
        """Return the repository."""
        return self

    def named(self, name: str) -> Any:
        """Return the definition of that name."""
        found = next(each for each in self.members if _name(each) == name)
        return found() if isinstance(found, Broken) else found


def _name(member: Any) -> str | None:
    return member.__dict__["name"] if isinstance(member, Broken) else getattr(member, "name", None)


def repository(function: Callable[..., Any]) -> Repository:
    """Make a repository of a function that returns its definitions."""
    return Repository(function.__name__, _flat(function()))


def definitions(*, resources: Mapping[str, Any] | None = None, **members: Sequence[Any]) -> Repository:
    """Make what `Definitions` makes: the only repository of its code location."""
    return Repository("__repository__", _flat(list(members.values())), resources or {})


def _flat(members: Sequence[Any]) -> list[Any]:
    return [leaf for each in members for leaf in (_flat(each) if isinstance(each, list) else [each])]


def _context_builder(build: Callable[..., Any]) -> Callable[..., Any]:
    """Give the jobs that make the assets of the definitions in place of these, as the guide says."""

    def builder(
        *args: Any,
        repository_def: Repository | None = None,
        definitions: Repository | None = None,
        **options: Any,
    ) -> Any:
        given = repository_def or definitions
        return build(
            *args, **options, **({} if given is None else {"jobs": asset_jobs([*given.assets.values()])})
        )

    return builder


SCAFFOLD: dict[str, Any] = {
    "AssetGraph": SimpleNamespace(from_assets=list),
    "AssetIn": lambda key: key,
    "Definitions": definitions,
    "ExecuteInProcessResult": ExecuteInProcessResult,
    "OpExecutionContext": SimpleNamespace,
    "Output": Output,
    "SourceAsset": tr.AssetSpec,
    "asset": _configurable(asset),
    "build_multi_asset_sensor_context": _context_builder(tr.build_multi_asset_sensor_context),
    "build_sensor_context": _context_builder(tr.build_sensor_context),
    "define_asset_job": define_asset_job,
    "graph": lambda function: Graph(function.__name__, _composition(function)),
    "job": _configurable(job),
    "load_asset_checks_from_current_module": list,
    "load_assets_from_current_module": lambda: [*ASSETS.values()],
    "materialize": materialize,
    "op": _configurable(lambda function, **_: Op(function)),
    "repository": repository,
}
