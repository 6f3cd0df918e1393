"""LAUNCH: claims an attempt and starts it under its launch id; what cannot be started ends visibly."""

import json
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import ARN, JOB, EngineHarness
from tests.support.launching import MESSAGE, NOON, RUN_ID, SECONDS, launch, queue_run, resent
from treadle.definitions.errors import (
    LaunchDelayedError,
    UnknownEventError,
)
from treadle.definitions.status import DagsterRunStatus as Status
from treadle.engine.identity import leased_tick_id
from treadle.engine.launch.launcher import (
    MAX_DELAY_SECONDS,
    TAKEOVER_MARGIN_MS,
    start_of,
)
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision
from treadle.model.runs import Claim, PendingStart, Run
from treadle.model.targets import Execution, Start
from treadle.testing.targets import InMemoryTarget


@pytest.fixture
def queued(harness: EngineHarness) -> Run:
    """A run that DISPATCH has just recorded."""
    return queue_run(harness)


def test_attempt_is_started_under_its_launch_id_and_the_run_says_so(
    harness: EngineHarness, queued: Run
) -> None:
    harness.clock.advance(2)

    outcome = launch(harness)

    run = harness.only_run()
    (start,) = harness.target.starts
    assert (start.launch_id, start.settings.arn) == (f"{RUN_ID}-1", ARN)
    assert (outcome.decision, outcome.subject, outcome.count) == (Decision.LAUNCHED, f"{RUN_ID}-1", 1)
    assert (run.status, run.external_id, run.target) == (Status.STARTED, f"{ARN}:{RUN_ID}-1", ARN)
    assert (run.started_at, run.next_at) == (NOON + 2_000, queued.next_at)
    assert run.reached["1/0"] == {"QUEUED": NOON, "STARTING": NOON + 2_000, "STARTED": NOON + 2_000}
    assert resent(harness) == []


def test_latency_is_from_the_tick_s_time_to_the_start_of_the_first_attempt_only(
    harness: EngineHarness, queued: Run
) -> None:
    requested = replace(queued, tick_id=leased_tick_id(NOON - 5_000, 7))
    harness.tables.runs[RUN_ID] = requested
    harness.clock.advance(2)

    assert launch(harness).latency == 7_000

    harness.tables.runs[RUN_ID] = replace(requested, attempt=2)
    assert launch(harness, 2).latency is None


def test_job_receives_the_run_as_canonical_json(harness: EngineHarness, queued: Run) -> None:
    launch(harness)

    payload = harness.target.starts[0].payload
    assert json.loads(payload) == {
        "run_id": RUN_ID,
        "launch_id": f"{RUN_ID}-1",
        "attempt": 1,
        "job": JOB,
        "sensor": "watch",
        "run_key": "k",
        "partition_key": "p",
        "tags": {"t": "1"},
        "run_config": {"a": 1},
    }
    assert payload == json.dumps(json.loads(payload), sort_keys=True, separators=(",", ":"))


def test_run_is_claimed_before_it_is_started(harness: EngineHarness, queued: Run) -> None:
    claims: list[Claim | None] = []

    class ProbingTarget(InMemoryTarget):
        def start(self, start: Start) -> Execution:
            claims.append(harness.only_run().claim)
            return super().start(start)

    harness.target = ProbingTarget(harness.clock)
    launch(harness)

    assert claims == [Claim(f"{1:036d}", NOON + SECONDS * 1000 + TAKEOVER_MARGIN_MS)]


@pytest.mark.parametrize("seconds", [0, 3_600], ids=["claim alive", "claim run out"])
def test_second_message_for_a_started_attempt_starts_nothing(
    harness: EngineHarness, queued: Run, seconds: int
) -> None:
    launch(harness)
    harness.clock.advance(seconds)

    outcome = launch(harness)

    assert outcome.decision is Decision.DUPLICATE
    assert outcome.reason == "Attempt 1 was already launched: the run is at attempt 1, STARTED."
    assert (len(harness.target.starts), resent(harness)) == (1, [])


@pytest.mark.parametrize("claim", [None, Claim("other", NOON + 60_000)], ids=["free", "claimed"])
@pytest.mark.parametrize("attempt", [1, 3])
def test_message_for_another_attempt_than_the_present_starts_nothing(
    harness: EngineHarness, queued: Run, attempt: int, claim: Claim | None
) -> None:
    harness.tables.runs[RUN_ID] = replace(queued, attempt=2, claim=claim)

    outcome = launch(harness, attempt)

    assert (outcome.decision, harness.target.starts, resent(harness)) == (Decision.DUPLICATE, [], [])


def test_message_for_a_run_that_was_never_recorded_is_unknown(harness: EngineHarness) -> None:
    with pytest.raises(UnknownEventError, match=f"names an unknown run: {RUN_ID} of job 'process_file'"):
        launch(harness)


def test_message_that_names_another_job_than_the_run_has_starts_nothing(
    harness: EngineHarness, queued: Run
) -> None:
    with pytest.raises(UnknownEventError, match="of job 'other'"):
        harness.launcher().launch(LaunchRequest(RUN_ID, 1, "other"), SECONDS)

    assert harness.target.starts == []


@pytest.mark.parametrize(
    ("milliseconds", "delay"), [(45_000, 46), (999, 1), (0, 1), (10_000_000, MAX_DELAY_SECONDS)]
)
def test_attempt_that_another_launch_holds_is_checked_when_that_can_act_no_more(
    harness: EngineHarness, queued: Run, milliseconds: int, delay: int
) -> None:
    held = replace(queued, claim=Claim("other", NOON + milliseconds))
    harness.tables.runs[RUN_ID] = held

    outcome = launch(harness)

    assert outcome.decision is Decision.DELAYED
    assert "Another launch holds the claim until 2026-11-22T" in outcome.reason
    assert resent(harness) == [({**MESSAGE, "hops": 1}, delay)]
    assert (harness.only_run(), harness.target.starts) == (held, [])


def test_claim_of_a_launch_that_died_is_taken_over_under_the_same_launch_id(
    harness: EngineHarness, queued: Run
) -> None:
    claim = Claim("dead", NOON + SECONDS * 1000 + TAKEOVER_MARGIN_MS)
    harness.runs.claim(RUN_ID, JOB, 1, claim, PendingStart("dead", NOON, ARN))
    harness.target.start(start_of(harness.only_run(), harness.jobs[JOB]))

    harness.clock.time = claim.expires_at + 1
    outcome = launch(harness)

    assert outcome.decision is Decision.LAUNCHED
    assert [start.launch_id for start in harness.target.starts] == [f"{RUN_ID}-1"] * 2
    assert len(harness.target.executions) == 1
    assert harness.only_run().started_at == NOON


def test_what_the_target_reported_before_the_launch_could_write_stays(
    harness: EngineHarness, queued: Run
) -> None:
    """I7: a short job has ended before its start is noted."""

    class QuickTarget(InMemoryTarget):
        def start(self, start: Start) -> Execution:
            execution = super().start(start)
            harness.recorder().record(harness.change(harness.only_run(), Status.SUCCESS))
            return execution

    harness.target = QuickTarget(harness.clock)
    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, run.status, run.external_id) == (
        Decision.LAUNCHED,
        Status.SUCCESS,
        f"{ARN}:{RUN_ID}-1",
    )


def test_claim_that_another_launch_has_taken_over_is_not_released(
    harness: EngineHarness, queued: Run
) -> None:
    other = Claim("other", NOON + 10_000_000)

    class PausedTarget(InMemoryTarget):
        def start(self, start: Start) -> Execution:
            harness.clock.advance(SECONDS + 61)
            harness.runs.claim(RUN_ID, JOB, 1, other, PendingStart("other", harness.clock.now(), ARN))
            msg = "throttled"
            raise LaunchDelayedError(msg)

    harness.target = PausedTarget(harness.clock)
    launch(harness)

    assert harness.only_run().claim == other


@pytest.mark.parametrize(
    "damage",
    [
        {"run_config": "x"},
        {"run_config": "[" * 50_000 + "]" * 50_000},
        {"run_config": '{"a": NaN}'},
        {"run_config": '{"a": "\\ud800"}'},
        {"tags": {"a": "\ud800"}},
    ],
    ids=["no JSON", "too deep", "NaN", "half a pair", "half a pair in a tag"],
)
def test_run_whose_input_cannot_be_made_fails_and_says_how_to_repair_it(
    harness: EngineHarness, queued: Run, damage: dict[str, Any]
) -> None:
    harness.tables.runs[RUN_ID] = replace(queued, **damage)

    outcome = launch(harness)

    run = harness.only_run()
    assert (outcome.decision, run.status, run.next_at) == (Decision.FAILURE, Status.FAILURE, None)
    assert run.failure is not None
    assert "cannot be built" in run.failure.cause
    assert f"treadle run rerun {RUN_ID}" in run.failure.cause
    assert harness.target.starts == []
    run.failure.cause.encode()
