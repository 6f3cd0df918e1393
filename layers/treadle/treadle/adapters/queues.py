"""Queues on SQS: messages for the next step, and dead letters."""

import json
from collections.abc import Mapping

from botocore.exceptions import BotoCoreError, ClientError

from treadle.adapters.answers import code_of, store_error
from treadle.adapters.clients import client
from treadle.definitions.errors import StoreError

_BATCH = 10
_MAX_ATTRIBUTE = 1_000
_MAX_BODY = 900_000


class SqsQueue:
    """A `Queue` on SQS.

    Args:
        url: the queue's.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, bodies: list[Mapping[str, object]], *, delay_seconds: int | list[int] = 0) -> None:
        """Send the messages, ten in a request."""
        delays = delay_seconds if isinstance(delay_seconds, list) else [delay_seconds] * len(bodies)
        messages = list(zip(bodies, delays, strict=True))
        for start in range(0, len(messages), _BATCH):
            entries = [
                {"Id": str(index), "MessageBody": json.dumps(body), "DelaySeconds": delay}
                for index, (body, delay) in enumerate(messages[start : start + _BATCH])
            ]
            try:
                answer = client("sqs").send_message_batch(QueueUrl=self._url, Entries=entries)  # type: ignore[arg-type]
            except (ClientError, BotoCoreError) as error:
                msg = f"SQS did not take {len(entries)} messages for {self._url}: {error}"
                raise store_error(code_of(error), msg) from error
            failed = answer.get("Failed", [])
            if failed:
                words = failed[0].get("Message", failed[0]["Code"])
                msg = f"SQS refused {len(failed)} of {len(entries)} messages for {self._url}: {words}"
                raise store_error(failed[0]["Code"], msg)


class SqsDeadLetters:
    """`DeadLetters` on an SQS queue; reason and origin are message attributes.

    Args:
        url: the queue's.
    """

    def __init__(self, url: str) -> None:
        self._url = url

    def send(self, body: str, *, origin: str, reason: str) -> None:
        """Keep a record with its reason."""
        attributes = {"origin": origin, "reason": reason[:_MAX_ATTRIBUTE] or "unknown"}
        try:
            client("sqs").send_message(
                QueueUrl=self._url,
                MessageBody=body[:_MAX_BODY] or "{}",
                MessageAttributes={
                    name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()
                },
            )
        except (ClientError, BotoCoreError) as error:
            msg = f"The dead-letter queue {self._url} did not take a record of {origin}: {error}"
            raise StoreError(msg) from error
