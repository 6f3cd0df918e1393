"""The next attempt of a run: which requests may create it, and what the run remembers."""

from dataclasses import replace

import pytest

from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.launch.attempts import attempt_for_request, queue_next_attempt
from treadle.model.runs import Run

NOON = 1_795_370_400_000
ENDED = Run(
    "run",
    "job",
    "watch",
    "key",
    "first",
    "{}",
    {},
    NOON,
    status=Status.FAILURE,
    granted=2,
    reached={"1/0": {"QUEUED": NOON, "STARTED": NOON + 1, "FAILURE": NOON + 2}},
    updated_at=NOON + 2,
)
LATER = replace(ENDED, tick_id="later", run_config='{"v":2}', created_at=NOON + 9, retries=3)


def test_next_attempt_is_queued_and_checked_within_a_quarter_of_an_hour() -> None:
    run = queue_next_attempt(ENDED, NOON + 9)

    assert (run.attempt, run.status, run.reached["2/0"]) == (2, Status.QUEUED, {"QUEUED": NOON + 9})
    assert run.reached["1/0"] == ENDED.reached["1/0"]
    assert (run.updated_at, run.next_at) == (NOON + 9, NOON + 9 + 15 * 60_000)
    assert queue_next_attempt(ENDED, NOON).updated_at == ENDED.updated_at


@pytest.mark.parametrize(("committed_at", "is_created"), [(NOON - 1, False), (NOON, True), (NOON + 1, True)])
def test_request_that_was_committed_before_the_current_attempt_creates_none(
    committed_at: int, *, is_created: bool
) -> None:
    assert (attempt_for_request(ENDED, LATER, committed_at) is not None) is is_created


def test_next_attempt_has_what_its_request_says() -> None:
    run = attempt_for_request(ENDED, LATER, NOON)

    assert run is not None
    assert (run.tick_id, run.run_config, run.retries, run.granted) == ("later", '{"v":2}', 3, 2)


def test_changed_request_takes_the_key_of_a_run_that_never_started_though_no_attempt_is_left() -> None:
    refused = replace(ENDED, granted=1, reached={"1/0": {"QUEUED": NOON, "FAILURE": NOON}})
    repeated = replace(LATER, run_config="{}", retries=0)

    run = attempt_for_request(refused, replace(LATER, retries=0), NOON)

    assert run is not None
    assert (run.attempt, run.granted) == (2, 2)
    assert attempt_for_request(refused, repeated, NOON) is None


def test_run_remembers_the_hundred_latest_ticks_and_none_of_them_requests_two_attempts() -> None:
    ticks = tuple(f"tick {number}" for number in range(100))
    run = attempt_for_request(replace(ENDED, earlier_ticks=ticks), LATER, NOON)

    assert run is not None
    assert run.earlier_ticks == (*ticks[1:], "first")
    ended = replace(run, status=Status.FAILURE, granted=3)
    for tick in (*run.earlier_ticks, "later"):
        assert attempt_for_request(ended, replace(LATER, tick_id=tick), NOON + 99) is None
    assert attempt_for_request(ended, replace(LATER, tick_id="tick 0"), NOON + 99) is not None
