"""Partitions whose keys are not known in code."""

from collections.abc import Callable, Sequence, Set
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from treadle.definitions.bounds import shown
from treadle.definitions.errors import (
    DagsterInvalidDefinitionError,
    DagsterInvalidInvocationError,
    DagsterInvariantViolationError,
    InvalidResultError,
)
from treadle.definitions.partitions.base import PartitionsDefinition
from treadle.definitions.partitions.context import partition_loading_context
from treadle.definitions.partitions.requests import (
    AddDynamicPartitionsRequest,
    DeleteDynamicPartitionsRequest,
    set_name,
)


@dataclass(frozen=True)
class DynamicPartitionsDefinition(PartitionsDefinition):
    """Partitions whose keys are added and deleted over time, or returned by a function.

    Args:
        partition_fn: returns the keys; called with the current time, if one was given, or None.
        name: of the stored set of keys; in place of a function.

    Raises:
        DagsterInvalidDefinitionError: unless exactly one of them is given.
    """

    partition_fn: Callable[[datetime | None], Sequence[Any]] | None = None
    name: str | None = None

    def __post_init__(self) -> None:
        if (self.partition_fn is None) == (not self.name):
            msg = (
                "Must provide either partition_fn or name to DynamicPartitionsDefinition. Cannot provide both "
                "partition_fn and name to DynamicPartitionsDefinition."
            )
            raise DagsterInvalidDefinitionError(msg)
        for what, given, is_valid in (
            ("partition_fn", self.partition_fn, callable(self.partition_fn)),
            ("name", self.name, isinstance(self.name, str)),
        ):
            if given is not None and not is_valid:
                msg = f"{what} of DynamicPartitionsDefinition is invalid: {shown(given)}."
                raise DagsterInvalidDefinitionError(msg)
        if self.name is not None:
            try:
                set_name(self.name)
            except InvalidResultError as error:
                raise DagsterInvalidDefinitionError(str(error)) from error

    @property
    def needs_store(self) -> bool:
        """Whether the keys are stored, rather than returned by a function."""
        return self.partition_fn is None

    def get_partition_keys(
        self, current_time: datetime | None = None, dynamic_partitions_store: Any = None
    ) -> Sequence[str]:
        """Return all partition keys.

        Args:
            current_time: passed to `partition_fn`.
            dynamic_partitions_store: an object with `get_dynamic_partitions`; by default that of
                `partition_loading_context`. A definition with a function needs none.

        Raises:
            DagsterInvalidInvocationError: if there is no such object, and the keys are stored.
        """
        if self.partition_fn is not None:
            return [each if isinstance(each, str) else each.name for each in self.partition_fn(current_time)]
        with partition_loading_context(current_time, dynamic_partitions_store) as context:
            store = self._store(context.dynamic_partitions_store)
            keys: Sequence[str] = store.get_dynamic_partitions(partitions_def_name=self.name)
            return keys

    def has_partition_key(
        self,
        partition_key: str,
        current_time: datetime | None = None,
        dynamic_partitions_store: Any = None,
    ) -> bool:
        """Return whether a partition has this key.

        Args:
            partition_key: the key.
            current_time: passed to `partition_fn`.
            dynamic_partitions_store: an object with `has_dynamic_partition`; as for `get_partition_keys`.

        Raises:
            DagsterInvalidInvocationError: if there is no such object, and the keys are stored.
        """
        if self.partition_fn is not None:
            return partition_key in self.get_partition_keys(current_time)
        with partition_loading_context(current_time, dynamic_partitions_store) as context:
            store = self._store(context.dynamic_partitions_store)
            return bool(
                store.has_dynamic_partition(partitions_def_name=self.name, partition_key=partition_key)
            )

    def filter_valid_partition_keys(self, partition_keys: Set[str]) -> Set[str]:
        """Return those of the given keys that partitions have; all are looked up together."""
        if self.partition_fn is not None:
            return partition_keys & set(self.get_partition_keys())
        if not partition_keys:
            return set()
        with partition_loading_context() as context:
            store = self._store(context.dynamic_partitions_store)
            if not hasattr(store, "get_existing_dynamic_partitions"):
                return super().filter_valid_partition_keys(partition_keys)
            found: Set[str] = store.get_existing_dynamic_partitions(
                partitions_def_name=self.name, partition_keys=sorted(partition_keys)
            )
            return found

    def build_add_request(self, partition_keys: Sequence[str]) -> AddDynamicPartitionsRequest:
        """Return a request to add keys, for `SensorResult`.

        Raises:
            DagsterInvariantViolationError: if the keys are returned by a function.
            InvalidResultError: if a key cannot be stored.
        """
        return AddDynamicPartitionsRequest(self._stored_name(), partition_keys)

    def build_delete_request(self, partition_keys: Sequence[str]) -> DeleteDynamicPartitionsRequest:
        """Return a request to delete keys, for `SensorResult`.

        Raises:
            DagsterInvariantViolationError: if the keys are returned by a function.
            InvalidResultError: if a key cannot be stored.
        """
        return DeleteDynamicPartitionsRequest(self._stored_name(), partition_keys)

    def _stored_name(self) -> str:
        if self.name is None:
            msg = "Dynamic partitions definition must have a name to fetch dynamic partitions: give it one."
            raise DagsterInvariantViolationError(msg)
        return self.name

    def _extent(self) -> str:
        """Return which keys there are; of a stored set, without reading all of them."""
        return f"its keys are those added to {self.name!r}" if self.needs_store else super()._extent()

    def _store(self, store: Any) -> Any:
        if store is None:
            msg = (
                f"The keys of dynamic partitions {self.name!r} cannot be listed: no store was given. Pass "
                "dynamic_partitions_store, or call it in a block of partition_loading_context with one."
            )
            raise DagsterInvalidInvocationError(msg)
        return store

    def __str__(self) -> str:
        return f'Dynamic partitions: "{self.name}"' if self.name else super().__str__()
