"""Deletes resources that runs created: stacks by name and tag, then the few that no stack owns."""

from collections.abc import Iterable, Iterator
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.verify.account import PREFIX, Account
from tools.verify.stacks import Stack, Stacks


def leftovers(stacks: Stacks, run: str | None) -> list[Stack]:
    """Return the remaining stacks.

    Args:
        stacks: of the account.
        run: only those of this run; None for all runs.
    """
    return [stack for stack in stacks.all() if run is None or stack.run == run]


def parameters(account: Account, run: str | None) -> list[str]:
    """Return the remaining parameters: those that checks created directly, or CloudFormation retained.

    Args:
        account: where to search.
        run: only those of this run; None for all runs.
    """
    # Names only: cleaning up needs no permission to read a parameter.
    prefix = {
        "Key": "Name",
        "Option": "BeginsWith",
        "Values": [f"/{PREFIX}/{run}/" if run else f"/{PREFIX}/"],
    }
    pages = account.client("ssm").get_paginator("describe_parameters").paginate(ParameterFilters=[prefix])
    return [each["Name"] for page in pages for each in page["Parameters"]]


def log_groups(account: Account, run: str | None) -> list[str]:
    """Return the remaining log groups: a late invocation recreates its function's.

    Args:
        account: where to search.
        run: only those of this run; None for all runs.
    """
    logs = account.client("logs")
    prefixes = (
        f"/{PREFIX}/{run}/" if run else f"/{PREFIX}/",
        f"/aws/lambda/{PREFIX}-{run}-" if run else f"/aws/lambda/{PREFIX}-",
    )
    return [
        group["logGroupName"]
        for prefix in prefixes
        for page in logs.get_paginator("describe_log_groups").paginate(logGroupNamePrefix=prefix)
        for group in page["logGroups"]
    ]


def clean(stacks: Stacks, run: str | None = None) -> dict[str, str]:
    """Delete resources that runs created, and wait until they are gone.

    Args:
        stacks: of the account.
        run: only those of this run; None for all runs.

    Returns:
        Why each remaining resource could not be deleted, by its name.
    """
    account = stacks.account
    left: dict[str, str] = {}
    try:
        left = stacks.delete([stack.name for stack in leftovers(stacks, run)])
    except (ClientError, BotoCoreError) as error:
        left["stacks"] = str(error)
    for name, delete in _others(account, run, left):
        try:
            delete()
        except (ClientError, BotoCoreError) as error:
            if "NotFound" not in str(error):
                left[name] = str(error)
    return left


def _others(account: Account, run: str | None, left: dict[str, str]) -> Iterator[tuple[str, Any]]:
    ssm, logs = account.client("ssm"), account.client("logs")
    kinds: Iterable[tuple[str, Any, Any]] = (
        ("parameters", parameters, lambda name: ssm.delete_parameter(Name=name)),
        ("log groups", log_groups, lambda name: logs.delete_log_group(logGroupName=name)),
    )
    for kind, find, delete in kinds:
        try:
            names = find(account, run)
        except (ClientError, BotoCoreError) as error:
            left[kind] = str(error)
            continue
        for name in names:
            yield name, lambda name=name, delete=delete: delete(name)
