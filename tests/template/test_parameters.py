"""What one who deploys sees: parameters that explain themselves and refuse what cannot work."""

import re
from typing import Any

import pytest

from tests.template.model import ROOT, definition, logical_prefix, read, references
from treadle.integrations.s3.selection import parse_start

template = read()
PARAMETERS = template.section("Parameters")
INTERFACE = template.section("Metadata")["AWS::CloudFormation::Interface"]
EVALUATORS = template.evaluators()
S3_EVALUATORS = [
    name
    for name, function in EVALUATORS.items()
    if any(variable.startswith("TREADLE_S3_") for variable in template.environment(function))
    or "s3_sensor" in (ROOT / "functions" / "sensors" / name / "app.py").read_text()
]


def accepts(parameter: dict[str, Any], value: str) -> bool:
    """Whether CloudFormation would take the value."""
    values = value.split(",") if parameter["Type"] == "CommaDelimitedList" else [value]
    if "AllowedValues" in parameter:
        return all(item in map(str, parameter["AllowedValues"]) for item in values)
    if parameter["Type"] == "Number":
        return bool(parameter["MinValue"] <= float(value) <= parameter["MaxValue"])
    short = all(len(item) <= parameter.get("MaxLength", 4096) for item in values)
    return short and all(re.fullmatch(parameter["AllowedPattern"], item) for item in values)


@pytest.mark.treadle
@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_explains_itself_and_has_bounds(name: str) -> None:
    """Each has a description, bounds that fit its type, and words for the one who breaks them."""
    parameter = PARAMETERS[name]

    assert len(parameter["Description"]) > 20
    assert parameter["ConstraintDescription"]
    is_range = parameter["Type"] == "Number" and {"MinValue", "MaxValue"} <= parameter.keys()
    assert is_range or {"AllowedValues", "AllowedPattern"} & parameter.keys()


@pytest.mark.treadle
@pytest.mark.parametrize("name", PARAMETERS)
def test_default_is_within_bounds(name: str) -> None:
    """A stack can be deployed without a single parameter."""
    parameter = PARAMETERS[name]

    assert accepts(parameter, str(parameter["Default"]))


@pytest.mark.treadle
def test_every_parameter_is_in_exactly_one_group() -> None:
    """The console shows each parameter once, under a heading, with a label."""
    grouped = [name for group in INTERFACE["ParameterGroups"] for name in group["Parameters"]]

    assert sorted(grouped) == sorted(PARAMETERS)
    assert sorted(INTERFACE["ParameterLabels"]) == sorted(PARAMETERS)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_is_used(name: str) -> None:
    """A parameter that changes nothing would be a lie."""
    elsewhere = [template.section(s) for s in ("Conditions", "Globals", "Resources")]

    assert name in references(elsewhere)


def test_every_sensor_is_deployed() -> None:
    """A folder under functions/sensors without a function in the template would never run."""
    folders = {path.parent.name for path in (ROOT / "functions" / "sensors").glob("*/app.py")}

    assert folders
    assert folders == set(EVALUATORS)


@pytest.mark.parametrize("sensor", EVALUATORS)
def test_sensor_has_its_parameters(sensor: str) -> None:
    """Timeout, status and jobs, and interval or watched jobs, exist and reach the functions that act on them."""
    prefix, function = logical_prefix(sensor), EVALUATORS[sensor]
    variables = template.environment(function)
    grants = template.resources("AWS::SSM::Parameter")["Grants"]["Value"]

    own = {"Interval": "TREADLE_INTERVAL_SECONDS", "MonitoredJobs": "TREADLE_MONITORED_JOBS"}
    own["TimeZone"] = "TREADLE_TIME_ZONE"
    for name, variable in own.items():
        assert variables.get(variable, {"Ref": f"{prefix}{name}"}) == {"Ref": f"{prefix}{name}"}
        assert (f"{prefix}{name}" in PARAMETERS) is (variable in variables)
    assert variables["TREADLE_DEFAULT_STATUS"] == {"Ref": f"{prefix}Status"}
    assert function["Timeout"] == {"Ref": f"{prefix}Timeout"}
    if f"{prefix}Jobs" in PARAMETERS:
        assert f"{prefix}Jobs" in references(grants)
        assert f'"{sensor}": "${{{prefix}}}"' in grants["Fn::Sub"][0]
    else:
        assert not definition(sensor).job_names
        assert f'"{sensor}": ""' in grants["Fn::Sub"][0]
    assert {f"{prefix}{name}" for name in ("Timeout", "Status")} <= PARAMETERS.keys()
    assert PARAMETERS[f"{prefix}Status"]["AllowedValues"] == ["RUNNING", "STOPPED"]


@pytest.mark.parametrize("sensor", S3_EVALUATORS)
def test_s3_sensor_has_its_selectors(sensor: str) -> None:
    """Bucket, prefix, suffix, identity, start and settling are parameters and reach the evaluator."""
    variables, prefix = template.environment(EVALUATORS[sensor]), logical_prefix(sensor)

    for variable, suffix in {
        "TREADLE_S3_BUCKET": "Bucket",
        "TREADLE_S3_PREFIX": "Prefix",
        "TREADLE_S3_SUFFIX": "Suffix",
        "TREADLE_S3_IDENTITY": "Identity",
        "TREADLE_S3_START_FROM": "StartFrom",
        "TREADLE_S3_SETTLE_SECONDS": "SettleSeconds",
    }.items():
        assert f"{prefix}{suffix}" in PARAMETERS
        assert f"{prefix}{suffix}" in references(variables[variable])
    assert PARAMETERS[f"{prefix}Identity"]["AllowedValues"] == ["key", "etag", "version"]


@pytest.mark.parametrize("sensor", S3_EVALUATORS)
@pytest.mark.parametrize(
    ("start", "is_accepted"),
    [
        ("now", True),
        ("beginning", True),
        ("2026-11-29T00:00:00Z", True),
        ("2026-11-29T01:00:00+01:00", True),
        ("2026-11-29T01:00:00-09:30", True),
        ("2026-11-29T00:00:00", False),
        ("2026-11-29", False),
        ("2026-13-29T00:00:00Z", False),
        ("2026-11-29 00:00:00Z", False),
        ("yesterday", False),
        ("", False),
    ],
)
def test_start_is_now_beginning_or_a_time_with_its_offset(
    sensor: str, start: str, *, is_accepted: bool
) -> None:
    """What the template accepts, the sensor's settings accept, too."""
    parameter = PARAMETERS[f"{logical_prefix(sensor)}StartFrom"]

    assert accepts(parameter, start) is is_accepted
    if is_accepted:
        assert parse_start(start)


@pytest.mark.parametrize("sensor", S3_EVALUATORS)
@pytest.mark.parametrize("bad", ["a*b", "a\\b", 'a"b', "a${b}", "a$${b}"])
def test_key_filters_refuse_what_a_wildcard_would_misread(sensor: str, bad: str) -> None:
    """Prefix and suffix go into an event pattern's wildcard and a policy: nothing that has a meaning there."""
    prefix = logical_prefix(sensor)

    assert not accepts(PARAMETERS[f"{prefix}Prefix"], bad)
    assert not accepts(PARAMETERS[f"{prefix}Suffix"], f".{bad}")


@pytest.mark.parametrize(
    ("suffix", "accepted"), [("", True), (".csv", True), ("csv", False), (".a/b", False)]
)
@pytest.mark.parametrize("sensor", S3_EVALUATORS)
def test_suffix_is_a_file_extension(sensor: str, suffix: str, accepted: bool) -> None:
    """A suffix is empty or starts with a dot, and stays within one path segment."""
    assert accepts(PARAMETERS[f"{logical_prefix(sensor)}Suffix"], suffix) is accepted


@pytest.mark.parametrize("sensor", EVALUATORS)
def test_queue_hides_a_message_six_times_as_long_as_the_evaluator_may_take(sensor: str) -> None:
    """The mapping has AWS's advice for each timeout that can be chosen."""
    prefix, mapping = logical_prefix(sensor), template.section("Mappings")["QueueVisibility"]
    queue = template.resources("AWS::SQS::Queue")[f"{prefix}Queue"]

    assert queue["VisibilityTimeout"] == {
        "Fn::FindInMap": ["QueueVisibility", {"Ref": f"{prefix}Timeout"}, "Seconds"]
    }
    for timeout in PARAMETERS[f"{prefix}Timeout"]["AllowedValues"]:
        assert mapping[str(timeout)]["Seconds"] == 6 * timeout


def test_example_cannot_trigger_itself() -> None:
    """With the example on, the sensor takes .csv only, and the example writes no .csv: the rule says why."""
    rule = template.section("Rules")["ExampleOutputCannotTriggerItself"]
    (assertion,) = rule["Assertions"]
    written = next(s for role, s in template.statements() if s["Sid"] == "WriteSummaries")

    assert rule["RuleCondition"] == {"Fn::Equals": [{"Ref": "ExampleJob"}, "on"]}
    assert assertion["Assert"] == {"Fn::Equals": [{"Ref": "NewObjectsSuffix"}, ".csv"]}
    assert "NewObjectsSuffix must be .csv" in assertion["AssertDescription"]
    assert written["Resource"]["Fn::Sub"][0].endswith("/summary.json")


@pytest.mark.parametrize(
    ("prefix", "accepted"),
    [("summaries/", True), ("a/b=c/", True), ("", False), ("/", False), ("/a/", False), ("a", False)],
)
def test_example_output_prefix_is_a_folder(prefix: str, accepted: bool) -> None:
    """Summaries never land among the keys at the bucket's root."""
    assert accepts(PARAMETERS["ExampleOutputPrefix"], prefix) is accepted
