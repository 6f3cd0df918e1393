"""Text truncated in characters or in bytes, never within a character or an escape sequence."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from treadle.integrations.alerts.formatting import clip, clip_bytes, escaped, one_line

AMPERSAND = {"&": "&amp;"}


@given(st.text(st.sampled_from("a&é🚂\ud800")), st.integers(1, 30))
def test_no_text_is_longer_than_its_limit(text: str, limit: int) -> None:
    assert len(clip(text, limit)) <= limit
    assert len(escaped(text, AMPERSAND, limit)) <= limit
    assert len(one_line(text, limit)) <= limit
    assert len(clip_bytes(text, limit + 3).encode()) <= limit + 3


@pytest.mark.parametrize(
    ("text", "limit", "cut"),
    [
        ("&&", 10, "&amp;&amp;"),
        ("&&&", 10, "&amp;…"),
        ("&&&", 11, "&amp;&amp;…"),
        ("a&b", 4, "a…"),
        ("&", 1, "…"),
    ],
)
def test_replacement_is_never_cut(text: str, limit: int, cut: str) -> None:
    assert escaped(text, AMPERSAND, limit) == cut
