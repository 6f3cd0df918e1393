"""Validation of a run config against its job's JSON Schema."""

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from treadle.definitions.errors import DagsterInvalidConfigError, DagsterInvalidDefinitionError
from treadle.definitions.jobs import JobDefinition
from treadle.definitions.run_config import RunConfig


def validate_run_config(
    job_def: JobDefinition, run_config: Mapping[str, Any] | RunConfig | None = None
) -> dict[str, Any]:
    """Return the run config as plain JSON, if it matches the job's schema.

    Args:
        job_def: the job; without a schema, any run config is valid.
        run_config: of a request.

    Raises:
        DagsterInvalidConfigError: with the validator's message.
        DagsterInvalidDefinitionError: if the schema itself is not a JSON Schema.
    """
    plain = run_config.to_config_dict() if isinstance(run_config, RunConfig) else dict(run_config or {})
    problem = config_problem(job_def, plain)
    if problem is not None:
        raise DagsterInvalidConfigError(problem)
    return plain


def config_problem(job: JobDefinition, run_config: Mapping[str, Any]) -> str | None:
    """Return why a run config does not match the job's schema; None if it does.

    Raises:
        DagsterInvalidDefinitionError: if the schema itself is not a JSON Schema.
    """
    if job.run_config_schema is None:
        return None
    from fastjsonschema import JsonSchemaException

    try:
        _validator(_Schema(job))(dict(run_config))
    except JsonSchemaException as error:
        return f"Error in config for job {job.name}: {str(error).replace('data', 'run_config', 1)}."
    return None


class _Schema:
    """A job by its identity, as a job with a schema cannot be hashed by its value."""

    def __init__(self, job: JobDefinition) -> None:
        self.job = job

    def __hash__(self) -> int:
        return id(self.job)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Schema) and other.job is self.job


@cache
def _validator(schema: _Schema) -> Callable[[Any], Any]:
    # Imported here, as most jobs have no schema.
    import fastjsonschema

    job = schema.job
    try:
        compiled: Callable[[Any], Any] = fastjsonschema.compile(
            dict(job.run_config_schema or {}), use_default=False
        )
    except Exception as error:
        msg = f"The run_config_schema of job {job.name} is not a valid JSON Schema: {error}."
        raise DagsterInvalidDefinitionError(msg) from error
    return compiled
