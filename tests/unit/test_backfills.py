"""Backfills in memory: which runs they start, how many at a time, and what each of an operator's commands does."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import JOB, NAMESPACE
from treadle.definitions.errors import CommandRefusedError, StoreError, StoreRejectedError
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.backfills.backfiller import (
    LOOK_MS,
    LOOKED_AT,
    PAUSED_MS,
    SLICE,
    Backfiller,
    BackfillProgress,
)
from treadle.engine.identity import RunIds
from treadle.engine.messages import BackfillRequest, LaunchRequest
from treadle.engine.publish.publisher import backfill_requests, statuses_reached
from treadle.engine.record.run_state import Report, fold
from treadle.model.backfills import (
    MAX_ATTEMPTS,
    Backfill,
    BackfillPartition,
    BackfillStatus,
    PartitionState,
    backfill_of,
)
from treadle.model.runs import Claim, Run
from treadle.model.targets import JobSettings
from treadle.operate.backfills import MAX_CONTENT_BYTES, BackfillChange, BackfillOperations
from treadle.operate.runs import RunOperations
from treadle.testing.backfills import InMemoryBackfillStore
from treadle.testing.faults import Faults, faulty
from treadle.testing.stores import InMemoryStores
from treadle.testing.system import InMemoryQueue, VirtualClock

RUN_IDS = RunIds.of(NAMESPACE)


class Deployment:
    """Stores, queues, and what advances and controls backfills."""

    def __init__(self) -> None:
        self.clock = VirtualClock()
        self.stores = InMemoryStores()
        self.launches, self.dispatches = InMemoryQueue(), InMemoryQueue()
        self.jobs = {JOB: JobSettings(JOB, "memory", "memory:load", "-")}
        runs = RunOperations(
            self.stores.runs, self.stores.sensors, self.launches, self.jobs, {}, RUN_IDS, self.clock
        )
        self.operations = BackfillOperations(
            self.stores.backfills, self.dispatches, self.jobs, runs, RUN_IDS, self.clock
        )
        self.backfiller = Backfiller(
            self.stores.backfills, self.stores.runs, self.launches, self.jobs, RUN_IDS, self.clock
        )

    def start(self, total: int = 3, **options: Any) -> str:
        return self.started(total, **options).backfill.name

    def started(self, total: int = 3, **options: Any) -> BackfillChange:
        partitions = [BackfillPartition(f"p{number}") for number in range(total)]
        return self.operations.start(JOB, partitions, "ada", **options)

    def advance(self, name: str, positions: "list[int] | None" = None) -> BackfillProgress:
        done = self.backfiller.advance(name, self.clock.now() + 60_000, positions)
        assert done is not None
        return done

    def get(self, name: str) -> Backfill:
        found = self.stores.backfills.get(name)
        assert found is not None
        return found

    def states(self, name: str) -> str:
        return self.get(name).states.decode()

    def run(self, name: str, position: int) -> Run:
        return self.stores.tables.runs[RUN_IDS.backfill(name, f"p{position}")]

    def runs(self) -> list[Run]:
        return list(self.stores.tables.runs.values())

    def end(self, name: str, *positions: int, status: Status = Status.SUCCESS) -> None:
        for position in positions:
            run = self.run(name, position)
            self.stores.runs.replace(fold(run, Report(run.attempt, status, self.clock.now())))


@pytest.fixture
def there() -> Deployment:
    return Deployment()


def test_runs_of_a_slice_are_created_25_at_a_time(there: Deployment) -> None:
    faults = Faults()
    runs = faulty(there.stores.runs, "RunStore", faults)
    backfiller = Backfiller(there.stores.backfills, runs, there.launches, there.jobs, RUN_IDS, there.clock)
    name = there.start(60)

    faults.run("DISPATCH", lambda: backfiller.advance(name, there.clock.now() + 60_000))

    assert [(call.method, call.size) for call in faults.calls] == [
        ("create_many", 25),
        ("create_many", 25),
        ("create_many", 10),
    ]
    assert len(there.runs()) == len(there.launches.messages) == 60


def test_each_partition_gets_one_run(there: Deployment) -> None:
    partitions = [BackfillPartition("a", {"dagster/partition/x": "a"}), BackfillPartition("b")]
    name = there.operations.start(
        JOB, partitions, "ada", run_config='{"n":1}', tags={"team": "t"}
    ).backfill.name

    done = there.advance(name)

    first, second = there.runs()
    assert done == BackfillProgress(created=2)
    assert first == Run(
        run_id=RUN_IDS.backfill(name, "a"),
        job=JOB,
        sensor="",
        run_key=None,
        tick_id=f"backfill/{name}/0",
        run_config='{"n":1}',
        tags={
            "team": "t",
            "dagster/partition/x": "a",
            "dagster/backfill": name,
            "dagster/partition": "a",
            "treadle/depth": "1",
        },
        created_at=there.clock.now(),
        partition_key="a",
        reached={"1/0": {"QUEUED": there.clock.now()}},
        next_at=there.clock.now() + 900_000,
    )
    assert (second.partition_key, second.tags["dagster/partition"]) == ("b", "b")
    assert [backfill_of(run) for run in (first, second)] == [(name, 0), (name, 1)]
    assert there.launches.drain() == [LaunchRequest.of(run).to_json() for run in (first, second)]
    assert there.get(name).shown_status is BackfillStatus.REQUESTED


def test_large_backfill_is_created_in_slices(there: Deployment) -> None:
    name = there.start(2 * SLICE + 5)

    there.advance(name)

    assert len(there.runs()) == 2 * SLICE + 5
    assert set(there.states(name)) == {"p"}


def test_time_that_runs_out_leaves_the_rest_to_the_next(there: Deployment) -> None:
    name = there.start(3 * SLICE)

    done = there.backfiller.advance(name, there.clock.now())

    assert done == BackfillProgress(created=0, is_complete=False)
    assert there.states(name).count("r") == SLICE
    assert there.advance(name).created == 3 * SLICE


def test_limit_bounds_the_runs_in_progress(there: Deployment) -> None:
    name = there.start(5, limit=2)

    there.advance(name)
    assert there.states(name) == "pp..."
    there.end(name, 1)
    done = there.advance(name, [1])

    assert there.states(name) == "psp.."
    assert (done.created, done.ended, len(there.runs())) == (1, 1, 3)


def test_report_of_ends_reads_no_other_run(there: Deployment) -> None:
    name = there.start(4, limit=2)
    there.advance(name)
    there.end(name, 0, 1)

    there.advance(name, [1])

    assert there.states(name) == "psp."


def test_look_finds_ends_that_nobody_reported(there: Deployment) -> None:
    name = there.start(4, limit=2)
    there.advance(name)
    there.end(name, 0, status=Status.FAILURE)
    there.end(name, 1, status=Status.CANCELED)

    there.advance(name)

    assert there.states(name) == "fcpp"
    assert there.get(name).next_at == there.clock.now() + LOOK_MS


@pytest.mark.many
def test_looks_read_a_part_of_many_runs_and_come_to_all(there: Deployment) -> None:
    name = there.start(2 * LOOKED_AT + 1)
    there.advance(name)
    there.end(name, *range(2 * LOOKED_AT + 1))

    first = there.advance(name)
    for _ in range(4):
        there.clock.advance(LOOK_MS)
        there.advance(name)

    assert 0 < first.ended <= LOOKED_AT
    assert there.get(name).shown_status is BackfillStatus.COMPLETED_SUCCESS


def test_end_of_all_runs_ends_the_backfill(there: Deployment) -> None:
    name = there.start(2)
    there.advance(name)
    there.end(name, 0)
    there.end(name, 1, status=Status.FAILURE)

    there.advance(name)

    ended = there.get(name)
    assert (ended.shown_status, ended.next_at) == (BackfillStatus.COMPLETED_FAILED, None)
    assert there.stores.backfills.unfinished(10) == []
    assert ended.counts()[PartitionState.FAILURE] == 1


def test_repeated_command_starts_nothing_twice(there: Deployment) -> None:
    first = there.started()
    there.clock.advance(1)
    there.advance(first.backfill.name)

    again = there.started()
    there.advance(again.backfill.name)

    assert (again.is_new, again.backfill.name) == (False, first.backfill.name)
    assert "exists already (REQUESTED)" in again.reason
    assert len(there.runs()) == 3


def test_again_makes_another_backfill_of_the_same_content(there: Deployment) -> None:
    first, second = there.started(), there.started(again=2)

    assert second.is_new
    assert second.backfill.name == f"{first.backfill.name}-2"
    for each in (first, second):
        there.advance(each.backfill.name)
    assert len(there.runs()) == 6


@pytest.mark.parametrize(
    "options",
    [{"total": 4}, {"run_config": '{"n":2}'}, {"tags": {"a": "b"}}],
    ids=["partitions", "config", "tags"],
)
def test_name_with_other_content_is_refused(there: Deployment, options: dict[str, Any]) -> None:
    there.start(name="may")

    with pytest.raises(CommandRefusedError, match="Backfill may exists with other content"):
        there.started(name="may", **options)
    assert there.started(**options).backfill.name != there.started().backfill.name


def test_limit_is_not_part_of_the_content(there: Deployment) -> None:
    there.start(name="may", limit=2)

    assert not there.started(name="may", limit=9).is_new
    assert there.get("may").limit == 2


def test_lost_answer_of_a_start_counts_as_its_own(there: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    create = InMemoryBackfillStore.create

    def sent_twice(store: InMemoryBackfillStore, *given: Any) -> Backfill | None:
        create(store, *given)
        return create(store, *given)

    monkeypatch.setattr(InMemoryBackfillStore, "create", sent_twice)

    assert there.started().is_new
    assert there.dispatches.drain() == [BackfillRequest(there.started().backfill.name).to_json()]


@pytest.mark.parametrize(
    ("partitions", "options", "problem"),
    [
        ([], {}, "1 to 100000 partitions, but 0"),
        (["a", "a"], {}, "given twice"),
        ([""], {}, "no valid length"),
        (["k" * 1_025], {}, "no valid length"),
        (["a"], {"name": "a b"}, "cannot name a backfill"),
        (["a"], {"run_config": json.dumps("x" * MAX_CONTENT_BYTES)}, "the limit is 50000"),
    ],
    ids=["none", "twice", "empty", "long", "name", "size"],
)
def test_invalid_backfill_is_refused(
    there: Deployment, partitions: list[str], options: dict[str, Any], problem: str
) -> None:
    with pytest.raises(CommandRefusedError, match=problem):
        there.operations.start(JOB, [BackfillPartition(key) for key in partitions], "ada", **options)
    assert there.stores.tables.backfills == {}


def test_unknown_job_is_refused(there: Deployment) -> None:
    with pytest.raises(CommandRefusedError, match="No job 'other' is registered"):
        there.operations.start("other", [BackfillPartition("a")], "ada")


def test_paused_backfill_starts_nothing_and_continues_when_resumed(there: Deployment) -> None:
    name = there.start(4, limit=1)
    there.advance(name)

    paused = there.operations.pause(name, "bob")
    there.end(name, 0)
    there.advance(name, [0])

    assert (paused.is_new, there.operations.pause(name, "bob").is_new) == (True, False)
    assert there.states(name) == "s..."
    assert there.get(name).shown_status is BackfillStatus.PAUSED
    assert there.get(name).next_at == there.clock.now() + PAUSED_MS
    assert there.stores.backfills.unfinished(10) == [name]

    there.operations.resume(name, "bob", limit=2)
    there.advance(name)

    assert there.states(name) == "spp."
    assert [(edit.by, edit.action) for edit in there.get(name).edits] == [
        ("ada", "started"),
        ("bob", "paused"),
        ("bob", "resumed"),
    ]


def test_canceled_backfill_cancels_what_waits_for_its_launch(there: Deployment) -> None:
    name = there.start(4, limit=2)
    there.advance(name)
    started = there.run(name, 0)
    there.stores.runs.replace(fold(started, Report(1, Status.STARTED, there.clock.now(), external_id="x")))

    assert there.operations.cancel(name, "bob").is_new
    assert not there.operations.cancel(name, "bob").is_new
    there.advance(name)

    assert there.states(name) == "pc.."
    assert there.get(name).shown_status is BackfillStatus.CANCELING
    assert there.run(name, 1).failure is not None
    there.end(name, 0)
    there.advance(name, [0])
    assert there.get(name).shown_status is BackfillStatus.CANCELED
    assert there.get(name).next_at is None
    with pytest.raises(CommandRefusedError, match=r"was canceled\. Start another"):
        there.operations.retry(name, "bob")
    with pytest.raises(CommandRefusedError, match="is CANCELED: there is nothing to resume"):
        there.operations.resume(name, "bob")


@pytest.mark.many
def test_cancellation_of_many_runs_stops_in_time_and_the_next_looks_continue(there: Deployment) -> None:
    name = there.start(2 * LOOKED_AT + 1)
    there.advance(name)
    there.operations.cancel(name, "bob")

    first = there.backfiller.advance(name, there.clock.now())

    assert first == BackfillProgress(ended=LOOKED_AT, is_complete=False)
    assert there.states(name).count("c") == LOOKED_AT
    assert there.get(name).next_at == there.clock.now() + LOOK_MS
    there.clock.advance(LOOK_MS / 1000)
    assert there.advance(name) == BackfillProgress(ended=LOOKED_AT + 1)
    assert there.get(name).shown_status is BackfillStatus.CANCELED


@pytest.mark.many
def test_cut_looks_at_a_canceled_backfill_come_to_all_its_runs(there: Deployment) -> None:
    """Runs that their targets have started stay in progress, and take the time of those that follow them."""
    name = there.start(2 * LOOKED_AT + 1)
    there.advance(name)
    for position in range(LOOKED_AT):
        started = Report(1, Status.STARTED, there.clock.now(), external_id="x")
        there.stores.runs.replace(fold(there.run(name, position), started))
    there.operations.cancel(name, "bob")

    for _ in range(5):
        there.backfiller.advance(name, there.clock.now())
        there.clock.advance(LOOK_MS / 1000)

    assert there.states(name) == "p" * LOOKED_AT + "c" * (LOOKED_AT + 1)


def test_cancel_that_meets_a_reservation_leaves_nothing_to_start(there: Deployment) -> None:
    """A slice that was paused after its reservation finds each run taken, and canceled."""
    name = there.start(2)
    reserved = replace(there.get(name), states=b"rr")
    there.stores.backfills.replace(reserved)
    there.operations.cancel(name, "bob")

    there.advance(name)

    assert [run.status for run in there.runs()] == [Status.CANCELED] * 2
    assert there.states(name) == "cc"


def test_runs_of_a_canceled_backfill_can_be_canceled(there: Deployment) -> None:
    name = there.start(3)
    there.advance(name)
    there.stores.runs.replace(replace(there.run(name, 1), claim=Claim("t", there.clock.now() + 1)))
    with pytest.raises(CommandRefusedError, match=r"is REQUESTED\. Cancel it first"):
        there.operations.cancel_runs(name, "bob")
    there.operations.cancel(name, "bob")

    found = there.operations.cancel_runs(name, "bob")

    assert found.requested == 2
    assert list(found.refused) == [there.run(name, 1).run_id]


def test_retry_starts_the_next_attempt_of_what_failed(there: Deployment) -> None:
    name = there.start(3)
    there.advance(name)
    there.end(name, 0)
    there.end(name, 1, status=Status.FAILURE)
    there.end(name, 2, status=Status.CANCELED)
    there.advance(name)

    retried, pressed_again = there.operations.retry(name, "bob"), there.operations.retry(name, "bob")
    there.advance(name)

    assert retried.reason == f"2 runs of backfill {name} start again."
    assert (pressed_again.is_new, pressed_again.reason) == (False, "Nothing failed.")
    assert [there.run(name, each).attempt for each in range(3)] == [1, 2, 2]
    assert there.run(name, 1).allowances[0].by == f"backfill {name}"
    assert there.states(name) == "spp"
    there.end(name, 1, 2)
    there.advance(name)
    assert there.get(name).shown_status is BackfillStatus.COMPLETED_SUCCESS


def test_retry_whose_attempt_was_created_before_a_crash_creates_no_other(there: Deployment) -> None:
    name = there.start(1)
    there.advance(name)
    there.end(name, 0, status=Status.FAILURE)
    there.advance(name)
    there.operations.retry(name, "bob")
    before = there.get(name)
    there.advance(name)
    there.end(name, 0, status=Status.FAILURE)
    # As if the slice had died before it noted the attempt that it created, which failed since.
    there.stores.tables.backfills[name] = replace(before, states=b"r")

    there.advance(name)

    assert (there.run(name, 0).attempt, there.states(name)) == (2, "f")


def test_attempt_that_an_operator_started_counts(there: Deployment) -> None:
    name = there.start(1)
    there.advance(name)
    there.end(name, 0, status=Status.FAILURE)
    there.advance(name)
    there.operations._runs.rerun(there.run(name, 0).run_id, "bob")
    there.end(name, 0, status=Status.FAILURE)
    there.advance(name, [0])

    there.operations.retry(name, "bob")
    there.advance(name)

    assert (there.run(name, 0).attempt, there.states(name)) == (3, "p")


def test_retry_of_a_run_that_goes_on_starts_nothing(there: Deployment) -> None:
    name = there.start(1)
    there.advance(name)
    there.end(name, 0, status=Status.FAILURE)
    there.advance(name)
    there.operations.retry(name, "bob")
    revived = fold(there.run(name, 0), Report(1, Status.STARTED, there.clock.now(), retry=1))
    there.stores.runs.replace(revived)

    there.advance(name)

    assert (there.run(name, 0).attempt, there.states(name)) == (1, "p")


def test_report_after_a_retry_keeps_the_partition_waiting(there: Deployment) -> None:
    name = there.start(2, limit=1)
    there.advance(name)
    there.end(name, 0, status=Status.FAILURE)
    there.advance(name, [0])
    there.operations.retry(name, "bob")
    revived = replace(there.get(name), attempts=b"\x01\x01")
    there.stores.backfills.replace(revived)

    there.advance(name, [0])

    assert there.states(name) == ".p"


def test_run_that_its_policy_retries_has_not_ended(there: Deployment) -> None:
    name = there.start(2, limit=1)
    there.advance(name)
    failed = fold(there.run(name, 0), Report(1, Status.FAILURE, there.clock.now()))
    there.stores.tables.runs[failed.run_id] = replace(failed, retry_at=there.clock.now() + 60_000)

    there.advance(name, [0])

    assert there.states(name) == "p."


def test_partition_beyond_the_last_attempt_is_not_retried(there: Deployment) -> None:
    name = there.start(1)
    there.stores.backfills.replace(
        replace(there.get(name), states=b"f", attempts=bytes([MAX_ATTEMPTS]), next_at=None)
    )

    assert not there.operations.retry(name, "bob").is_new


def test_write_of_an_operator_in_between_is_never_overwritten(
    there: Deployment, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = there.start(3, limit=1)
    store = InMemoryBackfillStore.replace

    def late(self: InMemoryBackfillStore, backfill: Backfill) -> Backfill | None:
        monkeypatch.setattr(InMemoryBackfillStore, "replace", store)
        there.operations.pause(name, "bob")
        return store(self, backfill)

    monkeypatch.setattr(InMemoryBackfillStore, "replace", late)

    there.advance(name)

    assert (there.runs(), there.states(name)) == ([], "...")
    assert there.get(name).status is BackfillStatus.PAUSED


def test_report_leaves_a_reservation_to_who_made_it(there: Deployment) -> None:
    name = there.start(4, limit=3)
    there.advance(name)
    there.end(name, 0)
    before = there.get(name)
    there.stores.tables.backfills[name] = replace(before, states=b"ppr.", next_at=7)
    created = len(there.runs())

    there.advance(name, [0])

    assert (there.states(name), len(there.runs())) == ("spr.", created)
    assert there.get(name).next_at == 7  # So RECONCILE takes over when it would have.


def test_report_of_nothing_new_writes_nothing(there: Deployment) -> None:
    name = there.start(2)
    there.advance(name)
    before = there.get(name)
    there.clock.advance(5)

    assert there.advance(name, [0, 1, 99]) == BackfillProgress()
    assert there.get(name) == before


def test_job_that_is_gone_blocks_the_backfill_until_it_is_back(there: Deployment) -> None:
    name = there.start(2)
    settings = there.jobs.pop(JOB)

    blocked = there.advance(name)

    assert blocked.problem is not None
    assert "No job 'load' is registered" in blocked.problem.replace(JOB, "load")
    assert there.get(name).problem == blocked.problem
    there.jobs[JOB] = settings
    assert there.advance(name) == BackfillProgress(created=2)
    assert there.get(name).problem is None


def test_run_that_cannot_be_stored_fails_alone(there: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    name = there.start(3)
    create = type(there.stores.runs).create

    def rejecting(store: Any, run: Run) -> Run | None:
        if run.partition_key == "p1":
            raise StoreRejectedError("Item size has exceeded the maximum allowed size")
        return create(store, run)

    monkeypatch.setattr(type(there.stores.runs), "create", rejecting)

    there.advance(name)

    assert there.states(name) == "pfp"


def test_command_whose_message_is_lost_says_so(there: Deployment, monkeypatch: pytest.MonkeyPatch) -> None:
    name = there.start(2)

    def lost(*_: object, **__: object) -> None:
        raise StoreError("SQS did not answer.")

    monkeypatch.setattr(InMemoryQueue, "send", lost)

    with pytest.raises(StoreError, match="is recorded, and RECONCILE continues in a minute; but: SQS did"):
        there.operations.pause(name, "bob")
    assert there.get(name).status is BackfillStatus.PAUSED


def test_ends_of_runs_are_reported_by_backfill(there: Deployment) -> None:
    first, second = there.start(3), there.start(2)
    for name in (first, second):
        there.advance(name)
        there.end(name, 0, 1)
    changes = [change for run in there.runs() for change in statuses_reached(run)]

    assert backfill_requests(changes) == [BackfillRequest(first, (0, 1)), BackfillRequest(second, (0, 1))]


def test_details_show_failed_runs_first(there: Deployment) -> None:
    name = there.start(4, limit=3)
    there.advance(name)
    there.end(name, 1, status=Status.FAILURE)
    there.advance(name, [1])

    found = there.operations.details(name)

    assert [(run.partition_key, run.state.name) for run in found.runs] == [
        ("p1", "FAILURE"),
        ("p0", "IN_PROGRESS"),
        ("p2", "IN_PROGRESS"),
        ("p3", "IN_PROGRESS"),
    ]
    assert found.runs[0].run_id == there.run(name, 1).run_id
    with pytest.raises(CommandRefusedError, match="'nope' does not exist"):
        there.operations.details("nope")


def test_run_of_a_sensor_is_never_mistaken_for_one_of_a_backfill() -> None:
    run = Run("r", JOB, "watch", None, "backfill/may/0", "{}", {"dagster/backfill": "may"}, 0)

    assert backfill_of(run) is None
    assert backfill_of(replace(run, sensor="")) == ("may", 0)
    assert backfill_of(replace(run, sensor="", tick_id="")) is None
