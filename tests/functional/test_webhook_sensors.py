"""A webhook sensor as it is deployed: a 2xx response means a committed tick, and an error of ours is never one."""

import base64
import json
from collections.abc import Callable
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.functional.conftest import ON_BOTH, SECRET, Deployment, LambdaContext
from treadle import (
    BearerToken,
    HmacSignature,
    RunRequest,
    TickStatus,
    TimestampedSignature,
    WebhookSensorContext,
    WebhookSensorDefinition,
)
from treadle.adapters.system import SystemClock
from treadle.definitions.errors import StoreError, StoreThrottledError, UnknownEventError, WebhookSecretError
from treadle.definitions.webhook_verification import WebhookVerification
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.webhook_receiver import WebhookResponse
from treadle.entrypoints.webhook import respond
from treadle.model.ticks import Tick
from treadle.operate.sensors import SensorOperations
from treadle.testing.system import VirtualClock

GITHUB = HmacSignature()


def sensor(verification: WebhookVerification = GITHUB) -> WebhookSensorDefinition:
    def function(context: WebhookSensorContext) -> RunRequest:
        if context.request.body == b"bad":
            raise ValueError("no such branch")
        return RunRequest(run_config={"text": context.request.text})

    return WebhookSensorDefinition(
        "hooked", evaluation_fn=function, verification=verification, job_name="process_file"
    )


@pytest.fixture
def started(deployment: Deployment) -> Deployment:
    """The sensor as the template deploys it."""
    deployment.monkeypatch.delenv("TREADLE_INTERVAL_SECONDS")
    deployment.monkeypatch.delenv("TREADLE_QUEUE_URL", raising=False)
    deployment.setenv(TREADLE_DEFAULT_STATUS="RUNNING", TREADLE_KIND="webhook")
    deployment.share_secret()
    deployment.handlers["hooked"] = deployment.evaluator(sensor())
    return deployment


def event(body: bytes, headers: dict[str, str], *, in_base64: bool = False) -> dict[str, Any]:
    """Return a request as API Gateway delivers it, in payload format 2.0."""
    return {
        "version": "2.0",
        "headers": headers,
        "requestContext": {"http": {"method": "POST", "path": "/"}, "requestId": "request-1"},
        "body": base64.b64encode(body).decode() if in_base64 else body.decode(),
        "isBase64Encoded": in_base64,
    }


def post(
    deployment: Deployment,
    body: bytes,
    delivery: str = "d-1",
    secret: str = SECRET,
    *,
    in_base64: bool = False,
    headers: dict[str, str] | None = None,
) -> dict[str, Any]:
    signed = {**GITHUB.signed(body, secret, 0, delivery), **(headers or {})}
    answer: dict[str, Any] = deployment.handlers["hooked"](
        event(body, signed, in_base64=in_base64), LambdaContext()
    )
    return answer


def ticks(deployment: Deployment) -> list[Tick]:
    return deployment.stores.ticks.latest("hooked", 100)


def items(deployment: Deployment) -> int:
    """Return the number of items in all tables that are of the sensor."""
    client, environment = boto3.client("dynamodb"), deployment.environment
    return sum(
        client.scan(TableName=environment[f"TREADLE_{name}_TABLE"])["Count"] for name in ("SENSORS", "TICKS")
    )


@ON_BOTH
def test_request_is_a_tick_however_often_it_is_delivered(started: Deployment) -> None:
    answers = [post(started, b'{"id":1}') for _ in range(3)]

    assert [each["statusCode"] for each in answers] == [202, 202, 202]
    assert answers[0]["headers"] == {"Content-Type": "application/json"}
    assert json.loads(answers[0]["body"]) == {"message": "Accepted."}
    [tick] = ticks(started)
    assert [request.run_config for request in tick.requests] == ['{"text":"{\\"id\\":1}"}']


@ON_BOTH
def test_signature_is_of_the_bytes_that_base64_contains(started: Deployment) -> None:
    assert post(started, b"\x00\xff", in_base64=True)["statusCode"] == 202
    assert post(started, "é".encode(), "d-2")["statusCode"] == 202
    assert len(ticks(started)) == 2


def test_nothing_is_stored_before_the_sender_is_authenticated(started: Deployment) -> None:
    before = items(started)

    answers = [
        post(started, b"{}", secret="wrong"),
        post(started, b"{}", headers={"X-Hub-Signature-256": ""}),
        post(started, b"{}", headers={"X-GitHub-Delivery": "a b"}),
        post(started, b"\xff" * 4_000_001, in_base64=True),
    ]

    assert [each["statusCode"] for each in answers] == [401, 401, 400, 413]
    assert all("Retry-After" not in each["headers"] for each in answers)
    assert items(started) == before


@ON_BOTH
def test_function_that_fails_leaves_a_failed_tick_and_503(started: Deployment) -> None:
    answers = [post(started, b"bad") for _ in range(2)]

    assert [each["statusCode"] for each in answers] == [503, 503]
    assert answers[0]["headers"]["Retry-After"] == "60"
    assert "branch" not in answers[0]["body"]
    [tick] = ticks(started)
    assert (tick.status, tick.attempts) == (TickStatus.FAILURE, 2)


@ON_BOTH
def test_stopped_sensor_answers_503_until_it_is_started(started: Deployment) -> None:
    operations = SensorOperations(started.stores.sensors, VirtualClock())
    operations.stop("hooked", "ann")
    assert post(started, b"{}")["statusCode"] == 503
    assert ticks(started) == []

    started.handlers["hooked"] = started.evaluator(sensor())
    operations.start("hooked", sensor().default_status, "ann")
    assert post(started, b"{}")["statusCode"] == 202
    assert len(ticks(started)) == 1


def test_previous_version_of_the_secret_stays_valid(started: Deployment) -> None:
    rotated = json.dumps({"github": "rotated"})
    boto3.client("secretsmanager").put_secret_value(SecretId="shop/senders", SecretString=rotated)

    answers = [post(started, b"1", "d-1"), post(started, b"2", "d-2", "rotated")]

    assert [each["statusCode"] for each in answers] == [202, 202]


@pytest.mark.parametrize("versions", [("a",), ("former", "current"), ("1", "2", "3")])
def test_ssm_parameter_is_valid_in_its_last_two_versions(
    started: Deployment, versions: tuple[str, ...]
) -> None:
    for version in versions:
        boto3.client("ssm").put_parameter(
            Name="/shop/github", Value=version, Type="SecureString", Overwrite=True
        )
    started.setenv(TREADLE_WEBHOOK_SECRET="ssm:/shop/github")
    started.handlers["hooked"] = started.evaluator(sensor())

    found = [post(started, each.encode(), each, each)["statusCode"] for each in versions]

    assert found == [401] * (len(versions) - 2) + [202] * min(2, len(versions))


@pytest.mark.parametrize("secret", ["gone", "ssm:/gone", "shop/senders#other", "shop/senders#"])
def test_secret_that_cannot_be_read_accepts_nobody(started: Deployment, secret: str) -> None:
    started.setenv(TREADLE_WEBHOOK_SECRET=secret)
    started.handlers["hooked"] = started.evaluator(sensor())

    for tried in (SECRET, "", "None"):
        assert post(started, b"{}", secret=tried)["statusCode"] in {401, 503}
    assert ticks(started) == []


def test_empty_secret_accepts_nobody(started: Deployment) -> None:
    boto3.client("secretsmanager").put_secret_value(
        SecretId="shop/senders", SecretString=json.dumps({"github": " "})
    )

    assert post(started, b"{}", secret="")["statusCode"] == 503
    assert post(started, b"{}", secret=" ")["statusCode"] == 503


def test_missing_secret_of_the_deployment_is_a_problem_of_its_settings(started: Deployment) -> None:
    started.monkeypatch.delenv("TREADLE_WEBHOOK_SECRET")
    started.handlers["hooked"] = started.evaluator(sensor())

    with pytest.raises(Exception, match="TREADLE_WEBHOOK_SECRET is not set"):
        post(started, b"{}")


@ON_BOTH
@pytest.mark.parametrize("given", [{}, {"body": "x"}, {"requestContext": {}}, {"requestContext": "x"}])
def test_event_that_is_no_request_is_an_error(started: Deployment, given: dict[str, Any]) -> None:
    with pytest.raises(UnknownEventError, match="The event is no request to an HTTP API"):
        started.handlers["hooked"](given, LambdaContext())


@ON_BOTH
def test_request_in_a_message_is_not_evaluated_without_its_signature(started: Deployment) -> None:
    body = json.dumps(event(b"{}", {"X-GitHub-Delivery": "d-1"}))
    record = {"messageId": "m-1", "body": body, "attributes": {"ApproximateReceiveCount": "1"}}

    with pytest.raises(UnknownEventError, match="The event is no request"):
        started.handlers["hooked"]({"Records": [record]}, LambdaContext())

    assert ticks(started) == []


@ON_BOTH
def test_preview_evaluates_a_sample_request_and_commits_nothing(started: Deployment) -> None:
    sample = {"treadle": "preview", "event": event(b"{}", {"X-GitHub-Delivery": "d-1"})}

    previewed = started.handlers["hooked"](sample, LambdaContext())

    assert [each["run_config"] for each in previewed["requests"]] == ['{"text":"{}"}']
    assert ticks(started) == []
    assert post(started, b"{}")["statusCode"] == 202


def test_nothing_of_a_request_is_logged(
    started: Deployment, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    for secret in (SECRET, "wrong"):
        post(started, b"very private", "d-1", secret)
    post(started, b"bad", "d-2")

    written = "".join([*capsys.readouterr(), caplog.text])

    assert "refused with 401" in written
    assert "private" not in written
    assert SECRET not in written


# ---- Any request

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=9),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=9), inner, max_size=3),
    max_leaves=9,
)
HEADERS = st.dictionaries(
    st.sampled_from(
        ["x-hub-signature-256", "X-GitHub-Delivery", "Stripe-Signature", "authorization", "content-type"]
    )
    | st.text(max_size=9),
    st.text(max_size=40)
    | st.sampled_from(["sha256=00", "t=1,v1=00", "t=,v1=", "Bearer x", "t=9" * 9])
    | JSON,
    max_size=5,
)
EVENTS = st.fixed_dictionaries(
    {"requestContext": st.fixed_dictionaries({"requestId": st.text(min_size=1, max_size=9)})},
    optional={
        "headers": HEADERS | JSON,
        "queryStringParameters": JSON,
        "body": st.text(max_size=40) | st.sampled_from(["{}", '{"id":"evt_1"}', "é"]) | JSON,
        "isBase64Encoded": st.booleans() | JSON,
        "rawPath": JSON,
    },
)
VERIFICATIONS = [GITHUB, TimestampedSignature(), BearerToken(), BearerToken(delivery_header="X-Id")]
FUZZED = settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


@pytest.mark.parametrize("verification", VERIFICATIONS, ids=["github", "stripe", "token", "id"])
@FUZZED
@given(sent=EVENTS)
def test_request_of_whatever_form_is_refused_without_an_error_of_ours(
    started: Deployment, verification: WebhookVerification, sent: dict[str, Any]
) -> None:
    handler = started.evaluator(sensor(verification))

    answer = handler(sent, LambdaContext())

    assert answer["statusCode"] in {400, 401}
    assert json.loads(answer["body"])["message"]
    assert ticks(started) == []


@pytest.mark.parametrize("verification", VERIFICATIONS, ids=["github", "stripe", "token", "id"])
@FUZZED
@given(body=st.binary(max_size=60) | JSON.map(lambda each: json.dumps(each).encode()), more=HEADERS)
def test_authentic_request_of_whatever_content_is_accepted(
    started: Deployment, verification: WebhookVerification, body: bytes, more: dict[str, Any]
) -> None:
    handler = started.evaluator(sensor(verification))
    signed = verification.signed(body, SECRET, SystemClock().now(), "d-1")
    names = {name.lower() for name in signed}
    headers = {**{name: value for name, value in more.items() if name.lower() not in names}, **signed}
    if isinstance(verification, HmacSignature):
        headers["X-GitHub-Delivery"] = f"d-{body.hex()}"[:200]

    answer = handler(event(body, headers, in_base64=True), LambdaContext())

    assert answer["statusCode"] == (503 if body == b"bad" else 202)


def failing(error: Exception) -> Callable[..., Any]:
    def call(*_: object, **__: object) -> Any:
        raise error

    return call


ERRORS = [
    StoreError("no answer"),
    StoreThrottledError("throttled"),
    WebhookSecretError("no answer"),
    ClientError({"Error": {"Code": "InternalServerError"}}, "PutItem"),
    MemoryError(),
]
CALLS = [
    ("adapters.dynamodb.deliveries.DynamoDeliveryStore", "accept"),
    ("adapters.dynamodb.ticks.DynamoTickStore", "put"),
    ("adapters.dynamodb.ticks.DynamoTickStore", "attempts"),
    ("adapters.dynamodb.sensors.DynamoSensorStore", "get"),
    ("adapters.secret_versions.AwsSecretStore", "read"),
]


@pytest.mark.parametrize("error", ERRORS, ids=lambda each: type(each).__name__)
@pytest.mark.parametrize(("store", "method"), CALLS)
def test_store_that_fails_means_503_and_the_next_delivery_is_a_tick(
    started: Deployment, store: str, method: str, error: Exception
) -> None:
    """Whatever was written before: an identity that is known, without a tick, is evaluated."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(f"treadle.{store}.{method}", failing(error))
        answer = post(started, b"{}")

    assert (answer["statusCode"], answer["headers"]["Retry-After"]) == (503, "60")
    assert [each.status for each in ticks(started)] in ([], [TickStatus.FAILURE])
    assert post(started, b"{}")["statusCode"] == 202
    assert [each.status for each in ticks(started)] == [TickStatus.SUCCESS]


@pytest.mark.parametrize(
    ("decision", "status"),
    [
        (Decision.SUCCESS, 202),
        (Decision.SKIPPED, 202),
        (Decision.DUPLICATE, 202),
    ],
)
def test_response_is_that_of_the_receiver(decision: Decision, status: int) -> None:
    outcome = Outcome(decision, "", "")

    answer = respond(event(b"{}", {}), "hooked", lambda _: WebhookResponse(status, "m", outcome))

    assert (answer["statusCode"], answer["body"]) == (status, '{"message": "m"}')
