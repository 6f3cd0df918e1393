"""Simulates the operations of S3, SQS, Step Functions and EventBridge that the functions need, with an HTTP server.

A bucket of a million objects is generated when it is listed; objects that are put, and messages, are stored.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

from tests.support.http_server import running_server

OBJECTS, PAGE = 1_000_000, 1_000
_OBJECT = (
    "<Contents><Key>in/{number:09}</Key><LastModified>2025-01-01T00:00:00.000Z</LastModified>"
    '<ETag>"{number:032x}"</ETag><Size>1042</Size></Contents>'
)


@dataclass(slots=True)
class SimulatedAws:
    """The stored objects and messages.

    Attributes:
        endpoint: its URL.
        objects: the bodies, by path.
        messages: the sent messages, in order.
    """

    endpoint: str = ""
    objects: dict[str, bytes] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)

    def answer(self, operation: str, body: dict[str, Any]) -> dict[str, Any]:
        """Return the response to an operation of SQS, Step Functions or EventBridge."""
        if operation == "SendMessageBatch":
            self.messages += [json.loads(entry["MessageBody"]) for entry in body["Entries"]]
            sent = [
                {"Id": entry["Id"], "MessageId": "m", "MD5OfMessageBody": ""} for entry in body["Entries"]
            ]
            return {"Successful": sent, "Failed": []}
        if operation == "StartExecution":
            arn = body["stateMachineArn"].replace(":stateMachine:", ":execution:")
            return {"executionArn": f"{arn}:{body['name']}", "startDate": 1_795_370_400.0}
        if operation == "PutEvents":
            return {"FailedEntryCount": 0, "Entries": [{"EventId": "e"} for _ in body["Entries"]]}
        return {}


def listing(after: str) -> str:
    """Return a page of the bucket."""
    first = int(after.removeprefix("in/")) + 1 if after.startswith("in/") else 0
    last = min(first + PAGE, OBJECTS)
    objects = "".join(_OBJECT.format(number=number) for number in range(first, last))
    more = (
        f"<IsTruncated>true</IsTruncated><NextContinuationToken>in/{last - 1:09}</NextContinuationToken>"
        if last < OBJECTS
        else "<IsTruncated>false</IsTruncated>"
    )
    return f'<?xml version="1.0"?><ListBucketResult>{more}<KeyCount>{last - first}</KeyCount>{objects}</ListBucketResult>'


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    state: SimulatedAws

    def _body(self) -> bytes:
        return self.rfile.read(int(self.headers.get("Content-Length", 0)))

    def _send(self, data: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.send_header("ETag", '"e"')
        self.end_headers()
        self.wfile.write(data)

    def do_POST(self) -> None:
        operation = self.headers.get("X-Amz-Target", "").rpartition(".")[2]
        answer = self.state.answer(operation, json.loads(self._body() or b"{}"))
        self._send(json.dumps(answer).encode(), "application/x-amz-json-1.0")

    def do_PUT(self) -> None:
        self.state.objects[unquote(urlsplit(self.path).path)] = self._body()
        self._send(b"", "application/xml")

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        query = parse_qs(url.query)
        if "list-type" in query:
            after = query.get("continuation-token", query.get("start-after", [""]))[0]
            self._send(listing(after).encode(), "application/xml")
        elif unquote(url.path) in self.state.objects:
            self._send(self.state.objects[unquote(url.path)], "application/octet-stream")
        else:
            self._send(b"<NotificationConfiguration/>", "application/xml")

    def log_message(self, *_: Any) -> None:
        """Log nothing."""


@contextmanager
def simulated_aws() -> Iterator[SimulatedAws]:
    """Run the server."""
    state = SimulatedAws()
    handler = type("Handler", (_Handler,), {"state": state})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    state.endpoint = f"http://127.0.0.1:{server.server_port}"
    with running_server(server):
        yield state
