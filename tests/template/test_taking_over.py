"""A rebuilt stack goes on with what an earlier one has left: all of its tables, their streams, and its outcomes."""

import json
import re
from typing import Any

import pytest

from tests.support.policies import ACCOUNT, REGION, Deployed
from tests.template.model import FUNCTION, read

template = read()
PARAMETERS = template.section("Parameters")
OUTPUTS = template.section("Outputs")
TABLES = ("Sensors", "Ticks", "Runs", "Events")
STREAM = f"arn:aws:dynamodb:{REGION}:{ACCOUNT}:table/earlier-{{}}/stream/2026-11-29T07:00:00.000"
TOGETHER = {
    **{f"{table}TableName": f"earlier-{table}" for table in TABLES},
    **{f"{table}TableStreamArn": STREAM.format(table) for table in ("Ticks", "Runs")},
}
EARLIER = {**TOGETHER, "OutcomesBucketName": "earlier-outcomes"}


def holds(rule: str, given: dict[str, str]) -> bool:
    """Whether a rule of the template lets these parameters pass."""
    deployed, body = Deployed(template, given), template.section("Rules")[rule]
    applies = deployed.value(body.get("RuleCondition", {"Fn::Equals": ["", ""]}))
    return not applies or all(deployed.value(each["Assert"]) for each in body["Assertions"])


@pytest.mark.parametrize("table", TABLES)
def test_rebuilt_stack_takes_up_each_retained_table(table: str) -> None:
    """With a name given, none is created, and that name is used."""
    variable = template.section("Globals")["Function"]["Environment"]["Variables"][
        f"TREADLE_{table.upper()}_TABLE"
    ]

    assert template.section("Resources")[f"{table}Table"]["Condition"] == f"Create{table}Table"
    assert variable == {
        "Fn::If": [f"Create{table}Table", {"Ref": f"{table}Table"}, {"Ref": f"{table}TableName"}]
    }


def test_everything_that_is_taken_over_is_an_output_of_the_same_name() -> None:
    """An operator notes the outputs, deletes the stack, and gives them as parameters."""
    taken = [*EARLIER, "Namespace"]

    assert set(taken) <= OUTPUTS.keys()
    for name, value in EARLIER.items():
        assert Deployed(template, EARLIER).value(OUTPUTS[name]["Value"]) == value


def test_rebuilt_stack_says_the_same_outputs_of_its_own_tables() -> None:
    created = Deployed(template, {})

    for table in TABLES:
        assert created.value(OUTPUTS[f"{table}TableName"]["Value"]) == f"{table}Table"


def _is_made(deployed: Deployed, name: str) -> bool:
    condition = template.section("Resources")[name].get("Condition")
    return condition is None or deployed.holds(condition)


def test_a_stack_that_takes_over_touches_nothing_but_what_it_takes_over() -> None:
    """No policy, no variable, and no trigger has been left at a table that is not created."""
    deployed = Deployed(template, EARLIER)
    made: list[Any] = []
    for kind in (FUNCTION, "AWS::IAM::Role"):
        there = {
            name: properties
            for name, properties in template.resources(kind).items()
            if _is_made(deployed, name)
        }
        made += map(deployed.value, there.values())
    made.append(deployed.value(template.section("Globals")))
    text = json.dumps(made)

    assert not re.findall(r"(?<!earlier-)\b(?:(?:Sensors|Ticks|Runs|Events)Table|OutcomesBucket)\b", text)
    for name in EARLIER.values():
        assert name in text


def test_tables_are_taken_over_all_together_or_not_at_all() -> None:
    assert holds("TablesAreTakenOverTogether", {})
    assert holds("TablesAreTakenOverTogether", TOGETHER)
    assert holds("TablesAreTakenOverTogether", EARLIER)


@pytest.mark.parametrize("left_out", TOGETHER)
def test_a_table_that_is_left_out_is_refused(left_out: str) -> None:
    """Its cursors would point into another table, and its pending ticks would be lost."""
    others = {name: value for name, value in TOGETHER.items() if name != left_out}

    assert not holds("TablesAreTakenOverTogether", others)
    assert not holds("TablesAreTakenOverTogether", {left_out: TOGETHER[left_out]})


def test_outcomes_are_taken_over_with_the_ticks_that_name_them() -> None:
    assert holds("OutcomesAreTakenOverWithTheirTicks", EARLIER)
    assert not holds("OutcomesAreTakenOverWithTheirTicks", {"OutcomesBucketName": "earlier-outcomes"})


@pytest.mark.parametrize("table", ["Ticks", "Runs"])
@pytest.mark.parametrize(
    ("arn", "fits"),
    [
        (STREAM.format("t"), True),
        (
            "arn:aws-us-gov:dynamodb:us-gov-west-1:123456789012:table/t.t-1/stream/2015-05-11T21:21:33.291",
            True,
        ),
        ("arn:aws:dynamodb:us-east-1:000000000000:table/ttt/stream/2026-11-29T07:00:00.000Z", True),
        ("arn:aws:dynamodb:us-east-1:123456789012:table/ttt", False),
        ("arn:aws:dynamodb:us-east-1:123456789012:table/ttt/stream/", False),
        ("", True),
    ],
)
def test_stream_of_aws_or_of_a_local_cloud_is_taken(table: str, arn: str, fits: bool) -> None:
    """The label of a local cloud's stream ends in Z."""
    pattern = PARAMETERS[f"{table}TableStreamArn"]["AllowedPattern"]

    assert bool(re.fullmatch(pattern, arn)) is fits
