"""The event sources of sensors' functions, which operators switch."""

from typing import Protocol


class EventSources(Protocol):
    """Switches what invokes a sensor's function, for sensors that consume a queue or stream of somebody else."""

    def switch(self, sensor: str, *, is_on: bool) -> None:
        """Enable or disable the delivery of a queue's messages, or a stream's records, to a sensor; others are left alone.

        Args:
            sensor: the sensor's name.
            is_on: True to enable it.

        Raises:
            DeploymentError: if it cannot be switched; the error states what then happens.
        """
