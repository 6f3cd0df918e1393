"""docs/guide/batches.md: every block runs, and what the page says of limits is what the code has."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from treadle.adapters.dynamodb.batches import MAX_READ
from treadle.definitions.bounds import MAX_ID
from treadle.definitions.item_batches import MAX_ITEMS, MAX_WAIT, Batch
from treadle.definitions.sensors import SensorDefinition
from treadle.engine.batches.closer import RETRY_MS
from treadle.engine.tick.batch_acceptor import LOOKS
from treadle.model.batches import MAX_CONTENT, SHARDS
from treadle.operate.open_batches import SHOWN

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "batches.md"
TEXT = PAGE.read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]*)$.*?^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("title", BLOCKS)
def test_section_runs_and_the_tests_that_it_shows_pass(title: str) -> None:
    module = ModuleType("app")
    exec(compile(BLOCKS[title], str(PAGE), "exec"), module.__dict__)

    made = [each for each in vars(module).values() if isinstance(each, SensorDefinition)]
    tests = [value for name, value in vars(module).items() if name.startswith("test_")]
    assert sum(each.batch is not None for each in made) == 1
    assert tests
    for test in tests:
        test()


def test_page_states_the_limits_of_the_code() -> None:
    default = Batch()

    assert f"at most {MAX_ITEMS:,} | {default.size} |" in TEXT
    assert f"at most {MAX_WAIT.days} days | {default.within.total_seconds() / 60:.0f} minutes |" in TEXT
    assert f"{MAX_CONTENT:,} bytes at most, compressed" in TEXT
    assert f"ends at {MAX_READ // 1_000_000} MB" in TEXT
    assert f"of {MAX_ID} bytes at most" in TEXT
    assert LOOKS == 4
    assert "Ten are shown, each of which takes sixteen requests" in TEXT
    assert (SHOWN, len(SHARDS)) == (10, 16)
    assert [each // 1000 for each in RETRY_MS] == [30, 2 * 60, 8 * 60, 30 * 60]
    assert (default.quiet, default.bytes) == (None, None)
