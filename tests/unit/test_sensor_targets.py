"""A sensor's targets as attributes, and the copies of a sensor that have others."""

from typing import Any

import pytest

from treadle import (
    AssetKey,
    DagsterInvalidDefinitionError,
    IntMetadataValue,
    JobDefinition,
    RunRequest,
    SensorDefinition,
    sensor,
)
from treadle.testing import TreadleInstance

one, other = JobDefinition("one"), JobDefinition("other")


def watching(*jobs: JobDefinition) -> SensorDefinition:
    """Return a sensor that may request these jobs."""
    return SensorDefinition(
        "watch", evaluation_fn=lambda: None, jobs=jobs, metadata={"a": 1}, tags={"team": "data"}
    )


def test_only_target_is_the_job() -> None:
    definition = watching(one)

    assert (definition.has_jobs, definition.job, definition.job_name) == (True, one, "one")


def test_sensor_without_targets_has_no_job() -> None:
    definition = watching()

    assert not definition.has_jobs
    for attribute in ("job", "job_name"):
        with pytest.raises(DagsterInvalidDefinitionError, match="No job was provided to SensorDefinition"):
            getattr(definition, attribute)


def test_sensor_with_several_targets_has_no_single_job() -> None:
    definition = watching(one, other)

    assert definition.job_names == ("one", "other")
    for attribute in ("job", "job_name"):
        with pytest.raises(
            DagsterInvalidDefinitionError,
            match="property not available when SensorDefinition has multiple jobs",
        ):
            getattr(definition, attribute)


def test_copy_with_other_targets_leaves_the_sensor_itself_alone() -> None:
    definition = watching(one)

    assert definition.with_updated_job(other).job is other
    assert definition.with_updated_jobs([one, other]).job_names == ("one", "other")
    assert definition.job is one


def test_copy_with_attributes_changes_what_is_given_and_keeps_the_rest() -> None:
    definition = watching(one)

    with_jobs = definition.with_attributes(jobs=[other])
    with_metadata = definition.with_attributes(metadata={"b": 2})

    assert (with_jobs.job, with_jobs.metadata, with_jobs.tags) == (
        other,
        {"a": IntMetadataValue(1)},
        {"team": "data"},
    )
    assert (with_metadata.job, with_metadata.metadata) == (one, {"b": IntMetadataValue(2)})
    assert (definition.job, definition.metadata) == (one, {"a": IntMetadataValue(1)})


def test_target_is_the_sensors_job() -> None:
    @sensor(target=one)
    def watch() -> RunRequest:
        return RunRequest("a")

    assert watch.job is one
    assert [run.job for run in TreadleInstance([watch]).tick("watch").runs] == ["one"]
    assert SensorDefinition("watch", evaluation_fn=lambda: None, target=None).jobs == ()


@pytest.mark.parametrize("target", [[one], AssetKey("a"), 3, "one or other", [""]])
def test_target_that_is_neither_a_job_nor_a_selection_of_assets_is_refused(target: Any) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="target is no job and no selection of assets"):
        SensorDefinition("watch", evaluation_fn=lambda: None, target=target)


def test_string_as_target_is_an_asset_and_no_job() -> None:
    watch = SensorDefinition("watch", evaluation_fn=lambda: None, target="one")

    assert watch.jobs == ()
    assert watch.with_deployed_jobs([JobDefinition("makes", assets=["one"]), one]).job_names == ("makes",)


def test_target_together_with_a_job_is_refused() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match=r"more than one of .* \(job, target\)"):
        SensorDefinition("watch", evaluation_fn=lambda: None, target=one, job=other)


def test_run_tags_replace_the_tags_of_a_job_on_its_runs() -> None:
    tagged = JobDefinition("tagged", tags={"owner": "data"}, run_tags={"size": "1"})
    plain = JobDefinition("plain", tags={"owner": "data"})
    bare = JobDefinition("bare", tags={"owner": "data"}, run_tags={})

    @sensor(jobs=[tagged, plain, bare])
    def watch() -> list[RunRequest]:
        return [RunRequest(job.name, job_name=job.name) for job in (tagged, plain, bare)]

    runs = TreadleInstance([watch]).tick("watch").runs

    assert (tagged.tags, tagged.run_tags, plain.run_tags) == (
        {"owner": "data"},
        {"size": "1"},
        {"owner": "data"},
    )
    assert [{name: run.tags.get(name) for name in ("owner", "size")} for run in runs] == [
        {"owner": None, "size": "1"},
        {"owner": "data", "size": None},
        {"owner": None, "size": None},
    ]


def test_owner_may_be_a_team_with_spaces() -> None:
    owners = ["team:Data Engineering", "a@b.org"]

    assert SensorDefinition("watch", evaluation_fn=lambda: None, owners=owners).owners == owners


@pytest.mark.parametrize("owner", ["team:", "data", "a b@c.org"])
def test_owner_that_is_no_address_or_team_is_refused(owner: str) -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="owner"):
        SensorDefinition("watch", evaluation_fn=lambda: None, owners=[owner])
