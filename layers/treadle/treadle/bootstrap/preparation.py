"""What a function makes while Lambda initializes it, so that no event has to wait for it."""

import os
from collections.abc import Callable
from contextlib import suppress


def prepare(*parts: Callable[[], object]) -> None:
    """Make what each event of a function uses, if this process is a function of Lambda's.

    "Best practices for working with AWS Lambda functions" in its developer guide has clients initialized outside of the
    handler. Nothing may be sent here.

    Args:
        parts: each returns objects or a client, and keeps them.
    """
    if "AWS_LAMBDA_FUNCTION_NAME" not in os.environ:
        return
    with suppress(Exception):  # Each event meets the same error, and reports it.
        for part in parts:
            part()
