"""What an evaluation may return: run requests, a skip reason, or both wrapped in a result."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import InvalidResultError
from treadle.definitions.run_config import RunConfig
from treadle.definitions.status import DagsterRunStatus

if TYPE_CHECKING:
    from treadle.definitions.assets import AssetMaterialization
    from treadle.definitions.runs import DagsterRun


def _as_json(value: Any, what: str) -> str:
    try:
        text = canonical_json(value)
        text.encode()  # A lone surrogate passes for JSON until it is to be sent.
    except (TypeError, ValueError) as error:
        msg = f"{what} must be plain JSON (str, int, float, bool, None, list, dict with str keys): {error}."
        raise InvalidResultError(msg) from error
    return text


def _tag_value(key: str, value: Any) -> str:
    text = _as_json(value, f"Tag {key!r}")
    return value if isinstance(value, str) else text


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
        InvalidResultError: if run_config or a tag is no plain JSON, or run_key is no string.
    """

    run_key: str | None = None
    run_config: Mapping[str, Any] | RunConfig | None = None
    tags: Mapping[str, str] = field(default_factory=dict)
    job_name: str | None = None
    partition_key: str | None = field(default=None, kw_only=True)

    def __post_init__(self) -> None:
        run_key: object = self.run_key
        if run_key is not None and not isinstance(run_key, str):
            msg = f"run_key must be a string or None, not {type(run_key).__name__}: {run_key!r}."
            raise InvalidResultError(msg)
        _as_json(run_key, "run_key")
        config = json.loads(_as_json(self.plain_config, "run_config"))
        object.__setattr__(self, "run_config", config)
        tags = {str(key): _tag_value(str(key), value) for key, value in (self.tags or {}).items()}
        object.__setattr__(self, "tags", tags)

    @property
    def plain_config(self) -> dict[str, Any]:
        """The run config as plain JSON, in whatever form it was given."""
        config = self.run_config
        return config.to_config_dict() if isinstance(config, RunConfig) else dict(config or {})


def for_job(request: RunRequest, job_name: str) -> RunRequest:
    """The same request for a job; it was checked when it was made, and is not checked again."""
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
        if message is not None and not isinstance(message, str):
            msg = f"skip_message must be a string or None, not {type(message).__name__}: {message!r}."
            raise InvalidResultError(msg)


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
        InvalidResultError: if both run_requests and skip_reason are given, or an asset event is none.
    """

    run_requests: Sequence[RunRequest] | None = None
    skip_reason: str | SkipReason | None = None
    cursor: str | None = None
    asset_events: "Sequence[AssetMaterialization] | None" = None

    def __post_init__(self) -> None:
        if self.asset_events:
            _check_asset_events(self.asset_events)
        if self.run_requests and self.skip_reason:
            msg = (
                "Expected a single skip reason or one or more run requests: "
                "SensorResult received both. Return one of them."
            )
            raise InvalidResultError(msg)
        if isinstance(self.skip_reason, str):
            object.__setattr__(self, "skip_reason", SkipReason(self.skip_reason))


def _check_asset_events(given: Sequence[object]) -> None:
    # Imported here, as most sensors tell of none.
    from treadle.definitions.assets import AssetMaterialization

    for each in given:
        if not isinstance(each, AssetMaterialization):
            msg = f"asset_events must be a list of AssetMaterialization, and has {each!r}."
            raise InvalidResultError(msg)


@dataclass(frozen=True, slots=True)
class DagsterRunReaction:
    """That a run status sensor acted on a run; returning nothing says the same.

    Args:
        dagster_run: the run.
        error: why it could not; raised in its place, so that the event comes again.
        run_status: the status that it acted on.
    """

    dagster_run: "DagsterRun | None" = None
    error: Exception | None = None
    run_status: DagsterRunStatus | None = None


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
