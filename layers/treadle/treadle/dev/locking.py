"""Objects in memory for several threads."""

import threading
from collections.abc import Iterator
from typing import Any


class Locked:
    """An object whose methods are called one at a time.

    Args:
        target: the object.
        lock: held during each call; what an iterator yields is collected meanwhile.
    """

    def __init__(self, target: object, lock: threading.RLock) -> None:
        self._target = target
        self._lock = lock

    def __getattr__(self, name: str) -> Any:
        method = getattr(self._target, name)

        def call(*args: Any, **kwargs: Any) -> Any:
            with self._lock:
                found = method(*args, **kwargs)
                return iter(list(found)) if isinstance(found, Iterator) else found

        return call
