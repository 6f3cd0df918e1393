"""Selections of assets: what each selects, as in Dagster 1.13.27, and what is refused with what to do."""

import re
from collections.abc import Callable
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetSelection,
    AssetSpec,
    DagsterInvalidDefinitionError,
    JobDefinition,
    TreadleError,
)
from treadle.definitions.asset_selection import AssetGraph, selection_of

AB = AssetKey(["a", "b"])
LOAD = JobDefinition("load", assets=[AssetSpec(AB, group_name="g"), AssetSpec("c", deps=[AB])])
REPORT = JobDefinition("report", assets=[AssetSpec("d", deps=["c", "ext"])])
GRAPH = AssetGraph([LOAD, REPORT])

S = AssetSelection
SELECTIONS: list[tuple[AssetSelection, str]] = [
    (S.all(), "a/b c d"),
    (S.all(include_sources=True), "a/b c d ext"),
    (S.assets("c", AB), "a/b c"),
    (S.assets(AssetSpec("c"), ["a", "b"]), "a/b c"),
    (S.keys("a/b"), "a/b"),
    (S.keys(AB, ["d"]), "a/b d"),
    (S.assets(), ""),
    (S.key_prefixes("a"), "a/b"),
    (S.key_prefixes("ext", ["a", "b"]), "a/b"),
    (S.key_prefixes("ext", include_sources=True), "ext"),
    (S.key_prefixes("a/b"), ""),
    (S.groups("g"), "a/b"),
    (S.groups("default"), "c d"),
    (S.groups("g", "default"), "a/b c d"),
    (S.groups("default", include_sources=True), "c d ext"),
    (S.groups("nope"), ""),
    (S.assets(AB).downstream(), "a/b c d"),
    (S.assets(AB).downstream(depth=1), "a/b c"),
    (S.assets(AB).downstream(depth=1, include_self=False), "c"),
    (S.assets("c").downstream(depth=0), "c"),
    (S.assets("c").downstream(depth=-1), "c"),
    (S.assets("ext").downstream(), "d ext"),
    (S.assets("d").upstream(), "a/b c d"),
    (S.assets("d").upstream(depth=1), "c d"),
    (S.assets("d").upstream(include_self=False), "a/b c"),
    (S.assets("d", "ext").upstream(), "a/b c d"),
    (S.all().sinks(), "d"),
    (S.assets(AB, "d").sinks(), "d"),
    (S.all().roots(), "a/b"),
    (S.assets(AB, "d").roots(), "a/b"),
    (S.all(include_sources=True).materializable(), "a/b c d"),
    (S.assets("d").upstream_source_assets(), "ext"),
    (S.groups("g") | S.assets("d"), "a/b d"),
    (S.all() & S.assets("d").upstream(), "a/b c d"),
    (S.all() - S.groups("g"), "c d"),
]


@pytest.mark.parametrize(("selection", "keys"), SELECTIONS, ids=[repr(each) for each, _ in SELECTIONS])
def test_selection_has_dagsters_assets(selection: AssetSelection, keys: str) -> None:
    assert " ".join(sorted(key.to_user_string() for key in selection.resolve(GRAPH))) == keys
    assert selection.resolve([REPORT, LOAD]) == selection.resolve(GRAPH)
    assert selection.resolve([*REPORT.asset_specs, *LOAD.asset_specs]) == selection.resolve(GRAPH)


@pytest.mark.parametrize(
    ("given", "same"),
    [
        ("*", S.all()),
        ("c", S.assets("c")),
        ("a/b", S.assets(AB)),
        ("key:c", S.assets("c")),
        ('key:"a/b"', S.assets(AB)),
        ("group:g", S.groups("g")),
        ('group:"g"', S.groups("g")),
        (["c", "a/b"], S.assets("c") | S.assets(AB)),
        ([AB], S.assets(AB)),
        ([AssetSpec(AB), "c"], None),
        ([AssetSpec(AB), AssetKey("c")], S.assets(AB, "c")),
    ],
)
def test_strings_and_lists_stand_for_selections(given: Any, same: AssetSelection | None) -> None:
    if same is None:
        with pytest.raises(DagsterInvalidDefinitionError, match="a list of strings, AssetKeys or AssetSpecs"):
            selection_of(given)
    else:
        assert selection_of(given) == same


@pytest.mark.parametrize(
    "text", ["c+", "+d", "c or d", "not c", "tag:x", "a/*", '"c"', "", "sinks(*)", "c\n"]
)
def test_syntax_of_strings_that_is_not_supported_is_refused_with_what_to_do(text: str) -> None:
    with pytest.raises(
        DagsterInvalidDefinitionError, match=f"{re.escape(repr(text))} .* Write others with AssetSelection"
    ):
        selection_of(text)


WRONG: list[tuple[str, Callable[[], object], str]] = [
    ("group", lambda: S.groups(1), "takes names, not 1"),  # type: ignore[arg-type]
    ("key", lambda: S.assets(1), "asset key must be"),  # type: ignore[arg-type]
    ("operand |", lambda: S.all() | ["d"], "not with"),  # type: ignore[operator]
    ("operand &", lambda: S.all() & "d", "not with 'd'"),  # type: ignore[operator]
    ("operand -", lambda: S.all() - None, "not with None"),  # type: ignore[operator]
    ("depth", lambda: S.all().upstream(depth="1"), "whole number"),  # type: ignore[arg-type]
    ("depth of bool", lambda: S.all().downstream(depth=True), "whole number"),
    ("list", lambda: selection_of([]), "not \\[\\]"),
    ("number", lambda: selection_of(3), "not 3"),
    ("unknown key", lambda: S.assets("zz").resolve(GRAPH), "asset zz is selected, but no job makes it"),
    ("unknown keys", lambda: S.assets("y", "zz").resolve(GRAPH), "assets y, zz are selected, .* makes them"),
    ("unknown operand", lambda: (S.all() - S.assets("zz")).resolve(GRAPH), "zz"),
    ("deps of a spec", lambda: AssetSpec("a", deps="b"), "deps of asset a must be a list of assets, not 'b'"),
    ("dep of a spec", lambda: AssetSpec("a", deps=[1]), "asset key must be"),  # type: ignore[list-item]
    ("group of a spec", lambda: AssetSpec("a", group_name="a b"), "'a b' is not a valid asset group name"),
    ("type of a group", lambda: AssetSpec("a", group_name=1), "group_name .* string"),  # type: ignore[arg-type]
    ("assets of a job", lambda: JobDefinition("j", assets="a"), "assets of job j must be a list"),
    ("asset of a job", lambda: JobDefinition("j", assets=[3]), "asset key must be"),  # type: ignore[list-item]
    ("repeated", lambda: JobDefinition("j", assets=["a", AssetSpec("a")]), "names a more than once"),
    (
        "two groups",
        lambda: AssetGraph(JobDefinition(n, assets=[AssetSpec("a", group_name=n)]) for n in ("x", "y")),
        "Asset a has two groups, 'x' and 'y': jobs x and y",
    ),
]


@pytest.mark.parametrize(("call", "message"), [each[1:] for each in WRONG], ids=[each[0] for each in WRONG])
def test_wrong_value_is_refused_by_name(call: Callable[[], object], message: str) -> None:
    with pytest.raises(TreadleError, match=message):
        call()


def test_selection_is_shown_as_it_is_written() -> None:
    selection = (S.groups("g") | S.assets(AB, "c").upstream(depth=2, include_self=False)) - S.all(
        True
    ).roots()

    assert repr(selection) == (
        "((AssetSelection.groups('g') | AssetSelection.assets(['a', 'b'], 'c').upstream(depth=2, "
        "include_self=False)) - AssetSelection.all(include_sources=True).roots())"
    )


def test_facts_of_an_asset_come_from_each_job_that_declares_it() -> None:
    graph = AssetGraph(
        [
            JobDefinition("one", assets=["a"]),
            JobDefinition("two", assets=[AssetSpec("a", deps=["b"], group_name="g")]),
        ]
    )

    assert graph.makers == {AssetKey("a"): ["one", "two"]}
    assert S.groups("g").resolve(graph) == {AssetKey("a")}
    assert S.assets("b").downstream(include_self=False).resolve(graph) == {AssetKey("a")}


def test_graph_with_a_cycle_is_selected_to_its_end() -> None:
    graph = AssetGraph([JobDefinition("j", assets=[AssetSpec("a", deps=["b"]), AssetSpec("b", deps=["a"])])])

    assert S.assets("a").downstream().resolve(graph) == {AssetKey("a"), AssetKey("b")}
