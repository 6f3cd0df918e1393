"""Selections of the assets that jobs make, in Dagster's form."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from treadle.definitions.asset_key import AssetKey
from treadle.definitions.asset_specs import DEFAULT_GROUP, AssetSpec, CoercibleToAssetKey, key_of
from treadle.definitions.bounds import shown
from treadle.definitions.errors import DagsterInvalidDefinitionError

if TYPE_CHECKING:
    from treadle.definitions.jobs import JobDefinition

CoercibleToAssetSelection: TypeAlias = (
    "AssetSelection | str | Sequence[str] | Sequence[AssetKey] | AssetSpec | Sequence[AssetSpec]"
)

Keys = frozenset[AssetKey]


class AssetGraph:
    """The assets of jobs.

    Args:
        jobs: with the assets that each makes; or assets, whose job has no name.

    Attributes:
        makers: by asset that a job makes, the names of the jobs.
        parents: by asset, what it is made from.
        children: by asset, what is made from it.
        groups: by asset that a job makes, its group.
        keys: all assets, also those that are only named as dependencies.

    Raises:
        DagsterInvalidDefinitionError: if two jobs declare different groups of one asset.
    """

    def __init__(self, jobs: "Iterable[JobDefinition | AssetSpec]") -> None:
        self.makers: dict[AssetKey, list[str]] = {}
        self.parents: dict[AssetKey, set[AssetKey]] = {}
        self.children: dict[AssetKey, set[AssetKey]] = {}
        self.groups: dict[AssetKey, str] = {}
        for each in jobs:
            if isinstance(each, AssetSpec):
                self._add("", each)
                continue
            for spec in each.asset_specs:
                self._add(each.name, spec)
        self.keys: Keys = frozenset(self.parents.keys() | self.children.keys())

    @property
    def made(self) -> Keys:
        """The assets that a job makes."""
        return frozenset(self.makers)

    def _add(self, job_name: str, spec: AssetSpec) -> None:
        self.makers.setdefault(spec.key, []).append(job_name)
        self.parents.setdefault(spec.key, set()).update(dep.asset_key for dep in spec.deps)
        for dep in spec.deps:
            self.children.setdefault(dep.asset_key, set()).add(spec.key)
        if spec.group_name is None:
            return
        known = self.groups.setdefault(spec.key, spec.group_name)
        if known != spec.group_name:
            msg = (
                f"Asset {spec.key.to_user_string()} has two groups, {known!r} and {spec.group_name!r}: jobs "
                f"{' and '.join(self.makers[spec.key])} declare it. Give it one group_name."
            )
            raise DagsterInvalidDefinitionError(msg)

    def connected(self, start: Keys, edges: Mapping[AssetKey, set[AssetKey]], depth: int | None) -> Keys:
        """Return the assets within a number of steps of some, without these unless they are reached; None for all."""
        found: set[AssetKey] = set()
        front, steps = set(start), 0
        while front and (depth is None or steps < depth):
            front = {key for each in front for key in edges.get(each, ())} - found
            found |= front
            steps += 1
        return frozenset(found)


@dataclass(frozen=True, slots=True)
class AssetSelection:
    """A query over the assets that jobs make, as their `JobDefinition(assets=...)` declares them.

    Selections are combined by `|`, `&` and `-`.

    Attributes:
        text: the selection, as it is written.
        listed: the assets, if the selection names nothing else; then it needs no jobs to be known.
        specs: what is declared about these.
    """

    text: str
    _resolve: Callable[[AssetGraph], Keys] = field(compare=False)
    listed: Keys | None = None
    specs: tuple[AssetSpec, ...] = field(default=(), compare=False)

    def __repr__(self) -> str:
        return self.text

    def resolve(self, all_assets: "AssetGraph | Iterable[JobDefinition | AssetSpec]") -> Keys:
        """Return the selected assets.

        Args:
            all_assets: all assets, or the jobs that make them.

        Raises:
            DagsterInvalidDefinitionError: if it names an asset that no job makes, and none is made from.
        """
        return self._resolve(all_assets if isinstance(all_assets, AssetGraph) else AssetGraph(all_assets))

    @staticmethod
    def all(include_sources: bool = False) -> "AssetSelection":
        """Select all assets that jobs make.

        Args:
            include_sources: True for those, too, that are only named as dependencies.
        """
        arguments = "include_sources=True" if include_sources else ""
        return AssetSelection(f"AssetSelection.all({arguments})", lambda graph: _base(graph, include_sources))

    @staticmethod
    def assets(*assets_defs: CoercibleToAssetKey | AssetSpec) -> "AssetSelection":
        """Select assets by their keys, or by their specs."""
        specs = tuple(each for each in assets_defs if isinstance(each, AssetSpec))
        return _keys(map(key_of, assets_defs), specs)

    @staticmethod
    def keys(*asset_keys: CoercibleToAssetKey) -> "AssetSelection":
        """Select assets by their keys; a string has the parts of a key joined by "/"."""
        return _keys(AssetKey.from_user_string(k) if isinstance(k, str) else key_of(k) for k in asset_keys)

    @staticmethod
    def key_prefixes(*key_prefixes: str | Sequence[str], include_sources: bool = False) -> "AssetSelection":
        """Select assets whose keys begin with the parts of any of the prefixes.

        Args:
            key_prefixes: a string is a prefix of one part.
            include_sources: True for those, too, that are only named as dependencies.
        """
        prefixes = [AssetKey.from_coercible(prefix).path for prefix in key_prefixes]
        return AssetSelection(
            _call("key_prefixes", prefixes, include_sources),
            lambda graph: frozenset(
                key for key in _base(graph, include_sources) if any(map(key.has_prefix, prefixes))
            ),
        )

    @staticmethod
    def groups(*group_strs: str, include_sources: bool = False) -> "AssetSelection":
        """Select the assets of groups.

        Args:
            group_strs: the groups.
            include_sources: True for those, too, that are only named as dependencies.
        """
        given: tuple[object, ...] = group_strs
        wrong = [each for each in given if not isinstance(each, str)]
        if wrong:
            msg = f"AssetSelection.groups takes names, not {shown(wrong[0])}. Write each as a string."
            raise DagsterInvalidDefinitionError(msg)
        return AssetSelection(
            _call("groups", group_strs, include_sources),
            lambda graph: frozenset(
                key
                for key in _base(graph, include_sources)
                if graph.groups.get(key, DEFAULT_GROUP) in group_strs
            ),
        )

    def downstream(self, depth: int | None = None, include_self: bool = True) -> "AssetSelection":
        """Select what is made from the selected assets, directly or by way of others.

        Args:
            depth: the maximum number of steps; None for any.
            include_self: whether the selected assets are included.
        """
        return self._reached("downstream", depth, include_self)

    def upstream(self, depth: int | None = None, include_self: bool = True) -> "AssetSelection":
        """Select what the selected assets are made from, directly or by way of others, as far as jobs make it.

        Args:
            depth: the maximum number of steps; None for any.
            include_self: whether the selected assets are included.
        """
        return self._reached("upstream", depth, include_self)

    def _reached(self, direction: str, depth: int | None, include_self: bool) -> "AssetSelection":
        _check_depth(depth)

        def resolve(graph: AssetGraph) -> Keys:
            start = self.resolve(graph)
            is_down = direction == "downstream"
            edges, selectable = (graph.children, graph.keys) if is_down else (graph.parents, graph.made)
            found = start | graph.connected(start, edges, depth)
            return (found if include_self else found - start) & selectable

        options = [] if depth is None else [f"depth={depth}"]
        options += [] if include_self else ["include_self=False"]
        return AssetSelection(f"{self.text}.{direction}({', '.join(options)})", resolve)

    def sinks(self) -> "AssetSelection":
        """Select those of the selected assets from which no other of them is made."""
        return AssetSelection(
            f"{self.text}.sinks()", lambda graph: _ends(graph, self.resolve(graph), graph.children)
        )

    def roots(self) -> "AssetSelection":
        """Select those of the selected assets that are made from no other of them."""
        return AssetSelection(
            f"{self.text}.roots()", lambda graph: _ends(graph, self.resolve(graph), graph.parents)
        )

    def materializable(self) -> "AssetSelection":
        """Select those of the selected assets that jobs make."""
        return AssetSelection(f"{self.text}.materializable()", lambda graph: self.resolve(graph) & graph.made)

    def upstream_source_assets(self) -> "AssetSelection":
        """Select what the selected assets are made from and no job makes."""

        def resolve(graph: AssetGraph) -> Keys:
            start = self.resolve(graph)
            return (start | graph.connected(start, graph.parents, None)) - graph.made

        return AssetSelection(f"{self.text}.upstream_source_assets()", resolve)

    def __or__(self, other: "AssetSelection") -> "AssetSelection":
        _check_operand(other)
        both = None if self.listed is None or other.listed is None else self.listed | other.listed
        return AssetSelection(
            f"({self.text} | {other.text})",
            lambda graph: self.resolve(graph) | other.resolve(graph),
            both,
            (*self.specs, *other.specs),
        )

    def __and__(self, other: "AssetSelection") -> "AssetSelection":
        _check_operand(other)
        return AssetSelection(
            f"({self.text} & {other.text})", lambda graph: self.resolve(graph) & other.resolve(graph)
        )

    def __sub__(self, other: "AssetSelection") -> "AssetSelection":
        _check_operand(other)
        return AssetSelection(
            f"({self.text} - {other.text})", lambda graph: self.resolve(graph) - other.resolve(graph)
        )


def selection_of(given: object) -> AssetSelection:
    """Return the selection that a value stands for: a string, or a list of strings, of keys or of specs.

    Raises:
        DagsterInvalidDefinitionError: if it stands for none.
    """
    if isinstance(given, AssetSelection):
        return given
    if isinstance(given, str):
        return _parsed(given)
    if isinstance(given, AssetSpec):
        return AssetSelection.assets(given)
    if isinstance(given, Sequence) and given:
        if all(isinstance(each, str) for each in given):
            first, *others = map(_parsed, given)
            for each in others:
                first |= each
            return first
        if all(isinstance(each, AssetKey | AssetSpec) for each in given):
            return AssetSelection.assets(*given)
    msg = (
        "a selection of assets must be an AssetSelection, a string, an AssetSpec, or a list of strings, AssetKeys or "
        f"AssetSpecs, not {shown(given)}"
    )
    raise DagsterInvalidDefinitionError(msg)


def _parsed(text: str) -> AssetSelection:
    """Return the selection of a string: "*", a key, `key:"…"`, or `group:"…"`."""
    if text == "*":
        return AssetSelection.all()
    match = _CLAUSE.fullmatch(text)
    if match is None:
        msg = (
            f"the selection {text!r} is written in a syntax that is not supported: a string may be '*', a key such as "
            "'a/b', 'key:\"a/b\"' or 'group:\"name\"'. Write others with AssetSelection and its operators"
        )
        raise DagsterInvalidDefinitionError(msg)
    name = match["quoted"] or match["plain"]
    return AssetSelection.groups(name) if match["kind"] == "group:" else AssetSelection.keys(name)


_CLAUSE = re.compile(r'(?P<kind>key:|group:)?(?:(?P<plain>[\w./-]+)|(?<=:)"(?P<quoted>[^"*\\]+)")')


def _keys(keys: Iterable[AssetKey], specs: tuple[AssetSpec, ...] = ()) -> AssetSelection:
    selected = frozenset(keys)

    def resolve(graph: AssetGraph) -> Keys:
        if missing := selected - graph.keys:
            raise DagsterInvalidDefinitionError(made_by_none(missing))
        return selected

    text = ", ".join(_shown_key(key) for key in sorted(selected))
    return AssetSelection(f"AssetSelection.assets({text})", resolve, selected, specs)


def listed(keys: Iterable[AssetKey], most: int = 10) -> str:
    """Return the names of assets for a message, and how many more there are; "" for none."""
    names = [key.to_user_string() for key in sorted(keys)]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")


def names_of(keys: Collection[AssetKey]) -> str:
    """Return the names of assets for a message: "asset a is", "assets a, b are"."""
    names = listed(keys, most=5)
    return f"asset {names} is" if len(keys) == 1 else f"assets {names} are"


def made_by_none(keys: Collection[AssetKey]) -> str:
    """Return that no job makes assets, for a message."""
    return f"{names_of(keys)} selected, but no job makes {'it' if len(keys) == 1 else 'them'}"


def _shown_key(key: AssetKey) -> str:
    return repr(key.parts[0]) if len(key.parts) == 1 else repr(key.path)


def _call(name: str, values: Iterable[object], include_sources: bool) -> str:
    arguments = [*map(repr, values), *(["include_sources=True"] if include_sources else [])]
    return f"AssetSelection.{name}({', '.join(arguments)})"


def _base(graph: AssetGraph, include_sources: bool) -> Keys:
    return graph.keys if include_sources else graph.made


def _ends(graph: AssetGraph, selected: Keys, edges: Mapping[AssetKey, set[AssetKey]]) -> Keys:
    return frozenset(
        key for key in selected if not (graph.connected(frozenset({key}), edges, None) - {key}) & selected
    )


def _check_depth(depth: object) -> None:
    if depth is not None and (not isinstance(depth, int) or isinstance(depth, bool)):
        msg = (
            f"depth of an asset selection must be a whole number or None, not {shown(depth)}. Give a number."
        )
        raise DagsterInvalidDefinitionError(msg)


def _check_operand(other: object) -> None:
    if not isinstance(other, AssetSelection):
        msg = f"An AssetSelection is combined with another one, not with {shown(other)}. Use AssetSelection.assets."
        raise DagsterInvalidDefinitionError(msg)
