"""Packs the requests of a tick: into its record, or into an S3 object if they are too large."""

import hashlib
import json
import logging
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any, TypeVar

from treadle.definitions.errors import StoreError, StoreRejectedError, UnreadableRecordError
from treadle.model.records import integer, reader, text, text_or_none, texts
from treadle.model.ticks import DynamicPartitionsRequestResult, PlannedRun, RejectedRequest, Tick
from treadle.ports.system import BlobStore

if TYPE_CHECKING:
    from treadle.definitions.assets import ReportedEvent

T = TypeVar("T")

MAX_REQUESTS_BYTES = 300_000
"""Maximum size of a packed payload, compressed, together with the rest of the record.

An item may have 400 KB; about 100 KB are reserved for the results of the requests.
"""

MAX_OUTCOME_BYTES = 32_000_000
"""Uncompressed; DISPATCH holds it in memory several times."""


logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Packed:
    """A packed payload; all fields are None if nothing was requested.

    Attributes:
        inline: the packed bytes.
        key: of the blob that has them instead.
        digest: SHA-256 of the blob, in hexadecimal.
    """

    inline: bytes | None = None
    key: str | None = None
    digest: str | None = None


@dataclass(frozen=True, slots=True)
class Unpacked:
    """What a tick requested."""

    requests: tuple[PlannedRun, ...] = ()
    existing_keys: tuple[str, ...] = ()
    rejected: tuple[RejectedRequest, ...] = ()
    asset_events: "tuple[ReportedEvent, ...]" = ()
    partitions: tuple[DynamicPartitionsRequestResult, ...] = ()


def is_empty(tick: Tick) -> bool:
    """Return whether a tick has no payload."""
    requested = tick.requests or tick.existing_keys or tick.rejected or tick.asset_events
    return not (requested or tick.dynamic_partitions_request_results)


class Outcomes:
    """Packs and unpacks payloads.

    Args:
        blobs: stores large payloads; None if none are allowed.
    """

    def __init__(self, blobs: BlobStore | None) -> None:
        self._blobs = blobs

    def pack(self, tick: Tick, beside: int = 0) -> Packed:
        """Pack a tick's payload for its record; a large one is stored in a blob first.

        Args:
            tick: the tick.
            beside: the size of the rest of the record, in bytes.

        Raises:
            StoreRejectedError: if it is larger than the maximum.
            StoreError: if the blob could not be stored.
        """
        if is_empty(tick):
            return Packed()
        content = _content(tick)
        packed = zlib.compress(content)
        if len(packed) + beside <= MAX_REQUESTS_BYTES:
            return Packed(inline=packed)
        if self._blobs is None or len(content) > MAX_OUTCOME_BYTES:
            room = MAX_OUTCOME_BYTES if self._blobs else MAX_REQUESTS_BYTES
            msg = (
                f"The {len(tick.requests)} requests of tick {tick.tick_id} of sensor {tick.sensor} "
                f"and {len(tick.asset_events)} asset events have {len(content)} bytes, "
                f"{len(packed)} compressed; the limit is {room}. Return fewer and continue from the "
                "cursor at the next tick."
            )
            raise StoreRejectedError(msg)
        # The owner is unique to this evaluation: no other evaluation of the tick may change this blob.
        key = f"{_folder(tick.sensor)}{tick.tick_id}-{tick.owner}"
        self._blobs.put(key, packed)
        return Packed(key=key, digest=hashlib.sha256(packed).hexdigest())

    def unpack(self, sensor: str, packed: Packed) -> Unpacked:
        """Unpack a payload; fetch the blob if it has one.

        A malformed request or asset event is rejected with the reason, so that it does not block the others.

        Raises:
            StoreError: if the blob is missing, or is not the one that the record names.
            UnreadableRecordError: if nothing in the payload can be read.
        """
        inline = packed.inline if packed.key is None else self._fetched(sensor, packed.key, packed.digest)
        if not inline:
            return Unpacked()
        inflater = zlib.decompressobj()
        content = inflater.decompress(inline, MAX_OUTCOME_BYTES)
        if inflater.unconsumed_tail:
            msg = f"The payload of a tick of sensor {sensor} has more than {MAX_OUTCOME_BYTES} bytes."
            raise StoreRejectedError(msg)
        if not inflater.eof:
            raise UnreadableRecordError(f"a tick of sensor {sensor}", "its payload is truncated")
        found: dict[str, list[Any]] = json.loads(content)
        malformed: list[RejectedRequest] = []
        requests = tuple(_each(_read_request, found["runs"], malformed))
        # Ticks that were committed before asset events existed have none.
        assets = zip_longest(found.get("assets", ()), found.get("assets_optional", ()))
        made = tuple(_each(_read_asset_event, assets, malformed))
        rejected = tuple(RejectedRequest(text_or_none(key), text(why)) for key, why in found["set_aside"])
        partitions = tuple(_each(_read_partitions, found.get("partitions", ()), malformed))
        return Unpacked(
            requests, tuple(map(text, found["existing"])), (*rejected, *malformed), made, partitions
        )

    def _fetched(self, sensor: str, key: str, digest: str | None) -> bytes:
        if self._blobs is None or not key.startswith(_folder(sensor)):
            msg = f"The requests of a tick of sensor {sensor} are in {key}, which this function may not read."
            raise StoreError(msg)
        blob = self._blobs.get(key)
        actual = hashlib.sha256(blob).hexdigest()
        if actual != digest:
            msg = (
                f"The requests of a tick of sensor {sensor} in {key} are not the ones that were "
                f"committed: their SHA-256 is {actual}, but the record has {digest}."
            )
            raise StoreError(msg)
        return blob


def _each(read: Callable[[Any], T], records: Iterable[Any], malformed: list[RejectedRequest]) -> Iterator[T]:
    """Yield the readable records; the others become rejected requests."""
    for record in records:
        try:
            yield read(record)
        except UnreadableRecordError as error:
            logger.error("%s", error)  # noqa: TRY400 - its words say all
            key = record[1] if isinstance(record, list) and len(record) == _REQUEST_FIELDS else None
            malformed.append(RejectedRequest(key if isinstance(key, str) else None, error.reason))


_REQUEST_FIELDS = 7


def _request(record: Any) -> PlannedRun:
    run = _planned_run(*record)
    for value in (run.run_id, run.job, run.run_config):
        text(value).encode()  # A lone surrogate is a valid string, but no table accepts it.
    for optional in (run.run_key, run.partition_key):
        (text_or_none(optional) or "").encode()
    for name, value in texts(run.tags).items():
        f"{name}{value}".encode()
    integer(run.retries)
    return run


_read_request = reader(_request, lambda _: "one request of a tick")


def _folder(sensor: str) -> str:
    return f"ticks/{sensor}/"


def _content(tick: Tick) -> bytes:
    content: dict[str, list[Any]] = {
        "runs": [
            [
                run.run_id,
                run.run_key,
                run.job,
                run.run_config,
                dict(run.tags),
                run.partition_key,
                run.retries,
            ]
            for run in tick.requests
        ],
        "existing": list(tick.existing_keys),
        "set_aside": [[each.run_key, each.reason] for each in tick.rejected],
        "assets": [
            [made.asset_key.to_escaped_user_string(), made.description, made.plain_metadata, made.partition]
            for made in tick.asset_events
        ],
    }
    optional = [_optional_fields(made) for made in tick.asset_events]
    if any(optional):
        content["assets_optional"] = optional  # Beside the list, whose four fields earlier versions read.
    if tick.dynamic_partitions_request_results:
        content["partitions"] = [
            [
                each.partitions_def_name,
                each.added_partitions,
                each.deleted_partitions,
                each.skipped_partitions,
            ]
            for each in tick.dynamic_partitions_request_results
        ]
    return json.dumps(content, separators=(",", ":"), ensure_ascii=False).encode()


def _planned_run(
    run_id: str,
    run_key: str | None,
    job: str,
    run_config: str,
    tags: dict[str, Any],
    partition_key: str | None = None,
    retries: int = 0,
) -> PlannedRun:
    """Build a request; one committed by a version without validation may have values that are not strings."""
    given: object = partition_key
    if isinstance(given, int | float):
        partition_key = str(given)
    if not all(isinstance(value, str) for value in tags.values()):
        tags = {name: value if isinstance(value, str) else json.dumps(value) for name, value in tags.items()}
    return PlannedRun(run_id, run_key, job, run_config, tags, partition_key, retries)


def _optional_fields(made: "ReportedEvent") -> dict[str, Any]:
    """Return an asset event's fields beside the list; earlier versions reject one that has a kind."""
    from treadle.definitions.assets import AssetObservation

    kind = {"kind": made.kind} if isinstance(made, AssetObservation) else {}
    return {**made.optional_fields, **kind}


def _listed_asset_event(record: Any) -> "ReportedEvent":
    # Imported here, as most ticks have none.
    from treadle.definitions.asset_key import AssetKey
    from treadle.definitions.assets import AssetMaterialization, AssetObservation

    (key, *fields), optional = record
    optional = dict(optional or {})
    kinds: dict[str | None, type[ReportedEvent]] = {
        None: AssetMaterialization,
        AssetObservation.kind: AssetObservation,
    }
    kind = kinds[optional.pop("kind", None)]
    return kind.stored(AssetKey.from_escaped_user_string(key), *fields, **optional)


_read_asset_event = reader(_listed_asset_event, lambda _: "one asset event of a tick")


def _partitions(record: Any) -> DynamicPartitionsRequestResult:
    name, *keys = record
    added, deleted, skipped = (None if each is None else tuple(map(text, each)) for each in keys)
    if (added is None) == (deleted is None):
        raise TypeError(record)
    return DynamicPartitionsRequestResult(text(name), added, deleted, skipped or ())


_read_partitions = reader(_partitions, lambda _: "one request of dynamic partitions of a tick")
