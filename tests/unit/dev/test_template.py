"""The environments that `treadle dev` reads from a template."""

from pathlib import Path

import pytest

from treadle.cli.template_edit import load
from treadle.definitions.errors import SettingsError
from treadle.dev.template import Template

ROOT = Path(__file__).parents[3]


def template(resources: str, parameters: dict[str, str] | None = None) -> Template:
    return Template(
        load(
            "Globals: { Function: { Timeout: 30, Environment: { Variables: { SHARED: yes-it-is, TREADLE_KIND: x } } } }\n"
            "Parameters: { Name: { Default: '' }, Limit: { Default: 7 } }\n"
            "Conditions: { HasName: !Not [!Equals [!Ref Name, '']], Both: !And [!Condition HasName, !Equals [a, a]] }\n"
            f"Resources: {{ Sensor: {{ Properties: {{ CodeUri: functions/sensors/one, Environment: {{ Variables: {{ {resources} }} }} }} }},"
            " Topic: { Type: AWS::SNS::Topic }, Bucket: { Type: AWS::S3::Bucket } }\n"
        ),
        parameters or {},
    )


@pytest.mark.parametrize(
    ("value", "resolved"),
    [
        ("text", "text"),
        ("5", "5"),
        ("true", "true"),
        ("!Ref Limit", "7"),
        ("!Ref Bucket", "bucket"),
        ("!GetAtt Bucket.Arn", "bucket"),
        ("!Ref Topic", "arn:aws:sns:local:000000000000:Topic"),
        ("!Ref AWS::Partition", "aws"),
        ("!If [HasName, !Ref Name, !Ref Bucket]", "bucket"),
        ("!If [Both, !Ref Name, !Ref Bucket]", "bucket"),
        ("!Sub 'at ${Limit} of ${Bucket.Arn}, ${!Kept}'", "at 7 of bucket, ${Kept}"),
        ("!Sub ['at ${Own}', { Own: !Ref Limit }]", "at 7"),
        ("!Join ['-', [a, !Ref Limit]]", "a-7"),
        ("!Select [1, [a, !Ref Limit]]", "7"),
        ("!Select [1, 'a,b']", "b"),
    ],
)
def test_value_is_resolved(value: str, resolved: str) -> None:
    found = template(f"VALUE: {value}").environment("functions/sensors/one")

    assert found == {"SHARED": "yes-it-is", "TREADLE_KIND": "x", "VALUE": resolved}


def test_given_parameter_replaces_the_default() -> None:
    found = template("VALUE: !If [Both, !Ref Name, no]", {"Name": "landing"})

    assert (found.environment("functions/sensors/one") or {})["VALUE"] == "landing"


def test_variable_without_a_value_is_absent_and_a_function_s_own_one_wins() -> None:
    found = template("TREADLE_KIND: s3, GONE: !Ref AWS::NoValue").environment("functions/sensors/one")

    assert found == {"SHARED": "yes-it-is", "TREADLE_KIND": "s3"}


def test_function_that_the_template_does_not_have_has_no_environment() -> None:
    assert template("VALUE: 1").environment("functions/sensors/two") is None


def test_the_project_s_own_template_is_resolved() -> None:
    found = Template(load((ROOT / "template.yaml").read_text()), {})

    new_objects = found.environment("functions/sensors/new_objects") or {}
    assert new_objects["TREADLE_S3_BUCKET"] == "bucket"
    assert new_objects["TREADLE_S3_SUFFIX"] == ".csv"
    assert "AWS_ENDPOINT_URL" not in new_objects
    alert = found.environment("functions/sensors/failure_alert") or {}
    assert alert["TREADLE_ALERT_SNS_TOPIC"] == "arn:aws:sns:local:000000000000:Alerts"
    assert sorted(found.jobs()) == ["process_file", "process_large_file"]
    assert found.timeout == 60


@pytest.mark.parametrize("value", ["!If [Unknown, a, b]", "!Select [9, [a]]", "!Join [a]", "!Sub []"])
def test_value_that_cannot_be_resolved_is_named(value: str) -> None:
    with pytest.raises(SettingsError, match=r"The variable VALUE in template.yaml cannot be resolved"):
        template(f"VALUE: {value}").environment("functions/sensors/one")


def test_unknown_parameters_are_named() -> None:
    assert template("VALUE: 1", {"Nme": "x", "Name": "y"}).unknown_parameters == ["Nme"]
