"""Asset events in the order in which they were committed."""

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class AssetEvent:
    """Something became of an asset.

    Attributes:
        asset_key: which asset, its parts joined by "/".
        event_id: repeated by a redelivery.
        kind: such as "ASSET_MATERIALIZATION".
        time: when it happened.
        body: canonical JSON: metadata, partition, run id.
        storage_id: its place in the asset's order; 0 until it is stored.
    """

    asset_key: str
    event_id: str
    kind: str
    time: int
    body: str
    storage_id: int = 0


class EventStore(Protocol):
    """Keeps asset events; each has a number that follows commit order per asset."""

    def append(self, event: AssetEvent) -> AssetEvent:
        """The event as stored: numbered now, or already when its id was first appended.

        Raises:
            StoreError: if the store did not answer.
        """

    def after(self, asset_key: str, storage_id: int, limit: int) -> list[AssetEvent]:
        """The events numbered higher, in order, read strongly."""
