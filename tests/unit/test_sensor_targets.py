"""A sensor's targets as attributes, and the copies of a sensor that have others."""

import pytest

from treadle import DagsterInvalidDefinitionError, IntMetadataValue, JobDefinition, SensorDefinition

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
