"""What the template registers with the engine, and how the engine gets to know of it."""

import json
import re
from typing import Any

import pytest

from tests.support.policies import ACCOUNT, REGION, STACK, Deployed
from tests.template.model import logical_prefix, read, samples
from treadle.adapters.parameters import CHANGES, changed_entry
from treadle.adapters.targets.registry import KINDS
from treadle.ports.registry import JobEntry, SensorEntry, parse_entry, path_of

template = read()
DEPLOYED = Deployed(template, {})
ENTRIES = template.resources("AWS::SSM::Parameter")
EVALUATORS = template.evaluators()
STANDARD_BYTES = 4_096
"""Of a standard parameter's value (quotas of Parameter Store)."""

STEPS = ("Dispatch", "Launch", "Record", "Reconcile")
TABLE = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/SensorsTable"


def parsed(logical_id: str) -> SensorEntry | JobEntry:
    """An entry as the engine reads it."""
    path = DEPLOYED.value(ENTRIES[logical_id]["Name"]).removeprefix(path_of(STACK))
    return parse_entry(path, DEPLOYED.value(ENTRIES[logical_id]["Value"]), set(KINDS))


def test_every_sensor_and_every_job_is_registered_once() -> None:
    found = list(map(parsed, ENTRIES))

    assert sorted(each.name for each in found if isinstance(each, SensorEntry)) == sorted(EVALUATORS)
    assert {each.name for each in found if isinstance(each, JobEntry)} == set(template.jobs())
    assert len({DEPLOYED.value(each["Name"]) for each in ENTRIES.values()}) == len(ENTRIES)
    assert {each.project for each in found} == {STACK}


@pytest.mark.parametrize("sensor", EVALUATORS)
def test_sensor_is_registered_as_it_is_deployed(sensor: str) -> None:
    prefix, variables = logical_prefix(sensor), template.environment(EVALUATORS[sensor])
    entry = parsed(f"{prefix}SensorEntry")

    assert isinstance(entry, SensorEntry)
    assert (entry.kind, entry.function) == (variables["TREADLE_KIND"], f"{prefix}Function")
    assert entry.queue == (f"{prefix}Queue" if "TREADLE_QUEUE_URL" in variables else "")
    assert entry.rule == (f"{prefix}Rule" if f"{prefix}Rule" in template.section("Resources") else "")
    assert entry.log_group == EVALUATORS[sensor]["LoggingConfig"]["LogGroup"]["Ref"]
    granted = {name for name in DEPLOYED.value(variables["TREADLE_GRANTED_JOBS"]).split(",") if name}
    assert entry.jobs == granted


@pytest.mark.parametrize("logical_id", ENTRIES)
def test_entry_is_a_standard_parameter_that_is_written_once_changes_are_seen(logical_id: str) -> None:
    """With a value of 150 characters for each parameter; and of the type whose changes are announced at once."""
    resource = template.section("Resources")[logical_id]
    given = resource["Properties"]["Value"]["Fn::Sub"]
    text = given if isinstance(given, str) else given[0]

    assert resource["DependsOn"] == ["RegistryPermission"]
    assert resource["Properties"]["Type"] == "String"
    assert len(re.sub(r"\$\{[\w:]+\}", "x" * 150, text).encode()) < STANDARD_BYTES


def test_changes_of_entries_are_told_to_reconcile_and_no_others() -> None:
    rule = DEPLOYED.value(template.resources("AWS::Events::Rule")["RegistryRule"])
    pattern, event = rule["EventPattern"], samples()["reconcile-registry"]
    prefixes = [each["prefix"] for each in pattern["detail"]["name"]]

    assert "EventBusName" not in rule
    assert (pattern["source"], pattern["detail-type"]) == ([event["source"]], [event["detail-type"]])
    assert set(pattern["detail"]["operation"]) == CHANGES
    assert prefixes == [f"{path_of(STACK)}sensors/", f"{path_of(STACK)}jobs/"]
    assert changed_entry(event, STACK) == ("jobs/process_file", False)
    (target,) = template.resources("AWS::Events::Rule")["RegistryRule"]["Targets"]
    assert target["Arn"] == {"Fn::GetAtt": ["ReconcileFunction", "Arn"]}
    permission = template.resources("AWS::Lambda::Permission")["RegistryPermission"]
    assert permission == {
        "FunctionName": {"Ref": "ReconcileFunction"},
        "Action": "lambda:InvokeFunction",
        "Principal": "events.amazonaws.com",
        "SourceArn": {"Fn::GetAtt": ["RegistryRule", "Arn"]},
    }


@pytest.mark.parametrize("step", STEPS)
@pytest.mark.parametrize("action", ["dynamodb:GetItem", "dynamodb:PutItem", "dynamodb:UpdateItem"])
def test_step_may_read_the_copy_and_reconcile_alone_may_write_it(step: str, action: str) -> None:
    may = action == "dynamodb:GetItem" or (step == "Reconcile" and action == "dynamodb:PutItem")

    assert (decision(step, action, "#registry") == "allowed") is may
    assert decision(step, action, "new_objects") != "allowed"
    assert decision(step, action) != "allowed"


def decision(step: str, action: str, *keys: str) -> str:
    """What IAM decides of a call on the sensors table."""
    context: dict[str, Any] = {"aws:PrincipalAccount": [ACCOUNT]}
    if keys:
        context["dynamodb:LeadingKeys"] = list(keys)
    return DEPLOYED.decides(f"{step}Role", action, TABLE, context)


def test_reconcile_alone_reads_the_engines_entries() -> None:
    account = f"arn:aws:ssm:{REGION}:{ACCOUNT}:parameter"
    context = {"aws:PrincipalAccount": [ACCOUNT]}
    for step in STEPS:
        for action in ("ssm:GetParametersByPath", "ssm:GetParameter"):
            for name, is_own in (
                ("/treadle/shop/jobs", True),
                ("/treadle/shop-2/jobs/load", False),
                ("/a", False),
            ):
                decided = DEPLOYED.decides(f"{step}Role", action, f"{account}{name}", context)
                assert (decided == "allowed") is (is_own and step == "Reconcile")


def test_engine_reads_what_its_own_projects_register() -> None:
    variables = template.environment(template.treadle_functions()["reconcile"])

    assert json.dumps(variables["TREADLE_ENGINE"]) == '{"Ref": "AWS::StackName"}'
