"""One listing of all buckets and prefixes that a sensor watches, in the order of places."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

from treadle.definitions.errors import BucketError
from treadle.definitions.objects import S3Object
from treadle.integrations.s3.lister import ObjectLister, Page
from treadle.integrations.s3.selection import LAST, S3Selection


@dataclass(frozen=True, slots=True)
class Listed:
    """A page, and where it is.

    Attributes:
        page: the objects, and the place after which the listing continues; "" after the last page.
        failure: why the rest of a bucket could not be listed; "" if it could.
        bucket: the bucket.
    """

    page: Page
    failure: str
    bucket: str


def pages(selection: S3Selection, lister: ObjectLister, after: str) -> Iterator[Listed]:
    """Yield the objects after a place, bucket by bucket and prefix by prefix.

    Of several buckets, one that cannot be listed is passed over, as it must not keep the others from being listed.

    Args:
        selection: the watched objects.
        lister: lists a bucket.
        after: a place; "" for all.

    Raises:
        BucketError: if the only bucket is missing or may not be listed.
    """
    parts = list(selection.parts)
    while len(parts) > 1 and after >= _end(selection, parts[0]):
        parts.pop(0)
    while parts:
        part = parts.pop(0)
        bucket = part.buckets[0]
        # Otherwise the place is before the part, which is listed from its beginning.
        begins = selection.place(bucket, part.listed_prefix)
        key = after[len(selection.place(bucket, "")) :] if after.startswith(begins) else ""
        try:
            for page in lister.pages(part, key):
                if page.position:
                    position = selection.place(bucket, page.position)
                else:
                    position = _end(selection, part) if parts else ""
                yield Listed(replace(page, position=position), "", bucket)
        except BucketError as error:
            if len(selection.buckets) == 1:
                raise
            while parts and bucket in parts[0].buckets:
                part = parts.pop(0)
            yield Listed(Page((), _end(selection, part) if parts else ""), str(error), bucket)


def members(selection: S3Selection, lister: ObjectLister, bucket: str, group: str) -> Iterator[S3Object]:
    """Yield the objects of a group that have one of the prefixes: those directly in a directory, or of its names.

    Args:
        selection: the watched objects.
        lister: lists the group.
        bucket: the bucket.
        group: what the group's keys begin with.

    Raises:
        BucketError: if the bucket is missing or may not be listed.
    """
    for part in selection.parts:
        prefix = part.listed_prefix
        if bucket not in part.buckets or not (group.startswith(prefix) or prefix.startswith(group)):
            continue
        if selection.files is None or not selection.files.by:
            yield from lister.members(part, group)
            continue
        for page in lister.pages(replace(part, prefix=max(prefix, group, key=len)), ""):
            yield from page.objects


def is_divided(selection: S3Selection, group: str) -> bool:
    """Return whether the watched objects of a group are in several listings.

    Args:
        selection: the watched objects.
        group: what the group's keys begin with.
    """
    return sum(each.startswith(group) for each in selection.listed_prefixes) > 1


def _end(selection: S3Selection, part: S3Selection) -> str:
    """Return the place after all keys of a part."""
    return f"{selection.place(part.buckets[0], part.listed_prefix)}{LAST}"
