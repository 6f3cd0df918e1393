"""The hourly rate limit within one process: what it reserves, gives back, and forgets."""

import gc
import weakref

import pytest

from treadle.definitions.errors import StoreRejectedError, UnreadableRecordError
from treadle.engine.dispatch.rate_limit import RunRateLimiter
from treadle.testing.stores import InMemoryTickStore
from treadle.testing.system import VirtualClock
from treadle.testing.tables import InMemoryTables

HOUR = 3_600
SENSOR, ANOTHER = "watch", "another"


class Name(str):
    """A sensor's name that can be observed by a weak reference."""

    __slots__ = ("__weakref__",)


@pytest.fixture
def tables() -> InMemoryTables:
    return InMemoryTables()


@pytest.fixture
def clock() -> VirtualClock:
    return VirtualClock()


def limiter(tables: InMemoryTables, clock: VirtualClock, limit: int) -> RunRateLimiter:
    return RunRateLimiter(InMemoryTickStore(tables), clock, lambda _: limit)


def test_one_percent_of_the_limit_is_reserved_at_once(tables: InMemoryTables, clock: VirtualClock) -> None:
    assert limiter(tables, clock, 9_900).take(SENSOR)

    assert list(tables.admitted.values()) == [99]


def test_sensors_do_not_lose_what_is_reserved_for_them_to_each_other(
    tables: InMemoryTables, clock: VirtualClock
) -> None:
    limit = limiter(tables, clock, 300)

    assert None not in [limit.take(sensor) for sensor in (SENSOR, ANOTHER, SENSOR, ANOTHER)]
    assert list(tables.admitted.values()) == [3, 3]


def test_a_reservation_that_is_given_back_admits_exactly_one_more_run(
    tables: InMemoryTables, clock: VirtualClock
) -> None:
    limit = limiter(tables, clock, 1)
    hour = limit.take(SENSOR)
    assert hour is not None
    assert limit.take(SENSOR) is None

    limit.give_back(SENSOR, hour)

    assert limit.take(SENSOR) == hour
    assert limit.take(SENSOR) is None


@pytest.mark.parametrize("taken_since", [0, 1])
def test_a_reservation_of_an_earlier_hour_admits_no_run_in_the_next(
    taken_since: int, tables: InMemoryTables, clock: VirtualClock
) -> None:
    limit = limiter(tables, clock, 1)
    hour = limit.take(SENSOR)
    assert hour is not None
    clock.advance(HOUR)
    for _ in range(taken_since):
        assert limit.take(SENSOR) == hour + HOUR * 1000

    limit.give_back(SENSOR, hour)

    assert [limit.take(SENSOR) is not None for _ in range(2)] == [not taken_since, False]


def test_nothing_is_kept_of_sensors_that_started_runs_in_an_earlier_hour_only(
    tables: InMemoryTables, clock: VirtualClock
) -> None:
    limit = limiter(tables, clock, 300)
    sensor = Name(SENSOR)
    kept = weakref.ref(sensor)
    limit.take(sensor)
    tables.admitted.clear()
    del sensor
    gc.collect()
    assert kept() is not None

    clock.advance(HOUR)
    limit.take(ANOTHER)

    gc.collect()
    assert kept() is None


@pytest.mark.parametrize(
    "error",
    [UnreadableRecordError("the count", "it is no number"), StoreRejectedError("it is malformed")],
)
def test_runs_wait_for_the_next_hour_if_the_count_cannot_be_used(
    error: Exception, tables: InMemoryTables, clock: VirtualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: object) -> int:
        raise error

    limit = limiter(tables, clock, 10)
    with monkeypatch.context() as patch:
        patch.setattr(InMemoryTickStore, "admit", broken)
        assert not limit.take(SENSOR)

    clock.advance(HOUR)

    assert limit.take(SENSOR)
