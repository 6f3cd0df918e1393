"""The endpoints of webhook sensors under `treadle dev`: over HTTP, with the responses that they give on AWS."""

import http.client
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.support.console import ANN, CHANGE, TOKEN
from tests.support.dev_loop import Loop, started_loop
from tests.support.dev_project import QUICK_JOBS, eventually, write_sensor
from tests.support.http_server import running_server
from tests.support.project import run
from treadle import HmacSignature
from treadle.adapters.system import SystemClock
from treadle.console.app import Console
from treadle.console.server import MAX_REQUEST, LocalServer
from treadle.console.static_token import Caller, Role, StaticTokenAuth
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.dev.config import LOCAL_SECRET
from treadle.dev.operator import operator_parts
from treadle.dev.sending import EventSender
from treadle.dev.webhooks import WebhookEndpoints

pytestmark = pytest.mark.timeout(240)

HOOKED = """
from treadle import DefaultSensorStatus, HmacSignature, RunRequest, evaluator, webhook_sensor


@webhook_sensor(HmacSignature(), job_name="load", default_status=DefaultSensorStatus.RUNNING)
def hooked(context):
    if context.request.body == b"bad":
        raise ValueError("no such branch")
    return RunRequest(run_config={"size": len(context.request.body), **context.request.query})


handler = evaluator(hooked)
"""

BLOCK = """  Hooked:
    Type: AWS::Serverless::Function
    Properties: { CodeUri: functions/sensors/hooked, Environment: { Variables: { TREADLE_WEBHOOK_SECRET: shop/github } } }
"""

PLACE = "/webhooks/hooked"


@dataclass
class Site:
    """A running `treadle dev` with its server.

    Attributes:
        loop: the loop.
        server: the server.
    """

    loop: Loop
    server: LocalServer

    def send(
        self, body: bytes, headers: Mapping[str, str], path: str = PLACE, method: str = "POST"
    ) -> tuple[int, str, Mapping[str, str]]:
        """Send a request; return status, message and headers of the response."""
        connection = http.client.HTTPConnection("127.0.0.1", self.server.server_port, timeout=60)
        try:
            connection.request(method, path, body, dict(headers))
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())["message"], dict(answer.getheaders())
        finally:
            connection.close()

    def post(
        self, body: bytes, delivery: str = "d-1", secret: str = LOCAL_SECRET, path: str = PLACE
    ) -> tuple[int, str]:
        """Send a request as GitHub does; return status and message of the response."""
        return self.send(body, HmacSignature().signed(body, secret, 0, delivery), path)[:2]

    def treadle(self, *arguments: str) -> tuple[int, str]:
        """Run `treadle dev` with arguments beside it; return its exit status and its output."""
        done = run("dev", "--root", str(self.loop.root), *arguments)
        return done.exit_code, done.output


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    write_sensor(tmp_path / "demo", "hooked", HOOKED)
    with started_loop(tmp_path) as loop:
        loop.says("hooked", "loaded")
        parts, webhooks = operator_parts(loop.project), WebhookEndpoints(loop.project)
        access = StaticTokenAuth(TOKEN, Caller(ANN, Role.OPERATOR))
        operations = EventSender(loop.project, webhooks).operations()
        console = Console(lambda: parts, access, SystemClock(), operations)
        with running_server(LocalServer(console, endpoints=webhooks.handle)) as server:
            loop.project.serve_at(f"{server.address}#token={TOKEN}")
            yield Site(loop, server)


def test_request_is_authenticated_and_evaluated_once_and_starts_its_job(site: Site) -> None:
    assert site.post(b"{}", secret="wrong") == (401, "The signature or the token is not valid.")
    assert site.post(b"{}", path=f"{PLACE}?branch=main") == (202, "Accepted.")
    assert site.post(b"{}") == (202, "Accepted before.")

    assert site.loop.ends("load", Status.SUCCESS).run_config == '{"branch":"main","size":2}'
    assert len(site.loop.runs("load")) == 1


def test_deployed_sensor_has_its_endpoint(site: Site) -> None:
    assert site.loop.deployment.sensors()["hooked"].endpoint == f"{site.server.address}webhooks/hooked"
    assert site.loop.deployment.sensors()["poller"].endpoint == ""


def test_body_of_any_size_gets_the_response_of_the_function_or_of_the_gateway(site: Site) -> None:
    assert site.post(b"", "d-1") == (202, "Accepted.")
    assert site.post(b"\xff" * 1_000_000, "d-2") == (202, "Accepted.")
    assert site.post(b"x" * 4_000_000, "d-3") == (202, "Accepted.")
    assert site.post(b"x" * 7_000_000, "d-4")[0] == 413
    status, message, _ = site.send(b"", {"Content-Length": str(MAX_REQUEST + 1)})
    assert (status, message) == (413, f"The request has more than {MAX_REQUEST} bytes.")

    eventually(lambda: len(site.loop.runs("load")) == 3, lambda: f"{site.loop.runs('load')}")


def test_function_that_fails_or_is_stopped_accepts_nothing(site: Site) -> None:
    signed = HmacSignature().signed(b"bad", LOCAL_SECRET, 0, "d-1")
    status, message, headers = site.send(b"bad", signed)
    assert (status, message) == (503, "The request was not accepted. Send it again.")
    assert headers["Retry-After"] == "60"

    operator_parts(site.loop.project).sensors.stop("hooked", ANN)
    # Its function has read the status before, as on AWS.
    eventually(lambda: site.post(b"{}", "d-2")[0] == 503, lambda: "it still accepts requests")


def test_what_is_no_endpoint_is_not_found(site: Site) -> None:
    for method, path in (("GET", PLACE), ("POST", "/webhooks/poller"), ("POST", "/webhooks/unknown")):
        assert site.send(b"", {}, path, method)[:2] == (404, "Not Found")


def test_function_that_does_not_load_gets_the_gateway_s_error(site: Site) -> None:
    write_sensor(site.loop.root, "hooked", "import shop_missing\n")
    site.loop.says("hooked", "does not load")

    assert site.post(b"{}") == (500, "Internal Server Error")


def test_foreign_names_and_pages_are_refused_at_endpoints_too(site: Site) -> None:
    signed = HmacSignature().signed(b"{}", LOCAL_SECRET, 0, "d-1")

    assert site.send(b"{}", {**signed, "Host": "evil.example"})[0] == 403
    assert site.send(b"{}", {**signed, "Origin": "https://evil.example"})[0] == 403


def test_secret_is_that_of_dev_toml_or_of_the_variable_that_it_names(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    template = site.loop.root / "template.yaml"
    template.write_text(template.read_text() + BLOCK)
    dev_toml = site.loop.root / "dev.toml"

    dev_toml.write_text(f'{QUICK_JOBS}[secrets]\n"shop/github" = "mine"\n')
    eventually(lambda: site.post(b"1", "d-1", "mine")[0] == 202, lambda: "the secret does not take effect")
    assert site.post(b"2", "d-2")[0] == 401

    monkeypatch.setenv("GITHUB_SECRET", "of the shell")
    dev_toml.write_text(f'{QUICK_JOBS}[secrets]\n"shop/github" = {{ env = "GITHUB_SECRET" }}\n')
    eventually(lambda: site.post(b"3", "d-3", "of the shell")[0] == 202, lambda: "the variable is not read")

    dev_toml.write_text(f'{QUICK_JOBS}[secrets]\n"shop/github" = {{ env = "UNSET_SECRET" }}\n')
    site.loop.says("hooked", "does not load", "environment variable UNSET_SECRET, which is not set")


def test_request_is_signed_and_sent_from_the_command_line(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "push.json"
    file.write_text('{"ref": "main"}')

    done = site.treadle(
        "post", "hooked", str(file), "--delivery-id", "d-7", "--header", "X-GitHub-Event: push"
    )

    assert done == (0, "Sent a request to hooked: 202 Accepted.\n")
    assert site.treadle("post", "hooked", str(file), "--delivery-id", "d-8") == (
        0,
        "Sent a request to hooked: 202 Accepted before.\n",
    )
    assert site.loop.ends("load", Status.SUCCESS).run_config == '{"size":15}'


def test_command_names_why_a_request_was_not_sent_or_not_accepted(site: Site, tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"bad")
    refused = "treadle: Sensor hooked did not accept the request: "

    assert site.treadle("post", "hooked", str(file)) == (
        2,
        f"{refused}503 The request was not accepted. Send it again.\n",
    )
    assert site.treadle("post", "hooked", str(file), "--header", "X-Hub-Signature-256: sha256=0") == (
        2,
        f"{refused}401 The signature or the token is not valid.\n",
    )
    assert site.treadle("post", "poller", str(file)) == (
        2,
        "treadle: No sensor 'poller' has an endpoint; those that have one: hooked. Name one of them.\n",
    )
    assert (
        "is no header: write it as 'NAME: VALUE'"
        in site.treadle("post", "hooked", str(file), "--header", "x")[1]
    )
    file.write_bytes(b"\xff")
    assert "The body is no UTF-8 text." in site.treadle("post", "hooked", str(file))[1]


def test_request_is_sent_from_the_console(site: Site) -> None:
    event = {"request": {"sensor": "hooked", "body": "{}"}}
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/json", **CHANGE}

    connection = http.client.HTTPConnection("127.0.0.1", site.server.server_port, timeout=60)
    connection.request("POST", "/api/test-events", json.dumps(event), headers)
    answer = connection.getresponse()

    assert (answer.status, json.loads(answer.read())) == (
        200,
        {"sent": "Sent a request to hooked: 202 Accepted."},
    )
    connection.close()
    assert site.loop.ends("load", Status.SUCCESS).sensor == "hooked"
