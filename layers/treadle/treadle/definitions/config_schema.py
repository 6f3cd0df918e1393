"""The schema of a resource's config, as in Dagster: types, fields with defaults, and values from the environment."""

import os
from collections.abc import Mapping
from typing import Any, cast

from treadle.definitions.bounds import shown
from treadle.definitions.errors import (
    DagsterInvalidConfigDefinitionError,
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
)

_MISSING: Any = object()
_FALSE = {"false", "none", "0", ""}


class IntEnvVar(int):
    """An environment variable with a whole number; made by `EnvVar.int`."""

    name: str

    @classmethod
    def create(cls, name: str) -> "IntEnvVar":
        """Return the one of that name."""
        made = cls(0)
        made.name = name
        return made

    def __int__(self) -> int:
        raise _direct_access(type(self).__name__, self.name)

    def __str__(self) -> str:
        raise _direct_access(type(self).__name__, self.name)

    @property
    def env_var_name(self) -> str:
        """The variable's name."""
        return self.name

    def get_value(self, default: int | None = None) -> int | None:
        """Return the variable's value; the default if it is not set."""
        value = os.environ.get(self.name)
        return (int(value) if value else None) if value is not None else default


class EnvVar(str):
    """An environment variable as the value of a resource's field; read when the resource is made.

    Args:
        name: the variable's name.
    """

    __slots__ = ()

    @classmethod
    def int(cls, name: str) -> IntEnvVar:
        """Return the variable as a whole number."""
        return IntEnvVar.create(name)

    def __str__(self) -> str:
        raise _direct_access(type(self).__name__, self.env_var_name)

    @property
    def env_var_name(self) -> str:
        """The variable's name."""
        return str.__str__(self)

    def get_value(self, default: str | None = None) -> str | None:
        """Return the variable's value; the default if it is not set."""
        return os.environ.get(self.env_var_name, default)


def _direct_access(kind: str, name: str) -> RuntimeError:
    return RuntimeError(
        f'Attempted to directly retrieve environment variable {kind}("{name}"). {kind} defers resolution of the '
        "environment variable value until run time, and should only be used as input to Dagster config or "
        f"resources.\n\nTo access the environment variable value, call `get_value` on the {kind}, or use os.getenv "
        "directly."
    )


class Reading:
    """A config that is being read.

    Attributes:
        problems: what is wrong with it.
        with_variables: whether environment variables are read.
    """

    def __init__(self, *, with_variables: bool = True) -> None:
        self.problems: list[str] = []
        self.with_variables = with_variables

    def refuse(self, problem: str) -> Any:
        """Add a problem; there is no value then."""
        self.problems.append(problem)
        return _MISSING


class ConfigType:
    """A type of config that any value has.

    Args:
        name: as in messages.
    """

    def __init__(self, name: str = "Any") -> None:
        self.given_name = name

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        """Return the value with defaults and environment variables filled in.

        Args:
            value: as provided.
            path: where it is.
            reading: takes the problems.
        """
        del path, reading
        return value

    def __repr__(self) -> str:
        return self.given_name

    @property
    def may_be_left_out(self) -> bool:
        """Whether a field of this type is not required by itself."""
        return False

    def read_nothing(self) -> Any:
        """Return the value of a field of this type that is left out."""
        return None

    def _is_none(self, value: Any, path: str, reading: Reading) -> bool:
        if value is None:
            reading.refuse(f'Value {_at(path)} must not be None. Expected "{self.given_name}"')
        return value is None

    def _is_variable(self, value: Any, reading: Reading) -> bool:
        if not isinstance(value, EnvVar | IntEnvVar):
            return False
        kind, name = type(value).__name__, value.env_var_name
        reading.refuse(
            f'Invalid use of environment variable wrapper. Value "{name}" is wrapped with {kind}(), which is '
            "reserved for passing to structured pydantic config objects only. To provide an environment "
            f'variable to a run config dictionary, replace {kind}("{name}") with {{"env": "{name}"}}, or pass a '
            "structured RunConfig object."
        )
        return True


class _Scalar(ConfigType):
    def __init__(self, name: str, *types: type) -> None:
        super().__init__(name)
        self._types = types

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        if self._is_none(value, path, reading) or self._is_variable(value, reading):
            return _MISSING
        if (isinstance(value, bool) and bool not in self._types) or not isinstance(value, self._types):
            return reading.refuse(
                f'Invalid scalar {_at(path)}. Value "{_text(value)}" of type "{type(value)}" is not valid for '
                f'expected type "{self.given_name}".'
            )
        return float(cast("float", value)) if float in self._types else value


class _Source(_Scalar):
    """A scalar, or `{"env": name}` for an environment variable."""

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        if not isinstance(value, dict):
            return super().read(value, path, reading)
        name = value.get("env")
        if list(value) != ["env"] or not isinstance(name, str):
            return reading.refuse(
                f'Value {_at(path)} must be {self.given_name}, or {{"env": a variable\'s name}}.'
            )
        if not reading.with_variables:
            return value
        text = os.environ.get(name)
        if text is None:
            return reading.refuse(
                f"Post processing {_at(path)} of original value {value} failed: You have attempted to fetch the "
                f'environment variable "{name}" which is not set. In order for this execution to succeed it must be '
                "set in this environment."
            )
        converted = self._converted(text)
        if converted is None:  # The message leaves out the value, which may be secret.
            kind = self._types[0].__name__
            return reading.refuse(f'Value stored in env variable "{name}" cannot be coerced into an {kind}.')
        return converted

    def _converted(self, text: str) -> str | int | None:
        if bool in self._types:
            return text.lower() not in _FALSE
        if str in self._types:
            return text
        try:
            return int(text)
        except ValueError:
            return None


ANY = ConfigType()
StringSource = _Source("StringSource", str)
IntSource = _Source("IntSource", int)
BoolSource = _Source("BoolSource", bool)
FLOAT = _Scalar("Float", float, int)
_BUILTINS: Mapping[Any, ConfigType] = {
    str: _Scalar("String", str),
    int: _Scalar("Int", int),
    float: FLOAT,
    bool: _Scalar("Bool", bool),
    Any: ANY,
}


class Noneable(ConfigType):
    """A type of config that may also be None.

    Args:
        inner_type: the type otherwise.
    """

    def __init__(self, inner_type: Any) -> None:
        self.inner_type = config_type(inner_type)
        super().__init__(f"{self.inner_type}?")

    @property
    def may_be_left_out(self) -> bool:
        """Always: the value is None then."""
        return True

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        """Return None, or the value as the inner type reads it."""
        return None if value is None else self.inner_type.read(value, path, reading)


class Array(ConfigType):
    """A list of values of one type.

    Args:
        inner_type: of each value.
    """

    def __init__(self, inner_type: Any) -> None:
        self.inner_type = config_type(inner_type)
        super().__init__(f"[{self.inner_type}]")

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        """Return the list of the values as the inner type reads them."""
        if self._is_none(value, path, reading):
            return _MISSING
        if not isinstance(value, list):
            return reading.refuse(f'Value {_at(path)} must be list. Expected: "{self.given_name}"')
        return [self.inner_type.read(each, f"{path}[{place}]", reading) for place, each in enumerate(value)]


class Map(ConfigType):
    """A dict from any keys of one type to values of another.

    Args:
        key_type: of each key.
        inner_type: of each value.
    """

    def __init__(self, key_type: Any, inner_type: Any) -> None:
        self.key_type = config_type(key_type)
        self.inner_type = config_type(inner_type)
        super().__init__(f"{{ [{self.key_type}]: {self.inner_type} }}")

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        """Return the dict with its values as the inner type reads them."""
        if self._is_none(value, path, reading):
            return _MISSING
        if not isinstance(value, dict):
            return reading.refuse(f'Value {_at(path)} must be dict. Expected: "{self.given_name}"')
        return {
            self.key_type.read(key, f"{path}:{key!r}:key", reading): self.inner_type.read(
                each, f"{path}:{key!r}:value", reading
            )
            for key, each in value.items()
        }


class Field:
    """A field of a config.

    Args:
        config: its type.
        default_value: its value if none is provided.
        is_required: whether one must be provided; by default if there is no default value.
        description: shown to operators.
        is_secret: whether its value must not be shown.

    Raises:
        DagsterInvalidConfigDefinitionError: if the type is none.
        DagsterInvalidDefinitionError: if it has a default value, and is required.
    """

    def __init__(
        self,
        config: Any,
        default_value: Any = _MISSING,
        is_required: bool | None = None,
        description: str | None = None,
        is_secret: bool = False,
    ) -> None:
        self.config_type = config_type(config)
        self.description = description
        self.is_secret = is_secret
        if isinstance(default_value, EnvVar | IntEnvVar):
            default_value = {"env": default_value.env_var_name}
        self._default = default_value
        if is_required and self.default_provided:
            msg = "A Field cannot have a default value and be required. Leave one of them out."
            raise DagsterInvalidDefinitionError(msg)
        if self.default_provided:
            check(self, default_value, "Invalid default_value for Field.")
        elif is_required is None and self.config_type.may_be_left_out:
            self._default = self.config_type.read_nothing()
        self.is_required = not self.default_provided if is_required is None else is_required

    @property
    def default_provided(self) -> bool:
        """Whether it has a default value."""
        return self._default is not _MISSING

    @property
    def default_value(self) -> Any:
        """Its default value.

        Raises:
            DagsterInvariantViolationError: if it has none.
        """
        if not self.default_provided:
            msg = "Asking for default value when none was provided"
            raise DagsterInvariantViolationError(msg)
        return self._default

    def read_default(self, path: str, reading: Reading) -> Any:
        """Return the default value with environment variables filled in."""
        return self.config_type.read(self._default, path, reading)


class Shape(ConfigType):
    """A dict with these fields and no others.

    Args:
        fields: by name: a `Field`, or a type.
        description: shown to operators.
    """

    _others = False

    def __init__(self, fields: Mapping[str, Any], description: str | None = None) -> None:
        self.fields = {name: schema_field(each) for name, each in fields.items()}
        self.description = description
        names = ", ".join(
            f"{name}{'' if each.is_required else '?'}: {each.config_type}"
            for name, each in self.fields.items()
        )
        super().__init__(f"{{ {names} }}")

    @property
    def may_be_left_out(self) -> bool:
        """Whether no field is required."""
        return not any(each.is_required for each in self.fields.values())

    def read_nothing(self) -> Any:
        """Return the defaults of the fields; environment variables in them are not read yet."""
        return self.read({}, "", Reading(with_variables=False))

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        """Return the dict with the fields as their types read them, and defaults for those left out."""
        if self._is_none(value, path, reading):
            return _MISSING
        if not isinstance(value, dict):
            return reading.refuse(f'Value {_at(path)} must be dict. Expected: "{self.given_name}".')
        unknown = sorted((name for name in value if name not in self.fields), key=repr)
        if unknown and not self._others:
            what = f'entry "{unknown[0]}"' if len(unknown) == 1 else f'entries "{unknown}"'
            reading.refuse(f'Received unexpected config {what} {_at(path)}. Expected: "{self.given_name}".')
        missing = [name for name, each in self.fields.items() if each.is_required and name not in value]
        if missing:
            what = f'entry "{missing[0]}"' if len(missing) == 1 else f"entries {missing}"
            reading.refuse(
                f"Missing required config {what} {_at(path)}. You must provide this value in the resource's config."
            )
        read = {}
        for name, each in self.fields.items():
            at = f"{path}:{name}"
            if name in value:
                read[name] = each.config_type.read(value[name], at, reading)
            elif each.default_provided:
                read[name] = each.read_default(at, reading)
        return read | {name: each for name, each in value.items() if name not in self.fields}


class Permissive(Shape):
    """A dict with these fields and any others.

    Args:
        fields: by name: a `Field`, or a type.
        description: shown to operators.
    """

    _others = True

    def __init__(self, fields: Mapping[str, Any] | None = None, description: str | None = None) -> None:
        super().__init__(fields or {}, description)


class Selector(ConfigType):
    """A dict with exactly one of these fields.

    Args:
        fields: by name: a `Field`, or a type.
        description: shown to operators.
    """

    def __init__(self, fields: Mapping[str, Any], description: str | None = None) -> None:
        self.fields = {name: schema_field(each) for name, each in fields.items()}
        self.description = description
        super().__init__(f"one of {sorted(self.fields)}")

    @property
    def may_be_left_out(self) -> bool:
        """Whether its only field is not required."""
        return len(self.fields) == 1 and not any(each.is_required for each in self.fields.values())

    def read_nothing(self) -> Any:
        """Return the default of its only field; environment variables in it are not read yet."""
        return self.read({}, "", Reading(with_variables=False))

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        """Return the dict with its field as the field's type reads it."""
        if self._is_none(value, path, reading):
            return _MISSING
        if not isinstance(value, dict):
            return reading.refuse(f"Value for selector type {_at(path)} must be a dict")
        if not value and len(self.fields) == 1:
            ((name, only),) = self.fields.items()
            if only.is_required:
                return reading.refuse(
                    f"Must specify the required field {_at(path)}. Defined fields: {[name]}"
                )
            return {name: only.read_default(f"{path}:{name}", reading) if only.default_provided else None}
        if len(value) != 1:
            return reading.refuse(
                f"Must specify a single field {_at(path)}. You specified {sorted(value, key=repr)}. The available fields are "
                f"{sorted(self.fields)}"
            )
        ((name, given),) = value.items()
        if name not in self.fields:
            return reading.refuse(
                f'Received unexpected config entry "{name}" {_at(path)}. Expected: "{self.given_name}".'
            )
        inner = self.fields[name].config_type
        given = {} if given is None and isinstance(inner, Shape | Selector) else given
        return {name: inner.read(given, f"{path}:{name}", reading)}


class OneOf(ConfigType):
    """A value that is among these.

    Args:
        name: as in messages.
        values: by the value as provided: the value as read.
    """

    def __init__(self, name: str, values: Mapping[Any, Any]) -> None:
        super().__init__(name)
        self._values = values

    def read(self, value: Any, path: str, reading: Reading) -> Any:
        """Return the value as read."""
        if self._is_variable(value, reading):
            return _MISSING
        try:
            return self._values[value]
        except (KeyError, TypeError):
            return reading.refuse(f"Value {_at(path)} not in enum type {self.given_name} got {_text(value)}")


def config_type(given: Any) -> ConfigType:
    """Return the type of config that an author means.

    Args:
        given: a type, a `Field`'s type, a dict of fields, or a list of one type.

    Raises:
        DagsterInvalidConfigDefinitionError: if it is none of these.
    """
    if isinstance(given, ConfigType):
        return given
    if isinstance(given, Mapping):
        if len(given) == 1 and not isinstance(next(iter(given)), str):
            ((key, value),) = given.items()
            return Map(key, value)
        return Shape(given)
    if isinstance(given, list) and len(given) == 1:
        return Array(given[0])
    if given is dict:
        return Permissive()
    if given is list:
        return Array(ANY)
    try:
        return _BUILTINS[given]
    except (KeyError, TypeError):
        msg = (
            f"Error defining config. Original value passed: {shown(given)}. This value can be a Field, int, float, "
            "bool, str, list, a config type (Array, Noneable, Selector, Shape, Permissive, Map, StringSource, "
            "IntSource, BoolSource), a dict of such values, or a list of one."
        )
        raise DagsterInvalidConfigDefinitionError(msg) from None


def schema_field(given: Any) -> Field:
    """Return the field that a `config_schema`, or a field's value in one, describes.

    Raises:
        DagsterInvalidConfigDefinitionError: if it is no schema.
    """
    if given is None:
        msg = "Error defining config. Fields cannot be None."
        raise DagsterInvalidConfigDefinitionError(msg)
    return given if isinstance(given, Field) else Field(given)


def resolved(schema: Field, config: Any, preamble: str) -> Any:
    """Return a config with defaults and environment variables filled in.

    Args:
        schema: what it must match.
        config: as provided; None for nothing.
        preamble: how the error's message begins.

    Raises:
        DagsterInvalidConfigError: with all problems at once.
    """
    reading = Reading()
    if config is not None:
        value = schema.config_type.read(config, "root:config", reading)
    elif schema.default_provided:
        value = schema.read_default("root:config", reading)
    elif not schema.is_required:
        value = None
    elif isinstance(schema.config_type, Shape):
        value = schema.config_type.read({}, "root:config", reading)  # It lists the fields that are missing.
    else:
        value = reading.refuse('Missing required config entry "config" at the root.')
    _raise(reading, preamble)
    return value


def _raise(reading: Reading, preamble: str) -> None:
    if reading.problems:
        lines = [f"    Error {place}: {problem}" for place, problem in enumerate(reading.problems, 1)]
        raise DagsterInvalidConfigError("\n".join([preamble, *lines]))


def check(schema: Field, config: Any, preamble: str) -> None:
    """Check a config without reading environment variables.

    Raises:
        DagsterInvalidConfigError: with all problems at once.
    """
    reading = Reading(with_variables=False)
    schema.config_type.read(config, "root", reading)
    _raise(reading, preamble)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else shown(value)


def _at(path: str) -> str:
    return f"at path {path}"
