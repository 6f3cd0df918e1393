"""The console on a laptop: for this machine, by its own name, and to whoever has the token."""

import http.client
import json
import socket
import struct
import threading
from collections.abc import Iterator, Mapping

import pytest

from tests.support.console import CHANGE, TOKEN, MemoryStack, console_of, served
from treadle.console.api import MAX_BODY
from treadle.console.pages import pages, security_headers
from treadle.console.server import LocalServer
from treadle.model.messages import DeadLetter
from treadle.testing.instance import TreadleInstance
from treadle.testing.system import InMemoryDeadLetters

SIGNED = {"Authorization": f"Bearer {TOKEN}"}
DEAD_LETTERS = "/api/dead-letters"
REDRIVE = "/api/dead-letters/redrive"


@pytest.fixture(scope="module")
def server() -> Iterator[LocalServer]:
    with served(console_of(MemoryStack(TreadleInstance([])))) as made:
        yield made


def send(
    server: LocalServer, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> tuple[int, Mapping[str, str], bytes]:
    """Return status, headers and body of the answer to one request, with exactly these headers and what HTTP needs."""
    connection = http.client.HTTPConnection("127.0.0.1", server.server_port, timeout=10)
    try:
        connection.request(method, path, body, dict(headers))
        answer = connection.getresponse()
        return answer.status, dict(answer.getheaders()), answer.read()
    finally:
        connection.close()


def test_it_listens_to_this_machine_alone(server: LocalServer) -> None:
    assert server.server_address[0] == "127.0.0.1"


def test_the_api_answers_who_has_the_token(server: LocalServer) -> None:
    status, headers, body = send(server, "GET", DEAD_LETTERS, SIGNED)

    assert (status, headers["Content-Type"], json.loads(body)) == (
        200,
        "application/json",
        {"dead_letters": []},
    )


@pytest.mark.parametrize(
    "given", [{}, {"Authorization": "Bearer x"}, {"Authorization": TOKEN}, {"Cookie": f"token={TOKEN}"}]
)
def test_nobody_else_is_answered(server: LocalServer, given: Mapping[str, str]) -> None:
    status, _, body = send(server, "GET", DEAD_LETTERS, given)

    assert status == 401
    assert "treadle console" in json.loads(body)["message"]


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:{port}", "127.0.0.1", "127.0.0.1:1", "", "localhost.:{port}"]
)
@pytest.mark.parametrize("path", ["/config.json", DEAD_LETTERS])
def test_a_request_under_a_foreign_name_is_refused(server: LocalServer, host: str, path: str) -> None:
    """Whoever lets a name of his own lead to this machine sees nothing, even with the token."""
    status, _, body = send(server, "GET", path, {**SIGNED, "Host": host.format(port=server.server_port)})

    assert (status, b"is available only at" in body) == (403, True)


@pytest.mark.parametrize("name", ["localhost", "127.0.0.1", "LOCALHOST"])
def test_both_names_of_this_machine_are_its_own(server: LocalServer, name: str) -> None:
    headers = {**SIGNED, "Host": f"{name}:{server.server_port}"}

    assert send(server, "GET", DEAD_LETTERS, headers)[0] == 200


@pytest.mark.parametrize(
    "origin", ["https://evil.example", "null", "http://127.0.0.1:1", "http://localhost", ""]
)
def test_a_page_of_another_origin_is_refused(server: LocalServer, origin: str) -> None:
    headers = {**SIGNED, **CHANGE, "Origin": origin}

    assert send(server, "POST", REDRIVE, headers)[0] == 403
    assert send(server, "GET", DEAD_LETTERS, headers)[0] == 403


def test_its_own_page_may_change(server: LocalServer) -> None:
    headers = {**SIGNED, **CHANGE, "Origin": f"http://127.0.0.1:{server.server_port}"}

    assert send(server, "POST", REDRIVE, headers)[0] == 200


def test_a_preflight_of_a_foreign_page_is_refused(server: LocalServer) -> None:
    headers = {
        "Origin": "https://evil.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "x-treadle",
    }

    status, answered, _ = send(server, "OPTIONS", REDRIVE, headers)

    assert status == 403
    assert not [name for name in answered if name.lower().startswith("access-control")]


def test_a_change_without_its_header_is_refused(server: LocalServer) -> None:
    assert send(server, "POST", REDRIVE, SIGNED)[0] == 403


def test_a_large_request_is_refused_unread(server: LocalServer) -> None:
    headers = {**SIGNED, **CHANGE, "Content-Length": str(MAX_BODY + 1)}

    status, answered, _ = send(server, "POST", REDRIVE, headers)

    assert (status, answered["Connection"]) == (413, "close")


@pytest.mark.parametrize("length", ["-1", "x", "1, 1", "\uff11"])
def test_a_request_of_no_length_is_refused(server: LocalServer, length: str) -> None:
    headers = {**SIGNED, **CHANGE, "Content-Length": length.encode().decode("latin-1")}

    assert send(server, "POST", REDRIVE, headers)[0] == 411


def test_a_request_in_chunks_is_refused(server: LocalServer) -> None:
    headers = {**SIGNED, **CHANGE, "Transfer-Encoding": "chunked"}

    assert send(server, "POST", REDRIVE, headers, b"0\r\n\r\n")[0] == 411


@pytest.mark.parametrize("method", ["TRACE", "CONNECT", "NONSENSE"])
def test_what_no_browser_sends_is_answered_in_the_same_form(server: LocalServer, method: str) -> None:
    status, headers, body = send(server, method, "/", {})

    assert (status, headers["Allow"]) == (405, "GET")
    assert "message" in json.loads(body)
    assert security_headers(()).items() <= headers.items()


@pytest.mark.parametrize(
    "path",
    [
        "/../../../etc/passwd",
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static//etc/passwd",
        "/static/",
        "/%00",
    ],
)
def test_no_address_leads_out_of_the_page(server: LocalServer, path: str) -> None:
    assert send(server, "GET", path, {})[0] == 404


def test_a_browser_that_leaves_in_the_middle_of_an_answer_is_nothing_to_report(
    capsys: pytest.CaptureFixture[str],
) -> None:
    gone = struct.pack("ii", 1, 0)
    [library] = [address for address in pages() if address.endswith("/vendor/htm-preact.js")]
    with served(console_of(MemoryStack(TreadleInstance([])))) as server:
        for _ in range(20):
            with socket.create_connection(("127.0.0.1", server.server_port)) as connection:
                host = f"127.0.0.1:{server.server_port}"
                raw_request = f"GET {library} HTTP/1.1\r\nHost: {host}\r\n\r\n"
                connection.sendall(raw_request.encode() * 50)
                connection.recv(1)
                connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, gone)

    assert capsys.readouterr().err == ""


class SlowDeadLetters(InMemoryDeadLetters):
    """Waits until the test lets it continue."""

    reached = threading.Event()
    go_on = threading.Event()

    def receive(self) -> list[DeadLetter]:
        self.reached.set()
        assert self.go_on.wait(10)
        return []


def test_a_slow_answer_keeps_nobody_waiting() -> None:
    """Each request is at its own thread, and none is taken for another."""
    stack = MemoryStack(TreadleInstance([]), SlowDeadLetters())
    answers: list[bytes] = []

    with served(console_of(stack)) as server:
        thread = threading.Thread(target=lambda: answers.append(send(server, "GET", DEAD_LETTERS, SIGNED)[2]))
        thread.start()
        assert SlowDeadLetters.reached.wait(10)
        assert json.loads(send(server, "GET", "/config.json", {})[2]) == {"auth": "token"}
        SlowDeadLetters.go_on.set()
        thread.join()

    assert json.loads(answers[0]) == {"dead_letters": []}


@pytest.mark.parametrize("line", ["GET", "GET / HTTP/9.9", "GET  / HTTP/1.1 x", "\x16\x03\x01"])
def test_what_is_no_request_is_answered_in_the_same_form(server: LocalServer, line: str) -> None:
    """And in plain text: the response contains nothing of the request."""
    with socket.create_connection(("127.0.0.1", server.server_port), timeout=10) as connection:
        connection.sendall(f"{line}\r\n\r\n".encode())
        answer = connection.makefile("rb").read()

    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"Content-Type: application/json" in head
    assert json.loads(body)["message"]
