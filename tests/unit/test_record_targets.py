"""RECORD on every kind of target: its queries, the addresses that it takes for the job's, and reports."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from tests.support.engine import RUN_IDS
from treadle.definitions.errors import LaunchDelayedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.record.arns import arn_matches
from treadle.engine.record.recorder import REPORT, Recorder, StatusChange
from treadle.model.runs import Failure, PendingStart, Run
from treadle.model.targets import Execution, JobSettings, StartContract
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables
from treadle.testing.targets import InMemoryTarget

NOON = 1_795_370_400_000
PLACE = "123456789012/us-east-1/treadle"
HERE = "us-east-1:123456789012"
RUN_ID = RUN_IDS.keyed("watch", "k")
LAUNCH_ID = f"{RUN_ID}-1"
GLUE = f"arn:aws:glue:{HERE}:job/load"
BATCH = f"arn:aws:batch:{HERE}:job-definition/load"
TASK = f"arn:aws:ecs:{HERE}:task-definition/load:3"
FUNCTION = f"arn:aws:lambda:{HERE}:function:load"
REPORTED = Failure("Reported", "by the event")


@dataclass
class Stack:
    """A run of one job on one kind of target.

    Attributes:
        kind: of the target.
        arn: the job's.
        describes: whether the target can be queried.
    """

    kind: str
    arn: str
    describes: bool = True
    tables: InMemoryTables = field(default_factory=InMemoryTables)
    clock: VirtualClock = field(default_factory=VirtualClock)

    def __post_init__(self) -> None:
        self.target = InMemoryTarget(self.clock, StartContract(describes=self.describes))
        self.tables.runs[RUN_ID] = Run(
            RUN_ID,
            "load",
            "watch",
            "k",
            "tick",
            "{}",
            {},
            NOON,
            pending_start=PendingStart("t", NOON, self.arn, self.kind),
            reached={"1/0": {"QUEUED": NOON}},
        )

    @property
    def run(self) -> Run:
        """The run's record."""
        return self.tables.runs[RUN_ID]

    @property
    def jobs(self) -> Mapping[str, JobSettings]:
        """What is deployed."""
        return {"load": JobSettings("load", self.kind, self.arn, "LoadArn")}

    def runs_as(self, external_id: str, status: Status, **fields: object) -> None:
        """Set the target's response to a query."""
        execution = Execution(external_id, self.arn, status, NOON, launch_id=LAUNCH_ID)
        self.target.executions[external_id] = replace(execution, **fields)  # type: ignore[arg-type]

    def record(self, change: StatusChange) -> Outcome:
        """Return RECORD's outcome for a change."""
        recorder = Recorder(
            InMemoryRunStore(self.tables), self.jobs, {self.kind: self.target}, self.clock, PLACE
        )
        return recorder.record(change)


def glue_change(status: Status = Status.SUCCESS, target: str = GLUE) -> StatusChange:
    return StatusChange("glue", None, f"{target}/jr_1", target, status, NOON + 5)


def task_change(*, is_sure: bool = False) -> StatusChange:
    task = f"arn:aws:ecs:{HERE}:task/nightly/1"
    return StatusChange(
        "ecs", LAUNCH_ID, task, TASK, Status.FAILURE, NOON + 5, failure=REPORTED, is_sure=is_sure
    )


def report(status: Status, failure: Failure | None = None, name: str = LAUNCH_ID) -> StatusChange:
    return StatusChange(REPORT, name, "", "", status, NOON + 5, failure=failure)


@pytest.mark.parametrize("given_as", [GLUE, "load"])
def test_target_is_queried_for_the_launch_id_that_its_event_lacks(given_as: str) -> None:
    stack = Stack("glue", given_as)
    stack.runs_as(f"{GLUE}/jr_1", Status.SUCCESS)

    outcome = stack.record(glue_change())

    assert (outcome.decision, stack.run.status) == (Decision.RECORDED, Status.SUCCESS)
    assert (stack.run.target, stack.run.external_id) == (given_as, f"{given_as}/jr_1")


def test_execution_of_what_no_job_launches_is_foreign_without_querying() -> None:
    stack = Stack("glue", GLUE)

    outcome = stack.record(glue_change(target=f"{GLUE}-other"))

    assert outcome.decision is Decision.FOREIGN
    assert outcome.reason == f"{GLUE}-other is not the target of any job."


def test_execution_that_its_target_knows_no_longer_is_foreign() -> None:
    outcome = Stack("glue", GLUE).record(glue_change())

    assert outcome.decision is Decision.FOREIGN
    assert "There is no execution" in outcome.reason


@pytest.mark.parametrize("launch_id", [None, "nightly", f"{RUN_ID}-2"])
def test_execution_that_has_no_launch_id_of_ours_is_foreign(launch_id: str | None) -> None:
    stack = Stack("glue", GLUE)
    stack.runs_as(f"{GLUE}/jr_1", Status.SUCCESS, launch_id=launch_id)
    before = stack.run

    assert stack.record(glue_change()).decision is Decision.FOREIGN
    assert stack.run == before


def test_target_that_was_queried_for_the_launch_id_is_not_queried_again_for_the_reason() -> None:
    stack = Stack("glue", GLUE)
    stack.runs_as(f"{GLUE}/jr_1", Status.FAILURE, failure=REPORTED)
    stack.target = queried = RecordingTarget(stack.target)

    stack.record(glue_change(Status.FAILURE))

    assert (stack.run.status, stack.run.failure) == (Status.FAILURE, REPORTED)
    assert queried.names == [f"{GLUE}/jr_1"]


class RecordingTarget(InMemoryTarget):
    """A target that records its queries."""

    def __init__(self, target: InMemoryTarget) -> None:
        super().__init__(target.clock, executions=target.executions)
        self.names: list[str] = []

    def describe(self, external_id: str, role: str = "") -> Execution:
        self.names.append(external_id)
        return super().describe(external_id, role)


class SilentTarget(InMemoryTarget):
    """A target that does not answer."""

    def describe(self, external_id: str, role: str = "") -> Execution:
        msg = f"throttled: {external_id}"
        raise LaunchDelayedError(msg)


def test_failure_that_the_event_reports_is_taken_without_querying() -> None:
    stack = Stack("ecs", TASK)

    stack.record(task_change(is_sure=True))

    assert (stack.run.status, stack.run.failure) == (Status.FAILURE, REPORTED)


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.CANCELED, Status.FAILURE])
def test_end_that_the_event_leaves_open_is_the_one_that_the_target_reports(status: Status) -> None:
    stack, change = Stack("ecs", TASK), task_change()
    from_target = None if status is Status.SUCCESS else Failure("Described", "by the target")
    stack.runs_as(change.external_id, status, failure=from_target)

    stack.record(change)

    assert (stack.run.status, stack.run.failure) == (status, from_target)
    assert set(stack.run.reached["1/0"]) & {"SUCCESS", "FAILURE", "CANCELED"} == {status}


def test_end_that_only_the_target_can_report_is_not_guessed_while_it_does_not_answer() -> None:
    stack, change = Stack("ecs", TASK), task_change()
    before, stack.target = stack.run, SilentTarget(stack.clock)

    with pytest.raises(LaunchDelayedError, match="throttled"):
        stack.record(change)

    assert stack.run == before


def test_end_that_the_target_does_not_show_yet_is_requested_again() -> None:
    stack, change = Stack("ecs", TASK), task_change()
    stack.runs_as(change.external_id, Status.STARTED)

    with pytest.raises(LaunchDelayedError, match="but its target does not report that yet"):
        stack.record(change)


def test_end_that_the_target_has_forgotten_is_the_one_that_the_event_reports() -> None:
    stack = Stack("ecs", TASK)

    stack.record(task_change())

    assert (stack.run.status, stack.run.failure) == (Status.FAILURE, REPORTED)


def test_reason_of_a_later_redrive_is_not_taken_for_this_ends() -> None:
    machine = f"arn:aws:states:{HERE}:stateMachine:load"
    stack = Stack("step_functions", machine)
    stack.runs_as("execution", Status.FAILURE, retry=1, failure=REPORTED)

    stack.record(StatusChange("step_functions", LAUNCH_ID, "execution", machine, Status.FAILURE, NOON + 5))

    assert (stack.run.status, stack.run.failure) == (Status.FAILURE, None)


def test_redrive_that_the_target_reports_reopens_the_run() -> None:
    machine = f"arn:aws:states:{HERE}:stateMachine:load"
    stack = Stack("step_functions", machine)
    failed = StatusChange(
        "step_functions", LAUNCH_ID, "execution", machine, Status.FAILURE, NOON + 5, failure=REPORTED
    )
    stack.record(failed)

    stack.record(replace(failed, status=Status.STARTED, time=NOON + 9, retry=1, failure=None))

    assert (stack.run.status, stack.run.failure) == (Status.STARTED, None)
    assert set(stack.run.reached) == {"1/0", "1/1"}


def test_news_is_as_old_as_its_coming_and_not_as_what_it_reports() -> None:
    stack = Stack("ecs", TASK)
    stack.clock.advance(500)

    stack.record(task_change(is_sure=True))

    assert (stack.run.ended_at, stack.run.updated_at) == (NOON + 5, stack.clock.now())


@pytest.mark.parametrize("kind", ["lambda", "sqs", "eventbridge"])
@pytest.mark.parametrize(
    ("status", "failure"),
    [(Status.STARTED, None), (Status.SUCCESS, None), (Status.FAILURE, REPORTED), (Status.CANCELED, REPORTED)],
)
def test_report_is_taken_of_a_run_whose_target_reports_nothing(
    kind: str, status: Status, failure: Failure | None
) -> None:
    stack = Stack(kind, "arn:aws:x", describes=False)

    outcome = stack.record(report(status, failure))

    assert outcome.decision is Decision.RECORDED
    assert (stack.run.status, stack.run.failure) == (status, failure)


@pytest.mark.parametrize("kind", ["step_functions", "glue", "batch", "ecs"])
def test_report_is_refused_for_a_run_whose_target_reports_it(kind: str) -> None:
    stack = Stack(kind, "arn:aws:x")
    before = stack.run

    outcome = stack.record(report(Status.SUCCESS))

    assert (outcome.decision, outcome.subject) == (Decision.FOREIGN, LAUNCH_ID)
    assert f"Job 'load' runs on {kind}, which publishes the status of its runs itself" in outcome.reason
    assert stack.run == before


def test_report_goes_by_what_the_run_was_started_on_and_not_by_what_its_job_is_now() -> None:
    stack = Stack("sqs", "arn:aws:x", describes=False)
    stack.tables.runs[RUN_ID] = replace(stack.run, pending_start=PendingStart("t", NOON, "arn:aws:y", "ecs"))

    outcome = stack.record(report(Status.SUCCESS))

    assert outcome.decision is Decision.FOREIGN
    assert "The target of job 'load' is unknown" in outcome.reason


@pytest.mark.parametrize("name", ["", "load", f"{RUN_ID}-2"])
def test_report_of_no_run_is_foreign(name: str) -> None:
    stack = Stack("sqs", "arn:aws:x", describes=False)

    assert stack.record(report(Status.SUCCESS, name=name)).decision is Decision.FOREIGN


def test_invocation_is_recorded_under_the_alias_that_the_job_names() -> None:
    stack = Stack("lambda", f"{FUNCTION}:live", describes=False)

    stack.record(StatusChange("lambda", LAUNCH_ID, f"{FUNCTION}/request", FUNCTION, Status.SUCCESS, NOON + 5))

    assert (stack.run.target, stack.run.external_id) == (f"{FUNCTION}:live", f"{FUNCTION}:live/request")


@pytest.mark.parametrize(
    ("kind", "reported", "given_as", "expected"),
    [
        ("glue", GLUE, GLUE, True),
        ("glue", GLUE, "load", True),
        ("glue", GLUE, "loa", False),
        ("glue", GLUE.replace("123456789012", "999999999999"), "load", False),
        ("glue", GLUE.replace("us-east-1", "us-east-2"), "load", False),
        ("glue", GLUE, "", False),
        ("glue", GLUE, None, False),
        ("glue", "", "", False),
        ("batch", f"{BATCH}:3", f"{BATCH}:3", True),
        ("batch", f"{BATCH}:3", BATCH, True),
        ("batch", f"{BATCH}:3", "load", True),
        ("batch", f"{BATCH}:3", "load:3", True),
        ("batch", f"{BATCH}:3", "load:4", False),
        ("batch", f"{BATCH}:3", f"{BATCH}:4", False),
        ("batch", f"{BATCH.replace('123456789012', '999999999999')}:3", BATCH, False),
        ("batch", f"{BATCH.replace('123456789012', '999999999999')}:3", "load", False),
        ("ecs", TASK, TASK, True),
        ("ecs", TASK, "load:3", False),
        ("ecs", TASK, TASK.replace(":3", ":4"), False),
        ("lambda", FUNCTION, FUNCTION, True),
        ("lambda", FUNCTION, f"{FUNCTION}:live", True),
        ("lambda", FUNCTION, f"{FUNCTION}-other", False),
        ("lambda", FUNCTION, f"{FUNCTION.replace('123456789012', '999999999999')}:live", False),
        ("step_functions", f"{BATCH}:3", BATCH, False),
    ],
)
def test_address_is_the_jobs_whatever_goes_without_saying(
    kind: str, reported: str, given_as: str | None, *, expected: bool
) -> None:
    assert arn_matches(kind, reported, given_as, PLACE) is expected


def test_bare_name_is_nothing_where_the_own_place_is_not_known() -> None:
    assert arn_matches("glue", GLUE, "load", "") is False
