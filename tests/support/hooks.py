"""Handlers of botocore's events on every client, whichever code makes it."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

from botocore import handlers

from treadle.adapters import clients


@contextlib.contextmanager
def hooked(*hooks: tuple[str, Callable[..., Any]]) -> Iterator[None]:
    """Install handlers on all clients that are made meanwhile.

    A session collects its handlers when it is made, and passes them to its clients: so our sessions are
    recreated.

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
