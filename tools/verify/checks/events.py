"""EventBridge: who may send under which source, where rules deliver, and how many rules there may be."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from tools.verify.account import Account, client_of
from tools.verify.event_patterns import CASES, EVENT
from tools.verify.lab import DidNotHoldError, Lab, is_denial
from tools.verify.model import Check
from tools.verify.templates import (
    Part,
    admitting_rules,
    arn_of,
    queue,
    ref,
    role,
    statement,
    sub,
    template,
    trusting_caller,
)
from treadle.adapters.aws_errors import code_of

SOURCE, OTHER = "treadle-verify", "another-source"

MULTIVALUED = (
    "IAM user guide, Single-valued vs. multivalued context keys: "
    "https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_policies_condition-single-vs-multi-valued-context-keys.html"
)
RESOURCE_POLICIES = (
    "Amazon EventBridge user guide, Using resource-based policies (Amazon SQS permissions): "
    "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-use-resource-based.html"
)
TRANSFORMATION = (
    "Amazon EventBridge user guide, Input transformation: "
    "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-transform-target-input.html"
)
RULE_ID = (
    "AWS CloudFormation user guide, AWS::Events::Rule, return values: "
    "https://docs.aws.amazon.com/AWSCloudFormation/latest/UserGuide/aws-resource-events-rule.html"
)
PARAMETER_EVENTS = (
    "AWS Systems Manager user guide, Setting up notifications or triggering actions based on Parameter Store events: "
    "https://docs.aws.amazon.com/systems-manager/latest/userguide/sysman-paramstore-cwe.html"
)
QUOTAS = (
    "Amazon EventBridge user guide, Amazon EventBridge quotas: "
    "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-quota.html"
)

PATTERNS = (
    "Amazon EventBridge user guide, Comparison operators for use in event patterns: "
    "https://docs.aws.amazon.com/eventbridge/latest/userguide/eb-create-pattern-operators.html"
)

BUS = {"Type": "AWS::Events::EventBus", "Properties": {"Name": ref("AWS::StackName")}}
DELIVERY_SECONDS = 30
CHANGE_SECONDS = 60
WILDCARD_RULES, DEFAULT_BUS_RULES = 30, 300


def sender(operator: str) -> Callable[[Account], Part]:
    """Make the template of a bus and a role that may send to it, but not as another source.

    Args:
        operator: of the denial.
    """

    def made(account: Account) -> Part:
        denied = {operator: {"events:source": SOURCE}}
        sends = ("events:PutEvents",)
        may = role(
            trusting_caller(account),
            statement(sends, arn_of("Bus")),
            statement(sends, arn_of("Bus"), denied, "Deny"),
        )
        return template({"Bus": BUS, "Role": may}, {"Bus": ref("Bus"), "Role": arn_of("Role")})

    return made


def sources(lab: Lab) -> str:
    """Send ten events of the own source in a request, then a foreign one alone, last, first and amid."""
    events = client_of(lab.acting_as(lab.outputs["Role"]), "events")

    def refused(*names: str) -> str:
        entries = [
            {
                "EventBusName": lab.outputs["Bus"],
                "Source": name,
                "DetailType": "Verification",
                "Detail": "{}",
            }
            for name in names
        ]
        try:
            answer = events.put_events(Entries=entries)
        except ClientError as error:
            if is_denial(error):
                return code_of(error)
            raise
        codes = {entry["ErrorCode"] for entry in answer["Entries"] if entry.get("ErrorCode")}
        return ", ".join(sorted(codes))

    # An event of the own source shows when IAM has applied the policy.
    if not lab.eventually(lambda: None if refused(SOURCE) else True, lab.settling):
        raise DidNotHoldError("a single event of the own source is denied")
    problems = []
    if code := refused(*[SOURCE] * 10):
        problems.append(f"ten events of the own source in one request: {code}")
    for label, names in (
        ("another source", [OTHER]),
        ("own and another source", [SOURCE, OTHER]),
        ("another and own source", [OTHER, SOURCE]),
        ("another source among nine own", [SOURCE] * 5 + [OTHER] + [SOURCE] * 4),
    ):
        if not refused(*names):
            problems.append(f"{label} in one request: accepted")
    if problems:
        raise DidNotHoldError("; ".join(problems))
    return "ten own events: accepted; another source, alone or among own ones, first or last: denied"


def custom_bus(_: Account) -> Part:
    """Return a rule on a separate bus that sends into a queue, which admits rules of that bus by name."""
    rules = sub(
        "arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/${AWS::StackName}/${AWS::StackName}-*"
    )
    rule = {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "EventBusName": ref("Bus"),
            "EventPattern": {"source": [SOURCE], "detail": {"ends": [{"exists": True}]}},
            "Targets": [
                {
                    "Id": "queue",
                    "Arn": arn_of("Queue"),
                    "InputTransformer": {
                        "InputPathsMap": {"ends": "$.detail.ends", "account": "$.account"},
                        "InputTemplate": '{"ends": "<ends>", "account": "<account>"}',
                    },
                }
            ],
        },
    }
    return template(
        {"Bus": BUS, "Queue": queue(), "Policy": admitting_rules("Queue", rules), "Rule": rule},
        {"Bus": ref("Bus"), "Queue": ref("Queue")},
    )


def _delivered(lab: Lab, ends: str) -> str:
    """Return the transformed event that is delivered."""
    events = lab.client("events")
    entry = {
        "EventBusName": lab.outputs["Bus"],
        "Source": SOURCE,
        "DetailType": "Verification",
        "Detail": json.dumps({"ends": ends}),
    }
    # A new rule may not match yet: "It can take a short time for the rule to take effect".
    for _ in range(4):
        events.put_events(Entries=[entry])
        body = lab.receive(lab.outputs["Queue"], DELIVERY_SECONDS / 4)
        if body is not None:
            return body
    raise DidNotHoldError(f"no event has arrived within {DELIVERY_SECONDS} s")


def rule_id(lab: Lab) -> str:
    """Check the id that CloudFormation gives a rule of a bus."""
    bus, physical = lab.outputs["Bus"], lab.stacks.resources(lab.stack_name)["Rule"]
    if not physical.startswith(f"{bus}|"):
        raise DidNotHoldError(f"the id is {physical!r}, not {bus!r}, a bar and the rule's name")
    return f"the id is {physical}"


def rule_of_bus(lab: Lab) -> str:
    """Deliver an event by a rule of a bus."""
    bus = lab.outputs["Bus"]
    name = lab.stacks.resources(lab.stack_name)["Rule"].rpartition("|")[2]
    found = lab.client("events").describe_rule(Name=name, EventBusName=bus)["Arn"]
    if not found.endswith(f":rule/{bus}/{name}"):
        raise DidNotHoldError(f"the ARN of the rule is {found}")
    body = json.loads(_delivered(lab, "plain"))
    if body != {"ends": "plain", "account": lab.account.id}:
        raise DidNotHoldError(f"the message is {body}")
    return "an event arrived in a queue that admits rule/<bus>/<stack>-*"


def quoted(lab: Lab) -> str:
    """Deliver a reason with quotes, backslashes and newlines through an input template."""
    ends = 'exit code 1: "no such file"\n\tat C:\\data\\in'
    body = _delivered(lab, ends)
    try:
        parsed: Any = json.loads(body)
    except ValueError as error:
        raise DidNotHoldError(f"the message is no JSON: {body[:200]}") from error
    if parsed["ends"] != ends:
        raise DidNotHoldError(f"the reason arrived as {parsed['ends']!r}")
    return "a reason with quotes, backslashes, tabs and newlines arrived unchanged, in valid JSON"


def parameter_events(account: Account) -> Part:
    """Return a rule on the default bus for changes of this run's parameters."""
    rules = sub("arn:${AWS::Partition}:events:${AWS::Region}:${AWS::AccountId}:rule/${AWS::StackName}-*")
    rule = {
        "Type": "AWS::Events::Rule",
        "Properties": {
            "EventPattern": {
                "source": ["aws.ssm"],
                "detail-type": ["Parameter Store Change"],
                "detail": {"name": [{"prefix": f"{account.path}/events/"}]},
            },
            "Targets": [{"Id": "queue", "Arn": arn_of("Queue")}],
        },
    }
    return template(
        {"Queue": queue(), "Policy": admitting_rules("Queue", rules), "Rule": rule}, {"Queue": ref("Queue")}
    )


def parameter_change(lab: Lab) -> str:
    """Create, change and delete a parameter, and receive an event of each."""
    ssm, name = lab.client("ssm"), f"{lab.account.path}/events/entry"
    ssm.put_parameter(Name=name, Value="1", Type="String")
    ssm.put_parameter(Name=name, Value="2", Type="String", Overwrite=True)
    ssm.delete_parameter(Name=name)
    awaited = {"Create", "Update", "Delete"}
    seen: set[str] = set()

    def check() -> bool | None:
        body = lab.receive(lab.outputs["Queue"], 1)
        if body is not None:
            seen.add(json.loads(body)["detail"]["operation"])
        return True if seen >= awaited else None

    if not lab.eventually(check, CHANGE_SECONDS):
        raise DidNotHoldError(
            f"of the events {sorted(awaited)} there came {sorted(seen)} within {CHANGE_SECONDS} s"
        )
    return "Parameter Store Change came for creation, update and deletion"


def patterns(lab: Lab) -> str:
    """Let EventBridge evaluate the patterns that Treadle's tests evaluate."""
    events = lab.client("events")
    for pattern, detail, expected in CASES:
        event = json.dumps({**EVENT, "detail": detail})
        found = events.test_event_pattern(EventPattern=json.dumps(pattern), Event=event)["Result"]
        if found is not expected:
            raise DidNotHoldError(f"{json.dumps(pattern)} matches {json.dumps(detail)}: {found}")
    return f"all {len(CASES)} patterns and events as expected"


def wildcard_rules(_: Account) -> Part:
    """Return a bus with the maximum number of rules with wildcards."""
    rules = {f"Rule{number}": wildcard_rule(ref("Bus")) for number in range(WILDCARD_RULES)}
    return template({"Bus": BUS, **rules}, {"Bus": ref("Bus")})


def wildcard_rule(bus: object) -> Part:
    """Return a rule that filters by a wildcard.

    Args:
        bus: the name of its bus.
    """
    pattern = {"detail": {"object": {"key": [{"wildcard": "a/*.csv"}]}}}
    return {"Type": "AWS::Events::Rule", "Properties": {"EventBusName": bus, "EventPattern": pattern}}


def wildcard_quota(lab: Lab) -> str:
    """Request one rule with a wildcard more than a bus may have."""
    stack = lab.deploy("more", template({"Rule": wildcard_rule(lab.outputs["Bus"])}))
    # Deleted here already, as a bus with rules cannot be deleted.
    lab.stacks.delete([stack.name])
    if stack.is_complete:
        raise DidNotHoldError(f"a bus took more than {WILDCARD_RULES} rules with wildcards")
    return f"{WILDCARD_RULES} rules with wildcards fit on a bus; one more is refused: {stack.reason[:120]}"


def room_on_default_bus(lab: Lab) -> str:
    """Compare the rules of the account's default bus with the quotas."""
    pages = lab.client("events").get_paginator("list_rules").paginate()
    patterns = [rule.get("EventPattern", "") for page in pages for rule in page["Rules"]]
    wildcards = sum('"wildcard"' in pattern for pattern in patterns)
    observed = f"{len(patterns)} of {DEFAULT_BUS_RULES} rules, {wildcards} of {WILDCARD_RULES} with wildcards, this run's too"
    if len(patterns) > DEFAULT_BUS_RULES // 2 or wildcards > WILDCARD_RULES // 2:
        raise DidNotHoldError(f"more than half is in use: {observed}")
    return observed


CHECKS = (
    Check(
        "sources-single",
        "A denial by StringNotEquals on events:source lets own batches through and stops mixed ones",
        "PutEvents of DISPATCH, RECORD, PUBLISH and RECONCILE (statement NeverAsAnotherSource)",
        MULTIVALUED,
        sources,
        sender("StringNotEquals"),
        not_local="the local cloud does not set events:source",
    ),
    Check(
        "sources-multi",
        "A denial by ForAnyValue:StringNotEquals on events:source lets own batches through and stops mixed ones",
        "the alternative to the denial by a single-valued operator",
        MULTIVALUED,
        sources,
        sender("ForAnyValue:StringNotEquals"),
        not_local="the local cloud does not set events:source",
    ),
    Check(
        "rule-on-bus",
        "A rule on a custom bus delivers to a queue that admits it by the ARN rule/<bus>/<name>",
        "sensors over runs and assets: their rules are on the engine's bus",
        RESOURCE_POLICIES,
        rule_of_bus,
        custom_bus,
    ),
    Check(
        "rule-id",
        "CloudFormation's id of a rule on a custom bus is <bus>|<name>",
        "the doctor and the registry, which read the rule's name from it",
        RULE_ID,
        rule_id,
        custom_bus,
        not_local="the local cloud's id of a rule is its name",
        dollars=0,
    ),
    Check(
        "quotes-in-reasons",
        "An input template with a quoted placeholder stays valid JSON whatever the value is",
        "the reasons of ended ECS tasks and Lambda errors, which the status rules pass on",
        TRANSFORMATION,
        quoted,
        custom_bus,
        not_local="the local cloud does not escape values in input templates",
    ),
    Check(
        "parameter-change",
        "Each change of a parameter is announced on the default bus as Parameter Store Change",
        "the registry: RECONCILE copies it at once",
        PARAMETER_EVENTS,
        parameter_change,
        parameter_events,
        not_local="the local cloud announces no changes of parameters",
    ),
    Check(
        "event-patterns",
        "Event patterns match as Treadle evaluates them",
        "event sensors, which evaluate their pattern themselves as well",
        PATTERNS,
        patterns,
        not_local="the local cloud evaluates patterns in its own way",
        dollars=0,
    ),
    Check(
        "wildcard-quota",
        f"A bus takes {WILDCARD_RULES} rules with wildcards and no more",
        "how many sensors may filter objects by a wildcard",
        QUOTAS,
        wildcard_quota,
        wildcard_rules,
        not_local="the local cloud has no quotas",
    ),
    Check(
        "default-bus-room",
        "The account's default bus has room for the rules of sensors over objects",
        f"{DEFAULT_BUS_RULES} rules a bus, shared by all software of the account",
        QUOTAS,
        room_on_default_bus,
        dollars=0,
    ),
)
