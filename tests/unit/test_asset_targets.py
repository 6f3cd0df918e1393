"""Sensors that select assets: each request goes to the job that makes them, and its run says which."""

import json
from typing import Any

import pytest

from treadle import (
    AssetKey,
    AssetMaterialization,
    AssetSelection,
    AssetSpec,
    DagsterInvalidDefinitionError,
    DagsterInvariantViolationError,
    DagsterRun,
    DagsterRunStatus,
    DailyPartitionsDefinition,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    SensorResult,
    SkipReason,
    TickStatus,
    build_sensor_context,
    evaluator,
    multi_asset_sensor,
    run_status_sensor,
    sensor,
)
from treadle.definitions.errors import InvalidResultError
from treadle.model.runs import Run, request_digest
from treadle.testing import TickResult, TreadleInstance

A, B, CD = AssetKey("a"), AssetKey("b"), AssetKey(["c", "d"])
LOAD = JobDefinition("load", assets=["a", AssetSpec("b", deps=["a"], group_name="g")])
CLEAN = JobDefinition("clean", assets=[AssetSpec(CD, deps=[B])])
JOBS = [LOAD, CLEAN]


def ticked(*requests: RunRequest, **options: Any) -> TickResult:
    """Return the tick of a sensor that requests these."""
    given = {"asset_selection": AssetSelection.all()} if not {*options} & {"target", "job", "jobs"} else {}

    @sensor(**{**given, **options})
    def watch() -> list[RunRequest]:
        return list(requests)

    return TreadleInstance([watch], jobs=JOBS).tick("watch")


def made(run: Run) -> Any:
    """Return a run's job, and the assets that it is to make."""
    return run.job, json.loads(run.tags.get("treadle/asset_selection", "null"))


def reasons(result: TickResult) -> list[str]:
    assert result.tick is not None
    return [each.reason for each in result.tick.rejected]


@pytest.mark.parametrize(
    "target",
    [
        "a",
        ["a"],
        [A],
        AssetSpec("a"),
        [AssetSpec("a")],
        AssetSelection.assets("b").upstream(include_self=False),
    ],
)
@pytest.mark.parametrize("option", ["target", "asset_selection"])
def test_sensor_requests_the_job_that_makes_the_assets(option: str, target: Any) -> None:
    result = ticked(RunRequest("k"), **{option: target})

    assert [made(run) for run in result.runs] == [("load", ["a"])]


def test_request_without_assets_is_for_all_that_the_sensor_selects() -> None:
    result = ticked(RunRequest("all"), RunRequest("b", asset_selection=[B]), asset_selection=["b", "a"])

    assert [made(run) for run in result.runs] == [("load", ["a", "b"]), ("load", ["b"])]


def test_requests_of_a_sensor_go_to_several_jobs() -> None:
    result = ticked(RunRequest("1", asset_selection=[CD]), RunRequest("2", asset_selection=[B, A, B]))

    assert [made(run) for run in result.runs] == [("clean", ["c/d"]), ("load", ["a", "b"])]


def test_request_over_several_jobs_is_rejected_and_blocks_no_other() -> None:
    result = ticked(
        RunRequest("some", asset_selection=[A, CD]), RunRequest("all"), RunRequest("ok", asset_selection=[A])
    )

    assert [run.run_key for run in result.runs] == ["ok"]
    assert reasons(result) == [
        (
            "The request selects assets of several jobs, and a run is of one job: load makes a; clean makes c/d. Return a "
            "request with asset_selection for each job."
        ),
        (
            "The request selects assets of several jobs, and a run is of one job: load makes a, b; clean makes c/d. Return "
            "a request with asset_selection for each job."
        ),
    ]


def test_request_outside_of_the_sensors_selection_is_rejected_with_dagsters_message() -> None:
    result = ticked(RunRequest(asset_selection=[CD, B]), asset_selection="a")

    assert result.runs == ()
    assert reasons(result) == [
        "RunRequest includes asset keys that are not part of sensor's asset_selection: b, c/d. Select some of a."
    ]


def test_request_outside_of_the_selection_fails_the_tick_if_the_sensor_says_so() -> None:
    result = ticked(RunRequest(asset_selection=[B]), RunRequest("ok"), asset_selection="a", on_invalid="fail")

    assert result.runs == ()
    assert result.tick is not None
    assert result.tick.status is TickStatus.FAILURE
    assert result.tick.error is not None
    assert "not part of sensor's asset_selection: b" in result.tick.error.message


def test_sensor_of_a_job_may_request_some_of_the_assets_that_the_job_makes() -> None:
    result = ticked(
        RunRequest("b", asset_selection=[B]),
        RunRequest("all"),
        RunRequest("none", asset_selection=[]),
        job=LOAD,
    )

    assert [made(run) for run in result.runs] == [("load", ["b"]), ("load", None), ("load", [])]


def test_sensor_of_several_jobs_must_name_the_job_as_ever() -> None:
    result = ticked(RunRequest(asset_selection=[B]), jobs=JOBS)

    assert result.tick is not None
    assert result.tick.error is not None
    assert "did not specify job_name" in result.tick.error.message


@pytest.mark.parametrize(
    ("job", "keys", "reason"),
    [
        (LOAD, [CD], "The request selects assets that job load does not make: c/d. It makes a, b."),
        (
            JobDefinition("bare", assets=[]),
            [A],
            "The request selects assets that job bare does not make: a. It makes none.",
        ),
        (
            JobDefinition("bare"),
            [A],
            "The request selects assets of job bare, which declares none: a. Give its JobDefinition assets=[...].",
        ),
        (
            JobDefinition("bare"),
            [],
            "The request selects assets of job bare, which declares none: []. Give its JobDefinition assets=[...].",
        ),
    ],
)
def test_request_for_assets_that_its_job_does_not_make_is_rejected(
    job: JobDefinition, keys: list[AssetKey], reason: str
) -> None:
    assert reasons(ticked(RunRequest(asset_selection=keys), job=job)) == [reason]


def test_named_job_must_make_the_assets() -> None:
    result = ticked(
        RunRequest("good", asset_selection=[A], job_name="load"),
        RunRequest("bad", asset_selection=[A], job_name="clean"),
    )

    assert [run.run_key for run in result.runs] == ["good"]
    assert reasons(result) == ["The request selects assets that job clean does not make: a. It makes c/d."]


def test_job_that_makes_nothing_of_the_selection_fails_the_tick() -> None:
    result = ticked(RunRequest(job_name="clean"), asset_selection="a")

    assert result.tick is not None
    assert result.tick.error is not None
    assert "job_name clean. Expected one of: ['load']" in result.tick.error.message


def test_empty_selection_stays_empty_and_needs_a_single_job() -> None:
    assert [made(run) for run in ticked(RunRequest(asset_selection=[]), asset_selection="a").runs] == [
        ("load", [])
    ]
    assert reasons(ticked(RunRequest(asset_selection=[]))) == [
        "The request selects no asset, and 2 jobs make those of the sensor. Select some of a, b, c/d."
    ]


@pytest.mark.parametrize("given", ["a", [A, "a"], ["a"], 3, {A: 1}])
def test_selection_of_a_request_must_be_a_list_of_keys(given: Any) -> None:
    with pytest.raises(InvalidResultError, match="asset_selection must be a list of AssetKey"):
        RunRequest(asset_selection=given)


def test_tag_is_set_by_treadle_alone() -> None:
    tag = {"treadle/asset_selection": '["b"]'}

    result = ticked(RunRequest("1", tags=tag), RunRequest("2", tags=tag, asset_selection=[A]), job=LOAD)
    of_job = ticked(RunRequest("1"), job=JobDefinition("load", tags=tag))

    assert [made(run) for run in result.runs] == [("load", ["a"])]
    assert [reasons(each) for each in (result, of_job)] == 2 * [
        [
            (
                "The request has the tag treadle/asset_selection, which Treadle sets. Give the assets as asset_selection, and "
                "leave out the tag."
            )
        ]
    ]


def test_target_of_the_run_receives_the_selection() -> None:
    @sensor(asset_selection=[CD])
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch], jobs=JOBS)
    [run] = instance.tick("watch").runs

    assert json.loads(instance.payload(run))["tags"]["treadle/asset_selection"] == '["c/d"]'


def test_run_status_sensor_sees_the_selection_and_may_request_the_same() -> None:
    @sensor(asset_selection=[A, B])
    def watch() -> RunRequest:
        return RunRequest(asset_selection=[B])

    @run_status_sensor(DagsterRunStatus.SUCCESS, monitored_jobs=[LOAD], request_job=LOAD)
    def again(context: Any) -> RunRequest:
        return RunRequest("again", asset_selection=list(context.dagster_run.asset_selection))

    instance = TreadleInstance([watch, again], jobs=JOBS)
    [run] = instance.tick("watch").runs
    ended = instance.finish_run(run)

    assert ended.dagster_run.asset_selection == frozenset({B})
    assert [made(run) for run in instance.runs(lambda run: run.sensor == "again")] == [("load", ["b"])]


def test_run_without_a_selection_has_none() -> None:
    @sensor(job=LOAD)
    def watch() -> RunRequest:
        return RunRequest()

    instance = TreadleInstance([watch])

    assert instance.finish_run(instance.tick("watch").runs[0]).dagster_run.asset_selection is None


def test_key_with_a_slash_in_a_part_is_selected_exactly() -> None:
    key = AssetKey(["a/b", "c"])
    job = JobDefinition("load", assets=[key, AssetKey(["a", "b", "c"])])

    result = ticked(RunRequest(asset_selection=[key]), job=job)

    assert made(result.runs[0]) == ("load", ["a\\/b/c"])


def test_partition_is_checked_beside_the_selection() -> None:
    job = JobDefinition("load", assets=["a"], partitions_def=DailyPartitionsDefinition("2026-11-20"))

    @sensor(job=job)
    def watch() -> list[RunRequest]:
        first = job.run_request_for_partition("2026-11-20", "1", None, [A])
        return [first, RunRequest("2", asset_selection=[A], partition_key="2020-01-01")]

    result = TreadleInstance([watch]).tick("watch")

    assert [(run.partition_key, made(run)) for run in result.runs] == [("2026-11-20", ("load", ["a"]))]
    assert "invalid partition" in reasons(result)[0]


@pytest.mark.parametrize("text", ["shop/orders", "{", "3", '"a"', "null"])
def test_tag_from_before_treadle_used_its_name_selects_nothing(text: str) -> None:
    assert DagsterRun("r1", "load", tags={"treadle/asset_selection": text}).asset_selection is None


# At import


@pytest.mark.parametrize(
    ("selection", "jobs", "fact"),
    [
        (["nope"], JOBS, "asset nope is selected, but no job makes it. The given jobs make a, b, c/d."),
        (["a"], None, "asset a is selected, but no job makes it. The given jobs make no assets."),
        ("*", [JobDefinition("bare")], "it selects no asset. The given jobs make no assets."),
        ("group:nope", JOBS, "it selects no asset"),
        (
            AssetSelection.assets("raw"),
            [JobDefinition("j", assets=[AssetSpec("a", deps=["raw"])])],
            "asset raw is selected, but no job",
        ),
        (
            AssetSelection.assets(*"abcdef"),
            [JobDefinition("j", assets=[AssetSpec("z", deps=[*"abcdef"])])],
            "assets a, b, c, d, e and 1 more are selected, but no job makes them. The given jobs make z.",
        ),
        (
            ["a"],
            [LOAD, JobDefinition("all", assets=["a", "b"])],
            "asset a is made by several jobs, load and all: give only one",
        ),
        (["a"], [LOAD, LOAD], "jobs contains two definitions of one job: load, load"),
        (["a"], [LOAD, "clean"], "jobs must be a list of JobDefinitions, not"),
        (["a"], LOAD, "jobs must be a list of JobDefinitions, not"),
    ],
)
@pytest.mark.parametrize("is_deployed", [True, False], ids=["evaluator", "TreadleInstance"])
def test_selection_that_no_single_job_makes_is_refused_at_import(
    is_deployed: bool, selection: Any, jobs: Any, fact: str
) -> None:
    watch = SensorDefinition("watch", evaluation_fn=lambda: None, asset_selection=selection)

    with pytest.raises(DagsterInvalidDefinitionError) as refused:
        evaluator(watch, jobs=jobs) if is_deployed else TreadleInstance([watch], jobs=jobs)

    assert fact in str(refused.value)


def test_sensor_that_selects_nothing_needs_no_jobs() -> None:
    watch = SensorDefinition("watch", evaluation_fn=lambda: None, job_name="load")

    assert watch.with_deployed_jobs(None) is watch
    assert callable(evaluator(watch, jobs=JOBS))


def test_evaluation_without_the_jobs_may_skip_but_not_request() -> None:
    @sensor(asset_selection="a")
    def watch(context: Any) -> Any:
        if context.cursor is None:
            return SkipReason("nothing")
        return RunRequest() if context.cursor == "one" else SensorResult([RunRequest()])

    assert watch(build_sensor_context(cursor="one")) == RunRequest()
    assert watch.evaluate_tick(build_sensor_context()).skip_message == "nothing"
    for cursor in ("one", "result"):
        with pytest.raises(
            DagsterInvariantViolationError, match=r"watch selects assets, and the jobs .* not known"
        ):
            watch.evaluate_tick(build_sensor_context(cursor=cursor))


def test_target_is_evaluated_without_the_jobs_if_a_request_needs_nothing_of_them() -> None:
    @sensor(target="a", tags={"own": "1"})
    def watch(context: Any) -> RunRequest:
        requests = {
            "key": RunRequest("key", asset_selection=[A]),
            "job": RunRequest(job_name="load"),
            "partition": RunRequest(partition_key="2026-11-22"),
        }
        return requests[context.cursor]

    [request] = watch.evaluate_tick(build_sensor_context(cursor="key")).run_requests

    assert (request.run_key, request.job_name, request.asset_selection) == ("key", None, [A])
    assert request.tags == {"dagster/sensor_name": "watch"}
    for cursor in ("job", "partition"):
        with pytest.raises(
            DagsterInvariantViolationError, match=r"watch selects assets, and the jobs .* not known"
        ):
            watch.evaluate_tick(build_sensor_context(cursor=cursor))


def test_evaluation_with_the_jobs_fills_in_job_and_assets() -> None:
    @sensor(target=AssetSelection.assets(CD) | AssetSelection.assets("a"))
    def watch() -> SensorResult:
        return SensorResult(
            [RunRequest("1", asset_selection=[A]), RunRequest("2"), RunRequest("3", asset_selection=[])]
        )

    data = watch.evaluate_tick(build_sensor_context(jobs=JOBS))

    assert [(each.job_name, each.asset_selection) for each in data.run_requests] == [
        ("load", [A]),
        ("load", [A, CD]),
        ("load", []),
    ]
    with pytest.raises(DagsterInvalidDefinitionError, match="asset a is selected, but no job makes it"):
        watch.evaluate_tick(build_sensor_context(jobs=[CLEAN]))


def test_sensor_that_selects_assets_has_dagsters_attributes() -> None:
    selecting = SensorDefinition("watch", evaluation_fn=lambda: None, asset_selection=["a", "b"])
    targeting = SensorDefinition("watch", evaluation_fn=lambda: None, target=["a"])

    assert selecting.asset_selection == AssetSelection.assets("a") | AssetSelection.assets("b")
    assert (targeting.asset_selection, selecting.has_jobs) == (None, False)
    with pytest.raises(DagsterInvalidDefinitionError, match="No job was provided"):
        _ = selecting.job
    with pytest.raises(DagsterInvalidDefinitionError, match="already chooses its jobs"):
        selecting.with_updated_job(CLEAN)
    assert targeting.with_updated_job(CLEAN).with_deployed_jobs(JOBS).job is CLEAN
    deployed = selecting.with_deployed_jobs(JOBS)
    assert (deployed.job, deployed.described()["jobs"], selecting.jobs) == (LOAD, ["load"], ())


# Sensors over several assets


def test_multi_asset_sensor_monitors_and_requests_selections() -> None:
    @multi_asset_sensor(
        monitored_assets=AssetSelection.assets(CD).upstream(include_self=False),
        request_assets=AssetSelection.assets(CD),
    )
    def both(context: Any) -> RunRequest | None:
        assert context.asset_keys == [A, B]
        if not all(context.latest_materialization_records_by_key().values()):
            return None
        context.advance_all_cursors()
        return RunRequest()

    instance = TreadleInstance([both], jobs=JOBS)
    instance.report_runless_asset_event(AssetMaterialization("a"))
    assert instance.runs() == ()
    instance.report_runless_asset_event(AssetMaterialization("b"))

    assert [made(run) for run in instance.runs()] == [("clean", ["c/d"])]


def test_multi_asset_sensor_needs_no_jobs_to_monitor_assets_by_their_keys() -> None:
    @multi_asset_sensor(AssetSelection.assets("z", "y") | AssetSelection.keys("a/b"), job_name="load")
    def both(context: Any) -> None: ...

    assert both.monitored_assets == (AssetKey(["a", "b"]), AssetKey("y"), AssetKey("z"))
    assert both.with_deployed_jobs(None) is both


def test_multi_asset_sensor_over_a_selection_needs_the_jobs() -> None:
    @multi_asset_sensor(AssetSelection.groups("g"), job_name="load")
    def both(context: Any) -> None: ...

    with pytest.raises(
        DagsterInvariantViolationError, match=r"monitors AssetSelection.groups\('g'\), and the jobs"
    ):
        both.evaluate_tick(build_sensor_context())
    with pytest.raises(DagsterInvalidDefinitionError, match="it selects no asset"):
        TreadleInstance([both])
    assert both.with_deployed_jobs(JOBS).monitored_assets == (B,)
    assert both.with_deployed_jobs(JOBS).job_names == ("load",)


def test_repeated_request_for_other_assets_is_another_request() -> None:
    first, second = {"treadle/asset_selection": '["a"]'}, {"treadle/asset_selection": '["b"]'}
    digests = [request_digest("load", "{}", None, tags) for tags in (first, second, {"x": "y"}, {})]

    assert len({*digests}) == 3
    assert digests[2] == digests[3] == request_digest("load", "{}", None)
