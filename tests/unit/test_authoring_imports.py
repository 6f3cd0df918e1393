"""`import treadle`: every promised name is there, and importing loads nothing before it is used."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import treadle

PACKAGE = Path(treadle.__file__).parent
LIBRARY = PACKAGE.parent
STUB = ast.parse((PACKAGE / "__init__.pyi").read_text())
IMPORTS = [each for each in STUB.body if isinstance(each, ast.ImportFrom)]


@pytest.mark.parametrize("name", treadle.__all__)
def test_every_promised_name_can_be_imported_and_is_what_its_module_calls_so(name: str) -> None:
    [module] = [each.module for each in IMPORTS if each.names[0].name == name]

    assert getattr(treadle, name) is vars(importlib.import_module(str(module)))[name]


def test_unknown_name_is_an_attribute_error_that_names_it() -> None:
    with pytest.raises(AttributeError, match="module 'treadle' has no attribute 'sensr'"):
        _ = treadle.sensr  # type: ignore[attr-defined]


def test_type_checkers_see_each_promised_name_and_no_other() -> None:
    names = [(each.name, each.asname) for statement in IMPORTS for each in statement.names]

    assert sorted(names) == [(name, name) for name in treadle.__all__]


@pytest.mark.parametrize("code", ["import treadle", "from treadle import RunRequest, s3_sensor, sensor"])
def test_importing_names_for_authors_loads_no_aws_library(code: str) -> None:
    script = f"import sys\n{code}\nprint([m for m in ('boto3', 'pynamodb', 'aws_lambda_powertools') if m in sys.modules])"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
        check=True,
    )

    assert done.stdout.strip() == "[]"


def test_evaluator_loads_neither_the_engine_s_steps_nor_the_targets() -> None:
    """A cold start loads what the handler uses, and nothing of what it may not do."""
    script = "import sys\nfrom treadle import evaluator\nprint(*sys.modules)"

    done = subprocess.run(
        [sys.executable, "-c", script],
        env={"PYTHONPATH": str(LIBRARY)},
        capture_output=True,
        text=True,
        check=True,
    )

    loaded = done.stdout.split()
    assert "treadle.engine.tick.scheduled_ticks" in loaded
    unneeded = (
        "treadle.engine.dispatch.dispatcher",
        "treadle.engine.launch.launcher",
        "treadle.engine.record.recorder",
        "treadle.adapters.targets",
        # Loaded by the first tick that meets a run or an event.
        "treadle.ports.runs",
        "treadle.engine.tick.event_ticks",
        "treadle.engine.tick.preview",
        # Loaded by a project whose resources have fields or a config.
        "treadle.definitions.configurable_resources",
        "treadle.definitions.config_schema",
        "treadle.definitions.fields",
        "pydantic",
        # Loaded by a sensor that uses them.
        "treadle.definitions.batch_contexts",
        "treadle.definitions.item_batches",
        "treadle.definitions.partitions",
        "treadle.engine.batches",
        "treadle.engine.tick.batch_acceptor",
        "treadle.definitions.hours",
        "treadle.definitions.partitions",
        "zoneinfo",
        "boto3",
    )
    assert [name for name in loaded if name.startswith(unneeded)] == []
