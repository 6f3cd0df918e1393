"""The source of a deployment's health."""

from typing import Protocol

from treadle.model.health import HealthSnapshot


class Health(Protocol):
    """Checks a deployment."""

    def snapshot(self, owner: str | None = None) -> HealthSnapshot:
        """Return the current health; what cannot be read is reported in the snapshot, and never raised.

        Args:
            owner: check only the triggers and the queue of one component, such as "sensor new_objects"; None
                for everything.
        """
