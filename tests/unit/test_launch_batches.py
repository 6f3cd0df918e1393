"""LAUNCH starts the runs of a batch together: each as it would be started alone, in fewer requests."""

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace

import pytest

from tests.support.counting_runs import CountingRuns
from tests.support.engine import JOB, EngineHarness
from tests.support.launching import NOON, SECONDS, queue_runs, resent
from treadle.definitions.errors import (
    LaunchDelayedError,
    LaunchRejectedError,
    StoreThrottledError,
    UnknownEventError,
    UnreadableRecordError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.launcher import TAKEOVER_MARGIN_MS, Launcher
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision, Outcome
from treadle.engine.record.run_state import Report, fold
from treadle.model.runs import Claim, PendingStart, Run
from treadle.model.targets import Execution, Start, StartContract
from treadle.testing.stores import InMemoryRunStore
from treadle.testing.targets import InMemoryTarget

ANYTHING = StartContract(describes=False)


class Killed(BaseException):
    """The process dies."""


class ProbingTarget(InMemoryTarget):
    """Calls a function after each start."""

    probe: Callable[[Start], object] = staticmethod(lambda _: None)

    def start(self, start: Start) -> Execution:
        execution = super().start(start)
        self.probe(start)
        return execution


def launcher_on(harness: EngineHarness, runs: InMemoryRunStore, workers: int = 1) -> Launcher:
    return harness.engine_with(runs=runs).launcher(
        harness.launches, harness.jobs, harness.targets, workers=workers
    )


def decisions(results: Sequence[Outcome | Exception]) -> list[object]:
    return [each.decision if isinstance(each, Outcome) else type(each) for each in results]


def statuses(harness: EngineHarness) -> list[Status]:
    return [run.status for run in harness.tables.runs.values()]


@pytest.mark.parametrize("workers", [1, 3])
def test_runs_of_a_batch_are_read_claimed_and_recorded_together(harness: EngineHarness, workers: int) -> None:
    requests = queue_runs(harness, 4)
    runs = CountingRuns(harness.tables)

    results = launcher_on(harness, runs, workers).launch_many(requests, SECONDS)

    assert decisions(results) == [Decision.LAUNCHED] * 4
    assert [each.subject for each in results if isinstance(each, Outcome)] == [
        f"{each.run_id}-1" for each in requests
    ]
    assert statuses(harness) == [Status.STARTED] * 4
    assert sorted(start.run_id for start in harness.target.starts) == sorted(each.run_id for each in requests)
    assert runs.called == ["get_many", "replace_many of 4", "replace_many of 4"]


def test_run_of_a_batch_is_stored_as_one_that_is_launched_alone(harness: EngineHarness) -> None:
    requests = queue_runs(harness, 2)
    harness.launcher().launch_many(requests, SECONDS)
    together = dict(harness.tables.runs)

    queue_runs(harness, 2)
    for each in requests:
        harness.launcher().launch(each, SECONDS)
    alone = harness.tables.runs

    assert [replace(run, claim=None) for run in together.values()] == [
        replace(run, claim=None) for run in alone.values()
    ]


def test_single_run_is_claimed_without_a_read(harness: EngineHarness) -> None:
    [request] = queue_runs(harness, 1)
    runs = CountingRuns(harness.tables)

    launcher_on(harness, runs).launch(request, SECONDS)

    assert runs.called == ["claim", "replace_many of 1"]


def test_each_run_is_claimed_before_the_first_one_is_started(harness: EngineHarness) -> None:
    requests = queue_runs(harness, 3)
    target = harness.target = ProbingTarget(harness.clock)
    seen: list[list[tuple[Claim | None, PendingStart | None]]] = []
    target.probe = lambda _: seen.append(
        [(run.claim, run.pending_start) for run in harness.tables.runs.values()]
    )

    harness.launcher().launch_many(requests, SECONDS)

    assert seen[0] == seen[1] == seen[2]
    assert {claim.expires_at for claim, _ in seen[0] if claim} == {NOON + SECONDS * 1000 + TAKEOVER_MARGIN_MS}
    assert len({claim.token for claim, _ in seen[0] if claim}) == 3
    assert all(claim and start and claim.token == start.token for claim, start in seen[0])


def test_run_of_a_batch_whose_start_is_refused_or_delayed_holds_up_no_other(harness: EngineHarness) -> None:
    requests = queue_runs(harness, 4)
    harness.target.refusals = iter([None, LaunchRejectedError("No."), LaunchDelayedError("Busy."), None])

    results = harness.launcher().launch_many(requests, SECONDS)

    assert decisions(results) == [
        Decision.LAUNCHED,
        Decision.FAILURE,
        Decision.DELAYED,
        Decision.LAUNCHED,
    ]
    assert statuses(harness) == [Status.STARTED, Status.FAILURE, Status.QUEUED, Status.STARTED]
    assert len(resent(harness)) == 1


def test_messages_of_a_batch_that_name_no_launchable_attempt_are_settled_by_themselves(
    harness: EngineHarness,
) -> None:
    requests = queue_runs(harness, 4)
    first, second, third, _ = (harness.tables.runs[each.run_id] for each in requests)
    harness.tables.runs[first.run_id] = replace(first, claim=Claim("another", NOON + 1_000))
    harness.tables.runs[second.run_id] = replace(second, attempt=2)
    harness.tables.runs[third.run_id] = replace(third, status=Status.CANCELED)
    unknown = LaunchRequest("unknown", 1, JOB)

    results = harness.launcher().launch_many([*requests, unknown], SECONDS)

    assert decisions(results) == [
        Decision.DELAYED,
        Decision.DUPLICATE,
        Decision.DUPLICATE,
        Decision.LAUNCHED,
        UnknownEventError,
    ]
    assert len(harness.target.starts) == 1


def test_attempt_with_a_pending_start_is_resolved_and_not_claimed_with_a_batch(
    harness: EngineHarness,
) -> None:
    """The pending start that is recorded must stay: what it may have started is found by it."""
    requests = queue_runs(harness, 2)
    run = harness.tables.runs[requests[0].run_id]
    earlier = PendingStart("earlier", NOON - 1, "arn:former", "step_functions")
    harness.tables.runs[run.run_id] = replace(run, pending_start=earlier)

    harness.launcher().launch_many(requests, SECONDS)

    assert {start.settings.arn for start in harness.target.starts} == {
        "arn:former",
        harness.jobs[JOB].arn,
    }


def test_run_that_others_change_before_it_is_claimed_is_judged_again(harness: EngineHarness) -> None:
    requests = queue_runs(harness, 3)
    run = harness.tables.runs[requests[1].run_id]

    def cancel() -> None:
        if run.run_id in canceled:
            canceled.remove(run.run_id)
            harness.runs.replace(replace(run, status=Status.CANCELED, next_at=None))

    canceled = {run.run_id}
    runs = CountingRuns(harness.tables, cancel)

    results = launcher_on(harness, runs).launch_many(requests, SECONDS)

    assert decisions(results) == [Decision.LAUNCHED, Decision.DUPLICATE, Decision.LAUNCHED]
    assert [start.run_id for start in harness.target.starts] == [requests[0].run_id, requests[2].run_id]
    assert runs.called == ["get_many", "replace_many of 3", "claim", "replace_many of 2"]


def test_run_that_ends_before_its_start_is_recorded_keeps_its_end(harness: EngineHarness) -> None:
    requests = queue_runs(harness, 2)

    def end() -> None:
        if "replace_many of 2" not in runs.called[:-1]:
            return  # The runs are only being claimed.
        run = harness.tables.runs[requests[0].run_id]
        harness.runs.replace(fold(run, Report(1, Status.SUCCESS, NOON)))

    runs = CountingRuns(harness.tables, end)

    results = launcher_on(harness, runs).launch_many(requests, SECONDS)

    assert decisions(results) == [Decision.LAUNCHED] * 2
    assert statuses(harness) == [Status.SUCCESS, Status.STARTED]
    first = harness.tables.runs[requests[0].run_id]
    assert (first.external_id, first.started_at) == (f"{harness.jobs[JOB].arn}:{first.run_id}-1", NOON)


def test_start_at_a_target_that_would_start_it_again_is_recorded_before_the_next_one(
    harness: EngineHarness,
) -> None:
    requests = queue_runs(harness, 3)
    target = harness.target = ProbingTarget(harness.clock, ANYTHING)
    started: list[int] = []
    target.probe = lambda _: started.append(statuses(harness).count(Status.STARTED))

    results = harness.launcher().launch_many(requests, SECONDS)

    assert decisions(results) == [Decision.LAUNCHED] * 3
    assert started == [0, 1, 2]


def test_process_that_dies_between_the_starts_of_a_batch_starts_nothing_twice(harness: EngineHarness) -> None:
    requests = queue_runs(harness, 3)
    target = harness.target = ProbingTarget(harness.clock)

    def die_at_the_second(_: Start) -> None:
        if len(target.starts) == 2:
            raise Killed

    target.probe = die_at_the_second
    with pytest.raises(Killed):
        harness.launcher().launch_many(requests, SECONDS)
    assert statuses(harness) == [Status.QUEUED] * 3

    target.probe = lambda _: None
    harness.clock.time = NOON + SECONDS * 1000 + TAKEOVER_MARGIN_MS + 1
    results = harness.launcher().launch_many(requests, SECONDS)

    assert decisions(results) == [Decision.LAUNCHED] * 3
    assert sorted(len(begun) for begun in target.begun.values()) == [1, 1, 1]


def test_slow_start_does_not_hold_up_the_record_of_the_others(
    harness: EngineHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("treadle.engine.launch.launcher.RECORD_WITHIN_SECONDS", 0.01)
    requests = queue_runs(harness, 3)
    target = harness.target = ProbingTarget(harness.clock)
    others = threading.Event()

    def wait_for_the_others(start: Start) -> None:
        if start.run_id == requests[0].run_id:
            assert others.wait(30)

    target.probe = wait_for_the_others

    class Runs(InMemoryRunStore):
        def replace_many(self, changes: Sequence[tuple[Run, Run]]) -> list[Run | Exception | None]:
            result = super().replace_many(changes)
            if statuses(harness).count(Status.STARTED) == 2:
                others.set()
            return result

    results = launcher_on(harness, Runs(harness.tables), workers=3).launch_many(requests, SECONDS)

    assert decisions(results) == [Decision.LAUNCHED] * 3
    assert statuses(harness) == [Status.STARTED] * 3


def test_store_that_does_not_answer_fails_each_message_and_starts_nothing(harness: EngineHarness) -> None:
    requests = queue_runs(harness, 2)

    class Runs(InMemoryRunStore):
        def get_many(self, run_ids: Collection[str]) -> dict[str, Run]:
            raise StoreThrottledError("Too much.")

    results = launcher_on(harness, Runs(harness.tables)).launch_many(requests, SECONDS)

    assert decisions(results) == [StoreThrottledError] * 2
    assert harness.target.starts == []


@pytest.mark.parametrize("at", [0, 1], ids=["claim", "record"])
def test_error_that_concerns_one_run_fails_its_message_alone(harness: EngineHarness, at: int) -> None:
    requests = queue_runs(harness, 3)
    calls: list[int] = []

    class Runs(InMemoryRunStore):
        def replace_many(self, changes: Sequence[tuple[Run, Run]]) -> list[Run | Exception | None]:
            calls.append(len(changes))
            if len(calls) != at + 1:
                return super().replace_many(changes)
            return [UnreadableRecordError("run r", "why"), *super().replace_many(changes[1:])]

    results = launcher_on(harness, Runs(harness.tables)).launch_many(requests, SECONDS)

    assert decisions(results) == [UnreadableRecordError, Decision.LAUNCHED, Decision.LAUNCHED]
    assert len(harness.target.starts) == 2 + at
