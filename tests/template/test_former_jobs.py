"""FormerJobArns: rules and roles still reach what jobs were before, as CloudFormation resolves them."""

from typing import Any

import pytest
import yaml

from tests.template import model
from tests.template.model import actions, read, references
from treadle.cli.fragments import NewSensor
from treadle.cli.kinds import kind_of

template = read()
FORMER = "FormerJobArns"
HERE = "us-east-1:123456789012"
MACHINE, OTHER = (f"arn:aws:states:{HERE}:stateMachine:{name}" for name in ("load", "load-2"))
GLUE = f"arn:aws:glue:{HERE}:job/nightly"
GIVEN = [MACHINE, GLUE, OTHER]
TASK = f"arn:aws:ecs:{HERE}:task-definition/load:3"
DEFINITION = f"arn:aws:batch:{HERE}:job-definition/load:3"
PARAMETERS: dict[str, Any] = {
    FORMER: GIVEN,
    "LoadGlueJobName": "load",
    "LoadTaskDefinitionArn": TASK,
    "LoadCluster": "cluster",
    "LoadJobDefinitionArn": DEFINITION,
    "AWS::Partition": "aws",
    "AWS::Region": "us-east-1",
    "AWS::AccountId": "123456789012",
}


def resolved(value: Any) -> Any:
    """A value as CloudFormation gives it to a resource."""
    if isinstance(value, list):
        return [resolved(each) for each in value]
    if not isinstance(value, dict):
        return value
    match value:
        case {"Ref": name}:
            return PARAMETERS[name]
        case {"Fn::Join": [separator, parts]}:
            return separator.join(resolved(parts))
        case {"Fn::Split": [separator, text]}:
            return resolved(text).split(separator)
        case {"Fn::Select": [index, parts]}:
            return resolved(parts)[int(index)]
        case {"Fn::Sub": [text, names]}:
            for name, given in {**PARAMETERS, **resolved(names)}.items():
                text = text.replace(f"${{{name}}}", str(given))
            return text
    return {key: resolved(each) for key, each in value.items()}


def of_former(role: str) -> dict[str, list[str]]:
    """What a role may do because of former addresses: by action, where."""
    found: dict[str, list[str]] = {}
    for name, statement in template.statements():
        if name == role and FORMER in references(statement["Resource"]):
            assert references(statement["Resource"]) - {"Executions"} == {FORMER}
            found |= dict.fromkeys(actions(statement), resolved(statement["Resource"]))
    return found


EXECUTIONS = [f"arn:aws:states:{HERE}:execution:{name}:*" for name in ("load", "load-2")]
LOOKS = {"states:DescribeStateMachine", "glue:GetJobRun", "glue:GetJobRuns", "glue:BatchStopJobRun"}
STARTS = {"states:StartExecution"}


@pytest.mark.parametrize("role", template.job_roles().values())
def test_role_of_a_job_reaches_former_addresses_for_what_is_under_way_and_no_more(role: str) -> None:
    found = of_former(role)

    assert {action for action, where in found.items() if where == GIVEN} == LOOKS | STARTS
    of_executions = found.keys() - LOOKS - STARTS
    assert of_executions == {
        "states:DescribeExecution",
        "states:GetExecutionHistory",
        "states:StopExecution",
    }
    for action in of_executions:
        assert [each for each in found[action] if ":states:" in each] == EXECUTIONS


def test_no_other_role_and_no_deployment_without_former_addresses_has_these_permissions() -> None:
    with_them = {role for role, body in template.statements() if FORMER in references(body["Resource"])}
    conditions = {
        each["Fn::If"][0]
        for body in template.resources("AWS::IAM::Role").values()
        for policy in body.get("Policies", [])
        for each in policy["PolicyDocument"]["Statement"]
        if FORMER in references(each)
    }

    assert with_them == set(template.job_roles().values())
    assert conditions == {"AnyJobHasMoved"}
    assert template.section("Conditions")["AnyJobHasMoved"] == {
        "Fn::Not": [{"Fn::Equals": [{"Fn::Join": ["", {"Ref": FORMER}]}, ""]}]
    }


def test_events_of_former_state_machines_are_heard_as_those_of_present_ones() -> None:
    rules = template.resources("AWS::Events::Rule")
    former, present = rules["FormerStateMachinesRule"], rules["StateMachinesRule"]

    pattern = resolved(former["EventPattern"])
    assert pattern == {
        "source": ["aws.states"],
        "detail-type": ["Step Functions Execution Status Change"],
        "detail": {"stateMachineArn": GIVEN},
    }
    assert former["Targets"] == present["Targets"]
    assert template.section("Resources")["FormerStateMachinesRule"]["Condition"] == "AnyJobHasMoved"


def rule_of(kind: str) -> dict[str, Any]:
    """The pattern of the rule that a new job of a kind gets, resolved."""
    text = NewSensor("watch", "load", 60, kind).fill(kind_of(kind).rule)
    [rule] = yaml.load(text, Loader=model._Loader).values()
    found: dict[str, Any] = resolved(rule["Properties"]["EventPattern"]["detail"])
    return found


def test_events_of_former_glue_jobs_are_heard_by_their_names() -> None:
    names = rule_of("glue")["jobName"]

    assert {"load", "nightly"} <= set(names)
    assert all(":" in name for name in set(names) - {"load", "nightly"}), "no job is called so"


@pytest.mark.parametrize(
    ("kind", "field", "address"),
    [("batch", "jobDefinition", DEFINITION), ("ecs", "taskDefinitionArn", TASK)],
)
def test_events_of_every_revision_are_heard(kind: str, field: str, address: str) -> None:
    """A deployment that names a new revision leaves the runs of the one before it under way."""
    assert rule_of(kind)[field] == [{"prefix": address.removesuffix("3")}]


def test_those_who_look_at_runs_are_told_the_former_addresses() -> None:
    functions = template.named_functions()
    for name in ("launch", "record"):
        assert template.environment(functions[name])["TREADLE_FORMER_JOBS"] == {
            "Fn::Join": [",", {"Ref": FORMER}]
        }
