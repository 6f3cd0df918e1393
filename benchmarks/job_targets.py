"""Creates the targets of jobs on a local cloud, with the names in the jobs' blocks: the job's name, with hyphens."""

import io
import zipfile
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from tools import stack

_CODE = "def handler(event, context):\n    return None\n"
_SUCCEEDS = {"StartAt": "Done", "States": {"Done": {"Type": "Succeed"}}}


def create(endpoint: str, jobs: Mapping[str, str]) -> None:
    """Create the target of each job.

    Args:
        endpoint: the local cloud's URL.
        jobs: the target type of each job, by name.
    """
    session = stack.session()

    def client(service: str) -> Any:
        return session.client(service, endpoint_url=endpoint)  # type: ignore[call-overload]

    of_kind: dict[str, list[str]] = {}
    for job, kind in jobs.items():
        of_kind.setdefault(kind, []).append(job.replace("_", "-"))
    # First, as it also creates a role.
    stack.create_machines(endpoint, of_kind.pop("step_functions", []), _SUCCEEDS)
    for kind, names in of_kind.items():
        _CREATE[kind](client, names)


Client = Callable[[str], Any]


def _glue(client: Client, names: Iterable[str]) -> None:
    glue = client("glue")
    for name in names:
        glue.create_job(
            Name=name, Role="none", Command={"Name": "glueetl", "ScriptLocation": "s3://none/none"}
        )


def _batch(client: Client, names: Iterable[str]) -> None:
    batch = client("batch")
    for name in names:
        batch.create_job_queue(jobQueueName=name, priority=1, computeEnvironmentOrder=[])
        batch.register_job_definition(
            jobDefinitionName=name, type="container", containerProperties={"image": "busybox"}
        )


def _ecs(client: Client, names: Iterable[str]) -> None:
    ecs = client("ecs")
    ecs.create_cluster(clusterName="default")
    for name in names:
        container = {"name": name, "image": "busybox", "memory": 128}
        ecs.register_task_definition(family=name, containerDefinitions=[container])


def _lambda(client: Client, names: Iterable[str]) -> None:
    lambdas, role = client("lambda"), client("iam").get_role(RoleName=stack.MACHINES_ROLE)["Role"]["Arn"]
    code = io.BytesIO()
    with zipfile.ZipFile(code, "w") as archive:
        archive.writestr("app.py", _CODE)
    for name in names:
        lambdas.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="app.handler",
            Role=role,
            Code={"ZipFile": code.getvalue()},
        )


def _sqs(client: Client, names: Iterable[str]) -> None:
    sqs = client("sqs")
    for name in names:
        sqs.create_queue(QueueName=name)


def _eventbridge(client: Client, names: Iterable[str]) -> None:
    events = client("events")
    for name in names:
        events.create_event_bus(Name=name)


_CREATE: Mapping[str, Callable[[Client, Iterable[str]], None]] = {
    "glue": _glue,
    "batch": _batch,
    "ecs": _ecs,
    "lambda": _lambda,
    "sqs": _sqs,
    "eventbridge": _eventbridge,
}
