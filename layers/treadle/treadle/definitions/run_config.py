"""Run config as an object."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


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
