"""Changes of stored sets of dynamic partitions."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class PartitionChange:
    """The state of one key after a tick, or after an operator's command.

    Attributes:
        partitions_def_name: the set's name.
        partition_key: the key.
        exists: True if the key is added, False if it is deleted.
        position: its number among the changes made with it; keys are listed in the order in which they were added.
    """

    partitions_def_name: str
    partition_key: str
    exists: bool
    position: int = 0


@dataclass(frozen=True, slots=True)
class ChangeTime:
    """When changes were made, which orders those of one key: the latest one applies, whenever it is stored.

    Attributes:
        at: when, in milliseconds; of a tick, when its evaluation ended.
        by: who made them, which orders those of one millisecond: sensor and tick, or an operator.
    """

    at: int
    by: str = ""

    @property
    def text(self) -> str:
        """The time as text, which sorts by time."""
        return f"{self.at:015d}/{self.by}"


@dataclass(frozen=True, slots=True)
class StoredPartition:
    """A key of a set, as an operator sees it.

    Attributes:
        partition_key: the key.
        added_at: when it was added, in milliseconds.
        changed_by: the tick that changed it last, as `sensor/tick id`; or the operator.
    """

    partition_key: str
    added_at: int
    changed_by: str
