"""A sensor's code as text, its history in memory, and rehearsals of that history."""

import json
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from click.testing import Result

from tests.support.project import run
from treadle.adapters.tick_files import TickSource, write_ticks
from treadle.cli.template_edit import load
from treadle.definitions.sensors import SensorDefinition
from treadle.definitions.status import DefaultSensorStatus
from treadle.dev.rehearsing import rehearsed as rehearsals
from treadle.model.deployment import DeployedSensor
from treadle.operate.masks import DEFAULT_MASKS, Masks
from treadle.operate.recorded_ticks import RecordedTicks
from treadle.operate.rehearsal import RehearsedTick, compared
from treadle.testing import TreadleInstance
from treadle.testing.bus import NAMESPACE

TEMPLATE = """
Globals: { Function: { Timeout: 20 } }
Resources:
  Sensor: { Type: AWS::Serverless::Function, Properties: { CodeUri: functions/sensors/watch } }
"""
END = 10**13
"""A time after all ticks, in milliseconds."""


def sensor_of(code: str) -> SensorDefinition:
    """Return the sensor `watch` of a module."""
    names: dict[str, Any] = {}
    exec(textwrap.dedent(code), names)
    found: SensorDefinition = names["watch"]
    return found


def write_project(root: Path, code: str) -> None:
    """Write a project with the sensor `watch`."""
    folder = root / "functions" / "sensors" / "watch"
    folder.mkdir(parents=True, exist_ok=True)
    handler = "\nfrom treadle import evaluator\n\nhandler = evaluator(watch)\n"
    (folder / "app.py").write_text(textwrap.dedent(code) + handler)
    (root / "template.yaml").write_text(TEMPLATE)


def deployed(kind: str = "schedule", settings: Mapping[str, str] | None = None) -> DeployedSensor:
    """Return the sensor as it is deployed."""
    return DeployedSensor(
        "watch", kind, "", ("load",), DefaultSensorStatus.RUNNING, settings=dict(settings or {})
    )


def export(
    instance: TreadleInstance, folder: Path, sensor: DeployedSensor | None = None, *masks: str
) -> list[dict[str, Any]]:
    """Write the sensor's recorded ticks to a folder; return the lines."""
    found = sensor or deployed()
    recorded = RecordedTicks(instance._stores, NAMESPACE)
    source = TickSource("watch", NAMESPACE, found.settings, Masks((*DEFAULT_MASKS, *masks)))
    write_ticks(folder, source, recorded.of(found, 0, END))
    return [json.loads(line) for line in (folder / "watch.jsonl").read_text().splitlines()]


def rehearse(root: Path, *options: str) -> Result:
    """Return the result of `treadle rehearse watch` with the ticks in the folder `ticks`."""
    return run("rehearse", "watch", "--from", root / "ticks", "--root", root, *options)


def rehearsed(root: Path, *options: str) -> dict[str, Any]:
    """Return the same as parsed JSON."""
    result = rehearse(root, "--json", *options)
    assert result.exit_code in {0, 1}, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def over_stores(root: Path, instance: TreadleInstance, sensor: DeployedSensor) -> list[RehearsedTick]:
    """Return the results of the sensor's ticks, over the stores in which they are recorded."""
    stores = instance._stores
    source = TickSource("watch", NAMESPACE, sensor.settings, Masks())
    ticks = RecordedTicks(stores, NAMESPACE).of(sensor, 0, END)
    return [compared(each, source.masks) for each in rehearsals(root, load, source, ticks, stores)]
