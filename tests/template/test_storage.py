"""Tables, queues, rules, buckets, alarms, and the stack's size."""

import json
import re
from typing import Any

import pytest

from tests.template.model import FUNCTION, SHIPPED_SENSORS, logical_prefix, read, references, samples
from treadle.adapters.dynamodb.ticks import RETENTION_SECONDS
from treadle.engine.outcomes import Decision
from treadle.engine.reconcile import RETRY_MS
from treadle.operate import cost

template = read()
RESOURCES = template.section("Resources")
TABLES = template.resources("AWS::DynamoDB::Table")
QUEUES = template.resources("AWS::SQS::Queue")
RULES = template.resources("AWS::Events::Rule")
ALARMS = template.resources("AWS::CloudWatch::Alarm")
EVALUATORS = template.evaluators()
RESOURCE_LIMIT = 500
SENSORS_PLANNED = 33

KEYS = {
    "SensorsTable": ["sensor"],
    "TicksTable": ["sensor", "tick_id"],
    "TicksTable.pending": ["pending", "pending_since"],
    "RunsTable": ["run_id"],
    "RunsTable.watched": ["watch", "next_at"],
    "RunsTable.by_job": ["job", "created_at"],
    "RunsTable.by_job_end": ["job_ended", "updated_at"],
    "RunsTable.by_sensor": ["sensor", "created_at"],
    "EventsTable": ["asset_key", "item"],
}
NUMBERS = {"pending_since", "next_at", "created_at", "updated_at"}


def names(schema: list[dict[str, str]]) -> list[str]:
    """A key schema as attribute names, hash key first."""
    assert [key["KeyType"] for key in schema] == ["HASH", "RANGE"][: len(schema)]
    return [key["AttributeName"] for key in schema]


def policies_of(queue: str) -> list[dict[str, Any]]:
    """The statements of a queue's resource policy."""
    return [
        statement
        for policy in template.resources("AWS::SQS::QueuePolicy").values()
        if policy["Queues"] == [{"Ref": queue}]
        for statement in policy["PolicyDocument"]["Statement"]
    ]


@pytest.mark.parametrize("name", TABLES)
def test_table_outlives_the_stack_and_can_be_restored(name: str) -> None:
    """Retained, recoverable to a point in time, paid by request, under a name that no second stack collides with."""
    assert RESOURCES[name]["DeletionPolicy"] == RESOURCES[name]["UpdateReplacePolicy"] == "Retain"
    assert TABLES[name]["PointInTimeRecoverySpecification"] == {"PointInTimeRecoveryEnabled": True}
    assert TABLES[name]["BillingMode"] == "PAY_PER_REQUEST"
    assert "TableName" not in TABLES[name]


def test_tables_have_the_keys_that_the_library_uses() -> None:
    """Hash and range of each table and index; times are numbers, all else strings; indexes project keys only."""
    found = {}
    for name, table in TABLES.items():
        found[name] = names(table["KeySchema"])
        for index in table.get("GlobalSecondaryIndexes", []):
            found[f"{name}.{index['IndexName']}"] = names(index["KeySchema"])
            assert index["Projection"] == {"ProjectionType": "KEYS_ONLY"}
        for attribute in table["AttributeDefinitions"]:
            assert attribute["AttributeType"] == ("N" if attribute["AttributeName"] in NUMBERS else "S")

    assert found == KEYS


def test_ticks_are_streamed_and_expire() -> None:
    """DISPATCH reads new images; dispatched ticks go by TTL."""
    assert TABLES["TicksTable"]["StreamSpecification"] == {"StreamViewType": "NEW_IMAGE"}
    assert TABLES["TicksTable"]["TimeToLiveSpecification"] == {"AttributeName": "expires_at", "Enabled": True}


def test_what_runs_reach_is_told_by_what_they_had_reached() -> None:
    """PUBLISH compares both images."""
    assert TABLES["RunsTable"]["StreamSpecification"] == {"StreamViewType": "NEW_AND_OLD_IMAGES"}


@pytest.mark.parametrize("name", QUEUES)
def test_queue_is_encrypted(name: str) -> None:
    """Messages name objects and runs."""
    assert QUEUES[name]["SqsManagedSseEnabled"] is True


def test_one_queue_takes_all_dead_letters() -> None:
    """It keeps them for 14 days, and every other queue redrives to it."""
    without = [name for name, queue in QUEUES.items() if "RedrivePolicy" not in queue]

    assert without == ["DeadLetterQueue"]
    assert QUEUES["DeadLetterQueue"]["MessageRetentionPeriod"] == 14 * 24 * 3600


def test_queue_policies_let_events_in_from_their_rules_only() -> None:
    """A queue that is a rule's target takes messages from the rules that have it as target, and from nobody else."""
    sources: dict[str, set[str]] = {}
    for name, rule in RULES.items():
        for target in rule["Targets"]:
            # Else it is a bus, which a parameter gives, or a function.
            if target["Arn"].get("Fn::GetAtt", [""])[0] in QUEUES:
                sources.setdefault(target["Arn"]["Fn::GetAtt"][0], set()).add(name)

    assert sources["RecordQueue"] >= {"ReportsRule", "StateMachinesRule"}
    for queue, rules in sources.items():
        (statement,) = policies_of(queue)
        assert statement["Principal"] == {"Service": "events.amazonaws.com"}
        assert statement["Action"] == "sqs:SendMessage"
        assert statement["Resource"] == {"Fn::GetAtt": [queue, "Arn"]}
        assert statement["Condition"].keys() == {"ArnEquals"}
        assert statement["Condition"]["ArnEquals"].keys() == {"aws:SourceArn"}
        assert references(statement["Condition"]) - {"AWS::NoValue"} == rules


def test_events_that_cannot_be_delivered_become_dead_letters() -> None:
    """Each rule has the dead-letter queue, whose policy names each rule and nothing else."""
    (statement,) = policies_of("DeadLetterQueue")
    sources = statement["Condition"]["ArnEquals"]["aws:SourceArn"]

    assert references(sources) - {"AWS::NoValue"} == set(RULES)
    for rule in RULES.values():
        for target in rule["Targets"]:
            assert target["DeadLetterConfig"] == {"Arn": {"Fn::GetAtt": ["DeadLetterQueue", "Arn"]}}


def test_object_rule_filters_prefix_and_suffix_together() -> None:
    """One wildcard: two filters in one field would mean either."""
    detail = RULES["NewObjectsRule"]["EventPattern"]["detail"]

    assert detail["object"]["key"] == [{"wildcard": {"Fn::Sub": "${NewObjectsPrefix}*${NewObjectsSuffix}"}}]
    assert references(detail["bucket"]["name"]) == {"ObjectsBucket", "NewObjectsBucket"}


def test_input_and_output_of_executions_stay_out_of_queues() -> None:
    """The transformer passes ids and status on; what it passes is what the samples hold."""
    (target,) = RULES["StateMachinesRule"]["Targets"]
    transformer = target["InputTransformer"]
    paths, text = transformer["InputPathsMap"], transformer["InputTemplate"]
    filled = json.loads(re.sub(r'"?<(\w+)>"?', r'"\1"', text))
    bodies = [
        json.loads(record["body"])
        for name, sample in samples().items()
        if name.startswith("record-")
        for record in sample["Records"]
        if '"aws.states"' in record["body"]
    ]

    assert not [path for path in paths.values() if re.search(r"input|output|\$$|detail$", path)]
    assert set(re.findall(r"<(\w+)>", text)) == paths.keys()
    assert bodies
    for body in bodies:
        assert body.keys() == filled.keys()
        assert body["detail"].keys() == filled["detail"].keys()


def test_absent_dates_do_not_break_the_message() -> None:
    """An unquoted placeholder without a value leaves no JSON behind; a running execution has no stopDate."""
    (target,) = RULES["StateMachinesRule"]["Targets"]
    text = target["InputTransformer"]["InputTemplate"]

    assert '"<startDate>"' in text
    assert '"<stopDate>"' in text


def test_created_bucket_is_private_announces_objects_and_is_kept() -> None:
    """No public access, TLS only, EventBridge on, retained."""
    bucket, body = template.resources("AWS::S3::Bucket")["ObjectsBucket"], RESOURCES["ObjectsBucket"]
    (statement,) = RESOURCES["ObjectsBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]

    assert body["DeletionPolicy"] == body["UpdateReplacePolicy"] == "Retain"
    assert bucket["NotificationConfiguration"] == {"EventBridgeConfiguration": {"EventBridgeEnabled": True}}
    assert set(bucket["PublicAccessBlockConfiguration"].values()) == {True}
    assert len(bucket["PublicAccessBlockConfiguration"]) == 4
    assert statement["Effect"] == "Deny"
    assert statement["Condition"]["Bool"] == {"aws:SecureTransport": "false"}


def test_outcomes_are_private_encrypted_and_expire_after_their_ticks() -> None:
    """No public access, TLS only, encrypted, gone a day after a tick's record may be."""
    bucket = template.resources("AWS::S3::Bucket")["OutcomesBucket"]
    (statement,) = RESOURCES["OutcomesBucketPolicy"]["Properties"]["PolicyDocument"]["Statement"]
    (rule,) = bucket["LifecycleConfiguration"]["Rules"]
    (encryption,) = bucket["BucketEncryption"]["ServerSideEncryptionConfiguration"]

    assert bucket["PublicAccessBlockConfiguration"] == {
        "BlockPublicAcls": True,
        "BlockPublicPolicy": True,
        "IgnorePublicAcls": True,
        "RestrictPublicBuckets": True,
    }
    assert (statement["Effect"], statement["Condition"]["Bool"]) == (
        "Deny",
        {"aws:SecureTransport": "false"},
    )
    assert references(statement["Resource"]) == {"OutcomesBucket"}
    assert encryption == {"ServerSideEncryptionByDefault": {"SSEAlgorithm": "AES256"}}
    assert rule == {"Id": "expire", "Status": "Enabled", "ExpirationInDays": 91}
    assert rule["ExpirationInDays"] * 86_400 > RETENTION_SECONDS


def watched(metric: str) -> set[str]:
    """Logical ids of what the alarms on a metric look at."""
    found = [alarm["Dimensions"] for alarm in ALARMS.values() if alarm["MetricName"] == metric]
    return set().union(*map(references, found))


def test_every_trouble_has_its_alarm() -> None:
    """Dead letters; age in each other queue; lag of each stream; errors of each function but the console's."""
    streams = {
        name
        for name, function in template.resources(FUNCTION).items()
        if "DynamoDB" in {event["Type"] for event in function.get("Events", {}).values()}
    }

    assert watched("ApproximateNumberOfMessagesVisible") == {"DeadLetterQueue"}
    assert watched("ApproximateAgeOfOldestMessage") == QUEUES.keys() - {"DeadLetterQueue"}
    assert watched("IteratorAge") == streams
    evaluators = {f"{logical_prefix(name)}Function" for name in EVALUATORS}
    steps = {f"{name}Function" for name in ("Dispatch", "Launch", "Record", "Publish", "Reconcile")}
    assert watched("Errors") == evaluators | steps


def test_the_step_with_the_longest_waits_is_watched_for_chains_that_lambda_ended() -> None:
    """Lambda's "recursive loop detection" ends a chain of messages after 16 invocations or so."""
    assert watched("RecursiveInvocationsDropped") == {"LaunchFunction"}


def test_no_function_of_the_stack_is_ended_as_a_loop() -> None:
    assert template.section("Globals")["Function"]["RecursiveLoop"] == "Allow"


@pytest.mark.parametrize(
    "metric",
    ["paused", "set_aside", "refused", "dispatch.HELD", "tick.FAILURE", "launch.FAILURE", "reconcile.failed"],
)
def test_what_waits_for_a_person_has_an_alarm_in_this_stack_only(metric: str) -> None:
    """Treadle's own metrics; their dimension keeps two stacks apart."""
    [alarm] = [alarm for alarm in ALARMS.values() if alarm["MetricName"] == metric]

    assert alarm["Namespace"] == "Treadle"
    assert alarm["Dimensions"] == [{"Name": "service", "Value": {"Ref": "AWS::StackName"}}]


@pytest.mark.parametrize("tries", [RETRY_MS + pass_ms for pass_ms in (0, 30_000, 60_000)])
def test_alarm_on_reconciles_failures_sees_a_single_tick_that_fails_at_each_try(tries: int) -> None:
    """It is tried again after a quarter of an hour, at the next pass, of which there is one each minute."""
    alarm = ALARMS["ReconcileFailuresAlarm"]
    period, of, needed = (alarm[name] for name in ("Period", "EvaluationPeriods", "DatapointsToAlarm"))
    failing = {number * tries // (1000 * period) for number in range(40)}

    assert all(len(failing & set(range(end - of, end))) >= needed for end in range(of, 32))
    assert needed > 2, "a short outage is over before"


@pytest.mark.parametrize("name", ALARMS)
def test_alarm_tells_the_topic(name: str) -> None:
    """When it starts and when it is over."""
    told = {"Fn::If": ["HasAlarmTopic", [{"Ref": "AlarmTopicArn"}], {"Ref": "AWS::NoValue"}]}

    assert ALARMS[name]["AlarmActions"] == ALARMS[name]["OKActions"] == told
    assert ALARMS[name]["AlarmDescription"]


@pytest.mark.parametrize("name", ALARMS)
def test_no_data_is_trouble_exactly_where_a_schedule_brings_some_each_minute(name: str) -> None:
    """A function that its schedule no longer starts counts no errors either: that is how it is noticed."""
    functions = template.resources(FUNCTION)
    watched_by_it = references(ALARMS[name]["Dimensions"]) & functions.keys()
    ticks = any(
        event["Properties"].get("ScheduleExpression") == "cron(* * * * ? *)"
        for each in watched_by_it
        for event in functions[each]["Events"].values()
    )
    silent = "breaching" if ticks and ALARMS[name]["MetricName"] == "Errors" else "notBreaching"

    assert ALARMS[name]["TreatMissingData"] == silent


def test_cost_model_counts_the_alarms_and_queues_that_are_there() -> None:
    """The console is no part of it: it costs what people ask of it."""
    prefixes = (*map(logical_prefix, EVALUATORS), "Console")
    alarms = [name for name in ALARMS if not name.startswith(prefixes)]
    queues = QUEUES.keys() - {"DeadLetterQueue"} - {f"{prefix}Queue" for prefix in prefixes}

    assert (len(alarms), len(queues)) == (cost.ENGINE_ALARMS, cost.ENGINE_QUEUES)
    others = [name for name in ALARMS if name.startswith("Console")]
    assert len(ALARMS) - len(alarms) - len(others) == cost.SENSOR_ALARMS * len(EVALUATORS)


def test_dashboard_shows_this_stack_s_own_metrics() -> None:
    """Its body is JSON once names are filled in, and each of Treadle's metrics in it is one that the code writes."""
    [dashboard] = template.resources("AWS::CloudWatch::Dashboard").values()
    body = json.loads(re.sub(r"\$\{[\w.:]+\}", "name", dashboard["DashboardBody"]["Fn::Sub"]))
    shown = [metric for widget in body["widgets"] for metric in widget["properties"]["metrics"]]
    decisions = "|".join(Decision)

    named = [metric[1] for metric in shown if metric[0] == "Treadle"]
    assert all(re.fullmatch(rf"(tick|launch|dispatch)\.({decisions}|latency)", name) for name in named)
    assert {"tick.FAILURE", "launch.LAUNCHED", "launch.latency"} <= set(named)
    searched = " ".join(metric[0]["expression"] for metric in shown if isinstance(metric[0], dict))
    assert all(word in searched for word in ("event_lag", "THROTTLED", "RETRIED"))
    assert all(each["properties"]["region"] == "name" for each in body["widgets"])
    assert "${AWS::StackName}" in dashboard["DashboardBody"]["Fn::Sub"]


def expanded(logical_id: str) -> int:
    """How many resources SAM makes of one: a function brings its sources' and its asynchronous settings'."""
    properties: dict[str, Any] = RESOURCES[logical_id].get("Properties", {})
    if RESOURCES[logical_id]["Type"] != FUNCTION:
        return 1
    events = properties.get("Events", {}).values()
    roles = len([e for e in events if e["Type"] == "ScheduleV2" and "RoleArn" not in e["Properties"]])
    return 1 + len(events) + roles + int("EventInvokeConfig" in properties)


def belongs_to(logical_id: str, sensor: str) -> bool:
    """Whether a resource is the sensor's own, and not that of one whose name begins like it."""
    longest = max(
        (p for p in map(logical_prefix, EVALUATORS) if logical_id.startswith(p)), key=len, default=""
    )
    return longest == logical_prefix(sensor)


def test_about_forty_sensors_fit_into_one_stack() -> None:
    """CloudFormation takes 500 resources: what a stack has anyway, and so many times the largest sensor's."""
    sizes = {}
    for sensor in EVALUATORS:
        own = [name for name in RESOURCES if belongs_to(name, sensor)]
        sizes[sensor] = sum(map(expanded, own))
    shared = sum(map(expanded, RESOURCES)) - sum(sizes.values())
    # What begins like a sensor may be its job's: the shipped sensors have none of their own.
    largest = max(sizes[sensor] for sensor in SHIPPED_SENSORS)

    assert shared + SENSORS_PLANNED * largest < RESOURCE_LIMIT
