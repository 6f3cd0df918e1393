"""Lists a bucket page by page, in key order, and reads single keys and directories."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from treadle.definitions.errors import BucketError
from treadle.definitions.objects import NO_VERSION, S3Object
from treadle.integrations.s3.selection import S3Selection

_MISSING = {"NoSuchBucket", "404"}
_ELSEWHERE = {
    "PermanentRedirect",
    "301",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
}


@dataclass(frozen=True, slots=True)
class Page:
    """At most a thousand keys.

    Attributes:
        objects: existing ones, in key order.
        position: the key after which the listing continues; "" after the last page.
    """

    objects: tuple[S3Object, ...]
    position: str


class ObjectLister(Protocol):
    """Lists a bucket.

    Each of its methods may raise a `BucketError`, if the bucket is missing or may not be listed.
    """

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """Yield the objects whose key sorts after the given one, by pages; a key's newest version first.

        Args:
            selection: one bucket, one prefix, and whether versions are listed.
            after: a key; "" for all.
        """

    def members(self, selection: S3Selection, directory: str) -> Iterator[S3Object]:
        """Yield the objects directly in a directory, whose keys begin with the listed prefix.

        Args:
            selection: one bucket and one prefix.
            directory: a key up to and including a slash; "" for the bucket's root.
        """

    def find(self, bucket: str, key: str) -> S3Object | None:
        """Return the object that is stored under a key now; None if there is none."""

    def announces(self, bucket: str) -> bool | None:
        """Return whether the bucket sends its events to EventBridge; None without permission to read that."""

    def has_versioning(self, bucket: str) -> bool | None:
        """Return whether objects stored in the bucket now become versions; None without permission."""


class S3Lister:
    """An `ObjectLister` on S3; needs `s3:ListBucket`, for versions `s3:ListBucketVersions`."""

    def pages(self, selection: S3Selection, after: str) -> Iterator[Page]:
        """Yield the objects after a key, by pages; LIST is strongly consistent."""
        return (
            self._versions(selection, after) if selection.lists_versions else self._objects(selection, after)
        )

    def members(self, selection: S3Selection, directory: str) -> Iterator[S3Object]:
        """Yield the objects directly in a directory."""
        # The longer of the two, as the deployment grants no listing above the prefix.
        [bucket], prefix = selection.buckets, max(selection.listed_prefix, directory, key=len)
        for answer in _pages("list_objects_v2", bucket, prefix, {"Delimiter": "/"}):
            for entry in answer.get("Contents", ()):
                yield _object(bucket, entry)

    def find(self, bucket: str, key: str) -> S3Object | None:
        """Return the object of that key: of all that begin with it, it is listed first."""
        with _named(bucket, "s3:ListBucket"):
            answer = _s3().list_objects_v2(Bucket=bucket, Prefix=key, MaxKeys=1)
        found = [_object(bucket, entry) for entry in answer.get("Contents", ())]
        return found[0] if found and found[0].key == key else None

    def announces(self, bucket: str) -> bool | None:
        """Return whether the bucket's notifications include EventBridge; needs `s3:GetBucketNotification`."""
        from botocore.exceptions import ClientError

        try:
            answer = _s3().get_bucket_notification_configuration(Bucket=bucket)
        except ClientError:
            return None  # Listing reports other problems of the bucket better.
        return "EventBridgeConfiguration" in answer

    def has_versioning(self, bucket: str) -> bool | None:
        """Return whether the bucket's versioning is enabled; needs `s3:GetBucketVersioning`."""
        from botocore.exceptions import ClientError

        try:
            answer = _s3().get_bucket_versioning(Bucket=bucket)
        except ClientError:
            return None
        # "If a versioning state has never been set, no Status is returned" (S3 API, GetBucketVersioning).
        return bool(answer.get("Status") == "Enabled")

    def _objects(self, selection: S3Selection, after: str) -> Iterator[Page]:
        [bucket], start = selection.buckets, {"StartAfter": after} if after else {}
        for answer in _pages("list_objects_v2", bucket, selection.listed_prefix, start):
            found = tuple(_object(bucket, entry) for entry in answer.get("Contents", ()))
            yield Page(found, found[-1].key if answer["IsTruncated"] and found else "")

    def _versions(self, selection: S3Selection, after: str) -> Iterator[Page]:
        # A key's versions may lie on both sides of a page's end: the position is the last key that is
        # certainly complete, so that a sweep that continues from it sees the others again. Without such a
        # key there is no position yet, and the versions found wait for the next page.
        [bucket], start = selection.buckets, {"KeyMarker": after} if after else {}
        position, found = after, []
        for answer in _pages("list_object_versions", bucket, selection.listed_prefix, start):
            found += [_object(bucket, entry) for entry in answer.get("Versions", ())]
            # Delete markers count as well: listing many, as a lifecycle rule leaves, may outlast a slice.
            keys = [entry["Key"] for kind in ("Versions", "DeleteMarkers") for entry in answer.get(kind, ())]
            position = max([position, *(key for key in keys if key != answer.get("NextKeyMarker"))])
            if position or not answer["IsTruncated"]:
                yield Page(tuple(found), position if answer["IsTruncated"] else "")
                found = []


def _s3() -> Any:
    # Imported here, so that importing a sensor in a test loads no AWS library.
    from treadle.adapters.clients import client

    return client("s3")


def _pages(operation: str, bucket: str, prefix: str, start: dict[str, str]) -> Iterator[dict[str, Any]]:
    action = "s3:ListBucketVersions" if operation == "list_object_versions" else "s3:ListBucket"
    paginator = _s3().get_paginator(operation)
    answers = iter(paginator.paginate(Bucket=bucket, Prefix=prefix, **start))
    while True:
        with _named(bucket, action):
            answer = next(answers, None)
        if answer is None:
            return
        yield answer


@contextmanager
def _named(bucket: str, action: str) -> Iterator[None]:
    """Replace S3's bare error with one that says what is wrong with the bucket, and what to do."""
    from botocore.exceptions import ClientError

    try:
        yield
    except ClientError as error:
        code = str(error.response.get("Error", {}).get("Code", ""))
        remedy = _remedy(code, str(error), bucket, action)
        if remedy is None:
            raise
        msg = f"Bucket {bucket} cannot be listed: {error}. {remedy}"
        raise BucketError(msg) from error


def _remedy(code: str, message: str, bucket: str, action: str) -> str | None:
    if code in _MISSING:
        return "There is no bucket of that name: correct TREADLE_S3_BUCKET of the sensor."
    if code in _ELSEWHERE:
        return "It lies in another Region, whose events do not come here: deploy the sensor there."
    if "kms" in f"{code} {message}".lower():
        return "Grant this function's role kms:Decrypt on the key that S3 names, in the key's policy, too."
    if "Denied" in code or code in {"AllAccessDisabled", "403"}:
        return (
            f"Grant this function's role {action} on arn:aws:s3:::{bucket} for the sensor's prefix; "
            "for a bucket of another account, its bucket policy must grant that, too."
        )
    return None


def _object(bucket: str, entry: dict[str, Any]) -> S3Object:
    return S3Object(
        bucket=bucket,
        key=entry["Key"],
        etag=entry["ETag"].strip('"'),
        version=entry.get("VersionId") or NO_VERSION,
        size=entry["Size"],
        last_modified=entry["LastModified"],
    )
