"""Each of many breakages of the deployed stack is found by `treadle doctor`; of the healthy one nothing is."""

import contextlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from tests.e2e.deployment import JOB, SENSOR, Deployed, eventually
from tests.e2e.policies import without
from tests.support.project import run
from treadle.adapters import clients
from treadle.model.registry import path_of

OWNER = f"sensor {SENSOR}"
OF_SENSOR, OF_JOB = f"sensors/{SENSOR}", f"jobs/{JOB}"
"""Where their entries are below the engine's path."""

MALFORMED = "{"
Finding = dict[str, Any]
Breakage = Callable[[Deployed], contextlib.AbstractContextManager[None]]


def examined(deployed: Deployed) -> tuple[int, list[Finding]]:
    """Return the exit status, and what is found."""
    clients.forget()
    done = run("doctor", "--stack", deployed.name, "--json")
    assert done.exit_code in {0, 1}, done.output
    assert done.stdout, done.output
    findings: list[Finding] = json.loads(done.stdout)
    return done.exit_code, findings


def wrong(findings: list[Finding]) -> list[Finding]:
    return [each for each in findings if each["severity"] != "ok"]


def quieten(deployed: Deployed) -> None:
    """Remove dead letters, logs and alarms of other tests: logs show permissions that were taken away."""
    deployed.dead_letters("")
    deployed.forget_logs()
    cloudwatch = deployed.client("cloudwatch")
    for alarm in cloudwatch.describe_alarms(StateValue="ALARM")["MetricAlarms"]:
        # The local cloud's alarms know no dimensions: what one test breaks sets off all of a kind.
        cloudwatch.set_alarm_state(AlarmName=alarm["AlarmName"], StateValue="OK", StateReason="by a test")


@pytest.fixture(scope="module", autouse=True)
def notified(deployed: Deployed) -> Iterator[None]:
    """Somebody has subscribed to the project's alerts, as in a healthy deployment."""
    sqs, sns = deployed.client("sqs"), deployed.client("sns")
    url = sqs.create_queue(QueueName="notified-by-alerts")["QueueUrl"]
    arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
    topic = deployed.physical_id("Alerts")
    subscription = sns.subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn, ReturnSubscriptionArn=True)
    yield
    sns.unsubscribe(SubscriptionArn=subscription["SubscriptionArn"])
    sqs.delete_queue(QueueUrl=url)


@pytest.fixture(autouse=True)
def ticking(deployed: Deployed) -> Iterator[None]:
    """Both schedules are on meanwhile, as they are in a healthy stack."""
    quieten(deployed)
    deployed.schedule(enabled=True)
    deployed.schedule("Reconcile", enabled=True)
    yield
    deployed.schedule(enabled=False)
    deployed.schedule("Reconcile", enabled=False)


# ---- Breakages, each of which heals on leaving


@contextlib.contextmanager
def rule_disabled(deployed: Deployed) -> Iterator[None]:
    with deployed.without_events():
        yield


def permission_removed(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return without(deployed, "ProcessFileJobRole", "states:StartExecution", "")


def permission_of_sensors_removed(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return without(deployed, "EvaluatorPolicy", "dynamodb:PutItem", "OwnTicks")


def permission_of_a_step_removed(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return without(deployed, "ReconcileRole", "ssm:GetParametersByPath", "RegistryEntries")


@contextlib.contextmanager
def mapping_disabled(deployed: Deployed) -> Iterator[None]:
    lambdas = deployed.client("lambda")
    [mapping] = lambdas.list_event_source_mappings(FunctionName=deployed.outputs["LaunchFunctionName"])[
        "EventSourceMappings"
    ]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    try:
        yield
    finally:
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextlib.contextmanager
def old_message(deployed: Deployed) -> Iterator[None]:
    """Publish the age of a message that is not received, as the local cloud measures none."""
    sqs, url = deployed.client("sqs"), deployed.physical_id("RecordQueue")
    lambdas = deployed.client("lambda")
    [mapping] = lambdas.list_event_source_mappings(FunctionName=deployed.outputs["RecordFunctionName"])[
        "EventSourceMappings"
    ]
    lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=False)
    sqs.send_message(QueueUrl=url, MessageBody="{}")
    name = url.rpartition("/")[2]
    age = {
        "MetricName": "ApproximateAgeOfOldestMessage",
        "Dimensions": [{"Name": "QueueName", "Value": name}],
        "Value": 4_000,
        "Timestamp": time.time() - 300,
    }
    deployed.client("cloudwatch").put_metric_data(Namespace="AWS/SQS", MetricData=[age])
    try:
        yield
    finally:
        sqs.purge_queue(QueueUrl=url)
        lambdas.update_event_source_mapping(UUID=mapping["UUID"], Enabled=True)


@contextlib.contextmanager
def schedule_off(deployed: Deployed) -> Iterator[None]:
    deployed.schedule("Reconcile", enabled=False)
    yield


@contextlib.contextmanager
def silent_bucket(deployed: Deployed) -> Iterator[None]:
    s3 = deployed.client("s3")
    s3.put_bucket_notification_configuration(Bucket=deployed.bucket, NotificationConfiguration={})
    try:
        yield
    finally:
        announced: dict[str, Any] = {"EventBridgeConfiguration": {}}
        s3.put_bucket_notification_configuration(Bucket=deployed.bucket, NotificationConfiguration=announced)


@contextlib.contextmanager
def dead_letter(deployed: Deployed) -> Iterator[None]:
    deployed.client("sqs").send_message(QueueUrl=deployed.outputs["DeadLetterQueueUrl"], MessageBody="{}")
    yield
    deployed.dead_letters("")


@contextlib.contextmanager
def dead_letter_of_a_project(deployed: Deployed) -> Iterator[None]:
    deployed.client("sqs").send_message(QueueUrl=deployed.physical_id("DeadLetters"), MessageBody="{}")
    yield
    deployed.dead_letters("")


@contextlib.contextmanager
def changed_environment(
    deployed: Deployed, function: str, change: Callable[[dict[str, str]], Mapping[str, str]]
) -> Iterator[None]:
    """Change a function's settings meanwhile."""
    lambdas, name = deployed.client("lambda"), deployed.function(function)
    before = lambdas.get_function_configuration(FunctionName=name)["Environment"]["Variables"]
    lambdas.update_function_configuration(
        FunctionName=name, Environment={"Variables": {**before, **change(before)}}
    )
    try:
        yield
    finally:
        lambdas.update_function_configuration(FunctionName=name, Environment={"Variables": before})


@contextlib.contextmanager
def registered(deployed: Deployed, path: str, text: str) -> Iterator[None]:
    """Register an entry of a project meanwhile; RECONCILE copies it, and removes it afterwards."""
    ssm, name = deployed.client("ssm"), f"{path_of(deployed.contract['engine'])}{path}"
    entries = ssm.get_parameters(Names=[name])["Parameters"]
    ssm.put_parameter(Name=name, Value=text, Type="String", Overwrite=True)
    eventually(lambda: is_taken_over(deployed, path, text), f"{path} is taken over", seconds=100)
    try:
        yield
    finally:
        if entries:
            ssm.put_parameter(Name=name, Value=entries[0]["Value"], Type="String", Overwrite=True)
        else:
            ssm.delete_parameter(Name=name)
        before = entries[0]["Value"] if entries else ""
        eventually(lambda: is_taken_over(deployed, path, before), f"{path} is taken back", seconds=100)


def is_taken_over(deployed: Deployed, path: str, text: str) -> bool:
    """Return whether the engine's copy has an entry as it is now, or that it cannot be taken."""
    kept = deployed.stores.registry.copy().entries.get(path)
    if not text:
        return kept is None or kept.is_deleted
    return kept is not None and (bool(kept.problem) if text == MALFORMED else kept.text == text)


def entry(deployed: Deployed, path: str, **fields: str) -> str:
    """Return an entry with other values of some fields."""
    [found] = deployed.client("ssm").get_parameters(Names=[f"{path_of(deployed.contract['engine'])}{path}"])[
        "Parameters"
    ]
    return json.dumps({**json.loads(found["Value"]), **fields})


def job_without_address(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return registered(deployed, OF_JOB, entry(deployed, OF_JOB, arn=""))


def target_gone(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return registered(deployed, OF_JOB, entry(deployed, OF_JOB, arn=f"{deployed.machine}-gone"))


def entry_malformed(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return registered(deployed, OF_JOB, MALFORMED)


def job_unknown(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return registered(deployed, OF_SENSOR, entry(deployed, OF_SENSOR, jobs=f"{JOB},no_such_job"))


def job_of_another_project(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return registered(deployed, OF_JOB, entry(deployed, OF_JOB, project="billing"))


def function_gone(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    gone = {"project": "orders", "function": "orders-Function-1X", "kind": "schedule"}
    return registered(deployed, "sensors/orders", json.dumps(gone))


def another_engine(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    other = {"TREADLE_NAMESPACE": "000000000000/us-east-1/another"}
    return changed_environment(deployed, "LargeFiles", lambda before: other)


@contextlib.contextmanager
def old_copy(deployed: Deployed) -> Iterator[None]:
    """Leave a copy of the registry as if RECONCILE had not run for a long time."""
    deployed.schedule("Reconcile", enabled=False)
    registry = deployed.stores.registry

    def aged() -> bool:
        return registry.replace(replace(registry.copy(), listed_at=1_795_370_400_000))

    eventually(aged, "the copy is old")
    try:
        yield
    finally:
        deployed.invoke("Reconcile", {"treadle": "reconcile"})


def function_that_does_not_begin(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return changed_environment(deployed, "NewObjects", lambda before: {"TREADLE_S3_IDENTITY": "colour"})


@contextlib.contextmanager
def handled_by(deployed: Deployed, function: str, handler: str) -> Iterator[None]:
    """Change a function's handler meanwhile, to a module or a name that does not exist."""
    lambdas, name = deployed.client("lambda"), deployed.function(function)
    before = lambdas.get_function_configuration(FunctionName=name)["Handler"]
    lambdas.update_function_configuration(FunctionName=name, Handler=handler)
    try:
        yield
    finally:
        lambdas.update_function_configuration(FunctionName=name, Handler=before)


def module_that_is_missing(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return handled_by(deployed, "LargeFiles", "nowhere.handler")


def handler_that_is_missing(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return handled_by(deployed, "NewObjects", "app.nothing")


@contextlib.contextmanager
def alert_topic_missing(deployed: Deployed) -> Iterator[None]:
    topic = {"TREADLE_ALERT_SNS_TOPIC": "arn:aws:sns:us-east-1:000000000000:nobody-has-made-it"}
    with changed_environment(deployed, "NewObjects", lambda before: topic):
        yield


def bucket_gone(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return changed_environment(
        deployed, "NewObjects", lambda before: {"TREADLE_S3_BUCKET": "treadle-no-such-bucket"}
    )


def is_at_rest(deployed: Deployed) -> bool:
    """Return whether nothing has changed the sensor's state for a while."""
    before = deployed.stores.sensors.get(SENSOR)
    time.sleep(4)
    return before.lease_owner is None and before == deployed.stores.sensors.get(SENSOR)


@contextlib.contextmanager
def sensor_state(deployed: Deployed, **attributes: Mapping[str, str]) -> Iterator[None]:
    """Of the sensor is stored what such a breakage leaves behind."""
    store, table = deployed.client("dynamodb"), deployed.outputs["SensorsTableName"]
    key = {"sensor": {"S": SENSOR}}
    deployed.schedule(enabled=False)
    eventually(lambda: is_at_rest(deployed), "no tick is in progress that would write it again")
    before = store.get_item(TableName=table, Key=key).get("Item")
    store.put_item(TableName=table, Item={**(before or key), **attributes})
    try:
        yield
    finally:
        store.delete_item(TableName=table, Key=key)
        if before:
            store.put_item(TableName=table, Item=before)


def failing_sensor(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return sensor_state(deployed, failure_streak={"N": "4"})


def paused_sensor(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return sensor_state(deployed, status={"S": "STOPPED"}, paused={"S": "Paused after 5 failures in a row"})


def sensor_that_does_not_tick(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    # Started by an operator long ago: else the last deployment, a moment ago, counts as its start.
    long_ago = {"N": "1795370400000"}
    return sensor_state(
        deployed,
        status={"S": "RUNNING"},
        started_at=long_ago,
        last_nominal=long_ago,
        failure_streak={"N": "0"},
    )


@contextlib.contextmanager
def role_with_a_sensors_tag(deployed: Deployed) -> Iterator[None]:
    """Create a role with the sensor's permissions meanwhile."""
    iam, policy = deployed.client("iam"), deployed.physical_id("EvaluatorPolicy")
    trusted = {
        "Effect": "Allow",
        "Action": "sts:AssumeRole",
        "Principal": {"Service": "lambda.amazonaws.com"},
    }
    iam.create_role(
        RoleName="forger",
        AssumeRolePolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [trusted]}),
        Tags=[{"Key": "treadle:sensor", "Value": SENSOR}],
    )
    iam.attach_role_policy(RoleName="forger", PolicyArn=policy)
    try:
        yield
    finally:
        iam.detach_role_policy(RoleName="forger", PolicyArn=policy)
        iam.delete_role(RoleName="forger")


def alarm_gone_off(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return alarm(deployed, "ActionNeededAlarm")


def alarm_of_a_project_gone_off(deployed: Deployed) -> contextlib.AbstractContextManager[None]:
    return alarm(deployed, "DeadLettersAlarm")


@contextlib.contextmanager
def alarm(deployed: Deployed, logical_id: str) -> Iterator[None]:
    cloudwatch, name = deployed.client("cloudwatch"), deployed.physical_id(logical_id)
    cloudwatch.set_alarm_state(AlarmName=name, StateValue="ALARM", StateReason="by a test")
    try:
        yield
    finally:
        cloudwatch.set_alarm_state(AlarmName=name, StateValue="OK", StateReason="by a test")


BREAKAGES: dict[str, tuple[Breakage, str, str, str]] = {
    "rule disabled": (rule_disabled, "rules", OWNER, "is disabled, so it receives no events"),
    "permission removed": (permission_removed, "permissions", JOB, "It is denied states:StartExecution on"),
    "permission of sensors removed": (permission_of_sensors_removed, "permissions", OWNER, "It is denied dynamodb:PutItem on"),
    "permission of a step removed": (permission_of_a_step_removed, "permissions", "reconcile", "It is denied ssm:GetParametersByPath on"),
    "mapping disabled": (mapping_disabled, "mappings", "launch", "is disabled, so it receives nothing of its queue or stream"),
    "old message": (old_message, "queues", "record", "has waited for 4000 s"),
    "schedule off": (schedule_off, "schedules", "reconcile", "is disabled, so it does not tick"),
    "silent bucket": (silent_bucket, "buckets", OWNER, "sends no events to EventBridge"),
    "bucket gone": (bucket_gone, "buckets", OWNER, "Bucket treadle-no-such-bucket cannot be watched"),
    "dead letter": (dead_letter, "dead letters", "DeadLetterQueue", "It has 1 messages."),
    "dead letter of a project": (dead_letter_of_a_project, "dead letters", "DeadLetters", "It has 1 messages."),
    "job without address": (job_without_address, "jobs", JOB, "The job has no target address, so its runs fail."),
    "target gone": (target_gone, "jobs", JOB, "-gone"),
    "entry malformed": (entry_malformed, "registry", OF_JOB, "is invalid, so the previous one is in use: it is not JSON"),
    "job unknown": (job_unknown, "registry", OWNER, "It may start no_such_job, which no project has registered"),
    "job of another project": (job_of_another_project, "registry", OWNER, f"It may start job {JOB}, but the job's project, billing,"),
    "function gone": (function_gone, "configuration", "sensor orders", "Its function orders-Function-1X cannot be read"),
    "another engine": (another_engine, "registry", "sensor large_files", "TREADLE_NAMESPACE is '000000000000/us-east-1/another'"),
    "old copy": (old_copy, "registry", "reconcile", "RECONCILE does not list Parameter Store"),
    "function that does not begin": (function_that_does_not_begin, "configuration", OWNER, "TREADLE_S3_IDENTITY is 'colour'"),
    "module that is missing": (module_that_is_missing, "configuration", "sensor large_files", "No module named 'nowhere'"),
    "handler that is missing": (handler_that_is_missing, "configuration", OWNER, "has no attribute 'nothing'"),
    "alert topic missing": (alert_topic_missing, "alerts", OWNER, "nobody-has-made-it does not exist"),
    "failing sensor": (failing_sensor, "sensors", OWNER, "4 ticks in a row have failed"),
    "paused sensor": (paused_sensor, "sensors", OWNER, "It is paused: Paused after 5 failures in a row."),
    "sensor that does not tick": (sensor_that_does_not_tick, "sensors", OWNER, "s overdue."),
    "role with a sensor's tag": (role_with_a_sensors_tag, "sensor roles", OWNER, "role/forger has its tag treadle:sensor"),
    "alarm": (alarm_gone_off, "alarms", "ActionNeededAlarm", "by a test"),
    "alarm of a project": (alarm_of_a_project_gone_off, "alarms", "DeadLettersAlarm", "by a test"),
}  # fmt: skip


def test_nothing_is_found_wrong_with_the_healthy_stack(deployed: Deployed) -> None:
    """What another test has broken may be reported for a while after it was fixed; so this tries repeatedly."""
    deadline = time.monotonic() + 120
    while True:
        quieten(deployed)
        status, findings = examined(deployed)
        if not wrong(findings) or time.monotonic() > deadline:
            break
        time.sleep(5)

    assert not wrong(findings), wrong(findings)
    assert status == 0
    assert len(findings) >= 12


@pytest.mark.parametrize("name", BREAKAGES)
def test_breakage_is_found_with_what_to_do(deployed: Deployed, name: str) -> None:
    breaks, check, subject, message = BREAKAGES[name]

    with breaks(deployed):
        status, findings = examined(deployed)

    # What sensors share is found for each of them.
    found = [
        each
        for each in findings
        if each["check"] == check and message in each["message"] and subject in each["subject"]
    ]
    assert found, f"nothing said of it, but: {wrong(findings)}"
    assert (status, found[0]["severity"]) == (1, "problem")
    assert found[0]["advice"]


@pytest.mark.parametrize(
    ("function", "sensor", "handler", "message"),
    [
        ("LargeFiles", "large_files", "nowhere.handler", "No module named 'nowhere'"),
        ("NewObjects", SENSOR, "app.nothing", "has no attribute 'nothing'"),
    ],
    ids=["events", "schedule"],
)
def test_function_that_stops_loading_is_shown_in_the_lists_at_once(
    deployed: Deployed, function: str, sensor: str, handler: str, message: str
) -> None:
    with handled_by(deployed, function, handler):

        def listed() -> str:
            """Return the list, once it has the error: a busy machine may take long to begin a function."""
            clients.forget()
            shown = run("sensor", "list", "--stack", deployed.name).stdout
            return shown if message in shown else ""

        shown = eventually(listed, "the error of the import is shown", seconds=200)
        assert ", does not load" in shown
        assert message in run("tick", "list", sensor, "--stack", deployed.name).stdout


def test_failing_start_of_one_environment_leaves_others_alone(deployed: Deployed) -> None:
    """On the local cloud, as on Lambda: each invocation gets the error of its own import."""
    with handled_by(deployed, "NewObjects", "app.nothing"):
        lambdas, name = deployed.client("lambda"), deployed.function("NewObjects")

        def invoked(_: int) -> str:
            answer = lambdas.invoke(FunctionName=name, Payload=b'{"treadle": "describe"}')
            return str(json.loads(answer["Payload"].read())["errorMessage"])

        with ThreadPoolExecutor(4) as threads:
            errors = list(threads.map(invoked, range(12)))

    assert [each for each in errors if "has no attribute 'nothing'" not in each] == []


def test_what_the_caller_may_not_check_is_reported_with_the_permission(
    deployed: Deployed, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Credentials that may read the stack, but neither its queues nor its alarms, nor simulate permissions."""
    iam = deployed.client("iam")
    iam.create_user(UserName="looker")
    allowed = {"Effect": "Allow", "Action": "*", "Resource": "*"}
    kept_from = ["sqs:GetQueueAttributes", "cloudwatch:DescribeAlarms", "iam:SimulatePrincipalPolicy"]
    denied = {"Effect": "Deny", "Action": kept_from, "Resource": "*"}
    document = {"Version": "2012-10-17", "Statement": [allowed, denied]}
    iam.put_user_policy(UserName="looker", PolicyName="looks", PolicyDocument=json.dumps(document))
    key = iam.create_access_key(UserName="looker")["AccessKey"]
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", key["AccessKeyId"])
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", key["SecretAccessKey"])

    _, findings = examined(deployed)

    severities = {each["advice"]: each["severity"] for each in findings}
    assert {severities.get(f"Grant yourself {action}.") for action in kept_from} == {"warning"}
