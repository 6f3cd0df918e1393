"""A record of a Kinesis stream, or a change of an item in the stream of a DynamoDB table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, ClassVar

from treadle.definitions.errors import UnknownEventError
from treadle.definitions.json_text import parsed_json


@dataclass(frozen=True, slots=True)
class StreamRecord:
    """A record.

    Attributes:
        id: its event id, the same in each delivery: shard and sequence number, or what DynamoDB has given it.
        arn: the stream's ARN.
        key: its partition key; of a table, the item's key as JSON. Records of a key are evaluated in order.
        sequence_number: its place among the records of its shard.
        time: when the stream received it.
        data: its bytes, in a Kinesis stream.
        change: of a table's item: "INSERT", "MODIFY" or "REMOVE"; "" in a Kinesis stream.
        keys: of a table's item: its key attributes.
        new: of a table's item: its attributes after the change, if the stream has them.
        old: of a table's item: its attributes before the change, if the stream has them.
    """

    id: str
    arn: str
    key: str
    sequence_number: str
    time: datetime
    data: bytes = b""
    change: str = ""
    keys: Mapping[str, Any] = field(default_factory=dict)
    new: Mapping[str, Any] | None = None
    old: Mapping[str, Any] | None = None
    depth: ClassVar[int] = 0

    @property
    def stream(self) -> str:
        """The name of the stream, or of the table."""
        return stream_name(self.arn)

    @property
    def text(self) -> str:
        """The data, decoded as UTF-8.

        Raises:
            UnknownEventError: if it is not UTF-8.
        """
        try:
            return self.data.decode()
        except UnicodeDecodeError as error:
            msg = f"The data of {self.summary} is not UTF-8: {error}. Read its bytes from `data`."
            raise UnknownEventError(msg) from error

    def json(self) -> Any:
        """Return the data, parsed as JSON.

        Raises:
            UnknownEventError: if it is not JSON.
        """
        return parsed_json(self.text, f"The data of {self.summary}", "Read its bytes from `data`.")

    @property
    def run_key(self) -> str:
        """The default run key: the stream's ARN and the record's id."""
        return f"{self.arn}/{self.id}"

    @property
    def identity(self) -> tuple[str, ...]:
        """What is the same in each delivery."""
        return ("record", self.arn, self.id)

    @property
    def summary(self) -> str:
        """The record in one line, for operators; it ends with its id."""
        return f"Record of stream {self.stream}: {self.id}"


def stream_name(arn: str) -> str:
    """Return the name of a Kinesis stream, or of the table of a stream, from an ARN; a name is returned as it is."""
    resource = arn.split(":", 5)[-1]
    return resource.split("/")[1] if "/" in resource else resource
