"""The console's API: what it takes, what it refuses and with which message, and that a read changes nothing."""

import base64
import re
from collections.abc import Iterator
from typing import Any

import pytest

from tests.support.console import (
    ANN,
    CHANGE,
    Answer,
    Client,
    MemoryStack,
    console_of,
    http_event,
    start_token,
)
from treadle import RunRequest, SensorDefinition
from treadle.console.api import MAX_BODY, Operation
from treadle.console.app import Console
from treadle.console.pages import pages, security_headers
from treadle.console.routes import OPERATIONS
from treadle.console.static_token import Role
from treadle.definitions.errors import StoreError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.messages import DeadLetter
from treadle.model.runs import Run
from treadle.testing.instance import TreadleInstance
from treadle.testing.system import InMemoryDeadLetters, VirtualClock

CHANGES = [operation for operation in OPERATIONS if operation.changes]
AWKWARD = "<img src=x onerror=alert(1)>\u2028\x1b[31m/../\"'"
RUN_ID = "0e7a3f36-3f0e-5d8a-9c55-7e3a1d0f7e11"


def watch(context: Any) -> Iterator[RunRequest]:
    """A sensor's function that requests one run, under a key that anybody may have written."""
    del context
    yield RunRequest(run_key=AWKWARD)


@pytest.fixture
def stack() -> MemoryStack:
    return MemoryStack(TreadleInstance([SensorDefinition("watch", evaluation_fn=watch, job_name="load")]))


@pytest.fixture
def operator(stack: MemoryStack) -> Client:
    return Client(console_of(stack))


@pytest.fixture
def viewer(stack: MemoryStack) -> Client:
    return Client(console_of(stack, Role.VIEWER))


def failed_run(stack: MemoryStack) -> Run:
    """Return a run that was launched and has failed."""
    [run] = stack.instance.tick("watch").runs
    return stack.instance.finish_run(run, Status.FAILURE).run


def refusal_of(answer: Answer) -> tuple[int, str]:
    """Return status and text of a refusal."""
    return answer.status, answer.json["message"]


def example(operation: Operation) -> str:
    """Return an address of an operation."""
    names = {"<sensor>": "watch", "<run_id>": RUN_ID, "<backfill>": "may", "<pool>": "warehouse"}
    return re.sub(r"<\w+>", lambda found: names.get(found[0], found[0]), operation.path)


def test_a_run_is_started_once_more_by_whoever_requested_it(stack: MemoryStack, operator: Client) -> None:
    run = failed_run(stack)

    answer = operator.post(f"/api/runs/{run.run_id}/rerun", {"if_attempt": 1})

    assert answer.status == 200
    assert answer.json["is_new"]
    [now] = stack.instance.runs()
    assert [(each.attempts, each.by) for each in now.allowances] == [(2, ANN)]


def test_what_cannot_be_done_as_things_stand_is_a_conflict(stack: MemoryStack, operator: Client) -> None:
    [run] = stack.instance.tick("watch").runs

    status, message = refusal_of(operator.post(f"/api/runs/{run.run_id}/rerun", {}))

    assert (status, "has not ended" in message) == (409, True)


def test_a_key_is_released_as_it_is_whatever_stands_in_it(stack: MemoryStack, operator: Client) -> None:
    failed_run(stack)

    answer = operator.post("/api/sensors/watch/release", {"run_key": AWKWARD})

    assert answer.status == 200
    assert stack.instance.runs()[0].may_start_again


def test_dead_letters_are_shown_and_stay(stack: MemoryStack, viewer: Client) -> None:
    stack.dead_letters.send('{"treadle": "launch", "run_id": "r"}', origin="launch", reason=AWKWARD)

    [dead_letter] = viewer.get("/api/dead-letters").json["dead_letters"]

    assert (dead_letter["origin"], dead_letter["subject"], dead_letter["action"]) == ("launch", "r", "SENT")
    assert (dead_letter["error"], dead_letter["project"]) == (AWKWARD, None)
    assert list(stack.dead_letters.messages) == [dead_letter["message_id"]]


def test_dead_letters_of_projects_are_shown_and_sent_again_too(stack: MemoryStack, operator: Client) -> None:
    for box in (stack.dead_letters, stack.of_project):
        box.send('{"treadle": "launch", "run_id": "r"}', origin="launch", reason="no")

    shown = operator.get("/api/dead-letters").json["dead_letters"]
    sent = operator.post("/api/dead-letters/redrive", {}).json["results"]

    assert [each["project"] for each in shown] == [each["project"] for each in sent] == [None, "files"]
    assert len(stack.queues["launch"].messages) == 2


def test_a_dead_letter_is_deleted_by_an_operator_only(
    stack: MemoryStack, operator: Client, viewer: Client
) -> None:
    for reason in ("first", "second"):
        stack.dead_letters.send("{}", origin="launch", reason=reason)
    first = next(iter(stack.dead_letters.messages))

    assert viewer.post("/api/dead-letters/delete", {"message_ids": [first]}).status == 403
    assert operator.post("/api/dead-letters/delete", {"message_ids": []}).status == 400
    [done] = operator.post("/api/dead-letters/delete", {"message_ids": [first]}).json["results"]
    gone = operator.post("/api/dead-letters/delete", {"message_ids": [first]}).json["results"]

    assert (done["message_id"], done["action"], gone) == (first, "DELETED", [])
    assert [each.attributes["reason"] for each in stack.dead_letters.messages.values()] == ["second"]


def test_dead_letters_are_sent_again(stack: MemoryStack, operator: Client) -> None:
    for number in range(3):
        stack.dead_letters.send(
            f'{{"treadle": "launch", "run_id": "r{number}"}}', origin="launch", reason="no"
        )

    results = operator.post("/api/dead-letters/redrive", {"limit": 2}).json["results"]

    assert [each["action"] for each in results] == ["SENT", "SENT"]
    assert len(stack.dead_letters.messages) == 1
    assert len(stack.queues["launch"].messages) == 2


@pytest.mark.parametrize("operation", CHANGES, ids=lambda operation: operation.path)
def test_a_viewer_changes_nothing(viewer: Client, operation: Operation) -> None:
    answer = viewer.send(operation.method, example(operation), body={}, headers=CHANGE)

    assert refusal_of(answer) == (
        403,
        "You may view everything here, but changes require the role operator.",
    )


@pytest.mark.parametrize("operation", CHANGES, ids=lambda operation: operation.path)
@pytest.mark.parametrize("headers", [{}, {"X-Treadle": ""}, {"X-Treadle": "other"}])
def test_a_change_needs_its_header(operator: Client, operation: Operation, headers: dict[str, str]) -> None:
    answer = operator.send(operation.method, example(operation), body={}, headers=headers)

    assert (answer.status, "X-Treadle" in answer.json["message"]) == (403, True)


@pytest.mark.parametrize(
    "operation", OPERATIONS, ids=lambda operation: f"{operation.method} {operation.path}"
)
def test_nobody_is_answered_without_a_token(stack: MemoryStack, operation: Operation) -> None:
    client = Client(console_of(stack), headers={})

    answer = client.send(operation.method, example(operation), body={}, headers=CHANGE)

    assert answer.status == 401


@pytest.mark.parametrize(
    ("query", "message"),
    [
        ({"limit": "0"}, "query.limit must be bigger than or equal to 1."),
        ({"limit": "101"}, "query.limit must be smaller than or equal to 100."),
        ({"limit": "many"}, "query.limit must be integer."),
        ({"limit": "٣"}, "query.limit must be integer."),
        ({"limit": "9" * 5000}, "query.limit must be integer."),
        ({"origin": ""}, "query.origin must be longer than or equal to 1 characters."),
        ({"origin": "x" * 3000}, "query.origin must be shorter than or equal to 2048 characters."),
        ({"colour": "blue"}, "query must not contain {'colour'} properties."),
    ],
)
def test_parameters_that_do_not_fit_are_refused_with_a_reason(
    operator: Client, query: dict[str, str], message: str
) -> None:
    assert refusal_of(operator.get("/api/dead-letters", **query)) == (400, message)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("{}", "body must contain ['run_key'] properties."),
        ("[]", "body must be object."),
        ('{"run_key": 5}', "body.run_key must be string."),
        ('{"run_key": "k", "by": "bob"}', "body must not contain {'by'} properties."),
        ('{"run_key": "k", "if_attempt": true}', "body.if_attempt must be integer."),
        ('{"run_key": NaN}', "The request is not JSON: Out of range float values are not JSON compliant"),
        ('{"run_key": "\\ud800"}', "The request is not JSON: 'utf-8' codec can't encode"),
        ("[" * 100_000, "The request is not JSON: maximum recursion depth"),
        ("{", "The request is not JSON: Expecting property name"),
    ],
)
def test_a_body_that_does_not_fit_is_refused_with_a_reason(operator: Client, body: str, message: str) -> None:
    answer = operator.send("POST", "/api/sensors/watch/release", body=body, headers=CHANGE)

    assert (answer.status, answer.json["message"][: len(message)]) == (400, message)


def test_a_body_is_json_or_refused(operator: Client) -> None:
    headers = {**CHANGE, "Content-Type": "application/x-www-form-urlencoded"}

    assert (
        operator.send("POST", "/api/sensors/watch/release", body="run_key=k", headers=headers).status == 415
    )


def test_a_body_that_is_no_text_is_refused(operator: Client) -> None:
    event = http_event("POST", "/api/sensors/watch/release", {**operator.headers, **CHANGE}, body="")
    event |= {"body": base64.b64encode(b"\x9b\xd1").decode(), "isBase64Encoded": True}

    answer = operator.console.handle(event)

    assert answer["statusCode"] == 400


def test_a_body_has_its_bound(operator: Client) -> None:
    body = {"run_key": "x" * MAX_BODY}

    assert refusal_of(operator.post("/api/sensors/watch/release", body)) == (
        413,
        f"The request has more than {MAX_BODY} bytes.",
    )


def test_what_takes_no_body_has_the_bound_too(operator: Client) -> None:
    assert operator.post(f"/api/runs/{RUN_ID}/cancel", {"x": "x" * MAX_BODY}).status == 413


@pytest.mark.parametrize(
    "path", ["/api", "/api/", "/api/nothing", "/api/runs/x/explode", "/index.html", "/static/no.js"]
)
def test_what_is_not_there_is_not_found(operator: Client, path: str) -> None:
    assert refusal_of(operator.get(path)) == (404, "Not found")


@pytest.mark.parametrize("run_id", ["x", RUN_ID + "0", RUN_ID.upper(), "..", AWKWARD])
def test_what_can_be_no_name_is_not_found(operator: Client, run_id: str) -> None:
    assert operator.post(f"/api/runs/{run_id}/rerun").status == 404


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("GET", f"/api/runs/{RUN_ID}/rerun", "POST"),
        ("DELETE", "/api/dead-letters", "GET"),
        ("OPTIONS", "/api/dead-letters/redrive", "POST"),
        ("POST", "/config.json", "GET"),
        ("PUT", "/openapi.json", "GET"),
    ],
)
def test_another_method_is_refused_with_those_it_takes(
    operator: Client, method: str, path: str, allowed: str
) -> None:
    answer = operator.send(method, path, headers=CHANGE)

    assert (answer.status, answer.headers["allow"]) == (405, allowed)


class FailingDeadLetters(InMemoryDeadLetters):
    """Does not answer."""

    def __init__(self, error: Exception) -> None:
        super().__init__()
        self.error = error

    def receive(self) -> list[DeadLetter]:
        raise self.error


def test_a_store_that_does_not_answer_is_reported_as_passing(stack: MemoryStack, operator: Client) -> None:
    stack.dead_letters = FailingDeadLetters(StoreError("The queue did not answer: try again."))

    assert refusal_of(operator.get("/api/dead-letters")) == (503, "The queue did not answer: try again.")


def test_what_breaks_is_logged_and_shows_no_stack(
    stack: MemoryStack, operator: Client, caplog: pytest.LogCaptureFixture
) -> None:
    stack.dead_letters = FailingDeadLetters(RuntimeError("secret"))

    answer = operator.get("/api/dead-letters")

    assert refusal_of(answer) == (500, "The console failed. Its log has the reason.")
    assert security_headers(()).items() <= with_names(answer).items()
    assert "secret" in caplog.text


@pytest.mark.parametrize("path", ["/", "/config.json", "/openapi.json", "/api/dead-letters", "/api/nothing"])
def test_every_answer_has_the_security_headers(operator: Client, path: str) -> None:
    assert security_headers(()).items() <= with_names(operator.get(path)).items()


def test_what_never_changes_at_its_address_may_be_kept_for_ever(operator: Client) -> None:
    """So a page that is opened again requests its files and its data again; nothing else is cached."""
    [module] = [address for address in pages() if address.endswith("/main.js")]
    expected = {**security_headers(()), "Cache-Control": "public, max-age=31536000, immutable"}

    assert with_names(operator.get(module)) == expected
    assert operator.get("/").headers["cache-control"] == "no-store"


def with_names(answer: Answer) -> dict[str, str]:
    """Return the headers, named as they are written."""
    return {
        name: answer.headers[name.lower()] for name in security_headers(()) if name.lower() in answer.headers
    }


def test_nothing_inline_and_nothing_from_elsewhere_may_run() -> None:
    policy = security_headers(("https://login.example",))["Content-Security-Policy"]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))

    assert rules == {
        "default-src": "'none'",
        "script-src": "'self'",
        "style-src": "'self'",
        "connect-src": "'self' https://login.example",
        "img-src": "'self' data:",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
        "form-action": "'none'",
    }


def test_awkward_strings_leave_as_json_and_nothing_else(stack: MemoryStack, viewer: Client) -> None:
    """What a browser is given can be no page, whoever has written what stands in it."""
    stack.dead_letters.send("{}", origin=AWKWARD, reason=AWKWARD)

    answer = viewer.get("/api/dead-letters")

    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.json["dead_letters"][0]["origin"] == AWKWARD
    assert answer.text.isascii()


def test_each_operation_has_an_address_of_its_own() -> None:
    places = [(operation.method, operation.path) for operation in OPERATIONS]

    assert len(set(places)) == len(places)


def test_the_console_reads_a_stack_only_once_it_is_queried() -> None:
    """The page, and how to sign in, are there although AWS is not."""

    def unread() -> Any:
        raise AssertionError

    console = Console(unread, start_token(), VirtualClock())

    assert Client(console).get("/config.json").json == {"auth": "token"}


def test_a_link_of_an_alert_leads_to_the_run(stack: MemoryStack) -> None:
    answer = Client(console_of(stack), headers={}).get(f"/runs/{RUN_ID}")

    assert (answer.status, answer.headers["location"]) == (302, f"/#/runs/{RUN_ID}")


@pytest.mark.parametrize("run_id", ["x", "//evil.example", "..", f"{RUN_ID}\r\nSet-Cookie: a"])
def test_a_link_to_no_run_leads_nowhere(stack: MemoryStack, run_id: str) -> None:
    assert Client(console_of(stack), headers={}).get(f"/runs/{run_id}").status == 404
