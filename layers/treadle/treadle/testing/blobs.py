"""A blob store in memory."""

import json
from dataclasses import dataclass, field
from typing import Any

from treadle.definitions.errors import StoreError
from treadle.definitions.payloads import reference_in
from treadle.ports.system import BlobStore
from treadle.testing.tables import InMemoryTables

BUCKET = "payloads"


@dataclass(slots=True)
class InMemoryBlobStore:
    """A `BlobStore` in memory.

    Attributes:
        tables: what has the values.
    """

    tables: InMemoryTables = field(default_factory=InMemoryTables)

    @property
    def blobs(self) -> dict[str, bytes]:
        """Return the values by key."""
        return self.tables.blobs

    def put(self, key: str, body: bytes) -> None:
        """Store a value."""
        self.blobs[key] = body

    def get(self, key: str) -> bytes:
        """Return a value."""
        if key not in self.blobs:
            msg = f"There is no blob {key}."
            raise StoreError(msg)
        return self.blobs[key]

    def address(self, key: str) -> str:
        """Return the URL that the value would have in S3."""
        return f"s3://{BUCKET}/{key}"

    def exists(self, key: str) -> bool:
        """Return whether there is a value."""
        return key in self.blobs


def requested_config(blobs: BlobStore, run_config: Any) -> Any:
    """Return a run config as it was requested, also if a run has a reference to it.

    Args:
        blobs: where it is.
        run_config: as an object.
    """
    reference = reference_in(run_config)
    if reference is None:
        return run_config
    return json.loads(blobs.get(reference.url.removeprefix(blobs.address(""))))
