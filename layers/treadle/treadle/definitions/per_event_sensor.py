"""What sensors share whose function is called once for each event that has a default run key."""

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any, ClassVar, Generic, Protocol, TypeVar, Unpack

from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.evaluation import combine, flatten
from treadle.definitions.options import SensorOptions
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.run_keys import with_run_key
from treadle.definitions.sensors import SensorDefinition, SensorEvent, SensorFunction

if TYPE_CHECKING:
    from treadle.definitions.item_batches import Batch


class KeyedEvent(Protocol):
    """An event with a default run key."""

    @property
    def run_key(self) -> str:
        """The run key of a request that has none: the same in each delivery."""

    @property
    def summary(self) -> str:
        """The event in one line, for operators."""


E = TypeVar("E", bound=KeyedEvent)


class PerEventSensorDefinition(SensorDefinition, Generic[E]):
    """A sensor whose function gets one event of a type, as an attribute of its context.

    Args:
        name: the sensor's name; the function's own name by default.
        evaluation_fn: the function.
        identity: returns an event's run key; None for the event's own.
        job_name: the only target, by name.
        batch: when events form a batch; None to evaluate each by itself.
        options: other arguments of `SensorDefinition`.

    Raises:
        DagsterInvalidDefinitionError: if the definition is invalid.
    """

    takes_events: ClassVar[bool] = True
    event_type: ClassVar[type[Any]]
    context_type: ClassVar[type[SensorEvaluationContext]]
    attribute: ClassVar[str]
    """The context's attribute that has the event; its plural names events of the type."""

    def __init__(
        self,
        name: str | None,
        *,
        evaluation_fn: SensorFunction,
        identity: Callable[[E], str] | None,
        job_name: str | None,
        batch: "Batch | None" = None,
        **options: Unpack[SensorOptions],
    ) -> None:
        super().__init__(name, evaluation_fn=evaluation_fn, job_name=job_name, **options)
        self._identity = identity
        self.batch = batch

    def evaluate_tick(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Evaluate the event or the batch of a context that was built for one, as a test does.

        Raises:
            InvalidResultError: if the function returned what no sensor may return.
            DagsterUnknownPartitionError: if the job of a request does not have its partition.
        """
        if isinstance(context, self.context_type):
            return self._resolved(self.evaluate_event(context, getattr(context, self.attribute)), context)
        return super().evaluate_tick(context)

    def evaluate(self, context: SensorEvaluationContext) -> SensorExecutionData:
        """Return an empty result: events are evaluated as they arrive."""
        del context
        return SensorExecutionData((), f"Sensor {self.name} evaluates {self.attribute}s, not ticks.")

    def evaluate_event(self, context: SensorEvaluationContext, event: SensorEvent) -> SensorExecutionData:
        """Evaluate one event, or let it wait for a batch, unless the sensor does not watch it."""
        if not isinstance(event, self.event_type):
            return super().evaluate_event(context, event)
        reason = self.unwatched(event)
        if reason:
            return SensorExecutionData((), f"{event.summary}: not watched, because {reason}.")
        if self.batch is not None:
            item, size = self._as_item(event), self._size_of(event)
            return self._waiting(self.batch, event.summary, self._run_key(event), item, size)
        seen = self.context_type.extending(context.without_cursor(), **{self.attribute: event})
        values = flatten(self._called(seen), self.name)
        values = with_run_key(values, lambda: self._run_key(event), self.name, event.summary)
        return replace(combine(values, seen, self.job_names), cursor=None)

    def unwatched(self, event: E) -> str:
        """Return why the function is not called for an event; "" if it is."""
        del event
        return ""

    def _size_of(self, event: E) -> int:
        """Return the size of an event's content in a batch."""
        raise NotImplementedError

    def _as_item(self, event: E) -> E:
        """Return an event as it is stored until its batch is evaluated."""
        return event

    def _run_key(self, event: E) -> object:
        return event.run_key if self._identity is None else self._identity(event)
