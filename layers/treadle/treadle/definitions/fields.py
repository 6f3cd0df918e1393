"""The fields of a `Config` or `ConfigurableResource` where pydantic is not loaded: pydantic's rules for Dagster's types."""

import copy
import enum
import inspect
import math
import re
import sys
import types
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin

from treadle.definitions.bounds import shown
from treadle.definitions.config_schema import EnvVar, IntEnvVar
from treadle.definitions.errors import DagsterInvalidDefinitionError

UNSET: Any = type("_Unset", (), {"__repr__": lambda _: "unset"})()
RESOURCE_DEPENDENCY = "resource_dependency"
_TRUE = {"1", "on", "t", "true", "y", "yes"}
_FALSE = {"0", "off", "f", "false", "n", "no"}
_COPIED = (list, dict, set)


@dataclass(slots=True)
class Problem:
    """What is wrong with one value.

    Attributes:
        kind: pydantic's type of the error.
        message: pydantic's message.
        value: the value.
        location: the field, and the places in it.
    """

    kind: str
    message: str
    value: Any
    location: tuple[str | int, ...] = ()

    def __str__(self) -> str:
        at = ".".join(map(str, self.location))
        return (
            f"{at}\n  {self.message} [type={self.kind}, input_value={shown(self.value)}, "
            f"input_type={type(self.value).__name__}]"
        )


class ValidationError(ValueError):
    """Values do not match the fields; has pydantic's message, with all problems at once.

    Attributes:
        title: the class.
        problems: what is wrong, one for each value.
    """

    def __init__(self, title: str, problems: list[Problem]) -> None:
        self.title = title
        self.problems = problems
        count = f"{len(problems)} validation error{'s' if len(problems) > 1 else ''}"
        super().__init__("\n".join([f"{count} for {title}", *map(str, problems)]))

    def error_count(self) -> int:
        """Return the number of problems."""
        return len(self.problems)

    def errors(self) -> list[dict[str, Any]]:
        """Return the problems: each one's type, place, message and value."""
        return [
            {"type": each.kind, "loc": each.location, "msg": each.message, "input": each.value}
            for each in self.problems
        ]


class _InvalidError(Exception):
    def __init__(self, *problems: Problem) -> None:
        super().__init__(problems)
        self.problems = problems

    def within(self, place: str | int) -> list[Problem]:
        return [
            Problem(each.kind, each.message, each.value, (place, *each.location)) for each in self.problems
        ]


def _invalid(kind: str, message: str, value: Any) -> _InvalidError:
    return _InvalidError(Problem(kind, message, value))


@dataclass(slots=True, eq=False)
class FieldInfo:
    """What `Field` says about a field, and its type."""

    default: Any = UNSET
    default_factory: Callable[[], Any] | None = None
    alias: str | None = None
    description: str | None = None
    constraints: Mapping[str, Any] = field(default_factory=dict)
    annotation: Any = Any
    name: str = ""

    @property
    def key(self) -> str:
        """The keyword that gives it its value."""
        return self.alias or self.name

    @property
    def is_required(self) -> bool:
        """Whether it has no default."""
        return self.default is UNSET and self.default_factory is None

    def made_default(self) -> Any:
        """Return its default; a new one each time if it can be changed."""
        if self.default_factory is not None:
            return self.default_factory()
        return copy.deepcopy(self.default) if isinstance(self.default, _COPIED) else self.default

    def arguments(self) -> dict[str, Any]:
        """Return what gives pydantic's `Field` the same meaning."""
        given = {
            "alias": self.alias,
            "default_factory": self.default_factory,
            "description": self.description,
            **self.constraints,
        }
        if self.default is not UNSET:
            given["default"] = self.default
        return {name: value for name, value in given.items() if value is not None or name == "default"}

    def validated(self, value: Any) -> Any:
        """Return the value as its type has it.

        Raises:
            _InvalidError: if it is not of the type, or not within the constraints.
        """
        read = _converted(self.annotation, value)
        for name, limit in self.constraints.items():
            if read is not None and not isinstance(read, EnvVar | IntEnvVar):
                _check_constraint(name, limit, read)
        return read


def Field(  # noqa: N802 - pydantic's name
    default: Any = UNSET,
    *,
    default_factory: Callable[[], Any] | None = None,
    alias: str | None = None,
    description: str | None = None,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    min_length: int | None = None,
    max_length: int | None = None,
    pattern: str | None = None,
) -> Any:
    """Describe a field of a `Config` or `ConfigurableResource`, as pydantic's function of this name does.

    Args:
        default: its value if none is given; `...` or nothing if one must be given.
        default_factory: makes that value.
        alias: the keyword that gives it its value; its name by default.
        description: shown to operators.
        gt: what it must be greater than.
        ge: its minimum.
        lt: what it must be less than.
        le: its maximum.
        min_length: its minimum length.
        max_length: its maximum length.
        pattern: a regular expression that it must contain.
    """
    limits = {
        "gt": gt,
        "ge": ge,
        "lt": lt,
        "le": le,
        "min_length": min_length,
        "max_length": max_length,
        "pattern": pattern,
    }
    constraints = {name: limit for name, limit in limits.items() if limit is not None}
    return FieldInfo(UNSET if default is ... else default, default_factory, alias, description, constraints)


@dataclass(slots=True, eq=False)
class PrivateInfo:
    """What `PrivateAttr` says about an attribute that is no field."""

    default: Any = UNSET
    default_factory: Callable[[], Any] | None = None

    def made_default(self) -> Any:
        """Return its first value in a new object."""
        return FieldInfo(self.default, self.default_factory).made_default()


def PrivateAttr(  # noqa: N802 - pydantic's name
    default: Any = UNSET, *, default_factory: Callable[[], Any] | None = None
) -> Any:
    """Describe an attribute that is no field and may be changed; its name begins with an underscore.

    Args:
        default: its first value; none by default.
        default_factory: makes that value.
    """
    return PrivateInfo(default, default_factory)


def fields_of(owner: type) -> dict[str, FieldInfo]:
    """Return the fields that a class and its bases declare, by name.

    Raises:
        DagsterInvalidDefinitionError: if an annotation cannot be resolved.
    """
    found: dict[str, FieldInfo] = {}
    for base in reversed(owner.__mro__):
        declared = base.__dict__.get("__declared_fields__")
        if declared is None:
            continue
        for name, annotation in _annotations(base).items():
            if not name.startswith("_") and not is_class_variable(annotation):
                found[name] = _field(name, annotation, declared.get(name, UNSET))
    return found


def _field(name: str, annotation: Any, default: Any) -> FieldInfo:
    info = default if isinstance(default, FieldInfo) else FieldInfo(default)
    if get_origin(annotation) is Annotated:  # As in Annotated[int, Field(gt=0)] = 5
        described = [each for each in get_args(annotation)[1:] if isinstance(each, FieldInfo)]
        if described:
            info = described[0] if default is UNSET else replace(described[0], default=info.default)
    return replace(info, name=name, annotation=annotation)


def is_class_variable(annotation: Any) -> bool:
    """Return whether an annotation, or its text, is `ClassVar`."""
    if isinstance(annotation, str):
        return re.match(r"(typing\.)?ClassVar\b", annotation) is not None
    return annotation is ClassVar or get_origin(annotation) is ClassVar


def _annotations(owner: type) -> dict[str, Any]:
    return {
        name: resolved_annotation(annotation, owner.__module__, owner.__dict__.get("__local_names__", {}))
        for name, annotation in inspect.get_annotations(owner).items()
        if not is_class_variable(annotation)
    }


def resolved_annotation(annotation: Any, module: str, local: Mapping[str, Any]) -> Any:
    """Return what an annotation that is a text means.

    Args:
        annotation: of a field.
        module: the name of the class's module.
        local: the names at the place of the class statement.

    Raises:
        DagsterInvalidDefinitionError: if a name in it does not exist.
    """
    if not isinstance(annotation, str):
        return annotation
    try:
        known = getattr(sys.modules.get(module), "__dict__", {})
        return eval(annotation, dict(known), dict(local))  # noqa: S307 - the author's own code
    except Exception as error:
        msg = (
            f"The annotation {annotation!r} of a field in {module} cannot be resolved: {error}. Import what it names "
            "at runtime, not only for type checkers."
        )
        raise DagsterInvalidDefinitionError(msg) from error


def _converted(annotation: Any, value: Any) -> Any:
    """Return the value as pydantic converts it to a type of config, in its lax mode."""
    if annotation in _SCALARS:
        return _SCALARS[annotation](value)
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return value if RESOURCE_DEPENDENCY in arguments[1:] else _converted(arguments[0], value)
    if origin in (Union, types.UnionType):
        inner = [each for each in arguments if each is not type(None)]
        is_converted = len(inner) == 1 and not (value is None and type(None) in arguments)
        return _converted(inner[0], value) if is_converted else value
    if origin is Literal:
        return _literal(arguments, value)
    kind = origin or annotation
    if not isinstance(kind, type) or kind is Any:
        return value  # Any, or what the schema refuses.
    if kind is list:
        return _list(arguments[0] if arguments else Any, value)
    if issubclass(kind, Mapping):
        return _dict(arguments or (Any, Any), value)
    return value if origin is not None else _instance(kind, value)


def _literal(allowed: tuple[Any, ...], value: Any) -> Any:
    if any(value == each and type(value) is type(each) for each in allowed):
        return value
    raise _invalid("literal_error", f"Input should be {_listed(map(repr, allowed))}", value)


def _instance(annotation: type, value: Any) -> Any:
    if isinstance(value, annotation):
        return value
    if issubclass(annotation, enum.Enum):
        return _enum(annotation, value)
    if not hasattr(annotation, "__declared_fields__"):
        raise _invalid("is_instance_of", f"Input should be an instance of {annotation.__name__}", value)
    if not isinstance(value, dict):
        message = f"Input should be a valid dictionary or instance of {annotation.__name__}"
        raise _invalid("model_type", message, value)
    try:
        return annotation(**value)
    except ValidationError as error:
        raise _InvalidError(*error.problems) from None


def _string(value: Any) -> str:
    if isinstance(value, str):
        return value
    if isinstance(value, bytes | bytearray):
        try:
            return value.decode()
        except UnicodeDecodeError:
            message = "Input should be a valid string, unable to parse raw data as a unicode string"
            raise _invalid("string_unicode", message, value) from None
    raise _invalid("string_type", "Input should be a valid string", value)


def _integer(value: Any) -> int:
    if isinstance(value, IntEnvVar):
        return value
    if isinstance(value, int):
        return value if type(value) is int else int.__int__(value)
    if isinstance(value, float | Decimal):
        if math.isfinite(value) and value == int(value):
            return int(value)
        if not math.isfinite(value):
            raise _invalid("finite_number", "Input should be a finite number", value)
        message = "Input should be a valid integer, got a number with a fractional part"
        raise _invalid("int_from_float", message, value)
    if isinstance(value, str):
        text = str.__str__(value).strip()
        if re.fullmatch(r"[+-]?\d+(_\d+)*(\.0*)?", text):
            try:
                return int(text.split(".")[0])
            except ValueError:  # It has more digits than Python converts.
                message = "Unable to parse input string as an integer, exceeded maximum size"
                raise _invalid("int_parsing_size", message, value) from None
        message = "Input should be a valid integer, unable to parse string as an integer"
        raise _invalid("int_parsing", message, value)
    raise _invalid("int_type", "Input should be a valid integer", value)


def _number(value: Any) -> float:
    if isinstance(value, IntEnvVar):
        return value
    if isinstance(value, int | float | Decimal):
        try:
            return float(value)
        except OverflowError:
            raise _invalid("float_type", "Input should be a valid number", value) from None
    if isinstance(value, str):
        try:
            return float(str.__str__(value))
        except ValueError:
            message = "Input should be a valid number, unable to parse string as a number"
            raise _invalid("float_parsing", message, value) from None
    raise _invalid("float_type", "Input should be a valid number", value)


def _boolean(value: Any) -> bool | IntEnvVar:
    if isinstance(value, bool | IntEnvVar):
        return value
    if isinstance(value, int | float) and value in (0, 1):
        return bool(value)
    if isinstance(value, str) and str.__str__(value).lower() in _TRUE | _FALSE:
        return str.__str__(value).lower() in _TRUE
    if isinstance(value, int | float | str):
        message = "Input should be a valid boolean, unable to interpret input"
        raise _invalid("bool_parsing", message, value)
    raise _invalid("bool_type", "Input should be a valid boolean", value)


def _none(value: Any) -> None:
    if value is not None:
        raise _invalid("none_required", "Input should be None", value)


_SCALARS: Mapping[Any, Callable[[Any], Any]] = {
    str: _string,
    int: _integer,
    float: _number,
    bool: _boolean,
    type(None): _none,
}


def _list(inner: Any, value: Any) -> Any:
    if isinstance(value, str | bytes | bytearray | Mapping) or not isinstance(value, Iterable):
        raise _invalid("list_type", "Input should be a valid list", value)
    return _each(enumerate(value), lambda _place, each: _converted(inner, each), list)


def _dict(arguments: tuple[Any, ...], value: Any) -> Any:
    if not isinstance(value, Mapping):
        raise _invalid("dict_type", "Input should be a valid dictionary", value)
    key, inner = arguments
    return _each(value.items(), lambda name, each: (_converted(key, name), _converted(inner, each)), dict)


def _each(
    values: Iterable[tuple[Any, Any]], convert: Callable[[Any, Any], Any], collect: Callable[[Any], Any]
) -> Any:
    read, problems = [], []
    for place, each in values:
        try:
            read.append(convert(place, each))
        except _InvalidError as error:
            problems += error.within(place)
    if problems:
        raise _InvalidError(*problems)
    return collect(read)


def _enum(annotation: type[enum.Enum], value: Any) -> enum.Enum:
    try:
        return annotation(value)
    except ValueError:
        names = _listed(repr(each.value) for each in annotation)
        raise _invalid("enum", f"Input should be {names}", value) from None


def _listed(values: Iterable[str]) -> str:
    *first, last = values
    return f"{', '.join(first)} or {last}" if first else last


_COMPARISONS: Mapping[str, tuple[str, str, Callable[[Any, Any], bool]]] = {
    "gt": ("greater_than", "greater than", lambda value, limit: value > limit),
    "ge": ("greater_than_equal", "greater than or equal to", lambda value, limit: value >= limit),
    "lt": ("less_than", "less than", lambda value, limit: value < limit),
    "le": ("less_than_equal", "less than or equal to", lambda value, limit: value <= limit),
}


def _check_constraint(name: str, limit: Any, value: Any) -> None:
    if name in _COMPARISONS:
        kind, words, holds = _COMPARISONS[name]
        if not holds(value, limit):
            raise _invalid(kind, f"Input should be {words} {limit}", value)
    elif name == "pattern":
        if re.search(limit, value) is None:
            raise _invalid("string_pattern_mismatch", f"String should match pattern '{limit}'", value)
    elif (len(value) < limit) if name == "min_length" else (len(value) > limit):
        size, bound = ("short", "at least") if name == "min_length" else ("long", "at most")
        if isinstance(value, str):
            unit = "character" if limit == 1 else "characters"
            raise _invalid(f"string_too_{size}", f"String should have {bound} {limit} {unit}", value)
        unit = "item" if limit == 1 else "items"
        kind = type(value).__name__.capitalize().replace("Dict", "Dictionary")
        message = f"{kind} should have {bound} {limit} {unit} after validation, not {len(value)}"
        raise _invalid(f"too_{size}", message, value)


def validate(title: str, fields: Mapping[str, FieldInfo], given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of all fields, by name, with defaults for those left out.

    Args:
        title: the class, for the error's message.
        fields: its fields, by name.
        given: values by the fields' keys.

    Raises:
        ValidationError: with all problems at once.
    """
    values: dict[str, Any] = {}
    problems: list[Problem] = []
    for name, info in fields.items():
        if info.key in given:
            try:
                values[name] = info.validated(given[info.key])
            except _InvalidError as error:
                problems += error.within(info.key)
        elif info.is_required:
            problems.append(Problem("missing", "Field required", dict(given), (info.key,)))
        else:
            values[name] = info.made_default()
    if problems:
        raise ValidationError(title, problems)
    return values
