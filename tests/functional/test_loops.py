"""A loop through a bucket is found and held, goes on when an operator releases it, and is found again."""

import random
from collections.abc import Iterator
from itertools import count

import pytest

from tests.support.writing_jobs import MINUTE, Write, WritingJobs, watching
from treadle.definitions.errors import CommandRefusedError
from treadle.engine.dispatch.loop_evidence import LINKS
from treadle.model.runs import Run
from treadle.testing import TreadleInstance

MOST_IN_A_CHAIN, MOST_IN_A_TREE = 50, 500


def into(prefix: str, *after: int) -> "Iterator[Write]":
    """Return what a run writes: an object under a prefix, each so many milliseconds after its start."""
    return ((each, f"{prefix}{next(_names)}") for each in after)


_names = count()


def files(after: int = MINUTE, jitter: float = 0.0) -> WritingJobs:
    """Return a sensor whose job writes one object where the sensor watches."""
    varies = random.Random(1)

    def written(run: Run) -> Iterator[Write]:
        return into("in/", int(after * varies.uniform(1 - jitter, 1 + jitter)))

    return WritingJobs(TreadleInstance([watching("files", "in/")]), written)


@pytest.mark.parametrize("after", [MINUTE, MINUTE // 2, MINUTE // 6], ids=["end", "half", "early"])
@pytest.mark.parametrize("jitter", [0.0, 0.1], ids=["steady", "varied"])
def test_job_that_writes_where_its_sensor_watches_is_held(after: int, jitter: float) -> None:
    jobs = files(int(after * (1 - jitter)), jitter)
    jobs.put("in/first")

    assert LINKS <= jobs.go(most=200) <= MOST_IN_A_CHAIN

    held = jobs.instance.ticks("files")[0]
    assert (held.held_requests, held.dispatched) == (1, None)
    assert held.held is not None
    assert held.held.startswith(
        "Sensor files looks like a loop: 30 objects in a row were created while the run"
    )
    assert held.held.endswith("treadle sensor release files")


def test_loop_waits_for_an_operator_however_long_and_is_found_again_after_its_release() -> None:
    jobs = files()
    jobs.put("in/first")
    first = jobs.go(most=200)
    jobs.instance.clock.advance(7 * 86_400)
    jobs.put("in/somebody_elses")
    jobs.instance.reconcile()
    assert jobs.go() == first

    jobs.instance.release_sensor("files")
    released = jobs.instance.runs()[first:]
    assert len(released) == jobs.held == 2
    jobs.follow(released)
    again = jobs.go(most=300)

    assert first + 2 < again <= first + 2 + 2 * MOST_IN_A_CHAIN
    assert jobs.instance.ticks("files")[0].held_requests == 1


def test_nothing_that_is_held_is_lost() -> None:
    jobs = files()
    jobs.put("in/first")
    first = jobs.go(most=200)
    for number in range(20):
        jobs.put(f"in/other_{number}", number * MINUTE)
    assert jobs.go() == first

    jobs.instance.release_sensor("files")

    assert len(jobs.instance.runs()) == first + 21
    assert all(tick.dispatched for tick in jobs.instance.ticks("files"))


def test_sensor_that_is_not_held_cannot_be_released() -> None:
    instance = TreadleInstance([watching("files", "in/")])

    with pytest.raises(CommandRefusedError, match="Sensor files is not held as a loop"):
        instance.release_sensor("files")


def test_loop_through_two_sensors_is_held() -> None:
    def written(run: Run) -> Iterator[Write]:
        return into("b/" if run.sensor == "of_a" else "a/", MINUTE)

    jobs = WritingJobs(TreadleInstance([watching("of_a", "a/"), watching("of_b", "b/")]), written)
    jobs.put("a/first")

    assert LINKS <= jobs.go(most=200) <= MOST_IN_A_CHAIN

    (held,) = [tick for name in ("of_a", "of_b") for tick in jobs.instance.ticks(name) if tick.held]
    assert "some of them found by sensor of_" in (held.held or "")


@pytest.mark.parametrize("after", [(MINUTE, MINUTE), (20_000, 50_000), (30_000, 30_000)])
@pytest.mark.parametrize("jitter", [0.0, 0.3])
def test_loop_in_which_each_run_writes_two_objects_is_held(after: tuple[int, int], jitter: float) -> None:
    varies = random.Random(1)
    lasts: dict[str, int] = {}

    def lasting(run: Run) -> int:
        return lasts.setdefault(run.run_id, int(MINUTE * varies.uniform(1 - jitter, 1 + jitter)))

    def written(run: Run) -> Iterator[Write]:
        return into("in/", *(each * lasting(run) // MINUTE for each in after))

    jobs = WritingJobs(TreadleInstance([watching("files", "in/")]), written, lasting)
    jobs.put("in/first")

    assert jobs.go(most=1_000) <= MOST_IN_A_TREE
    assert "generations of objects were created during the runs" in (
        jobs.instance.ticks("files")[0].held or ""
    )


def test_loop_that_others_write_into_is_held_by_the_ids_in_its_keys() -> None:
    def written(run: Run) -> list[Write]:
        return (
            [] if run.run_key is None or "other" in run.run_key else [(MINUTE, f"in/{run.run_id}/part.csv")]
        )

    jobs = WritingJobs(TreadleInstance([watching("files", "in/")]), written)
    jobs.put("in/first")
    varies, time = random.Random(1), 0.0
    for number in range(200):
        jobs.put(f"in/other_{number}", int(time))
        time += varies.expovariate(1 / 20_000)

    assert jobs.go(most=201) <= MOST_IN_A_CHAIN + 200 // 3
    assert "have the id of the run of the one before in their keys" in (
        jobs.instance.ticks("files")[0].held or ""
    )


@pytest.mark.parametrize(("period", "lasts"), [(300, 360), (60, 150), (300, 60)])
def test_objects_that_come_at_regular_times_are_not_held(period: int, lasts: int) -> None:
    """Each is created during the run of the one before, whose start varies."""
    varies = random.Random(1)
    jobs = WritingJobs(TreadleInstance([watching("files", "in/")]), lambda run: (), lambda run: lasts * 1_000)
    for number in range(150):
        jobs.put(f"in/{number}", number * period * 1_000 + varies.randrange(1_000))
    while jobs._due:
        jobs.latency = varies.randrange(1_000, 10_000)
        jobs.go(most=len(jobs.instance._tables.runs) + 1)

    assert len(jobs.instance.runs()) == 150


def test_burst_is_not_held() -> None:
    jobs = WritingJobs(TreadleInstance([watching("files", "in/")]), lambda run: (), lambda run: 5 * MINUTE)
    for number in range(300):
        jobs.put(f"in/{number}", number * 50)

    assert jobs.go() == 300


def test_chain_that_has_ended_by_itself_holds_nothing_later() -> None:
    depth = iter(range(LINKS + 10))

    def written(run: Run) -> Iterator[Write]:
        return into("in/", MINUTE) if next(depth, None) is not None else iter(())

    jobs = WritingJobs(TreadleInstance([watching("files", "in/")]), written)
    # As if other processes had handled all objects but the last.
    jobs.instance._dispatcher._loops._due_in["files"] = LINKS + 11
    jobs.put("in/first")
    jobs.put("in/much_later", 5 * 3_600_000)

    assert jobs.go(most=200) == LINKS + 12
    assert jobs.held == 0
