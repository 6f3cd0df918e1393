"""Lists the principals that have the engine's evaluator policies; a role's tag says as which sensor it acts."""

import functools
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from treadle.adapters.clients import client
from treadle.adapters.health.probes import Probe, Vital, run_probes
from treadle.model.health import HOLDERS, PolicyHolder

_SENSOR_TAG = "treadle:sensor"
_LAMBDA = "lambda.amazonaws.com"


def holders_probe(policies: Iterable[str]) -> Probe:
    """Return the probe of the roles, users and groups that have one of the policies.

    Args:
        policies: the policies' ARNs.
    """
    arns = sorted(policies)

    def check() -> Iterator[Vital]:
        roles: set[str] = set()
        others: set[tuple[str, str]] = set()
        for arn in arns:
            for page in client("iam").get_paginator("list_entities_for_policy").paginate(PolicyArn=arn):
                roles.update(each["RoleName"] for each in page["PolicyRoles"])
                others.update(("user", each["UserName"]) for each in page["PolicyUsers"])
                others.update(("group", each["GroupName"]) for each in page["PolicyGroups"])
        yield from (PolicyHolder(name, kind) for kind, name in sorted(others))
        yield from run_probes([_role_probe(name) for name in sorted(roles)])

    return Probe(HOLDERS, "who has the evaluator policies", "iam:ListEntitiesForPolicy", check)


def _role_probe(name: str) -> Probe:
    return Probe(HOLDERS, f"role {name}", "iam:GetRole", functools.partial(_role, name))


def _role(name: str) -> Iterator[PolicyHolder]:
    role = client("iam").get_role(RoleName=name)["Role"]
    # Keys of tags are compared without regard to case ("Tagging IAM resources" in the IAM User Guide).
    tags = {each["Key"].lower(): each["Value"] for each in role.get("Tags", [])}
    trusted = sorted(set(_trusted(role["AssumeRolePolicyDocument"])) - {_LAMBDA})
    yield PolicyHolder(role["Arn"], "role", tags.get(_SENSOR_TAG, ""), tuple(trusted))


def _trusted(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield the principals that a trust policy allows to assume its role."""
    statements = document.get("Statement", [])
    for statement in statements if isinstance(statements, list) else [statements]:
        if statement.get("Effect") != "Allow":
            continue
        principal = statement.get("Principal", "*")
        values = principal.values() if isinstance(principal, Mapping) else [principal]
        for value in values:
            yield from value if isinstance(value, list) else [value]
