"""docs/reference/parameters.md says of each parameter what its template says."""

import re
from typing import Any

import pytest

from tests.template.engine_model import template_at
from tests.template.model import ROOT

PAGE = (ROOT / "docs" / "reference" / "parameters.md").read_text()
PATHS = (
    "template.yaml",
    "engine/template.yaml",
    "engine/console.yaml",
    "engine/forward.yaml",
    "engine/job-account.yaml",
    "engine/project-pipeline.yaml",
)
PARAMETERS: dict[str, dict[str, dict[str, Any]]] = {
    path: template_at(ROOT / path).section("Parameters") for path in PATHS
}
MANY = 8

pytestmark = pytest.mark.treadle


def section(path: str) -> str:
    """Return the part of the page that is about a template."""
    [found] = re.findall(rf"^## [^\n]*`{re.escape(path)}`\n(.*?)(?=^## |\Z)", PAGE, flags=re.M | re.S)
    return str(found)


def allowed(parameter: dict[str, Any]) -> str:
    """Return what CloudFormation takes: the values if they are few, the range, or the constraint's own text."""
    values = parameter.get("AllowedValues", [])
    if 0 < len(values) <= MANY:
        return ", ".join(f"`{value}`" for value in values)
    if "MinValue" in parameter:
        return f"{parameter['MinValue']} to {parameter['MaxValue']}"
    if parameter["Type"].startswith("AWS::SSM::Parameter::Value"):
        return "the name of an SSM parameter"
    return str(parameter["ConstraintDescription"]).replace("|", "\\|")


def default_of(parameter: dict[str, Any]) -> str:
    """Return its default, and nothing for an empty one."""
    if "Default" not in parameter:
        return "must be given"
    return f"`{parameter['Default']}`" if parameter["Default"] != "" else ""


def row(path: str, name: str) -> str:
    """Return the line that a parameter must have; paste it where the test misses it."""
    parameter = PARAMETERS[path][name]
    description = " ".join(parameter["Description"].split()).replace("|", "\\|")
    # Markdown would take <this> for HTML.
    described = re.sub(r"<([a-z ]+)>", r"\\<\1\\>", description)
    return f"| `{name}` | {default_of(parameter)} | {allowed(parameter)} | {described} |"


@pytest.mark.parametrize(("path", "name"), [(path, name) for path in PATHS for name in PARAMETERS[path]])
def test_parameter_is_in_its_table_as_it_is_in_the_template(path: str, name: str) -> None:
    assert row(path, name) in section(path).splitlines()


@pytest.mark.parametrize("path", PATHS)
def test_the_tables_have_no_parameter_that_the_templates_lack(path: str) -> None:
    assert re.findall(r"^\| `(\w+)` \|", section(path), flags=re.MULTILINE) == list(PARAMETERS[path])


def test_the_page_counts_them() -> None:
    spelled = {4: "four", 12: "twelve"}
    project, engine = (spelled[len(PARAMETERS[path])] for path in PATHS[:2])

    assert f"The project has {project} and the engine has {engine}" in PAGE
