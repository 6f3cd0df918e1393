"""Whether the deployment's roles still allow what their functions need, by IAM's simulation, and as the logs show."""

import re
from collections.abc import Iterator
from typing import Any

from treadle.adapters.clients import client
from treadle.adapters.health.needs import Need
from treadle.adapters.health.probes import LOCAL_ACCOUNT, Probe
from treadle.adapters.stack import DeployedStack
from treadle.engine.identity import timestamp
from treadle.ports.health import MissingPermission, SkippedCheck

RECENT_MS = 900_000
"""A denial that a log shows is told for so long."""

MULTIVALUED = frozenset({"dynamodb:LeadingKeys", "dynamodb:Attributes"})
"""Condition keys with several values in one call; of each other key, a call carries one value."""

_NOT_SIMULATED = frozenset({"s3:prefix", "iam:PassedToService"})
"""Local clouds fill these in for a call, and ignore them in a simulation."""

_DECISIONS = {
    "implicitDeny": "none of its role's policies allows it",
    "explicitDeny": "a policy denies it explicitly",
}
_DENIED = re.compile(r'perform: ([\w:]+)(?: on resource: (?:\\*"([^"\\]+)|([^\s"\\,}]+)))?')
_REFUSED = re.compile(r"\((?:AccessDenied\w*)\) when calling the (\w+) operation")


def permission_probe(stack: DeployedStack, need: Need) -> Probe:
    """The look at whether a role allows what it must.

    Args:
        stack: the stack.
        need: what is needed.
    """
    account = stack.arn.split(":")[4]

    def look() -> Iterator[MissingPermission | SkippedCheck]:
        if account == LOCAL_ACCOUNT and need.context.keys() & _NOT_SIMULATED:
            return
        answer = client("iam").simulate_principal_policy(
            PolicySourceArn=need.role,
            ActionNames=list(need.actions),
            ResourceArns=[need.resource],
            ContextEntries=context_entries(account, need),
        )
        for result in answer["EvaluationResults"]:
            if result["EvalDecision"] != "allowed":
                yield _denied(need, result)

    return Probe("permissions", "the roles' permissions", "iam:SimulatePrincipalPolicy", look)


def context_entries(account: str, need: Need) -> list[dict[str, Any]]:
    """What the simulated call carries, in IAM's form.

    Args:
        account: of the role.
        need: what is needed.
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
    """That a call is denied; or that nobody can say, as a policy looks at what the simulation was not given."""
    action, missing = result["EvalActionName"], {*result.get("MissingContextValues", [])}
    for each in result.get("ResourceSpecificResults", []):
        missing.update(each.get("MissingContextValues", []))
    if missing - need.context.keys():
        what = f"{need.owner}'s permission for {action}"
        names = ", ".join(sorted(missing))
        words = (
            f"a policy of its role has a condition on {names}, which cannot be simulated for {need.resource}"
        )
        return SkippedCheck("permissions", what, "", words)
    words = _DECISIONS.get(result["EvalDecision"], result["EvalDecision"])
    return MissingPermission(need.owner, action, need.resource, words)


def log_probe(owner: str, group: str, since: int) -> Probe:
    """The look at what a function was denied lately.

    Args:
        owner: the step.
        group: its log group.
        since: when the first line of interest was written, in milliseconds.
    """

    def look() -> Iterator[MissingPermission]:
        answer = client("logs").filter_log_events(
            logGroupName=group, startTime=since, filterPattern="AccessDenied", limit=20
        )
        told: set[str] = set()
        for event in answer["events"]:
            found = _DENIED.search(event["message"]) or _REFUSED.search(event["message"])
            if found is None or found[1] in told:
                continue
            told.add(found[1])
            words = f"its log shows that at {timestamp(event['timestamp'])}"
            resource = next(filter(None, found.groups()[1:]), "")
            yield MissingPermission(owner, found[1], resource, words)

    return Probe("permissions", f"the log {group}", "logs:FilterLogEvents", look)
