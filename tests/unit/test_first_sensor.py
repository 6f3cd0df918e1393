"""docs/guide/first-sensor.md: its sensor runs, as a test and through the whole engine in memory."""

import io
import json
import re
import sys
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.engine import EngineHarness
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.status import TickStatus
from treadle.engine.outcomes import Decision
from treadle.engine.tick.evaluation import Budget

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "first-sensor.md").read_text()
SENSOR, TRIAL, TEST = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
MODULE = "functions.sensors.new_releases.app"


class Feed:
    """Stands in for the web: answers with the releases of the moment."""

    def __init__(self) -> None:
        self.releases: list[dict[str, Any]] = []
        self.urls: list[str] = []

    def release(self, number: int) -> None:
        self.releases.insert(0, {"id": number, "tag_name": f"v{number}"})

    def __call__(self, url: str, timeout: float) -> io.BytesIO:
        assert timeout
        self.urls.append(url)
        return io.BytesIO(json.dumps(self.releases).encode())


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    made = Feed()
    monkeypatch.setattr(urllib.request, "urlopen", made)
    return made


@pytest.fixture
def example(feed: Feed, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """The sensor as a module, where the page puts it."""
    module = ModuleType(MODULE)
    exec(compile(SENSOR, "first-sensor.md", "exec"), module.__dict__)
    monkeypatch.setitem(sys.modules, MODULE, module)
    return module


def test_the_example_requests_one_run_per_release_through_the_engine(
    example: ModuleType, feed: Feed, harness: EngineHarness
) -> None:
    leased, dispatcher = harness.leased(example.new_releases), harness.dispatcher(new_releases="load_release")
    feed.release(1)
    feed.release(2)

    first = leased.tick(harness.clock.now(), Budget())
    [tick] = harness.tick_records("new_releases")
    dispatcher.dispatch(tick)
    idle = leased.tick(harness.clock.advance(60), Budget())
    feed.release(3)
    later = leased.tick(harness.clock.advance(60), Budget())

    assert (first.decision, first.count) == (Decision.SUCCESS, 2)
    assert {run.run_key for run in harness.tables.runs.values()} == {"v1", "v2"}
    assert (idle.decision, idle.reason) == (Decision.SKIPPED, "2 releases, none newer than 2.")
    assert [request.run_key for request in harness.tick_records("new_releases")[-1].requests] == ["v3"]
    assert (later.count, harness.state("new_releases").cursor) == (1, "3")


def test_the_example_keeps_its_cursor_when_the_feed_is_down(
    example: ModuleType, feed: Feed, harness: EngineHarness
) -> None:
    feed.releases = [{"unexpected": True}]

    outcome = harness.leased(example.new_releases).tick(harness.clock.now(), Budget())

    [tick] = harness.tick_records("new_releases")
    assert (outcome.decision, tick.status) == (Decision.FAILURE, TickStatus.FAILURE)
    assert harness.state("new_releases").cursor is None


def test_the_example_can_be_tried_without_an_engine(example: ModuleType, feed: Feed) -> None:
    feed.release(8)

    data = example.new_releases.evaluate_tick(SensorEvaluationContext("new_releases", "7"))

    assert [(request.run_key, request.job_name) for request in data.run_requests] == [("v8", "load_release")]


def test_the_page_s_own_trial_prints_what_the_sensor_requests(
    example: ModuleType, feed: Feed, capsys: pytest.CaptureFixture[str]
) -> None:
    assert example.__name__ == MODULE
    feed.release(7)
    feed.release(8)

    exec(compile(TRIAL, "first-sensor.md", "exec"), {})

    assert capsys.readouterr().out == "['v8']\n"


def test_the_page_s_own_test_passes(example: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    package = ModuleType("functions.sensors.new_releases")
    package.__dict__["app"] = example
    monkeypatch.setitem(sys.modules, package.__name__, package)
    names: dict[str, Any] = {}
    exec(compile(TEST, "first-sensor.md", "exec"), names)

    names["test_each_release_gets_one_run"](monkeypatch)
