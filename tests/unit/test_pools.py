"""Concurrency pools, in the engine in memory: who starts, who waits, and who starts next."""

from collections.abc import Sequence

import pytest

from treadle import JobDefinition, RunRequest, SensorEvaluationContext, sensor
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Run
from treadle.testing import Pool, TreadleInstance

load, clean = JobDefinition("load"), JobDefinition("clean")


def requester(*requests: RunRequest, jobs: Sequence[JobDefinition] = (load, clean)) -> SensorDefinition:
    """Return a sensor that returns one of these batches of requests at its first tick."""

    @sensor(jobs=jobs)
    def watch(context: SensorEvaluationContext) -> list[RunRequest]:
        return list(requests)

    return watch


def request(key: str, job: str = "load", **tags: str) -> RunRequest:
    return RunRequest(
        key, job_name=job, tags={name.replace("__", "/"): value for name, value in tags.items()}
    )


def keys(instance: TreadleInstance, status: Status) -> list[str | None]:
    return [run.run_key for run in instance.runs(lambda run: run.status is status)]


def run_of(instance: TreadleInstance, key: str) -> Run:
    [run] = instance.runs(lambda run: run.run_key == key)
    return run


def finish(instance: TreadleInstance, key: str, status: Status = Status.SUCCESS) -> None:
    instance.finish_run(run_of(instance, key), status)


def test_third_waits_and_starts_when_one_of_the_first_ends() -> None:
    watch = requester(*(request(key) for key in "abc"))
    instance = TreadleInstance([watch], pools=[Pool("warehouse", 2, jobs=["load"])])

    instance.tick("watch")

    assert keys(instance, Status.STARTED) == ["a", "b"]
    waiting = run_of(instance, "c").waiting
    assert waiting is not None
    assert waiting.pool == "warehouse"

    finish(instance, "b")

    assert keys(instance, Status.STARTED) == ["a", "c"]
    assert run_of(instance, "c").waiting is None
    assert run_of(instance, "b").slots == ()


@pytest.mark.parametrize("status", [Status.SUCCESS, Status.FAILURE, Status.CANCELED])
def test_each_end_returns_the_slot(status: Status) -> None:
    watch = requester(*(request(key) for key in "abc"))
    instance = TreadleInstance([watch], pools=[Pool("warehouse", 1, jobs=["load"])])
    instance.tick("watch")

    for key in "abc":
        assert keys(instance, Status.STARTED) == [key]
        finish(instance, key, status)

    assert keys(instance, status) == ["a", "b", "c"]


def test_highest_priority_starts_first_and_then_the_oldest() -> None:
    watch = requester(
        request("a"),
        request("b"),
        request("low", dagster__priority="-1"),
        request("high", dagster__priority="5"),
        request("c"),
    )
    instance = TreadleInstance([watch], pools=[Pool("warehouse", 1, all_jobs=True)])
    instance.tick("watch")
    started = []

    for _ in range(5):
        [key] = keys(instance, Status.STARTED)
        started.append(key)
        finish(instance, str(key))

    assert started[0] == "high"
    assert set(started[1:4]) == {"a", "b", "c"}
    assert started[4] == "low"


def test_limit_is_for_each_value_of_the_tag() -> None:
    watch = requester(
        *(request(f"a{number}", customer="acme") for number in range(3)),
        *(request(f"p{number}", customer="premium") for number in range(3)),
        *(request(f"n{number}") for number in range(3)),
    )
    pool = Pool("customers", 1, tag="customer", per_value=True, limits={"premium": 2})
    instance = TreadleInstance([watch], pools=[pool])

    instance.tick("watch")

    started = keys(instance, Status.STARTED)
    assert sorted(str(key)[0] for key in started) == ["a", "n", "n", "n", "p", "p"]


def test_run_needs_a_slot_of_each_of_its_pools() -> None:
    watch = requester(
        request("x1", "load"),
        request("y1", "clean"),
        request("both", "load", dagster__concurrency_key="small"),
        request("x2", "load"),
    )
    pools = [Pool("big", 2, jobs=["load"]), Pool("small", 1, jobs=["clean"])]
    instance = TreadleInstance([watch], pools=pools)

    instance.tick("watch")

    # x1 and x2 take the slots of big, y1 that of small: `both` waits for both, and holds neither meanwhile.
    assert keys(instance, Status.STARTED) == ["x1", "y1", "x2"]
    finish(instance, "x1")
    assert run_of(instance, "both").status is Status.QUEUED
    assert run_of(instance, "both").slots == ()
    finish(instance, "y1")
    assert keys(instance, Status.STARTED) == ["both", "x2"]


def turns(*pools: Pool, requests: Sequence[RunRequest]) -> list[str]:
    """Return the keys of the runs in the order in which they start, one at a time."""
    instance = TreadleInstance([requester(*requests)], pools=pools)
    instance.tick("watch")
    started: list[str] = []
    while running := keys(instance, Status.STARTED):
        [key] = running
        started.append(str(key))
        finish(instance, str(key))
    assert keys(instance, Status.QUEUED) == []
    return started


TURNS = Pool("crm", 1, jobs=["load"], turns_by="customer")


def test_values_of_a_tag_take_turns_whatever_the_backlog_of_one_is() -> None:
    backlog = [request(f"a{number}", customer="acme") for number in range(6)]
    others = [request(f"{name}{number}", customer=name) for name in "bc" for number in range(2)]

    started = turns(TURNS, requests=[*backlog, *others, request("none")])

    of_values = [key[0] for key in started]
    assert sorted(of_values[:4]) == ["a", "b", "c", "n"]
    assert sorted(of_values[4:7]) == ["a", "b", "c"]
    assert of_values[7:] == ["a"] * 4
    # In the order of requests within a value.
    for value in "abc":
        assert [key for key in started if key[0] == value] == sorted(
            key for key in started if key[0] == value
        )


def test_priority_comes_before_turns() -> None:
    requests = [request(f"low{number}", customer=f"c{number}") for number in range(3)]
    urgent = [request(f"urgent{number}", customer="acme", dagster__priority="1") for number in range(3)]

    started = turns(TURNS, requests=[*requests, *urgent])

    # The first of all requests starts before the others are requested.
    assert [key for key in started if "urgent" in key] == ["urgent0", "urgent1", "urgent2"]
    assert sum(key.startswith("low") for key in started[:3]) <= 1


def test_starts_are_in_turn_too() -> None:
    backlog = [request(f"a{number}", customer="acme") for number in range(4)]
    pool = Pool("crm", jobs=["load"], starts_per_minute=1, turns_by="customer")
    instance = TreadleInstance([requester(*backlog, request("b", customer="b"))], pools=[pool])
    instance.tick("watch")

    instance.clock.advance(60)
    instance.reconcile()

    assert {str(key)[0] for key in keys(instance, Status.STARTED)} == {"a", "b"}


def test_run_of_several_pools_gets_its_turn_in_the_one_that_takes_turns() -> None:
    backlog = [request(f"a{number}", customer="acme") for number in range(6)]
    pools = [Pool("all", 9, all_jobs=True), Pool("zoo", 1, jobs=["load"], turns_by="customer")]

    started = turns(*pools, requests=[*backlog, request("b", customer="b")])

    assert "b" in started[:3]


def test_starts_per_minute_are_granted_in_order_as_time_passes() -> None:
    watch = requester(*(request(key) for key in "abcd"), request("high", dagster__priority="1"))
    instance = TreadleInstance([watch], pools=[Pool("crm", jobs=["load"], starts_per_minute=2)])

    instance.tick("watch")

    # Those that have ended count as well, and only a minute after their starts others may start.
    assert len(keys(instance, Status.STARTED)) == 2
    for key in keys(instance, Status.STARTED):
        finish(instance, str(key))
    waiting = run_of(instance, "d").waiting
    assert waiting is not None
    assert waiting.pool == "starts:crm"
    instance.clock.advance(59.999)
    instance.reconcile()
    assert keys(instance, Status.STARTED) == []

    instance.clock.advance(0.001)
    instance.reconcile()
    assert len(keys(instance, Status.STARTED)) == 2
    assert len(keys(instance, Status.SUCCESS)) == 2
    instance.clock.advance(60)
    instance.reconcile()
    assert keys(instance, Status.QUEUED) == []
    first = min(run.starts[0].at for run in instance.runs())
    assert "high" in {run.run_key for run in instance.runs() if run.starts[0].at == first}


def test_run_needs_a_slot_and_a_start() -> None:
    watch = requester(*(request(key) for key in "abc"))
    pool = Pool("crm", 1, jobs=["load"], starts_per_minute=2)
    instance = TreadleInstance([watch], pools=[pool])
    instance.tick("watch")

    assert keys(instance, Status.STARTED) == ["a"]
    finish(instance, "a")
    assert keys(instance, Status.STARTED) == ["b"]
    assert run_of(instance, "b").pools == ("crm", "starts:crm")
    finish(instance, "b")
    assert keys(instance, Status.STARTED) == []
    assert run_of(instance, "c").slots == ()
    instance.clock.advance(60)
    instance.reconcile()
    assert keys(instance, Status.STARTED) == ["c"]


def test_retry_and_rerun_count_as_starts() -> None:
    watch = requester(request("a", dagster__max_retries="1"))
    instance = TreadleInstance([watch], pools=[Pool("crm", jobs=["load"], starts_per_minute=1)])
    instance.tick("watch")
    finish(instance, "a", Status.FAILURE)

    instance.reconcile()
    retried = run_of(instance, "a")
    assert (retried.attempt, retried.status, retried.starts) == (2, Status.QUEUED, ())
    instance.clock.advance(60)
    instance.reconcile()
    assert run_of(instance, "a").status is Status.STARTED


def test_retry_waits_behind_the_others() -> None:
    watch = requester(request("a", dagster__max_retries="1"), request("b"))
    instance = TreadleInstance([watch], pools=[Pool("warehouse", 1, jobs=["load"])])
    instance.tick("watch")

    finish(instance, "a", Status.FAILURE)

    assert keys(instance, Status.STARTED) == ["b"]
    instance.reconcile()
    retried = run_of(instance, "a")
    assert (retried.attempt, retried.status, retried.next_at) == (2, Status.QUEUED, None)
    finish(instance, "b")
    assert run_of(instance, "a").status is Status.STARTED


def test_run_that_waits_longer_than_its_start_timeout_is_canceled() -> None:
    watch = requester(request("a"), request("b", treadle__start_timeout="300"), request("c"))
    instance = TreadleInstance([watch], pools=[Pool("warehouse", 1, jobs=["load"])])
    instance.tick("watch")
    instance.clock.advance(299)
    instance.reconcile()
    assert run_of(instance, "b").status is Status.QUEUED

    instance.clock.advance(60)
    instance.reconcile()

    run = run_of(instance, "b")
    assert run.failure is not None
    assert (run.status, run.failure.error, run.waiting) == (Status.CANCELED, "StartTimeoutError", None)
    finish(instance, "a")
    assert keys(instance, Status.STARTED) == ["c"]


def test_start_timeout_counts_only_while_a_run_waits() -> None:
    watch = requester(request("a", treadle__start_timeout="300"))
    instance = TreadleInstance([watch], pools=[Pool("warehouse", 1, jobs=["load"])])
    instance.tick("watch")

    instance.clock.advance(3600)
    instance.reconcile()

    assert run_of(instance, "a").status is Status.STARTED


def test_request_with_an_invalid_start_timeout_or_priority_is_rejected() -> None:
    watch = requester(
        request("a", treadle__start_timeout="soon"), request("b", dagster__priority="high"), request("c")
    )
    instance = TreadleInstance([watch])

    tick = instance.tick("watch").tick

    assert tick is not None
    assert [each.run_key for each in tick.rejected] == ["a", "b"]
    assert "Tag dagster/priority is invalid: 'high' is not a whole number." in tick.rejected[1].reason
    assert keys(instance, Status.STARTED) == ["c"]
