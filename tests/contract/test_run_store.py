"""What every `RunStore` guarantees: one record per id, one holder per claim, no write over another."""

from dataclasses import replace

from tests.contract.conftest import Stores
from treadle.definitions.status import DagsterRunStatus
from treadle.ports.runs import Claim, Failure, Run

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


def created(stores: Stores) -> Run:
    assert stores.runs.create(RUN) is None
    return RUN


def test_a_record_comes_back_as_it_was_put(stores: Stores) -> None:
    ended = replace(
        RUN,
        status=DagsterRunStatus.FAILURE,
        attempt=2,
        granted=3,
        claim=CLAIM,
        external_id="arn:x",
        target="arn:y",
        started_at=NOW + 1,
        ended_at=NOW + 2,
        failure=Failure("E", "cause", assumed=True),
        next_at=None,
    )

    assert stores.runs.create(ended) is None

    assert stores.runs.get("r1") == ended


def test_a_second_put_writes_nothing_and_shows_what_stands(stores: Stores) -> None:
    created(stores)

    standing = stores.runs.create(replace(RUN, tick_id="t2", run_config="{}"))

    assert standing == RUN
    assert stores.runs.get("r1") == RUN


def test_a_queued_attempt_is_claimed_once(stores: Stores) -> None:
    created(stores)

    mine = stores.runs.claim("r1", 1, CLAIM, Try(CLAIM.token, NOW, "arn"))
    theirs = stores.runs.claim("r1", 1, Claim("you", NOW + 200), Try("you", NOW + 50, "arn"))

    assert mine is not None
    assert theirs is not None
    assert (mine.claim, theirs.claim) == (CLAIM, CLAIM)


def test_a_claim_is_taken_over_only_when_it_has_expired(stores: Stores) -> None:
    created(stores)
    stores.runs.claim("r1", 1, CLAIM, Try(CLAIM.token, NOW, "arn"))

    early = stores.runs.claim("r1", 1, Claim("heir", NOW + 300), Try("heir", CLAIM.expires_at, "arn"))
    late = stores.runs.claim("r1", 1, Claim("heir", NOW + 300), Try("heir", CLAIM.expires_at + 1, "arn"))

    assert early is not None
    assert late is not None
    assert (early.claim, late.claim) == (CLAIM, Claim("heir", NOW + 300))


def test_claiming_again_with_the_same_token_keeps_the_claim(stores: Stores) -> None:
    created(stores)
    stores.runs.claim("r1", 1, CLAIM, Try(CLAIM.token, NOW, "arn"))

    again = stores.runs.claim("r1", 1, CLAIM, Try(CLAIM.token, NOW, "arn"))

    assert again is not None
    assert again.claim == CLAIM


def test_another_attempt_or_a_started_run_cannot_be_claimed(stores: Stores) -> None:
    created(stores)
    other = stores.runs.claim("r1", 2, CLAIM, Try(CLAIM.token, NOW, "arn"))
    assert other is not None
    assert other.claim is None

    stores.runs.replace(replace(RUN, status=DagsterRunStatus.STARTED))

    started = stores.runs.claim("r1", 1, CLAIM, Try(CLAIM.token, NOW, "arn"))
    assert started is not None
    assert started.claim is None


def test_an_unknown_run_cannot_be_claimed_and_is_not_made_by_it(stores: Stores) -> None:
    assert stores.runs.claim("r1", 1, CLAIM, Try(CLAIM.token, NOW, "arn")) is None
    assert stores.runs.get("r1") is None


def test_a_write_over_another_is_refused_and_shows_what_stands(stores: Stores) -> None:
    created(stores)
    assert stores.runs.replace(replace(RUN, external_id="first")) is None

    standing = stores.runs.replace(replace(RUN, external_id="second"))

    assert standing is not None
    assert (standing.external_id, standing.revision) == ("first", 1)


def test_only_runs_that_may_not_start_again_are_exhausted(stores: Stores) -> None:
    created(stores)
    stores.runs.create(replace(RUN, run_id="r2", granted=2))
    many = {f"unknown-{number}" for number in range(150)}

    assert stores.runs.exhausted(dict.fromkeys(["r1", "r2", *many])) == {"r1"}


def test_the_runs_of_a_sensor_come_newest_first(stores: Stores) -> None:
    for number in (1, 3, 2):
        stores.runs.create(replace(RUN, run_id=f"r{number}", created_at=NOW + number))
    stores.runs.create(replace(RUN, run_id="r9", sensor="other"))

    assert [run.run_id for run in stores.runs.of_sensor("files", 2)] == ["r3", "r2"]
