"""What every `RunStore` stores of a pending start."""

from dataclasses import replace

import pytest

from tests.contract.conftest import Stores
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.model.runs import Claim, PendingStart, Run

NOW = 1_795_348_800_000
RUN = Run("r1", "load", "files", "k1", "t1", "{}", {}, NOW, reached={"1/0": {"QUEUED": NOW}})
FIRST = PendingStart("me", NOW, "arn:definition", "batch", {"queue": "arn:queue"}, "arn:role")


def test_first_try_is_kept_whole_until_it_is_settled(stores: Stores) -> None:
    stores.runs.create(RUN)

    stores.runs.claim("r1", RUN.job, 1, Claim("me", NOW + 1), FIRST)
    again = stores.runs.claim(
        "r1",
        RUN.job,
        1,
        Claim("heir", NOW + 9),
        PendingStart("heir", NOW + 5, "arn:other", "glue", {}, "arn:another"),
    )

    assert again is not None
    assert (again.claim, again.pending_start) == (Claim("heir", NOW + 9), FIRST)
    assert stores.runs.get("r1") == again


def test_try_without_options_and_role_gets_none_of_a_later_one(stores: Stores) -> None:
    bare = PendingStart("me", NOW, "arn:machine", "step_functions", role="")
    stores.runs.create(RUN)
    stores.runs.claim("r1", RUN.job, 1, Claim("me", NOW + 1), bare)

    again = stores.runs.claim(
        "r1", RUN.job, 1, Claim("heir", NOW + 9), replace(FIRST, token="heir", at=NOW + 5)
    )

    assert again is not None
    assert again.pending_start == bare


@pytest.mark.parametrize("target", ["arn:definition", "arn:definition:7", None])
def test_start_of_a_started_run_comes_back_without_its_token(stores: Stores, target: str | None) -> None:
    started = replace(
        RUN, status=Status.STARTED, pending_start=replace(FIRST, token=""), target=target, external_id="e"
    )

    stores.runs.create(started)

    assert stores.runs.get("r1") == started


def test_record_with_a_pending_start_comes_back_as_it_was_written(stores: Stores) -> None:
    doubtful = replace(RUN, pending_start=FIRST, unseen_at=NOW + 3)

    stores.runs.create(doubtful)

    assert stores.runs.get("r1") == doubtful
