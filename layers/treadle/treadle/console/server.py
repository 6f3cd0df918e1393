"""The console on a laptop: an HTTP server for this machine only, for the same application as on AWS."""

import base64
import sys
import urllib.parse
import uuid
from collections.abc import Callable, Mapping
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from treadle.console.api import MAX_BODY
from treadle.console.app import Console
from treadle.console.errors import refused

HOST = "127.0.0.1"
NAMES = (HOST, "localhost")
"""Accepted host names; any other name may be a DNS rebinding attack."""

IDLE_SECONDS = 30
"""Time after which an idle connection is closed."""

WEBHOOKS = "/webhooks/"
"""What the paths of the endpoints of webhook sensors begin with."""

MAX_REQUEST = 10 * 1024 * 1024
"""The maximum size of a request to an endpoint ("Quotas for HTTP APIs" in the API Gateway developer guide)."""

Endpoints = Callable[[Mapping[str, Any]], Mapping[str, Any]]
"""Responds to requests to webhook sensors; requests and responses are in API Gateway's payload format 2.0."""


class LocalServer(ThreadingHTTPServer):
    """Serves the console on this machine.

    Args:
        console: the application.
        port: the port; 0 for any free one.
        endpoints: those of webhook sensors; None if there are none.

    Raises:
        OSError: if the port is taken.
    """

    daemon_threads = True
    request_queue_size = 128  # Senders of webhooks open many connections at a time.

    def __init__(self, console: Console, port: int = 0, endpoints: Endpoints | None = None) -> None:
        self.console = console
        self.endpoints = endpoints
        super().__init__((HOST, port), _Handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """Report an error, unless the browser has closed the connection during a response."""
        if not isinstance(sys.exception(), ConnectionError):
            super().handle_error(request, client_address)

    @property
    def address(self) -> str:
        """Return the page's URL."""
        return f"http://{HOST}:{self.server_port}/"

    @property
    def hosts(self) -> frozenset[str]:
        """Return the accepted values of the Host header."""
        return frozenset(f"{name}:{self.server_port}" for name in NAMES)


class _Handler(BaseHTTPRequestHandler):
    server: LocalServer
    protocol_version = "HTTP/1.1"
    timeout = IDLE_SECONDS

    def version_string(self) -> str:
        return "treadle"

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        """Log nothing: addresses contain keys, and the browser shows what fails."""

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        """Respond to malformed HTTP like to any other request, without repeating its content."""
        del message, explain
        self.close_connection = True
        self.request_version = self.protocol_version
        self._send(refused(HTTPStatus(code), HTTPStatus(code).phrase))

    def _serve(self) -> None:
        refusal = self._refusal()
        if refusal is not None:
            self.close_connection = True
            self._send(refused(*refusal))
            return
        event = self._event(self.rfile.read(self._length() or 0))
        endpoints = self._endpoints()
        self._send(endpoints(event) if endpoints else self.server.console.handle(event))

    def _endpoints(self) -> Endpoints | None:
        """Return what responds to the request if it is one to a webhook sensor."""
        return self.server.endpoints if self.path.startswith(WEBHOOKS) else None

    def __getattr__(self, name: str) -> Any:
        """Handle every `do_GET` and so on of the standard library: the application knows the methods."""
        if name.startswith("do_"):
            return self._serve
        raise AttributeError(name)

    def _refusal(self) -> tuple[HTTPStatus, str] | None:
        hosts = self.headers.get_all("Host") or []
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            return HTTPStatus.FORBIDDEN, f"The console is available only at {self.server.address}."
        origins = self.headers.get_all("Origin") or []
        if any(origin.lower() not in {f"http://{host}" for host in self.server.hosts} for origin in origins):
            return HTTPStatus.FORBIDDEN, "Requests from pages of other origins are not allowed."
        length = self._length()
        if length is None or "Transfer-Encoding" in self.headers:
            return HTTPStatus.LENGTH_REQUIRED, "A request must have one Content-Length."
        limit = MAX_REQUEST if self._endpoints() else MAX_BODY
        if length > limit:
            return HTTPStatus.REQUEST_ENTITY_TOO_LARGE, f"The request has more than {limit} bytes."
        return None

    def _length(self) -> int | None:
        [*given] = self.headers.get_all("Content-Length") or ["0"]
        return int(given[0]) if len(given) == 1 and given[0].isdecimal() and given[0].isascii() else None

    def _event(self, body: bytes) -> Mapping[str, Any]:
        """Convert the request to API Gateway's payload format 2.0."""
        address = urllib.parse.urlsplit(self.path)
        path = urllib.parse.unquote(address.path)
        query: dict[str, list[str]] = urllib.parse.parse_qs(address.query, keep_blank_values=True)
        headers: dict[str, str] = {}
        for written, value in self.headers.items():
            name = written.lower()
            headers[name] = f"{headers[name]},{value}" if name in headers else value
        return {
            "version": "2.0",
            "routeKey": "$default",
            "rawPath": path,
            "rawQueryString": address.query,
            "headers": headers,
            "queryStringParameters": {name: ",".join(values) for name, values in query.items()},
            "requestContext": {
                "http": {"method": self.command, "path": path, "protocol": self.request_version},
                "requestId": str(uuid.uuid4()),
                "stage": "$default",
            },
            "body": base64.b64encode(body).decode(),
            "isBase64Encoded": True,
        }

    def _send(self, answer: Mapping[str, Any]) -> None:
        body = str(answer.get("body") or "").encode()
        if answer.get("isBase64Encoded"):
            body = base64.b64decode(body)
        self.send_response(int(answer["statusCode"]))
        for name, value in answer["headers"].items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        if self.close_connection:
            self.send_header("Connection", "close")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)
