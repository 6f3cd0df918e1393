"""Typed cursors: a dataclass in place of a string, with versions and the way from one to the next."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle import (
    CursorType,
    DagsterInvariantViolationError,
    JobDefinition,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    sensor,
)
from treadle.testing import TreadleInstance


@dataclass
class Position:
    """Where a sensor stands."""

    page: int = 0
    seen: list[str] = field(default_factory=list)
    marks: dict[str, int] = field(default_factory=dict)


def from_older(fields: Mapping[str, Any], version: int) -> Mapping[str, Any]:
    """Version 0 was a page as text, version 1 called it number."""
    return {"page": int(fields["text"])} if version == 0 else {"page": fields["number"]}


FIRST = CursorType(Position)
SECOND = CursorType(Position, version=2, migrate=from_older)


@pytest.mark.parametrize("nothing", [None, ""])
def test_where_there_is_no_cursor_yet_a_fresh_value_is_read(nothing: str | None) -> None:
    assert FIRST.load(nothing) == Position()


@given(page=st.integers(), seen=st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_what_was_dumped_is_loaded_as_it_was(page: int, seen: list[str]) -> None:
    value = Position(page, seen)

    assert FIRST.load(FIRST.dump(value)) == value


def test_equal_values_are_equal_strings_so_that_an_unchanged_cursor_is_seen_as_one() -> None:
    one, same = Position(1, ["a"], {"x": 1, "y": 2}), Position(1, ["a"], {"y": 2, "x": 1})

    assert FIRST.dump(one) == FIRST.dump(same)


def test_older_version_is_migrated() -> None:
    assert SECOND.load('{"version": 1, "fields": {"number": 7}}') == Position(7)


def test_string_that_was_no_typed_cursor_is_migrated_as_version_zero() -> None:
    assert SECOND.load("41") == Position(41)


@pytest.mark.parametrize(
    "text", ["41", '{"page": 1}', "[1]", '{"version": "x", "fields": {}}', '{"version": 1, "fields": []}']
)
def test_string_that_was_no_typed_cursor_is_refused_without_a_migration(text: str) -> None:
    with pytest.raises(DagsterInvariantViolationError, match="has version 0 and Position version 1"):
        FIRST.load(text)


def test_version_of_a_later_deployment_is_refused_though_there_is_a_migration() -> None:
    with pytest.raises(DagsterInvariantViolationError, match="has version 3 and Position version 2"):
        SECOND.load('{"version": 3, "fields": {}}')


def test_fields_that_do_not_fit_are_refused_with_their_names() -> None:
    with pytest.raises(DagsterInvariantViolationError, match=r"does not fit Position: .*'sheet'"):
        FIRST.load('{"version": 1, "fields": {"sheet": 1}}')


@pytest.mark.parametrize("value", [object(), float("nan")])
def test_value_that_is_no_plain_json_is_refused(value: Any) -> None:
    with pytest.raises(DagsterInvariantViolationError, match="Position must be plain JSON"):
        FIRST.dump(Position(seen=[value]))


def test_schema_that_is_no_dataclass_is_refused() -> None:
    with pytest.raises(DagsterInvariantViolationError, match="make it a dataclass"):
        CursorType(dict)  # type: ignore[type-var]


def test_sensor_takes_over_its_old_cursor_and_continues_typed() -> None:
    @sensor(job=JobDefinition("load"))
    def paging(context: SensorEvaluationContext) -> SensorResult:
        position = SECOND.load(context.cursor)
        position.page += 1
        return SensorResult(skip_reason=SkipReason(str(position.page)), cursor=SECOND.dump(position))

    instance = TreadleInstance([paging])
    instance.set_cursor("paging", "41")

    assert [instance.tick("paging").outcome.reason for _ in range(2)] == ["42", "43"]
    assert SECOND.load(instance.cursor("paging")) == Position(43)


def test_cursor_that_cannot_be_read_fails_the_tick_and_stays() -> None:
    @sensor(job=JobDefinition("load"))
    def paging(context: SensorEvaluationContext) -> SkipReason:
        return SkipReason(str(FIRST.load(context.cursor).page))

    instance = TreadleInstance([paging])
    instance.set_cursor("paging", "41")

    assert "set the cursor again" in instance.tick("paging").outcome.reason
    assert instance.cursor("paging") == "41"


def test_text_that_is_nested_without_end_is_no_typed_cursor() -> None:
    with pytest.raises(
        DagsterInvariantViolationError, match=r"has version 0 and Position version 1\. Give CursorType"
    ):
        FIRST.load("[" * 100_000)


def test_value_that_is_no_dataclass_is_refused_with_a_reason() -> None:
    value: Any = {"page": 1}
    with pytest.raises(DagsterInvariantViolationError, match="fields of Position must be plain JSON: asdict"):
        FIRST.dump(value)
