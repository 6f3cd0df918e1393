"""Least privilege: each permission is needed, each suffices, and what a role lacks it cannot do.

A permission is taken from the deployed role, or from the managed policy that the role has, and the function invoked with
an event that needs it.
"""

import base64
import contextlib
import copy
import functools
import json
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.exceptions import ClientError

from tests.e2e.deployment import (
    JOB,
    SENSOR,
    Answer,
    Deployed,
    eventually,
    fresh_key,
    launch_message,
    object_created,
    queued,
    run_record,
    status_changed,
)
from tests.e2e.policies import DENIED, Invoke, Permission
from tests.e2e.test_batches import PERMISSIONS as PERMISSIONS_OF_BATCHES
from tests.e2e.unproven_permissions import UNENFORCED, UNPROVEN
from tests.support.streams import as_record
from tests.support.tables import create_tables
from tests.template.engine_model import WIDEST, all_statements
from tests.template.engine_model import deployed as engine
from tests.template.model import actions, read, samples
from tools.project import REGION
from treadle.adapters.blobs import S3BlobStore
from treadle.adapters.dynamodb.runs import _item
from treadle.adapters.dynamodb.tables import DynamoStores, TableNames
from treadle.adapters.system import RandomTokens
from treadle.definitions.assets import AssetMaterialization
from treadle.definitions.payloads import PayloadReference
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.launch.launcher import payload
from treadle.model.registry import path_of
from treadle.model.runs import Claim, Run
from treadle.model.ticks import PlannedRun, Tick, TickKind

FAR_AWAY = 4_102_444_800_000
LONG_AGO = 3_600_000
UNKNOWN = json.dumps({"source": "made", "detail-type": "by a test of permissions"})

# ---- Events that need a permission


def scheduled_tick(deployed: Deployed) -> Answer:
    deployed.let_time_pass()
    return deployed.tick()


def event_tick(deployed: Deployed) -> Answer:
    event = object_created(deployed.bucket, fresh_key(), "e1")
    return deployed.invoke("NewObjects", queued(event))


def two_event_ticks(deployed: Deployed) -> Answer:
    """A function gets two events. Without the permission, their ticks are committed one by one, and the log says why."""
    events = [object_created(deployed.bucket, fresh_key(), "e1") for _ in range(2)]
    return deployed.invoke("NewObjects", queued(*events))


def unknown_message(function: str) -> Invoke:
    return lambda deployed: deployed.invoke(function, queued(UNKNOWN))


def tick_for(*requests: PlannedRun, paused: str | None = None, made: bool = False) -> Invoke:
    """DISPATCH gets a tick with these requests; one that the deployed tables know nothing of."""

    def invoke(deployed: Deployed) -> Answer:
        given: dict[str, Any] = {"requests": requests, "paused": paused, "asset_events": _made(made)}
        at = 1_795_370_405_000
        tick = Tick(SENSOR, str(uuid4()), TickKind.EVENT, TickStatus.SUCCESS, at, at, at, **given)
        names = create_tables(deployed.endpoint)
        blobs = S3BlobStore(deployed.outputs["OutcomesBucketName"])
        assert DynamoStores(names, RandomTokens(), blobs).ticks.put(tick)
        [item] = deployed.client("dynamodb").scan(TableName=names.ticks)["Items"]
        return deployed.invoke("Dispatch", {"Records": [as_record(item)]})

    return invoke


def reactions_to_two_runs(deployed: Deployed) -> Answer:
    """DISPATCH gets two ticks that acted on runs. Without the permission, both are noted one by one, and the log says why."""
    at = 1_795_370_405_000
    ticks = [
        Tick(
            SENSOR, str(uuid4()), TickKind.EVENT, TickStatus.SUCCESS, at, at, at,
            acted_on=f"{_created(deployed).run_id}/1/0/SUCCESS",
        )
        for _ in range(2)
    ]  # fmt: skip
    names = create_tables(deployed.endpoint)
    stores = DynamoStores(names, RandomTokens(), S3BlobStore(deployed.outputs["OutcomesBucketName"]))
    assert all(stores.ticks.put(tick) for tick in ticks)
    items = deployed.client("dynamodb").scan(TableName=names.ticks)["Items"]
    return deployed.invoke("Dispatch", {"Records": [as_record(item) for item in items]})


def one_run(deployed: Deployed) -> Answer:
    return tick_for(PlannedRun(str(uuid4()), None, JOB, "{}", {}))(deployed)


def two_runs() -> list[PlannedRun]:
    """Return requests of runs that are created together; without the permission, one by one, and the log says why."""
    return [PlannedRun(str(uuid4()), None, JOB, "{}", {}) for _ in range(2)]


def dispatch_two_runs(deployed: Deployed) -> Answer:
    return tick_for(*two_runs())(deployed)


def reconcile_two_runs(deployed: Deployed) -> Answer:
    return reconcile_tick_for(*two_runs())(deployed)


def runs_of_a_job_that_is_not_granted(number: int, config_bytes: int = 0) -> Invoke:
    return tick_for(*not_granted(number, config_bytes))


def not_granted(number: int, config_bytes: int = 0) -> list[PlannedRun]:
    """Return requests of which nothing is ever started."""
    config = json.dumps({"noise": base64.b64encode(os.urandom(config_bytes)).decode()})
    return [PlannedRun(str(uuid4()), None, "not_granted", config, {}) for _ in range(number)]


def chunk_of_a_tick(deployed: Deployed) -> Answer:
    body = {"treadle": "dispatch", "sensor": SENSOR, "tick_id": str(uuid4()), "slice": 0, "of": 2}
    return deployed.invoke("Dispatch", queued(json.dumps(body)))


def unreadable_tick(deployed: Deployed) -> Answer:
    return deployed.invoke("Dispatch", {"Records": [{"eventName": "INSERT", "dynamodb": {"NewImage": {}}}]})


def launch(deployed: Deployed) -> Answer:
    return _launch(deployed, _created(deployed))


def launch_of_two_runs(deployed: Deployed) -> Answer:
    """LAUNCH gets two messages in one batch. Without the permission to claim both at once, the log says why."""
    return deployed.invoke("Launch", queued(*(launch_message(_created(deployed)) for _ in range(2))))


def launch_of_a_large_request(deployed: Deployed) -> Answer:
    """Without the permission it is started all the same, and the log says what could not be looked for."""
    url = f"s3://{deployed.outputs['OutcomesBucketName']}/large/made_by_a_test/{JOB}/0"
    return _launch(deployed, _created(deployed, run_config=str(PayloadReference(url, "0", 1))))


def launch_under_a_taken_name(deployed: Deployed) -> Answer:
    with deployed.without_events("StepFunctionsRule"):
        run = _created(deployed)
        deployed.client("stepfunctions").start_execution(
            stateMachineArn=deployed.machine, name=run.launch_id, input=payload(run)
        )
        return _launch(deployed, run)


def launch_that_another_holds(deployed: Deployed) -> Answer:
    return _launch(deployed, _created(deployed, claim=Claim("another", FAR_AWAY)))


def status_change(status: str) -> Invoke:
    def invoke(deployed: Deployed) -> Answer:
        run = _created(deployed)
        return deployed.invoke("Record", queued(status_changed(deployed.machine, run, status)))

    return invoke


def status_changes_of_two_runs(deployed: Deployed) -> Answer:
    """RECORD gets two events in one batch. Without the permission to write both at once, the log says why."""
    changes = (status_changed(deployed.machine, _created(deployed), "RUNNING") for _ in range(2))
    return deployed.invoke("Record", queued(*changes))


def status_change_of_a_foreign_execution(deployed: Deployed) -> Answer:
    """RECORD gets the event of an execution that somebody else has started; the registry says whether its job is observed."""
    run = run_record(run_id="somebody-else")
    return deployed.invoke("Record", queued(status_changed(deployed.machine, run, "RUNNING")))


def status_change_of_one_that_failed(deployed: Deployed) -> Answer:
    """RECORD receives the event of an execution; the job's input names no object, so it fails."""
    states = deployed.client("stepfunctions")
    with deployed.without_events("StepFunctionsRule"):
        run = _created(deployed)
        arn = states.start_execution(
            stateMachineArn=deployed.machine, name=run.launch_id, input=payload(run)
        )["executionArn"]
        eventually(
            lambda: states.describe_execution(executionArn=arn)["status"] == "FAILED", "the execution failed"
        )
        return deployed.invoke("Record", queued(status_changed(deployed.machine, run, "FAILED")))


def end_of_a_run(deployed: Deployed) -> Answer:
    """PUBLISH gets the end of a run from the stream; one that the deployed table knows nothing of."""
    reached = {"1/0": {DagsterRunStatus.QUEUED.value: 1, DagsterRunStatus.SUCCESS.value: 2}}
    run = run_record(job="made_by_a_test", status=DagsterRunStatus.SUCCESS, reached=reached, next_at=None)
    return deployed.invoke("Publish", {"Records": [as_record(_item(run, 1))]})


def status_to_publish(deployed: Deployed) -> Answer:
    run = _created(deployed)
    body = {"treadle": "publish", "run_id": run.run_id, "events": [f"{run.run_id}/1/0/QUEUED"]}
    return deployed.invoke("Publish", queued(json.dumps(body)))


def unreadable_run(deployed: Deployed) -> Answer:
    image = {"reached": {"S": "no JSON"}}
    return deployed.invoke("Publish", {"Records": [{"eventName": "INSERT", "dynamodb": {"NewImage": image}}]})


def alert_of_a_failed_run(deployed: Deployed) -> Answer:
    """Invoke the sensor of alerts with the failure of a run for which it has sent no alert."""
    run_id = str(uuid4())
    [record] = samples()["failure_alert-run-status"]["Records"]
    event = json.loads(record["body"])
    event |= {"account": "000000000000"}
    namespace = {"namespace": deployed.contract["namespace"]}
    event["detail"] |= {"run_id": run_id, "id": f"{run_id}/1/0/FAILURE", **namespace}
    return deployed.invoke("FailureAlert", queued(json.dumps(event)))


def reconcile(deployed: Deployed) -> Answer:
    return deployed.invoke("Reconcile", {"treadle": "reconcile"})


def change_of_an_entry(deployed: Deployed) -> Answer:
    """Invoke RECONCILE with the event of a registry entry that was written."""
    event = copy.deepcopy(samples()["reconcile-registry"])
    event["detail"]["name"] = f"{path_of(deployed.contract['engine'])}jobs/{JOB}"
    return deployed.invoke("Reconcile", event)


def listing(deployed: Deployed) -> Answer:
    """Let RECONCILE list Parameter Store, as the registry's copy is old."""
    registry = deployed.stores.registry
    eventually(lambda: registry.replace(replace(registry.copy(), listed_at=1)), "the copy is old")
    return in_a_new_environment("Reconcile", reconcile)(deployed)


def in_a_new_environment(function: str, needed_by: Invoke) -> Invoke:
    """Restart a function, so that it reads the registry again."""

    def invoke(deployed: Deployed) -> Answer:
        lambdas, name = deployed.client("lambda"), deployed.function(function)
        # The local cloud starts a new process once such a setting is given, even the same.
        timeout = lambdas.get_function_configuration(FunctionName=name)["Timeout"]
        lambdas.update_function_configuration(FunctionName=name, Timeout=timeout)
        return needed_by(deployed)

    return invoke


def _made(made: bool) -> tuple[AssetMaterialization, ...]:
    """Return an asset event, of an asset that nobody watches."""
    return (AssetMaterialization(f"made by a test {uuid4()}"),) if made else ()


def report_of_an_asset(deployed: Deployed) -> Answer:
    detail = {"version": 1, "asset_key": f"reported by a test {uuid4()}", "event_id": str(uuid4())}
    [record] = samples()["record-asset-report"]["Records"]
    return deployed.invoke("Record", queued(json.dumps({**json.loads(record["body"]), "detail": detail})))


def reconcile_tick_for(*requests: PlannedRun, made: bool = False) -> Invoke:
    """Let RECONCILE find a pending tick with these requests."""

    def invoke(deployed: Deployed) -> Answer:
        names = (deployed.outputs[f"{table}TableName"] for table in ("Sensors", "Ticks", "Runs", "Events"))
        blobs = S3BlobStore(deployed.outputs["OutcomesBucketName"])
        at = int(time.time() * 1000) - LONG_AGO
        # Held, so that DISPATCH leaves it alone when the stream reports it.
        held = "It is left to RECONCILE by a test."
        tick = Tick(
            SENSOR, str(uuid4()), TickKind.EVENT, TickStatus.SUCCESS, at, at, at,
            requests=requests, asset_events=_made(made), held=held,
        )  # fmt: skip
        assert DynamoStores(TableNames(*names), RandomTokens(), blobs).ticks.put(tick)
        return reconcile(deployed)

    return invoke


def reconcile_one_run(deployed: Deployed) -> Answer:
    return reconcile_tick_for(PlannedRun(str(uuid4()), None, JOB, "{}", {}))(deployed)


def reconcile_runs_of_a_job_that_is_not_granted(number: int, config_bytes: int = 0) -> Invoke:
    return reconcile_tick_for(*not_granted(number, config_bytes))


def reconcile_run(**fields: Any) -> Invoke:
    """Let RECONCILE find a run that is due for a check."""

    def invoke(deployed: Deployed) -> Answer:
        _created(deployed, next_at=int(time.time() * 1000) - LONG_AGO, **fields)
        return reconcile(deployed)

    return invoke


def job(deployed: Deployed) -> Answer:
    key = fresh_key()
    with deployed.without_events():
        deployed.upload(key)
    config = {"bucket": deployed.bucket, "key": key, "version": None}
    try:
        return deployed.invoke("SummarizeCsv", {"run_config": config})
    finally:
        # A later sweep would find it.
        deployed.client("s3").delete_object(Bucket=deployed.bucket, Key=key)


def _created(deployed: Deployed, **fields: Any) -> Run:
    run = run_record(**fields)
    assert deployed.stores.runs.create(run) is None
    return run


def _launch(deployed: Deployed, run: Run) -> Answer:
    return deployed.invoke("Launch", queued(launch_message(run)))


# ---- The permissions

PERMISSIONS = [
    Permission("EvaluatorPolicy", "OwnState", "dynamodb:UpdateItem", scheduled_tick),
    Permission("EvaluatorPolicy", "OwnState", "dynamodb:GetItem", event_tick, alike=("EngineId",)),
    Permission("EvaluatorPolicy", "OwnTicks", "dynamodb:BatchGetItem", event_tick),
    Permission("EvaluatorPolicy", "OwnTicks", "dynamodb:PutItem", event_tick),
    Permission("EvaluatorPolicy", "OwnTicks", "dynamodb:PartiQLInsert", two_event_ticks),
    Permission("EvaluatorPolicy", "KnownRuns", "dynamodb:BatchGetItem", event_tick),
    Permission("EvaluatorPolicy", "OwnQueueAndDeadLetters", "sqs:SendMessage", unknown_message("NewObjects")),
    Permission("RunReaderPolicy", "ReadRuns", "dynamodb:BatchGetItem", alert_of_a_failed_run),
    Permission("NewObjectsRole", "", "s3:ListBucket", scheduled_tick),
    Permission("DispatchRole", "Ticks", "dynamodb:GetItem", chunk_of_a_tick),
    Permission("DispatchRole", "Ticks", "dynamodb:UpdateItem", one_run),
    *(
        Permission(f"{step}Role", "Registry", "dynamodb:GetItem", in_a_new_environment(step, needed_by))
        for step, needed_by in (
            ("Dispatch", one_run),
            ("Launch", launch),
            ("Record", status_change_of_a_foreign_execution),
        )
    ),
    *(
        Permission(role, "AssetEvents", f"dynamodb:{action}", needed_by)
        for role, needed_by in (
            ("DispatchRole", tick_for(made=True)),
            ("RecordRole", report_of_an_asset),
            ("ReconcileRole", reconcile_tick_for(made=True)),
        )
        for action in ("BatchGetItem", "PutItem", "UpdateItem")
    ),
    *(
        Permission(role, "PublishEvents", "events:PutEvents", needed_by)
        for role, needed_by in (
            ("DispatchRole", tick_for(paused="for this test")),
            ("RecordRole", report_of_an_asset),
            ("PublishRole", end_of_a_run),
            ("ReconcileRole", reconcile_tick_for(made=True)),
        )
    ),
    Permission("DispatchRole", "Payloads", "s3:GetObject", runs_of_a_job_that_is_not_granted(1, 400_000)),
    Permission("DispatchRole", "DispatchQueue", "sqs:SendMessage", runs_of_a_job_that_is_not_granted(501)),
    Permission("DispatchRole", "Runs", "dynamodb:PutItem", one_run),
    Permission("DispatchRole", "Runs", "dynamodb:PartiQLInsert", dispatch_two_runs),
    Permission("DispatchRole", "Runs", "dynamodb:PartiQLUpdate", reactions_to_two_runs),
    Permission("DispatchRole", "Ticks", "dynamodb:PartiQLUpdate", reactions_to_two_runs),
    Permission("DispatchRole", "LaunchQueue", "sqs:SendMessage", one_run),
    Permission("DispatchRole", "DeadLetters", "sqs:SendMessage", unreadable_tick),
    Permission("LaunchRole", "Runs", "dynamodb:UpdateItem", launch),
    Permission("LaunchRole", "Runs", "dynamodb:PutItem", launch),
    Permission("LaunchRole", "Runs", "dynamodb:BatchGetItem", launch_of_two_runs),
    Permission("LaunchRole", "Runs", "dynamodb:PartiQLUpdate", launch_of_two_runs),
    Permission("LaunchRole", "Payloads", "s3:ListBucket", launch_of_a_large_request),
    Permission("LaunchRole", "LaunchQueue", "sqs:SendMessage", launch_that_another_holds),
    Permission("LaunchRole", "DeadLetters", "sqs:SendMessage", unknown_message("Launch")),
    Permission("ProcessFileJobRole", "", "states:StartExecution", launch),
    Permission("ProcessFileJobRole", "", "states:DescribeExecution", launch_under_a_taken_name),
    Permission("ProcessFileJobRole", "", "states:GetExecutionHistory", status_change_of_one_that_failed),
    Permission("RecordRole", "Runs", "dynamodb:GetItem", status_change("RUNNING")),
    Permission("RecordRole", "Runs", "dynamodb:PutItem", status_change("RUNNING")),
    Permission("RecordRole", "Runs", "dynamodb:BatchGetItem", status_changes_of_two_runs),
    Permission("RecordRole", "Runs", "dynamodb:PartiQLUpdate", status_changes_of_two_runs),
    Permission("RecordRole", "DeadLetters", "sqs:SendMessage", unknown_message("Record")),
    Permission("PublishRole", "Runs", "dynamodb:GetItem", status_to_publish),
    Permission("PublishRole", "EndedRuns", "dynamodb:BatchGetItem", end_of_a_run),
    Permission("PublishRole", "EndedRuns", "dynamodb:PutItem", end_of_a_run),
    Permission("PublishRole", "EndedRuns", "dynamodb:UpdateItem", end_of_a_run),
    Permission("PublishRole", "DeadLetters", "sqs:SendMessage", unreadable_run),
    Permission("ReconcileRole", "PendingTicks", "dynamodb:Query", reconcile),
    Permission("ReconcileRole", "WatchedRuns", "dynamodb:Query", reconcile),
    Permission(
        "ReconcileRole", "SensorStates", "dynamodb:BatchGetItem", in_a_new_environment("Reconcile", reconcile)
    ),
    Permission("ReconcileRole", "RegistryEntries", "ssm:GetParameter", change_of_an_entry),
    Permission("ReconcileRole", "RegistryEntries", "ssm:GetParametersByPath", listing),
    Permission("ReconcileRole", "Registry", "dynamodb:GetItem", change_of_an_entry),
    Permission("ReconcileRole", "Registry", "dynamodb:PutItem", change_of_an_entry),
    Permission("ReconcileRole", "Ticks", "dynamodb:GetItem", reconcile_runs_of_a_job_that_is_not_granted(1)),
    Permission(
        "ReconcileRole", "Ticks", "dynamodb:UpdateItem", reconcile_runs_of_a_job_that_is_not_granted(1)
    ),
    Permission(
        "ReconcileRole", "Payloads", "s3:GetObject", reconcile_runs_of_a_job_that_is_not_granted(1, 400_000)
    ),
    Permission(
        "ReconcileRole", "DispatchQueue", "sqs:SendMessage", reconcile_runs_of_a_job_that_is_not_granted(501)
    ),
    Permission("ReconcileRole", "Runs", "dynamodb:GetItem", reconcile_run(claim=Claim("another", FAR_AWAY))),
    Permission("ReconcileRole", "Runs", "dynamodb:PutItem", reconcile_one_run),
    Permission("ReconcileRole", "Runs", "dynamodb:PartiQLInsert", reconcile_two_runs),
    Permission("ReconcileRole", "LaunchQueue", "sqs:SendMessage", reconcile_run()),
    Permission("SummarizeCsvRole", "", "s3:GetObject", job),
    Permission("SummarizeCsvRole", "", "s3:PutObject", job),
]


@pytest.mark.parametrize("permission", PERMISSIONS, ids=str)
def test_without_the_permission_it_is_denied_and_with_it_not(
    deployed: Deployed, permission: Permission
) -> None:
    permission.check(deployed)


def test_every_permission_of_engine_and_project_is_shown_to_be_needed_or_reported_not_to_be() -> None:
    """With whatever parameters the engine is deployed. What AWS's own policies allow is held against those denied."""
    granted = [
        (holder, statement.get("Sid", ""), action)
        for holder, statement in (*all_statements(engine(**WIDEST)), *of_project())
        if statement["Effect"] == "Allow" and statement.get("Sid") not in UNENFORCED
        for action in actions(statement)
    ]

    proven = (*PERMISSIONS, *PERMISSIONS_OF_BATCHES)
    shown = {(permission.holder, permission.sid, permission.action) for permission in proven}
    assert shown.isdisjoint(UNPROVEN)
    assert len(set(granted)) == len(granted)
    assert set(granted) == shown | UNPROVEN.keys()


def of_project() -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield the statements of the project's roles, those that SAM makes for its functions and state machines included."""
    template = read()
    yield from template.statements()
    for kind in ("AWS::Serverless::Function", "AWS::Serverless::StateMachine"):
        for name, properties in template.resources(kind).items():
            for policy in properties.get("Policies", []):
                for statement in policy.get("Statement", []):
                    yield f"{name}Role", statement


# ---- What a role cannot do


@pytest.fixture(scope="module")
def as_evaluator(deployed: Deployed) -> boto3.Session:
    """A session with the evaluator's own rights."""
    given = assumed(deployed, "NewObjectsRole", "end-to-end")
    return boto3.Session(given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"], REGION)


# That it takes and sends no messages but its own is a denial by tags, of which the local cloud is exempt:
# tests/template/test_engine_policies.py has it.
FORBIDDEN: dict[str, tuple[str, str, Callable[[Deployed], dict[str, Any]]]] = {
    "start an execution": (
        "stepfunctions",
        "start_execution",
        lambda deployed: {"stateMachineArn": deployed.machine, "input": "{}"},
    ),
    "write a run": (
        "dynamodb",
        "put_item",
        lambda deployed: {"TableName": deployed.outputs["RunsTableName"], "Item": {"run_id": {"S": "r"}}},
    ),
    "read all ticks": (
        "dynamodb",
        "scan",
        lambda deployed: {"TableName": deployed.outputs["TicksTableName"]},
    ),
    "delete a tick": (
        "dynamodb",
        "delete_item",
        lambda deployed: {
            "TableName": deployed.outputs["TicksTableName"],
            "Key": {"sensor": {"S": SENSOR}, "tick_id": {"S": "t"}},
        },
    ),
    "put an event": (
        "events",
        "put_events",
        lambda _: {"Entries": [{"Source": "treadle", "DetailType": "d", "Detail": "{}"}]},
    ),
    "read an object": ("s3", "get_object", lambda deployed: {"Bucket": deployed.bucket, "Key": "k.csv"}),
    "invoke a function": (
        "lambda",
        "invoke",
        lambda deployed: {"FunctionName": deployed.outputs["LaunchFunctionName"]},
    ),
}


# ---- Who starts jobs


def assumed(deployed: Deployed, logical_id: str, session: str, by: Any = None) -> Any:
    """Return STS's answer to the request for a role's credentials."""
    name = deployed.physical_id(logical_id)
    arn = deployed.client("iam").get_role(RoleName=name)["Role"]["Arn"]
    return (by or deployed.client("sts")).assume_role(RoleArn=arn, RoleSessionName=session)["Credentials"]


def client_of(deployed: Deployed, service: Any, given: Any) -> Any:
    """Return a client with temporary credentials."""
    keys = (given["AccessKeyId"], given["SecretAccessKey"], given["SessionToken"])
    return boto3.Session(*keys, REGION).client(service, endpoint_url=deployed.endpoint)


@pytest.mark.parametrize(
    ("role", "session", "may"),
    [
        ("LaunchRole", None, False),
        ("LaunchRole", "launch", True),
        ("RecordRole", "record", False),
        ("ReconcileRole", "reconcile", False),
        ("RecordRole", None, False),
    ],
)
def test_a_job_is_started_in_a_session_of_its_role_named_launch_and_not_otherwise(
    deployed: Deployed, role: str, session: str | None, *, may: bool
) -> None:
    """Not with the rights of a step itself, nor as any step but LAUNCH names its sessions."""
    given = assumed(deployed, role, "end-to-end")
    if session is not None:
        with contextlib.closing(client_of(deployed, "sts", given)) as sts:
            given = assumed(deployed, "ProcessFileJobRole", session, sts)

    with contextlib.closing(client_of(deployed, "stepfunctions", given)) as states:
        start = functools.partial(
            states.start_execution, stateMachineArn=deployed.machine, name=str(uuid4()), input="{}"
        )
        if may:
            assert start()["executionArn"]
            return
        with pytest.raises(ClientError, match=DENIED):
            start()


@pytest.mark.parametrize("what", FORBIDDEN)
def test_an_evaluator_cannot(deployed: Deployed, as_evaluator: boto3.Session, what: str) -> None:
    service, operation, arguments = FORBIDDEN[what]
    client: Any = as_evaluator.client(service, endpoint_url=deployed.endpoint)  # type: ignore[call-overload]

    with contextlib.closing(client), pytest.raises(ClientError) as refused:
        getattr(client, operation)(**arguments(deployed))

    assert refused.value.response["Error"]["Code"] in {"AccessDenied", "AccessDeniedException"}
