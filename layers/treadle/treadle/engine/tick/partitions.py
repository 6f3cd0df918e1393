"""The dynamic partitions as one tick sees them: the stored ones after its own changes, which its commit contains."""

from collections.abc import Collection, Iterable, Sequence

from treadle.definitions.errors import InvalidResultError
from treadle.definitions.partitions.requests import (
    DynamicPartitionsRequest,
    change_partitions,
    keys_to_find,
    set_keys,
    set_name,
)
from treadle.model.ticks import DynamicPartitionsRequestResult
from treadle.ports.partitions import PartitionStore

MAX_CHANGES = 25_000
"""The maximum number of keys that one tick changes, which Dagster recommends as well; DISPATCH applies them in chunks."""


class TickPartitions:
    """The `dynamic_partitions_store` of a tick's evaluation. Each stored key is read once, when it is needed.

    Args:
        store: stores the keys.
    """

    def __init__(self, store: PartitionStore) -> None:
        self._store = store
        self._listed: dict[str, dict[str, None]] = {}
        self._stored: dict[str, dict[str, bool]] = {}
        self._changes: dict[str, dict[str, bool]] = {}

    def get_dynamic_partitions(self, partitions_def_name: str) -> Sequence[str]:
        """Return the keys of a set, in the order in which they were added."""
        name = set_name(partitions_def_name)
        if name not in self._listed:
            self._listed[name] = dict.fromkeys(each.partition_key for each in self._store.partitions(name))
        changes = self._changes.get(name, {})
        return [key for key in (self._listed[name] | changes) if changes.get(key, True)]

    def has_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> bool:
        """Return whether a set has a key."""
        return bool(self.get_existing_dynamic_partitions(partitions_def_name, [partition_key]))

    def get_existing_dynamic_partitions(
        self, partitions_def_name: str, partition_keys: Sequence[str]
    ) -> set[str]:
        """Return those of the keys that a set has."""
        name, keys = set_name(partitions_def_name), keys_to_find(partition_keys)
        changes = self._changes.get(name, {})
        unchanged = [key for key in keys if key not in changes]
        return {key for key in keys if changes.get(key)} | self._stored_among(name, unchanged)

    def add_dynamic_partitions(self, partitions_def_name: str, partition_keys: Sequence[str]) -> None:
        """Add keys with the tick's commit."""
        self._change(partitions_def_name, partition_keys, exists=True)

    def delete_dynamic_partition(self, partitions_def_name: str, partition_key: str) -> None:
        """Delete a key with the tick's commit."""
        self._change(partitions_def_name, [partition_key], exists=False)

    def request(self, requests: Iterable[DynamicPartitionsRequest], sensor: str) -> None:
        """Add the requests of the evaluation's result to the changes.

        Args:
            requests: the requests.
            sensor: the sensor's name, for the error's message.

        Raises:
            InvalidResultError: if the tick changes more keys than the maximum.
        """
        change_partitions(self, list(requests))
        number = sum(map(len, self._changes.values()))
        if number > MAX_CHANGES:
            msg = (
                f"Sensor {sensor} changed {number} dynamic partitions in one tick; the limit is {MAX_CHANGES}. Request "
                "fewer and continue from the cursor at the next tick."
            )
            raise InvalidResultError(msg)

    def results(self) -> tuple[DynamicPartitionsRequestResult, ...]:
        """Return what the tick requests, by set; keys that are already as requested are marked as skipped.

        Raises:
            StoreError: if the store did not answer.
        """
        results = []
        for name, changes in self._changes.items():
            stored = self._stored_among(name, changes)
            added = [key for key, exists in changes.items() if exists]
            deleted = [key for key, exists in changes.items() if not exists]
            if added:
                changed = tuple(key for key in added if key not in stored)
                skipped = tuple(key for key in added if key in stored)
                results.append(DynamicPartitionsRequestResult(name, changed, None, skipped))
            if deleted:
                changed = tuple(key for key in deleted if key in stored)
                skipped = tuple(key for key in deleted if key not in stored)
                results.append(DynamicPartitionsRequestResult(name, None, changed, skipped))
        return tuple(results)

    def _change(self, partitions_def_name: str, partition_keys: Sequence[str], *, exists: bool) -> None:
        changes = self._changes.setdefault(set_name(partitions_def_name), {})
        for key in set_keys(partition_keys):
            if changes.get(key) is not exists:
                changes.pop(key, None)  # A key that is deleted and added again comes last.
                changes[key] = exists

    def _stored_among(self, name: str, keys: Collection[str]) -> set[str]:
        if name in self._listed:
            return {key for key in keys if key in self._listed[name]}
        known = self._stored.setdefault(name, {})
        unknown = [key for key in keys if key not in known]
        if unknown:
            existing = self._store.existing(name, unknown)
            known |= {key: key in existing for key in unknown}
        return {key for key in keys if known[key]}
