"""Parts of the templates of checks: roles that the caller may assume, queues, functions, tables."""

from collections.abc import Mapping, Sequence
from typing import Any

from tools.verify.account import Account

Part = dict[str, Any]

RUNTIME = "python3.13"


def template(resources: Mapping[str, Part], outputs: Mapping[str, Any] | None = None, **more: Any) -> Part:
    """Return a template.

    Args:
        resources: by logical id.
        outputs: values by name.
        more: further sections.
    """
    shown = {name: {"Value": value} for name, value in (outputs or {}).items()}
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Treadle, make verify-aws: exists while a check runs. `make verify-aws ARGS=--clean` deletes it.",
        **more,
        "Resources": dict(resources),
        **({"Outputs": shown} if shown else {}),
    }


def statement(
    actions: Sequence[str], resources: object, condition: Part | None = None, effect: str = "Allow"
) -> Part:
    """Return a policy statement.

    Args:
        actions: one or several.
        resources: one or several ARNs.
        condition: under which it applies.
        effect: Allow or Deny.
    """
    made: Part = {"Effect": effect, "Action": list(actions), "Resource": resources}
    return made | ({"Condition": condition} if condition else {})


def document(*statements: Part) -> Part:
    """Return a policy document."""
    return {"Version": "2012-10-17", "Statement": list(statements)}


def trusting_caller(account: Account) -> Part:
    """Return a trust policy for the caller of the checks, who must pass the run's secret."""
    return document(
        {
            "Effect": "Allow",
            "Principal": {"AWS": account.arn("iam", "root")},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"sts:ExternalId": account.secret}},
        }
    )


def role(trust: Part, *statements: Part, **properties: Any) -> Part:
    """Return a role with a generated name.

    Args:
        trust: its trust policy.
        statements: of its policy.
        properties: more properties.
    """
    policies = [{"PolicyName": "verify", "PolicyDocument": document(*statements)}] if statements else []
    return {
        "Type": "AWS::IAM::Role",
        "Properties": {"AssumeRolePolicyDocument": trust, "Policies": policies, **properties},
    }


def role_of_functions(*statements: Part) -> Part:
    """Return a role for functions, without permission to write logs.

    With it, a function would create a log group by itself.

    Args:
        statements: of its policy.
    """
    trust = document(
        {
            "Effect": "Allow",
            "Principal": {"Service": "lambda.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    )
    return role(trust, *statements)


def table() -> Part:
    """Return a table with the text key `id`, billed per request."""
    return {
        "Type": "AWS::DynamoDB::Table",
        "Properties": {
            "AttributeDefinitions": [{"AttributeName": "id", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "id", "KeyType": "HASH"}],
            "BillingMode": "PAY_PER_REQUEST",
        },
    }


def queue(**properties: Any) -> Part:
    """Return a queue."""
    return {"Type": "AWS::SQS::Queue", "Properties": properties}


def admitting_rules(queue_id: str, rules: object) -> Part:
    """Return the policy of a queue into which EventBridge rules send.

    Args:
        queue_id: the queue's logical id.
        rules: a pattern of the rules' ARNs.
    """
    allowed = {
        "Effect": "Allow",
        "Principal": {"Service": "events.amazonaws.com"},
        "Action": "sqs:SendMessage",
        "Resource": arn_of(queue_id),
        "Condition": {
            "ArnLike": {"aws:SourceArn": rules},
            "StringEquals": {"aws:SourceAccount": {"Ref": "AWS::AccountId"}},
        },
    }
    return {
        "Type": "AWS::SQS::QueuePolicy",
        "Properties": {"Queues": [{"Ref": queue_id}], "PolicyDocument": document(allowed)},
    }


def function(code: str, role_id: str, **properties: Any) -> Part:
    """Return a function of a few lines.

    Args:
        code: of its module.
        role_id: the logical id of its role.
        properties: more properties.
    """
    return {
        "Type": "AWS::Lambda::Function",
        "Properties": {
            "Runtime": RUNTIME,
            "Architectures": ["arm64"],
            "Handler": "index.handler",
            "Code": {"ZipFile": code},
            "Role": arn_of(role_id),
            "Timeout": 10,
            **properties,
        },
    }


def arn_of(logical_id: str) -> Part:
    """Return the ARN of a resource of the same template."""
    return {"Fn::GetAtt": [logical_id, "Arn"]}


def ref(logical_id: str) -> Part:
    """Return the name of a resource of the same template."""
    return {"Ref": logical_id}


def sub(text: str) -> Part:
    """Return a text with `${…}` to be filled in by CloudFormation."""
    return {"Fn::Sub": text}
