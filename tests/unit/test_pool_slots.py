"""The slots of a run's pools in its record: at which place it waits, which of them it keeps, and which are in doubt."""

from dataclasses import replace

import pytest

from tests.support.launching import NOON
from treadle.definitions.max_runtime import START_TIMEOUT_TAG
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.record.pool_slots import pools_needed, with_pools, with_priority, with_slots, with_wait
from treadle.model.pools import BEYOND, Overlap, PoolWait, Slot
from treadle.model.runs import PendingStart, Reached, Run

RUN = Run("r", "load", "watch", "k", "tick", "{}", {}, NOON, pools=("apis", "warehouse"))
UNNAMED = PendingStart("token", NOON, "")


def test_run_waits_for_the_first_of_its_pools_since_its_attempt_was_queued() -> None:
    run = replace(RUN, attempt=2, reached={"2/0": {"QUEUED": NOON + 5}})

    assert with_wait(run).waiting == PoolWait("apis", f"1000000/{NOON + 5:015}/000000/r", NOON + 5)


def test_run_with_a_start_timeout_is_checked_at_its_end() -> None:
    run = with_wait(replace(RUN, tags={START_TIMEOUT_TAG: "90"}))

    assert run.next_at == NOON + 90_000


def test_new_priority_keeps_the_position_among_requests_of_the_same_time() -> None:
    run = with_priority(with_wait(RUN, requested=(NOON, 7)), 5)

    assert run.waiting is not None
    assert run.waiting.order == f"0999995/{NOON:015}/000007/r"


@pytest.mark.parametrize(
    ("slot", "needed"),
    [
        (Slot("job:load", 1, 1), ("apis",)),
        (Slot("job:load", BEYOND, 1), ("apis", "job:load")),
        (Slot("apis", 1, 1), ("apis", "job:load")),
    ],
)
def test_only_a_counted_slot_of_the_jobs_own_pool_is_kept_for_a_retry(
    slot: Slot, needed: tuple[str, ...]
) -> None:
    run = replace(RUN, pools=("apis", "job:load"), slots=(slot,), overlap=Overlap.SKIP)

    assert pools_needed(run) == needed


def test_slot_of_a_pool_that_the_run_has_left_is_returned_at_the_end() -> None:
    run = replace(
        RUN, pools=(), slots=(Slot("apis", 1, 1),), reached={"1/0": {"STARTED": NOON, "SUCCESS": NOON}}
    )

    assert with_slots(replace(run, status=Status.SUCCESS)).slots == ()


@pytest.mark.parametrize(
    ("reached", "pending_start", "is_kept"),
    [
        ({"2/0": {"STARTED": NOON}}, None, True),
        ({"2/0": {"QUEUED": NOON}}, replace(UNNAMED, target="memory:load"), True),
        ({"2/0": {"QUEUED": NOON}}, UNNAMED, False),
        ({"1/0": {"STARTED": NOON, "FAILURE": NOON}, "2/0": {"QUEUED": NOON}}, None, False),
    ],
    ids=["started", "start sent", "start not sent", "never started"],
)
def test_inferred_end_returns_the_slot_only_if_the_attempt_cannot_have_reached_its_target(
    reached: Reached, pending_start: PendingStart | None, *, is_kept: bool
) -> None:
    slot = Slot("apis", 1, 2)
    run = replace(RUN, pools=("apis",), slots=(slot,), attempt=2, status=Status.FAILURE)

    found = with_slots(replace(run, reached=reached, pending_start=pending_start))

    assert found.slots == ((slot,) if is_kept else ())


@pytest.mark.parametrize(("status", "attempt"), [(Status.QUEUED, 2), (Status.SUCCESS, 1)])
def test_slot_is_kept_until_its_own_attempt_has_ended(status: Status, attempt: int) -> None:
    """As that of one that was granted it, and is not started yet; or of an earlier one, whose end is not known."""
    slot = Slot("apis", 1, attempt)
    run = replace(RUN, pools=("apis",), slots=(slot,), attempt=2, status=status)

    assert with_slots(replace(run, reached={"1/0": {"QUEUED": NOON}, "2/0": {status: NOON}})).slots == (slot,)


def test_run_that_has_ended_enters_no_pool() -> None:
    run = replace(RUN, status=Status.SUCCESS, reached={"1/0": {"SUCCESS": NOON}})

    assert with_pools(run, ("zoo",)) == run
