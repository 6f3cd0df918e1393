"""A batch of messages: each is parsed once, on its own; a malformed one becomes a dead letter."""

import json
from collections.abc import Mapping
from typing import Any

import pytest

from treadle.bootstrap.inbox import Inbox
from treadle.definitions.errors import InvalidReportError, StoreRejectedError, UnreadableRecordError
from treadle.entrypoints.handler import flush_metrics, process_queue
from treadle.testing.system import InMemoryDeadLetters, InMemoryQueue


def batch(*bodies: object) -> dict[str, Any]:
    return {
        "Records": [
            {
                "messageId": f"m{index}",
                "receiptHandle": f"h{index}",
                "body": body if isinstance(body, str) else json.dumps(body),
                "attributes": {"ApproximateReceiveCount": "1"},
                "eventSource": "aws:sqs",
            }
            for index, body in enumerate(bodies)
        ]
    }


class World:
    """A queue, its dead letters, and the parsed messages."""

    def __init__(self) -> None:
        self.dead_letters = InMemoryDeadLetters()
        self.inbox = Inbox("step", InMemoryQueue(), self.dead_letters)
        self.parsed: list[Any] = []
        self.begun: list[list[Any]] = []
        self.handled: list[Any] = []

    @property
    def reasons(self) -> list[str]:
        """Of the dead letters, in order."""
        return [dead_letter.attributes["reason"] for dead_letter in self.dead_letters.messages.values()]

    def process(self, *bodies: object, raises: Mapping[object, Exception] | None = None) -> Any:
        def parse(body: Mapping[str, Any]) -> Any:
            self.parsed.append(body["a"])
            if (raises or {}).get(body["a"]):
                raise (raises or {})[body["a"]]
            return body["a"]

        answer = process_queue(
            batch(*bodies),
            self.handled.append,
            self.inbox,
            parse,
            lambda values: self.begun.append(list(values)),
        )
        flush_metrics()
        return answer


ERRORS = [
    AttributeError("x"),
    KeyError("x"),
    RecursionError("x"),
    OverflowError("x"),
    TypeError("x"),
    UnicodeEncodeError("utf-8", "\ud800", 0, 1, "x"),
    ZeroDivisionError(),
    InvalidReportError("x"),
    StoreRejectedError("x"),
    UnreadableRecordError("run r", "x"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda error: type(error).__name__)
def test_whatever_a_parser_raises_makes_that_message_alone_a_dead_letter(error: Exception) -> None:
    world = World()

    answer = world.process({"a": 1}, {"a": 2}, "{", {"a": 3}, {"b": 4}, {"a": 5}, raises={2: error})

    assert answer == {"batchItemFailures": []}
    assert world.handled == [1, 3, 5]
    assert world.begun == [[1, 3, 5]]
    assert world.parsed == [1, 2, 3, 5]
    assert {dead_letter.attributes["origin"] for dead_letter in world.dead_letters.messages.values()} == {
        "step"
    }
    first, second, third = world.reasons
    assert type(error).__name__ in first
    assert second.startswith("UnknownEventError: The message is not JSON")
    assert "KeyError" in third


def test_the_reason_of_one_message_is_no_other_one_s() -> None:
    """Not even where both fail: each has its own."""
    world = World()

    world.process({"a": 1}, {"a": 2}, raises={1: InvalidReportError("first"), 2: KeyError("second")})

    first, second = world.reasons
    assert "first" in first
    assert "second" in second
