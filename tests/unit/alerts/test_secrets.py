"""Secrets by reference: read when they are needed, kept for a while, never reported."""

import json
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.alerts import Service, failed_context, shown
from tests.support.aws_server import aws_server
from treadle.adapters import alerts, clients
from treadle.definitions.errors import AlertDelayedError, AlertError
from treadle.integrations.alerts.secrets import Secret, redacted, reveal
from treadle.integrations.alerts.slack import make_slack_on_run_failure_sensor


@pytest.fixture
def aws() -> Iterator[None]:
    """AWS in this process; clients and secrets of other tests are forgotten before and after."""
    with mock_aws():
        _forget()
        yield
        _forget()


def _forget() -> None:
    clients.forget()
    alerts._provider.cache_clear()


def stored(name: str, text: str) -> Any:
    return boto3.client("secretsmanager").create_secret(Name=name, SecretString=text)["ARN"]


def test_secret_is_read_by_name_and_by_arn(aws: None) -> None:
    arn = stored("slack", "xoxb-1\n")

    assert reveal(Secret.secrets_manager("slack")) == reveal(Secret.secrets_manager(arn)) == "xoxb-1"
    assert reveal(" xoxb-2\n") == "xoxb-2"


def test_field_of_a_secret_that_is_a_json_object(aws: None) -> None:
    stored("alerts", json.dumps({"slack": "xoxb-1", "port": 465}))

    assert reveal(Secret.secrets_manager("alerts", key="slack")) == "xoxb-1"
    with pytest.raises(AlertError, match="is no JSON object that has the text 'port'"):
        reveal(Secret.secrets_manager("alerts", key="port"))


def test_parameter_of_ssm_is_decrypted(aws: None) -> None:
    boto3.client("ssm").put_parameter(Name="/alerts/slack", Value="xoxb-1", Type="SecureString")

    assert reveal(Secret.ssm("/alerts/slack")) == "xoxb-1"


def test_secret_is_requested_once_in_a_while(aws: None) -> None:
    stored("slack", "xoxb-1")
    assert reveal(Secret.secrets_manager("slack")) == "xoxb-1"

    boto3.client("secretsmanager").put_secret_value(SecretId="slack", SecretString="xoxb-2")

    assert reveal(Secret.secrets_manager("slack")) == "xoxb-1"


@pytest.mark.parametrize("secret", [Secret.secrets_manager("gone"), Secret.ssm("/gone")])
def test_secret_that_is_not_there_is_named(aws: None, secret: Secret) -> None:
    with pytest.raises(AlertError, match=r"The secret '/?gone' \(\w+\) cannot be read: .*NotFound") as raised:
        reveal(secret)

    assert not raised.value.retryable


def test_empty_secret_is_refused(aws: None) -> None:
    stored("slack", " \n")

    with pytest.raises(AlertError, match="'slack' is empty"):
        reveal(Secret.secrets_manager("slack"))


@pytest.mark.parametrize(
    ("code", "is_passing"), [("ThrottlingException", True), ("AccessDeniedException", False)]
)
def test_whether_another_try_helps_follows_from_the_code(
    code: str, is_passing: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    with aws_server() as server:
        server.answers["GetSecretValue"] = (400, {"__type": code, "message": "not now"})
        monkeypatch.setenv("AWS_ENDPOINT_URL", server.endpoint)
        _forget()
        with pytest.raises(AlertError, match=f"{code}.*not now") as raised:
            reveal(Secret.secrets_manager("slack"))
    _forget()

    assert isinstance(raised.value, AlertDelayedError) is is_passing


def test_sensor_sends_what_the_reference_leads_to_and_shows_it_nowhere(
    aws: None, service: Service, everything_logged: pytest.LogCaptureFixture
) -> None:
    stored("slack", "xoxb-T0P")
    service.answer(403, "xoxb-T0P is revoked")
    sensor = make_slack_on_run_failure_sensor("#a", Secret.secrets_manager("slack"), base_url=service.url)

    with pytest.raises(AlertError, match=r"answered 403: \*\*\* is revoked") as raised:
        sensor(failed_context())

    assert service.received[0].headers["Authorization"] == "Bearer xoxb-T0P"
    ours = "".join(r.getMessage() for r in everything_logged.records if not r.name.startswith("botocore"))
    assert "T0P" not in shown(raised.value) + ours


def test_texts_lose_addresses_with_their_paths_and_short_ones_stay() -> None:
    original = "https://h/services/T/B/x failed: /services/T/B/x; ab"

    assert redacted(original, ["https://h/services/T/B/x", "ab"]) == "*** failed: ***; ab"
