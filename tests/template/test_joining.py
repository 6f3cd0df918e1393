"""How stacks, Regions and accounts hear of one another's runs: the bus's policies, and what is sent on."""

import re
from typing import Any

import pytest

from tests.template.model import read, references
from treadle.engine.telling import (
    ASSET_MATERIALIZATION_REPORT,
    ASSET_MATERIALIZED,
    REPORT_SOURCE,
    RUN_STATUS_CHANGED,
    RUN_STATUS_REPORT,
    SOURCE,
)

template = read()
RESOURCES = template.section("Resources")
SPEAKERS, IF_JOINED = template.resources("AWS::Events::EventBus")["Bus"]["Policy"]["Statement"]
CONDITION, JOINED, _NOTHING = IF_JOINED["Fn::If"]
RULE = template.resources("AWS::Events::Rule")["ForwardRule"]
OWN_NAMESPACE = template.section("Globals")["Function"]["Environment"]["Variables"]["TREADLE_NAMESPACE"]
PARAMETERS = template.section("Parameters")


def test_the_policy_is_about_putting_events_on_this_bus() -> None:
    named = template.resources("AWS::Events::EventBus")["Bus"]["Name"]["Fn::Sub"]

    for statement in (SPEAKERS, JOINED):
        assert statement["Action"] == "events:PutEvents"
        assert statement["Resource"]["Fn::Sub"].endswith(f":event-bus/{named}")


def test_in_this_account_nobody_else_speaks_as_treadle() -> None:
    """But those who tell, and roles by which another stack of the account sends on what it has told."""
    speakers = SPEAKERS["Condition"]["ArnNotLike"]["aws:PrincipalArn"]

    assert (SPEAKERS["Effect"], SPEAKERS["Principal"]) == ("Deny", "*")
    assert SPEAKERS["Condition"]["StringEquals"] == {
        "events:source": SOURCE,
        "aws:PrincipalAccount": {"Ref": "AWS::AccountId"},
    }
    assert references(speakers[:4]) == {"DispatchRole", "RecordRole", "PublishRole", "ReconcileRole"}
    [path] = [re.sub(r"\$\{.*?\}", "", each["Fn::Sub"]) for each in speakers[4:]]
    assert path == f"arn::iam:::role{RESOURCES['ForwardRole']['Properties']['Path']}*"


def test_joined_accounts_may_tell_of_runs_and_assets_and_of_nothing_else() -> None:
    accounts = {"Fn::Split": [",", {"Ref": "JoinedAccounts"}]}

    assert (JOINED["Effect"], JOINED["Principal"]) == ("Allow", {"AWS": accounts})
    assert CONDITION == "HasJoinedAccounts"
    assert JOINED["Condition"] == {
        "StringEquals": {
            "events:source": SOURCE,
            "events:detail-type": [RUN_STATUS_CHANGED, ASSET_MATERIALIZED],
        }
    }


@pytest.mark.parametrize(
    ("accounts", "accepted"),
    [
        ("123456789012", True),
        ("123456789012,210987654321", True),
        ("", True),
        ("*", False),
        ("12345678901", False),
        ("123456789012,", False),
    ],
)
def test_joined_accounts_are_named_one_by_one(accounts: str, accepted: bool) -> None:
    assert (re.fullmatch(PARAMETERS["JoinedAccounts"]["AllowedPattern"], accounts) is not None) is accepted


def test_only_this_stacks_runs_and_what_was_reported_to_it_are_sent_on() -> None:
    """What others sent here is not, so that two stacks that send to each other do not go in circles."""
    pattern: dict[str, Any] = RULE["EventPattern"]

    assert (RULE["EventBusName"], RESOURCES["ForwardRule"]["Condition"]) == (
        {"Ref": "Bus"},
        "HasForwardToBus",
    )
    assert pattern == {
        "source": [SOURCE],
        "detail-type": [RUN_STATUS_CHANGED, ASSET_MATERIALIZED],
        "detail": {"namespace": [OWN_NAMESPACE], "origin": [OWN_NAMESPACE, {"exists": False}]},
    }


def test_record_is_brought_reports_and_what_other_stacks_tell_of_assets() -> None:
    """Not what this stack tells itself; and all of it untransformed, as nothing in it is secret."""
    rules = template.resources("AWS::Events::Rule")
    patterns = {name: rules[name]["EventPattern"] for name in ("ReportsRule", "JoinedAssetsRule")}

    assert patterns == {
        "ReportsRule": {
            "source": [REPORT_SOURCE],
            "detail-type": [RUN_STATUS_REPORT, ASSET_MATERIALIZATION_REPORT],
        },
        "JoinedAssetsRule": {
            "source": [SOURCE],
            "detail-type": [ASSET_MATERIALIZED],
            "detail": {"namespace": [{"anything-but": [OWN_NAMESPACE]}]},
        },
    }
    for name in patterns:
        assert "Condition" not in RESOURCES[name]
        assert rules[name]["EventBusName"] == {"Ref": "Bus"}
        [target] = rules[name]["Targets"]
        assert target["Arn"] == {"Fn::GetAtt": ["RecordQueue", "Arn"]}
        assert "InputTransformer" not in target


def test_they_are_sent_by_a_role_that_may_do_nothing_else() -> None:
    [target] = RULE["Targets"]
    [statement] = template.allowed("ForwardRole")

    assert target["Arn"] == {"Ref": "ForwardToBusArn"}
    assert target["RoleArn"] == {"Fn::GetAtt": ["ForwardRole", "Arn"]}
    assert statement["Action"] == "events:PutEvents"
    assert references(statement["Resource"]) == {"ForwardToBusArn"}
