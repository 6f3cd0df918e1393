"""The public names of a package and how they are called, as JSON: `python tools/public_names.py dagster`.

It needs nothing but the package, as it also runs in .tools/peers, where Treadle is not installed.
"""

import ast
import functools
import importlib
import inspect
import json
import sys
import typing
from typing import Any, TypedDict, get_args

PUBLIC = "_is_public"
"""The attribute by which Dagster marks what it documents."""


class Parameter(TypedDict):
    """A parameter of something that is called."""

    name: str
    kind: int
    is_required: bool


class Description(TypedDict):
    """A public name: the module that defines it, its parameters if it is called, its members if it is a class."""

    module: str
    parameters: list[Parameter] | None
    members: dict[str, list[Parameter] | None] | None


def describe(module: str, *, is_marked: bool) -> dict[str, Description]:
    """Describe the public names of a module.

    Args:
        module: to import.
        is_marked: whether a class has only those members that are marked as public, and the fields that it is made of.
    """
    found: dict[str, Description] = {}
    package = importlib.import_module(module)
    is_package = hasattr(package, "__path__")
    for name in sorted(getattr(package, "__all__", dir(package))):
        value = getattr(package, name)
        home = str(getattr(value, "__module__", None) or type(value).__module__)
        is_foreign = home in {"typing", "collections.abc"} or value is getattr(typing, name, None)
        if (
            name.startswith("_")
            or inspect.ismodule(value)
            or is_foreign
            or (not is_package and home != module)
        ):
            continue
        members = _members(value, is_marked=is_marked) if isinstance(value, type) else None
        found[name] = {"module": home, "parameters": _parameters(value), "members": members}
    return found


def _parameters(value: Any) -> list[Parameter] | None:
    """Return how something is called, with the options that it takes as `**options`; None if it is not known."""
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return None
    found: list[Parameter] = []
    for each in signature.parameters.values():
        of = get_args(each.annotation)
        if each.kind is not each.VAR_KEYWORD or not of or not hasattr(of[0], "__optional_keys__"):
            is_required = each.default is each.empty and each.kind not in {
                each.VAR_KEYWORD,
                each.VAR_POSITIONAL,
            }
            found.append({"name": each.name, "kind": int(each.kind), "is_required": is_required})
            continue
        for key in sorted(of[0].__optional_keys__ | of[0].__required_keys__):
            is_required = key in of[0].__required_keys__
            found.append({"name": key, "kind": int(each.KEYWORD_ONLY), "is_required": is_required})
    return found


def _members(cls: type, *, is_marked: bool) -> dict[str, list[Parameter] | None]:
    fields = _fields(cls)
    members: dict[str, list[Parameter] | None] = {}
    for name in sorted({*dir(cls), *fields}):
        static = inspect.getattr_static(cls, name, None)
        function = getattr(static, "__func__", static)
        marks = (static, function, getattr(function, "fget", None))
        if name.startswith("_") or (
            is_marked and name not in fields and not any(hasattr(each, PUBLIC) for each in marks)
        ):
            continue
        parameters = _parameters(function) if inspect.isfunction(inspect.unwrap(function)) else None
        members[name] = parameters and parameters[0 if isinstance(static, staticmethod) else 1 :]
    return members


def _fields(cls: type) -> set[str]:
    """Return what objects of a class are made of: what it annotates, its parameters, what its code assigns."""
    names = {name for base in cls.__mro__ for name in vars(base).get("__annotations__", {})}
    names |= {each["name"] for each in _parameters(cls) or () if hasattr(cls, each["name"])}
    package = cls.__module__.partition(".")[0]
    if package == "treadle":
        own = (base for base in cls.__mro__ if base.__module__.partition(".")[0] == package)
        names |= {name for base in own for name in _assigned(base)}
    return {name for name in names if not name.startswith("_")}


def _assigned(cls: type) -> set[str]:
    """Return the attributes that the code of a class assigns."""
    found = [
        each
        for each in _nodes(cls.__module__)
        if isinstance(each, ast.ClassDef) and each.name == cls.__name__
    ]
    attributes = [node for each in found for node in ast.walk(each) if isinstance(node, ast.Attribute)]
    return {node.attr for node in attributes if isinstance(node.ctx, ast.Store)}


@functools.cache
def _nodes(module: str) -> list[ast.AST]:
    return list(ast.walk(ast.parse(inspect.getsource(sys.modules[module]))))


if __name__ == "__main__":
    described = {
        name: each for module in sys.argv[1:] for name, each in describe(module, is_marked=True).items()
    }
    json.dump(described, sys.stdout)
