"""docs/guide/join-stacks.md: its example is a sensor that watches another stack, its parameters are the template's."""

import re
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from tools.project import ENGINE
from tools.template import load
from treadle.definitions.run_events import RunStatusEvent
from treadle.definitions.run_status import RunStatusSensorDefinition
from treadle.definitions.runs import DagsterRun
from treadle.definitions.status import DagsterRunStatus

PAGE = (Path(__file__).parents[2] / "docs" / "guide" / "join-stacks.md").read_text()


def ended(location: str, job: str) -> RunStatusEvent:
    """Return a success of a stack's job."""
    run = DagsterRun("r", job, DagsterRunStatus.SUCCESS, location=location)
    return RunStatusEvent(run, DagsterRunStatus.SUCCESS, datetime(2026, 11, 25, tzinfo=UTC))


def test_the_example_watches_one_job_of_another_stack() -> None:
    [block] = re.findall(r"^```python\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
    module = ModuleType("app")
    exec(block, module.__dict__)
    [sensor] = [each for each in vars(module).values() if isinstance(each, RunStatusSensorDefinition)]

    assert sensor.monitors(ended("210987654321/eu-west-1/shop", "nightly"))
    assert not sensor.monitors(ended("210987654321/eu-west-1/shop", "hourly"))
    assert not sensor.monitors(ended("123456789012/eu-west-1/shop", "nightly"))


def test_parameters_and_outputs_that_are_named_exist() -> None:
    engine, forward = load(ENGINE / "template.yaml"), load(ENGINE / "forward.yaml")
    named = set(re.findall(r"`?\b(JoinedAccounts|ForwardToBusArn)=", PAGE))

    assert named == {"JoinedAccounts", "ForwardToBusArn"}
    assert "JoinedAccounts" in engine["Parameters"]
    assert "ForwardToBusArn" in forward["Parameters"]
    assert "BusArn" in engine["Outputs"]
