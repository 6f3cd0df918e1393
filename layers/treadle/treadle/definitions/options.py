"""Options that the sensor decorators share; `SensorDefinition` documents them and has their defaults."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypedDict, TypeVar, get_args

from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.status import DefaultSensorStatus

if TYPE_CHECKING:
    from treadle.definitions.asset_selection import CoercibleToAssetSelection
    from treadle.definitions.hours import Hours

T = TypeVar("T")


class SharedOptions(TypedDict, total=False):
    """Options of each kind of sensor that are keywords in each decorator."""

    required_resource_keys: set[str] | None
    tags: Mapping[str, str] | None
    metadata: Mapping[str, Any] | None
    owners: Sequence[str] | None
    on_invalid: str


class RetryOptions(SharedOptions, total=False):
    """Options of a sensor whose run keys may be requested again."""

    retries_per_key: int


class FailureOptions(RetryOptions, total=False):
    """Options of a sensor over failed runs."""

    each_attempt: bool


class UntargetedOptions(RetryOptions, total=False):
    """Options of a sensor whose jobs are named by arguments of its own."""

    minimum_interval_seconds: int | None
    description: str | None
    default_status: DefaultSensorStatus


class SensorOptions(UntargetedOptions, total=False):
    """Options of a sensor that requests `job` or one of `jobs`."""

    job: JobDefinition | None
    jobs: Sequence[JobDefinition] | None


class TargetOptions(SensorOptions, total=False):
    """Options of a sensor that may also select assets, as `target` or as `asset_selection`."""

    target: "JobDefinition | CoercibleToAssetSelection | None"
    asset_selection: "CoercibleToAssetSelection | None"


class PollingOptions(TargetOptions, total=False):
    """Options of a sensor that nothing but a schedule evaluates."""

    active: "Hours | None"


def check_options(function: Callable[..., Any], options: Mapping[str, object]) -> None:
    """Check that a function's `**options: Unpack[...]` contain only those of its annotation.

    Args:
        function: the decorator, or another function that makes a sensor, such as a definition's `__init__`.
        options: as given.

    Raises:
        TypeError: as Python raises it for an unknown keyword argument.
    """
    [known] = get_args(function.__annotations__["options"])
    for name in options:
        if name not in known.__optional_keys__:
            msg = f"{function.__qualname__}() got an unexpected keyword argument {name!r}"
            raise TypeError(msg)


def renamed(value: T, older: T | None, names: str) -> T:
    """Return an argument's value, given under either of its two names.

    Args:
        value: under the current name.
        older: under Dagster's former name.
        names: both, for the error.

    Raises:
        DagsterInvalidDefinitionError: if it was given under both.
    """
    if older is None:
        return value
    if value:
        msg = f"Cannot specify both {names}: the second is the older name of the first."
        raise DagsterInvalidDefinitionError(msg)
    return older
