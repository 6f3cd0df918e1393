"""Functions, their triggers, and where what fails goes."""

import json
import re
from typing import Any

import pytest
from treadle.cli.yaml_lines import YamlLines

from tests.template.model import (
    FUNCTION,
    ROOT,
    SHIPPED_SENSORS,
    definition,
    logical_prefix,
    read,
    references,
    samples,
)
from treadle.cli.template_edit import MOST_SETTINGS, settings_size
from treadle.definitions.asset_sensor import AssetSensorDefinition
from treadle.definitions.jobs import jobs_parameter
from treadle.definitions.run_status import RunStatusSensorDefinition
from treadle.integrations.alerts import environment
from treadle.integrations.alerts.environment import EnvironmentAlertDefinition
from treadle.ports.launching import JobSettings

template = read()
FUNCTIONS = template.resources(FUNCTION)
NAMED = template.named_functions()
S3_EVALUATORS = [
    n for n, f in template.evaluators().items() if "TREADLE_S3_BUCKET" in template.environment(f)
]
DEADLINES = [
    n for n, f in template.evaluators().items() if template.environment(f)["TREADLE_KIND"] == "deadline"
]
DEAD_LETTERS: dict[str, Any] = {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
QUEUES = template.resources("AWS::SQS::Queue")

EVERYWHERE = {
    "TREADLE_NAMESPACE",
    "TREADLE_SENSORS_TABLE",
    "TREADLE_TICKS_TABLE",
    "TREADLE_RUNS_TABLE",
    "TREADLE_EVENTS_TABLE",
    "TREADLE_DEAD_LETTER_QUEUE_URL",
    "TREADLE_OUTCOMES_BUCKET",
    "TREADLE_PAUSE_AFTER",
}
EVALUATOR = {"TREADLE_KIND", "TREADLE_DEFAULT_STATUS", "TREADLE_QUEUE_URL", "TREADLE_GRANTED_JOBS"}
S3 = {
    "TREADLE_S3_BUCKET",
    "TREADLE_S3_PREFIX",
    "TREADLE_S3_SUFFIX",
    "TREADLE_S3_IDENTITY",
    "TREADLE_S3_SETTLE_SECONDS",
    "TREADLE_S3_START_FROM",
}
ALERTS = {value for value in vars(environment).values() if str(value).startswith("TREADLE_ALERT_")}
ENGINE = {
    "dispatch": {
        "TREADLE_LAUNCH_QUEUE_URL",
        "TREADLE_DISPATCH_QUEUE_URL",
        "TREADLE_BUS_NAME",
        "TREADLE_GRANTS",
        "TREADLE_MAX_DEPTH",
        "TREADLE_RUNS_PER_HOUR",
    },
    "launch": {"TREADLE_LAUNCH_QUEUE_URL", "TREADLE_JOBS", "TREADLE_FORMER_JOBS"},
    "record": {
        "TREADLE_RECORD_QUEUE_URL",
        "TREADLE_BUS_NAME",
        "TREADLE_JOBS",
        "TREADLE_FORMER_JOBS",
        "TREADLE_OBSERVED_JOBS",
    },
    "publish": {"TREADLE_PUBLISH_QUEUE_URL", "TREADLE_BUS_NAME"},
    "reconcile": {
        "TREADLE_LAUNCH_QUEUE_URL",
        "TREADLE_DISPATCH_QUEUE_URL",
        "TREADLE_BUS_NAME",
        "TREADLE_GRANTS",
        "TREADLE_JOBS",
        "TREADLE_OBSERVED_JOBS",
        "TREADLE_MAX_DEPTH",
        "TREADLE_RUNS_PER_HOUR",
    },
    "console": {
        "TREADLE_STACK",
        "TREADLE_CONSOLE_ISSUER",
        "TREADLE_CONSOLE_AUDIENCE",
        "TREADLE_CONSOLE_CLIENT_ID",
        "TREADLE_CONSOLE_SCOPE",
        "TREADLE_CONSOLE_TOKEN_ORIGIN",
        "TREADLE_CONSOLE_ROLE_CLAIM",
        "TREADLE_CONSOLE_VIEWER_ROLE",
        "TREADLE_CONSOLE_OPERATOR_ROLE",
    },
}
SCHEDULED = {
    **{
        name: {
            "treadle": "deadline" if name in DEADLINES else "tick",
            "nominal_time": "<aws.scheduler.scheduled-time>",
        }
        for name in template.scheduled()
    },
    "reconcile": {"treadle": "reconcile"},
}
MOST_VARIABLES = 4096
"""Bytes of names and values, by Lambda's limit."""


def of_evaluator(name: str) -> set[str]:
    """The variables of a sensor: its interval, or whose runs it watches; what hears of others has neither."""
    sensor = definition(name)
    if name in DEADLINES:
        return EVALUATOR | {"TREADLE_TIME_ZONE"}
    if isinstance(sensor, EnvironmentAlertDefinition):
        return EVALUATOR | {"TREADLE_MONITORED_JOBS"} | ALERTS
    if isinstance(sensor, RunStatusSensorDefinition):
        return EVALUATOR | {"TREADLE_MONITORED_JOBS"}
    if sensor.is_woken or isinstance(sensor, AssetSensorDefinition):
        return EVALUATOR
    return EVALUATOR | {"TREADLE_INTERVAL_SECONDS"}


def triggers() -> list[tuple[str, dict[str, Any]]]:
    """Each function's folder with each of its event sources."""
    return [
        (name, event) for name, function in NAMED.items() for event in function.get("Events", {}).values()
    ]


def triggers_of(kind: str) -> list[tuple[str, dict[str, Any]]]:
    """The event sources of one kind, with their function's folder."""
    return [(name, event["Properties"]) for name, event in triggers() if event["Type"] == kind]


def queue_of(trigger: dict[str, Any]) -> dict[str, Any]:
    """The queue that feeds an event source."""
    return QUEUES[trigger["Queue"]["Fn::GetAtt"][0]]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_is_built_by_copying_its_folder(name: str) -> None:
    """Any host can build it: an app.py with a handler, nothing to install."""
    assert template.section("Resources")[name]["Metadata"] == {"SkipBuild": True}
    folder = ROOT / FUNCTIONS[name]["CodeUri"]
    source = folder / "app.py"
    assert re.search(r"^(def )?handler\b", source.read_text(), re.MULTILINE)
    assert not (folder / "requirements.txt").exists(), (
        f"Nothing installs {FUNCTIONS[name]['CodeUri']}/requirements.txt: move its lines to "
        "layers/project/requirements.txt, and remove the file (docs/guide/dependencies.md)."
    )


@pytest.mark.parametrize("name", NAMED)
def test_layer_of_the_project_is_the_sensors_alone(name: str) -> None:
    """No package of a sensor's comes near the right to start jobs."""
    layers = NAMED[name].get("Layers", [])

    assert layers == ([{"Ref": "ProjectLayer"}] if name in template.evaluators() else [])


@pytest.mark.treadle
@pytest.mark.parametrize("name", sorted(NAMED.keys() - (template.evaluators().keys() - SHIPPED_SENSORS)))
def test_function_of_treadle_is_one_module(name: str) -> None:
    folder = ROOT / NAMED[name]["CodeUri"]

    assert [path.name for path in folder.iterdir() if path.name != "__pycache__"] == ["app.py"]


@pytest.mark.parametrize("name", FUNCTIONS)
def test_function_logs_to_its_own_group_with_retention(name: str) -> None:
    """The group is the stack's, so that logs end after the days chosen, and no other function's."""
    group = FUNCTIONS[name]["LoggingConfig"]["LogGroup"]["Ref"]

    assert template.resources("AWS::Logs::LogGroup")[group]["RetentionInDays"] == {"Ref": "LogRetentionDays"}
    users = [f for f in FUNCTIONS.values() if f["LoggingConfig"]["LogGroup"] == {"Ref": group}]
    assert users == [FUNCTIONS[name]]


@pytest.mark.parametrize("name", template.treadle_functions())
def test_function_has_the_documented_variables_and_no_others(name: str) -> None:
    """A misspelt or undocumented TREADLE_ variable is caught here, and so is a missing one."""
    found = {v for v in template.environment(NAMED[name]) if v.startswith("TREADLE_")}
    expected = EVERYWHERE | (ENGINE[name] if name in ENGINE else of_evaluator(name))

    assert expected <= found
    assert found <= expected | (S3 if name in template.evaluators() else set())
    assert not found & S3 or found >= S3


@pytest.mark.treadle
def test_jobs_know_nothing_of_treadle() -> None:
    """A job gets no layer and none of Treadle's variables."""
    jobs = NAMED.keys() - template.treadle_functions().keys()

    assert jobs
    for name in jobs:
        assert not {v for v in template.environment(NAMED[name]) if v.startswith(("TREADLE_", "POWERTOOLS_"))}


@pytest.mark.parametrize("job", template.jobs())
def test_each_job_names_target_arn_and_parameter(job: str) -> None:
    """A job that is not configured has an empty ARN, and the name of the parameter to set."""
    setting = template.jobs()[job]

    assert setting["parameter"] in template.section("Parameters")
    assert setting["parameter"] in template.behind(setting["arn"])


@pytest.mark.parametrize("job", template.jobs())
def test_each_option_of_a_job_is_the_parameter_that_its_absence_names(job: str) -> None:
    """LAUNCH says `set NightlyLoadQueue` where the option `queue` of `nightly_load` is missing."""
    setting = template.jobs()[job]
    settings = JobSettings(job, setting["target"], "", setting["parameter"])

    for option in setting.keys() - {"target", "arn", "parameter"}:
        assert setting[option] == f"${{{settings.parameter_of(option)}}}"
        assert settings.parameter_of(option) in template.section("Parameters")


@pytest.mark.parametrize("variable", ["TREADLE_JOBS", "TREADLE_GRANTS"])
def test_functions_that_go_by_jobs_or_grants_go_by_the_same_text(variable: str) -> None:
    """What LAUNCH may start, RECONCILE asks about; what DISPATCH refuses, RECONCILE refuses."""
    source = {"Fn::GetAtt": [variable.removeprefix("TREADLE_").capitalize(), "Value"]}
    found = [template.environment(function).get(variable) for function in NAMED.values()]

    assert found.count(source) >= 2
    assert [each for each in found if each not in (None, source)] == []


@pytest.mark.parametrize("name", template.evaluators())
def test_evaluator_knows_the_jobs_that_dispatch_grants_it(name: str) -> None:
    """Both from one parameter: what DISPATCH would hold fails the tick before the cursor moves."""
    value = template.resources("AWS::SSM::Parameter")["Grants"]["Value"]["Fn::Sub"]
    granted = json.loads(value[0])[name]

    known = template.environment(template.evaluators()[name])["TREADLE_GRANTED_JOBS"]

    assert known == (value[1][granted.strip("${}")] if granted else "")
    if granted:
        assert known == {"Fn::Join": [",", {"Ref": jobs_parameter(name)}]}


@pytest.mark.parametrize("name", template.evaluators())
def test_a_sensor_is_ticked_unless_all_that_it_evaluates_is_told_on_the_bus(name: str) -> None:
    """And one that waits for runs or assets is ticked, too, so that nothing rests on an event that was lost."""
    is_told = isinstance(definition(name), RunStatusSensorDefinition | AssetSensorDefinition)

    assert (name in template.scheduled()) is not is_told


@pytest.mark.parametrize("name", template.treadle_functions())
def test_variables_fit_into_what_lambda_takes(name: str) -> None:
    """With as many jobs and grants as `treadle new sensor` takes; what else a deployment gives has 50 characters."""
    variables = template.environment(NAMED[name])
    texts = variables.keys() & {"TREADLE_JOBS", "TREADLE_GRANTS"}
    others = [
        f"{variable}{value if isinstance(value, str) else 'x' * 50}"
        for variable, value in variables.items()
        if value != {"Ref": "AWS::NoValue"} and variable not in texts
    ]

    most = sum(map(len, (*others, *texts))) + (MOST_SETTINGS if texts else 0)
    assert most < MOST_VARIABLES


def test_jobs_and_grants_are_no_more_than_variables_take() -> None:
    text = (ROOT / "template.yaml").read_text()

    assert settings_size(YamlLines("template.yaml", text)) <= MOST_SETTINGS


@pytest.mark.treadle
def test_every_trigger_is_of_a_kind_whose_failures_are_tested() -> None:
    """A new kind of event source needs a failure path, and a test of it, here."""
    assert {event["Type"] for _, event in triggers()} == {"ScheduleV2", "SQS", "DynamoDB"}


TICKED = [each for each in triggers_of("ScheduleV2") if each[0] not in DEADLINES]


@pytest.mark.parametrize(("name", "trigger"), TICKED)
def test_ticks_never_pile_up(name: str, trigger: dict[str, Any]) -> None:
    """Each minute, no retry on either layer, at most a minute old; what is lost goes to the dead letters."""
    once = {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}

    assert trigger["ScheduleExpression"] == "cron(* * * * ? *)"
    assert trigger["RetryPolicy"] == once
    assert trigger["DeadLetterConfig"] == {"Arn": DEAD_LETTERS}
    assert NAMED[name]["EventInvokeConfig"] == {
        **once,
        "DestinationConfig": {"OnFailure": {"Type": "SQS", "Destination": DEAD_LETTERS}},
    }


def test_deadlines_are_the_deployment_s_and_are_not_lost() -> None:
    """A late one is still one; what cannot be delivered for an hour goes to the dead letters."""
    for name, trigger in triggers_of("ScheduleV2"):
        if name not in DEADLINES:
            continue
        assert references(trigger["ScheduleExpression"]) == {f"{logical_prefix(name)}Deadlines"}
        zone = template.environment(NAMED[name])["TREADLE_TIME_ZONE"]
        assert trigger["ScheduleExpressionTimezone"] == zone == {"Ref": f"{logical_prefix(name)}TimeZone"}
        given_up = NAMED[name]["EventInvokeConfig"]
        for retried in (trigger["RetryPolicy"], given_up):
            assert retried["MaximumRetryAttempts"] > 0
            assert retried["MaximumEventAgeInSeconds"] == 3_600
        assert trigger["DeadLetterConfig"] == {"Arn": DEAD_LETTERS}
        assert given_up["DestinationConfig"]["OnFailure"]["Destination"] == DEAD_LETTERS


@pytest.mark.parametrize(("name", "trigger"), triggers_of("ScheduleV2"))
def test_tick_carries_its_nominal_time(name: str, trigger: dict[str, Any]) -> None:
    """A redelivered tick has the same identity, and two stacks' schedules never share a name."""
    assert json.loads(trigger["Input"]) == SCHEDULED[name]
    assert trigger["OmitName"] is True
    assert trigger["RoleArn"] == {"Fn::GetAtt": ["ScheduleRole", "Arn"]}


@pytest.mark.parametrize(("name", "trigger"), triggers_of("SQS"))
def test_queued_events_fail_one_by_one_into_the_dead_letters(name: str, trigger: dict[str, Any]) -> None:
    """A bad message neither takes its batch with it nor comes back for ever."""
    queue = queue_of(trigger)

    assert trigger["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert queue["RedrivePolicy"] == {"deadLetterTargetArn": DEAD_LETTERS, "maxReceiveCount": 5}
    if isinstance(NAMED[name]["Timeout"], int):
        assert queue["VisibilityTimeout"] == 6 * NAMED[name]["Timeout"]


def test_slices_of_a_large_tick_come_one_at_a_time() -> None:
    """Each has an invocation, and its time limit, to itself."""
    ((_, trigger),) = [found for found in triggers_of("SQS") if found[0] == "dispatch"]

    assert trigger["BatchSize"] == 1
    assert trigger["ScalingConfig"] == {"MaximumConcurrency": 5}
    assert trigger["Queue"] == {"Fn::GetAtt": ["DispatchQueue", "Arn"]}


@pytest.mark.parametrize(("name", "trigger"), triggers_of("DynamoDB"))
def test_bad_stream_record_blocks_those_behind_it_for_a_bounded_time(
    name: str, trigger: dict[str, Any]
) -> None:
    """Batches are split, retries and age bounded, and what is given up is named in the dead letters."""
    assert trigger["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert trigger["BisectBatchOnFunctionError"] is True
    assert 0 < trigger["MaximumRetryAttempts"] <= 10
    assert 60 <= trigger["MaximumRecordAgeInSeconds"] <= 3600
    assert trigger["DestinationConfig"] == {"OnFailure": {"Type": "SQS", "Destination": DEAD_LETTERS}}


def test_dispatch_sees_only_ticks_that_are_pending_or_paused_their_sensor() -> None:
    """Other ticks without requests, and the update that ends pending, cost no invocation."""
    ((_, trigger),) = [found for found in triggers_of("DynamoDB") if found[0] == "dispatch"]
    patterns = [json.loads(each["Pattern"]) for each in trigger["FilterCriteria"]["Filters"]]

    there = {"S": [{"exists": True}]}
    assert patterns == [
        {"eventName": ["INSERT", "MODIFY"], "dynamodb": {"NewImage": {"pending": there}}},
        {"eventName": ["INSERT"], "dynamodb": {"NewImage": {"paused": there}}},
    ]
    assert trigger["StartingPosition"] == "TRIM_HORIZON"


def test_publish_sees_what_runs_reach_at_once() -> None:
    """Each write that may tell of something, without a window: a dependent run waits for it."""
    ((_, trigger),) = [found for found in triggers_of("DynamoDB") if found[0] == "publish"]
    [pattern] = [json.loads(each["Pattern"]) for each in trigger["FilterCriteria"]["Filters"]]

    assert pattern == {
        "eventName": ["INSERT", "MODIFY"],
        "dynamodb": {"NewImage": {"reached": {"S": [{"exists": True}]}}},
    }
    assert "MaximumBatchingWindowInSeconds" not in trigger
    assert trigger["StartingPosition"] == "TRIM_HORIZON"
    given = {
        "Fn::If": [
            "CreateRunsTable",
            {"Fn::GetAtt": ["RunsTable", "StreamArn"]},
            {"Ref": "RunsTableStreamArn"},
        ]
    }
    assert trigger["Stream"] == given


@pytest.mark.treadle
@pytest.mark.parametrize(("name", "event"), triggers())
def test_each_trigger_has_a_sample_event(name: str, event: dict[str, Any]) -> None:
    """`events/<function>-*.json` holds what this trigger sends, for tests and `make invoke`."""
    own = [sample for file, sample in samples().items() if file.startswith(f"{name}-")]

    if event["Type"] == "ScheduleV2":
        assert any(s.keys() == json.loads(event["Properties"]["Input"]).keys() for s in own)
    else:
        source = {"SQS": "aws:sqs", "DynamoDB": "aws:dynamodb"}[event["Type"]]
        assert any(record["eventSource"] == source for s in own for record in s.get("Records", []))


@pytest.mark.parametrize("sensor", S3_EVALUATORS)
def test_s3_sensor_has_a_sample_of_each_way_in(sensor: str) -> None:
    """Schedule, queued event, an operator's tick, and an event given directly."""
    ways = ("schedule", "s3-object-created", "direct", "s3-event-direct")

    assert {f"{sensor}-{way}" for way in ways} <= samples().keys()


def test_record_has_samples_of_each_turn() -> None:
    """A run that begins, one that succeeds, one that fails."""
    records = [
        r for name, sample in samples().items() if name.startswith("record-") for r in sample["Records"]
    ]

    statuses = {json.loads(record["body"])["detail"].get("status") for record in records}
    assert statuses >= {"RUNNING", "SUCCEEDED", "FAILED"}


@pytest.mark.treadle
@pytest.mark.parametrize("file", samples())
def test_sample_event_belongs_to_a_function(file: str) -> None:
    """Its name begins with the folder of the function that takes it."""
    assert file.partition("-")[0] in NAMED


def test_local_variables_are_declared() -> None:
    """`sam local invoke` drops a variable that the template does not name."""
    chosen = json.loads((ROOT / "events" / "env.json").read_text())
    declared = template.section("Globals")["Function"]["Environment"]["Variables"]

    assert chosen["Parameters"].keys() <= declared.keys()
    for name in chosen.keys() - {"Parameters"}:
        assert chosen[name].keys() <= template.environment(FUNCTIONS[name]).keys()


@pytest.mark.parametrize("name", template.evaluators())
def test_evaluator_is_told_what_kind_of_sensor_its_code_defines(name: str) -> None:
    """What an operator is shown is what the code is."""
    assert template.environment(template.evaluators()[name])["TREADLE_KIND"] == definition(name).kind
