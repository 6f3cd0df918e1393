"""What deployed roles and managed policies say, and how a test lets them say less for a while."""

import contextlib
import copy
import functools
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.e2e.deployment import Answer, Deployed
from tests.template.model import actions

Document = dict[str, Any]
Invoke = Callable[[Deployed], Answer]

DENIED = "is not authorized to perform"

_ALWAYS_ALLOWED = "sts:GetCallerIdentity"


@dataclass(frozen=True, slots=True)
class Permission:
    """An action that one statement allows.

    Attributes:
        holder: the logical id of the role or the managed policy that has the statement.
        sid: the statement's; "" if it has none.
        action: which is allowed.
        needed_by: an invocation that cannot do without.
        alike: statements that differ from it by conditions only which the local cloud does not know.
    """

    holder: str
    sid: str
    action: str
    needed_by: Invoke
    alike: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "-".join(filter(None, (self.holder, self.sid, self.action)))

    def check(self, deployed: Deployed) -> None:
        """Assert that the invocation is denied without the permission, and not with it."""
        denial = f"{DENIED}: {self.action} "
        with without(deployed, self.holder, self.action, self.sid, *self.alike):
            denied = output_of(self.needed_by(deployed))
            if denial not in denied:
                # On a busy machine, the local cloud returns the end of a log with that of the next invocation.
                denied += output_of(self.needed_by(deployed))
        allowed = output_of(self.needed_by(deployed))

        assert denial in denied, denied
        assert DENIED not in allowed, allowed


def output_of(answer: Answer) -> str:
    """Return the error and the log of an invocation."""
    return f"{json.dumps(answer.value)}\n{answer.log}"


@contextlib.contextmanager
def without(deployed: Deployed, holder: str, action: str, *sids: str) -> Iterator[None]:
    """A role or managed policy does not allow an action meanwhile.

    Args:
        deployed: the deployment.
        holder: the role's logical id or the managed policy's, which ends in "Policy".
        action: which all the statements allow.
        sids: those of the statements, of one document; "" for one that has none.
    """
    [(policy, write)] = [
        (policy, write)
        for policy, write in documents(deployed, holder)
        if {each.get("Sid", "") for each in policy["Statement"] if allows(each, action)} >= set(sids)
    ]
    lesser = copy.deepcopy(policy)
    for statement in lesser["Statement"]:
        if statement.get("Sid", "") in sids and allows(statement, action):
            # What everybody may: neither a statement without actions is valid, nor a policy without statements.
            statement["Action"] = [each for each in actions(statement) if each != action] or _ALWAYS_ALLOWED
    write(lesser)
    try:
        yield
    finally:
        write(policy)


def allows(statement: Document, action: str) -> bool:
    """Return whether a statement is one that allows an action."""
    return statement["Effect"] == "Allow" and action in actions(statement)


def documents(deployed: Deployed, holder: str) -> Iterator[tuple[Document, Callable[[Document], None]]]:
    """Yield each policy of a role, or a managed one, as deployed, with a function that replaces it."""
    iam, name = deployed.client("iam"), deployed.physical_id(holder)
    if holder.endswith("Policy"):
        version = iam.get_policy(PolicyArn=name)["Policy"]["DefaultVersionId"]
        found = iam.get_policy_version(PolicyArn=name, VersionId=version)["PolicyVersion"]["Document"]
        yield found, functools.partial(rewrite, iam, name)
        return
    for each in iam.list_role_policies(RoleName=name)["PolicyNames"]:
        found = iam.get_role_policy(RoleName=name, PolicyName=each)["PolicyDocument"]
        yield found, functools.partial(rewrite_inline, iam, name, each)


def rewrite(iam: Any, arn: str, document: Document) -> None:
    """Give a managed policy another text, as its only version: it can have five."""
    iam.create_policy_version(PolicyArn=arn, PolicyDocument=json.dumps(document), SetAsDefault=True)
    for version in iam.list_policy_versions(PolicyArn=arn)["Versions"]:
        if not version["IsDefaultVersion"]:
            iam.delete_policy_version(PolicyArn=arn, VersionId=version["VersionId"])


def rewrite_inline(iam: Any, role: str, policy: str, document: Document) -> None:
    """Give a role's own policy another text."""
    iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))
