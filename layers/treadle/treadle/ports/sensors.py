"""The store of sensors' states, which enforces the lease and the cursor."""

from collections.abc import Collection
from typing import Protocol

from treadle.model.sensors import (
    Completion,
    Edit,
    Lease,
    LeaseRequest,
    RecordedEdit,
    Refused,
    SensorState,
)


class SensorStore(Protocol):
    """Stores each sensor's state; every write is conditional.

    Methods that return one state raise `UnreadableRecordError` if it exists and cannot be read; `get_many`
    returns an `unreadable_state` in its place.
    """

    def get(self, sensor: str) -> SensorState:
        """Return the state, strongly consistent; a new one where nothing is stored."""

    def get_many(self, sensors: Collection[str]) -> dict[str, SensorState]:
        """Return the states by name, strongly consistent, new ones where nothing is stored.

        A request reads up to a hundred.
        """

    def cursor(self, state: SensorState) -> str | None:
        """Return the cursor of a state, strongly consistent if it is stored in its own item."""

    def acquire(self, request: LeaseRequest) -> Lease | Refused:
        """Acquire the lease in one conditional write.

        It is given if the sensor is running, its state belongs to the requesting project or to none, no
        unexpired lease exists, `scheduled_for` is at least one interval after the last scheduled time (and later
        than it), half an interval has passed since the last completion, and no backoff after failures is in
        effect. With `at_once`, the only conditions are that the sensor is running, that the state does not
        belong to another project, that no unexpired lease exists, that the last scheduled time is not later,
        and that no tick has completed since the request was made, so that a request that arrives late takes
        no lease. A last scheduled time more than `MAX_SKEW_MS` ahead of the request's time is ignored; so is
        a last completion, except with `at_once`. A repeated call with the same owner returns the same lease,
        with the same state before it.

        A state that belonged to no project belongs to the requesting one afterwards.

        Raises:
            StoreError: if the store did not answer.
        """

    def claim(self, sensor: str, project: str) -> SensorState:
        """Claim a state that belongs to no project.

        Args:
            sensor: the sensor's name.
            project: the project that claims it.

        Returns:
            The state afterwards, which belongs to another project if that one was first.

        Raises:
            StoreError: if the store did not answer.
        """

    def commit(self, lease: Lease, completion: Completion) -> None:
        """Commit a tick, all of it or nothing: state, cursor, tick records; the lease ends.

        A completion that keeps the lease changes only the failure streak, and writes tick records.

        Raises:
            LeaseLostError: if owner or epoch are no longer the lease's; nothing was written.
            StoreError: if the store did not answer.
        """

    def release(self, lease: Lease) -> None:
        """Release a lease that can no longer commit anything, so that it is not mistaken for a crash."""

    def edit(self, sensor: str, edit: Edit) -> SensorState:
        """Apply an operator's edit; the epoch is incremented, so that a tick in progress is not committed.

        The edit is recorded in the same transaction, in an item that evaluators may not write.

        Returns:
            The state afterwards.

        Raises:
            LeaseLostError: if the epoch is no longer the one that the operator saw; nothing was written.
            StoreError: if the store did not answer.
        """

    def edits(self, sensor: str) -> list[RecordedEdit]:
        """Return the sensor's last edits, newest first, strongly consistent; at most `KEPT_EDITS`."""
