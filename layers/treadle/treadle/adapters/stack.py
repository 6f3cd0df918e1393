"""A deployed stack: its resources, and its functions' environment."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.definitions.errors import DeploymentError
from treadle.model.contract import parse_contract

_ENGINE = "Engine"
"""The parameter that refers to an engine's contract, in projects and other stacks that use an engine."""

_QUEUE = "AWS::SQS::Queue"
_CHOSEN = "AWS_PROFILE and AWS_DEFAULT_REGION select the account and Region, as for every AWS tool."


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A stack.

    Attributes:
        name: the stack's name.
        arn: the stack's ARN.
        physical_ids: by logical id.
        types: by logical id, such as "AWS::SQS::Queue".
        queue_urls: of the queues, by logical id.
        environment: the merged environment of the requested functions.
        parameters: the values of its parameters.
    """

    name: str
    arn: str
    physical_ids: Mapping[str, str]
    types: Mapping[str, str]
    queue_urls: Mapping[str, str]
    environment: Mapping[str, str]
    parameters: Mapping[str, str] = field(default_factory=dict)

    def queue_arn(self, logical_id: str) -> str:
        """Return the ARN of a queue of the stack.

        Args:
            logical_id: the queue's.
        """
        return self.arn_of_queue(self.queue_urls[logical_id])

    def arn_of_queue(self, url: str) -> str:
        """Return the ARN of a queue in the stack's account and Region, where all its projects are."""
        partition, _, region, account = self.arn.split(":")[1:5]
        return f"arn:{partition}:sqs:{region}:{account}:{url.rpartition('/')[2]}"


def read_stack(name: str, functions: Iterable[str]) -> DeployedStack:
    """Read an engine's stack, in the account and Region that boto3 determines.

    Args:
        name: the name of the stack, or of a stack that uses the engine, such as a project's.
        functions: logical ids of the functions whose environment is needed; a later one takes precedence.

    Raises:
        DeploymentError: if it cannot be read, or does not have these functions.
    """
    try:
        stack = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        engine = _engine_of(stack)
        if engine:
            name, stack = engine, client("cloudformation").describe_stacks(StackName=engine)["Stacks"][0]
        found = list(_resources(name))
        physical_ids = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in found}
        types = {each["LogicalResourceId"]: each["ResourceType"] for each in found}
        environment: dict[str, str] = {}
        for function in functions:
            if function not in physical_ids:
                msg = f"Stack {name!r} has no {function}: it was not created from Treadle's template."
                raise DeploymentError(msg)
            response = client("lambda").get_function_configuration(FunctionName=physical_ids[function])
            environment |= response.get("Environment", {}).get("Variables", {})
    except (ClientError, BotoCoreError) as error:
        msg = f"Stack {name!r} cannot be read: {error}. {_CHOSEN}"
        raise DeploymentError(msg) from error
    urls = {each: physical_ids[each] for each, kind in types.items() if kind == _QUEUE}
    return DeployedStack(name, stack["StackId"], physical_ids, types, urls, environment, _values(stack))


def parameter_values(stack: str) -> Mapping[str, str]:
    """Return the values of a stack's own parameters, by name; those that CloudFormation hides are asterisks.

    Raises:
        DeploymentError: if it cannot be read.
    """
    try:
        return _values(client("cloudformation").describe_stacks(StackName=stack)["Stacks"][0])
    except (ClientError, BotoCoreError) as error:
        msg = f"Stack {stack!r} cannot be read: {error}. {_CHOSEN}"
        raise DeploymentError(msg) from error


def _values(stack: Mapping[str, Any]) -> Mapping[str, str]:
    return {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", ())}


def resources_of(stack: str) -> Iterator[tuple[str, str]]:
    """Yield type and physical id of each resource of a stack.

    Args:
        stack: the stack's name.

    Raises:
        ClientError: from CloudFormation; the code for a missing stack is ValidationError.
    """
    for each in _resources(stack):
        yield each["ResourceType"], each.get("PhysicalResourceId", "")


def _resources(stack: str) -> Iterator[Mapping[str, Any]]:
    pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=stack)
    return (each for page in pages for each in page["StackResourceSummaries"])


def _engine_of(stack: Mapping[str, Any]) -> str:
    """Return the name of the engine's stack that a stack uses; "" if it is an engine's itself.

    Raises:
        DeploymentError: if the engine's contract cannot be read.
    """
    for parameter in stack.get("Parameters", ()):
        if parameter["ParameterKey"] == _ENGINE:
            # The value is the name of a Systems Manager parameter, and the resolved value the value that it
            # had at the
            # deployment ("Parameter" in the CloudFormation API Reference). Local clouds return the latter as
            # value.
            text = parameter.get("ResolvedValue") or parameter["ParameterValue"]
            if text.startswith("/"):
                text = client("ssm").get_parameter(Name=text)["Parameter"]["Value"]
            return parse_contract(text)["stack"]
    return ""


def describe_rule(stack: DeployedStack, physical_id: str) -> Mapping[str, Any] | None:
    """Describe a rule, on whichever bus it is; None if it does not exist.

    Args:
        stack: the stack.
        physical_id: the rule's; for a custom bus, CloudFormation's format is "bus|rule", and local clouds
            omit the bus.
    """
    bus, _, name = physical_id.rpartition("|")
    own = stack.physical_ids.get("Bus", "")
    return _rule(name, bus) or (_rule(name, own) if own and not bus else None)


def _rule(name: str, bus: str) -> Mapping[str, Any] | None:
    try:
        return client("events").describe_rule(Name=name, **({"EventBusName": bus} if bus else {}))
    except ClientError as error:
        if code_of(error) != "ResourceNotFoundException":
            raise
        return None


def caller() -> str:
    """Return the ARN of the caller, as verified by AWS.

    Raises:
        DeploymentError: if AWS does not return it.
    """
    try:
        arn: str = client("sts").get_caller_identity()["Arn"]
    except (ClientError, BotoCoreError) as error:
        msg = f"AWS did not return your identity: {error}. {_CHOSEN}"
        raise DeploymentError(msg) from error
    return arn
