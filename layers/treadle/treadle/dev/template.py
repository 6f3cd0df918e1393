"""What a project's template sets in the functions' environments, resolved for this machine."""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from treadle.definitions.errors import SettingsError
from treadle.definitions.stream_record import stream_name
from treadle.model.registry import JOBS
from treadle.testing.bus import NAMESPACE

REGION, ACCOUNT = "local", "000000000000"
FUNCTIONS, SHARED, TEMPLATE = "functions/sensors", "layers/project/python", "template.yaml"
"""Where a project has its sensors' functions, the modules that they share, and its template."""

_ABSENT = ("TREADLE_ENGINE_ID", "TREADLE_PROJECT")
"""Variables that a deployed function has: there is neither an engine nor a stack."""

_OMITTED = object()
_VARIABLE = re.compile(r"\$\{(!?)([\w:.]+)\}")
_ENTRY = re.compile(r"/((?:jobs|pools)/\w+)")


def read_template(
    path: Path, parse: Callable[[str], Mapping[str, Any]], parameters: Mapping[str, str]
) -> "Template":
    """Read a project's template.

    Args:
        path: its file.
        parse: parses it, with functions in their long form.
        parameters: values that replace defaults.

    Raises:
        SettingsError: if it cannot be read.
    """
    try:
        return Template(parse(path.read_text()), parameters)
    except (OSError, ValueError, AttributeError) as error:
        msg = f"{path} cannot be read as a template: {error}. Correct it."
        raise SettingsError(msg) from error


class Template:
    """A template, with parameters by their defaults, and resources by names that only this machine knows.

    Args:
        template: parsed, with functions in their long form.
        parameters: values that replace defaults.
    """

    def __init__(self, template: Mapping[str, Any], parameters: Mapping[str, str]) -> None:
        self._template = template
        self._resources: Mapping[str, Any] = template.get("Resources") or {}
        declared: Mapping[str, Any] = template.get("Parameters") or {}
        defaults = {name: str(each.get("Default", "")) for name, each in declared.items()}
        self._parameters = {**defaults, **parameters}
        self._contracts = {
            name for name, each in declared.items() if str(each.get("Type", "")).startswith("AWS::SSM")
        }

    @property
    def unknown_parameters(self) -> list[str]:
        """Return the given parameters that the template does not declare."""
        return sorted(self._parameters.keys() - (self._template.get("Parameters") or {}).keys())

    def environment(self, folder: str) -> dict[str, str] | None:
        """Return the environment of a function; None if the template has none with this code.

        Args:
            folder: its CodeUri, relative to the project.

        Raises:
            SettingsError: if a value cannot be resolved.
        """
        shared = self._variables(self._template.get("Globals", {}).get("Function", {}))
        for resource in self._resources.values():
            properties = resource.get("Properties") or {}
            if str(properties.get("CodeUri", "")).rstrip("/") == folder:
                given = {**shared, **self._variables(properties)}
                found = {name: self._resolved(f"The variable {name}", value) for name, value in given.items()}
                return {name: _text(value) for name, value in found.items() if value is not _OMITTED}
        return None

    def _resolved(self, what: str, value: Any) -> Any:
        try:
            return self._value(value)
        except (LookupError, ValueError, TypeError, AttributeError, RecursionError) as error:
            msg = f"{what} in template.yaml cannot be resolved: {error!r}. Correct its value there."
            raise SettingsError(msg) from error

    @property
    def timeout(self) -> float:
        """Return the seconds after which Lambda ends a function."""
        return float(self._template.get("Globals", {}).get("Function", {}).get("Timeout", 60))

    def jobs(self) -> Iterator[str]:
        """Yield the names of the jobs that the template registers."""
        for path, _ in self._registered():
            folder, _, name = path.partition("/")
            if folder == JOBS:
                yield name

    def entries(self) -> dict[str, str]:
        """Return the registry entries of jobs and pools, by their paths, such as "jobs/load".

        Raises:
            SettingsError: if a value cannot be resolved.
        """
        return {path: _text(self._resolved(f"The entry {path}", value)) for path, value in self._registered()}

    def _registered(self) -> Iterator[tuple[str, Any]]:
        for resource in self._resources.values():
            properties = resource.get("Properties") or {}
            found = _ENTRY.search(str(properties.get("Name", "")))
            if found and resource.get("Type") == "AWS::SSM::Parameter":
                yield found[1], properties.get("Value", "")

    @staticmethod
    def _variables(properties: Mapping[str, Any]) -> Mapping[str, Any]:
        return (properties.get("Environment") or {}).get("Variables") or {}

    def _value(self, value: Any) -> Any:
        if isinstance(value, list):
            return [found for each in value if (found := self._value(each)) is not _OMITTED]
        if not (isinstance(value, Mapping) and len(value) == 1):
            return value
        [(function, argument)] = value.items()
        if function == "Ref":
            return self._reference(argument)
        if function == "Fn::GetAtt":
            return self._name(argument[0] if isinstance(argument, list) else argument.split(".")[0])
        act = {
            "Fn::If": self._if,
            "Fn::Sub": self._sub,
            "Fn::Join": self._join,
            "Fn::Select": self._select,
        }.get(function)
        return act(argument) if act else f"{function}"

    def _reference(self, name: str) -> Any:
        if name == "AWS::NoValue":
            return _OMITTED
        pseudo = {"AWS::Region": REGION, "AWS::AccountId": ACCOUNT, "AWS::Partition": "aws"}
        return pseudo.get(name) or self._parameters.get(name, self._name(name))

    def _name(self, resource: str) -> str:
        """Return the name or ARN of a resource."""
        kind = (self._resources.get(resource) or {}).get("Type", "")
        if kind == "AWS::SNS::Topic":
            return f"arn:aws:sns:{REGION}:{ACCOUNT}:{resource}"
        return resource.lower().replace("::", "-")

    def _if(self, argument: Sequence[Any]) -> Any:
        condition, yes, no = argument
        return self._value(yes if self._holds({"Condition": condition}) else no)

    def _holds(self, condition: Any) -> bool:
        [(function, argument)] = condition.items()
        if function == "Condition":
            return self._holds(self._template["Conditions"][argument])
        if function == "Fn::Equals":
            first, second = (self._value(each) for each in argument)
            return _text(first) == _text(second)
        if function == "Fn::Not":
            return not self._holds(argument[0])
        return (all if function == "Fn::And" else any)(self._holds(each) for each in argument)

    def _sub(self, argument: Any) -> str:
        text, given = (argument, {}) if isinstance(argument, str) else argument
        names = {name: _text(self._value(each)) for name, each in given.items()}

        def replaced(found: re.Match[str]) -> str:
            if found[1]:
                return f"${{{found[2]}}}"
            return names.get(found[2]) or _text(self._reference(found[2].split(".")[0]))

        return _VARIABLE.sub(replaced, text)

    def _join(self, argument: Sequence[Any]) -> str:
        separator, parts = argument
        found = self._value(parts)
        return str(separator).join(map(_text, found if isinstance(found, list) else [found]))

    def _select(self, argument: Sequence[Any]) -> Any:
        index, parts = argument
        if isinstance(parts, Mapping) and parts.get("Ref") in self._contracts:
            return "dev"  # A value of the engine's contract: there is no engine.
        found = self._value(parts)
        entries = found if isinstance(found, list) else str(found).split(",")
        return entries[int(index)]


def local_environment(template: Template, folder: str) -> dict[str, str]:
    """Return what a template sets in the environment of a function that runs on this machine, without an engine.

    Args:
        template: the project's.
        folder: the function's CodeUri, relative to the project.

    Raises:
        SettingsError: if a value cannot be resolved.
    """
    found = dict(template.environment(folder) or {})
    if stream := found.get("TREADLE_STREAM_ARN"):
        # Account and Region are not known here: records count by the name of their stream.
        found["TREADLE_STREAM_ARN"] = stream_name(stream)
    return {
        **{name: value for name, value in found.items() if name not in _ABSENT},
        "TREADLE_NAMESPACE": NAMESPACE,
        "TREADLE_QUEUE_URL": "local",
        "TREADLE_WEBHOOK_SECRET": "local",
    }


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return ",".join(map(_text, value)) if isinstance(value, list) else str(value)
