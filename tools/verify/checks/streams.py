"""Streams: from which record on Lambda delivers again, and what becomes of records that wait too long."""

import json
from collections.abc import Callable, Mapping
from typing import Any

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
    table,
    template,
)

RESPONSES = (
    "AWS Lambda developer guide, Configuring partial batch response with Kinesis Data Streams and Lambda: "
    "https://docs.aws.amazon.com/lambda/latest/dg/services-kinesis-batchfailurereporting.html"
)
DISCARDED = (
    "AWS Lambda developer guide, Retain discarded batch records for a DynamoDB event source in Lambda: "
    "https://docs.aws.amazon.com/lambda/latest/dg/services-dynamodb-errors.html"
)
MAPPINGS = (
    "AWS Lambda API reference, UpdateEventSourceMapping (Enabled: to pause polling): "
    "https://docs.aws.amazon.com/lambda/latest/api/API_UpdateEventSourceMapping.html"
)

STREAM_SECONDS = 300
QUIET_SECONDS = 30

READING = """
import base64
import json
import os
import time

import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    seen, failed = [], []
    for record in event["Records"]:
        part = record["kinesis"]
        data = base64.b64decode(part["data"]).decode()
        seen.append([data, record["eventID"], part["approximateArrivalTimestamp"]])
        if data == "bad" and time.time() < part["approximateArrivalTimestamp"] + 20:
            failed.append({"itemIdentifier": part["sequenceNumber"]})
    sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(seen))
    return {"batchItemFailures": failed}
"""
"""A function that reports what was delivered, and fails a record for 20 seconds."""

FAILING = "def handler(event, context):\n    raise ValueError('on purpose')\n"

LISTING = """
import json
import os

import boto3

sqs = boto3.client("sqs")


def handler(event, context):
    seen = [record["dynamodb"]["Keys"]["id"]["S"] for record in event["Records"]]
    sqs.send_message(QueueUrl=os.environ["SEEN"], MessageBody=json.dumps(seen))
"""
"""A function that reports the keys of the items whose changes were delivered."""


def kinesis(_: Account) -> Part:
    """Return a stream of one shard, with a function that reports what it gets."""
    reads = ("DescribeStream", "DescribeStreamSummary", "GetRecords", "GetShardIterator", "ListShards")
    return template(
        {
            "Stream": {"Type": "AWS::Kinesis::Stream", "Properties": {"ShardCount": 1}},
            "Seen": queue(),
            "Role": role_of_functions(
                statement([f"kinesis:{each}" for each in reads], arn_of("Stream")),
                statement(("sqs:SendMessage",), arn_of("Seen")),
            ),
            "Function": function(READING, "Role", Environment={"Variables": {"SEEN": ref("Seen")}}),
            "Mapping": mapping(arn_of("Stream"), FunctionResponseTypes=["ReportBatchItemFailures"]),
        },
        {"Stream": ref("Stream"), "Seen": ref("Seen")},
    )


def changes(code: str, **properties: Any) -> Callable[[Account], Part]:
    """Make the template of a table whose stream a function gets.

    Args:
        code: of the function.
        properties: of the mapping.
    """

    def made(_: Account) -> Part:
        stream = {"Fn::GetAtt": ["Table", "StreamArn"]}
        streamed = table()
        streamed["Properties"]["StreamSpecification"] = {"StreamViewType": "KEYS_ONLY"}
        reads = ("DescribeStream", "GetRecords", "GetShardIterator")
        return template(
            {
                "Table": streamed,
                "Seen": queue(),
                "Role": role_of_functions(
                    statement([f"dynamodb:{each}" for each in reads], stream),
                    statement(("dynamodb:ListStreams",), "*"),
                    statement(("sqs:SendMessage",), arn_of("Seen")),
                ),
                "Function": function(code, "Role", Environment={"Variables": {"SEEN": ref("Seen")}}),
                "Mapping": mapping(stream, **properties),
            },
            {"Table": ref("Table"), "Seen": ref("Seen"), "Mapping": ref("Mapping")},
        )

    return made


def mapping(source: object, **properties: Any) -> Part:
    """Return a mapping from the beginning of a stream to the function."""
    given = {"EventSourceArn": source, "FunctionName": ref("Function"), "StartingPosition": "TRIM_HORIZON"}
    return {"Type": "AWS::Lambda::EventSourceMapping", "Properties": {**given, **properties}}


def continued(lab: Lab) -> str:
    """Put records of which one fails for a while, and compare what is delivered, and how often."""
    for data in ("before", "bad", "after"):
        lab.client("kinesis").put_record(
            StreamName=lab.outputs["Stream"], Data=data.encode(), PartitionKey="k"
        )
    deliveries: list[list[list[Any]]] = []
    while not deliveries or deliveries[-1][-1][0] != "after" or len(deliveries) < 2:
        body = lab.receive(lab.outputs["Seen"], QUIET_SECONDS if deliveries else STREAM_SECONDS)
        if body is None:
            break
        deliveries.append(json.loads(body))
    records = [record for delivered in deliveries for record in delivered]
    bad = [record for record in records if record[0] == "bad"]
    if len(bad) < 2 or [record[0] for record in records].count("before") != 1:
        raise DidNotHoldError(f"delivered were {[[record[0] for record in each] for each in deliveries]}")
    if any(each != bad[0] for each in bad):
        raise DidNotHoldError(f"one record was delivered as {bad}")
    return f"the record that failed came {len(bad)} times, with those after it and not the one before it"


def put(lab: Lab, key: str) -> None:
    """Put an item."""
    lab.client("dynamodb").put_item(TableName=lab.outputs["Table"], Item={"id": {"S": key}})


def switch(lab: Lab, *, is_on: bool) -> None:
    """Enable or disable the mapping, and wait until it is."""
    lambdas, name = lab.client("lambda"), lab.outputs["Mapping"]
    lambdas.update_event_source_mapping(UUID=name, Enabled=is_on)
    wanted = "Enabled" if is_on else "Disabled"

    def probe() -> str | None:
        state = str(lambdas.get_event_source_mapping(UUID=name)["State"])
        return state if state == wanted else None

    if lab.eventually(probe, STREAM_SECONDS) is None:
        raise DidNotHoldError(f"the mapping did not become {wanted} within {STREAM_SECONDS} s")


def kept(lab: Lab) -> str:
    """Disable a mapping, put a change, enable it, and find that change and no earlier one."""
    put(lab, "first")
    first = lab.receive(lab.outputs["Seen"], STREAM_SECONDS)
    switch(lab, is_on=False)
    put(lab, "second")
    switch(lab, is_on=True)
    second = lab.receive(lab.outputs["Seen"], STREAM_SECONDS)
    if (first, second) != ('["first"]', '["second"]'):
        raise DidNotHoldError(f"before the pause {first} was delivered, and after it {second}")
    return "after the pause the change of the meantime was delivered, and no earlier one"


NAMED = ("shardId", "startSequenceNumber", "endSequenceNumber", "batchSize", "streamArn")


def named(lab: Lab) -> str:
    """Put a change at which the function fails, and find the message about it."""
    put(lab, "first")
    body = lab.receive(lab.outputs["Seen"], STREAM_SECONDS)
    if body is None:
        raise DidNotHoldError(f"no message arrived within {STREAM_SECONDS} s")
    found: Mapping[str, Any] = json.loads(body)
    missing = [name for name in NAMED if name not in found.get("DDBStreamBatchInfo", {})]
    if missing or "functionArn" not in found.get("requestContext", {}):
        raise DidNotHoldError(f"the message lacks {missing or 'functionArn'}: {body[:300]}")
    return f"condition {found['requestContext'].get('condition')}, with the range of the records"


CHECKS = (
    Check(
        "stream-batch",
        "Lambda delivers a stream again from the record that the response names, with the same event id and time",
        "stream sensors, whose ticks go by event id and time, and which pass nothing that was not evaluated",
        RESPONSES,
        continued,
        kinesis,
        not_local="the local cloud passes what a response names",
        dollars=0.016,
    ),
    Check(
        "stream-paused",
        "A mapping that is disabled and enabled continues where it was",
        "treadle sensor stop and start, of stream sensors",
        MAPPINGS,
        kept,
        changes(LISTING),
    ),
    Check(
        "stream-discarded",
        "Lambda sends the range of records that it discards because of their age to the mapping's destination",
        "treadle dlq list, which names what a stream sensor has lost",
        DISCARDED,
        named,
        changes(
            FAILING,
            MaximumRecordAgeInSeconds=60,
            DestinationConfig={"OnFailure": {"Destination": arn_of("Seen")}},
        ),
        not_local="the local cloud waits for a time of its own between retries",
    ),
)
