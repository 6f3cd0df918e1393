"""The store of the registry's copy, and the source that it is synchronized with."""

from collections.abc import Mapping
from typing import Protocol

from treadle.model.registry import Registry, RegistryCopy


class RegistryStore(Protocol):
    """Stores the engine's copy of the registry."""

    def read(self) -> Registry:
        """Return the parsed copy, strongly consistent; an empty one if none has been made yet.

        Raises:
            StoreError: if the store did not answer.
            UnreadableRecordError: if the copy is damaged.
        """

    def copy(self) -> RegistryCopy:
        """Return the copy as stored, strongly consistent; without entries if none exists or it is damaged."""

    def replace(self, copy: RegistryCopy) -> bool:
        """Write a copy under the next revision, unless another was written since this one was read.

        Args:
            copy: derived from the one that was read, with its revision.

        Returns:
            Whether it was written.

        Raises:
            StoreError: if the store did not answer, or rejected the write.
        """


class EntrySource(Protocol):
    """Parameter Store, where projects register their sensors and jobs with an engine."""

    def list(self) -> Mapping[str, str]:
        """Return all values, by path below the engine's, such as "jobs/load".

        Raises:
            StoreError: if it did not answer, or the answer was incomplete.
        """

    def get(self, path: str) -> str | None:
        """Return the value at a path below the engine's; None only if the entry certainly does not exist."""
