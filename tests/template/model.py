"""template.yaml as data, intrinsic functions as dictionaries."""

import importlib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from treadle.definitions.sensors import SensorDefinition

ROOT = Path(__file__).parents[2]
PATH = ROOT / "template.yaml"
FUNCTION = "AWS::Serverless::Function"
SHIPPED_SENSORS = frozenset({"failure_alert", "large_files", "new_objects"})
"""Those that come with Treadle; all others are the project's own."""


class _Loader(yaml.CSafeLoader):
    """Reads `!Ref X` as `{"Ref": "X"}`, and so on."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    value: Any
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
    elif isinstance(node, yaml.SequenceNode):
        value = loader.construct_sequence(node, deep=True)
    else:
        assert isinstance(node, yaml.MappingNode)
        value = loader.construct_mapping(node, deep=True)
    if suffix == "GetAtt" and isinstance(value, str):
        value = value.split(".", 1)
    return {name: value}


_Loader.add_multi_constructor("!", _intrinsic)


@dataclass(frozen=True, slots=True)
class Template:
    """The template's sections, and queries that several tests share."""

    data: dict[str, Any]

    def section(self, name: str) -> dict[str, Any]:
        """Return one top-level section, empty if the template has none."""
        section: dict[str, Any] = self.data.get(name, {})
        return section

    def resources(self, kind: str) -> dict[str, dict[str, Any]]:
        """Return the properties of all resources of a type, by logical id."""
        found = {name: body for name, body in self.section("Resources").items() if body["Type"] == kind}
        return {name: body.get("Properties", {}) for name, body in found.items()}

    def evaluators(self) -> dict[str, dict[str, Any]]:
        """Return the properties of each sensor's function, by the sensor's name."""
        functions = self.resources(FUNCTION).values()
        return {
            Path(f["CodeUri"]).name: f for f in functions if f["CodeUri"].startswith("functions/sensors/")
        }

    def environment(self, function: dict[str, Any]) -> dict[str, Any]:
        """Return a function's variables, those of Globals included unless it ignores them."""
        own: dict[str, Any] = function.get("Environment", {}).get("Variables", {})
        shared: dict[str, Any] = self.section("Globals")["Function"]["Environment"]["Variables"]
        return own if function in self._without_globals("Environment") else shared | own

    def _without_globals(self, name: str) -> list[dict[str, Any]]:
        resources = self.section("Resources").values()
        return [body["Properties"] for body in resources if name in body.get("IgnoreGlobals", [])]

    def statements(self) -> Iterator[tuple[str, dict[str, Any]]]:
        """Yield each identity policy's statements with their role's logical id, conditional ones unwrapped."""
        for role, properties in self.resources("AWS::IAM::Role").items():
            for policy in properties.get("Policies", []):
                for statement in policy["PolicyDocument"]["Statement"]:
                    yield role, statement["Fn::If"][1] if "Fn::If" in statement else statement


def actions(statement: dict[str, Any]) -> list[str]:
    """Return a statement's actions, those under a condition included."""
    listed = statement["Action"] if isinstance(statement["Action"], list) else [statement["Action"]]
    return [action["Fn::If"][1] if isinstance(action, dict) else action for action in listed]


def definition(sensor: str) -> SensorDefinition:
    """Return what a sensor's code defines."""
    module = importlib.import_module(f"functions.sensors.{sensor}.app")
    [found] = [
        each for each in vars(module).values() if isinstance(each, SensorDefinition) and each.name == sensor
    ]
    return found


def references(value: object) -> set[str]:
    """Return logical ids that a value refers to, however deep."""
    if isinstance(value, dict):
        found = {str(value["Ref"])} if "Ref" in value else set()
        if "Fn::GetAtt" in value:
            found.add(value["Fn::GetAtt"][0])
        if "Fn::Sub" in value:
            text = value["Fn::Sub"] if isinstance(value["Fn::Sub"], str) else value["Fn::Sub"][0]
            found |= {name.split(".")[0] for name in re.findall(r"\$\{([^}!]+)\}", text)}
        return found.union(*(references(item) for item in value.values()))
    if isinstance(value, list):
        return set().union(*(references(item) for item in value))
    return set()


def logical_prefix(sensor: str) -> str:
    """`new_objects` → `NewObjects`: how a sensor's parameters and resources begin."""
    return "".join(word.capitalize() for word in sensor.split("_"))


@cache
def read() -> Template:
    """Return the repository's template."""
    return Template(yaml.load(PATH.read_text(), Loader=_Loader))


def samples() -> dict[str, Any]:
    """Return the sample events by file name without extension."""
    return {
        path.stem: json.loads(path.read_text())
        for path in sorted((ROOT / "events").glob("*.json"))
        if path.stem != "env"
    }
