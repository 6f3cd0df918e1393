"""A health snapshot in memory, as set by a test."""

from dataclasses import dataclass, field, replace

from treadle.model.health import HealthSnapshot


@dataclass(slots=True)
class InMemoryHealth:
    """A `Health` in memory.

    Attributes:
        found: the snapshot.
    """

    found: HealthSnapshot = field(default_factory=HealthSnapshot)

    def snapshot(self, owner: str | None = None) -> HealthSnapshot:
        """Return the snapshot; for one component, its triggers and its queue."""
        if owner is None:
            return self.found
        return replace(
            self.found,
            switches=tuple(each for each in self.found.switches if each.owner == owner),
            backlogs=tuple(each for each in self.found.backlogs if each.owner == owner),
        )
