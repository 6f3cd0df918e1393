"""Values that an evaluation may return: run requests, a skip reason, or a result with both."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.definitions.bounds import error_text, shown
from treadle.definitions.errors import InvalidResultError
from treadle.definitions.run_config import RunConfig
from treadle.definitions.status import DagsterRunStatus
from treadle.definitions.values import json_text, tag_texts, text_value

if TYPE_CHECKING:
    from treadle.definitions.asset_key import AssetKey
    from treadle.definitions.assets import ReportedEvent
    from treadle.definitions.item_batches import ItemFacts
    from treadle.definitions.partitions.requests import DynamicPartitionsRequest
    from treadle.definitions.runs import DagsterRun


MAX_REQUESTS = 10_000
"""Maximum number of run requests in one tick; with more it fails, and a generator is not read on."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request to start a run, once per run key.

    Args:
        run_key: there is never more than one run record per sensor and run key; None or "" requests a run
            each time.
        run_config: input of the job, as plain JSON or a `RunConfig`; passed to the target as one value.
        tags: put on the run; values other than strings are written as JSON.
        job_name: one of the sensor's jobs; optional if it has only one.
        asset_selection: the assets to make, of those that the sensor selects or its job makes; None for all.
            The run has them in its tag `treadle/asset_selection`.
        partition_key: the run's partition.

    Raises:
        InvalidResultError: if run_config or a tag is not plain JSON, or another value is not a string; if a
            text is not valid Unicode, such as a file name that is not UTF-8; if run_config has more than
            100 levels; or if asset_selection is not a list of asset keys.
    """

    run_key: str | None = None
    run_config: Mapping[str, Any] | RunConfig | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    job_name: str | None = None
    asset_selection: "Sequence[AssetKey] | None" = None
    partition_key: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        for name in ("run_key", "job_name", "partition_key"):
            value: object = getattr(self, name)
            if value is not None:
                object.__setattr__(self, name, text_value(value, name))
        given: object = self.run_config
        if given is not None and not isinstance(given, Mapping | RunConfig):
            msg = (
                f"run_config must be a mapping, a RunConfig or None, not {type(given).__name__}: {shown(given)}. "
                "Give a dict."
            )
            raise InvalidResultError(msg)
        object.__setattr__(self, "run_config", json.loads(json_text(self._read_config(), "run_config")))
        object.__setattr__(self, "tags", tag_texts(self.tags))
        if self.asset_selection is not None:
            object.__setattr__(self, "asset_selection", _asset_keys(self.asset_selection))

    @property
    def plain_config(self) -> dict[str, Any]:
        """The run config as plain JSON, in whatever form it was given."""
        config = self.run_config
        return config.to_config_dict() if isinstance(config, RunConfig) else dict(config or {})

    def _read_config(self) -> dict[str, Any]:
        try:
            return self.plain_config
        except Exception as error:
            # Its parts are the author's code: a mapping or a model may raise any error when it is read.
            msg = (
                f"run_config cannot be read: {error_text(error)}. Give a dict, or a RunConfig whose parts are dicts, "
                "dataclasses or models of plain JSON."
            )
            raise InvalidResultError(msg) from error


def for_job(
    request: RunRequest, job_name: str, asset_selection: "Sequence[AssetKey] | None" = None
) -> RunRequest:
    """Return the same request for a job; later changes to it are checked when it is planned.

    Args:
        request: the request.
        job_name: the job.
        asset_selection: other assets than the request's; None for its own.
    """
    named = object.__new__(RunRequest)
    for name in RunRequest.__slots__:
        object.__setattr__(named, name, getattr(request, name))
    object.__setattr__(named, "job_name", job_name)
    if asset_selection is not None:
        object.__setattr__(named, "asset_selection", asset_selection)
    return named


def _asset_keys(given: object) -> "list[AssetKey]":
    # Imported here, as most requests select no assets.
    from treadle.definitions.asset_key import AssetKey

    return list(_listed(given, "asset_selection", AssetKey))


@dataclass(frozen=True, slots=True)
class SkipReason:
    """Why an evaluation requests nothing; shown to operators.

    Args:
        skip_message: the reason as text.

    Raises:
        InvalidResultError: if it is not a string.
    """

    skip_message: str | None = None

    def __post_init__(self) -> None:
        message: object = self.skip_message
        if message is None:
            return
        if not isinstance(message, str):
            msg = f"skip_message must be a string or None, not {type(message).__name__}: {shown(message)}."
            raise InvalidResultError(msg)
        # Invalid Unicode in it is replaced when it is stored, as it is only an explanation.
        object.__setattr__(self, "skip_message", str.__str__(message))


@dataclass(frozen=True, slots=True)
class SensorResult:
    """The complete result of an evaluation; must be the only value returned.

    Args:
        run_requests: the requested runs.
        skip_reason: why none is requested; not together with run_requests.
        cursor: the new cursor; None and "" leave it unchanged.
        dynamic_partitions_requests: keys to add to and delete from stored sets of partitions; applied once, with
            the tick. The run requests are checked against the sets after these changes.
        asset_events: materializations and observations that the evaluation made or detected; recorded once, with the
            tick.

    Raises:
        InvalidResultError: if both run_requests and skip_reason are given, or one of the values has another
            type, or the cursor is not valid Unicode.
        DagsterInvariantViolationError: if a partition key is in two of dynamic_partitions_requests.
    """

    run_requests: Sequence[RunRequest] | None = None
    skip_reason: str | SkipReason | None = None
    cursor: str | None = None
    dynamic_partitions_requests: "Sequence[DynamicPartitionsRequest] | None" = None
    asset_events: "Sequence[ReportedEvent] | None" = None

    def __post_init__(self) -> None:
        if self.run_requests is not None:
            requests = _listed(self.run_requests, "run_requests", RunRequest)
            object.__setattr__(self, "run_requests", requests)
        if self.asset_events is not None:
            object.__setattr__(self, "asset_events", _asset_events(self.asset_events))
        if self.dynamic_partitions_requests is not None:
            requests = _partitions_requests(self.dynamic_partitions_requests)
            object.__setattr__(self, "dynamic_partitions_requests", requests)
        if self.run_requests and self.skip_reason:
            msg = (
                "Expected a single skip reason or one or more run requests: "
                "SensorResult received both. Return one of them."
            )
            raise InvalidResultError(msg)
        if self.cursor is not None:
            object.__setattr__(self, "cursor", text_value(self.cursor, "cursor"))
        reason: object = self.skip_reason
        if isinstance(reason, str):
            # An empty one counts as none, as for SkipReason, so that it does not contradict requests.
            object.__setattr__(self, "skip_reason", SkipReason(reason) if reason else None)
        elif not isinstance(reason, SkipReason | None):
            msg = f"skip_reason must be a string, a SkipReason or None, not {type(reason).__name__}: {shown(reason)}."
            raise InvalidResultError(msg)


def _listed(given: object, what: str, *kinds: type) -> Sequence[Any]:
    """Return the values as a sequence; an iterator is read here."""
    names = " and ".join(kind.__name__ for kind in kinds)
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        msg = f"{what} must be a list of {names}, not {type(given).__name__}: {shown(given)}."
        raise InvalidResultError(msg)
    values = given if isinstance(given, Sequence) else list(islice(given, MAX_REQUESTS + 1))
    if values is not given and len(values) > MAX_REQUESTS:
        msg = (
            f"{what} exceed the limit of {MAX_REQUESTS} in one tick. Give fewer and continue from "
            "the cursor at the next tick."
        )
        raise InvalidResultError(msg)
    for each in values:
        if not isinstance(each, kinds):
            msg = (
                f"{what} must be a list of {names}: the sensor unexpectedly returned output {shown(each)} "
                f"of type {type(each)} in it."
            )
            raise InvalidResultError(msg)
    return values


def _asset_events(given: object) -> Sequence[Any]:
    # Imported here, as most sensors report no assets.
    from treadle.definitions.assets import AssetMaterialization, AssetObservation

    return _listed(given, "asset_events", AssetMaterialization, AssetObservation)


def _partitions_requests(given: object) -> Sequence[Any]:
    # Imported here, as most sensors have no dynamic partitions.
    from treadle.definitions.partitions.requests import (
        AddDynamicPartitionsRequest,
        DeleteDynamicPartitionsRequest,
        check_requests,
    )

    kinds = (AddDynamicPartitionsRequest, DeleteDynamicPartitionsRequest)
    requests = _listed(given, "dynamic_partitions_requests", *kinds)
    check_requests(requests)
    return requests


@dataclass(frozen=True, slots=True)
class DagsterRunReaction:
    """The result of a run status sensor that handled a run; returning nothing means the same.

    Args:
        dagster_run: the run.
        error: why the run could not be handled; raised instead, so that the event is evaluated again.
        run_status: the status that was handled.

    Raises:
        InvalidResultError: if one of them has another type.
    """

    dagster_run: "DagsterRun | None" = None
    error: Exception | None = None
    run_status: DagsterRunStatus | None = None

    def __post_init__(self) -> None:
        # Imported here, as only run status sensors use it.
        from treadle.definitions.runs import DagsterRun

        kinds = {"dagster_run": DagsterRun, "error": Exception, "run_status": DagsterRunStatus}
        for name, kind in kinds.items():
            value: object = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                msg = f"{name} must be {kind.__name__} or None, not {type(value).__name__}: {shown(value)}."
                raise InvalidResultError(msg)


class Measure(NamedTuple):
    """A value that an operator may want to monitor; one metric for each sensor.

    Attributes:
        name: of the metric.
        value: the measurement.
        unit: a CloudWatch unit, such as "Seconds".
    """

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class SensorExecutionData:
    """The normalized result of an evaluation.

    Attributes:
        run_requests: the requested runs, each with its job name filled in.
        skip_message: why none is requested.
        cursor: the cursor after the evaluation.
        rejected: the run key and the reason of each item that could not be evaluated.
        acted_on: the handled event: `run/attempt/retry/status`, or `deadline/time`; or the run key of a batch.
        depth: the chain depth, if it is not that of its event.
        dynamic_partitions_requests: keys to add to and delete from stored sets of partitions.
        asset_events: materializations and observations to record.
        wait_seconds: after how many seconds the event is to be evaluated again, as it is too early to decide.
        measures: values that an operator may want to monitor.
        dagster_run_reactions: what a run status sensor returned or yielded as its reaction.
        items: what is to wait for a batch, instead of being evaluated.
    """

    run_requests: Sequence[RunRequest] = ()
    skip_message: str | None = None
    cursor: str | None = None
    rejected: tuple[tuple[str, str], ...] = ()
    acted_on: str | None = None
    depth: int = 0
    dynamic_partitions_requests: "Sequence[DynamicPartitionsRequest]" = ()
    asset_events: "Sequence[ReportedEvent]" = ()
    wait_seconds: int = 0
    measures: tuple[Measure, ...] = ()
    dagster_run_reactions: Sequence[DagsterRunReaction] = ()
    items: "tuple[ItemFacts, ...]" = ()

    def __post_init__(self) -> None:
        for name in (
            "run_requests",
            "dynamic_partitions_requests",
            "asset_events",
            "dagster_run_reactions",
        ):
            object.__setattr__(self, name, list(getattr(self, name)))
