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
    assets_made: Sequence["Asset"]

    def run(self, instance: Any, run_id: str, partition_key: str | None) -> None:
        """Run the code, and report to the instance which assets it updates."""
        for step in self.steps:
            for event in _events(step.function, {}):
                if isinstance(event, tr.AssetMaterialization):
                    instance.report_runless_asset_event(event, run_id=run_id)
        run_assets(self.assets_made, instance, run_id, partition_key)

    def resolve(self, **_: object) -> "Job":
        """Return itself."""
        return self

    def execute_in_process(
        self, *, instance: Any, raise_on_error: bool = True, **options: Any
    ) -> "ExecuteInProcessResult":
        """Run the job as a target would."""
        run_id = instance.create_run_for_job(self, **options).run_id
        return instance.execute(run_id, raise_on_error=raise_on_error)


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


def _job(name: str, steps: Sequence[Op], assets: Sequence["Asset"] = (), **options: Any) -> Job:
    made = Job(name, **{key: value for key, value in options.items() if value is not None})
    object.__setattr__(made, "steps", steps)
    object.__setattr__(made, "assets_made", assets)
    return made


def job(function: Callable[..., Any], *, name: str | None = None, **options: Any) -> Job:
    """Make a job of a function that calls ops."""
    return _job(name or function.__name__, _composition(function), **options)


@dataclass(frozen=True, slots=True)
class Graph:
    """Steps of which jobs are made."""

    name: str
    steps: Sequence[Op]

    def to_job(self, name: str | None = None, **options: Any) -> Job:
        """Make a job of the steps."""
        return _job(name or self.name, self.steps, **options)


@dataclass(frozen=True, slots=True)
class Asset:
    """An asset with the function that makes it."""

    key: tr.AssetKey
    function: Callable[..., Any]
    deps: Sequence[tr.AssetKey] = ()
    partitions_def: Any = None
    group_name: str = "default"

    @property
    def keys(self) -> set[tr.AssetKey]:
        """The keys of the assets that the function makes."""
        return {self.key}

    def __call__(self, *args: Any) -> Any:
        """Call the function."""
        return self.function(*args)


def asset(
    function: Callable[..., Any],
    *,
    partitions_def: Any = None,
    group_name: str = "default",
    name: str | None = None,
    key_prefix: Sequence[str] | str = (),
    **_: Any,
) -> Asset:
    """Make an asset of a function, whose parameters are the assets that it depends on."""
    prefix = [key_prefix] if isinstance(key_prefix, str) else list(key_prefix)
    inputs = [each for each in inspect.signature(function).parameters if each not in {"context", "_"}]
    key = tr.AssetKey([*prefix, name or function.__name__])
    return Asset(key, function, [tr.AssetKey(each) for each in inputs], partitions_def, group_name)


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
    made = _job("__ASSET_JOB", (), [each for each in assets if not isinstance(each, Broken)])
    return made.execute_in_process(instance=instance, tags=tags)


def define_asset_job(name: str, selection: Any = None, *, partitions_def: Any = None, **options: Any) -> Job:
    """Make a job of assets, as the guide says to: by its name."""
    del selection
    return _job(name, (), partitions_def=partitions_def, **options)


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


def definitions(
    *, resources: Mapping[str, Any] | None = None, **members: Sequence[Any]
) -> Repository:
    """Make what `Definitions` makes: the only repository of its code location."""
    return Repository("__repository__", _flat(list(members.values())), resources or {})


def _flat(members: Sequence[Any]) -> list[Any]:
    return [leaf for each in members for leaf in (_flat(each) if isinstance(each, list) else [each])]


def _context_builder(build: Callable[..., Any]) -> Callable[..., Any]:
    """Drop the arguments with definitions, as the guide says."""

    def builder(*args: Any, repository_def: Any = None, definitions: Any = None, **options: Any) -> Any:
        del repository_def, definitions
        return build(*args, **options)

    return builder


SCAFFOLD: dict[str, Any] = {
    "AssetsDefinition": Asset,
    "Definitions": definitions,
    "ExecuteInProcessResult": ExecuteInProcessResult,
    "OpExecutionContext": SimpleNamespace,
    "AssetGraph": SimpleNamespace(from_assets=list),
    "Output": Output,
    "SourceAsset": lambda key, **_: key,
    "asset": _configurable(asset),
    "build_multi_asset_sensor_context": _context_builder(tr.build_multi_asset_sensor_context),
    "build_sensor_context": _context_builder(tr.build_sensor_context),
    "define_asset_job": define_asset_job,
    "graph": lambda function: Graph(function.__name__, _composition(function)),
    "job": _configurable(job),
    "load_asset_checks_from_current_module": list,
    "load_assets_from_current_module": list,
    "materialize": materialize,
    "op": _configurable(lambda function, **_: Op(function)),
    "repository": repository,
}
