"""The event sources of sensors' functions, which operators switch."""

from typing import Protocol


class EventSources(Protocol):
    """Switches what invokes a sensor's function, for sensors that consume a queue of somebody else."""

    def switch(self, sensor: str, *, is_on: bool) -> None:
        """Enable or disable the delivery of a queue's messages to its sensor; nothing is done for other sensors.

        Args:
            sensor: the sensor's name.
            is_on: True to enable it.

        Raises:
            DeploymentError: if it cannot be switched; the message says what then happens to messages.
        """
