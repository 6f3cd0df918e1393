"""A local cloud for runs of `make verify-aws`: moto has no CloudFormation without further packages."""

from collections.abc import Iterator

import boto3
import pytest

from tools.local_cloud import temporary_cloud
from tools.verify.account import Account, identify, pointing_at


@pytest.fixture(scope="session")
def endpoint() -> Iterator[str]:
    """The cloud's URL."""
    with temporary_cloud() as cloud:
        yield cloud.endpoint


@pytest.fixture
def account(endpoint: str) -> Iterator[Account]:
    """The cloud's account, empty before and after; all clients of the test are pointed at it."""
    with pointing_at(endpoint):
        yield identify()
        _empty()


def _empty() -> None:
    """Delete what tests create beside runs, such as the remains of a killed one."""
    cloudformation = boto3.client("cloudformation")
    for stack in cloudformation.describe_stacks()["Stacks"]:
        name = stack["StackName"]
        cloudformation.update_termination_protection(StackName=name, EnableTerminationProtection=False)
        cloudformation.delete_stack(StackName=name)
        cloudformation.get_waiter("stack_delete_complete").wait(
            StackName=stack["StackId"], WaiterConfig={"Delay": 1, "MaxAttempts": 30}
        )
    ssm, logs = boto3.client("ssm"), boto3.client("logs")
    for parameter in ssm.describe_parameters()["Parameters"]:
        ssm.delete_parameter(Name=parameter["Name"])
    for group in logs.describe_log_groups()["logGroups"]:
        logs.delete_log_group(logGroupName=group["logGroupName"])
