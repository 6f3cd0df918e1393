"""Adds lines to a YAML text at places found by its structure; every other line stays as it is.

It knows nothing of CloudFormation, and reads tags such as `!If` as the plain lists and mappings they stand before.
"""

import textwrap
from collections.abc import Iterator
from dataclasses import dataclass, field

import yaml

from treadle.cli.yaml_loader import SafeLoader
from treadle.definitions.errors import ScaffoldError

Step = str | int | tuple[str, str]
"""A mapping's key, a sequence's index, or (key, value): the sequence's item that has this value at this key."""


@dataclass(slots=True)
class YamlLines:
    """A YAML text and what is to be added to it.

    Args:
        name: of the file, for messages.
        text: of the file.

    Raises:
        ScaffoldError: if the text is no YAML mapping.
    """

    name: str
    text: str
    _root: yaml.MappingNode = field(init=False)
    _lines: list[str] = field(init=False)
    _added: list[tuple[int, int, str]] = field(init=False, default_factory=list)

    def __post_init__(self) -> None:
        try:
            root = yaml.compose(self.text, Loader=SafeLoader)
        except yaml.YAMLError as error:
            raise ScaffoldError([f"{self.name} is no YAML: {error}"]) from error
        if not isinstance(root, yaml.MappingNode):
            raise ScaffoldError([f"{self.name} is no YAML mapping."])
        self._root = root
        self._lines = self.text.splitlines(keepends=True)

    def find(self, *path: Step) -> yaml.Node:
        """The node at a path.

        Raises:
            ScaffoldError: if there is none.
        """
        node: yaml.Node = self._root
        for step in path:
            child = _child(node, step)
            if child is None:
                where = " > ".join(str(step) for step in path)
                raise ScaffoldError([f"{self.name} lacks {where}, where something is to be added."])
            node = child
        return node

    def keys(self, *path: Step) -> list[str]:
        """The keys of the mapping at a path, in order."""
        return [key for key, _ in self.entries(*path)]

    def entries(self, *path: Step) -> list[tuple[str, yaml.Node]]:
        """Keys and values of the mapping at a path, in order."""
        return [(key.value, value) for key, value in mapping(self.find(*path))]

    def scalar(self, *path: Step) -> str:
        """The text at a path."""
        return str(self.find(*path).value)

    def append(self, path: tuple[Step, ...], text: str) -> None:
        """Add entries or items behind those of the mapping or sequence at a path."""
        node = self.find(*path)
        self._add(self._last_line(node) + 1, _indent_of(node), text)

    def add_after(self, path: tuple[Step, ...], text: str) -> None:
        """Add entries or items behind the one at a path."""
        indent = _indent_of(self.find(*path[:-1]))
        self._add(self._last_line(self.find(*path)) + 1, indent, text)

    def add_before_banner(self, path: tuple[Step, ...], text: str) -> None:
        """Add a section before the next line of a comment's `====` behind the entry at a path.

        Raises:
            ScaffoldError: if no such line follows.
        """
        indent = _indent_of(self.find(*path[:-1]))
        banner = " " * indent + "# ===="
        for number in range(self._last_line(self.find(*path)) + 1, len(self._lines)):
            if self._lines[number].startswith(banner):
                return self._add(number, indent, text)
        raise ScaffoldError([f"{self.name} has no line {banner.strip()} behind {path[-1]}."])

    def result(self) -> str:
        """The text with everything added."""
        newline = "\r\n" if "\r\n" in self.text else "\n"
        lines = list(self._lines)
        # From the end upwards; at one place the deepest comes to stand first, because it belongs to what is above.
        inwards = sorted(enumerate(self._added), key=lambda added: (-added[1][0], added[1][1], -added[0]))
        for _, (number, indent, text) in inwards:
            lines.insert(number, textwrap.indent(text, " " * indent).replace("\n", newline))
        return "".join(lines)

    def repeated_keys(self) -> list[str]:
        """The keys that some mapping has twice."""
        return sorted(set(_repeated(self._root)))

    def _last_line(self, node: yaml.Node) -> int:
        """The number, from 0, of the last line that a node's content stands on."""
        while isinstance(node, yaml.CollectionNode) and not node.flow_style and node.value:
            last = node.value[-1]
            node = last[1] if isinstance(last, tuple) else last
        line = int(node.end_mark.line)
        if isinstance(node, yaml.ScalarNode) and node.style in {"|", ">"}:
            # A block of text ends where the next line begins that is not blank and no part of it.
            line -= 1
            while not self._lines[line].strip():
                line -= 1
        return line

    def _add(self, number: int, indent: int, text: str) -> None:
        self._added.append((number, indent, text))


def mapping(node: yaml.Node) -> list[tuple[yaml.ScalarNode, yaml.Node]]:
    """A mapping's entries; none if the node is something else."""
    return node.value if isinstance(node, yaml.MappingNode) else []


def sequence(node: yaml.Node) -> list[yaml.Node]:
    """A sequence's items; none if the node is something else."""
    return node.value if isinstance(node, yaml.SequenceNode) else []


def _child(node: yaml.Node, step: Step) -> yaml.Node | None:
    if isinstance(step, str):
        return next((value for key, value in mapping(node) if key.value == step), None)
    items = sequence(node)
    if isinstance(step, int):
        return items[step] if -len(items) <= step < len(items) else None
    return next((found for item in items for found in _alternatives(item) if _has(found, *step)), None)


def _alternatives(item: yaml.Node) -> list[yaml.Node]:
    """An item itself, or the values between which its `!If` chooses."""
    return [item, *sequence(item)]


def _has(node: yaml.Node, key: str, value: str) -> bool:
    return any(found.value == key and held.value == value for found, held in mapping(node))


def _indent_of(node: yaml.Node) -> int:
    """The column of a mapping's keys, or of a sequence's dashes."""
    if entries := mapping(node):
        return int(entries[0][0].start_mark.column)
    return int(sequence(node)[0].start_mark.column) - len("- ")


def _repeated(node: yaml.Node) -> Iterator[str]:
    entries = mapping(node)
    keys = [key.value for key, _ in entries]
    yield from {str(key) for key in keys if keys.count(key) > 1}
    for child in (*sequence(node), *(value for _, value in entries)):
        yield from _repeated(child)
