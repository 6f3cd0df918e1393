"""Event patterns: what they match, and what is refused when a sensor is defined."""

from typing import Any

import pytest

from tools.verify.event_patterns import CASES, EVENT
from treadle.definitions.errors import DagsterInvalidDefinitionError
from treadle.definitions.event_pattern import EventPattern


@pytest.mark.parametrize(("pattern", "detail", "expected"), CASES)
def test_pattern_matches_as_eventbridge_does(
    pattern: dict[str, Any], detail: dict[str, Any], expected: bool
) -> None:
    assert EventPattern(pattern).matches({**EVENT, "detail": detail}) is expected


def test_each_case_has_its_contrary() -> None:
    """A matcher that is always true, or never, passes no half of the table."""
    assert {expected for _, _, expected in CASES} == {True, False}


@pytest.mark.parametrize(
    ("pattern", "problem"),
    [
        ({}, "the pattern has no fields"),
        ([], "the pattern is [], and must be an object of fields"),
        ({"source": "shop.orders"}, "source is 'shop.orders', and must be a list of values"),
        ({"source": []}, "source is [], and must be a list of values"),
        ({"detail": {}}, "detail has no fields"),
        ({"detail_type": ["x"]}, "'detail_type' is no field of an event"),
        (
            {"detail": {"a": [{"regex": "x"}]}},
            "detail.a has the unknown operator 'regex': use anything-but, cidr",
        ),
        ({"detail": {"a": [{"prefix": 1}]}}, "detail.a gives operator 'prefix' 1, which it does not accept"),
        ({"detail": {"a": [{"prefix": "x", "suffix": "y"}]}}, "or objects with one operator"),
        ({"detail": {"a": [["x"]]}}, "and must have values, or objects with one operator"),
        ({"detail": {"a": [{"numeric": [">"]}]}}, "gives operator 'numeric'"),
        ({"detail": {"a": [{"numeric": ["!", 1]}]}}, "gives operator 'numeric'"),
        ({"detail": {"a": [{"numeric": [">", True]}]}}, "gives operator 'numeric'"),
        ({"detail": {"a": [{"numeric": [">", 0, "<", "9"]}]}}, "gives operator 'numeric'"),
        ({"detail": {"a": [{"cidr": "10.0.0.0"}]}}, "gives operator 'cidr'"),
        ({"detail": {"a": [{"cidr": "10.0.0.0/99"}]}}, "gives operator 'cidr'"),
        ({"detail": {"a": [{"exists": "yes"}]}}, "gives operator 'exists'"),
        ({"detail": {"a": [{"anything-but": []}]}}, "gives operator 'anything-but'"),
        ({"detail": {"a": [{"anything-but": ["x", 1]}]}}, "gives operator 'anything-but'"),
        ({"detail": {"a": [{"anything-but": {"numeric": [">", 1]}}]}}, "gives operator 'anything-but'"),
        ({"detail": {"a": [{"anything-but": {"exists": "x"}}]}}, "gives operator 'anything-but'"),
        ({"detail": {"a": [{"anything-but": {"prefix": []}}]}}, "gives operator 'anything-but'"),
        ({"detail": {"a": [{"anything-but": {"prefix": ["x", 1]}}]}}, "gives operator 'anything-but'"),
        ({"$or": [{"source": ["x"]}]}, "$or must be a list of two patterns or more"),
        ({"$or": [{"source": ["x"]}, {"source": "y"}]}, "$or.source is 'y'"),
    ],
)
def test_what_eventbridge_would_refuse_is_refused(pattern: Any, problem: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError) as caught:
        EventPattern(pattern)

    assert problem in str(caught.value)
    assert str(caught.value).startswith("The event pattern cannot be used: ")


def test_network_may_be_given_by_one_of_its_addresses() -> None:
    pattern = EventPattern({"detail": {"a": [{"cidr": "10.0.0.7/24"}]}})

    assert pattern.matches({**EVENT, "detail": {"a": "10.0.0.9"}})


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"source is .*; detail\.a has"):
        EventPattern({"source": "x", "detail": {"a": [{"regex": "x"}]}})
