"""How a sensor's function takes its arguments: context and events by position, resources by name."""

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import SimpleNamespace
from typing import Any, get_type_hints

from treadle.definitions.bounds import shown
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import DagsterInvalidDefinitionError, DagsterInvalidInvocationError
from treadle.definitions.resources import is_resource_parameter, parameter_problem

_BY_PLACE = {inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD}


@dataclass(frozen=True, slots=True)
class Signature:
    """The parameters of a function.

    Attributes:
        function: the function.
        values: the names of the parameters that take context and event, in order.
        resources: the names of those that take a resource of the same name.
        by_place: True if those come before all resources, and are not by name only.
        takes_any: True if it takes any number of positional arguments.
        optional: those of the values that have a default.
    """

    function: Callable[..., Any]
    values: tuple[str, ...]
    resources: tuple[str, ...]
    by_place: bool = True
    takes_any: bool = False
    optional: frozenset[str] = frozenset()

    @classmethod
    def of(cls, function: Callable[..., Any]) -> "Signature":
        """Inspect a function; resources are recognized by their annotation.

        Raises:
            DagsterInvalidDefinitionError: if it is not callable, or a parameter's annotation is a class whose
                resources are objects of another type.
        """
        given: object = function
        if not callable(given):
            msg = f"A sensor cannot evaluate {shown(given)}: it is not callable. Give it a function."
            raise DagsterInvalidDefinitionError(msg)
        parameters = inspect.signature(function).parameters
        hints = _hints(function)
        for name in parameters:
            problem = parameter_problem(name, hints.get(name))
            if problem is not None:
                raise DagsterInvalidDefinitionError(problem)
        resources = tuple(name for name in parameters if is_resource_parameter(hints.get(name)))
        others = {name: each for name, each in parameters.items() if name not in resources}
        # What a partial has bound by name has a default, and comes by name only.
        values = tuple(
            name
            for name, each in others.items()
            if each.kind in _BY_PLACE or (each.kind is each.KEYWORD_ONLY and each.default is each.empty)
        )
        takes_any = any(each.kind is each.VAR_POSITIONAL for each in others.values())
        by_place = tuple(parameters)[: len(values)] == values and all(
            others[name].kind in _BY_PLACE for name in values
        )
        optional = frozenset(name for name in values if others[name].default is not inspect.Parameter.empty)
        return cls(function, values, resources, by_place, takes_any, optional)

    @property
    def documentation(self) -> str | None:
        """The function's docstring; a partial has its function's."""
        function = self.function
        return function.func.__doc__ if isinstance(function, partial) else function.__doc__

    def call(self, values: Sequence[Any], resource: Callable[[str], Any]) -> Any:
        """Call the function with as many of the values as it takes, and return its value.

        Args:
            values: context, and event if there is one; those that it has no parameter for are left out.
            resource: returns a resource by its name.
        """
        named = {name: resource(name) for name in self.resources}
        if self.takes_any and not self.values:
            return self.function(*values, **named)
        if self.by_place:
            return self.function(*values[: len(self.values)], **named)
        return self.function(**dict(zip(self.values, values, strict=False)), **named)

    def bind(self, most: int, args: Sequence[Any], kwargs: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a direct call, by name, as far as they were given.

        Args:
            most: the maximum number of values: context, and event if there is one.
            args: positional: context, and event if there is one.
            kwargs: by name: those, or resources.

        Raises:
            DagsterInvalidInvocationError: if an argument is missing, unknown, or positional where only a name
                is allowed.
        """
        if len([name for name in self.values if name not in self.optional]) > most:
            msg = (
                f"Sensor invocation received multiple non-resource arguments: {', '.join(self.values)}. "
                "Annotate resources with ResourceParam[...], and take one context."
            )
            raise DagsterInvalidInvocationError(msg)
        surplus = args[len(self.values) :]
        # A function without a context parameter may still be called with the context it gets at a tick.
        if surplus and (len(args) > 1 or not isinstance(args[0], SensorEvaluationContext | None)):
            msg = (
                "If directly invoking a sensor, you may not provide resources as positional arguments, only as "
                f"keyword arguments. It got {len(args)} positional arguments."
            )
            raise DagsterInvalidInvocationError(msg)
        given = dict(zip(self.values, args, strict=False))
        for name, value in kwargs.items():
            # Also without a context parameter, as resources may come from the context.
            is_context = name == "context" and not self.values
            if name not in self.values and name not in self.resources and not is_context:
                expected = self.values[0] if self.values else "no argument"
                msg = f"Sensor invocation expected argument '{expected}'. It got '{name}'."
                raise DagsterInvalidInvocationError(msg)
            if name in given:
                msg = (
                    "Sensor invocation received multiple non-resource arguments. Only a first positional context "
                    f"parameter should be provided when invoking. It got '{name}' both by position and by name."
                )
                raise DagsterInvalidInvocationError(msg)
            given[name] = value
        missing = [
            name
            for place, name in enumerate(self.values[:most])
            if name not in given and (place == 0 or name not in self.optional)
        ]
        if missing:
            msg = (
                "Sensor evaluation function expected context argument, but no context argument was provided when "
                f"invoking. Give '{missing[0]}'."
            )
            raise DagsterInvalidInvocationError(msg)
        return given


def _hints(function: Callable[..., Any]) -> Mapping[str, Any]:
    signature = getattr(function, "__signature__", None)
    if isinstance(signature, inspect.Signature):
        # The parameters are this signature's, so the annotations are as well.
        named = {
            name: each.annotation
            for name, each in signature.parameters.items()
            if each.annotation is not each.empty
        }
        return {name: _hint(function, annotation) for name, annotation in named.items()}
    if isinstance(function, partial):
        return _hints(function.func)
    if not inspect.isroutine(function):  # An object that is called like a function, or a class.
        function = function.__init__ if isinstance(function, type) else type(function).__call__  # type: ignore[misc]
    try:
        return get_type_hints(function, include_extras=True)
    except (NameError, TypeError):
        # A name is imported for type checkers only; that does not hide the annotations of other parameters.
        annotations = getattr(function, "__annotations__", {})
        return {name: _hint(function, annotation) for name, annotation in annotations.items()}


def _hint(function: Callable[..., Any], annotation: Any) -> Any:
    alone = SimpleNamespace(__annotations__={"it": annotation})
    try:
        return get_type_hints(alone, getattr(function, "__globals__", {}), include_extras=True)["it"]
    except (NameError, TypeError):
        return annotation
