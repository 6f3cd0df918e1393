"""engine/job-account.yaml: delivers status events of jobs in another account to the engine's queue, and nothing else."""

import json
import re
import tomllib
from typing import Any

import pytest
import yaml

from tests.support.policies import Deployed, decision
from tests.template.engine_model import FOLDER, ROLE, deployed, read_engine, template_at
from tests.template.model import ROOT, Template, _Loader, samples
from tests.template.shared import transformed
from treadle.adapters.asset_reports import is_about_an_asset, parse_asset_event
from treadle.adapters.status_events import parse_status_change
from treadle.model.contract import PARTS
from treadle.operate.limits import exceeded, measure

pytestmark = pytest.mark.treadle

TEMPLATE = template_at(FOLDER / "job-account.yaml")
ENGINE = read_engine()
RULES, RULES_OF_ENGINE = (each.resources("AWS::Events::Rule") for each in (TEMPLATE, ENGINE))
CONTRACT = str(deployed().value(ENGINE.resources("AWS::SSM::Parameter")["Contract"]["Value"]))
QUEUE = CONTRACT.split(",")[PARTS.index("record_queue_arn")]
OWN, OTHER, STRANGER = "123456789012", "210987654321", "333333333333"
OTHERS = {"JobAccounts": f"{OTHER},444444444444"}

account = Deployed(TEMPLATE, {"Engine": CONTRACT})


def test_every_rule_of_a_kind_of_target_is_there_as_in_the_engines_account() -> None:
    """With the same pattern and the same fields; only events of other engines come another way."""
    assert RULES.keys() == RULES_OF_ENGINE.keys() - {"JoinedAssetsRule"}
    for name, rule in RULES.items():
        of_engine = RULES_OF_ENGINE[name]
        assert rule["EventPattern"] == of_engine["EventPattern"], name
        [target], [known] = rule["Targets"], of_engine["Targets"]
        assert target.get("InputTransformer") == known.get("InputTransformer"), name
        # The default bus: what a function's destination, or a job, puts on it stays in its account until here.
        assert "EventBusName" not in rule


def test_rules_deliver_to_the_engines_queue_by_a_role() -> None:
    """As EventBridge demands of a queue in another account; what it does not admit is kept."""
    for rule in RULES.values():
        [target] = account.value(rule["Targets"])
        assert target["Arn"] == QUEUE
        assert target["RoleArn"].endswith(":role/treadle/main/us-east-1/record/RecordRole")
        assert target["DeadLetterConfig"] == {"Arn": account.value({"Fn::GetAtt": ["DeadLetters", "Arn"]})}


def test_role_sends_to_the_engines_queue_and_may_do_nothing_else() -> None:
    [statement] = account.statements("RecordRole")
    [trust] = TEMPLATE.resources(ROLE)["RecordRole"]["AssumeRolePolicyDocument"]["Statement"]

    assert (statement["Action"], statement["Resource"]) == ("sqs:SendMessage", QUEUE)
    assert trust["Principal"] == {"Service": "events.amazonaws.com"}
    assert trust["Condition"] == {"StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}}}


def admitted(role: str, principal: str, action: str = "sqs:SendMessage", **given: str) -> str:
    """Return the decision of the engine's queue on a call of a role in an account."""
    found = deployed(**given)
    policy = ENGINE.resources("AWS::SQS::QueuePolicy")["RecordQueuePolicy"]["PolicyDocument"]
    statements = [
        each
        for each in found.value(policy["Statement"])
        if principal in each["Principal"].get("AWS", []) or "Service" in each["Principal"]
    ]
    context = {"aws:PrincipalArn": [f"arn:aws:iam::{principal}:role{role}"]}
    return decision(statements, action, QUEUE, context)


def test_engines_queue_admits_that_role_of_the_job_accounts_only() -> None:
    role = TEMPLATE.resources(ROLE)["RecordRole"]
    own = f"{account.value(role['Path'])}x-RecordRole-1A2B"

    assert admitted(own, OTHER, **OTHERS) == "allowed"
    assert admitted(own, OTHER) == "implicitDeny"
    assert admitted(own, STRANGER, **OTHERS) == "implicitDeny"
    assert admitted("/any", OTHER, **OTHERS) == "implicitDeny"
    assert admitted(own.replace("/main/", "/other/"), OTHER, **OTHERS) == "implicitDeny"
    assert admitted(own, OTHER, "sqs:ReceiveMessage", **OTHERS) == "implicitDeny"


SENT = [
    (rule, json.loads(record["body"].replace(OWN, OTHER)))
    for rule, body in RULES.items()
    for name, sample in samples().items()
    if name.startswith("record-")
    for record in sample["Records"]
    if json.loads(record["body"])["source"] in body["EventPattern"]["source"]
]


@pytest.mark.parametrize(("name", "event"), SENT, ids=[f"{name}-{event['id'][:8]}" for name, event in SENT])
def test_record_reads_what_the_rules_hand_on(name: str, event: dict[str, Any]) -> None:
    [target] = RULES[name]["Targets"]
    transformer = target.get("InputTransformer")
    sent = (
        transformed(transformer["InputTemplate"], transformer["InputPathsMap"], event)
        if transformer
        else event
    )

    assert sent["account"] == OTHER
    if is_about_an_asset(sent):
        assert parse_asset_event(sent) == parse_asset_event(event)
        return
    assert parse_status_change(sent) == parse_status_change(event)
    assert OWN not in parse_status_change(sent).external_id


def test_each_rule_has_a_sample() -> None:
    assert {name for name, _ in SENT} == RULES.keys()


def test_whatever_is_not_delivered_is_kept_and_alarmed_of() -> None:
    [policy] = TEMPLATE.resources("AWS::SQS::QueuePolicy").values()
    [statement] = account.value(policy["PolicyDocument"]["Statement"])
    [alarm] = TEMPLATE.resources("AWS::CloudWatch::Alarm").values()

    assert len(statement["Condition"]["ArnLike"]["aws:SourceArn"]) == len(RULES)
    assert alarm["Dimensions"] == [
        {"Name": "QueueName", "Value": {"Fn::GetAtt": ["DeadLetters", "QueueName"]}}
    ]
    assert (alarm["Threshold"], alarm["ComparisonOperator"]) == (0, "GreaterThanThreshold")


def test_stack_is_far_from_each_limit() -> None:
    found = measure(TEMPLATE.data, {"Engine": CONTRACT.replace("main", "e" * 32).split(",")})

    assert exceeded(found) == []


def test_contract_is_given_as_its_value() -> None:
    """CloudFormation reads no SSM parameter of another account; its parts have the places of model/contract.py."""
    text = (FOLDER / "job-account.yaml").read_text()
    header = "".join(line for line in text.splitlines()[:9] if line.startswith("#"))

    assert TEMPLATE.section("Parameters")["Engine"]["Type"] == "CommaDelimitedList"
    assert (PARTS[1], PARTS[12]) == ("engine", "record_queue_arn")
    assert "1 engine, 12 record queue" in header
    assert set(map(int, re.findall(r"!Select \[(\d+), !Ref Engine\]", text))) == {1, 12}


GUIDE = (ROOT / "docs/guide/jobs-in-another-account.md").read_text()


def test_role_of_the_guide_trusts_the_engines_functions_and_starts_for_launch_only() -> None:
    [block] = re.findall(r"^```yaml\n(.*?)^```$", GUIDE, flags=re.MULTILINE | re.DOTALL)
    guide = Template(yaml.load(block, Loader=_Loader))
    role = Deployed(guide, {"Engine": CONTRACT})
    properties = role.value(guide.resources(ROLE)["LoadJobRole"])
    [trust] = properties["AssumeRolePolicyDocument"]["Statement"]
    machine = f"arn:aws:states:us-east-1:{OWN}:stateMachine:load"

    def decided(session: str) -> str:
        found = list(role.statements("LoadJobRole"))
        return decision(found, "states:StartExecution", machine, {"aws:userid": [f"AROA:{session}"]})

    assert properties["Path"] == "/treadle/main/us-east-1/job/"
    assert trust["Principal"] == {"AWS": OWN}
    assert trust["Condition"]["ArnLike"]["aws:PrincipalArn"].endswith(":role/treadle/main/us-east-1/engine/*")
    assert decided("launch") == "allowed"
    assert decided("record") == "implicitDeny"


def test_parameters_and_environments_of_the_guide_exist() -> None:
    settings = tomllib.loads((FOLDER / "samconfig.toml").read_text())

    assert "JobAccounts" in ENGINE.section("Parameters")
    assert set(re.findall(r"--config-env ([\w-]+)", GUIDE)) == {"job-account"}
    assert settings["job-account"]["deploy"]["parameters"]["template_file"] == "job-account.yaml"
