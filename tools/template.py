"""Reads CloudFormation templates as data."""

from pathlib import Path
from typing import Any

import yaml

from tools.project import ROOT


class _Loader(yaml.CSafeLoader):
    """YAML with CloudFormation's short forms, each read as a mapping `{tag: value}`."""


def _intrinsic(loader: _Loader, suffix: str, node: yaml.Node) -> dict[str, Any]:
    if isinstance(node, yaml.ScalarNode):
        return {suffix: loader.construct_scalar(node)}
    if isinstance(node, yaml.SequenceNode):
        return {suffix: loader.construct_sequence(node, deep=True)}
    assert isinstance(node, yaml.MappingNode)
    return {suffix: loader.construct_mapping(node, deep=True)}


_Loader.add_multi_constructor("!", _intrinsic)


def load(path: Path = ROOT / "template.yaml") -> dict[str, Any]:
    """Read the template, with `!Ref x` as `{"Ref": "x"}` and so on.

    Args:
        path: of the template; the project's own by default.
    """
    template: dict[str, Any] = yaml.load(path.read_text(), Loader=_Loader)  # noqa: S506 - a safe loader
    return template
