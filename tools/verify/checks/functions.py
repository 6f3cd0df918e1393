"""Lambda: loops of messages, events that it gives up, and how many executions an account may have at a time."""

import json
from collections.abc import Callable
from typing import Any

from botocore.exceptions import ClientError

from tools.verify.account import Account
from tools.verify.lab import DidNotHoldError, Lab
from tools.verify.model import Check
from tools.verify.templates import (
    Part,
    arn_of,
    function,
    queue,
    ref,
    role_of_functions,
    statement,
    template,
)
from treadle.adapters.aws_errors import code_of

LOOPS = (
    "AWS Lambda developer guide, Use Lambda recursive loop detection to prevent infinite loops: "
    "https://docs.aws.amazon.com/lambda/latest/dg/invocation-recursion.html"
)
LETTERS = (
    "AWS Lambda developer guide, Adding a dead-letter queue: "
    "https://docs.aws.amazon.com/lambda/latest/dg/invocation-async-retain-records.html"
)
QUOTAS = (
    "AWS Lambda developer guide, Lambda quotas (new accounts have reduced concurrency): "
    "https://docs.aws.amazon.com/lambda/latest/dg/gettingstarted-limits.html"
)

MAPPINGS = (
    "AWS Lambda developer guide, Creating and configuring an Amazon SQS event source mapping: "
    "https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html"
)

LEVELS = (
    "AWS Lambda developer guide, Log-level filtering: "
    "https://docs.aws.amazon.com/lambda/latest/dg/monitoring-cloudwatchlogs-log-level.html"
)

VISIBILITY_SECONDS = 30

HOPS, LIMIT = 24, 16
LOOP_SECONDS = 180
QUIET_SECONDS = 30
ENOUGH_EXECUTIONS = 100

FORWARDING = """
import os

import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    for record in event["Records"]:
        hop = int(record["body"])
        sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=str(hop))
        if hop < int(os.environ["HOPS"]):
            sqs.send_message(QueueUrl=os.environ["QUEUE"], MessageBody=str(hop + 1))
"""
"""A function that sends each message on to its own queue, with an incremented number."""

FAILING = "def handler(event, context):\n    raise ValueError('on purpose')\n"
GIVEN_UP = {"treadle": "deadline", "sensor": "late_load", "nominal_time": "2026-11-22T06:00:00Z"}
GIVEN_UP_SECONDS = 120

PRINTING = """
import json


def handler(event, context):
    # As Powertools prints a decision and a metric.
    stamp = "2026-11-22 18:00:00,123+0000"
    print(json.dumps({"level": "INFO", "message": "idle", "timestamp": stamp, "decision": "SKIPPED"}))
    of = {"Namespace": "verify", "Dimensions": [["service"]], "Metrics": [{"Name": "Ticks", "Unit": "Count"}]}
    embedded = {"Timestamp": 1795370400123, "CloudWatchMetrics": [of]}
    print(json.dumps({"_aws": embedded, "service": "verify", "Ticks": [1.0]}))
    return {}
"""
"""A function that writes two lines to its log."""
LOGGED_SECONDS = 120

NOTHING = "def handler(event, context):\n    return {}\n"


def loop(**properties: Any) -> Callable[[Account], Part]:
    """Make the template of a queue whose function sends to the same queue.

    Args:
        properties: of the function.
    """

    def made(_: Account) -> Part:
        own = ("sqs:SendMessage", "sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
        redrive = {"deadLetterTargetArn": arn_of("Dead"), "maxReceiveCount": 5}
        variables = {"QUEUE": ref("Queue"), "SEEN": ref("Seen"), "HOPS": str(HOPS)}
        return template(
            {
                "Dead": queue(),
                "Seen": queue(),
                "Queue": queue(VisibilityTimeout=60, RedrivePolicy=redrive),
                "Role": role_of_functions(
                    statement(own, arn_of("Queue")), statement(("sqs:SendMessage",), arn_of("Seen"))
                ),
                "Function": function(FORWARDING, "Role", Environment={"Variables": variables}, **properties),
                "Mapping": {
                    "Type": "AWS::Lambda::EventSourceMapping",
                    "Properties": {
                        "EventSourceArn": arn_of("Queue"),
                        "FunctionName": ref("Function"),
                        "BatchSize": 1,
                    },
                },
            },
            {"Queue": ref("Queue"), "Seen": ref("Seen"), "Dead": ref("Dead")},
        )

    return made


def hops(lab: Lab) -> int:
    """Return how often a message arrived, once no more arrive."""
    lab.client("sqs").send_message(QueueUrl=lab.outputs["Queue"], MessageBody="1")
    highest = 0
    waited = LOOP_SECONDS
    while highest < HOPS:
        body = lab.receive(lab.outputs["Seen"], waited)
        if body is None:
            break
        highest, waited = max(highest, int(body)), QUIET_SECONDS
    return highest


def ended_loop(lab: Lab) -> str:
    """Send a message into the loop, and find it in the dead-letter queue."""
    highest = hops(lab)
    if highest >= HOPS:
        raise DidNotHoldError(f"no loop was ended within {HOPS} hops")
    message = lab.receive(lab.outputs["Dead"], LOOP_SECONDS)
    if message is None:
        raise DidNotHoldError(
            f"the chain ended after hop {highest}, but the message is not in the dead-letter queue"
        )
    return f"the chain ended after hop {highest}; message {message} is in the dead-letter queue"


def endless_loop(lab: Lab) -> str:
    """Send a message into the loop more often than Lambda's loop detection allows."""
    highest = hops(lab)
    if highest < HOPS:
        raise DidNotHoldError(f"the chain ended after hop {highest}, though RecursiveLoop is Allow")
    return f"{highest} hops in one chain"


def two_functions(_: Account) -> Part:
    """Return two functions, one of them with `RecursiveLoop: Allow`."""
    return template(
        {
            "Role": role_of_functions(),
            "Allowing": function(NOTHING, "Role", RecursiveLoop="Allow"),
            "Plain": function(NOTHING, "Role"),
        },
        {"Allowing": ref("Allowing"), "Plain": ref("Plain")},
    )


def loop_settings(lab: Lab) -> str:
    """Read the two functions' loop settings."""
    functions = lab.client("lambda")
    found = {
        name: functions.get_function_recursion_config(FunctionName=lab.outputs[name])["RecursiveLoop"]
        for name in ("Allowing", "Plain")
    }
    if found != {"Allowing": "Allow", "Plain": "Terminate"}:
        raise DidNotHoldError(
            f"with RecursiveLoop: Allow it is {found['Allowing']}, without {found['Plain']}"
        )
    return "with RecursiveLoop: Allow it is Allow, without Terminate"


def failing_function(_: Account) -> Part:
    """Return a function that fails, is not retried, and has a dead-letter queue.

    Args:
        _: where.
    """
    return template(
        {
            "Dead": queue(),
            "Role": role_of_functions(statement(("sqs:SendMessage",), arn_of("Dead"))),
            "Function": function(FAILING, "Role", DeadLetterConfig={"TargetArn": arn_of("Dead")}),
            "Once": {
                "Type": "AWS::Lambda::EventInvokeConfig",
                "Properties": {
                    "FunctionName": ref("Function"),
                    "Qualifier": "$LATEST",
                    "MaximumRetryAttempts": 0,
                },
            },
        },
        {"Function": ref("Function"), "Dead": ref("Dead")},
    )


def given_up_event(lab: Lab) -> str:
    """Invoke the function asynchronously, and look at what is in its dead-letter queue.

    Args:
        lab: the check's.
    """
    event = json.dumps(GIVEN_UP).encode()
    lab.client("lambda").invoke(FunctionName=lab.outputs["Function"], InvocationType="Event", Payload=event)

    def check() -> Any:
        answer = lab.client("sqs").receive_message(
            QueueUrl=lab.outputs["Dead"], MessageAttributeNames=["All"], WaitTimeSeconds=5
        )
        return answer.get("Messages")

    messages = lab.eventually(check, GIVEN_UP_SECONDS)
    if not messages:
        raise DidNotHoldError(f"nothing was in the dead-letter queue within {GIVEN_UP_SECONDS} s")
    [message] = messages
    attributes = sorted(message.get("MessageAttributes", {}))
    if json.loads(message["Body"]) != GIVEN_UP or not {"RequestID", "ErrorCode"} <= set(attributes):
        raise DidNotHoldError(
            f"the message was {message['Body']:.300}, with {', '.join(attributes) or 'nothing'}"
        )
    return f"the event as it was, with {', '.join(attributes)}"


def executions(lab: Lab) -> str:
    """Read how many concurrent executions the account may have."""
    limit = lab.client("lambda").get_account_settings()["AccountLimit"]
    total, free = limit["ConcurrentExecutions"], limit["UnreservedConcurrentExecutions"]
    observed = f"{total} executions at a time, {free} of them not reserved"
    if free < ENOUGH_EXECUTIONS:
        raise DidNotHoldError(f"{observed}; request a quota of 1,000 (Service Quotas, Lambda, L-B99A9384)")
    return observed


def short_visibility(_: Account) -> Part:
    """Return a function whose timeout exceeds the visibility timeout of a queue."""
    taking = ("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes")
    return template(
        {
            "Queue": queue(VisibilityTimeout=VISIBILITY_SECONDS),
            "Role": role_of_functions(statement(taking, arn_of("Queue"))),
            "Function": function(NOTHING, "Role", Timeout=2 * VISIBILITY_SECONDS),
        },
        {"Queue": arn_of("Queue"), "Function": ref("Function")},
    )


def json_logs(account: Account) -> Part:
    """Return a function that logs as JSON, without Lambda's own lines about an invocation that succeeded."""
    writing = ("logs:CreateLogStream", "logs:PutLogEvents")
    return template(
        {
            "Logs": {
                "Type": "AWS::Logs::LogGroup",
                "Properties": {"LogGroupName": f"{account.path}/json", "RetentionInDays": 1},
            },
            "Role": role_of_functions(statement(writing, arn_of("Logs"))),
            "Function": function(
                PRINTING,
                "Role",
                LoggingConfig={
                    "LogGroup": ref("Logs"),
                    "LogFormat": "JSON",
                    "ApplicationLogLevel": "INFO",
                    "SystemLogLevel": "WARN",
                },
            ),
        },
        {"Function": ref("Function"), "Logs": ref("Logs")},
    )


def kept_lines(lab: Lab) -> str:
    """Invoke the function, and read its log once the last line is there."""
    lab.invoke(lab.outputs["Function"], {})
    logs = lab.client("logs")

    def read() -> list[str]:
        found = logs.filter_log_events(logGroupName=lab.outputs["Logs"])["events"]
        return [str(each["message"]) for each in found]

    def arrived() -> list[dict[str, Any]] | None:
        lines = [json.loads(text) for text in read() if text.startswith("{")]
        own = [line for line in lines if "_aws" in line or "decision" in line]
        return own if len(own) == 2 else None

    own = lab.eventually(arrived, LOGGED_SECONDS)
    if own is None:
        raise DidNotHoldError(f"of the two lines, the log has {read()} after {LOGGED_SECONDS} s")
    lab.sleep(QUIET_SECONDS)
    texts = read()
    if len(texts) > len(own):
        raise DidNotHoldError(f"Lambda's own lines are there as well: {texts}")
    fields = sorted({name for line in own for name in line})
    return (
        f"both lines and nothing else, {sum(map(len, texts))} characters, with the fields {', '.join(fields)}"
    )


def refused_mapping(lab: Lab) -> str:
    """Create a mapping from the queue to the function, which Lambda should refuse."""
    functions = lab.client("lambda")
    try:
        made = functions.create_event_source_mapping(
            EventSourceArn=lab.outputs["Queue"], FunctionName=lab.outputs["Function"], Enabled=False
        )
    except ClientError as error:
        if code_of(error) != "InvalidParameterValueException":
            raise
        return f"refused: {error}"
    functions.delete_event_source_mapping(UUID=made["UUID"])
    raise DidNotHoldError(
        "Lambda accepted a mapping from a queue whose messages return before the function ends"
    )


CHECKS = (
    Check(
        "queue-visibility",
        "Lambda refuses a queue whose visibility timeout is below the function's timeout",
        "queue sensors: a message is not received again while it is evaluated",
        MAPPINGS,
        refused_mapping,
        short_visibility,
        not_local="the local cloud does not compare the timeouts",
    ),
    Check(
        "loop-terminated",
        f"Without RecursiveLoop: Allow, Lambda ends a chain through a queue after about {LIMIT} invocations",
        "why each step has RecursiveLoop: Allow",
        LOOPS,
        ended_loop,
        loop(),
        not_local="the local cloud detects loops of direct invocations only",
        dollars=0.001,
    ),
    Check(
        "loop-allowed",
        f"With RecursiveLoop: Allow, a chain through a queue goes on past {LIMIT} invocations",
        "wake-ups, launches and slices that are put off in their own queue",
        LOOPS,
        endless_loop,
        loop(RecursiveLoop="Allow"),
        not_local="the local cloud detects loops of direct invocations only",
        dollars=0.001,
    ),
    Check(
        "loop-settings",
        "GetFunctionRecursionConfig returns whether a function has RecursiveLoop: Allow",
        "the doctor's question whether a policy of the organization has undone it",
        LOOPS,
        loop_settings,
        two_functions,
        not_local="the local cloud ignores RecursiveLoop in templates",
        dollars=0,
    ),
    Check(
        "given-up-event",
        "Lambda sends an event that a function has failed to its dead-letter queue as it was, with RequestID and ErrorCode",
        "treadle dlq redrive, which finds the sensor of a deadline by the name in it",
        LETTERS,
        given_up_event,
        failing_function,
        not_local="the local cloud sends the record of a destination",
    ),
    Check(
        "json-logs",
        "With LogFormat: JSON and SystemLogLevel: WARN, a log has the function's lines, those with metrics too, and no others",
        "whether Lambda's own lines, 320 bytes for each invocation, can be left out (decision 220)",
        LEVELS,
        kept_lines,
        json_logs,
        not_local="the local cloud has one format of logs",
    ),
    Check(
        "concurrency",
        f"The account may have {ENOUGH_EXECUTIONS} executions at a time, not reserved for others",
        "ten functions and six mappings, with one tick per sensor in the same minute",
        QUOTAS,
        executions,
        not_local="the local cloud has a fixed number",
        dollars=0,
    ),
)
