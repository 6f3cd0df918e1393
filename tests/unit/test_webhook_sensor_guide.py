"""docs/guide/webhook-sensors.md: every block runs, and every sensor does what the page says."""

import re
from pathlib import Path
from types import ModuleType

import pytest

from treadle import BearerToken, HmacSignature
from treadle.cli.fragments import VERIFICATIONS
from treadle.definitions.webhook_request import WebhookRequest
from treadle.definitions.webhook_sensor import WebhookSensorDefinition
from treadle.engine.tick.webhook_receiver import MAX_AGE_MS, MAX_BODY, REFRESH_MS
from treadle.testing.instance import TreadleInstance

PAGE = Path(__file__).parents[2] / "docs" / "guide" / "webhook-sensors.md"
TEXT = PAGE.read_text()
BLOCKS = dict(re.findall(r"^## ([^\n]*)$.*?^```python\n(.*?)^```$", TEXT, flags=re.MULTILINE | re.DOTALL))


def run(title: str) -> ModuleType:
    module = ModuleType("app")
    exec(compile(BLOCKS[title], str(PAGE), "exec"), module.__dict__)
    return module


@pytest.mark.parametrize("title", BLOCKS)
def test_section_runs_and_the_tests_that_it_shows_pass(title: str) -> None:
    module = run(title)

    assert any(isinstance(value, WebhookSensorDefinition) for value in vars(module).values())
    for name, value in list(vars(module).items()):
        if name.startswith("test_"):
            value()


def test_first_sensor_starts_a_run_for_each_push_to_the_main_branch() -> None:
    instance = TreadleInstance([run("React to each request").pushed])
    for branch in ("main", "dev"):
        instance.call_webhook("pushed", {"ref": f"refs/heads/{branch}", "after": f"commit of {branch}"})

    assert [each.run_config for each in instance.runs()] == ['{"commit":"commit of main"}']


def test_page_names_what_a_request_has() -> None:
    table = TEXT.partition("## What a request contains")[2].partition("Run config and tags")[0]
    named = re.findall(r"`(\w+)(?:\(\))?`", "".join(re.findall(r"^\| ([^|]+) \|", table, re.MULTILINE)))

    public = {name for name in dir(WebhookRequest) if not name.startswith("_")}
    assert set(named) - {"context", "request"} == public - {"identity", "summary", "depth"}


def test_page_names_the_limits_of_the_code() -> None:
    assert f"more than {MAX_BODY:,} bytes" in TEXT
    assert f"once a minute at most, and after an {'hour' if MAX_AGE_MS == 3_600_000 else '?'}" in TEXT
    assert REFRESH_MS == 60_000


@pytest.mark.parametrize(("sender", "verification"), VERIFICATIONS.items())
def test_page_lists_how_senders_prove_themselves(sender: str, verification: str) -> None:
    assert re.search(rf"^\| `{sender}` \| `{verification}\(\)` \|", TEXT, re.MULTILINE)


def test_other_senders_of_the_page_can_be_verified() -> None:
    made = [
        eval(code, {"HmacSignature": HmacSignature, "BearerToken": BearerToken})
        for code in re.findall(r"`((?:HmacSignature|BearerToken)\(.+?\))`", TEXT)
    ]

    assert len(made) == 2
