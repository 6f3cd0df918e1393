"""ECS tasks: the launch id is the client token, which is valid for at least an hour after the task's end."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, ClassVar

from treadle.adapters.aws_errors import code_of
from treadle.adapters.system import SystemClock
from treadle.adapters.targets.errors import (
    AwsError,
    failed_step,
    failure_of,
    millis_of,
    not_answered,
    not_started,
)
from treadle.adapters.targets.inputs import environment, listed, required, why_no_variable
from treadle.adapters.targets.roles import AwsTarget, Roles
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchError,
    LaunchRejectedError,
    LaunchUncertainError,
)
from treadle.definitions.jobs import names_in
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract
from treadle.ports.targets import CANCELED

TOKEN_MS = 55 * 60_000
"""A token is valid for its task's lifetime plus an hour, at most a day (ECS, "Ensuring idempotency").

A task that ends immediately thus leaves an hour; five minutes less here, for clock skew and slow calls.
"""

MAX_OVERRIDES = 8_192
"""Maximum characters of all overrides of a task (`RunTask`, overrides), including JSON."""

_FARGATE = "FARGATE"
_LAUNCH_TYPES = (_FARGATE, "EC2", "EXTERNAL")
_UNKNOWN = {"ServerException"}
_GONE = {"ClusterNotFoundException", "InvalidParameterException"}
_FULL = ("capacity is unavailable", "reached the limit", "rate exceeded")
_NEVER = {"INACTIVE"}


class EcsTarget(AwsTarget):
    """A `Target` on ECS: one task of a task definition for each attempt.

    Its external ids are the tasks' ARNs. A task has the launch id as `startedBy`, as its group and in its
    environment, so its events identify the attempt. It has no tags: tagging requires its own permission.
    """

    contract: ClassVar[StartContract] = StartContract(token_ms=TOKEN_MS)

    def __init__(self, roles: Roles | None = None) -> None:
        super().__init__(roles)
        self._essential_of: dict[str, frozenset[str]] = {}

    def start(self, start: Start) -> Execution:
        """Run the task, or return the one that the same start began before."""
        settings, request = start.settings, _request(start)
        try:
            answer = self._roles.call("ecs", settings.role, "run_task", once=True, **request)
        except AwsError as error:
            if code_of(error) == "ConflictException":
                return self._existing(start, error)
            if code_of(error) == "ClientException" and any(phrase in str(error).lower() for phrase in _FULL):
                msg = f"{_of(settings)} was not started: {error}"
                raise LaunchDelayedError(msg) from error
            raise not_started(error, _of(settings), unknown=_UNKNOWN) from error
        if not answer["tasks"]:
            raise _not_placed(settings, answer.get("failures", []))
        return self._execution(answer["tasks"][0], settings.role)

    def _existing(self, start: Start, error: Any) -> Execution:
        """Return the task of an earlier call with the same token and other parameters, which is ours as well."""
        tasks = error.response.get("resourceIds") or []
        if not tasks:
            msg = (
                f"A task of {_of(start.settings)} already has the token {start.launch_id}, but ECS did "
                f"not return its ARN: {error}"
            )
            raise LaunchUncertainError(msg) from error
        try:
            task = self._task(tasks[0], start.settings.role)
        except (LaunchDelayedError, LaunchDeniedError) as unknown:
            # The start itself succeeded.
            raise LaunchUncertainError(str(unknown)) from unknown
        if task is None:
            # It has run: ECS forgets a task about an hour after its end, and keeps the token for that time.
            return Execution(tasks[0], start.settings.arn, Status.STARTED, start.tried_at)
        if task.get("startedBy") != start.launch_id:
            msg = (
                f"Task {tasks[0]} has the token {start.launch_id}, but something other than Treadle "
                "started it. Check it."
            )
            raise LaunchRejectedError(msg) from error
        return self._execution(task, start.settings.role)

    def resolve(self, start: Start) -> Execution | None:
        """Return None: ECS cannot be searched for a task that may have ended; only the token identifies it."""
        del start
        return None

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Describe a task: it succeeded if every essential container ended with exit code 0."""
        task = self._task(external_id, role)
        if task is None:
            msg = (
                f"ECS does not know task {external_id}, or no longer does: it forgets a task about an "
                "hour after it stops."
            )
            raise LaunchRejectedError(msg)
        return self._execution(task, role)

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Refuse: ECS publishes each task's events at least once, and forgets a task an hour after its end."""
        del since
        msg = f"Tasks of {_of(settings)} are not listed: ECS publishes events for each at least once."
        raise LaunchRejectedError(msg)

    def cancel(self, external_id: str, role: str = "", reason: str = CANCELED) -> None:
        """Stop a task."""
        try:
            cluster = _cluster(external_id)
            self._roles.call("ecs", role, "stop_task", cluster=cluster, task=external_id, reason=reason)
        except AwsError as error:
            raise not_answered(error, f"Task {external_id} was not canceled", gone=_GONE) from error

    def _task(self, arn: str, role: str) -> dict[str, Any] | None:
        """Return a task; None if ECS no longer has it."""
        try:
            answer = self._roles.call("ecs", role, "describe_tasks", cluster=_cluster(arn), tasks=[arn])
        except AwsError as error:
            what = f"Task {arn} could not be described"
            raise not_answered(error, what, gone={"ClusterNotFoundException"}) from error
        found: list[dict[str, Any]] = answer["tasks"]
        if found:
            return found[0]
        reasons = {each.get("reason") for each in answer.get("failures", [])}
        if reasons - {"MISSING"}:
            msg = f"Task {arn} could not be described: {sorted(map(str, reasons))}"
            raise LaunchDelayedError(msg)
        return None

    def _execution(self, task: dict[str, Any], role: str) -> Execution:
        # A task that is not yet PENDING has no start time.
        began = task.get("startedAt") or task.get("createdAt")
        status, failure = Status.STARTED, None
        if task["lastStatus"] == "STOPPED":
            status, failure = self._end_of(task, role)
        ended = task.get("stoppedAt")
        return Execution(
            task["taskArn"],
            task["taskDefinitionArn"],
            status,
            millis_of(began) if began else SystemClock().now(),
            millis_of(ended) if ended and status.is_finished else None,
            failure,
            launch_id=task.get("startedBy"),
        )

    def _end_of(self, task: dict[str, Any], role: str) -> tuple[Status, Failure | None]:
        code, containers = task.get("stopCode", ""), task.get("containers", [])
        bad = [each for each in containers if each.get("exitCode") != 0]
        if code == "UserInitiated":
            return Status.CANCELED, failure_of(code, task.get("stoppedReason"))
        if bad and code != "TaskFailedToStart":
            essential = self._essential(task["taskDefinitionArn"], role)
            bad = [each for each in bad if each["name"] in essential]
        if containers and not bad:
            return Status.SUCCESS, None
        return Status.FAILURE, _failure_of(task, bad)

    def _essential(self, definition: str, role: str) -> frozenset[str]:
        """Return the essential containers of a revision; cached, as a revision never changes."""
        if definition not in self._essential_of:
            try:
                answer = self._roles.call("ecs", role, "describe_task_definition", taskDefinition=definition)
            except AwsError as error:
                raise not_answered(error, f"Task definition {definition} could not be described") from error
            containers = answer["taskDefinition"]["containerDefinitions"]
            names = frozenset(each["name"] for each in containers if each.get("essential", True))
            self._essential_of[definition] = names
        return self._essential_of[definition]


def _request(start: Start) -> dict[str, Any]:
    settings = start.settings
    [cluster, container] = required(settings, "cluster", "container")
    variables = {**listed(start, why_no_variable), **environment(start)}
    pairs = [{"name": name, "value": value} for name, value in variables.items()]
    overrides = {"containerOverrides": [{"name": container, "environment": pairs}]}
    size = len(json.dumps(overrides, separators=(",", ":"), ensure_ascii=False))
    if size > MAX_OVERRIDES:
        msg = (
            f"The run config is too large for an ECS task: with it the overrides have {size} "
            f"characters; the limit of ECS is {MAX_OVERRIDES}. Store it in an S3 object and pass "
            "the object's key."
        )
        raise LaunchRejectedError(msg)
    return {
        "cluster": cluster,
        "taskDefinition": settings.arn,
        "clientToken": start.launch_id,
        "startedBy": start.launch_id,
        "group": start.launch_id,
        "overrides": overrides,
        **_placement(settings),
    }


def _placement(settings: JobSettings) -> dict[str, Any]:
    """Return the launch type and network configuration of a task."""
    given = settings.options
    provider = given.get("capacity_provider", "").strip()
    launch_type = given.get("launch_type", "").strip() or _FARGATE
    if launch_type not in _LAUNCH_TYPES:
        msg = f"The launch_type of job {settings.job!r} is {launch_type!r}. Use {', '.join(_LAUNCH_TYPES)}."
        raise LaunchRejectedError(msg)
    if launch_type == _FARGATE or provider:
        required(settings, "subnets")
    where: dict[str, Any] = {"launchType": launch_type}
    if provider:
        where = {"capacityProviderStrategy": [{"capacityProvider": provider, "weight": 1}]}
    if subnets := names_in(given.get("subnets", "")):
        network: dict[str, Any] = {"subnets": subnets}
        if groups := names_in(given.get("security_groups", "")):
            network["securityGroups"] = groups
        if launch_type == _FARGATE:
            network["assignPublicIp"] = given.get("assign_public_ip", "").strip() or "DISABLED"
        where["networkConfiguration"] = {"awsvpcConfiguration": network}
    return where


def _not_placed(settings: JobSettings, failures: list[dict[str, Any]]) -> LaunchError:
    """Return the error for a task that ECS did not place: mostly a lack of capacity, which is temporary."""
    reasons = {str(each.get("reason")) for each in failures}
    details = sorted({str(each["detail"]) for each in failures if each.get("detail")})
    msg = f"{_of(settings)} was not started: {'; '.join([*sorted(reasons), *details])}"
    return LaunchRejectedError(msg) if reasons & _NEVER else LaunchDelayedError(msg)


def task_end(task: dict[str, Any]) -> tuple[Status, Failure | None, bool]:
    """Return a task's end according to its event, and whether that is certain.

    It is uncertain if some containers succeeded and others did not: the definition says which are essential.

    Args:
        task: stopCode, stoppedReason and containers, as in an event.
    """
    code, containers = task.get("stopCode", ""), task["containers"]
    if code == "UserInitiated":
        return Status.CANCELED, failure_of(code, task.get("stoppedReason")), True
    bad = [each for each in containers if each.get("exitCode") != 0]
    if containers and not bad:
        return Status.SUCCESS, None, True
    return Status.FAILURE, _failure_of(task, bad), len(bad) == len(containers) or code == "TaskFailedToStart"


def _failure_of(task: dict[str, Any], bad: Sequence[dict[str, Any]]) -> Failure:
    ends = (f"Container {each['name']} {_end_of_container(each)}." for each in bad)
    steps = [failed_step(each["name"], "ContainerFailed", f"It {_end_of_container(each)}.") for each in bad]
    return failure_of(task.get("stopCode") or "TaskFailed", task.get("stoppedReason"), *ends, steps=steps)


def _end_of_container(container: dict[str, Any]) -> str:
    code = container.get("exitCode")
    end = "did not run" if code is None else f"ended with exit code {code}"
    reason = container.get("reason")
    return f"{end}{f': {reason}' if reason else ''}"


def _cluster(task_arn: str) -> str:
    """Return the name of a task's cluster, which is part of the ARN."""
    parts = task_arn.partition(":task/")[2].split("/")
    return parts[0] if len(parts) > 1 else "default"


def _of(settings: JobSettings) -> str:
    return f"ECS task {settings.arn} ({settings.parameter})"
