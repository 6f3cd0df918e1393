"""The stores of `treadle dev`, as a function's process has them."""

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from multiprocessing import Pipe
from threading import Thread
from types import SimpleNamespace
from typing import Any

from treadle.dev.calls import Caller, answered
from treadle.dev.engine import locked
from treadle.testing.stores import InMemoryStores


@contextmanager
def worker_stores(stores: InMemoryStores) -> Iterator[Any]:
    """Provide stores over a connection: each call is pickled, as is its answer."""
    ours, theirs = Pipe()
    objects = vars(locked(stores))

    def answer() -> None:
        with suppress(EOFError):
            while True:
                ours.send_bytes(answered(ours.recv(), objects))

    thread = Thread(target=answer)
    thread.start()
    caller = Caller(theirs)
    try:
        yield SimpleNamespace(**{name: caller.proxy(name) for name in objects})
    finally:
        theirs.close()
        thread.join()
        ours.close()
