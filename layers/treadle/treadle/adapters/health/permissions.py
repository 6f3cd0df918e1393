"""Checks that the deployment's roles still have their permissions, by IAM's simulation and by the logs."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from treadle.adapters.clients import client
from treadle.adapters.health.needs import Need
from treadle.adapters.health.probes import LOCAL_ACCOUNT, Probe
from treadle.adapters.stack import DeployedStack
from treadle.engine.identity import timestamp
from treadle.model.health import MissingPermission, SkippedCheck

RECENT_MS = 900_000
"""Time for which a denial in a log is reported."""

MOST_RESOURCES = 20
"""The maximum number of resources in one simulation. IAM documents no limit, and rejects long lists."""

MULTIVALUED = frozenset({"dynamodb:LeadingKeys", "dynamodb:Attributes"})
"""Condition keys with several values in one call; each other key has one value."""

_NOT_SIMULATED = frozenset({"s3:prefix", "iam:PassedToService"})
"""Local clouds set these for a call, and ignore them in a simulation."""

_DECISIONS = {
    "implicitDeny": "none of its role's policies allows it",
    "explicitDeny": "a policy denies it explicitly",
}
_DENIED = re.compile(r'perform: ([\w:]+)(?: on resource: (?:\\*"([^"\\]+)|([^\s"\\,}]+)))?')
_REFUSED = re.compile(r"\((?:AccessDenied\w*)\) when calling the (\w+) operation")


def permission_probe(stack: DeployedStack, need: Need, *alike: Need) -> Probe:
    """Return the probe of needed permissions of a role.

    Args:
        stack: the stack.
        need: the needed permission.
        alike: the same actions of the same role with the same context, on other resources.
    """
    account, needs = stack.arn.split(":")[4], (need, *alike)

    def check() -> Iterator[MissingPermission | SkippedCheck]:
        if account == LOCAL_ACCOUNT and need.context.keys() & _NOT_SIMULATED:
            return
        pages = client("iam").get_paginator("simulate_principal_policy")
        for page in pages.paginate(
            PolicySourceArn=need.role,
            ActionNames=list(need.actions),
            ResourceArns=[each.resource for each in needs],
            ContextEntries=context_entries(account, need),
        ):
            for result in page["EvaluationResults"]:
                for each, of_resource in _by_resource(needs, result):
                    if of_resource["EvalDecision"] != "allowed":
                        yield _denied(each, of_resource)

    return Probe("permissions", "the roles' permissions", "iam:SimulatePrincipalPolicy", check)


def alike(needs: Iterable[Need]) -> Iterator[tuple[Need, ...]]:
    """Group needs that one simulation can evaluate: the same actions of one role, with the same context.

    Only resources are combined: IAM rejects actions that take different information in one simulation.

    Args:
        needs: all of them.
    """
    found: dict[tuple[object, ...], list[Need]] = {}
    for each in needs:
        context = tuple((key, *values) for key, values in sorted(each.context.items()))
        found.setdefault((each.owner, each.role, each.actions, context), []).append(each)
    for group in found.values():
        for start in range(0, len(group), MOST_RESOURCES):
            yield tuple(group[start : start + MOST_RESOURCES])


def _by_resource(tested: Sequence[Need], result: dict[str, Any]) -> Iterator[tuple[Need, dict[str, Any]]]:
    """Yield the result of a simulated action for each resource.

    For several resources, it is in `ResourceSpecificResults` ("EvaluationResult" in the IAM API Reference).
    """
    if len(tested) == 1:
        yield tested[0], result
        return
    needs = {each.resource: each for each in tested}
    for each in result.get("ResourceSpecificResults", ()):
        if need := needs.get(each["EvalResourceName"]):
            missing = each.get("MissingContextValues", [])
            yield (
                need,
                {
                    "EvalActionName": result["EvalActionName"],
                    "EvalDecision": each["EvalResourceDecision"],
                    "MissingContextValues": missing,
                },
            )


def context_entries(account: str, need: Need) -> list[dict[str, Any]]:
    """Return the context of a simulated call, in IAM's format.

    Args:
        account: the role's account.
        need: the needed permission.
    """
    context = {**need.context, "aws:PrincipalAccount": [account]}
    return [
        {
            "ContextKeyName": key,
            "ContextKeyType": "stringList" if key in MULTIVALUED else "string",
            "ContextKeyValues": values,
        }
        for key, values in context.items()
    ]


def _denied(need: Need, result: dict[str, Any]) -> MissingPermission | SkippedCheck:
    """Return a denial; or a skipped check, if a policy uses a key that the simulation was not given."""
    action, missing = result["EvalActionName"], {*result.get("MissingContextValues", [])}
    for each in result.get("ResourceSpecificResults", []):
        missing.update(each.get("MissingContextValues", []))
    if missing - need.context.keys():
        what = f"{need.owner}'s permission for {action}"
        names = ", ".join(sorted(missing))
        detail = (
            f"a policy of its role has a condition on {names}, which cannot be simulated for {need.resource}"
        )
        return SkippedCheck("permissions", what, "", detail)
    detail = _DECISIONS.get(result["EvalDecision"], result["EvalDecision"])
    return MissingPermission(need.owner, action, need.resource, detail)


def log_probe(owner: str, group: str, since: int) -> Probe:
    """Return the probe of a function's recent denials.

    Args:
        owner: the component.
        group: its log group.
        since: start of the search, in milliseconds.
    """

    def check() -> Iterator[MissingPermission]:
        answer = client("logs").filter_log_events(
            logGroupName=group, startTime=since, filterPattern="AccessDenied", limit=20
        )
        reported: set[str] = set()
        for event in answer["events"]:
            found = _DENIED.search(event["message"]) or _REFUSED.search(event["message"])
            if found is None or found[1] in reported:
                continue
            reported.add(found[1])
            detail = f"its log shows that at {timestamp(event['timestamp'])}"
            resource = next(filter(None, found.groups()[1:]), "")
            yield MissingPermission(owner, found[1], resource, detail)

    return Probe("permissions", f"the log {group}", "logs:FilterLogEvents", check)
