"""docs/guide/limit-runs.md: every block runs, and its sensors do what the page says."""

import re
from pathlib import Path
from types import ModuleType

from treadle.definitions.max_runtime import max_runtime_ms
from treadle.testing import TreadleInstance

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "limit-runs.md").read_text()


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


def test_requests_have_the_maximum_runtime_of_their_job_or_their_own() -> None:
    instance = TreadleInstance([module().new_orders])

    limits = {run.run_key: max_runtime_ms(run.tags) for run in instance.tick("new_orders").runs}

    assert limits == {"small": 3_600_000, "large": 14_400_000}
