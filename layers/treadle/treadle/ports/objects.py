"""An object as a sensor comes to it, for who asks what became of it."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class ObjectInspection:
    """What a sensor makes of a key at this moment.

    Attributes:
        watched: what the sensor watches, in words.
        is_watched: whether that takes in the key.
        run_key: of the object, or of its group; None if it cannot be told, as the object is gone.
        modified_at: when the object was stored; None if there is none.
        is_in_parts: whether it was uploaded in parts, and so appeared later than `modified_at` says.
        waits: why it does not count yet, such as a group that is not complete; "" if it does.
        counts_since: what was stored before this does not count; 0 if all does, None if no sweep has begun.
        round_started: when the sweep's present round began; None if none is under way.
        is_passed: whether that round has passed the key already.
        complete_round: when the sweep's last complete round began; None if there was none.
        was_there_before: whether it does not count, as it was there before `counts_since`; an upload in parts may have
            ended since, though it was begun before.
        announces: whether the bucket sends its events to EventBridge; None if that may not be asked.
        remedy: what switches that on.
    """

    watched: str
    is_watched: bool
    run_key: str | None = None
    modified_at: int | None = None
    is_in_parts: bool = False
    waits: str = ""
    counts_since: int | None = None
    round_started: int | None = None
    is_passed: bool = False
    complete_round: int | None = None
    was_there_before: bool = False
    announces: bool | None = None
    remedy: str = ""


class ObjectLookup(Protocol):
    """Looks at objects as a sensor does."""

    def inspect(
        self, sensor: str, bucket: str, key: str, cursor: str | None, now: int
    ) -> ObjectInspection | None:
        """What the sensor makes of a key; None if it watches no bucket.

        Args:
            sensor: its name.
            bucket: the bucket's name.
            key: the whole key.
            cursor: the sensor's, which says how far its sweep has come.
            now: milliseconds since the epoch.

        Raises:
            TreadleError: if the bucket is missing or may not be listed, or the sensor's selection cannot be read.
        """
