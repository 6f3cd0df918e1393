"""A single stack, from before engines and projects: read, switched off and on, and deleted when it is moved.

Its template is no more part of Treadle; what is relied on here is fixed by its last version: names of resources and
outputs, and DISPATCH's and LAUNCH's variables.
"""

import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from botocore.exceptions import BotoCoreError, ClientError, WaiterError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.definitions.errors import CommandRefusedError, DeploymentError
from treadle.definitions.status import DefaultSensorStatus
from treadle.model.deployment import UNKNOWN_KIND
from treadle.model.moving import ENGINE_QUEUES, STORE_OUTPUTS, NewEngine, OldSensor, OldStack, Part

_FUNCTION, _QUEUE, _MAPPING, _SCHEDULE = (
    "AWS::Lambda::Function",
    "AWS::SQS::Queue",
    "AWS::Lambda::EventSourceMapping",
    "AWS::Scheduler::Schedule",
)
_KEPT = {"AWS::DynamoDB::Table": "table", "AWS::S3::Bucket": "bucket"}
_RETAINED = {"Retain", "RetainExceptOnCreate"}

_QUEUE_URLS = {each: f"{each}QueueUrl" for each in ENGINE_QUEUES}
_OUTPUTS = (
    "Namespace",
    "ObjectsBucketName",
    "BusName",
    "DeadLetterQueueUrl",
    *STORE_OUTPUTS,
    *_QUEUE_URLS.values(),
)

_STEPS = {
    Part.INTAKE: ("DispatchFunction", "ReconcileFunction"),
    Part.REST: ("LaunchFunction", "RecordFunction", "PublishFunction"),
}

_IS_ON = {"Creating", "Enabling", "Enabled", "Updating"}
_STABLE = {"Enabled", "Disabled"}
"""States of an event source mapping (EventSourceMappingConfiguration in Lambda's API reference)."""

_SCHEDULE_PARTS = (
    "ActionAfterCompletion",
    "Description",
    "EndDate",
    "FlexibleTimeWindow",
    "GroupName",
    "KmsKeyArn",
    "Name",
    "ScheduleExpression",
    "ScheduleExpressionTimezone",
    "StartDate",
    "Target",
)
"""UpdateSchedule sets what is left out to its default (EventBridge Scheduler's API reference)."""

DELAY_SECONDS = 5
"""Between two looks at a stack that is being deleted; 720 of them are an hour."""


@dataclass(frozen=True, slots=True)
class _Switch:
    """A schedule or an event source mapping.

    Attributes:
        kind: its resource type.
        name: its name or UUID.
        part: of what it is.
        is_on: whether it invokes its function.
        is_stable: whether that is its state already, and no change is in progress.
        changed_at: when that was changed last, in milliseconds.
    """

    kind: str
    name: str
    part: Part
    is_on: bool
    is_stable: bool
    changed_at: int


class CloudFormationStack:
    """A `SingleStack` on AWS.

    Args:
        name: the stack's.
    """

    def __init__(self, name: str) -> None:
        self._name = name

    def read(self) -> OldStack:
        """Read the stack as it is now."""
        try:
            return self._read()
        except (ClientError, BotoCoreError) as error:
            msg = f"Stack {self._name} cannot be read: {error}. Check the account, the Region and the permissions."
            raise DeploymentError(msg) from error

    def _read(self) -> OldStack:
        stack = _described(self._name)
        if stack is None:
            msg = (
                f"There is no stack {self._name}. Check its name, the account and the Region; once `treadle move` has "
                "deleted it, the move is complete."
            )
            raise DeploymentError(msg)
        given = {each["ParameterKey"]: each.get("ParameterValue", "") for each in stack.get("Parameters", ())}
        outputs = {each["OutputKey"]: each["OutputValue"] for each in stack.get("Outputs", ())}
        self._check(stack["StackStatus"], given, outputs)
        resources = self._resources()
        template = self._template()
        self._check_kept(template, resources)
        environment = _variables(resources, "DispatchFunction") | _variables(resources, "LaunchFunction")
        sensors = dict(self._sensors(resources, json.loads(environment.get("TREADLE_GRANTS", "{}"))))
        jobs = {
            name: job.get("arn", "")
            for name, job in json.loads(environment.get("TREADLE_JOBS", "{}")).items()
        }
        # A queue's physical id is its URL, at whose end is what is at the end of its ARN.
        own = {
            end
            for _, physical in resources.values()
            if physical
            for end in (physical, physical.rpartition("/")[2])
        }
        switches = list(self._switches(resources, sensors))
        off = [each.changed_at for each in switches if each.part is Part.INTAKE and not each.is_on]
        is_on = {part: any(each.is_on for each in switches if each.part is part) for part in Part}
        defaults = template.get("Parameters", {})
        return OldStack(
            name=self._name,
            namespace=outputs["Namespace"],
            stores=",".join(outputs[each] for each in STORE_OUTPUTS),
            bucket=outputs["ObjectsBucketName"],
            bus=outputs["BusName"],
            sensors=sensors,
            jobs=jobs,
            own_jobs=frozenset(
                name for name, arn in jobs.items() if arn in own or arn.rpartition(":")[2] in own
            ),
            queues={each: outputs[output] for each, output in _QUEUE_URLS.items()},
            dead_letters=outputs["DeadLetterQueueUrl"],
            values={
                name: value
                for name, value in sorted(given.items())
                if value != str(defaults.get(name, {}).get("Default", ""))
            },
            is_on=is_on,
            is_stable=all(each.is_stable for each in switches),
            stopped_at=0 if is_on[Part.INTAKE] else max(off, default=0),
        )

    def _check(self, status: str, given: Mapping[str, str], outputs: Mapping[str, str]) -> None:
        if "Engine" in given or "ExistingStores" in outputs:
            what = "a project" if "Engine" in given else "an engine"
            msg = f"Stack {self._name} is {what} already. Name the stack that was deployed from the single template."
            raise CommandRefusedError(msg)
        if not status.endswith("_COMPLETE"):
            msg = (
                f"Stack {self._name} cannot be moved while it is {status}. Wait until CloudFormation is done, or repair "
                "the stack there."
            )
            raise CommandRefusedError(msg)
        missing = next((each for each in _OUTPUTS if each not in outputs), None)
        if missing is not None:
            msg = (
                f"Stack {self._name} cannot be moved: it has no output {missing}. If it was deployed from an earlier "
                "single template, deploy the last version of that first; otherwise name another stack."
            )
            raise CommandRefusedError(msg)

    def _resources(self) -> dict[str, tuple[str, str]]:
        """List type and physical id by logical id."""
        pages = client("cloudformation").get_paginator("list_stack_resources").paginate(StackName=self._name)
        return {
            each["LogicalResourceId"]: (each["ResourceType"], each.get("PhysicalResourceId", ""))
            for page in pages
            for each in page["StackResourceSummaries"]
        }

    def _template(self) -> Mapping[str, Any]:
        """Read the template after SAM's transform, which is JSON."""
        body: Any = client("cloudformation").get_template(StackName=self._name, TemplateStage="Processed")[
            "TemplateBody"
        ]
        read: Mapping[str, Any] = json.loads(body) if isinstance(body, str) else body
        return read

    def _check_kept(self, template: Mapping[str, Any], resources: Mapping[str, tuple[str, str]]) -> None:
        """Refuse a stack that takes tables or buckets with it when it is deleted."""
        for logical_id, (kind, _) in sorted(resources.items()):
            policy = template["Resources"].get(logical_id, {}).get("DeletionPolicy")
            if kind in _KEPT and policy not in _RETAINED:
                msg = (
                    f"Stack {self._name} cannot be moved: when it is deleted, its {_KEPT[kind]} {logical_id} is deleted "
                    "with it. Give that DeletionPolicy: Retain, and deploy the stack first."
                )
                raise CommandRefusedError(msg)

    def _sensors(
        self, resources: Mapping[str, tuple[str, str]], names: Collection[str]
    ) -> Iterator[tuple[str, OldSensor]]:
        for name in sorted(names):
            prefix = "".join(word.capitalize() for word in name.split("_"))
            _, function = resources.get(f"{prefix}Function", ("", ""))
            if not function:
                # Granted, and not deployed: a condition of the template excludes it.
                continue
            settings = _variables(resources, f"{prefix}Function")
            status = settings.get("TREADLE_DEFAULT_STATUS") or DefaultSensorStatus.STOPPED.value
            _, queue = resources.get(f"{prefix}Queue", ("", ""))
            kind = settings.get("TREADLE_KIND") or UNKNOWN_KIND
            yield name, OldSensor(name, kind, DefaultSensorStatus(status), queue, function)

    def _switches(
        self, resources: Mapping[str, tuple[str, str]], sensors: Mapping[str, OldSensor]
    ) -> Iterator[_Switch]:
        """List what invokes Treadle's functions; what invokes others of the stack is left alone."""
        parts = {each.function: Part.INTAKE for each in sensors.values()}
        parts |= {
            resources[step][1]: part for part, steps in _STEPS.items() for step in steps if step in resources
        }
        for kind, name in resources.values():
            if kind == _MAPPING:
                found: Mapping[str, Any] = client("lambda").get_event_source_mapping(UUID=name)
                target, state = found["FunctionArn"], found.get("State", "Enabled")
                changed = found.get("LastModified")
            elif kind == _SCHEDULE:
                found = client("scheduler").get_schedule(Name=name)
                target, state = found["Target"]["Arn"], found["State"].capitalize()
                changed = found.get("LastModificationDate")
            else:
                continue
            part = parts.get(target.partition(":function:")[2].partition(":")[0])
            if part is not None:
                yield _Switch(kind, name, part, state in _IS_ON, state in _STABLE, _millis(changed))

    def switch(self, part: Part, *, on: bool) -> None:
        """Switch a part; what is so already is left alone."""
        try:
            resources = self._resources()
            environment = _variables(resources, "DispatchFunction")
            sensors = dict(self._sensors(resources, json.loads(environment.get("TREADLE_GRANTS", "{}"))))
            for each in self._switches(resources, sensors):
                if each.part is not part or each.is_on is on:
                    continue
                if each.kind == _MAPPING:
                    client("lambda").update_event_source_mapping(UUID=each.name, Enabled=on)
                else:
                    _switch_schedule(each.name, on=on)
        except (ClientError, BotoCoreError) as error:
            msg = f"Stack {self._name} was not switched {'on' if on else 'off'} completely: {error}. Run it again."
            raise DeploymentError(msg) from error

    def delete(self) -> None:
        """Delete the stack, and wait until it is gone."""
        try:
            client("cloudformation").delete_stack(StackName=self._name)
            waiter = client("cloudformation").get_waiter("stack_delete_complete")
            waiter.wait(StackName=self._name, WaiterConfig={"Delay": DELAY_SECONDS, "MaxAttempts": 720})
        except (ClientError, BotoCoreError, WaiterError) as error:
            msg = (
                f"Stack {self._name} was not deleted: {error}. Everything else of the move is done. CloudFormation's "
                "events of the stack have the reason; delete it there."
            )
            raise DeploymentError(msg) from error


def find_engine(stack: str) -> NewEngine | None:
    """Find the engine of a stack; None if there is no such stack.

    Args:
        stack: its name.

    Raises:
        DeploymentError: if it cannot be read, or is no engine's.
        CommandRefusedError: if it is being changed.
    """
    try:
        found = _described(stack)
    except (ClientError, BotoCoreError) as error:
        msg = f"Stack {stack} cannot be read: {error}. Check the account, the Region and the permissions."
        raise DeploymentError(msg) from error
    if found is None:
        return None
    outputs = {each["OutputKey"]: each["OutputValue"] for each in found.get("Outputs", ())}
    if not found["StackStatus"].endswith("_COMPLETE"):
        msg = f"Engine stack {stack} is {found['StackStatus']}. Wait until CloudFormation is done, and run this again."
        raise CommandRefusedError(msg)
    missing = next((each for each in ("EngineName", "ExistingStores") if each not in outputs), None)
    if missing is not None:
        msg = f"Stack {stack} is not an engine: it has no output {missing}. Give the engine's stack as --engine."
        raise DeploymentError(msg)
    return NewEngine(
        stack,
        outputs["EngineName"],
        outputs["Namespace"],
        outputs["ExistingStores"],
        outputs["BusName"],
        {each: outputs[output] for each, output in _QUEUE_URLS.items()},
    )


def _described(stack: str) -> Mapping[str, Any] | None:
    """Describe a stack; None if there certainly is none of that name (DescribeStacks answers with a ValidationError)."""
    try:
        [found] = client("cloudformation").describe_stacks(StackName=stack)["Stacks"]
    except ClientError as error:
        if code_of(error) == "ValidationError" and "does not exist" in str(error):
            return None
        raise
    return None if found["StackStatus"] == "DELETE_COMPLETE" else found


def _variables(resources: Mapping[str, tuple[str, str]], function: str) -> dict[str, str]:
    if function not in resources:
        return {}
    found = client("lambda").get_function_configuration(FunctionName=resources[function][1])
    return dict(found.get("Environment", {}).get("Variables", {}))


def _switch_schedule(name: str, *, on: bool) -> None:
    present: Mapping[str, Any] = client("scheduler").get_schedule(Name=name)
    kept = {each: present[each] for each in _SCHEDULE_PARTS if each in present}
    client("scheduler").update_schedule(**kept, State="ENABLED" if on else "DISABLED")


def _millis(time: datetime | None) -> int:
    return 0 if time is None else int(time.timestamp() * 1000)
