"""What every `SensorStore` guarantees of the project that a sensor's state belongs to."""

from dataclasses import replace

import pytest

from tests.contract.conftest import Stores
from tests.contract.test_sensor_store import LONG, MINUTE, NOON, completion, request, tick
from treadle.definitions.errors import LeaseLostError
from treadle.definitions.status import InstigatorStatus
from treadle.model.sensors import Edit, Lease, Refused


def test_first_lease_takes_a_state_of_no_project_and_others_get_none(stores: Stores) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor="c"))

    taken = stores.sensors.acquire(request(project="shop"))
    assert isinstance(taken, Lease)
    stores.sensors.commit(taken, completion())
    before = stores.sensors.get("files")
    refused = stores.sensors.acquire(request(NOON + MINUTE, project="lake"))

    assert (taken.before.project, taken.before.cursor, before.project) == (None, "c", "shop")
    assert isinstance(refused, Refused)
    assert refused.state is not None
    assert (refused.state, refused.state.project) == (before, "shop")
    assert stores.sensors.get("files") == before
    assert isinstance(stores.sensors.acquire(request(NOON + MINUTE, project="shop")), Lease)


def test_request_at_once_takes_no_state_of_another_project(stores: Stores) -> None:
    stores.sensors.claim("files", "shop")

    assert isinstance(stores.sensors.acquire(request(project="lake", at_once=True)), Refused)


def test_request_that_names_no_project_gets_a_lease_and_changes_no_owner(stores: Stores) -> None:
    """The function is of a template that does not say it yet."""
    stores.sensors.claim("files", "shop")

    assert isinstance(stores.sensors.acquire(request()), Lease)
    assert stores.sensors.get("files").project == "shop"


def test_repeated_request_of_a_project_gets_the_same_lease(stores: Stores) -> None:
    before = stores.sensors.acquire(request())
    assert isinstance(before, Lease)
    stores.sensors.commit(before, completion())
    wanted = request(NOON + MINUTE, project="shop")
    first = stores.sensors.acquire(wanted)

    assert stores.sensors.acquire(wanted) == first
    assert isinstance(first, Lease)


def test_the_first_claim_holds_and_says_so_to_the_second(stores: Stores) -> None:
    claims = [stores.sensors.claim("files", project) for project in ("shop", "shop", "lake")]

    assert [state.project for state in claims] == ["shop"] * 3
    assert stores.sensors.get("files").epoch == 0


def test_claim_leaves_a_lease_as_it_is(stores: Stores) -> None:
    lease = stores.sensors.acquire(request())
    assert isinstance(lease, Lease)

    stores.sensors.claim("files", "shop")
    stores.sensors.commit(lease, completion(cursor="c"))

    state = stores.sensors.get("files")
    assert (state.project, state.cursor) == ("shop", "c")


@pytest.mark.parametrize("fresh", [True, False])
@pytest.mark.parametrize("cursor", ["short", LONG])
def test_state_goes_to_another_project_with_its_cursor_or_without(
    stores: Stores, cursor: str, fresh: bool
) -> None:
    taken = stores.sensors.acquire(request(project="shop"))
    assert isinstance(taken, Lease)
    failing = completion(
        cursor=cursor, failure_streak=3, last_run_key="k", resume_at=NOON + MINUTE, paused="three failures"
    )
    stores.sensors.commit(taken, failing)

    state = stores.sensors.edit("files", Edit(NOON + 9, "ann", project="lake", sets_cursor=fresh))

    assert state == stores.sensors.get("files")
    assert state.project == "lake"
    assert stores.sensors.cursor(state) == (None if fresh else cursor)
    left = (state.last_run_key, state.failure_streak, state.resume_at, state.paused)
    assert left == ((None, 0, None, None) if fresh else ("k", 3, NOON + MINUTE, "three failures"))
    assert state.started_at == (NOON + 9 if fresh else NOON + 1_000)
    assert (state.status, state.epoch) == (InstigatorStatus.STOPPED, 2)


def test_tick_in_flight_of_the_project_before_commits_nothing(stores: Stores) -> None:
    lease = stores.sensors.acquire(request(project="shop"))
    assert isinstance(lease, Lease)

    adopted = stores.sensors.edit("files", Edit(NOON, "ann", project="lake"))

    with pytest.raises(LeaseLostError):
        stores.sensors.commit(lease, completion(cursor="the tick's", ticks=(tick(),)))
    assert stores.sensors.get("files") == adopted
    late = request(NOON + 20 * MINUTE)
    assert isinstance(stores.sensors.acquire(replace(late, project="shop")), Refused)
    assert isinstance(stores.sensors.acquire(replace(late, project="lake")), Lease)


def test_change_of_the_project_is_remembered_with_the_cursor_that_it_cleared(stores: Stores) -> None:
    stores.sensors.edit("files", Edit(NOON, "ann", project="shop"))
    stores.sensors.edit("files", Edit(NOON, "ann", sets_cursor=True, cursor="c7"))
    stores.sensors.edit("files", Edit(NOON, "ben", project="lake", sets_cursor=True))
    stores.sensors.edit("files", Edit(NOON, "ben", project="pond", sets_cursor=True))

    found = [(each.by, each.action, each.before, each.after) for each in stores.sensors.edits("files")]

    assert found == [
        ("ben", "adopt_fresh", "lake", "pond"),
        ("ben", "adopt_fresh", "shop, cursor c7", "lake"),
        ("ann", "set_cursor", None, "c7"),
        ("ann", "adopt", "no project", "shop"),
    ]
