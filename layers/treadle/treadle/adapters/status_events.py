"""Parses the status of executions from the AWS events of their targets.

A rule's input transformer keeps these fields of `detail`, and `id`, `time`, `source`, `detail-type`,
`account` and `region` of the envelope. Everything else stays out of queues and logs: payloads, input, output,
environment. A field that may be missing is quoted in the template, as an empty replacement would not be JSON.

| source / detail-type | fields of `detail` | may be absent |
| --- | --- | --- |
| `aws.states` / `Step Functions Execution Status Change` | executionArn, stateMachineArn, name, status | startDate, stopDate, redriveCount, redriveDate |
| `aws.glue` / `Glue Job State Change` | jobName, jobRunId, state | |
| `aws.batch` / `Batch Job State Change` | jobArn, jobName, jobDefinition, status, attempts | startedAt, stoppedAt |
| `aws.ecs` / `ECS Task State Change` | taskArn, taskDefinitionArn, lastStatus, containers | startedBy, startedAt, stoppedAt, stopCode, stoppedReason |
| `lambda` / `Lambda Function Invocation Result - Success` | requestContext.functionArn, requestContext.requestId, requestPayload.launch_id | |
| `lambda` / `Lambda Function Invocation Result - Failure` | the same, and requestContext.condition, responsePayload.errorType, responsePayload.errorMessage | the last two |
| `treadle.report` / `Run Status Report` | version, launch_id, status, time | error, cause |

For a failed invocation, the whole `responsePayload` may be kept: it is the error, or null.

Every unfinished status is STARTED, as when LAUNCH records its own start and RECONCILE queries the target.
With different statuses, the record would depend on the order of reports.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from treadle.adapters.events import Json, parse, time_of
from treadle.adapters.targets import batch, ecs, glue, step_functions
from treadle.adapters.targets.errors import failure_of
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.publish.bus_events import REPORT_SOURCE, REPORTED_STATUSES, RUN_STATUS_REPORT, VERSION
from treadle.engine.record.arns import partition_of
from treadle.engine.record.recorder import REPORT, StatusChange
from treadle.model.records import integer

_SUCCEEDED = "Lambda Function Invocation Result - Success"
_FAILED = "Lambda Function Invocation Result - Failure"


def parse_status_change(event: Json) -> StatusChange:
    """Parse a target's status event of one of its executions.

    Args:
        event: an EventBridge envelope, its detail reduced by the rule.

    Raises:
        UnknownEventError: if no parser accepts it, or a field is missing.
    """
    parsers: Mapping[tuple[str, str], Callable[[Json], StatusChange]] = {
        ("aws.states", "Step Functions Execution Status Change"): _execution,
        ("aws.glue", "Glue Job State Change"): _glue_run,
        ("aws.batch", "Batch Job State Change"): _batch_job,
        ("aws.ecs", "ECS Task State Change"): _task,
        ("lambda", _SUCCEEDED): _invocation,
        ("lambda", _FAILED): _invocation,
        (REPORT_SOURCE, RUN_STATUS_REPORT): _report,
    }
    return parse(event, parsers)


def _execution(event: Json) -> StatusChange:
    detail = event["detail"]
    status, retry = _status(detail["status"], step_functions.STATUSES), _count(detail.get("redriveCount"))
    # A redriven execution keeps its startDate.
    started = _millis(detail.get("redriveDate" if retry else "startDate"))
    stopped = _millis(detail.get("stopDate")) if status.is_finished else started
    return StatusChange(
        kind="step_functions",
        name=str(detail["name"]),
        external_id=str(detail["executionArn"]),
        target=str(detail["stateMachineArn"]),
        status=status,
        time=stopped or _happened(event),
        started_at=started,
        retry=retry,
    )


def _glue_run(event: Json) -> StatusChange:
    """Parse a Glue event, which has neither the run's arguments nor its start time."""
    detail, region = event["detail"], str(event["region"])
    address = f"arn:{partition_of(region)}:glue:{region}:{event['account']}:job/{detail['jobName']}"
    return StatusChange(
        kind="glue",
        name=None,
        external_id=f"{address}/{detail['jobRunId']}",
        target=address,
        status=_status(detail["state"], glue.STATUSES),
        time=_happened(event),
    )


def _batch_job(event: Json) -> StatusChange:
    """Parse a Batch event; a terminated job is FAILED too, and the event does not say so."""
    detail = event["detail"]
    status, attempts = _status(detail["status"], batch.STATUSES), _objects(detail["attempts"])
    started = _millis(detail.get("startedAt"))
    stopped = _millis(detail.get("stoppedAt")) if status.is_finished else started
    failed = status is Status.FAILURE
    return StatusChange(
        kind="batch",
        name=str(detail["jobName"]),
        external_id=str(detail["jobArn"]),
        target=str(detail["jobDefinition"]),
        status=status,
        time=stopped or _happened(event),
        started_at=started,
        retry=batch.retry_of(str(detail["status"]), attempts),
        failure=batch.failure_of_job({"attempts": attempts}) if failed else None,
        is_sure=not failed,
    )


def _task(event: Json) -> StatusChange:
    """Parse an ECS event, which does not say which containers are essential (the task definition does)."""
    detail = event["detail"]
    started, stopped = _millis(detail.get("startedAt")), _millis(detail.get("stoppedAt"))
    status, failure, is_sure = Status.STARTED, None, True
    if detail["lastStatus"] == "STOPPED":
        names = ("stopCode", "stoppedReason")
        texts = {name: text for name in names if (text := _text(detail.get(name)))}
        status, failure, is_sure = ecs.task_end({**texts, "containers": _objects(detail["containers"])})
    return StatusChange(
        kind="ecs",
        name=_text(detail.get("startedBy")) or "",
        external_id=str(detail["taskArn"]),
        target=str(detail["taskDefinitionArn"]),
        status=status,
        time=(stopped if status.is_finished else started) or _happened(event),
        started_at=started,
        failure=failure,
        is_sure=is_sure,
    )


def _invocation(event: Json) -> StatusChange:
    detail = event["detail"]
    context, answer = detail["requestContext"], detail.get("responsePayload")
    address = ":".join(str(context["functionArn"]).split(":")[:7])
    # Anyone who may put events on a bus can send this: its source is not reserved for AWS.
    if address.split(":")[4] != str(event["account"]):
        msg = f"it names {address}, but comes from account {event['account']}"
        raise ValueError(msg)
    failure = None
    if event["detail-type"] == _FAILED:
        response = answer if isinstance(answer, Mapping) else {}
        error, condition = _text(response.get("errorType")), str(context["condition"])
        failure = failure_of(
            error or condition, _text(response.get("errorMessage")), error and f"{condition}."
        )
    payload = detail["requestPayload"]
    return StatusChange(
        kind="lambda",
        name=_text(payload.get("launch_id")) or "",
        external_id=f"{address}/{context['requestId']}",
        target=address,
        status=Status.SUCCESS if failure is None else Status.FAILURE,
        time=_happened(event),
        failure=failure,
    )


def _report(event: Json) -> StatusChange:
    detail = event["detail"]
    if detail["version"] != VERSION:
        msg = f"version {detail['version']!r} is not {VERSION}"
        raise ValueError(msg)
    status = _status(detail["status"], {each.value: each for each in REPORTED_STATUSES})
    failure = None
    if status in {Status.FAILURE, Status.CANCELED}:
        failure = failure_of(_text(detail.get("error")) or f"Reported{status.title()}", detail.get("cause"))
    return StatusChange(
        kind=REPORT,
        name=str(detail["launch_id"]),
        external_id="",
        target="",
        status=status,
        time=int(time_of(detail["time"]).timestamp() * 1000),
        failure=failure,
    )


def _status(value: object, statuses: Mapping[str, Status]) -> Status:
    if not isinstance(value, str) or value not in statuses:
        msg = f"status {value!r} is not one of {sorted(statuses)}"
        raise ValueError(msg)
    return statuses[str(value)]


def _objects(value: object) -> Sequence[dict[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(each, dict) for each in value):
        msg = f"expected a list of objects, got {type(value).__name__}"
        raise ValueError(msg)
    return value


def _happened(event: Json) -> int:
    return int(time_of(event["time"]).timestamp() * 1000)


def _text(value: object) -> str | None:
    """Return a string; None where a rule's transformer writes "", "null" or nothing for an absent field."""
    return None if value in (None, "", "null") else str(value)


def _count(value: object) -> int:
    text = _text(value) or ""
    return integer(int(text)) if text.isascii() and text.isdecimal() else 0


def _millis(value: object) -> int | None:
    """Parse a number or a timestamp into milliseconds; None if it is neither."""
    text = _text(value) or ""
    try:
        if text.isascii() and text.replace(".", "", 1).isdigit():
            return integer(int(float(text)))
        return int(time_of(text).timestamp() * 1000)
    except (ValueError, OverflowError):
        return None
