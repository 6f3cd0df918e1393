"""Checks of alert channels: topics, secrets and senders are queried; nothing is sent, and no secret is read."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber
from moto import mock_aws

from treadle.adapters import clients
from treadle.adapters.health.alert_channels import channel_probe
from treadle.adapters.health.probes import Probe, Vital, run_probes
from treadle.integrations.alerts.environment import alert_addresses
from treadle.model.health import AlertAddress, AlertChannel, MissingPermission, SkippedCheck
from treadle.operate.findings import Severity, of_channel

ACCOUNT = "123456789012"
TOPIC = f"arn:aws:sns:us-east-1:{ACCOUNT}:ops"
OWNER = "sensor failure_alert"


@pytest.fixture
def aws() -> Iterator[None]:
    with mock_aws():
        yield


def address(service: str, name: str, setting: str = "TREADLE_ALERT_X") -> AlertAddress:
    return AlertAddress(OWNER, service, name, setting)


def probed(service: str, name: str) -> AlertChannel:
    [found] = run_probes([channel_probe(address(service, name))])
    assert isinstance(found, AlertChannel)
    return found


def test_addresses_are_those_of_the_environment_without_a_secrets_field() -> None:
    settings = {
        "TREADLE_ALERT_SNS_TOPIC": TOPIC,
        "TREADLE_ALERT_EMAIL_FROM": "alerts@example.org",
        "TREADLE_ALERT_EMAIL_TO": "ops@example.org",
        "TREADLE_ALERT_SLACK_SECRET": "alerts#slack",
        "TREADLE_ALERT_TEAMS_SECRET": "",
        "TREADLE_ALERT_WEBHOOK_SECRET": "hook",
    }

    found = alert_addresses("failure_alert", settings)

    assert {(each.owner, each.service, each.name, each.setting) for each in found} == {
        (OWNER, "sns", TOPIC, "TREADLE_ALERT_SNS_TOPIC"),
        (OWNER, "ses", "alerts@example.org", "TREADLE_ALERT_EMAIL_FROM"),
        (OWNER, "secretsmanager", "alerts", "TREADLE_ALERT_SLACK_SECRET"),
        (OWNER, "secretsmanager", "hook", "TREADLE_ALERT_WEBHOOK_SECRET"),
    }


# ---- Topics


@pytest.mark.usefixtures("aws")
def test_topic_that_does_not_exist_is_reported_not_to_be_there() -> None:
    found = probed("sns", TOPIC)

    assert f"SNS topic {TOPIC} does not exist" in found.error
    assert "deploy with a different TREADLE_ALERT_X" in found.remedy


@pytest.mark.usefixtures("aws")
def test_topic_is_of_no_use_until_somebody_has_subscribed() -> None:
    boto3.client("sns").create_topic(Name="ops")

    found = probed("sns", TOPIC)
    assert "has no subscription" in found.error
    assert found.is_unused

    boto3.client("sns").subscribe(TopicArn=TOPIC, Protocol="email", Endpoint="ops@example.org")

    assert probed("sns", TOPIC).error == ""


def test_topic_whose_subscription_nobody_has_confirmed_is_not_unused() -> None:
    pending = {"SubscriptionArn": "PendingConfirmation", "Protocol": "email", "Endpoint": "ops@example.org"}
    with Stubber(clients.client("sns")) as sns:
        sns.add_response("get_topic_attributes", {"Attributes": {"SubscriptionsConfirmed": "0"}})
        sns.add_response("list_subscriptions_by_topic", {"Subscriptions": [pending]})

        found = probed("sns", TOPIC)

    assert "has no confirmed subscription" in found.error
    assert not found.is_unused


# ---- Secrets


@pytest.mark.usefixtures("aws")
def test_secret_is_there_or_is_not() -> None:
    assert "The secret alerts/slack does not exist" in probed("secretsmanager", "alerts/slack").error

    boto3.client("secretsmanager").create_secret(Name="alerts/slack", SecretString="xoxb")

    assert probed("secretsmanager", "alerts/slack").error == ""


def test_secret_that_is_being_deleted_cannot_be_read() -> None:
    answer = {
        "ARN": "arn:aws:secretsmanager:us-east-1:1:secret:s-abcdef",
        "DeletedDate": datetime(2026, 11, 29, tzinfo=UTC),
    }
    with Stubber(clients.client("secretsmanager")) as secrets:
        secrets.add_response("describe_secret", answer, {"SecretId": "s"})

        found = probed("secretsmanager", "s")

    assert "is scheduled for deletion" in found.error
    assert found.remedy.startswith("aws secretsmanager restore-secret --secret-id arn:aws:")


# ---- Senders

MISSING, PENDING, VERIFIED = "missing", "pending", "verified"


@pytest.mark.parametrize(
    ("by_address", "by_domain", "trouble"),
    [
        (VERIFIED, MISSING, ""),
        (MISSING, VERIFIED, ""),
        (PENDING, VERIFIED, ""),
        (PENDING, MISSING, "is not verified in SES"),
        (MISSING, PENDING, "is not verified in SES"),
        (MISSING, MISSING, "does not exist"),
    ],
)
def test_sender_needs_a_verified_address_or_domain(by_address: str, by_domain: str, trouble: str) -> None:
    with Stubber(clients.client("sesv2")) as ses:
        for name, state in (("alerts@example.org", by_address), ("example.org", by_domain)):
            params = {"EmailIdentity": name}
            if state == MISSING:
                ses.add_client_error("get_email_identity", "NotFoundException", expected_params=params)
            else:
                ses.add_response(
                    "get_email_identity", {"VerifiedForSendingStatus": state == VERIFIED}, params
                )
            if state == VERIFIED:
                break

        found = probed("ses", "Treadle <alerts@example.org>")

    assert trouble in found.error
    assert bool(found.error) is bool(trouble)


# ---- What may not be checked, and what may not be sent


@pytest.mark.parametrize(
    ("service", "operation", "name", "action"),
    [
        ("sns", "get_topic_attributes", TOPIC, "sns:GetTopicAttributes"),
        ("secretsmanager", "describe_secret", "s", "secretsmanager:DescribeSecret"),
        ("ses", "get_email_identity", "a@b.c", "ses:GetEmailIdentity"),
    ],
)
def test_channel_that_may_not_be_checked_names_the_permission(
    service: str, operation: str, name: str, action: str
) -> None:
    made: Any = clients.client("sesv2") if service == "ses" else clients.client(service)  # type: ignore[call-overload]
    with Stubber(made) as stub:
        stub.add_client_error(operation, "AccessDeniedException", http_status_code=403)

        [found] = run_probes([channel_probe(address(service, name))])

    assert isinstance(found, SkippedCheck)
    assert (found.check, found.action) == ("alerts", action)


@pytest.mark.usefixtures("aws")
def test_role_of_the_sender_must_be_allowed_to_publish_to_the_topic() -> None:
    boto3.client("sns").create_topic(Name="ops")
    boto3.client("sns").subscribe(TopicArn=TOPIC, Protocol="email", Endpoint="ops@example.org")
    simulated: list[tuple[str, str]] = []

    def allowed(action: str, resource: str) -> list[Probe]:
        simulated.append((action, resource))
        denial = MissingPermission(OWNER, action, resource, "implicitDeny")
        return [Probe("permissions", "the roles", "iam:SimulatePrincipalPolicy", lambda: [denial])]

    found: list[Vital] = run_probes([channel_probe(address("sns", TOPIC), allowed)])

    assert simulated == [("sns:Publish", TOPIC)]
    assert [type(each) for each in found] == [AlertChannel, MissingPermission]


def test_alerts_that_cannot_arrive_are_a_problem_with_what_to_do() -> None:
    channel = AlertChannel(
        address("sns", TOPIC, "TREADLE_ALERT_SNS_TOPIC"), "SNS topic ops is not there", "Create it"
    )

    [found] = of_channel(channel)

    assert (found.check, found.subject, found.severity) == ("alerts", OWNER, Severity.PROBLEM)
    assert found.message == "Alerts do not arrive: SNS topic ops is not there (TREADLE_ALERT_SNS_TOPIC)."
    assert list(of_channel(AlertChannel(channel.address))) == []


def test_alerts_that_nobody_has_subscribed_to_are_a_warning() -> None:
    """A project is deployed so if its deployer leaves AlertEmail empty."""
    channel = AlertChannel(address("sns", TOPIC, "X"), "SNS topic ops has no subscription", is_unused=True)

    assert [found.severity for found in of_channel(channel)] == [Severity.WARNING]
