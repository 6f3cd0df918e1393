"""What AWS limits of the engine: far from full, and the same size whatever projects register."""

import json
from pathlib import Path

import pytest

from tests.template.engine_model import PATH, WIDEST, read_engine, transformed
from tests.template.model import ROOT, read
from treadle.operate.limits import BYTES, MANAGED, PARAMETERS, RESOURCES, Use, measure

template = read_engine()
MEASURED = measure(template.data, WIDEST)


@pytest.mark.parametrize("use", MEASURED, ids=lambda use: f"{use.limit.name} {use.subject}")
def test_engine_is_far_from_each_limit(use: Use) -> None:
    """With the longest names and values, four fifths of each limit suffice."""
    assert use.used <= use.limit.most * 0.8


def test_managed_policies_have_room_for_what_comes() -> None:
    """IAM takes 6,144 characters; a policy that is attached in many projects cannot be split later."""
    sizes = {use.subject: use.used for use in MEASURED if use.limit is MANAGED}

    assert sizes.keys() == {"EvaluatorPolicy", "RunReaderPolicy", "AssetReaderPolicy"}
    assert max(sizes.values()) < 5_000


def test_sam_prompts_for_a_dozen_questions_at_most() -> None:
    """`sam deploy --guided` requests every parameter."""
    (parameters,) = [use.used for use in MEASURED if use.limit is PARAMETERS]

    assert parameters <= 12


@pytest.mark.parametrize("path", [PATH, ROOT / "template.yaml"], ids=lambda path: str(Path(path).parent.name))
def test_measure_counts_what_sam_makes(path: Path) -> None:
    """Resources exactly, bytes about: SAM's own translator is the judge."""
    data = template.data if path == PATH else read().data
    made = transformed(path)
    counted = {use.limit: use.used for use in measure(data) if not use.subject}

    assert counted[RESOURCES] == len(made["Resources"])
    assert counted[BYTES] == pytest.approx(len(json.dumps(made)), rel=0.25)


def test_engine_names_no_sensor_and_no_job() -> None:
    """Those are the projects'."""
    text = PATH.read_text()
    names = [path.parent.name for path in (ROOT / "functions").glob("[sj]*/*/app.py")]

    assert names
    assert [name for name in names if name in text] == []
    assert not [
        each for each in template.section("Parameters") if each.endswith(("Jobs", "Interval", "Timeout"))
    ]
