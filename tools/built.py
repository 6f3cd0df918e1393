"""The builds of `make up`: project, engine and console, as needed to run one of their functions."""

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.project import BUILD, CONSOLE_BUILD, ENGINE, ENGINE_BUILD, ROOT, ToolError
from tools.stack import CONSOLE_ENVIRONMENT, ENVIRONMENT
from tools.template import load


@dataclass(frozen=True, slots=True)
class Build:
    """The build of one template.

    Attributes:
        path: its folder.
        folder: where the template is, and the configuration file of its stack.
        config_env: the environment of that file.
    """

    path: Path
    folder: Path
    config_env: str


BUILDS = (
    Build(BUILD, ROOT, ENVIRONMENT),
    Build(ENGINE_BUILD, ENGINE, ENVIRONMENT),
    Build(CONSOLE_BUILD, ENGINE, CONSOLE_ENVIRONMENT),
)


@dataclass(frozen=True, slots=True)
class BuiltFunction:
    """One function of the built template, ready to run."""

    logical_id: str
    code: Path
    layers: tuple[Path, ...]
    handler: str
    timeout: int
    memory: int
    variables: dict[str, str]
    """Environment variables with literal values in the template."""
    unresolved: tuple[str, ...]
    """Names of variables whose values only a deployment knows."""
    build: Build
    """The build that contains it."""


def read(logical_id: str, builds: Iterable[Build] = BUILDS) -> BuiltFunction:
    """Find a function in the built templates.

    Raises:
        ToolError: a template is not built, or none has such a function; the message lists the functions they
            have.
    """
    templates = {build: _template(build.path) for build in builds}
    found = {
        name: build
        for build, template in templates.items()
        for name, each in template["Resources"].items()
        if each["Type"] == "AWS::Serverless::Function"
    }
    if logical_id not in found:
        raise ToolError(f"no function is called {logical_id!r}. FUNCTION can be: {', '.join(sorted(found))}")
    build = found[logical_id]
    return _function(logical_id, templates[build], build)


def _template(folder: Path) -> dict[str, Any]:
    path = folder / "template.yaml"
    if not path.exists():
        raise ToolError(f"nothing is built in {folder}. Build and deploy: make up")
    return load(path)


def _function(logical_id: str, template: dict[str, Any], build: Build) -> BuiltFunction:
    resources: dict[str, Any] = template["Resources"]
    resource: dict[str, Any] = resources[logical_id]
    parameters: dict[str, Any] = template.get("Parameters", {})
    common = {
        name: value
        for name, value in template.get("Globals", {}).get("Function", {}).items()
        if name not in resource.get("IgnoreGlobals", ())
    }
    own: dict[str, Any] = resource["Properties"]
    merged = {**common, **own}
    values = _variables(common) | _variables(own)
    # SAM adds a function's own layers to the global ones.
    layers = [*common.get("Layers", []), *own.get("Layers", [])]
    return BuiltFunction(
        logical_id=logical_id,
        code=build.path / str(merged["CodeUri"]),
        layers=tuple(_layer(each, resources, build.path) for each in layers),
        handler=str(merged["Handler"]),
        timeout=_number(merged.get("Timeout"), 3, parameters),
        memory=_number(merged.get("MemorySize"), 128, parameters),
        variables={name: _text(value) for name, value in values.items() if not isinstance(value, dict)},
        unresolved=tuple(sorted(name for name, value in values.items() if isinstance(value, dict))),
        build=build,
    )


def _variables(properties: dict[str, Any]) -> dict[str, Any]:
    variables: dict[str, Any] = properties.get("Environment", {}).get("Variables", {})
    return variables


def _layer(reference: object, resources: dict[str, Any], build: Path) -> Path:
    name = reference.get("Ref") if isinstance(reference, dict) else None
    if name not in resources:
        raise ToolError(
            f"the layer {reference!r} is not part of this build, so the function cannot run here."
        )
    return build / str(resources[name]["Properties"]["ContentUri"])


def _number(value: object, default: int, parameters: dict[str, Any]) -> int:
    """Return a number: a parameter's default, or `default` if only a deployment knows the value."""
    if isinstance(value, dict) and value.get("Ref") in parameters:
        value = parameters[value["Ref"]].get("Default")
    return value if isinstance(value, int) else default


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
