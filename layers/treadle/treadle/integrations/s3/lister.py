"""Lists a bucket page by page, in key order."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from treadle.definitions.objects import ObjectIdentity, S3Object
from treadle.integrations.s3.selection import S3Selection


@dataclass(frozen=True, slots=True)
class Page:
    """A thousand keys at most.

    Attributes:
        objects: those that are there, in key order.
        position: the key after which the listing goes on; "" after the last page.
    """

    objects: tuple[S3Object, ...]
    position: str


class ObjectLister(Protocol):
    """Lists a bucket."""

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """The objects whose key sorts after the given one, by pages.

        Args:
            selection: bucket, prefix, and whether versions are wanted.
            after: a key; "" for all.
        """


class S3Lister:
    """An `ObjectLister` on S3; needs `s3:ListBucket`, for versions `s3:ListBucketVersions`."""

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """The objects after a key, by pages; LIST is strongly consistent."""
        versions = selection.identity is ObjectIdentity.VERSION
        return self._versions(selection, after) if versions else self._objects(selection, after)

    def _objects(self, selection: S3Selection, after: str) -> Iterator[Page]:
        start = {"StartAfter": after} if after else {}
        for answer in _pages("list_objects_v2", selection, start):
            found = tuple(_object(selection.bucket, entry) for entry in answer.get("Contents", ()))
            yield Page(found, found[-1].key if answer["IsTruncated"] and found else "")

    def _versions(self, selection: S3Selection, after: str) -> Iterator[Page]:
        # A key's versions may lie on both sides of a page's end: the position is the last key that is
        # certainly complete, so that a sweep that goes on from it sees the others again. Without any such
        # key yet there is no position to name, and what was found waits for the next page.
        start = {"KeyMarker": after} if after else {}
        position, found = after, []
        for answer in _pages("list_object_versions", selection, start):
            found += [_object(selection.bucket, entry) for entry in answer.get("Versions", ())]
            complete = [stored.key for stored in found if stored.key != answer.get("NextKeyMarker")]
            position = complete[-1] if complete else position
            if position or not answer["IsTruncated"]:
                yield Page(tuple(found), position if answer["IsTruncated"] else "")
                found = []


def _pages(operation: str, selection: S3Selection, start: dict[str, str]) -> Iterator[dict[str, Any]]:
    # Imported here, so that importing a sensor in a test loads no AWS library.
    from treadle.adapters.clients import client

    paginator = client("s3").get_paginator(operation)  # type: ignore[call-overload]
    yield from paginator.paginate(Bucket=selection.bucket, Prefix=selection.prefix, **start)


def _object(bucket: str, entry: dict[str, Any]) -> S3Object:
    return S3Object(
        bucket=bucket,
        key=entry["Key"],
        etag=entry["ETag"].strip('"'),
        version=entry.get("VersionId") or "null",
        size=entry["Size"],
        last_modified=entry["LastModified"],
    )
