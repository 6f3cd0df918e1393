"""MiniStack with additions for jobs on ECS, Glue and Batch, and for the registry.

Run by MiniStack's own interpreter, instead of its command.

MiniStack itself announces only executions of Step Functions, so that a run of any other target would stay
STARTED until RECONCILE queries it. The events announced here have AWS's form: "Task state change events" in
the ECS developer guide, "Automating Glue with EventBridge" in the Glue guide, "Batch job state change events"
in the Batch guide, "Amazon EventBridge event examples for Systems Manager" in the Systems Manager guide. A
task that nothing runs, as there is no Docker, is ended.

MiniStack itself ends an environment of a function in the middle of an invocation, when another one fails or
the function is updated. Here that invocation ends first, as "Updating a function's configuration" in the
Lambda guide has it.

MiniStack itself also checks permissions for tasks on their cluster, and for Batch jobs and lists of
parameters on no resource; and for a batch of messages it checks an action named like the call, which IAM does
not have. Here they are checked on the resources that AWS uses: "Actions" and "Resource types" in the Service
Authorization Reference.

MiniStack itself treats the concurrency of a queue's mapping as text where a parameter of a template gives it,
and then delivers from no queue at all. Here it is a number.

MiniStack itself searches for the attributes that a batch reads from DynamoDB outside of the batch, and treats
every batch as one that reads all. Here they are those of the batch's tables: "BatchGetItem" in the DynamoDB
API reference.

MiniStack itself applies a PartiQL statement without a record in the table's stream, and checks a permission named
like the call for it. Here there is a record, and the permission is that of the statement on its table: "IAM security
policies with PartiQL for DynamoDB" in the DynamoDB developer guide.

By itself it unpacks all layers of a function for each of its environments, which takes longer than all else of a cold
start. Here each layer is unpacked once, and every environment reads it, as "Packaging your layer content" in the Lambda
guide has it below /opt.

It reads and replaces MiniStack's own parts, so a new MiniStack may need a change here;
`tests/e2e/test_job_targets.py` shows whether it does.
"""

import contextvars
import copy
import hashlib
import importlib
import io
import itertools
import json
import logging
import os
import re
import shutil
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple

PAUSE_SECONDS = 0.5
ENTRIES_AT_A_TIME = 5
"""Changes of parameters that are announced between two pauses. CloudFormation creates a stack's parameters as fast as
PutParameter lets it ("AWS Systems Manager endpoints and quotas" in the AWS General Reference: 3 a second, or 10), and
MiniStack all at once: each invokes RECONCILE."""

TASK_SECONDS = 1.0
"""A task that nothing runs, as there is no Docker, ends by itself after this time, with exit code 0."""

_GLUE_ENDS = ("SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED")
_TASK_DETAILS = ("RUNNING", "STOPPED")
_STATEMENT = re.compile(r'(INSERT|UPDATE|DELETE)\b(?:\s+(?:INTO|FROM))?\s+"([^"]+)"')

logger = logging.getLogger("treadle")


class Change(NamedTuple):
    """A change of state.

    Attributes:
        key: the resource and its state; announced once.
        source: the event's.
        detail_type: the event's.
        detail: the event's.
        resources: the event's.
    """

    key: tuple[str, ...]
    source: str
    detail_type: str
    detail: dict[str, Any]
    resources: tuple[str, ...] = ()


def _service(name: str) -> Any:
    return importlib.import_module(f"ministack.services.{name}")


def _tasks() -> Iterator[tuple[str, str, Change]]:
    ecs = _service("ecs")
    for (account, region, arn), task in ecs._tasks.all_items():
        if str(task.get("group", "")).startswith("service:"):
            continue
        status = str(task["lastStatus"])
        if status == "RUNNING" and not ecs._get_docker():
            _end_task(ecs, account, region, arn, task)
        if status in _TASK_DETAILS:
            detail = ecs._sanitize(task)
            yield account, region, Change((arn, status), "aws.ecs", "ECS Task State Change", detail)


_first_seen: dict[str, float] = {}


def _end_task(ecs: Any, account: str, region: str, arn: str, task: dict[str, Any]) -> None:
    """End a task that nothing runs, once it was seen running for a moment."""
    began = _first_seen.setdefault(arn, time.monotonic())
    if time.monotonic() - began >= TASK_SECONDS:
        with importlib.import_module("ministack.core.responses").request_scope(account, region):
            reason = "Essential container in task exited"
            ecs._mark_task_stopped(arn, task, reason, "EssentialContainerExited", exit_code=0)


def _glue_runs() -> Iterator[tuple[str, str, Change]]:
    for (account, region, job), runs in _service("glue")._job_runs.all_items():
        for run in list(runs):
            state = str(run["JobRunState"])
            # Its end is set a moment after its state.
            if state in _GLUE_ENDS and run.get("CompletedOn"):
                detail = {
                    "jobName": job,
                    "severity": "INFO" if state == "SUCCEEDED" else "ERROR",
                    "state": state,
                    "jobRunId": run["Id"],
                    "message": run.get("ErrorMessage") or f"Job run {state.lower()}",
                }
                yield account, region, Change((run["Id"], state), "aws.glue", "Glue Job State Change", detail)


def _batch_jobs() -> Iterator[tuple[str, str, Change]]:
    for (account, region, job_id), job in _service("batch")._jobs.all_items():
        status = str(job["status"])
        detail = {"attempts": [], **job}
        yield account, region, Change((job_id, status), "aws.batch", "Batch Job State Change", detail)


_parameters: dict[tuple[str, str, str], dict[str, Any]] = {}
"""Every parameter, by account, Region and name, as it was when its last change was announced."""


def _parameter_changes() -> Iterator[tuple[str, str, Change]]:
    found = {key: dict(parameter) for key, parameter in _service("ssm")._parameters.all_items()}
    changed = [
        key
        for key in sorted(_parameters.keys() | found.keys())
        if key not in found or key not in _parameters or _version(found[key]) != _version(_parameters[key])
    ]
    for key in changed[:ENTRIES_AT_A_TIME]:
        before, after = _parameters.pop(key, None), found.get(key)
        operation = "Create" if before is None else "Delete" if after is None else "Update"
        parameter: dict[str, Any] = after or before or {}
        account, region, name = key
        detail = {
            "operation": operation,
            "name": name,
            "type": parameter["Type"],
            "description": parameter["Description"],
        }
        once, arn = (operation, *key, *_version(parameter)), str(parameter["ARN"])
        if after is not None:
            _parameters[key] = after
        yield account, region, Change(once, "aws.ssm", "Parameter Store Change", detail, (arn,))


def _version(parameter: dict[str, Any]) -> tuple[str, str]:
    return str(parameter["Version"]), str(parameter["LastModifiedDate"])


def _announce(account: str, region: str, change: Change) -> None:
    entry = {
        "Source": change.source,
        "DetailType": change.detail_type,
        "Detail": json.dumps(change.detail, default=str),
        "Resources": list(change.resources),
    }
    with importlib.import_module("ministack.core.responses").request_scope(account, region):
        _service("eventbridge")._put_events({"Entries": [entry]}, allow_aws_source=True)


def announce_changes() -> None:
    """Announce each change once, for as long as the process lives."""
    announced: set[tuple[str, ...]] = set()
    while True:
        for changes in (_tasks, _glue_runs, _batch_jobs, _parameter_changes):
            try:
                for account, region, change in changes():
                    if change.key not in announced:
                        announced.add(change.key)
                        _announce(account, region, change)
            except Exception:
                logger.exception(
                    "Changes cannot be announced: tools/ministack_server.py does not fit MiniStack"
                )
        time.sleep(PAUSE_SECONDS)


def named_resource(service: str, path: str, body: bytes, region: str, account: str) -> str | None:
    """Return the ARN on which AWS checks a request's permission; None if MiniStack knows it.

    Args:
        service: as MiniStack routes the request.
        path: of the request.
        body: of the request.
        region: of the request.
        account: of the caller.
    """
    if service not in {"ecs", "batch", "ssm", "events"}:
        return None
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return None
    if service == "ssm":
        # Only GetParametersByPath has a path.
        path = str(request.get("Path") or "")
        return f"arn:aws:ssm:{region}:{account}:parameter{path.rstrip('/')}" if path.startswith("/") else None
    if service == "events":
        # DescribeEventBus accepts "the name or ARN of the event bus" (botocore's model); MiniStack expects a rule.
        name = str(request.get("Name") or "")
        return name if ":event-bus/" in name else None
    if service == "ecs":
        tasks = [request.get("task"), *request.get("tasks", [])]
        named = request.get("taskDefinition") if request.get("cluster") else None
        found = next(filter(None, [named, *tasks]), None)
    else:
        found = request.get("jobDefinition") if path.endswith("/submitjob") else None
    return found if found and str(found).startswith("arn:") else None


def known_action(action: str | None) -> str | None:
    """Return IAM's action for a call.

    Args:
        action: as MiniStack names it; None if it knows none.
    """
    return action.removesuffix("Batch") if action and action.startswith("sqs:") else action


def check_permissions_by_known_actions() -> None:
    """Make MiniStack check the actions that IAM has."""
    iam_actions: Any = importlib.import_module("ministack.core.iam_actions")
    before = iam_actions.extract_iam_action

    def extract_iam_action(*request: Any, **named: Any) -> Any:
        return known_action(before(*request, **named))

    iam_actions.extract_iam_action = extract_iam_action


def check_permissions_on_named_resources() -> None:
    """Make MiniStack check permissions for tasks, Batch jobs and lists of parameters on AWS's resources."""
    iam_actions: Any = importlib.import_module("ministack.core.iam_actions")
    before = iam_actions.extract_resource_arn

    def extract_resource_arn(
        service: str,
        method: str,
        path: str,
        headers: Any,
        body: bytes,
        query: Any,
        region: str,
        account_id: str,
    ) -> Any:
        found = named_resource(service, path, body, region, account_id)
        return found or before(service, method, path, headers, body, query, region, account_id)

    iam_actions.extract_resource_arn = extract_resource_arn


def with_attributes(body: bytes) -> bytes:
    """Move a batch's attributes to where MiniStack expects those of a single request."""
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return body
    tables = request.get("RequestItems") if isinstance(request, dict) else None
    items = [each for each in tables.values() if isinstance(each, dict)] if isinstance(tables, dict) else []
    found: list[str] = []
    for each in items:
        names = each.get("ExpressionAttributeNames") or {}
        paths = str(each.get("ProjectionExpression") or "").split(",")
        attributes = [names.get(path.strip(), path.strip()) for path in paths if path.strip()]
        attributes += each.get("AttributesToGet") or []
        if not attributes:
            return body
        found += attributes
    return json.dumps({**request, "AttributesToGet": found}).encode() if found else body


def check_permissions_on_attributes() -> None:
    """Make MiniStack detect which attributes a batch reads."""
    iam_actions: Any = importlib.import_module("ministack.core.iam_actions")
    before = iam_actions.dynamodb_service_context

    def dynamodb_service_context(body: bytes) -> Any:
        return before(with_attributes(body))

    iam_actions.dynamodb_service_context = dynamodb_service_context


def permissions_of_statements(call: str, body: bytes, arn_of: Callable[[str], str]) -> list[tuple[str, str]]:
    """Return the actions and tables for which a batch of PartiQL statements needs permissions.

    Args:
        call: the action as MiniStack names it.
        body: the request.
        arn_of: returns a table's ARN.
    """
    if call != "dynamodb:BatchExecuteStatement":
        return []
    statements = (str(each.get("Statement")) for each in json.loads(body or b"{}").get("Statements") or ())
    found = (_STATEMENT.match(statement) for statement in statements)
    return [(f"dynamodb:PartiQL{each[1].title()}", arn_of(each[2])) for each in found if each]


def write_items_by_statements() -> None:
    """Make MiniStack check permissions of PartiQL statements as IAM does, and record in streams what they write."""
    iam_actions: Any = importlib.import_module("ministack.core.iam_actions")
    dynamodb: Any = _service("dynamodb")
    checks = iam_actions.dynamodb_transaction_checks
    insert, update = dynamodb._partiql_insert, dynamodb._partiql_update

    def dynamodb_transaction_checks(action: str, body: bytes, region: str, account: str) -> Any:
        found = permissions_of_statements(
            action, body, lambda table: str(iam_actions._dynamodb_table_arn(table, region, account))
        )
        return found or checks(action, body, region, account)

    def partiql_insert(table: dict[str, Any], parsed: dict[str, Any]) -> Any:
        answer = insert(table, parsed)
        if answer[0] == HTTPStatus.OK:
            dynamodb._emit_stream_event(table["TableName"], "INSERT", None, parsed["item"])
        return answer

    def partiql_update(table: dict[str, Any], parsed: dict[str, Any], *rest: Any) -> Any:
        keys = dynamodb._partiql_key_target(table, parsed)[:2]
        before = copy.deepcopy(table["items"].get(keys[0], {}).get(keys[1]))
        answer = update(table, parsed, *rest)
        if answer[0] == HTTPStatus.OK:
            dynamodb._emit_stream_event(
                table["TableName"], "MODIFY", before, table["items"][keys[0]][keys[1]]
            )
        return answer

    iam_actions.dynamodb_transaction_checks = dynamodb_transaction_checks
    dynamodb._partiql_insert, dynamodb._partiql_update = partiql_insert, partiql_update


def numbered(mapping: dict[str, Any]) -> dict[str, Any]:
    """Return the event source mapping with its concurrency as a number."""
    scaling = dict(mapping.get("ScalingConfig") or {})
    if "MaximumConcurrency" in scaling:
        scaling["MaximumConcurrency"] = int(scaling["MaximumConcurrency"])
    return {**mapping, "ScalingConfig": scaling}


def count_invocations_by_number() -> None:
    """Make MiniStack compare the concurrency of a queue's mapping with numbers."""
    functions: Any = _service("lambda_svc")
    before = functions._sqs_esm_concurrency

    def concurrency(mapping: dict[str, Any], *more: Any, **named: Any) -> Any:
        return before(numbered(mapping), *more, **named)

    functions._sqs_esm_concurrency = concurrency


class Simulated(NamedTuple):
    """What is simulated.

    Attributes:
        principal: what a call carries of whoever makes it, and the tags of its resource.
        resources: the ARNs on which it is evaluated.
    """

    principal: Mapping[str, str]
    resources: Sequence[str]


_NOTHING = Simulated({}, ())
_simulated: contextvars.ContextVar[Simulated] = contextvars.ContextVar("simulated", default=_NOTHING)


def of_resources(decisions: dict[str, dict[str, str]]) -> str:
    """Format the results of a simulation of several resources as "EvaluationResult" in the IAM API Reference.

    Args:
        decisions: by action, the decision by resource.
    """
    members = ""
    for action, by_resource in decisions.items():
        denied = [each for each in by_resource.values() if each != "allowed"]
        specific = "".join(
            f"<member><EvalResourceName>{resource}</EvalResourceName>"
            f"<EvalResourceDecision>{decision}</EvalResourceDecision></member>"
            for resource, decision in by_resource.items()
        )
        members += (
            f"<member><EvalActionName>{action}</EvalActionName><EvalResourceName>*</EvalResourceName>"
            f"<EvalDecision>{(denied or ['allowed'])[0]}</EvalDecision>"
            f"<ResourceSpecificResults>{specific}</ResourceSpecificResults></member>"
        )
    return members


def simulate_sessions_of_roles() -> None:
    """Make MiniStack simulate the permissions of a role's session, even if the role's ARN has a path.

    It takes the path for a part of the role's name, leaves all context entries out of account, and all resources but the
    first. Here `aws:userid` is taken into account, which ends with the session's name, and the resource's tags, which the
    caller gives for resources that need not exist, and every resource.
    """
    evaluator: Any = importlib.import_module("ministack.core.iam_evaluator")
    iam: Any = _service("iam")
    gather, evaluate = evaluator._gather_role_policies, evaluator.evaluate
    extract, build = iam._extract_simulate_params, iam._build_simulate_results_real

    def gathered(name: str, *more: Any) -> Any:
        return gather(name.rpartition("/")[2], *more)

    def extracted(parameters: Any) -> Any:
        found: dict[str, str] = {}
        for number in range(1, 100):
            entry = f"ContextEntries.member.{number}"
            name = iam._p(parameters, f"{entry}.ContextKeyName")
            if not name:
                break
            if name == "aws:userid" or name.startswith("aws:ResourceTag/"):
                found[name.lower()] = iam._p(parameters, f"{entry}.ContextKeyValues.member.1")
        numbered_arns = (f"ResourceArns.member.{number}" for number in itertools.count(1))
        arns = itertools.takewhile(bool, (iam._p(parameters, each) for each in numbered_arns))
        _simulated.set(Simulated(found, tuple(arns)))
        return extract(parameters)

    def evaluated(context: Any, policies: Any, *more: Any, **named: Any) -> Any:
        context.principal_keys = {**context.principal_keys, **_simulated.get().principal}
        return evaluate(context, policies, *more, **named)

    def built(actions: list[str], resource: str, *more: Any) -> Any:
        resources = _simulated.get().resources
        try:
            if len(resources) < 2:
                return build(actions, resource, *more)
            decisions = {
                action: {
                    each: re.findall("<EvalDecision>(.*?)</EvalDecision>", build([action], each, *more))[0]
                    for each in resources
                }
                for action in actions
            }
            return of_resources(decisions)
        finally:
            _simulated.set(_NOTHING)

    evaluator._gather_role_policies = gathered
    evaluator.evaluate = evaluated
    iam._extract_simulate_params = extracted
    iam._build_simulate_results_real = built


def describe_buses_by_arn() -> None:
    """Make MiniStack accept the ARN of an event bus where it accepts the name."""
    buses: Any = _service("eventbridge")
    before = buses._describe_event_bus

    def described(request: dict[str, Any]) -> Any:
        return before(
            {**request, "Name": buses._event_bus_name_from_ref(request.get("Name") or "default")[0]}
        )

    buses._describe_event_bus = described


def stream_of(function: str, stream: str) -> str:
    """Return the name of a log stream in a log group that is not the function's own.

    It has the function's name before the version ("Configuring CloudWatch log groups" in the Lambda Developer
    Guide).

    Args:
        function: the function's name.
        stream: the name that a stream has in the function's own group.
    """
    return stream.replace("/[", f"/{function}[", 1)


def name_streams_by_functions() -> None:
    """Make MiniStack name the streams in a log group of several functions as AWS does."""
    functions: Any = _service("lambda_svc")
    write, lock = functions._emit_lambda_logs, threading.Lock()

    def written(function: dict[str, Any], *more: Any, **named: Any) -> None:
        configuration = function.get("config") or function
        group = (configuration.get("LoggingConfig") or {}).get("LogGroup")
        name = configuration.get("FunctionName", "")
        if group in {None, "", f"/aws/lambda/{name}"}:
            write(function, *more, **named)
            return
        with lock:
            groups = _service("cloudwatch_logs")._log_groups
            before = set(groups[group]["streams"]) if group in groups else set()
            write(function, *more, **named)
            streams = groups[group]["streams"]
            for each in streams.keys() - before:
                streams[stream_of(name, each)] = streams.pop(each)

    functions._emit_lambda_logs = written


def let_invocations_end() -> None:
    """Make MiniStack end an environment of a function between invocations only."""
    runtime: Any = importlib.import_module("ministack.core.lambda_runtime")
    end_now = runtime.kill_workers

    def end_when_idle(worker: Any) -> None:
        with worker._lock:
            end_now([worker])

    def end(workers: Any) -> None:
        # An invocation holds its environment's lock from start to end.
        idle = [each for each in workers if each is not None and each._lock.acquire(blocking=False)]
        try:
            end_now(idle)
        finally:
            for each in idle:
                each._lock.release()
        for each in workers:
            if each is not None and each not in idle:
                threading.Thread(target=end_when_idle, args=(each,), daemon=True).start()

    runtime.kill_workers = end


_unpacking = threading.Lock()


def unpacked(layer: bytes) -> Path:
    """Return the folder of a layer's files; the first environment that needs it unpacks them.

    Args:
        layer: the archive.
    """
    folder = Path(tempfile.gettempdir()) / "layers" / hashlib.sha256(layer).hexdigest()
    with _unpacking:
        if not folder.exists():
            draft = folder.with_suffix(".draft")
            shutil.rmtree(draft, ignore_errors=True)
            with zipfile.ZipFile(io.BytesIO(layer)) as archive:
                archive.extractall(draft)
            draft.rename(folder)
    return folder


def with_folders_of_layers(configuration: dict[str, Any], folders: list[Path]) -> dict[str, Any]:
    """Return a function's configuration with its layers as folders, which MiniStack passes on in a variable.

    Args:
        configuration: as MiniStack keeps it.
        folders: of the layers, in order.
    """
    environment = configuration.get("Environment") or {}
    variables = environment.get("Variables") or {}
    given = {"_LAMBDA_LAYERS_DIRS": os.pathsep.join(map(str, folders))} if folders else {}
    return {
        **configuration,
        "Layers": [],
        "Environment": {**environment, "Variables": {**variables, **given}},
    }


def unpack_layers_once() -> None:
    """Let all environments of Python functions share the files of their layers."""
    worker: Any = importlib.import_module("ministack.core.lambda_runtime").Worker
    spawn = worker._spawn

    def spawned(self: Any) -> None:
        configuration = self.config
        if str(configuration.get("Runtime", "")).startswith("python"):
            archives = map(_service("lambda_svc")._resolve_layer_zip, configuration.get("Layers") or [])
            self.config = with_folders_of_layers(configuration, [unpacked(each) for each in archives if each])
        try:
            spawn(self)
        finally:
            self.config = configuration

    worker._spawn = spawned


def main() -> None:
    """Serve, and announce changes meanwhile."""
    check_permissions_by_known_actions()
    check_permissions_on_named_resources()
    check_permissions_on_attributes()
    write_items_by_statements()
    count_invocations_by_number()
    simulate_sessions_of_roles()
    describe_buses_by_arn()
    name_streams_by_functions()
    let_invocations_end()
    unpack_layers_once()
    threading.Thread(target=announce_changes, name="treadle-changes", daemon=True).start()
    importlib.import_module("ministack.app").main()


if __name__ == "__main__":
    main()
