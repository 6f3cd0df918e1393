"""MiniStack with what jobs on ECS, Glue and Batch need to be started and seen to their end.

Run by MiniStack's own interpreter, in place of its command.

By itself it announces executions of Step Functions only, so that a run of any other target would stay STARTED until
RECONCILE asks. What is announced here has the form of AWS's events: "Task state change events" in the ECS developer
guide, "Automating Glue with EventBridge" in the Glue guide, "Batch job state change events" in the Batch guide. A task
that nothing runs, as there is no Docker, is ended.

By itself it ends an environment of a function in the middle of an invocation, when another one fails or the function is
updated. Here that invocation ends first. On AWS the former code and settings serve invocations until an update is complete: "Lambda
function states" in the Lambda developer guide.

By itself it also checks permissions for tasks on their cluster, and for Batch jobs on no resource. Here they are checked
on what AWS checks them on: "Resource types" in the Service Authorization Reference.

It reads and replaces MiniStack's own parts, so a new MiniStack may need a change here;
`tests/e2e/test_job_targets.py` shows whether it does.
"""

import importlib
import json
import logging
import threading
import time
from collections.abc import Iterator
from typing import Any, NamedTuple

PAUSE_SECONDS = 0.5
TASK_SECONDS = 1.0
"""A task that nothing runs, as there is no Docker, ends by itself after so long, with exit code 0."""

_GLUE_ENDS = ("SUCCEEDED", "FAILED", "TIMEOUT", "STOPPED")
_TASK_DETAILS = ("RUNNING", "STOPPED")

logger = logging.getLogger("treadle")


class Change(NamedTuple):
    """Something has reached a state.

    Attributes:
        key: what, and in which state; announced once.
        source: the event's.
        detail_type: the event's.
        detail: the event's.
    """

    key: tuple[str, ...]
    source: str
    detail_type: str
    detail: dict[str, Any]


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
    """Let a task end that nothing runs, once it was seen to run for a moment."""
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


def _announce(account: str, region: str, change: Change) -> None:
    entry = {
        "Source": change.source,
        "DetailType": change.detail_type,
        "Detail": json.dumps(change.detail, default=str),
    }
    with importlib.import_module("ministack.core.responses").request_scope(account, region):
        _service("eventbridge")._put_events({"Entries": [entry]}, allow_aws_source=True)


def announce_changes() -> None:
    """Announce each change once, for as long as the process lives."""
    announced: set[tuple[str, ...]] = set()
    while True:
        for changes in (_tasks, _glue_runs, _batch_jobs):
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


def named_resource(service: str, path: str, body: bytes) -> str | None:
    """The ARN on which AWS checks a request's permission; None where MiniStack knows that.

    Args:
        service: as MiniStack routes the request.
        path: the request's.
        body: the request's.
    """
    if service not in {"ecs", "batch"}:
        return None
    try:
        request = json.loads(body or b"{}")
    except ValueError:
        return None
    if service == "ecs":
        tasks = [request.get("task"), *request.get("tasks", [])]
        named = request.get("taskDefinition") if request.get("cluster") else None
        found = next(filter(None, [named, *tasks]), None)
    else:
        found = request.get("jobDefinition") if path.endswith("/submitjob") else None
    return found if found and str(found).startswith("arn:") else None


def check_permissions_on_named_resources() -> None:
    """Let MiniStack check permissions for tasks and Batch jobs on what AWS does."""
    iam_actions: Any = importlib.import_module("ministack.core.iam_actions")
    before = iam_actions.extract_resource_arn

    def extract_resource_arn(
        service: str, method: str, path: str, headers: Any, body: bytes, *more: Any, **named: Any
    ) -> Any:
        found = named_resource(service, path, body)
        return found or before(service, method, path, headers, body, *more, **named)

    iam_actions.extract_resource_arn = extract_resource_arn


def let_invocations_end() -> None:
    """Let MiniStack end an environment of a function between invocations only."""
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


def main() -> None:
    """Serve, and announce meanwhile."""
    check_permissions_on_named_resources()
    let_invocations_end()
    threading.Thread(target=announce_changes, name="treadle-changes", daemon=True).start()
    importlib.import_module("ministack.app").main()


if __name__ == "__main__":
    main()
