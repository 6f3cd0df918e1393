"""The kinds of sensors that Dagster's documentation shows, in our own code.

Written as for Dagster: only the imports and the job definitions would be others there, and an op's config
would be a `Config` where it is a dataclass here.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from treadle import (
    ConfigurableResource,
    DefaultSensorStatus,
    InitResourceContext,
    JobDefinition,
    RunConfig,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    SkipReason,
    get_s3_keys,
    resource,
    sensor,
)

INBOX = Path("inbox")
LANDING = "landing"

clean_log = JobDefinition("clean_log")
import_file = JobDefinition(
    "import_file",
    run_config_schema={
        "type": "object",
        "properties": {"ops": {"type": "object", "required": ["import_file"]}},
        "required": ["ops"],
    },
)
weekly = JobDefinition("weekly_report")
daily = JobDefinition("daily_report")


@dataclass
class FileOptions:
    """What the op of `import_file` takes."""

    path: str


def files() -> list[str]:
    """Return the names of the files in the inbox."""
    return sorted(path.name for path in INBOX.iterdir() if path.is_file())


@sensor(job=import_file)
def each_file_once() -> Iterator[RunRequest]:
    """A directory: one run for each name, however often it is listed."""
    for name in files():
        yield RunRequest(
            run_key=name, run_config=RunConfig(ops={"import_file": FileOptions(str(INBOX / name))})
        )


@sensor(job=import_file)
def changed_files(context: SensorEvaluationContext) -> Iterator[RunRequest]:
    """A directory by time of modification: only what changed since the cursor is considered."""
    since = float(context.cursor) if context.cursor else 0.0
    newest = since
    for name in files():
        changed = (INBOX / name).stat().st_mtime
        if changed <= since:
            continue
        yield RunRequest(
            run_key=f"{name}:{changed}", run_config=RunConfig(ops={"import_file": FileOptions(name)})
        )
        newest = max(newest, changed)
    context.update_cursor(str(newest))


@sensor(job=clean_log)
def files_or_reason() -> Iterator[RunRequest | SkipReason]:
    """A directory, and a skip reason for when there is nothing in it."""
    found = files()
    if not found:
        yield SkipReason(f"{INBOX} is empty.")
        return
    for name in found:
        yield RunRequest(run_key=name)


@sensor(job=import_file)
def landed_objects(context: SensorEvaluationContext) -> SensorResult | SkipReason:
    """A bucket, by the last key that was seen."""
    keys = get_s3_keys(LANDING, prefix="in/", since_key=context.cursor or None)
    if not keys:
        return SkipReason("No new objects.")
    requests = [
        RunRequest(run_key=key, run_config=RunConfig(ops={"import_file": FileOptions(key)})) for key in keys
    ]
    return SensorResult(requests, cursor=keys[-1])


@sensor(job=clean_log, minimum_interval_seconds=30)
def each_half_minute() -> RunRequest:
    """Ticks twice a minute."""
    return RunRequest()


@sensor(job=clean_log, minimum_interval_seconds=300, default_status=DefaultSensorStatus.RUNNING)
def each_five_minutes() -> RunRequest:
    """Ticks each five minutes, from the deployment on."""
    return RunRequest()


@sensor(job=clean_log)
def talkative(context: SensorEvaluationContext) -> SkipReason:
    """Writes to the log of its tick."""
    context.log.info("Looked at %d files", len(files()))
    return SkipReason()


class Accounts(ConfigurableResource):
    """An API of accounts."""

    url: str

    def created_since(self, number: int) -> list[dict[str, Any]]:
        """Return the accounts with a higher number."""
        raise NotImplementedError(self.url)


@sensor(job=clean_log)
def new_accounts(context: SensorEvaluationContext, accounts: Accounts) -> SensorResult:
    """A resource by parameter."""
    found = accounts.created_since(int(context.cursor or 0))
    requests = [RunRequest(run_key=str(each["id"]), tags={"account": each["name"]}) for each in found]
    return SensorResult(
        requests, cursor=str(max([int(context.cursor or 0), *(each["id"] for each in found)]))
    )


@resource(required_resource_keys={"password"})
def database(context: InitResourceContext) -> Iterator[dict[str, str]]:
    """A connection that is open for one tick."""
    connection = {"state": "open", "password": context.resources.password}
    yield connection
    connection["state"] = "closed"


@sensor(job=clean_log, required_resource_keys={"database"})
def by_context(context: SensorEvaluationContext) -> RunRequest:
    """A resource by the context."""
    return RunRequest(tags={"database": context.resources.database["state"]})


@sensor(jobs=[daily, weekly])
def reports(context: SensorEvaluationContext) -> SensorResult:
    """Several jobs: a daily report at each tick, a weekly one at each seventh."""
    day = int(context.cursor or 0) + 1
    requests = [RunRequest(f"day {day}", job_name="daily_report")]
    if day % 7 == 0:
        requests.append(RunRequest(f"week {day // 7}", job_name="weekly_report"))
    return SensorResult(requests, cursor=str(day))
