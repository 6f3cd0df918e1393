"""Names that only the tests use: private ones of Dagster's, and its words for errors."""

import os
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from unittest import mock

import treadle as tr
from treadle.definitions.asset_cursors import load_cursors
from treadle.definitions.errors import InvalidResultError

_CHECKS = (
    InvalidResultError,
    tr.DagsterInvariantViolationError,
    tr.DagsterInvalidDefinitionError,
    tr.DagsterInvalidInvocationError,
)
"""What the guide says is raised in place of `CheckError`."""


def _cursor(context: Any, key: tr.AssetKey) -> Any:
    """Return the cursor of an asset, as Dagster's private method does."""
    found = load_cursors(context.cursor, context.asset_keys)[key]
    return SimpleNamespace(
        latest_consumed_event_partition=found.partition,
        latest_consumed_event_id=found.storage_id or None,
        trailing_unconsumed_partitioned_event_ids=found.unconsumed,
    )


tr.MultiAssetSensorEvaluationContext._get_cursor = _cursor  # type: ignore[attr-defined]


def environ(values: Mapping[str, str]) -> Any:
    return mock.patch.dict(os.environ, values)


SCAFFOLD: dict[str, Any] = {
    "CheckError": _CHECKS,
    "ParameterCheckError": _CHECKS,
    "PARTITION_NAME_TAG": "dagster/partition",
    "RUN_KEY_TAG": "dagster/run_key",
    "environ": environ,
    "file_relative_path": lambda path, name: str(Path(path).parent / name),
    "not_none": lambda value: value,
    "relativedelta": import_module("dateutil.relativedelta").relativedelta,
}
