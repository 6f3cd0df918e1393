"""Lambda's runtime emulator, when another process takes a port between its choice and its use."""

import os
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path

import pytest

from tools import processes, runtime
from tools.built import BUILDS, BuiltFunction

pytestmark = [
    pytest.mark.treadle,
    pytest.mark.skipif(sys.platform != "linux", reason="the runtime emulator is a Linux program"),
]
FRONT, BACK = 0, 1
"""Which port of a try is chosen first: that for events, and that of the runtime's own interface."""


class _Stranger(BaseHTTPRequestHandler):
    """Answers as the emulator does, in place of the function."""

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b'"of a stranger"')

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name in the standard library
        """Nothing."""


class _Silent(BaseHTTPRequestHandler):
    """Closes each connection without an answer."""

    def handle(self) -> None:
        self.rfile.readline()


@pytest.fixture(params=[_Stranger, _Silent])
def taken(request: pytest.FixtureRequest) -> Iterator[int]:
    """A port on which another process listens."""
    server = HTTPServer((processes.HOST, 0), request.param)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def function(tmp_path: Path) -> BuiltFunction:
    """A function that answers with the event."""
    (tmp_path / "app.py").write_text("def handler(event, context):\n    return event\n")
    return BuiltFunction("Echo", tmp_path, (), "app.handler", 3, 128, {}, (), BUILDS[0])


def invoked(function: BuiltFunction, free_port: Callable[[], int]) -> runtime.Invocation:
    """Return the outcome of the function with an event."""
    environment = {
        "PATH": os.environ["PATH"],
        "PYTHONPATH": str(function.code),
        "AWS_LAMBDA_FUNCTION_NAME": function.logical_id,
        "LAMBDA_TASK_ROOT": str(function.code),
    }
    return runtime.run(function, b'{"number": 1}', environment, free_port)


def choosing(taken: int, *positions: int) -> tuple[Callable[[], int], list[int]]:
    """Return a function that chooses free ports, and the taken one at some positions; and its choices."""
    chosen: list[int] = []

    def free_port() -> int:
        chosen.append(taken if len(chosen) in positions else processes.free_port())
        return chosen[-1]

    return free_port, chosen


@pytest.mark.parametrize("position", [FRONT, BACK])
def test_function_runs_on_other_ports_when_one_is_taken(
    function: BuiltFunction, taken: int, position: int
) -> None:
    free_port, chosen = choosing(taken, position)

    done = invoked(function, free_port)

    assert (done.response, done.failed) == ({"number": 1}, False)
    assert len(chosen) == 4


def test_ports_that_stay_taken_are_an_error(function: BuiltFunction, taken: int) -> None:
    free_port, chosen = choosing(taken, *range(10))

    with pytest.raises(runtime.PortTakenError, match="the Lambda runtime cannot listen"):
        invoked(function, free_port)

    assert len(chosen) == 2 * runtime.PORT_TRIES


def test_another_error_is_not_tried_again(function: BuiltFunction) -> None:
    """The function itself listens nowhere, and its error is that of a taken port."""
    (function.code / "app.py").write_text("import errno, os\nraise OSError(os.strerror(errno.EADDRINUSE))\n")
    free_port, chosen = choosing(0)

    done = invoked(function, free_port)

    assert done.failed
    assert "in use" in str(done.response)
    assert len(chosen) == 2
