"""What `treadle dev` prints of a function's log."""

import json

import pytest

from treadle.dev.lines import Line, logged


@pytest.mark.parametrize(
    ("text", "shown", "is_problem"),
    [
        ("plain print", "plain print", False),
        ("[1, 2]", "[1, 2]", False),
        ('{"rows": 2}', '{"rows": 2}', False),
        ('{"level": "INFO", "message": "found x"}', "found x", False),
        ('{"level": "ERROR", "message": "no", "decision": "FAILURE"}', "FAILURE: no", True),
        ('{"level": "INFO", "message": "2 runs", "decision": "SUCCESS"}', "SUCCESS: 2 runs", False),
        (
            '{"alert": "Run failed", "channel": "SNS", "reason": "why"}',
            "ALERT for SNS: Run failed: why",
            True,
        ),
    ],
)
def test_line_is_shown_as_what_it_says(text: str, shown: str, is_problem: bool) -> None:
    assert logged("files", text) == Line("files", shown, is_problem)


def test_metrics_are_for_machines() -> None:
    assert logged("files", json.dumps({"_aws": {}, "TicksSucceeded": [1]})) is None
