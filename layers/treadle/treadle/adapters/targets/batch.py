"""Batch jobs. There is no token: a pending start is looked up in the queue by the job's name, the launch id."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, ClassVar

from treadle.adapters.system import SystemClock
from treadle.adapters.targets.errors import (
    AwsError,
    failed_step,
    failure_of,
    not_answered,
    not_started,
)
from treadle.adapters.targets.inputs import environment, listed, no_options, required
from treadle.adapters.targets.roles import AwsTarget
from treadle.definitions.errors import LaunchDelayedError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Failure
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract
from treadle.ports.targets import CANCELED

STATUSES = {
    "SUBMITTED": Status.STARTED,
    "PENDING": Status.STARTED,
    "RUNNABLE": Status.STARTED,
    "STARTING": Status.STARTED,
    "RUNNING": Status.STARTED,
    "SUCCEEDED": Status.SUCCESS,
    "FAILED": Status.FAILURE,
}

LISTED_MS = 86_400_000
"""Batch keeps ended jobs for seven days (its guide, "Job states"), and lists jobs of one name in any state.
"""

PAGES = 10

_UNKNOWN = {"ServerException"}
_GONE = {"ClientException"}


class BatchTarget(AwsTarget):
    """A `Target` on Batch.

    Its external ids are the jobs' ARNs.
    """

    contract: ClassVar[StartContract] = StartContract(listing_ms=LISTED_MS, lists=True)

    def start(self, start: Start) -> Execution:
        """Submit the job, in one call."""
        settings = start.settings
        [queue] = required(settings, "queue")
        variables = [{"name": name, "value": value} for name, value in environment(start).items()]
        parameters = no_options(listed(start, why_no_parameter))
        try:
            answer = self._roles.call(
                "batch",
                settings.role,
                "submit_job",
                once=True,
                jobName=start.launch_id,
                jobQueue=queue,
                jobDefinition=settings.arn,
                parameters=dict(parameters),
                containerOverrides={"environment": variables},
            )
        except AwsError as error:
            raise not_started(error, _of(settings), unknown=_UNKNOWN) from error
        now = SystemClock().now()  # Batch's response has no time.
        return Execution(answer["jobArn"], settings.arn, Status.STARTED, now)

    def resolve(self, start: Start) -> Execution | None:
        """Return the job with the launch id's name and the definition, in the queue."""
        settings = start.settings
        for number, (page, is_last) in enumerate(self._pages(settings, "JOB_NAME", start.launch_id), 1):
            for job in page:
                if job["jobName"] == start.launch_id and _is_of(job.get("jobDefinition"), settings.arn):
                    return _execution(job, settings.arn)
            if number == PAGES and not is_last:
                msg = f"{_of(settings)} has more jobs with the name {start.launch_id} than can be listed."
                raise LaunchDelayedError(msg)
        return None

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Yield the jobs of the definition in the queue, by creation time; a list does not include attempts."""
        for page, _ in self._pages(settings, "AFTER_CREATED_AT", str(since - 1)):
            ours = [job["jobId"] for job in page if _is_of(job.get("jobDefinition"), settings.arn)]
            found = self._described(ours, f"The jobs of {_of(settings)}", settings.role)
            described = {job["jobId"]: job for job in found}
            for job in (described[each] for each in ours if each in described):
                yield Listed(job["createdAt"], _execution(job, job["jobDefinition"]))

    def _pages(
        self, settings: JobSettings, what: str, value: str
    ) -> Iterator[tuple[list[Mapping[str, Any]], bool]]:
        """Yield pages of the queue's jobs by a filter, newest first, and whether each is the last page."""
        [queue], token = required(settings, "queue"), dict[str, Any]()
        while True:
            try:
                answer: Mapping[str, Any] = self._roles.call(
                    "batch",
                    settings.role,
                    "list_jobs",
                    jobQueue=queue,
                    filters=[{"name": what, "values": [value]}],
                    **token,
                )
            except AwsError as error:
                raise not_answered(error, f"The jobs of {queue} could not be listed") from error
            yield answer["jobSummaryList"], not answer.get("nextToken")
            if not answer.get("nextToken"):
                return
            token = {"nextToken": answer["nextToken"]}

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Describe a job, with its own reason and that of its last attempt if it failed."""
        found = self._described([_job_id(external_id)], f"Batch job {external_id}", role)
        if not found:
            msg = f"Batch does not know job {external_id}, or no longer does."
            raise LaunchRejectedError(msg)
        [job] = found
        return _execution(job, job["jobDefinition"])

    def cancel(self, external_id: str, role: str = "", reason: str = CANCELED) -> None:
        """Terminate a job, whether it runs or waits."""
        try:
            job_id = _job_id(external_id)
            self._roles.call("batch", role, "terminate_job", jobId=job_id, reason=reason)
        except AwsError as error:
            raise not_answered(error, f"Batch job {external_id} was not canceled", gone=_GONE) from error

    def _described(self, ids: Sequence[str], what: str, role: str) -> list[dict[str, Any]]:
        """Describe the jobs that Batch still has, in any order; a hundred at most."""
        if not ids:
            return []
        try:
            answer = self._roles.call("batch", role, "describe_jobs", jobs=list(ids))
        except AwsError as error:
            raise not_answered(error, f"{what} could not be described") from error
        found: list[dict[str, Any]] = answer["jobs"]
        return found


def why_no_parameter(name: str) -> str | None:
    """Return why a run config may not set a parameter of the job definition; None if it may."""
    return "names that begin so are reserved for Treadle" if name.lower().startswith("treadle") else None


def _execution(job: Mapping[str, Any], definition: str) -> Execution:
    status = STATUSES[job["status"]]
    if status is Status.FAILURE and (job.get("isTerminated") or job.get("isCancelled")):
        status = Status.CANCELED
    # A job that was canceled before it ran has only a creation time.
    began, ended = job.get("startedAt") or job["createdAt"], job.get("stoppedAt")
    return Execution(
        job["jobArn"],
        definition,
        status,
        began,
        (ended or began) if status.is_finished else None,
        failure_of_job(job) if status in {Status.FAILURE, Status.CANCELED} else None,
        retry_of(job["status"], job.get("attempts", [])),
        job["jobName"],
    )


def retry_of(status: str, attempts: Sequence[Mapping[str, Any]]) -> int:
    """Return the number of Batch's retries of a job, never more than at the job's end.

    Only a running job has certainly begun another attempt after those that ended: one that waits for the next
    attempt may be terminated before it begins.

    Args:
        status: the job's status in Batch.
        attempts: the job's attempts in Batch.
    """
    ended = attempts if STATUSES[status].is_finished else [each for each in attempts if each.get("stoppedAt")]
    return len(ended) if status == "RUNNING" else max(0, len(ended) - 1)


def failure_of_job(job: Mapping[str, Any]) -> Failure:
    """Return why a job failed; each failed attempt is a step.

    Args:
        job: as in Batch's response or event.
    """
    attempts = job.get("attempts") or []
    causes = _causes(attempts[-1]) if attempts else []
    steps = [
        failed_step(f"attempt {number}", "AttemptFailed", each.get("statusReason"), *_causes(each))
        for number, each in enumerate(attempts, 1)
        if each.get("container", {}).get("exitCode") != 0
    ]
    which = f"Attempt {len(attempts)}." if len(attempts) > 1 else ""
    return failure_of("JobFailed", job.get("statusReason"), *causes, which, steps=steps)


def _causes(attempt: Mapping[str, Any]) -> list[str]:
    container = attempt.get("container", {})
    exit_code = container.get("exitCode")
    return [container.get("reason") or "", f"Exit code {exit_code}." if exit_code is not None else ""]


def _is_of(definition: str | None, address: str) -> bool:
    """Return whether a definition's ARN matches the address; one without revision matches all revisions."""
    if definition is None or definition == address:
        return True
    name, _, revision = definition.rpartition(":")
    short = (name.rpartition("/")[2], definition.rpartition("/")[2])
    return revision.isdigit() and (name == address or address in short)


def _job_id(external_id: str) -> str:
    return external_id.rpartition("/")[2]


def _of(settings: JobSettings) -> str:
    return f"Batch job {settings.arn} ({settings.parameter})"
