"""The console's function, invoked as API Gateway invokes it: with the authorizer's result, and without."""

import dataclasses
import json
from typing import Any

import pytest

from functions.engine.console.app import handler
from tests.support.console import CHANGE, Answer, Client, MemoryStack
from tests.support.issuer import ISSUER, URL, authorized, token
from tests.template.model import samples
from treadle import SensorDefinition, SkipReason
from treadle.bootstrap.operator import OperatorParts
from treadle.console.app import Console
from treadle.console.deployed import console_of
from treadle.console.oidc import OidcAuth
from treadle.console.routes import OPERATIONS
from treadle.definitions.errors import SettingsError
from treadle.testing.instance import TreadleInstance
from treadle.testing.system import VirtualClock

ENVIRONMENT = {
    "TREADLE_STACK": "shop",
    "TREADLE_CONSOLE_ISSUER": URL,
    "TREADLE_CONSOLE_AUDIENCE": "treadle-console",
    "TREADLE_CONSOLE_CLIENT_ID": "page",
    "TREADLE_CONSOLE_SCOPE": "openid",
    "TREADLE_CONSOLE_TOKEN_ORIGIN": "",
    "TREADLE_CONSOLE_ROLE_CLAIM": "groups",
    "TREADLE_CONSOLE_VIEWER_ROLE": "treadle-viewer",
    "TREADLE_CONSOLE_OPERATOR_ROLE": "treadle-operator",
}


EXPIRES = 1_795_831_800
"""The sample's token, in seconds since the epoch."""


def watch(context: Any) -> SkipReason:
    """Return a sensor's function that finds nothing."""
    del context
    return SkipReason("Nothing new.")


class Context:
    """The part of Lambda's context that log lines contain."""

    function_name = "treadle-console"
    memory_limit_in_mb = 512
    invoked_function_arn = "arn:aws:lambda:eu-central-1:123456789012:function:treadle-console"
    aws_request_id = "8f2d"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)


def test_the_function_shows_anybody_how_to_sign_in() -> None:
    answer = handler(samples()["console-config"], Context())

    assert (answer["statusCode"], json.loads(answer["body"])) == (
        200,
        {"auth": "oidc", "issuer": URL, "client_id": "page", "scope": "openid"},
    )


def unread() -> OperatorParts:
    """Fail: the stack is not queried before access is granted."""
    raise AssertionError


def test_the_function_takes_no_token_that_has_expired() -> None:
    """Whatever API Gateway has found; the sample's has expired."""
    made = Console(unread, OidcAuth(ISSUER, lambda: EXPIRES + 61), VirtualClock())

    answer = made.handle(samples()["console-overview"])

    assert (answer["statusCode"], "expired" in answer["body"]) == (401, True)


def test_what_is_missing_of_its_environment_is_reported_at_once() -> None:
    with pytest.raises(
        SettingsError, match=r"TREADLE_CONSOLE_AUDIENCE is not set.*TREADLE_CONSOLE_SCOPE is not set"
    ):
        console_of({"TREADLE_STACK": "shop", "TREADLE_CONSOLE_ISSUER": URL})


def signed_in(given: str, **context: Any) -> Client:
    """Return a client with a token that API Gateway has checked."""
    stack = MemoryStack(TreadleInstance([SensorDefinition("watch", evaluation_fn=watch, job_name="load")]))
    made = Console(lambda: stack.parts, OidcAuth(ISSUER), stack.instance.clock)
    return Client(made, {"Authorization": f"Bearer {given}"}, {**authorized(given), **context})


def send_to(client: Client, method: str, path: str) -> Answer:
    """Return the answer to an operation."""
    names = {"<sensor>": "watch", "<run_id>": "0e7a3f36-3f0e-5d8a-9c55-7e3a1d0f7e11"}
    names["<tick_id>"] = "2026-11-28T02:00:00.000Z-000000001"
    for name, value in names.items():
        path = path.replace(name, value)
    return client.send(method, path, body={} if method != "GET" else None, headers=CHANGE)


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_each_role_may_what_it_may(operation: Any) -> None:
    """Nobody without a role, viewers nothing that changes, operators all."""
    statuses = {
        role: send_to(signed_in(token(groups=[role])), operation.method, operation.path).status
        for role in ("staff", "treadle-viewer", "treadle-operator")
    }

    assert statuses["staff"] == 403
    assert (statuses["treadle-viewer"] == 403) is operation.changes
    assert statuses["treadle-operator"] not in {401, 403}


@pytest.mark.parametrize("operation", OPERATIONS, ids=lambda each: f"{each.method} {each.path}")
def test_without_the_authorizers_decision_nothing_is_answered(operation: Any) -> None:
    """As on the open route, or if somebody took the authorizer away."""
    client = dataclasses.replace(signed_in(token()), context={})

    assert send_to(client, operation.method, operation.path).status == 401


def test_an_edit_has_the_tokens_subject() -> None:
    client = signed_in(token(sub="6a1e-of-the-issuer"))

    client.post("/api/sensors/watch/stop")

    [edit] = client.get("/api/sensors/watch").json["edits"]
    assert (edit["action"], edit["by"]) == ("stop", "6a1e-of-the-issuer")
