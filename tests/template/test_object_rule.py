"""The rule of an S3 sensor lets through what its code selects, and nothing else, whatever the parameters are."""

import re
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tests.support.objects import object_of
from tests.template.model import read
from tests.template.test_parameters import accepts
from treadle.integrations.s3.selection import S3Selection

template = read()
PARAMETERS = template.section("Parameters")
DETAIL = template.resources("AWS::Events::Rule")["NewObjectsRule"]["EventPattern"]["detail"]
NASTY = ["", "in/", "in/$", "a b+c%20/", "ü/日本/", "a?b[c]", "{x}", "$$", "in/2026-"]
SUFFIXES = ["", ".csv", ".tar.gz", ".ü", ".a?", "."]


def wildcard(prefix: str, suffix: str) -> str:
    """The rule's one pattern, with the parameters filled in as CloudFormation does."""
    [pattern] = DETAIL["object"]["key"]
    text: str = pattern["wildcard"]["Fn::Sub"]
    return text.replace("${NewObjectsPrefix}", prefix).replace("${NewObjectsSuffix}", suffix)


def matches(pattern: str, key: str) -> bool:
    """As EventBridge does: an asterisk is any number of characters, a backslash makes the next one itself."""
    parts = re.findall(r"\\(.)|(\*)|([^*\\]+)", pattern, flags=re.DOTALL)
    regex = "".join(".*" if star else re.escape(escaped or text) for escaped, star, text in parts)
    return re.fullmatch(regex, key, flags=re.DOTALL) is not None


def test_the_pattern_has_one_wildcard_and_stands_alone() -> None:
    """Two entries, or a prefix beside a suffix, would be either; two asterisks in a row EventBridge refuses."""
    assert len(DETAIL["object"]["key"]) == 1
    assert wildcard("", "").count("*") == 1


@pytest.mark.parametrize("prefix", NASTY)
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_parameter_that_is_accepted_brings_no_second_wildcard(prefix: str, suffix: str) -> None:
    assert accepts(PARAMETERS["NewObjectsPrefix"], prefix)
    assert accepts(PARAMETERS["NewObjectsSuffix"], suffix)
    pattern = wildcard(prefix, suffix)

    assert pattern.count("*") == 1
    assert "\\" not in pattern


characters = st.characters(exclude_categories=["Cs", "Cc"])


@given(
    st.sampled_from(NASTY) | st.text(characters, max_size=6),
    st.sampled_from(SUFFIXES),
    st.text(characters, max_size=8),
    st.sampled_from(["both", "prefix", "suffix", "neither"]),
)
def test_rule_and_code_select_the_same_keys(prefix: str, suffix: str, middle: str, has: str) -> None:
    assume(accepts(PARAMETERS["NewObjectsPrefix"], prefix))
    key = (
        (prefix if has in {"both", "prefix"} else "") + middle + (suffix if has in {"both", "suffix"} else "")
    )
    selection = S3Selection("b", prefix, suffix)

    assert matches(wildcard(prefix, suffix), key) is selection.selects(object_of(key, bucket="b"))


def test_empty_prefix_and_suffix_let_every_key_through() -> None:
    for key in ("a", "a/b c", "x" * 1024, "*", "\\"):
        assert matches(wildcard("", ""), key)


@pytest.mark.parametrize(
    ("bucket", "accepted"),
    [
        ("", True),
        ("abc", True),
        ("my.bucket-1", True),
        ("a" * 63, True),
        ("ab", False),
        ("a" * 64, False),
        ("Upper", False),
        ("-abc", False),
        ("abc-", False),
        ("a_b", False),
        ("abc*", False),
    ],
)
def test_bucket_name_is_one_that_s3_gives(bucket: str, accepted: bool) -> None:
    assert accepts(PARAMETERS["NewObjectsBucket"], bucket) is accepted


def test_role_lists_under_the_same_prefix_and_asks_for_notifications_without_one() -> None:
    """S3 knows no prefix of a bucket's notifications: a condition on it would deny the question."""
    statements: dict[str, Any] = {
        s["Sid"]: s for role, s in template.statements() if role == "NewObjectsRole"
    }

    condition = statements["SweepBucket"]["Condition"]["Fn::If"][1]
    assert condition == {"StringLike": {"s3:prefix": {"Fn::Sub": "${NewObjectsPrefix}*"}}}
    assert statements["BucketNotifications"]["Action"] == "s3:GetBucketNotification"
    assert "Condition" not in statements["BucketNotifications"]
