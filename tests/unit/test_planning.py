"""Planning: what a tick commits of what was requested, and what it says of the rest."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.support.engine import JOB, RUN_IDS, EngineHarness, sensor_of, tagged_job
from treadle.adapters.dynamodb.outcomes import Outcomes
from treadle.definitions.errors import InvalidResultError
from treadle.definitions.payloads import MAX_PAYLOAD_BYTES
from treadle.definitions.results import RunRequest, SensorExecutionData
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.tick.planning import MAX_OUTCOME_BYTES, MAX_REQUEST_BYTES, Plan
from treadle.model.runs import Run
from treadle.model.ticks import Tick, TickKind
from treadle.testing.blobs import InMemoryBlobStore

DEFINITION = sensor_of(lambda: None)
TICK = "2026-11-22T18:00:00.000Z-000000001"


def request(key: str | None, size: int = 0, value: int = 0) -> RunRequest:
    return RunRequest(key, {"value": value, "filling": "x" * size}, job_name=JOB)


def plan(
    harness: EngineHarness, requests: Sequence[RunRequest], definition: SensorDefinition = DEFINITION
) -> Plan:
    skip = None if requests else "nothing new"
    planner = harness.planner(definition)
    return planner.plan(planner.validate_requests(SensorExecutionData(tuple(requests), skip), TICK))


def take(harness: EngineHarness, key: str, *, attempt: int = 1, attempts_allowed: int = 1) -> None:
    run_id = RUN_IDS.keyed("watch", key)
    run = Run(run_id, JOB, "watch", key, "tick", "{}", {}, 0)
    harness.tables.runs[run_id] = replace(run, attempt=attempt, granted=attempts_allowed)


def test_request_becomes_a_run_with_config_as_canonical_json(harness: EngineHarness) -> None:
    requested = RunRequest("k", {"b": 1, "a": "ü"}, {"t": "1"}, JOB, partition_key="p")

    (run,) = plan(harness, [requested]).runs

    assert (run.run_id, run.run_key, run.job) == (RUN_IDS.keyed("watch", "k"), "k", JOB)
    assert (run.run_config, run.tags, run.partition_key) == ('{"a":"ü","b":1}', {"t": "1"}, "p")


def test_jobs_tags_are_put_on_its_runs_and_the_requests_own_win(harness: EngineHarness) -> None:
    definition = SensorDefinition("watch", evaluation_fn=lambda: None, job=tagged_job(a="job", b="job"))

    (run,) = plan(harness, [RunRequest(tags={"b": "own"}, job_name=JOB)], definition).runs

    assert run.tags == {"a": "job", "b": "own"}


@given(st.lists(st.sampled_from([None, "", "a", "b", "c"]), max_size=8), st.sets(st.sampled_from("abc")))
def test_tick_requests_once_for_each_free_key_and_once_for_each_request_without_key(
    keys: list[str | None], taken: set[str]
) -> None:
    harness = EngineHarness()
    for key in taken:
        take(harness, key)

    planned = plan(harness, [request(key) for key in keys])

    first_seen = list(dict.fromkeys(key for key in keys if key))
    assert [run.run_key for run in planned.runs if run.run_key] == [k for k in first_seen if k not in taken]
    assert sum(run.run_key is None for run in planned.runs) == sum(not key for key in keys)
    assert list(planned.existing_keys) == [key for key in first_seen if key in taken]
    assert len({run.run_id for run in planned.runs}) == len(planned.runs)


def test_first_request_for_a_key_wins_within_a_tick(harness: EngineHarness) -> None:
    (run,) = plan(harness, [request("k", value=1), request("k", value=2)]).runs

    assert '"value":1' in run.run_config


def test_key_whose_run_may_start_again_is_requested(harness: EngineHarness) -> None:
    take(harness, "k", attempt=1, attempts_allowed=2)

    planned = plan(harness, [request("k")])

    assert ([run.run_key for run in planned.runs], planned.existing_keys) == (["k"], ())


def test_run_of_another_sensor_does_not_take_the_key(harness: EngineHarness) -> None:
    take(harness, "k")
    other = sensor_of(lambda: None, name="other")

    assert [run.run_key for run in plan(harness, [request("k")], other).runs] == ["k"]


def test_request_too_large_is_rejected_and_blocks_no_other(harness: EngineHarness) -> None:
    planned = plan(harness, [request("large", MAX_PAYLOAD_BYTES), request("k"), request(None)])

    (rejected,) = planned.rejected
    assert [run.run_key for run in planned.runs] == ["k", None]
    assert (rejected.run_key, planned.reason) == ("large", None)
    assert rejected.reason.startswith(
        f"Run request too large: run_config has {MAX_PAYLOAD_BYTES + 24} bytes; the limit is {MAX_PAYLOAD_BYTES}."
    )


def test_rejected_request_leaves_its_key_to_a_smaller_one(harness: EngineHarness) -> None:
    planned = plan(harness, [request("k", MAX_PAYLOAD_BYTES), request("k")])

    assert [run.run_key for run in planned.runs] == ["k"]


@pytest.mark.parametrize(("surplus", "is_large"), [(0, False), (1, True)])
def test_size_counts_config_and_tags_in_bytes(harness: EngineHarness, surplus: int, is_large: bool) -> None:
    frame = len('{"x":"ü"}'.encode()) + len('{"t":"ü"}'.encode())
    requested = RunRequest("k", {"x": "ü" + "x" * (MAX_REQUEST_BYTES - frame + surplus)}, {"t": "ü"}, JOB)

    assert bool(plan(harness, [requested]).payloads) is is_large


def test_tick_with_all_keys_taken_says_which(harness: EngineHarness) -> None:
    for key in "abcd":
        take(harness, key)

    planned = plan(harness, [request(key) for key in "abcd"])

    assert planned.runs == ()
    assert planned.reason == "4 runs requested, but skipped because the runs already exist: a, b, c, …"


def test_tick_without_requests_gives_the_sensors_own_reason(harness: EngineHarness) -> None:
    assert plan(harness, []).reason == "nothing new"


def test_tick_with_only_impossible_requests_says_why(harness: EngineHarness) -> None:
    take(harness, "k")

    reason = plan(harness, [request("large", MAX_PAYLOAD_BYTES), request("k")]).reason

    assert reason is not None
    assert reason.startswith("1 invalid requests were rejected: Run request too large")


def test_last_run_key_is_the_last_requested_taken_or_not(harness: EngineHarness) -> None:
    take(harness, "b")

    assert plan(harness, [request("a"), request("b"), request(None)]).last_run_key == "b"
    assert plan(harness, [request(None)]).last_run_key is None


def test_requests_up_to_the_cap_pass_and_more_name_it(harness: EngineHarness) -> None:
    planner = harness.planner(DEFINITION, cap=2)
    two = SensorExecutionData((request("a"), request("b")))

    assert planner.validate_requests(two, TICK).data is two
    with pytest.raises(InvalidResultError, match="Sensor watch requested 3 runs in one tick; the limit is 2"):
        planner.validate_requests(SensorExecutionData((*two.run_requests, request("c"))), TICK)


def test_claimed_keys_are_those_whose_run_can_start_no_more(harness: EngineHarness) -> None:
    take(harness, "done")
    take(harness, "again", attempts_allowed=2)
    ids = {RUN_IDS.keyed("watch", key): key for key in ("done", "again", "new")}

    assert harness.planner(DEFINITION).claimed_keys(ids) == {"done"}


@pytest.mark.many
def test_more_than_can_be_kept_of_one_tick_is_an_error_that_says_how_much(harness: EngineHarness) -> None:
    each = MAX_REQUEST_BYTES // 2
    fits = MAX_OUTCOME_BYTES // (each + 500)
    planner = harness.planner(DEFINITION)
    planner.validate_requests(SensorExecutionData(tuple(request(f"k{i}", each) for i in range(fits))), TICK)

    with pytest.raises(InvalidResultError, match=f"the limit is {MAX_OUTCOME_BYTES}"):
        planner.validate_requests(
            SensorExecutionData(tuple(request(f"k{i}", each) for i in range(fits + 2))), TICK
        )


@pytest.mark.many
def test_what_a_planner_lets_pass_can_always_be_packed(harness: EngineHarness) -> None:
    """However much the characters grow when the requests are written as JSON."""
    filling = '\\"' * (MAX_REQUEST_BYTES // 5)
    runs: list[RunRequest] = []
    size = 0
    while size < MAX_OUTCOME_BYTES - 2 * MAX_REQUEST_BYTES:
        runs.append(RunRequest(f"k{len(runs)}", {"filling": filling}, job_name=JOB))
        size += len(filling) * 2
    vetted = harness.planner(DEFINITION).validate_requests(SensorExecutionData(tuple(runs)), TICK)
    tick = Tick("watch", TICK, TickKind.LEASED, TickStatus.SUCCESS, 0, 0, 0, requests=vetted.runs)
    outcomes = Outcomes(InMemoryBlobStore())

    packed = outcomes.pack(tick)

    assert len(vetted.runs) == len(runs)
    assert outcomes.unpack("watch", packed).requests == vetted.runs


def test_a_changed_request_passes_the_filter_where_the_run_never_reached_its_target(
    harness: EngineHarness,
) -> None:
    take(harness, "k")
    (run_id,) = harness.tables.runs
    harness.tables.runs[run_id] = replace(harness.tables.runs[run_id], status=DagsterRunStatus.FAILURE)

    assert plan(harness, [request("k")]).existing_keys == ()
    same = RunRequest("k", {}, job_name=JOB)
    assert plan(harness, [same]).existing_keys == ("k",)
