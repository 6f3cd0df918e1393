"""The assets that a multi-asset sensor monitors, and what is declared about them."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.asset_partitions import AssetPartitions
from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError

# A sensor that lists its assets by their keys loads nothing of these.
if TYPE_CHECKING:
    from treadle.definitions.asset_selection import AssetSelection
    from treadle.definitions.jobs import JobDefinition


@dataclass(frozen=True, slots=True)
class MonitoredAssets:
    """The assets of a sensor.

    Attributes:
        keys: the assets; empty while a selection is not resolved.
        selection: selects them among the assets of the deployment's jobs; None if they are listed.
        partitions: what is declared about the partitions of these, and of the assets of the jobs.
    """

    keys: tuple[AssetKey, ...] = ()
    selection: "AssetSelection | None" = None
    partitions: AssetPartitions = field(default_factory=AssetPartitions)

    @classmethod
    def of(cls, given: object, sensor_name: str) -> "MonitoredAssets":
        """Read `monitored_assets`.

        Args:
            given: keys and specs, or a selection.
            sensor_name: the sensor, for the error.

        Raises:
            DagsterInvalidDefinitionError: if they are something else, or specs contradict each other.
        """
        assets = list(given) if isinstance(given, Sequence) and not isinstance(given, str) else []
        if assets and all(isinstance(each, AssetKey) for each in assets):
            return cls(tuple(dict.fromkeys(assets)))
        # Imported here, as most sensors list the keys.
        from treadle.definitions.asset_selection import AssetSelection
        from treadle.definitions.asset_specs import AssetSpec, key_of

        if isinstance(given, AssetSelection) and given.listed is None:
            return cls(selection=given)
        if isinstance(given, AssetSelection) and given.listed:
            return cls(tuple(sorted(given.listed)), partitions=AssetPartitions(given.specs))
        if not assets or not all(isinstance(each, AssetKey | AssetSpec) for each in assets):
            msg = (
                f"Sensor {sensor_name!r} cannot work: the value passed to monitored_assets must be one or more "
                f"AssetKeys or AssetSpecs, or an AssetSelection, not {shown(given)}."
            )
            raise DagsterInvalidDefinitionError(msg)
        specs = [each for each in assets if isinstance(each, AssetSpec)]
        return cls(tuple(dict.fromkeys(map(key_of, assets))), partitions=AssetPartitions(specs))

    def declaring(self, jobs: "Sequence[JobDefinition]") -> "MonitoredAssets":
        """Return the same assets beside jobs, with what these declare about the assets that they make.

        Raises:
            DagsterInvalidDefinitionError: if what is declared about an asset contradicts itself.
        """
        # A job that lists an asset by its key alone says nothing about its partitions.
        specs = [
            spec for job in jobs for spec in job.asset_specs if spec.partitions_def is not None or spec.deps
        ]
        return replace(self, partitions=self.partitions.also(AssetPartitions(specs))) if specs else self

    def resolved(self, sensor_name: str, jobs: "Sequence[JobDefinition]") -> "MonitoredAssets":
        """Return the assets that are selected among those of the deployment's jobs.

        Args:
            sensor_name: the sensor, for the error.
            jobs: with the assets that each makes.

        Raises:
            DagsterInvalidDefinitionError: if the selection selects none.
        """
        if self.selection is None:
            return self
        # Imported here, as most sensors list the keys.
        from treadle.definitions.asset_targets import asset_graph, resolved_keys

        return replace(
            self, keys=tuple(sorted(resolved_keys(sensor_name, self.selection, asset_graph(jobs))))
        )
