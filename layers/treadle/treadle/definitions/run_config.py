"""Run config: the object form, and its validation against a job's JSON Schema."""

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any

from treadle.definitions.errors import DagsterInvalidConfigError, DagsterInvalidDefinitionError
from treadle.definitions.jobs import JobDefinition


@dataclass(frozen=True, slots=True)
class RunConfig:
    """A run config made of parts, in Dagster's groups; empty parts are left out.

    Args:
        ops: by op name: a mapping, a `Config`, a dataclass, or anything with `model_dump()`.
        resources: by resource key, likewise.
        loggers: by logger name.
        execution: execution settings.
    """

    ops: Mapping[str, Any] = field(default_factory=dict)
    resources: Mapping[str, Any] = field(default_factory=dict)
    loggers: Mapping[str, Any] = field(default_factory=dict)
    execution: Mapping[str, Any] = field(default_factory=dict)

    def to_config_dict(self) -> dict[str, Any]:
        """Return the run config as plain JSON; a typed part becomes `{"config": its fields}`."""
        parts = {
            "ops": {name: _plain(value) for name, value in self.ops.items()},
            "resources": {name: _plain(value) for name, value in self.resources.items()},
            "loggers": dict(self.loggers),
            "execution": dict(self.execution),
        }
        return {name: part for name, part in parts.items() if part}


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return dict(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {"config": dataclasses.asdict(value)}
    if hasattr(value, "to_config_dict"):
        return {"config": value.to_config_dict()}  # A Config; its environment variables stay names.
    if hasattr(value, "model_dump"):
        return {"config": value.model_dump()}
    return value


def validate_run_config(
    job: JobDefinition, run_config: Mapping[str, Any] | RunConfig | None = None
) -> dict[str, Any]:
    """Return the run config as plain JSON, if it matches the job's schema.

    Args:
        job: without a schema, any run config is valid.
        run_config: of a request.

    Raises:
        DagsterInvalidConfigError: with the validator's message.
        DagsterInvalidDefinitionError: if the schema itself is not a JSON Schema.
    """
    plain = run_config.to_config_dict() if isinstance(run_config, RunConfig) else dict(run_config or {})
    problem = config_problem(job, plain)
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
