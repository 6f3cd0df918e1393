"""A message of an SQS queue: its text as it is, or as SNS or S3 have wrapped it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar
from urllib.parse import unquote_plus

from treadle.definitions.errors import UnknownEventError
from treadle.definitions.json_text import parsed_json
from treadle.definitions.objects import NO_VERSION, S3Object


@dataclass(frozen=True, slots=True)
class QueueMessage:
    """A message.

    Attributes:
        id: its message id, the same at each receive.
        body: as it was sent.
        queue: the name of the queue.
        time: when it was sent.
        receives: how often it has been received, this time included.
        attributes: its message attributes of type String and Number.
        group: its message group, on a FIFO queue.
        deduplication_id: its deduplication id, on a FIFO queue.
    """

    id: str
    body: str
    queue: str
    time: datetime
    receives: int = 1
    attributes: Mapping[str, str] = field(default_factory=dict)
    group: str | None = None
    deduplication_id: str | None = None
    depth: ClassVar[int] = 0

    @property
    def text(self) -> str:
        """The text that was sent: what SNS delivers as the message of a notification, or else the body."""
        if '"TopicArn"' not in self.body:
            return self.body
        try:
            envelope = json.loads(self.body)
        except ValueError:
            return self.body
        is_of_sns = isinstance(envelope, dict) and envelope.get("Type") == "Notification"
        return str(envelope["Message"]) if is_of_sns and "Message" in envelope else self.body

    def json(self) -> Any:
        """Return the text, parsed as JSON.

        Raises:
            UnknownEventError: if it is not JSON.
        """
        return parsed_json(self.text, f"The text of {self.summary}")

    def objects(self) -> list[S3Object]:
        """Return the created objects of a notification that S3 sent to the queue, or to an SNS topic before it.

        Empty for other notifications of S3, such as the test event that it sends when they are configured.

        Raises:
            UnknownEventError: if it is not a notification of S3.
        """
        content = self.json()
        records = content.get("Records", []) if isinstance(content, dict) else None
        if records is None or (not records and content.get("Event") != "s3:TestEvent"):
            msg = f"{self.summary} is no notification of S3."
            raise UnknownEventError(msg)
        try:
            return [_stored(each) for each in records if str(each["eventName"]).startswith("ObjectCreated:")]
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            msg = f"{self.summary} is no notification of S3: {error!r:.200}."
            raise UnknownEventError(msg) from error

    @property
    def run_key(self) -> str:
        """The default run key: its id, which is the same at each receive."""
        return self.id

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same at each receive."""
        return ("message", self.queue, self.id)

    @property
    def summary(self) -> str:
        """The message in one line, for operators; it ends with its id."""
        return f"Message of queue {self.queue}: {self.id}"


def _stored(record: Mapping[str, Any]) -> S3Object:
    """Return an object of a record ("Event message structure" in the S3 user guide); its key is URL-encoded."""
    stored = record["s3"]["object"]
    return S3Object(
        bucket=str(record["s3"]["bucket"]["name"]),
        key=unquote_plus(str(stored["key"])),
        etag=str(stored["eTag"]).strip('"'),
        version=str(stored.get("versionId") or NO_VERSION),
        size=int(stored["size"]),
        last_modified=datetime.fromisoformat(str(record["eventTime"])),
    )
