"""Jobs as sensor authors name them. Only LAUNCH's configuration knows what a name starts."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, cast

from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError, DagsterInvalidInvocationError
from treadle.definitions.max_runtime import max_runtime_problem
from treadle.definitions.runs import MAX_RETRIES_TAG, priority_problem
from treadle.definitions.values import tag_texts

if TYPE_CHECKING:
    from treadle.definitions.asset_key import AssetKey
    from treadle.definitions.asset_specs import AssetSpec, CoercibleToAssetKey
    from treadle.definitions.partitions.base import PartitionsDefinition
    from treadle.definitions.results import RunRequest
    from treadle.definitions.retries import RetryPolicy
    from treadle.definitions.run_config import RunConfig

NAME = re.compile(r"[A-Za-z0-9_]{1,80}")


def names_in(text: str) -> list[str]:
    """Parse a list of names separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def check_valid_name(name: str, what: str) -> str:
    """Return the name, if it is valid.

    Args:
        name: the proposed name.
        what: the thing to be named, for the message ("sensor", "job").

    Raises:
        DagsterInvalidDefinitionError: unless the name is 1 to 80 of `A-Za-z0-9_`.
    """
    given: object = name
    if not isinstance(given, str) or NAME.fullmatch(given) is None:
        msg = f"{name!r} cannot name a {what}: use 1 to 80 letters, digits and underscores."
        raise DagsterInvalidDefinitionError(msg)
    return name


def tags_problem(tags: Mapping[str, str]) -> str | None:
    """Return what is wrong with the tags that Treadle reads: maximum runtime, retries and priority; None if nothing is.

    Args:
        tags: of a job or a request.
    """
    return max_runtime_problem(tags) or _retry_problem(tags) or priority_problem(tags)


def _retry_problem(tags: Mapping[str, str]) -> str | None:
    if MAX_RETRIES_TAG not in tags:
        return None
    # Imported here, as most runs have no retry policy.
    from treadle.definitions.retries import retry_policy_of

    try:
        retry_policy_of(tags)
    except DagsterInvalidDefinitionError as error:
        return str(error)
    return None


LEAST_INLINE_BYTES = 4_000
"""Below that a run config is always sent: a target without room for it has none for the rest either."""


@dataclass(frozen=True, slots=True)
class JobDefinition:
    """A named launch target.

    Args:
        name: of its registry entry, which has the target.
        description: shown to operators.
        tags: put on every run of the job, unless `run_tags` is given; a request's own tags win. Values other than
            strings are written as JSON.
        run_config_schema: a JSON Schema (draft 4, 6 or 7) that every run config of the job must match. A
            request that does not match is rejected, and the others of its tick are launched.
        partitions_def: the job's partitions; by default those of its assets. A request whose `partition_key` is not
            one of their keys is rejected, and the others of its tick are launched; if the keys are stored, the tick
            fails, as the key may be added soon.
        run_tags: put on every run of the job instead of `tags`; the same as `tags` by default.
        retry_policy: when its failed runs are started again. Its number is the tag `dagster/max_retries`, which a
            request may override.
        assets: the assets that the job makes, as keys or `AssetSpec`s. A request may select some of them.
        max_inline_bytes: the largest run config, with tags, that is sent to the job's target; by default 200,000. A larger
            one travels by reference, and the job reads it with `read_payload`. Lower it for a target with a lower limit,
            such as ECS.

    Attributes:
        asset_keys: the keys of these assets.

    Raises:
        DagsterInvalidDefinitionError: for an invalid name, tags that are not text, partitions whose keys are not
            unique, or assets that are not a list of different ones, or have other partitions than the job or one
            another.
    """

    name: str
    description: str | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    run_config_schema: Mapping[str, Any] | None = None
    partitions_def: "PartitionsDefinition | None" = None
    run_tags: Mapping[str, str] | None = None
    retry_policy: "RetryPolicy | None" = None
    assets: "Sequence[AssetSpec | CoercibleToAssetKey] | None" = None
    max_inline_bytes: int | None = None
    asset_keys: "frozenset[AssetKey]" = field(init=False, repr=False, default=frozenset())

    def __post_init__(self) -> None:
        check_valid_name(self.name, "job")
        tags = tag_texts(self.tags, DagsterInvalidDefinitionError)
        object.__setattr__(self, "tags", tags)
        given = self.run_tags
        run_tags = tags if given is None else tag_texts(given, DagsterInvalidDefinitionError)
        if self.retry_policy is not None:
            run_tags = {**self.retry_policy.tags, **run_tags}
        object.__setattr__(self, "run_tags", run_tags)
        if problem := tags_problem(run_tags):
            raise DagsterInvalidDefinitionError(f"Job {self.name} has an invalid tag. {problem}")
        self._check_inline(self.max_inline_bytes)
        if self.assets is not None:
            # Imported here, as most jobs declare no assets.
            from treadle.definitions.asset_specs import partitions_of, specs_of

            specs = specs_of(self.assets, self.name)
            object.__setattr__(self, "assets", specs)
            object.__setattr__(self, "asset_keys", frozenset(spec.key for spec in specs))
            object.__setattr__(self, "partitions_def", partitions_of(specs, self.name, self.partitions_def))
        if self.partitions_def is not None:
            self._check_partitions(self.partitions_def)

    def _check_inline(self, given: object) -> None:
        if given is None:
            return
        if (
            not isinstance(given, int)
            or isinstance(given, bool)
            or not LEAST_INLINE_BYTES <= given <= 200_000
        ):
            msg = (
                f"max_inline_bytes of job {self.name} is {shown(given)}; it must be a whole number from {LEAST_INLINE_BYTES} "
                "to 200000."
            )
            raise DagsterInvalidDefinitionError(msg)

    @property
    def asset_specs(self) -> "tuple[AssetSpec, ...]":
        """The assets that the job makes, each with what is declared about it."""
        return cast("tuple[AssetSpec, ...]", self.assets or ())

    def _check_partitions(self, given: object) -> None:
        # Imported here, as most jobs have no partitions.
        from treadle.definitions.partitions.base import PartitionsDefinition

        if not isinstance(given, PartitionsDefinition):
            msg = (
                f"partitions_def of job {self.name} must be a PartitionsDefinition, not {type(given).__name__}: "
                f"{shown(given)}."
            )
            raise DagsterInvalidDefinitionError(msg)
        given.validate_partition_definition()

    def run_request_for_partition(
        self,
        partition_key: str,
        run_key: str | None = None,
        tags: Mapping[str, str] | None = None,
        asset_selection: "Sequence[AssetKey] | None" = None,
        run_config: "Mapping[str, Any] | RunConfig | None" = None,
        current_time: datetime | None = None,
        dynamic_partitions_store: Any = None,
    ) -> "RunRequest":
        """Return a request for a run of a partition.

        Args:
            partition_key: the partition's key.
            run_key: of the request.
            tags: put on the run; those of the partition win.
            asset_selection: the assets to make, of those that the job makes; None for all.
            run_config: of the request.
            current_time: only time windows that have ended by then have keys; by default now.
            dynamic_partitions_store: an object with the keys of dynamic partitions, such as `context.instance`;
                at a tick, by default the stored keys after the tick's own changes.

        Raises:
            DagsterInvalidInvocationError: if the job has no partitions.
            DagsterUnknownPartitionError: if no partition has this key.
        """
        # Imported here, as most jobs have no partitions.
        from treadle.definitions.partitions.context import partition_loading_context
        from treadle.definitions.results import RunRequest

        if self.partitions_def is None:
            msg = (
                f"Called run_request_for_partition on job {self.name}, which has no partitions. Give its "
                "JobDefinition a partitions_def, or use RunRequest(partition_key=...)."
            )
            raise DagsterInvalidInvocationError(msg)
        with partition_loading_context(current_time, dynamic_partitions_store):
            self.partitions_def.validate_partition_key(partition_key)
        all_tags = {**(tags or {}), **self.partitions_def.get_tags_for_partition_key(partition_key)}
        return RunRequest(
            run_key, run_config, all_tags, self.name, asset_selection, partition_key=partition_key
        )
