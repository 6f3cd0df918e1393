"""An HTTP server of a test, running for as long as it is needed."""

import contextlib
import threading
from collections.abc import Iterator
from http.server import HTTPServer
from typing import TypeVar

Server = TypeVar("Server", bound=HTTPServer)


@contextlib.contextmanager
def running_server(server: Server) -> Iterator[Server]:
    """Serve requests in a separate thread; close the server afterwards.

    Args:
        server: bound to its address, and not serving yet.
    """
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
