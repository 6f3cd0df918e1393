"""Permissions of the template's roles, decided as IAM does: functions resolved, conditions evaluated.

It supports what the template uses, and fails at anything else.
"""

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

from tests.template.model import Template

ACCOUNT, REGION, STACK = "123456789012", "us-east-1", "shop"
_PSEUDO = {
    "AccountId": ACCOUNT,
    "Region": REGION,
    "Partition": "aws",
    "StackName": STACK,
    "StackId": f"arn:aws:cloudformation:{REGION}:{ACCOUNT}:stack/{STACK}/00000000-0000-0000-0000-000000000000",
}
_ABSENT = object()
_ARNS = {
    "AWS::DynamoDB::Table": f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/{{}}",
    "AWS::SQS::Queue": f"arn:aws:sqs:{REGION}:{ACCOUNT}:{{}}",
    "AWS::S3::Bucket": "arn:aws:s3:::{}",
    "AWS::Serverless::StateMachine": f"arn:aws:states:{REGION}:{ACCOUNT}:stateMachine:{{}}",
}


@dataclass(frozen=True, slots=True)
class Deployed:
    """The template, deployed with some parameters; a resource's physical id is its logical id.

    Attributes:
        template: as written.
        given: values of parameters that are not the defaults.
    """

    template: Template
    given: Mapping[str, str]

    def value(self, node: Any) -> Any:
        """Resolve a node of the template."""
        if isinstance(node, list):
            return [each for each in map(self.value, node) if each is not _ABSENT]
        if not isinstance(node, dict):
            return node
        if len(node) == 1:
            [(name, argument)] = node.items()
            if name == "Ref" or (name == "Condition" and isinstance(argument, str)):
                return self._ref(argument) if name == "Ref" else self.holds(argument)
            if name.startswith("Fn::"):
                return getattr(self, f"_{name[4:].lower()}")(argument)
        values = {key: self.value(each) for key, each in node.items()}
        return {key: each for key, each in values.items() if each is not _ABSENT}

    def holds(self, condition: str) -> bool:
        """Return whether a condition of the template is true."""
        return bool(self.value(self.template.section("Conditions")[condition]))

    def _ref(self, name: str) -> Any:
        if name.startswith("AWS::"):
            return _PSEUDO.get(name[5:], _ABSENT)
        parameter = self.template.section("Parameters").get(name)
        if parameter is None:
            kind = self.template.section("Resources")[name]["Type"]
            return _ARNS[kind].format(name) if kind.endswith("StateMachine") else name
        value = str(self.given.get(name, parameter.get("Default", name)))
        return value.split(",") if "List" in parameter["Type"] else value

    def _getatt(self, argument: list[str]) -> str:
        name, attribute = argument
        if attribute == "Name":
            return name
        kind = self.template.section("Resources")[name]["Type"]
        if kind == "AWS::IAM::Role":
            path = self.value(self.template.resources(kind)[name].get("Path", "/"))
            return f"arn:aws:iam::{ACCOUNT}:role{path}{name}"
        if attribute == "Value":
            return str(self.value(self.template.section("Resources")[name]["Properties"]["Value"]))
        return _ARNS.get(kind, "arn:of:{}").format(name) + ("/stream/s" if attribute == "StreamArn" else "")

    def _sub(self, argument: Any) -> str:
        text, values = (argument, {}) if isinstance(argument, str) else argument

        def filled(found: re.Match[str]) -> str:
            name = found[1]
            if name in values:
                return str(self.value(values[name]))
            parts = name.split(".")
            return str(self._getatt(parts) if len(parts) == 2 and "::" not in name else self._ref(name))

        return re.sub(r"\$\{([^}!]+)\}", filled, text).replace("${!", "${")

    def _if(self, argument: list[Any]) -> Any:
        condition, yes, no = argument
        return self.value(yes if self.holds(condition) else no)

    def _select(self, argument: list[Any]) -> Any:
        return self.value(argument[1])[int(argument[0])]

    def _split(self, argument: list[Any]) -> list[str]:
        parts: list[str] = self.value(argument[1]).split(argument[0])
        return parts

    def _join(self, argument: list[Any]) -> str:
        return str(argument[0]).join(self.value(argument[1]))

    def _equals(self, argument: list[Any]) -> bool:
        first, second = self.value(argument)
        return bool(first == second)

    def _not(self, argument: list[Any]) -> bool:
        return not self.value(argument)[0]

    def _or(self, argument: list[Any]) -> bool:
        return any(self.value(argument))

    def _and(self, argument: list[Any]) -> bool:
        return all(self.value(argument))

    # ---- Policies

    def statements(self, role: str) -> Iterator[dict[str, Any]]:
        """Yield a role's statements as they are deployed."""
        for policy in self.template.resources("AWS::IAM::Role")[role]["Policies"]:
            yield from self.value(policy["PolicyDocument"]["Statement"])


def decision(
    statements: Iterable[Mapping[str, Any]], action: str, resource: str, context: Mapping[str, list[str]]
) -> str:
    """Return IAM's decision, in its terms, with policy variables filled in from the context."""
    known = [_with_variables(statement, context) for statement in statements]
    effects = {
        statement["Effect"]
        for statement in known
        if covers(statement, action, resource) and all(_conditions(statement, context))
    }
    return "explicitDeny" if "Deny" in effects else "allowed" if effects else "implicitDeny"


def covers(statement: Mapping[str, Any], action: str, resource: str) -> bool:
    """Return whether a statement applies to an action on a resource."""
    named = statement.get("Resource", statement.get("NotResource"))
    is_named = any(fnmatchcase(resource, each) for each in (named if isinstance(named, list) else [named]))
    listed = statement.get("Action", statement.get("NotAction"))
    is_listed = any(fnmatchcase(action, each) for each in (listed if isinstance(listed, list) else [listed]))
    return is_listed is ("Action" in statement) and is_named is ("Resource" in statement)


_UNFILLED = "${}"
"""Represents a variable without a value: it matches nothing."""


def _with_variables(node: Any, context: Mapping[str, list[str]]) -> Any:
    if isinstance(node, Mapping):
        return {key: _with_variables(each, context) for key, each in node.items()}
    if isinstance(node, list):
        return [_with_variables(each, context) for each in node]
    if not isinstance(node, str):
        return node
    return re.sub(r"\$\{([^}]+)\}", lambda found: context.get(found[1], [_UNFILLED])[0], node)


def condition_keys(statement: Mapping[str, Any]) -> set[str]:
    """Return the condition keys of a statement."""
    return {key for tests in statement.get("Condition", {}).values() for key in tests}


def _conditions(statement: Mapping[str, Any], context: Mapping[str, list[str]]) -> Iterator[bool]:
    for operator, tests in statement.get("Condition", {}).items():
        for key, given in tests.items():
            wanted = given if isinstance(given, list) else [given]
            yield _holds(operator, context.get(key), wanted)


def _holds(operator: str, values: list[str] | None, wanted: list[str]) -> bool:
    if operator == "Null":
        return (values is None) == (wanted == ["true"])
    quantifier, _, test = operator.rpartition(":")
    optional = test.endswith("IfExists")
    name = test.removesuffix("IfExists")
    negated = "Not" in name
    matches: Callable[[str], bool] = (
        (lambda value: value in wanted)
        if name.replace("Not", "") in {"StringEquals", "ArnEquals"}
        else lambda value: any(fnmatchcase(value, each) for each in wanted)
    )
    assert name.replace("Not", "") in {"StringEquals", "StringLike", "ArnEquals", "ArnLike"}, operator
    if values is None:
        # "Multivalued context keys" in the IAM User Guide: none of no values.
        return optional or quantifier == "ForAllValues" or (negated and quantifier != "ForAnyValue")
    found = [matches(value) is not negated for value in values]
    return any(found) if quantifier == "ForAnyValue" else all(found)
