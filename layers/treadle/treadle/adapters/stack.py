"""A deployed stack as its operator finds it: its queues, and what its functions were told."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.clients import client
from treadle.definitions.errors import DeploymentError

_QUEUE = "AWS::SQS::Queue"
_CHOSEN = "AWS_PROFILE and AWS_DEFAULT_REGION choose account and Region, as for every AWS tool."


@dataclass(frozen=True, slots=True)
class DeployedStack:
    """A stack.

    Attributes:
        name: as it was deployed.
        arn: CloudFormation's.
        physical_ids: by logical id, how each resource is named.
        queue_urls: by logical id, those of the queues.
        environment: what the functions that were asked for were told, all in one.
    """

    name: str
    arn: str
    physical_ids: Mapping[str, str]
    queue_urls: Mapping[str, str]
    environment: Mapping[str, str]

    def queue_arn(self, logical_id: str) -> str:
        """The ARN of a queue, which lies in the stack's own account and Region."""
        partition, _, region, account = self.arn.split(":")[1:5]
        return f"arn:{partition}:sqs:{region}:{account}:{self.queue_urls[logical_id].rpartition('/')[2]}"


def read_stack(name: str, functions: Iterable[str]) -> DeployedStack:
    """The stack of a name, in the account and Region that boto3 finds.

    Args:
        name: the stack's.
        functions: logical ids of those whose environment is wanted; a later one's wins.

    Raises:
        DeploymentError: if it cannot be read, or has no such functions.
    """
    try:
        stack = client("cloudformation").describe_stacks(StackName=name)["Stacks"][0]
        pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=name)
        found = [each for page in pages for each in page["StackResourceSummaries"]]
        physical_ids = {each["LogicalResourceId"]: each.get("PhysicalResourceId", "") for each in found}
        queues = [each["LogicalResourceId"] for each in found if each["ResourceType"] == _QUEUE]
        environment: dict[str, str] = {}
        for function in functions:
            if function not in physical_ids:
                msg = f"Stack {name!r} has no {function}: it was not made of Treadle's template."
                raise DeploymentError(msg)
            told = client("lambda").get_function_configuration(FunctionName=physical_ids[function])
            environment |= told.get("Environment", {}).get("Variables", {})
    except (ClientError, BotoCoreError) as error:
        msg = f"Stack {name!r} cannot be read: {error}. {_CHOSEN}"
        raise DeploymentError(msg) from error
    urls = {queue: physical_ids[queue] for queue in queues}
    return DeployedStack(name, stack["StackId"], physical_ids, urls, environment)


def caller() -> str:
    """The ARN of whoever calls, which AWS vouches for.

    Raises:
        DeploymentError: if AWS does not say.
    """
    try:
        arn: str = client("sts").get_caller_identity()["Arn"]
    except (ClientError, BotoCoreError) as error:
        msg = f"AWS does not say who you are: {error}. {_CHOSEN}"
        raise DeploymentError(msg) from error
    return arn
