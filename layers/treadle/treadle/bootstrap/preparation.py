"""What a function does while Lambda initializes it, so that no event has to wait for it."""

import gc
import os
from collections.abc import Callable
from contextlib import suppress


def pause_collector() -> None:
    """Stop collecting garbage in a function of Lambda's until `prepare`: of what modules define, almost nothing becomes any."""
    if _is_function():
        gc.disable()


def prepare(*parts: Callable[[], object]) -> None:
    """Make what each event of a function uses, if this process is a function of Lambda's.

    "Best practices for working with AWS Lambda functions" in its developer guide has clients initialized outside of the
    handler. Nothing may be sent here.

    Args:
        parts: each returns objects or a client, and keeps them.
    """
    if not _is_function():
        return
    with suppress(Exception):  # Each event meets the same error, and reports it.
        for part in parts:
            part()
    gc.freeze()  # What is there stays, so that no event looks through it.
    gc.enable()


def _is_function() -> bool:
    return "AWS_LAMBDA_FUNCTION_NAME" in os.environ
