"""The stores of `treadle dev`, as a function's process has them."""

from collections.abc import Iterator, Mapping
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
    """Provide stores over a connection."""
    objects = vars(locked(stores))
    with worker_calls(objects) as caller:
        yield SimpleNamespace(**{name: caller.proxy(name) for name in objects})


@contextmanager
def worker_calls(objects: Mapping[str, Any]) -> Iterator[Caller]:
    """Provide a connection to objects: each call is pickled, as is its answer."""
    ours, theirs = Pipe()

    def answer() -> None:
        with suppress(EOFError):
            while True:
                ours.send_bytes(answered(ours.recv(), objects))

    thread = Thread(target=answer)
    thread.start()
    try:
        yield Caller(theirs)
    finally:
        theirs.close()
        thread.join()
        ours.close()
