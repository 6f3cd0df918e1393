"""`dataclass` as in the standard library, but each method is made when it is first looked up.

The standard library compiles up to six methods of each class, which takes about a millisecond, before a function's
first event, and an event uses few of them. `fields`, `replace`, `asdict`, `match`, copies and pickles work as ever.
"""

import dataclasses
import operator
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

__all__ = ["dataclass"]

if TYPE_CHECKING:
    # Type checkers know the standard library's.
    from dataclasses import dataclass
else:

    def dataclass(
        *, frozen: bool = False, order: bool = False, slots: bool = False, kw_only: bool = False
    ) -> Callable[[type], type]:
        """Return a decorator that makes a class a dataclass; the options are those of the standard library."""
        return partial(_dataclass, is_frozen=frozen, is_ordered=order, has_slots=slots, kw_only=kw_only)


def _dataclass(plain: type, *, is_frozen: bool, is_ordered: bool, has_slots: bool, kw_only: bool) -> type:
    """Let the standard library find the fields, and add the methods that it would compile."""
    if not plain.__doc__:
        plain.__doc__ = plain.__name__  # Otherwise it writes one, of the signature.
    # It checks that a class is frozen if, and only if, those that it extends are.
    extends = any(hasattr(base, "__dataclass_fields__") for base in plain.__bases__)
    made: Any = dataclasses.dataclass(
        plain,
        init=False,
        repr=False,
        eq=False,
        frozen=is_frozen and extends,
        slots=has_slots,
        kw_only=kw_only,
    )
    later: dict[str, Callable[[Any], Any]] = {"__init__": _init, "__repr__": _repr}
    for name in ("eq", "lt", "le", "gt", "ge") if is_ordered else ("eq",):
        later[f"__{name}__"] = partial(_comparison, name)
    methods: dict[str, object] = {name: _Method(made, name, make) for name, make in later.items()}
    if is_frozen and not extends:
        made.__dataclass_params__.frozen = True
        methods |= {"__setattr__": _refuse_to_set, "__delattr__": _refuse_to_delete}
        if has_slots:
            methods |= {"__getstate__": _state, "__setstate__": _restore}
    defined = vars(made)
    if defined.get("__hash__") is None:  # Python sets None, too, where a class defines `__eq__`.
        made.__hash__ = _Method(made, "__hash__", _hash) if is_frozen else None
    for name, method in methods.items():
        if name not in defined:
            setattr(made, name, method)
    return made  # type: ignore[no-any-return]


class _Method:
    """Makes a method when it is looked up, and lets it take this one's place."""

    __slots__ = ("_cls", "_make", "_name")

    def __init__(self, cls: type, name: str, make: Callable[[Any], Any]) -> None:
        self._cls, self._name, self._make = cls, name, make

    def __get__(self, instance: object, owner: type | None = None) -> Any:
        method = self._make(self._cls)
        method.__module__, method.__name__ = self._cls.__module__, self._name
        method.__qualname__ = f"{self._cls.__qualname__}.{self._name}"
        setattr(self._cls, self._name, method)
        return method.__get__(instance, owner)


def _init(cls: Any) -> Any:
    """Compile `__init__`, as many instances are made, and a loop over the fields is slower."""
    known: dict[str, Any] = {"__set": object.__setattr__, "__unset": dataclasses.MISSING}
    parameters: dict[bool, list[str]] = {False: [], True: []}
    lines = []
    is_frozen, has_slots = cls.__dataclass_params__.frozen, "__slots__" in vars(cls)
    fields = dataclasses.fields(cls)
    for number, each in enumerate(fields):
        name, default, value = each.name, "", each.name
        known[f"__default{number}"] = each.default
        if each.default_factory is not dataclasses.MISSING:
            known[f"__default{number}"] = each.default_factory
            default, value = "=__unset", f"__default{number}() if {name} is __unset else {name}"
        elif each.default is not dataclasses.MISSING:
            default = f"=__default{number}"
        if each.init:
            parameters[bool(each.kw_only)].append(name + default)
        elif not default or (default != "=__unset" and not has_slots):
            continue  # Unset, or an attribute of the class.
        else:
            value = f"__default{number}" + "()" * (default == "=__unset")
        lines.append(f" __set(self, {name!r}, {value})" if is_frozen else f" self.{name} = {value}")
    if hasattr(cls, "__post_init__"):
        lines.append(" self.__post_init__()")
    if parameters[True]:
        parameters[False].append("*")
    head = f"def __init__({', '.join(['self', *parameters[False], *parameters[True]])}):"
    exec("\n".join([head, *lines, " return"]), known)  # noqa: S102 - as the standard library does
    made = known["__init__"]
    made.__annotations__ = {each.name: each.type for each in fields if each.init} | {"return": None}
    return made


def _repr(cls: Any) -> Any:
    from reprlib import recursive_repr

    names = [each.name for each in dataclasses.fields(cls) if each.repr]

    def method(self: object) -> str:
        shown = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({shown})"

    return recursive_repr()(method)


def _comparison(name: str, cls: Any) -> Any:
    compare = getattr(operator, name)
    names = [each.name for each in dataclasses.fields(cls) if each.compare]

    def method(self: object, other: object) -> Any:
        if type(other) is not type(self):
            return NotImplemented
        # As lists, of which identical elements are equal.
        return compare([getattr(self, each) for each in names], [getattr(other, each) for each in names])

    return method


def _hash(cls: Any) -> Any:
    fields = dataclasses.fields(cls)
    names = [each.name for each in fields if (each.compare if each.hash is None else each.hash)]

    def method(self: object) -> int:
        return hash(tuple([getattr(self, name) for name in names]))

    return method


def _refuse_to_set(self: Any, name: str, value: object) -> None:
    """Refuse to set a field, or any attribute unless a class extends the dataclass."""
    if name in self.__dataclass_fields__ or "__dataclass_fields__" in vars(type(self)):
        msg = f"cannot assign to field {name!r}"
        raise dataclasses.FrozenInstanceError(msg)
    object.__setattr__(self, name, value)


def _refuse_to_delete(self: Any, name: str) -> None:
    """Refuse to delete what may not be set."""
    if name in self.__dataclass_fields__ or "__dataclass_fields__" in vars(type(self)):
        msg = f"cannot delete field {name!r}"
        raise dataclasses.FrozenInstanceError(msg)
    object.__delattr__(self, name)


def _state(self: Any) -> list[Any]:
    return [getattr(self, each.name) for each in dataclasses.fields(self)]


def _restore(self: Any, state: list[Any]) -> None:
    for each, value in zip(dataclasses.fields(self), state, strict=True):
        object.__setattr__(self, each.name, value)
