"""Run requests, skip reasons and results: what they take, and what they refuse at once."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.definitions.errors import InvalidResultError
from treadle.definitions.results import RunRequest, SensorResult, SkipReason

texts = st.text(st.characters(exclude_categories=["Cs"]))
plain_json = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | texts,
    lambda values: st.lists(values) | st.dictionaries(texts, values),
    max_leaves=10,
)


@given(st.dictionaries(texts, plain_json))
def test_run_config_is_kept_as_json_reads_it(config: dict[str, Any]) -> None:
    assert RunRequest(run_config=config).run_config == json.loads(json.dumps(config))


def test_run_config_is_a_copy_that_later_changes_do_not_reach() -> None:
    config = {"paths": ["a"]}

    request = RunRequest(run_config=config)
    config["paths"].append("b")

    assert request.run_config == {"paths": ["a"]}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), object(), {1, 2}, b"bytes", "\ud800"])
def test_run_config_that_is_no_plain_json_is_refused(value: object) -> None:
    with pytest.raises(InvalidResultError, match="run_config must be plain JSON"):
        RunRequest(run_config={"value": value})


def test_missing_parts_are_empty() -> None:
    request = RunRequest(None, None, None)  # type: ignore[arg-type]

    assert (request.run_key, request.run_config, request.tags) == (None, {}, {})


def test_tags_that_are_no_strings_are_written_as_json() -> None:
    tags: dict[Any, Any] = {"text": "as is", "number": 5, "list": [1, "a"], "nothing": None, 7: True}

    assert RunRequest(tags=tags).tags == {
        "text": "as is",
        "number": "5",
        "list": '[1,"a"]',
        "nothing": "null",
        "7": "true",
    }


@pytest.mark.parametrize("value", [object(), float("nan"), "\ud800"])
def test_tag_that_is_no_plain_json_is_refused_by_name(value: Any) -> None:
    with pytest.raises(InvalidResultError, match="Tag 'colour' must be plain JSON"):
        RunRequest(tags={"colour": value})


@pytest.mark.parametrize("key", [5, b"key", ["key"]])
def test_run_key_that_is_no_string_is_refused(key: Any) -> None:
    with pytest.raises(InvalidResultError, match="run_key must be a string or None"):
        RunRequest(run_key=key)


def test_run_key_that_no_encoding_can_carry_is_refused() -> None:
    with pytest.raises(InvalidResultError, match="run_key"):
        RunRequest(run_key="\ud800")


def test_skip_reason_may_be_a_plain_string() -> None:
    assert SensorResult(skip_reason="nothing new").skip_reason == SkipReason("nothing new")


@pytest.mark.parametrize("message", [ValueError("an exception"), 5])
def test_skip_reason_that_is_no_string_is_refused(message: Any) -> None:
    """It would be cut and stored as text, where no boundary holds its error any more."""
    with pytest.raises(InvalidResultError, match="skip_message must be a string or None"):
        SkipReason(message)


def test_result_with_requests_and_a_skip_reason_is_refused() -> None:
    with pytest.raises(InvalidResultError, match="Expected a single skip reason or one or more run requests"):
        SensorResult(run_requests=[RunRequest()], skip_reason="both")


def test_result_without_requests_may_give_a_reason() -> None:
    assert SensorResult(run_requests=[], skip_reason="none").skip_reason == SkipReason("none")
