"""The S3 sensor: one run request per object, whether an event or a sweep shows it."""

import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from tests.support.engine import JOB, EngineHarness, keyless
from tests.support.objects import BUCKET, TIME, InMemoryLister, object_of
from treadle.definitions.assets import AssetMaterialization
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.errors import (
    BucketError,
    DagsterInvariantViolationError,
    InvalidResultError,
    SettingsError,
)
from treadle.definitions.objects import ObjectCreated, ObjectIdentity, S3Object
from treadle.definitions.resources import resource
from treadle.definitions.results import RunRequest, SensorExecutionData, SensorResult, SkipReason
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget
from treadle.integrations.s3 import S3Selection, S3SensorDefinition, StartFrom, s3_sensor
from treadle.integrations.s3.lister import Page

SELECTION = S3Selection(BUCKET, "in/", ".csv", start_from=StartFrom.BEGINNING)


def watching(
    function: Callable[..., Any], *objects: S3Object, selection: S3Selection = SELECTION
) -> S3SensorDefinition:
    definition = S3SensorDefinition(
        "watch",
        evaluation_fn=function,
        selection=selection,
        lister=InMemoryLister(objects),
        job_name=JOB,
    )
    # Objects are as old at each run of these tests, whatever day it is.
    definition.now = lambda: TIME
    return definition


def swept(definition: S3SensorDefinition) -> SensorExecutionData:
    return definition.evaluate(SensorEvaluationContext("watch"))


def evaluated(definition: S3SensorDefinition, event: ObjectCreated) -> SensorExecutionData:
    return definition.evaluate_event(SensorEvaluationContext("watch", _has_cursor=False), event)


def config_of(request: RunRequest) -> dict[str, Any]:
    assert isinstance(request.run_config, dict)
    return request.run_config


def test_request_without_key_and_config_gets_the_objects(created: ObjectCreated) -> None:
    event = replace(created, object=replace(created.object, version="v1"))

    (request,) = evaluated(watching(keyless), event).run_requests

    assert request.run_key == f"s3://{BUCKET}/in/a.csv#e1"
    assert request.job_name == JOB
    assert request.run_config == {
        "bucket": BUCKET,
        "key": "in/a.csv",
        "etag": "e1",
        "version": "v1",
        "size": 10,
        "event_time": "2026-11-22T18:00:01+00:00",
    }


def test_object_of_a_bucket_without_versioning_has_no_version_in_its_config(created: ObjectCreated) -> None:
    (request,) = evaluated(watching(keyless), created).run_requests

    assert config_of(request)["version"] is None


def test_authors_own_key_config_and_tags_stay(created: ObjectCreated) -> None:
    own = RunRequest("own", {"a": 1}, {"t": "1"}, partition_key="p")

    (request,) = evaluated(watching(lambda: own), created).run_requests

    assert request == replace(own, job_name=JOB)


@pytest.mark.parametrize("identity", ObjectIdentity)
def test_event_and_sweep_of_the_same_object_request_one_key(
    created: ObjectCreated, identity: ObjectIdentity
) -> None:
    definition = watching(
        keyless,
        replace(created.object, last_modified=created.time),
        selection=replace(SELECTION, identity=identity),
    )

    (by_event,) = evaluated(definition, created).run_requests
    (by_sweep,) = swept(definition).run_requests

    assert by_event == by_sweep


def test_event_and_sweep_together_start_one_run(harness: EngineHarness, created: ObjectCreated) -> None:
    definition = watching(keyless, created.object)
    events = harness.events(definition)

    harness.leased(definition).tick(TIME, Budget())
    events.evaluate(created, events.load_batch_state([created]), Budget())
    for tick in harness.tick_records():
        harness.dispatcher().dispatch(tick)

    assert len(harness.tables.runs) == 1


def test_swept_object_whose_run_exists_is_not_requested_again(
    harness: EngineHarness, created: ObjectCreated
) -> None:
    calls: list[str] = []

    def function(_context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
        calls.append(stored.key)
        return RunRequest()

    definition = watching(function, created.object, object_of("in/b.csv"))
    events = harness.events(definition)
    events.evaluate(created, events.load_batch_state([created]), Budget())
    harness.dispatcher().dispatch(harness.tick_records()[0])

    outcome = harness.leased(definition).tick(TIME, Budget())

    assert (calls, outcome.count) == (["in/a.csv", "in/b.csv"], 1)


@pytest.mark.parametrize(
    "stored",
    [object_of("in/a.txt"), object_of("out/a.csv"), object_of("in/a.csv", bucket="other")],
    ids=["suffix", "prefix", "bucket"],
)
def test_event_of_an_object_that_is_not_watched_is_skipped_with_the_reason(
    created: ObjectCreated, stored: S3Object
) -> None:
    def function() -> None:
        pytest.fail("The author's function is not called.")

    data = evaluated(watching(function), replace(created, object=stored))

    assert data.run_requests == []
    assert data.skip_message == (
        f"s3://{stored.bucket}/{stored.key} is not watched: s3://{BUCKET}/in/*.csv is."
    )


def test_function_sees_context_and_object(created: ObjectCreated) -> None:
    seen: list[Any] = []

    evaluated(watching(lambda context, stored: seen.append((context.sensor_name, stored))), created)

    assert seen == [("watch", created.object)]


def test_function_may_skip_an_object(created: ObjectCreated) -> None:
    data = evaluated(watching(lambda: SkipReason("too small")), created)

    assert (data.run_requests, data.skip_message) == ([], "too small")


def test_function_may_answer_with_a_result(created: ObjectCreated) -> None:
    result = evaluated(watching(lambda: SensorResult([RunRequest()])), created)
    skipping = evaluated(watching(lambda: SensorResult(skip_reason="no")), created)

    assert [request.run_key for request in result.run_requests] == [f"s3://{BUCKET}/in/a.csv#e1"]
    assert skipping.skip_message == "no"


def test_result_may_not_report_assets_as_an_object_is_evaluated_by_event_and_by_sweep(
    created: ObjectCreated,
) -> None:
    definition = watching(lambda: SensorResult(asset_events=[AssetMaterialization("orders")]))

    with pytest.raises(InvalidResultError, match="recorded twice"):
        evaluated(definition, created)


def test_result_may_not_set_the_cursor_that_the_sweep_keeps(created: ObjectCreated) -> None:
    definition = watching(lambda: SensorResult(cursor="mine"))

    with pytest.raises(DagsterInvariantViolationError, match="the sweep keeps the cursor"):
        evaluated(definition, created)


def test_function_may_request_several_runs_if_all_but_one_have_keys(created: ObjectCreated) -> None:
    data = evaluated(watching(lambda: [RunRequest(), RunRequest("b"), RunRequest("c")]), created)

    assert [request.run_key for request in data.run_requests] == [f"s3://{BUCKET}/in/a.csv#e1", "b", "c"]


def test_several_runs_without_key_for_one_object_are_refused(created: ObjectCreated) -> None:
    with pytest.raises(InvalidResultError, match="requested 2 runs without run key for one object"):
        evaluated(watching(lambda: [RunRequest(), RunRequest("")]), created)


def test_sweep_requests_each_object_and_keeps_its_place() -> None:
    data = swept(watching(keyless, object_of("in/b.csv"), object_of("in/a.csv"), object_of("in/c.txt")))

    assert [config_of(request)["key"] for request in data.run_requests] == ["in/a.csv", "in/b.csv"]
    assert data.cursor is not None
    assert '"in/",".csv","etag"' in data.cursor


def test_sweep_that_finds_nothing_new_says_what_it_saw() -> None:
    data = swept(watching(keyless, object_of("in/c.txt")))

    assert data.skip_message == "1 objects listed, 0 of them new; the round is complete."


def test_object_that_the_function_skips_leaves_the_requests_for_others() -> None:
    def function(_context: SensorEvaluationContext, stored: S3Object) -> RunRequest | SkipReason:
        return SkipReason("no") if stored.key == "in/a.csv" else RunRequest()

    data = swept(watching(function, object_of("in/a.csv"), object_of("in/b.csv")))

    assert [config_of(request)["key"] for request in data.run_requests] == ["in/b.csv"]


def test_bucket_that_cannot_be_listed_fails_the_tick_and_leaves_the_sweep_where_it_was(
    harness: EngineHarness,
) -> None:
    """I6."""

    class Denied(InMemoryLister):
        def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
            raise BucketError("Bucket watched cannot be listed.")

    definition = watching(keyless, object_of("in/a.csv"))
    definition.lister = Denied()

    outcome = harness.leased(definition).tick(TIME, Budget())

    assert (outcome.decision, harness.state().cursor) == (Decision.FAILURE, None)


@pytest.mark.parametrize("number", [1, 2])
@pytest.mark.parametrize("is_wrapped", [False, True])
def test_resource_that_cannot_be_made_fails_the_tick_however_many_objects_there_are(
    harness: EngineHarness, number: int, is_wrapped: bool
) -> None:
    """It is what all objects need, and none of them is bad for that."""

    @resource
    def database() -> None:
        raise ConnectionError("no route to the database")

    def function(context: SensorEvaluationContext) -> RunRequest:
        try:
            context.resources.database  # noqa: B018
        except ConnectionError as error:
            if is_wrapped:
                raise RuntimeError("cannot look it up") from error
            raise
        return RunRequest()

    definition = watching(function, *[object_of(f"in/{n}.csv") for n in range(number)])

    outcome = harness.leased(definition, resources={"database": database}).tick(TIME, Budget())

    assert (outcome.decision, harness.state().cursor) == (Decision.FAILURE, None)


def test_resource_that_was_not_provided_fails_the_tick(harness: EngineHarness) -> None:
    definition = S3SensorDefinition(
        "watch",
        evaluation_fn=keyless,
        selection=SELECTION,
        lister=InMemoryLister([object_of("in/a.csv"), object_of("in/b.csv")]),
        job_name=JOB,
        required_resource_keys={"database"},
    )

    outcome = harness.leased(definition).tick(TIME, Budget())

    assert outcome.decision is Decision.FAILURE
    assert "Resource with key 'database'" in outcome.reason


@pytest.mark.parametrize("number", [1, 2])
def test_objects_at_which_the_function_fails_are_rejected_however_many_there_are(
    harness: EngineHarness, number: int
) -> None:
    """A single one is no more than one of several: it remains, and the sweep of others continues."""
    definition = watching(lambda: 1 / 0, *[object_of(f"in/{n}.csv") for n in range(number)])

    outcome = harness.leased(definition).tick(TIME, Budget())

    assert (outcome.decision, outcome.rejected) == (Decision.SKIPPED, number)
    assert harness.state().failure_streak == 0
    [tick] = harness.tick_records()
    assert [("ZeroDivisionError" in each.reason) for each in tick.rejected] == [True] * number


def test_request_for_a_job_that_the_sensor_has_not_is_rejected_and_fails_no_other(
    harness: EngineHarness,
) -> None:
    def function(_context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
        return RunRequest(job_name="another" if stored.key == "in/b.csv" else None)

    definition = watching(function, *[object_of(f"in/{name}.csv") for name in "abc"])

    outcome = harness.leased(definition).tick(TIME, Budget())

    assert (outcome.decision, outcome.count, outcome.rejected) == (Decision.SUCCESS, 2, 1)


def test_one_object_whose_function_fails_does_not_hold_up_the_others(harness: EngineHarness) -> None:
    """I10: it is rejected with the reason, and requested again as soon as the function works."""
    broken = {"in/b.csv"}

    def picky(_context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
        if stored.key in broken:
            raise ValueError("no such column")
        return RunRequest()

    objects = [object_of(f"in/{name}.csv") for name in "abc"]
    definition = watching(picky, *objects)

    outcome = harness.leased(definition).tick(TIME, Budget())

    assert (outcome.decision, outcome.count, outcome.rejected) == (Decision.SUCCESS, 2, 1)
    [tick] = harness.tick_records()
    assert tick.rejected[0].run_key == objects[1].run_key(ObjectIdentity.ETAG)
    assert "ValueError: no such column" in tick.rejected[0].reason
    assert any("in/b.csv could not be evaluated" in line for line in tick.log)
    harness.dispatcher().dispatch(tick)
    broken.clear()
    harness.clock.advance(60)
    again = harness.leased(definition).tick(TIME + 60_000, Budget())
    assert (again.decision, again.count) == (Decision.SUCCESS, 1)


def test_deployments_selection_wins_over_the_decorators() -> None:
    @s3_sensor("code", prefix="in/", job_name=JOB, identity="version", start_from="beginning")
    def watch() -> None:
        """Watches."""

    configured = watch.configured({"TREADLE_S3_BUCKET": "deployed"})

    assert configured.selection == S3Selection(
        "deployed", "in/", "", ObjectIdentity.VERSION, StartFrom.BEGINNING
    )
    assert (configured.name, configured.takes_events, configured.description) == ("watch", True, "Watches.")


def test_sensor_without_a_bucket_anywhere_cannot_be_configured() -> None:
    with pytest.raises(SettingsError, match="no bucket is given"):
        s3_sensor(job_name=JOB)(keyless).configured({})


def test_object_whose_function_leaves_the_process_is_rejected_as_any_that_fails(
    harness: EngineHarness,
) -> None:
    def function(_context: SensorEvaluationContext, stored: S3Object) -> RunRequest:
        if stored.key == "in/b.csv":
            sys.exit(2)
        return RunRequest()

    definition = watching(function, *[object_of(f"in/{name}.csv") for name in "abc"])

    outcome = harness.leased(definition).tick(TIME, Budget())

    assert (outcome.decision, outcome.count, outcome.rejected) == (Decision.SUCCESS, 2, 1)


def test_resource_that_leaves_the_process_fails_the_tick(harness: EngineHarness) -> None:
    @resource
    def connection() -> None:
        sys.exit("no address")

    def function(context: SensorEvaluationContext) -> RunRequest:
        return RunRequest(str(context.resources.connection))

    definition = watching(function, object_of("in/a.csv"))
    outcome = harness.leased(definition, resources={"connection": connection}).tick(TIME, Budget())

    assert outcome.decision is Decision.FAILURE
    assert "no address" in outcome.reason
