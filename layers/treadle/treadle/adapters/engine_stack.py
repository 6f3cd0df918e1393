"""An engine's stack in CloudFormation: protected from deletion, and deleted when nothing uses it."""

import json
from dataclasses import dataclass

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from treadle.adapters.clients import client
from treadle.adapters.parameters import ParameterStore
from treadle.definitions.errors import DeploymentError

PROTECTED = (
    "AWS::DynamoDB::Table",
    "AWS::Events::EventBus",
    "AWS::S3::Bucket",
    "AWS::SQS::Queue",
    "AWS::SSM::Parameter",
)
"""Resources that hold records or messages, or that projects refer to by name."""

POLICY = {
    "Statement": [
        {"Effect": "Allow", "Action": "Update:*", "Principal": "*", "Resource": "*"},
        {
            "Effect": "Deny",
            "Action": ["Update:Replace", "Update:Delete"],
            "Principal": "*",
            "Resource": "*",
            "Condition": {"StringEquals": {"ResourceType": list(PROTECTED)}},
        },
    ]
}
"""A stack policy that allows only in-place updates (CloudFormation, "Prevent updates to stack resources")."""


@dataclass(frozen=True, slots=True)
class KeptStores:
    """What a deleted engine retains, as parameters of another engine.

    Attributes:
        stores: value of ExistingStores.
        namespace: value of Namespace.
    """

    stores: str
    namespace: str


def protect(stack: str) -> None:
    """Enable termination protection of an engine's stack, and forbid updates to replace its stores.

    Raises:
        DeploymentError: if CloudFormation failed.
    """
    try:
        client("cloudformation").update_termination_protection(
            StackName=stack, EnableTerminationProtection=True
        )
        client("cloudformation").set_stack_policy(StackName=stack, StackPolicyBody=json.dumps(POLICY))
    except (ClientError, BotoCoreError) as error:
        msg = f"The engine's stack {stack} is deployed but not protected: {error}. Deploy it again."
        raise DeploymentError(msg) from error


def registered(stack: str) -> list[str]:
    """Return the registry entries of a stack's engine, such as "sensors/daily", in order.

    Raises:
        DeploymentError: if the stack does not exist, or is not an engine's.
        StoreError: if Parameter Store did not respond.
    """
    return sorted(ParameterStore(_outputs(stack)["EngineName"]).list())


def delete_stack(stack: str) -> KeptStores:
    """Delete an engine's stack, and wait until it is deleted.

    Raises:
        DeploymentError: if CloudFormation did not delete it, with the reason.
    """
    outputs = _outputs(stack)
    try:
        client("cloudformation").update_termination_protection(
            StackName=stack, EnableTerminationProtection=False
        )
        client("cloudformation").delete_stack(StackName=stack)
        client("cloudformation").get_waiter("stack_delete_complete").wait(StackName=stack)
    except (ClientError, BotoCoreError, WaiterError) as error:
        msg = (
            f"The engine's stack {stack} was not deleted: {error}. See the stack's events in CloudFormation."
        )
        raise DeploymentError(msg) from error
    return KeptStores(outputs["ExistingStores"], outputs["Namespace"])


def _outputs(stack: str) -> dict[str, str]:
    try:
        [found] = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except (ClientError, BotoCoreError) as error:
        msg = f"Stack {stack} cannot be read: {error}. Check its name, the account and the Region."
        raise DeploymentError(msg) from error
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", [])}
    missing = {"EngineName", "ExistingStores", "Namespace"} - outputs.keys()
    if missing:
        msg = (
            f"Stack {stack} is not an engine: it has no output {sorted(missing)[0]}. Give the name of "
            "the engine's stack."
        )
        raise DeploymentError(msg)
    return outputs
