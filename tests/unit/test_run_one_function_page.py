"""docs/guide/run-one-function.md shows each function of Treadle with each of its sample events."""

import re
from pathlib import Path

from tests.template.model import SHIPPED_SENSORS
from tools.template import load

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "guide" / "run-one-function.md").read_text()
TEMPLATES = (ROOT / "template.yaml", ROOT / "engine" / "template.yaml", ROOT / "engine" / "console.yaml")


def test_every_function_of_treadle_is_shown_with_each_of_its_sample_events() -> None:
    shown = re.findall(r"^\| `(\w+)` \| `(events/[\w-]+\.json)` \|", PAGE, flags=re.MULTILINE)
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
