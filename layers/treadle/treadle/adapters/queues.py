"""SQS queues: messages for the next component, and dead letters."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.aws_errors import code_of, store_error
from treadle.adapters.clients import client
from treadle.definitions.errors import StoreError, StoreRejectedError, StoreThrottledError
from treadle.model.messages import DeadLetter

if TYPE_CHECKING:
    from mypy_boto3_sqs.literals import QueueAttributeNameType
    from mypy_boto3_sqs.type_defs import BatchResultErrorEntryTypeDef, MessageTypeDef

_BATCH = 10
_MAX_ATTRIBUTE = 1_000
_MAX_BODY = 900_000
"""Bytes. The maximum message size is 1 MiB, including attributes."""

_UNFIT = r"[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]"
"""Characters that SQS rejects (SendMessage in its API reference), and that an object's key may have.

Compiled when needed, as compilation is slow.
"""

_HELD_SECONDS = 600
_GONE = ("MessageNotInflight", "InvalidParameterValue", "ReceiptHandleIsInvalid")


def _batches(messages: Sequence[tuple[str, int]]) -> Iterator[list[tuple[str, int]]]:
    """Group messages into requests of ten, within the size limit of a request; JSON is ASCII here."""
    batch: list[tuple[str, int]] = []
    size = 0
    for message in messages:
        if batch and (len(batch) == _BATCH or size + len(message[0]) > _MAX_BODY):
            yield batch
            batch, size = [], 0
        batch.append(message)
        size += len(message[0])
    if batch:
        yield batch


class SqsQueue:
    """An `InboxQueue` on SQS."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Send messages, up to ten per request; a rejected message does not block later ones."""
        delays = delay_seconds if isinstance(delay_seconds, list) else [delay_seconds] * len(bodies)
        messages = [(json.dumps(body), delay) for body, delay in zip(bodies, delays, strict=True)]
        failed: list[BatchResultErrorEntryTypeDef] = []
        for batch in _batches(messages):
            failed += self._send(batch)
        if not failed:
            return
        # Retryable failures first: then the caller sends all of them again.
        first = next((each for each in failed if not each["SenderFault"]), failed[0])
        message = first.get("Message", first["Code"])
        msg = f"SQS refused {len(failed)} of {len(messages)} messages for {self._url}: {message}"
        error = store_error(first["Code"], msg)
        if first["SenderFault"] and not isinstance(error, StoreThrottledError):
            raise StoreRejectedError(msg)
        raise error

    def _send(self, batch: Sequence[tuple[str, int]]) -> "Sequence[BatchResultErrorEntryTypeDef]":
        """Send up to ten messages; return those that were rejected."""
        entries = [
            {"Id": str(index), "MessageBody": body, "DelaySeconds": delay}
            for index, (body, delay) in enumerate(batch)
        ]
        try:
            answer = client("sqs").send_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
        except (ClientError, BotoCoreError) as error:
            msg = f"SQS did not accept {len(entries)} messages for {self._url}: {error}"
            raise store_error(code_of(error), msg) from error
        return answer.get("Failed", [])

    def postpone(self, handle: str, seconds: int) -> None:
        """Change a message's visibility timeout, so that it is received again later."""
        try:
            client("sqs").change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=handle, VisibilityTimeout=seconds
            )
        except (ClientError, BotoCoreError) as error:
            msg = (
                f"A message of {self._url} was not postponed and returns when its visibility timeout "
                f"ends: {error}"
            )
            raise store_error(code_of(error), msg) from error


class SqsDeadLetters:
    """`DeadLetters` on an SQS queue; reason and origin are message attributes."""

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, body: str, *, origin: str, reason: str) -> None:
        """Send a record with its reason."""
        attributes = {"origin": origin, "reason": _fit(reason)[:_MAX_ATTRIBUTE] or "unknown"}
        try:
            client("sqs").send_message(
                QueueUrl=self._url,
                MessageBody=_fit(body).encode()[:_MAX_BODY].decode(errors="ignore") or "{}",
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
        except (ClientError, BotoCoreError) as error:
            msg = f"The dead-letter queue {self._url} did not accept a record of {origin}: {error}"
            raise StoreError(msg) from error


class SqsDeadLetterQueue:
    """A `DeadLetterQueue` on an SQS queue."""

    def __init__(self, url: str) -> None:
        self._url = url

    def receive(self) -> list[DeadLetter]:
        """Receive up to ten messages; long polling queries all servers, as an empty response ends a redrive."""
        try:
            answer = client("sqs").receive_message(
                QueueUrl=self._url,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_HELD_SECONDS,
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
                MessageSystemAttributeNames=["All"],
            )
        except (ClientError, BotoCoreError) as error:
            msg = f"The dead-letter queue {self._url} cannot be read: {error}"
            raise StoreError(msg) from error
        return [_dead_letter(message) for message in answer.get("Messages", [])]

    def count(self) -> int:
        """Return the approximate number of messages, including those in flight."""
        return _count(self._url)

    def delete(self, dead_letter: DeadLetter) -> None:
        """Delete a message."""
        try:
            client("sqs").delete_message(QueueUrl=self._url, ReceiptHandle=dead_letter.handle)
        except (ClientError, BotoCoreError) as error:
            msg = f"Dead letter {dead_letter.message_id} could not be deleted from {self._url}: {error}"
            raise StoreError(msg) from error

    def give_back(self, dead_letter: DeadLetter) -> None:
        """Make a message visible to others immediately."""
        try:
            client("sqs").change_message_visibility(
                QueueUrl=self._url, ReceiptHandle=dead_letter.handle, VisibilityTimeout=0
            )
        except (ClientError, BotoCoreError) as error:
            if isinstance(error, ClientError) and error.response["Error"]["Code"].endswith(_GONE):
                return
            msg = f"Dead letter {dead_letter.message_id} could not be returned to {self._url}: {error}"
            raise StoreError(msg) from error


_COUNTS: "tuple[QueueAttributeNameType, ...]" = (
    "ApproximateNumberOfMessages",
    "ApproximateNumberOfMessagesNotVisible",
    "ApproximateNumberOfMessagesDelayed",
)


def queue_arn(url: str) -> str:
    """Return the ARN of a queue.

    Raises:
        StoreError: if the queue cannot be read.
    """
    return _attributes(url, "QueueArn")["QueueArn"]


def _count(url: str) -> int:
    """Return the approximate number of messages of a queue, including those in flight or delayed."""
    return sum(map(int, _attributes(url, *_COUNTS).values()))


def _attributes(url: str, *names: "QueueAttributeNameType") -> Mapping["QueueAttributeNameType", str]:
    try:
        answer = client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=list(names))
    except (ClientError, BotoCoreError) as error:
        raise StoreError(f"The queue {url} cannot be read: {error}") from error
    return answer.get("Attributes", {})


class SqsMover:
    """A `MessageMover` on SQS."""

    def count(self, queue: str) -> int:
        """Return the approximate number of messages of a queue."""
        return _count(queue)

    def move(self, source: str, target: str) -> int:
        """Move the messages that can be received, until SQS returns none."""
        moved = 0
        sqs = client("sqs")
        try:
            while messages := sqs.receive_message(
                QueueUrl=source,
                MaxNumberOfMessages=_BATCH,
                VisibilityTimeout=_HELD_SECONDS,
                WaitTimeSeconds=1,
                MessageAttributeNames=["All"],
            ).get("Messages", []):
                for each in messages:
                    attributes = each.get("MessageAttributes", {})
                    sqs.send_message(QueueUrl=target, MessageBody=each["Body"], MessageAttributes=attributes)
                    sqs.delete_message(QueueUrl=source, ReceiptHandle=each["ReceiptHandle"])
                    moved += 1
        except (ClientError, BotoCoreError) as error:
            msg = f"The messages of {source} were not all moved to {target}: {error}. Run it again."
            raise store_error(code_of(error), msg) from error
        return moved


def _dead_letter(message: "MessageTypeDef") -> DeadLetter:
    written = message.get("MessageAttributes", {})
    # All attributes that AWS adds to explain a dead letter are strings or numbers.
    attributes = {name: value["StringValue"] for name, value in written.items() if "StringValue" in value}
    source = message.get("Attributes", {}).get("DeadLetterQueueSourceArn")
    return DeadLetter(message["MessageId"], message["ReceiptHandle"], message["Body"], attributes, source)


def _fit(text: str) -> str:
    """Escape the characters that SQS rejects."""
    return re.sub(_UNFIT, lambda found: f"\\u{ord(found[0]):04x}", text)
