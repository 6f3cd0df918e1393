"""A ported file: its module, and one evaluation of each of its sensors."""

import ast
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from types import ModuleType

from tests.peers.examples.surroundings import Surroundings
from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetSensorDefinition,
    DagsterRun,
    DagsterRunStatus,
    JobDefinition,
    MultiAssetSensorDefinition,
    RunRequest,
    RunStatusSensorDefinition,
    SensorDefinition,
    sensor,
)
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.status import TickStatus
from treadle.engine.outcomes import Decision
from treadle.model.ticks import Tick
from treadle.testing import TreadleInstance

UPSTREAM = ("data_update", "upstream_job_1", "upstream_job_2")
"""Jobs whose runs have ended when a sensor is evaluated."""

LOCATION = "210987654321/eu-west-1/defs"
"""The location of a run of another stack, which the examples name."""

SEED = 5
"""Of sensors that draw lots."""

METADATA = {"specific_property": "value", "file_path": "s3://b/k"}


@dataclass(slots=True)
class Loaded:
    """A module, and what of it failed.

    Attributes:
        module: the module.
        failed: the errors of statements, by their lines.
    """

    module: ModuleType
    failed: dict[int, str] = field(default_factory=dict)


def load(path: Path) -> Loaded:
    """Execute each statement of a file; one that fails does not keep the others from it."""
    loaded = Loaded(ModuleType(path.stem.replace("-", "_")))
    loaded.module.__file__ = str(path)
    for statement in ast.parse(path.read_text()).body:
        code = compile(ast.Module([statement], []), str(path), "exec")
        try:
            exec(code, vars(loaded.module))
        except Exception as error:  # noqa: BLE001 - whatever the example raises is its result
            loaded.failed[statement.lineno] = f"{type(error).__name__}: {error}"
    return loaded


def sensors(module: ModuleType, given: Surroundings) -> list[SensorDefinition]:
    """Return the sensors that a module defines, or that its functions make."""
    found = [each for each in vars(module).values() if isinstance(each, SensorDefinition)]
    return [*dict.fromkeys(found), *([given.makes(module)] if given.makes else [])]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """What one evaluation of a sensor came to.

    Attributes:
        skips: whether it skipped.
        error: why it failed, or was not possible; None if it was.
    """

    skips: bool
    error: str | None = None


def evaluate(definition: SensorDefinition, given: Surroundings) -> Evaluation:
    """Evaluate a sensor once, with an event if it takes events."""

    @sensor(name="upstream_of_example", jobs=[JobDefinition(name) for name in UPSTREAM])
    def upstream() -> list[RunRequest]:
        return [RunRequest(job_name=name) for name in UPSTREAM]

    random.seed(SEED)
    instance = TreadleInstance(
        [definition, upstream], jobs=given.jobs, resources=given.resources, start=datetime.now(UTC)
    )
    for parts in given.assets:
        instance.report_runless_asset_event(AssetMaterialization(parts))
    ended = DagsterRunStatus.SUCCESS
    if isinstance(definition, RunStatusSensorDefinition):
        [ended] = definition.statuses
    for run in instance.tick(upstream.name).runs:
        instance.finish_run(run, ended)
    if isinstance(definition, RunStatusSensorDefinition):
        if not instance.ticks(definition.name):
            instance.send(_ended_elsewhere(ended))
    elif isinstance(definition, AssetSensorDefinition | MultiAssetSensorDefinition):
        for partition, key in product(given.partitions, _keys(definition)):
            event = AssetMaterialization(key, metadata=METADATA, partition=partition)
            instance.report_runless_asset_event(event)
    else:
        outcome = instance.tick(definition.name).outcome
        rejected = f"{outcome.rejected} requests are rejected: {outcome.reason}" if outcome.rejected else None
        failed = outcome.reason if outcome.decision is Decision.FAILURE else rejected
        return Evaluation(outcome.decision is Decision.SKIPPED, failed)
    return _of(instance.ticks(definition.name))


def _of(ticks: Sequence[Tick]) -> Evaluation:
    if not ticks:
        return Evaluation(skips=False, error="It was not evaluated.")
    errors = [tick.error.message for tick in ticks if tick.error]
    errors += [each.reason for tick in ticks for each in tick.rejected]
    return Evaluation(all(tick.status is TickStatus.SKIPPED for tick in ticks), errors[0] if errors else None)


def _keys(definition: AssetSensorDefinition | MultiAssetSensorDefinition) -> Sequence[AssetKey]:
    return (
        [definition.asset_key]
        if isinstance(definition, AssetSensorDefinition)
        else definition.monitored_assets
    )


def _ended_elsewhere(status: DagsterRunStatus) -> RunStatusEvent:
    run = DagsterRun("5b1f0a52-0000-5000-8000-000000000001", UPSTREAM[0], status, location=LOCATION)
    return RunStatusEvent(run, status, datetime.now(UTC), number=1)
