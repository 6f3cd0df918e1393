"""The values that the project is deployed with: SAM ignores a name that is misspelt, and AWS refuses a value late."""

import re
import tomllib
from difflib import get_close_matches
from typing import Any

import pytest
import yaml

from tests.template.model import ROOT, read

PARAMETERS = read().section("Parameters")
OVERRIDE = re.compile(r"""^\s*(?P<name>\w+)=(?P<quote>["']?)(?P<value>.*)(?P=quote)\s*$""", re.DOTALL)


def configured() -> list[tuple[str, str]]:
    """Return the file and environment, and each line of its parameter_overrides."""
    own = ROOT / "samconfig.toml"
    files: dict[str, Any] = {"samconfig.yaml": yaml.safe_load((ROOT / "samconfig.yaml").read_text())}
    if own.is_file():
        files[own.name] = tomllib.loads(own.read_text())
    found = []
    for file, environments in files.items():
        for environment, commands in environments.items():
            deploy = commands.get("deploy", {}) if isinstance(commands, dict) else {}
            given = deploy.get("parameters", {}).get("parameter_overrides", [])
            found += [(f"{file}, {environment}", line) for line in _lines(given)]
    return found


def _lines(given: str | list[str]) -> list[str]:
    """Return each override; `sam deploy --guided` writes one text of all."""
    if isinstance(given, list):
        return given
    return re.findall(r"""\w+=(?:"(?:\\.|[^"\\])*"|[^\s"]*)""", given)


@pytest.mark.parametrize(("place", "line"), configured())
def test_value_is_of_a_parameter_and_one_that_it_takes(place: str, line: str) -> None:
    given = OVERRIDE.match(line)
    assert given, f"{place}: {line!r} is not of the form Name=value."
    name, value = given["name"], given["value"]
    guess = get_close_matches(name, PARAMETERS, 1)
    assert name in PARAMETERS, (
        f"{place}: there is no parameter {name}; is it {', '.join(guess) or 'a new one'}?"
    )

    parameter = PARAMETERS[name]
    values = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    for each in values:
        assert takes(parameter, each), f"{place}: {name}={value}: {parameter.get('ConstraintDescription')}"


def takes(parameter: dict[str, Any], value: str) -> bool:
    """Return whether CloudFormation takes a value, or one of a list."""
    if "AllowedValues" in parameter:
        return value in map(str, parameter["AllowedValues"])
    if parameter["Type"] == "Number":
        low, high = (
            float(parameter.get(end, sign + "inf")) for end, sign in (("MinValue", "-"), ("MaxValue", "+"))
        )
        return re.fullmatch(r"-?\d+(\.\d+)?", value) is not None and low <= float(value) <= high
    pattern = parameter.get("AllowedPattern", "[\\s\\S]*")
    return re.fullmatch(pattern, value) is not None and len(value) <= parameter.get("MaxLength", 4096)


@pytest.mark.treadle
@pytest.mark.parametrize(
    ("given", "lines"),
    [
        (["A=1", 'B="x y"'], ["A=1", 'B="x y"']),
        ('A="1" B="x y" C=""', ['A="1"', 'B="x y"', 'C=""']),
        ("A=1 B=2", ["A=1", "B=2"]),
    ],
)
def test_overrides_are_read_in_both_forms(given: str | list[str], lines: list[str]) -> None:
    assert _lines(given) == lines


@pytest.mark.treadle
@pytest.mark.parametrize(
    ("name", "value", "fits"),
    [
        ("LogRetentionDays", "60", True),
        ("LogRetentionDays", "61", False),
        ("NewObjectsBucket", "", True),
        ("NewObjectsBucket", "My_Bucket", False),
        ("Engine", "/treadle/other/v1", True),
    ],
)
def test_what_cloudformation_would_refuse_is_found(name: str, value: str, fits: bool) -> None:
    assert takes(PARAMETERS[name], value) is fits


@pytest.mark.treadle
@pytest.mark.parametrize(("value", "fits"), [("60", True), ("1", False), ("often", False), ("3601", False)])
def test_numbers_are_within_their_bounds(value: str, fits: bool) -> None:
    assert takes({"Type": "Number", "MinValue": 15, "MaxValue": 3600}, value) is fits
