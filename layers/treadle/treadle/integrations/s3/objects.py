"""Helpers for sensors that list a bucket themselves, with the signatures of Dagster's.

They may return an object more than once, and miss no new one: its run key, which can be claimed only once,
makes one run of it. `s3_sensor` needs no cursor at all.
"""

import logging
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any

from treadle.definitions.clocks import check_time
from treadle.integrations.s3.sweep import OVERLAP_MS

logger = logging.getLogger(__name__)

UPLOAD = timedelta(milliseconds=OVERLAP_MS)
"""A multipart upload appears with the time at which it was begun, up to this long ago."""

EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)
"""No object is older; an earlier time, such as `datetime.min`, leaves no room for `UPLOAD`."""

_ORDER = itemgetter("LastModified", "Key")


class S3Key(str):
    """A key, with properties of its object at the time of the listing.

    Attributes:
        last_modified: when the object was stored, for the next call's `since_last_modified`.
        etag: the entity tag, for a run key that differs with the content.
    """

    __slots__ = ("etag", "last_modified")

    last_modified: datetime
    etag: str

    @classmethod
    def of(cls, stored: Mapping[str, Any]) -> "S3Key":
        """Make the key of an object in a `ListObjectsV2` response."""
        key = cls(stored["Key"])
        key.last_modified = stored["LastModified"]
        key.etag = str(stored.get("ETag", "")).strip('"')
        return key


def get_objects(
    bucket: str,
    prefix: str = "",
    since_key: str | None = None,
    since_last_modified: datetime | None = None,
    client: Any = None,
) -> list[Mapping[str, Any]]:
    """Return the objects of a bucket as in `ListObjectsV2`, ordered by time of modification, then key.

    Pass the key and the time of the last object that was seen: then nothing is lost, whatever happens to that
    object. All objects of that time's second count as new, except `since_key` itself, as more may have been
    stored in it; so do objects uploaded in parts and begun in the week before, as they may have appeared
    since. With `since_key` alone only the order counts, as in Dagster. Everything under the prefix is listed
    at each call, and the result is held in memory.

    Args:
        bucket: the bucket's name.
        prefix: of keys.
        since_key: the last object that was seen. Without `since_last_modified` its current time is used, so
            that objects stored in its second, or before it is overwritten, may be lost; if it is gone, all
            objects are returned.
        since_last_modified: when that was stored; with a time zone.
        client: an S3 client; the process's own by default.

    Raises:
        DagsterInvalidDefinitionError: if the time has no time zone.
    """
    if since_last_modified is not None:
        # In UTC, as the hours of a zone's clock are not always the same length.
        since_last_modified = check_time(
            "since_last_modified", since_last_modified, is_kept=False
        ).astimezone(UTC)
    listed = _listed(bucket, prefix, client)
    if since_last_modified is not None:
        found = list(_since(listed, since_last_modified, since_key))
    elif since_key:
        found = _since_key(list(listed), bucket, since_key)
    else:
        found = list(listed)
    return sorted(found, key=_ORDER)


def get_s3_keys(
    bucket: str,
    prefix: str = "",
    since_key: str | None = None,
    s3_session: Any = None,
    since_last_modified: datetime | None = None,
) -> list[S3Key]:
    """Return the keys of a bucket, ordered by time of modification, then key; see `get_objects`.

    Args:
        bucket: the bucket's name.
        prefix: of keys.
        since_key: the last key that was seen.
        s3_session: an S3 client; the process's own by default.
        since_last_modified: when its object was stored: the key's own `last_modified` of the last call.

    Raises:
        DagsterInvalidDefinitionError: if the time has no time zone.
    """
    return [
        S3Key.of(each) for each in get_objects(bucket, prefix, since_key, since_last_modified, s3_session)
    ]


def _listed(bucket: str, prefix: str, client: Any) -> Iterator[Mapping[str, Any]]:
    if client is None:
        from treadle.adapters.clients import client as made

        client = made("s3")
    for page in client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix):
        yield from page.get("Contents", ())


def _since(
    listed: Iterator[Mapping[str, Any]], time: datetime, since_key: str | None
) -> Iterator[Mapping[str, Any]]:
    second = max(time.replace(microsecond=0), EARLIEST)  # S3's times have no fractions of a second.
    for stored in listed:
        modified = stored["LastModified"]
        if stored["Key"] == since_key and modified.replace(microsecond=0) == second:
            continue
        is_in_parts = "-" in str(stored.get("ETag", ""))
        if modified >= (second - UPLOAD if is_in_parts else second):
            yield stored


def _since_key(objects: list[Mapping[str, Any]], bucket: str, since_key: str) -> list[Mapping[str, Any]]:
    known = next((stored for stored in objects if stored["Key"] == since_key), None)
    if known is None:
        logger.warning(
            "s3://%s/%s, which since_key names, is gone: all objects are given, and only run keys tell which "
            "of them are new. Give since_last_modified, too, or use s3_sensor.",
            bucket,
            since_key,
        )
        return objects
    return [stored for stored in objects if _ORDER(stored) > _ORDER(known)]
