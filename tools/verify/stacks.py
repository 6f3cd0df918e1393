"""The stacks of a run: all resources of a check are in one, so that deleting them deletes it."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError

from tools.verify.account import PREFIX, TAG, Account

CAPABILITIES = ("CAPABILITY_IAM", "CAPABILITY_AUTO_EXPAND")
DELETIONS = 3
"""How often a deletion is tried: another stack that uses a resource may itself be about to be deleted."""


@dataclass(frozen=True, slots=True)
class Stack:
    """The current state of a stack.

    Attributes:
        name: its name.
        status: CloudFormation's.
        outputs: its outputs by name.
        run: the id of the run that created it.
        created: when it was created.
        reason: why its last operation failed; "" if it did not.
    """

    name: str
    status: str
    outputs: Mapping[str, str] = field(default_factory=dict)
    run: str = ""
    created: datetime | None = None
    reason: str = ""

    @property
    def is_complete(self) -> bool:
        """Whether its last operation succeeded."""
        return self.status in {"CREATE_COMPLETE", "UPDATE_COMPLETE"}

    @property
    def is_moving(self) -> bool:
        """Whether an operation is in progress."""
        return self.status.endswith("_IN_PROGRESS")


@dataclass(slots=True)
class Stacks:
    """Creates, awaits and deletes stacks.

    Attributes:
        account: where they are.
        pause: seconds between two polls.
        sleep: waits.
    """

    account: Account
    pause: float = 3.0
    sleep: Callable[[float], None] = time.sleep

    @property
    def _cloudformation(self) -> Any:
        return self.account.client("cloudformation")

    def name_of(self, part: str) -> str:
        """Return the name of a stack of this run.

        Args:
            part: distinguishes it from the run's other stacks.
        """
        return f"{self.account.name}-{part}"

    def create(
        self,
        name: str,
        template: Mapping[str, Any],
        parameters: Mapping[str, str] | None = None,
        *,
        is_validated: bool = True,
    ) -> None:
        """Begin to create a stack.

        Args:
            name: its whole name.
            template: of the stack.
            parameters: values of the template's parameters.
            is_validated: whether CloudFormation looks for conflicts before it creates the first resource.
        """
        self._cloudformation.create_stack(
            StackName=name,
            TemplateBody=json.dumps(template),
            Parameters=_parameters(parameters),
            Capabilities=list(CAPABILITIES),
            Tags=[{"Key": TAG, "Value": self.account.run}],
            DisableValidation=not is_validated,
        )

    def create_by_change_set(self, name: str, template: Mapping[str, Any]) -> Stack:
        """Create a stack as `sam deploy` does and wait for it, however it ends.

        Args:
            name: its whole name.
            template: what is in it.

        Returns:
            The stack; one of status REVIEW_IN_PROGRESS, which is deleted, if the change set was refused.
        """
        cloudformation = self._cloudformation
        change_set = cloudformation.create_change_set(
            StackName=name,
            ChangeSetName="verify",
            ChangeSetType="CREATE",
            TemplateBody=json.dumps(template),
            Capabilities=list(CAPABILITIES),
            Tags=[{"Key": TAG, "Value": self.account.run}],
        )["Id"]
        try:
            refusal = self._refusal_of_change_set(name, change_set)
            if refusal:
                return Stack(name, "REVIEW_IN_PROGRESS", reason=refusal)
            cloudformation.execute_change_set(StackName=name, ChangeSetName=change_set)
            return self.wait(name)
        finally:
            left = self.find(name)
            if left is not None and left.status == "REVIEW_IN_PROGRESS":
                cloudformation.delete_stack(StackName=name)

    def _refusal_of_change_set(self, name: str, change_set: str, seconds: float = 300) -> str:
        """Why a change set failed; "" if it did not."""
        until = time.monotonic() + seconds
        while True:
            described = self._cloudformation.describe_change_set(StackName=name, ChangeSetName=change_set)
            if described["Status"] == "CREATE_COMPLETE":
                return ""
            if described["Status"] == "FAILED" or time.monotonic() >= until:
                break
            self.sleep(self.pause)
        # DescribeChangeSet names the validation only ("Validate stack deployments" in the CloudFormation user guide).
        events = self._cloudformation.describe_events(
            ChangeSetName=change_set, Filters={"FailedEvents": True}
        )["OperationEvents"]
        reasons = [each["ValidationStatusReason"] for each in events if "ValidationStatusReason" in each]
        return " ".join([described.get("StatusReason") or described["Status"], *reasons])

    def find(self, name: str) -> Stack | None:
        """Return the current state of a stack; None if there is none.

        Args:
            name: its whole name.
        """
        try:
            described = self._cloudformation.describe_stacks(StackName=name)["Stacks"]
        except ClientError as error:
            if "does not exist" in str(error):
                return None
            raise
        return _stack(described[0]) if described else None

    def wait(self, name: str, seconds: float = 600) -> Stack:
        """Wait for a stack's operation to end.

        Args:
            name: its whole name.
            seconds: how long to wait.

        Returns:
            The stack, whatever its last status; one of status DELETE_COMPLETE if it does not exist (anymore).
        """
        until = time.monotonic() + seconds
        while True:
            stack = self.find(name)
            if stack is None:
                return Stack(name, "DELETE_COMPLETE")
            if not stack.is_moving or time.monotonic() >= until:
                failed = not stack.is_complete
                return Stack(
                    name,
                    stack.status,
                    stack.outputs,
                    stack.run,
                    stack.created,
                    self.reason_of(name) if failed else "",
                )
            self.sleep(self.pause)

    def reason_of(self, name: str) -> str:
        """Return why the first resource failed.

        Args:
            name: the stack's whole name.
        """
        events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        failures = [
            f"{event['LogicalResourceId']}: {event.get('ResourceStatusReason', '')}"
            for event in events
            if event["ResourceStatus"].endswith("_FAILED")
            and "cancel" not in event.get("ResourceStatusReason", "")
        ]
        return failures[-1] if failures else ""

    def has_created(self, name: str, logical_id: str) -> bool:
        """Whether a resource of a stack has ever been created.

        Args:
            name: the stack's whole name.
            logical_id: the resource's.
        """
        events = self._cloudformation.describe_stack_events(StackName=name)["StackEvents"]
        return any(
            (each["LogicalResourceId"], each["ResourceStatus"]) == (logical_id, "CREATE_COMPLETE")
            for each in events
        )

    def resources(self, name: str) -> dict[str, str]:
        """Return the physical ids of a stack's resources, by logical id.

        Args:
            name: the stack's whole name.
        """
        pages = self._cloudformation.get_paginator("list_stack_resources").paginate(StackName=name)
        return {
            each["LogicalResourceId"]: each.get("PhysicalResourceId", "")
            for page in pages
            for each in page["StackResourceSummaries"]
            if each["ResourceStatus"] != "DELETE_COMPLETE"
        }

    def all(self) -> list[Stack]:
        """Return every existing stack of any run, by name and tag."""
        pages = self._cloudformation.get_paginator("describe_stacks").paginate()
        found = [_stack(each) for page in pages for each in page["Stacks"]]
        return [
            stack
            for stack in found
            if stack.run and stack.name.startswith(f"{PREFIX}-") and stack.status != "DELETE_COMPLETE"
        ]

    def delete(self, names: Sequence[str], seconds: float = 900) -> dict[str, str]:
        """Delete stacks, all at once, and wait.

        Args:
            names: their whole names.
            seconds: how long to wait for each.

        Returns:
            Why each remaining stack could not be deleted, by its name.
        """
        left = dict.fromkeys(names, "")
        for _ in range(DELETIONS):
            refused = {name: self._refusal_to_delete(name) for name in left}
            gone = {name: self.wait(name, seconds) for name in left if not refused[name]}
            left = {
                name: refused[name] or f"{gone[name].status} {gone[name].reason}".strip()
                for name in left
                if refused[name] or gone[name].status != "DELETE_COMPLETE"
            }
            if not left:
                break
        return left

    def _refusal_to_delete(self, name: str) -> str:
        try:
            self._cloudformation.delete_stack(StackName=name)
        except (ClientError, BotoCoreError) as error:
            return str(error)
        return ""


def _parameters(values: Mapping[str, str] | None) -> list[dict[str, str]]:
    return [{"ParameterKey": key, "ParameterValue": value} for key, value in (values or {}).items()]


def _stack(described: Mapping[str, Any]) -> Stack:
    tags = {tag["Key"]: tag["Value"] for tag in described.get("Tags", [])}
    outputs = {each["OutputKey"]: each["OutputValue"] for each in described.get("Outputs", [])}
    return Stack(
        described["StackName"],
        described["StackStatus"],
        outputs,
        tags.get(TAG, ""),
        described.get("CreationTime"),
    )
