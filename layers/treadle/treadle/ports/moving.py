"""The two sides of a move: the single stack, and the engine's queues."""

from typing import Protocol

from treadle.model.moving import OldStack, Part


class SingleStack(Protocol):
    """A single stack, which a move switches off and deletes."""

    def read(self) -> OldStack:
        """Read the stack as it is now.

        Raises:
            DeploymentError: if it cannot be read, or is no single stack.
            CommandRefusedError: if it cannot be moved.
        """

    def switch(self, part: Part, *, on: bool) -> None:
        """Switch the schedules and the event source mappings of a part's functions; nothing else is changed.

        Args:
            part: which.
            on: whether they are to invoke the functions.

        Raises:
            DeploymentError: if AWS did not; it can be repeated.
        """

    def delete(self) -> None:
        """Delete the stack, and wait until it is gone; its tables and buckets stay.

        Raises:
            DeploymentError: CloudFormation did not delete it.
        """


class MessageMover(Protocol):
    """Moves messages from a queue of one deployment to the same queue of another."""

    def count(self, queue: str) -> int:
        """Count the messages of a queue, approximately: those in flight and those that are delayed among them.

        Args:
            queue: its URL.

        Raises:
            StoreError: if it could not be queried.
        """

    def move(self, source: str, target: str) -> int:
        """Move the messages that can be received now; each is deleted once it was sent, and so may come twice.

        Args:
            source: the URL of the queue that has them.
            target: that of the queue that takes them.

        Returns:
            How many were moved.

        Raises:
            StoreError: if a queue did not answer; what was not moved is still there.
        """
