"""Makes DynamoDB refuse requests, as it does when it is throttled."""

import contextlib
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

from tests.support.hooks import hooked

THROTTLED = "ProvisionedThroughputExceededException"
CONFLICT = "TransactionConflictException"


@contextlib.contextmanager
def refusing(refuses: Callable[[str], str | None]) -> Iterator[list[str]]:
    """Refuse requests of DynamoDB clients that are made meanwhile, if `refuses` returns an error code.

    The refusal is final, as it is when the SDK's own retries are used up; and the stores' retries do not
    wait.

    Args:
        refuses: takes an operation, such as "PutItem", and returns the error's code or None.

    Yields:
        The operations that were refused, in order.
    """
    refused: list[str] = []

    def answer(model: Any, **_: Any) -> tuple[Any, dict[str, Any]] | None:
        code = refuses(model.name)
        if code is None:
            return None
        refused.append(model.name)
        error = {
            "Error": {"Code": code, "Message": "Too much to do."},
            "ResponseMetadata": {"RequestId": "r"},
        }
        return SimpleNamespace(status_code=400), error

    with hooked(("before-call.dynamodb.*", answer)), patch("time.sleep"):
        yield refused
