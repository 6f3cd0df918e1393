"""What every `SensorStore` guarantees of operators' edits, of waits and pauses, and of leases given up."""

from dataclasses import replace

import pytest

from tests.contract.conftest import Stores
from tests.contract.test_sensor_store import LONG, MINUTE, NOON, acquired, completion, request, tick
from treadle.definitions.errors import LeaseLostError
from treadle.definitions.status import DefaultSensorStatus, InstigatorStatus
from treadle.model.sensors import KEPT_EDITS, Edit, Lease, RecordedEdit, Refused, SensorState

RUNNING, STOPPED = InstigatorStatus.RUNNING, InstigatorStatus.STOPPED
DECLARED = InstigatorStatus.DECLARED_IN_CODE


def paused(stores: Stores) -> SensorState:
    """Return a sensor that failed three times and was paused for it."""
    failures = completion(
        failure_streak=3, resume_at=NOON + 9 * MINUTE, paused="three failures", ticks=(tick(),)
    )
    stores.sensors.commit(acquired(stores), failures)
    return stores.sensors.get("files")


def test_edit_of_an_unknown_sensor_begins_it_at_epoch_one(stores: Stores) -> None:
    state = stores.sensors.edit("files", Edit(NOON, "ann", status=RUNNING))

    assert state == SensorState("files", status=RUNNING, epoch=1, started_at=NOON)
    assert stores.sensors.get("files") == state


def test_each_edit_raises_the_epoch_and_answers_with_the_state_afterwards(stores: Stores) -> None:
    edits = [
        Edit(NOON, "ann", status=RUNNING),
        Edit(NOON, "ann", sets_cursor=True, cursor="c"),
        Edit(NOON, "ann", status=STOPPED),
        Edit(NOON, "ann", status=DECLARED),
    ]

    states = [stores.sensors.edit("files", edit) for edit in edits]

    assert [state.epoch for state in states] == [1, 2, 3, 4]
    assert [state.status for state in states] == [RUNNING, RUNNING, STOPPED, DECLARED]
    assert [state.cursor for state in states] == [None, "c", "c", "c"]


def test_start_and_reset_note_their_time_and_stop_leaves_it(stores: Stores) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", status=RUNNING))
    stores.sensors.edit("files", Edit(NOON + 1, "ann", status=STOPPED))
    stopped = stores.sensors.get("files").started_at
    stores.sensors.edit("files", Edit(NOON + 2, "ann", status=DECLARED))

    assert (stopped, stores.sensors.get("files").started_at) == (NOON, NOON + 2)


@pytest.mark.parametrize(
    ("status", "default", "is_given"),
    [
        (STOPPED, DefaultSensorStatus.RUNNING, False),
        (RUNNING, DefaultSensorStatus.STOPPED, True),
        (DECLARED, DefaultSensorStatus.RUNNING, True),
        (DECLARED, DefaultSensorStatus.STOPPED, False),
    ],
)
def test_lease_follows_the_status_that_was_set_and_else_the_default(
    stores: Stores, status: InstigatorStatus, default: DefaultSensorStatus, is_given: bool
) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", status=status))

    assert isinstance(stores.sensors.acquire(request(default_status=default)), Lease) is is_given


def test_edit_of_the_cursor_says_nothing_of_the_status(stores: Stores) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor="c"))

    assert isinstance(stores.sensors.acquire(request()), Lease)


@pytest.mark.parametrize("before", ["short", LONG, None])
@pytest.mark.parametrize("after", ["", "other", LONG + "x", None])
def test_cursor_is_set_whatever_it_was(stores: Stores, before: str | None, after: str | None) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor=before))

    state = stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor=after))

    assert stores.sensors.cursor(state) == after
    lease = acquired(stores)
    assert stores.sensors.cursor(lease.before) == after


@pytest.mark.parametrize(
    "edit",
    [
        Edit(NOON, "ann", status=STOPPED),
        Edit(NOON, "ann", status=RUNNING),
        Edit(NOON, "ann", sets_cursor=True, cursor="the operator's"),
        Edit(NOON, "ann", sets_cursor=True, cursor=LONG),
    ],
)
def test_tick_in_flight_loses_to_an_edit_and_writes_nothing(stores: Stores, edit: Edit) -> None:
    lease = acquired(stores)
    edited = stores.sensors.edit("files", edit)

    with pytest.raises(LeaseLostError):
        stores.sensors.commit(lease, completion(cursor="the tick's", ticks=(tick(),)))
    with pytest.raises(LeaseLostError):
        stores.sensors.commit(lease, completion(cursor="the tick's"))

    assert stores.sensors.get("files") == edited
    assert stores.sensors.cursor(edited) == edit.cursor
    assert stores.ticks.get("files", "2026-a") is None


@pytest.mark.parametrize("cursor", ["mine", LONG])
def test_edit_of_a_state_that_the_operator_no_longer_saw_writes_nothing(stores: Stores, cursor: str) -> None:
    seen = stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor="first")).epoch
    acquired(stores)

    with pytest.raises(LeaseLostError):
        stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor=cursor, if_epoch=seen))

    state = stores.sensors.get("files")
    assert (stores.sensors.cursor(state), state.epoch) == ("first", seen + 1)


def test_edit_of_the_state_that_the_operator_saw_is_written(stores: Stores) -> None:
    first = stores.sensors.edit("files", Edit(NOON, "ann", status=RUNNING, if_epoch=0))
    second = stores.sensors.edit("files", Edit(NOON, "ann", status=STOPPED, if_epoch=first.epoch))

    assert (second.epoch, second.status) == (2, STOPPED)


def test_edit_of_a_sensor_thought_unknown_is_refused_once_it_is_known(stores: Stores) -> None:
    acquired(stores)

    with pytest.raises(LeaseLostError):
        stores.sensors.edit("files", Edit(NOON, "ann", status=STOPPED, if_epoch=0))

    assert stores.sensors.get("files").status is DECLARED


def test_lease_given_up_is_no_death_and_frees_the_sensor(stores: Stores) -> None:
    lease = acquired(stores)
    edited = stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor="c"))

    stores.sensors.release(lease)

    state = stores.sensors.get("files")
    assert state == replace(edited, lease_owner=None, lease_expires=0)
    assert acquired(stores, NOON + MINUTE).before.lease_owner is None


def test_giving_up_a_lease_that_another_tick_has_now_changes_nothing(stores: Stores) -> None:
    dead = acquired(stores)
    heir = acquired(stores, NOON + MINUTE)

    stores.sensors.release(dead)

    assert stores.sensors.get("files").lease_owner == heir.owner


def test_giving_up_a_lease_twice_or_after_a_commit_changes_nothing(stores: Stores) -> None:
    lease = acquired(stores)
    stores.sensors.commit(lease, completion(cursor="c"))
    before = stores.sensors.get("files")

    stores.sensors.release(lease)
    stores.sensors.release(lease)

    assert stores.sensors.get("files") == before


def test_lease_given_up_can_commit_nothing(stores: Stores) -> None:
    lease = acquired(stores)
    stores.sensors.release(lease)

    with pytest.raises(LeaseLostError):
        stores.sensors.commit(lease, completion(cursor="late"))


def test_no_lease_is_given_before_the_wait_is_over(stores: Stores) -> None:
    wait = completion(failure_streak=3, resume_at=NOON + 5 * MINUTE)
    stores.sensors.commit(acquired(stores), wait)

    early = stores.sensors.acquire(request(NOON + 4 * MINUTE, now=NOON + 5 * MINUTE - 1))
    late = stores.sensors.acquire(request(NOON + 4 * MINUTE, now=NOON + 5 * MINUTE))

    assert isinstance(early, Refused)
    assert early.state is not None
    assert early.state.resume_at == NOON + 5 * MINUTE
    assert isinstance(late, Lease)


def test_commit_that_names_no_wait_ends_it(stores: Stores) -> None:
    stores.sensors.commit(acquired(stores), completion(failure_streak=3, resume_at=NOON + 5 * MINUTE))
    stores.sensors.commit(acquired(stores, NOON + 5 * MINUTE), completion(at=NOON + 5 * MINUTE + 2_000))

    state = stores.sensors.get("files")
    assert (state.resume_at, state.failure_streak) == (None, 0)


def test_commit_that_pauses_stops_the_sensor_with_its_reason_and_its_tick(stores: Stores) -> None:
    state = paused(stores)

    assert (state.status, state.paused, state.failure_streak) == (STOPPED, "three failures", 3)
    assert stores.ticks.get("files", "2026-a") == tick()
    later = NOON + 60 * MINUTE
    refused = stores.sensors.acquire(request(later))
    assert isinstance(refused, Refused)
    assert refused.state == state


@pytest.mark.parametrize("status", [RUNNING, DECLARED])
def test_start_and_reset_end_pause_wait_and_streak(stores: Stores, status: InstigatorStatus) -> None:
    paused(stores)

    state = stores.sensors.edit("files", Edit(NOON + MINUTE, "ann", status=status))

    assert (state.paused, state.resume_at, state.failure_streak) == (None, None, 0)
    assert isinstance(stores.sensors.acquire(request(NOON + MINUTE)), Lease)


@pytest.mark.parametrize(
    "edit", [Edit(NOON, "ann", status=STOPPED), Edit(NOON, "ann", sets_cursor=True, cursor="c")]
)
def test_stop_and_cursor_leave_a_pause_as_it_is(stores: Stores, edit: Edit) -> None:
    before = paused(stores)

    after = stores.sensors.edit("files", edit)

    assert (after.paused, after.resume_at, after.failure_streak, after.status) == (
        before.paused,
        before.resume_at,
        before.failure_streak,
        before.status,
    )


def test_commit_that_keeps_the_lease_writes_streak_and_ticks_alone(stores: Stores) -> None:
    stores.sensors.commit(acquired(stores), completion(cursor="c", last_run_key="k"))
    lease = acquired(stores, NOON + MINUTE)
    before = stores.sensors.get("files")

    death = completion(
        at=NOON + MINUTE, cursor="ignored", failure_streak=1, last_run_key="ignored", ticks=(tick(),)
    )
    stores.sensors.commit(lease, replace(death, keeps_lease=True))

    assert stores.sensors.get("files") == replace(before, failure_streak=1)
    assert stores.ticks.get("files", "2026-a") == tick()


def test_lease_that_was_kept_can_commit_its_own_tick_afterwards(stores: Stores) -> None:
    lease = acquired(stores)
    stores.sensors.commit(lease, completion(failure_streak=1, ticks=(tick(),), keeps_lease=True))

    stores.sensors.commit(lease, completion(cursor="c", failure_streak=2, ticks=(tick("2026-b"),)))

    state = stores.sensors.get("files")
    assert (state.lease_owner, state.cursor, state.failure_streak) == (None, "c", 2)
    assert stores.ticks.get("files", "2026-b") == tick("2026-b")


def test_lost_lease_keeps_nothing_either(stores: Stores) -> None:
    lease = acquired(stores)
    stores.sensors.edit("files", Edit(NOON, "ann", status=STOPPED))

    with pytest.raises(LeaseLostError):
        stores.sensors.commit(lease, completion(failure_streak=1, ticks=(tick(),), keeps_lease=True))

    assert stores.sensors.get("files").failure_streak == 0
    assert stores.ticks.get("files", "2026-a") is None


def test_each_edit_is_remembered_with_who_when_and_what_it_changed(stores: Stores) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", status=RUNNING))
    stores.sensors.edit("files", Edit(NOON + 1, "ben", sets_cursor=True, cursor="c"))
    stores.sensors.edit("files", Edit(NOON + 2, "ann", sets_cursor=True))
    stores.sensors.edit("files", Edit(NOON + 3, "cat", status=DECLARED))
    stores.sensors.edit("files", Edit(NOON + 4, "ann", freed_key="k"))

    assert stores.sensors.edits("files") == [
        RecordedEdit(NOON + 4, "ann", "release", None, "k", 5),
        RecordedEdit(NOON + 3, "cat", "reset", "RUNNING", "DECLARED_IN_CODE", 4),
        RecordedEdit(NOON + 2, "ann", "set_cursor", "c", None, 3),
        RecordedEdit(NOON + 1, "ben", "set_cursor", None, "c", 2),
        RecordedEdit(NOON, "ann", "start", "DECLARED_IN_CODE", "RUNNING", 1),
    ]
    assert stores.sensors.edits("other") == []


def test_edit_that_ends_a_pause_remembers_the_pause(stores: Stores) -> None:
    paused(stores)

    stores.sensors.edit("files", Edit(NOON + MINUTE, "ann", status=RUNNING))

    [edit] = stores.sensors.edits("files")
    assert (edit.action, edit.before, edit.after) == ("start", "PAUSED", "RUNNING")


def test_long_cursors_and_names_are_remembered_shortened(stores: Stores) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor=LONG))
    stores.sensors.edit("files", Edit(NOON, "x" * 5_000, sets_cursor=True, cursor="c" * 5_000))

    edit = stores.sensors.edits("files")[0]
    assert (len(edit.by), edit.before, edit.after) == (200, "c" * 200 + "…", "c" * 200 + "…")


def test_only_the_last_edits_are_remembered(stores: Stores) -> None:
    for number in range(KEPT_EDITS + 3):
        stores.sensors.edit("files", Edit(NOON + number, "ann", sets_cursor=True, cursor=str(number)))

    edits = stores.sensors.edits("files")
    assert [edit.after for edit in edits] == [str(number) for number in range(KEPT_EDITS + 2, 2, -1)]


def test_edit_that_was_refused_is_not_remembered(stores: Stores) -> None:
    acquired(stores)

    with pytest.raises(LeaseLostError):
        stores.sensors.edit("files", Edit(NOON, "ann", status=STOPPED, if_epoch=0))

    assert stores.sensors.edits("files") == []


def test_edit_in_between_remembers_the_cursor_that_a_tick_left(stores: Stores) -> None:
    lease = acquired(stores)
    stores.sensors.commit(lease, completion(cursor="the tick's"))

    stores.sensors.edit("files", Edit(NOON + MINUTE, "ann", sets_cursor=True, cursor="mine"))

    assert stores.sensors.edits("files")[0].before == "the tick's"


def test_states_of_many_sensors_come_by_name_also_of_those_nothing_is_stored_of(stores: Stores) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", status=STOPPED))
    names = ["files", *(f"sensor_{number}" for number in range(120))]

    found = stores.sensors.get_many(names)

    assert list(found) == names
    assert found["files"] == stores.sensors.get("files")
    assert found["sensor_7"] == SensorState("sensor_7")
