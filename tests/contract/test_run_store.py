"""What every `RunStore` guarantees: one record per id, one holder per claim, no write over another."""

from dataclasses import replace
from typing import cast

import pytest

from tests.contract.conftest import Stores
from treadle.adapters.dynamodb import runs as dynamodb_runs
from treadle.definitions.errors import StoreRejectedError
from treadle.definitions.runs import ASSET_SELECTION_TAG, StepFailure, assets_of
from treadle.definitions.status import DagsterRunStatus
from treadle.model.run_queries import RunQuery
from treadle.model.runs import (
    Cancellation,
    Claim,
    Failure,
    KeyState,
    LaunchBackoff,
    OperatorEdit,
    PendingStart,
    PollCheckpoint,
    RetryGrant,
    Run,
    Unanswered,
    request_digest,
)
from treadle.testing import stores as memory_stores

NOW = 1_795_348_800_000
RUN = Run(
    run_id="r1",
    job="process",
    sensor="files",
    run_key="k1",
    tick_id="t1",
    run_config='{"key":"ü"}',
    tags={"a": "b"},
    created_at=NOW,
    partition_key="2026-11",
    reached={"1/0": {"QUEUED": NOW}},
    next_at=NOW + 5,
)
CLAIM = Claim("me", NOW + 100)
TRY = PendingStart("me", NOW, "arn:y", role="arn:r")


def created(stores: Stores) -> Run:
    assert stores.runs.create(RUN) is None
    return RUN


def test_records_are_created_together_as_one_after_the_other(stores: Stores) -> None:
    created(stores)
    taken = replace(RUN, tick_id="another tick")
    given = [replace(RUN, run_id=f"r{number}", tick_id=f"t{number}") for number in range(2, 60)]

    assert stores.runs.create_many([*given, taken]) == [None] * 58 + [RUN]

    assert stores.runs.get_many([run.run_id for run in [RUN, *given]]) == {
        run.run_id: run for run in [RUN, *given]
    }


@pytest.mark.parametrize("number", [0, 1, 2])
def test_a_few_records_are_created_together(stores: Stores, number: int) -> None:
    given = [replace(RUN, run_id=f"r{each}") for each in range(number)]

    assert stores.runs.create_many(given) == [None] * number

    assert list(stores.runs.get_many([run.run_id for run in given]).values()) == given


def test_a_record_that_is_given_twice_is_created_once(stores: Stores) -> None:
    again = replace(RUN, tick_id="another tick")
    other = replace(RUN, run_id="r2")

    assert stores.runs.create_many([RUN, again, other]) == [None, RUN, None]

    assert stores.runs.get("r1") == RUN


def test_a_record_that_the_store_refuses_fails_no_other_one(stores: Stores) -> None:
    if not isinstance(stores.runs, dynamodb_runs.DynamoRunStore):
        pytest.skip("memory takes records of any size")
    large = replace(RUN, run_id="large", run_config="x" * 500_000)
    others = [replace(RUN, run_id=f"r{number}") for number in (2, 3)]

    first, refused, last = stores.runs.create_many([others[0], large, others[1]])

    assert (first, last) == (None, None)
    assert isinstance(refused, StoreRejectedError)
    assert [stores.runs.get(run.run_id) for run in (others[0], large, others[1])] == [
        others[0],
        None,
        others[1],
    ]


def test_a_record_that_cannot_be_encoded_fails_no_other_one(stores: Stores) -> None:
    if not isinstance(stores.runs, dynamodb_runs.DynamoRunStore):
        pytest.skip("memory takes any value")
    broken = replace(RUN, run_id="broken", tags=cast("dict[str, str]", {"a": object()}))
    others = [replace(RUN, run_id=f"r{number}") for number in (2, 3)]

    first, refused, last = stores.runs.create_many([others[0], broken, others[1]])

    assert (first, last) == (None, None)
    assert isinstance(refused, TypeError)
    assert stores.runs.get("broken") is None
    assert stores.runs.get("r3") == others[1]


def test_records_are_replaced_together_as_one_after_the_other(stores: Stores) -> None:
    before = [replace(RUN, run_id=f"r{number}") for number in range(40)]
    assert stores.runs.create_many(before) == [None] * 40
    taken = replace(before[7], updated_at=NOW + 1)
    assert stores.runs.replace(taken) is None
    changed = [
        replace(
            run, status=DagsterRunStatus.SUCCESS, ended_at=NOW, next_at=None, claim=CLAIM, pending_start=TRY
        )
        for run in before
    ]

    results = stores.runs.replace_many(list(zip(changed, before, strict=True)))

    kept = replace(taken, revision=taken.revision + 1)
    after = [replace(run, revision=run.revision + 1) for run in changed]
    after[7] = kept
    assert results == [kept if number == 7 else None for number in range(40)]
    assert [stores.runs.get(run.run_id) for run in before] == after
    assert len(stores.runs.due(NOW + 10, 50)) == 1


def test_a_record_comes_back_as_it_was_put(stores: Stores) -> None:
    ended = replace(
        RUN,
        status=DagsterRunStatus.FAILURE,
        attempt=2,
        granted=3,
        retries=4,
        allowances=(RetryGrant(3, "somebody", NOW + 3),),
        edits=(OperatorEdit(NOW + 3, "somebody", "set its priority to 7"),),
        earlier_ticks=("tick-1", "tick-2"),
        claim=CLAIM,
        pending_start=PendingStart("me", NOW, "arn:y"),
        unseen_at=NOW + 4,
        denied_at=NOW + 5,
        delayed=LaunchBackoff("throttled", NOW + 5, NOW + 25),
        unanswered=Unanswered("denied", NOW + 6, NOW + 7),
        cancellations=(Cancellation(1, 0, "MaxRuntimeExceededError", "too long", NOW + 8, "slow down"),),
        external_id="arn:x",
        target="arn:y",
        started_at=NOW + 1,
        ended_at=NOW + 2,
        failure=Failure("E", "cause", assumed=True, steps=(StepFailure("load", "States.Timeout", "slow"),)),
        next_at=None,
    )

    assert stores.runs.create(ended) is None

    assert stores.runs.get("r1") == ended


def test_a_run_that_its_policy_retries_is_due_at_that_time_and_its_key_is_taken(stores: Stores) -> None:
    waiting = replace(
        RUN,
        status=DagsterRunStatus.FAILURE,
        reached={"1/0": {"QUEUED": NOW, "STARTED": NOW, "FAILURE": NOW + 2}},
        retries=4,
        policy_retries=2,
        started_at=NOW,
        ended_at=NOW + 2,
        retry_at=NOW + 9,
        next_at=NOW + 9,
    )

    assert stores.runs.create(waiting) is None

    assert stores.runs.get("r1") == waiting
    assert stores.runs.due(NOW + 8, 10) == []
    assert stores.runs.due(NOW + 9, 10) == ["r1"]
    assert stores.runs.key_states({"r1": "another"}) == {"r1": KeyState.TAKEN}


def test_a_second_put_writes_nothing_and_shows_what_stands(stores: Stores) -> None:
    created(stores)

    existing = stores.runs.create(replace(RUN, tick_id="t2", run_config="{}"))

    assert existing == RUN
    assert stores.runs.get("r1") == RUN


def test_a_queued_attempt_is_claimed_once(stores: Stores) -> None:
    created(stores)

    mine = stores.runs.claim("r1", RUN.job, 1, CLAIM, TRY)
    theirs = stores.runs.claim(
        "r1", RUN.job, 1, Claim("you", NOW + 200), PendingStart("you", NOW + 50, "arn")
    )

    assert mine is not None
    assert theirs is not None
    assert (mine.claim, theirs.claim) == (CLAIM, CLAIM)


@pytest.mark.parametrize(
    "start",
    [
        PendingStart("me", NOW, "", role=""),
        PendingStart("me", NOW, "arn", "step_functions", {}, ""),
        PendingStart("me", NOW, "arn", "ecs", {"cluster": "c"}, "arn:role"),
    ],
    ids=["no target", "no role", "all"],
)
def test_claims_of_several_runs_are_those_of_each_alone(stores: Stores, start: PendingStart) -> None:
    runs = [replace(RUN, run_id=f"r{number}") for number in range(3)]
    for run in runs:
        assert stores.runs.create(run) is None
    alone = stores.runs.claim("r0", RUN.job, 1, CLAIM, start)

    results = stores.runs.replace_many(
        [(replace(run, claim=CLAIM, pending_start=start), run) for run in runs[1:]]
    )

    assert results == [None, None]
    assert alone is not None
    assert alone == replace(runs[0], claim=CLAIM, pending_start=start, revision=1)
    assert stores.runs.get_many(["r1", "r2"]) == {
        run_id: replace(alone, run_id=run_id) for run_id in ("r1", "r2")
    }


def test_a_claim_is_taken_over_only_when_it_has_expired(stores: Stores) -> None:
    created(stores)
    stores.runs.claim("r1", RUN.job, 1, CLAIM, TRY)

    early = stores.runs.claim(
        "r1", RUN.job, 1, Claim("heir", NOW + 300), PendingStart("heir", CLAIM.expires_at, "arn")
    )
    late = stores.runs.claim(
        "r1", RUN.job, 1, Claim("heir", NOW + 300), PendingStart("heir", CLAIM.expires_at + 1, "arn")
    )

    assert early is not None
    assert late is not None
    assert (early.claim, late.claim) == (CLAIM, Claim("heir", NOW + 300))


def test_claiming_again_with_the_same_token_keeps_the_claim(stores: Stores) -> None:
    created(stores)
    stores.runs.claim("r1", RUN.job, 1, CLAIM, TRY)

    again = stores.runs.claim("r1", RUN.job, 1, CLAIM, TRY)

    assert again is not None
    assert again.claim == CLAIM


def test_a_run_is_not_claimed_for_another_job(stores: Stores) -> None:
    created(stores)

    existing = stores.runs.claim("r1", "another", 1, CLAIM, TRY)

    assert existing == RUN
    assert stores.runs.get("r1") == RUN


def test_the_first_try_is_noted_with_its_claim_and_stays_when_that_is_taken_over(stores: Stores) -> None:
    created(stores)
    mine = stores.runs.claim("r1", RUN.job, 1, CLAIM, TRY)
    later = CLAIM.expires_at + 1

    heirs = stores.runs.claim(
        "r1", RUN.job, 1, Claim("heir", later + 100), PendingStart("heir", later, "arn:z")
    )

    assert mine is not None
    assert heirs is not None
    assert (mine.pending_start, heirs.pending_start) == (TRY, TRY)


def test_another_attempt_or_a_started_run_cannot_be_claimed(stores: Stores) -> None:
    created(stores)
    other = stores.runs.claim("r1", RUN.job, 2, CLAIM, TRY)
    assert other is not None
    assert other.claim is None

    stores.runs.replace(replace(RUN, status=DagsterRunStatus.STARTED))

    started = stores.runs.claim("r1", RUN.job, 1, CLAIM, TRY)
    assert started is not None
    assert started.claim is None


def test_an_unknown_run_cannot_be_claimed_and_is_not_made_by_it(stores: Stores) -> None:
    assert stores.runs.claim("r1", RUN.job, 1, CLAIM, TRY) is None
    assert stores.runs.get("r1") is None


def test_a_write_over_another_is_refused_and_shows_what_stands(stores: Stores) -> None:
    created(stores)
    assert stores.runs.replace(replace(RUN, external_id="first")) is None

    existing = stores.runs.replace(replace(RUN, external_id="second"))

    assert existing is not None
    assert (existing.external_id, existing.revision) == ("first", 1)


def test_a_key_is_open_exactly_as_long_as_its_run_may_start_again(stores: Stores) -> None:
    created(stores)
    stores.runs.create(replace(RUN, run_id="r2", granted=2))
    many = {f"unknown-{number}" for number in range(150)}

    states = stores.runs.key_states(dict.fromkeys(["r1", "r2", *many]))

    assert states == {"r1": KeyState.TAKEN, "r2": KeyState.OPEN}


def test_the_key_of_a_run_that_never_reached_its_target_is_taken_for_the_same_request_only(
    stores: Stores,
) -> None:
    rejected = replace(
        RUN, status=DagsterRunStatus.FAILURE, next_at=None, failure=Failure("E", "c", assumed=True)
    )
    stores.runs.create(rejected)
    stores.runs.create(replace(rejected, run_id="r2", pending_start=TRY))
    same = request_digest(RUN.job, RUN.run_config, RUN.partition_key)

    for request_id, state in ((same, KeyState.TAKEN), ("another", KeyState.OPEN), (None, KeyState.OPEN)):
        assert stores.runs.key_states({"r1": request_id, "r2": request_id}) == {
            "r1": state,
            "r2": KeyState.TAKEN,
        }


def test_key_of_a_run_for_some_assets_is_taken_for_the_same_assets_only(stores: Stores) -> None:
    tags = {**RUN.tags, ASSET_SELECTION_TAG: '["a","b\\\\/c"]'}
    stores.runs.create(replace(RUN, tags=tags, status=DagsterRunStatus.FAILURE, next_at=None))

    for selected, state in (
        (tags, KeyState.TAKEN),
        ({}, KeyState.OPEN),
        ({ASSET_SELECTION_TAG: "[]"}, KeyState.OPEN),
    ):
        requested = request_digest(RUN.job, RUN.run_config, RUN.partition_key, selected)
        assert stores.runs.key_states({"r1": requested}) == {"r1": state}
    stored = stores.runs.get("r1")
    assert stored is not None
    assert assets_of(stored.tags) == ["a", "b\\/c"]


def test_a_run_that_was_started_and_has_no_attempt_left_is_settled(stores: Stores) -> None:
    """An attempt that is queued may still turn out never to reach its target."""
    started = {"1/0": {"QUEUED": 1, "STARTED": 2}}
    created(stores)
    stores.runs.create(replace(RUN, run_id="r2", reached=started))
    stores.runs.create(replace(RUN, run_id="r3", reached=started, granted=2))
    stores.runs.create(replace(RUN, run_id="r4", reached=started, granted=2, attempt=2))

    assert stores.runs.key_states(dict.fromkeys(["r1", "r2", "r3", "r4"])) == {
        "r1": KeyState.TAKEN,
        "r2": KeyState.SETTLED,
        "r3": KeyState.OPEN,
        "r4": KeyState.SETTLED,
    }


def test_any_number_of_keys_is_looked_up(stores: Stores) -> None:
    for number in range(3):
        stores.runs.create(replace(RUN, run_id=f"many-{number * 150}"))

    many = dict.fromkeys(f"many-{number}" for number in range(450))

    assert set(stores.runs.key_states(many)) == {"many-0", "many-150", "many-300"}


def test_retries_count_until_the_run_has_succeeded(stores: Stores) -> None:
    for status in DagsterRunStatus:
        stores.runs.create(replace(RUN, run_id=status.value, status=status, retries=1, pending_start=TRY))

    states = stores.runs.key_states(dict.fromkeys(DagsterRunStatus))
    assert {run_id for run_id, state in states.items() if state is not KeyState.OPEN} == {"SUCCESS"}


def test_runs_are_due_from_their_time_on_until_they_have_ended(stores: Stores) -> None:
    for number in range(20):
        stores.runs.create(replace(RUN, run_id=f"r{number}", next_at=NOW + number))
    stores.runs.create(replace(RUN, run_id="ended", next_at=None))

    assert set(stores.runs.due(NOW + 4, 100)) == {"r0", "r1", "r2", "r3", "r4"}
    assert stores.runs.due(NOW + 30, 3) == ["r0", "r1", "r2"]
    assert stores.runs.due(NOW - 1, 100) == []


def test_the_runs_of_a_sensor_come_newest_first(stores: Stores) -> None:
    for number in (1, 3, 2):
        stores.runs.create(replace(RUN, run_id=f"r{number}", created_at=NOW + number))
    stores.runs.create(replace(RUN, run_id="r9", sensor="other"))

    assert [run.run_id for run in stores.runs.list_by_sensor("files", 2)] == ["r3", "r2"]


def test_run_that_no_sensor_requested_is_kept_and_found_by_its_job(stores: Stores) -> None:
    observed = replace(RUN, run_id="r9", sensor="", run_key=None)

    assert stores.runs.create(observed) is None

    assert stores.runs.get("r9") == observed
    assert stores.runs.find(RunQuery(job="process")) == [observed]


def test_how_far_a_job_was_scanned_is_kept_and_is_no_run(stores: Stores) -> None:
    assert stores.runs.poll_checkpoint("process") is None

    under_way = PollCheckpoint(done_at=NOW, again_at=NOW + 5, began_at=NOW + 3, down_to=NOW + 1)
    stores.runs.put_poll_checkpoint("process", under_way)
    stores.runs.put_poll_checkpoint("other", PollCheckpoint(NOW, NOW + 9))

    assert stores.runs.poll_checkpoint("process") == under_way
    assert stores.runs.poll_checkpoint("other") == PollCheckpoint(NOW, NOW + 9)
    assert stores.runs.get("look#process") is None
    assert stores.runs.get_many(["look#process"]) == {}
    assert stores.runs.find(RunQuery(job="process")) == []
    assert stores.runs.due(NOW + 10, 5) == []


def test_check_that_is_older_than_the_one_that_is_kept_is_not_kept(stores: Stores) -> None:
    stores.runs.put_poll_checkpoint("process", PollCheckpoint(NOW, NOW + 5, NOW + 3, NOW + 1))
    stores.runs.put_poll_checkpoint("process", PollCheckpoint(NOW + 3, NOW + 9))

    stores.runs.put_poll_checkpoint("process", PollCheckpoint(NOW, NOW + 7, NOW + 3, NOW + 1))

    assert stores.runs.poll_checkpoint("process") == PollCheckpoint(NOW + 3, NOW + 9)


def test_ids_are_found_by_their_first_characters_newest_first(stores: Stores) -> None:
    for number, (run_id, job) in enumerate(
        (("ab-1", "process"), ("ac-2", "process"), ("ab-3", "process"), ("ab-4", "other"))
    ):
        assert stores.runs.create(replace(RUN, run_id=run_id, job=job, created_at=NOW + number)) is None

    assert stores.runs.ids_beginning("ab", "process") == ["ab-3", "ab-1"]
    assert stores.runs.ids_beginning("ab-4", "process") == []
    assert stores.runs.ids_beginning("", "other") == ["ab-4"]


def test_only_the_newest_runs_are_searched(stores: Stores, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (dynamodb_runs, memory_stores):
        monkeypatch.setattr(module, "MOST_SEARCHED", 2)
    for number in range(3):
        assert stores.runs.create(replace(RUN, run_id=f"r{number}", created_at=NOW + number)) is None

    assert stores.runs.ids_beginning("r", "process") == ["r2", "r1"]
