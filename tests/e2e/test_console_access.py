"""The deployed console: whom API Gateway and the function let in, and that the function's own rights suffice."""

import http.client
import http.server
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.e2e.deployment import GOOD_CSV, Deployed, eventually, fresh_key
from tests.support.console import CHANGE
from tests.support.http_server import running_server
from tests.support.issuer import AUDIENCE, KEY_ID, key_set, token
from tools import stack
from treadle.console.api import Operation
from treadle.console.pages import security_headers
from treadle.console.routes import OPERATIONS
from treadle.definitions.status import DagsterRunStatus, TickStatus

NAME = "treadle-console"
SENSOR = "new_objects"
VIEWER: dict[str, Any] = {"sub": "vera", "groups": ["treadle-viewer"]}
RUN_ID = "0e7a3f36-3f0e-5d8a-9c55-7e3a1d0f7e11"
TICK_ID = "2026-11-28T02:00:00.000Z-000000001"


class _Issuer(http.server.BaseHTTPRequestHandler):
    """Publishes where its keys are, and its keys."""

    server: http.server.ThreadingHTTPServer

    def do_GET(self) -> None:
        url = f"http://127.0.0.1:{self.server.server_port}"
        content: Mapping[str, Any] = key_set()
        if self.path.endswith("openid-configuration"):
            content = {"issuer": url, "jwks_uri": f"{url}/keys"}
        body = json.dumps(content).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - its name in the standard library
        """Nothing."""


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """An issuer's URL."""
    with running_server(http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Issuer)) as server:
        yield f"http://127.0.0.1:{server.server_port}"


@dataclass(frozen=True)
class ConsoleClient:
    """A client of the deployed console.

    Attributes:
        deployed: the stack.
        issuer: whose tokens it takes.
    """

    deployed: Deployed
    issuer: str

    def send(
        self,
        method: str,
        path: str,
        given: str | None,
        body: object = None,
        headers: Mapping[str, str] = CHANGE,
    ) -> tuple[int, Any, Mapping[str, str]]:
        """Return status, body and headers of the response to a request with a token; without one if it is None."""
        sent = {"Host": urlsplit(self.deployed.outputs["ConsoleUrl"]).netloc, **headers}
        if given is not None:
            sent["Authorization"] = f"Bearer {given}"
        if body is not None:
            sent["Content-Type"] = "application/json"
        connection = http.client.HTTPConnection(urlsplit(self.deployed.endpoint).netloc, timeout=60)
        try:
            connection.request(method, path, None if body is None else json.dumps(body), sent)
            answer = connection.getresponse()
            text = answer.read().decode()
            kind = answer.getheader("Content-Type") or ""
            return answer.status, json.loads(text) if "json" in kind else text, dict(answer.getheaders())
        finally:
            connection.close()

    def operator(self, method: str, path: str, body: object = None) -> Any:
        """Return the response to an operator, which must be a success."""
        status, found, _ = self.send(method, path, token(issuer=self.issuer), body)
        assert status == 200, found
        return found


@pytest.fixture(scope="module")
def api(deployed: Deployed, issuer: str) -> Iterator[ConsoleClient]:
    """A console beside the engine, which takes this issuer's tokens."""
    overrides = [
        f"Issuer={issuer}",
        f"Audience={AUDIENCE}",
        "ClientId=page",
        "RoleClaim=groups",
        f"WatchedBucketArns=arn:aws:s3:::{deployed.bucket}",
    ]
    stack.build_console(deployed.endpoint)
    stack.deploy_console(deployed.endpoint, ["--stack-name", NAME, "--parameter-overrides", *overrides])
    made = Deployed.at(deployed.endpoint)
    made.outputs |= stack.outputs(deployed.endpoint, NAME)
    yield ConsoleClient(made, issuer)
    made.close()


def address(operation: Operation) -> str:
    """Return an address of an operation."""
    names = {
        "<sensor>": SENSOR,
        "<run_id>": RUN_ID,
        "<tick_id>": TICK_ID,
        "<backfill>": "none",
        "<pool>": "none",
    }
    path = operation.path
    for name, value in names.items():
        path = path.replace(name, value)
    return path


def everything(operations: list[Operation]) -> pytest.MarkDecorator:
    return pytest.mark.parametrize("operation", operations, ids=lambda each: f"{each.method} {each.path}")


def test_how_one_signs_in_is_open_to_everybody_and_says_nothing_else(api: ConsoleClient) -> None:
    status, content, headers = api.send("GET", "/config.json", None)

    assert (status, content) == (
        200,
        {"auth": "oidc", "issuer": api.issuer, "client_id": "page", "scope": "openid"},
    )
    assert {name.lower() for name in security_headers(())} <= {name.lower() for name in headers}


def test_the_page_is_open_to_everybody(api: ConsoleClient) -> None:
    status, page, headers = api.send("GET", "/", None)

    assert (status, "<!doctype html>" in page) == (200, True)
    assert f"connect-src 'self' {api.issuer};" in headers["Content-Security-Policy"]


@everything(list(OPERATIONS))
def test_without_a_token_nothing_is_answered(api: ConsoleClient, operation: Operation) -> None:
    status, _, _ = api.send(operation.method, address(operation), None, {} if operation.changes else None)

    assert status == 401


STRANGER = rsa.generate_private_key(public_exponent=65537, key_size=2048)


def forged(api: ConsoleClient, **header: str) -> str:
    """Return a token that claims what an operator's does, and is signed by somebody else, or by nobody."""
    claims = jwt.decode(token(issuer=api.issuer), options={"verify_signature": False})
    if header.get("alg") == "none":
        return jwt.encode(claims, "", algorithm="none", headers={"kid": KEY_ID})
    return jwt.encode(claims, STRANGER, algorithm="RS256", headers={"kid": KEY_ID})


@pytest.mark.parametrize("kind", ["expired", "audience", "issuer", "forged", "unsigned", "nonsense"])
def test_a_token_that_is_not_as_it_should_be_lets_nobody_in(api: ConsoleClient, kind: str) -> None:
    tokens = {
        "expired": token(issuer=api.issuer, expires_in=-120),
        "audience": token(issuer=api.issuer, aud="another"),
        "issuer": token(issuer="https://login.example"),
        "forged": forged(api),
        "unsigned": forged(api, alg="none"),
        "nonsense": "a.b.c",
    }

    assert api.send("GET", "/api/overview", tokens[kind])[0] == 401
    assert api.send("POST", f"/api/sensors/{SENSOR}/stop", tokens[kind], {})[0] == 401


@pytest.mark.parametrize("groups", [None, [], ["staff"], ["staff treadle-operator"], "staff"])
def test_without_a_role_nobody_is_let_in(api: ConsoleClient, groups: object) -> None:
    given = token(issuer=api.issuer, groups=groups)

    status, content, _ = api.send("GET", "/api/overview", given)

    assert (status, "no role here" in content["message"]) == (403, True)
    assert api.send("POST", f"/api/sensors/{SENSOR}/stop", given, {})[0] == 403


def test_a_viewer_sees_everything(api: ConsoleClient) -> None:
    status, content, _ = api.send("GET", "/api/overview", token(issuer=api.issuer, **VIEWER))

    assert status == 200, content
    assert (content["role"], content["stack"]) == ("viewer", api.deployed.engine)
    assert SENSOR in [each["name"] for each in content["sensors"]]


@everything([each for each in OPERATIONS if each.changes])
def test_a_viewer_changes_nothing(api: ConsoleClient, operation: Operation) -> None:
    given = token(issuer=api.issuer, **VIEWER)

    status, content, _ = api.send(operation.method, address(operation), given, {})

    assert (status, "changes require the role operator" in content["message"]) == (403, True)


@everything([each for each in OPERATIONS if each.changes])
def test_a_change_needs_its_header_from_an_operator_too(api: ConsoleClient, operation: Operation) -> None:
    given = token(issuer=api.issuer)

    assert api.send(operation.method, address(operation), given, {}, {})[0] == 403


UNSEEN = ("GetEventSourceMapping", "SimulatePrincipalPolicy", "FilterLogEvents", "ListEntitiesForPolicy")
"""The local cloud takes the first for ListEventSourceMappings, and wants the second on every resource; logs may have
anything in them, and IAM's roles belong to the whole account, so that the function may not read them."""


@everything([each for each in OPERATIONS if not each.changes])
def test_the_functions_rights_suffice_for_all_there_is_to_see(
    api: ConsoleClient, operation: Operation
) -> None:
    path = address(operation)
    query = {
        "/api/assets/events": "?key=orders",
        "/api/why": f"?sensor={SENSOR}&key=a",
        "/api/search": "?text=abcd",
    }.get(path, "")

    status, content, _ = api.send("GET", f"{path}{query}", token(issuer=api.issuer))

    missing = any(each in operation.path for each in ("<run_id>", "<tick_id>", "<backfill>", "<pool>"))
    assert status == (404 if missing else 200), content
    denied = re.findall(r"[^{}]*not authorized[^{}]*", json.dumps(content))
    assert [message for message in denied if not any(each in message for each in UNSEEN)] == []


def test_an_operator_stops_and_starts_a_sensor_under_the_tokens_subject(api: ConsoleClient) -> None:
    stopped = api.operator("POST", f"/api/sensors/{SENSOR}/stop", {})
    started = api.operator("POST", "/api/sensors/bulk", {"action": "start", "sensors": [SENSOR]})
    reset = api.operator("POST", f"/api/sensors/{SENSOR}/reset", {})

    assert (stopped["status"], reset["status"]) == ("STOPPED", "RUNNING")
    assert started["results"] == [{"sensor": SENSOR, "ok": True, "message": "It is RUNNING."}]
    edits = api.operator("GET", f"/api/sensors/{SENSOR}")["edits"]
    assert [(each["action"], each["by"]) for each in edits[:3]] == [
        ("reset", "ann"),
        ("start", "ann"),
        ("stop", "ann"),
    ]


def test_an_operator_previews_evaluates_and_follows_what_comes_of_it(api: ConsoleClient) -> None:
    """From an object to its run, and once more; by the function's own rights alone."""
    deployed, key = api.deployed, fresh_key()
    shown = api.operator("POST", f"/api/sensors/{SENSOR}/preview", {"object": {"key": key}})
    assert len(shown["tick"]["requests"]) == 1

    deployed.client("s3").put_object(Bucket=deployed.bucket, Key=key, Body=GOOD_CSV)

    def ended() -> Any:
        [*found] = api.operator("GET", f"/api/runs?sensor={SENSOR}&status=SUCCESS")["runs"]
        return [each for each in found if key in (each["run_key"] or "")]

    [run] = eventually(ended, "the object's run has succeeded", seconds=60, pause=0.5)
    tick = api.operator("GET", f"/api/sensors/{SENSOR}/ticks/{run['tick_id']}")
    assert (tick["status"], tick["runs"][0]["run_id"]) == (TickStatus.SUCCESS, run["run_id"])
    again = api.operator("POST", f"/api/runs/{run['run_id']}/rerun", {"if_attempt": 1})
    assert again["is_new"]
    second = eventually(
        lambda: api.operator("GET", f"/api/runs/{run['run_id']}")["attempt"] == 2, "attempt 2 is there"
    )
    assert second
    content = api.operator("GET", f"/api/runs/{run['run_id']}")
    assert [each["by"] for each in content["allowances"]] == ["ann"]

    def over() -> bool:
        return bool(api.operator("GET", f"/api/runs/{run['run_id']}")["status"] == DagsterRunStatus.SUCCESS)

    eventually(over, "attempt 2 has succeeded", seconds=60, pause=0.5)
    released = api.operator("POST", f"/api/sensors/{SENSOR}/release", {"run_key": run["run_key"]})
    assert released["is_new"]


def test_an_operator_sets_a_cursor_unless_it_has_moved(api: ConsoleClient) -> None:
    content = api.operator("POST", f"/api/sensors/{SENSOR}/tick", {})
    assert content["decision"] in {"SKIPPED", "SUCCESS"}
    seen = api.operator("GET", f"/api/sensors/{SENSOR}")
    body = {"cursor": None, "if_epoch": seen["cursor_epoch"]}

    changed = api.operator("PUT", f"/api/sensors/{SENSOR}/cursor", body)
    status, refused, _ = api.send("PUT", f"/api/sensors/{SENSOR}/cursor", token(issuer=api.issuer), body)

    assert (seen["cursor"] is not None, changed["cursor"]) == (True, None)
    assert (status, bool(refused["message"])) == (409, True)


def test_an_operator_cancels_an_execution(api: ConsoleClient) -> None:
    """A run that is still in progress is canceled; for one that has ended, the response says so."""
    status, content, _ = api.send("POST", f"/api/runs/{RUN_ID}/cancel", token(issuer=api.issuer), {})

    assert (status, f"Run {RUN_ID} does not exist." in content["message"]) == (409, True)


def test_an_operator_redrives_a_dead_letter(api: ConsoleClient) -> None:
    deployed = api.deployed
    body = {"treadle": "launch", "run_id": RUN_ID, "attempt": 1, "job": "process_file"}
    deployed.client("sqs").send_message(
        QueueUrl=deployed.outputs["DeadLetterQueueUrl"],
        MessageBody=json.dumps(body),
        MessageAttributes={
            "origin": {"DataType": "String", "StringValue": "launch"},
            "reason": {"DataType": "String", "StringValue": "made by a test"},
        },
    )

    [seen] = api.operator("GET", "/api/dead-letters?origin=launch")["dead_letters"]
    [done] = api.operator("POST", "/api/dead-letters/redrive", {"origin": "launch"})["results"]

    assert (seen["action"], done["action"], seen["message_id"]) == ("SENT", "SENT", done["message_id"])
    # LAUNCH may have given up the same again by now, as there is no such run.
    left = api.operator("GET", "/api/dead-letters?origin=launch")["dead_letters"]
    assert done["message_id"] not in [each["message_id"] for each in left]
