"""An AWS with configured responses, over HTTP on the loopback: shows what really leaves the process."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.http_server import running_server

Answer = tuple[int, Mapping[str, Any]] | None
"""Status and body; None to hang up without a response."""


@dataclass(slots=True)
class AwsServer:
    """Its requests and responses.

    Attributes:
        endpoint: its URL.
        answers: the response by operation; a request of any other operation is hung up on.
        operations: the operations, in order.
    """

    endpoint: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    operations: list[str] = field(default_factory=list)


@contextmanager
def aws_server() -> Iterator[AwsServer]:
    """Run such a server, ended on leaving."""
    state = AwsServer()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            target = self.headers.get("X-Amz-Target", "")
            operation = target.rpartition(".")[2] or self.path.rstrip("/").rpartition("/")[2]
            state.operations.append(operation)
            answer = state.answers.get(operation)
            self.close_connection = True
            if answer is None:
                return
            status, body = answer
            data = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/x-amz-json-1.1")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    with running_server(server):
        yield state
