"""Handlers of botocore's events on every client, by whomever it is made."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from botocore import handlers

from treadle.adapters import clients


@contextlib.contextmanager
def hooked(*hooks: tuple[str, Callable[..., Any]]) -> Iterator[None]:
    """Have handlers on all clients that are made meanwhile.

    A session takes up its handlers when it is made, and gives them to its clients: so ours are made anew.

    Args:
        hooks: for each, the event's name, such as "before-call.dynamodb.*", and the handler.
    """
    clients.forget()
    builtin: list[Any] = [*handlers.BUILTIN_HANDLERS, *hooks]
    try:
        with patch.object(handlers, "BUILTIN_HANDLERS", builtin):
            yield
    finally:
        clients.forget()
