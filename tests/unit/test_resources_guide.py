"""docs/guide/resources.md: its code runs and does what the page says."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from treadle.testing import TreadleInstance

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "resources.md").read_text()
[CODE] = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def module() -> ModuleType:
    made = ModuleType("app")
    exec(CODE, made.__dict__)
    return made


def test_resource_gives_a_client_and_is_open_during_the_tick(
    module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FEED_PASSWORD", "secret")

    result = TreadleInstance([module.watch_feed], resources=module.FEEDS).tick("watch_feed")

    (made,) = result.runs
    assert (made.tags["newest"], made.tags["login"]) == ("ann:secret 50", "ann:secret")
    assert result.tick is not None
    assert result.tick.log == ("INFO Logging in as ann",) * 2


def test_missing_variable_is_named_by_the_tick(module: ModuleType) -> None:
    reason = TreadleInstance([module.watch_feed], resources=module.FEEDS).tick("watch_feed").outcome.reason

    assert 'environment variable "FEED_PASSWORD" which is not set' in reason


def test_text_that_is_not_a_number_is_refused_when_the_object_is_made(module: ModuleType) -> None:
    with pytest.raises(ValueError, match="Input should be a valid integer"):
        module.Feed(login="l", page_size="many")
