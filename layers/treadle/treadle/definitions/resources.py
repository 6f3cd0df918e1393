"""Resources: values that sensors share, made on first access and closed in reverse order."""

import inspect
import logging
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import ContextDecorator, ExitStack, contextmanager
from dataclasses import dataclass, field
from functools import update_wrapper
from types import TracebackType
from typing import Annotated, Any, Self, TypeVar, cast, get_args, get_origin, overload

from treadle.definitions.bounds import error_text, shown
from treadle.definitions.errors import (
    DagsterConfigMappingFunctionError,
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    DagsterResourceFunctionError,
    TreadleError,
)
from treadle.definitions.logs import SensorLogger

T = TypeVar("T")


class _Injected:
    """Marks a parameter that receives a resource."""


ResourceParam = Annotated[T, _Injected]
"""The annotation of a parameter that takes the resource of the same name, of any type."""


class IAttachDifferentObjectToOpContext:
    """A resource that puts another object into `context.resources`; parameters still get the resource itself."""

    def get_object_to_set_on_execution_context(self) -> Any:
        """Return that object."""
        raise NotImplementedError


class ResourceFactory(ABC):
    """An object that describes a resource, as a `ConfigurableResource` does."""

    @abstractmethod
    def get_resource_definition(self) -> "ResourceDefinition":
        """Return the definition of the resource."""

    @classmethod
    @abstractmethod
    def parameter_problem(cls, name: str) -> str | None:
        """Return why the class cannot annotate the parameter of that name; None if it can."""


class InitResourceContext:
    """The context of a resource's function; `build_init_resource_context` makes one for a test.

    Attributes:
        resources: those that it depends on, by attribute.
        resource_key: its key; empty in a test.
        resource_config: its config, validated, with the values of environment variables.
        log: the evaluation's logger.
        all_resource_defs: all resources of the evaluation, by key.
        run: None, as a resource of a sensor belongs to no run.
    """

    run = dagster_run = run_id = None

    def __init__(
        self,
        resources: Any,
        resource_key: str = "",
        *,
        resource_config: Any = None,
        resource_def: "ResourceDefinition | None" = None,
        all_resource_defs: Mapping[str, Any] | None = None,
        log: logging.Logger | None = None,
        instance: Callable[[], Any] | None = None,
    ) -> None:
        self._resources = resources
        self.resource_key = resource_key
        self.resource_config = resource_config
        self._resource_def = resource_def
        self.all_resource_defs = all_resource_defs or {}
        self.log = log or SensorLogger()
        self._instance = instance

    @property
    def resources(self) -> Any:
        """The resources that it depends on, by attribute."""
        return self._resources

    @property
    def resource_def(self) -> "ResourceDefinition":
        """The definition of the resource.

        Raises:
            DagsterInvariantViolationError: in a context of `build_init_resource_context`, which is for any.
        """
        if self._resource_def is None:
            msg = "UnboundInitResourceContext has not been bound to resource definition."
            raise DagsterInvariantViolationError(msg)
        return self._resource_def

    @property
    def log_manager(self) -> logging.Logger:
        """The same as `log`."""
        return self.log

    @property
    def instance(self) -> Any:
        """The recorded runs, as a `DagsterInstance`.

        Raises:
            DagsterInvariantViolationError: if the context was built without.
        """
        if self._instance is None:
            msg = (
                "Attempted to initialize dagster instance, but no instance reference was provided. "
                "Give the function that builds the context an instance."
            )
            raise DagsterInvariantViolationError(msg)
        return self._instance()

    def replace_config(self, config: Any) -> "InitResourceContext":
        """Return the same context with another `resource_config`."""
        return self._with(config, self._resource_def)

    def bound(self, definition: "ResourceDefinition", config: Any) -> "InitResourceContext":
        """Return the context of one definition, with its config."""
        return self._with(config, definition)

    def _with(self, config: Any, definition: "ResourceDefinition | None") -> "InitResourceContext":
        return InitResourceContext(
            self.resources,
            self.resource_key,
            resource_config=config,
            resource_def=definition,
            all_resource_defs=self.all_resource_defs,
            log=self.log,
            instance=self._instance,
        )


class UnboundInitResourceContext(InitResourceContext):
    """What `build_init_resource_context` returns; a context manager, for resources that must be closed."""

    def __init__(self, scope: "ResourceScope", config: Any, instance: Any) -> None:
        super().__init__(
            Resources(scope),
            resource_config=config,
            log=scope.log,
            instance=None if instance is None else lambda: instance,
        )
        self.scope = scope

    def __enter__(self) -> Self:
        self.scope.may_close = True
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.scope.close()


def build_init_resource_context(
    config: Mapping[str, Any] | None = None,
    resources: Mapping[str, Any] | None = None,
    instance: Any = None,
) -> UnboundInitResourceContext:
    """Make a context for calling a resource in a test.

    Args:
        config: the value of `context.resource_config`.
        resources: by key: a `ResourceDefinition`, a `ConfigurableResource`, or the resource itself.
        instance: the value of `context.instance`.
    """
    return UnboundInitResourceContext(ResourceScope(resources or {}, may_close=False), config, instance)


class ResourceDefinition:
    """How to make a resource.

    Args:
        resource_fn: called with an `InitResourceContext` if it takes an argument; returns the resource, or
            a context manager of it, or yields it once and then closes it.
        config_schema: what its config must match: a type, a mapping of names to types or `Field`s, or a
            list of one type. None allows any.
        description: shown to operators.
        required_resource_keys: those it depends on; made before it, closed after it.
        version: of the function's code; not used.
        reusable: True to keep it for the warm ticks of one container; it is then never closed.

    Raises:
        DagsterInvalidDefinitionError: if the function, or the schema, is none.
    """

    def __init__(
        self,
        resource_fn: Callable[..., Any],
        config_schema: Any = None,
        description: str | None = None,
        required_resource_keys: set[str] | frozenset[str] | None = None,
        version: str | None = None,
        *,
        reusable: bool = False,
    ) -> None:
        given: object = resource_fn
        if not callable(given):
            msg = f"A resource cannot be made by {shown(given)}: it is not callable."
            raise DagsterInvalidDefinitionError(msg)
        self.resource_fn = resource_fn
        self.description = description
        self.required_resource_keys = frozenset(required_resource_keys or ())
        self.version = version
        self.reusable = reusable
        self._configured: tuple[ResourceDefinition, Any] | None = None
        self.config_schema: Any = None
        if config_schema is not None:
            from treadle.definitions.config_schema import schema_field

            self.config_schema = schema_field(config_schema)

    @staticmethod
    def hardcoded_resource(value: Any, description: str | None = None) -> "ResourceDefinition":
        """Return the definition of a resource that is this value."""
        return ResourceDefinition(lambda _context: value, description=description)

    @staticmethod
    def none_resource(description: str | None = None) -> "ResourceDefinition":
        """Return the definition of a resource that is None."""
        return ResourceDefinition.hardcoded_resource(None, description)

    @staticmethod
    def mock_resource(description: str | None = None) -> "ResourceDefinition":
        """Return the definition of a resource that is a `unittest.mock.MagicMock`, a new one each time."""

        def made(_context: InitResourceContext) -> Any:
            from unittest.mock import MagicMock

            return MagicMock()

        return ResourceDefinition(made, description=description)

    @staticmethod
    def string_resource(description: str | None = None) -> "ResourceDefinition":
        """Return the definition of a resource that is its config, a string."""
        return ResourceDefinition(lambda context: context.resource_config, str, description)

    def configured(
        self, config_or_config_fn: Any, config_schema: Any = None, description: str | None = None
    ) -> "ResourceDefinition":
        """Return a definition that gives this one its config.

        Args:
            config_or_config_fn: the config, or a function that takes the new definition's config and
                returns this one's.
            config_schema: what the new definition's config must match.
            description: this one's by default.
        """
        made = ResourceDefinition(
            self.resource_fn,
            config_schema,
            description or self.description,
            self.required_resource_keys,
            self.version,
            reusable=self.reusable,
        )
        made._configured = (self, config_or_config_fn)
        return made

    def resolved_config(self, config: Any, name: str = "") -> Any:
        """Return the config as the resource's function gets it.

        Args:
            config: what was provided; None for nothing.
            name: the resource's key, for the error's message.

        Raises:
            DagsterInvalidConfigError: if it does not match the schema.
            DagsterConfigMappingFunctionError: if the function of `configured` failed.
        """
        if self.config_schema is not None:
            from treadle.definitions.config_schema import resolved

            config = resolved(self.config_schema, config, f"Error in config for resource {name}".rstrip())
        if self._configured is None:
            return config
        parent, mapped = self._configured
        if callable(mapped):
            try:
                mapped = mapped({} if config is None else config)
            except Exception as error:
                msg = (
                    "The config mapping function on a `configured` ResourceDefinition has thrown an "
                    f"unexpected error during its execution: {error_text(error)}"
                )
                raise DagsterConfigMappingFunctionError(msg) from error
        return parent.resolved_config(mapped, name)

    def made_with(self, context: InitResourceContext) -> Any:
        """Call the function, with the context if it takes one, and return its value."""
        return self.resource_fn(context) if self.takes_context else self.resource_fn()

    @property
    def takes_context(self) -> bool:
        """Whether the function takes a context."""
        return bool(inspect.signature(self.resource_fn).parameters)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        """Call the function itself, as a test does.

        Args:
            args: a context of `build_init_resource_context`, or None, if the function takes one.
            kwargs: the context by its name.

        Returns:
            The resource; for a function that yields it, a context manager.

        Raises:
            DagsterInvalidInvocationError: if the context is missing or not taken.
            DagsterInvalidConfigError: if the context's config does not match the schema.
        """
        context = self._context_of_call(args, kwargs)
        if context is None and self.required_resource_keys:
            msg = (
                "Resource has required resources, but no context was provided. Use the "
                "`build_init_resource_context` function to construct a context with the required resources."
            )
            raise DagsterInvalidInvocationError(msg)
        if context is None and self.config_schema is not None and self.config_schema.is_required:
            msg = (
                "Resource has required config schema, but no context was provided. Use the "
                "`build_init_resource_context` function to create a context with config."
            )
            raise DagsterInvalidInvocationError(msg)
        given = context or build_init_resource_context()
        for key in sorted(self.required_resource_keys):
            given.scope.require(key, "the resource")
        value = self.made_with(given.bound(self, self.resolved_config(given.resource_config)))
        return generated("resource", value) if inspect.isgenerator(value) else value

    def _context_of_call(
        self, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> UnboundInitResourceContext | None:
        if not self.takes_context:
            if args or kwargs:
                msg = (
                    "Attempted to invoke resource with argument, but underlying function has no context argument. "
                    "Either specify a context argument on the resource function, or remove the passed-in argument."
                )
                raise DagsterInvalidInvocationError(msg)
            return None
        if not args and not kwargs:
            msg = "Resource initialization function has context argument, but no context was provided when invoking."
            raise DagsterInvalidInvocationError(msg)
        if len(args) + len(kwargs) > 1:
            msg = (
                "Initialization of resource received multiple arguments. Only a first positional context "
                "parameter should be provided when invoking."
            )
            raise DagsterInvalidInvocationError(msg)
        name = next(iter(inspect.signature(self.resource_fn).parameters))
        if kwargs and name not in kwargs:
            msg = f"Resource initialization expected argument '{name}'."
            raise DagsterInvalidInvocationError(msg)
        context = args[0] if args else kwargs[name]
        if context is not None and not isinstance(context, UnboundInitResourceContext):
            msg = (
                f"A resource cannot be called with {type(context).__name__}. Use build_init_resource_context."
            )
            raise DagsterInvalidInvocationError(msg)
        return context


@overload
def resource(config_schema: Callable[..., Any], /) -> ResourceDefinition: ...
@overload
def resource(
    config_schema: Any = None,
    description: str | None = None,
    required_resource_keys: set[str] | None = None,
    version: str | None = None,
    *,
    reusable: bool = False,
) -> Callable[[Callable[..., Any]], ResourceDefinition]: ...
def resource(
    config_schema: Any = None,
    description: str | None = None,
    required_resource_keys: set[str] | None = None,
    version: str | None = None,
    *,
    reusable: bool = False,
) -> ResourceDefinition | Callable[[Callable[..., Any]], ResourceDefinition]:
    """Make a resource of a function; used bare or called. See `ResourceDefinition` for the arguments."""

    def decorate(function: Callable[..., Any]) -> ResourceDefinition:
        _check_parameters(function)
        made = ResourceDefinition(
            function,
            None if is_bare else config_schema,
            description or inspect.getdoc(function),
            required_resource_keys,
            version,
            reusable=reusable,
        )
        update_wrapper(cast("Any", made), function)
        return made

    # A type is a schema; any other callable is the function of a bare decorator.
    is_bare = callable(config_schema) and not isinstance(config_schema, type)
    return decorate(config_schema) if is_bare else decorate


def make_values_resource(**kwargs: Any) -> ResourceDefinition:
    """Return the definition of a resource that is its config, with these fields.

    Args:
        kwargs: by name: a `Field`, or a type.
    """
    return ResourceDefinition(lambda context: context.resource_config, kwargs or None)


def configured(
    configurable: ResourceDefinition, config_schema: Any = None, description: str | None = None
) -> Callable[[Any], ResourceDefinition]:
    """Return a decorator, or a function of a config, that gives a resource its config.

    Args:
        configurable: the resource.
        config_schema: what the new definition's config must match.
        description: the resource's by default.

    Raises:
        DagsterInvalidDefinitionError: if it is no `ResourceDefinition`.
    """
    given: object = configurable
    if not isinstance(given, ResourceDefinition):
        msg = f"configured cannot give {shown(given)} a config: it takes a ResourceDefinition."
        raise DagsterInvalidDefinitionError(msg)
    return lambda config: configurable.configured(config, config_schema, description)


def _check_parameters(function: Callable[..., Any]) -> None:
    parameters = list(inspect.signature(function).parameters.values())
    extra = [
        each.name for each in parameters[1:] if each.default is each.empty and each.kind not in _VARIABLE
    ]
    if extra:
        msg = (
            f"@resource decorated function '{getattr(function, '__name__', function)}' expects only a single "
            f"positional required argument. Got required extra params {', '.join(extra)}"
        )
        raise DagsterInvalidDefinitionError(msg)


_VARIABLE = {inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD}


@contextmanager
def generated(key: str, generator: Any) -> Iterator[Any]:
    """Yield what a generator yields, and run it to its end, whatever happens in between."""
    try:
        value = next(generator)
    except StopIteration:
        msg = f"Resource generator {key} must yield one item."
        raise RuntimeError(msg) from None
    try:
        yield value
    finally:
        for _ in generator:
            msg = f"Resource generator {key} yielded more than one item."
            raise RuntimeError(msg)


@contextmanager
def _errors_of(key: str) -> Iterator[None]:
    """Say of which resource an error is; our own errors say it themselves."""
    try:
        yield
    except TreadleError:
        raise
    except Exception as error:
        msg = f"Error executing resource_fn on ResourceDefinition {key}: {error_text(error)}"
        raise DagsterResourceFunctionError(msg) from error


@contextmanager
def _opened(key: str, manager: Any) -> Iterator[Any]:
    with _errors_of(key):
        value = manager.__enter__()
    try:
        yield value
    finally:
        with _errors_of(key):
            manager.__exit__(None, None, None)  # Not with the evaluation's error: it closes as after success.


@dataclass(slots=True)
class ResourceScope:
    """The resources of one tick, or of one process.

    Args:
        definitions: by key: a `ResourceDefinition`, or the resource itself.
        outer: the process's scope, which keeps reusable resources.
        may_close: False if nobody will close the scope, so that it cannot make a resource that must be
            closed.
        log: the logger of the resources' contexts.
        instance: creates the instance of the resources' contexts.
        config: by key: a mapping with the resource's config under "config".
    """

    definitions: Mapping[str, Any]
    outer: "ResourceScope | None" = None
    may_close: bool = True
    log: logging.Logger = field(default_factory=SensorLogger)
    instance: Callable[[], Any] | None = None
    config: Mapping[str, Any] = field(default_factory=dict)
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
        try:
            self._check_provided(key, wanted_by)
        except DagsterInvalidDefinitionError as error:
            self._failures.append(error)
            raise

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
        self._check_provided(key, wanted_by)
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

    def _check_provided(self, key: str, wanted_by: str) -> None:
        if key not in self.definitions:
            msg = f"Resource with key '{key}' required by {wanted_by or 'a resource'} was not provided."
            raise DagsterInvalidDefinitionError(msg)

    def _make(self, key: str, definition: Any) -> Any:
        if isinstance(definition, ResourceFactory):
            definition = definition.get_resource_definition()
        if not isinstance(definition, ResourceDefinition):
            return definition
        for needed in sorted(definition.required_resource_keys):
            self.get(needed, f"resource '{key}'")
        context = InitResourceContext(
            Resources(self),
            key,
            resource_config=definition.resolved_config((self.config.get(key) or {}).get("config"), key),
            resource_def=definition,
            all_resource_defs=self.definitions,
            log=self.log,
            instance=self.instance,
        )
        with _errors_of(key):
            value = definition.made_with(context)
        if inspect.isgenerator(value):
            value = generated(key, value)
        if isinstance(value, ContextDecorator):
            self._check_closable(key)
            return self._stack.enter_context(_opened(key, value))
        return value

    def with_given(self, given: Mapping[str, Any]) -> "ResourceScope":
        """Return a scope in which these replace those of the same key; it is closed with this one.

        Args:
            given: by key: a `ResourceDefinition`, a `ConfigurableResource`, or the resource itself.
        """
        scope = ResourceScope(
            {**self.definitions, **given}, self.outer, self.may_close, self.log, self.instance, self.config
        )
        self._stack.callback(scope.close)
        return scope

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
        value = self._scope.get(key, self._wanted_by)
        if isinstance(value, IAttachDifferentObjectToOpContext):
            return value.get_object_to_set_on_execution_context()
        return value


@contextmanager
def build_resources(
    resources: Mapping[str, Any],
    instance: Any = None,
    resource_config: Mapping[str, Any] | None = None,
) -> Iterator[Resources]:
    """Return the resources, made on first access and closed at the end of the block.

    Args:
        resources: by key: a `ResourceDefinition`, a `ConfigurableResource`, or the resource itself.
        instance: the value of `context.instance` in the resources' functions.
        resource_config: by key: a mapping with the resource's config under "config".

    Raises:
        DagsterInvalidDefinitionError: if one is missing, or they depend on each other in a circle.
        DagsterInvalidConfigError: if a config does not match the schema, is of no resource, or is not under
            "config".
        DagsterResourceFunctionError: if one cannot be made or closed.
    """
    if resource_config:
        # Imported here, as a tick gives no config.
        from treadle.definitions.config_schema import ANY, Field, Noneable, Shape, check

        of_each = Shape({key: Noneable({"config": Noneable(ANY)}) for key in resources})
        check(Field(of_each), dict(resource_config), "Error in config for resources")
    scope = ResourceScope(
        resources, instance=None if instance is None else lambda: instance, config=resource_config or {}
    )
    try:
        yield Resources(scope)
    finally:
        scope.close()


def is_resource_parameter(annotation: Any) -> bool:
    """Return whether a parameter with this annotation receives a resource."""
    if get_origin(annotation) is Annotated and _Injected in get_args(annotation):
        return True
    return is_class(annotation, (ResourceFactory, ResourceDefinition))


def parameter_problem(name: str, annotation: Any) -> str | None:
    """Return why a parameter of that name cannot have this annotation; None if it can."""
    if is_class(annotation, ResourceFactory):
        problem: str | None = annotation.parameter_problem(name)
        return problem
    return output_problem(name, annotation) if is_class(annotation, ResourceDefinition) else None


def output_problem(name: str, annotation: type, output: Any = None) -> str:
    """Return that a parameter's annotation must be what its resource makes, and not the resource's class.

    Args:
        name: the parameter's.
        annotation: the resource's class.
        output: the type of what it makes; None if that is not known.
    """
    value, advice = "an unknown", "'ResourceParam[Any]' or 'ResourceParam[<output type>]'"
    if output:
        value, advice = f"a '{output}'", f"'ResourceParam[{getattr(output, '__name__', output)}]'"
    return (
        f"Resource param '{name}' is annotated as '{annotation}', but '{annotation}' outputs {value} value to user "
        f"code such as @ops and @assets. This annotation should instead be {advice}"
    )


def is_class(annotation: Any, of: type | tuple[type, ...]) -> bool:
    """Return whether an annotation is a class, and a subclass of that one or of one of those."""
    try:
        return isinstance(annotation, type) and issubclass(annotation, of)
    except TypeError:  # list[str] is an instance of type, but no class.
        return False


def _raised_from(error: BaseException) -> BaseException | None:
    """Return an error's cause or context, read from the error itself, as its class may override them."""
    cause: BaseException | None = BaseException.__cause__.__get__(error)  # type: ignore[union-attr]
    return cause or BaseException.__context__.__get__(error)  # type: ignore[union-attr]
