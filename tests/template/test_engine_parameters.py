"""The parameters of the engine: what `sam deploy --guided` requests."""

import tomllib

import pytest

from tests.template.engine_model import FOLDER, PATH, deployed, read_engine
from tests.template.model import references
from tests.template.shared import accepts

template = read_engine()
PARAMETERS = template.section("Parameters")
INTERFACE = template.section("Metadata")["AWS::CloudFormation::Interface"]
STREAM = "arn:aws:dynamodb:eu-west-1:123456789012:table/{}/stream/2026-11-29T00:00:00.000"
STORES = ",".join(
    [
        "old-sensors",
        "old-ticks",
        STREAM.format("old-ticks"),
        "old-runs",
        STREAM.format("old-runs"),
        "old-events",
        "old-payloads",
    ]
)


@pytest.mark.parametrize("name", PARAMETERS)
def test_parameter_explains_itself_and_its_default_deploys(name: str) -> None:
    """Each has a description, bounds with an explanation, and a default within them."""
    parameter = PARAMETERS[name]

    assert len(parameter["Description"]) > 20
    assert parameter["ConstraintDescription"]
    assert {"AllowedValues", "AllowedPattern", "MinValue"} & parameter.keys()
    assert accepts(parameter, str(parameter["Default"]))
    assert name in references([template.section(s) for s in ("Conditions", "Globals", "Resources")])


def test_every_parameter_is_in_exactly_one_group() -> None:
    grouped = [name for group in INTERFACE["ParameterGroups"] for name in group["Parameters"]]

    assert sorted(grouped) == sorted(PARAMETERS) == sorted(INTERFACE["ParameterLabels"])


@pytest.mark.parametrize("text", ["", STORES, STORES.replace("000,", "000Z,")])
def test_all_stores_are_taken_over_or_none(text: str) -> None:
    assert accepts(PARAMETERS["ExistingStores"], text)


@pytest.mark.parametrize("missing", range(7))
def test_some_stores_are_not_taken_over(missing: int) -> None:
    """A cursor beside a new events table would see nothing, and requests beside a new ticks table would be lost."""
    parts = STORES.split(",")

    assert not accepts(PARAMETERS["ExistingStores"], ",".join(parts[:missing] + parts[missing + 1 :]))
    assert not accepts(PARAMETERS["ExistingStores"], ",".join([*parts[:missing], "", *parts[missing + 1 :]]))


@pytest.mark.parametrize("name", ["JobAccounts", "JoinedAccounts"])
def test_accounts_are_a_list_of_ids(name: str) -> None:
    for text in ("", "123456789012", "123456789012,210987654321"):
        assert accepts(PARAMETERS[name], text)
    for text in ("12345678901", "123456789012,", "123456789012, 210987654321", "*"):
        assert not accepts(PARAMETERS[name], text)


def test_conditions_compare_texts_only() -> None:
    """Local clouds join no list in a condition, and take every one for given."""
    assert "Fn::Join" not in str(template.section("Conditions"))
    assert {body["Type"] for body in PARAMETERS.values()} == {"String", "Number"}


def test_taken_over_stores_reach_everything_that_uses_one() -> None:
    engine, parts = deployed(ExistingStores=STORES), STORES.split(",")
    variables = template.section("Globals")["Function"]["Environment"]["Variables"]
    found = [
        engine.value(variables[f"TREADLE_{each}_TABLE"]) for each in ("SENSORS", "TICKS", "RUNS", "EVENTS")
    ]
    streams = {
        name: engine.value(event["Properties"]["Stream"])
        for function in template.resources("AWS::Serverless::Function").values()
        for name, event in function["Events"].items()
        if event["Type"] == "DynamoDB"
    }
    output = engine.value(template.section("Outputs")["ExistingStores"]["Value"])

    assert found == [parts[0], parts[1], parts[3], parts[5]]
    assert engine.value(variables["TREADLE_OUTCOMES_BUCKET"]) == parts[6]
    assert streams == {"Ticks": parts[2], "Runs": parts[4]}
    assert output == STORES


def test_created_stores_can_be_taken_over() -> None:
    """The output is what the parameter takes."""
    output = str(deployed().value(template.section("Outputs")["ExistingStores"]["Value"]))

    assert len(output.split(",")) == 7
    assert "AWS::NoValue" not in output


@pytest.mark.parametrize("name", ["", "a" * 33, "-main", "a/b", "a.b", "a_b", "a,b"])
def test_name_of_the_engine_fits_into_every_name_that_is_made_of_it(name: str) -> None:
    """Paths of IAM and of Parameter Store, names of a bus and of log groups; at most 32 characters."""
    assert accepts(PARAMETERS["EngineName"], "Prod-2")
    assert not accepts(PARAMETERS["EngineName"], name)


def test_nothing_goes_by_the_names_that_cloudformation_makes_of_the_stack() -> None:
    """It shortens a long stack name in the names of roles, rules and schedules, and what names them so misses them."""
    lines = [line for line in PATH.read_text().splitlines() if "AWS::StackName" in line]

    assert [line.strip() for line in lines] == ["- !Ref AWS::StackName  # stack"]


SAM = {
    name: each
    for name, each in tomllib.loads((FOLDER / "samconfig.toml").read_text()).items()
    if name != "version"
}


@pytest.mark.parametrize("name", [name for name, each in SAM.items() if "build" in each])
def test_engine_is_never_deployed_as_a_project(name: str) -> None:
    """`sam deploy` takes the last build of a folder: each template has one of its own, and is deployed from it."""
    build, deploy = (SAM[name][command]["parameters"] for command in ("build", "deploy"))
    others = {SAM[each]["build"]["parameters"]["build_dir"] for each in SAM if "build" in SAM[each]}

    assert deploy["template_file"] == f"{build['build_dir']}/template.yaml"
    assert (FOLDER / build["template_file"]).is_file()
    assert ".aws-sam/build" not in others
    assert len(others) == len(
        {each["build"]["parameters"]["template_file"] for each in SAM.values() if "build" in each}
    )


def test_each_stack_has_a_name_of_its_own() -> None:
    found = {
        environment: each.get("global", {}).get("parameters", {}).get("stack_name")
        or each["deploy"]["parameters"].get("stack_name")
        for environment, each in SAM.items()
    }
    # There is a stack for each project, whose name is given at the deployment.
    assert found.pop("project-pipeline") is None
    names = list(found.values())

    assert len(set(names)) == len(names)
    assert max(map(len, names)) <= 32
