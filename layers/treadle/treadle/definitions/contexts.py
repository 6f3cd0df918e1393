"""What an evaluation may read and change: its cursor, its resources, and facts about previous ticks."""

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from treadle.definitions.bounds import byte_size
from treadle.definitions.errors import DagsterInvariantViolationError
from treadle.definitions.logs import SensorLogger
from treadle.definitions.resources import Resources, ResourceScope
from treadle.definitions.values import unicode_problem

if TYPE_CHECKING:
    from treadle.definitions.instance import EndedRuns
    from treadle.definitions.jobs import JobDefinition

MAX_CURSOR_BYTES = 300_000
"""An item in DynamoDB has at most 400 KB."""


def check_cursor_size(sensor_name: str, cursor: str | None) -> None:
    """Check that a cursor can be stored.

    Raises:
        DagsterInvariantViolationError: if it has more than 300,000 bytes, or is not valid Unicode.
    """
    problem = unicode_problem(cursor or "")
    if problem is not None:
        msg = f"The cursor of sensor {sensor_name} {problem}"
        raise DagsterInvariantViolationError(msg)
    size = byte_size(cursor or "")
    if size > MAX_CURSOR_BYTES:
        msg = (
            f"The cursor of sensor {sensor_name} has {size} bytes; the limit is {MAX_CURSOR_BYTES}. "
            "Store a position in it, not everything that was seen."
        )
        raise DagsterInvariantViolationError(msg)


def _no_deadline() -> float:
    return float("inf")


def _nothing_claimed(_keys: Collection[str]) -> set[str]:
    return set()


def _no_resources() -> ResourceScope:
    return ResourceScope({}, may_close=False)


@dataclass(slots=True)
class SensorEvaluationContext:
    """The context of a sensor's function; `build_sensor_context` makes one for a test.

    Attributes:
        sensor_name: the sensor's name.
        last_run_key: the last run key that a tick of this sensor requested, stored as in Dagster.
        last_tick_completion_time: seconds since the epoch at which the last tick ended (really its end:
            Dagster gives the start), or None.
        last_sensor_start_time: seconds since the epoch at which the sensor was last started, or None.
        log: a `logging.Logger`, of the same type in a test; its lines are stored with the tick and go to CloudWatch.
        repository_name: as given by a test; None at a tick, as there are no repositories here.
        cursor_updated: whether this evaluation has set the cursor.
        deployed_jobs: as given by a test, for a sensor that selects assets; at a tick, the sensor itself knows them.
    """

    sensor_name: str
    _cursor: str | None = None
    last_run_key: str | None = None
    last_tick_completion_time: float | None = None
    last_sensor_start_time: float | None = None
    log: logging.Logger = field(default_factory=SensorLogger)
    repository_name: str | None = None
    _remaining_seconds: Callable[[], float] = _no_deadline
    _claimed_run_keys: Callable[[Collection[str]], set[str]] = _nothing_claimed
    _has_cursor: bool = True
    _resources: ResourceScope = field(default_factory=_no_resources)
    _instance: Callable[[], Any] | None = None
    _ended_runs: "Callable[[], EndedRuns] | None" = None
    _started_by_operator: float | None = None
    cursor_updated: bool = False
    deployed_jobs: "Sequence[JobDefinition]" = ()

    @classmethod
    def extending(cls, context: "SensorEvaluationContext", **facts: Any) -> Self:
        """Make the context of one event from the evaluation's context.

        Args:
            context: of the evaluation.
            facts: the additional attributes of this class.
        """
        known = {each.name: getattr(context, each.name) for each in fields(SensorEvaluationContext)}
        return cls(known.pop("sensor_name"), known.pop("_cursor"), **known, **facts)

    def __enter__(self) -> Self:
        self._resources.may_close = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._resources.close()

    @property
    def cursor(self) -> str | None:
        """The sensor's cursor as the last committed tick left it, or as `update_cursor` set it."""
        return self._cursor

    def update_cursor(self, cursor: str | None) -> None:
        """Set the cursor; it is committed together with this tick's requests, or not at all.

        Args:
            cursor: the new value; None clears it.

        Raises:
            DagsterInvariantViolationError: if the value is not a string, not valid Unicode, or has more than
                300,000 bytes, or this evaluation has no cursor.
        """
        if not self._has_cursor:
            msg = (
                f"Sensor {self.sensor_name} has no cursor when it evaluates an event or an object "
                "of a sweep, because these are evaluated concurrently. Remove update_cursor."
            )
            raise DagsterInvariantViolationError(msg)
        value: object = cursor
        if value is not None and not isinstance(value, str):
            msg = f"A cursor is a string or None, not {type(value).__name__}: wrap it in json.dumps(...)."
            raise DagsterInvariantViolationError(msg)
        text = None if value is None else str.__str__(value)
        check_cursor_size(self.sensor_name, text)
        self._cursor = text
        self.cursor_updated = True

    def without_cursor(self) -> Self:
        """Return the same evaluation for one of its objects, which has no cursor, however it was found."""
        return replace(self, _cursor=None, _has_cursor=False)

    @property
    def started_by_operator(self) -> float | None:
        """When an operator last started the sensor, in seconds since the epoch; None if by default."""
        return self._started_by_operator

    @property
    def is_first_tick_since_sensor_start(self) -> bool:
        """True if no tick has ended since the sensor was last started."""
        if self.last_tick_completion_time is None:
            return True
        started = self.last_sensor_start_time
        return started is not None and started > self.last_tick_completion_time

    @property
    def remaining_seconds(self) -> float:
        """Seconds until the evaluation is stopped; infinite in a test without a deadline."""
        return self._remaining_seconds()

    @property
    def resources(self) -> Resources:
        """The resources by attribute, each made on first access.

        Raises:
            DagsterInvalidDefinitionError: on access to one that was not provided.
            DagsterInvariantViolationError: on access to one that must be closed, outside a `with` block.
        """
        return Resources(self._resources, f"sensor '{self.sensor_name}'")

    def parameter_resource(self, key: str) -> Any:
        """Return what the parameter of that name gets: the resource itself, also if it attaches another object."""
        return self._resources.get(key, f"sensor '{self.sensor_name}'")

    def given_resources(self, given: Mapping[str, Any]) -> Callable[[str], Any]:
        """Return a function that returns what the parameter of that name gets, when some were given directly.

        Args:
            given: by key: a `ResourceDefinition`, a `ConfigurableResource`, or the resource itself.
        """
        scope = self._resources.with_given(given)
        return lambda key: scope.get(key, f"sensor '{self.sensor_name}'")

    def require_resource(self, key: str, sensor_name: str) -> None:
        """Check that a resource was provided, without making it.

        Raises:
            DagsterInvalidDefinitionError: if it was not.
        """
        self._resources.require(key, f"sensor '{sensor_name}'")

    def is_resource_failure(self, error: BaseException) -> bool:
        """Return whether the evaluation failed because a resource could not be made, not because of one item.

        Args:
            error: what the evaluation raised.
        """
        return self._resources.has_failed_with(error)

    @property
    def instance(self) -> Any:
        """The recorded runs, as a `DagsterInstance`; in a test, the argument of `build_sensor_context`.

        Raises:
            DagsterInvariantViolationError: if the context has none.
        """
        if self._instance is None:
            msg = (
                "Attempted to initialize dagster instance, but no instance reference was provided. "
                "Give build_sensor_context an instance."
            )
            raise DagsterInvariantViolationError(msg)
        return self._instance()

    @property
    def ended_runs(self) -> "EndedRuns":
        """The ended runs of each job, in the order in which Treadle recorded them.

        Raises:
            DagsterInvariantViolationError: if the context has none.
        """
        if self._ended_runs is None:
            msg = (
                f"The context of sensor {self.sensor_name} was built without completed runs. Test "
                "the sensor in a TreadleInstance."
            )
            raise DagsterInvariantViolationError(msg)
        return self._ended_runs()

    def claimed_run_keys(self, run_keys: Collection[str]) -> set[str]:
        """Return those of the given run keys that can start no more runs, so that they need not be requested.

        An optimization for sensors that check many known items repeatedly; leaving it out only adds cost.

        Args:
            run_keys: any number of run keys; a hundred cost one request.
        """
        return self._claimed_run_keys(run_keys)


def build_sensor_context(
    instance: Any = None,
    cursor: str | None = None,
    repository_name: str | None = None,
    *,
    sensor_name: str | None = None,
    resources: Mapping[str, Any] | None = None,
    last_sensor_start_time: float | None = None,
    last_tick_completion_time: float | None = None,
    last_run_key: str | None = None,
    jobs: "Sequence[JobDefinition] | None" = None,
) -> SensorEvaluationContext:
    """Make a context for calling a sensor in a test.

    Use it as a context manager (`with build_sensor_context(...) as context:`) where a resource must be
    closed.

    Args:
        instance: the value of `context.instance`.
        cursor: the cursor.
        repository_name: the value of `context.repository_name`.
        sensor_name: the value of `context.sensor_name`.
        resources: by key: a `ResourceDefinition`, or the resource itself; made on first access.
        last_sensor_start_time: seconds since the epoch.
        last_tick_completion_time: seconds since the epoch.
        last_run_key: the value of `context.last_run_key`.
        jobs: the jobs that make the assets that the sensor selects, for `evaluate_tick`.
    """
    log = SensorLogger()
    instances = None if instance is None else lambda: instance
    return SensorEvaluationContext(
        sensor_name or "sensor",
        cursor,
        last_run_key=last_run_key,
        last_tick_completion_time=last_tick_completion_time,
        last_sensor_start_time=last_sensor_start_time,
        log=log,
        repository_name=repository_name,
        _resources=ResourceScope(resources or {}, may_close=False, log=log, instance=instances),
        _instance=instances,
        deployed_jobs=jobs or (),
    )
