"""What becomes of a run of a job that has as many runs in progress as its limit, in the engine in memory."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from treadle import JobDefinition, RetryPolicy, RunRequest, SensorEvaluationContext, sensor
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    LaunchDelayedError,
    LaunchDeniedError,
    LaunchUncertainError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import RunIds
from treadle.engine.pools import granter
from treadle.engine.pools.granter import Granter
from treadle.engine.record.external_runs import observed_run
from treadle.engine.record.pool_slots import with_wait
from treadle.engine.record.run_state import Report, fold
from treadle.model.pools import Overlap
from treadle.model.runs import Failure, Run
from treadle.model.targets import Execution
from treadle.operate.explanation import describe_run
from treadle.operate.pools import PoolOperations
from treadle.operate.runs import RunOperations
from treadle.testing import Pool, TreadleInstance
from treadle.testing.system import InMemoryQueue

load = JobDefinition("load")
retried = JobDefinition("load", retry_policy=RetryPolicy(max_retries=1, delay=60))


class Requests:
    """A sensor that requests the runs that a test adds.

    Attributes:
        instance: the engine.
    """

    def __init__(self, *pools: Pool, job: JobDefinition = load, retries_per_key: int = 0) -> None:
        self._next: list[RunRequest] = []

        @sensor(job=job, minimum_interval_seconds=1, retries_per_key=retries_per_key)
        def watch(context: SensorEvaluationContext) -> Iterator[RunRequest]:
            del context
            yield from self._next

        self.instance = TreadleInstance([watch], pools=pools)
        self.stores = self.instance._stores

    def request(self, *keys: str, **tags: str) -> None:
        """Request runs with these keys, in one tick."""
        self._next = [RunRequest(key, run_config={"key": key}, tags=tags) for key in keys]
        self.instance.clock.advance(2)
        self.instance.tick("watch")

    def __getitem__(self, key: str) -> Run:
        [run] = self.instance.runs(lambda run: run.run_key == key)
        return run

    def finish(self, key: str, status: Status = Status.SUCCESS) -> None:
        self.instance.finish_run(self[key], status)

    def rerun(self, key: str) -> None:
        """Start a run again, as an operator does."""
        self.instance.clock.advance(1)
        stores, run_ids = self.stores, RunIds.of(self.instance.namespace)
        launches = self.instance._launches
        RunOperations(stores.runs, stores.sensors, launches, {}, {}, run_ids, self.instance.clock).rerun(
            self[key].run_id, "ann"
        )
        self.instance._launch()

    def limit(self, pool: str, limit: int) -> None:
        """Set a limit, as an operator does."""
        self.stores.pools.set_override(pool, limit, "ann", self.instance.clock.now())
        self.instance._launch()

    def minute(self) -> None:
        """Let a minute pass, and RECONCILE check everything."""
        self.instance.clock.advance(61)
        self.instance.reconcile()

    def statuses(self) -> dict[str, str]:
        return {str(run.run_key): run.status.value for run in self.instance.runs()}

    def reason(self, key: str) -> tuple[str, str]:
        failure = self[key].failure
        assert failure is not None
        return failure.error, failure.cause


def limited(overlap: str, limit: int = 1) -> Pool:
    return Pool("job:load", limit, overlap=overlap)


FIFTY = [f"r{number:02}" for number in range(50)]


def test_queued_runs_start_one_after_the_other() -> None:
    runs = Requests(limited("QUEUE"))
    runs.request("first")
    runs.request(*FIFTY)

    started = []
    for _ in range(51):
        [key] = [key for key, status in runs.statuses().items() if status == "STARTED"]
        started.append(key)
        runs.finish(key)

    assert started == ["first", *FIFTY]


def test_runs_are_skipped_while_one_is_in_progress() -> None:
    runs = Requests(limited("SKIP"))
    runs.request("first")
    runs.request(*FIFTY)

    assert runs.statuses() == {"first": "STARTED", **dict.fromkeys(FIFTY, "CANCELED")}
    error, cause = runs.reason("r07")
    assert error == "RunSkippedError"
    assert cause.startswith(
        f"Run {runs['first'].run_id} is in progress, and the overlap of job load is SKIP."
    )

    runs.finish("first")
    runs.request("next")
    assert runs.statuses()["next"] == "STARTED"


def test_skipped_run_names_one_of_several() -> None:
    runs = Requests(limited("SKIP", 2))
    runs.request("a", "b", "c")

    assert runs.statuses() == {"a": "STARTED", "b": "STARTED", "c": "CANCELED"}
    assert runs.reason("c")[1].startswith(f"2 runs are in progress, such as {runs['a'].run_id}, and ")


def test_latest_run_replaces_those_that_wait() -> None:
    runs = Requests(limited("LATEST"))
    runs.request("first")
    runs.request(*FIFTY)
    waiting = dict.fromkeys(FIFTY[:-1], "CANCELED") | {"r49": "QUEUED"}
    assert runs.statuses() == {"first": "STARTED", **waiting}
    assert runs.reason("r07")[0] == "RunReplacedError"
    assert runs.reason("r07")[1].startswith(f"Run {runs['r49'].run_id} was requested later")

    runs.request("last")
    assert runs.statuses()["r49"] == "CANCELED"

    runs.finish("first")
    assert runs.statuses() == {"first": "SUCCESS", **dict.fromkeys(FIFTY, "CANCELED"), "last": "STARTED"}
    assert runs["last"].run_config == '{"key":"last"}'
    assert "r49" not in {key for key, status in runs.statuses().items() if status != "CANCELED"}


def test_latest_is_by_request_and_not_by_priority() -> None:
    runs = Requests(limited("LATEST"))
    runs.request("first")
    runs.request("urgent", **{"dagster/priority": "10"})
    runs.request("low", **{"dagster/priority": "-1"})
    assert runs.statuses() == {"first": "STARTED", "urgent": "CANCELED", "low": "QUEUED"}

    runs.request("last", **{"dagster/priority": "1"})

    assert runs.statuses()["low"] == "CANCELED"
    assert runs["last"].status is Status.QUEUED


def test_newest_runs_start_as_many_as_there_are_free_slots() -> None:
    runs = Requests(limited("LATEST", 2))
    runs.request("a", "b", "c")

    assert runs.statuses() == {"a": "CANCELED", "b": "STARTED", "c": "STARTED"}


def test_canceled_run_makes_room_for_the_latest() -> None:
    runs = Requests(limited("CANCEL"))
    runs.request("first")
    runs.request(*FIFTY)
    waiting = dict.fromkeys(FIFTY[:-1], "CANCELED") | {"r49": "QUEUED"}
    assert runs.statuses() == {"first": "STARTED", **waiting}

    runs.minute()

    assert runs.statuses() == {
        "first": "CANCELED",
        **dict.fromkeys(FIFTY[:-1], "CANCELED"),
        "r49": "STARTED",
    }
    error, cause = runs.reason("first")
    assert error == "RunReplacedError"
    assert cause.startswith(
        f"Run {runs['r49'].run_id} was requested later, and the overlap of job load is CANCEL."
    )


def test_run_that_succeeds_before_it_is_canceled_is_a_success() -> None:
    runs = Requests(limited("CANCEL"))
    runs.request("first")
    runs.request("second")

    runs.finish("first")

    assert runs.statuses() == {"first": "SUCCESS", "second": "STARTED"}
    assert runs["first"].failure is None


def test_only_as_many_are_canceled_as_keep_the_latest_from_starting() -> None:
    runs = Requests(limited("CANCEL", 2))
    runs.request("a")
    runs.request("b")
    runs.request("c")
    runs.minute()
    runs.minute()

    assert runs.statuses() == {"a": "CANCELED", "b": "STARTED", "c": "STARTED"}


def test_later_request_cancels_nothing_more() -> None:
    runs = Requests(limited("CANCEL"))
    runs.request("first")
    runs.request("second")
    runs.request("third")

    assert runs.statuses() == {"first": "STARTED", "second": "CANCELED", "third": "QUEUED"}
    assert len(runs["first"].cancellations) == 1


def test_refused_cancellation_is_counted_and_repeated() -> None:
    runs = Requests(limited("CANCEL"))
    runs.request("first")
    runs.request("second")
    runs.instance.target.unassumed[""] = LaunchDeniedError("no permission")
    found = runs.instance._reconciler.reconcile(60.0)
    assert (found.not_canceled, found.timed_out) == (1, 0)
    assert runs["first"].cancellations[0].refused == "no permission"
    assert runs.statuses() == {"first": "STARTED", "second": "QUEUED"}

    runs.instance.target.unassumed.clear()
    runs.minute()

    assert runs.statuses() == {"first": "CANCELED", "second": "STARTED"}


@pytest.mark.parametrize("overlap", ["SKIP", "LATEST", "CANCEL"])
def test_run_that_gave_way_keeps_its_key(overlap: str) -> None:
    runs = Requests(limited(overlap), retries_per_key=3)
    runs.request("first")
    runs.request("a", "b")
    runs.finish("first", Status.CANCELED if overlap == "CANCEL" else Status.SUCCESS)
    if overlap != "SKIP":
        runs.finish("b")

    runs.request("a")

    assert runs["a"].status is Status.CANCELED
    assert runs["a"].attempt == 1


@pytest.mark.parametrize("overlap", ["SKIP", "LATEST", "CANCEL"])
def test_rerun_waits_again(overlap: str) -> None:
    runs = Requests(limited(overlap))
    runs.request("first")
    runs.request("a", "b")

    runs.rerun("a")
    assert (runs["a"].status, runs["a"].waiting is not None) == (Status.QUEUED, True)
    runs.finish("first", Status.CANCELED if overlap == "CANCEL" else Status.SUCCESS)

    assert runs["a"].status is Status.STARTED
    assert runs["b"].status is Status.CANCELED


@pytest.mark.parametrize("overlap", ["SKIP", "LATEST"])
def test_run_that_waits_for_its_retry_is_in_progress(overlap: str) -> None:
    runs = Requests(limited(overlap), job=retried)
    runs.request("first")
    runs.finish("first", Status.FAILURE)
    assert [slot.attempt for slot in runs["first"].slots] == [1]

    runs.request("second")
    assert runs["second"].status is (Status.CANCELED if overlap == "SKIP" else Status.QUEUED)

    runs.minute()
    first = runs["first"]
    assert (first.status, first.attempt, [slot.attempt for slot in first.slots]) == (Status.STARTED, 2, [2])

    runs.finish("first", Status.FAILURE)
    assert runs["first"].slots == ()
    assert runs["second"].status is (Status.CANCELED if overlap == "SKIP" else Status.STARTED)


def test_run_that_waits_for_its_retry_is_canceled_at_once() -> None:
    runs = Requests(limited("CANCEL"), job=retried)
    runs.request("first")
    runs.finish("first", Status.FAILURE)

    runs.request("second")

    assert runs.statuses() == {"first": "CANCELED", "second": "STARTED"}
    assert runs.reason("first")[0] == "RunReplacedError"


def test_rerun_before_the_retry_keeps_the_slot() -> None:
    runs = Requests(limited("LATEST"), job=retried)
    runs.request("first")
    runs.finish("first", Status.FAILURE)
    runs.request("second")

    runs.rerun("first")

    assert runs.statuses() == {"first": "STARTED", "second": "QUEUED"}


def test_queued_retry_returns_its_slot() -> None:
    runs = Requests(limited("QUEUE"), job=retried)
    runs.request("first", "second")
    runs.finish("first", Status.FAILURE)

    assert runs["second"].status is Status.STARTED


@pytest.mark.parametrize("overlap", ["SKIP", "LATEST", "CANCEL"])
def test_nothing_gives_way_in_a_paused_pool_but_older_requests(overlap: str) -> None:
    runs = Requests(limited(overlap))
    runs.request("first")
    runs.limit("job:load", 0)
    runs.request("a", "b")
    runs.minute()

    assert runs["first"].status is Status.STARTED
    assert runs["b"].status is Status.QUEUED
    assert runs["a"].status is (Status.QUEUED if overlap == "SKIP" else Status.CANCELED)


@pytest.mark.parametrize("overlap", ["LATEST", "CANCEL"])
def test_only_the_latest_waits_for_another_pool(overlap: str) -> None:
    other = Pool("all", 1, all_jobs=True)
    runs = Requests(limited(overlap), other, job=JobDefinition("load"))
    runs.limit("all", 0)
    runs.request("a")
    wait = runs["a"].waiting
    assert wait is not None
    assert wait.pool == "all"

    runs.request("b")
    assert runs.statuses() == {"a": "CANCELED", "b": "QUEUED"}

    runs.limit("all", 1)
    assert runs.statuses() == {"a": "CANCELED", "b": "STARTED"}


@pytest.mark.parametrize("overlap", ["LATEST", "CANCEL"])
def test_run_that_waits_elsewhere_since_before_the_overlap_is_judged_first(overlap: str) -> None:
    other = Pool("all", 1, all_jobs=True)
    runs = Requests(limited("QUEUE"), other)
    runs.limit("all", 0)
    runs.request("a")
    runs.stores.pools.declare([limited(overlap).state], ())
    runs.request("b")
    runs.limit("all", 1)

    assert runs.statuses() == {"a": "CANCELED", "b": "STARTED"}


def test_overlap_is_for_the_pool_of_one_job() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"Name it job:<name of the job>\."):
        Pool("warehouse", 1, overlap=Overlap.SKIP)
    with pytest.raises(DagsterInvalidDefinitionError, match="Use one of: QUEUE, SKIP, LATEST, CANCEL"):
        Pool("job:load", 1, overlap="NEWEST")


def add(runs: Requests, key: str, requested_at: int) -> Run:
    """Create a run as DISPATCH does that was requested at another time, and let the engine look at it."""
    run = create(runs, key, requested_at)
    runs.instance._launch()
    return run


def create(runs: Requests, key: str, requested_at: int) -> Run:
    """Create a run that waits."""
    instance = runs.instance
    run = Run(f"run-{key}", "load", "watch", key, "t", "{}", {}, instance.clock.now(), pools=("job:load",))
    waiting = with_wait(run, requested=(requested_at, 0))
    assert runs.stores.runs.create(waiting) is None
    return waiting


@pytest.mark.parametrize("overlap", ["LATEST", "CANCEL"])
@pytest.mark.parametrize("has_ended", [False, True])
def test_older_run_that_arrives_late_is_replaced(overlap: str, has_ended: bool) -> None:
    runs = Requests(limited(overlap))
    before = runs.instance.clock.now()
    runs.request("newer")
    if has_ended:
        runs.finish("newer")

    add(runs, "late", before)

    assert runs.statuses() == {"newer": "SUCCESS" if has_ended else "STARTED", "late": "CANCELED"}
    assert runs["newer"].cancellations == ()
    assert runs.reason("late")[1].startswith(f"Run {runs['newer'].run_id} was requested later")


def test_skipped_request_that_arrives_late_starts_if_no_run_is_in_progress() -> None:
    runs = Requests(limited("SKIP"))
    before = runs.instance.clock.now()
    runs.request("newer")
    runs.finish("newer")

    add(runs, "late", before)

    assert runs["late"].status is Status.STARTED


def test_run_that_treadle_did_not_start_is_not_canceled() -> None:
    runs = Requests(limited("CANCEL"))
    now = runs.instance.clock.now()
    execution = Execution("arn:other", "arn", Status.STARTED, now)
    other = observed_run("observed", "load", execution, now, ("job:load",))
    assert runs.stores.runs.create(other) is None

    runs.request("first")
    runs.minute()

    assert runs["first"].status is Status.QUEUED
    assert runs.stores.runs.get("observed").cancellations == ()  # type: ignore[union-attr]


def test_run_that_is_being_started_is_canceled_once_it_has_started() -> None:
    runs = Requests(limited("CANCEL"))
    runs.instance.target.refusal = LaunchUncertainError("no answer")
    runs.request("first")
    assert runs["first"].pending_start is not None

    runs.request("second")
    assert runs.statuses() == {"first": "QUEUED", "second": "QUEUED"}
    assert len(runs["first"].cancellations) == 1

    runs.instance.target.refusal = None
    runs.instance.clock.advance(120)
    runs.instance._launch()
    assert runs["first"].status is Status.STARTED
    runs.minute()

    assert runs.statuses() == {"first": "CANCELED", "second": "STARTED"}


def test_run_that_has_not_been_sent_to_its_target_is_canceled_at_once() -> None:
    runs = Requests(limited("CANCEL"))
    runs.instance.target.refusal = LaunchDelayedError("throttled")
    runs.request("first")
    assert runs["first"].slots

    runs.request("second")
    assert runs.statuses() == {"first": "CANCELED", "second": "QUEUED"}
    runs.instance.target.refusal = None
    runs.instance._launch()

    assert runs["second"].status is Status.STARTED
    assert runs.reason("first")[0] == "RunReplacedError"


def test_execution_that_somebody_cancels_receives_no_second_request() -> None:
    runs = Requests(limited("CANCEL"))
    runs.request("first")
    first = runs["first"]
    canceling = fold(first, Report(1, Status.CANCELING, runs.instance.clock.now()))
    assert runs.stores.runs.replace(canceling, first) is None

    runs.request("second")

    assert runs["first"].cancellations == ()
    runs.finish("first", Status.CANCELED)
    assert runs["second"].status is Status.STARTED


def test_slot_in_doubt_counts_as_in_progress() -> None:
    runs = Requests(limited("SKIP"))
    runs.request("first")
    first = runs["first"]
    failure = Failure("LaunchOutcomeUnknownError", "It may have started.", assumed=True)
    ended = fold(first, Report(1, Status.FAILURE, runs.instance.clock.now(), failure=failure))
    assert runs.stores.runs.replace(ended, first) is None

    runs.request("second")

    assert (runs["first"].status, runs["second"].status) == (Status.FAILURE, Status.CANCELED)


def test_retry_from_before_the_overlap_waits_and_replaces_nothing() -> None:
    runs = Requests(limited("QUEUE"), job=retried)
    runs.request("first", "second", "third")
    runs.stores.pools.declare([limited("LATEST").state], ())
    runs.finish("first", Status.FAILURE)
    assert runs.statuses() == {"first": "FAILURE", "second": "CANCELED", "third": "STARTED"}

    runs.minute()
    runs.request("fourth")
    assert (runs["first"].status, runs["fourth"].status) == (Status.QUEUED, Status.QUEUED)
    runs.finish("third")
    assert (runs["first"].status, runs["fourth"].status) == (Status.STARTED, Status.QUEUED)
    runs.finish("first")

    assert runs["fourth"].status is Status.STARTED


def test_runs_of_a_long_queue_are_replaced_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(granter, "MAX_COUNTED", 10)
    runs = Requests(limited("LATEST"))
    runs.request("first")
    runs.limit("job:load", 0)
    runs.request(*FIFTY)

    runs.limit("job:load", 1)

    assert runs.statuses() == {
        "first": "STARTED", **dict.fromkeys(FIFTY[:-1], "CANCELED"), "r49": "QUEUED",
    }  # fmt: skip


def test_canceled_runs_are_seen_by_status_sensors_and_are_no_failures() -> None:
    runs = Requests(limited("SKIP"))
    runs.request("first")
    runs.request("second")

    ended = [event for event in runs.instance.run_status_events() if event.status.is_finished]

    assert [(event.run.run_id, event.status) for event in ended] == [(runs["second"].run_id, Status.CANCELED)]


def test_why_names_the_run_that_is_canceled_first() -> None:
    runs = Requests(limited("CANCEL"))
    runs.request("first")
    runs.request("second")
    pools = PoolOperations(runs.stores.pools, runs.stores.runs, InMemoryQueue(), dict, runs.instance.clock)

    def why() -> str:
        return describe_run(runs["second"], runs.instance.clock.now(), pools.waits(runs["second"]))

    first = runs["first"].run_id
    assert f"Run {first} is canceled first: this one starts when its target has reported the end." in why()
    assert why().endswith("A later request replaces it, as the overlap of its job is CANCEL.")

    runs.instance.target.unassumed[""] = LaunchDeniedError("no permission")
    runs.instance._reconciler.reconcile(60.0)

    assert f"Run {first} is to be canceled first, and its target refuses that: no permission." in why()


class Interrupted:
    """A store during whose calls of one method something else happens.

    Args:
        store: the store.
        method: the method's name.
        events: what happens at each call, before or after it; None for nothing.
    """

    def __init__(self, store: object, method: str, *events: Callable[[], object] | None) -> None:
        self._store, self._method, self._events = store, method, iter(events)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name) if name != self._method else self._call

    def _call(self, *arguments: object) -> object:
        event = next(self._events, None)
        if self._method == "set_latest" and event is not None:
            event()
            event = None
        answer = getattr(self._store, self._method)(*arguments)
        if event is not None:
            event()
        return answer


def grant(runs: Requests, *, pools: Any = None, records: Any = None) -> None:
    """Let another process grant the slots of the job."""
    stores, clock = runs.stores, runs.instance.clock
    process = Granter(pools or stores.pools, records or stores.runs, InMemoryQueue(), clock)
    process.grant("job:load", clock.now() + 60_000)


def succeed(runs: Requests, key: str) -> None:
    """Record the success of a run, and nothing else."""
    run = runs[key]
    ended = fold(run, Report(1, Status.SUCCESS, runs.instance.clock.now()))
    assert runs.stores.runs.replace(ended, run) is None


def test_run_is_not_granted_if_a_newer_one_was_named_meanwhile() -> None:
    runs = Requests(limited("LATEST"))
    runs.request("first")
    now, stores = runs.instance.clock.now(), runs.stores
    stores.pools.set_override("job:load", 2, "ann", now)
    create(runs, "second", now + 1)

    def other_process() -> None:
        """Name a third run, and die."""
        third = create(runs, "third", now + 2)
        assert third.waiting is not None
        assert stores.pools.set_latest("job:load", third.waiting.age, stores.pools.latest("job:load"))

    grant(runs, pools=Interrupted(stores.pools, "set_latest", other_process))

    assert runs.statuses() == {"first": "STARTED", "second": "CANCELED", "third": "QUEUED"}
    assert [slot.number for slot in runs["third"].slots] == [2]


def test_run_that_joins_the_queue_while_slots_are_read_is_not_skipped() -> None:
    runs = Requests(limited("SKIP"))
    runs.request("first")
    now = runs.instance.clock.now()
    create(runs, "second", now + 1)

    def others() -> None:
        succeed(runs, "first")
        create(runs, "third", now + 2)

    grant(runs, pools=Interrupted(runs.stores.pools, "holders", None, others))

    assert runs.statuses() == {"first": "SUCCESS", "second": "CANCELED", "third": "QUEUED"}


def test_run_that_was_granted_a_slot_meanwhile_does_not_give_way() -> None:
    runs = Requests(limited("SKIP"))
    runs.request("first")
    create(runs, "second", runs.instance.clock.now() + 1)

    def others() -> None:
        succeed(runs, "first")
        runs.instance._launch()

    grant(runs, records=Interrupted(runs.stores.runs, "get_many", others))

    assert runs.statuses() == {"first": "SUCCESS", "second": "STARTED"}


def test_run_that_another_process_has_granted_a_slot_is_not_canceled_for_itself() -> None:
    runs = Requests(limited("CANCEL"))
    runs.limit("job:load", 0)
    add(runs, "first", runs.instance.clock.now())
    runs.stores.pools.set_override("job:load", None, "ann", 0)

    grant(runs, records=Interrupted(runs.stores.runs, "get_many", runs.instance._launch))

    assert runs.statuses() == {"first": "STARTED"}
    assert runs["first"].cancellations == ()


def test_run_is_not_canceled_for_the_slot_in_doubt_of_its_earlier_attempt() -> None:
    runs = Requests(limited("CANCEL"), retries_per_key=1)
    runs.request("first")
    first = runs["first"]
    failure = Failure("LaunchOutcomeUnknownError", "It may have started.", assumed=True)
    ended = fold(first, Report(1, Status.FAILURE, runs.instance.clock.now(), failure=failure))
    assert runs.stores.runs.replace(ended, first) is None

    runs.request("first")
    runs.minute()

    again = runs["first"]
    assert (again.status, again.attempt, again.cancellations) == (Status.QUEUED, 2, ())
    assert again.waiting is not None


def test_no_tag_puts_a_run_into_the_pool_of_another_job() -> None:
    runs = Requests(limited("SKIP"), job=JobDefinition("clean"))
    runs.request("a", "b", **{"dagster/concurrency_key": "job:load"})

    assert runs.statuses() == {"a": "STARTED", "b": "STARTED"}
