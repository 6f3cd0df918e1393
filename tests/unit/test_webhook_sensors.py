"""Webhook sensors: nothing is stored before the sender is authenticated, and a 2xx response means a committed tick."""

import base64
import hashlib
import hmac
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from treadle import (
    BearerToken,
    DagsterInvalidDefinitionError,
    HmacSignature,
    JobDefinition,
    RunRequest,
    TimestampedSignature,
    WebhookRequest,
    WebhookSensorContext,
    build_sensor_context,
    build_webhook_sensor_context,
    webhook_sensor,
)
from treadle.definitions.errors import SensorEvaluationError, UnknownEventError, WebhookSecretError
from treadle.definitions.webhook_sensor import WebhookSensorDefinition
from treadle.definitions.webhook_verification import Authenticity, HttpRequest, WebhookVerification
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.tick.webhook_receiver import MAX_AGE_MS, MAX_BODY, REFRESH_MS, RotatedSecret
from treadle.testing import TreadleInstance
from treadle.testing.deliveries import InMemorySecrets
from treadle.testing.system import VirtualClock

build = JobDefinition("build")
NOW = 1_795_370_400_000
BODY = b'{"id":"evt_1","ref":"main"}'


def sensor(verification: WebhookVerification, **options: Any) -> WebhookSensorDefinition:
    @webhook_sensor(verification, job=build, **options)
    def pushed(context: WebhookSensorContext) -> RunRequest:
        """A run for each request."""
        if context.request.body == b"bad":
            raise ValueError("no such branch")
        return RunRequest(run_config={"text": context.request.text})

    return pushed


GITHUB, STRIPE, BEARER = HmacSignature(), TimestampedSignature(), BearerToken()


def request(body: bytes = BODY, **headers: str) -> HttpRequest:
    """Return a request with headers, whose names have "_" for "-"."""
    named = {name.replace("_", "-").lower(): value for name, value in headers.items()}
    return HttpRequest("request-1", body, named, {})


# ---- Signatures


def test_signature_of_githubs_documentation_is_valid() -> None:
    """The example of "Validating webhook deliveries" in GitHub's documentation."""
    signature = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
    sent = request(b"Hello, World!", X_Hub_Signature_256=signature)

    assert GITHUB.authenticate(sent, ["It's a Secret to Everybody"], NOW) is Authenticity.VALID
    assert GITHUB.authenticate(sent, ["It's a secret to everybody"], NOW) is Authenticity.INVALID


def test_signature_in_base64_without_prefix_is_valid() -> None:
    shopify = HmacSignature("X-Shopify-Hmac-Sha256", "", "base64", "X-Shopify-Webhook-Id")
    made = base64.b64encode(hmac.new(b"secret", BODY, hashlib.sha256).digest()).decode()

    assert shopify.authenticate(request(X_Shopify_Hmac_Sha256=made), ["secret"], NOW) is Authenticity.VALID


def test_signature_is_of_the_body_as_it_was_sent() -> None:
    signed = HttpRequest("r", BODY + b" ", GITHUB.signed(BODY, "secret", NOW, "d"), {})
    sent = HttpRequest("r", signed.body, {name.lower(): each for name, each in signed.headers.items()}, {})

    assert GITHUB.authenticate(sent, ["secret"], NOW) is Authenticity.INVALID


def stripe(times: str, body: bytes = BODY, secret: str = "secret", signed: str | None = None) -> HttpRequest:
    made = hmac.new(secret.encode(), f"{signed or times}.".encode() + body, hashlib.sha256).hexdigest()
    return request(body, Stripe_Signature=f"t={times},v1={'0' * 64},v1={made},v0=other")


@pytest.mark.parametrize(
    ("ahead", "found"),
    [
        (0, Authenticity.VALID),
        (300, Authenticity.VALID),
        (-300, Authenticity.VALID),
        (301, Authenticity.LATE),
        (-301, Authenticity.LATE),
    ],
)
def test_time_of_a_signature_may_differ_by_the_tolerance(ahead: int, found: Authenticity) -> None:
    sent = stripe(str(NOW // 1000 + ahead))

    assert STRIPE.authenticate(sent, ["secret"], NOW) is found


@pytest.mark.parametrize(
    "header",
    [
        "",
        "t=1",
        "v1=00",
        "t=,v1=00",
        "t=1,t=1,v1=00",
        "t=-1,v1=00",
        "t=1e3,v1=00",
        "t=٣,v1=00",
        "=,=",
        "t=9999999999999,v1=0",
    ],
)
def test_malformed_signature_is_not_valid(header: str) -> None:
    assert (
        STRIPE.authenticate(request(Stripe_Signature=header or ","), ["secret"], NOW) is Authenticity.INVALID
    )


def test_signature_covers_its_time() -> None:
    sent = stripe(str(NOW // 1000), signed=str(NOW // 1000 - 9))

    assert STRIPE.authenticate(sent, ["secret"], NOW) is Authenticity.INVALID


@pytest.mark.parametrize(
    ("verification", "headers", "found"),
    [
        (BEARER, {"Authorization": "Bearer secret"}, Authenticity.VALID),
        (BEARER, {"Authorization": "secret"}, Authenticity.INVALID),
        (BEARER, {"Authorization": "Bearer secre"}, Authenticity.INVALID),
        (BEARER, {"Authorization": "Bearer \udcff"}, Authenticity.INVALID),
        (BearerToken("X-Gitlab-Token"), {"X_Gitlab_Token": "secret"}, Authenticity.VALID),
        (BearerToken("X-Gitlab-Token"), {"X_Gitlab_Token": "Bearer secret"}, Authenticity.INVALID),
    ],
)
def test_token_is_compared(verification: BearerToken, headers: dict[str, str], found: Authenticity) -> None:
    assert verification.authenticate(request(BODY, **headers), ["secret"], NOW) is found


@pytest.mark.parametrize("verification", [GITHUB, STRIPE, BEARER])
def test_any_version_of_the_secret_is_valid_and_no_secret_never(verification: WebhookVerification) -> None:
    signed = verification.signed(BODY, "old", NOW, "d-1")
    sent = HttpRequest("r", BODY, {name.lower(): value for name, value in signed.items()}, {})

    assert verification.authenticate(sent, ["new", "old"], NOW) is Authenticity.VALID
    assert verification.authenticate(sent, ["new"], NOW) is Authenticity.INVALID
    assert verification.authenticate(sent, [], NOW) is Authenticity.INVALID


@pytest.mark.parametrize(
    "make",
    [
        lambda: HmacSignature(header="X Signature"),
        lambda: HmacSignature(header=""),
        lambda: HmacSignature(encoding="hexadecimal"),
        lambda: HmacSignature(delivery_header="a:b"),
        lambda: TimestampedSignature(tolerance=timedelta(0)),
        lambda: TimestampedSignature(tolerance=timedelta(hours=1, seconds=1)),
        lambda: BearerToken(header="\n"),
        lambda: sensor("a token"),  # type: ignore[arg-type]
    ],
)
def test_invalid_verification_fails_the_definition(make: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError):
        make()


# ---- Identities


def test_identity_is_what_the_signature_covers() -> None:
    digest = f"sha256:{hashlib.sha256(BODY).hexdigest()}"
    named = request(X_GitHub_Delivery="d-1", Idempotency_Key="i-1")

    assert (GITHUB.identities(named).key, GITHUB.identities(named).delivery) == (digest, "d-1")
    assert HmacSignature(delivery_header=None).identities(named).delivery == ""
    assert (STRIPE.identities(named).key, STRIPE.identities(named).delivery) == ("evt_1", "")
    assert BearerToken(delivery_header="Idempotency-Key").identities(named).key == "i-1"
    assert (BEARER.identities(named).key, BEARER.identities(named).is_lasting) == ("request-1", False)


@pytest.mark.parametrize(
    "body", [b"", b"text", b"[1]", b'{"id":7}', b'{"id":"a b"}', b'{"id":""}', b"\xff", b"[" * 9_999]
)
def test_identity_of_a_body_without_id_is_its_digest(body: bytes) -> None:
    assert STRIPE.identities(request(body)).key == f"sha256:{hashlib.sha256(body).hexdigest()}"


@pytest.mark.parametrize("delivery", ["", "a b", "é", "x" * 201, "a\nb"])
def test_malformed_delivery_id_is_refused(delivery: str) -> None:
    instance = TreadleInstance([sensor(GITHUB)])

    found = instance.call_webhook("pushed", BODY, headers={"X-GitHub-Delivery": delivery})

    assert (found.status, found.tick) == (400, None)
    assert "X-GitHub-Delivery must have an id" in found.message
    assert not instance.ticks("pushed")


# ---- Requests


def test_each_request_starts_one_run_however_often_it_is_delivered() -> None:
    instance = TreadleInstance([sensor(GITHUB)])

    found = [
        instance.call_webhook("pushed", {"ref": ref}, delivery_id=delivery)
        for ref, delivery in (("main", "d-1"), ("main", "d-1"), ("dev", "d-2"))
    ]

    assert [(each.status, each.message) for each in found] == [
        (202, "Accepted."),
        (202, "Accepted before."),
        (202, "Accepted."),
    ]
    assert [run.run_config for run in instance.runs()] == [
        '{"text":"{\\"ref\\": \\"main\\"}"}',
        '{"text":"{\\"ref\\": \\"dev\\"}"}',
    ]
    assert len(instance.ticks("pushed")) == 2


def test_captured_request_under_a_fresh_delivery_id_starts_nothing() -> None:
    instance = TreadleInstance([sensor(GITHUB)])
    instance.call_webhook("pushed", BODY, delivery_id="d-1")
    instance.clock.advance(86_400)

    replayed = instance.call_webhook("pushed", BODY, delivery_id="fresh")

    assert (replayed.status, replayed.message) == (202, "Accepted before.")
    assert (len(instance.ticks("pushed")), len(instance.runs())) == (1, 1)


def test_another_body_under_a_known_delivery_id_starts_nothing() -> None:
    instance = TreadleInstance([sensor(GITHUB)])
    instance.call_webhook("pushed", BODY, delivery_id="d-1")

    replayed = instance.call_webhook("pushed", b"{}", delivery_id="d-1")

    assert (replayed.status, replayed.message) == (202, "Accepted before.")
    assert (len(instance.ticks("pushed")), len(instance.runs())) == (1, 1)


@pytest.mark.parametrize("verification", [GITHUB, STRIPE, BEARER])
def test_request_that_is_not_authentic_is_refused_and_nothing_is_stored(
    verification: WebhookVerification,
) -> None:
    instance = TreadleInstance([sensor(verification)])
    header = verification.header

    found = [instance.call_webhook("pushed", BODY, headers={header: value}) for value in ("", "t=1,v1=2")]

    assert [each.status for each in found] == [401, 401]
    assert found[0].message == f"The header {header} is missing."
    assert not instance.ticks("pushed")
    assert not instance._tables.deliveries
    assert instance.call_webhook("pushed", BODY).status == 202


def test_signature_outside_the_tolerance_is_refused_unless_the_request_is_known() -> None:
    instance = TreadleInstance([sensor(STRIPE)])
    then = datetime.fromtimestamp(instance.clock.now() / 1000, UTC)
    instance.clock.advance(400)

    first = instance.call_webhook("pushed", BODY, signed_at=then)
    assert (first.status, first.message) == (401, "The time of the signature is too far from now.")
    assert not instance._tables.deliveries

    instance.call_webhook("pushed", BODY)
    again = instance.call_webhook("pushed", BODY, signed_at=then)

    assert (again.status, again.message) == (202, "Accepted before.")
    assert len(instance.ticks("pushed")) == 1


def test_requests_of_a_sender_without_ids_are_requests_of_their_own() -> None:
    instance = TreadleInstance([sensor(BEARER)])

    for _ in range(2):
        instance.call_webhook("pushed", BODY)

    assert len(instance.runs()) == 2
    assert not instance._tables.deliveries


def test_identity_names_what_a_request_is_about() -> None:
    instance = TreadleInstance([sensor(BEARER, identity=lambda each: each.json()["id"])])

    for _ in range(2):
        instance.call_webhook("pushed", BODY)

    assert [run.run_key for run in instance.runs()] == ["evt_1"]


def test_function_that_fails_leaves_the_request_to_be_sent_again() -> None:
    fails = [True]

    @webhook_sensor(GITHUB, job=build)
    def pushed(context: WebhookSensorContext) -> RunRequest:
        """Fail once."""
        if fails.pop():
            fails.append(False)
            raise ValueError("not now")
        return RunRequest()

    instance = TreadleInstance([pushed])
    with pytest.raises(SensorEvaluationError, match="not now"):
        instance.call_webhook("pushed", BODY, delivery_id="d-1")
    instance.clock.advance(3_600)

    again = instance.call_webhook("pushed", BODY, delivery_id="d-1")

    assert (again.status, again.message) == (202, "Accepted.")
    [tick] = instance.ticks("pushed")
    assert (tick.attempts, len(instance.runs())) == (2, 1)


def test_stopped_sensor_accepts_nothing_and_evaluates_it_when_it_is_sent_again() -> None:
    instance = TreadleInstance([sensor(GITHUB)])
    instance.stop_sensor("pushed")

    stopped = instance.call_webhook("pushed", BODY, delivery_id="d-1")
    instance.start_sensor("pushed")
    started = instance.call_webhook("pushed", BODY, delivery_id="d-1")

    assert (stopped.status, stopped.message) == (
        503,
        "The sensor is stopped, and the request was not accepted. Send it again.",
    )
    assert stopped.tick is not None
    assert stopped.tick.outcome.decision is Decision.STOPPED
    assert (started.status, len(instance.runs())) == (202, 1)


def test_request_that_was_accepted_long_ago_is_not_evaluated_again() -> None:
    """The record of its tick may have expired."""
    instance = TreadleInstance([sensor(GITHUB)])
    instance.call_webhook("pushed", BODY)
    instance._tables.ticks.clear()
    instance.clock.advance(timedelta(days=31).total_seconds())

    again = instance.call_webhook("pushed", BODY)

    assert (again.status, again.message) == (202, "Accepted before.")
    assert not instance.ticks("pushed")


def test_body_of_four_megabytes_is_accepted_and_a_larger_one_refused_with_our_message() -> None:
    instance = TreadleInstance([sensor(BEARER, identity=lambda _: "one")])

    assert instance.call_webhook("pushed", b"\xff" * (MAX_BODY + 1)).message == (
        "The body has more than 4,000,000 bytes. Send a reference to its content instead."
    )
    assert instance.call_webhook("pushed", b"\xff" * (MAX_BODY + 1)).status == 413
    assert instance.call_webhook("pushed", b"\xff" * MAX_BODY).status == 202


def test_other_sensors_have_no_endpoint_and_other_sensors_get_no_request() -> None:
    @webhook_sensor(GITHUB, name="other", job=build)
    def other(context: WebhookSensorContext) -> RunRequest:
        """A run for each request."""
        return RunRequest()

    instance = TreadleInstance([sensor(GITHUB), other])
    instance.call_webhook("pushed", BODY)

    assert not instance.ticks("other")


def received(body: bytes = BODY, **headers: str) -> WebhookRequest:
    return WebhookRequest("pushed", "d-1", "k-1", body, headers, time=datetime(2026, 11, 30, tzinfo=UTC))


def test_direct_call_gets_the_request() -> None:
    made = sensor(GITHUB)
    context = build_webhook_sensor_context(received())

    assert made(context).run_config == {"text": BODY.decode()}
    assert made.evaluate_tick(context).run_requests[0].run_key == "k-1"
    assert (
        made.evaluate_tick(build_sensor_context()).skip_message
        == "Sensor pushed evaluates requests, not ticks."
    )
    assert made.described()["verification"].startswith("HmacSignature(header='X-Hub-Signature-256'")


def test_body_is_read_as_text_json_or_form_and_never_shown() -> None:
    assert received().json() == {"id": "evt_1", "ref": "main"}
    assert received(b"a=1&a=2&b=").form() == {"a": ["1", "2"], "b": [""]}
    assert received(b"\xff").text == "�"
    with pytest.raises(UnknownEventError, match="is not JSON") as error:
        received(b"very secret").json()
    assert "secret" not in f"{error.value}{received(b'very secret')!r}{received().summary}"


# ---- Secrets


class CountedSecrets(InMemorySecrets):
    """Counts how often a secret is read."""

    def __init__(self, *versions: str) -> None:
        super().__init__({"name": versions})
        self.reads = 0

    def read(self, name: str) -> tuple[str, ...]:
        """Count and read."""
        self.reads += 1
        return super().read(name)


def test_secret_is_read_once_and_again_after_an_hour() -> None:
    clock, store = VirtualClock(), CountedSecrets("a")
    secret = RotatedSecret(store, "name", clock)

    assert [secret.versions(), secret.versions(), store.reads] == [("a",), ("a",), 1]
    clock.time += MAX_AGE_MS
    secret.versions()
    assert store.reads == 2


def test_secret_is_read_again_once_a_minute_for_signatures_that_do_not_match() -> None:
    clock, store = VirtualClock(), CountedSecrets("a")
    secret = RotatedSecret(store, "name", clock)
    secret.versions()

    assert secret.newer() is None
    clock.time += REFRESH_MS
    store.versions = {"name": ("b", "a")}
    assert secret.newer() == ("b", "a")
    assert secret.newer() is None
    assert (secret.versions(), store.reads) == (("b", "a"), 2)


def test_secret_that_cannot_be_read_again_refuses_nobody_and_is_tried_once_a_minute() -> None:
    clock, store = VirtualClock(), CountedSecrets("a")
    secret = RotatedSecret(store, "name", clock)
    secret.versions()
    clock.time += REFRESH_MS
    store.versions = {}

    for _ in range(2):
        with pytest.raises(WebhookSecretError):
            secret.newer()
    assert (secret.versions(), store.reads) == (("a",), 2)


def test_sender_that_signs_with_the_new_version_is_accepted_at_once() -> None:
    instance = TreadleInstance([sensor(GITHUB)])
    instance.call_webhook("pushed", BODY)
    receiver = instance._receivers["pushed"]
    receiver._secret._store.versions = {receiver._secret._name: ("rotated",)}  # type: ignore[attr-defined]
    signed = GITHUB.signed(b"new", "rotated", 0, "d-2")

    assert instance.call_webhook("pushed", b"new", headers=signed).status == 401
    instance.clock.advance(60)
    assert instance.call_webhook("pushed", b"new", headers=signed).status == 202


def test_outcome_of_a_refused_request_is_none() -> None:
    instance = TreadleInstance([sensor(BEARER)])
    receiver = instance._receivers["pushed"]

    def evaluate(_: WebhookRequest) -> Outcome:
        raise AssertionError

    assert receiver.receive(request(), evaluate).outcome is None
