"""Whether a sensor is held because it looks like a loop."""

from dataclasses import dataclass

from treadle.definitions.bounds import MAX_NAME, MAX_REASON, fit


@dataclass(frozen=True, slots=True)
class LoopHold:
    """Whether a sensor's requests are held because its runs seem to create what it watches.

    Attributes:
        held_at: since when they are held; None if they are not, or not any more.
        reason: what looks like a loop.
        released_at: when an operator released them last; runs from before are no evidence. 0 if nobody has.
        released_by: the operator.
    """

    held_at: int | None = None
    reason: str = ""
    released_at: int = 0
    released_by: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "reason", fit(self.reason, MAX_REASON))
        object.__setattr__(self, "released_by", fit(self.released_by, MAX_NAME))


NEVER_HELD = LoopHold()
