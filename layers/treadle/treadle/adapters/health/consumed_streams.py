"""Probes the streams whose records sensors take, and how Lambda reads them."""

from collections.abc import Iterator
from typing import Any

from botocore.exceptions import ClientError

from treadle.adapters.aws_errors import code_of
from treadle.adapters.clients import client
from treadle.adapters.health.probes import Probe
from treadle.model.deployment import DeployedSensor
from treadle.model.health import ConsumedStream

TABLE_SECONDS = 86_400
"""How long the stream of a table keeps a record ("Change data capture for DynamoDB Streams" in its developer guide)."""


def stream_probe(sensor: DeployedSensor) -> Probe:
    """Return the probe of a sensor's stream."""
    arn = sensor.stream
    action = "kinesis:DescribeStreamSummary" if ":kinesis:" in arn else "dynamodb:DescribeStream"

    def check() -> Iterator[ConsumedStream]:
        try:
            kept = _kept_seconds(arn)
        except ClientError as error:
            if code_of(error) != "ResourceNotFoundException":
                raise
            yield ConsumedStream(sensor.name, arn, error=f"Stream {arn} does not exist")
            return
        if kept is None:
            yield ConsumedStream(sensor.name, arn, error=f"Stream {arn} is disabled, or being deleted")
            return
        pages = client("lambda").get_paginator("list_event_source_mappings")
        found = [
            each
            for page in pages.paginate(FunctionName=sensor.function)
            for each in page["EventSourceMappings"]
        ]
        others = tuple(
            sorted(str(each.get("EventSourceArn")) for each in found if each.get("EventSourceArn") != arn)
        )
        for each in found:
            if each.get("EventSourceArn") == arn:
                yield _consumed(sensor.name, arn, kept, each, others)

    return Probe("streams", f"stream {arn}", action, check)


def _kept_seconds(arn: str) -> int | None:
    """Return how long a stream keeps a record; None if it takes none."""
    if ":kinesis:" in arn:
        summary = client("kinesis").describe_stream_summary(StreamARN=arn)["StreamDescriptionSummary"]
        is_on = summary["StreamStatus"] in {"ACTIVE", "UPDATING"}
        return summary["RetentionPeriodHours"] * 3_600 if is_on else None
    stream = client("dynamodbstreams").describe_stream(StreamArn=arn, Limit=1)["StreamDescription"]
    return TABLE_SECONDS if stream.get("StreamStatus") in {"ENABLED", "ENABLING"} else None


def _consumed(sensor: str, arn: str, kept: int, mapping: Any, others: tuple[str, ...]) -> ConsumedStream:
    age, attempts = mapping.get("MaximumRecordAgeInSeconds", -1), mapping.get("MaximumRetryAttempts", -1)
    return ConsumedStream(
        sensor,
        arn,
        kept,
        age if age >= 0 else None,
        bool(mapping.get("DestinationConfig", {}).get("OnFailure", {}).get("Destination")),
        "ReportBatchItemFailures" in mapping.get("FunctionResponseTypes", []),
        attempts if attempts >= 0 else None,
        others,
    )
