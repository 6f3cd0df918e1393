"""What an evaluation may return: run requests, a skip reason, or both wrapped in a result."""

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
    from treadle.definitions.assets import AssetMaterialization
    from treadle.definitions.runs import DagsterRun


MAX_REQUESTS = 10_000
"""Run requests in one tick; more are a FAILURE that names the cap, and an endless generator is not read on."""


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A run that should be started, once per run key.

    Args:
        run_key: at most one run record exists per sensor and run key, ever; None or "" asks for a run
            each time.
        run_config: what the job receives, as plain JSON or a `RunConfig`; it travels to the target as one
            value.
        tags: put on the run; values that are no strings are written as JSON.
        job_name: which of the sensor's jobs; may be left out when it has just one.
        partition_key: the partition the run is for.

    Raises:
        InvalidResultError: if run_config or a tag is no plain JSON, or one of the others no string; if a text is
            no Unicode, as the name of a file that is not UTF-8; or if run_config has more than 100 levels.
    """

    run_key: str | None = None
    run_config: Mapping[str, Any] | RunConfig | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    job_name: str | None = None
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

    @property
    def plain_config(self) -> dict[str, Any]:
        """The run config as plain JSON, in whatever form it was given."""
        config = self.run_config
        return config.to_config_dict() if isinstance(config, RunConfig) else dict(config or {})

    def _read_config(self) -> dict[str, Any]:
        try:
            return self.plain_config
        except Exception as error:
            # Its parts, and how they are read, are the author's: a mapping or a model may raise anything.
            msg = (
                f"run_config cannot be read: {error_text(error)}. Give a dict, or a RunConfig whose parts are dicts, "
                "dataclasses or models of plain JSON."
            )
            raise InvalidResultError(msg) from error


def for_job(request: RunRequest, job_name: str) -> RunRequest:
    """The same request for a job; what of it may have changed since it was made is checked when it is planned."""
    named = object.__new__(RunRequest)
    for name in RunRequest.__slots__:
        object.__setattr__(named, name, getattr(request, name))
    object.__setattr__(named, "job_name", job_name)
    return named


@dataclass(frozen=True, slots=True)
class SkipReason:
    """Why an evaluation asks for nothing; shown to operators.

    Args:
        skip_message: the reason in words.

    Raises:
        InvalidResultError: if it is no string.
    """

    skip_message: str | None = None

    def __post_init__(self) -> None:
        message: object = self.skip_message
        if message is None:
            return
        if not isinstance(message, str):
            msg = f"skip_message must be a string or None, not {type(message).__name__}: {shown(message)}."
            raise InvalidResultError(msg)
        # What is no Unicode in it is replaced when it is stored: it says why nothing is asked for, no more.
        object.__setattr__(self, "skip_message", str.__str__(message))


@dataclass(frozen=True, slots=True)
class SensorResult:
    """Everything an evaluation has to say, in one value; must be the only one returned.

    Args:
        run_requests: the runs asked for.
        skip_reason: why none is asked for; not together with run_requests.
        cursor: the new cursor; None and "" leave it as it is.
        asset_events: what the evaluation itself has made, or knows to have been made; recorded once, with the
            tick.

    Raises:
        InvalidResultError: if both run_requests and skip_reason are given, or one of the values is of another
            type, or the cursor is no Unicode.
    """

    run_requests: Sequence[RunRequest] | None = None
    skip_reason: str | SkipReason | None = None
    cursor: str | None = None
    asset_events: "Sequence[AssetMaterialization] | None" = None

    def __post_init__(self) -> None:
        if self.run_requests is not None:
            requests = _listed(self.run_requests, "run_requests", RunRequest)
            object.__setattr__(self, "run_requests", requests)
        if self.asset_events is not None:
            object.__setattr__(self, "asset_events", _asset_events(self.asset_events))
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
            # An empty one is none, as for SkipReason, so that it contradicts no request.
            object.__setattr__(self, "skip_reason", SkipReason(reason) if reason else None)
        elif not isinstance(reason, SkipReason | None):
            msg = f"skip_reason must be a string, a SkipReason or None, not {type(reason).__name__}: {shown(reason)}."
            raise InvalidResultError(msg)


def _listed(given: object, what: str, kind: type) -> Sequence[Any]:
    """The values themselves; what can be read only once is read here."""
    if isinstance(given, str | Mapping) or not isinstance(given, Iterable):
        msg = f"{what} must be a list of {kind.__name__}, not {type(given).__name__}: {shown(given)}."
        raise InvalidResultError(msg)
    values = given if isinstance(given, Sequence) else list(islice(given, MAX_REQUESTS + 1))
    if values is not given and len(values) > MAX_REQUESTS:
        msg = (
            f"{what} exceed the limit of {MAX_REQUESTS} in one tick. Give fewer and continue from "
            "the cursor at the next tick."
        )
        raise InvalidResultError(msg)
    for each in values:
        if not isinstance(each, kind):
            msg = (
                f"{what} must be a list of {kind.__name__}: the sensor unexpectedly returned output {shown(each)} "
                f"of type {type(each)} in it."
            )
            raise InvalidResultError(msg)
    return values


def _asset_events(given: object) -> Sequence[Any]:
    # Imported here, as most sensors tell of none.
    from treadle.definitions.assets import AssetMaterialization

    return _listed(given, "asset_events", AssetMaterialization)


@dataclass(frozen=True, slots=True)
class DagsterRunReaction:
    """That a run status sensor acted on a run; returning nothing says the same.

    Args:
        dagster_run: the run.
        error: why it could not; raised in its place, so that the event comes again.
        run_status: the status that it acted on.

    Raises:
        InvalidResultError: if one of them is of another type.
    """

    dagster_run: "DagsterRun | None" = None
    error: Exception | None = None
    run_status: DagsterRunStatus | None = None

    def __post_init__(self) -> None:
        # Imported here, as only sensors of runs react to any.
        from treadle.definitions.runs import DagsterRun

        kinds = {"dagster_run": DagsterRun, "error": Exception, "run_status": DagsterRunStatus}
        for name, kind in kinds.items():
            value: object = getattr(self, name)
            if value is not None and not isinstance(value, kind):
                msg = f"{name} must be {kind.__name__} or None, not {type(value).__name__}: {shown(value)}."
                raise InvalidResultError(msg)


class Measure(NamedTuple):
    """Something that an operator may want to watch over time; one metric for each sensor.

    Attributes:
        name: the metric's.
        value: what was measured.
        unit: as CloudWatch names it, such as "Seconds".
    """

    name: str
    value: float
    unit: str


@dataclass(frozen=True, slots=True)
class SensorExecutionData:
    """An evaluation's result, brought into one shape.

    Attributes:
        run_requests: the runs asked for, each with its job name filled in.
        skip_message: why none is asked for.
        cursor: the cursor after the evaluation.
        set_aside: for each thing that could not be evaluated, its run key and the reason.
        acted_on: what was acted on: `run/attempt/retry/status`, or `deadline/time`.
        depth: how many runs, one after the other, led to it, where that is not its event's.
        asset_events: materializations to record.
        wait_seconds: after how long the event is to be evaluated again, as nothing can be said of it yet.
        measures: what an operator may want to watch.
    """

    run_requests: tuple[RunRequest, ...] = ()
    skip_message: str | None = None
    cursor: str | None = None
    set_aside: tuple[tuple[str, str], ...] = ()
    acted_on: str | None = None
    depth: int = 0
    asset_events: "tuple[AssetMaterialization, ...]" = ()
    wait_seconds: int = 0
    measures: tuple[Measure, ...] = ()
