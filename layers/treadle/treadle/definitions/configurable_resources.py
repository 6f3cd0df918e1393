"""`ConfigurableResource` and `Config`: classes with validated fields, and Dagster's life cycle of a resource."""

import enum
import inspect
import sys
import types
from abc import ABCMeta, abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import AbstractAsyncContextManager, ContextDecorator, ExitStack, contextmanager
from importlib import import_module
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Generic,
    Literal,
    Self,
    TypeVar,
    Union,
    cast,
    dataclass_transform,
    get_args,
    get_origin,
    overload,
)

from treadle.definitions.config_schema import (
    ANY,
    FLOAT,
    Array,
    BoolSource,
    ConfigType,
    EnvVar,
    Field,
    IntEnvVar,
    IntSource,
    Map,
    Noneable,
    OneOf,
    Permissive,
    Shape,
    StringSource,
    check,
)
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvalidPythonicConfigDefinitionError,
    DagsterInvariantViolationError,
)
from treadle.definitions.fields import (
    RESOURCE_DEPENDENCY,
    UNSET,
    FieldInfo,
    PrivateInfo,
    fields_of,
    is_class_variable,
    validate,
)
from treadle.definitions.resources import (
    InitResourceContext,
    ResourceDefinition,
    ResourceFactory,
    build_init_resource_context,
    generated,
    is_class,
    output_problem,
)

V = TypeVar("V")
if TYPE_CHECKING:
    from typing_extensions import TypeVar as TypeVarWithDefault

    TResValue = TypeVarWithDefault("TResValue", default=Any)
else:
    TResValue = TypeVar("TResValue")
_TYPES: Mapping[Any, ConfigType] = {
    str: StringSource,
    int: IntSource,
    bool: BoolSource,
    float: FLOAT,
    Any: ANY,
    dict: Permissive(),
    list: Array(ANY),
}


def is_pydantic_loaded() -> bool:
    """Return whether the author's code, or what it uses, has imported pydantic 2; this never imports it."""
    return not str(getattr(sys.modules.get("pydantic"), "VERSION", "1.")).startswith("1.")


def annotations_of(namespace: dict[str, Any]) -> dict[str, Any]:
    """Return the annotations of a class that is being made, and put them into its namespace."""
    if "__annotations__" not in namespace and sys.version_info >= (3, 14):
        library = import_module("annotationlib")
        function = library.get_annotate_from_class_namespace(namespace)
        if function is not None:
            namespace["__annotations__"] = library.call_annotate_function(function, library.Format.VALUE)
    found: dict[str, Any] = namespace.setdefault("__annotations__", {})
    return found


def names_around(module: str | None) -> Mapping[str, Any]:
    """Return the names at the place in a module where a class is being made."""
    frame = inspect.currentframe()
    while frame is not None and frame.f_globals.get("__name__") != module:
        frame = frame.f_back
    return {} if frame is None else dict(frame.f_locals)


class ConfigMeta(ABCMeta):
    """Makes a class a pydantic model if pydantic is loaded, and gives it fields of our own if not."""

    def __new__(
        mcls, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any
    ) -> "ConfigMeta":
        """Make the class."""
        if mcls is not ConfigMeta:  # A subclass of a pydantic model.
            return super().__new__(mcls, name, bases, namespace, **kwargs)
        module = namespace.get("__module__")
        if module != __name__ and is_pydantic_loaded():
            from treadle.definitions.pydantic_configs import make_class

            return cast("ConfigMeta", make_class(name, bases, namespace, **kwargs))
        if any(isinstance(each, str) for each in annotations_of(namespace).values()):
            namespace["__local_names__"] = names_around(module)
        namespace["__declared_fields__"], namespace["__private_defaults__"] = _defaults(name, namespace)
        return super().__new__(mcls, name, bases, namespace, **kwargs)


def _defaults(name: str, namespace: dict[str, Any]) -> tuple[dict[str, Any], dict[str, PrivateInfo]]:
    """Take the defaults of fields and of private attributes out of a class's namespace."""
    annotations = namespace["__annotations__"]
    fields: dict[str, Any] = {}
    private: dict[str, PrivateInfo] = {}
    for attribute, value in list(namespace.items()):
        is_code = hasattr(type(value), "__get__") or isinstance(value, type)
        if attribute.startswith("__") or is_class_variable(annotations.get(attribute)):
            continue
        if type(value).__module__.partition(".")[0] == "pydantic":
            msg = f"{name}.{attribute} has a value of pydantic 1. Use pydantic 2."
            raise DagsterInvalidDefinitionError(msg)
        if attribute.startswith("_"):
            if not is_code:
                private[attribute] = value if isinstance(value, PrivateInfo) else PrivateInfo(value)
                del namespace[attribute]
        elif attribute in annotations:
            fields[attribute] = namespace.pop(attribute)
        elif not is_code or isinstance(value, FieldInfo | PrivateInfo):
            msg = (
                f"A non-annotated attribute was detected: {name}.{attribute}. Annotate it as a field or as ClassVar; "
                "the name of a private attribute begins with an underscore."
            )
            raise DagsterInvalidDefinitionError(msg)
    for attribute, value in fields.items():
        if isinstance(value, Field):
            msg = (
                "Using 'dagster.Field' is not supported within a Pythonic config or resource definition. "
                "'dagster.Field' should only be used in legacy Dagster config schemas. Did you mean to use "
                f"'pydantic.Field' instead? It is the default of {name}.{attribute}."
            )
            raise DagsterInvalidDefinitionError(msg)
    return fields, private


@dataclass_transform(kw_only_default=True)
class Config(metaclass=ConfigMeta):
    """A config with fields, given by keyword and validated as pydantic does; its fields cannot be changed."""

    def __init__(self, **data: Any) -> None:
        fields = type(self).config_fields()
        given = prepared(fields, data)
        values = validate(type(self).__name__, fields, given)
        if self._allows_others():
            known = {each.key for each in fields.values()}
            values |= {name: value for name, value in given.items() if name not in known}
        self.__dict__.update(values)
        self.__dict__["_names__internal__"] = tuple(values)
        for base in reversed(type(self).__mro__):
            for name, info in base.__dict__.get("__private_defaults__", {}).items():
                if info.default is not UNSET or info.default_factory is not None:
                    self.__dict__[name] = info.made_default()
        self._set_up(data)

    def _set_up(self, data: Mapping[str, Any]) -> None:
        """Do what follows the validation of the fields."""

    @classmethod
    def config_fields(cls) -> Mapping[str, FieldInfo]:
        """Return the fields by name."""
        found: Mapping[str, FieldInfo] | None = cls.__dict__.get("__config_fields__")
        if found is None:
            found = cls._fields_of_class()
            type.__setattr__(cls, "__config_fields__", found)
        return found

    @classmethod
    def _fields_of_class(cls) -> Mapping[str, FieldInfo]:
        return fields_of(cls)

    @classmethod
    def _allows_others(cls) -> bool:
        return issubclass(cls, PermissiveConfig)

    def __setattr__(self, name: str, value: Any) -> None:
        if not name.startswith("_"):
            raise self._frozen_error()
        object.__setattr__(self, name, value)

    def __delattr__(self, name: str) -> None:
        if not name.startswith("_"):
            raise self._frozen_error()
        object.__delattr__(self, name)

    def _frozen_error(self) -> DagsterInvalidInvocationError:
        kind, advice = "config class", ""
        if isinstance(self, ConfigurableResourceFactory):
            kind = "resource"
            advice = (
                " If trying to maintain state on this resource, consider building a separate, stateful client "
                "class, and provide a method on the resource to construct and return the stateful client."
            )
        return DagsterInvalidInvocationError(
            f"'{type(self).__name__}' is a Pythonic {kind} and does not support item assignment, as it inherits "
            f"from 'pydantic.BaseModel' with frozen=True.{advice}"
        )

    def __iter__(self) -> Iterator[tuple[str, Any]]:
        yield from ((name, self.__dict__[name]) for name in self.__dict__["_names__internal__"])

    def __eq__(self, other: object) -> bool:
        return type(other) is type(self) and dict(cast("Any", other)) == dict(self)

    def __hash__(self) -> int:
        return hash((type(self), *dict(self).values()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={value!r}' for name, value in self)})"

    def __str__(self) -> str:
        return " ".join(f"{name}={value!r}" for name, value in self)

    def model_dump(self) -> dict[str, Any]:
        """Return the fields as a dict, and those of configs in it."""
        return {name: _dumped(value) for name, value in self}

    def to_config_dict(self) -> dict[str, Any]:
        """Return the fields that are set as a config: plain, with environment variables by name."""
        public = self._public_values(dict(self), keeps_set=True)
        return {name: _as_config(value) for name, value in public.items()}

    @classmethod
    def _public_values(cls, items: Mapping[str, Any], *, keeps_set: bool = False) -> dict[str, Any]:
        """Return the values by key, without those that equal their default, unless they are set and kept."""
        fields = cls.config_fields()
        public = {}
        for name, value in items.items():
            info = fields.get(name)
            is_kept = (
                info is None
                or (keeps_set and value is not None)
                or get_origin(info.annotation) is Literal
                or is_class(info.annotation, enum.Enum)
                or not (type(value) is type(info.default) and value == info.default)
            )
            if is_kept:
                public[name if info is None else info.key] = value
        return public

    @classmethod
    def to_config_schema(cls) -> Shape:
        """Return the schema of its config, as for `config_schema=`."""
        shape = Permissive if cls._allows_others() else Shape
        fields = {
            info.key: _schema_field(cls, name, info)
            for name, info in cls.config_fields().items()
            if not is_resource(info.annotation)
        }
        return shape(fields, inspect.cleandoc(cls.__doc__) if cls.__doc__ else None)

    @classmethod
    def to_fields_dict(cls) -> dict[str, Field]:
        """Return the fields of its schema, by key."""
        return cls.to_config_schema().fields


class PermissiveConfig(Config):
    """A config that takes other fields as well."""


def prepared(fields: Mapping[str, FieldInfo], data: Mapping[str, Any]) -> dict[str, Any]:
    """Return values as they are validated: an enum's name as its value, None for what is required and missing."""
    by_key = {info.key: info for info in fields.values()}
    given = {}
    for key, value in data.items():
        kind: Any = by_key[key].annotation if key in by_key else None
        if is_class(kind, enum.Enum) and isinstance(value, str) and not isinstance(value, kind):
            members = kind.__members__
            if value in members and value not in [each.value for each in members.values()]:
                value = members[value].value  # noqa: PLW2901 - the same value in the form that is validated
        given[key] = value
    return given | {key: None for key, info in by_key.items() if info.is_required and key not in given}


class ResourceDependency(Generic[V]):
    """The annotation of a field that takes a resource and gives what that resource makes."""

    def __set_name__(self, _owner: type, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, obj: None, owner: type) -> Self: ...
    @overload
    def __get__(self, obj: object, owner: type) -> V: ...
    def __get__(self, obj: object | None, owner: type) -> Any:
        return self if obj is None else getattr(obj, self._name)

    def __set__(self, obj: object, value: Any) -> None:
        setattr(obj, self._name, value)


class ConfigurableResourceFactory(Config, ResourceFactory, Generic[TResValue]):
    """A resource with fields, whose `create_resource` makes an object of another type for the sensor's function."""

    def _set_up(self, data: Mapping[str, Any]) -> None:
        cls = type(self)
        keys = {info.key: name for name, info in cls.config_fields().items() if is_resource(info.annotation)}
        given = {key for key in data if key not in keys}
        config = {k: v for k, v in self.to_config_dict().items() if k in given}
        schema = Field(cls.to_config_schema(), is_required=False)
        check(schema, config, "Incorrect values passed to .configured")
        self.__dict__["_nested__internal__"] = {
            key: getattr(self, name) for key, name in keys.items() if key in data
        }
        self.__dict__["_schema__internal__"] = Field(schema.config_type, config, is_required=False)
        self.__dict__["_context__internal__"] = None

    @property
    def nested_resources(self) -> Mapping[str, Any]:
        """The resources in its fields."""
        nested: Mapping[str, Any] = self.__dict__["_nested__internal__"]
        return nested

    @classmethod
    def _must_be_closed(cls) -> bool:
        base = ConfigurableResourceFactory
        return (
            cls.yield_for_execution is not base.yield_for_execution
            or cls.teardown_after_execution is not base.teardown_after_execution
            or any(is_resource(info.annotation) for info in cls.config_fields().values())
        )

    def get_resource_definition(self) -> ResourceDefinition:
        """Return the definition of the resource; always the same one."""
        found: ResourceDefinition | None = self.__dict__.get("_definition__internal__")
        if found is None:
            made_by = self.opened if self._must_be_closed() else self.made
            found = ResourceDefinition(made_by, self.__dict__["_schema__internal__"], type(self).__doc__)
            self.__dict__["_definition__internal__"] = found
        return found

    @classmethod
    def parameter_problem(cls, name: str) -> str | None:
        """Return that the function gets an object of another type, so that `ResourceParam` must annotate it."""
        if issubclass(cls, ConfigurableResource):
            return None
        bases = [
            base
            for owner in cls.__mro__
            for base in owner.__dict__.get("__orig_bases__", ())
            if get_origin(base) is ConfigurableResourceFactory
        ]
        output = next((arg for base in bases for arg in get_args(base) if not isinstance(arg, TypeVar)), None)
        return output_problem(name, cls, output)

    @abstractmethod
    def create_resource(self, context: InitResourceContext) -> TResValue:
        """Return the object that the sensor's function gets.

        Args:
            context: has config, log, instance and other resources.
        """
        raise NotImplementedError

    def setup_for_execution(self, context: InitResourceContext) -> None:
        """Open what the resource needs, on first access in a tick.

        Args:
            context: has config, log, instance and other resources.
        """

    def teardown_after_execution(self, context: InitResourceContext) -> None:
        """Close what was opened, at the end of the tick, also of a failed one; not if the setup failed.

        Args:
            context: the same as at setup.
        """

    @contextmanager
    def yield_for_execution(self, context: InitResourceContext) -> Iterator[TResValue]:
        """Yield the object that the sensor's function gets; override it in place of setup and teardown.

        Args:
            context: has config, log, instance and other resources.
        """
        self.setup_for_execution(context)
        try:
            yield self.create_resource(context)
        finally:
            self.teardown_after_execution(context)

    def get_resource_context(self) -> InitResourceContext:
        """Return the context with which the resource was made.

        Raises:
            DagsterInvariantViolationError: before that.
        """
        context: InitResourceContext | None = self.__dict__["_context__internal__"]
        if context is None:
            msg = "Attempted to get context before resource was initialized."
            raise DagsterInvariantViolationError(msg)
        return context

    def with_replaced_resource_context(self, resource_context: InitResourceContext) -> Self:
        """Return the same resource with that context."""
        made = self.with_values({})
        made.__dict__["_context__internal__"] = resource_context
        return made

    def process_config_and_initialize(self) -> TResValue:
        """Return the object that a sensor's function would get, in a test; environment variables are read."""
        with self._test_context() as context:
            return self.from_resource_context(context, self.nested_resources)

    @contextmanager
    def process_config_and_initialize_cm(self) -> Iterator[TResValue]:
        """Yield that object, and close it at the end of the block."""
        with (
            self._test_context() as context,
            self.from_resource_context_cm(context, self.nested_resources) as made,
        ):
            yield made

    def _test_context(self) -> Any:
        return build_init_resource_context(self.get_resource_definition().resolved_config(None))

    @classmethod
    def from_resource_context(
        cls, context: InitResourceContext, nested_resources: Mapping[str, Any] | None = None
    ) -> TResValue:
        """Return the object of a resource with the context's config.

        Args:
            context: of a resource's function with `config_schema=cls.to_config_schema()`.
            nested_resources: by field.

        Raises:
            DagsterInvariantViolationError: if it must be closed.
        """
        if cls._must_be_closed():
            msg = (
                "Use from_resource_context_cm for resources which have custom teardown behavior, e.g. overriding "
                "yield_for_execution or teardown_after_execution"
            )
            raise DagsterInvariantViolationError(msg)
        return cls(**(context.resource_config or {}), **(nested_resources or {})).made(context)

    @classmethod
    @contextmanager
    def from_resource_context_cm(
        cls, context: InitResourceContext, nested_resources: Mapping[str, Any] | None = None
    ) -> Iterator[TResValue]:
        """Yield the object of a resource with the context's config, and close it at the end of the block.

        Args:
            context: of a resource's function with `config_schema=cls.to_config_schema()`.
            nested_resources: by field.
        """
        with cls(**(context.resource_config or {}), **(nested_resources or {})).opened(context) as made:
            yield made

    def made(self, context: InitResourceContext) -> TResValue:
        """Return the object that the sensor's function gets, of a resource that nobody closes."""
        with self._configured_by(context) as configured:
            configured.setup_for_execution(context)
            return configured.create_resource(context)

    @contextmanager
    def opened(self, context: InitResourceContext) -> Iterator[TResValue]:
        """Yield the object that the sensor's function gets, and close the resource at the end of the block."""
        with self._configured_by(context) as configured:
            manager: Any = configured.yield_for_execution(context)
            if isinstance(manager, AbstractAsyncContextManager):
                msg = (
                    f"The resource {type(self).__name__} cannot be opened: its yield_for_execution is async. Make it "
                    "a plain one that calls asyncio.run."
                )
                raise DagsterInvariantViolationError(msg)
            with manager as value:
                yield value

    @contextmanager
    def _configured_by(self, context: InitResourceContext) -> Iterator[Self]:
        """Yield a copy with the context's config, and with what its nested resources make in their place."""
        with ExitStack() as stack:
            nested = {key: _nested(stack, value, context) for key, value in self.nested_resources.items()}
            made = self.with_values(nested).with_replaced_resource_context(context)
            yield made.with_values(context.resource_config or {})

    def with_values(self, values: Mapping[str, Any]) -> Self:
        """Return a copy, with no private attributes, and with these values in place of its own."""
        public = self._public_values({**self._public_values(dict(self)), **values})
        made = type(self)(**public)
        made.__dict__["_context__internal__"] = self.__dict__["_context__internal__"]
        return made


class ConfigurableResource(ConfigurableResourceFactory[TResValue]):
    """A resource with fields; a parameter annotated with a subclass takes the resource of the same name.

    Fields are declared with annotations, and given by keyword. Override `setup_for_execution` and
    `teardown_after_execution`, or `yield_for_execution`, to open and close what it needs, and `create_resource` to
    give the function another object (annotate the parameter with `ResourceParam` then).
    """

    def create_resource(self, context: InitResourceContext) -> TResValue:
        """Return the object that the sensor's function gets: the resource itself.

        Args:
            context: has config, log, instance and other resources.
        """
        del context
        return cast("TResValue", self)


def _nested(stack: ExitStack, value: Any, context: InitResourceContext) -> Any:
    definition = value.get_resource_definition() if isinstance(value, ResourceFactory) else value
    if not isinstance(definition, ResourceDefinition):
        return value
    made = definition.made_with(context.bound(definition, definition.resolved_config(None)))
    if inspect.isgenerator(made):
        made = generated("of a nested resource", made)
    return stack.enter_context(cast("Any", made)) if isinstance(made, ContextDecorator) else made


def is_resource(annotation: Any) -> bool:
    """Return whether a field with this annotation takes a resource."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return RESOURCE_DEPENDENCY in arguments[1:] or is_resource(arguments[0])
    if origin in (Union, types.UnionType):
        inner = [each for each in arguments if each is not type(None)]
        return len(inner) == 1 and is_resource(inner[0])
    return origin is ResourceDependency or is_class(annotation, (ResourceFactory, ResourceDefinition))


def _schema_field(owner: type, name: str, info: FieldInfo) -> Field:
    kind = _config_type(info.annotation)
    if kind is None:
        msg = (
            f"Error defining Dagster config class {owner!r} on field '{name}'.\nUnable to resolve config type "
            f"{info.annotation!r} to a supported Dagster config type.\n\nThis config type can be a: int, float, bool, "
            f"str, list, dict, Optional of these, Enum, Literal, Config"
        )
        if issubclass(owner, ConfigurableResourceFactory):
            msg += (
                f". If this config type represents a resource dependency, its annotation must either be a "
                f"subclass of ConfigurableResource, or ResourceDependency[{getattr(info.annotation, '__name__', '...')}]"
            )
        raise DagsterInvalidPythonicConfigDefinitionError(msg + ".")
    is_optional = isinstance(kind, Noneable)
    if not info.is_required and not is_optional and not isinstance(kind, Shape):
        kind = Noneable(kind)
    if info.default is UNSET:
        return Field(kind, is_required=info.is_required and not is_optional, description=info.description)
    return Field(kind, _as_config(info.default), is_required=False, description=info.description)


def _config_type(annotation: Any) -> ConfigType | None:
    """Return the type of config of an annotation; None if it has none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return _config_type(arguments[0])
    if origin is Literal:
        return OneOf(str(annotation).removeprefix("typing."), {each: each for each in arguments})
    if origin is not None:
        return _compound(origin, arguments)
    if is_class(annotation, Config):
        return cast("type[Config]", annotation).to_config_schema()
    if is_class(annotation, enum.Enum):
        return OneOf(annotation.__name__, {each.name: each.value for each in annotation})
    return _TYPES.get(annotation)


def _compound(origin: Any, arguments: tuple[Any, ...]) -> ConfigType | None:
    """Return the type of config of a list, a dict, or an optional value; None if it has none."""
    if origin in (Union, types.UnionType):
        inner = [each for each in arguments if each is not type(None)]
        of_one = _config_type(inner[0]) if len(inner) == 1 else None
        return Noneable(of_one) if of_one is not None else None
    of_each = [_config_type(each) for each in arguments]
    if None in of_each:
        return None
    if is_class(origin, list):
        return Array(of_each[0])
    return Map(*of_each) if is_class(origin, Mapping) else None


def _as_config(value: Any) -> Any:
    """Return a value as it stands in a config: plain, with environment variables by name."""
    if isinstance(value, EnvVar | IntEnvVar):
        return {"env": value.env_var_name}
    if isinstance(value, Config):
        return value.to_config_dict()
    if isinstance(value, Mapping):
        return {name: _as_config(each) for name, each in value.items()}
    if isinstance(value, list):
        return [_as_config(each) for each in value]
    return value.name if isinstance(value, enum.Enum) else value


def _dumped(value: Any) -> Any:
    if isinstance(value, Config):
        return value.model_dump()
    if isinstance(value, Mapping):
        return {name: _dumped(each) for name, each in value.items()}
    return [_dumped(each) for each in value] if isinstance(value, list) else value
