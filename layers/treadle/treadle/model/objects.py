"""An S3 object as an operator sees it."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObjectInspection:
    """A sensor's current assessment of an object key.

    Attributes:
        watched: a description of what the sensor watches.
        is_watched: True if that includes the key.
        run_key: the run key of the object, or of its group; None if it cannot be derived because the object
            is gone.
        modified_at: when the object was stored; None if there is none.
        is_in_parts: True for a multipart upload, which appeared later than `modified_at` says.
        waits: why the object is not processed yet, such as an incomplete group; "" if it is.
        counts_since: objects stored before this time are ignored; 0 if none are, None if no sweep has begun.
        round_started: when the current round of the sweep began; None if none is in progress.
        is_passed: True if that round has already passed the key.
        complete_round: when the last complete round of the sweep began; None if there was none.
        was_there_before: True if the object is ignored because it existed before `counts_since`; a multipart
            upload may have completed since, though it was initiated before.
        announces: True if the bucket sends its events to EventBridge; None if reading that is not permitted.
        remedy: the command that enables those events.
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
