"""docs/guide/partitions.md: every block runs, its tests pass, and its sensors do what the page says."""

import re
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

import treadle
from treadle.testing import TreadleInstance

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "partitions.md").read_text()
START = datetime(2026, 11, 22, 12, tzinfo=UTC)


def module() -> ModuleType:
    made = ModuleType("app")
    for block in re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL):
        exec(block, made.__dict__)
    return made


def test_tests_of_the_page_pass() -> None:
    tests = [value for name, value in vars(module()).items() if name.startswith("test_")]

    assert len(tests) == 5
    for test in tests:
        test()


def test_sensors_request_yesterdays_partitions() -> None:
    made = module()
    instance = TreadleInstance([made.each_day, made.each_region], start=START)

    assert [run.partition_key for run in instance.tick("each_day").runs] == ["2026-11-21"]
    runs = instance.tick("each_region").runs
    assert [run.partition_key for run in runs] == ["2026-11-21|eu", "2026-11-21|us"]
    assert runs[0].tags["dagster/partition/region"] == "eu"


def test_every_kind_is_on_the_page() -> None:
    kinds = [
        name
        for name in treadle.__all__
        if name.endswith("PartitionsDefinition") and name != "PartitionsDefinition"
    ]

    assert [name for name in kinds if f"`{name}" not in PAGE] == []
