"""I7 from the events themselves: in any order, any number of times, they end at the record of the ordered ones."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import RUN_IDS
from treadle.adapters.status_events import parse_status_change
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.recorder import Recorder
from treadle.engine.record.run_state import Report, fold
from treadle.model.runs import Failure, PendingStart, Run
from treadle.model.targets import Execution, JobSettings
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables
from treadle.testing.targets import InMemoryTarget

NOON = 1_795_370_400_000
HERE = "us-east-1:123456789012"
RUN_ID = RUN_IDS.keyed("watch", "k")
LAUNCH_ID = f"{RUN_ID}-1"
MACHINE = f"arn:aws:states:{HERE}:stateMachine:load"
EXECUTION = f"arn:aws:states:{HERE}:execution:load:{LAUNCH_ID}"
DEFINITION = f"arn:aws:batch:{HERE}:job-definition/load:3"
JOB = f"arn:aws:batch:{HERE}:job/8f1f"
ASSUMED = Failure("OutcomeUnknownError", "by Treadle", assumed=True)
STATES_ENDS = {"SUCCEEDED": Status.SUCCESS, "FAILED": Status.FAILURE, "ABORTED": Status.CANCELED}


@dataclass(frozen=True)
class Happening:
    """An event, or an end that Treadle assumes.

    Attributes:
        event: as the rule leaves it; None for an assumed end.
        at: when.
        existing: the execution as the target describes it from then on.
    """

    event: dict[str, Any] | None
    at: int
    existing: Execution


def enveloped(source: str, kind: str, detail: dict[str, Any], at: int) -> dict[str, Any]:
    """Return the event of a detail."""
    envelope = {"source": source, "detail-type": kind, "account": "123456789012", "region": "us-east-1"}
    return {**envelope, "time": f"2026-11-22T18:00:{(at - NOON) // 1000 % 60:02d}Z", "detail": detail}


def failure_of(status: Status, retry: int) -> Failure | None:
    return Failure("Reported", f"in {retry}") if status in {Status.FAILURE, Status.CANCELED} else None


@st.composite
def executions(draw: st.DrawFn) -> list[Happening]:
    """Return an execution of a state machine that is redriven up to twice."""
    found: list[Happening] = []
    at, redrives = NOON, draw(st.integers(0, 2))
    for retry in range(redrives + 1):
        at += draw(st.integers(1, 5)) * 1000
        began, running = at, Execution(EXECUTION, MACHINE, Status.STARTED, at, retry=retry)
        detail = {"executionArn": EXECUTION, "stateMachineArn": MACHINE, "name": LAUNCH_ID}
        redriven = {"redriveCount": str(retry), "redriveDate": str(began) if retry else ""}
        times = {**detail, **redriven, "startDate": str(found[0].at if found else began)}
        kind = "Step Functions Execution Status Change"
        event = enveloped("aws.states", kind, {**times, "status": "RUNNING", "stopDate": ""}, at)
        found.append(Happening(event, at, running))
        if retry == redrives and draw(st.booleans()):
            break
        state = draw(st.sampled_from(sorted(STATES_ENDS)))
        at += draw(st.integers(1, 5)) * 1000
        status = STATES_ENDS[state]
        ended = replace(running, status=status, ended_at=at, failure=failure_of(status, retry))
        event = enveloped("aws.states", kind, {**times, "status": state, "stopDate": str(at)}, at)
        found.append(Happening(event, at, ended))
    return found


@st.composite
def batch_jobs(draw: st.DrawFn) -> list[Happening]:
    """Return a Batch job that is tried up to three times, and may be terminated while it waits for the next."""
    found: list[Happening] = []
    attempts: list[dict[str, Any]] = []
    at, running = NOON, Execution(JOB, DEFINITION, Status.STARTED, NOON)

    def happens(state: str, existing: Execution) -> None:
        detail = {"jobArn": JOB, "jobName": LAUNCH_ID, "jobDefinition": DEFINITION, "status": state}
        times = {"startedAt": existing.started_at, "stoppedAt": existing.ended_at or ""}
        event = enveloped(
            "aws.batch", "Batch Job State Change", {**detail, **times, "attempts": [*attempts]}, at
        )
        found.append(Happening(event, at, existing))

    for number in range(draw(st.integers(1, 3))):
        at += 1000
        running = Execution(JOB, DEFINITION, Status.STARTED, at, retry=number)
        happens("RUNNING", running)
        at += 1000
        attempts.append({"container": {"exitCode": 1}, "stoppedAt": at})
        happens("RUNNABLE", running)
    state, status = draw(
        st.sampled_from(
            [("SUCCEEDED", Status.SUCCESS), ("FAILED", Status.FAILURE), ("FAILED", Status.CANCELED)]
        )
    )
    at += 1000
    retry = len(attempts) - 1
    happens(state, replace(running, status=status, ended_at=at, failure=failure_of(status, retry)))
    return found


@st.composite
def histories(draw: st.DrawFn) -> list[Happening]:
    """Return the events of a run, with ends that Treadle assumed in between; some events get lost for good."""
    happened = draw(st.one_of(executions(), batch_jobs()))
    kept = [each for each in happened if draw(st.integers(0, 5))]
    assumed = [
        Happening(None, each.at + 1, each.existing)
        for each in happened
        if each.existing.retry == 0 and not draw(st.integers(0, 4))
    ]
    return sorted([*kept, *assumed], key=lambda each: each.at)


def recorded(history: Sequence[Happening], last: Execution | None) -> Run:
    """Return the record after the history.

    Args:
        history: as it comes.
        last: how the target says that it stands, whatever comes; None for as it stood at each time.
    """
    tables, clock = InMemoryTables(), VirtualClock()
    target = InMemoryTarget(clock)
    runs, kinds = InMemoryRunStore(tables), {"step_functions": MACHINE, "batch": DEFINITION}
    is_batch = any(each.existing.external_id == JOB for each in history)
    kind = "batch" if is_batch else "step_functions"
    pending_start = PendingStart("t", NOON, kinds[kind], kind)
    tables.runs[RUN_ID] = Run(
        RUN_ID,
        "load",
        "watch",
        "k",
        "tick",
        "{}",
        {},
        NOON,
        pending_start=pending_start,
        reached={"1/0": {"QUEUED": NOON}},
    )
    jobs = {"load": JobSettings("load", kind, kinds[kind], "LoadArn")}
    recorder = Recorder(runs, jobs, {kind: target}, clock, "123456789012/us-east-1")
    for each in history:
        clock.advance(7)
        target.executions[each.existing.external_id] = last or each.existing
        if each.event is not None:
            recorder.record(parse_status_change(each.event))
        else:
            run = tables.runs[RUN_ID]
            tables.runs[RUN_ID] = fold(run, Report(1, Status.FAILURE, each.at, failure=ASSUMED))
    return replace(tables.runs[RUN_ID], revision=0, updated_at=NOON)


@given(histories(), st.data())
def test_shuffled_and_repeated_events_end_at_the_record_of_the_ordered_ones(
    history: list[Happening], data: st.DataObject
) -> None:
    repeated = history + data.draw(st.lists(st.sampled_from(history), max_size=4) if history else st.just([]))
    shuffled = data.draw(st.permutations(repeated))
    last = history[-1].existing if history else None

    assert recorded(shuffled, last) == recorded(history, None)


@given(st.one_of(executions(), batch_jobs()), st.data())
def test_last_event_says_how_the_run_stands_whatever_was_lost_before_it(
    happened: list[Happening], data: st.DataObject
) -> None:
    lost = data.draw(st.sets(st.integers(0, len(happened) - 1)))
    kept = [each for number, each in enumerate(happened[:-1]) if number not in lost]

    last = happened[-1].existing
    run = recorded([*kept, happened[-1]], None)

    assert (run.status, run.failure) == (last.status, last.failure)
    assert run.ended_at == last.ended_at
