"""Time expressions as operators type them."""

import pytest

from treadle.operate.time_expressions import parse_time_expression

NOW = 1_795_831_200_000
HOUR = 3_600_000


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("2026-11-28T02:00:00Z", NOW),
        ("2026-11-28T03:00:00+01:00", NOW),
        ("2026-11-28T02:00:00", NOW),
        (" 2026-11-28 02:00 ", NOW),
        ("2026-11-28", NOW - 2 * HOUR),
        ("0s", NOW),
        ("90s", NOW - 90_000),
        ("15m", NOW - HOUR // 4),
        ("2h", NOW - 2 * HOUR),
        ("3d", NOW - 72 * HOUR),
        ("1w", NOW - 168 * HOUR),
    ],
)
def test_a_moment_or_how_long_ago(text: str, moment: int) -> None:
    assert parse_time_expression(text, NOW) == moment


@pytest.mark.parametrize(
    "text",
    [
        "",
        "now",
        "2x",
        "-2h",
        "h",
        "1234567s",
        "999999w",
        "2 h",
        "2h ago",
        "2026-13-01",
        "9999999999",
        "0001-01-01T00:00:00+23:59",
        "\u0663h",
    ],
)
def test_what_is_no_time_is_none(text: str) -> None:
    assert parse_time_expression(text, NOW) is None
