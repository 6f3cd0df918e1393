"""Measures a template against AWS limits and computes the remaining capacity.

Works on templates as data, in CloudFormation's long form (`{"Ref": "X"}`, `{"Fn::Sub": "..."}`), and makes no
calls. All names have the length that CloudFormation gives them for a stack whose name has 32 characters, the
longest that is supported. Of a condition's branches, the longer one counts.
"""

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Template = Mapping[str, Any]
Given = Mapping[str, str | Sequence[str]]

LONGEST_STACK_NAME = "s" * 32
"""Longest supported stack name.

CloudFormation truncates a longer one within the names of roles, rules and schedules (64 characters).
"""

ACCOUNT, REGION, PARTITION = "123456789012", "ap-southeast-2", "aws"
_ABSENT = object()
_FUNCTION, _LAYER = "AWS::Serverless::Function", "AWS::Serverless::LayerVersion"


@dataclass(frozen=True, slots=True)
class Limit:
    """An AWS limit.

    Attributes:
        name: what is measured.
        most: the largest value that AWS accepts.
        source: the AWS page that states it.
    """

    name: str
    most: int
    source: str


RESOURCES = Limit("resources", 500, "CloudFormation quotas")
PARAMETERS = Limit("parameters", 200, "CloudFormation quotas")
OUTPUTS = Limit("outputs", 200, "CloudFormation quotas")
BYTES = Limit(
    "bytes of the template", 1_000_000, "CloudFormation quotas: template body in an S3 object, 1 MB"
)
REFERENCES = Limit("dynamic references", 60, "CloudFormation User Guide: dynamic references, considerations")
ENVIRONMENT = Limit(
    "bytes of the environment", 4_096, "Lambda quotas; the error shows the JSON that is measured"
)
INLINE = Limit("characters of inline policies", 10_240, "IAM quotas: role, whitespace not counted")
MANAGED = Limit("characters of the managed policy", 6_144, "IAM quotas: whitespace not counted")
TRUST = Limit("characters of the trust policy", 2_048, "IAM quotas: role trust policy")
ATTACHED = Limit("managed policies of the role", 10, "IAM quotas: managed policies per role")
QUEUE_POLICY = Limit("bytes of the queue policy", 8_192, "SQS quotas: policies")
BUS_POLICY = Limit("characters of the bus policy", 10_240, "EventBridge quotas: event bus policy size")
PATTERN = Limit("characters of the event pattern", 2_048, "EventBridge quotas: event pattern size")
DEFAULT_BUS_RULES = Limit(
    "rules on the account's default bus", 300, "EventBridge quotas: rules, shared by the account"
)
BUS_RULES = Limit(
    "rules on the engine's bus", 300, "EventBridge quotas: rules, shared by the engine's projects"
)
WILDCARD_RULES = Limit(
    "rules with wildcards on the default bus", 30, "EventBridge quotas: not adjustable, shared by the account"
)
PARAMETER_VALUE = Limit(
    "characters of the SSM parameter", 4_096, "Systems Manager quotas: standard parameters"
)
NAME = Limit(
    "characters of the name", 64, "IAM, Lambda, EventBridge: names of roles, functions, rules, schedules"
)


@dataclass(frozen=True, slots=True)
class Use:
    """A template's usage of one limit.

    Attributes:
        limit: the limit.
        subject: the logical id of the measured resource; "" for the whole template.
        used: the measured value.
    """

    limit: Limit
    subject: str
    used: int

    @property
    def left(self) -> int:
        """Return the remaining capacity; negative above the limit."""
        return self.limit.most - self.used


@dataclass(frozen=True, slots=True)
class Room:
    """How many more of something fit.

    Attributes:
        limit: the limit that is reached first.
        subject: the logical id of the measured resource; "" for the whole template.
        more: how many more fit.
    """

    limit: Limit
    subject: str
    more: int


def measure(template: Template, given: Given | None = None, stack: str = LONGEST_STACK_NAME) -> list[Use]:
    """Measure everything in a template that AWS limits.

    Args:
        template: as data, before the SAM transform.
        given: values of parameters that differ from the defaults; a list for a list parameter.
        stack: the stack's name.
    """
    deployed = Deployed(template, given or {}, stack)
    return [*_of_template(template, deployed), *_of_rules(deployed), *_of_resources(deployed)]


def exceeded(uses: Iterable[Use]) -> list[Use]:
    """Return the uses that exceed their limit."""
    return [use for use in uses if use.left < 0]


def room(before: Iterable[Use], after: Iterable[Use]) -> Room | None:
    """Return how many more of the same fit and which limit is reached first; None if nothing grows.

    Args:
        before: measured without the last one.
        after: measured with it.
    """
    earlier = {(use.limit, use.subject): use.used for use in before}
    growing = [
        Room(use.limit, use.subject, max(0, use.left // (use.used - earlier[use.limit, use.subject])))
        for use in after
        if use.used > earlier.get((use.limit, use.subject), use.used)
    ]
    return min(growing, key=lambda each: each.more, default=None)


@dataclass(frozen=True, slots=True)
class Resource:
    """A deployed resource.

    Attributes:
        logical_id: its name in the template, or the one that SAM gives it.
        kind: its type.
        properties: as in the template.
    """

    logical_id: str
    kind: str
    properties: Mapping[str, Any] = field(default_factory=dict)


def transformed(template: Template) -> Iterator[Resource]:
    """Apply the parts of the SAM transform that affect limits: generated resources and Globals."""
    for name, body in template.get("Resources", {}).items():
        properties = _with_globals(template, body)
        yield Resource(name, body["Type"], properties)
        if body["Type"] == _FUNCTION:
            yield from _made_for_function(name, properties)
        elif body["Type"] == "AWS::Serverless::StateMachine" and "Role" not in properties:
            yield Resource(f"{name}Role", "AWS::IAM::Role")


def _made_for_function(name: str, properties: Mapping[str, Any]) -> Iterator[Resource]:
    if "Role" not in properties:
        yield Resource(f"{name}Role", "AWS::IAM::Role", _sam_role(properties))
    if "EventInvokeConfig" in properties:
        yield Resource(f"{name}EventInvokeConfig", "AWS::Lambda::EventInvokeConfig")
    if "AutoPublishAlias" in properties:
        yield Resource(f"{name}Version", "AWS::Lambda::Version")
        yield Resource(f"{name}Alias", "AWS::Lambda::Alias")
    for event, body in properties.get("Events", {}).items():
        kind, own = body["Type"], body.get("Properties", {})
        if kind in {"ScheduleV2"}:
            yield Resource(f"{name}{event}", "AWS::Scheduler::Schedule", own)
            if "RoleArn" not in own:
                yield Resource(f"{name}{event}Role", "AWS::IAM::Role")
        elif kind in {"Schedule", "EventBridgeRule", "CloudWatchEvent"}:
            rule = {**own, "EventPattern": own.get("Pattern", {})}
            yield Resource(f"{name}{event}", "AWS::Events::Rule", rule)
            yield Resource(f"{name}{event}Permission", "AWS::Lambda::Permission")
        elif kind in {"SQS", "DynamoDB", "Kinesis"}:
            yield Resource(f"{name}{event}", "AWS::Lambda::EventSourceMapping", own)
        else:
            yield Resource(f"{name}{event}Permission", "AWS::Lambda::Permission")


_SAM_POLICIES = {
    "SQS": "AWSLambdaSQSQueueExecutionRole",
    "DynamoDB": "AWSLambdaDynamoDBExecutionRole",
    "Kinesis": "AWSLambdaKinesisExecutionRole",
}


def _sam_role(function: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the role that SAM generates for a function without one."""
    written = function.get("Policies", [])
    policies = written if isinstance(written, list) else [written]
    inline = [each for each in policies if isinstance(each, Mapping) and not _is_arn(each)]
    kinds = {event["Type"] for event in function.get("Events", {}).values()}
    of_sam = [
        "AWSLambdaBasicExecutionRole",
        *(_SAM_POLICIES[kind] for kind in kinds if kind in _SAM_POLICIES),
    ]
    return {
        "Policies": [{"PolicyDocument": each} for each in inline],
        "ManagedPolicyArns": [*of_sam, *(each for each in policies if each not in inline)],
    }


def _is_arn(policy: Mapping[str, Any]) -> bool:
    return len(policy) == 1 and next(iter(policy)).startswith(("Ref", "Fn::"))


def _with_globals(template: Template, body: Mapping[str, Any]) -> Mapping[str, Any]:
    properties = dict(body.get("Properties", {}))
    ignored = body.get("IgnoreGlobals", [])
    shared = template.get("Globals", {}).get(body["Type"].rpartition("::")[2], {})
    if body["Type"] != _FUNCTION or ignored == "*":
        return properties
    for name, value in shared.items():
        if name not in ignored:
            properties[name] = _merged(value, properties[name]) if name in properties else value
    return properties


def _merged(shared: Any, own: Any) -> Any:
    """Merge Globals with a function's own properties as SAM does: mappings and lists are joined."""
    if isinstance(shared, Mapping) and isinstance(own, Mapping):
        both = {name: _merged(shared[name], own[name]) for name in shared if name in own}
        return {**shared, **own, **both}
    if isinstance(shared, list) and isinstance(own, list):
        return [*shared, *own]
    return own


# ---- Measurements


def _of_template(template: Template, deployed: "Deployed") -> Iterator[Use]:
    resources = deployed.resources
    text = json.dumps(
        [template.get("Parameters"), [[each.kind, each.properties] for each in resources.values()]]
    )
    yield Use(RESOURCES, "", len(resources))
    yield Use(PARAMETERS, "", len(template.get("Parameters", {})))
    yield Use(OUTPUTS, "", len(template.get("Outputs", {})))
    yield Use(BYTES, "", len(text.encode()))
    yield Use(REFERENCES, "", text.count("{{resolve:"))


def _of_rules(deployed: "Deployed") -> Iterator[Use]:
    rules = [each for each in deployed.resources.values() if each.kind == "AWS::Events::Rule"]
    default = [each for each in rules if each.properties.get("EventBusName", "default") == "default"]
    wild = [each for each in default if '"wildcard"' in json.dumps(each.properties.get("EventPattern", {}))]
    yield Use(DEFAULT_BUS_RULES, "", len(default))
    yield Use(BUS_RULES, "", len(rules) - len(default))
    yield Use(WILDCARD_RULES, "", len(wild))
    for rule in rules:
        if pattern := rule.properties.get("EventPattern"):
            yield Use(PATTERN, rule.logical_id, len(_compact(deployed.value(pattern))))


def _of_resources(deployed: "Deployed") -> Iterator[Use]:
    for name, resource in deployed.resources.items():
        properties = resource.properties
        if resource.kind == _FUNCTION:
            variables = deployed.value(properties.get("Environment", {}).get("Variables", {}))
            yield Use(ENVIRONMENT, name, len(_compact(variables).encode()))
        elif resource.kind == "AWS::IAM::Role":
            yield from _of_role(deployed, resource)
        elif resource.kind == "AWS::IAM::ManagedPolicy":
            yield Use(MANAGED, name, len(_compact(deployed.value(properties["PolicyDocument"]))))
        elif resource.kind == "AWS::SQS::QueuePolicy":
            yield Use(
                QUEUE_POLICY, name, len(_compact(deployed.value(properties["PolicyDocument"])).encode())
            )
        elif resource.kind == "AWS::Events::EventBus" and "Policy" in properties:
            yield Use(BUS_POLICY, name, len(_compact(deployed.value(properties["Policy"]))))
        elif resource.kind == "AWS::SSM::Parameter":
            yield Use(PARAMETER_VALUE, name, len(str(deployed.value(properties["Value"]))))
        for key in _SHORT_NAMES.get(resource.kind, ()):
            if key in properties:
                yield Use(NAME, name, len(str(deployed.value(properties[key]))))


def _of_role(deployed: "Deployed", role: Resource) -> Iterator[Use]:
    documents = [deployed.value(each["PolicyDocument"]) for each in role.properties.get("Policies", [])]
    attached = deployed.value(role.properties.get("ManagedPolicyArns", []))
    yield Use(INLINE, role.logical_id, sum(len(_compact(each)) for each in documents))
    yield Use(ATTACHED, role.logical_id, len(attached))
    if "AssumeRolePolicyDocument" in role.properties:
        trust = deployed.value(role.properties["AssumeRolePolicyDocument"])
        yield Use(TRUST, role.logical_id, len(_compact(trust)))


_SHORT_NAMES = {
    _FUNCTION: ("FunctionName",),
    "AWS::IAM::Role": ("RoleName",),
    "AWS::Events::Rule": ("Name",),
    "AWS::Scheduler::Schedule": ("Name",),
}


def _compact(value: Any) -> str:
    return json.dumps(value, separators=(",", ":"))


# ---- Resolved values


@dataclass(frozen=True, slots=True)
class _Named:
    """How CloudFormation names resources of a type, and what references to them return.

    Attributes:
        most: the number of characters of a name that CloudFormation generates.
        arn: the ARN, without partition, Region and account where it has none; `{}` for the name.
        given: the property that sets the name, if any.
        ref: the value of a Ref; `{}` for the name.
    """

    most: int
    arn: str
    given: str = "Name"
    ref: str = "{}"


_PLACE = f"{REGION}:{ACCOUNT}"
_HERE = f"arn:{PARTITION}"
_KINDS = {
    _FUNCTION: _Named(64, f"{_HERE}:lambda:{_PLACE}:function:{{}}", "FunctionName"),
    _LAYER: _Named(140, f"{_HERE}:lambda:{_PLACE}:layer:{{}}", ref=f"{_HERE}:lambda:{_PLACE}:layer:{{}}:1"),
    "AWS::IAM::Role": _Named(64, f"{_HERE}:iam::{ACCOUNT}:role{{}}", "RoleName"),
    "AWS::IAM::ManagedPolicy": _Named(
        128, f"{_HERE}:iam::{ACCOUNT}:policy{{}}", "ManagedPolicyName", f"{_HERE}:iam::{ACCOUNT}:policy{{}}"
    ),
    "AWS::SQS::Queue": _Named(
        80, f"{_HERE}:sqs:{_PLACE}:{{}}", "QueueName", f"https://sqs.{REGION}.amazonaws.com/{ACCOUNT}/{{}}"
    ),
    "AWS::DynamoDB::Table": _Named(255, f"{_HERE}:dynamodb:{_PLACE}:table/{{}}", "TableName"),
    "AWS::S3::Bucket": _Named(63, f"{_HERE}:s3:::{{}}", "BucketName"),
    "AWS::Events::Rule": _Named(64, f"{_HERE}:events:{_PLACE}:rule/{{}}"),
    "AWS::Events::EventBus": _Named(256, f"{_HERE}:events:{_PLACE}:event-bus/{{}}"),
    "AWS::Scheduler::Schedule": _Named(64, f"{_HERE}:scheduler:{_PLACE}:schedule/default/{{}}"),
    "AWS::Scheduler::ScheduleGroup": _Named(64, f"{_HERE}:scheduler:{_PLACE}:schedule-group/{{}}"),
    "AWS::Serverless::StateMachine": _Named(
        80, f"{_HERE}:states:{_PLACE}:stateMachine:{{}}", ref=f"{_HERE}:states:{_PLACE}:stateMachine:{{}}"
    ),
    "AWS::SNS::Topic": _Named(256, f"{_HERE}:sns:{_PLACE}:{{}}", "TopicName", f"{_HERE}:sns:{_PLACE}:{{}}"),
    "AWS::Logs::LogGroup": _Named(512, f"{_HERE}:logs:{_PLACE}:log-group:{{}}:*", "LogGroupName"),
    "AWS::SSM::Parameter": _Named(512, f"{_HERE}:ssm:{_PLACE}:parameter{{}}"),
}
_OTHER = _Named(64, f"{_HERE}:other:{_PLACE}:{{}}")
_SUFFIX = "-" + "X" * 12
_STREAM = "/stream/2026-11-29T00:00:00.000"


@dataclass(frozen=True)
class Deployed:
    """A template's values with the lengths they have once deployed.

    Attributes:
        template: before the SAM transform.
        given: values of parameters that differ from the defaults.
        stack: the stack's name.
    """

    template: Template
    given: Given
    stack: str = LONGEST_STACK_NAME
    resources: Mapping[str, Resource] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "resources", {each.logical_id: each for each in transformed(self.template)})

    def value(self, node: Any) -> Any:
        """Resolve a node of the template."""
        found = self._value(node)
        return None if found is _ABSENT else found

    def _value(self, node: Any) -> Any:
        if isinstance(node, list):
            return [each for each in map(self._value, node) if each is not _ABSENT]
        if not isinstance(node, Mapping):
            return node
        if len(node) == 1:
            [(name, argument)] = node.items()
            if name == "Ref":
                return self._ref(argument)
            if name.startswith("Fn::"):
                return getattr(self, f"_{name[4:].lower()}")(argument)
        values = {key: self._value(each) for key, each in node.items()}
        return {key: each for key, each in values.items() if each is not _ABSENT}

    def _ref(self, name: str) -> Any:
        if name.startswith("AWS::"):
            return self._pseudo(name)
        if name in self.given:
            return self.given[name]
        parameter = self.template.get("Parameters", {}).get(name)
        if parameter is None:
            named, own = self._named(name)
            return named.ref.format(own if named.ref == "{}" else self._path(name) + own)
        value = str(parameter.get("Default", ""))
        return value.split(",") if "List" in parameter["Type"] else value

    def _pseudo(self, name: str) -> Any:
        known = {
            "AWS::AccountId": ACCOUNT,
            "AWS::Region": REGION,
            "AWS::Partition": PARTITION,
            "AWS::StackName": self.stack,
            "AWS::StackId": f"{_HERE}:cloudformation:{_PLACE}:stack/{self.stack}/{'0' * 36}",
            "AWS::URLSuffix": "amazonaws.com",
        }
        return known.get(name, _ABSENT)

    def _named(self, logical_id: str) -> tuple[_Named, str]:
        resource = self.resources[logical_id]
        named, properties = _KINDS.get(resource.kind, _OTHER), resource.properties
        name = str(self.value(properties[named.given])) if named.given in properties else ""
        # CloudFormation truncates the stack's name and the logical id, and keeps its own suffix.
        name = name or f"{self.stack}-{logical_id}"[: named.most - len(_SUFFIX)] + _SUFFIX
        if resource.kind == "AWS::Events::Rule" and "EventBusName" in properties:
            name = f"{self.value(properties['EventBusName'])}/{name}"
        return named, name

    def _path(self, logical_id: str) -> str:
        """Return the path before the name in an IAM ARN."""
        resource = self.resources[logical_id]
        is_iam = resource.kind.startswith("AWS::IAM::")
        return str(self.value(resource.properties.get("Path", "/"))) if is_iam else ""

    def _getatt(self, argument: Any) -> str:
        logical_id, attribute = argument.split(".", 1) if isinstance(argument, str) else argument
        named, name = self._named(logical_id)
        if attribute in {"Name", "QueueName"}:
            return name
        if attribute == "Value":
            return str(self.value(self.resources[logical_id].properties["Value"]))
        return named.arn.format(self._path(logical_id) + name) + (_STREAM if attribute == "StreamArn" else "")

    def _sub(self, argument: Any) -> str:
        text, values = (argument, {}) if isinstance(argument, str) else argument

        def filled(found: re.Match[str]) -> str:
            name = found[1]
            if name in values:
                value = self.value(values[name])
            elif "." in name and "::" not in name:
                value = self._getatt(name)
            else:
                value = self._ref(name)
            return "" if value is _ABSENT else str(value)

        return re.sub(r"\$\{([^}!]+)\}", filled, text).replace("${!", "${")

    def _if(self, argument: Sequence[Any]) -> Any:
        branches = [self._value(each) for each in argument[1:]]
        return max(branches, key=lambda each: 0 if each is _ABSENT else len(_compact(each)))

    def _select(self, argument: Sequence[Any]) -> Any:
        parts = self.value(argument[1])
        # Under a condition that an empty parameter fails, this part may not exist.
        return parts[int(argument[0])] if int(argument[0]) < len(parts) else ""

    def _split(self, argument: Sequence[Any]) -> list[str]:
        parts: list[str] = self.value(argument[1]).split(argument[0])
        return parts

    def _join(self, argument: Sequence[Any]) -> str:
        return str(argument[0]).join(map(str, self.value(argument[1])))

    def _findinmap(self, argument: Sequence[Any]) -> Any:
        table = self.template["Mappings"][self.value(argument[0])]
        rows = [row[self.value(argument[2])] for row in table.values()]
        return max(rows, key=lambda each: len(_compact(each)))
