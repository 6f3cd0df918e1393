"""README.md: its example runs, and what it names is there."""

import io
import json
import re
import urllib.request
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from tests.support.house import House
from tests.template.model import SHIPPED_SENSORS
from tools.template import load
from treadle.definitions.contexts import SensorEvaluationContext
from treadle.definitions.status import TickStatus
from treadle.engine.evaluation import Budget
from treadle.engine.outcomes import Decision

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
MINUTE = 60_000
TEMPLATES = (ROOT / "template.yaml", ROOT / "engine" / "template.yaml", ROOT / "engine" / "console.yaml")


class Feed:
    """Stands in for the web: answers with the releases of the moment."""

    def __init__(self) -> None:
        self.releases: list[dict[str, Any]] = []
        self.asked: list[str] = []

    def release(self, number: int) -> None:
        self.releases.insert(0, {"id": number, "tag_name": f"v{number}"})

    def __call__(self, url: str, timeout: float) -> io.BytesIO:
        assert timeout
        self.asked.append(url)
        return io.BytesIO(json.dumps(self.releases).encode())


@pytest.fixture
def feed(monkeypatch: pytest.MonkeyPatch) -> Feed:
    made = Feed()
    monkeypatch.setattr(urllib.request, "urlopen", made)
    return made


@pytest.fixture
def example(feed: Feed) -> ModuleType:
    """The example as a module, as it stands in the README."""
    [block] = re.findall(r"^```python\n(.*?)^```$", README, flags=re.MULTILINE | re.DOTALL)
    module = ModuleType("app")
    exec(compile(block, "README.md", "exec"), module.__dict__)
    return module


def test_the_example_asks_for_one_run_per_release_through_the_engine(
    example: ModuleType, feed: Feed, house: House
) -> None:
    leased, dispatcher = house.leased(example.new_releases), house.dispatcher(new_releases="load_release")
    feed.release(1)
    feed.release(2)

    first = leased.tick(house.clock.now(), Budget())
    [tick] = house.tick_records("new_releases")
    dispatcher.dispatch(tick)
    idle = leased.tick(house.clock.advance(60), Budget())
    feed.release(3)
    later = leased.tick(house.clock.advance(60), Budget())

    assert (first.decision, first.count) == (Decision.SUCCESS, 2)
    assert {run.run_key for run in house.tables.runs.values()} == {"v1", "v2"}
    assert (idle.decision, idle.reason) == (Decision.SKIPPED, "2 releases, none newer than 2.")
    assert [request.run_key for request in house.tick_records("new_releases")[-1].requests] == ["v3"]
    assert (later.count, house.state("new_releases").cursor) == (1, "3")


def test_the_example_keeps_its_cursor_when_the_feed_is_down(
    example: ModuleType, feed: Feed, house: House
) -> None:
    feed.releases = [{"unexpected": True}]

    outcome = house.leased(example.new_releases).tick(house.clock.now(), Budget())

    [tick] = house.tick_records("new_releases")
    assert (outcome.decision, tick.status) == (Decision.FAILURE, TickStatus.FAILURE)
    assert house.state("new_releases").cursor is None


def test_the_example_can_be_tried_without_an_engine(example: ModuleType, feed: Feed) -> None:
    feed.release(8)

    data = example.new_releases.evaluate_tick(SensorEvaluationContext("new_releases", "7"))

    assert [(request.run_key, request.job_name) for request in data.run_requests] == [("v8", "load_release")]


def test_every_function_of_treadle_is_shown_with_each_of_its_sample_events() -> None:
    shown = re.findall(r"^\| `(\w+)` \| `(events/[\w-]+\.json)` \|", README, flags=re.MULTILINE)
    folders = {
        Path(resource["Properties"]["CodeUri"]): name
        for template in TEMPLATES
        for name, resource in load(template)["Resources"].items()
        if resource["Type"] == "AWS::Serverless::Function"
    }
    functions = {
        path.name: name
        for path, name in folders.items()
        if path.parent.name != "sensors" or path.name in SHIPPED_SENSORS
    }
    samples = {
        (functions[path.name.split("-", 1)[0]], f"events/{path.name}")
        for path in (ROOT / "events").glob("*.json")
        if path.name.split("-", 1)[0] in functions
    }

    assert set(shown) == samples
    assert {function for function, _ in shown} == set(functions.values())


def test_every_make_target_that_is_named_exists() -> None:
    targets = re.findall(r"^([a-z][a-z0-9-]*):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
    texts = [README, *(path.read_text() for path in (ROOT / "docs").glob("*.md"))]
    named = {
        name
        for text in texts
        for name in re.findall(r"`make ([a-z0-9-]+)|^make ([a-z0-9-]+)", text, flags=re.M)
    }

    assert {first or second for first, second in named} - set(targets) == set()


def test_every_link_leads_somewhere() -> None:
    pages = [ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")]

    broken = [
        (page.name, target)
        for page in pages
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text())
        if not target.startswith("https://") and not (page.parent / target).exists()
    ]

    assert broken == []
