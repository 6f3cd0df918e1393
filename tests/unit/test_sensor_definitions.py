"""Sensor and job definitions: their properties, and which cannot work."""

from collections.abc import Callable, Iterator
from datetime import timedelta
from functools import partial
from typing import Any

import pytest

import treadle
from treadle.definitions.asset_key import AssetKey
from treadle.definitions.asset_sensor import AssetSensorDefinition
from treadle.definitions.contexts import SensorEvaluationContext, build_sensor_context
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    InvalidResultError,
    UnknownEventError,
)
from treadle.definitions.evaluation import with_job_name
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.metadata import TextMetadataValue
from treadle.definitions.multi_asset_sensor import MultiAssetSensorDefinition
from treadle.definitions.objects import ObjectCreated
from treadle.definitions.results import RunRequest
from treadle.definitions.retries import RetryPolicy
from treadle.definitions.run_status import RunFailureSensorDefinition, RunStatusSensorDefinition
from treadle.definitions.sensors import SensorDefinition, sensor
from treadle.definitions.status import DagsterRunStatus, DefaultSensorStatus
from treadle.integrations.s3.definition import S3SensorDefinition
from treadle.integrations.s3.selection import S3Selection


def nothing() -> None:
    """Requests nothing."""


def test_decorated_function_lends_its_name_and_text() -> None:
    @sensor(job_name="load")
    def new_files() -> None:
        """Looks for files."""

    assert isinstance(new_files, SensorDefinition)
    assert (new_files.name, new_files.description) == ("new_files", "Looks for files.")


def test_decorator_hands_every_argument_to_the_definition() -> None:
    load, clean = JobDefinition("load"), JobDefinition("clean")

    definition = sensor(
        name="other",
        minimum_interval_seconds=90,
        description="text",
        jobs=[load, clean],
        default_status=DefaultSensorStatus.RUNNING,
        tags={"team": "data"},
        metadata={"url": "u"},
    )(nothing)

    assert (definition.name, definition.minimum_interval_seconds, definition.description) == (
        "other",
        90,
        "text",
    )
    assert definition.default_status is DefaultSensorStatus.RUNNING
    assert (definition.jobs, definition.job_names) == ((load, clean), ("load", "clean"))
    assert (definition.tags, definition.metadata) == ({"team": "data"}, {"url": TextMetadataValue("u")})


LOAD = JobDefinition("load")
DAY = timedelta(days=1)
ORDERS = treadle.AssetKey("orders")
DECORATORS: dict[str, Callable[..., Any]] = {
    "sensor": treadle.sensor,
    "asset_sensor": partial(treadle.asset_sensor, ORDERS),
    "multi_asset_sensor": partial(treadle.multi_asset_sensor, [ORDERS]),
    "s3_sensor": partial(treadle.s3_sensor, "b"),
    "run_status_sensor": partial(treadle.run_status_sensor, DagsterRunStatus.SUCCESS),
    "run_failure_sensor": treadle.run_failure_sensor,
    "deadline_sensor": partial(treadle.deadline_sensor, job=LOAD, within=DAY),
    "all_succeeded": partial(
        treadle.all_succeeded, "it", jobs=[LOAD, JobDefinition("clean")], within=DAY, request_job=LOAD
    ),
    "assets_updated": partial(treadle.assets_updated, "it", any_of=[ORDERS], request_job=LOAD),
    "alert_from_environment": partial(treadle.alert_from_environment, "it"),
}


@pytest.mark.parametrize("name", DECORATORS)
def test_options_reach_the_definition_from_each_decorator(name: str) -> None:
    options = {
        "tags": {"team": "data"},
        "metadata": {"url": "u"},
        "owners": ["team:data"],
        "on_invalid": "fail",
    }

    made = DECORATORS[name](**options, default_status=DefaultSensorStatus.RUNNING)
    definition = made if isinstance(made, SensorDefinition) else made(nothing)

    assert {option: getattr(definition, option) for option in options} == {
        **options,
        "metadata": {"url": TextMetadataValue("u")},
        "owners": ["team:data"],
    }
    assert definition.default_status is DefaultSensorStatus.RUNNING


@pytest.mark.parametrize(
    ("owner", "message"),
    [
        ("team:", "Team name cannot be empty after 'team:' prefix"),
        ("somebody", "Owner must be an email address or a team name prefixed with 'team:'"),
    ],
)
def test_wrong_owner_is_refused_with_dagsters_words(owner: str, message: str) -> None:
    with pytest.raises(
        DagsterInvalidDefinitionError, match=f"Invalid owner '{owner}' for sensor 'nothing'. {message}"
    ):
        sensor(owners=[owner])(nothing)


@pytest.mark.parametrize(
    ("name", "option"),
    [
        *((name, "retires_per_key") for name in DECORATORS),
        ("sensor", "evaluation_fn"),
        ("deadline_sensor", "retries_per_key"),
        ("run_status_sensor", "job"),
    ],
)
def test_unknown_option_is_a_type_error_that_names_it_and_the_decorator(name: str, option: str) -> None:
    with pytest.raises(TypeError, match=rf"^{name}\(\) got an unexpected keyword argument '{option}'$"):
        DECORATORS[name](**{option: None})


@pytest.mark.parametrize(
    "make",
    [
        partial(AssetSensorDefinition, "it", AssetKey("a"), None, nothing),
        partial(MultiAssetSensorDefinition, "it", [AssetKey("a")], None, nothing),
        partial(RunStatusSensorDefinition, "it", DagsterRunStatus.SUCCESS, nothing),
        partial(RunFailureSensorDefinition, "it", DagsterRunStatus.FAILURE, nothing),
        partial(S3SensorDefinition, "it", evaluation_fn=nothing, selection=S3Selection("b")),
    ],
    ids=["asset", "multi_asset", "run_status", "run_failure", "s3"],
)
@pytest.mark.parametrize("option", ["target", "asset_selection"])
def test_definition_that_selects_no_assets_refuses_the_option(
    make: Callable[..., object], option: str
) -> None:
    with pytest.raises(TypeError, match=rf"__init__\(\) got an unexpected keyword argument '{option}'$"):
        make(**{option: "a"})


def test_run_sensors_take_dagsters_arguments_by_position() -> None:
    place = ("it", 30, "text", [LOAD], None, False, DefaultSensorStatus.RUNNING, None, [LOAD])

    for definition in (
        treadle.run_status_sensor(DagsterRunStatus.FAILURE, *place)(nothing),
        treadle.run_failure_sensor(*place)(nothing),
    ):
        assert (definition.name, definition.minimum_interval_seconds, definition.description) == place[:3]
        assert (definition.monitored_jobs, definition.monitors_everything) == ((LOAD,), False)
        assert (definition.default_status, definition.jobs) == (DefaultSensorStatus.RUNNING, (LOAD,))


def test_sensor_is_stopped_and_ticks_each_minute_unless_configured_otherwise() -> None:
    definition = SensorDefinition(evaluation_fn=nothing)

    assert definition.default_status is DefaultSensorStatus.STOPPED
    assert definition.minimum_interval_seconds is None
    assert definition.jobs == ()


def test_interval_of_zero_means_each_scheduled_minute() -> None:
    assert (
        SensorDefinition(evaluation_fn=nothing, minimum_interval_seconds=0).minimum_interval_seconds is None
    )


def test_negative_interval_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="minimum_interval_seconds must not be negative"):
        SensorDefinition(evaluation_fn=nothing, minimum_interval_seconds=-1)


def test_definition_without_function_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="Must provide evaluation_fn to SensorDefinition"):
        SensorDefinition("nameless")


@pytest.mark.parametrize("name", ["with-dash", "with space", "ünïcode", "a" * 81, "a\n", "a/b"])
def test_name_of_sensor_or_job_is_letters_digits_and_underscores(name: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="cannot name a sensor"):
        SensorDefinition(name, evaluation_fn=nothing)
    with pytest.raises(DagsterInvalidDefinitionError, match="cannot name a job"):
        JobDefinition(name)


@pytest.mark.parametrize("name", ["a", "A_9", "a" * 80])
def test_name_of_letters_digits_and_underscores_is_taken(name: str) -> None:
    assert SensorDefinition(name, evaluation_fn=nothing).name == name


@pytest.mark.parametrize(
    "targets",
    [
        {"job": JobDefinition("a"), "jobs": [JobDefinition("b")]},
        {"job": JobDefinition("a"), "job_name": "b"},
        {"jobs": [JobDefinition("a")], "job_name": "b"},
    ],
)
def test_targets_given_in_two_ways_are_refused_by_name(targets: dict[str, Any]) -> None:
    with pytest.raises(
        DagsterInvalidDefinitionError, match="more than one of 'job', 'jobs', 'job_name'"
    ) as refused:
        SensorDefinition(evaluation_fn=nothing, **targets)

    assert all(name in str(refused.value) for name in targets)


@pytest.mark.parametrize(
    "targets", [{"job": JobDefinition("a")}, {"jobs": [JobDefinition("a")]}, {"job_name": "a"}]
)
def test_target_may_be_given_in_any_one_way(targets: dict[str, Any]) -> None:
    assert SensorDefinition(evaluation_fn=nothing, **targets).job_names == ("a",)


def test_a_job_is_found_by_its_name() -> None:
    jobs = [JobDefinition("a", tags={"x": "1"}), JobDefinition("b", tags={"x": "2"})]

    assert SensorDefinition(evaluation_fn=nothing, jobs=jobs).job_named("b").tags == {"x": "2"}


def test_definition_can_be_called_like_its_function() -> None:
    @sensor(job_name="load")
    def keys(context: SensorEvaluationContext) -> Iterator[RunRequest]:
        yield RunRequest(context.cursor)

    assert list(keys(build_sensor_context(cursor="1"))) == [RunRequest("1")]


def test_sensor_without_events_names_the_event_that_it_got(created: ObjectCreated) -> None:
    definition = SensorDefinition("timed", evaluation_fn=nothing)

    with pytest.raises(
        UnknownEventError, match="Sensor timed does not evaluate events, but received Object Created s3://"
    ):
        definition.evaluate_event(SensorEvaluationContext("timed"), created)


def test_sensor_has_nothing_of_its_own_to_configure() -> None:
    definition = SensorDefinition(evaluation_fn=nothing)

    assert definition.configured({"TREADLE_S3_BUCKET": "b"}) is definition


def test_request_of_a_sensor_with_one_job_gets_that_job() -> None:
    request = RunRequest("key", {"a": 1}, {"t": "1"}, partition_key="2026-11-22")

    assert with_job_name(request, "watch", ["load"]) == RunRequest(
        "key", {"a": 1}, {"t": "1"}, "load", partition_key="2026-11-22"
    )


def test_request_may_name_one_of_several_jobs() -> None:
    assert with_job_name(RunRequest(job_name="b"), "watch", ["a", "b"]).job_name == "b"


@pytest.mark.parametrize(
    ("job_name", "jobs", "message"),
    [
        (None, [], "lacking a specified target"),
        ("a", [], "lacking a specified target"),
        (None, ["a", "b"], r"did not specify job_name .* Expected one of: \['a', 'b'\]"),
        ("c", ["a", "b"], r"job_name c\. Expected one of: \['a', 'b'\]"),
        ("c", ["a"], r"job_name c\. Expected one of: \['a'\]"),
    ],
)
def test_request_without_a_valid_target_is_refused(
    job_name: str | None, jobs: list[str], message: str
) -> None:
    with pytest.raises(InvalidResultError, match=message):
        with_job_name(RunRequest(job_name=job_name), "watch", jobs)


def test_ends_are_finished_and_rank_above_all_else() -> None:
    ends = [status for status in DagsterRunStatus if status.is_finished]
    others = [status for status in DagsterRunStatus if not status.is_finished]

    assert {status.value for status in ends} == {"SUCCESS", "FAILURE", "CANCELED"}
    assert max(status.rank for status in others) < min(status.rank for status in ends)
    assert [status.value for status in sorted(others, key=lambda status: status.rank)] == [
        "QUEUED",
        "STARTING",
        "STARTED",
        "CANCELING",
    ]


@pytest.mark.parametrize(("number", "retried"), [(1, ["a"]), (0, [])])
def test_jobs_with_a_retry_policy_are_described(number: int, retried: list[str]) -> None:
    jobs = [JobDefinition("a", retry_policy=RetryPolicy(max_retries=number)), JobDefinition("b")]

    made = SensorDefinition("watch", evaluation_fn=lambda _: None, jobs=jobs)

    assert made.described()["retried_jobs"] == retried
