"""Run config with a schema: an invalid request is rejected, and never starves the others."""

from dataclasses import dataclass
from typing import Any

import pytest

from treadle import (
    DagsterInvalidConfigError,
    DagsterInvalidDefinitionError,
    JobDefinition,
    RunConfig,
    RunRequest,
    SensorEvaluationContext,
    SensorResult,
    sensor,
    validate_run_config,
)
from treadle.definitions.status import TickStatus
from treadle.engine.outcomes import Decision
from treadle.model.ticks import RejectedRequest
from treadle.testing import TickResult, TreadleInstance

SCHEMA = {
    "type": "object",
    "properties": {"table": {"type": "string"}, "limit": {"type": "integer", "default": 5}},
    "required": ["table"],
    "additionalProperties": False,
}
load = JobDefinition("load", run_config_schema=SCHEMA)
free = JobDefinition("free")
broken = JobDefinition("broken", run_config_schema={"type": "no such type"})


@dataclass
class Options:
    """What an op takes."""

    table: str


class Model:
    """As pydantic's models are."""

    def model_dump(self) -> dict[str, Any]:
        return {"table": "t"}


def ticked(
    *requests: RunRequest, jobs: list[JobDefinition] | None = None
) -> tuple[TreadleInstance, TickResult]:
    @sensor(jobs=jobs or [load])
    def watch() -> SensorResult:
        return SensorResult(list(requests), cursor="moved")

    instance = TreadleInstance([watch])
    return instance, instance.tick("watch")


def test_run_config_that_fits_is_launched_as_it_is() -> None:
    instance, result = ticked(RunRequest("a", {"table": "t"}))

    (run,) = result.runs
    assert run.run_config == '{"table":"t"}'
    assert '"table":"t"' in instance.payload(run)


def test_invalid_request_is_rejected_with_the_validations_message() -> None:
    _, result = ticked(RunRequest("bad", {"table": 1}))

    assert result.tick is not None
    assert result.tick.status is TickStatus.SKIPPED
    assert result.tick.rejected == (
        RejectedRequest("bad", "Error in config for job load: run_config.table must be string."),
    )
    assert result.outcome.rejected == 1
    assert "1 invalid requests were rejected" in result.outcome.reason


@pytest.mark.parametrize("place", [0, 1, 2])
def test_invalid_request_starves_no_other_and_the_cursor_moves(place: int) -> None:
    requests = [RunRequest("a", {"table": "a"}), RunRequest(None, {"table": "b"})]
    requests.insert(place, RunRequest("bad", {"tabel": "c"}))

    instance, result = ticked(*requests)

    assert [run.run_config for run in result.runs] == ['{"table":"a"}', '{"table":"b"}']
    assert result.outcome.decision is Decision.SUCCESS
    assert result.outcome.rejected == 1
    assert instance.cursor("watch") == "moved"


def test_key_of_an_invalid_request_stays_free() -> None:
    configs: list[dict[str, Any]] = [{"table": 1}, {"table": "t"}]

    @sensor(job=load)
    def watch() -> RunRequest:
        return RunRequest("key", configs.pop(0))

    instance = TreadleInstance([watch])
    assert instance.tick("watch").runs == ()

    (run,) = instance.tick("watch").runs

    assert run.run_key == "key"


def test_each_job_is_held_to_its_own_schema() -> None:
    anything = {"anything": [1, {"goes": None}]}

    _, result = ticked(
        RunRequest("a", anything, job_name="free"),
        RunRequest("b", anything, job_name="load"),
        jobs=[load, free],
    )

    assert [run.job for run in result.runs] == ["free"]
    assert result.tick is not None
    assert [each.run_key for each in result.tick.rejected] == ["b"]


def test_schema_that_is_no_schema_fails_the_tick_by_the_jobs_name() -> None:
    instance, result = ticked(RunRequest("a"), jobs=[broken])

    assert result.outcome.decision is Decision.FAILURE
    assert "The run_config_schema of job broken is not a valid JSON Schema" in result.outcome.reason
    assert instance.cursor("watch") is None


def test_defaults_of_a_schema_are_not_written_into_the_run_config() -> None:
    options = {"properties": {"limit": {"default": 5}}}
    job = JobDefinition(
        "load", run_config_schema={"properties": {"options": options, "table": {"default": "t"}}}
    )

    _, result = ticked(RunRequest("a", {"options": {}}), jobs=[job])

    assert [run.run_config for run in result.runs] == ['{"options":{}}']
    assert validate_run_config(job, {"options": {}}) == {"options": {}}


def test_run_config_object_becomes_dagsters_shape() -> None:
    config = RunConfig(
        ops={"a": Options("t"), "b": {"config": {"x": 1}}, "c": Model()}, execution={"multiprocess": {}}
    )

    request = RunRequest(run_config=config)

    assert request.run_config == {
        "ops": {"a": {"config": {"table": "t"}}, "b": {"config": {"x": 1}}, "c": {"config": {"table": "t"}}},
        "execution": {"multiprocess": {}},
    }


def test_run_config_object_is_held_to_the_schema_too() -> None:
    job = JobDefinition("load", run_config_schema={"required": ["ops"]})

    _, result = ticked(
        RunRequest("a", RunConfig(ops={"a": Options("t")})), RunRequest("b", RunConfig()), jobs=[job]
    )

    assert [run.run_key for run in result.runs] == ["a"]


def test_validate_run_config_gives_the_plain_config_that_a_run_would_get() -> None:
    job = JobDefinition("load", run_config_schema={"required": ["ops"]})

    assert validate_run_config(load, {"table": "t"}) == {"table": "t"}
    assert validate_run_config(free) == {}
    assert validate_run_config(job, RunConfig(ops={"a": Options("t")})) == {
        "ops": {"a": {"config": {"table": "t"}}}
    }


def test_validate_run_config_refuses_with_the_message_of_the_tick() -> None:
    with pytest.raises(
        DagsterInvalidConfigError, match="Error in config for job load: run_config must contain"
    ):
        validate_run_config(load)


def test_validate_run_config_distinguishes_a_broken_schema_from_a_broken_config() -> None:
    with pytest.raises(DagsterInvalidDefinitionError, match="not a valid JSON Schema"):
        validate_run_config(broken, {})


def test_preview_shows_what_would_be_rejected() -> None:
    @sensor(job=load)
    def watch(context: SensorEvaluationContext) -> RunRequest:
        return RunRequest("k", {"table": context.cursor})

    instance = TreadleInstance([watch])

    assert [each.run_key for each in instance.preview("watch").tick.rejected] == ["k"]
    assert instance.preview("watch", cursor="t").tick.rejected == ()
