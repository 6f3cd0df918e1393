"""Glue jobs. There is no token: a pending start is looked up among the job's runs by its launch id."""

import itertools
import re
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

from treadle.adapters.system import SystemClock
from treadle.adapters.targets.errors import AwsError, failure_of, millis_of, not_answered, not_started
from treadle.adapters.targets.inputs import listed, no_options
from treadle.adapters.targets.roles import AwsTarget
from treadle.definitions.canonical import canonical_json
from treadle.definitions.errors import LaunchDelayedError, LaunchRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.targets import Execution, JobSettings, Listed, Start, StartContract

STATUSES = {
    "WAITING": Status.STARTED,
    "STARTING": Status.STARTED,
    "RUNNING": Status.STARTED,
    "STOPPING": Status.STARTED,
    "STOPPED": Status.CANCELED,
    "SUCCEEDED": Status.SUCCESS,
    "FAILED": Status.FAILURE,
    "ERROR": Status.FAILURE,
    "TIMEOUT": Status.FAILURE,
    "EXPIRED": Status.FAILURE,
}

LISTED_MS = 86_400_000
"""Glue keeps runs for 90 days (its guide, "Job run statuses"); a day is enough, and cheap to read."""

PAGE = 200
PAGES = 50
"""With more pages of runs since the attempt, its absence cannot be proven."""

_CLOCKS_DIFFER_MS = 300_000
_BUSY = {"ConcurrentRunsExceededException", "ResourceNumberLimitExceededException"}
_UNKNOWN = {"InternalServiceException", "OperationTimeoutException"}
_GONE = {"EntityNotFoundException"}

_CODE = frozenset(
    {
        "--additional-python-modules",
        "--class",
        "--conf",
        "--customer-driver-program",
        "--extra-files",
        "--extra-jars",
        "--extra-py-files",
        "--job-language",
        "--library-set",
        "--python-modules-installer-option",
        "--scriptlocation",
        "--user-jars-first",
    }
)
_GLUES_OWN = frozenset(
    {
        "--cache-s3-access",
        "--command-type",
        "--datalake-formats",
        "--debug",
        "--encryption-type",
        "--endpoint",
        "--executor-cores",
        "--executor-memory",
        "--mode",
        "--role",
        "--spark-event-logs-path",
        "--tempdir",
        "--use-postgres-driver",
    }
)
_GLUES_PREFIXES = re.compile(
    r"--(auto-|aws|continuous-log|custom-logger|enable-|extra-|job[-_]|write-shuffle)"
)


class GlueTarget(AwsTarget):
    """A `Target` on Glue.

    Its external ids are the job's ARN and the run's id, joined by a slash.
    """

    contract: ClassVar[StartContract] = StartContract(listing_ms=LISTED_MS, lists=True)

    def start(self, start: Start) -> Execution:
        """Start a run of the job, in one call."""
        settings, job = start.settings, _name(start.settings.arn)
        values = no_options(listed(start, why_no_argument))
        arguments = {
            **{f"--{name}": value for name, value in values.items()},
            "--treadle-launch-id": start.launch_id,
            "--treadle-run-config": start.run_config,
            "--treadle-run-id": start.run_id,
            "--treadle-tags": canonical_json(dict(start.tags)),
        }
        try:
            answer = self._roles.call(
                "glue", settings.role, "start_job_run", once=True, JobName=job, Arguments=arguments
            )
        except AwsError as error:
            raise not_started(error, _of(settings), busy=_BUSY, unknown=_UNKNOWN) from error
        now = SystemClock().now()  # Glue's response has no time.
        return Execution(f"{settings.arn}/{answer['JobRunId']}", settings.arn, Status.STARTED, now)

    def resolve(self, start: Start) -> Execution | None:
        """Return the run with the launch id; the first one, if Glue has retried it."""
        settings, found = start.settings, None
        for run in self._runs(settings, start.tried_at - _CLOCKS_DIFFER_MS, range(PAGES)):
            if run is None:
                if found is None:
                    msg = (
                        f"{_of(settings)} has had more than {PAGE * PAGES} runs since then; "
                        f"{start.launch_id} may be older than those listed."
                    )
                    raise LaunchDelayedError(msg)
                break
            if run.get("Arguments", {}).get("--treadle-launch-id") == start.launch_id:
                found = run
        return _execution(settings.arn, found) if found else None

    def recent(self, settings: JobSettings, since: int) -> Iterator[Listed]:
        """Yield the job's runs, by start time; each of Glue's retries is a separate run."""
        for run in self._runs(settings, since, itertools.count()):
            if run is not None:
                yield Listed(millis_of(run["StartedOn"]), _execution(settings.arn, run))

    def _runs(
        self, settings: JobSettings, since: int, pages: Iterable[int]
    ) -> Iterator[dict[str, Any] | None]:
        """Yield the job's runs, newest first; then None if there are more pages."""
        token = dict[str, Any]()
        for _ in pages:
            try:
                job = _name(settings.arn)
                answer = self._roles.call(
                    "glue", settings.role, "get_job_runs", JobName=job, MaxResults=PAGE, **token
                )
            except AwsError as error:
                what = f"The runs of {_of(settings)} could not be listed"
                raise not_answered(error, what, gone=_GONE) from error
            for run in answer["JobRuns"]:
                if millis_of(run["StartedOn"]) < since:
                    return
                yield run
            if not answer.get("NextToken"):
                return
            token = {"NextToken": answer["NextToken"]}
        yield None

    def describe(self, external_id: str, role: str = "") -> Execution:
        """Describe a run, with Glue's message if it failed."""
        address, run_id = _parts(external_id)
        try:
            answer = self._roles.call("glue", role, "get_job_run", JobName=_name(address), RunId=run_id)
        except AwsError as error:
            raise not_answered(error, f"Glue run {external_id} could not be described", gone=_GONE) from error
        return _execution(address, answer["JobRun"])

    def cancel(self, external_id: str, role: str = "", reason: str = "") -> None:
        """Stop a run; Glue stores no reason."""
        del reason
        address, run_id = _parts(external_id)
        what = f"Glue run {external_id} was not canceled"
        try:
            answer = self._roles.call(
                "glue", role, "batch_stop_job_run", JobName=_name(address), JobRunIds=[run_id]
            )
        except AwsError as error:
            raise not_answered(error, what, gone={*_GONE, "InvalidInputException"}) from error
        for refused in answer.get("Errors", []):
            detail = refused.get("ErrorDetail", {})
            msg = f"{what}: {detail.get('ErrorCode')}: {detail.get('ErrorMessage')}"
            again = detail.get("ErrorCode") in _UNKNOWN
            raise LaunchDelayedError(msg) if again else LaunchRejectedError(msg)


def why_no_argument(name: str) -> str | None:
    """Return why a run config may not set a job argument; None if it may.

    The names are those of Glue's guide, "Using job parameters in Glue jobs".
    """
    argument = f"--{name}".lower()
    if argument.startswith("--treadle-"):
        return "Treadle sets it itself"
    if argument in _CODE or argument.startswith("--extra-"):
        return "Glue chooses by it which code the job runs"
    if argument in _GLUES_OWN or _GLUES_PREFIXES.match(argument):
        return "it is one of Glue's own settings"
    return None


def _execution(address: str, run: dict[str, Any]) -> Execution:
    status, ended = STATUSES[run["JobRunState"]], run.get("CompletedOn")
    failed = status in {Status.FAILURE, Status.CANCELED}
    return Execution(
        f"{address}/{run['Id']}",
        address,
        status,
        millis_of(run["StartedOn"]),
        millis_of(ended) if ended and status.is_finished else None,
        failure_of(run["JobRunState"], run.get("ErrorMessage")) if failed else None,
        launch_id=run.get("Arguments", {}).get("--treadle-launch-id"),
    )


def _name(address: str) -> str:
    """Return the name of a job from its ARN."""
    return address.rpartition(":job/")[2]


def _parts(external_id: str) -> tuple[str, str]:
    address, _, run_id = external_id.rpartition("/")
    return address, run_id


def _of(settings: JobSettings) -> str:
    return f"Glue job {settings.arn} ({settings.parameter})"
