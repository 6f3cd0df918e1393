"""Multi-asset sensors: triggered by materializations, one tick at a time, with a cursor for each asset."""

import inspect
from collections.abc import Callable, Sequence
from copy import copy
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, Unpack

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.assets import AssetMaterialized
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvalidDefinitionError, DagsterInvariantViolationError
from treadle.definitions.evaluation import SensorReturnType, flatten, requests_runs
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.monitored_assets import MonitoredAssets
from treadle.definitions.multi_asset_contexts import MultiAssetSensorEvaluationContext
from treadle.definitions.options import SensorOptions, check_options
from treadle.definitions.results import SensorExecutionData, SensorResult
from treadle.definitions.sensors import SensorDefinition, SensorEvent
from treadle.definitions.status import SensorType

if TYPE_CHECKING:
    from treadle.definitions.asset_selection import AssetSelection
    from treadle.definitions.asset_specs import AssetSpec

MultiAssetFunction = Callable[..., SensorReturnType]


class MultiAssetSensorDefinition(SensorDefinition):
    """A sensor over the materializations of several assets.

    Its function is called at a tick, with a `MultiAssetSensorEvaluationContext`. A materialization of any of
    the assets triggers a tick immediately; there is also one every minute. If it requests runs, it must mark
    the materializations that it has consumed, with `advance_cursor` or `advance_all_cursors`.

    Args:
        name: the sensor's name; the function's own name by default.
        monitored_assets: the assets, as keys, or as specs with their partitions; an `AssetSelection` selects among
            those of the jobs given to `evaluator` or `TreadleInstance`.
        job_name: the only job that the function may request, by name.
        asset_materialization_fn: the function.
        request_assets: the assets that the function may request instead of jobs, as `asset_selection`.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    sensor_type: ClassVar[SensorType] = SensorType.MULTI_ASSET
    kind: ClassVar[str] = "multi_asset"
    is_woken: ClassVar[bool] = True

    def __init__(
        self,
        name: str | None = None,
        monitored_assets: "Sequence[AssetKey | AssetSpec] | AssetSelection" = (),
        job_name: str | None = None,
        asset_materialization_fn: MultiAssetFunction | None = None,
        *,
        request_assets: "AssetSelection | None" = None,
        **options: Unpack[SensorOptions],
    ) -> None:
        check_options(MultiAssetSensorDefinition.__init__, options)
        super().__init__(
            name,
            evaluation_fn=asset_materialization_fn,
            job_name=job_name,
            asset_selection=request_assets,
            **options,
        )
        self.monitored = MonitoredAssets.of(monitored_assets, self.name).declaring(self.jobs)

    @property
    def monitored_assets(self) -> tuple[AssetKey, ...]:
        """The assets; none while the jobs of a selection are not known."""
        return self.monitored.keys

    def with_updated_jobs(self, new_jobs: Sequence[JobDefinition]) -> Self:
        """Return the same sensor with other targets."""
        changed = super().with_updated_jobs(new_jobs)
        changed.monitored = self.monitored.declaring(new_jobs)
        return changed

    def with_deployed_jobs(self, jobs: Sequence[JobDefinition] | None) -> Self:
        """Return the sensor as deployed beside jobs: it monitors what it selects of their assets."""
        deployed = super().with_deployed_jobs(jobs)
        monitored = self.monitored.declaring(jobs or ()).resolved(self.name, jobs or ())
        if monitored is self.monitored:
            return deployed
        changed = copy(deployed)
        changed.monitored = monitored
        return changed

    def is_woken_by(self, event: SensorEvent) -> bool:
        """Return whether an event is a materialization of one of the assets."""
        return isinstance(event, AssetMaterialized) and event.asset_key in self.monitored_assets

    def evaluate(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Run the function to its end, and move each asset's cursor, and the context's, as it requested.

        Args:
            context: of the evaluation; the function receives a `MultiAssetSensorEvaluationContext` made from
                it.

        Raises:
            InvalidResultError: if the function returned what no sensor may return.
            DagsterInvalidDefinitionError: if it requested runs and consumed nothing.
            DagsterInvariantViolationError: if it set the cursor, or yielded a result.
        """
        if not self.monitored_assets:
            msg = (
                f"Sensor {self.name} monitors {self.monitored.selection!r}, and the jobs that make these assets are "
                "not known. Evaluate it in TreadleInstance([...], jobs=[JobDefinition(..., assets=[...])])."
            )
            raise DagsterInvariantViolationError(msg)
        declared = self.monitored.partitions
        if isinstance(context, MultiAssetSensorEvaluationContext):
            declared = declared.also(context.asset_partitions)
        seen = MultiAssetSensorEvaluationContext.extending(
            context, asset_keys=list(self.monitored_assets), asset_partitions=declared
        )
        result = self._called(seen)
        values = flatten(result, self.name)
        is_several = inspect.isgenerator(result) or isinstance(result, list)
        if is_several and any(isinstance(value, SensorResult) for value in values):
            msg = "Cannot yield a SensorResult from a multi_asset_sensor. Instead return the SensorResult."
            raise DagsterInvariantViolationError(msg)
        for value in values:
            if isinstance(value, SensorResult) and value.cursor:
                seen.update_cursor(value.cursor)  # Raises an error, as the cursor cannot be set.
        if any(map(requests_runs, values)) and not seen.cursor_updated:
            msg = (
                "Asset materializations have been handled in this sensor, but the cursor was not updated. This "
                "means the same materialization events will be handled in the next sensor tick. Use "
                "context.advance_cursor or context.advance_all_cursors to update the cursor."
            )
            raise DagsterInvalidDefinitionError(msg)
        data = self._combined(values, seen)
        seen.update_cursor_after_evaluation()
        if isinstance(context, MultiAssetSensorEvaluationContext):
            context.continue_from(seen.cursor)
        elif seen.cursor != context.cursor:
            context.update_cursor(seen.cursor)
        return replace(data, cursor=seen.cursor, depth=seen.depth)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as a test does; the context's cursor moves as the function requests.

        Args:
            args: from `build_multi_asset_sensor_context`, if the function takes a context.
            kwargs: the context by its name, and resources by theirs.

        Returns:
            The function's return value; values that it yields are collected first.

        Raises:
            DagsterInvalidInvocationError: if an argument is missing or unknown.
            DagsterInvalidDefinitionError: if a resource is neither given nor in the context.
        """
        given = (*args, *kwargs.values())
        contexts = [value for value in given if isinstance(value, MultiAssetSensorEvaluationContext)]
        for context in contexts:
            context.begin_call(self.monitored.partitions)
        try:
            result = super().__call__(*args, **kwargs)
            if inspect.isgenerator(result):
                result = iter(list(result))
            for context in contexts:
                context.update_cursor_after_evaluation()
        finally:
            for context in contexts:
                context.end_call()
        return result


def multi_asset_sensor(
    monitored_assets: "Sequence[AssetKey | AssetSpec] | AssetSelection",
    *,
    job_name: str | None = None,
    name: str | None = None,
    request_assets: "AssetSelection | None" = None,
    **options: Unpack[SensorOptions],
) -> Callable[[MultiAssetFunction], MultiAssetSensorDefinition]:
    """Make a sensor of a function over the materializations of several assets.

    Args:
        monitored_assets: the assets, as keys, or as specs with their partitions; an `AssetSelection` selects among
            those of the jobs given to `evaluator` or `TreadleInstance`.
        job_name: the only job that it may request, by name.
        name: the sensor's name; the function's own name by default.
        request_assets: the assets that it may request instead of jobs, as `asset_selection` of `SensorDefinition`.
        options: other arguments of `SensorDefinition`. `minimum_interval_seconds` is the time between two
            ticks, whatever triggers them; None for an immediate tick.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """
    check_options(multi_asset_sensor, options)
    return lambda function: MultiAssetSensorDefinition(
        name, monitored_assets, job_name, function, request_assets=request_assets, **options
    )
