"""The sensor that tells people of failed runs: deployed where a receiver is named, with the rights that it takes."""

import re

import pytest

from tests.template.model import actions, read, references

template = read()
PARAMETERS = template.section("Parameters")
CONDITIONS = template.section("Conditions")
CHANNELS = {
    "Mails": "EmailTo",
    "Notifies": "TopicArn",
    "TellsSlack": "SlackSecret",
    "TellsTeams": "TeamsSecret",
    "TellsPagerDuty": "PagerDutySecret",
    "TellsWebhook": "WebhookSecret",
}
SECRETS = [name for name in PARAMETERS if re.fullmatch(r"FailureAlert\w+Secret", name)]


def test_it_is_deployed_if_any_receiver_is_named() -> None:
    assert CONDITIONS["FailureAlertIsOn"] == {
        "Fn::Or": [{"Condition": f"FailureAlert{condition}"} for condition in CHANNELS]
    }
    for condition, parameter in CHANNELS.items():
        given = {"Fn::Not": [{"Fn::Equals": [{"Ref": f"FailureAlert{parameter}"}, ""]}]}
        assert CONDITIONS[f"FailureAlert{condition}"] == given


def test_without_receiver_nothing_of_it_is_deployed() -> None:
    """Not even an alarm, or an output."""
    parts = {**template.section("Resources"), **template.section("Outputs")}
    own = {name: body.get("Condition") for name, body in parts.items() if name.startswith("FailureAlert")}

    assert len(own) >= 9
    assert set(own.values()) == {"FailureAlertIsOn"}


def test_each_channel_brings_its_own_right_and_no_other() -> None:
    policy = template.resources("AWS::IAM::Role")["FailureAlertRole"]["Policies"][0]["PolicyDocument"]
    optional = [s["Fn::If"] for s in policy["Statement"] if "Fn::If" in s and s["Fn::If"][0] != "TracingOn"]
    rights = {condition.removeprefix("FailureAlert"): s for condition, s, _ in optional}

    assert rights.keys() == CHANNELS.keys()
    assert actions(rights["Mails"]) == ["ses:SendEmail"]
    assert rights["Mails"]["Condition"] == {
        "StringEqualsIfExists": {"ses:FromAddress": {"Ref": "FailureAlertEmailFrom"}}
    }
    assert (actions(rights["Notifies"]), references(rights["Notifies"]["Resource"])) == (
        ["sns:Publish"],
        {"FailureAlertTopicArn"},
    )
    for condition in CHANNELS.keys() - {"Mails", "Notifies"}:
        assert actions(rights[condition]) == ["secretsmanager:GetSecretValue"]
        text, values = rights[condition]["Resource"]["Fn::Sub"]
        assert text.endswith(":secret:${Name}-??????")
        assert references(values) == {f"FailureAlert{CHANNELS[condition]}"}


@pytest.mark.parametrize("name", SECRETS)
@pytest.mark.parametrize(
    ("value", "accepted"),
    [
        ("", True),
        ("alerts/slack", True),
        ("alerts#slack", True),
        ("https://hooks.example.com/T0/B0/x", False),
        ("alerts*", False),
        ("alerts?", False),
        ("#slack", False),
    ],
)
def test_a_secret_is_named_and_never_given(name: str, value: str, accepted: bool) -> None:
    """The name goes into a policy's resource: no wildcard."""
    assert (re.fullmatch(PARAMETERS[name]["AllowedPattern"], value) is not None) is accepted


def test_mail_without_sender_is_refused() -> None:
    rule = template.section("Rules")["AlertsByEmailHaveASender"]

    assert references(rule["RuleCondition"]) == {"FailureAlertEmailTo"}
    assert references(rule["Assertions"][0]["Assert"]) == {"FailureAlertEmailFrom"}
