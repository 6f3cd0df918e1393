"""Alert services on this machine, a failed run, and certificates."""

import datetime as dt
import ipaddress
import json
import ssl
import threading
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.http_server import running_server
from treadle import DagsterRun, DagsterRunStatus, RunFailureSensorContext, build_run_status_sensor_context
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.runs import RunFailure, StepFailure

RUN_ID = "5b1f0a52-0000-5000-8000-000000000001"
FAILED_AT = datetime(2026, 11, 25, 6, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class ReceivedRequest:
    """A request as received.

    Attributes:
        path: with its query.
        headers: by name.
        body: the JSON.
        at: on the monotonic clock.
    """

    path: str
    headers: Mapping[str, str]
    body: dict[str, Any]
    at: float


@dataclass(slots=True)
class Service:
    """An HTTP server with configured responses, of which the last one is repeated.

    Attributes:
        url: its address.
        answers: the remaining responses: status, body and headers; None for no response.
        received: the requests.
    """

    url: str = ""
    answers: list[tuple[int, str, Mapping[str, str]] | None] = field(default_factory=list)
    received: list[ReceivedRequest] = field(default_factory=list)
    hung: threading.Event = field(default_factory=threading.Event)

    def answer(self, status: int, body: str = "", **headers: str) -> None:
        """Add a response."""
        self.answers.append((status, body, {name.replace("_", "-"): text for name, text in headers.items()}))


@contextmanager
def serving(certificate: ssl.SSLContext | None = None) -> Iterator[Service]:
    """Run an HTTP service that accepts every request, unless a test sets its responses."""
    state = Service()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            received = ReceivedRequest(
                self.path, dict(self.headers.items()), json.loads(data), time.monotonic()
            )
            state.received.append(received)
            answers = state.answers or [(200, '{"ok": true}', {})]
            answer = answers.pop(0) if len(answers) > 1 else answers[0]
            if answer is None:
                state.hung.wait(30)
                return
            status, text, headers = answer
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        def log_message(self, *_: Any) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.url = f"http://127.0.0.1:{server.server_port}"
    if certificate is not None:
        server.socket = certificate.wrap_socket(server.socket, server_side=True)
        state.url = f"https://localhost:{server.server_port}"
    with running_server(server):
        try:
            yield state
        finally:
            state.hung.set()


def failed_context(
    job_name: str = "load",
    cause: str = "disk full",
    *,
    steps: tuple[StepFailure, ...] = (),
    tags: Mapping[str, str] | None = None,
    external_id: str | None = None,
    seconds: float = 20.0,
) -> RunFailureSensorContext:
    """Return the context of a failed run, with a number of seconds left."""
    run = DagsterRun(
        RUN_ID,
        job_name,
        DagsterRunStatus.FAILURE,
        dict(tags or {}),
        external_id=external_id,
        failure=RunFailure("States.TaskFailed", cause, steps),
        location="123456789012/eu-central-1/demo",
    )
    event = RunStatusEvent(run, DagsterRunStatus.FAILURE, FAILED_AT).dagster_event
    context = build_run_status_sensor_context("alert", event, None, run).for_run_failure()
    ends = time.monotonic() + seconds
    context._remaining_seconds = lambda: ends - time.monotonic()
    return context


def shown(error: BaseException) -> str:
    """Return everything that a log or a tick would show of an error: message, stack, and causes."""
    return "".join(traceback.format_exception(error))


def certificate(folder: Path) -> Path:
    """Write a self-signed certificate of localhost with its key to one file.

    Args:
        folder: of the file.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    file = folder / "localhost.pem"
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    file.write_bytes(made.public_bytes(serialization.Encoding.PEM) + private)
    return file


def server_tls(file: Path) -> ssl.SSLContext:
    """Return the TLS context of a server with that certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    return context
