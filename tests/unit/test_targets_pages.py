"""The pages on targets leave none out, and say what the code does."""

import re
from pathlib import Path

import pytest

from treadle.adapters.targets import inputs
from treadle.adapters.targets.glue import why_no_argument
from treadle.adapters.targets.inputs import why_no_variable
from treadle.adapters.targets.registry import KINDS

ROOT = Path(__file__).parents[2]
JOBS = (ROOT / "docs" / "reference" / "jobs.md").read_text()
GUIDE = (ROOT / "docs" / "guide" / "add-a-target.md").read_text()
GUARANTEES = (ROOT / "docs" / "guarantees.md").read_text()
CONTRACT_TESTS = (ROOT / "tests" / "faults" / "test_start_contract.py").read_text()
DESCRIPTIONS = {
    "step_functions": "Step Functions Standard",
    "glue": "Glue job",
    "batch": "Batch job",
    "ecs": "ECS task",
    "lambda": "Lambda, asynchronous",
    "sqs": "SQS message",
    "eventbridge": "EventBridge event",
}


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_its_rows_and_its_test(kind: str) -> None:
    assert len(re.findall(rf"^\|.*`{kind}`.*\|$", JOBS, flags=re.MULTILINE)) >= 3
    assert re.search(rf"^\| `{kind}` \|", GUIDE, flags=re.MULTILINE)
    assert re.search(rf"^\| {DESCRIPTIONS[kind]} \| .* \| .* \| .* \| .* \|$", GUARANTEES, flags=re.MULTILINE)
    assert re.search(rf"^def test_{kind}_\w+", CONTRACT_TESTS, flags=re.MULTILINE)


@pytest.mark.parametrize("kind", KINDS)
def test_every_option_that_a_target_reads_is_reported(kind: str) -> None:
    module = KINDS[kind].partition(":")[0]
    source = (Path(inputs.__file__).parent / f"{module}.py").read_text()
    read = set(re.findall(r'(?:given|options)\.get\("(\w+)"', source))
    for needed in re.findall(r"required\(settings, ([^)]*)\)", source):
        read |= set(re.findall(r'"(\w+)"', needed))
    [row] = re.findall(rf"^\| `{kind}` \|.*\|$", JOBS, flags=re.MULTILINE)[:1]

    assert {option for option in read if f"`{option}`" not in row} == set()


@pytest.mark.parametrize(("kind", "why_not"), [("glue", why_no_argument), ("ecs", why_no_variable)])
def test_every_name_that_the_page_calls_refused_is_refused(kind: str, why_not: object) -> None:
    assert callable(why_not)
    rows = re.findall(rf"^\| `{kind}` \| (.*) \| (?:Glue|they) .*\|$", JOBS, flags=re.MULTILINE)
    names = [name for row in rows for name in re.findall(r"`([\w-]+)`", row)]
    ends = {"_PROXY": "HTTPS_PROXY"}

    assert len(names) > 12
    assert [
        name for name in names if why_not(ends.get(name, f"{name}x" if name[-1] in "-_" else name)) is None
    ] == []
