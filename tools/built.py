"""What `sam build` left in .aws-sam/local/build, as far as running one function of it needs."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tools.project import BUILD, ToolError
from tools.template import load


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
    """Environment variables the template gives literally."""
    unresolved: tuple[str, ...]
    """Names of those whose values only a deployment knows."""


def read(logical_id: str, build: Path = BUILD) -> BuiltFunction:
    """Find a function in the built template.

    Raises:
        ToolError: nothing is built, or the template has no such function; the message lists what it has.
    """
    path = build / "template.yaml"
    if not path.exists():
        raise ToolError(f"nothing is built in {build}. Build and deploy: make up")
    template = load(path)
    resources: dict[str, Any] = template["Resources"]
    functions = {
        name: each for name, each in resources.items() if each["Type"] == "AWS::Serverless::Function"
    }
    if logical_id not in functions:
        raise ToolError(
            f"no function is called {logical_id!r}. FUNCTION can be: {', '.join(sorted(functions))}"
        )
    common: dict[str, Any] = template.get("Globals", {}).get("Function", {})
    parameters: dict[str, Any] = template.get("Parameters", {})
    own: dict[str, Any] = functions[logical_id]["Properties"]
    merged = {**common, **own}
    values = _variables(common) | _variables(own)
    # SAM adds a function's own layers to the global ones.
    layers = [*common.get("Layers", []), *own.get("Layers", [])]
    return BuiltFunction(
        logical_id=logical_id,
        code=build / str(merged["CodeUri"]),
        layers=tuple(_layer(each, resources, build) for each in layers),
        handler=str(merged["Handler"]),
        timeout=_number(merged.get("Timeout"), 3, parameters),
        memory=_number(merged.get("MemorySize"), 128, parameters),
        variables={name: _text(value) for name, value in values.items() if not isinstance(value, dict)},
        unresolved=tuple(sorted(name for name, value in values.items() if isinstance(value, dict))),
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
    """A number; of a parameter its default, and of what only a deployment knows the default given."""
    if isinstance(value, dict) and value.get("Ref") in parameters:
        value = parameters[value["Ref"]].get("Default")
    return value if isinstance(value, int) else default


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
