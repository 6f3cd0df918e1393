"""Resources: values that sensors share, made on first access and closed in reverse order."""

import dataclasses
import inspect
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Annotated, Any, TypeVar, dataclass_transform, get_args, get_origin, overload

from treadle.definitions.errors import DagsterInvalidDefinitionError, DagsterInvariantViolationError

T = TypeVar("T")


class _Injected:
    """Marks a parameter that receives a resource."""


ResourceParam = Annotated[T, _Injected]
"""The annotation of a parameter that takes the resource of the same name, of any type."""


@dataclass_transform(kw_only_default=True)
class ConfigurableResource:
    """A resource with fields; a parameter annotated with a subclass takes the resource of the same name.

    Fields are declared as in a dataclass, and given by keyword. Override `setup_for_execution` and
    `teardown_after_execution` to open and close what it needs.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        dataclasses.dataclass(kw_only=True)(cls)

    def setup_for_execution(self, context: "InitResourceContext") -> None:
        """Open what the resource needs, on first access.

        Args:
            context: has the resources that it depends on.
        """

    def teardown_after_execution(self, context: "InitResourceContext") -> None:
        """Close what was opened, at the end of the tick.

        Args:
            context: the same as at setup.
        """


@dataclass(frozen=True, slots=True)
class InitResourceContext:
    """The context of a resource's function.

    Attributes:
        resources: those that it depends on, by attribute.
        resource_key: its key.
    """

    resources: "Resources"
    resource_key: str


@dataclass(frozen=True, slots=True)
class ResourceDefinition:
    """How to make a resource.

    Args:
        resource_fn: called with an `InitResourceContext` if it takes an argument; returns the resource, or
            a context manager of it, or yields it once and then closes it.
        description: shown to operators.
        required_resource_keys: those it depends on; made before it, closed after it.
        reusable: True to keep it for the warm ticks of one container; it is then never closed.
    """

    resource_fn: Callable[..., Any]
    description: str | None = None
    required_resource_keys: frozenset[str] = frozenset()
    reusable: bool = False

    @property
    def must_be_closed(self) -> bool:
        """Whether it yields its resource, and so must be closed."""
        function = getattr(self.resource_fn, "__wrapped__", self.resource_fn)
        return inspect.isgeneratorfunction(function)


@overload
def resource(function: Callable[..., Any], /) -> ResourceDefinition: ...
@overload
def resource(
    *,
    description: str | None = None,
    required_resource_keys: set[str] | None = None,
    reusable: bool = False,
) -> Callable[[Callable[..., Any]], ResourceDefinition]: ...
def resource(
    function: Callable[..., Any] | None = None,
    /,
    *,
    description: str | None = None,
    required_resource_keys: set[str] | None = None,
    reusable: bool = False,
) -> ResourceDefinition | Callable[[Callable[..., Any]], ResourceDefinition]:
    """Make a resource of a function; used bare or called. See `ResourceDefinition` for the arguments."""

    def decorate(made: Callable[..., Any]) -> ResourceDefinition:
        text = description or made.__doc__
        return ResourceDefinition(made, text, frozenset(required_resource_keys or ()), reusable)

    return decorate if function is None else decorate(function)


@dataclass(slots=True)
class ResourceScope:
    """The resources of one tick, or of one process.

    Args:
        definitions: by key: a `ResourceDefinition`, or the resource itself.
        outer: the process's scope, which keeps reusable resources.
        may_close: False if nobody will close the scope, so that it cannot make a resource that must be
            closed.
    """

    definitions: Mapping[str, Any]
    outer: "ResourceScope | None" = None
    may_close: bool = True
    _made: dict[str, Any] = field(default_factory=dict)
    _making: list[str] = field(default_factory=list)
    _stack: ExitStack = field(default_factory=ExitStack)
    _failures: list[BaseException] = field(default_factory=list)

    def get(self, key: str, wanted_by: str = "") -> Any:
        """Return the resource; make it on first access.

        Args:
            key: its name.
            wanted_by: what needs it, for the error's message.

        Raises:
            DagsterInvalidDefinitionError: if there is none of that name, or resources depend on each other
                in a circle.
            DagsterInvariantViolationError: if it must be closed and nobody will close the scope.
        """
        try:
            return self._get(key, wanted_by)
        except BaseException as error:  # Including that it took so long that the evaluation was stopped.
            self._failures.append(error)
            raise

    def require(self, key: str, wanted_by: str) -> None:
        """Check that there is such a resource, without making it.

        Args:
            key: its name.
            wanted_by: what needs it, for the error's message.

        Raises:
            DagsterInvalidDefinitionError: if there is none.
        """
        if key not in self.definitions:
            msg = f"Resource with key '{key}' required by {wanted_by} was not provided."
            error = DagsterInvalidDefinitionError(msg)
            self._failures.append(error)
            raise error

    def has_failed_with(self, error: BaseException) -> bool:
        """Return whether an error, or its cause, is that a resource could not be made.

        Args:
            error: as raised by the code that uses the resources.
        """
        seen: list[BaseException] = []
        each: BaseException | None = error
        while each is not None and not any(each is known for known in seen):
            if any(each is failure for failure in self._failures):
                return True
            seen.append(each)
            each = _raised_from(each)
        return False

    def _get(self, key: str, wanted_by: str) -> Any:
        if key in self._made:
            return self._made[key]
        if key not in self.definitions:
            msg = f"Resource with key '{key}' required by {wanted_by or 'a resource'} was not provided."
            raise DagsterInvalidDefinitionError(msg)
        definition = self.definitions[key]
        if self.outer is not None and isinstance(definition, ResourceDefinition) and definition.reusable:
            return self.outer.get(key, wanted_by)
        if key in self._making:
            msg = f"Resources depend on each other in a cycle: {' -> '.join([*self._making, key])}."
            raise DagsterInvalidDefinitionError(msg)
        self._making.append(key)
        try:
            self._made[key] = self._make(key, definition)
        finally:
            self._making.pop()
        return self._made[key]

    def _make(self, key: str, definition: Any) -> Any:
        context = InitResourceContext(Resources(self), key)
        if isinstance(definition, ConfigurableResource):
            if type(definition).teardown_after_execution is not ConfigurableResource.teardown_after_execution:
                self._check_closable(key)
            definition.setup_for_execution(context)
            self._stack.callback(definition.teardown_after_execution, context)
            return definition
        if not isinstance(definition, ResourceDefinition):
            return definition
        for needed in sorted(definition.required_resource_keys):
            self.get(needed, f"resource '{key}'")
        arguments = [context] if inspect.signature(definition.resource_fn).parameters else []
        value = definition.resource_fn(*arguments)
        if inspect.isgenerator(value):
            value = contextmanager(lambda: value)()
        if isinstance(value, AbstractContextManager) and definition.must_be_closed:
            self._check_closable(key)
            return self._stack.enter_context(value)
        return value

    def _check_closable(self, key: str) -> None:
        if not self.may_close:
            msg = (
                f"At least one provided resource is a generator or has a teardown ('{key}'), but attempting to "
                "access resources outside of context manager scope. "
                "Use `with build_sensor_context(...) as context:`."
            )
            raise DagsterInvariantViolationError(msg)

    def close(self) -> None:
        """Close all resources in reverse order; those that must be closed cannot be made again afterwards."""
        try:
            self._stack.close()  # A resource that is being closed may still use those it depends on.
        finally:
            self.may_close = False
            self._made.clear()


@dataclass(frozen=True, slots=True)
class Resources:
    """Resources by attribute, each made on first access."""

    _scope: ResourceScope
    _wanted_by: str = ""

    def __getattr__(self, key: str) -> Any:
        if key.startswith("__"):
            raise AttributeError(key)
        return self._scope.get(key, self._wanted_by)


@contextmanager
def build_resources(resources: Mapping[str, Any]) -> Iterator[Resources]:
    """Return the resources, made on first access and closed at the end of the block.

    Args:
        resources: by key: a `ResourceDefinition`, or the resource itself.

    Raises:
        DagsterInvalidDefinitionError: if one is missing, or they depend on each other in a circle.
    """
    scope = ResourceScope(resources)
    try:
        yield Resources(scope)
    finally:
        scope.close()


def is_resource_parameter(annotation: Any) -> bool:
    """Return whether a parameter with this annotation receives a resource."""
    if get_origin(annotation) is Annotated and _Injected in get_args(annotation):
        return True
    return isinstance(annotation, type) and issubclass(annotation, ConfigurableResource)


def _raised_from(error: BaseException) -> BaseException | None:
    """Return an error's cause or context, read from the error itself, as its class may override them."""
    cause: BaseException | None = BaseException.__cause__.__get__(error)  # type: ignore[union-attr]
    return cause or BaseException.__context__.__get__(error)  # type: ignore[union-attr]
