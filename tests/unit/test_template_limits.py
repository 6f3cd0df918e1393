"""What AWS measures of a template, and how many more of the same fit."""

import json
from typing import Any

import pytest

from treadle.operate.limits import (
    ATTACHED,
    BUS_RULES,
    DEFAULT_BUS_RULES,
    ENVIRONMENT,
    INLINE,
    LONGEST_STACK_NAME,
    NAME,
    PATTERN,
    QUEUE_POLICY,
    REFERENCES,
    RESOURCES,
    WILDCARD_RULES,
    Deployed,
    Limit,
    exceeded,
    measure,
    room,
)


def function(**properties: object) -> dict[str, Any]:
    return {"Type": "AWS::Serverless::Function", "Properties": properties}


def used(template: dict[str, Any], limit: Limit, subject: str = "", **given: str) -> int:
    [found] = [use.used for use in measure(template, given) if (use.limit, use.subject) == (limit, subject)]
    return found


def test_environment_is_measured_as_the_json_that_lambda_measures() -> None:
    """Quotes within a value are escaped, and Globals count for every function."""
    variables = {"JOBS": '{"a": "b"}', "NAME": "é"}
    template = {
        "Globals": {"Function": {"Environment": {"Variables": {"SHARED": {"Ref": "AWS::StackName"}}}}},
        "Resources": {"F": function(Environment={"Variables": variables})},
    }
    expected = json.dumps({"SHARED": LONGEST_STACK_NAME, **variables}, separators=(",", ":")).encode()

    assert used(template, ENVIRONMENT, "F") == len(expected)


def test_each_function_is_counted_with_what_sam_makes_for_it() -> None:
    events = {
        "Minute": {"Type": "ScheduleV2", "Properties": {"RoleArn": "arn"}},
        "Queue": {"Type": "SQS", "Properties": {}},
        "Rule": {"Type": "EventBridgeRule", "Properties": {"Pattern": {}}},
    }

    assert used({"Resources": {"F": function()}}, RESOURCES) == 2
    assert used({"Resources": {"F": function(Role="arn")}}, RESOURCES) == 1
    assert used({"Resources": {"F": function(Events=events)}}, RESOURCES) == 6
    assert used({"Resources": {"F": function(EventInvokeConfig={})}}, RESOURCES) == 3


def test_role_that_sam_makes_has_the_functions_policies_and_those_of_its_events() -> None:
    statement = {"Statement": [{"Effect": "Allow", "Action": "s3:ListBucket", "Resource": "arn:aws:s3:::b"}]}
    events = {"Queue": {"Type": "SQS", "Properties": {}}}
    template = {
        "Resources": {"F": function(Policies=[{"Ref": "P"}, statement], Events=events)},
        "Parameters": {"P": {"Type": "String"}},
    }

    assert used(template, ATTACHED, "FRole") == 3
    assert used(template, INLINE, "FRole") == len(json.dumps(statement, separators=(",", ":")))


def test_names_are_as_long_as_cloudformation_makes_them() -> None:
    template = {"Resources": {"NewFilesFunction": function(), "Q": {"Type": "AWS::SQS::Queue"}}}
    deployed = Deployed(template, {})

    assert len(deployed.value({"Ref": "NewFilesFunction"})) == 32 + len("-NewFilesFunction-") + 12
    assert deployed.value({"Fn::GetAtt": ["Q", "Arn"]}).startswith(
        "arn:aws:sqs:ap-southeast-2:123456789012:ssss"
    )
    assert len(Deployed({"Resources": {"F" * 40: function()}}, {}).value({"Ref": "F" * 40})) == 64


def test_longer_branch_of_a_condition_counts() -> None:
    longer = {"Fn::If": ["C", "much longer", {"Ref": "AWS::NoValue"}]}

    assert Deployed({"Resources": {}}, {}).value({"A": longer, "B": {"Ref": "AWS::NoValue"}}) == {
        "A": "much longer"
    }


def test_parts_of_a_list_parameter_are_selected() -> None:
    template = {
        "Parameters": {"Engine": {"Type": "AWS::SSM::Parameter::Value<List<String>>", "Default": "/p"}},
        "Resources": {},
    }
    deployed = Deployed(template, {"Engine": ["1", "main"]})

    assert (
        deployed.value({"Fn::Sub": ["/treadle/${E}/x", {"E": {"Fn::Select": [1, {"Ref": "Engine"}]}}]})
        == "/treadle/main/x"
    )


def test_rules_are_counted_by_bus_and_by_wildcards() -> None:
    def rule(**properties: object) -> dict[str, Any]:
        return {"Type": "AWS::Events::Rule", "Properties": properties}

    wild = {"detail": {"object": {"key": [{"wildcard": "a*b"}]}}}
    template = {
        "Resources": {
            "A": rule(EventPattern=wild),
            "B": rule(EventPattern={"source": ["aws.s3"]}),
            "C": rule(EventPattern=wild, EventBusName="own"),
        }
    }

    assert used(template, DEFAULT_BUS_RULES) == 2
    assert used(template, BUS_RULES) == 1
    assert used(template, WILDCARD_RULES) == 1
    assert used(template, PATTERN, "A") == len(json.dumps(wild, separators=(",", ":")))


def test_dynamic_references_count_once_for_each_function_that_has_them_from_globals() -> None:
    """SAM copies Globals, and CloudFormation takes 60 in a template."""
    variables = {"A": "{{resolve:ssm:/treadle/main/v1}}"}
    template = {
        "Globals": {"Function": {"Environment": {"Variables": variables}}},
        "Resources": {f"F{number}": function() for number in range(61)},
    }

    assert used(template, REFERENCES) == 61
    assert [use.limit for use in exceeded(measure(template))] == [REFERENCES]


def test_name_that_the_template_gives_is_measured() -> None:
    template = {"Resources": {"F": function(FunctionName={"Fn::Sub": "${AWS::StackName}-" + "x" * 40})}}

    assert [use.limit for use in exceeded(measure(template))] == [NAME]


def project(sensors: int) -> dict[str, Any]:
    """Return a project whose sensors share one queue policy."""
    arns = [{"Fn::GetAtt": [f"Q{number:03}", "Arn"]} for number in range(sensors)]
    statement = {"Effect": "Allow", "Action": "sqs:SendMessage", "Resource": arns}
    queues = {f"Q{number:03}": {"Type": "AWS::SQS::Queue"} for number in range(sensors)}
    policy = {"Type": "AWS::SQS::QueuePolicy", "Properties": {"PolicyDocument": {"Statement": [statement]}}}
    return {"Resources": {"Policy": policy, **queues}}


@pytest.mark.parametrize("sensors", [10, 40])
def test_room_says_what_gives_first_and_after_how_many(sensors: int) -> None:
    found = room(measure(project(sensors - 1)), measure(project(sensors)))

    assert found is not None
    assert (found.limit, found.subject) == (QUEUE_POLICY, "Policy")
    assert exceeded(measure(project(sensors + found.more))) == []
    assert QUEUE_POLICY in {use.limit for use in exceeded(measure(project(sensors + found.more + 5)))}


def test_room_of_what_does_not_grow_has_no_end() -> None:
    assert room(measure(project(3)), measure(project(3))) is None
