"""Events of assets, and of a job's completed runs."""

from dataclasses import dataclass

from treadle.definitions.errors import UnreadableRecordError


@dataclass(frozen=True, slots=True)
class AssetEvent:
    """An event of an asset, or of a job's completed run.

    Attributes:
        asset_key: the asset's key, its parts joined by "/"; of an observation, the asset's `observed_key`; for a
            job's runs, the job's `ended_runs_key`.
        event_id: the same on a redelivery.
        kind: such as "ASSET_MATERIALIZATION".
        time: when it happened.
        body: canonical JSON: metadata, partition, run id.
        storage_id: its sequence number under its key; 0 until it is stored.
    """

    asset_key: str
    event_id: str
    kind: str
    time: int
    body: str
    storage_id: int = 0


UNREADABLE = "UNREADABLE"
"""The kind of a placeholder for an event that cannot be read."""


def unreadable_event(asset_key: str, storage_id: int, reason: str) -> AssetEvent:
    """Return a placeholder for an event that cannot be read. Decoders skip it.

    Args:
        asset_key: the event's key.
        storage_id: its sequence number; 0 where that is not known.
        reason: why it cannot be read.
    """
    return AssetEvent(asset_key, "", UNREADABLE, 0, reason, storage_id)


def check_readable(event: AssetEvent) -> None:
    """Raise UnreadableRecordError if an event is a placeholder for one that cannot be read."""
    if event.kind == UNREADABLE:
        raise UnreadableRecordError(f"event {event.storage_id} of {event.asset_key}", event.body)


def ended_runs_key(job: str) -> str:
    """Return the key under which the completed runs of a job are stored; no asset key has this prefix."""
    return f"#ended/{job}"


_OBSERVED = "#observed/"


def observed_key(asset_key: str) -> str:
    """Return the key under which the observations of an asset are stored; no asset key has this prefix."""
    return f"{_OBSERVED}{asset_key}"


def is_observed_key(key: str) -> bool:
    """Return whether a key is that of an asset's observations."""
    return key.startswith(_OBSERVED)


def asset_of(key: str) -> str:
    """Return the asset's key of a key of its materializations or observations."""
    return key.removeprefix(_OBSERVED)


def is_ended_runs_key(key: str) -> bool:
    """Return whether a key is that of a job's completed runs, not an asset's."""
    return key.startswith("#ended/")
