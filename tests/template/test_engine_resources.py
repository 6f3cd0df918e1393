"""Stores, queues, rules, functions, logs and alarms of the engine."""

import json
import re
from typing import Any

import pytest

from tests.template.engine_model import FUNCTION, PATH, ROLE, deployed, read_engine
from tests.template.model import references, samples
from tests.template.shared import KEYS, names, written_metrics
from tests.template.shared import transformed as handed_on
from treadle.adapters.parameters import CHANGES, changed_entry
from treadle.adapters.status_events import parse_status_change
from treadle.definitions.event_pattern import EventPattern
from treadle.engine.publish.bus_events import (
    ASSET_MATERIALIZATION_REPORT,
    ASSET_MATERIALIZED,
    ASSET_OBSERVATION_REPORT,
    ASSET_OBSERVED,
    REPORT_SOURCE,
    RUN_STATUS_REPORT,
    SOURCE,
)
from treadle.entrypoints import metric_names
from treadle.entrypoints.handler import MAX_DELAY_SECONDS, MAX_RECEIVES, RETRY_SECONDS
from treadle.operate import cost

template = read_engine()
RESOURCES = template.section("Resources")
TABLES = template.resources("AWS::DynamoDB::Table")
QUEUES = template.resources("AWS::SQS::Queue")
RULES = template.resources("AWS::Events::Rule")
FUNCTIONS = template.resources(FUNCTION)
ALARMS = template.resources("AWS::CloudWatch::Alarm")
BASIC = {"DeadLetterAlarm", "ReconcileAlarm", "ActionNeededAlarm", "SensorFailuresAlarm"}
MAPPINGS = [
    (name, event["Properties"])
    for name, function in FUNCTIONS.items()
    for event in function["Events"].values()
    if event["Type"] == "SQS"
]


@pytest.mark.parametrize("name", [*TABLES, "PayloadBucket", "PayloadBucketPolicy", "EngineLogs"])
def test_what_says_what_has_run_outlives_the_engine(name: str) -> None:
    """But for a first deployment that fails, which leaves nothing behind."""
    assert RESOURCES[name]["DeletionPolicy"] == "RetainExceptOnCreate"
    assert RESOURCES[name]["UpdateReplacePolicy"] == "Retain"


@pytest.mark.parametrize("name", TABLES)
def test_table_has_the_keys_that_the_stores_use(name: str) -> None:
    """Recoverable to a point in time, paid by request, without a name that collides."""
    table = TABLES[name]
    indexes = table.get("GlobalSecondaryIndexes", [])
    found = {name: names(table["KeySchema"])} | {
        f"{name}.{each['IndexName']}": names(each["KeySchema"]) for each in indexes
    }

    assert found == {key: value for key, value in KEYS.items() if key.split(".")[0] == name}
    assert table["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert table["BillingMode"] == "PAY_PER_REQUEST"
    assert "TableName" not in table


def test_ticks_are_streamed_and_expire() -> None:
    """Runs are streamed too, and of other records only deleted keys of dynamic partitions expire."""
    streams = {
        name: table["StreamSpecification"]["StreamViewType"]
        for name, table in TABLES.items()
        if "StreamSpecification" in table
    }
    expiring = {
        name: table["TimeToLiveSpecification"]
        for name, table in TABLES.items()
        if "TimeToLiveSpecification" in table
    }

    assert streams == {"TicksTable": "NEW_IMAGE", "RunsTable": "NEW_AND_OLD_IMAGES"}
    expires = {"AttributeName": "expires_at", "Enabled": True}
    assert expiring == {"TicksTable": expires, "EventsTable": expires}


def test_stores_are_created_all_or_none() -> None:
    assert {RESOURCES[name]["Condition"] for name in [*TABLES, "PayloadBucket"]} == {"CreateStores"}


def test_queue_gives_a_message_up_after_its_function_would_have() -> None:
    """A throttled delivery is a receive, too: a message that was never handled must not become a dead letter."""
    for name, queue in QUEUES.items():
        if name != "DeadLetterQueue":
            assert queue["RedrivePolicy"]["maxReceiveCount"] >= 4 * MAX_RECEIVES
            assert queue["RedrivePolicy"]["deadLetterTargetArn"] == {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}
            assert queue["VisibilityTimeout"] == 6 * 60
        assert queue["SqsManagedSseEnabled"] is True


def test_each_polled_queue_takes_a_part_of_the_accounts_concurrency_only() -> None:
    """A new account has ten invocations at a time for everything."""
    assert len(MAPPINGS) == len(QUEUES) - 1
    for name, mapping in MAPPINGS:
        most = mapping["ScalingConfig"]["MaximumConcurrency"]
        assert most == ({"Ref": "MaxConcurrency"} if name in {"LaunchFunction", "RecordFunction"} else most)
        assert mapping["FunctionResponseTypes"] == ["ReportBatchItemFailures"]
    assert int(template.section("Parameters")["MaxConcurrency"]["Default"]) <= 5


def test_functions_may_send_messages_to_their_own_queues() -> None:
    """Lambda would end the 17th of a chain as a loop; hops.py bounds each chain at ten."""
    assert template.section("Globals")["Function"]["RecursiveLoop"] == "Allow"


def test_every_function_is_the_engines_own_and_logs_to_its_group() -> None:
    shared = template.section("Globals")["Function"]

    assert {each["CodeUri"] for each in FUNCTIONS.values()} == {
        f"../functions/engine/{step}" for step in ("dispatch", "launch", "record", "publish", "reconcile")
    }
    assert shared["LoggingConfig"]["LogGroup"] == {"Ref": "EngineLogs"}
    assert shared["Tags"] == {"treadle:engine": {"Ref": "EngineName"}}
    for folder in (each["CodeUri"] for each in FUNCTIONS.values()):
        assert (PATH.parent / folder / "app.py").is_file()


def test_layers_outlive_the_functions_that_use_them() -> None:
    """A rollback needs the version before."""
    layers = template.resources("AWS::Serverless::LayerVersion")

    assert {each["RetentionPolicy"] for each in layers.values()} == {"Retain"}


# ---- Rules


def test_rules_are_constant_in_number_and_none_has_a_wildcard() -> None:
    """300 rules, and 30 with wildcards, are all that the account's default bus takes, other software's included."""
    default = [name for name, rule in RULES.items() if "EventBusName" not in rule]

    assert sorted(default) == ["BatchRule", "EcsRule", "GlueRule", "StepFunctionsRule"]
    assert '"wildcard"' not in json.dumps(RULES)


STATUS_SAMPLES = {
    "StepFunctionsRule": ("aws.states", "Step Functions Execution Status Change"),
    "GlueRule": ("aws.glue", "Glue Job State Change"),
    "BatchRule": ("aws.batch", "Batch Job State Change"),
    "EcsRule": ("aws.ecs", "ECS Task State Change"),
}


@pytest.mark.parametrize("name", STATUS_SAMPLES)
def test_status_rule_takes_its_kind_and_hands_on_what_record_reads(name: str) -> None:
    """What a run was given, and has given, stays out of queues and logs."""
    source, detail_type = STATUS_SAMPLES[name]
    (target,) = RULES[name]["Targets"]
    paths = target["InputTransformer"]["InputPathsMap"].values()

    assert RULES[name]["EventPattern"]["source"] == [source]
    assert RULES[name]["EventPattern"]["detail-type"] == [detail_type]
    assert not [path for path in paths if path.endswith((".input", ".output", ".parameters", ".overrides"))]
    assert target["Arn"] == {"Fn::GetAtt": ["RecordQueue", "Arn"]}
    assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}}


SENT = [
    (rule, json.loads(record["body"]))
    for rule, (source, _) in {**STATUS_SAMPLES, "LambdaRule": ("lambda", "")}.items()
    for name, sample in samples().items()
    if name.startswith("record-")
    for record in sample["Records"]
    if json.loads(record["body"])["source"] == source
]


@pytest.mark.parametrize(("name", "body"), SENT, ids=[f"{name}-{body['id'][:8]}" for name, body in SENT])
def test_record_reads_what_a_status_rule_hands_on(name: str, body: dict[str, Any]) -> None:
    """The same change as from the whole event; a field that an event lacks is quoted, or the rest is no JSON."""
    transformer = RULES[name]["Targets"][0]["InputTransformer"]
    paths, text = transformer["InputPathsMap"], transformer["InputTemplate"]
    sent = handed_on(text, paths, body)

    assert set(re.findall(r"<(\w+)>", text)) == paths.keys()
    assert body["detail-type"] in RULES[name]["EventPattern"]["detail-type"]
    assert parse_status_change(sent) == parse_status_change(body)
    assert sent["detail"].keys() <= body["detail"].keys() | {"responsePayload"}


def test_record_receives_what_is_reported_and_what_other_engines_publish_of_assets() -> None:
    reports, joined = (RULES[name]["EventPattern"] for name in ("ReportsRule", "JoinedAssetsRule"))

    assert (reports["source"], joined["source"]) == ([REPORT_SOURCE], [SOURCE])
    assert reports["detail-type"] == [
        RUN_STATUS_REPORT,
        ASSET_MATERIALIZATION_REPORT,
        ASSET_OBSERVATION_REPORT,
    ]
    assert joined["detail-type"] == [ASSET_MATERIALIZED, ASSET_OBSERVED]


FIRST, SECOND = (f"6f1b1cc1-9f2b-5f0d-9a38-3c6d6a0f2f3e-{attempt}" for attempt in (1, 2))
"""The names of a run's first two attempts at their target."""
OTHER = "0d9f3f3c-2f0c-4a57-8a4e-7d0f6a1b2c31"
"""The name of an execution that others started."""

NEWS: list[tuple[str, dict[str, Any], bool]] = [
    *(
        ("StepFunctionsRule", {"name": name, "status": status, "redriveCount": redrives}, is_news)
        for name, status, redrives, is_news in (
            (FIRST, "RUNNING", 0, False),
            (FIRST, "RUNNING", 1, True),
            (FIRST, "SUCCEEDED", 0, True),
            (FIRST, "FAILED", 0, True),
            (FIRST, "TIMED_OUT", 0, True),
            (FIRST, "ABORTED", 0, True),
            (FIRST, "PENDING_REDRIVE", 0, True),
            (SECOND, "RUNNING", 0, True),
            (OTHER, "RUNNING", 0, True),
        )
    ),
    *(
        ("BatchRule", {"jobName": name, "status": status, "attempts": attempts}, is_news)
        for name in (FIRST, OTHER)
        for status, attempts, is_news in (
            ("SUBMITTED", [], True),
            ("PENDING", [], False),
            ("RUNNABLE", [], False),
            ("STARTING", [], False),
            ("RUNNING", [], False),
            ("RUNNING", [{"startedAt": 1, "stoppedAt": 2, "container": {"exitCode": 1}}], True),
            ("SUCCEEDED", [], True),
            ("FAILED", [], True),
        )
    ),
    ("EcsRule", {"group": FIRST, "startedBy": FIRST, "lastStatus": "RUNNING"}, True),
    ("EcsRule", {"group": FIRST, "startedBy": FIRST, "lastStatus": "PENDING"}, False),
    ("EcsRule", {"group": FIRST, "startedBy": FIRST, "lastStatus": "STOPPED"}, True),
    ("EcsRule", {"group": "service:web", "lastStatus": "STOPPED"}, False),
    ("GlueRule", {"jobName": "load", "jobRunId": "jr_1", "state": "SUCCEEDED"}, True),
]


@pytest.mark.parametrize(("name", "detail", "is_news"), NEWS)
def test_status_rule_takes_what_says_more_than_launch_has_recorded(
    name: str, detail: dict[str, Any], is_news: bool
) -> None:
    """LAUNCH records the start, and finds a lost one by its name for 89 days; ECS forgets it within the hour."""
    source, detail_type = STATUS_SAMPLES[name]
    event = {"source": source, "detail-type": detail_type, "detail": detail}

    assert EventPattern(RULES[name]["EventPattern"]).matches(event) is is_news


def test_each_kind_of_target_that_reports_has_a_rule() -> None:
    assert {name for name, _ in SENT} == {*STATUS_SAMPLES, "LambdaRule"}


def admitted(policy: str) -> tuple[list[str], dict[str, Any]]:
    """Return the ARNs of rules that a queue's policy admits, and the statement's conditions."""
    document = RESOURCES[policy]["Properties"]["PolicyDocument"]
    statement = deployed().value(document["Statement"])[0]
    assert statement["Principal"] == {"Service": "events.amazonaws.com"}
    return statement["Condition"]["ArnLike"]["aws:SourceArn"], statement["Condition"]


@pytest.mark.parametrize("policy", ["RecordQueuePolicy", "DeadLetterQueuePolicy"])
def test_queue_admits_rules_of_this_account_only(policy: str) -> None:
    """EventBridge drops what a policy does not admit, and says nothing."""
    arns, condition = admitted(policy)

    assert condition["StringEqualsIfExists"] == {"aws:SourceAccount": "123456789012"}
    assert all("*" not in arn or ":123456789012:rule/treadle-main/*" in arn for arn in arns)


def test_every_rule_is_admitted_to_its_target_and_to_the_dead_letters() -> None:
    record = references(RESOURCES["RecordQueuePolicy"])
    dead_letters = references(RESOURCES["DeadLetterQueuePolicy"])

    assert set(RULES) <= record
    assert {name for name, rule in RULES.items() if "EventBusName" not in rule} <= dead_letters
    assert any(arn.endswith("rule/treadle-main/*") for arn in admitted("DeadLetterQueuePolicy")[0])


# ---- Alarms


def test_four_alarms_are_always_there_and_nothing_else_that_costs_by_the_month() -> None:
    always = {name for name in ALARMS if "Condition" not in RESOURCES[name]}
    dashboards = template.resources("AWS::CloudWatch::Dashboard")

    assert always == BASIC
    assert {RESOURCES[name]["Condition"] for name in [*(ALARMS.keys() - always), *dashboards]} == {
        "DetailedMonitoring"
    }


def test_an_idle_engine_with_ten_sensors_costs_three_dollars_a_month_at_most() -> None:
    """At list price, every line named, with what is really deployed."""
    lines = cost.per_month(cost.Workload(sensors=10), cost.Prices())

    assert list(lines) == ["ticks of 10 sensors", "polls of 4 queues", "RECONCILE", "4 alarms"]
    assert sum(lines.values()) <= 3.00
    assert (len(MAPPINGS), len(BASIC)) == (cost.ENGINE_QUEUES, cost.BASIC_ALARMS)
    assert len(ALARMS) == cost.DETAILED_ALARMS


def test_every_metric_of_an_alarm_or_the_dashboard_is_one_that_the_code_writes() -> None:
    dashboard = template.resources("AWS::CloudWatch::Dashboard")["Dashboard"]["DashboardBody"]["Fn::Sub"]
    body = json.loads(re.sub(r"\$\{[\w.:]+\}", "name", dashboard))
    shown = [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"]]
    searched = [
        re.fullmatch(
            r"SEARCH\('\{Treadle,(sensor|job|component),service\} MetricName=\"(\w+)\" service=\"name\"', '\w+', 300\)",
            metric[0]["expression"],
        )
        for metric in shown
        if "expression" in metric[0]
    ]
    named = {metric[1] for metric in shown if metric[0] == "Treadle"} | {each[2] for each in searched if each}
    alarmed = {
        alarm["MetricName"]: alarm["Dimensions"]
        for alarm in ALARMS.values()
        if alarm["Namespace"] == "Treadle"
    }

    assert all(searched)
    assert named | alarmed.keys() <= written_metrics()
    assert (
        metric_names.FOR_A_PERSON | {metric_names.ACTION_NEEDED, metric_names.TICKS_FAILED} <= alarmed.keys()
    )
    assert all(each == [{"Name": "service", "Value": {"Ref": "EngineName"}}] for each in alarmed.values())


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_notifies_and_is_not_red_before_anything_has_happened(name: str) -> None:
    """An alarm that takes missing data for breaching goes off at each first deployment."""
    alarm = ALARMS[name]
    actions = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}

    assert alarm["AlarmActions"] == alarm["OKActions"] == actions
    assert alarm["TreatMissingData"] == ("missing" if name == "ReconcileAlarm" else "notBreaching")
    assert len(alarm["AlarmDescription"]) > 20


def test_silence_of_reconcile_notifies() -> None:
    """Nothing else would: it is what notices that everything else is silent."""
    assert "InsufficientDataActions" in ALARMS["ReconcileAlarm"]


def test_age_alarms_are_beyond_every_deliberate_delay() -> None:
    """A message is delayed when it is sent, and one that fails comes again later and later."""
    longest = MAX_DELAY_SECONDS + 1.25 * sum(RETRY_SECONDS)
    aged = {
        name: each for name, each in ALARMS.items() if each["MetricName"] == "ApproximateAgeOfOldestMessage"
    }

    assert len(aged) == len(MAPPINGS)
    assert all(each["Threshold"] > longest for each in aged.values())


def test_reconcile_fills_no_queue_when_it_cannot_run() -> None:
    """It comes each minute: an account without concurrency would have a dead letter each minute."""
    function = FUNCTIONS["ReconcileFunction"]

    assert function["EventInvokeConfig"] == {"MaximumRetryAttempts": 0, "MaximumEventAgeInSeconds": 60}
    assert "DeadLetterConfig" not in function["Events"]["Minute"]["Properties"]
    assert function["Events"]["Minute"]["Properties"]["OmitName"] is True


def test_reconcile_runs_at_once_when_a_project_changes_the_registry() -> None:
    pattern = FUNCTIONS["ReconcileFunction"]["Events"]["Registry"]["Properties"]["Pattern"]
    names_ = [deployed().value(each["prefix"]) for each in pattern["detail"]["name"]]

    assert names_ == ["/treadle/main/sensors/", "/treadle/main/jobs/", "/treadle/main/pools/"]
    event = samples()["reconcile-registry"]
    assert (pattern["source"], pattern["detail-type"]) == ([event["source"]], [event["detail-type"]])
    assert set(pattern["detail"]["operation"]) == CHANGES
    assert changed_entry(event, "shop") == ("jobs/process_file", False)


def test_every_role_has_the_permissions_boundary() -> None:
    for role in template.resources(ROLE).values():
        assert role["PermissionsBoundary"]["Fn::If"][:2] == [
            "HasPermissionsBoundary",
            {"Ref": "PermissionsBoundaryArn"},
        ]
