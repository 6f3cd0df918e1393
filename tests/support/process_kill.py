"""Ends a process at one of its calls to DynamoDB: just before it, or just after it, without the response."""

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests.support.hooks import hooked


class KilledError(KeyboardInterrupt):
    """Stands for SIGKILL: no boundary around user code catches it."""


@dataclass(slots=True)
class KillPoint:
    """Where the process ends.

    Attributes:
        call: the number of the call, from 1; 0 for none.
        after: whether the call takes effect first.
        killed_at: the operation at which the process ended.
    """

    call: int = 0
    after: bool = False
    killed_at: str = ""
    _seen: int = 0

    def _before(self, model: Any, **_: Any) -> None:
        self._seen += bool(self.call)
        if self.call and self._seen >= self.call and not self.after:
            self._kill(model.name)

    def _after(self, model: Any, **_: Any) -> None:
        if self.call and self._seen >= self.call:
            self._kill(model.name)

    def _kill(self, operation: str) -> None:
        self.call, self.killed_at = 0, operation
        raise KilledError


@contextlib.contextmanager
def kill_point() -> Iterator[KillPoint]:
    """Install a kill point in the DynamoDB clients that are made meanwhile; it is active once `call` is set."""
    kill = KillPoint()
    with hooked(("before-call.dynamodb.*", kill._before), ("after-call.dynamodb.*", kill._after)):
        yield kill
