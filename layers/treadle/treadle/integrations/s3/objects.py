"""Helpers for sensors that list a bucket themselves, with the signatures of Dagster's."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from treadle.definitions.errors import DagsterInvariantViolationError


def get_objects(
    bucket: str,
    prefix: str = "",
    since_key: str | None = None,
    since_last_modified: datetime | None = None,
    client: Any = None,
) -> list[Mapping[str, Any]]:
    """The objects of a bucket as `ListObjectsV2` names them, ordered by time of modification, then key.

    It lists the whole prefix at each call; `s3_sensor` does not.

    Args:
        bucket: the bucket's name.
        prefix: what keys begin with.
        since_key: only objects after this one in the order; it must still be there.
        since_last_modified: only objects modified later than this; ignored where since_key is given.
        client: an S3 client; the process's own by default.

    Raises:
        DagsterInvariantViolationError: if since_key is not among the objects any more.
    """
    if client is None:
        from treadle.adapters.clients import client as made

        client = made("s3")
    pages = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
    objects = [stored for page in pages for stored in page.get("Contents", ())]
    objects.sort(key=lambda stored: (stored["LastModified"], stored["Key"]))
    if since_key is not None:
        place = next((i for i, stored in enumerate(objects) if stored["Key"] == since_key), None)
        if place is None:
            msg = (
                f"Provided `since_key` is not present in list of objects: s3://{bucket}/{since_key} is gone. "
                "Keep a time in the cursor and give since_last_modified, or use s3_sensor."
            )
            raise DagsterInvariantViolationError(msg)
        return objects[place + 1 :]
    if since_last_modified is not None:
        return [stored for stored in objects if stored["LastModified"] > since_last_modified]
    return objects


def get_s3_keys(
    bucket: str, prefix: str = "", since_key: str | None = None, s3_session: Any = None
) -> list[str]:
    """The keys of a bucket, ordered by time of modification, then key.

    Args:
        bucket: the bucket's name.
        prefix: what keys begin with.
        since_key: only keys after this one in the order; it must still be there.
        s3_session: an S3 client; the process's own by default.

    Raises:
        DagsterInvariantViolationError: if since_key is not among the keys any more.
    """
    return [stored["Key"] for stored in get_objects(bucket, prefix, since_key, client=s3_session)]
