"""Sensor large_files: a run for files with more rows than the deployment says, and for no others."""

import pytest

from functions.sensors.large_files import app
from treadle import AssetMaterialization
from treadle.testing import TreadleInstance


@pytest.fixture
def instance(monkeypatch: pytest.MonkeyPatch) -> TreadleInstance:
    """The sensor, in memory; more than two rows are large."""
    monkeypatch.setenv("LARGE_FILES_ROWS", "2")
    return TreadleInstance([app.large_files])


def summarized(instance: TreadleInstance, **summary: object) -> None:
    instance.report_runless_asset_event(AssetMaterialization(app.SUMMARIES, metadata=summary))


def test_starts_a_run_for_each_large_file(instance: TreadleInstance) -> None:
    for rows in (2, 3, 1, 4):
        summarized(instance, rows=rows, key="a.csv")

    configs = [run.run_config for run in instance.runs()]
    assert configs == ['{"key":"a.csv","rows":3}', '{"key":"a.csv","rows":4}']


def test_says_why_a_small_file_starts_none(instance: TreadleInstance) -> None:
    summarized(instance, rows=2)

    [tick] = instance.ticks("large_files")
    assert tick.reason == "It has 2 rows, and 2 are not large yet."


def test_a_second_delivery_starts_nothing(instance: TreadleInstance) -> None:
    recorded = instance.report_runless_asset_event(AssetMaterialization(app.SUMMARIES, metadata={"rows": 9}))

    instance.send(recorded)

    assert len(instance.runs()) == 1
