"""What every `SensorStore` guarantees: one lease, one commit, all of it or nothing."""

import random
from dataclasses import replace
from uuid import uuid4

import pytest

from tests.contract.conftest import Stores
from treadle.definitions.errors import LeaseLostError
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus, TickStatus
from treadle.model.sensors import Completion, Edit, Lease, LeaseRequest, Refused, SkipStreak
from treadle.model.ticks import DynamicPartitionsRequestResult as Result
from treadle.model.ticks import PlannedRun, Tick, TickKind

NOON = 1_795_348_800_000
MINUTE = 60_000
LONG = "c" * 100_000


def request(scheduled: int = NOON, **changes: object) -> LeaseRequest:
    wanted = LeaseRequest(
        sensor="files",
        owner=str(uuid4()),
        scheduled_for=scheduled,
        interval=MINUTE,
        now=scheduled + 1_000,
        expires_at=scheduled + 50_000,
        default_status=DefaultSensorStatus.RUNNING,
    )
    return replace(wanted, **changes)  # type: ignore[arg-type]


def acquired(stores: Stores, scheduled: int = NOON) -> Lease:
    lease = stores.sensors.acquire(request(scheduled))
    assert isinstance(lease, Lease)
    return lease


def completion(at: int = NOON + 2_000, cursor: str | None = None, **changes: object) -> Completion:
    done = Completion(
        at=at, cursor=cursor, cursor_changed=cursor is not None, failure_streak=0, last_run_key=None
    )
    return replace(done, **changes)  # type: ignore[arg-type]


def tick(tick_id: str = "2026-a") -> Tick:
    return Tick(
        sensor="files",
        tick_id=tick_id,
        kind=TickKind.LEASED,
        status=TickStatus.SUCCESS,
        time=NOON,
        started_at=NOON,
        ended_at=NOON,
        requests=(PlannedRun("r1", "k1", "job", "{}", {"a": "b"}),),
        owner="me",
    )


def test_the_first_lease_of_an_unknown_sensor_is_given_at_epoch_one(stores: Stores) -> None:
    lease = acquired(stores)

    assert lease.epoch == 1
    assert lease.before.last_scheduled_for is None
    state = stores.sensors.get("files")
    assert (state.epoch, state.last_scheduled_for, state.started_at) == (1, NOON, NOON + 1_000)


def test_a_sensor_stopped_by_default_gets_no_lease_and_leaves_no_trace(stores: Stores) -> None:
    refused = stores.sensors.acquire(request(default_status=DefaultSensorStatus.STOPPED))

    assert refused == Refused(None)
    assert stores.sensors.get("files").epoch == 0


def test_while_a_lease_is_live_no_other_is_given(stores: Stores) -> None:
    first = acquired(stores)

    second = stores.sensors.acquire(request(NOON + MINUTE, now=NOON + 49_000))

    assert isinstance(second, Refused)
    assert second.state is not None
    assert second.state.lease_owner == first.owner


def test_querying_again_as_the_same_owner_gives_the_same_lease(stores: Stores) -> None:
    wanted = request()
    first = stores.sensors.acquire(wanted)

    second = stores.sensors.acquire(wanted)

    assert isinstance(first, Lease)
    assert isinstance(second, Lease)
    assert (second.owner, second.epoch) == (first.owner, first.epoch)


@pytest.mark.parametrize("died", [True, False])
def test_repeated_request_gets_the_state_before_its_lease(stores: Stores, died: bool) -> None:
    earlier = acquired(stores)
    if not died:
        stores.sensors.commit(earlier, completion())
    wanted = request(NOON + MINUTE)
    first = stores.sensors.acquire(wanted)

    second = stores.sensors.acquire(wanted)

    assert isinstance(first, Lease)
    assert first.before.lease_owner == (earlier.owner if died else None)
    assert second == first


def test_request_at_once_that_arrives_after_its_tick_takes_no_lease(stores: Stores) -> None:
    late = request(at_once=True)
    lease = stores.sensors.acquire(late)
    assert isinstance(lease, Lease)
    stores.sensors.commit(lease, completion())

    assert isinstance(stores.sensors.acquire(late), Refused)
    assert isinstance(stores.sensors.acquire(request(at_once=True, now=NOON + 2_000)), Lease)


@pytest.mark.parametrize("at_once", [True, False])
def test_last_scheduled_time_that_lies_ahead_holds_up_no_tick(stores: Stores, at_once: bool) -> None:
    ahead = request(NOON + 400_000, now=NOON, at_once=at_once)
    lease = stores.sensors.acquire(ahead)
    assert isinstance(lease, Lease)
    stores.sensors.commit(lease, completion(at=NOON + 500))

    within_skew = request(NOON + MINUTE, now=NOON + 100_000, at_once=at_once)
    beyond_skew = request(NOON + MINUTE, now=NOON + 99_999, at_once=at_once)

    assert isinstance(stores.sensors.acquire(within_skew), Refused)
    assert isinstance(stores.sensors.acquire(beyond_skew), Lease)
    assert stores.sensors.get("files").last_scheduled_for == NOON + MINUTE


def test_last_completion_that_lies_ahead_holds_up_no_scheduled_tick(stores: Stores) -> None:
    """A clock that was far ahead wrote it, and it would silence the sensor until then."""
    stores.sensors.commit(acquired(stores), completion(at=NOON + 400_000))

    within_skew = request(NOON + MINUTE, now=NOON + 100_000)
    beyond_skew = request(NOON + MINUTE, now=NOON + 99_999)

    assert isinstance(stores.sensors.acquire(within_skew), Refused)
    assert isinstance(stores.sensors.acquire(beyond_skew), Lease)


def test_an_expired_lease_is_taken_over_and_its_holder_can_commit_nothing(stores: Stores) -> None:
    dead = acquired(stores)
    heir = acquired(stores, NOON + MINUTE)

    assert (heir.epoch, heir.before.lease_owner) == (2, dead.owner)
    with pytest.raises(LeaseLostError):
        stores.sensors.commit(dead, completion(cursor="lost", ticks=(tick(),)))
    assert stores.sensors.get("files").cursor is None
    assert stores.ticks.get("files", "2026-a") is None


@pytest.mark.parametrize("scheduled", [NOON, NOON - MINUTE, NOON + MINUTE - 1])
def test_a_scheduled_time_less_than_an_interval_later_is_not_due(stores: Stores, scheduled: int) -> None:
    stores.sensors.commit(acquired(stores), completion())

    refused = stores.sensors.acquire(request(scheduled, now=NOON + 59_000))

    assert isinstance(refused, Refused)


def test_without_an_interval_the_same_scheduled_time_is_not_due_again(stores: Stores) -> None:
    lease = stores.sensors.acquire(request(interval=0))
    assert isinstance(lease, Lease)
    stores.sensors.commit(lease, completion())

    assert isinstance(stores.sensors.acquire(request(interval=0, now=NOON + 3_000)), Refused)
    assert isinstance(stores.sensors.acquire(request(NOON + 1, interval=0, now=NOON + 3_000)), Lease)


def test_a_tick_rests_half_an_interval_after_the_last_completion(stores: Stores) -> None:
    stores.sensors.commit(acquired(stores), completion(at=NOON + 40_000))

    early = stores.sensors.acquire(request(NOON + MINUTE, now=NOON + 69_999))
    rested = stores.sensors.acquire(request(NOON + MINUTE, now=NOON + 70_000))

    assert isinstance(early, Refused)
    assert isinstance(rested, Lease)


@pytest.mark.parametrize("cursor", ["", "short", LONG])
def test_cursor_and_ticks_become_durable_together(stores: Stores, cursor: str) -> None:
    lease = acquired(stores)

    stores.sensors.commit(lease, completion(cursor=cursor, last_run_key="k1", ticks=(tick(),)))

    state = stores.sensors.get("files")
    assert stores.sensors.cursor(state) == cursor
    assert (state.lease_owner, state.last_run_key, state.last_completion) == (None, "k1", NOON + 2_000)
    assert stores.ticks.get("files", "2026-a") == tick()


def test_large_requests_become_durable_with_the_cursor(stores: Stores) -> None:
    noise = random.Random(1)
    requests = tuple(
        PlannedRun(f"r{index}", None, "job", f'"{noise.randbytes(400).hex()}"', {}) for index in range(1_000)
    )
    wanted = replace(tick(), requests=requests)
    lease = acquired(stores)

    stores.sensors.commit(lease, completion(cursor="moved", ticks=(wanted,)))

    assert stores.sensors.get("files").cursor == "moved"
    assert stores.ticks.get("files", "2026-a") == wanted


def test_an_unchanged_long_cursor_survives_later_commits(stores: Stores) -> None:
    stores.sensors.commit(acquired(stores), completion(cursor=LONG))

    stores.sensors.commit(acquired(stores, NOON + MINUTE), completion(at=NOON + 62_000))

    assert stores.sensors.cursor(stores.sensors.get("files")) == LONG


def test_a_long_cursor_is_replaced_by_a_short_one_and_cleared(stores: Stores) -> None:
    stores.sensors.commit(acquired(stores), completion(cursor=LONG))

    second = completion(at=NOON + 62_000, cursor="short")
    stores.sensors.commit(acquired(stores, NOON + MINUTE), second)
    assert stores.sensors.cursor(stores.sensors.get("files")) == "short"

    cleared = completion(at=NOON + 122_000, cursor_changed=True)
    stores.sensors.commit(acquired(stores, NOON + 2 * MINUTE), cleared)
    assert stores.sensors.cursor(stores.sensors.get("files")) is None


def test_a_commit_whose_tick_stands_already_writes_nothing_at_all(stores: Stores) -> None:
    stores.sensors.commit(acquired(stores), completion(ticks=(tick(),)))
    lease = acquired(stores, NOON + MINUTE)

    with pytest.raises(LeaseLostError):
        stores.sensors.commit(lease, completion(cursor="moved", ticks=(tick("2026-b"), tick())))

    assert stores.sensors.get("files").cursor is None
    assert stores.ticks.get("files", "2026-b") is None


def test_a_commit_ends_the_lease_so_that_it_cannot_commit_twice(stores: Stores) -> None:
    lease = acquired(stores)
    stores.sensors.commit(lease, completion(cursor="once"))

    with pytest.raises(LeaseLostError):
        stores.sensors.commit(lease, completion(at=NOON + 9_000, cursor="twice"))

    assert stores.sensors.get("files").cursor == "once"


def test_the_skip_streak_is_kept_until_a_commit_ends_it(stores: Stores) -> None:
    streak = SkipStreak("2026-a", NOON, NOON + MINUTE, 2, "nothing new")
    stores.sensors.commit(acquired(stores), completion(skips=streak, failure_streak=3))
    state = stores.sensors.get("files")
    assert (state.skips, state.failure_streak) == (streak, 3)

    stores.sensors.commit(acquired(stores, NOON + MINUTE), completion(at=NOON + 61_000))

    state = stores.sensors.get("files")
    assert (state.skips, state.failure_streak) == (None, 0)


def test_the_state_before_a_lease_is_what_the_last_commit_left(stores: Stores) -> None:
    stores.sensors.commit(acquired(stores), completion(cursor="here", last_run_key="k"))

    lease = acquired(stores, NOON + MINUTE)

    before = lease.before
    assert (before.cursor, before.last_run_key, before.last_completion) == ("here", "k", NOON + 2_000)
    assert (before.last_scheduled_for, before.lease_owner, before.started_at) == (NOON, None, NOON + 1_000)


def test_an_operators_tick_awaits_neither_interval_nor_rest_nor_what_failures_hold_up(stores: Stores) -> None:
    held = completion(failure_streak=3, resume_at=NOON + 9 * MINUTE)
    stores.sensors.commit(acquired(stores), held)

    refused = stores.sensors.acquire(request(NOON, now=NOON + 3_000))
    lease = stores.sensors.acquire(request(NOON, now=NOON + 3_000, at_once=True))

    assert isinstance(refused, Refused)
    assert isinstance(lease, Lease)
    assert (lease.epoch, lease.before.epoch) == (2, 1)


def test_an_operators_tick_takes_its_slot(stores: Stores) -> None:
    lease = stores.sensors.acquire(request(NOON, at_once=True))
    assert isinstance(lease, Lease)
    stores.sensors.commit(lease, completion())

    assert isinstance(stores.sensors.acquire(request(NOON, now=NOON + MINUTE)), Refused)
    assert isinstance(stores.sensors.acquire(request(NOON + MINUTE, now=NOON + MINUTE)), Lease)


@pytest.mark.parametrize("against", ["live lease", "later tick", "stopped"])
def test_an_operators_tick_gets_no_lease_against_another_a_later_one_or_a_stop(
    stores: Stores, against: str
) -> None:
    if against != "stopped":
        lease = acquired(stores, NOON + MINUTE)
        if against == "later tick":
            stores.sensors.commit(lease, completion())
    status = DefaultSensorStatus.STOPPED if against == "stopped" else DefaultSensorStatus.RUNNING
    scheduled = NOON if against == "later tick" else NOON + MINUTE

    requested = request(scheduled, now=NOON + MINUTE + 3_000, at_once=True, default_status=status)

    assert isinstance(stores.sensors.acquire(requested), Refused)


@pytest.mark.parametrize(
    ("status", "started"),
    [
        (InstigatorStatus.RUNNING, NOON + 9),
        (InstigatorStatus.DECLARED_IN_CODE, NOON + 9),
        (InstigatorStatus.STOPPED, None),
    ],
)
def test_start_and_reset_note_when_they_were(
    stores: Stores, status: InstigatorStatus, started: int | None
) -> None:
    """From then on ticks are due again."""
    assert stores.sensors.edit("files", Edit(NOON + 9, "ann", status=status)).started_at == started
    assert stores.sensors.get("files").started_at == started


def test_state_names_the_tick_whose_changes_of_partitions_the_next_one_waits_for(stores: Stores) -> None:
    changing = replace(tick(), dynamic_partitions_request_results=(Result("fruits", ("a",), None),))
    stores.sensors.commit(acquired(stores), completion(ticks=(changing,), partitions_tick=changing.tick_id))
    waiting = stores.sensors.get("files").partitions_tick
    lease = acquired(stores, NOON + MINUTE)

    stores.sensors.commit(lease, completion(NOON + MINUTE + 2_000))

    assert (waiting, lease.before.partitions_tick) == (changing.tick_id, changing.tick_id)
    assert stores.sensors.get("files").partitions_tick is None
