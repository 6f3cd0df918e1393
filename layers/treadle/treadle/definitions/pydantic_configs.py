"""Configs and resources as pydantic models: imported only where pydantic is loaded already."""

from collections.abc import Mapping
from functools import cache, cached_property
from importlib import import_module
from typing import Annotated, Any, get_args, get_origin

from treadle.definitions import configurable_resources
from treadle.definitions.config_schema import EnvVar, IntEnvVar
from treadle.definitions.configurable_resources import (
    ConfigMeta,
    PermissiveConfig,
    ResourceDependency,
    annotations_of,
    is_resource,
    names_around,
    prepared,
)
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.fields import (
    RESOURCE_DEPENDENCY,
    UNSET,
    FieldInfo,
    PrivateInfo,
    is_class_variable,
    resolved_annotation,
)

_pydantic: Any = import_module("pydantic")
_undefined: Any = import_module("pydantic_core").PydanticUndefined
_Model: Any = _pydantic.BaseModel
_IS_OURS = "__is_ours__"


def make_class(name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
    """Make an author's class as a pydantic model.

    Args:
        name: its name.
        bases: those of the class statement.
        namespace: its attributes.
        kwargs: settings of pydantic.
    """
    return _metaclass()(name, bases, namespace, **kwargs)


@cache
def _metaclass() -> Any:
    model_metaclass: Any = type(_Model)

    def make(mcls: Any, name: str, bases: tuple[type, ...], namespace: dict[str, Any], **kwargs: Any) -> Any:
        if not namespace.pop(_IS_OURS, False):
            bases = _model_bases(bases, namespace)
            _prepare(namespace)
        return model_metaclass.__new__(mcls, name, bases, namespace, **kwargs)

    return type("ModelConfigMeta", (model_metaclass, ConfigMeta), {"__new__": make})


def _is_ours(base: type) -> bool:
    return base.__module__ == configurable_resources.__name__


@cache
def _model_of(base: type) -> Any:
    """Return the pydantic model that stands for one of our classes."""
    settings: dict[str, Any] = {
        "frozen": True,
        "arbitrary_types_allowed": True,
        "ignored_types": (cached_property,),
    }
    if issubclass(base, PermissiveConfig):
        settings["extra"] = "allow"
    namespace = {
        "__module__": base.__module__,
        "__qualname__": base.__qualname__,
        "__doc__": base.__doc__,
        "__init__": _initialize,
        "__setattr__": _set,
        "_fields_of_class": classmethod(_fields_of_class),
        "_allows_others": classmethod(lambda cls: cls.model_config.get("extra") == "allow"),
        "model_config": settings,
        _IS_OURS: True,
    }
    return _metaclass()(base.__name__, (_Model, base), namespace)


def _model_bases(bases: tuple[type, ...], namespace: dict[str, Any]) -> tuple[type, ...]:
    """Return the bases with models for our classes, and with a model after classes made before pydantic was loaded."""
    made = tuple(
        _model_of(base) if _is_ours(base) and not issubclass(base, _Model) else base for base in bases
    )
    if any(issubclass(base, _Model) for base in made):
        return made
    annotations = annotations_of(namespace)
    earlier: Any = [base for base in bases if isinstance(base, ConfigMeta)]
    for base in earlier:
        for name, info in base.config_fields().items():
            if name not in annotations:
                annotations[name] = info.annotation
                namespace.setdefault(name, info)
        for owner in base.__mro__:
            for name, value in owner.__dict__.get("__private_defaults__", {}).items():
                namespace.setdefault(name, value)
    return (*made, _model_of(next(base for base in earlier[0].__mro__ if _is_ours(base))))


def _prepare(namespace: dict[str, Any]) -> None:
    """Mark the fields that take resources, and turn our own `Field` and `PrivateAttr` into pydantic's."""
    annotations = annotations_of(namespace)
    module = str(namespace.get("__module__"))
    around = names_around(module) if any(isinstance(each, str) for each in annotations.values()) else {}
    for name, annotation in annotations.items():
        if name.startswith("_") or is_class_variable(annotation):
            continue
        try:
            kind = resolved_annotation(annotation, module, around)
        except DagsterInvalidDefinitionError:
            continue  # pydantic resolves it later, or says that it cannot.
        if get_origin(kind) is ResourceDependency:
            annotations[name] = Annotated[Any, RESOURCE_DEPENDENCY]
        elif is_resource(kind):
            annotations[name] = Annotated[kind, RESOURCE_DEPENDENCY]
        elif get_origin(kind) is Annotated:
            annotations[name] = Annotated[tuple(map(_as_pydantic, get_args(kind)))]
    for name, value in list(namespace.items()):
        namespace[name] = _as_pydantic(value)


def _as_pydantic(value: Any) -> Any:
    if isinstance(value, FieldInfo):
        return _pydantic.Field(**value.arguments())
    if isinstance(value, PrivateInfo):
        if value.default_factory is not None:
            return _pydantic.PrivateAttr(default_factory=value.default_factory)
        return _pydantic.PrivateAttr() if value.default is UNSET else _pydantic.PrivateAttr(value.default)
    return value


def _initialize(self: Any, **data: Any) -> None:
    given = prepared(type(self).config_fields(), data)
    _Model.__init__(self, **given)
    by_name = {info.key: name for name, info in type(self).config_fields().items()}
    with_variables = _with_variables(
        self.__dict__, {by_name.get(key, key): each for key, each in given.items()}
    )
    object.__setattr__(self, "__dict__", with_variables)
    self._set_up(data)


def _set(self: Any, name: str, value: Any) -> None:
    try:
        _Model.__setattr__(self, name, value)
    except (TypeError, ValueError) as error:
        raise self._frozen_error() from error


def _fields_of_class(cls: Any) -> Mapping[str, FieldInfo]:
    return {name: _field(cls, name, info) for name, info in cls.model_fields.items()}


def _field(owner: type, name: str, info: Any) -> FieldInfo:
    if info.discriminator is not None:
        msg = (
            f"The field {owner.__name__}.{name} has a discriminator, which Treadle does not support. Use one config "
            "class, or a field for each."
        )
        raise DagsterInvalidDefinitionError(msg)
    annotation = info.annotation
    if RESOURCE_DEPENDENCY in info.metadata:
        annotation = Annotated[annotation, RESOURCE_DEPENDENCY]
    default = UNSET if info.default is _undefined else info.default
    return FieldInfo(
        default, info.default_factory, info.alias, info.description, annotation=annotation, name=name
    )


def _with_variables(values: Any, given: Any) -> Any:
    """Return validated values with the environment variables that pydantic has turned into plain values."""
    if isinstance(given, EnvVar | IntEnvVar):
        return given
    if isinstance(values, dict) and isinstance(given, Mapping):
        return {name: _with_variables(each, given.get(name)) for name, each in values.items()}
    if isinstance(values, list) and isinstance(given, list):
        return [_with_variables(*each) for each in zip(values, given, strict=True)]
    return values
