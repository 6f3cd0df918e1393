"""A project's template: what all of its blocks have in common, and how short it is as it is shipped.

What is not marked as Treadle's own holds whatever sensors and jobs a project adds.
"""

import json
import re
from fnmatch import fnmatchcase
from typing import Any

import pytest

from tests.support.projects import CONTRACT, ENGINE, Project, project
from tests.template import model
from tests.template.shared import accepts
from tools.project import ROOT
from treadle.cli.template_edit import load
from treadle.entrypoints.evaluator import SCHEDULE_SECONDS
from treadle.model.contract import PARTS, parameter_of
from treadle.operate.limits import ACCOUNT, LONGEST_STACK_NAME, PARTITION, REGION

MOST_LINES = 450
MOST_QUESTIONS = 12
SAM_PROMPTS = 8
"""`sam deploy --guided` itself: stack, Region, confirmation, roles, rollback, saving, file, environment."""
SHIPPED = {"failure_alert", "new_objects", "large_files"}


@pytest.fixture(scope="module")
def own() -> Project:
    return project()


@pytest.mark.treadle
def test_template_is_short(own: Project) -> None:
    assert len(own.text.splitlines()) <= MOST_LINES


@pytest.mark.treadle
def test_a_first_deployment_has_a_dozen_questions_at_most(own: Project) -> None:
    parameters = own.template["Parameters"]

    assert SAM_PROMPTS + len(parameters) <= MOST_QUESTIONS
    for parameter in parameters.values():
        assert "Default" in parameter
        assert parameter["Description"].endswith(".")


@pytest.mark.treadle
def test_engine_is_the_one_that_is_deployed_by_default(own: Project) -> None:
    engine = load((ROOT / "engine" / "template.yaml").read_text())["Parameters"]["EngineName"]["Default"]

    assert own.template["Parameters"]["Engine"]["Default"] == parameter_of(engine)
    assert own.template["Parameters"]["Engine"]["Type"] == "AWS::SSM::Parameter::Value<List<String>>"


def test_places_of_the_contract_are_stated_where_the_engine_is(own: Project) -> None:
    documented = re.findall(r"(\d+) (\w+)", own.text.split("n means:")[1].split("    Type:")[0])

    assert documented
    assert [(int(number), name) for number, name in documented] == list(enumerate(PARTS))[: len(documented)]


@pytest.mark.parametrize(
    ("variable", "part"),
    [
        ("TREADLE_NAMESPACE", "namespace"),
        ("TREADLE_ENGINE_ID", "engine_id"),
        ("TREADLE_SENSORS_TABLE", "sensors_table"),
        ("TREADLE_TICKS_TABLE", "ticks_table"),
        ("TREADLE_RUNS_TABLE", "runs_table"),
        ("TREADLE_EVENTS_TABLE", "events_table"),
        ("TREADLE_OUTCOMES_BUCKET", "payload_bucket"),
        ("POWERTOOLS_SERVICE_NAME", "engine"),
    ],
)
def test_functions_have_what_the_engine_says(own: Project, variable: str, part: str) -> None:
    given = own.template["Globals"]["Function"]["Environment"]["Variables"][variable]

    assert given == {"Fn::Select": [PARTS.index(part), {"Ref": "Engine"}]}


def test_functions_are_given_their_project_as_entries_name_it(own: Project) -> None:
    given = own.template["Globals"]["Function"]["Environment"]["Variables"]["TREADLE_PROJECT"]

    assert given == {"Ref": "AWS::StackName"}
    assert own.text.count('"project":"${AWS::StackName}"') == own.text.count('"contract":"1"')


def test_contract_is_taken_by_places_that_exist(own: Project) -> None:
    """And not by dynamic references, of which a template has 60 at most."""
    places = {int(number) for number in re.findall(r"!Select \[(\d+), !Ref Engine\]", own.text)}

    assert max(places) < len(PARTS)
    assert "{{resolve:" not in own.text


@pytest.mark.treadle
def test_nothing_of_the_engines_protocol_is_written_in_a_project(own: Project) -> None:
    for action in ("dynamodb:", "lambda:InvokeFunction, Resource: !Sub", "sts:TagSession"):
        assert action not in own.text
    assert {each["Type"] for each in own.template["Resources"].values()}.isdisjoint(
        {"AWS::DynamoDB::Table", "AWS::Events::EventBus", "AWS::Lambda::EventInvokeConfig"}
    )


@pytest.mark.treadle
def test_shipped_sensors_are_these(own: Project) -> None:
    assert set(own.sensors()) == SHIPPED


def test_sensors_are_registered_as_their_code_defines_them(own: Project) -> None:
    entries = own.sensors()

    assert set(entries) == set(own.functions())
    for name, entry in entries.items():
        definition = model.definition(name)
        assert entry.kind == definition.kind
        assert entry.jobs == set(definition.job_names)
        assert entry.project == LONGEST_STACK_NAME
        assert entry.function == own.deployed._ref(model.logical_prefix(name))
        assert entry.log_group == f"/treadle/{ENGINE}/{LONGEST_STACK_NAME}"


def test_entries_say_what_functions_are_given(own: Project) -> None:
    """RECONCILE goes by the entry when it looks up sensors that do not tick; operators find dead letters by it."""
    entries = own.sensors()

    for name, function in own.functions().items():
        variables = function["Environment"]["Variables"]
        shared = own.template["Globals"]["Function"]["Environment"]["Variables"]
        queue_url = variables.get("TREADLE_DEAD_LETTER_QUEUE_URL", shared["TREADLE_DEAD_LETTER_QUEUE_URL"])
        assert entries[name].default_status == variables["TREADLE_DEFAULT_STATUS"]
        assert entries[name].interval_seconds == int(variables.get("TREADLE_INTERVAL_SECONDS", "0"))
        assert entries[name].dead_letters == own.deployed.value(queue_url)


def test_a_sensor_without_a_queue_ticks_each_minute_at_most(own: Project) -> None:
    """Its further slots would come through the queue. A parameter for the interval has a MinValue, then."""
    for function in own.functions().values():
        variables = function["Environment"]["Variables"]
        if "TREADLE_QUEUE_URL" not in variables and variables["TREADLE_KIND"] not in {"stream", "webhook"}:
            assert int(variables["TREADLE_INTERVAL_SECONDS"]) >= SCHEDULE_SECONDS
    for name, parameter in own.template["Parameters"].items():
        if name.endswith("Interval"):
            assert parameter["MinValue"] >= 15


def test_functions_know_their_own_queue_and_kind(own: Project) -> None:
    entries = own.sensors()

    for name, function in own.functions().items():
        variables = function["Environment"]["Variables"]
        assert variables.get("TREADLE_QUEUE_URL", "") == entries[name].queue
        assert variables["TREADLE_KIND"] == entries[name].kind
        assert variables.get("TREADLE_HOURS", "") == str(entries[name].hours or "")


@pytest.mark.treadle
def test_jobs_of_the_shipped_sensors_are_registered_and_accept_them(own: Project) -> None:
    jobs = own.jobs()

    for entry in own.sensors().values():
        assert entry.jobs <= set(jobs)
        assert all(jobs[job].accepts(entry) for job in entry.jobs)


@pytest.mark.treadle
def test_first_csv_starts_the_example_and_its_summary_starts_nothing(own: Project) -> None:
    """With the answers that a deployment has by default."""
    [machine] = own.of_type("AWS::Serverless::StateMachine")
    watched = own.functions()["new_objects"]["Environment"]["Variables"]

    assert own.jobs()["process_file"].settings.arn == own.deployed._ref(machine)
    assert (watched["TREADLE_DEFAULT_STATUS"], watched["TREADLE_S3_SUFFIX"]) == ("RUNNING", ".csv")
    assert not "summaries/a.csv/summary.json".endswith(watched["TREADLE_S3_SUFFIX"])


def rules(own: Project) -> dict[str, str]:
    """Return the ARN of each rule."""
    ids = [name for name, each in own.deployed.resources.items() if each.kind == "AWS::Events::Rule"]
    return {name: own.deployed._getatt([name, "Arn"]) for name in ids}


def test_queues_take_messages_of_rules_and_of_no_other_account(own: Project) -> None:
    """Whatever CloudFormation calls them, on the default bus or the engine's."""
    [policy] = own.of_type("AWS::SQS::QueuePolicy").values()
    [statement] = policy["PolicyDocument"]["Statement"]
    pattern = statement["Condition"]["ArnLike"]["aws:SourceArn"]

    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    assert statement["Condition"]["StringEqualsIfExists"] == {"aws:SourceAccount": ACCOUNT}
    assert rules(own)
    assert all(fnmatchcase(arn, pattern) for arn in rules(own).values())
    assert not fnmatchcase(f"arn:{PARTITION}:events:{REGION}:210987654321:rule/x", pattern)


def test_each_rule_sends_to_a_queue_that_may_be_sent_to_from_the_start(own: Project) -> None:
    """A rule that is there before the policy loses events in silence."""
    template = own.template["Resources"]
    listed = {each["Ref"] for each in template["QueuePolicy"]["Properties"]["Queues"]}

    for name in rules(own):
        [target] = template[name]["Properties"]["Targets"]
        assert template[name]["DependsOn"] == "QueuePolicy"
        assert {target["Arn"]["Fn::GetAtt"][0], target["DeadLetterConfig"]["Arn"]["Fn::GetAtt"][0]} <= listed


def test_each_queue_of_a_sensor_has_the_tags_that_its_policy_goes_by(own: Project) -> None:
    queues = own.of_type("AWS::SQS::Queue")
    tags = {name: {each["Key"]: each["Value"] for each in queue["Tags"]} for name, queue in queues.items()}

    assert {name: each["treadle:engine"] for name, each in tags.items()} == dict.fromkeys(queues, ENGINE)
    assert {each["treadle:sensor"] for each in tags.values()} == {
        "dead-letters",
        # A queue sensor takes the messages of a queue that exists, which its owner tags.
        *(name for name, entry in own.sensors().items() if entry.queue and entry.kind != "queue"),
    }
    for queue in set(queues) - {"DeadLetters"}:
        assert queues[queue]["VisibilityTimeout"] >= 6 * 60
        assert queues[queue]["RedrivePolicy"]["maxReceiveCount"] == 5


def test_functions_have_the_tags_that_the_engines_policies_go_by(own: Project) -> None:
    for name, function in own.functions().items():
        assert function["Tags"]["treadle:sensor"] == name
        assert function["Tags"]["treadle:engine"] == ENGINE
        assert function["Tags"]["treadle:project"] == LONGEST_STACK_NAME


OF_RUNS, OF_ASSETS = {"run_status", "deadline", "all_succeeded"}, {"asset", "multi_asset"}


def test_a_sensor_has_the_policies_of_what_it_reads(own: Project) -> None:
    entries = own.sensors()

    for name, function in own.functions().items():
        attached = {each for each in function["Policies"] if isinstance(each, str)}
        assert CONTRACT["evaluator_policy"] in attached
        assert entries[name].kind not in OF_RUNS or CONTRACT["run_reader_policy"] in attached
        assert (CONTRACT["asset_reader_policy"] in attached) is (entries[name].kind in OF_ASSETS)
        reads = function["Tags"].get("treadle:reads")
        assert reads in {None, "runs"}
        assert reads is None or CONTRACT["run_reader_policy"] in attached


LOCAL_SESSIONS = "arn:aws:sts::000000000000:assumed-role/*"
"""AWS has no such account; local clouds play it, and name the session in place of its role."""


def trust(role: dict[str, Any]) -> dict[str, Any]:
    [statement] = role["AssumeRolePolicyDocument"]["Statement"]
    found: dict[str, Any] = statement
    return found


def test_roles_of_jobs_trust_the_engine_by_its_path(own: Project) -> None:
    """By ARN, IAM would store the id of a role that a rebuilt engine does not have any more."""
    jobs = own.jobs()
    roles = {name: each for name, each in own.of_type("AWS::IAM::Role").items() if "Path" in each}

    assert {own.deployed._getatt([name, "Arn"]) for name in roles} <= {
        job.settings.role for job in jobs.values()
    }
    for role in roles.values():
        assert role["Path"] == f"/treadle/{ENGINE}/{REGION}/job/"
        assert trust(role)["Principal"] == {"AWS": ACCOUNT}
        assert trust(role)["Condition"] == {
            "ArnLike": {"aws:PrincipalArn": [CONTRACT["engine_roles"], LOCAL_SESSIONS]}
        }


def test_roles_of_jobs_have_statements_on_their_former_addresses(own: Project) -> None:
    """Else what is under way there ends as unknown: docs/operations.md, "Move a job"."""
    assert own.unkept() == {}


@pytest.mark.treadle
def test_layers_outlive_the_functions_that_had_them(own: Project) -> None:
    layers = own.of_type("AWS::Serverless::LayerVersion")

    assert {each["ContentUri"] for each in layers.values()} == {
        "layers/deps",
        "layers/treadle",
        "layers/project",
    }
    assert {each["RetentionPolicy"] for each in layers.values()} == {"Retain"}


def test_logs_of_a_deleted_project_are_kept(own: Project) -> None:
    logs = own.template["Resources"]["Logs"]

    assert logs["DeletionPolicy"] == "RetainExceptOnCreate"
    assert logs["UpdateReplacePolicy"] == "Retain"


def test_parameters_explain_themselves_and_their_bounds(own: Project) -> None:
    for name, parameter in own.template["Parameters"].items():
        assert len(parameter["Description"]) > 20, name
        if parameter.keys() & {"AllowedPattern", "AllowedValues", "MinValue"}:
            assert parameter["ConstraintDescription"], name
            assert "Default" not in parameter or accepts(parameter, str(parameter["Default"])), name


@pytest.mark.treadle
def test_parameters_of_the_shipped_template_have_bounds(own: Project) -> None:
    for name, parameter in own.template["Parameters"].items():
        assert name == "Engine" or parameter.keys() & {"AllowedPattern", "AllowedValues"}, name


@pytest.mark.treadle
@pytest.mark.parametrize(
    ("name", "value", "is_accepted"),
    [
        ("AlertEmail", "data@example.com", True),
        ("AlertEmail", "data", False),
        ("NewObjectsBucket", "my-bucket", True),
        ("NewObjectsBucket", "My_Bucket", False),
    ],
)
def test_a_value_that_cannot_work_is_refused(
    own: Project, name: str, value: str, *, is_accepted: bool
) -> None:
    assert accepts(own.template["Parameters"][name], value) is is_accepted


def test_functions_are_built_by_copying_their_folder(own: Project) -> None:
    """Any host can build them: an app.py with a handler, nothing to install."""
    for name, body in own.template["Resources"].items():
        if body["Type"] != model.FUNCTION:
            continue
        folder = model.ROOT / body["Properties"]["CodeUri"]
        assert body["Metadata"] == {"SkipBuild": True}, name
        assert re.search(r"^(def )?handler\b", (folder / "app.py").read_text(), re.MULTILINE), name
        assert not (folder / "requirements.txt").exists(), (
            f"Nothing installs {body['Properties']['CodeUri']}/requirements.txt: move its lines to "
            "layers/project/requirements.txt, and remove the file (docs/guide/dependencies.md)."
        )


@pytest.mark.treadle
def test_example_has_nothing_of_treadle(own: Project) -> None:
    body = own.template["Resources"]["SummarizeCsv"]

    assert set(body["IgnoreGlobals"]) == {"Layers", "Environment"}
    assert set(body["Properties"]["Environment"]["Variables"]) == {"OUTPUT_PREFIX"}


@pytest.mark.treadle
def test_each_trigger_of_a_sensor_has_a_sample_event(own: Project) -> None:
    """`events/<sensor>-*.json` holds what the trigger sends, for tests and `make invoke`."""
    for name, function in own.functions().items():
        samples = [sample for file, sample in model.samples().items() if file.startswith(f"{name}-")]
        for event in function.get("Events", {}).values():
            if event["Type"] == "ScheduleV2":
                sent = json.loads(event["Properties"]["Input"])
                assert any(sample.keys() == sent.keys() for sample in samples), name
            else:
                records = [record for sample in samples for record in sample.get("Records", [])]
                assert any(record["eventSource"] == "aws:sqs" for record in records), name


def test_local_variables_are_declared(own: Project) -> None:
    """`sam local invoke` drops a variable that the template does not name."""
    chosen = json.loads((model.ROOT / "events" / "env.json").read_text())
    declared = own.template["Globals"]["Function"]["Environment"]["Variables"]

    assert chosen["Parameters"].keys() <= declared.keys()
