"""A blob store in memory."""

from dataclasses import dataclass, field

from treadle.definitions.errors import StoreError


@dataclass(slots=True)
class InMemoryBlobStore:
    """A `BlobStore` in memory.

    Attributes:
        blobs: by key.
    """

    blobs: dict[str, bytes] = field(default_factory=dict)

    def put(self, key: str, body: bytes) -> None:
        """Store a value."""
        self.blobs[key] = body

    def get(self, key: str) -> bytes:
        """Return a value."""
        if key not in self.blobs:
            msg = f"There is no blob {key}."
            raise StoreError(msg)
        return self.blobs[key]
