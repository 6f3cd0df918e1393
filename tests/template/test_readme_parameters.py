"""README.md's table of parameters says what template.yaml says."""

import re
from typing import Any

import pytest

from tests.template.model import ROOT, read

pytestmark = pytest.mark.treadle

PARAMETERS: dict[str, dict[str, Any]] = read().section("Parameters")
README = (ROOT / "README.md").read_text()
MANY = 8


def allowed(parameter: dict[str, Any]) -> str:
    """What CloudFormation takes: the values if they are few, the range, or the constraint's own words."""
    values = parameter.get("AllowedValues", [])
    if 0 < len(values) <= MANY:
        return ", ".join(f"`{value}`" for value in values)
    if "MinValue" in parameter:
        return f"{parameter['MinValue']} to {parameter['MaxValue']}"
    return str(parameter["ConstraintDescription"]).replace("|", "\\|")


def row(name: str) -> str:
    """The line that a parameter must have; paste it where the test misses it."""
    parameter = PARAMETERS[name]
    default = f"`{parameter['Default']}`" if parameter["Default"] != "" else ""
    description = " ".join(parameter["Description"].split()).replace("|", "\\|")
    # Markdown would take <this> for HTML.
    described = re.sub(r"<([a-z ]+)>", r"\\<\1\\>", description)
    return f"| `{name}` | {default} | {allowed(parameter)} | {described} |"


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_is_in_the_table_as_it_is_in_the_template(name: str) -> None:
    assert row(name) in README.splitlines()


def test_the_table_has_no_parameter_that_the_template_lacks() -> None:
    section = README.split("## Parameters", 1)[1].split("\n## ", 1)[0]

    assert re.findall(r"^\| `(\w+)` \|", section, flags=re.MULTILINE) == list(PARAMETERS)
