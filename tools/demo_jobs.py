"""The demo's jobs that follow one another: sensors as an author would write them, jobs started by others."""

from pathlib import Path
from typing import TYPE_CHECKING

from tools import stack
from tools.project import ToolError
from tools.project_copy import copy_of_project
from treadle.cli.fragments import NewSensor, pascal
from treadle.cli.new_sensor import write_sensor

if TYPE_CHECKING:
    from mypy_boto3_stepfunctions import SFNClient

ORDERS, CUSTOMERS, REPORT = "load_orders", "load_customers", "report"
FOLLOWER = "when_loaded"
LARGE, LARGE_SENSOR, LARGE_ROWS = "process_large_file", "large_files", 3_000
"""Part of the project: a job for each file whose summary has more rows than these."""

SENSORS = (
    # These two stay stopped: in this demo an outsider starts their jobs.
    NewSensor("nightly_orders", ORDERS, 3600),
    NewSensor("nightly_customers", CUSTOMERS, 3600),
    NewSensor(FOLLOWER, REPORT, 60, made="all-succeeded", upstream=(ORDERS, CUSTOMERS)),
)


EDITS = (
    # Interval of new_objects, and existing objects.
    ("TREADLE_INTERVAL_SECONDS: '300'", "TREADLE_INTERVAL_SECONDS: '60', TREADLE_S3_START_FROM: beginning"),
    ('"interval":"300"', '"interval":"60"'),
    # These two run.
    (
        "TREADLE_DEFAULT_STATUS: STOPPED, TREADLE_QUEUE_URL: !Ref LargeFilesQueue",
        "TREADLE_DEFAULT_STATUS: RUNNING, TREADLE_QUEUE_URL: !Ref LargeFilesQueue",
    ),
    (
        "TREADLE_DEFAULT_STATUS: STOPPED, TREADLE_QUEUE_URL: !Ref WhenLoadedQueue",
        "TREADLE_DEFAULT_STATUS: RUNNING, TREADLE_QUEUE_URL: !Ref WhenLoadedQueue",
    ),
    (
        '"status":"STOPPED",\n        "queue":"${LargeFilesQueue}"',
        '"status":"RUNNING",\n        "queue":"${LargeFilesQueue}"',
    ),
    (
        '"status":"STOPPED","queue":"${WhenLoadedQueue}"',
        '"status":"RUNNING","queue":"${WhenLoadedQueue}"',
    ),
    ("LARGE_FILES_ROWS: '1000'", f"LARGE_FILES_ROWS: '{LARGE_ROWS}'"),
    # These get run records even if an outsider starts them.
    *(
        (
            f'"role":"${{{pascal(job)}JobRole.Arn}}"',
            f'"role":"${{{pascal(job)}JobRole.Arn}}","observed":"true"',
        )
        for job in (ORDERS, CUSTOMERS)
    ),
)
"""The demo's replacements in blocks of template.yaml."""


def write_project(folder: Path) -> Path:
    """Write a copy of the project with these sensors, and with the demo's values in its blocks."""
    project = copy_of_project(folder)
    for sensor in SENSORS:
        write_sensor(project, sensor)
    path = project / "template.yaml"
    text = path.read_text()
    for before, after in EDITS:
        if text.count(before) != 1:
            raise ToolError(f"{before!r} is not once in template.yaml: the demo's EDITS do not fit it.")
        text = text.replace(before, after)
    path.write_text(text)
    return project


class ScheduledElsewhere:
    """The state machines of the jobs, and the outsider that starts those of the first two."""

    def __init__(self, endpoint: str) -> None:
        self._machines: SFNClient = stack.session().client("stepfunctions", endpoint_url=endpoint)
        definition = {"StartAt": "Load", "States": {"Load": {"Type": "Succeed"}}}
        self.arns = stack.create_machines(endpoint, (ORDERS, CUSTOMERS, REPORT, LARGE), definition)

    def start(self, job: str) -> str:
        """Start an execution without any sensor; return its ARN."""
        return self._machines.start_execution(stateMachineArn=self.arns[job])["executionArn"]

    def executions(self, job: str) -> int:
        """Return how many executions the job's state machine has had, according to Step Functions."""
        pages = self._machines.get_paginator("list_executions").paginate(stateMachineArn=self.arns[job])
        return sum(len(page["executions"]) for page in pages)
