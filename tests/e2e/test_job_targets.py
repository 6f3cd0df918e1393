"""Jobs of every kind but Step Functions, as `treadle new sensor` writes them: started by LAUNCH, seen to their end."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.deployment import Deployed, eventually
from tests.e2e.following import ended, now, start
from tests.support.project import run
from tools import stack
from tools.project_copy import copy_of_project
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.integrations.reporting import report_run_status

NAME = "treadle-targets"
PATIENCE = 120
"""Seconds for a run from its request to its end, on a machine that has much else to do."""

TOLD = ("ecs", "glue", "batch")
"""Their services announce how it goes: AWS does, and `tools/ministack_server.py` in its place."""

SILENT = ("lambda", "sqs", "eventbridge")
"""What becomes of these is reported by whoever does the work."""


def overrides(endpoint: str, function: str) -> dict[str, str]:
    """The address of something to start for each kind of job, which is created on the cloud."""
    session = stack.session()

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]

    ecs, batch = client("ecs"), client("batch")
    definition = ecs.register_task_definition(
        family="treadle", containerDefinitions=[{"name": "work", "image": "busybox", "memory": 128}]
    )["taskDefinition"]["taskDefinitionArn"]
    client("glue").create_job(
        Name="treadle", Role="none", Command={"Name": "glueetl", "ScriptLocation": "s3://b/k"}
    )
    queue = batch.create_job_queue(jobQueueName="treadle", priority=1, computeEnvironmentOrder=[])
    job = batch.register_job_definition(
        jobDefinitionName="treadle", type="container", containerProperties={"image": "busybox"}
    )
    sqs = client("sqs")
    url = sqs.create_queue(QueueName="treadle-work")["QueueUrl"]
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]
    return {
        "EcsJobTaskDefinitionArn": definition,
        "EcsJobCluster": ecs.create_cluster(clusterName="treadle")["cluster"]["clusterArn"],
        "EcsJobContainer": "work",
        "EcsJobSubnets": "subnet-0123456789abcdef0",
        "GlueJobGlueJobName": "treadle",
        "BatchJobJobDefinitionArn": job["jobDefinitionArn"],
        "BatchJobQueue": queue["jobQueueArn"],
        "LambdaJobFunctionArn": function,
        "SqsJobQueueArn": attributes["QueueArn"],
        "EventbridgeJobEventBusArn": client("events").create_event_bus(Name="treadle-work")["EventBusArn"],
        "EventbridgeJobSource": "com.example.work",
        "EventbridgeJobDetailType": "Work",
    }


@pytest.fixture(scope="module")
def targets(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A third stack on the cloud, with a job of each kind; its schedules rest."""
    project = copy_of_project(tmp_path_factory.mktemp("targets"))
    for kind in (*TOLD, *SILENT):
        made = run(
            "new", "sensor", f"{kind}_work", "--job", f"{kind}_job", "--target", kind, "--root", project
        )
        assert made.exit_code == 0, made.output
    function = deployed.client("lambda").get_function_configuration(
        FunctionName=deployed.physical_id("SummarizeCsvFunction")
    )["FunctionArn"]
    given = [f"{name}={value}" for name, value in overrides(deployed.endpoint, function).items()]
    stack.build(deployed.endpoint, project)
    stack.deploy(
        deployed.endpoint, project, ["--stack-name", NAME, "--parameter-overrides", "ExampleJob=off", *given]
    )
    stood = Deployed.at(deployed.endpoint, NAME)
    for name in ("NewObjects", "Reconcile", *(f"{kind.capitalize()}Work" for kind in (*TOLD, *SILENT))):
        stood.schedule(name, enabled=False)
    yield stood
    stood.close()


@pytest.mark.parametrize("kind", TOLD)
def test_job_is_started_and_seen_to_its_end_by_what_its_service_announces(
    targets: Deployed, kind: str
) -> None:
    """Least privilege is enforced meanwhile; RECONCILE rests."""
    [found] = ended(targets, start(targets, f"{kind}_job"), seconds=PATIENCE)

    assert found.status is Status.SUCCESS
    assert found.external_id
    assert found.reached["1/0"].keys() == {"QUEUED", "STARTING", "STARTED", "SUCCESS"}


@pytest.mark.parametrize("kind", SILENT)
def test_job_whose_service_is_silent_ends_once_its_work_is_reported(targets: Deployed, kind: str) -> None:
    begun = start(targets, f"{kind}_job")
    eventually(
        lambda: now(targets, begun)[0].status is Status.STARTED, "the run is STARTED", seconds=PATIENCE
    )

    report_run_status(f"{begun[0].run_id}-1", Status.SUCCESS, bus=targets.outputs["BusName"])
    [found] = ended(targets, begun, seconds=PATIENCE)

    assert found.status is Status.SUCCESS


def test_doctor_finds_nothing_wrong_with_the_permissions_of_any_of_them(targets: Deployed) -> None:
    done = run("doctor", "--stack", targets.name, "--json")

    permissions = [each for each in json.loads(done.stdout) if each["check"] == "permissions"]
    assert [each for each in permissions if each["severity"] != "ok"] == []
