"""Jobs of every kind but Step Functions, as `treadle new job` writes them: started by LAUNCH, seen to their end."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import pytest

from tests.e2e.deployment import Deployed, deploy_beside, eventually
from tests.e2e.job_chain import ended, now, start
from tests.support.project import run
from tools import stack
from tools.project_copy import copy_of_project
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.integrations.reporting import report_run_status

NAME = "treadle-targets"
PATIENCE = 120
"""Seconds for a run from its request to its end, on a machine that has much else to do."""

REPORTED = ("ecs", "glue", "batch")
"""Their services announce how it goes: AWS does, and `tools/ministack_server.py` in its place."""

SILENT = ("lambda", "sqs", "eventbridge")
"""The status of these is reported by whoever does the work."""


def settings(endpoint: str, function: str) -> dict[str, dict[str, str]]:
    """Return what a job of each kind starts, which is created on the cloud, and how it is set."""
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
    bus = client("events").create_event_bus(Name="treadle-work")["EventBusArn"]
    return {
        "ecs": {
            "arn": definition,
            "cluster": ecs.create_cluster(clusterName="treadle")["cluster"]["clusterArn"],
            "container": "work",
            "subnets": "subnet-0123456789abcdef0",
        },
        "glue": {"arn": "treadle"},
        "batch": {"arn": job["jobDefinitionArn"], "queue": queue["jobQueueArn"]},
        "lambda": {"arn": function},
        "sqs": {"arn": attributes["QueueArn"]},
        "eventbridge": {"arn": bus, "source": "com.example.work", "detail_type": "Work"},
    }


def options(given: Mapping[str, str]) -> Iterator[str]:
    """Yield the settings of a job as options of `treadle new job`."""
    for name, value in given.items():
        yield f"--arn={value}" if name == "arn" else f"--set={name}={value}"


@pytest.fixture(scope="module")
def targets(deployed: Deployed, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    """A further project on the cloud, with a job of each kind; its schedules rest."""
    project = copy_of_project(tmp_path_factory.mktemp("targets"))
    function = deployed.client("lambda").get_function_configuration(
        FunctionName=deployed.physical_id("SummarizeCsv")
    )["FunctionArn"]
    jobs = settings(deployed.endpoint, function)
    for kind in (*REPORTED, *SILENT):
        job = ("new", "job", f"{kind}_job", "--target", kind, *options(jobs[kind]))
        sensor = ("new", "sensor", f"{kind}_work", "--job", f"{kind}_job")
        for command in (job, sensor):
            made = run(*command, "--root", project)
            assert made.exit_code == 0, made.output
    added = deploy_beside(deployed.endpoint, project, NAME, {})
    for name in ("NewObjects", "Reconcile", *(f"{kind.capitalize()}Work" for kind in (*REPORTED, *SILENT))):
        added.schedule(name, enabled=False)
    wanted = {f"{kind}_job" for kind in jobs}
    eventually(
        lambda: wanted <= added.stores.registry.read().jobs.keys(),
        "the jobs are registered",
        seconds=PATIENCE,
    )
    yield added
    added.close()


@pytest.mark.parametrize("kind", REPORTED)
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
