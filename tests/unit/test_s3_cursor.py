"""The sweep's cursor: what it keeps, and when it is worth nothing any more."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.objects import BUCKET, TIME
from treadle.definitions.objects import ObjectIdentity
from treadle.integrations.s3.groups import FileCount, Marker
from treadle.integrations.s3.selection import S3Selection, StartFrom
from treadle.integrations.s3.sweep import (
    SweepCursor,
    read_cursor,
)

ALL = S3Selection(BUCKET, start_from=StartFrom.BEGINNING)


@pytest.mark.parametrize("start_from", StartFrom)
@pytest.mark.parametrize(
    "changed",
    [
        {"bucket": "other"},
        {"prefix": "in/2"},
        {"suffix": ".gz"},
        {"identity": ObjectIdentity.VERSION},
        {"complete_when": FileCount(2)},
        {"complete_when": Marker()},
    ],
)
def test_changed_selection_is_a_first_enable_from_now(start_from: StartFrom, changed: dict[str, Any]) -> None:
    """No flood: everything that is there under a new prefix or identity was there before."""
    before = str(SweepCursor((BUCKET, "in/", "", "etag"), 0, position="in/5"))
    selection = S3Selection(**{"bucket": BUCKET, "prefix": "in/", "start_from": start_from, **changed})

    cursor = read_cursor(before, selection, TIME + 700)

    assert cursor == SweepCursor(tuple(selection.fingerprint), TIME)


def test_cleared_cursor_starts_from_the_beginning_if_that_is_requested() -> None:
    assert read_cursor(None, ALL, TIME).since == 0
    assert read_cursor("", ALL, TIME).since == 0
    assert read_cursor(None, S3Selection(BUCKET), TIME).since == TIME


TIMES = ("since", "round_started", "round_floor", "complete_round", "full_round")


@given(
    st.text(st.characters(exclude_categories=["Cs"])),
    st.fixed_dictionaries(dict.fromkeys(TIMES, st.integers(0, 2**53))),
    st.booleans(),
)
def test_cursor_is_read_as_it_was_written(position: str, times: dict[str, int], is_silent: bool) -> None:
    facts: dict[str, Any] = {"position": position, "is_silent": is_silent, **times}
    cursor = SweepCursor(tuple(ALL.fingerprint), **facts)

    assert read_cursor(str(cursor), ALL, TIME) == cursor
    assert json.loads(str(cursor))["made_with"] == ALL.fingerprint


def test_changed_start_from_alone_changes_nothing() -> None:
    cursor = SweepCursor(tuple(ALL.fingerprint), TIME - 5, position="in/5")

    assert read_cursor(str(cursor), S3Selection(BUCKET), TIME) == cursor
