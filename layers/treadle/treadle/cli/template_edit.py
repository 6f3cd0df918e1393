"""Adds blocks of sensors and jobs to the text of a project's template.yaml; it only adds lines."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import yaml

from treadle.cli.yaml_loader import SafeLoader
from treadle.definitions.errors import ScaffoldError
from treadle.operate.limits import Use, exceeded, measure, transformed

NAME = "template.yaml"
_ENTRY = re.compile(r"/(sensors|jobs)/(\w+)")
_TARGET = re.compile(r'"target"\s*:\s*"(\w+)"')
_QUEUES = ("Resources", "QueuePolicy", "Properties", "Queues")


def add_blocks(text: str, blocks: Sequence[str], queues: Sequence[str]) -> str:
    """Add blocks after the template's other resources.

    Args:
        text: the template's text.
        blocks: each with its resources, indented, and a blank line before them.
        queues: the logical ids of queues that EventBridge sends to.

    Raises:
        ScaffoldError: if names are taken, an AWS limit is reached, or an insertion point is missing.
    """
    root = _root(text)
    newline = "\r\n" if "\r\n" in text else "\n"
    lines = text.splitlines(keepends=True)
    added = [(_end(_find(root, "Resources"), lines), "".join(blocks))]
    if queues:
        listed = _find(root, *_QUEUES)
        indent = " " * int(listed.start_mark.column)
        added.append((_end(listed, lines), "".join(f"{indent}- !Ref {queue}\n" for queue in queues)))
    for number, addition in sorted(added, reverse=True):
        if number and not lines[number - 1].endswith("\n"):
            lines[number - 1] += newline
        lines.insert(number, addition.replace("\n", newline))
    edited = "".join(lines)
    _check(edited)
    return edited


def jobs(text: str) -> Mapping[str, str]:
    """Return each job's target type, by the job's name.

    Raises:
        ScaffoldError: if it is not YAML.
    """
    return {
        name: found[1] if (found := _TARGET.search(value)) else ""
        for kind, name, value in _entries(load(text))
        if kind == "jobs"
    }


def sensors(text: str) -> list[str]:
    """Return the names of the sensors.

    Raises:
        ScaffoldError: if it is not YAML.
    """
    return [name for kind, name, _ in _entries(load(text)) if kind == "sensors"]


def load(text: str) -> dict[str, Any]:
    """Parse the template, with functions in their long form.

    Raises:
        ScaffoldError: if it is not YAML.
    """
    try:
        data: dict[str, Any] = yaml.load(text, Loader=_Loader)  # noqa: S506 - a SafeLoader
    except yaml.YAMLError as error:
        raise ScaffoldError([f"{NAME} is not YAML: {error}"]) from error
    return data


def _entries(template: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    """Yield a template's registry entries: sensors or jobs, the name, and the unresolved value."""
    for resource in template.get("Resources", {}).values():
        if isinstance(resource, dict) and resource.get("Type") == "AWS::SSM::Parameter":
            properties = resource.get("Properties", {})
            found = _ENTRY.search(str(properties.get("Name", "")))
            if found:
                yield found[1], found[2], str(properties.get("Value", ""))


class _Loader(SafeLoader):
    """Reads `!Ref X` as `{"Ref": "X"}`, and so on."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    name = suffix if suffix in {"Ref", "Condition"} else f"Fn::{suffix}"
    if isinstance(node, yaml.ScalarNode):
        value = loader.construct_scalar(node)
        return {name: str(value).split(".", 1) if suffix == "GetAtt" else value}
    if isinstance(node, yaml.SequenceNode):
        return {name: loader.construct_sequence(node, deep=True)}
    return {name: loader.construct_mapping(node, deep=True)}  # type: ignore[arg-type]


_Loader.add_multi_constructor("!", _intrinsic)


def _root(text: str) -> yaml.MappingNode:
    try:
        root = yaml.compose(text, Loader=SafeLoader)
    except yaml.YAMLError as error:
        raise ScaffoldError([f"{NAME} is not YAML: {error}"]) from error
    if not isinstance(root, yaml.MappingNode):
        raise ScaffoldError([f"{NAME} is not a YAML mapping."])
    return root


def _find(root: yaml.Node, *path: str) -> yaml.CollectionNode:
    found: yaml.Node | None = root
    for step in path:
        entries = found.value if isinstance(found, yaml.MappingNode) else []
        found = next((value for key, value in entries if key.value == step), None)
    if not isinstance(found, yaml.CollectionNode) or found.flow_style or not found.value:
        raise ScaffoldError(
            [f"{NAME} has no {' > '.join(path)} with entries, where something is to be added."]
        )
    return found


def _end(node: yaml.Node, lines: Sequence[str]) -> int:
    """Return the number of lines up to the last one of a node's content."""
    while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
        last = node.value[-1]
        node = last[1] if isinstance(last, tuple) else last
    line = int(node.end_mark.line)
    if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
        # A block scalar ends where the next line begins that is not blank and not part of it.
        line -= 1
        while not lines[line].strip():
            line -= 1
    return line + 1


def _check(text: str) -> None:
    root = _root(text)
    names = [key.value for part in ("Parameters", "Resources") for key, _ in _find(root, part).value]
    twice = {str(name) for name in names if names.count(name) > 1}
    template = load(text)
    uses = measure(template)
    entries = [(kind, name) for kind, name, _ in _entries(template)]
    twice |= {name for kind, name in entries if entries.count((kind, name)) > 1}
    twice |= _made_twice(template)
    if twice:
        msg = f"{NAME} has {', '.join(sorted(twice))} already: choose another name for the sensor or its job."
        raise ScaffoldError([msg])
    if problems := [_beyond(use) for use in exceeded(uses)]:
        raise ScaffoldError(problems)


def _made_twice(template: Mapping[str, Any]) -> set[str]:
    """Return the logical ids that SAM generates and the template has, or that SAM generates twice."""
    made = [each.logical_id for each in transformed(template)]
    return {name for name in made if made.count(name) > 1}


def _beyond(use: Use) -> str:
    of = f" of {use.subject}" if use.subject else ""
    limit = f"{use.limit.name}{of} would be {use.used}, and the limit of AWS is {use.limit.most} ({use.limit.source})"
    return f"{NAME}: {limit}. Begin a second project for the same engine."
