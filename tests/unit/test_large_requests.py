"""Run configs that are too large to be sent: stored before the commit, referred to, and read by the job."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import boto3
import pytest
from moto import mock_aws

from tests.support.dispatching import dispatch
from tests.support.engine import JOB, EngineHarness, sensor_of
from tests.support.rehearsal import deployed, over_stores, write_project
from treadle import (
    EventSensorContext,
    JobDefinition,
    RunRequest,
    SensorResult,
    event_sensor,
    read_payload,
    sensor,
)
from treadle.adapters import clients
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    InvalidResultError,
    PayloadError,
    StoreError,
    StoreRejectedError,
)
from treadle.definitions.jobs import LEAST_INLINE_BYTES
from treadle.definitions.payloads import MAX_PAYLOAD_BYTES, PayloadReference, payload_key, reference_in
from treadle.definitions.results import SensorExecutionData
from treadle.definitions.status import DagsterRunStatus, TickStatus
from treadle.engine.messages import LaunchRequest
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.engine.tick.planning import MAX_PAYLOADS, MAX_PAYLOADS_BYTES, MAX_REQUEST_BYTES
from treadle.integrations.s3.one_by_one import MOST_BYTES
from treadle.testing import TreadleInstance
from treadle.testing.blobs import BUCKET, InMemoryBlobStore

LARGE = {"rows": ["é" * 50] * 30_000}
"""Three megabytes."""


def requesting(*requests: RunRequest) -> Callable[[], SensorResult]:
    return lambda: SensorResult(list(requests), cursor="after")


def test_large_run_config_is_stored_and_its_run_refers_to_it(harness: EngineHarness) -> None:
    harness.leased(sensor_of(requesting(RunRequest("k", LARGE, {"team": "shop"})))).tick(
        harness.clock.now(), Budget()
    )

    [(key, content)] = harness.tables.blobs.items()
    [tick] = harness.tick_records()
    [request] = tick.requests
    reference = reference_in(request.run_config)
    assert reference is not None
    assert json.loads(content) == LARGE
    assert key == payload_key("watch", JOB, content) == f"large/watch/{JOB}/{reference.sha256}"
    assert reference == PayloadReference(f"s3://{BUCKET}/{key}", reference.sha256, len(content))
    assert request.run_config == str(reference)
    assert request.tags == {"team": "shop"}
    assert len(request.run_config) < 400


def test_large_run_config_of_an_event_is_stored_before_its_tick_is_committed() -> None:
    @event_sensor(pattern={"source": ["shop"]}, job_name="load")
    def placed(context: EventSensorContext) -> RunRequest:
        return RunRequest(context.event.id, LARGE)

    instance = TreadleInstance([placed])
    [run] = instance.put_event("shop", "Order Placed")["placed"].runs

    assert instance.run_config(run) == LARGE


def test_small_run_config_is_sent_and_no_store_of_payloads_is_called(harness: EngineHarness) -> None:
    class Missing:
        def __getattr__(self, name: str) -> Any:
            raise AssertionError(name)

    definition = sensor_of(requesting(RunRequest("k", {"a": 1})))
    engine = harness.engine_with(blobs=Missing())
    parts = engine.sensor(definition, harness.sensor(definition).settings)

    assert parts.scheduled.tick(harness.clock.now(), Budget()).decision is Decision.SUCCESS
    [tick] = harness.tick_records()
    dispatch(harness, tick)
    [body] = harness.launches.drain()
    engine.launcher(harness.launches, harness.jobs, harness.targets).launch(LaunchRequest.from_json(body), 30)
    assert harness.only_run().status is DagsterRunStatus.STARTED


def launched(harness: EngineHarness) -> None:
    """Process the launch messages."""
    for body in harness.launches.drain():
        harness.launcher().launch(LaunchRequest.from_json(body), 30)


def test_job_receives_the_same_reference_at_each_attempt() -> None:
    @sensor(job_name="load")
    def watch() -> RunRequest:
        return RunRequest("k", LARGE, tags={"dagster/max_retries": "1"})

    instance = TreadleInstance([watch])
    [run] = instance.tick("watch").runs
    first = json.loads(instance.payload(run))["run_config"]
    instance.finish_run(run, DagsterRunStatus.FAILURE)
    instance.clock.advance(600)
    instance.reconcile()
    [again] = instance.runs()

    assert again.attempt == 2
    assert json.loads(instance.payload(again))["run_config"] == first
    assert set(first) == {"treadle_payload"}
    assert instance.run_config(again) == LARGE


@pytest.mark.parametrize(("most", "is_sent"), [(None, True), (4_000, False)])
def test_job_sets_from_which_size_on_a_run_config_is_referred_to(most: int | None, is_sent: bool) -> None:
    """ECS takes 8,192 characters."""
    load = JobDefinition("load", max_inline_bytes=most)

    @sensor(job=load)
    def watch() -> RunRequest:
        return RunRequest("k", {"x": "x" * 4_000})

    instance = TreadleInstance([watch])
    [run] = instance.tick("watch").runs

    assert (reference_in(run.run_config) is None) is is_sent
    assert instance.run_config(run) == {"x": "x" * 4_000}


@pytest.mark.parametrize("most", [LEAST_INLINE_BYTES - 1, MAX_REQUEST_BYTES + 1, "8000", True, 5000.0])
def test_limit_of_a_job_that_no_target_has_is_refused(most: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="max_inline_bytes of job load is"):
        JobDefinition("load", max_inline_bytes=most)


def test_config_whose_tags_leave_no_room_is_referred_to(harness: EngineHarness) -> None:
    planner = harness.planner(sensor_of(requesting()))
    request = RunRequest("k", {"x": "x" * 120_000}, {"t": "x" * 100_000}, JOB)

    vetted = planner.validate_requests(SensorExecutionData((request,)), "tick")

    assert (len(vetted.payloads), vetted.rejected) == (1, ())


def test_tags_that_are_too_large_are_rejected_whatever_the_config_is(harness: EngineHarness) -> None:
    planner = harness.planner(sensor_of(requesting()))
    tags = {"t": "x" * MAX_REQUEST_BYTES}
    requests = tuple(
        RunRequest(key, {"x": "x" * size}, tags, JOB) for key, size in (("a", 1), ("b", 300_000))
    )

    vetted = planner.validate_requests(SensorExecutionData(requests), "tick")

    assert [each.run_key for each in vetted.rejected] == ["a", "b"]
    assert vetted.payloads == {}
    assert all("run_config and tags have" in each.reason for each in vetted.rejected)


def test_config_beyond_the_absolute_limit_is_set_aside_with_its_number_and_the_others_start() -> None:
    @sensor(job_name="load")
    def watch() -> SensorResult:
        frame = len('{"x":""}')
        most = RunRequest("most", {"x": "x" * (MAX_PAYLOAD_BYTES - frame)})
        beyond = RunRequest("beyond", {"x": "x" * (MAX_PAYLOAD_BYTES - frame + 1)})
        return SensorResult([most, beyond, RunRequest("small")], cursor="after")

    instance = TreadleInstance([watch])
    result = instance.tick("watch")

    assert result.tick is not None
    [rejected] = result.tick.rejected
    assert [run.run_key for run in result.runs] == ["most", "small"]
    assert (rejected.run_key, result.outcome.rejected) == ("beyond", 1)
    assert (
        f"run_config has {MAX_PAYLOAD_BYTES + 1} bytes; the limit is {MAX_PAYLOAD_BYTES}" in rejected.reason
    )


def test_config_beyond_the_absolute_limit_fails_its_tick_if_the_author_chose_so() -> None:
    @sensor(job_name="load", on_invalid="fail")
    def watch() -> SensorResult:
        return SensorResult([RunRequest("beyond", {"x": "x" * MAX_PAYLOAD_BYTES})], cursor="after")

    instance = TreadleInstance([watch])
    result = instance.tick("watch")

    assert (result.outcome.decision, result.runs) == (Decision.FAILURE, ())
    assert f"the limit is {MAX_PAYLOAD_BYTES}" in result.outcome.reason
    assert instance.cursor("watch") is None


def test_name_of_references_is_refused_in_other_run_configs(harness: EngineHarness) -> None:
    """Such as a run's config that a sensor passes on: the other job may not read it."""
    planner = harness.planner(sensor_of(requesting()))
    reference = PayloadReference("s3://payloads/large/other/load/0", "0", 1)
    request = RunRequest("k", json.loads(str(reference)), job_name=JOB)

    [rejected] = planner.validate_requests(SensorExecutionData((request,)), "tick").rejected

    assert rejected.reason.startswith("The run config has the name treadle_payload, which Treadle sets")


@pytest.mark.many
def test_more_payloads_than_a_tick_stores_in_its_time_fail_it(harness: EngineHarness) -> None:
    job = JobDefinition(JOB, max_inline_bytes=LEAST_INLINE_BYTES)
    definition = sensor(job=job, name="watch")(requesting())
    planner = harness.planner(definition)

    def requests(number: int, size: int) -> SensorExecutionData:
        return SensorExecutionData(
            tuple(RunRequest(f"k{n}", {"n": n, "x": "x" * size}, job_name=JOB) for n in range(number))
        )

    assert len(planner.validate_requests(requests(MAX_PAYLOADS, 4_000), "tick").payloads) == MAX_PAYLOADS
    for number, size in ((MAX_PAYLOADS + 1, 4_000), (7, 5_000_000)):
        with pytest.raises(
            InvalidResultError, match=f"the limits are {MAX_PAYLOADS} and {MAX_PAYLOADS_BYTES}"
        ):
            planner.validate_requests(requests(number, size), "tick")


def test_sweep_stays_within_what_a_tick_stores() -> None:
    """It evaluates objects until their requests have so many bytes, and cannot return fewer."""
    assert MOST_BYTES / LEAST_INLINE_BYTES <= MAX_PAYLOADS
    assert MOST_BYTES + MAX_PAYLOAD_BYTES <= MAX_PAYLOADS_BYTES


def test_several_payloads_are_stored_beside_each_other(harness: EngineHarness) -> None:
    large = [RunRequest(f"k{n}", {**LARGE, "n": n}) for n in range(5)]

    harness.leased(sensor_of(requesting(*large, large[0]))).tick(harness.clock.now(), Budget())

    assert sorted(json.loads(each)["n"] for each in harness.tables.blobs.values()) == [0, 1, 2, 3, 4]


def test_request_whose_key_is_taken_stores_nothing(harness: EngineHarness) -> None:
    ticks = harness.leased(sensor_of(requesting(RunRequest("k", LARGE))))
    ticks.tick(harness.clock.now(), Budget())
    [tick] = harness.tick_records()
    dispatch(harness, tick)
    harness.tables.blobs.clear()
    harness.clock.advance(60)

    ticks.tick(harness.clock.now(), Budget())

    assert harness.tables.blobs == {}


def test_preview_stores_nothing(harness: EngineHarness) -> None:
    parts = harness.sensor(sensor_of(requesting(RunRequest("k", LARGE))))

    preview = parts.previewer.preview(Budget())

    assert reference_in(preview.tick.requests[0].run_config) is not None
    assert harness.tables.blobs == {}


def test_rehearsal_of_the_same_code_refers_to_the_same_object(tmp_path: Any) -> None:
    code = """
    from treadle import RunRequest, sensor


    @sensor(job_name="load")
    def watch(context):
        return RunRequest("k", {"x": "x" * 300_000})
    """
    names: dict[str, Any] = {}
    write_project(tmp_path, code)
    exec("\n".join(line[4:] for line in code.splitlines()), names)
    instance = TreadleInstance([names["watch"]])
    instance.tick("watch")

    [found] = over_stores(tmp_path, instance, deployed())

    assert (found.problem, tuple(found.differences)) == (None, ())


class Refusing(InMemoryBlobStore):
    """A store that does not answer, or never takes a value."""

    error: StoreError = StoreError("S3 did not answer.")

    def put(self, key: str, body: bytes) -> None:
        raise self.error

    def exists(self, key: str) -> bool:
        raise self.error


def test_tick_whose_payload_cannot_be_stored_commits_nothing(harness: EngineHarness) -> None:
    blobs = Refusing(harness.tables)
    definition = sensor_of(requesting(RunRequest("k", LARGE)))
    parts = harness.engine_with(blobs=blobs).sensor(definition, harness.sensor(definition).settings)

    with pytest.raises(StoreError):
        parts.scheduled.tick(harness.clock.now(), Budget())

    assert (harness.tick_records(), harness.state().cursor) == ([], None)


def test_tick_whose_payload_is_refused_for_ever_is_recorded_as_failed(harness: EngineHarness) -> None:
    blobs = Refusing(harness.tables)
    blobs.error = StoreRejectedError("AccessDenied")
    definition = sensor_of(requesting(RunRequest("k", LARGE)))
    parts = harness.engine_with(blobs=blobs).sensor(definition, harness.sensor(definition).settings)

    parts.scheduled.tick(harness.clock.now(), Budget())

    [tick] = harness.tick_records()
    assert (tick.status, tick.requests, harness.state().cursor) == (TickStatus.FAILURE, (), None)


def requested(harness: EngineHarness) -> None:
    """Let a large request become a run that waits for LAUNCH."""
    harness.leased(sensor_of(requesting(RunRequest("k", LARGE)))).tick(harness.clock.now(), Budget())
    [tick] = harness.tick_records()
    dispatch(harness, tick)


def test_run_whose_payload_has_expired_is_refused_with_that_reason(harness: EngineHarness) -> None:
    requested(harness)
    harness.tables.blobs.clear()

    launched(harness)

    run = harness.only_run()
    assert (run.status, harness.target.executions) == (DagsterRunStatus.FAILURE, {})
    assert run.failure is not None
    assert "has expired: it is deleted 91 days after it was requested" in run.failure.cause
    assert f"s3://{BUCKET}/large/watch/{JOB}/" in run.failure.cause


def test_run_starts_although_its_payload_cannot_be_looked_for(harness: EngineHarness) -> None:
    requested(harness)
    engine = harness.engine_with(blobs=Refusing(harness.tables))
    launcher = engine.launcher(harness.launches, harness.jobs, harness.targets)

    for body in harness.launches.drain():
        launcher.launch(LaunchRequest.from_json(body), 30)

    assert harness.only_run().status is DagsterRunStatus.STARTED


def test_reference_to_another_bucket_is_not_looked_for(harness: EngineHarness) -> None:
    requested(harness)
    [run_id] = harness.tables.runs
    run = harness.tables.runs[run_id]
    harness.tables.runs[run_id] = replace(
        run, run_config=str(PayloadReference("s3://elsewhere/large/a/b/c", "0", 1))
    )

    launched(harness)

    assert harness.only_run().status is DagsterRunStatus.STARTED


# ---- What a job's code calls


@pytest.fixture
def s3() -> Iterator[Any]:
    with mock_aws():
        clients.forget()
        client = boto3.client("s3", region_name="eu-central-1")
        client.create_bucket(Bucket=BUCKET, CreateBucketConfiguration={"LocationConstraint": "eu-central-1"})
        yield client


def stored(s3: Any, content: bytes) -> PayloadReference:
    key = payload_key("watch", "load", content)
    s3.put_object(Bucket=BUCKET, Key=key, Body=content)
    return PayloadReference(f"s3://{BUCKET}/{key}", key.rpartition("/")[2], len(content))


@pytest.mark.usefixtures("s3")
@pytest.mark.parametrize(
    "config", [{}, {"a": 1}, {"treadle_payload": {"url": "s3://x/y"}}, {"treadle_payload": 1}]
)
def test_run_config_that_was_sent_is_returned_as_it_is(config: dict[str, Any]) -> None:
    assert read_payload(config) == config
    assert read_payload(json.dumps(config)) == config


def test_run_config_that_is_referred_to_is_read(s3: Any) -> None:
    reference = stored(s3, json.dumps(LARGE).encode())

    assert read_payload(json.loads(str(reference))) == LARGE
    assert read_payload(str(reference)) == LARGE


@pytest.mark.usefixtures("s3")
def test_payload_that_is_gone_is_an_error_that_says_what_to_do() -> None:
    reference = PayloadReference(f"s3://{BUCKET}/large/watch/load/0", "0", 1)

    with pytest.raises(
        PayloadError, match=r"cannot be read: .*NoSuchKey.* Give the job's own role s3:GetObject"
    ):
        read_payload(str(reference))


def test_payload_that_was_changed_is_refused(s3: Any) -> None:
    reference = stored(s3, b'{"a":1}')
    s3.put_object(Bucket=BUCKET, Key=reference.url.partition(f"{BUCKET}/")[2], Body=b'{"a":2}')

    with pytest.raises(PayloadError, match="is not the run config that was requested: it has 7 bytes"):
        read_payload(str(reference))


@pytest.mark.parametrize("text", ["", "no JSON", "[1]", '"treadle_payload"', "7"])
def test_text_that_is_no_reference_has_none(text: str) -> None:
    assert reference_in(text) is None
