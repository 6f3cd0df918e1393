"""Calls of a worker process to the objects of `treadle dev`: one connection, one call at a time."""

import pickle
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from multiprocessing.connection import Connection
from typing import Any, cast


@dataclass(frozen=True, slots=True)
class Call:
    """A call of a method.

    Attributes:
        target: the name of the object.
        method: the method.
        args: its positional arguments.
        kwargs: its other arguments.
    """

    target: str
    method: str
    args: tuple[Any, ...]
    kwargs: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Returned:
    """What a call returned, or raised."""

    value: Any = None
    error: BaseException | None = None
    is_iterator: bool = False


class Caller:
    """Calls objects at the other end of a connection.

    Args:
        connection: to the process that has the objects.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def call(self, call: Call) -> Any:
        """Call a method; return what it returned, or raise what it raised."""
        with self._lock:
            self._connection.send(call)
            answer = cast("Returned", self._connection.recv())
        if answer.error is not None:
            raise answer.error
        return iter(answer.value) if answer.is_iterator else answer.value

    def proxy(self, target: str) -> Any:
        """Return an object whose methods are those of an object at the other end."""
        return _Proxy(self, target)


class _Proxy:
    def __init__(self, caller: Caller, target: str) -> None:
        self._caller = caller
        self._target = target

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda *args, **kwargs: self._caller.call(Call(self._target, name, args, kwargs))


def answered(call: Call, objects: Mapping[str, Any]) -> bytes:
    """Execute a call, and return the pickled answer."""
    try:
        value = getattr(objects[call.target], call.method)(*call.args, **call.kwargs)
        is_iterator = isinstance(value, Iterator)
        return pickle.dumps(Returned(list(value) if is_iterator else value, is_iterator=is_iterator))
    except Exception as error:  # noqa: BLE001 - the caller handles it
        return pickle.dumps(Returned(error=_portable(error)))


def _portable(error: Exception) -> Exception:
    """Return the error, or its text if it cannot be pickled."""
    try:
        pickle.loads(pickle.dumps(error))  # noqa: S301 - our own bytes
    except Exception:  # noqa: BLE001 - whatever an error's constructor requires
        return RuntimeError(f"{type(error).__name__}: {error}")
    return error
